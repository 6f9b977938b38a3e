#!/usr/bin/env python3
"""Models of three sizes, all of zeros and without a byte on the disk, and a dataset of ragged rows: what `plan` needs.

Usage: models.py DIRECTORY
"""
import json
import os
import sys

import h5py
import numpy as np

SHAPES = {
    # SmolLM2-135M, TinyLlama-1.1B, Llama-3.1-8B.
    "135M": dict(hidden=576, blocks=30, heads=9, kv=3, inner=1536, vocabulary=49152, tied=True),
    "1.1B": dict(hidden=2048, blocks=22, heads=32, kv=4, inner=5632, vocabulary=32000, tied=False),
    "8B": dict(hidden=4096, blocks=32, heads=32, kv=8, inner=14336, vocabulary=128256, tied=False),
}


def model(path, s):
    os.makedirs(path, exist_ok=True)
    hidden, inner, head = s["hidden"], s["inner"], s["hidden"] // s["heads"]
    keys = s["kv"] * head
    with open(f"{path}/config.json", "w") as file:
        json.dump({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": s["blocks"],
            "num_attention_heads": s["heads"], "num_key_value_heads": s["kv"], "head_dim": head,
            "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "tie_word_embeddings": s["tied"], "vocab_size": s["vocabulary"], "dtype": "bfloat16",
            "bos_token_id": 1, "eos_token_id": 2,
        }, file, indent=2)
    sizes = {"model.embed_tokens": [s["vocabulary"], hidden], "model.norm": [hidden]}
    if not s["tied"]:
        sizes["lm_head"] = [s["vocabulary"], hidden]
    for block in range(s["blocks"]):
        for name, size in {
            "input_layernorm": [hidden], "post_attention_layernorm": [hidden],
            "self_attn.q_proj": [hidden, hidden], "self_attn.k_proj": [keys, hidden],
            "self_attn.v_proj": [keys, hidden], "self_attn.o_proj": [hidden, hidden],
            "mlp.gate_proj": [inner, hidden], "mlp.up_proj": [inner, hidden],
            "mlp.down_proj": [hidden, inner],
        }.items():
            sizes[f"model.layers.{block}.{name}"] = size
    header, place = {}, 0
    for name, size in sizes.items():
        count = 2 * int(np.prod(size))
        header[name + ".weight"] = {"dtype": "BF16", "shape": size, "data_offsets": [place, place + count]}
        place += count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(f"{path}/model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + place)


def dataset(path, rows=2000):
    random = np.random.default_rng(0)
    # Instructions and answers: log-normal, 20 to 512 tokens, about 150 on average.
    lengths = np.clip(np.exp(4.8 + 0.65 * random.standard_normal(rows)), 20, 512).astype(int)
    with h5py.File(path, "w") as file:
        file.attrs.update(format="swift-peft-dataset", version=1, vocab_size=32000)
        file["train/tokens"] = random.integers(3, 32000, lengths.sum()).astype("uint32")
        file["train/loss_mask"] = np.ones(lengths.sum(), "uint8")
        file["train/offsets"] = np.concatenate([[0], lengths.cumsum()]).astype("uint64")


if __name__ == "__main__":
    for name, shape in SHAPES.items():
        model(f"{sys.argv[1]}/{name}", shape)
    dataset(f"{sys.argv[1]}/ragged.h5")
