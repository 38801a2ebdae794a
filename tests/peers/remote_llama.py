#!/usr/bin/env python3
"""Is a real llama.cpp server told from one that runs something else?
'hallmark verify --url' against the server in PyPI's xllamacpp.

  pip install xllamacpp
  remote_llama.py HALLMARK CHECKPOINT [--cases N] [--only-sound]

A checkpoint's F32 file with F32 caches must pass every step (exit 0). The same with q4_0 caches, another quantization
(Q8_0, Q4_K_M), and another model (the checkpoint with the halves of one tensor swapped) must be caught (exit 1), and
the report must name the first step that leaves. The Q4_K_M file must pass by its budget of drift. CHECKPOINT holds
fixtures/float32.json.gz. --cases takes that many of its cases (default: all). The text that the server prints is left
out.
"""
import argparse
import glob
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

F32, Q4_0, NO_FLASH, FLASH = 0, 2, 0, 1


def serve(path, cache, n_ctx, flash):
    """In a process of its own: the server of llama.cpp on a free port, until its input ends."""
    import xllamacpp

    p = xllamacpp.CommonParams()
    p.model.path = path
    p.n_ctx, p.n_parallel, p.port, p.warmup, p.verbosity = n_ctx, 1, 0, False, -1
    p.flash_attn_type = xllamacpp.llama_flash_attn_type(flash)
    p.cache_type_k = p.cache_type_v = xllamacpp.ggml_type(cache)
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
    p.sampling.no_perf = True
    server = xllamacpp.Server(p)
    print(f"\nLISTENING {server.listening_address}", flush=True)
    sys.stdin.read()
    os._exit(0)


class Server:
    def __init__(self, path, cache=F32, n_ctx=4096, flash=NO_FLASH):
        self.p = subprocess.Popen(
            [sys.executable, __file__, "--serve", path, str(cache), str(n_ctx), str(flash)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.p.stdout:
            if line.startswith("LISTENING "):
                self.url = line.split()[1].strip()
                return
        sys.exit(f"{path}: llama.cpp's server does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.stdin.close()
        self.p.stdout.close()
        self.p.wait(timeout=20)


def shorten(fixture, to, n):
    with gzip.open(fixture, "rt", encoding="utf-8") as f:
        header, lines = json.loads(next(f)), list(f)
    step = max(1, len(lines) // n)
    lines = lines[::step][:n]
    header["cases"] = len(lines)
    with gzip.open(to, "wt", encoding="utf-8") as f:
        f.write(json.dumps(header) + "\n" + "".join(lines))


def other_model(checkpoint, to):
    """The checkpoint with the halves of its largest tensor within a layer swapped: as good a file, another model."""
    shutil.copytree(checkpoint, to, ignore=shutil.ignore_patterns("fixtures"))
    largest, shard = (0, 0, 0), None
    for name in sorted(glob.glob(os.path.join(to, "*.safetensors"))):
        with open(name, "rb") as f:
            n = struct.unpack("<Q", f.read(8))[0]
            tensors = json.loads(f.read(n))
        for key, t in tensors.items():
            if ".layers." not in key or len(t["shape"]) != 2 or t["shape"][0] % 2:
                continue
            begin, end = t["data_offsets"]
            if end - begin > largest[0]:
                largest, shard = (end - begin, 8 + n + begin, 8 + n + end), name
    with open(shard, "r+b") as f:
        size, begin, end = largest
        f.seek(begin)
        data = f.read(size)
        f.seek(begin)
        f.write(data[size // 2 :] + data[: size // 2])
    return to


class Asked:
    def __init__(self, hallmark, fixture, work, failed):
        self.hallmark, self.fixture, self.work, self.failed = hallmark, fixture, work, failed

    def convert(self, checkpoint, kind):
        path = os.path.join(self.work, f"{os.path.basename(checkpoint)}-{kind}.gguf")
        if not os.path.exists(path):
            subprocess.run([self.hallmark, "convert", checkpoint, "--type", kind, "-o", path],
                           check=True, capture_output=True)
        return path

    def ask(self, what, want, path, more=(), **how):
        report, begin = os.path.join(self.work, "report.json"), time.time()
        with Server(path, **how) as s:
            run = subprocess.run(
                [self.hallmark, "verify", "--url", s.url, "--fixture", self.fixture, "--report", report, *more],
                capture_output=True, text=True)
        if run.returncode not in (0, 1):
            self.failed.append(what)
            print(f"FAILED {what}: exit {run.returncode}\n{run.stdout}{run.stderr}")
            return
        with open(report, encoding="utf-8") as f:
            r = json.load(f)
        f, first = r["fixtures"][0], [n for n in r["notes"] if n.startswith("the first step")]
        print(f"{what}: exit {run.returncode}, free run {f['free_run_equal']}/{f['cases']},"
              f" teacher-forced {f['teacher_forced_equal']}/{f['steps']} ({f['ties_differing']} at ties),"
              f" mean KL {f['kl_mean']:.3g} (limit {f['kl_limit']:.3g}), largest {f['kl_max']:.3g},"
              f" log-probabilities {f['logprob_diff_max']:.3g} (limit {f['logprob_limit'] or 0:.3g});"
              f" {time.time() - begin:.0f} s")
        for n in first + [x["text"] for x in f["failures"][:1]]:
            print(f"    {n}")
        if run.returncode != want or (want == 1 and (not f["failures"] or not first)):
            self.failed.append(what)
            print(f"FAILED {what}: exit {run.returncode}, expected {want}")


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
    args = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    args.add_argument("hallmark")
    args.add_argument("checkpoint")
    args.add_argument("--cases", type=int)
    args.add_argument("--only-sound", action="store_true",
                      help="the F32 file alone: what the gate's floors are taken from")
    a = args.parse_args()
    failed = []
    checkpoint = a.checkpoint.rstrip("/")
    with tempfile.TemporaryDirectory() as work:
        fixture = os.path.join(checkpoint, "fixtures", "float32.json.gz")
        if a.cases:
            shorten(fixture, os.path.join(work, "float32.json.gz"), a.cases)
            fixture = os.path.join(work, "float32.json.gz")
        asked = Asked(os.path.abspath(a.hallmark), fixture, work, failed)
        f32 = asked.convert(checkpoint, "f32")
        asked.ask("F32 file, F32 cache", 0, f32)
        if not a.only_sound:
            asked.ask("F32 file, q4_0 cache", 1, f32, cache=Q4_0, flash=FLASH)
            asked.ask("Q8_0 file, F32 cache", 1, asked.convert(checkpoint, "q8_0"))
            asked.ask("Q4_K_M file, F32 cache", 1, asked.convert(checkpoint, "q4_k_m"))
            asked.ask("another model", 1, asked.convert(other_model(checkpoint, os.path.join(work, "other")), "f32"))
            asked.ask("Q4_K_M file, by its budget of drift", 0, asked.convert(checkpoint, "q4_k_m"),
                      ("--drift", "Q4_K_M"))
    if failed:
        print(f"{len(failed)} failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
