#!/usr/bin/env bash
# Tries the batch scripts of slurm/ on a real Slurm: two nodes on this machine, started and taken down.
# Usage: scripts/test-slurm.sh [PROGRAM]   (default: .build/release/swift-peft-train)
#   SAVED_LOGS  a directory that the logs are copied to when something fails
#
# Installs Slurm and munge where they are missing (Debian, Ubuntu, as root). Everything runs on the
# loopback, from a directory of its own, beside a Slurm that the machine may have: nothing of it is
# touched. Each script trains on the demo; its adapter must have the bytes of a run without Slurm, though
# the job was signalled or preempted in between.
set -euo pipefail
cd "$(dirname "$0")/.."
PROGRAM=$(realpath "${1:-.build/release/swift-peft-train}")
[ -x "$PROGRAM" ] || { echo "test-slurm: no $PROGRAM; run make build" >&2; exit 1; }

for command in munged slurmctld slurmd mpirun; do
  if ! command -v "$command" >/dev/null; then
    [ "$(id -u)" -eq 0 ] || { echo "test-slurm: install slurm-wlm, munge and openmpi-bin" >&2; exit 1; }
    apt-get update -qq
    # Without starting what is installed: this test starts its own.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && policy=$(mktemp)
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      slurm-wlm munge openmpi-bin libpmix-dev >/dev/null
    rm "$policy"
    break
  fi
done

T=$(mktemp -d -t test-slurm.XXXXXX)
export SLURM_CONF=$T/slurm.conf
daemons=()

