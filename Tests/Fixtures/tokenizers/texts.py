"""Texts that a tokenizer must take: scripts, blanks, marks, emoji, code, control characters, noise."""
import random

SPECIAL = ["<s>", "</s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>", "[TOOL]", "Token"]

HAND_MADE = [
    "", " ", "  ", "a", "Hello world", "Hello  world ", " leading", "trailing   ", "tabs\tand\nlines\n\n",
    "\r\n mixed \r line ends \n\r", "x\u00a0y\u2003z\u3000w", "It's we're I'LL you'd THEY'VE don't 'S 'ſ ’s",
    "1 22 333 4444 55555 3.14 1,000,000 ١٢٣ ①②③ ½ Ⅷ", "ALL CAPS camelCase snake_case kebab-case",
    "def f(x):\n    return x**2  # square\n", "if (a && b) { c[0] += 1; }", "{\"key\": [1, 2.5, null]}",
    "https://example.org/a?b=c&d=%20#e", "e-mail: a.b@c.de", "...!?!?---___***", "«quotes» “curly” ‘single’",
    "naïve café résumé", "nai\u0308ve cafe\u0301 re\u0301sume\u0301", "\u1e9b\u0323 \u1e0b\u0323 q\u0307\u0323 \u0344",
    "Ångström \u212b \u2126 \ufb01 ﬃ ㎏ ℌ", "Zürich Straße GROẞ İstanbul ısı Σίσυφος ΌΣΟΣ",
    "Привет, мир! Съешь ещё этих мягких французских булок", "日本語のテキストと漢字かな交じり文。カタカナ、ｶﾀｶﾅ",
    "中文文本，没有空格。繁體字", "한국어 텍스트 각 \u1100\u1161\u11a8 \uac00\u11a8", "שלום עולם", "مرحبا بالعالم، كيف الحال؟",
    "हिन्दी में पाठ क्षत्रिय", "ไทยไม่มีช่องว่าง", "தமிழ் తెలుగు ಕನ್ನಡ", "Ελληνικά κείμενο", "Հայերեն ქართული አማርኛ",
    "👋🌍 👨‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ❤️ 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "Z̸̢̛a̷l̶g̴o̸ ̶t̸e̵x̷t̸", "a\u200bb\u200cc\u200dd\ufeffe\u2060f", "\u202eright to left\u202c",
    "\x00\x01\x07\x08\x0b\x0c\x1b\x7f\x85", "�\ufffd \U0010ffff \ue000", "𝕳𝖊𝖑𝖑𝖔 𐐷 𠜎 𓀀", "▁ ▁▁ a▁b ▁ c", "Ġ Ċ ĉ Ā ġ", "<0x41> <0xFF> <0x+A>",
    "a" * 70, "ab" * 60, " " * 40, "\n" * 17, "x" + " " * 33 + "y", "-" * 65, "1" * 20, "é" * 50, "😀" * 20,
    "<s>Hello</s>", "Hi <|im_start|>user\nHello<|im_end|>\n<|endoftext|>", "a<unk>b <unk> c", "x [TOOL] y[TOOL]z  [TOOL]  ",
    "Token token TOKEN aTokenb Token.Token Token", "<|im_start|><|im_start|> <|im_end|", "</s></s> </s>", "<S>lower</S>",
]
SCRIPTS = [
    (0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0x97F),
    (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x20CF), (0x2000, 0x206F), (0x2100, 0x21FF), (0x3000, 0x30FF), (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3), (0xF900, 0xFFEF), (0x10000, 0x1FFFF), (0x1F300, 0x1FAFF), (0x0, 0x1F), (0x20000, 0x2FA1F), (0xE0000, 0xE01EF),
]
WORDS = "the of and to in was Mr said he's I'll 1999 42 ... , . ( ) \n \n\n \t {} == != => // # <br> Übung garçon слово 字 ».".split(" ")


def random_text(r):
    parts = []
    for _ in range(r.randint(1, 12)):
        kind = r.random()
        if kind < 0.45:
            parts.append(r.choice(WORDS))
        elif kind < 0.6:
            parts.append(" " * r.randint(1, 5))
        elif kind < 0.68:
            parts.append(r.choice(SPECIAL))
        elif kind < 0.74:
            parts.append(r.choice(["\n", "\r\n", "\t", "\u00a0", "'", "’", "▁", "\u0301", "\u0323", "s", "T"]) * r.randint(1, 3))
        else:
            low, high = r.choice(SCRIPTS)
            parts.append("".join(chr(r.randint(low, high)) for _ in range(r.randint(1, 6))))
        if r.random() < 0.4:
            parts.append(" ")
    return "".join(c for c in "".join(parts) if not 0xD800 <= ord(c) <= 0xDFFF)


def texts(count, seed):
    r = random.Random(seed)
    return HAND_MADE + [random_text(r) for _ in range(count)]
