#!/usr/bin/env bash
# Plans runs on up to 4,096 ranks, for the charts of docs/scaling.md: three models, every method, weak and strong.
# Usage: scripts/scaling/collect.sh PROGRAM DIRECTORY   (DIRECTORY: of models.py; plans are written there too)
#
# A rank does 1 TFLOP/s of useful arithmetic, four ranks share a node, micro-batches are single rows. Weak: 8 rows a rank
# and step; strong: as many rows a step as weak has on 4,096 ranks. A release build takes some seconds for each.
set -euo pipefail
program=$1 directory=$2
plan() { # plan MODEL METHOD NETWORK OPTIONS…
  local model=$1 method=$2 network=$3
  shift 3
  local output=$directory/$model-$method-$network.json
  [ -s "$output" ] || "$program" plan --json --scaling-table --ranks 4096 --ranks-per-node 4 --network "$network" \
    --flops 1000 --spread 0.02 --threads 1 --model "$directory/$model" --data "$directory/ragged.h5" \
    --micro-batch-size 1 --max-steps 1 --num-epochs 1000 --precision f32 --gradient-checkpointing \
    --global-batch-size 32768 --method "$method" "$@" >"$output"
  echo "$output"
}
for network in 100GbE 10GbE IB; do
  for model in 135M 1.1B 8B; do
    for method in lora adalora miss ia3 bottleneck prompt-tuning prefix-tuning p-tuning llama-adapter full; do
      options=()
      case $method in
        lora | miss) options=(--r 16 --target-modules all-linear) ;;
        adalora) options=(--target-modules all-linear --total-step 1000 --tinit 10 --tfinal 10) ;;
        p-tuning | prefix-tuning | prompt-tuning) options=(--num-virtual-tokens 20) ;;
        llama-adapter) options=(--adapter-len 10 --adapter-layers 20) ;;
      esac
      plan "$model" "$method" "$network" "${options[@]}"
    done
  done
done
