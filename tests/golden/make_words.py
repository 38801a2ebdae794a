#!/usr/bin/env python3
"""Makes words.txt.gz: random texts with the words that Hugging Face's tokenizers cut them into, and their NFC.

One line a text: the name of arch/pretok.c's row, the text in hex, the end of each word in bytes, the NFC in hex. Needs
the tokenizers package; made with tokenizers 0.23 and Python 3.11, whose Unicode is 14, as PCRE2 10.42's is: later
characters are left out.
"""
import gzip, random, sys, unicodedata
from tokenizers import Regex, normalizers, pre_tokenizers

CONTRACTIONS, SPACES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PATTERNS = {
    "llama-bpe": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES,
    "qwen2": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES,
    "qwen35": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + SPACES,
    "tekken": rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}"
              r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES,
}
cutters = {name: pre_tokenizers.Split(Regex(p), "isolated") for name, p in PATTERNS.items()}
cutters["gpt-2"] = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
cutters["smollm"] = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), cutters["gpt-2"]])

POOL = ["a", "b", "S", "\u017f", "K", "\u212a", "'s", "'S", "'\u017f", "'LL", "'ll", "'Re", " ", "  ", "\t", "\n",
        "\r\n", "\x85", "\xa0", "\u180e", "\u200b", "\u2028", "\u3000", "1", "22", "\u0663", "\u2167", "\xbd", "\xe9",
        "e\u0301", "\u0301\u0316", "\u4e2d", "\u6587", "\u0939", "\u093f", "\u0928\u094d", "\U0001f600",
        "\U0001f469\u200d\U0001f469", "\U0001f1e9\U0001f1ea", ".", ",", "!!", "_", "-", "/", "\xad", "\u03a3", "\xdf",
        "\u0130", "\u01c5", "\u02b0", "\u05d0", "\u0628", "\ud55c", "\u1100\u1161", "\ufeff", "\0", "\x1f", "\x7f",
        "\ufb01", "\u2126",
        "\u0344", "\uff71", "\uff19",
        # The reference's NFC is of Unicode 9: marks that are younger have no order, and the last but one stays two
        # characters.
        "a\u0d3b\u0302", "\u0301\u0898\u0316", "\U00011935\U00011930\u0301", "\U00011938"]


def character(rng):
    while True:
        c = chr(rng.choice([rng.randrange(32, 0x250), rng.randrange(0x300, 0x3000), rng.randrange(0x1f000, 0x1fa00)]))
        if unicodedata.category(c) not in ("Cn", "Cs"):
            return c


def main(path):
    rng = random.Random(7)
    lines = []
    for name, cutter in cutters.items():
        for _ in range(1700):
            s = "".join(rng.choice(POOL) if rng.random() < 0.8 else character(rng) for _ in range(rng.randrange(1, 14)))
            ends = [len(s[:b].encode()) for _, (a, b) in cutter.pre_tokenize_str(s)]
            nfc = normalizers.NFC().normalize_str(s)
            lines.append(f"{name} {s.encode().hex()} {','.join(map(str, ends))} {nfc.encode().hex()}\n")
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, mtime=0, filename="") as f:
        f.write("".join(lines).encode())


main(sys.argv[1])
