#!/usr/bin/env bash
# Builds with a sanitizer and runs tests under it.
# Usage: scripts/sanitize.sh kernels
#        scripts/sanitize.sh address|thread [REGEX…]: tests whose names match; see CONTRIBUTING.md.
#   kernels  C alone, some ten minutes, most of them compiling: every kernel on each instruction set of
#            this machine and in AVX-512's width, and those for bf16 by the definition of Arm's instructions, under
#            AddressSanitizer and UndefinedBehaviorSanitizer; the thread pool under these and under ThreadSanitizer
#   address  AddressSanitizer in C and Swift, leaks at the end
#   thread   ThreadSanitizer in C and Swift: without REGEX the program itself trains the demo, with threads
#            and on two ranks, and is stopped and resumed, evaluated, asked; then no test is built
# The last two have a build of their own, in .build-asan and .build-tsan.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-}
[ $# -gt 0 ] && shift
sanitizers=$PWD/scripts/sanitizers
# Kernels and pool, without Swift.
run_kernels() {
  local scratch clang runtime address common=(-std=gnu11 -O1 -g -ISources/CKernels/include)
  scratch=$(mktemp -d)
  trap "rm -rf '$scratch'" EXIT
  clang=$(dirname "$(readlink -f "$(command -v "${SWIFT:-swift}")")")/clang
  runtime=$(dirname "$clang")/../lib/swift/linux
  # lld: gold warns of two hundred symbols of AddressSanitizer.
  address=(-fsanitize=address,undefined -fno-sanitize-recover=all -fuse-ld=lld)
  export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:${ASAN_OPTIONS:-}"
  export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
  export TSAN_OPTIONS="halt_on_error=1:${TSAN_OPTIONS:-}"
  "$clang" "${address[@]}" "${common[@]}" -ITests/KernelProbe/include Sources/CKernels/*.c \
    Tests/KernelProbe/*.c scripts/same-bits/main.c -lm -lpthread -ldl -o "$scratch/probe"
  # "bf16" by this machine's instruction, "bf16 dot" by the definition of Arm's, one number at a time.
  for set in scalar avx2 avx512 neon wide bf16 "bf16 dot"; do
    local status=0
    "$scratch/probe" "$set" >"$scratch/$set" || status=$?
    case $status in
      0) echo "kernels, $set: $(wc -l <"$scratch/$set") checks, clean" ;;
      64) echo "kernels, $set: not run" ;;  # The probe has said why.
      *) exit 1 ;;
    esac
  done
  "$clang" "${address[@]}" "${common[@]}" Sources/CKernels/pool.c "$sanitizers/pool.c" \
    -lpthread -o "$scratch/pool-address"
  # The toolchain's runtime of ThreadSanitizer knows libdispatch.
  "$clang" -fsanitize=thread "${common[@]}" Sources/CKernels/pool.c "$sanitizers/pool.c" \
    -lpthread -L"$runtime" -ldispatch -lBlocksRuntime -Wl,-rpath,"$runtime" -o "$scratch/pool-thread"
  for kind in address thread; do
    local told
    told=$("$scratch/pool-$kind")
    echo "pool, $kind: $told, clean"
  done
}

# What has threads in a run: the pool, the watch over ranks, signals, the reading of a base, the terminal's line.
run_program() {
  local work program=$1 here=Sources/swift-peft-train/Demo
  local demo=(--model "$here")
  work=$(mktemp -d)
  trap "rm -rf '$work'" EXIT
  "$program" train --threads 4 --max-steps 12 --eval-steps 5 --output-dir "$work/one" --verbose
  "$program" train --threads 2 --max-steps 4 --precision bf16 --quantize-base nf4 --output-dir "$work/packed"
  "$program" evaluate "${demo[@]}" --data "$here/demo.h5" --adapter "$work/one/adapter" --threads 3
  "$program" generate "${demo[@]}" --adapter "$work/one/adapter" --prompt abc --max-new-tokens 8 --threads 2
  scripts/mpirun.sh 2 "$program" train --threads 2 --max-steps 400 --save-steps 5 --output-dir "$work/two" &
  local job=$! status=0
  until [ -e "$work/two/checkpoints/step-00000005.h5" ]; do
    kill -0 "$job" || break
    sleep 0.2
  done
  kill -USR1 "$job" || true
  wait "$job" || status=$?
  [ "$status" = 75 ] || { echo "a job that was asked to stop ended with $status, not 75" >&2; exit 1; }
  scripts/mpirun.sh 2 "$program" train --threads 2 --max-steps 400 --save-steps 5 --output-dir "$work/two" \
    --resume --time-limit 20s || [ $? = 75 ]
  echo "program, thread: trained, stopped, resumed, evaluated and asked, clean"
}

# -O1: the kernels are written for an optimiser, and ten times slower without. UBSan, with which a file of
# products takes minutes to compile, has seen them by themselves.
case "$kind" in
  kernels)
    run_kernels
    exit
    ;;
  address)
    scratch=asan
    flags=(--sanitize address -Xcc -O1)
    export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:${ASAN_OPTIONS:-}"
    export LSAN_OPTIONS="suppressions=$sanitizers/leaks.txt:print_suppressions=0:${LSAN_OPTIONS:-}"
    # All but those that measure memory, time or signals of the program.
    tests=(KernelsTests ModelTests PEFTTests HashingTests TensorsTests SafetensorsTests TokenizersTests
      DataParallelTests DatasetsTests CheckpointingTests TrainingTests PreparationTests GGUFTests HDF5Tests
      FilesTests JSONTests GenerationTests TemplatesTests PatternsTests ReportingTests DiagnosticsTests)
    ;;
  thread)
    scratch=tsan
    flags=(--sanitize thread -Xcc -O1)
    export TSAN_OPTIONS="halt_on_error=1:suppressions=$sanitizers/threads.txt:${TSAN_OPTIONS:-}"
    # MPICH's UCX rewrites functions of the C library in memory, the sanitizer's among them.
    export UCX_MEM_EVENTS=no UCX_MEM_MMAP_HOOK_MODE=none
    tests=()
    ;;
  *)
    echo "usage: scripts/sanitize.sh kernels, or address|thread [REGEX…]" >&2
    exit 64
    ;;
esac
# Ranks: MPI's libraries keep what they took, and are unloaded by then, so that no name tells it from a leak.
ranks=()
[ "$kind" = address ] && [ $# = 0 ] && ranks=(--skip CommunicatorTests)
[ $# -gt 0 ] && tests=("$@")
filters=("${ranks[@]}")
# Rank 0 has 0.3 s to speak before the others do, too little for a program that is ten times slower.
[ "$kind" = thread ] && filters+=(--skip failureEverywhere)
for test in "${tests[@]}"; do filters+=(--filter "$test"); done
# A sanitizer takes several times the time.
export TEST_TIMEOUT_SCALE="${TEST_TIMEOUT_SCALE:-10}"
build=(-c release --scratch-path ".build-${scratch}" "${flags[@]}")
if [ ${#tests[@]} = 0 ]; then
  "${SWIFT:-swift}" build --product swift-peft-train "${build[@]}"
  run_program "$PWD/.build-$scratch/release/swift-peft-train"
  exit
fi
"${SWIFT:-swift}" build --build-tests "${build[@]}"
# No test is XCTest's, whose own process leaks.
"${SWIFT:-swift}" test --skip-build --disable-xctest "${build[@]}" "${filters[@]}"
[ ${#ranks[@]} = 0 ] || ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" \
  "${SWIFT:-swift}" test --skip-build --disable-xctest "${build[@]}" --filter CommunicatorTests
