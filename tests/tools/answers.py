#!/usr/bin/env python3
"""By hand: what --json prints, read by Python's json: every command on success, and ten kinds of error of each.

    tests/tools/answers.py build/hallmark

It works in a folder of its own, on the committed tiny checkpoint. Standard output must be one document and nothing
else; of an error the one with "error", whose status is the exit status and whose message stands on standard error."""
import json, os, pathlib, shutil, subprocess, sys, tempfile

HALLMARK = os.path.abspath(sys.argv[1])
TINY = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "tiny-gemma4"
FIXTURE = TINY / "fixtures" / "bfloat16.json.gz"

SUCCESS = {
    "convert": f"{TINY} -o c.gguf --type q8_0",
    "quantize": "bf16.gguf -o q.gguf --type q4_0",
    "verify": f"bf16.gguf --fixture {FIXTURE}",
    "run": "bf16.gguf -p ab -n 4",
    "bench": "bf16.gguf --case p4g2 --repeat 1",
    "inspect": "bf16.gguf",
    "release": f"{TINY} -o pub --types bf16",
    "check": "pub",
    "derive": f"bf16.gguf --from {TINY}",
    "imatrix": "bf16.gguf --text text --chunk 64 -o im.gguf",
    "lab": "bf16.gguf --kv q8_0 --text text --chunk 64",
}
# Of each command what must be there, with {} for the thing that is wrong in turn.
SHAPES = {
    "convert": "{} -o o.gguf", "quantize": "{} -o o.gguf --type q8_0", "verify": "{} --fixture " + str(FIXTURE),
    "run": "{} -p a", "bench": "{}", "inspect": "{}", "release": "{} -o pub2", "check": "{}",
    "derive": "{} --from " + str(TINY), "imatrix": "{} --text text -o o.gguf", "lab": "{} --kv q8_0 --text text",
}
WRONG_INPUTS = ["none", "empty", "junk", "folder", "cut.gguf"]          # missing, empty, no model, an empty folder, cut
WRONG_WORDS = ["--no-such", "--hepl", "--quiet=1", "--threads=0", "''"]  # options that are not, or are not so


def run(line):
    words = ["" if w == "''" else w for w in line.split()]
    p = subprocess.run([HALLMARK, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return p.returncode, p.stdout, p.stderr


def read(line, status, out, wrong):
    try:
        return json.loads(out)
    except ValueError as e:
        wrong.append(f"{line}: status {status}: no JSON document ({e}): {out[:200]!r}")
        return None


def check_error(line, wrong):
    status, out, err = run(line + " --json")
    j = read(line, status, out, wrong)
    if j is None:
        return
    verdict = isinstance(j, dict) and "error" not in j        # it ran, and the answer is no
    if verdict and status == 1:
        return
    e = j.get("error") if isinstance(j, dict) else None
    if not e or list(j) != ["error"]:
        wrong.append(f"{line}: status {status}: no error document: {out[:300]}")
    elif e["status"] != status or e["kind"] not in ("usage", "input", "system", "verdict"):
        wrong.append(f"{line}: status {status}: {e}")
    elif e["message"] not in err:
        wrong.append(f"{line}: standard error says something else: {err}")


def main():
    room, wrong = tempfile.mkdtemp(prefix="hallmark-answers-"), []
    os.chdir(room)
    pathlib.Path("text").write_text("the quick brown fox jumps over the lazy dog\n" * 12)
    pathlib.Path("empty").write_bytes(b"")
    pathlib.Path("junk").write_text("not a model")
    os.mkdir("folder")
    run(f"convert {TINY} -o bf16.gguf")
    pathlib.Path("cut.gguf").write_bytes(pathlib.Path("bf16.gguf").read_bytes()[:200000])
    n = 0
    for command, rest in SUCCESS.items():
        status, out, _ = run(f"{command} {rest} --json")
        j = read(command, status, out, wrong)
        if status != 0 or (isinstance(j, dict) and "error" in j):
            wrong.append(f"{command} {rest}: status {status}: {out[:300]}")
        n += 1
    for command, shape in SHAPES.items():
        for thing in WRONG_INPUTS:
            check_error(f"{command} {shape.format(thing)}", wrong)
        for word in WRONG_WORDS:
            check_error(f"{command} {shape.format('bf16.gguf')} {word}", wrong)
        n += len(WRONG_INPUTS) + len(WRONG_WORDS)
    for line in ("conver x", "x"):
        check_error(line, wrong)
        n += 1
    os.chdir("/")
    shutil.rmtree(room)
    print("\n".join(wrong + [f"{n} documents read, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