take_down() {
  local status=$? pid
  set +e
  [ "$status" -eq 0 ] || { squeue -l; tail -n 25 "$T"/*.log; } >&2
  squeue -h -o %A 2>/dev/null | xargs -r scancel 2>/dev/null
  for _ in 1 2 3 4 5; do [ -n "$(squeue -h 2>/dev/null)" ] && sleep 1; done
  for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null; done
  for _ in 1 2 3 4 5; do kill -0 "${daemons[@]}" 2>/dev/null && sleep 1; done
  for pid in "${daemons[@]}"; do kill -KILL "$pid" 2>/dev/null; done
  [ "$status" -eq 0 ] || [ -z "${SAVED_LOGS:-}" ] ||
    { mkdir -p "$SAVED_LOGS" && cp "$T"/*.log "$SAVED_LOGS"; }
  rm -rf "$T"
  exit "$status"
}
trap take_down EXIT
trap 'exit 130' INT TERM

say() { echo "$(date +%T)  $*"; }
fail() { echo "test-slurm: $*" >&2; exit 1; }

# ---- The cluster

munge_options=(--key-file="$T/munge.key" --socket="$T/munge.socket" --pid-file="$T/munge.pid"
  --log-file="$T/munge.log" --seed-file="$T/munge.seed")
(umask 077 && head -c 1024 /dev/urandom >"$T/munge.key")
chmod 755 "$T"
munged --force --foreground "${munge_options[@]}" >"$T/munged.log" 2>&1 &
daemons+=($!)

port=$((20000 + RANDOM % 10000))
cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthInfo=socket=$T/munge.socket
StateSaveLocation=$T/state
SlurmdSpoolDir=$T/spool-%n
# PMIx makes folders in there that two nodes of one machine must not share.
TmpFS=$T/tmp-%n
SlurmctldPidFile=$T/slurmctld.pid
SlurmdPidFile=$T/slurmd-%n.pid
SlurmctldLogFile=$T/slurmctld.log
SlurmdLogFile=$T/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# Two nodes of four processors each are made of whatever this machine has.
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=5
NodeName=n1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=4
NodeName=n2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=4
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1
PartitionName=high Nodes=n1,n2 PriorityTier=2 PreemptMode=OFF
END
mkdir "$T/state" "$T"/{spool,tmp}-n{1,2}
for _ in {1..50}; do [ -S "$T/munge.socket" ] && break; sleep 0.1; done
slurmctld -D >/dev/null 2>&1 &
daemons+=($!)
for node in n1 n2; do
  slurmd -D -N "$node" >/dev/null 2>&1 &
  daemons+=($!)
done
for _ in {1..60}; do [ "$(sinfo -h -N -p low -t idle -o %N 2>/dev/null | wc -l)" -eq 2 ] && break; sleep 0.5; done
[ "$(sinfo -h -N -p low -t idle -o %N | wc -l)" -eq 2 ] || fail "the nodes did not come up: $(sinfo)"
say "Slurm $(slurmctld -V | cut -d' ' -f2): $(sinfo -h -p low -o '%D nodes %t')"

# ---- Jobs

# The nodes have one network and one memory in truth: Open MPI is told to take them for two.
export OMPI_MCA_btl=tcp,self OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
export SWIFT_PEFT_TRAIN=$PROGRAM SAVE_STEPS=10
demo=$PWD/Sources/swift-peft-train/Demo
printf '%s\n' "model: $demo" "data: $demo/demo.h5" 'target_modules: all-linear' 'precision: f32' \
  'global_batch_size: 16' 'micro_batch_size: 4' 'max_steps: 40' >"$T/run.yaml"
printf '%s\n' '--r 4' '--r 8 --learning-rate 1e-3' >"$T/sweep.txt"

adapter() { sha256sum <"$1/adapter/adapter_model.safetensors" | cut -d' ' -f1; }
state() { scontrol -o show job "$1" 2>/dev/null | sed -n "s/.* JobState=\([A-Z_]*\).*/\1/p" | sort -u | xargs; }
field() { scontrol -o show job "$1" | sed -n "s/.* $2=\([^ ]*\).*/\1/p" | head -n 1; }

submit() { # submit LOG SCRIPT [sbatch options…] -- [arguments]: the job's number
  local log=$T/$1.log script=$2 given=()
  shift 2
  while [ "$1" != -- ]; do given+=("$1"); shift; done
  sbatch --parsable --chdir="$T" --output="$log" --time=10 --cpus-per-task=1 "${given[@]}" \
    "$script" "${@:2}"
}

await() { # await JOB STATE [seconds]: the job is in it; whoever waits for a restart need not
  local until=$((SECONDS + ${3:-120})) now
  while true; do
    now=$(state "$1")
    [ "$now" = "$2" ] && return
    case $now in
      COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) fail "job $1 is $now, not $2" ;;
      # Slurm lets a requeued job wait for two minutes; its nodes need some seconds to forget it.
      *PENDING*)
        if [ "$(field "$1" Restarts)" != 0 ]; then
          sleep 4
          scontrol update JobId="$1" StartTime=now 2>/dev/null || true
        fi ;;
    esac
    [ "$SECONDS" -lt "$until" ] || fail "job $1 is $now, not $2 after ${3:-120} s"
    sleep 0.3
  done
}

await_checkpoint() { # await_checkpoint OUTPUT
  for _ in {1..300}; do compgen -G "$1/checkpoints/step-*.h5" >/dev/null && return; sleep 0.2; done
  fail "no checkpoint in $1"
}

ended_well() { # ended_well NAME JOB OUTPUT EXPECTED RESTARTS
  await "$2" COMPLETED 300
  [ "$(field "$2" Restarts)" = "$5" ] || fail "$1: restarted $(field "$2" Restarts) times, not $5"
  [ "$(adapter "$3")" = "$4" ] || fail "$1: the adapter differs from that of a run without Slurm"
  say "$1: the same bytes, restarted $5 times"
}

"$PROGRAM" train --config "$T/run.yaml" --output-dir "$T/alone" --threads 1 >"$T/alone.log" 2>&1
expected=$(adapter "$T/alone")
say "without Slurm: ${expected:0:16}…"

# One node, undisturbed and with the signal that Slurm sends before the time is over.
export OUTPUT=$T/one
one=$(submit one slurm/single-node.sbatch --ntasks-per-node=2 -- "$T/run.yaml")
ended_well "single-node" "$one" "$OUTPUT" "$expected" 0

export OUTPUT=$T/signalled
one=$(submit signalled slurm/single-node.sbatch --ntasks-per-node=2 -- "$T/run.yaml")
await_checkpoint "$OUTPUT"
scancel --batch --signal=USR1 "$one"
ended_well "single-node, signalled" "$one" "$OUTPUT" "$expected" 1
grep -q "goes back to the queue" "$T/signalled.log" || fail "the script did not requeue its job"

