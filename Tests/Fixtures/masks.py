"""Writes masks.json: ids of prompt + completion, and which of them the reference says lie in the latter.

    pip install tokenizers==0.23.3
    python Tests/Fixtures/masks.py

The offsets are those of Hugging Face's tokenizers, in characters; a token counts where it shares a
character with the completion. The tokenizers are those of Tests/Fixtures/tokenizers.
"""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer

HERE = Path(__file__).parent
PIECES = [
    "Hello", "world", " the quick", "brown fox", "\n", "\n\n", "  ", "\t", "été", "naïve", "日本語",
    "한국어", "עברית", "👨‍👩‍👧", "e\u0301", "o\u0308", "def f(x):\n    return x", "1234567", "it's", "</s>",
    "<|im_end|>", "<s>", " ", "\r\n", "\u0e01\u0e33", "▁", "Ω", "x" * 9,
]


def text(random_):
    return "".join(
        random_.choice(PIECES) + random_.choice(["", " ", ""]) for _ in range(random_.randint(1, 8))
    )


def main():
    random_ = random.Random(5)
    rows = [(text(random_), text(random_)) for _ in range(40)]
    result = {"rows": [{"prompt": p, "completion": c} for p, c in rows], "tokenizers": {}}
    for name in ["gpt2", "llama2", "llama3", "mistral", "qwen2", "smollm"]:
        tokenizer = Tokenizer.from_file(str(HERE / "tokenizers" / f"{name}.json"))
        cases = []
        for prompt, completion in rows:
            encoding = tokenizer.encode(prompt + completion, add_special_tokens=False)
            whole = tokenizer.encode(prompt + completion)
            # What the tokenizer puts around a text: in front a prompt, behind an answer's end.
            lead = next(
                start
                for start in range(len(whole.ids))
                if whole.ids[start : start + len(encoding.ids)] == encoding.ids
            )
            tail = len(whole.ids) - lead - len(encoding.ids)
            cut = len(prompt)
            inside = [int(end > cut and end > start) for start, end in encoding.offsets]
            mask = [0] * lead + inside + [1] * tail
            # The first token of an example is never a target.
            mask[0] = 0
            # Offsets go wrong behind bytes that the vocabulary of "smollm" lacks and drops.
            drops = name == "smollm" and tokenizer.decode(
                encoding.ids, skip_special_tokens=False
            ) != (prompt + completion)
            cases.append({"ids": whole.ids, "mask": None if drops else mask})
        result["tokenizers"][name] = cases
    (HERE / "masks.json").write_text(
        json.dumps(result, separators=(",", ":"), ensure_ascii=True) + "\n", encoding="utf-8"
    )


main()
