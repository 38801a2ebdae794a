#!/usr/bin/env bash
# What llama-quantize makes of small models with experts: the lines of tests/golden/experts.txt, on standard output.
#   LLAMA_QUANTIZE=path make_experts.sh EXPERTS_GOLDEN_TEST     (the built test, which writes models; gguf in python3)
# llama-quantize must be built for x86-64 without FMA (-DGGML_NATIVE=OFF -DGGML_FMA=OFF ...): fused products round
# elsewhere.
set -euo pipefail
[ $# -eq 1 ] && [ -n "${LLAMA_QUANTIZE:-}" ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
KEEP="$work" "$1" >&2
echo "# Q4_K_M as llama-quantize (llama-cpp-python 0.3.36's llama.cpp) makes it of the models of" \
    "tests/experts_golden_test.c"
echo "# (make_experts.sh): model, importance matrix, tensor, type, the first digits of SHA-256 over the tensor's bytes."
for model in gemma4-moe qwen3moe qwen35 qwen35moe; do
    for matrix in none matrix; do
        with=(); [ $matrix = none ] || with=(--imatrix "$work/$model.matrix.gguf")
        "$LLAMA_QUANTIZE" "${with[@]}" "$work/$model.f32.gguf" "$work/out.gguf" Q4_K_M 1 > "$work/log" 2>&1 ||
            { tail "$work/log" >&2; exit 1; }
        "${PYTHON:-python3}" - "$model $matrix" "$work/out.gguf" << 'PY'
import hashlib
import sys

from gguf import GGUFReader

for t in GGUFReader(sys.argv[2]).tensors:
    print(sys.argv[1], t.name, t.tensor_type.name, hashlib.sha256(t.data.tobytes()).hexdigest()[:16])
PY
    done
done
