"""Asks transformers for ids where files beside tokenizer.json add to it; writes beside.json.

    python beside.py          (transformers 5.23)

Each case is a directory with one of the tokenizers of this folder and what else is given; it is read with
AutoTokenizer.from_pretrained.
"""

import json
import pathlib
import tempfile

from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).parent
FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}
GPT2 = {"tokenizer_class": "GPT2Tokenizer"}
LLAMA = {"tokenizer_class": "LlamaTokenizer"}
TEXTS = [
    "<new>", "a <new> b", "a<new>b", "  <new>  b", "<two><new>", "<tool>x<tool>", "<end>", "hello<end> world", "<pad> <extra_0><extra_1>",
    "Hello world", " Hello", "<|im_end|>x", "[NEW] newer new", "the<unk_new>x", "éa <New>",
]


def token(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True, **flags}


def typed(content, **flags):
    return {"__type": "AddedToken", **{k: v for k, v in token(content, **flags).items() if k != "special"}}


def decoder(size, *tokens):
    return {"added_tokens_decoder": {str(size + i): t for i, t in enumerate(tokens)}}


def cases():
    n = {name: len(vocabulary(name).keys() | {t["content"] for t in own_tokens(name)}) for name in ("qwen2", "gpt2", "llama2")}
    yield "qwen2", {"tokenizer_config.json": FAST | decoder(n["qwen2"], token("<new>"), token("<two>", special=False))}
    yield "qwen2", {"tokenizer_config.json": FAST | decoder(n["qwen2"], token("<new>", lstrip=True, rstrip=True), token("new", special=False, single_word=True, normalized=True))}
    yield "qwen2", {"tokenizer_config.json": FAST | {"added_tokens_decoder": {"900": token("<two>"), "800": token("<new>")}}}
    yield "qwen2", {"tokenizer_config.json": FAST | {"eos_token": "<end>", "pad_token": "<pad>"}}
    yield "qwen2", {"tokenizer_config.json": FAST | {"eos_token": typed("<end>", lstrip=True), "pad_token": "<pad>"} | decoder(n["qwen2"], token("<new>"))}
    yield "qwen2", {"tokenizer_config.json": FAST | {"additional_special_tokens": ["<extra_0>", "<extra_1>"], "eos_token": "<end>"}}
    yield "qwen2", {"tokenizer_config.json": FAST | {"extra_special_tokens": ["<extra_1>", "<extra_0>"]}}
    yield "qwen2", {"tokenizer_config.json": FAST | {"extra_special_tokens": {"image_token": "<new>", "boi_token": "<two>"}}}
    yield "qwen2", {"tokenizer_config.json": FAST | {"image_token": "<new>"}}
    yield "qwen2", {"tokenizer_config.json": FAST, "special_tokens_map.json": {"eos_token": "<end>", "pad_token": token("<pad>", rstrip=True), "additional_special_tokens": ["<extra_0>", "<extra_1>"]}}
    yield "qwen2", {"tokenizer_config.json": FAST | {"eos_token": "<pad>"}, "special_tokens_map.json": {"eos_token": "<end>"}}
    yield "qwen2", {"tokenizer_config.json": FAST, "added_tokens.json": {"<new>": n["qwen2"], "<two>": n["qwen2"] + 1, "<end>": n["qwen2"] + 2}, "special_tokens_map.json": {"eos_token": "<end>"}}
    yield "qwen2", {"tokenizer_config.json": FAST | decoder(n["qwen2"], token("<two>")), "added_tokens.json": {"<new>": n["qwen2"]}, "special_tokens_map.json": {"eos_token": "<end>"}}
    yield "qwen2", {"special_tokens_map.json": {"eos_token": "<end>"}}
    yield "llama2", {"tokenizer_config.json": FAST | decoder(n["llama2"], token("<new>"), token("<two>", special=False, normalized=True))}
    yield "gpt2", {"tokenizer_config.json": GPT2 | {"add_prefix_space": True}}
    own = [token(t["content"], **{k: t[k] for k in ("lstrip", "rstrip", "normalized", "single_word", "special")}) for t in own_tokens("gpt2")]
    first = n["gpt2"] - sum(t["content"] not in vocabulary("gpt2") for t in own)
    yield "gpt2", {"tokenizer_config.json": GPT2 | {"add_prefix_space": False} | decoder(first, *own, token("<new>"))}
    yield "gpt2", {"tokenizer_config.json": FAST | {"add_prefix_space": True}}
    yield "prefix-space", {"tokenizer_config.json": GPT2 | {"add_prefix_space": False}}
    yield "qwen2", {"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": True}}


def file(name):
    return json.loads((HERE / f"{name}.json").read_text())


def vocabulary(name):
    return file(name)["model"]["vocab"]


def own_tokens(name):
    return file(name)["added_tokens"]


def main():
    results = []
    for name, files in cases():
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory)
            (path / "tokenizer.json").write_text((HERE / f"{name}.json").read_text())
            for file, content in files.items():
                (path / file).write_text(json.dumps(content))
            tokenizer = AutoTokenizer.from_pretrained(directory)
            ids = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
            skipped = [tokenizer.decode(row, skip_special_tokens=True) for row in ids]
            results.append({"tokenizer": name, "files": {file: json.dumps(content) for file, content in files.items()}, "class": type(tokenizer).__name__, "ids": ids, "skipped": skipped})
    text = json.dumps({"texts": TEXTS, "cases": results}, separators=(",", ":"))
    (HERE / "beside.json").write_text(text.replace('},{"tokenizer"', '},\n{"tokenizer"') + "\n")
    print(len(results), "cases")


if __name__ == "__main__":
    main()
