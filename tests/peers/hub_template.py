#!/usr/bin/env python3
"""Do the Go templates of a Modelfile put a conversation as the source's Jinja template does?

  hub_template.py --tool build/tests/card_tool --go PATH/TO/go

Each Jinja template is rendered as Transformers renders it (without its BOS, which Ollama's tokenizer puts there); the
Go template that card_tool makes of it by Go's own text/template, with the values that Ollama gives it: System, the
texts of all system messages, and Messages, where neighbours of one role are one message. Needs: pip install jinja2;
Go 1.18 or later (Debian: golang-go). Status 1: a prompt differs, or a template is not recognised.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

from jinja2.sandbox import ImmutableSandboxedEnvironment

CHATML = ("{% for message in messages %}@{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
          "'<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
DEFAULT = ("{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a helpful AI "
           "assistant named X, made by Y<|im_end|>\\n' }}{% endif %}")
LLAMA3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
          "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + "
          "'<|eot_id|>' %}"
          "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")
GEMMA = ("{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}"
         "{%- set prefix = messages[0]['content'] + '\\n\\n' -%}{%- set rest = messages[1:] -%}"
         "{%- else -%}{%- set prefix = '' -%}{%- set rest = messages -%}{%- endif -%}"
         "{%- for message in rest -%}"
         "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}"
         "{{ '<start_of_turn>' + role + '\\n' + (prefix if loop.first else '') }}{{ message['content'] | trim }}"
         "{{ '<end_of_turn>\\n' }}{%- endfor -%}"
         "{%- if add_generation_prompt -%}{{'<start_of_turn>model\\n'}}{%- endif -%}")
MISTRAL = ("{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
           "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
           "{{ message['content'] + eos_token}}{% endif %}{% endfor %}")
TEMPLATES = {"ChatML": (CHATML.replace("@", ""), "<|im_end|>"), "Llama 3": (LLAMA3, "<|eot_id|>"),
             "ChatML, own prompt": (CHATML.replace("@", DEFAULT), "<|im_end|>"), "Gemma": (GEMMA, "<eos>"),
             "Mistral": (MISTRAL, "</s>"),
             "ChatML, lines": (CHATML.replace("@", DEFAULT).replace("\\n", "\n"), "<|im_end|>")}

TURNS = [("user", "Hi there"), ("assistant", "Hello {{ .x }}"), ("user", "A\n\nlonger \"one\"\n# x"),
         ("assistant", "Ok"), ("user", "\u4e2d")]
TALKS = [TURNS[:1], TURNS[:3], TURNS, [("system", "Be brief")] + TURNS[:1], [("system", "Be brief")] + TURNS]

GO = r"""
package main

import ("encoding/json"; "fmt"; "os"; "strings"; "text/template")

type Message struct { Role, Content string }
type Job struct { Template string; Messages []*Message }

func main() {
	var jobs []Job
	if err := json.NewDecoder(os.Stdin).Decode(&jobs); err != nil { panic(err) }
	var out []string
	for _, j := range jobs {
		var system []string
		for _, m := range j.Messages { if m.Role == "system" { system = append(system, m.Content) } }
		t := template.Must(template.New("").Option("missingkey=zero").Parse(j.Template))
		var b strings.Builder
		v := map[string]any{"System": strings.Join(system, "\n\n"), "Messages": j.Messages, "Response": ""}
		if err := t.Execute(&b, v); err != nil { panic(err) }
		out = append(out, b.String())
	}
	text, _ := json.Marshal(out)
	fmt.Println(string(text))
}
"""


def jinja(template, eos, talk):
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    messages = [{"role": r, "content": c} for r, c in talk]
    return env.from_string(template).render(messages=messages, bos_token="", eos_token=eos, add_generation_prompt=True)


def go_templates(tool, folder):
    out = {}
    for name, (template, eos) in TEMPLATES.items():
        path = os.path.join(folder, "t.jinja")
        with open(path, "w", encoding="utf-8") as f:
            f.write(template)
        run = subprocess.run([tool, "template", path, eos], stdout=subprocess.PIPE)
        if run.returncode:
            print(f"{name}: not recognised")
        else:
            out[name] = run.stdout.decode()
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tool", required=True)
    p.add_argument("--go", required=True)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        go = go_templates(args.tool, folder)
        jobs = [(name, talk) for name in go for talk in TALKS
                if not (name == "Mistral" and talk[0][0] == "system")]      # which that template has no place for
        source = os.path.join(folder, "main.go")
        with open(source, "w", encoding="utf-8") as f:
            f.write(GO)
        text = json.dumps([{"Template": go[n], "Messages": [{"Role": r, "Content": c} for r, c in t]} for n, t in jobs])
        run = subprocess.run([args.go, "run", source], input=text.encode(), stdout=subprocess.PIPE, check=True)
    bad = len(TEMPLATES) - len(go)
    for (name, talk), got in zip(jobs, json.loads(run.stdout)):
        want = jinja(*TEMPLATES[name], talk)
        if got != want:
            bad += 1
            print(f"{name}, {len(talk)} messages: found {got!r}, expected {want!r}")
    print(f"{len(jobs)} prompts of {len(go)} templates, {bad} differ")
    sys.exit(1 if bad else 0)


main()