# Several nodes, preempted by a more urgent job, and signalled under srun.
export OUTPUT=$T/preempted
low=$(submit preempted slurm/multi-node.sbatch --nodes=2 --ntasks-per-node=1 -- "$T/run.yaml")
await_checkpoint "$OUTPUT"
high=$(sbatch --parsable --partition=high --nodes=2 --exclusive --time=1 --output=/dev/null --wrap 'sleep 1')
await "$high" COMPLETED
ended_well "multi-node under mpirun, preempted" "$low" "$OUTPUT" "$expected" 1

if srun --mpi=pmix --nodes=1 --time=1 true 2>"$T/pmix.log"; then
  export OUTPUT=$T/srun
  low=$(LAUNCHER=srun submit srun slurm/multi-node.sbatch --nodes=2 --ntasks-per-node=2 -- "$T/run.yaml")
  await_checkpoint "$OUTPUT"
  scancel --batch --signal=USR1 "$low"
  ended_well "multi-node under srun, signalled" "$low" "$OUTPUT" "$expected" 1
else
  say "not run: srun --mpi=pmix ($(head -n 1 "$T/pmix.log")); Debian's loads libpmix.so, of libpmix-dev"
fi

# A sweep: both tasks at once, the first of them signalled.
export OUTPUT=$T/sweep
sweep=$(submit sweep slurm/sweep-array.sbatch --array=1-2 --ntasks-per-node=1 -- "$T/run.yaml" "$T/sweep.txt")
await_checkpoint "$OUTPUT/1"
scancel --batch --signal=USR1 "${sweep}_1"
for task in 1 2; do
  read -r -a options < <(sed -n "${task}p" "$T/sweep.txt")
  "$PROGRAM" train --config "$T/run.yaml" --output-dir "$T/alone-$task" --threads 1 "${options[@]}" \
    >"$T/alone-$task.log" 2>&1
  ended_well "sweep-array, task $task" "${sweep}_$task" "$OUTPUT/$task" "$(adapter "$T/alone-$task")" \
    $((2 - task))
done
unset OUTPUT

# What gets nowhere is not restarted; what gets on, no more often than it may; what its owner cancels, never.
printf '#!/bin/sh\nexit 75\n' >"$T/stands-still"
cat >"$T/gets-on" <<END
#!/bin/sh
mkdir -p "$T/capped/checkpoints"
touch "$T/capped/checkpoints/step-\$(date +%s%N).h5"
exit 75
END
chmod +x "$T/stands-still" "$T/gets-on"
export SWIFT_PEFT_TRAIN=$T/stands-still
still=$(OUTPUT=$T/still submit still slurm/single-node.sbatch --ntasks-per-node=1 -- "$T/run.yaml")
await "$still" FAILED
grep -q "not restarted: this start wrote no checkpoint" "$T/still.log" || fail "no word on standing still"
say "no progress: not restarted"

export SWIFT_PEFT_TRAIN=$T/gets-on
capped=$(OUTPUT=$T/capped MAX_RESTARTS=1 submit capped slurm/single-node.sbatch --ntasks-per-node=1 -- \
  "$T/run.yaml")
await "$capped" FAILED
[ "$(field "$capped" Restarts)" = 1 ] || fail "restarted $(field "$capped" Restarts) times, not once"
grep -q "MAX_RESTARTS is 1" "$T/capped.log" || fail "no word on the cap"
say "MAX_RESTARTS: restarted once, not twice"

export SWIFT_PEFT_TRAIN=$PROGRAM
cancelled=$(OUTPUT=$T/cancelled submit cancelled slurm/single-node.sbatch --ntasks-per-node=1 -- "$T/run.yaml")
await_checkpoint "$T/cancelled"
scancel "$cancelled"
await "$cancelled" CANCELLED
sleep 3
[ "$(state "$cancelled")" = CANCELLED ] || fail "a cancelled job is $(state "$cancelled")"
say "scancel: not restarted"
say "all well"
