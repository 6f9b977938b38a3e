#!/usr/bin/env bash
# Simulates the steps of a data-parallel run on many ranks with SimGrid (Debian: libsimgrid-dev).
# Usage: scripts/scaling/simulate.sh RANKS RANKS_PER_NODE 10GbE|100GbE|IB GRADIENTS TENSORS STEPS SECONDS SPREAD
#
# Nodes hang on one switch that blocks nothing. Latency and bandwidth of a link are those of `plan --network`; ranks of a
# node talk through its loopback. Collectives are chosen as Open MPI 4.1 chooses them.
set -euo pipefail
[ $# -eq 8 ] || { sed -n '2,3p' "$0" >&2; exit 64; }
ranks=$1 per_node=$2 network=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
case $network in
  10GbE) latency=25e-6 bandwidth=1.1e9 ;;
  100GbE) latency=6e-6 bandwidth=11e9 ;;
  IB) latency=1.5e-6 bandwidth=20e9 ;;
  *) echo "simulate: no network '$network'" >&2; exit 64 ;;
esac
nodes=$(((ranks + per_node - 1) / per_node))
# A message crosses the links of two nodes.
half=$(awk "BEGIN { print $latency / 2 }")
cat >"$T/platform.xml" <<XML
<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <cluster id="cluster" prefix="node-" suffix="" radical="0-$((nodes - 1))" speed="1Gf" core="$per_node"
    bw="${bandwidth}Bps" lat="${half}s" sharing_policy="SPLITDUPLEX" loopback_bw="5.5e9Bps" loopback_lat="1e-6s"/>
</platform>
XML
for ((rank = 0; rank < ranks; rank++)); do echo "node-$((rank / per_node))"; done >"$T/hosts"
smpicc -O2 -DSMPI -o "$T/steps" "$here/steps.c" -lm
smpirun -np "$ranks" -platform "$T/platform.xml" -hostfile "$T/hosts" \
  --cfg=smpi/coll-selector:ompi \
  --cfg=smpi/simulate-computation:no --cfg=smpi/host-speed:1Gf \
  --cfg=network/model:SMPI --cfg=smpi/bw-factor:0:1 --cfg=smpi/lat-factor:0:1 \
  --cfg=smpi/os:0:0:0:0:0 --cfg=smpi/or:0:0:0:0:0 --cfg=network/TCP-gamma:1e9 \
  --log=root.thresh:error "$T/steps" "$@"
