#!/usr/bin/env bash
# Builds with a sanitizer and runs tests under it.
# Usage: scripts/sanitize.sh address|thread [REGEX…]: tests whose names match; see CONTRIBUTING.md.
#   address  AddressSanitizer in C and Swift, leaks at the end, UndefinedBehaviorSanitizer in C
#   thread   ThreadSanitizer in C and Swift: the thread pool and what runs on it
# Each has a build of its own, in .build-asan and .build-tsan.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-}
[ $# -gt 0 ] && shift
sanitizers=$PWD/scripts/sanitizers
# -O1: the kernels are written for an optimiser, and ten times slower without. A finding of UBSan ends
# the program, so that the test fails.
case "$kind" in
  address)
    scratch=asan
    flags=(--sanitize address -Xcc -O1 -Xcc -fsanitize=undefined -Xcc -fno-sanitize-recover=all)
    export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:${ASAN_OPTIONS:-}"
    export LSAN_OPTIONS="suppressions=$sanitizers/leaks.txt:print_suppressions=0:${LSAN_OPTIONS:-}"
    export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
    tests=(KernelsTests ModelTests PEFTTests HashingTests TensorsTests SafetensorsTests TokenizersTests)
    ;;
  thread)
    scratch=tsan
    flags=(--sanitize thread -Xcc -O1)
    export TSAN_OPTIONS="halt_on_error=1:suppressions=$sanitizers/threads.txt:${TSAN_OPTIONS:-}"
    tests=(KernelsTests)
    ;;
  *)
    echo "usage: scripts/sanitize.sh address|thread [REGEX…]" >&2
    exit 64
    ;;
esac
[ $# -gt 0 ] && tests=("$@")
filters=()
for test in "${tests[@]}"; do filters+=(--filter "$test"); done
# A sanitizer takes several times the time.
export TEST_TIMEOUT_SCALE="${TEST_TIMEOUT_SCALE:-10}"
build=(--scratch-path ".build-${scratch}" "${flags[@]}")
"${SWIFT:-swift}" build --build-tests "${build[@]}"
# No test is XCTest's, whose own process leaks.
"${SWIFT:-swift}" test --skip-build --disable-xctest "${build[@]}" "${filters[@]}"
