#!/usr/bin/env python3
"""What llama-perplexity says that a cache costs a model, beside what hallmark lab says, on the same text and chunks.

  lab_perplexity.py --bin DIR --model BASE-F32.gguf --text FILE --work DIR [--hallmark PROGRAM] [--caches q8_0,q4_0]

DIR of --bin has llama-perplexity and llama-tokenize. The base is the F32 file with F32 caches and without flash
attention: with it, llama.cpp rounds F32 caches to F16. Each cache is run rotated (llama.cpp's default) and with
LLAMA_ATTN_ROT_DISABLE=1; caches of floats with flash attention and without. Without --hallmark only llama.cpp's half is
run.

llama-perplexity cuts the text's ids into chunks of --chunk, puts BOS in the place of each chunk's first id (only where
the vocabulary asks for one; the text's own first id is then BOS too), and compares the positions chunk/2 .. chunk - 2,
each with the id after it. hallmark lab compares skip .. chunk - 2 and puts BOS in the place of the first id too, but
begins without one, so it is given the same text behind one id more. That ids and chunks are the same is checked in two
ways: with llama-tokenize, and with the base's mean negative log likelihood, which both must give.

Status 1: the base's likelihoods differ; or a figure of ours is above 1.1 of llama.cpp's where that is above 0.0001; or
two caches stand in another order although llama.cpp's figures differ by more than their standard errors.
"""
import argparse
import array
import itertools
import json
import math
import os
import re
import struct
import subprocess
import sys

FLOATS = ("f16", "bf16")
CACHES = FLOATS + ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
TRIES = 4
LIMIT_RATIO, LIMIT_KL = 1.1, 1e-4
LIMIT_NLL = 2e-4        # of the base: llama-perplexity keeps it in 16 bits of a range of 16, a step of 0.00024
LIMIT_BELOW = 16        # how far below that range a next id is thought to be, where it is clamped there
PREFIXES = ("\n", ".\n", "a\n", "\n\n", "# ")
FIGURES = {"kl": r"Mean    KLD: +(\S+) ± +(\S+)", "kl_median": r"Median  KLD: +(\S+)",
           "kl_p999": r"99.9%   KLD: +(\S+)", "kl_max": r"Maximum KLD: +(\S+)",
           "top1": r"Same top p: +(\S+) ± +(\S+)",
           "ppl": r"Mean PPL\(Q\) +: +(\S+)", "ppl_base": r"Mean PPL\(base\) +: +(\S+)"}


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", required=True, metavar="DIR", help="folder of llama-perplexity and llama-tokenize")
    p.add_argument("--model", required=True, metavar="GGUF")
    p.add_argument("--text", required=True, metavar="FILE")
    p.add_argument("--work", required=True, metavar="DIR", help="for logits and what was measured; made if needed")
    p.add_argument("--hallmark", metavar="PROGRAM")
    p.add_argument("--caches", default=",".join(CACHES))
    p.add_argument("--chunk", type=int, default=512)
    p.add_argument("--chunks", type=int, default=0, help="at most so many (default: all whole ones)")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    args.caches = args.caches.split(",")
    unknown = [c for c in args.caches if c not in CACHES]
    if unknown or args.chunk < 4 or args.chunk % 2:
        p.error(f"caches are {', '.join(CACHES)}; a chunk is even")
    return args


def run(command, **environment):
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout, done.stderr


def perplexity(args, cache, flash, rotated, more):
    command = [os.path.join(args.bin, "llama-perplexity"), "-m", args.model, "-c", str(args.chunk),
               "-b", str(args.chunk), "-t", str(args.threads), "-ctk", cache, "-ctv", cache,
               "-fa", "on" if flash else "off", *more]
    return "".join(run(command, LLAMA_ATTN_ROT_DISABLE="0" if rotated else "1"))


