"""Trains a LoRA adapter on each tiny base, and loads it into PEFT and its merged model into transformers.

    python roundtrip.py --program .build/release/swift-peft-train [--only NAME …]

The program trains on every projection (and every expert) for a few steps, evaluates, and merges. PEFT
must find the loss that the program finds with the adapter, and transformers the same logits in the
merged model as PEFT with the adapter. Prints a line a family; exit status 1 where a loss is off by more
than 1e-6 of it, or a logit by more than 1e-4.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import h5py
import numpy
import torch

import check_adapter
import families

HERE = pathlib.Path(__file__).parent
BASES = ["llama", "mistral", "qwen2", "qwen3", "gpt2"] + list(families.BASES)


def write_data(path):
    random.seed(3)
    with h5py.File(path, "w") as file:
        file.attrs.update(format="swift-peft-dataset", version=1, vocab_size=53)
        for split, count in (("train", 8), ("validation", 4)):
            rows = [[random.randrange(53) for _ in range(random.randint(4, 20))]
                    for _ in range(count)]
            file[f"{split}/tokens"] = numpy.concatenate(rows).astype("uint32")
            file[f"{split}/loss_mask"] = numpy.ones(sum(map(len, rows)), "uint8")
            file[f"{split}/offsets"] = numpy.cumsum([0] + [len(r) for r in rows]).astype("uint64")


@torch.no_grad()
def logits(model, data):
    return torch.cat([model(input_ids=torch.tensor(tokens[None])).logits[0]
                      for tokens, _ in check_adapter.examples(data, "validation")])


def try_base(name, program, directory):
    base, data = HERE / "model" / name, directory / "data.h5"
    adapter, merged = directory / "out" / "adapter", directory / "merged"
    write_data(data)

    def run(*arguments):
        return subprocess.run(
            [program, *map(str, arguments)], check=True, capture_output=True, text=True).stdout

    run("train", "--model", base, "--data", data, "--method", "lora", "--target-modules",
        "all-linear", "--r", "2", "--output-dir", directory / "out", "--max-steps", "6",
        "--num-epochs", "50", "--learning-rate", "0.02", "--global-batch-size", "4", "--seed", "3",
        "--precision", "f32", "--threads", "1")
    ours = json.loads(run("evaluate", "--model", base, "--adapter", adapter, "--data", data,
                          "--precision", "f32", "--threads", "1", "--json"))["loss"]
    run("merge", "--model", base, "--adapter", adapter, "--output-dir", merged)
    adapted = check_adapter.load_adapter(check_adapter.load_model(base), adapter).eval()
    theirs = check_adapter.evaluate(adapted, data, "validation")["loss"]
    plain = check_adapter.load_model(merged).eval()
    difference = float((logits(plain, data) - logits(adapted, data)).abs().max())
    off = abs(ours - theirs) / theirs
    print(f"{name}: loss {ours:.6f}, off by {off:.1e} in PEFT; logits of the merged model off by "
          f"{difference:.1e}", flush=True)
    return off <= 1e-6 and difference <= 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", nargs="+", default=BASES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    right = True
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as directory:
            right = try_base(name, arguments.program, pathlib.Path(directory)) and right
    sys.exit(not right)


if __name__ == "__main__":
    main()
