#!/usr/bin/env bash
# The whole ladder of one model, made by hallmark and by llama-quantize from the same GGUF file, tensor data compared
# with cmp.
#   LLAMA_QUANTIZE=path ladder.sh HALLMARK SOURCE.gguf [--imatrix FILE]... [--types "q8_0 q4_k_m ..."] [--threads N]
#                       [--work DIR]
# SOURCE.gguf is in F32, F16 or BF16. Without --imatrix the ladder is made once, without one; each --imatrix
# (llama.cpp's GGUF form or .dat) adds a ladder made with it. Every file is proved by `hallmark derive` too. Exit
# status 1 when any tensor differs.
# llama-quantize must be built for x86-64 without FMA (-DGGML_NATIVE=OFF -DGGML_FMA=OFF ...): fused products round
# elsewhere.
set -euo pipefail
export LC_ALL=C
[ $# -ge 2 ] && [ -n "${LLAMA_QUANTIZE:-}" ] || { sed -n '2,10s/^# //p' "$0" >&2; exit 2; }
hallmark=$1 source=$2
shift 2
parent=${TMPDIR:-/tmp} threads=$(nproc) matrices=("")
types="f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k"
while [ $# -gt 0 ]; do
    case $1 in
    --imatrix) matrices+=("$2") ;; --types) types=$2 ;; --threads) threads=$2 ;; --work) parent=$2 ;;
    *) echo "ladder.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
work=$(mktemp -d "$parent/ladder.XXXXXX")
trap 'rm -rf "$work"' EXIT

# name, type, bytes and offset of every tensor, by name: the table that `hallmark inspect` prints, without its shapes.
tensors() {
    "$hallmark" inspect "$1" | awk '
        /^name .*offset$/ { on = 1; next }
        on && NF == 0     { exit }
        on                { print $1, $2, $(NF-1), $NF }' | sort
}

failed=0
printf '%-8s %-24s %8s %8s %14s  %s\n' type imatrix tensors equal "bytes compared" derive
for im in "${matrices[@]}"; do
    for t in $types; do
        "$hallmark" quantize "$source" -o "$work/ours.gguf" --type "$t" --threads "$threads" \
            ${im:+--imatrix "$im"} > "$work/log" 2>&1 ||
            { cat "$work/log" >&2; exit 1; }
        "$LLAMA_QUANTIZE" ${im:+--imatrix "$im"} "$source" "$work/theirs.gguf" "${t^^}" "$threads" > "$work/log" 2>&1 ||
            { tail -n 5 "$work/log" >&2; exit 1; }
        tensors "$work/ours.gguf" > "$work/ours"
        tensors "$work/theirs.gguf" > "$work/theirs"
        n=$(wc -l < "$work/ours") equal=0 bytes=0
        [ "$n" -gt 0 ] && [ "$n" -eq "$(wc -l < "$work/theirs")" ] ||
            { echo "ladder.sh: $t: another number of tensors" >&2; exit 1; }
        while read -r name type size at type2 size2 at2; do
            if [ "$type $size" = "$type2 $size2" ] &&
                cmp -s -i "$at:$at2" -n "$size" "$work/ours.gguf" "$work/theirs.gguf"; then
                equal=$((equal + 1)) bytes=$((bytes + size))
            else
                echo "  $t: tensor $name: ours $type, $size bytes; theirs $type2, $size2 bytes" >&2
            fi
        done < <(join "$work/ours" "$work/theirs")
        derive=yes
        "$hallmark" derive "$work/theirs.gguf" --from "$source" ${im:+--imatrix "$im"} > "$work/log" 2>&1 ||
            derive="NO: $(tail -n 1 "$work/log")"
        [ "$equal" -eq "$n" ] && [ "$derive" = yes ] || failed=1
        printf '%-8s %-24s %8d %8d %14d  %s\n' "$t" "$(basename "${im:-none}")" "$n" "$equal" "$bytes" "$derive"
    done
done
exit $failed
