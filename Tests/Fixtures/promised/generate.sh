#!/usr/bin/env bash
# What a version of the program wrote, for the test that every later one reads it:
#   Tests/Fixtures/promised/generate.sh PROGRAM VERSION
# Add a folder with each version that changes a format; never make an old one anew.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(readlink -f "$1")
out=$here/$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$out"

cp -r "$here/../model/llama" "$work/model"
cp "$here/tokenizer.json" "$here/tokenizer_config.json" "$work/model"
cd "$work"
"$program" prepare --model model --input "$here/rows.jsonl" --output data.h5 --validation-split 0.4
train() {
  "$program" --model model --data data.h5 --output-dir out --r 2 --target-modules all-linear \
    --global-batch-size 4 --learning-rate 0.01 --max-steps "$1" --num-epochs 9 --precision f32 \
    --lr-scheduler-type constant --save-steps 3 --logging-steps 1 --resume
}
train 3
cp out/checkpoints/step-00000003.h5 "$out/checkpoint.h5"
rm -r out/adapter
train 6
cp data.h5 "$out"
cp -r out/adapter "$out"
"$program" evaluate --model model --adapter out/adapter --data data.h5 --json >"$out/evaluation.json"
