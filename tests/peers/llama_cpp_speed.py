#!/usr/bin/env python3
"""Speed and memory of hallmark beside llama.cpp on the same GGUF files, in turn, as ratios of medians.

  pip install xllamacpp            (a built llama.cpp; its C functions are called directly, as llama-bench calls them)
  llama_cpp_speed.py HALLMARK ART.gguf... [--threads 2] [--prompt 128] [--gen 16] [--rounds 3]

llama.cpp with llama-bench's settings: F16 caches, flash attention where it chooses it, weights repacked where it has a
layout for them; hallmark as `bench` runs a file. Memory: of hallmark what bench counts (the file's mapping, cache,
buffers), of llama.cpp the most that was resident. Prints tokens a second of both (medians), ours / theirs, the same of
the best rounds, and how far apart the rounds were: on a busy machine the best are nearer the truth, since a thread that
waits for another, which does not run, costs llama.cpp's short steps most.
"""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time

from llama_cpp_tokens import N_BATCH, N_CTX, N_UBATCH, THREADS, THREADS_BATCH, Peer


class Timed(Peer):
    def __init__(self, path, n_prompt, n_gen, threads):
        super().__init__(path, 64)
        p = self.lib.llama_context_default_params()
        self.lib.llama_free.argtypes = [ctypes.c_void_p]
        self.lib.llama_free(self.ctx)
        for at, value in ((N_CTX, n_prompt + n_gen), (N_BATCH, 2048), (N_UBATCH, 512), (THREADS, threads),
                          (THREADS_BATCH, threads)):
            p.put(at, value)
        self.ctx = self.lib.llama_init_from_model(self.model, p)
        self.lib.llama_synchronize.argtypes = [ctypes.c_void_p]

    def run(self, n, each):
        """n tokens from an empty cache, `each` at a time; tokens a second."""
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.ctx), True)
        begun = time.perf_counter()
        for at in range(0, n, each):
            tokens = (ctypes.c_int32 * each)(*[(7 * (at + i) + 11) % self.n_vocab for i in range(each)])
            if self.lib.llama_decode(self.ctx, self.lib.llama_batch_get_one(tokens, each)) != 0:
                sys.exit("llama_decode failed")
            self.lib.llama_synchronize(self.ctx)
        return n / (time.perf_counter() - begun)


def serve(a):
    """The child: a line on standard input asks for a round, its answer is a line."""
    peer = Timed(a.artifacts[0], a.prompt, a.gen, a.threads)
    peer.run(a.prompt, a.prompt)
    peer.run(1, 1)
    for _ in sys.stdin:
        print(peer.run(a.prompt, a.prompt), peer.run(a.gen, 1), flush=True)


def peak_bytes(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(1024 * int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def ours(a, path):
    command = [a.hallmark, "bench", path, "--case", f"p{a.prompt}g1,p1g{a.gen}", "--threads", str(a.threads),
               "--repeat", "1", "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = child.stdout.read()
    if child.wait() != 0:
        sys.exit(f"{' '.join(command)}: status {child.returncode}")
    cases = json.loads(text)["cases"]
    return cases[0]["prefill_tok_s"], cases[1]["decode_tok_s"], cases[0]["memory_bytes"]


def compare(a, path):
    command = [sys.executable, __file__, "--serve", a.hallmark, path, "--threads", str(a.threads),
               "--prompt", str(a.prompt), "--gen", str(a.gen)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    us, them = [], []
    for _ in range(a.rounds):
        child.stdin.write("\n")
        child.stdin.flush()
        them.append([float(x) for x in child.stdout.readline().split()])
        us.append(ours(a, path))
    peak = peak_bytes(child.pid)
    child.stdin.close()
    child.wait()
    for i, what in enumerate((f"prefill {a.prompt}", f"decode {a.gen}")):
        x, y = [r[i] for r in us], [r[i] for r in them]
        mx, my = statistics.median(x), statistics.median(y)
        print(f"| {os.path.basename(path):<32} | {what:<11} | {mx:7.1f} | {my:7.1f} | {mx / my:5.2f} | "
              f"{max(x) / max(y):5.2f} | "
              f"{min(x):.1f}-{max(x):.1f} | {min(y):.1f}-{max(y):.1f} | {us[0][2] / 1e9:.2f} | {peak / 1e9:.2f} |",
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hallmark")
    parser.add_argument("artifacts", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--gen", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.serve:
        return serve(a)
    print("| model | case | hallmark | llama.cpp | ratio | of the best | "
          "hallmark's rounds | llama.cpp's rounds | GB | its GB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for path in a.artifacts:
        compare(a, path)


if __name__ == "__main__":
    main()
