"""Writes what the demo is made from: tokenizer, configuration, task dataset, base's training text.

    python demo/make_demo.py --resources Sources/swift-peft-train/Demo --work build/demo

`--resources` receives what the program carries (tokenizer.json, config.json, generation_config.json,
demo.h5); `--work` the base's training text as a dataset and the random weights that it starts from,
which are made again when needed. README.md says how the base is then trained. Needs tokenizers
0.23.3, h5py 3.16.0 and numpy; the same seed gives the same files.
"""

import argparse
import hashlib
import json
import random
from pathlib import Path

import h5py
import numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import language

SEED = 7
VOCABULARY = 1536
END = "<|endoftext|>"
# The base reads its documents once, in file order: first the easy ones, which teach it to copy.
FIRST_DOCUMENTS, BASE_DOCUMENTS, BASE_VALIDATION = 12000, 48000, 200
TRAIN_EXAMPLES, VALIDATION_EXAMPLES = 3000, 120

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
    "vocab_size": VOCABULARY, "hidden_size": 128, "intermediate_size": 384,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 32,
    "hidden_act": "silu", "rms_norm_eps": 1e-5, "max_position_embeddings": 512,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False,
    "tie_word_embeddings": True, "initializer_range": 0.02, "use_cache": True,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None,
}


def task_examples():
    """Training and held-out examples. A thing and a place that meet in a held-out letter meet in no
    training letter, so no held-out input, nor its heart, was trained on."""
    source = random.Random(SEED + 1)
    train, validation, seen = [], [], set()
    while len(train) < TRAIN_EXAMPLES or len(validation) < VALIDATION_EXAMPLES:
        scene, prompt, answer = language.task(source)
        pair = hashlib.sha256(f"{scene.thing}/{scene.place}".encode()).digest()[0]
        split, wanted = (validation, VALIDATION_EXAMPLES) if pair < 26 else (train, TRAIN_EXAMPLES)
        if len(split) < wanted and prompt not in seen:
            seen.add(prompt)
            split.append((prompt, answer))
    return train, validation


def base_documents():
    source = random.Random(SEED)
    first = [language.first_document(source) for _ in range(FIRST_DOCUMENTS)]
    rest = BASE_DOCUMENTS + BASE_VALIDATION - FIRST_DOCUMENTS
    return first + [language.document(source) for _ in range(rest)]


def train_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def initial_weights():
    """Random weights to start from. The embedding is large beside what the blocks first add, so that
    a block sees which token it reads; values leave attention much as they entered it, so that what
    attention finds can be named at once; the small last norm keeps the first predictions even."""
    draw = numpy.random.Generator(numpy.random.PCG64(SEED))
    hidden, intermediate = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    normal = lambda deviation, *shape: draw.normal(0, deviation, shape).astype("float32")
    matrix = lambda outputs, inputs: normal(inputs ** -0.5, outputs, inputs)
    weights = {"model.embed_tokens.weight": normal(0.4, VOCABULARY, hidden),
               "model.norm.weight": numpy.full(hidden, 0.08, "float32")}
    for index in range(CONFIG["num_hidden_layers"]):
        value = matrix(hidden, hidden)
        block = {
            "self_attn.q_proj": matrix(hidden, hidden),
            "self_attn.k_proj": 0.4 * matrix(hidden, hidden),
            "self_attn.v_proj": value,
            "self_attn.o_proj": 0.15 * value.T + normal(0.02, hidden, hidden),
            "mlp.gate_proj": matrix(intermediate, hidden),
            "mlp.up_proj": matrix(intermediate, hidden),
            "mlp.down_proj": 0.1 * matrix(hidden, intermediate),
            "input_layernorm": numpy.ones(hidden, "float32"),
            "post_attention_layernorm": numpy.ones(hidden, "float32"),
        }
        weights |= {f"model.layers.{index}.{name}.weight": value.astype("float32")
                    for name, value in block.items()}
    return weights


def write_bfloat16(path, weights):
    """A safetensors file in bf16, rounded to nearest, ties to even. `--method full` writes its
    result in the type of the model it started from."""
    header, parts, end = {"__metadata__": {"format": "pt"}}, [], 0
    for name, value in weights.items():
        bits = numpy.ascontiguousarray(value).view("uint32")
        parts.append(((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes())
        header[name] = {"dtype": "BF16", "shape": value.shape,
                        "data_offsets": [end, end + len(parts[-1])]}
        end += len(parts[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def write_split(file, name, examples):
    """`examples` are pairs of token lists: what does not count in the loss, and what does."""
    tokens = [token for before, after in examples for token in before + after]
    mask = [m for before, after in examples for m in [0] * len(before) + [1] * len(after)]
    offsets = numpy.cumsum([0] + [len(before) + len(after) for before, after in examples])
    group = file.create_group(name)
    for key, values, kind in [("tokens", tokens, "uint32"), ("loss_mask", mask, "uint8"),
                              ("offsets", offsets, "uint64")]:
        group.create_dataset(key, data=numpy.asarray(values, dtype=kind), chunks=True,
                             compression="gzip", shuffle=True, fletcher32=True)


def write_dataset(path, tokenizer_sha256, **splits):
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        file.attrs["format"] = "swift-peft-dataset"
        file.attrs["version"] = 1
        file.attrs["vocab_size"] = VOCABULARY
        file.attrs["tokenizer_sha256"] = tokenizer_sha256
        for name, examples in splits.items():
            write_split(file, name, examples)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resources", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    for directory in (arguments.resources, arguments.work):
        directory.mkdir(parents=True, exist_ok=True)

    documents = base_documents()
    train, validation = task_examples()
    tokenizer = train_tokenizer(documents[:20000] + [p + a for p, a in train[:1000]])
    tokenizer.save(str(arguments.resources / "tokenizer.json"))
    digest = hashlib.sha256((arguments.resources / "tokenizer.json").read_bytes()).hexdigest()
    write_json(arguments.resources / "config.json", CONFIG)
    write_json(arguments.resources / "generation_config.json",
               {"bos_token_id": 0, "eos_token_id": 0})

    end = [tokenizer.token_to_id(END)]
    encode = lambda text: tokenizer.encode(text).ids
    task = lambda examples: [(encode(p), encode(a) + end) for p, a in examples]
    base = [([], encode(text) + end) for text in documents]
    write_dataset(arguments.resources / "demo.h5", digest,
                  train=task(train), validation=task(validation))
    write_dataset(arguments.work / "base.h5", digest,
                  train=base[:BASE_DOCUMENTS], validation=base[BASE_DOCUMENTS:])
    start = arguments.work / "start"
    start.mkdir(exist_ok=True)
    write_json(start / "config.json", CONFIG)
    write_bfloat16(start / "model.safetensors", initial_weights())
    length = lambda examples: sum(len(b) + len(a) for b, a in examples) / len(examples)
    print(f"base: {len(base)} documents of {length(base):.0f} tokens, "
          f"task: {len(train)} + {len(validation)} examples of {length(task(train)):.0f} tokens")


if __name__ == "__main__":
    main()
