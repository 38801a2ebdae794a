#!/usr/bin/env python3
"""Makes ids.txt.gz: hard random texts with the ids that Hugging Face's tokenizers gives them, and those ids' text.

    make_ids.py fixtures ids.txt.gz

One line a text: the checkpoint in fixtures/ (llama2: tiny-mistral as a folder of Llama's), the text in hex, its ids
with what the tokenizer puts first, the text of the ids with special tokens, and without; the two last in hex, or =
where the text itself comes back. Special is what is special in a GGUF file: llama.cpp's converter, and ours, make every
added token that is spelled <|...|> one. Made with tokenizers 0.23, transformers 5.24 and Python 3.11, whose Unicode is
14: later characters are left out.
"""
import gzip
import os
import random
import sys
import unicodedata

from tokenizers import Tokenizer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fixtures"))
from tiny import texts

CHECKPOINTS = ["tiny-gemma4", "tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3", "llama2"]
N_TEXTS = 1700              # for each

SPACES = [" ", "  ", "   ", " " * 17, "\t", "\t\t", "\n", "\n\n", "\n" * 5, "\r\n", "\r", " \n", "\n ", "\xa0",
          "\u3000", "\u2028", "\x85", "\u200b", "\v", "\f"]
CONTRACTIONS = ["'s", "'S", "'t", "'re", "'RE", "'ve", "'m", "'ll", "'Ll", "'d", "\u2019s", "'\u017f", "don't", "I'M",
                "it's", "'tis"]
DIGITS = ["0", "7", "12", "345", "6789", "1234567", "3.14", "1,000", "\u0661\u0662", "\u0967\u0968\u0969", "\xbd",
          "\u2167", "\u2460", "\uff11\uff12", "1e-5", "0x1F"]
MARKS = ["e\u0301", "\xe9", "a\u0308\u0301", "\u0301", "\u0316\u0301", "q\u0323\u0307", "\u1e69", "s\u0323\u0307",
         "\u212b", "\u2126", "\u0344", "\u0958", "\u1100\u1161\u11a8", "\uac01", "\u0928\u094d", "Z\u0351\u0343\u0313",
         "\u0130", "\xdf", "\ufb01", "\u01c5", "\u0f73"]
EMOJI = ["\U0001f642", "\U0001f469\u200d\U0001f52c", "\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f44d\U0001f3fd",
         "\U0001f1e9\U0001f1ea", "\U0001f1e9", "1\ufe0f\u20e3", "\u2764\ufe0f", "\u200d", "\ufe0f",
         "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"]
ODD = ["\0", "\x01", "\x1b[0m", "\x7f", "\ufeff", "\ufffd", "\ufffe", "\ue000", "\U0010fffd", "\u202e", "\xad",
       "\u2581", "\u2581\u2581", "<0x0A>", "<0xE9>", "\u0120", "\u010a", "##", "</w>", "<unk>"]
CODE = ["def f(x):\n    return x\n", "{\n\t\"a\": [1, 2]\n}", "a->b;", "//", "!=", "...", "--", "\\n",
        "http://a.b/c?d=e#f", "(", ")", "_", "$", "==" * 9, "/*", "*/"]
POOLS = [SPACES, SPACES, CONTRACTIONS, DIGITS, MARKS, EMOJI, ODD, CODE]


def character(rng):
    """Any assigned character; its script is drawn first, so that small ones come as often as large ones."""
    while True:
        low = rng.choice([0x20, 0x80, 0x100, 0x250, 0x2b0, 0x300, 0x370, 0x400, 0x530, 0x590, 0x600, 0x700, 0x780,
                          0x900, 0x980, 0xa00, 0xa80, 0xb00, 0xb80, 0xc00, 0xc80, 0xd00, 0xd80, 0xe00, 0xe80, 0xf00,
                          0x1000, 0x10a0, 0x1100, 0x1200, 0x13a0, 0x1780, 0x1800, 0x1e00, 0x1f00, 0x2000, 0x2100,
                          0x2200, 0x2460, 0x2600, 0x2c00, 0x3000, 0x30a0, 0x3400, 0x4e00, 0x6000, 0xa000, 0xac00,
                          0xf900, 0xfb00, 0xfe00, 0xff00, 0x10000, 0x10300, 0x11000, 0x12000, 0x13000, 0x16800,
                          0x1b000, 0x1d400, 0x1e900, 0x1f300, 0x1f600, 0x1f900, 0x20000, 0x2f800, 0xe0020])
        c = chr(low + rng.randrange(128))
        if unicodedata.category(c) not in ("Cn", "Cs"):
            return c


def known_text(rng, own):
    """A part of what the tokenizers learned from: long tokens and deep merges."""
    s = rng.choice(own)
    at = rng.randrange(len(s))
    return s[at:at + rng.randrange(1, 40)]


def part(rng, own, added):
    draw = rng.random()
    if draw < 0.30:
        return known_text(rng, own)
    if draw < 0.45:
        return "".join(character(rng) for _ in range(rng.randrange(1, 4)))
    if draw < 0.53:
        token = rng.choice(added)
        # Whole, a part of it, or with something in it: only the whole one is a token.
        return rng.choice([token, token, token, token[:-1], token[1:], token[:3] + " " + token[3:], token.upper()])
    if draw < 0.56:
        return rng.choice(rng.choice(POOLS)) * rng.randrange(2, 12)
    return rng.choice(rng.choice(POOLS))


def read_tokenizer(fixtures, name):
    """What AutoTokenizer makes of a folder: the file as it stands, but for Llama's class, which has its own rules."""
    if name != "llama2":
        return Tokenizer.from_file(os.path.join(fixtures, name, "tokenizer.json"))
    import transformers
    return transformers.LlamaTokenizer.from_pretrained(os.path.join(fixtures, "tiny-mistral"))._tokenizer


def main(fixtures, path):
    own, lines = texts.own_texts(), []
    for name in CHECKPOINTS:
        rng = random.Random(name)
        tok = read_tokenizer(fixtures, name)
        tokens = sorted(tok.get_added_tokens_decoder().items())
        added = [t.content for _, t in tokens]
        special = {i for i, t in tokens if t.special or t.content.startswith("<|") and t.content.endswith("|>")}
        for i in range(N_TEXTS):
            s = "".join(part(rng, own, added) for _ in range(i if i < 2 else rng.randrange(1, 7)))
            ids = tok.encode(s).ids
            without = [i for i in ids if i not in special]
            decoded = [tok.decode(kept, skip_special_tokens=False) for kept in (ids, without)]
            shown = ["=" if d == s else d.encode().hex() or "-" for d in decoded]
            lines.append(f"{name} {s.encode().hex() or '-'} {','.join(map(str, ids)) or '-'} {shown[0]} {shown[1]}\n")
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, mtime=0, filename="") as f:
        f.write("".join(lines).encode())


main(*sys.argv[1:])
