#!/usr/bin/env bash
# hallmark bench beside llama-bench on the same files, alternating in one run; prints tokens per second and the ratio.
#   peer_bench.sh HALLMARK JSON_TOOL --llama-bench PATH [--threads 2] [--prompt 128] [--gen 32] [--rounds 3] ART.gguf...
# JSON_TOOL is the built tests/tools/json_tool. The best of the rounds counts, for both.
set -euo pipefail
[ $# -ge 5 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
hallmark=$1 json_tool=$2
shift 2
llama= threads=2 prompt=128 gen=32 rounds=3
while [ $# -gt 0 ]; do
    case $1 in
    --llama-bench) llama=$2 ;; --threads) threads=$2 ;; --prompt) prompt=$2 ;; --gen) gen=$2 ;; --rounds) rounds=$2 ;;
    --*) echo "peer_bench.sh: unknown option $1" >&2; exit 2 ;;
    *) break ;;
    esac
    shift 2
done
[ -n "$llama" ] && [ $# -gt 0 ] || { echo "peer_bench.sh: --llama-bench PATH and an artifact are needed" >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/tmp}/peer-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
larger() { awk "BEGIN { print ($1 > $2) ? $1 : $2 }"; }

printf '%-40s %10s %10s %8s\n' "artifact, $threads threads" hallmark llama-bench ratio
for art in "$@"; do
    hp=0 hg=0 lp=0 lg=0
    for ((i = 0; i < rounds; i++)); do
        "$hallmark" bench "$art" --case "p${prompt}g1,p1g$gen" --threads "$threads" --repeat 1 --json \
            > "$work/h.json" 2> "$work/log"
        hp=$(larger "$hp" "$("$json_tool" "$work/h.json" cases.0.prefill_tok_s)")
        hg=$(larger "$hg" "$("$json_tool" "$work/h.json" cases.1.decode_tok_s)")
        "$llama" -m "$art" -p "$prompt" -n "$gen" -t "$threads" -r 1 -o json > "$work/l.json" 2>> "$work/log"
        lp=$(larger "$lp" "$("$json_tool" "$work/l.json" 0.avg_ts)")
        lg=$(larger "$lg" "$("$json_tool" "$work/l.json" 1.avg_ts)")
    done
    printf '%-40s %10.1f %10.1f %8.2f\n' \
        "$(basename "$art") prefill $prompt" "$hp" "$lp" "$(awk "BEGIN { print $hp / $lp }")"
    printf '%-40s %10.1f %10.1f %8.2f\n' \
        "$(basename "$art") decode $gen" "$hg" "$lg" "$(awk "BEGIN { print $hg / $lg }")"
done
limit=$("$json_tool" "$work/h.json" cases.0.limit_gb_s) || exit 1
echo "memory read by the same threads: $limit GB/s"
