"""Encoding with Hugging Face's `tokenizers`, one thread: what `benchmarks tokenizers` is compared with.

    pip install -r Benchmarks/peers/requirements.txt
    python Benchmarks/peers/tokenizers_peer.py TOKENIZER.json TEXT.txt

One JSON object a line; `batch` is the library's quickest call, without offsets.
"""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer  # noqa: E402: after the settings that it reads

tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_truncation()
tokenizer.no_padding()
with open(sys.argv[2], encoding="utf-8", newline="") as file:
    text = file.read()


def best(runs, body):
    quickest, ids = float("inf"), 0
    for _ in range(runs):
        start = time.perf_counter()
        ids = body()
        quickest = min(quickest, time.perf_counter() - start)
    return quickest, ids


def encode(texts):
    return sum(len(tokenizer.encode(part, add_special_tokens=False).ids) for part in texts)


def encode_batch(texts):
    return sum(len(one.ids) for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False))


lines = text.split("\n")
for name, body in [("lines", lambda: encode(lines)), ("batch", lambda: encode_batch(lines)), ("whole", lambda: encode([text]))]:
    seconds, ids = best(5 if name != "whole" else 2, body)
    print(json.dumps({"text": name, "ids": ids, "seconds": seconds, "megabytes_per_second": len(text.encode()) / 1e6 / seconds}), flush=True)