def base_logits(args):
    """The base's logits, and the ids that stand at the file's beginning: [chunks x chunk], with BOS only as the text's
    first. The file is kept for a second run; it is made anew where the text or the model is newer."""
    path = os.path.join(args.work, "base.logits")
    newest = max(os.path.getmtime(args.model), os.path.getmtime(args.text))
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        part = path + ".partial"
        chunks = ["--chunks", str(args.chunks)] if args.chunks else []
        perplexity(args, "f32", False, True, ["-f", args.text, "--save-all-logits", part, *chunks])
        os.rename(part, path)
    with open(path, "rb") as f:
        if f.read(8) != b"_logits_":
            sys.exit(f"{path}: no file of llama-perplexity")
        n_ctx, _, n_chunks = struct.unpack("<Iii", f.read(12))
        if n_ctx != args.chunk:
            sys.exit(f"{path}: made with a chunk of {n_ctx}, expected {args.chunk}; remove it")
        ids = array.array("i", f.read(4 * n_ctx * n_chunks))
    return path, ids, n_chunks


def clamped(path, ids, chunk, n_chunks):
    """Positions whose next id the base's file keeps at the end of its range: its likelihood was lower. A row has its
    scale and its lowest log-probability, two floats, and a code of 16 bits for each id, an even number of them."""
    with open(path, "rb") as f:
        n_vocab = struct.unpack("<8xIii", f.read(20))[1]
        at, row, n = 20 + 4 * len(ids), 2 * (2 * ((n_vocab + 1) // 2) + 4), 0
        for i in range(n_chunks):
            for p in range(chunk // 2, chunk - 1):
                f.seek(at + 8 + 2 * ids[i * chunk + p + 1])
                n += f.read(2) == b"\0\0"
                at += row
    return n


def figures(printed):
    """None where the end is missing: on a busy machine llama-perplexity sometimes exits before its log is written."""
    found = {}
    for name, pattern in FIGURES.items():
        match = re.search(pattern, printed)
        if not match:
            return None
        found[name] = float(match[1].rstrip("%"))
        if match.re.groups == 2:
            found[name + "_error"] = float(match[2].rstrip("%"))
    return found


def measured(args, logits, cache, flash, rotated):
    """A row of figures. Each is kept in a file of its own, so that a run that was ended goes on."""
    path = os.path.join(args.work, f"{cache}-{'flash' if flash else 'plain'}-{'rot' if rotated else 'norot'}.json")
    if os.path.exists(path) and os.path.getmtime(path) >= os.path.getmtime(logits):
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    for _ in range(TRIES):
        printed = perplexity(args, cache, flash, rotated, ["--kl-divergence", "--kl-divergence-base", logits])
        found = figures(printed)
        if found:
            break
    else:
        sys.exit(f"{cache}: llama-perplexity prints no figures, {TRIES} times:\n{printed[-2000:]}")
    row = {"cache": cache, "flash": flash, "rotated": rotated and cache not in FLOATS + ("f32",), **found}
    with open(path, "w", encoding="utf-8") as f:
        json.dump(row, f)
    return row


def llama_rows(args, logits):
    rows = []
    ways = [("f32", True, True)] + [(cache, True, True) for cache in args.caches]      # llama.cpp's defaults first
    ways += [(cache, False, True) if cache in FLOATS else (cache, True, False) for cache in args.caches]
    for cache, flash, rotated in ways:
        row = measured(args, logits, cache, flash, rotated)
        print(f"llama.cpp {spec_of(row):12} flash {'on ' if flash else 'off'}"
              f" KL {row['kl']:.6f} ± {row['kl_error']:.6f}  median {row['kl_median']:.6f}"
              f"  99.9% {row['kl_p999']:.4f}  top-1 {row['top1']:.2f} %", flush=True)
        rows.append(row)
    return rows


def spec_of(row):
    return row["cache"] + (":rot" if row["rotated"] else "")


def tokenize(args, text):
    path = os.path.join(args.work, "tokenized.txt")
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)
    out, _ = run([os.path.join(args.bin, "llama-tokenize"), "-m", args.model, "-f", path, "--ids", "--no-bos",
                  "--no-escape", "--no-parse-special", "--log-disable"])
    return json.loads(out)


def lab_text(args, ids):
    """The text for hallmark lab: its whole chunks are llama-perplexity's. Where that begins with BOS, one id
    precedes."""
    with open(args.text, encoding="utf-8", newline="") as f:
        text = f.read()
    plain = tokenize(args, text)
    has_bos = list(ids) != plain[: len(ids)]
    if list(ids[has_bos:]) != plain[: len(ids) - has_bos]:
        sys.exit("llama-tokenize gives other ids than llama-perplexity used")
    if has_bos:
        fitting = (p for p in PREFIXES if (t := tokenize(args, p + text))[1:] == plain and len(t) == len(plain) + 1)
        prefix = next(fitting, None)
        if prefix is None:
            sys.exit("no text of one id was found that can stand before the text")
        text = prefix + text
    path = os.path.join(args.work, "lab.txt")
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)
    return path


def lab_candidates(args, text, specs):
    command = [args.hallmark, "lab", args.model, "--text", f"mixed={text}", "--chunk", str(args.chunk), "--skip",
               str(args.chunk // 2), "--threads", str(args.threads), "--json"]
    out, _ = run(command + [word for spec in specs for word in ("--kv", spec)])
    with open(os.path.join(args.work, "lab.json"), "w", encoding="utf-8") as f:
        f.write(out)
    return {c["kv"]: c for c in json.loads(out)["candidates"]}


def compare(args, rows, ids, n_chunks, n_clamped):
    """Prints both halves, and says what is wrong. Caches of floats have a row with flash attention and one without."""
    specs = list(dict.fromkeys(spec_of(r) for r in rows if r["cache"] != "f32"))
    lab = lab_candidates(args, lab_text(args, ids), specs)
    wrong = []
    points = n_chunks * (args.chunk // 2 - 1)
    print(f"\n{'cache':12} {'flash':5} {'llama.cpp KL':>14} {'top-1':>7}   {'hallmark KL':>12} {'top-1':>7}   ratio")
    for row in rows:
        ours = lab.get(spec_of(row))
        if not ours:
            if row["cache"] != "f32":
                wrong.append(f"{spec_of(row)}: hallmark lab has no such candidate, but {', '.join(lab)}")
            continue
        ratio = ours["kl_mean"] / row["kl"] if row["kl"] > 0 else math.nan
        print(f"{spec_of(row):12} {'on' if row['flash'] else 'off':5} {row['kl']:14.6f} {row['top1']:6.2f}%   "
              f"{ours['kl_mean']:12.6f} {100 * ours['top1']:6.2f}%   {ratio:5.3f}")
        if not args.chunks and ours["tokens"] != points:
            wrong.append(f"{spec_of(row)}: {ours['tokens']} positions compared, llama-perplexity compares {points}")
        nll = math.log(row["ppl_base"])
        if not -LIMIT_NLL < ours["nll_base"] - nll < LIMIT_NLL + n_clamped * LIMIT_BELOW / points:
            wrong.append(f"{spec_of(row)}: the base's mean negative log likelihood is {ours['nll_base']:.6f}, "
                         f"llama.cpp's {nll:.6f}: other ids, or another model")
        if row["kl"] > LIMIT_KL and not ratio <= LIMIT_RATIO and (row["flash"] or row["cache"] not in FLOATS):
            wrong.append(f"{spec_of(row)}: {ratio:.3f} of llama.cpp's figure, at most {LIMIT_RATIO} is expected")
    return wrong + swapped([r for r in rows if r["flash"] and spec_of(r) in lab], lab)


def swapped(rows, lab):
    wrong = []
    for a, b in itertools.combinations(rows, 2):
        clear = abs(a["kl"] - b["kl"]) > math.hypot(a["kl_error"], b["kl_error"])
        ours = lab[spec_of(a)]["kl_mean"] - lab[spec_of(b)]["kl_mean"]
        if clear and (a["kl"] - b["kl"]) * ours < 0:
            wrong.append(f"{spec_of(a)} and {spec_of(b)} stand in another order")
    return wrong


def main():
    args = parse_args()
    os.makedirs(args.work, exist_ok=True)
    logits, ids, n_chunks = base_logits(args)
    with open(os.path.join(args.work, "ids.json"), "w", encoding="utf-8") as f:
        json.dump({"chunk": args.chunk, "chunks": n_chunks, "ids": list(ids)}, f)
    print(f"{n_chunks} chunks of {args.chunk}: {n_chunks * (args.chunk // 2 - 1)} positions compared", flush=True)
    rows = llama_rows(args, logits)
    if not args.hallmark:
        return 0
    n_clamped = clamped(logits, ids, args.chunk, n_chunks)
    print(f"{n_clamped} positions have a next id below the range that the base's file keeps", flush=True)
    wrong = compare(args, rows, ids, n_chunks, n_clamped)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
