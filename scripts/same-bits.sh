#!/bin/bash
# Shows that in f32 nothing depends on the processor.
#
#   scripts/same-bits.sh kernels     every kernel, on all instruction sets of this machine, in AVX-512's
#                                    width, without fused multiply-adds, and on AArch64 under qemu; there
#                                    also Arm's bf16 instructions against their definition
#   scripts/same-bits.sh adapters    the demo's base, a few steps of every method: on each instruction
#                                    set, on 1 to 4 ranks, and on ranks of unlike sets
#   scripts/same-bits.sh             both
#
# Needs for AArch64 (Debian, Ubuntu): apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
#
# PROGRAM  the built program (default .build/release/swift-peft-train)
# CLANG    the compiler (default: the Swift toolchain's)
# STEPS    steps of each run (default 5)
# METHODS  methods to train (default: all, and LoRA with DoRA)
#
# What cannot be run here is named. Exits with 1 where anything differs.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-all}
case $what in kernels | adapters | all) ;; *)
  sed -n '2,18p' "$0" >&2
  exit 64
  ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
differing=0
sets=()

# ---- Kernels

clang=${CLANG:-}
if [ -z "$clang" ]; then
  swift=$(command -v swift || true)
  clang=${swift:+$(dirname "$(readlink -f "$swift")")/clang}
  [ -x "$clang" ] || clang=clang
fi

build() { # build NAME [compiler options]: the probe as $scratch/NAME
  local name=$1
  shift
  "$clang" "$@" -std=gnu11 -O2 -ISources/CKernels/include -ITests/KernelProbe/include \
    Sources/CKernels/*.c Tests/KernelProbe/*.c scripts/same-bits/main.c \
    -lm -lpthread -ldl -o "$scratch/$name"
}

compare() { # compare NAME COMMAND...: the hashes against the first one's since forget
  local name=$1 lines
  shift
  if ! "$@" >"$scratch/hashes" 2>"$scratch/errors"; then
    echo "  not run   $name: $(tail -1 "$scratch/errors")"
    return
  fi
  lines=$(wc -l <"$scratch/hashes")
  if [ ! -e "$scratch/expected" ]; then
    cp "$scratch/hashes" "$scratch/expected"
    echo "  reference $name, $lines hashes"
  elif cmp -s "$scratch/hashes" "$scratch/expected"; then
    echo "  equal     $name, $lines hashes"
  else
    echo "  DIFFERENT $name:"
    diff "$scratch/expected" "$scratch/hashes" | sed -n 's/^> [0-9a-f]* */              /p' || true
    differing=1
  fi
}

forget() { rm -f "$scratch/expected"; }

kernels() {
  local arm=()
  echo "kernels ($("$clang" --version | head -1))"
  build native
  compare "$(uname -m) scalar" "$scratch/native" scalar
  for set in avx2 avx512 neon; do compare "$(uname -m) $set" "$scratch/native" $set; done
  compare "$(uname -m), vectors of 16 without AVX-512" "$scratch/native" wide
  if [ "$(uname -m)" = x86_64 ]; then
    if command -v qemu-x86_64 >/dev/null; then
      # A processor without the instruction: the C library's function takes its place.
      compare "x86_64 scalar without fused multiply-adds" \
        qemu-x86_64 -cpu Nehalem "$scratch/native" scalar
    else
      echo "  not run   x86_64 without fused multiply-adds: there is no qemu-x86_64"
    fi
    if ! command -v qemu-aarch64 >/dev/null || [ ! -d /usr/aarch64-linux-gnu/include ]; then
      echo "  not run   aarch64: there is no qemu-aarch64 or no cross libc"
    else
      build arm --target=aarch64-linux-gnu -fuse-ld=lld
      for set in neon scalar; do
        compare "aarch64 $set" qemu-aarch64 -L /usr/aarch64-linux-gnu "$scratch/arm" $set
      done
      arm=(qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu "$scratch/arm")
    fi
  else
    arm=("$scratch/native")
  fi
  if [ ${#arm[@]} -gt 0 ]; then
    echo "products and attention in bf16"
    forget
    compare "the definition of Arm's instructions, by numbers" "$scratch/native" "bf16 dot"
    compare "aarch64 bfdot and bfmmla" "${arm[@]}" bf16
  fi
}

# ---- Adapters

program=${PROGRAM:-.build/release/swift-peft-train}
steps=${STEPS:-5}
demo=Sources/swift-peft-train/Demo
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none

options() { # options METHOD: those of a run, one a line
  local method=$1
  printf '%s\n' train --model "$demo" --data "$demo/demo.h5" --precision f32 --threads 1 \
    --max-steps "$steps" --global-batch-size 4 --learning-rate 0.01 --output-dir "$scratch/run"
  case $method in
    dora) printf '%s\n' --method lora --use-dora ;;
    adalora)
      printf '%s\n' --method adalora --init-r 4 --target-r 2 --tinit 1 --tfinal 1 --delta-t 1
      ;;
    p-tuning) printf '%s\n' --method p-tuning --encoder-hidden-size 32 ;;
    prefix-tuning)
      printf '%s\n' --method prefix-tuning --prefix-projection --encoder-hidden-size 32
      ;;
    *) printf '%s\n' --method "$method" ;;
  esac
}

