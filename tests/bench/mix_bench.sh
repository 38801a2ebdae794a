#!/usr/bin/env bash
# What a mix to order gains: fixed mixes and the mix that measured sensitivity gives in the same number of bytes, and
# their mean KL from the source on a text that the search has not seen.
#   mix_bench.sh HALLMARK KL_TOOL --text FILE... --heldout FILE [--tokens 2048] [--types "q4_k_m"] [--imatrix FILE]
#                [--threads N] [--work DIR] [--search "--samples 8"] SOURCE.gguf...
# KL_TOOL is the built tests/tools/kl_tool. Each --text is given to `quantize --budget`; --search is passed on to it as
# it stands.
set -euo pipefail
export LC_ALL=C
[ $# -ge 5 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
hallmark=$1 kl_tool=$2
shift 2
texts=() heldout= tokens=2048 types=q4_k_m imatrix= threads=$(nproc) parent=${TMPDIR:-/tmp} search=
while [ $# -gt 0 ]; do
    case $1 in
    --text) texts+=(--text "$2") ;; --heldout) heldout=$2 ;; --tokens) tokens=$2 ;;
    --types) types=$2 ;; --imatrix) imatrix=$2 ;;
    --threads) threads=$2 ;; --work) parent=$2 ;; --search) search=$2 ;;
    --*) echo "mix_bench.sh: unknown option $1" >&2; exit 2 ;;
    *) break ;;
    esac
    shift 2
done
[ ${#texts[@]} -gt 0 ] && [ -n "$heldout" ] && [ $# -gt 0 ] ||
    { echo "mix_bench.sh: --text, --heldout and a source are needed" >&2; exit 2; }
work=$(mktemp -d "$parent/mix-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
size_of() {
    "$hallmark" inspect "$1" | awk '
        /^name .*offset$/ { on = 1; next }
        on && NF == 0     { exit }
        on                { sum += $(NF-1) }
        END               { printf "%d", sum }'
}

printf '%-28s %-8s %-6s %12s %8s %10s %10s %8s %7s %8s\n' \
    model type method "tensor bytes" bits "mean KL" "median KL" "top-1" ratio search
for source in "$@"; do
    weights=$("$hallmark" quantize "$source" --type f32 --dry-run | awk 'END { print $3 }')
    for t in $types; do
        "$hallmark" quantize "$source" -o "$work/fixed.gguf" --type "$t" ${imatrix:+--imatrix "$imatrix"} \
            --threads "$threads" > "$work/log" 2>&1 ||
            { cat "$work/log" >&2; exit 1; }
        began=$SECONDS
        "$hallmark" quantize "$source" -o "$work/mix.gguf" --budget "$t" "${texts[@]}" $search \
            ${imatrix:+--imatrix "$imatrix"} --threads "$threads" > "$work/table" 2> "$work/log" ||
            { tail -n 3 "$work/log" >&2; exit 1; }
        took=$((SECONDS - began))
        "$kl_tool" "$source" "$heldout" "$tokens" "$threads" "$work/fixed.gguf" "$work/mix.gguf" > "$work/kl"
        base=$(awk 'NR == 1 { print $1 }' "$work/kl")
        while read -r kl median top ppl_ref ppl art; do
            bytes=$(size_of "$art")
            method=$(basename "$art" .gguf)
            printf '%-28s %-8s %-6s %12d %8.4f %10.6f %10.6f %8.4f %7.3f %8s\n' \
                "$(basename "$source" .gguf)" "$t" "$method" "$bytes" \
                "$(awk "BEGIN { print 8 * $bytes / $weights }")" "$kl" "$median" "$top" \
                "$(awk "BEGIN { print $kl / $base }")" \
                "$([ "$method" = mix ] && echo "$took s" || echo -)"
        done < "$work/kl"
    done
done
