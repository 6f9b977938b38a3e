"""Writes tiny models in GGUF, and what transformers computes on them (`gguf_file=`).

    pip install gguf==0.19.0 torch==2.9.1 transformers==5.23.0 peft==0.21.2
    python Tests/Fixtures/gguf/generate.py

Each NAME/ has model.gguf; golden.safetensors with `logits` of the three sequences of inputs.json, end to end,
and for an adapter with random factors its `grad.NAME`; golden.json with the `loss`, and that of the
adapter; adapter/ as PEFT saves it. Rows of q and k lie in llama.cpp's order for the architecture llama.
Blocks of the K types are random bytes with small scales: gguf-py does not make them.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import peft
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parent.parent))
import common  # noqa: E402

HERE = Path(__file__).parent
TYPES = gguf.GGMLQuantizationType
# Scales in f16 of the types whose blocks are drawn: their offsets, and about how large they are.
DRAWN = {"Q2_K": ([80, 82], [2e-3, 1e-3]), "Q3_K": ([108], [1.5e-3]), "Q4_K": ([0, 2], [1.5e-4, 8e-4]),
         "Q5_K": ([0, 2], [8e-5, 8e-4]), "Q6_K": ([208], [3e-5]), "IQ4_XS": ([0], [3e-5]),
         "IQ4_NL": ([0], [8e-4])}


def interleave(rows, heads):
    """The converter's order of rows: the halves of each head by turns."""
    shape = rows.shape
    return rows.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


