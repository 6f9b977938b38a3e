"""Trains small tokenizers of each style with the reference library and writes what they encode.

    pip install tokenizers==0.23.3
    python Tests/Fixtures/tokenizers/generate.py [RANDOM-TEXTS SEED DIRECTORY]

Without arguments it writes the fixtures beside it: `texts.json`, the texts; `NAME.json`, a tokenizer;
`NAME.vectors.json`, for each text `ids`, `special` (with special tokens, where that differs),
`decoded` (where it is not the text) and `skipped` (special tokens left out, where that differs).
"""
import json
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from texts import HAND_MADE, random_text, texts

HERE = Path(__file__).parent
CORPUS = HAND_MADE * 3 + [
    "The quick brown fox jumps over the lazy dog. It wasn't the first time, and it won't be the last.",
    "In 1999 there were 42 houses in the village; by 2024 only 17 of them were still standing.",
    "for i in range(10):\n    print(i, end=' ')\n", "She said: “I'll be there, we've got time.” He didn't answer.",
    "Le garçon n'était pas là. Die Übung war schwer. Съешь ещё этих булок. 日本語の文章です。",
] * 12

GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = GPT4.replace(r"\p{N}{1,3}", r"\p{N}")
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
BYTES = pre_tokenizers.ByteLevel.alphabet()
CHAT = [AddedToken(t, special=True, normalized=False) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]


def byte_level(regex=True):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern) if isinstance(pattern, str) else pattern, behavior, invert)


def trained(name, model=None, normalizer=None, cut=None, decoder=None, post=None, size=420, alphabet=BYTES, added=CHAT, special=(), **options):
    t = Tokenizer(model or models.BPE())
    if normalizer: t.normalizer = normalizer
    if cut: t.pre_tokenizer = cut
    if decoder: t.decoder = decoder
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=list(alphabet), special_tokens=list(special), show_progress=False, **options))
    if post: t.post_processor = post(t)
    t.add_tokens(list(added))
    return json.loads(t.to_str())


def framed(*pieces):
    def make(t):
        return processors.TemplateProcessing(
            single=" ".join(pieces), pair=None, special_tokens=[(p, t.token_to_id(p)) for p in pieces if p != "$A"])
    return make


def gpt2():
    d = trained("gpt2", cut=byte_level(), decoder=decoders.ByteLevel(), post=lambda t: processors.ByteLevel(trim_offsets=False))
    # The older layout: merges as strings, no type, fields that came later left out.
    d["model"] = {"dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False,
                  "vocab": d["model"]["vocab"], "merges": [" ".join(m) for m in d["model"]["merges"]]}
    del d["pre_tokenizer"]["use_regex"]
    d["added_tokens"][0]["normalized"] = True
    return d


def llama3():
    d = trained("llama3", cut=pre_tokenizers.Sequence([split(GPT4), byte_level(False)]), decoder=decoders.ByteLevel(), special=["<s>"],
                post=lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=False), framed("<s>", "$A")(t)]))
    d["model"]["ignore_merges"] = True
    # Words that no merge makes, which only ignore_merges finds.
    for word in ("Ġhouses", "Übung".encode().decode("latin-1"), "Ġstanding"):
        d["model"]["vocab"].setdefault(word, len(d["model"]["vocab"]) + 3)
    return d


def qwen2():
    return trained("qwen2", normalizer=normalizers.NFC(), cut=pre_tokenizers.Sequence([split(QWEN), byte_level(False)]),
                   decoder=decoders.ByteLevel(), post=lambda t: processors.ByteLevel(trim_offsets=False),
                   added=CHAT + [AddedToken("[TOOL]", special=False, normalized=False)])


def smollm():
    # Without an initial alphabet some bytes have no token and are dropped.
    return trained("smollm", cut=pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level()]), decoder=decoders.ByteLevel(),
                   alphabet=[], special=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], added=[], limit_alphabet=150)


