#!/usr/bin/env python3
"""Does huggingface_hub read in a release's model card what the source's card says?

  hub_card.py --tool build/tests/card_tool [--card README.md]

Cards of a matrix are written as a source's README.md; card_tool makes the front matter of each, with a body behind it,
which ModelCard.load reads. The source's values are read by PyYAML with every scalar as it is written (a release's
card keeps "no" a language). With --card a published card is read as well, and must name library, relation and tag.
Needs: pip install huggingface_hub. Status 1: a value differs.
"""
import argparse
import itertools
import os
import subprocess
import sys
import tempfile

import yaml
from huggingface_hub import ModelCard

TEXTS = ["apache-2.0", "no", "on", "y", "null", "~", "1.0", "1e3", "0x1f", "2024-01-01", "12:30:45", "a: b", "a #b",
         "- a", "'quoted'", '"quoted"', "back\\slash", "tab\there", "line\nbreak", "---", "...",
         "\u00e9\u4e2d\U0001f600", "\x1b[0m", "\u202eabc", "\u2028", "\u0085", "\ufeff", "%TAG", "@at",
         "`tick`", "{a: b}", "[a]", "*star", "&anchor", "!tag",
         "|", ">", "a" * 200, " space ", "?", "=", "<<", ".inf", ".nan", "True", "OFF", "x\u200by", "trailing\\"]
LISTS = [["en"], ["en", "no", "de"], ["a", "a", "b"], TEXTS, []]


def cards():
    yield {}
    for text in TEXTS:
        yield {"license": text, "license_name": text, "license_link": text, "pipeline_tag": text, "language": text,
               "tags": [text]}
    for a, b in itertools.product(LISTS, LISTS):
        yield {"language": a, "tags": b, "license": ["mit", "apache-2.0"]}


def written(values):
    return "---\n" + yaml.safe_dump(values, allow_unicode=False, sort_keys=False) + "---\n# source\n"


def plain(text):
    """As every text of a source's card is taken: YAML's null in plain style, and "", say nothing."""
    return text if text else None


def expected(values):
    out = {"library_name": "gguf", "pipeline_tag": "text-generation", "base_model": "org/name",
           "base_model_relation": "quantized", "quantized_by": "some: \"body\""}
    for key in ("license", "license_name", "license_link", "pipeline_tag", "language"):
        v = values.get(key)
        v = list(dict.fromkeys(t for t in v if plain(t))) if isinstance(v, list) else plain(v)
        if v:
            out[key] = v
    tags = list(dict.fromkeys(values.get("tags") or []))
    out["tags"] = tags if "gguf" in tags else tags + ["gguf"]
    return out


def loaded(path):
    return {k: v for k, v in ModelCard.load(path).data.to_dict().items() if v is not None}


def check(tool, folder, values):
    source, card = os.path.join(folder, "README.md"), os.path.join(folder, "card.md")
    with open(source, "w", encoding="utf-8", newline="") as f:
        f.write(written(values))
    command = [tool, "front", folder, "org/name", "some: \"body\""]
    front = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    with open(card, "wb") as f:
        f.write(front + b"\n# body\n\n---\nkey: value\n---\n")
    got, want = loaded(card), expected(values)
    if got == want:
        return True
    for key in sorted(set(got) | set(want)):
        if got.get(key) != want.get(key):
            print(f"{key}: found {got.get(key)!r}, expected {want.get(key)!r}")
    return False


def check_published(path):
    data = loaded(path)
    ok = data.get("library_name") == "gguf" and "gguf" in data.get("tags", []) and "pipeline_tag" in data
    ok = ok and ("base_model" in data) == (data.get("base_model_relation") == "quantized")
    print(f"{path}: {data}")
    return ok


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tool", required=True)
    p.add_argument("--card", action="append", default=[])
    args = p.parse_args()
    n = bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for values in cards():
            n += 1
            bad += not check(args.tool, folder, values)
    bad += sum(not check_published(path) for path in args.card)
    print(f"{n} cards and {len(args.card)} published ones, {bad} of them read otherwise")
    sys.exit(1 if bad else 0)


main()