class Model:
    def __init__(self, name, architecture, seed, **sizes):
        self.directory = common.empty_directory(HERE / name)
        self.random = np.random.default_rng(seed)
        self.writer = gguf.GGUFWriter(str(self.directory / "model.gguf"), architecture)
        self.architecture, self.sizes = architecture, sizes
        self.writer.add_type("model")
        self.writer.add_name(name)

    def values(self, *shape, scale=0.08):
        return (self.random.standard_normal(shape) * scale).astype(np.float32)

    def numbers(self, name, values, kind="F32"):
        self.writer.add_tensor(name, gguf.quantize(values, TYPES[kind]), raw_dtype=TYPES[kind])

    def matrix(self, name, out, into, kind, heads=None, scale=0.08):
        if kind in DRAWN:
            elements, size = gguf.GGML_QUANT_SIZES[TYPES[kind]]
            blocks = self.random.integers(0, 256, (out, into // elements, size), dtype=np.uint8)
            for offset, deviation in zip(*DRAWN[kind]):
                scales = self.random.uniform(0.5, 1.5, blocks.shape[:2]) * deviation
                blocks[..., offset:offset + 2] = scales.astype(np.float16)[..., None].view(np.uint8)
            data = blocks.reshape(out, -1)
        else:
            data = gguf.quantize(self.values(out, into, scale=scale), TYPES[kind])
        # Random rows are as good in one order as in another: what counts is which the file has.
        self.writer.add_tensor(name, interleave(data, heads) if heads else data, raw_dtype=TYPES[kind])

    def finish(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def tokens(model, count):
    """A vocabulary of nothing but letters, which the models' inputs do not use."""
    names = ["<|begin|>", "<|end|>"] + [chr(ord("a") + i) if i < 26 else f"x{i}" for i in range(count - 2)]
    model.writer.add_tokenizer_model("gpt2")
    model.writer.add_tokenizer_pre("gpt-2")
    model.writer.add_token_list(names)
    model.writer.add_token_types([3, 3] + [1] * (count - 2))
    model.writer.add_token_merges([])
    model.writer.add_bos_token_id(0)
    model.writer.add_eos_token_id(1)


def llama(name, architecture, seed, kinds, hidden=64, inner=96, heads=4, kv=2, head_dim=16, blocks=2,
          vocabulary=64, bias=False, head_norms=False, tied=True, window=0, llama3=False):
    m = Model(name, architecture, seed)
    w = m.writer
    w.add_context_length(128)
    w.add_embedding_length(hidden)
    w.add_block_count(blocks)
    w.add_feed_forward_length(inner)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_key_length(head_dim)
    w.add_value_length(head_dim)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(10000.0)
    w.add_rope_dimension_count(head_dim)
    w.add_vocab_size(vocabulary)
    tokens(m, vocabulary)
    turned = architecture == "llama"
    m.matrix("token_embd.weight", vocabulary, hidden, kinds["embed"], scale=0.1)
    for i in range(blocks):
        p = f"blk.{i}."
        m.numbers(p + "attn_norm.weight", 1 + m.values(hidden))
        for part, size, count in [("q", heads * head_dim, heads), ("k", kv * head_dim, kv),
                                  ("v", kv * head_dim, None)]:
            m.matrix(f"{p}attn_{part}.weight", size, hidden, kinds[part], count if turned else None)
            if bias:
                values = m.values(size)
                m.numbers(f"{p}attn_{part}.bias", interleave(values, count) if turned and count else values)
        if head_norms:
            m.numbers(p + "attn_q_norm.weight", 1 + m.values(head_dim))
            m.numbers(p + "attn_k_norm.weight", 1 + m.values(head_dim))
        m.matrix(p + "attn_output.weight", hidden, heads * head_dim, kinds["o"])
        m.numbers(p + "ffn_norm.weight", 1 + m.values(hidden))
        m.matrix(p + "ffn_gate.weight", inner, hidden, kinds["gate"])
        m.matrix(p + "ffn_up.weight", inner, hidden, kinds["up"])
        m.matrix(p + "ffn_down.weight", hidden, inner, kinds["down"])
    m.numbers("output_norm.weight", 1 + m.values(hidden))
    if not tied:
        m.matrix("output.weight", vocabulary, hidden, kinds["embed"], scale=0.3)
    m.finish()
    return m


def gpt2(name, seed, kinds, hidden=64, inner=256, heads=4, blocks=2, vocabulary=64):
    m = Model(name, "gpt2", seed)
    w = m.writer
    w.add_context_length(1024)  # transformers reads no other number
    w.add_embedding_length(hidden)
    w.add_block_count(blocks)
    w.add_feed_forward_length(inner)
    w.add_head_count(heads)
    w.add_layer_norm_eps(1e-5)
    tokens(m, vocabulary)
    m.matrix("token_embd.weight", vocabulary, hidden, kinds["embed"], scale=0.3)
    m.matrix("position_embd.weight", 1024, hidden, "Q8_0")
    for i in range(blocks):
        p = f"blk.{i}."
        for part, out, into, kind in [("attn_qkv", 3 * hidden, hidden, "q"), ("attn_output", hidden, hidden, "o"),
                                      ("ffn_up", inner, hidden, "up"), ("ffn_down", hidden, inner, "down")]:
            m.matrix(f"{p}{part}.weight", out, into, kinds[kind])
            m.numbers(f"{p}{part}.bias", m.values(out))
        for norm in ["attn_norm", "ffn_norm"]:
            m.numbers(f"{p}{norm}.weight", 1 + m.values(hidden))
            m.numbers(f"{p}{norm}.bias", m.values(hidden))
    m.numbers("output_norm.weight", 1 + m.values(hidden))
    m.numbers("output_norm.bias", m.values(hidden))
    m.finish()
    return m


def mean_loss(model):
    """Mean cross-entropy of the counted tokens, and the logits of all."""
    total, count, every = 0.0, 0, []
    for ids, mask in zip(common.TOKENS, common.MASKS):
        logits = model(input_ids=torch.tensor([ids])).logits[0]
        every.append(logits)
        for p in range(1, len(ids)):
            if mask[p]:
                total = total - torch.log_softmax(logits[p - 1].double(), -1)[ids[p]]
                count += 1
    return total / count, torch.cat(every)


def golden(m):
    path = m.directory
    model = AutoModelForCausalLM.from_pretrained(
        path, gguf_file="model.gguf", dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        loss, logits = mean_loss(model)
    tensors = {"logits": common.copy(logits)}
    facts = {"loss": loss.item()}
    is_gpt2 = m.architecture == "gpt2"
    config = peft.LoraConfig(
        r=4, lora_alpha=6, task_type="CAUSAL_LM", fan_in_fan_out=is_gpt2,
        target_modules=["c_attn", "c_fc"] if is_gpt2 else ["q_proj", "k_proj", "v_proj", "down_proj"])
    model = peft.get_peft_model(model, config).eval()
    model.peft_config["default"].base_model_name_or_path = "model.gguf"
    generator = torch.Generator().manual_seed(common.seed_of(path.name))
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for p in trained.values():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator))
    model.save_pretrained(path / "adapter")
    (path / "adapter" / "README.md").unlink(missing_ok=True)
    loss, _ = mean_loss(model)
    loss.backward()
    facts["adapted_loss"] = loss.item()
    for n, p in trained.items():
        tensors["grad." + n.replace(".default", "")] = common.copy(p.grad)
    save_file(tensors, path / "golden.safetensors")
    (path / "golden.json").write_text(json.dumps(facts, indent=1) + "\n")


common.make_deterministic()
plain = dict.fromkeys(["embed", "q", "k", "v", "o", "gate", "up", "down"], "F32")
golden(llama("llama-k", "llama", 1, dict(
    embed="Q8_0", q="Q4_K", k="Q5_K", v="Q6_K", o="Q5_1", gate="Q2_K", up="Q3_K", down="IQ4_XS"),
    hidden=256, inner=256, head_dim=32, blocks=1))
golden(llama("llama-blocks", "llama", 2, dict(
    embed="F16", q="Q4_0", k="Q4_1", v="Q5_0", o="Q8_0", gate="IQ4_NL", up="BF16", down="Q5_1"),
    tied=False))
golden(llama("llama-plain", "llama", 3, plain | dict(q="F16", k="BF16", gate="F16", up="BF16", down="F16")))
golden(llama("qwen2", "qwen2", 4, plain | dict(q="Q8_0", gate="Q8_0", up="Q8_0", down="Q4_0"), bias=True))
golden(llama("qwen3", "qwen3", 5, plain | dict(k="Q8_0", up="Q5_0"), head_norms=True,
    heads=2, kv=1, head_dim=128, blocks=1))
golden(gpt2("gpt2", 6, plain | dict(q="Q8_0", up="Q4_1", embed="F16")))
