#!/usr/bin/env bash
# Which families mind a quantized cache: every tiny checkpoint of fixtures/, its F32 file against itself, on the same
# bytes of text.
#   lab_families.sh HALLMARK [--bytes 6000] [--chunk 128] [--kv "q8_0 q4_0 kivi2:g16:r32"] [--threads N]
# A row a checkpoint: positions, chunks, and for each cache its mean KL with the 95 % interval and top-1 in per cent.
# The models are small and trained for minutes: the order of families is what their shapes do to rounding, no figure of
# any published model. A cache that a checkpoint's heads cannot hold, or of which a chunk sees nothing stored, is "-".
set -euo pipefail
export LC_ALL=C
[ $# -ge 1 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
hallmark=$1 bytes=6000 chunk=128 caches="q8_0 q4_0 kivi2:g16:r32" threads=$(nproc)
shift
while [ $# -gt 0 ]; do
    case $1 in
    --bytes) bytes=$2 ;; --chunk) chunk=$2 ;; --kv) caches=$2 ;; --threads) threads=$2 ;;
    *) echo "lab_families.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
head -c $((bytes / 2)) "$root/LICENSE" > "$work/prose.txt"
head -c $((bytes / 2)) "$root/runtime/op.c" > "$work/code.txt"
# The first of that name: the candidate's own, before those of its intervals and categories.
figure() { grep -o "\"$1\": [-+.e0-9]*" "$work/lab.json" | sed -n "${2:-1}s/.*: //p"; }

printf '%-16s %9s %6s' checkpoint positions chunks
for c in $caches; do printf '  %-44s' "$c: mean KL (95 %), top-1"; done
echo
for dir in "$root"/fixtures/tiny-*; do
    "$hallmark" convert "$dir" -o "$work/m.gguf" --type f32 > /dev/null 2>&1
    row=
    for c in $caches; do
        if "$hallmark" lab "$work/m.gguf" --kv "$c" --text "prose=$work/prose.txt" --text "code=$work/code.txt" \
            --chunk "$chunk" --threads "$threads" --json > "$work/lab.json" 2> "$work/err"; then
            top1=$(awk -v v="$(figure top1)" 'BEGIN { printf "%.2f", 100 * v }')
            row+=$(printf '  %-44s' "$(figure kl_mean) ($(figure kl_low)..$(figure kl_high)), $top1")
            counts="$(grep -o '"tokens": [0-9]*, "chunks": [0-9]*, "kl_mean"' "$work/lab.json" |
                sed -n '1s/[^0-9 ]//g;1p')"
        else
            row+=$(printf '  %-44s' -)
        fi
    done
    # shellcheck disable=SC2086
    printf '%-16s %9s %6s%s\n' "${dir##*/}" ${counts:-- -} "$row"
done
