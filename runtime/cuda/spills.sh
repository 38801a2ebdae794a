#!/usr/bin/env bash
# Lists registers, stack bytes and spills of every kernel, those with spills first: spills.sh NVCC ARCH...
# Reads what ptxas says under -v; nothing is kept.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
nvcc=$1
shift
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for arch in "$@"; do
    for source in "$here"/*.cu "$here"/../../quant/cuda/*.cu; do
        "$nvcc" -std=c++17 --fmad=false -O3 -gencode "arch=compute_$arch,code=sm_$arch" -Xptxas -v \
            -c "$source" -o "$out/object" 2> "$out/log" ||
            { cat "$out/log" >&2; exit 1; }
        # Three lines a kernel: Compiling entry function 'NAME' ..., N bytes stack frame, S bytes spill stores,
        # L bytes spill loads, Used R registers.
        awk -v arch="sm_$arch" '
            /Compiling entry function/ { split($0, q, "\047"); name = q[2] }
            /bytes stack frame/ {
                for (i = 1; i <= NF; i++) {
                    if ($(i+1) == "bytes" && $(i+2) == "stack") stack = $i
                    if ($(i+1) == "bytes" && $(i+3) ~ /^stores/) st = $i
                    if ($(i+1) == "bytes" && $(i+3) ~ /^loads/) ld = $i
                }
            }
            /Used [0-9]+ registers/ {
                for (i = 1; i <= NF; i++) if ($i == "Used") print st + ld, arch, $(i+1), stack, name
            }' "$out/log" >> "$out/table"
    done
done
printf '%12s %6s %10s %12s  %s\n' "spill bytes" arch registers "stack bytes" kernel
sort -k1,1nr -k5,5 -k2,2 "$out/table" | c++filt | awk '{
    line = $0; n = $1; a = $2; r = $3; s = $4
    sub(/^[^ ]+ [^ ]+ [^ ]+ [^ ]+ /, "", line)
    sub(/\(.*/, "", line)
    printf "%12d %6s %10d %12d  %s\n", n, a, r, s, line
}'
awk '{ if ($1 > 0) k++ } END { printf "%d kernels, %d with spills\n", NR, k + 0 }' "$out/table"
