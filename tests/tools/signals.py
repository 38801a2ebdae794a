#!/usr/bin/env python3
"""By hand: each signal, twenty times, at a random instant of every long command. Nothing may be left, the exit status
must be 130, 143 or 129, and the end must come within a second.

    tests/tools/signals.py build/hallmark [ROUNDS]

It works in a folder of its own, on the committed tiny checkpoint, and prints a line for each command and signal."""
import os, pathlib, random, shutil, signal, subprocess, sys, tempfile, time

HALLMARK = os.path.abspath(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 20
TINY = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "tiny-gemma4"
FIXTURE = TINY / "fixtures" / "bfloat16.json.gz"
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

# What the command leaves when it is finished stands after the bar.
COMMANDS = [
    f"convert {TINY} -o c.gguf --type q4_k_m | c.gguf",
    f"convert {TINY} -o k.gguf --type q4_k_m --calibrate text | k.gguf",
    "quantize bf16.gguf -o q.gguf --type q4_k_m | q.gguf",
    "quantize bf16.gguf -o m.gguf --budget 5bpw --text text --samples 1 --chunk 32 | m.gguf",
    "imatrix bf16.gguf --text text --chunk 64 -o im.gguf | im.gguf",
    "lab bf16.gguf --kv q8_0 --kv q4_0 --text text --chunk 64 --report lab.json | lab.json",
    f"verify bf16.gguf --fixture {FIXTURE} --report v.json | v.json",
    f"release {TINY} -o pub --types bf16,q4_k_m | pub",
    f"derive bf16.gguf --from {TINY} |",
    f"check bf16.gguf --fixture {FIXTURE} |",
    "bench bf16.gguf --case p64g16,s512 --repeat 20 |",
    "run bf16.gguf -p ab -n 400 --ignore-eos |",
]


def fresh_signals():
    for s in STATUS:
        signal.signal(s, signal.SIG_DFL)


def start(words, room):
    env = dict(os.environ, TMPDIR=str(room))
    return subprocess.Popen([HALLMARK, *words], cwd=room, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, preexec_fn=fresh_signals)


def clean(room, keep):
    left = [p.name for p in room.iterdir() if p.name not in keep]
    for name in left:
        path = room / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return left


def once(words, result, room, keep, sig, whole):
    p = start(words, room)
    time.sleep(random.uniform(0.01, whole))
    sent = time.monotonic()
    p.send_signal(sig)
    said = p.communicate()[1]
    took = time.monotonic() - sent
    left = [n for n in clean(room, keep) if not (result and n.startswith(result) and "partial" not in n)]
    if left:
        return "left", f"{left} is left: {said}", took
    if p.returncode == STATUS[sig]:
        return "ended", "" if "interrupted by " + sig.name in said else f"does not say so: {said}", took
    # Before main has begun the system ends it, as a shell shows by the same status.
    early = p.returncode == -sig and not said
    return "early" if early else "finished", "" if early or p.returncode in (0, 1) else f"{p.returncode}: {said}", took


def main():
    room = pathlib.Path(tempfile.mkdtemp(prefix="hallmark-signals-"))
    (room / "text").write_text("".join(f"the quick brown fox number {i} jumps over the dog\n" for i in range(90)))
    subprocess.run([HALLMARK, "convert", str(TINY), "-o", "bf16.gguf", "-q"], cwd=room, check=True,
                   stdout=subprocess.DEVNULL)
    keep = {"text", "bf16.gguf"}
    wrong = 0
    for line in COMMANDS:
        command, result = (part.strip() for part in line.split("|"))
        began = time.monotonic()
        start(command.split(), room).communicate()
        whole = time.monotonic() - began
        clean(room, keep)
        for sig in STATUS:
            counts, slowest = {"ended": 0, "early": 0, "finished": 0, "left": 0}, 0.0
            while counts["ended"] < ROUNDS and sum(counts.values()) < 10 * ROUNDS:
                kind, problem, took = once(command.split(), result, room, keep, sig, whole * 0.95)
                counts[kind] += 1
                if kind == "ended":
                    slowest = max(slowest, took)
                if problem or (kind == "ended" and took >= 1.0):
                    wrong += 1
                    print(f"WRONG {command}: {sig.name}: {problem or f'{took:.2f} s until the end'}")
            print(f"{command.split()[0]:9} {sig.name:8} {counts}, slowest end {slowest * 1000:.0f} ms", flush=True)
    shutil.rmtree(room)
    print("nothing wrong" if wrong == 0 else f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
