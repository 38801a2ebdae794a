# Sourced by the end-to-end scripts: bash lib, first argument the program. Each check says what it checks; the first
# wrong thing ends the script with status 1. JSON_TOOL, MEASURE and KL_TOOL (tests/tools) come from CTest.
set -uo pipefail
export LC_ALL=C
hallmark=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
checkpoint=${HALLMARK_E2E_CHECKPOINT:-$root/fixtures/tiny-gemma4}
sanitized=${HALLMARK_SANITIZED:-0}
work=$(mktemp -d "${TMPDIR:-/tmp}/hallmark-e2e.XXXXXX")
cleanup_more() { :; }                   # a script may redefine it
trap 'cleanup_more; rm -rf "$work"' EXIT

# Four cases of a committed fixture, as many as the gate asks for; one of them is a prompt of several batches.
# One that has four already is copied.
four_cases() {
    case $(gunzip -c "$1" 2> /dev/null | sed -n 1p) in
        *'"cases": 14'* | *'"cases":14'*)
            gunzip -c "$1" | sed '1s/"cases": *14/"cases":4/; 1p; 2p; 7p; 8p; 12p; d' | gzip > "$2" ;;
        *) cp "$1" "$2" ;;
    esac
}
# The sanitizers slow a run and look for other things than how many cases are equal.
if [ "$sanitized" = 1 ] && [ -z "${HALLMARK_E2E_CHECKPOINT:-}" ]; then
    echo "SMALLER under sanitizers: 4 of 14 cases of each fixture"
    mkdir "$work/.few" && cp -r "$checkpoint" "$work/.few/" || exit 1
    for f in "$checkpoint"/fixtures/*.json.gz; do four_cases "$f" "$work/.few/${checkpoint##*/}/fixtures/${f##*/}"; done
    checkpoint=$work/.few/${checkpoint##*/}
fi

say()  { echo "- $*"; }
fail() { echo "FAILED: $*" >&2; [ -s "$work/out" ] && sed 's/^/  stdout: /' "$work/out" | head -n 20 >&2
         [ -s "$work/err" ] && sed "s|^|  stderr: |" "$work/err" | tail -n 20 >&2; exit 1; }
skip() { echo "SKIP: $*"; exit 77; }

# run_hm STATUS ARGUMENT...: runs the program; standard output to $work/out, standard error to $work/err; fails on
# another status.
run_hm() {
    local want=$1 got=0
    shift
    "$hallmark" "$@" > "$work/out" 2> "$work/err" < /dev/null || got=$?
    [ "$got" -eq "$want" ] || fail "hallmark $* exits $got, expected $want"
}
err_has() { grep -qF -- "$1" "$work/err" || fail "standard error lacks '$1'"; }
out_has() { grep -qF -- "$1" "$work/out" || fail "standard output lacks '$1'"; }
out_empty() { [ ! -s "$work/out" ] || fail "standard output should be empty"; }
err_empty() { [ ! -s "$work/err" ] || fail "standard error should be empty"; }

json_valid() { "$JSON_TOOL" "$work/out" > /dev/null || fail "standard output is not one JSON document"; }
json_get()   { "$JSON_TOOL" "${2:-$work/out}" "$1" || fail "JSON lacks $1"; }
sha()        { sha256sum < "$1" | cut -d' ' -f1; }

# fixture_for DTYPE [WEIGHTS_TYPE]: the path of the committed fixture made in that dtype, from those weights (none: the
# source's own).
fixture_for() {
    local f
    for f in $(find "$checkpoint" -name '*.json.gz' | sort); do
        "$hallmark" inspect "$f" --json > "$work/fixture.json" 2>> "$work/fixture.err" ||
            fail "inspect $f: $(cat "$work/fixture.err")"
        [ "$("$JSON_TOOL" "$work/fixture.json" kv.dtype)" = "$1" ] || continue
        [ "$("$JSON_TOOL" "$work/fixture.json" kv.weights_type)" = "${2:-null}" ] || continue
        echo "$f"
        return
    done
    fail "no fixture of dtype $1, weights ${2:-of the source}, below $checkpoint"
}

# le BYTES VALUE: a little-endian number, for hand-made files. str TEXT: a GGUF string (u64 length, bytes).
le()  { local i v=$2; for ((i = 0; i < $1; i++)); do printf "\\x$(printf %02x $((v & 255)))"; v=$((v >> 8)); done; }
str() { le 8 ${#1}; printf %s "$1"; }
