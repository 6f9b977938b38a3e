#!/usr/bin/env bash
# Tries a job on three hosts that share no memory: network namespaces of this machine, TCP between them.
# Usage: scripts/test-hosts.sh [PROGRAM]   (default: .build/release/swift-peft-train)
#   SAVED_LOGS  a directory that the logs are copied to when something fails
#
# Needs root, iproute2 and Open MPI. Each host has a name, an address and /dev/shm of its own; the disk
# plays the shared file system. Nothing outside of the namespaces is touched, and
# nothing of them is left: they end with the processes in them.
#
#   1. three hosts, four ranks: the same bytes as one process
#   2. the link of a host goes down in mid-run, of one that computes and of rank 0's: the host is named, by the
#      launcher and by the ranks
#   3. it resumes on the hosts that are left, to the same bytes
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" != --inside ]; then
  [ "$(id -u)" -eq 0 ] || { echo "test-hosts: needs root, for network namespaces" >&2; exit 1; }
  command -v ip >/dev/null || { echo "test-hosts: install iproute2" >&2; exit 1; }
  PROGRAM=$(realpath "${1:-.build/release/swift-peft-train}")
  [ -x "$PROGRAM" ] || { echo "test-hosts: no $PROGRAM; run make build" >&2; exit 1; }
  export PROGRAM
  exec unshare --net --mount --uts "$0" --inside
fi

