#!/usr/bin/env bash
# mpirun for one machine: as root where that is who we are, and without binding a rank to one core.
# Usage: scripts/mpirun.sh RANKS PROGRAM [ARGUMENT…]
set -euo pipefail
ranks=$1
shift
if [ "$(id -u)" -eq 0 ]; then
  # Open MPI refuses root unless told twice; in a container root is all there is.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# By default Open MPI binds each of two ranks to one core, and its threads with it.
exec mpirun --bind-to none --oversubscribe -n "$ranks" "$@"
