#!/usr/bin/env python3
"""Which GGUF files does Transformers' own reader take?

  transformers_types.py FILE.gguf...

Of each file: the types of its blocks, and whether AutoModelForCausalLM.from_pretrained(gguf_file=) makes a model of it
whose logits are finite, or what it says. Status 0 whatever it says: what is refused is what measure/plan.h knows.
"""
import collections
import os
import sys

import torch
import transformers
from gguf import GGUFReader
from transformers import AutoModelForCausalLM

PLAIN = ("F32", "F16", "BF16")


def verdict(path):
    folder, name = os.path.split(os.path.abspath(path))
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
        with torch.no_grad():
            logits = model(torch.arange(1, 9)[None]).logits
    except Exception as e:      # whatever it is, it is the answer
        return f"{type(e).__name__}: {str(e).splitlines()[0][:100]}"
    return "read" if torch.isfinite(logits).all() else "read, and its logits are not finite"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    transformers.logging.set_verbosity_error()
    print(f"transformers {transformers.__version__}")
    for path in sys.argv[1:]:
        types = collections.Counter(t.tensor_type.name for t in GGUFReader(path).tensors)
        blocks = " ".join(f"{n} {t}" for t, n in sorted(types.items()) if t not in PLAIN)
        print(f"{os.path.basename(path)}: {blocks or 'no blocks'}: {verdict(path)}", flush=True)


if __name__ == "__main__":
    main()
