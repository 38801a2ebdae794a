#!/usr/bin/env bash
# What a laboratory run costs beside the forward passes it contains: its seconds over those that `bench` needs to score
# as many tokens with the base's cache and with each candidate's. Rounds are interleaved; the least of each counts. And
# the memory that candidates add.
#   lab_bench.sh HALLMARK MODEL.gguf TEXT [--kv "q8_0 q4_0 kivi2"] [--tokens 2048] [--rounds 3] [--threads N]
#                [--device D]
# One line: seconds of the lab, seconds of its passes, the ratio; then resident memory with one candidate, with all, and
# what one more adds beside the bytes of its cache.
set -euo pipefail
export LC_ALL=C
[ $# -ge 3 ] || { sed -n '2,8s/^# //p' "$0" >&2; exit 2; }
hallmark=$1 model=$2 text=$3
shift 3
caches="q8_0 q4_0 kivi2" tokens=2048 rounds=3 threads=$(nproc) device=cpu
while [ $# -gt 0 ]; do
    case $1 in
    --kv) caches=$2 ;; --tokens) tokens=$2 ;; --rounds) rounds=$2 ;; --threads) threads=$2 ;; --device) device=$2 ;;
    *) echo "lab_bench.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
common=(--arith f32 --device "$device" --threads "$threads")
# Chunks of 512, as bench scores them.
samples=$((tokens / 512))
run_lab() {
    "$hallmark" lab "$model" "${common[@]}" "$@" --text "$text" --chunk 512 --samples $samples --json \
        > "$work/json" 2> "$work/err"
}
lab_seconds() { sed -n 's/^lab .* tokens in \([0-9.]*\) s.*/\1/p' "$work/err"; }
score_rate() {
    "$hallmark" bench "$model" "${common[@]}" --kv "$1" --case s$((samples * 512)) --repeat 1 --json 2> /dev/null |
        sed -n 's/.*"score_tok_s": \([0-9.]*\).*/\1/p'
}
least() { sort -g "$1" | head -n 1; }
most() { sort -gr "$1" | head -n 1; }

kv=()
for c in $caches; do kv+=(--kv "$c"); done
for ((i = 0; i < rounds; i++)); do
    run_lab "${kv[@]}"
    lab_seconds >> "$work/lab"
    for c in f32 $caches; do score_rate "$c" >> "$work/rate.$c"; done
done
passes=$(for c in f32 $caches; do echo "$((samples * 512)) $(most "$work/rate.$c")"; done |
    awk '{ s += $1 / $2 } END { print s }')
awk -v lab="$(least "$work/lab")" -v passes="$passes" -v caches="$caches" \
    'BEGIN { printf "lab %.2f s, its passes %.2f s: ratio %.3f (base and %s)\n", lab, passes, lab / passes, caches }'

resident() { /usr/bin/env python3 - "$@" <<'P' 2> /dev/null || echo unknown
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
P
}
one=$(resident "$hallmark" lab "$model" "${common[@]}" --kv f32 --text "$text" --chunk 512 --samples 1)
many=()
for i in 1 2 3 4 5 6 7 8; do many+=(--kv "f32+sink$i"); done
nine=$(resident "$hallmark" lab "$model" "${common[@]}" --kv f32 "${many[@]}" --text "$text" --chunk 512 --samples 1)
bytes=$("$hallmark" inspect "$model" --plan --ctx 512 --kv f32 --json 2> /dev/null |
    sed -n 's/.*"kv_bytes": *\([0-9]*\).*/\1/p' | head -n 1)
echo "resident: $one KiB with one candidate, $nine KiB with nine: $(((nine - one) / 8)) KiB each;" \
    "a cache of 512 positions: $(( ${bytes:-0} / 1024 )) KiB"