# hash METHOD SET...: trains with a rank of each set; the files' sha256, or nothing.
hash() {
  local method=$1 set ranks=()
  shift
  local given
  mapfile -t given < <(options "$method")
  for set in "$@"; do
    [ ${#ranks[@]} -eq 0 ] || ranks+=(:)
    ranks+=(-n 1 "$program" "${given[@]}" --instruction-set "$set")
  done
  rm -rf "$scratch/run"
  if [ $# -eq 1 ]; then
    "$program" "${given[@]}" --instruction-set "$1" 2>"$scratch/errors" >/dev/null || return 0
  else
    mpirun --oversubscribe --bind-to none "${ranks[@]}" 2>"$scratch/errors" >/dev/null || return 0
  fi
  cat "$scratch"/run/adapter/*.safetensors | sha256sum | cut -d' ' -f1
}

adapters() {
  echo "adapters after $steps steps ($("$program" --version 2>/dev/null || echo "$program"))"
  local method set found expected ranks unlike turn
  for set in avx512 avx2 neon scalar; do
    if [ -n "$(hash ia3 "$set")" ]; then sets+=("$set"); else
      echo "  not run   $set: $(tail -1 "$scratch/errors" | cut -c1-100)"
    fi
  done
  if [ ${#sets[@]} -eq 0 ]; then
    cat "$scratch/errors" >&2
    exit 1
  fi
  for method in ${METHODS:-lora dora adalora miss ia3 bottleneck prompt-tuning p-tuning prefix-tuning \
    llama-adapter full}; do
    expected=$(hash "$method" "${sets[0]}")
    echo "  $method: $expected"
    local jobs=()
    for set in "${sets[@]}"; do
      jobs+=("$set")
      for ranks in 2 3 4; do
        jobs+=("$(for ((turn = 0; turn < ranks; turn++)); do echo "$set"; done | xargs)")
      done
    done
    if [ ${#sets[@]} -gt 1 ]; then
      for ranks in 2 3 4; do
        unlike=""
        for ((turn = 0; turn < ranks; turn++)); do unlike+=" ${sets[turn % ${#sets[@]}]}"; done
        jobs+=("$unlike")
      done
    fi
    for job in "${jobs[@]}"; do
      # shellcheck disable=SC2086  # a set a word
      found=$(hash "$method" $job)
      if [ -z "$found" ]; then
        echo "    FAILED    $job: $(tail -1 "$scratch/errors")"
        differing=1
      elif [ "$found" = "$expected" ]; then
        echo "    equal     $job"
      else
        echo "    DIFFERENT $job: $found"
        differing=1
      fi
    done
  done
}

[ "$what" = adapters ] || kernels
[ "$what" = kernels ] || adapters
exit $differing
