#!/usr/bin/env python3
"""What llama-quantize chooses for published models, as cases of tests/golden/policy.txt.

    policy_golden.py LLAMA_QUANTIZE CONFIG_DIR... > cases.txt

For each CONFIG_DIR (fixtures/configs/NAME: a config.json) a GGUF file is written whose header is that of the model as
llama.cpp's converter would write it in BF16: all tensors with their real shapes, the keys that the choice looks at. Its
data is a hole of zeros, which llama-quantize --dry-run never reads; so a file of 70 GB takes no room. Needs the gguf
package. The format of a case is described at the head of policy.txt.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import gguf
import numpy as np

TYPES = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s",
         "q5_k_m", "q6_k", "f16", "bf16", "f32", "q4_0+i", "q5_0+i", "q4_k_m+i"]
LETTERS = {"f32": "F", "f16": "H", "bf16": "B", "q8_0": "8", "q4_0": "4", "q4_1": "t", "q5_0": "5", "q5_1": "u",
           "q2_K": "c", "q3_K": "d", "q4_K": "e", "q5_K": "f", "q6_K": "g"}


class Model:
    """An architecture, its keys, and its tensors: (name, shape in Hugging Face order)."""

    def __init__(self, arch):
        self.arch, self.keys, self.tensors = arch, {}, []

    def add(self, name, *shape):
        self.tensors.append((name, shape))

    def key(self, name, value):
        self.keys[name] = value


def mlp(m, p, hidden, ff, suffix=""):
    m.add(f"{p}ffn_gate{suffix}.weight", ff, hidden)
    m.add(f"{p}ffn_up{suffix}.weight", ff, hidden)
    m.add(f"{p}ffn_down{suffix}.weight", hidden, ff)


def experts(m, p, n, hidden, ff):
    m.add(p + "ffn_gate_inp.weight", n, hidden)
    m.add(p + "ffn_gate_exps.weight", n, ff, hidden)
    m.add(p + "ffn_up_exps.weight", n, ff, hidden)
    m.add(p + "ffn_down_exps.weight", n, hidden, ff)


def common(m, c, layers):
    m.key("block_count", layers)
    m.key("context_length", c["max_position_embeddings"])
    m.key("embedding_length", c["hidden_size"])
    m.key("feed_forward_length", c.get("intermediate_size", 0))
    m.key("attention.head_count", c["num_attention_heads"])
    m.key("attention.head_count_kv", c["num_key_value_heads"])
    m.key("attention.layer_norm_rms_epsilon", float(c["rms_norm_eps"]))
    m.add("token_embd.weight", c["vocab_size"], c["hidden_size"])
    m.add("output_norm.weight", c["hidden_size"])
    if not c.get("tie_word_embeddings", False):
        m.add("output.weight", c["vocab_size"], c["hidden_size"])


def gemma4_layer(m, c, i):
    p, full, h = f"blk.{i}.", c["layer_types"][i] == "full_attention", c["hidden_size"]
    size = c["global_head_dim"] if full else c["head_dim"]
    kv = (c["num_global_key_value_heads"] if full and c["attention_k_eq_v"] else None) or c["num_key_value_heads"]
    shared = i >= c["num_hidden_layers"] - c["num_kv_shared_layers"]
    for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
        m.add(f"{p}{norm}.weight", h)
    m.add(p + "layer_output_scale.weight", 1)
    m.add(p + "attn_q.weight", c["num_attention_heads"] * size, h)
    m.add(p + "attn_q_norm.weight", size)
    m.add(p + "attn_k.weight", kv * size, h)
    m.add(p + "attn_k_norm.weight", size)
    if not (full and c["attention_k_eq_v"]):
        m.add(p + "attn_v.weight", kv * size, h)
    m.add(p + "attn_output.weight", h, c["num_attention_heads"] * size)
    mlp(m, p, h, c["intermediate_size"] * (2 if shared and c.get("use_double_wide_mlp") else 1))
    if c.get("hidden_size_per_layer_input"):
        m.add(p + "inp_gate.weight", c["hidden_size_per_layer_input"], h)
        m.add(p + "proj.weight", h, c["hidden_size_per_layer_input"])
        m.add(p + "post_norm.weight", h)
    if c.get("enable_moe_block"):
        n, ff = c["num_experts"], c["moe_intermediate_size"]
        m.add(p + "ffn_gate_inp.weight", n, h)
        m.add(p + "ffn_gate_inp.scale", h)
        m.add(p + "ffn_gate_up_exps.weight", n, 2 * ff, h)
        m.add(p + "ffn_down_exps.weight", n, h, ff)
        m.add(p + "ffn_down_exps.scale", n)
        for norm in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
            m.add(f"{p}{norm}.weight", h)


def gemma4(c):
    m, n = Model("gemma4"), c["num_hidden_layers"]
    common(m, c, n)
    ple = c.get("hidden_size_per_layer_input") or 0
    full = [t == "full_attention" for t in c["layer_types"]]
    if c["attention_k_eq_v"]:
        kv_heads = ["num_global_key_value_heads" if f else "num_key_value_heads" for f in full]
        m.key("attention.head_count_kv", [c[n] for n in kv_heads])
    m.key("attention.key_length", c["global_head_dim"])
    m.key("attention.value_length", c["global_head_dim"])
    m.key("attention.key_length_swa", c["head_dim"])
    m.key("attention.value_length_swa", c["head_dim"])
    m.key("attention.sliding_window", c["sliding_window"])
    m.key("attention.sliding_window_pattern", [not f for f in full])
    m.key("attention.shared_kv_layers", c["num_kv_shared_layers"])
    m.key("embedding_length_per_layer_input", ple)
    if c.get("enable_moe_block"):
        m.key("expert_count", c["num_experts"])
        m.key("expert_used_count", c["top_k_experts"])
        m.key("expert_feed_forward_length", c["moe_intermediate_size"])
    m.add("rope_freqs.weight", c["global_head_dim"] // 2)
    if ple:
        m.add("per_layer_token_embd.weight", c["vocab_size_per_layer_input"], ple * n)
        m.add("per_layer_model_proj.weight", ple * n, c["hidden_size"])
        m.add("per_layer_proj_norm.weight", ple)
    for i in range(n):
        gemma4_layer(m, c, i)
    return m


def qwen35_layer(m, c, i, full):
    p, h = f"blk.{i}.", c["hidden_size"]
    m.add(p + "attn_norm.weight", h)
    m.add(p + "post_attention_norm.weight", h)
    if full:
        size = c["head_dim"]
        m.add(p + "attn_q.weight", 2 * c["num_attention_heads"] * size, h)
        m.add(p + "attn_k.weight", c["num_key_value_heads"] * size, h)
        m.add(p + "attn_v.weight", c["num_key_value_heads"] * size, h)
        m.add(p + "attn_output.weight", h, c["num_attention_heads"] * size)
        m.add(p + "attn_q_norm.weight", size)
        m.add(p + "attn_k_norm.weight", size)
    else:
        heads, value = c["linear_num_value_heads"], c["linear_num_value_heads"] * c["linear_value_head_dim"]
        channels = 2 * c["linear_num_key_heads"] * c["linear_key_head_dim"] + value
        m.add(p + "attn_qkv.weight", channels, h)
        m.add(p + "attn_gate.weight", value, h)
        m.add(p + "ssm_a", heads)
        m.add(p + "ssm_dt.bias", heads)
        m.add(p + "ssm_conv1d.weight", channels, c["linear_conv_kernel_dim"])
        m.add(p + "ssm_alpha.weight", heads, h)
        m.add(p + "ssm_beta.weight", heads, h)
        m.add(p + "ssm_norm.weight", c["linear_value_head_dim"])
        m.add(p + "ssm_out.weight", h, value)
    if "num_experts" in c:
        experts(m, p, c["num_experts"], h, c["moe_intermediate_size"])
        m.add(p + "ffn_gate_inp_shexp.weight", h)
        mlp(m, p, h, c["shared_expert_intermediate_size"], "_shexp")
    else:
        mlp(m, p, h, c["intermediate_size"])


def qwen35(c):
    moe, n, mtp = "num_experts" in c, c["num_hidden_layers"], c.get("mtp_num_hidden_layers", 0)
    m = Model("qwen35moe" if moe else "qwen35")
    common(m, c, n + mtp)
    m.key("attention.key_length", c["head_dim"])
    m.key("attention.value_length", c["head_dim"])
    m.key("ssm.conv_kernel", c["linear_conv_kernel_dim"])
    m.key("ssm.state_size", c["linear_key_head_dim"])
    m.key("ssm.group_count", c["linear_num_key_heads"])
    m.key("ssm.time_step_rank", c["linear_num_value_heads"])
    m.key("ssm.inner_size", c["linear_value_head_dim"] * c["linear_num_value_heads"])
    m.key("full_attention_interval", c["full_attention_interval"])
    m.key("rope.dimension_sections", [11, 11, 10, 0])
    m.key("nextn_predict_layers", mtp)
    if moe:
        m.key("expert_count", c["num_experts"])
        m.key("expert_used_count", c["num_experts_per_tok"])
        m.key("expert_feed_forward_length", c["moe_intermediate_size"])
        m.key("expert_shared_feed_forward_length", c["shared_expert_intermediate_size"])
        m.key("feed_forward_length", c["moe_intermediate_size"])
    for i in range(n):
        qwen35_layer(m, c, i, c["layer_types"][i] == "full_attention")
    for i in range(n, n + mtp):
        qwen35_layer(m, c, i, True)
        m.add(f"blk.{i}.nextn.eh_proj.weight", c["hidden_size"], 2 * c["hidden_size"])
        for norm in ("enorm", "hnorm", "shared_head_norm"):
            m.add(f"blk.{i}.nextn.{norm}.weight", c["hidden_size"])
    return m


def dense(c, arch):
    m, n, h = Model(arch), c["num_hidden_layers"], c["hidden_size"]
    size = c.get("head_dim") or h // c["num_attention_heads"]
    common(m, c, n)
    m.key("attention.key_length", size)
    m.key("attention.value_length", size)
    if (c.get("rope_scaling") or {}).get("rope_type") == "llama3":
        m.add("rope_freqs.weight", size // 2)
    if arch == "qwen3moe":
        m.key("expert_count", c["num_experts"])
        m.key("expert_used_count", c["num_experts_per_tok"])
        m.key("expert_feed_forward_length", c["moe_intermediate_size"])
    for i in range(n):
        p = f"blk.{i}."
        m.add(p + "attn_norm.weight", h)
        m.add(p + "ffn_norm.weight", h)
        m.add(p + "attn_q.weight", c["num_attention_heads"] * size, h)
        m.add(p + "attn_k.weight", c["num_key_value_heads"] * size, h)
        m.add(p + "attn_v.weight", c["num_key_value_heads"] * size, h)
        m.add(p + "attn_output.weight", h, c["num_attention_heads"] * size)
        if arch == "qwen2":
            m.add(p + "attn_q.bias", c["num_attention_heads"] * size)
            m.add(p + "attn_k.bias", c["num_key_value_heads"] * size)
            m.add(p + "attn_v.bias", c["num_key_value_heads"] * size)
        if arch.startswith("qwen3"):
            m.add(p + "attn_q_norm.weight", size)
            m.add(p + "attn_k_norm.weight", size)
        if arch == "qwen3moe":
            experts(m, p, c["num_experts"], h, c["moe_intermediate_size"])
        else:
            mlp(m, p, h, c["intermediate_size"])
    return m


def model_of(config):
    c = config.get("text_config", config)
    kind = c["model_type"]
    if kind.startswith("gemma4"):
        return gemma4(c)
    if kind.startswith("qwen3_5"):
        return qwen35(c)
    return dense(c, {"mistral": "llama", "qwen3_moe": "qwen3moe"}.get(kind, kind))


def is_f32(name, shape):
    """As llama.cpp's converter: vectors, norms, routers, convolutions and what does not end in .weight."""
    kept = ("ffn_gate_inp", "ssm_conv1d")
    return len(shape) < 2 or not name.endswith(".weight") or any(k in name for k in kept)


