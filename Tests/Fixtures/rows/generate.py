"""Rows in the formats that `prepare` reads, each written by a program that writes it every day.

Usage: python generate.py   (Python's csv, gzip and json; pandas; the program zstd)

All files hold the same rows, so that datasets made of them are equal.
"""

import csv
import gzip
import io
import json
import pathlib
import subprocess

import pandas

HERE = pathlib.Path(__file__).parent

ROWS = [
    ("What is the capital of France?", "Paris"),
    ('Say "hello", twice', '"hello", "hello"'),
    ("Two lines:\nfirst\nsecond", "1\n2"),
    ("Carriage returns\r\nand\ttabs; semicolons", "kept"),
    ("Ünïcödé 日本語 🙂", "ja, 是"),
    ("  blanks around  ", " x "),
    ('"', '""'),
    ("the last", "end"),
]
COLUMNS = ["id", "question", "answer"]
TABLE = [(str(index), *row) for index, row in enumerate(ROWS)]


def table(separator: str, end: str, quoting: int) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerow(COLUMNS)
    writer.writerows(TABLE)
    return out.getvalue().encode()


def main() -> None:
    lines = "".join(
        json.dumps({"prompt": prompt, "completion": answer}, ensure_ascii=False) + "\n"
        for prompt, answer in ROWS
    ).encode()
    (HERE / "rows.jsonl").write_bytes(lines)
    (HERE / "rows.csv").write_bytes(table(",", "\r\n", csv.QUOTE_MINIMAL))
    (HERE / "rows.tsv").write_bytes(table("\t", "\n", csv.QUOTE_ALL))
    # As a spreadsheet of a country with a decimal comma saves it.
    (HERE / "semicolons.csv").write_bytes(b"\xef\xbb\xbf" + table(";", "\r\n", csv.QUOTE_MINIMAL))
    frame = pandas.DataFrame([row[1:] for row in TABLE], columns=COLUMNS[1:])
    # The row numbers are a column without a name.
    frame.to_csv(HERE / "pandas.csv.gz", compression={"method": "gzip", "mtime": 0})
    # Two members, one behind the other.
    half = lines.index(b"\n", len(lines) // 2) + 1
    members = [gzip.compress(part, mtime=0) for part in (lines[:half], lines[half:])]
    (HERE / "rows.jsonl.gz").write_bytes(b"".join(members))
    # Two frames, each with a checksum.
    frames = [
        subprocess.run(["zstd", "-q", "-c", "--check"], input=part, capture_output=True, check=True).stdout
        for part in (lines[:half], lines[half:])
    ]
    (HERE / "rows.jsonl.zst").write_bytes(b"".join(frames))


if __name__ == "__main__":
    main()
