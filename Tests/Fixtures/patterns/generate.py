r"""Asks Python's re what patterns match; writes python.json and scalars.json.

    python generate.py          (Python 3.11)

Patterns of four kinds: written by hand, one for each construct and each trap; module paths as PEFT's
users write them; random ones of a small grammar; and hand-written ones with a random mutation, most of
which Python refuses. A case is [pattern, rows], or [pattern, null] where Python refuses the pattern. A row
is [text, whether fullmatch finds it, bytes of the match, its groups], or the text alone where match finds
nothing. scalars.json has letters that are one another's cases, and runs (lengths outside and inside, in turn)
of the scalars that Python's Unicode has and of those that \w, \d and \s take.
"""

import json
import pathlib
import random
import re
import signal
import sys
import unicodedata
import warnings

warnings.simplefilter("error", DeprecationWarning)
warnings.simplefilter("ignore", FutureWarning)
HERE = pathlib.Path(__file__).parent

PATHS = [
    f"{root}.{n}.{leaf}"
    for root in ("model.layers", "transformer.h", "base_model.model.model.layers")
    for n in (0, 1, 10, 21)
    for leaf in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.qkv_proj", "mlp.gate_proj", "mlp.down_proj",
                 "attn.c_attn", "mlp.c_fc", "mlp.experts.3.w1")
] + ["lm_head", "model.embed_tokens", "q_proj", "", "model.layers.1.q_proj\n", "model.layers.x.q_proj", "Model.Layers.0.Q_PROJ"]

MODULES = [
    r".*q_proj", r".*\.q_proj$", r".*\bq_proj\b", r".*\b(q|k)_proj", r"model\.layers\.\d+\.self_attn\.(q|v)_proj",
    r"model\.layers\.(?:0|1)\..*", r".*\.(?:[02468]|1\d)\..*proj", r"(?!.*mlp).*_proj", r".*(?<!gate)_proj",
    r".*\.layers\.(?P<n>\d{1,2})\.(self_attn|mlp)\.\w+", r"(?i).*q_proj", r"(?i:MODEL)\.layers\..*", r".*_proj\Z",
    r".*(attn|mlp)\.[a-z_]+", r"[^.]+\.layers\.[0-9]+\..+", r".*\.\d\..*", r".*\.[\d]{2}\..*", r".*?\.mlp\..*?",
    r".*(?=q_proj).*", r"(?x) model \. layers \. \d+ \. .* # all", r"^(?:(?!self_attn).)*$", r".*\Bproj", r"\bmodel\b.*",
    r".*[qkv]_proj|lm_head", r"lm_head$", r".*\w_proj", r".*\W\w+$", r"(.*\.)?(q_proj|k_proj)", r".*(?>\d+)\.mlp.*",
    r".*\.\d++\.attn.*", r"(?s:.)*q_proj\n", r"(?a).*\.[\w]+_proj", r"(?m)^model.*$", r"model(\.\w+)*", r"(\w+\.)+\d+(\.\w+)+",
    r".*(_proj|c_attn){1}", r".*layers.\d{1,}.*", r".*{0,}", r"model.layers.{1,2}\..*",
]

TEXTS = [
    "", "a", "b", "ab", "aa", "aab", "abab", "abc", "A", "aB", "a\n", "\n", "a\nb", "\na", "a\n\n", "a b", " a", "_", "1", "12", "123", "a1",
    "a-b", "-", "]", "[", "{", "}", "a{1}", "a{,2}", "a{", ".", "..", "\\", "^", "$", "é", "É", "ß", "ſ", "s", "S", "K", "k", "\u212a", "\u0661", "\u00b2", "\u2460",
    "\u0130", "i", "I", "\u0131", "e\u0301", "\u00a0", "\u1680", "\x1c", "\x85", "\u200b", "\u2028", "\t", "\x0b", "\x0c", "\r", "\u4e00", "\U0001f600", "a\u0301b", "µ", "μ", "Μ", "\x07", "\x00", "aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaab", "xay", "axb", "foo.bar", "foo_bar", "#", "a#b",
]

