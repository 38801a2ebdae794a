#!/usr/bin/env python3
"""Do documents and fixtures/hf_fixture.py say the same of its command line?

  fixture_usage.py ROOT

The script's own parser is run, with stand-ins for numpy and torch, which it does not need for that. The usage at its
head is held against --help: the same options, the default that each value is, the same choices. Every command line in
the script's head, README.md and fixtures/README.md must be one that the parser takes. Exit status 1, and a line for
each that differs.
"""
import contextlib
import io
import os
import re
import shlex
import sys
import types


def stand_in(name, **members):
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module
    return module


def load(path):
    """The script as a module. Of torch it names a class to inherit from, and functions that run only later."""
    members = {"__getattr__": lambda self, name: any_name, "__call__": lambda self, *_: any_name}
    any_name = type("any_name", (), members)()
    stand_in("numpy", __getattr__=lambda name: any_name)
    overrides = stand_in("torch.overrides", TorchFunctionMode=object)
    stand_in("torch", overrides=overrides, __getattr__=lambda name: any_name)
    script = types.ModuleType("hf_fixture")
    script.__file__ = path
    with open(path, encoding="utf-8") as f:
        text = f.read()
    exec(compile(text, path, "exec"), vars(script))
    return script


def run(script, words):
    """(what the parser made of them, or None; what it printed)."""
    said = io.StringIO()
    sys.argv = words
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            return script.parse_args(), said.getvalue()
        except SystemExit as end:
            return None, said.getvalue() or str(end)


def command_lines(text):
    """Lines that call the script, without the interpreter and what follows a '#'; a shell variable that begins one is
    put in."""
    for variable, begin in re.findall(r'^\s+(\w+)="(python3 [^"]*hf_fixture\.py [^"]*)"$', text, re.MULTILINE):
        text = text.replace("$" + variable, begin)
    for found in re.findall(r"^\s+(?:python3 )?((?:fixtures/)?hf_fixture\.py [^#\n]*)", text, re.MULTILINE):
        yield found.strip()


def usage_of(text):
    """The first command line that the script's head shows, with the lines that go on from it."""
    first, rest = re.search(r"^(  hf_fixture\.py .*)\n((?:   .*\n)*)", text, re.MULTILINE).groups()
    return " ".join([first, *(line.strip() for line in rest.splitlines())])


def check_usage(script, usage, wrong):
    """`--dtype float32|bfloat16`, `--tokens 64`: an option with its choices, its default, or the name of a value."""
    _, text = run(script, ["hf_fixture.py", "--help"])
    options = text[text.index("options:"):] if "options:" in text else ""
    if not options:
        wrong.append("--help lists no options")
    taken, _ = run(script, ["hf_fixture.py", "HF_DIR", "-o", "FIX.json.gz"])
    for name, value in re.findall(r"\[--([a-z]+) ([^\]]+)\]", usage):
        help_of = re.search(rf"--{name} (\S+)", options)
        if not help_of:
            wrong.append(f"the usage line has --{name}, --help has no such option")
        elif "|" in value and help_of.group(1).rstrip(",") != "{" + value.replace("|", ",") + "}":
            wrong.append(f"the usage line has --{name} {value}, --help {help_of.group(1)}")
        elif value.isdigit() and getattr(taken, name, None) != int(value):
            wrong.append(f"the usage line has --{name} {value}, the default is {getattr(taken, name, None)}")
    if not re.search(r"^  hf_fixture\.py HF_DIR -o FIX\.json\.gz \[--dtype ", usage):
        wrong.append(f"found the usage line '{usage}', expected HF_DIR, -o FIX.json.gz and options")


def main():
    root, wrong = sys.argv[1], []
    script = load(os.path.join(root, "fixtures", "hf_fixture.py"))
    # Whatever a document names is there.
    os.path.isfile = lambda path: True
    isdir, os.path.isdir = os.path.isdir, lambda path: not path.endswith(".gz")
    usage = usage_of(script.__doc__)
    check_usage(script, usage, wrong)
    texts = {"hf_fixture.py": script.__doc__}
    for name in ("README.md", "fixtures/README.md"):
        with open(os.path.join(root, name), encoding="utf-8") as f:
            texts[name] = f.read()
    n = 0
    for name, text in texts.items():
        for line in command_lines(text):
            if "[" in line:
                continue                            # a usage line
            n += 1
            taken, said = run(script, shlex.split(line))
            if taken is None:
                wrong.append(f"{name}: '{line}' is refused: {said.strip().splitlines()[-1]}")
    os.path.isdir = isdir
    print(f"hf_fixture.py: its usage line, and {n} command lines in {len(texts)} documents")
    if n < 10:
        wrong.append(f"found {n} command lines, expected at least 10")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
