"""Writes Sources/Patterns/Unicode/UnicodeData.swift: Unicode as the reference library sees it.

    pip install tokenizers==0.23.3
    python Tests/Fixtures/tokenizers/unicode_tables.py

The reference takes its properties from four libraries of four Unicode versions (its regular
expressions, Rust's standard library, a normaliser, a category crate). Each table is asked of the
library itself, scalar by scalar, so that no version has to be known.
"""
import unicodedata
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

OUTPUT = Path(__file__).parents[3] / "Sources/Patterns/Unicode/UnicodeData.swift"
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
TEXT = "".join(map(chr, SCALARS))
CATEGORIES = (
    "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn"
).split()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ!#%"


def base36(n):
    digits = ""
    while True:
        n, d = divmod(n, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[d] + digits
        if n == 0:
            return digits


def matched(pre_tokenizer):
    """The scalars of TEXT that a removing pre-tokenizer takes away."""
    kept = set()
    for piece, _ in pre_tokenizer.pre_tokenize_str(TEXT):
        kept.update(piece)
    return {c for c in SCALARS if chr(c) not in kept}


def regex(pattern):
    return matched(pre_tokenizers.Split(Regex(pattern), "removed"))


def isolated(pre_tokenizer):
    """The scalars that an isolating pre-tokenizer cuts off from a letter before them."""
    text = "".join("a" + chr(c) for c in SCALARS if c != ord("a"))
    pieces = pre_tokenizer.pre_tokenize_str(text)
    return {ord(p) for p, _ in pieces if len(p) == 1 and p != "a"}


def word_scalars():
    """What the other regular expressions (Rust's) take for part of a word."""
    text = "".join("a" + chr(c) + " " for c in SCALARS)
    pieces = pre_tokenizers.Whitespace().pre_tokenize_str(text)
    return {ord(p[1]) for p, _ in pieces if len(p) == 2}


def runs(members):
    """Lengths of the runs outside and inside, in turn, beginning outside."""
    result, inside, start = [], False, 0
    for c in range(0x110000):
        if (c in members) != inside:
            result.append(base36(c - start))
            inside, start = not inside, c
    if inside:
        result.append(base36(0x110000 - start))
    return " ".join(result)


def categories():
    table = {}
    for name, letter in zip(CATEGORIES, LETTERS):
        for c in regex(r"\p{%s}" % name):
            assert c not in table
            table[c] = letter
    table.update({c: "#" for c in range(0xD800, 0xE000)})
    result, start = "", 0
    for c in range(1, 0x110001):
        if c == 0x110000 or table[c] != table[start]:
            result += base36(c - start) + table[start]
            start = c
    return result


def decompositions(normalizer, without=()):
    """Full decompositions of all scalars but Hangul syllables."""
    result, last = [], 0
    table = {}
    for c in SCALARS:
        text = normalizer.normalize_str(chr(c))
        if text == chr(c) or 0xAC00 <= c <= 0xD7A3 or without and without.get(c) == text:
            continue
        table[c] = text
        result.append(base36(c - last) + ":" + ",".join(base36(ord(x)) for x in text))
        last = c
    return table, " ".join(result)


def combining_classes():
    """Classes of the marks that the reference reorders; classes themselves never change."""
    nfd = normalizers.NFD()
    swaps = lambda a, b: nfd.normalize_str("x" + a + b) == "x" + b + a
    result, last = [], 0
    for c in SCALARS:
        value = unicodedata.combining(chr(c))
        if value == 0 or len(nfd.normalize_str(chr(c))) > 1:
            continue
        if swaps(chr(c), "\u0334") or swaps("\u0345", chr(c)):
            result.append(base36(c - last) + ":" + base36(value))
            last = c
    return " ".join(result)


def literal(name, doc, text):
    lines = [text[i : i + 92] for i in range(0, len(text), 92)]
    body = "\n".join(f"    {line}\\" for line in lines[:-1]) + f"\n    {lines[-1]}\n"
    return f'  /// {doc}\n  static let {name} = """\n{body}    """\n'


letters_and_marks = regex(r"\w")
canonical, canonical_text = decompositions(normalizers.NFD())
_, compatible_text = decompositions(normalizers.NFKD(), canonical)
nfc = normalizers.NFC()
excluded = {c for c in canonical if nfc.normalize_str(chr(c)) != chr(c)}
parts = [
    literal("categories", "General categories (regular expressions): run length and letter.", categories()),
    literal("word", "`\\\\w` of Split and Replace: runs outside and inside, in turn.".replace("\\\\", "\\"), runs(letters_and_marks)),
    literal("otherWord", "`\\\\w` of added tokens and of Whitespace.".replace("\\\\", "\\"), runs(word_scalars())),
    literal("numeric", "What Digits takes for a digit.", runs(isolated(pre_tokenizers.Digits(True)))),
    literal("punctuation", "What Punctuation takes for a mark.", runs(isolated(pre_tokenizers.Punctuation()))),
    literal("han", "The script Han.", runs(regex(r"\p{Han}"))),
    literal("combiningClasses", "Canonical combining classes, distance and class.", combining_classes()),
    literal("excluded", "Scalars that NFC never makes.", runs(excluded)),
    literal("canonical", "Full canonical decompositions, distance and scalars.", canonical_text),
]
head = (
    "// Made by Tests/Fixtures/tokenizers/unicode_tables.py from the reference library (0.23.3): do\n"
    "// not edit. Numbers are in base 36.\n\n"
)
OUTPUT.write_text(
    head + "/// Unicode as the reference library sees it; see `UnicodeTables`.\nenum UnicodeData {\n"
    + "\n".join(parts) + "}\n")
second = OUTPUT.with_name("UnicodeCompatibilityData.swift")
second.write_text(
    head + "/// Compatibility decompositions as the reference library sees them.\n"
    "enum UnicodeCompatibilityData {\n"
    + literal("compatible", "Full decompositions that differ from the canonical ones.", compatible_text) + "}\n")
