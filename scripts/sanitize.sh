#!/usr/bin/env bash
# Builds with a sanitizer and runs tests under it.
# Usage: scripts/sanitize.sh kernels
#        scripts/sanitize.sh address|thread [REGEX…]: tests whose names match; see CONTRIBUTING.md.
#   kernels  C alone, some ten minutes, most of them compiling: every kernel on each instruction set of
#            this machine and in AVX-512's width, under AddressSanitizer and UndefinedBehaviorSanitizer; the thread pool under
#            these and under ThreadSanitizer
#   address  AddressSanitizer in C and Swift, leaks at the end
#   thread   ThreadSanitizer in C and Swift: the thread pool and what runs on it
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
  for set in scalar avx2 avx512 neon wide; do
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
    tests=(KernelsTests ModelTests PEFTTests HashingTests TensorsTests SafetensorsTests TokenizersTests)
    ;;
  thread)
    scratch=tsan
    flags=(--sanitize thread -Xcc -O1)
    export TSAN_OPTIONS="halt_on_error=1:suppressions=$sanitizers/threads.txt:${TSAN_OPTIONS:-}"
    tests=(KernelsTests)
    ;;
  *)
    echo "usage: scripts/sanitize.sh kernels, or address|thread [REGEX…]" >&2
    exit 64
    ;;
esac
[ $# -gt 0 ] && tests=("$@")
filters=()
for test in "${tests[@]}"; do filters+=(--filter "$test"); done
# A sanitizer takes several times the time.
export TEST_TIMEOUT_SCALE="${TEST_TIMEOUT_SCALE:-10}"
build=(-c release --scratch-path ".build-${scratch}" "${flags[@]}")
"${SWIFT:-swift}" build --build-tests "${build[@]}"
# No test is XCTest's, whose own process leaks.
"${SWIFT:-swift}" test --skip-build --disable-xctest "${build[@]}" "${filters[@]}"
