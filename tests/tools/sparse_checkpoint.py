#!/usr/bin/env python3
"""A checkpoint of a published model's real shapes whose weights are holes: 62 GB that take a few MB of disk.

  sparse_checkpoint.py CONFIG.json OUT_DIR --tokenizer TINY_DIR [--layers N] [--random] [--shard 5]

Shapes come from Transformers, which builds the model of the config without memory; the tokenizer is that of a
tiny checkpoint, grown to as many entries as the config promises. For measuring how a converter's memory and planning
grow, not for any output.
--layers takes N layers, the last among them; --random fills the weights (normal, 0.02) instead of leaving holes;
--shard: GB a file.
"""
import argparse
import json
import os
import shutil

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

PAGE = 4096


def shapes(config):
    with torch.device("meta"):
        kind = AutoModelForImageTextToText if hasattr(config, "text_config") else AutoModelForCausalLM
        model = kind.from_config(config, dtype=torch.bfloat16)
    tied = set(model.all_tied_weights_keys or {})
    named = [(n, list(t.shape)) for n, t in model.state_dict().items() if n not in tied]
    return [(n, s) for n, s in named if "vision" not in n and "visual" not in n and "audio" not in n]


def cut_layers(config, n):
    """The first n - 1 layers and the last, which in Gemma attends to everything; where layers share keys and values,
    the last of those that have them and the last of all, so that each kind of layer is on both sides."""
    text = config.get_text_config()
    of_all, shared = text.num_hidden_layers, getattr(text, "num_kv_shared_layers", 0) or 0
    kept = list(range(n - 1)) + [of_all - 1]
    if shared:
        kept = list(range(of_all - shared - (n - n // 2), of_all - shared)) + list(range(of_all - n // 2, of_all))
    for key in ("layer_types", "mlp_layer_types"):
        if getattr(text, key, None):
            setattr(text, key, [getattr(text, key)[i] for i in kept])
    of_layer = {int(k): v for k, v in text.to_dict().get("per_layer_config", {}).items()}
    if of_layer:
        text.per_layer_config = {str(j): of_layer[i] for j, i in enumerate(kept) if i in of_layer}
    text.num_hidden_layers = n
    if shared:
        text.num_kv_shared_layers = min(shared, n // 2)


def norm_value(name, model_type):
    """Qwen 3.5 adds 1 to its norms' weights, but for those of delta nets."""
    return 0.0 if model_type.startswith("qwen3_5") and "linear_attn" not in name else 1.0


def write_file(path, tensors, random, model_type):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % PAGE)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        if random:
            for name, shape in tensors:
                flat = torch.empty(int(np.prod(shape)), dtype=torch.bfloat16)
                if "norm" in name and len(shape) == 1:
                    flat.fill_(norm_value(name, model_type))
                else:
                    flat.normal_(0, 0.02)
                flat.view(torch.int16).numpy().tofile(f)
        f.truncate(8 + len(text) + at)
    return at


def grow_tokenizer(source, out, n):
    """The tokenizer of a tiny checkpoint with as many entries as the config promises: two tokens and their merge at a
    time."""
    with open(os.path.join(source, "tokenizer.json")) as f:
        doc = json.load(f)
    model, taken = doc["model"], {t["id"] for t in doc["added_tokens"]}
    vocab, merges = model["vocab"], model["merges"]
    for t in doc["added_tokens"]:       # those behind the vocabulary would move with its end
        vocab.setdefault(t["content"], t["id"])
    parts = [t for t in vocab if t.isalpha()]
    used = taken | set(vocab.values())
    free = (i for i in range(n) if i not in used)
    pairs = ((a, b) for a in parts for b in parts)
    left = n - len(used)
    while left > 0:
        a, b = next(pairs)
        if a + b in vocab:
            continue
        vocab[a + b] = next(free)
        merges.append([a, b])
        left -= 1
    with open(os.path.join(out, "tokenizer.json"), "w") as f:
        json.dump(doc, f, ensure_ascii=False)
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        if os.path.exists(os.path.join(source, name)):
            shutil.copy(os.path.join(source, name), out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("out")
    parser.add_argument("--tokenizer", required=True, help="folder of a tiny checkpoint of the family")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--shard", type=float, default=5.0)
    a = parser.parse_args()
    with open(a.config) as f:
        raw = json.load(f)
    config = AutoConfig.for_model(**raw)
    if a.layers:
        cut_layers(config, a.layers)
    config.architectures = raw.get("architectures")
    os.makedirs(a.out)
    config.save_pretrained(a.out)
    shards, size = [[]], 0
    for name, shape in shapes(config):
        n = 2 * int(np.prod(shape))
        if shards[-1] and size + n > a.shard * 1e9:
            shards, size = shards + [[]], 0
        shards[-1].append((name, shape))
        size += n
    index, total = {}, 0
    for i, tensors in enumerate(shards):
        name = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
        total += write_file(os.path.join(a.out, name), tensors, a.random, config.model_type)
        index |= {t: name for t, _ in tensors}
    if len(shards) > 1:
        with open(os.path.join(a.out, "model.safetensors.index.json"), "w") as f:
            json.dump({"metadata": {"total_size": total}, "weight_map": index}, f)
    grow_tokenizer(a.tokenizer, a.out, config.get_text_config().vocab_size)
    print(f"{a.out}: {len(index)} tensors, {total / 1e9:.1f} GB in {len(shards)} files")


if __name__ == "__main__":
    main()
