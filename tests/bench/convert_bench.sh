#!/usr/bin/env bash
# How long `hallmark convert --type bf16` takes beside copying the same bytes: cat of the shards to one file, then sync.
# All in one run, alternating, best of the rounds; and the memory it holds beyond mapped file pages.
#   convert_bench.sh HALLMARK MEASURE HF_DIR [--work DIR] [--rounds 3] [--threads N]
#                    [--peer convert_hf_to_gguf.py [--python PYTHON]]
# MEASURE is the built tests/tools/measure. DIR (default: TMPDIR) needs room for two copies of the checkpoint.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
hallmark=$1 measure=$2 dir=$3
shift 3
parent=${TMPDIR:-/tmp} rounds=3 threads=$(nproc) peer= python=python3
while [ $# -gt 0 ]; do
    case $1 in
    --work) parent=$2 ;; --rounds) rounds=$2 ;; --threads) threads=$2 ;; --peer) peer=$2 ;; --python) python=$2 ;;
    *) echo "convert_bench.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
work=$(mktemp -d "$parent/convert-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
shards=$(find "$dir" -maxdepth 1 -name '*.safetensors' | sort)
bytes=$(cat $shards | wc -c)            # also brings the source into the page cache, for every contender alike

# timed NAME COMMAND...: one round; keeps the best time in best_NAME and the largest anon_kb in anon_NAME.
declare -A best anon peak
timed() {
    local name=$1 status seconds cpu peak_kb anon_kb
    shift
    sync
    "$measure" "$work/cost" "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    . "$work/cost"
    printf '  %-12s %8.2f s  %8.1f MB anonymous  %8.1f MB resident\n' \
        "$name" "$seconds" "$(calc "$anon_kb / 1024")" "$(calc "$peak_kb / 1024")"
    [ -n "${best[$name]:-}" ] && awk "BEGIN { exit !(${best[$name]} <= $seconds) }" || best[$name]=$seconds
    [ "${anon[$name]:-0}" -ge "$anon_kb" ] || anon[$name]=$anon_kb
    [ "${peak[$name]:-0}" -ge "$peak_kb" ] || peak[$name]=$peak_kb
}
calc() { awk "BEGIN { print $1 }"; }

echo "$dir: $(calc "$bytes / 1e9") GB, $threads threads, $(uname -m), $(nproc) cores, rounds: $rounds"
for ((i = 1; i <= rounds; i++)); do
    echo "round $i"
    timed cat bash -c 'out=$1; shift; cat "$@" > "$out" && sync "$out"' - "$work/cat" $shards
    rm -f "$work/cat"
    timed hallmark bash -c 'out=$1; shift; "$@" && sync "$out"' - "$work/h.gguf" \
        "$hallmark" convert "$dir" -o "$work/h.gguf" --type bf16 --threads "$threads"
    rm -f "$work/h.gguf"
    # Alone, for its memory.
    timed convert "$hallmark" convert "$dir" -o "$work/h.gguf" --type bf16 --threads "$threads"
    rm -f "$work/h.gguf"
    [ -z "$peer" ] ||
        timed peer bash -c 'out=$1; shift; "$@" && sync "$out"' - "$work/p.gguf" \
            "$python" "$peer" "$dir" --outfile "$work/p.gguf" --outtype bf16
    rm -f "$work/p.gguf"
done
echo
ratio=$(calc "${best[hallmark]} / ${best[cat]}")
echo "best: cat and sync ${best[cat]} s; hallmark and sync ${best[hallmark]} s; ratio $ratio"
echo "memory of convert: $(calc "${anon[convert]} / 1024") MB beyond mapped file pages"
[ -z "$peer" ] || echo "peer: ${best[peer]} s; hallmark / peer = $(calc "${best[hallmark]} / ${best[peer]}")"
