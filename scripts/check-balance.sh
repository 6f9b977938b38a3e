#!/usr/bin/env bash
# Measures what balancing is worth: two ranks of one thread on two cores, alone, and with a process that competes for
# one of the cores. Usage: scripts/check-balance.sh [-p PROGRAM] [-s STEPS] [OPTIONS OF train]
#
# Without options it is the demo, in micro-batches of one example. The machine must be idle. A core that two processes
# want is half there, so three quarters of the throughput are left; status 1 where a run has less than 90 % of that.
# Waiting is the mean of both ranks, from `train --profile`; for even rows give a dataset that has them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$here/../.build/release/swift-peft-train
steps=40
while [[ ${1-} == -? && $# -gt 1 ]]; do
  case $1 in -p) program=$2 ;; -s) steps=$2 ;; *) exit 64 ;; esac
  shift 2
done
[ -x "$program" ] || { echo "check-balance: no $program; run make build" >&2; exit 1; }
T=$(mktemp -d)
rival=
stop_rival() { [ -z "$rival" ] || kill "$rival" 2>/dev/null || true; rival=; }
trap 'stop_rival; rm -rf "$T"' EXIT
# The first two processors that this shell may use.
mapfile -t cores < <(taskset -cp $$ | sed 's/.*: //' | tr , '\n' |
  awk -F- '{ for (c = $1; c <= (NF > 1 ? $2 : $1); c++) print c }' | head -n 2)
[ ${#cores[@]} -eq 2 ] || { echo "check-balance: two cores are needed" >&2; exit 1; }
[ $# -gt 0 ] || set -- --micro-batch-size 1

measure() { # measure NAME OPTIONS…: prints tokens a second and the share of waiting in percent
  local output=$T/$1
  shift
  taskset -c "${cores[0]},${cores[1]}" "$here/mpirun.sh" 2 "$program" train --threads 1 --num-epochs 1000 \
    --max-steps "$steps" --profile $((steps - 5)) --output-dir "$output" "$@" >"$output.log" 2>&1 ||
    { tail -n 3 "$output.log" >&2; exit 1; }
  awk -v speed="$(sed -n '/"event": *"end"/s/.*"tokens_per_second": *\([0-9.e+]*\).*/\1/p' \
    "$output/metrics.jsonl")" '
    /^ *waiting for ranks/ { waiting = $4 } END { print speed, waiting + 0 }' "$output.log"
}

read -r alone waiting < <(measure alone "$@")
printf 'alone:     %8.0f tokens/s, waiting %4.1f %%\n' "$alone" "$waiting"
taskset -c "${cores[1]}" sh -c 'while :; do :; done' &
rival=$!
read -r disturbed waiting < <(measure disturbed "$@")
stop_rival
awk -v alone="$alone" -v disturbed="$disturbed" -v waiting="$waiting" 'BEGIN {
  left = 100 * disturbed / (0.75 * alone)
  printf "disturbed: %8.0f tokens/s, waiting %4.1f %%; %.0f %% of what is left\n", disturbed, waiting, left
  exit left < 90
}'