T=$(mktemp -d /var/tmp/test-hosts.XXXXXX)
hosts=(red green blue)
network() { readlink "/proc/$1/ns/net" 2>/dev/null || true; }
empty() { # empty HOST: ends all that runs there, such as ranks that nobody can reach any more
  local holder process
  holder=$(cat "$T/$1.pid")
  for process in /proc/[0-9]*; do
    process=${process#/proc/}
    [ "$process" = "$holder" ] || [ "$(network "$process")" != "$(network "$holder")" ] ||
      kill -KILL "$process" 2>/dev/null || true
  done
}
take_down() {
  local status=$?
  [ "$status" -eq 0 ] || tail -n 25 "$T"/*.log >&2
  [ "$status" -eq 0 ] || [ -z "${SAVED_LOGS:-}" ] ||
    { mkdir -p "$SAVED_LOGS" && cp "$T"/*.log "$SAVED_LOGS"; }
  for host in "${hosts[@]}"; do empty "$host"; done
  cat "$T"/*.pid | xargs -r kill -KILL 2>/dev/null || true
  rm -rf "$T"
  exit "$status"
}
trap take_down EXIT
trap 'exit 130' INT TERM
say() { echo "$(date +%T)  $*"; }
fail() { echo "test-hosts: $*" >&2; exit 1; }

# ---- The hosts, on a switch

ip link add switch type bridge
ip link set switch up
printf '127.0.0.1 localhost\n' >"$T/etc-hosts"
number=0
for host in "${hosts[@]}"; do
  number=$((number + 1))
  printf '10.99.0.%d %s\n' "$number" "$host" >>"$T/etc-hosts"
  # A process that holds the host's namespaces.
  unshare --net --uts --mount bash -c "
    hostname $host
    mount -t tmpfs -o size=1g tmpfs /dev/shm
    mount --bind $T/etc-hosts /etc/hosts
    ip link set lo up
    exec sleep infinity" &
  pid=$!
  disown
  echo "$pid" >"$T/$host.pid"
  for _ in {1..50}; do [ "$(network "$pid")" != "$(network self)" ] && break; sleep 0.1; done
  ip link add "port-$host" type veth peer name eth0 netns "$pid"
  ip link set "port-$host" master switch up
  nsenter -t "$pid" -n ip addr add "10.99.0.$number/24" dev eth0
  nsenter -t "$pid" -n ip link set eth0 up
done

# What mpirun calls in the place of ssh: HOST COMMAND…
cat >"$T/agent" <<END
#!/bin/bash
host=\$1
shift
exec nsenter -t "\$(cat $T/\$host.pid)" -n -u -m -- /bin/bash -c "\$*"
END
chmod +x "$T/agent"
for host in "${hosts[@]}"; do
  for _ in {1..50}; do [ "$("$T/agent" "$host" hostname)" = "$host" ] && break; sleep 0.1; done
  "$T/agent" "$host" ping -c 1 -W 2 red >/dev/null 2>&1 || true
done

# ---- Jobs

demo=$PWD/Sources/swift-peft-train/Demo
printf '%s\n' "model: $demo" "data: $demo/demo.h5" 'target_modules: all-linear' 'precision: f32' \
  'global_batch_size: 16' 'micro_batch_size: 4' 'max_steps: 24' 'save_steps: 4' 'logging_steps: 5' \
  'stall_timeout: 10s' 'threads: 1' >"$T/run.yaml"
adapter() { sha256sum <"$1/adapter/adapter_model.safetensors" | cut -d' ' -f1; }

# job FROM HOSTS OUTPUT: trains on HOSTS (name:ranks,…), by an mpirun that runs on FROM.
job() {
  "$T/agent" "$1" "cd $T && OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun \
    --host $2 --oversubscribe --bind-to none \
    --mca plm_rsh_agent $T/agent --mca btl tcp,vader,self --mca btl_vader_single_copy_mechanism none \
    --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 \
    $PROGRAM train --config $T/run.yaml --output-dir $3 --resume"
}
await_checkpoint() {
  for _ in {1..600}; do compgen -G "$1/checkpoints/step-*.h5" >/dev/null && return; sleep 0.1; done
  fail "no checkpoint in $1"
}

"$PROGRAM" train --config "$T/run.yaml" --output-dir "$T/alone" >"$T/alone.log" 2>&1
expected=$(adapter "$T/alone")
say "one process: ${expected:0:16}…"

job red red:1,green:2,blue:1 "$T/three" >"$T/three.log" 2>&1
grep -q "on 3 nodes" "$T/three.log" || fail "the ranks do not see three nodes"
[ "$(adapter "$T/three")" = "$expected" ] || fail "three hosts make another adapter than one process"
say "three hosts, four ranks: the same bytes"

# lose HOST FROM OUTPUT LOG HOSTS: HOST's link goes down in mid-run of a job on HOSTS; mpirun runs on FROM.
lose() {
  job "$2" "$5" "$3" >"$4" 2>&1 &
  running=$!
  await_checkpoint "$3"
  ip link set "port-$1" down
  began=$SECONDS
}
# resume HOST FROM OUTPUT LEFT: without HOST, whose processes are ended, to the same bytes.
resume() {
  local host
  for host in "${hosts[@]}"; do empty "$host"; done
  ip link set "port-$1" up
  job "$2" "$4" "$3" >"$T/resumed-$1.log" 2>&1
  [ "$(adapter "$3")" = "$expected" ] || fail "resumed without $1: another adapter"
  say "resumed on $4: the same bytes"
}

# mpirun notices by its keepalives (those of slurm/multi-node.sbatch, shortened) and ends the job.
status=0
OMPI_MCA_oob_tcp_keepalive_time=3 OMPI_MCA_oob_tcp_keepalive_intvl=1 OMPI_MCA_oob_tcp_keepalive_probes=3 \
  lose blue red "$T/noticed" "$T/noticed.log" red:1,green:2,blue:1
for _ in {1..600}; do kill -0 "$running" 2>/dev/null || break; sleep 0.1; done
if kill -0 "$running" 2>/dev/null; then fail "the job still runs, 60 s after blue was cut off"; fi
wait "$running" || status=$?
[ "$status" -ne 0 ] || fail "the job ended with 0"
grep -q "on node blue" "$T/noticed.log" || fail "mpirun does not name blue"
say "blue cut off: mpirun names it and ends with $status after $((SECONDS - began)) s"
resume blue red "$T/noticed" red:1,green:2

# Where the launcher notices nothing, the ranks do. Open MPI's mpirun then waits for its daemon there until TCP
# gives up: what a batch system ends, this test does.
watched() { # watched HOST FROM HOSTS LEFT
  local log=$T/watched-$1.log
  lose "$1" "$2" "$T/without-$1" "$log" "$3"
  for _ in {1..600}; do grep -q '^\[rank' "$log" && break; sleep 0.1; done
  grep -q "^\[rank.* node $1 (rank" "$log" || fail "no rank names $1"
  say "$1 cut off, after $((SECONDS - began)) s: $(grep -m 1 '^\[rank' "$log" | sed 's/ The job ends.*//')"
  resume "$1" "$2" "$T/without-$1" "$4"
}
watched green red red:1,green:2,blue:1 red:1,blue:2
# Rank 0 is on red, mpirun on a host of its own.
watched red blue red:1,green:2 green:2,blue:1
say "all well"