HAND = [
    r"a", r"a|b", r"a|ab", r"(a|ab)(c|bcd)?", r"a*", r"a+", r"a?", r"a*?", r"a+?", r"a??", r"a*+", r"a++", r"a?+", r"a{2}", r"a{2,}", r"a{,2}", r"a{1,2}",
    r"a{1,2}?", r"a{1,2}+", r"a{2}?", r"a{2}+", r"a{,}", r"a{}", r"a{", r"a{1", r"a{1,", r"a{x}", r"{", r"{1}", r"a{2}{3}", r"a**", r"a+*", r"a?{2}", r"(a*)*", r"(a*)+", r"(a+)+b",
    r"(?:a|aa)+b", r"(a|b*)*", r"(?:|a)*", r"(?:a?){3}", r"(?:a??)*b", r"(?:)*", r"()*", r"(?:^)*a", r"^*", r"$*", r"\b*", r"(?=a)*a", r"(?:$)*",
    r"^a$", r"^a\Z", r"\Aa\Z", r"a$", r"a\n$", r"a$\n", r"(?m)a$", r"(?m)^b", r"(?m)^", r"(?m)$", r"(?m)a$\n^b", r"(?m)\na^|.*", r"\Z", r"$", r"^", r"\A",
    r".", r".*", r"(?s).", r"(?s).*", r"(?s:.)a", r"(?s-i:.)", r"(?-s:.)", r"[^a]", r"[^\n]", r"\b", r"\B", r"\ba\b", r"\Ba", r"a\B", r"a\bb", r"\b.+\b", r".*\b.", r"\w+", r"\W+", r"\d+", r"\D+", r"\s+", r"\S+",
    r"[\w]+", r"[\W]", r"[\d\s]", r"[^\w]", r"[^\W\d]", r"(?a)\w", r"(?a)\W", r"(?a)\d", r"(?a)\s", r"(?a)\b.\b", r"(?a:\w)é", r"(?u)\w", r"(?a)(?i)s", r"(?ai)k", r"(?i)k", r"(?i)s", r"(?i)ß", r"(?i)é", r"(?i)[a-z]", r"(?i)[^a-z]", r"(?i)µ", r"(?i)i", r"(?i)İ", r"(?i)ı",
    r"(?i)[k]", r"(?i)\u212a", r"(?i:a)b", r"(?i:a(?-i:b))", r"(?-i:a)", r"(?i)a(?-i)b", r"a(?i)b", r"(?i)(?s).", r"(?i:)a", r"()(?i)a", r"(?:a)(?i)", r"(?ix) a b # c", r"(?x)a b", r"(?x)a\ b", r"(?x)[a b]", r"(?x)a #c", "(?x)a # c\nb", "(?x)a # c\\\nb", r"(?x: a )b", r"(?x) a (?-x: )b",
    r"[]]", r"[]a]", r"[^]a]", r"[]", r"[^]", r"[a", r"[a-]", r"[-a]", r"[a-c]", r"[c-a]", r"[a-\d]", r"[\d-a]", r"[\d-]", r"[a-b-c]", r"[.]", r"[\]]", r"[\\]", r"[[]", r"[a^]", r"[\b]", r"[\B]", r"[\A]", r"[\Z]", r"[\q]", r"[\0]", r"[\07]", r"[\8]", r"[\x61]", r"[\x6]", r"[\u0061-\u0063]", r"[é-ÿ]", r"[$]", r"[\n\t]",
    r"\x61", r"\x6", r"\x", r"\u0061", r"\u006", r"\U0001f600", r"\U0001", r"\0", r"\07", r"\007", r"\0011", r"\141", r"\400", r"\18", r"\q", r"\e", r"\z", r"\a", r"\f", r"\v", r"\-", r"\_", r"\ ", r"\é", r"\.", "\\",
    r"(?P<x>a)", r"(?P<x>a)(?P<x>b)", r"(?P<1>a)", r"(?P<é>a)", r"(?P<>a)", r"(?P<x a)", r"(?P<x", r"(?Px)", r"(?P", r"(?<x>a)", r"(?<", r"(?", r"(", r")", r"a)", r"(a", r"(?:a", r"(?#a)b", r"(?#", r"a(?#b)*", r"(?#a\)b)c", r"(?>a|ab)b", r"(?>a*)a", r"(?>(?:a|b)*)", r"(?>a+?)b",
    r"(?=a)a", r"(?!a).", r"a(?=b)", r"a(?!b)", r"a(?=b).", r"(?=(a+))a*b", r"(?<=a)b", r"a(?<=a)b", r"a(?<!a)b", r"..(?<=ab)", r"..(?<!ab)", r".(?<=\d)", r".(?<=a|b)", r".(?<=ab|b)", r".(?<=a*)", r".(?<=a{1})", r".(?<=^a)", r".(?<=\ba)", r"(?<=a)", r".(?<=(?=a)a)", r".(?<=(?i:A))", r"a.(?<=é)", r"..(?<=\u0301)b", r".(?<=(a))",
    r"(?z)", r"(?i", r"(?i-)", r"(?i-:a)", r"(?-:a)", r"(?-i)", r"(?i-i:a)", r"(?L)a", r"(?au)a", r"(?a-u:a)", r"(?-a:a)", r"(?:)", r"(?)", r"(?:|)", r"|", r"a||b", r"|a", r"(|a)b", r"(a)|(b)", r"((a)(b)?)+", r"(a)|b", r"(?:(a)|b)*", r"(a*)(a*)", r"(a*?)(a*)", r"(a)?b", r"((a)|(b))*",
    r"a" * 20, r"(?:a?){16}a{16}", r"(a?){16}b", r"(?:a+)+$", r"(?:a|a)+$", r"(.*)*$", r"(a+)+\Z|b", r"(?:.*)+x", r"foo.bar", r"foo\.bar", r"[a-z]+[._][a-z]+", r"\w+\b.\b\w+", r"a#b", r"#", r"a{1,2}b?", r"[^\S\n]+", r"x*ay", r"(?:a|b|x)+?y",
]


