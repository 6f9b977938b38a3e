"""Writes `mixed.safetensors` and `nonfinite.safetensors` with the reference library (0.8.0).

    python Tests/Fixtures/safetensors/generate.py
"""
import math
from pathlib import Path

import torch
from safetensors.torch import save_file

here = Path(__file__).parent

# Every value is exact in its type, so that the tests can state them.
mixed = {
    "z.f32": torch.tensor([[1.5, -2.0, 3.25], [0.0, -0.0, 1e-40]]),
    "b.bf16": torch.tensor([1.0, -3.5, 2.0**-126, 2.0**-133], dtype=torch.bfloat16),
    "a.f16": torch.tensor([[0.5], [-65504.0], [2.0**-24]], dtype=torch.float16),
    "scalar": torch.tensor(7.0),
    "empty": torch.zeros(0, 4),
    "q\"\\\n\u0001\u00e9": torch.tensor([1.0]),
}
save_file(mixed, here / "mixed.safetensors", metadata={"format": "pt"})

nonfinite = {
    "fine": torch.linspace(-1, 1, 5000),
    "nan.f32": torch.tensor([1.0, math.nan]),
    "inf.f16": torch.tensor([1.0, 65504.0, -math.inf], dtype=torch.float16),
    "nan.bf16": torch.tensor([math.nan, 3.0], dtype=torch.bfloat16),
    "integers": torch.arange(3),
}
save_file(nonfinite, here / "nonfinite.safetensors", metadata={"format": "pt"})
