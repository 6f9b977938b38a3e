"""Says how one folder of fixtures differs from another.

    python compare.py COMMITTED MADE

Names, shapes, types and texts must be equal. Numbers may differ as far as the reference's own
kernels do between processors: 1e-5 of a tensor's norm, and of a number in a JSON file. Exit status 1
where anything differs by more.
"""

import filecmp
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file

ALLOWED = 1e-5


def json_difference(a, b, place="$"):
    """Where two JSON values differ by more than allowed, or None."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"{place}: other keys"
        return next(filter(None, (json_difference(a[k], b[k], f"{place}.{k}") for k in a)), None)
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f"{place}: {len(a)} and {len(b)} elements"
        found = (json_difference(x, y, f"{place}[{i}]") for i, (x, y) in enumerate(zip(a, b)))
        return next(filter(None, found), None)
    if isinstance(a, float) and isinstance(b, float):
        return None if abs(a - b) <= ALLOWED * abs(a) else f"{place}: {a} and {b}"
    return None if type(a) is type(b) and a == b else f"{place}: {a!r} and {b!r}"


def tensor_difference(committed, made):
    """Where two safetensors files differ by more than allowed, or None."""
    a, b = load_file(committed), load_file(made)
    if a.keys() != b.keys():
        return f"other tensors: {sorted(a.keys() ^ b.keys())}"
    for name, x in a.items():
        y = b[name]
        if x.shape != y.shape or x.dtype != y.dtype:
            return f"{name}: {x.dtype} {list(x.shape)} and {y.dtype} {list(y.shape)}"
        x, y = x.double(), y.double()
        # Written so that a NaN differs.
        if not torch.linalg.norm(x - y) <= ALLOWED * torch.linalg.norm(x):
            return f"{name}: off by {float(torch.linalg.norm(x - y) / torch.linalg.norm(x)):.2g}"
    return None


def difference(committed, made):
    """How two files differ; None where they are the same, "" where they differ as allowed."""
    if filecmp.cmp(committed, made, shallow=False):
        return None
    if committed.suffix == ".safetensors":
        return tensor_difference(committed, made) or ""
    if committed.suffix == ".json":
        return json_difference(json.loads(committed.read_text()), json.loads(made.read_text())) or ""
    return "other bytes"


def main():
    committed, made = map(pathlib.Path, sys.argv[1:])
    names = sorted({p.relative_to(root) for root in (committed, made)
                    for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts})
    same, near, wrong = 0, 0, 0
    for name in names:
        if not (committed / name).exists() or not (made / name).exists():
            wrong += 1
            print(f"{name}: only {'made' if (made / name).exists() else 'committed'}")
            continue
        found = difference(committed / name, made / name)
        same += found is None
        near += found == ""
        if found:
            wrong += 1
            print(f"{name}: {found}")
    print(f"{same} files are the same bytes, {near} are equal within {ALLOWED}, {wrong} are not")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