def write_gguf(m, path):
    w = gguf.GGUFWriter(path, m.arch)
    for name, v in m.keys.items():
        name = f"{m.arch}.{name}"
        if isinstance(v, list):
            w.add_array(name, v)
        elif isinstance(v, float):
            w.add_float32(name, v)
        else:
            w.add_uint32(name, v)
    size = 0
    for name, shape in m.tensors:
        f32 = is_f32(name, shape)
        n_bytes = int(np.prod(shape, dtype=np.int64)) * (4 if f32 else 2)
        kind = None if f32 else gguf.GGMLQuantizationType.BF16
        w.add_tensor_info(name, shape, np.dtype(np.float32) if f32 else np.dtype(np.uint16), n_bytes, raw_dtype=kind)
        size += -(-n_bytes // 32) * 32
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    w.close()
    at = os.path.getsize(path)
    os.truncate(path, -(-at // 32) * 32 + size)


def write_imatrix(path):
    """A matrix of one entry: the choice asks only whether there is one."""
    w = gguf.GGUFWriter(path, "")
    w.add_type("imatrix")
    w.add_array("imatrix.datasets", ["none"])
    w.add_uint32("imatrix.chunk_count", 1)
    w.add_uint32("imatrix.chunk_size", 512)
    w.add_tensor("blk.0.attn_k.weight.in_sum2", np.ones((1, 256), np.float32))
    w.add_tensor("blk.0.attn_k.weight.counts", np.ones((1, 1), np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


LINE = re.compile(r"^\[ *\d+/ *\d+\] +(\S+) +- \[.*\], type = +(\S+), .*?(?:MiB \((\w+)\))?$")


def choices(tool, path, kind, imatrix):
    """Tensor name -> letter."""
    args = [tool, "--dry-run"] + (["--imatrix", imatrix] if kind.endswith("+i") else [])
    r = subprocess.run(args + [path, os.devnull, kind.removesuffix("+i").upper()], capture_output=True, text=True)
    if r.returncode != 0:
        sys.exit(f"{path}: {kind}: {r.stdout[-800:]}{r.stderr[-800:]}")
    found = {}
    for line in (r.stdout + r.stderr).splitlines():
        hit = LINE.match(line)
        if hit:
            found[hit.group(1)] = LETTERS[hit.group(3) or hit.group(2)]
    return found


def case(tool, folder, work):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        m = model_of(json.load(f))
    path, imatrix = os.path.join(work, "m.gguf"), os.path.join(work, "imatrix.gguf")
    write_gguf(m, path)
    write_imatrix(imatrix)
    columns = [choices(tool, path, kind, imatrix) for kind in TYPES]
    kv = m.keys["attention.head_count_kv"]
    print(f"case {os.path.basename(os.path.normpath(folder))}: {m.keys['block_count']} layers, real shapes")
    print("model", m.arch, m.keys["block_count"], m.keys["attention.head_count"], kv[0] if isinstance(kv, list) else kv,
          m.keys.get("expert_count", 0), int(any(n == "output.weight" for n, _ in m.tensors)))
    for name, shape in m.tensors:
        letters = "".join(c[name] for c in columns)
        print("tensor", name, "F" if is_f32(name, shape) else "B", "x".join(map(str, shape)), letters)
    os.remove(path)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as work:
        for folder in sys.argv[2:]:
            case(sys.argv[1], folder, work)


main()
