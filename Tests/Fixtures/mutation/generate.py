"""Writes the files that tests of damage begin with and no other fixture is: small, and each with as much of
its format as there is room for, so that a change at random hits something that is read.

    pip install gguf==0.19.0 h5py==3.16.0
    python Tests/Fixtures/mutation/generate.py

`words.gguf` and `pieces.gguf` are models of one block with a tokenizer (of byte-level BPE; of
SentencePiece) and a chat template. `text/` has the files beside a `tokenizer.json`. `import/` has token
files of other programs. `rows.json` and `forms.jsonl` have a row of each form; the YAML files are
settings of `train` and `compare`.
"""

import json
import struct
from pathlib import Path

import gguf
import h5py
import numpy as np

HERE = Path(__file__).parent
TYPES = gguf.GGMLQuantizationType
TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
HIDDEN, HEADS, HEAD, INNER = 32, 4, 8, 32


def bytes_of_gpt2():
    """The letters that stand for bytes in byte-level vocabularies."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in visible]
    return [chr(b) if b in visible else chr(256 + others.index(b)) for b in range(256)]


def model(name, tokenizer, kinds, scaling):
    w = gguf.GGUFWriter(str(HERE / name), "llama")
    w.add_type("model")
    w.add_context_length(64)
    w.add_embedding_length(HIDDEN)
    w.add_block_count(1)
    w.add_feed_forward_length(INNER)
    w.add_head_count(HEADS)
    w.add_head_count_kv(2)
    w.add_key_length(HEAD)
    w.add_value_length(HEAD)
    w.add_rope_dimension_count(HEAD)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(10000.0)
    scaling(w)
    count = tokenizer(w)
    w.add_vocab_size(count)
    w.add_chat_template(TEMPLATE)
    random = np.random.default_rng(7)

    def matrix(tensor, out, into, kind):
        values = (random.standard_normal((out, into)) * 0.1).astype(np.float32)
        w.add_tensor(tensor, gguf.quantize(values, TYPES[kind]), raw_dtype=TYPES[kind])

    def norm(tensor):
        w.add_tensor(tensor, np.ones(HIDDEN, np.float32))

    matrix("token_embd.weight", count, HIDDEN, kinds[0])
    norm("blk.0.attn_norm.weight")
    for part, size, kind in [("q", HIDDEN, kinds[1]), ("k", 2 * HEAD, kinds[2]), ("v", 2 * HEAD, kinds[3])]:
        matrix(f"blk.0.attn_{part}.weight", size, HIDDEN, kind)
    matrix("blk.0.attn_output.weight", HIDDEN, HIDDEN, kinds[1])
    norm("blk.0.ffn_norm.weight")
    for part, kind in [("gate", kinds[1]), ("up", kinds[2]), ("down", kinds[3])]:
        matrix(f"blk.0.ffn_{part}.weight", INNER, HIDDEN, kind)
    norm("output_norm.weight")
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def words(w):
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    merged = ["he", "ll", "hell", "hello", "Ġw", "or", "Ġwor", "ld"]
    merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "l d"]
    tokens = special + bytes_of_gpt2() + merged
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    w.add_token_merges(merges)
    w.add_bos_token_id(0)
    w.add_eos_token_id(2)
    return len(tokens)


def pieces(w):
    tokens = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"] + [f"<0x{b:02X}>" for b in range(256)]
    kinds = [2, 3, 3, 4, 4] + [6] * 256
    named = ["▁", *"helowrdasin,", "he", "ll", "hell", "hello", "▁w", "or", "▁wor", "ld", "▁world"]
    tokens += named
    w.add_tokenizer_model("llama")
    w.add_token_list(tokens)
    w.add_token_types(kinds + [1] * len(named))
    w.add_token_scores([0.0] * len(kinds) + [-float(i) for i in range(len(named))])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_add_bos_token(True)
    w.add_add_space_prefix(True)
    return len(tokens)


def linear(w):
    w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    w.add_rope_scaling_factor(2.0)


def yarn(w):
    w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    w.add_rope_scaling_factor(4.0)
    w.add_rope_scaling_orig_ctx_len(16)


def beside():
    special = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>"]
    document("text/tokenizer_config.json", {
        "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "model_max_length": 64,
        "eos_token": {"content": "<|im_end|>", **special}, "bos_token": "<|endoftext|>", "pad_token": None,
        "added_tokens_decoder": {str(420 + i): {"content": n, **special} for i, n in enumerate(names)},
        "additional_special_tokens": ["<|im_start|>"],
        "chat_template": [{"name": "default", "template": TEMPLATE}, {"name": "tools", "template": "{{ tools }}"}]})
    document("text/special_tokens_map.json", {
        "eos_token": {"content": "<|im_end|>", **special}, "bos_token": "<|endoftext|>",
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    # Only a configuration without a decoder of added tokens lets that file be read.
    document("plain/added_tokens.json", {"<tool>": 423, "<image>": 424})
    document("plain/tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|im_end|>"})
    document("plain/config.json", {"model_type": "gpt2", "vocab_size": 425, "n_positions": 64, "eos_token_id": 422})
    document("text/generation_config.json", {"bos_token_id": 420, "eos_token_id": [422, 420], "temperature": 0.7})
    document("text/config.json", {"model_type": "gpt2", "vocab_size": 425, "n_positions": 64, "eos_token_id": 422})


def document(name, value):
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n")


def rows():
    chat = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello?"},
            {"role": "assistant", "content": "Hello."}, {"role": "user", "content": [{"type": "text", "text": "And?"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}]
    forms = [
        {"text": "Hello, world\\n \"quoted\" \u00e9\ud83d\ude00"},
        {"prompt": "What?", "completion": " That."},
        {"prompt": chat[:2], "completion": chat[2:3]},
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
        {"messages": chat[:3], "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"messages": chat[1:3], "documents": None},
        {"system": "Be short.", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]},
        {"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4], "attention_mask": [1, 1, 1, 1]},
    ]
    (HERE / "forms.jsonl").write_text("".join(json.dumps(row) + "\n" for row in forms))
    document("rows.json", forms)


def imports():
    directory = HERE / "import"
    tokens = [50256, *range(1, 30), 50256, *range(5, 40)]
    head = struct.pack("<3i", 20240520, 1, len(tokens)).ljust(1024, b"\0")
    (directory / "llmc.bin").write_bytes(head + np.array(tokens, "<u2").tobytes())
    lengths = [3, 1, 2, 20]
    index = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, len(lengths), 4) + struct.pack("<4i", *lengths)
    index += struct.pack("<4q", *(2 * int(s) for s in np.cumsum([0, *lengths[:-1]]))) + struct.pack("<4q", 0, 2, 3, 4)
    (directory / "megatron.idx").write_bytes(index)
    (directory / "megatron.bin").write_bytes(np.arange(sum(lengths), dtype="<u2").tobytes())
    with h5py.File(directory / "cerebras.h5", "w", libver=("earliest", "v110")) as file:
        ids = np.arange(1, 17, dtype="<i4").reshape(4, 4)
        file["data"] = np.stack([ids, np.ones_like(ids), ids + 1], axis=1)
    with h5py.File(directory / "nvidia.h5", "w", libver=("earliest", "v110")) as file:
        file.create_dataset("input_ids", data=np.arange(1, 17, dtype="<i4").reshape(2, 8), compression="gzip")
        file["input_mask"] = np.array([[1] * 8, [1] * 6 + [0] * 2], "<i1")
        file["masked_lm_positions"] = np.array([[1, 0], [2, 3]], "<i4")
        file["masked_lm_ids"] = np.array([[42, 0], [7, 8]], "<i4")


TRAIN = """\
# A run of LoRA.
model: &base "model"
data: data.h5
output_dir: runs/lora
method: lora
global_batch_size: 8
micro_batch_size: 2
learning_rate: 2e-4
num_epochs: 0.5
max_steps: 20
warmup_ratio: 0.03
lr_scheduler_type: cosine
optimizer: adamw
adam_beta2: .999
seed: 7
precision: auto
eval_steps: 5
save_steps: 5
load_best_model_at_end: true
time_limit: 3h50m
stall_timeout: 10m
allow_changed: [learning_rate]
r: 4
lora_alpha: 8.0
target_modules: ['q_proj', "v_proj"]
rank_pattern: {k_proj: 2, 'layers\\.1\\..*': 8}
modules_to_save: ~
use_rslora: false
resume:
tokenizer: *base
"""
COMPARE = """\
global_batch_size: 8
max_steps: 20
num_virtual_tokens: 4
compare:
  methods: [lora, prompt-tuning, adalora]
  max_score_examples: 10
  lora: {r: 4, learning_rate: 1e-3}
  adalora:
    init_r: 6
    target_r: 4
    warmup_steps: 2
"""

if __name__ == "__main__":
    for name in ["text", "import"]:
        (HERE / name).mkdir(exist_ok=True)
    model("words.gguf", words, ["Q8_0", "F32", "F16", "BF16"], linear)
    model("pieces.gguf", pieces, ["F16", "Q4_0", "Q5_1", "Q8_0"], yarn)
    beside()
    rows()
    imports()
    (HERE / "train.yaml").write_text(TRAIN)
    (HERE / "compare.yaml").write_text(COMPARE)
