#!/usr/bin/env bash
# Compares what `plan` says of a run with what the run then measures: memory of a rank and of a node, time a step.
# Usage: scripts/check-plan.sh [-p PROGRAM] [-s STEPS] [-n RANKS] [OPTIONS OF train]
#        scripts/check-plan.sh [-p PROGRAM] [-s STEPS] -f FILE
#   FILE  a line for each run, `NAME | RANKS | OPTIONS OF train`; empty lines and those that begin with # are
#         passed over
# Without options it is the demo. Threads are the machine's processors over the ranks. The machine must be idle:
# both sides measure time. Status 1 where memory is off by more than 10 % or time by more than 15 %.
#
# Measured are: of a rank, the largest peak of resident memory (VmHWM); of a node, what its ranks have at a time,
# looked at twice a second, what they share once; a step, the mean of all but the first two, of 4 seconds at
# least (so a run of short steps has more of them than STEPS), scaled to the planned tokens.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$here/../.build/release/swift-peft-train
steps=8 ranks=1 file=
while [[ ${1-} == -? && $# -gt 1 ]]; do
  case $1 in -p) program=$2 ;; -s) steps=$2 ;; -n) ranks=$2 ;; -f) file=$2 ;; *) exit 64 ;; esac
  shift 2
done
[ -x "$program" ] || { echo "check-plan: no $program; run make build" >&2; exit 1; }
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

field() { sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p" "$2" | tail -n 1; }

# The most memory that the programs that write to a directory had together at a time, in bytes: the pages of their
# own, those that they share by parts, and those of files, which are the same for all, of one of them.
#
# It starts few programs once all ranks are there: a core that looks at memory does not compute.
watch_node() { # watch_node OUTPUT_DIRECTORY RANKS
  local most=0 sum files name value process file
  local -a processes=()
  while [ ! -e "$T/done" ]; do
    [ ${#processes[@]} -ge "$2" ] ||
      mapfile -t processes < <(pgrep -f -- "^$program train .*--output-dir $1" || true)
    sum=0 files=0
    for process in "${processes[@]}"; do
      file=0
      # Of a process that has ended there is nothing to read.
      while read -r name value _; do
        case $name in
          RssAnon: | Pss_Shmem:) sum=$((sum + value)) ;;
          RssFile:) file=$value ;;
        esac
      done < <(exec 2>/dev/null; cat "/proc/$process/status" "/proc/$process/smaps_rollup" || true)
      [ "$file" -le "$files" ] || files=$file
    done
    [ $((sum + files)) -le "$most" ] || most=$((sum + files))
    echo $((most * 1024)) >"$T/node"
    sleep 0.5
  done
}

check() { # check NAME RANKS OPTIONS…
  local name=$1 ranks=$2 output=$T/run watcher
  shift 2
  local threads=$(($(nproc) / ranks))
  local options=(--threads $((threads > 0 ? threads : 1)) --num-epochs 1000 "$@")
  rm -rf "$output" "$T/done"
  "$program" plan --json --ranks "$ranks" --ranks-per-node "$ranks" --max-steps "$steps" "${options[@]}" \
    >"$T/plan" 2>"$T/log" || { tail -n 3 "$T/log" >&2; exit 1; }
  # Some tenths of a second tell what else the machine did then.
  options+=(--max-steps "$(awk -v least="$steps" -v seconds="$(field seconds_per_step "$T/plan")" \
    'BEGIN { count = int(4 / seconds) + 3; print (count > least ? count : least) }')")
  local start=("$program")
  [ "$ranks" -eq 1 ] || start=("$here/mpirun.sh" "$ranks" "$program")
  watch_node "$output" "$ranks" &
  watcher=$!
  "${start[@]}" train --logging-steps 1 --output-dir "$output" "${options[@]}" >"$T/log" 2>&1 ||
    { touch "$T/done"; tail -n 3 "$T/log" >&2; exit 1; }
  touch "$T/done"
  wait "$watcher"
  # Seconds of a step are its tokens over tokens a second.
  local seconds
  seconds=$(awk -v planned="$(field tokens_per_step "$T/plan")" '
    /"event": *"step"/ {
      match($0, /"tokens": *[0-9]+/); tokens = substr($0, RSTART + 9, RLENGTH - 9) + 0
      match($0, /"tokens_per_second": *[0-9.e+-]+/)
      speed = substr($0, RSTART + 20, RLENGTH - 20) + 0
      count++
      if (count > 2) { time += (tokens - before) / speed; timed += tokens - before }
      before = tokens
    }
    END { print time / timed * planned }' "$output/metrics.jsonl")
  awk -v name="$name" -v ranks="$ranks" \
    -v rank_planned="$(field rank_bytes "$T/plan")" \
    -v rank="$(field peak_memory_bytes "$output/metrics.jsonl")" \
    -v node_planned="$(field node_bytes "$T/plan")" -v node="$(cat "$T/node")" \
    -v time_planned="$(field seconds_per_step "$T/plan")" -v time="$seconds" 'BEGIN {
      worst = 0
      line = sprintf("%-34s %5d", name, ranks)
      line = line memory(rank_planned, rank) memory(node_planned, node)
      ratio = time_planned / time
      if (ratio > 1.15 || ratio < 0.85) worst = 1
      line = line sprintf("  %8.3f %8.3f %5.2f", time_planned, time, ratio)
      print line (worst ? "  off" : "")
      exit worst
    }
    function memory(planned, measured,   ratio) {
      ratio = planned / measured
      if (ratio > 1.1 || ratio < 0.9) worst = 1
      return sprintf("  %8.1f %8.1f %5.2f", planned / 1048576, measured / 1048576, ratio)
    }' || status=1
}

status=0
printf '%-34s %5s  %-23s  %-23s  %-23s\n%-34s %5s' "" "" "MiB of a rank" "MiB of a node" "seconds of a step" run ranks
for _ in rank node step; do printf '  %8s %8s %5s' planned measured ratio; done
echo
if [ -z "$file" ]; then
  check "${*:-the demo}" "$ranks" "$@"
else
  while IFS='|' read -r name count options; do
    case $name in '' | '#'*) continue ;; esac
    # mpirun would read the list.
    # shellcheck disable=SC2086  # options are words
    check "$(sed 's/^ *//; s/ *$//' <<<"$name")" $count $options </dev/null
  done <"$file"
fi
exit $status