def random_pattern(rng, depth=0):
    def atom():
        kind = rng.randrange(16)
        if kind < 6 or depth > 3:
            return rng.choice(["a", "b", "c", ".", r"\w", r"\d", "[ab]", "[^a]", r"\W", "é", "1", "_"])
        if kind < 9:
            return "(" + random_pattern(rng, depth + 1) + ")"
        if kind < 11:
            return "(?:" + random_pattern(rng, depth + 1) + ")"
        if kind == 11:
            return rng.choice(["(?=", "(?!"]) + random_pattern(rng, depth + 1) + ")"
        if kind == 12:
            return rng.choice(["(?<=", "(?<!"]) + rng.choice(["a", "b", "ab", ".", r"\w", "a|b"]) + ")"
        if kind == 13:
            return "(?>" + random_pattern(rng, depth + 1) + ")"
        if kind == 14:
            return rng.choice(["^", "$", r"\b", r"\B", r"\Z", r"\A"])
        return "(?i:" + random_pattern(rng, depth + 1) + ")"

    def piece():
        text = atom()
        if rng.random() < 0.4 and text not in ("^", "$", r"\b", r"\B", r"\Z", r"\A"):
            text += rng.choice(["*", "+", "?", "{2}", "{1,2}", "{,2}", "{1,}", "*?", "+?", "??", "{1,2}?", "*+", "?+", "++"])
        return text

    branches = ["".join(piece() for _ in range(rng.randrange(1, 4))) for _ in range(rng.choice([1, 1, 2]))]
    return "|".join(branches)


def mutated(rng, pattern):
    letters = list(pattern)
    for _ in range(rng.randrange(1, 3)):
        place = rng.randrange(len(letters) + 1)
        if rng.random() < 0.4 and letters:
            del letters[min(place, len(letters) - 1)]
        else:
            letters.insert(place, rng.choice(r"()[]{}?*+|\^$.-:=!<>#ai1,P "))
    return "".join(letters)


class TooSlow(Exception):
    """Python's matcher needs a time that is exponential in the text for some patterns."""


def expired(*_):
    raise TooSlow


signal.signal(signal.SIGALRM, expired)


def case(pattern, texts):
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, DeprecationWarning):
        return [pattern, None]
    signal.alarm(2)
    try:
        return [pattern, rows(compiled, texts)]
    except TooSlow:
        return None
    finally:
        signal.alarm(0)


def rows(compiled, texts):
    found, rows = [], []
    for text in texts:
        match = compiled.match(text)
        if match:
            whole = 1 if compiled.fullmatch(text) else 0
            found.append([text, whole, len(match.group().encode())] + ([list(match.groups())] if match.groups() else []))
        else:
            rows.append(text)
    # What matches something says more than what matches nothing.
    return found[:14] + rows[:6]


def runs(holds):
    lengths, inside, start = [], False, 0
    for value in range(sys.maxunicode + 1):
        if holds(value) != inside:
            lengths.append(value - start)
            inside, start = not inside, value
    return lengths + [sys.maxunicode + 1 - start]


def scalars():
    every = [chr(v) for v in range(sys.maxunicode + 1) if not 0xD800 <= v < 0xE000]
    cased = "".join(c for c in every if c.lower() != c or c.upper() != c or c.title() != c)
    classes = {tuple(ord(d) for d in re.findall("(?i)" + re.escape(c), cased)) for c in cased}
    takes = {name: re.compile(name).match for name in (r"\w", r"\d", r"\s")}
    text = {"cases": sorted(c for c in classes if len(c) > 1),
            "assigned": runs(lambda v: unicodedata.category(chr(v)) not in ("Cn", "Cs", "Co"))}
    for name, match in takes.items():
        text[name] = runs(lambda v: match(chr(v)) is not None)
    (HERE / "scalars.json").write_text(json.dumps(text, separators=(",", ":")) + "\n")


def main():
    scalars()
    rng = random.Random(20)
    cases = [case(pattern, PATHS) for pattern in MODULES]
    cases += [case(pattern, rng.sample(TEXTS, len(TEXTS))) for pattern in HAND]
    alphabet = "aab1_é \n"
    for _ in range(660):
        texts = ["".join(rng.choice(alphabet) for _ in range(rng.randrange(0, 8))) for _ in range(4)]
        cases.append(case(random_pattern(rng), texts))
    for _ in range(900):
        texts = rng.sample(TEXTS, 2) + [""]
        cases.append(case(mutated(rng, rng.choice(HAND)), texts))
    cases = [item for item in cases if item]
    text = "[\n" + ",\n".join(json.dumps(item, ensure_ascii=True, separators=(",", ":")) for item in cases) + "\n]\n"
    (HERE / "python.json").write_text(text)
    print(len(cases), "patterns,", sum(len(item[1] or [0]) for item in cases), "cases")


if __name__ == "__main__":
    main()