def sentencepiece(first=False):
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    d = trained("llama2", models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
                cut=pre_tokenizers.Metaspace(prepend_scheme="first" if first else "always", split=True), alphabet=[], special=special, added=[],
                size=600, post=framed("<s>", "$A", "</s>") if first else framed("<s>", "$A"))
    d["added_tokens"] = d["added_tokens"][:3]
    if first:
        d["decoder"] = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}]}
        for t, flags in zip(d["added_tokens"], [{}, {"rstrip": True}, {"lstrip": True}]): t.update(flags)
    else:
        d["pre_tokenizer"] = None
        d["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
        d["decoder"] = {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    return d


def gemma():
    # No blank in front, blanks kept by their mark, runs of blanks and line ends as added tokens.
    special = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{b:02X}>" for b in range(256)]
    runs = [AddedToken(t, special=False, normalized=False) for t in ("\n\n", "\n\n\n", "▁▁", "▁▁▁")]
    turns = [AddedToken(t, special=True, normalized=False) for t in ("<start_of_turn>", "<end_of_turn>")]
    d = trained("gemma", models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
                cut=pre_tokenizers.Metaspace(prepend_scheme="never", split=True), alphabet=[], special=special,
                added=turns + runs, size=600, post=framed("<bos>", "$A"))
    d["added_tokens"] = d["added_tokens"][:4] + d["added_tokens"][260:]
    d["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    d["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    d["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}
    return d


def unknown(fuse, prefix="", suffix=""):
    options = {"continuing_subword_prefix": prefix} if prefix else {"end_of_word_suffix": suffix} if suffix else {}
    model = models.BPE(unk_token="<unk>", fuse_unk=fuse, **options)
    return trained("unknown", model, alphabet=[], special=["<unk>", "<s>", "</s>"], limit_alphabet=70, added=CHAT[:1],
                   normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]) if not prefix else normalizers.NFD(),
                   cut=pre_tokenizers.BertPreTokenizer() if prefix else pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(False)]),
                   decoder=decoders.BPEDecoder(suffix) if suffix else None,
                   post=lambda t: processors.RobertaProcessing(("</s>", 2), ("<s>", 1)), **options)


def clip():
    model = models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>")
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    return trained("clip", model, alphabet=BYTES, special=["<|endoftext|>"], added=CHAT, end_of_word_suffix="</w>", size=700,
                   normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
                   cut=pre_tokenizers.Sequence([split(pattern, "removed", True), byte_level()]), decoder=decoders.ByteLevel())


def flags():
    added = [AddedToken("<s>", single_word=True), AddedToken("</s>", lstrip=True, rstrip=True, normalized=False), AddedToken("Token", single_word=True, normalized=True),
             AddedToken("[TOOL]", rstrip=True, normalized=True), AddedToken("<|im_start|>", lstrip=True, special=True), AddedToken("<|im_start|>user", special=True)]
    return trained("flags", normalizer=normalizers.Lowercase(), cut=byte_level(), decoder=decoders.ByteLevel(), added=added)


def deepseek():
    cuts = [split(r"\p{N}{1,3}"), split(r"[一-龥぀-ゟ゠-ヿ]+"),
            split(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
            byte_level(False)]
    return trained("deepseek", cut=pre_tokenizers.Sequence(cuts), decoder=decoders.ByteLevel())


def behaviors():
    cuts = [split(" ", "merged_with_previous"), split(r"\n+", "merged_with_next"), pre_tokenizers.Punctuation("contiguous"),
            split(r"[\p{Han}&&[^日]]+|\bthe\b|^a|(?:ab)+?b*|x$", "isolated"), pre_tokenizers.FixedLength(5)]
    return trained("behaviors", cut=pre_tokenizers.Sequence(cuts), alphabet=BYTES, added=CHAT, decoder=decoders.ByteLevel(),
                   normalizer=normalizers.Sequence([normalizers.Nmt(), normalizers.Strip(True, True), normalizers.NFKD(), normalizers.ByteLevel()]))


STYLES = {
    "gpt2": gpt2, "llama3": llama3, "qwen2": qwen2, "smollm": smollm, "llama2": lambda: sentencepiece(), "mistral": lambda: sentencepiece(True),
    "gemma": gemma,
    "unknown-fused": lambda: unknown(True), "unknown-single": lambda: unknown(False, suffix="</w>"), "continuing": lambda: unknown(False, prefix="##"),
    "clip": clip, "flags": flags, "deepseek": deepseek, "behaviors": behaviors,
    "cl100k": lambda: trained("cl100k", cut=pre_tokenizers.Sequence([split(CL100K), byte_level(False)]), decoder=decoders.ByteLevel()),
    "o200k": lambda: trained("o200k", cut=pre_tokenizers.Sequence([split(O200K), byte_level(False)]), decoder=decoders.ByteLevel(), added=CHAT[:1]),
    "prefix-space": lambda: trained("prefix-space", cut=pre_tokenizers.ByteLevel(add_prefix_space=True), decoder=decoders.ByteLevel(), added=CHAT[:1]),
}


def vectors(tokenizer, inputs):
    result = []
    for text in inputs:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        special = tokenizer.encode(text).ids
        row = {"ids": ids}
        if special != ids: row["special"] = special
        decoded = tokenizer.decode(ids, skip_special_tokens=False) if ids else ""
        if decoded != text: row["decoded"] = decoded
        skipped = tokenizer.decode(special, skip_special_tokens=True) if special else ""
        if skipped != decoded: row["skipped"] = skipped
        result.append(row)
    return result


def main(count=60, seed=1, directory=HERE):
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    inputs = texts(int(count), int(seed))
    write = lambda name, value: (directory / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    write("texts.json", inputs)
    for name, make in STYLES.items():
        write(f"{name}.json", make())
        write(f"{name}.vectors.json", vectors(Tokenizer.from_file(str(directory / f"{name}.json")), inputs))


if __name__ == "__main__":
    main(*sys.argv[1:])
