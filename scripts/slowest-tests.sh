#!/usr/bin/env bash
# The tests that took longest, from what `swift test --event-stream-output-path FILE` writes.
# Usage: scripts/slowest-tests.sh FILE [COUNT]
# A test's time is that of all its cases together, which may overlap. What starts ranks waits for
# other jobs of ranks, and that counts too.
set -euo pipefail
# Cases of a test have no names of their own here; the sum of their ends less the sum of their
# beginnings is the sum of their times all the same.
awk '
  /"kind":"testCase(Started|Ended)"/ {
    match($0, /"absolute":[0-9.]+/); time = substr($0, RSTART + 11, RLENGTH - 11)
    match($0, /"testID":"[^"]*"/); name = substr($0, RSTART + 10, RLENGTH - 11)
    gsub(/\\\//, "/", name); sub(/\/[^\/]*\.swift:.*$/, "", name)
    seconds[name] += /testCaseEnded/ ? time : -time
  }
  # A case that never ended left only its beginning behind.
  END { for (name in seconds) if (seconds[name] >= 0) printf "%9.2f s  %s\n", seconds[name], name }
' "$1" | sort -rn | head -n "${2:-10}"
