#!/usr/bin/env python3
"""Does Transformers' own GGUF reader make the checkpoint's model of an artifact?

  transformers_gguf.py ART.gguf HF_DIR FIXTURE.json.gz [--limit 1e-4]

A second reader that shares no code with hallmark: it undoes llama.cpp's transforms by rules of its own (architectures
qwen35 and qwen35moe). Both models are run in float32, with eager attention and experts, over the fixture's prompts and
continuations. Printed: the tensors that differ and by how much, the tokens that are equal, the largest difference of a
logit. Status 1: a greedy token differs, or a logit by more than the limit.
"""
import argparse
import gzip
import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM


def load(folder, **more):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                experts_implementation="eager", **more).eval()


def cases(path):
    with gzip.open(path, "rt") as f:
        next(f)
        for line in f:
            case = json.loads(line)
            yield case["id"], case["prompt_ids"], case["generated_ids"]


def compare_weights(ours, theirs):
    other = dict(theirs.named_parameters())
    names, worst = 0, []
    for name, value in ours.named_parameters():
        twin = other.pop(name)
        if value.shape != twin.shape:
            sys.exit(f"{name}: shape {tuple(value.shape)}, expected {tuple(twin.shape)}")
        difference = (value - twin).abs().max().item()
        names += 1
        if difference:
            worst.append((difference, name))
    if other:
        sys.exit(f"not in the artifact: {', '.join(other)}")
    print(f"{names} tensors, {names - len(worst)} the same bits")
    kinds = {}
    for difference, name in worst:
        kind = name.split(".", 3)[-1] if name.startswith("model.layers.") else name
        count, most = kinds.get(kind, (0, 0.0))
        kinds[kind] = (count + 1, max(most, difference))
    for kind, (count, most) in sorted(kinds.items()):
        print(f"  {kind}: {count} differ, the most by {most:.3g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("checkpoint")
    parser.add_argument("fixture")
    parser.add_argument("--limit", type=float, default=1e-4)
    a = parser.parse_args()
    folder, name = os.path.split(os.path.abspath(a.artifact))
    ours, theirs = load(folder, gguf_file=name), load(a.checkpoint)
    compare_weights(ours, theirs)
    steps = equal = 0
    largest = 0.0
    for case, prompt, new in cases(a.fixture):
        ids = torch.tensor([prompt + new])
        with torch.no_grad():
            x, y = ours(ids).logits[0], theirs(ids).logits[0]
        x, y = x[len(prompt) - 1 : -1], y[len(prompt) - 1 : -1]
        same = int((x.argmax(-1) == y.argmax(-1)).sum())
        largest = max(largest, (x - y).abs().max().item())
        steps, equal = steps + len(new), equal + same
        if same != len(new):
            print(f"  {case}: {len(new) - same} of {len(new)} tokens differ")
    print(f"{equal} of {steps} tokens equal; the largest difference of a logit is {largest:.3g}")
    sys.exit(equal != steps or not largest <= a.limit)


if __name__ == "__main__":
    main()
