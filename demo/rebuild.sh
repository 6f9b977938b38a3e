#!/bin/bash
# Makes the demo's base, tokenizer and dataset again: see README.md.
#
#   demo/rebuild.sh [RANKS]      from the repository's root, after `swift build -c release`
set -euo pipefail

RANKS="${1:-2}"
PYTHON="${PYTHON:-python3}"
PROGRAM="${PROGRAM:-.build/release/swift-peft-train}"
RESOURCES=Sources/swift-peft-train/Demo
WORK=build/demo

"$PYTHON" demo/make_demo.py --resources "$RESOURCES" --work "$WORK"

# The text is read once, in file order: make_demo.py puts the easy documents first. The start is
# stored in bf16, so the trained weights are too.
mpirun -n "$RANKS" "$PROGRAM" train --model "$WORK/start" --data "$WORK/base.h5" --method full \
  --precision f32 --no-shuffle --num-epochs 1 --global-batch-size 16 --micro-batch-size 8 \
  --learning-rate 2e-3 --adam-beta2 0.98 --weight-decay 0.01 --warmup-steps 60 \
  --logging-steps 50 --output-dir "$WORK/run"

cp "$WORK/run/adapter/model.safetensors" "$RESOURCES/model.safetensors"
