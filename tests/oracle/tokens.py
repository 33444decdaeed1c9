#!/usr/bin/env python3
"""Golden data of engine/text: tokens of hard strings as transformers' CLIPTokenizer gives them.

Made with transformers 5.24.0 (tokenizers backend). Writes tests/golden/tokens/:
  strings.txt   a string a line, JSON-escaped
  clip.txt      its tokens by CLIP's own vocabulary of 49,408 words, without begin and end
  tiny.txt      and by tiny-emoji's
usage: tokens.py   (CLIP's vocabulary is derived from packaging/data/clip/merges.txt)
"""
import json
import os
import random
import tempfile

from transformers import CLIPTokenizer

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
OUT = os.path.join(TOP, "tests", "golden", "tokens")

STRINGS = [
    "", " ", "a", "A", "red apple", "  a   photo\tof\na  cat ", "a photo of an astronaut riding a horse on mars",
    "it's he'll they're we've I'm you'd don't", "IT'S HE'LL THEY'RE WE'VE I'M YOU'D DON'T", "it’s ’s", "''s '' 'x 're'st",
    "rock'n'roll o'clock 's's", "a_b __init__ snake_case", "1234567890", "3.14 2,000 1e-5", "512x768 8k 4K uhd", "²½¾ ① Ⅷ ٣ ৪",
    "hello, world! (a:1.3) [b|c] ((d)) {e}", "!!! ??? ... --- *** ###", "<lora:foo:0.8> <|x|>", "<|startoftext|>", "<|endoftext|>",
    "a<|endoftext|>b", "!<|endoftext|>!!", "A <|ENDOFTEXT|>!! b", "!!<|EndOfText|>!!x", "<|STARTOFTEXT|>y", "x<|startoftext|>",
    "&amp; &lt;b&gt; &#39;", "caffè latte", "café", "cafe\u0301", "e\u0301e\u0308o\u0302", "ÀÉÎÕÜ ÇÑ ŠŽ", "İstanbul ıIiİ", "Straße STRASSE ẞ",
    "ΑΣ ΣΑΣ ὈΔΥΣΣΕΎΣ", "Привет МИР ёЁ", "你好，世界", "日本語のテキスト カタカナ", "한국어 텍스트", "각 \u1100\u1161\u11a8", "مرحبا بالعالم", "שלום עולם", "สวัสดีชาวโลก",
    "हिन्दी नमस्ते", "தமிழ்", "ქართული ᲥᲐᲠᲗᲣᲚᲘ", "Ꭰ ꭰ", "Ⱥ Ⱦ ẞ Ω K Å", "ﬁ ﬂ ﬃ ﬀ", "ｆｕｌｌ ｗｉｄｔｈ １２３ ＡＢＣ", "𝕳𝖊𝖑𝖑𝖔 𝒜𝒷𝒸", "🍎", "🍎🍎 apple🍎", "👩‍👩‍👧‍👦 family",
    "🏳️‍🌈 ❤️ ☺︎", "👍🏽👎🏿", "🇩🇪🇯🇵", "a\u200bb \u200e\u200f\ufeff", "a\u00a0b\u3000c\u2028d\u0085e\u1680f\u202fg\u205fh", "\u00adsoft\u00adhyphen",
    "a\x00b\x01c\x7fd\x1be", "tab\tnew\nline\rreturn\x0bvt\x0cff", "\x1c\x1d\x1e\x1f", "…“quoted”„low‟ «guillemets» ‹x›", "–—―‐‑", "€£¥₽₿ ©®™", "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋", "→⇒↔ ■□▲△",
    "naïve façade résumé", "Zürich Ångström Øre", "dž Ǆ ǅ ǆ Ǉ ǈ", "ſ K Å", "ŉ ǰ ΐ ΰ և ẖ", "ᾳ ᾼ ᾲ ᾶ", "\u0345\u0399", "Ι\u0308\u0301", "q\u0307\u0323 q\u0323\u0307", "\u0958 \u0929 \u0344",
    "\u212b \u2126 \u1e9b\u0323", "가 \uac00 \u1100\u1161", "\ud7a3\u11a7", "\u0f71\u0f72\u0f80", "\ufb1d \ufb2a", "\U0001d15e \U0001d400", "\ue000\uf8ff private", "\ufffd\ufffe",
    "pneumonoultramicroscopicsilicovolcanoconiosis", "a" * 300, "ab" * 150, "xyzzy" * 40, "!" * 200, "1" * 90, "é" * 80, "🍎" * 40, "word " * 100, "a, " * 120,
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "masterpiece, best quality, ultra-detailed, 1girl, (looking at viewer:1.2), sunset, bokeh", "lowres, bad anatomy, bad hands, text, error, missing fingers",
    "portrait of sks dog, 50mm f/1.8, ISO 100, --ar 3:2", "http://example.com/a?b=c&d=e#f", "user@example.org", "C:\\path\\file.txt", "#hashtag @mention $var %20",
    "don''t ''''s", "'", "\"", "\\n \\t", "a'b'c'd", "s's t't re're", "'S 'T 'RE", "'LL'll'lL", "rock 'n' roll", "l'été d'or", "O'Neill's", "it's1's2", "a's!s's",
]


def more(count):
    """Random mixtures of what is above, the same each time."""
    rng = random.Random(7)
    pieces = [p for s in STRINGS for p in s.split(" ") if p and len(p) < 40]
    joints = [" ", " ", " ", "", ",", ", ", "-", "'", "\u00a0", ". "]
    for _ in range(count):
        yield "".join(rng.choice(pieces) + rng.choice(joints) for _ in range(rng.randint(1, 9)))


def clip_folder(folder):
    merges = open(os.path.join(TOP, "packaging/data/clip/merges.txt"), encoding="utf-8").read().split("\n")[1:-1]
    bs = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    cs, n = bs[:], 0
    for b in range(256):
        if b not in bs:
            bs.append(b)
            cs.append(256 + n)
            n += 1
    chars = [chr(c) for c in cs]
    vocab = chars + [c + "</w>" for c in chars] + ["".join(m.split()) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    json.dump({v: i for i, v in enumerate(vocab)}, open(folder + "/vocab.json", "w", encoding="utf-8"), ensure_ascii=False)
    open(folder + "/merges.txt", "w", encoding="utf-8").write("#version: 0.2\n" + "\n".join(merges) + "\n")
    return folder


def main():
    os.makedirs(OUT, exist_ok=True)
    strings = STRINGS + list(more(220 - len(STRINGS)))
    with open(OUT + "/strings.txt", "w", encoding="utf-8") as file:
        file.write("".join(json.dumps(s) + "\n" for s in strings))
    with tempfile.TemporaryDirectory() as folder:
        tokenizers = {
            "clip": CLIPTokenizer(clip_folder(folder) + "/vocab.json", folder + "/merges.txt"),
            "tiny": CLIPTokenizer.from_pretrained(os.path.join(TOP, "packaging/models/tiny-emoji/tokenizer")),
        }
        for name, tokenizer in tokenizers.items():
            with open(f"{OUT}/{name}.txt", "w", encoding="utf-8") as file:
                for s in strings:
                    ids = tokenizer(s).input_ids[1:-1]
                    file.write(" ".join(map(str, ids)) + "\n")


if __name__ == "__main__":
    main()
