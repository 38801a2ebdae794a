#!/usr/bin/env python3
"""Is our importance matrix llama.cpp's, of the same file, text and chunks?

  llama-imatrix -m F32.gguf -f TEXT -c 128 -b 128 -ub 128 -fa off -ctk f32 -ctv f32 -o theirs.gguf
  hallmark imatrix F32.gguf --text TEXT --chunk 128 -o ours.gguf
  llama_imatrix.py ours.gguf theirs.gguf [--limit 1e-4]

Of every tensor: the counts, for each expert, must be equal, and each row of sums near the other program's: the largest
difference of a sum by the largest sum of its row. Printed by kinds of tensors. Status 1: a tensor that one of them
lacks, another count, or a difference of more than the limit.
"""
import argparse
import re
import sys

import numpy as np
from gguf import GGUFReader


def entries(path):
    found = {}
    for t in GGUFReader(path).tensors:
        name, _, part = t.name.rpartition(".")
        values = np.array(t.data, dtype=np.float64)
        found.setdefault(name, {})[part] = values
    for name, parts in found.items():
        parts["counts"] = parts["counts"].reshape(-1)
        parts["in_sum2"] = parts["in_sum2"].reshape(len(parts["counts"]), -1)
    return found


def compare(ours, theirs):
    """How many counts differ, by how much at most, and the largest relative difference of a sum."""
    if ours["in_sum2"].shape != theirs["in_sum2"].shape:
        sys.exit(f"shapes {ours['in_sum2'].shape} and {theirs['in_sum2'].shape}")
    moved = np.abs(ours["counts"] - theirs["counts"])
    scale = np.maximum(np.abs(ours["in_sum2"]).max(axis=1, keepdims=True), 1e-30)
    off = (np.abs(ours["in_sum2"] - theirs["in_sum2"]) / scale).max(axis=1)
    same = off[moved == 0]
    return int((moved > 0).sum()), moved.max(), float(same.max()) if same.size else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ours")
    parser.add_argument("theirs")
    parser.add_argument("--limit", type=float, default=1e-4)
    a = parser.parse_args()
    ours, theirs = entries(a.ours), entries(a.theirs)
    for who, more in (("ours", ours.keys() - theirs.keys()), ("llama-imatrix's", theirs.keys() - ours.keys())):
        if more:
            print(f"only {who}: {', '.join(sorted(more))}")
    kinds, failed = {}, ours.keys() != theirs.keys()
    for name in sorted(ours.keys() & theirs.keys()):
        rows, most, off = compare(ours[name], theirs[name])
        kind = kinds.setdefault(re.sub(r"^blk\.\d+\.", "", name), [0, 0, 0, 0.0, 0.0])
        kind[0] += 1
        kind[1] += len(ours[name]["counts"])
        kind[2] += rows
        kind[3] = max(kind[3], most)
        kind[4] = max(kind[4], off)
    print(f"{'kind':<26} {'tensors':>7} {'rows':>5} {'other counts':>12} {'by at most':>10} {'sums off by':>11}")
    for name, (tensors, rows, other, most, off) in sorted(kinds.items()):
        print(f"{name:<26} {tensors:>7} {rows:>5} {other:>12} {most:>10.0f} {off:>11.2g}")
        failed |= other > 0 or not off <= a.limit
    sys.exit(failed)


if __name__ == "__main__":
    main()
