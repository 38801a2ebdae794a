#!/usr/bin/env python3
"""What Transformers' quantized cache costs a checkpoint, token by token: KL to the same model with a whole cache.

  pip install torch transformers safetensors optimum-quanto
  quanto_cache.py HF_DIR --text FILE [--tokens 512] [--skip 256] [--chunks 1] [--group 32] [--residual 128]

For checkpoints whose layers all have full attention: Transformers refuses a quantized cache for the others.
Everything in float32 with eager attention, batch 1. Each chunk of --tokens ids of the text, its first id replaced by
BOS where the tokenizer puts one, is fed token by token (teacher forcing); KL and the best ids are of the whole
vocabulary, in float64, at the positions skip .. tokens - 2, those that hallmark lab compares with --chunk and --skip.
Caches: 4 and 2 bits; keys along axis -1 (groups of tokens in a channel, as in the KIVI paper) and along axis 0 (groups
of channels in a token); values along axis 0. Beside quanto a whole cache fed in one pass is measured against the one
fed token by token: the noise of float32.

This is no KIVI; its figures are good for an order only:
- the first update is quantized and yet given back whole. It must hold whole groups of tokens, so the first --group ids
  are one update here, which the compared positions only see quantized;
- the residual grows from 0 to --residual - 1 tokens and then all of it is quantized, where KIVI's values always keep
  the newest --residual whole;
- an overflow quantizes everything again, the old blocks after dequantizing them.
"""
import argparse
import json
import sys
import warnings

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, QuantizedCache


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("checkpoint", metavar="HF_DIR")
    p.add_argument("--text", required=True, metavar="FILE")
    p.add_argument("--tokens", type=int, default=512)
    p.add_argument("--skip", type=int, default=256)
    p.add_argument("--chunks", type=int, default=1)
    p.add_argument("--group", type=int, default=32)
    p.add_argument("--residual", type=int, default=128)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    args = p.parse_args()
    if args.residual % args.group or not args.group <= args.skip < args.tokens - 1 or args.chunks < 1:
        p.error("--residual is a multiple of --group; --skip is at least --group and leaves positions to compare")
    return args


def chunks_of(args, tokenizer):
    with open(args.text, encoding="utf-8", newline="") as f:
        text = f.read()
    ids = tokenizer(text, add_special_tokens=False).input_ids
    whole = len(ids) // args.tokens
    if whole < args.chunks:
        sys.exit(f"{args.text}: {len(ids)} ids are {whole} whole chunks of {args.tokens}, {args.chunks} are needed")
    begins = tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id] and tokenizer.bos_token_id is not None
    for at in range(0, args.chunks * args.tokens, args.tokens):
        chunk = ids[at : at + args.tokens]
        yield torch.tensor([([tokenizer.bos_token_id] if begins else chunk[:1]) + chunk[1:]])


@torch.no_grad()
def log_probs(args, model, ids, cache, one_pass=False):
    """[positions, vocabulary] in float64, of skip .. tokens - 2."""
    if one_pass:
        logits = model(ids, past_key_values=cache, use_cache=True).logits[0, args.skip : -1]
        return logits.double().log_softmax(-1)
    model(ids[:, : args.group], past_key_values=cache, use_cache=True)
    rows = []
    for at in range(args.group, args.tokens - 1):
        logits = model(ids[:, at : at + 1], past_key_values=cache, use_cache=True).logits[0, 0]
        if at >= args.skip:
            rows.append(logits.double().log_softmax(-1))
    return torch.stack(rows)


def quantized(args, model, bits, axis_key):
    return QuantizedCache("quanto", model.config, nbits=bits, axis_key=axis_key, axis_value=0,
                          q_group_size=args.group, residual_length=args.residual)


def measure(args, model, tokenizer):
    ways = [("whole, one pass", None, None)]
    ways += [(f"quanto {bits} bits, keys along {axis}", bits, axis) for bits in (4, 2) for axis in (-1, 0)]
    kl = {name: [] for name, _, _ in ways}
    same = {name: [] for name, _, _ in ways}
    for ids in chunks_of(args, tokenizer):
        base = log_probs(args, model, ids, DynamicCache(config=model.config))
        for name, bits, axis in ways:
            cache = quantized(args, model, bits, axis) if bits else DynamicCache(config=model.config)
            other = log_probs(args, model, ids, cache, one_pass=bits is None)
            kl[name].append((base.exp() * (base - other)).sum(-1))
            same[name].append(base.argmax(-1) == other.argmax(-1))
    rows = []
    for name, bits, axis in ways:
        all_kl, all_same = torch.cat(kl[name]), torch.cat(same[name])
        rows.append({"cache": name, "bits": bits, "axis_key": axis, "tokens": len(all_kl),
                     "kl_mean": all_kl.mean().item(), "kl_median": all_kl.median().item(),
                     "kl_p99": all_kl.quantile(0.99).item(), "kl_max": all_kl.max().item(),
                     "top1": all_same.double().mean().item()})
    return rows


def main():
    args = parse_args()
    warnings.filterwarnings("ignore", ".*past_key_values", FutureWarning)   # `cache` from 5.24 on
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.checkpoint)
    model = AutoModelForCausalLM.from_pretrained(args.checkpoint, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    rows = measure(args, model, tokenizer)
    if args.json:
        print(json.dumps({"group": args.group, "residual": args.residual, "skip": args.skip, "candidates": rows}))
        return 0
    print(f"{'cache':28} {'tokens':>6} {'mean KL':>10} {'median':>10} {'p99':>10} {'max':>10} {'top-1':>8}")
    for r in rows:
        print(f"{r['cache']:28} {r['tokens']:6d} {r['kl_mean']:10.3g} {r['kl_median']:10.3g} {r['kl_p99']:10.3g} "
              f"{r['kl_max']:10.3g} {100 * r['top1']:7.2f}%")
    return 0


if __name__ == "__main__":
    sys.exit(main())
