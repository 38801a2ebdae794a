#!/usr/bin/env bash
# By hand: PyPI's model-signing (1.1.1, with pyopenssl beside it) accepts our signatures, and 'hallmark check --key' accepts its own;
# each refuses what the other's tool would, on P-256 and P-384. openssl makes the keys.
# Usage: tests/peers/model_signing.sh HALLMARK RELEASE_SOURCE MODEL_SIGNING
#   HALLMARK: the program; RELEASE_SOURCE: a checkpoint with fixtures (fixtures/tiny-gemma4); MODEL_SIGNING: the command model_signing
set -euo pipefail
[ $# -eq 3 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
hallmark=$1 source=$2 peer=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077
must() { local want=$1 got=0; shift; echo "\$ ${*//$work\//}"; "$@" > "$work/said" 2>&1 < /dev/null || got=$?; grep -v '%\|MB' "$work/said" | sed "s|$work/||g; s/^/  /" | tail -n 4
         [ "$got" -eq "$want" ] || { echo "FAILED: exits $got, expected $want" >&2; exit 1; }; }
n=0
for curve in prime256v1 secp384r1; do
    key=$work/$curve.pem pub=$work/$curve.pub out=$work/$curve
    openssl ecparam -name $curve -genkey -noout -out "$key"
    openssl ec -in "$key" -pubout -out "$pub" 2> /dev/null
    must 0 "$hallmark" release "$source" -o "$out" --types bf16 --sign "$key"
    must 0 "$peer" verify key "$out" --signature "$out/model.sig" --public_key "$pub"
    must 0 "$hallmark" check "$out" --key "$pub"

    cp -r "$out" "$out-theirs" && rm "$out-theirs/model.sig"
    echo '*.gguf filter=lfs' > "$out-theirs/.gitattributes"
    must 0 "$peer" sign key "$out-theirs" --signature "$out-theirs/model.sig" --private_key "$key"
    must 0 "$hallmark" check "$out-theirs" --key "$pub"
    must 0 "$peer" verify key "$out-theirs" --signature "$out-theirs/model.sig" --public_key "$pub"

    echo x >> "$out/report.md"
    must 1 "$peer" verify key "$out" --signature "$out/model.sig" --public_key "$pub"
    must 1 "$hallmark" check "$out" --key "$pub"
    echo x > "$out-theirs/new.txt"
    must 1 "$peer" verify key "$out-theirs" --signature "$out-theirs/model.sig" --public_key "$pub"
    must 1 "$hallmark" check "$out-theirs" --key "$pub"
    n=$((n + 1))
done
must 1 "$hallmark" check "$work/secp384r1-theirs" --key "$work/prime256v1.pub"
must 1 "$peer" verify key "$work/secp384r1-theirs" --signature "$work/secp384r1-theirs/model.sig" --public_key "$work/prime256v1.pub"
echo "$n curves: each accepts the other's signatures and refuses what was changed"
