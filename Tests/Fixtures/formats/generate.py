"""Writes formats.json: what gguf 0.19.0 and bitsandbytes 0.50.2 decode random blocks to.

    pip install gguf==0.19.0 bitsandbytes==0.50.2 torch==2.9.1 xxhash
    python Tests/Fixtures/formats/generate.py

Bytes are those of SplitMix64 from the format's seed, so that a test makes them again. Of 4,096 blocks a
format the XXH64 of the decoded numbers' bits is kept, every NaN written as 7fc00000, and of bitsandbytes
every zero as 0: of FP4's code 8 its vector code makes -0, its table and its plain code 0.
"""

import json
import pathlib

import bitsandbytes
import bitsandbytes.functional as bnb
import gguf
import numpy as np
import torch
import xxhash

BLOCKS = 4096
FORMATS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
           "IQ4_XS", "F16", "BF16"]


def split_mix(seed, count):
    """`count` bytes, little-endian words."""
    words = (count + 7) // 8
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, words + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return z.astype("<u8").view(np.uint8)[:count]


def unit(seed, count):
    """Floats from 0 up to 1, of 24 bits."""
    words = split_mix(seed, 8 * count).view("<u8")
    return ((words >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)).astype(np.float32)


def digest(values, zeros=False):
    values = np.ascontiguousarray(values, dtype="<f4")
    bits = values.view("<u4").copy()
    if zeros:
        bits[values == 0] = 0
    bits[np.isnan(bits.view("<f4"))] = 0x7FC00000
    return xxhash.xxh64(bits.tobytes()).hexdigest()


def ggml(index, name):
    kind = gguf.GGMLQuantizationType[name]
    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    if numbers == 1:
        numbers, size = 32, 32 * size
    data = split_mix(1000 + index, BLOCKS * size).reshape(-1, size)
    with np.errstate(all="ignore"):
        values = gguf.dequantize(data, kind)
    return {"name": name, "seed": 1000 + index, "numbers": numbers, "bytes": size,
            "xxh64": digest(values)}


def codes4(index, kind, dtype, shape, nested):
    count = shape[0] * shape[1]
    blocks = (count + 63) // 64
    seed = 2000 + 10 * index
    packed = torch.from_numpy(split_mix(seed, (count + 1) // 2).copy()).reshape(-1, 1)
    table = bnb.get_4bit_type(kind, device="cpu")
    state2 = offset = None
    if nested:
        absmax = torch.from_numpy(split_mix(seed + 1, blocks).copy())
        groups = (blocks + 255) // 256
        code = torch.from_numpy(unit(seed + 3, 256) * 2 - 1)
        state2 = bnb.QuantState(absmax=torch.from_numpy(unit(seed + 2, groups)), code=code,
                                blocksize=256, dtype=torch.float32)
        offset = torch.tensor(0.3125)
    else:
        absmax = torch.from_numpy(unit(seed + 1, blocks))
    state = bnb.QuantState(absmax=absmax, shape=torch.Size(shape), code=table, blocksize=64,
                           quant_type=kind, dtype=getattr(torch, dtype), offset=offset, state2=state2)
    values = bnb.dequantize_4bit(packed, state).to(torch.float32).numpy()
    return {"kind": kind, "dtype": dtype, "shape": list(shape), "nested": nested, "seed": seed,
            "map": [float(x) for x in table], "xxh64": digest(values, zeros=True)}


def int8(shape):
    data = split_mix(3000, shape[0] * shape[1]).view(np.int8).reshape(shape)
    scales = unit(3001, shape[0])
    values = bnb.int8_vectorwise_dequant(torch.from_numpy(data.copy()), torch.from_numpy(scales))
    return {"shape": list(shape), "seed": 3000, "xxh64": digest(values.numpy(), zeros=True)}


def quantized():
    """What the same numbers are quantised to."""
    values = (unit(4000, 64 * 1024) * 2 - 1).reshape(64, 1024)
    q8_0 = gguf.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    codes, state = bnb.quantize_4bit(
        torch.from_numpy(values), quant_type="nf4", blocksize=64, compress_statistics=False)
    return {"seed": 4000, "shape": [64, 1024], "q8_0": xxhash.xxh64(q8_0.tobytes()).hexdigest(),
            "nf4": digest(bnb.dequantize_4bit(codes, state).numpy(), zeros=True)}


result = {
    "versions": {"gguf": "0.19.0", "bitsandbytes": bitsandbytes.__version__},
    "ggml": [ggml(i, name) for i, name in enumerate(FORMATS)],
    # 4,096 blocks of 64, and shapes whose blocks go on from row to row.
    "codes4": [
        codes4(i, *case)
        for i, case in enumerate(
            [("nf4", "float32", (1024, 256), False), ("nf4", "bfloat16", (1024, 256), True),
             ("nf4", "float16", (1024, 256), False), ("fp4", "bfloat16", (1024, 256), False),
             ("fp4", "float32", (1024, 256), True), ("nf4", "bfloat16", (37, 71), True),
             ("fp4", "float16", (5, 33), False)])
    ],
    "int8": [int8((64, 256)), int8((37, 71))],
    "quantized": quantized(),
}
path = pathlib.Path(__file__).parent / "formats.json"
path.write_text(json.dumps(result, indent=1) + "\n")
