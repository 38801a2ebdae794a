#!/usr/bin/env bash
# By hand: PyPI's model-signing (1.1.1, with pyopenssl beside it) accepts our signatures, and 'hallmark check --key'
# accepts its own; both refuse a folder after any one change, whoever signed it, on P-256 and P-384. openssl makes the
# keys.
# Usage: tests/peers/model_signing.sh HALLMARK RELEASE_SOURCE MODEL_SIGNING
#   HALLMARK: the program; RELEASE_SOURCE: a checkpoint with fixtures (fixtures/tiny-gemma4);
#   MODEL_SIGNING: the command model_signing
set -euo pipefail
[ $# -eq 3 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
hallmark=$1 source=$2 peer=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077
export LC_ALL=C

# run STATUS COMMAND...: its status must be that one; prints why, in a line.
run() {
    local want=$1 got=0
    shift
    "$@" > "$work/said" 2>&1 < /dev/null || got=$?
    sed -E "/^(digest|check|convert|derive|verify) /d; /^\$/d; s|$work/||g; s/^/    /" "$work/said" > "$work/shown"
    if [ "$want" -eq 0 ]; then sed -n 1p "$work/shown"; else sed -n '$p' "$work/shown"; fi | cut -c 1-130
    [ "$got" -eq "$want" ] ||
        { echo "FAILED: '${*//$work\//}' exits $got, expected $want" >&2; cat "$work/said" >&2; exit 1; }
}
# both STATUS DIR PUBLIC WHAT: both programs say the same of a folder.
both() {
    echo "$4"
    run "$1" "$peer" verify key "$2" --signature "$2/model.sig" --public_key "$3"
    run "$1" "$hallmark" check "$2" --key "$3"
    n=$((n + 1))
}

gguf() { find "$1" -name '*-BF16.gguf' | head -n 1; }
a_byte_of_a_tensor() {
    local at=$(($(stat -c %s "$(gguf "$1")") - 5000))
    printf '\x5a' | dd of="$(gguf "$1")" bs=1 seek=$at conv=notrunc status=none
}
a_key_of_the_metadata() { sed -i 's/general\.type/general.typo/' "$(gguf "$1")"; }
a_line_of_a_report()   { sed -i '1s/pass/Pass/' "$1/report.md"; }
a_file_added()         { echo x > "$1/new.txt"; }
a_file_removed()       { rm "$1/report.md"; }
a_file_renamed()       { mv "$1/report.md" "$1/Report.md"; }
a_link_in_its_place()  { mv "$1/report.md" "$work/moved.md"; ln -s "$work/moved.md" "$1/report.md"; }
changes="a_byte_of_a_tensor a_key_of_the_metadata a_line_of_a_report a_file_added a_file_removed a_file_renamed"
changes+=" a_link_in_its_place"

n=0
for curve in prime256v1 secp384r1; do
    key=$work/$curve.pem pub=$work/$curve.pub
    openssl ecparam -name $curve -genkey -noout -out "$key"
    openssl ec -in "$key" -pubout -out "$pub" 2> /dev/null
    run 0 "$hallmark" release "$source" -o "$work/$curve-ours" --types bf16 --sign "$key" > /dev/null
    cp -r "$work/$curve-ours" "$work/$curve-theirs" && rm "$work/$curve-theirs/model.sig"
    run 0 "$peer" sign key "$work/$curve-theirs" --signature "$work/$curve-theirs/model.sig" --private_key "$key" \
        > /dev/null
    for signer in ours theirs; do
        out=$work/$curve-$signer
        both 0 "$out" "$pub" "$curve, signed by $signer: accepted"
        for change in $changes; do
            cp -r "$out" "$work/changed"
            $change "$work/changed"
            both 1 "$work/changed" "$pub" "$curve, signed by $signer: ${change//_/ }"
            rm -r "$work/changed"
        done
    done
done
both 1 "$work/secp384r1-theirs" "$work/prime256v1.pub" "another key"
cp "$work/prime256v1-ours/model.sig" "$work/secp384r1-ours/model.sig"
both 1 "$work/secp384r1-ours" "$work/prime256v1.pub" "the signature of another release of the same name"
echo "$n times both said the same"
