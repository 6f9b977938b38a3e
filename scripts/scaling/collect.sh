#!/usr/bin/env bash
# Plans runs on up to 4,096 ranks, for the charts of docs/scaling.md: three models, every method, weak and strong.
# Usage: scripts/scaling/collect.sh PROGRAM DIRECTORY   (DIRECTORY: of models.py; plans are written there too)
#
# A rank does 1 TFLOP/s of useful arithmetic, four ranks share a node, micro-batches are single rows. Weak: 8 rows a rank
# and step; strong: 8,192 rows a step, however many ranks.
set -euo pipefail
program=$1 directory=$2
plan() { # plan MODEL METHOD NETWORK BATCH NAME OPTIONS…
  local model=$1 method=$2 network=$3 batch=$4 name=$5
  shift 5
  local output=$directory/$model-$method-$name.json
  [ -s "$output" ] || "$program" plan --json --scaling-table --ranks 4096 --ranks-per-node 4 --network "$network" \
    --flops 1000 --spread 0.02 --threads 1 --model "$directory/$model" --data "$directory/ragged.h5" \
    --micro-batch-size 1 --max-steps 4 --num-epochs 1000 --precision f32 --gradient-checkpointing \
    --global-batch-size "$batch" --method "$method" "$@" >"$output"
  echo "$output"
}
for model in 135M 360M 1.1B; do
  for method in lora adalora ia3 bottleneck prompt-tuning prefix-tuning p-tuning llama-adapter full; do
    options=()
    case $method in
      lora) options=(--r 16 --target-modules all-linear) ;;
      adalora) options=(--target-modules all-linear --total-step 1000 --tinit 10 --tfinal 10) ;;
      p-tuning | prefix-tuning | prompt-tuning) options=(--num-virtual-tokens 20) ;;
      llama-adapter) options=(--adapter-len 10 --adapter-layers 20) ;;
      # Values, gradients and moments of 1.1 billion weights take 18 GB before anything else.
      full) [ "$model" != 1.1B ] || continue ;;
    esac
    plan "$model" "$method" 100GbE 32768 weak "${options[@]}"
    plan "$model" "$method" 100GbE 8192 strong "${options[@]}"
    for network in 10GbE IB; do plan "$model" "$method" "$network" 32768 "$network" "${options[@]}"; done
  done
done
