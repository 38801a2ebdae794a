#!/usr/bin/env bash
# Signatures, as a user sees them: release --sign, check --key of the folder and of one file, each way to tamper with
# it, what is said without a key; and that nothing of the private key is told.
. "$(dirname "$0")/lib.sh"
bf16_fix=$(fixture_for bfloat16) || exit 1
for kind in P-256 P-384 Ed25519; do
    "$KEY_TOOL" $kind "$work/$kind.pem" "$work/$kind.pub" || fail "no key of $kind"
done
"$KEY_TOOL" P-256 "$work/locked.pem" "$work/locked.pub" secret || fail "no encrypted key"

# A source with one short fixture.
mkdir -p "$work/tiny/fixtures" && cp "$checkpoint"/*.* "$work/tiny" || fail "no copy of $checkpoint"
four_cases "$bf16_fix" "$work/tiny/fixtures/${bf16_fix##*/}"
release() { run_hm "$1" release "$work/tiny" -o "$2" --types bf16 --sign "${@:3}"; }
tampered() {
    run_hm 1 check "$out" --key "$work/P-256.pub"
    err_has "$1"
    out_has "NOT proved"
    out_has "not proved: anything"
}

say "a key that cannot sign ends a release before its work, and leaves nothing"
release 3 "$work/none" "$work/locked.pem"; err_has "locked.pem: the key is encrypted"; out_empty
release 3 "$work/none" "$work/Ed25519.pem"; err_has "ED25519"
release 3 "$work/none" "$work/P-256.pub"; err_has "found a public key, expected a private one"
release 3 "$work/none" "$work/absent.pem"; err_has "absent.pem"

say "a key that others may read is a warning, which -q leaves, and one for its owner alone is none"
# an id that no card takes ends it right behind the key
owners() { release 2 "$work/none" "$work/P-256.pem" --base-model "no id" "$@"; err_has "--base-model"; }
readable="P-256.pem: others than its owner may read this private key (chmod 600 ends that)"
for mode in 644 640 604; do
    chmod $mode "$work/P-256.pem"; owners; err_has "$readable"; owners -q; err_has "$readable"
done
chmod 600 "$work/P-256.pem"; owners; ! grep -qF "may read" "$work/err" || fail "a key of mode 600 is called shared"
[ -z "$(ls "$work" | grep none)" ] || fail "something is left: $(ls "$work")"

say "release --sign publishes model.sig and provenance.intoto.json, and says the key's digest"
out=$work/pub
release 0 "$out" "$work/P-256.pem"
out_has "Signed: model.sig and provenance.intoto.json, with the key P-256, $(sha "$work/P-256.pub")"
! grep -q "others than its owner" "$work/err" || fail "a key of mode 600 is called shared"
[ "$(json_get signed "$out/report.json")" = true ] || fail "report.json does not say that it is signed"
secret=$(sed -n 2p "$work/P-256.pem")
! grep -rqF "${secret:0:40}" "$out" "$work/out" "$work/err" || fail "a line of the private key is told"
json_get dsseEnvelope.payload "$out/provenance.intoto.json" | base64 -d > "$work/provenance.json" ||
    fail "the payload is no base64"
json_get predicate.buildDefinition.externalParameters.command "$work/provenance.json" |
    grep -qF '"--sign","P-256.pem"' || fail "the command names more of the key than its base name"
! grep -rlF "$work" "$work/provenance.json" "$out" || fail "where the publisher keeps files is told"
[ "$(json_get subject.0.digest.sha256 "$work/provenance.json")" = "$(sha "$out/tiny-BF16.gguf")" ] ||
    fail "the subject is not the artifact"
digest=$(json_get predicate.buildDefinition.resolvedDependencies.1.digest.sha256 "$work/provenance.json")
[ "$digest" = "$(sha "$work/tiny/fixtures/${bf16_fix##*/}")" ] || fail "the fixture's digest"

say "check: with the key all files, without it what that means"
run_hm 0 check "$out" --key "$work/P-256.pub"; out_has "every claim holds"
# .gitattributes is compared, not signed.
n_signed=$(ls "$out" | grep -vc '^model.sig$')
out_has "proved: all $n_signed files are those that were signed"
out_has "README.md and SHA256SUMS say what the records say"
out_has ".gitattributes, "
out_has "not proved: whose key that is"
! grep -q "anybody could have" "$work/out" || fail "a signed folder is called anybody's"
[ "$(tail -n 1 "$work/out" | cut -c1-10)" = "not proved" ] ||
    fail "the last line is no part of the list: $(tail -n 1 "$work/out")"
run_hm 0 check "$out" --key "$work/P-256.pub" --json
json_valid
[ "$(json_get signature.holds) $(json_get signature.key)" = "true $(sha "$work/P-256.pub")" ] ||
    fail "check --key --json"
run_hm 0 check "$out"; out_has "anybody could have computed them, could be by: hallmark check $out --key PUBLIC.pem"
out_has "proved: the $n_signed files that model.sig names are here, as it says"
out_has "not proved: that the signature in model.sig holds: no key was given"
run_hm 0 check "$out" --json
json_valid
[ "$(json_get signature.there) $(json_get signature.holds) $(json_get signature.named_files)" = \
    "true false $n_signed" ] || fail "check --json"
run_hm 1 check "$out" --key "$work/P-384.pub"; err_has "signed with another key"
run_hm 3 check "$out" --key "$work/P-256.pem"; err_has "found a private key"
run_hm 3 check "$out" --key "$work/absent.pub"; err_has "absent.pub"
run_hm 2 check "$out" --sig "$out/model.sig"; err_has "--key"

say "one file alone: by its digest, under any name; the report says that only it was checked"
cp "$out/tiny-BF16.gguf" "$work/alone.gguf"
run_hm 0 check "$work/alone.gguf" --key "$work/P-256.pub" --sig "$out/model.sig"
out_has "this file is 'tiny-BF16.gguf', one of $n_signed that were signed; only this one was checked"
run_hm 0 check "$work/alone.gguf" --key "$work/P-256.pub" --sig "$out/model.sig" --json
[ "$(json_get signature.only_this_file)" = true ] || fail "only_this_file"
run_hm 0 check "$out/tiny-BF16.gguf" --key "$work/P-256.pub"
run_hm 3 check "$work/alone.gguf" --key "$work/P-256.pub"; err_has "model.sig"

say "with the source: each tensor and each key, and what stays open; several names, each said, the worst status"
run_hm 0 check "$out" --from "$work/tiny" --key "$work/P-256.pub" --fixture "$work/tiny/fixtures/${bf16_fix##*/}"
out_has "proved: each tensor is what this source gives: $work/tiny, by encoding it again"
out_has "proved: the metadata, with tokenizer and chat template, is what convert writes from: $work/tiny, by comparing \
it key by key"
out_has "proved: gives the tokens that a fixture of its weights says: tiny-BF16.gguf, by running 1 fixture again"
out_has "not proved: that Transformers said what is in the fixtures"
! grep -q "not proved: the tensors" "$work/out" || fail "what was proved is said not to be"
run_hm 1 check "$out" --from "$root/fixtures/tiny-qwen3"
err_has "key 'hallmark.source.digest'"
out_has "not proved: anything"
run_hm 3 check "$work/absent.gguf" "$out" --threads 1; err_has "absent.gguf: cannot open"
[ "$(grep -c '^proved: 1 GGUF file' "$work/out") $(grep -c 'NOT proved' "$work/out")" = "1 0" ] ||
    fail "of two names one is said, and of what is not there is no verdict: $(cat "$work/out")"
run_hm 2 check "$out" "$work/alone.gguf" --key "$work/P-256.pub" --sig "$out/model.sig"
err_has "a signature is of one folder"
run_hm 2 check "$out" --imatrix "$work/alone.gguf"; err_has "without --from"
run_hm 3 check "$out" --from "$work/alone.gguf"

say "a file that only the signature protects, and each way to change the folder, is named"
sed 's/tiny/Tiny/' "$out/report.md" > "$work/report.md" && cp "$out/report.md" "$work/kept.md"
cp "$work/report.md" "$out/report.md"
tampered "report.md: is not the file that was signed"
cp "$work/kept.md" "$out/report.md"
echo x > "$out/new.txt"; tampered "new.txt: is there, and was not signed"
run_hm 0 check "$out"           # without the key it is not the signature's business
rm "$out/new.txt"
mv "$out/tiny-BF16.gguf" "$out/other-BF16.gguf"
tampered "was signed under another name"
mv "$out/other-BF16.gguf" "$out/tiny-BF16.gguf"
mv "$out/provenance.intoto.json" "$work/"; tampered "provenance.intoto.json: was signed, and is not there"
run_hm 1 check "$out"; err_has "the report says that the folder is signed"
ln -s ../provenance.intoto.json "$out/provenance.intoto.json"; tampered "found a link"
rm "$out/provenance.intoto.json"; mv "$work/provenance.intoto.json" "$out/"
mv "$out/model.sig" "$work/"; run_hm 3 check "$out" --key "$work/P-256.pub"; err_has "model.sig"
head -c 500 "$work/model.sig" > "$out/model.sig"; run_hm 3 check "$out" --key "$work/P-256.pub"; err_has "model.sig"
cp "$work/model.sig" "$out/model.sig"; run_hm 0 check "$out" --key "$work/P-256.pub"

say "another release's signature is told without a key, too, by the first file that it names otherwise"
run_hm 0 release "$work/tiny" -o "$work/named" --name named --types bf16 --sign "$work/P-256.pem"
run_hm 0 check "$work/named"
cp "$work/named/model.sig" "$work/named.sig"
cp "$work/model.sig" "$work/named/model.sig"; run_hm 1 check "$work/named"; out_has "NOT proved"
err_has "named/Modelfile: is not the file that $work/named/model.sig names: found SHA-256"
err_has "$(sha "$work/named/Modelfile"), expected $(sha "$out/Modelfile")"
head -c 500 "$work/named.sig" > "$work/named/model.sig"; run_hm 3 check "$work/named"; err_has "model.sig"

say "a signed release is replaced by the next one; only the two signed files differ, and a shared key is warned of"
cp -r "$out" "$work/before"; chmod 644 "$work/P-256.pem"
release 0 "$out" "$work/P-256.pem"; err_has "others than its owner may read this private key"
[ "$(diff -rq "$work/before" "$out" | wc -l)" -eq 2 ] ||
    fail "more than the two differ: $(diff -rq "$work/before" "$out")"
run_hm 0 check "$out" --key "$work/P-256.pub"
run_hm 1 check "$work/before" --key "$work/P-256.pub" --sig "$out/model.sig"
err_has "provenance.intoto.json: is not the file that was signed"

say "an unsigned release takes the place of a signed one whole; another's signature in it is in the way"
run_hm 2 release "$work/tiny" -o "$out" --types bf16; err_has "is signed, and would no longer be"
run_hm 0 release "$work/tiny" -o "$out" --types bf16 --replace
[ "$(ls "$out" | wc -l)" -eq $((n_signed - 1)) ] || fail "an unsigned release holds $(ls "$out")"
cp "$work/model.sig" "$out/model.sig"; run_hm 2 release "$work/tiny" -o "$out" --types bf16; err_has "model.sig"
rm "$out/model.sig"; run_hm 0 check "$out"; out_has "there is no signature"

say "what is not published is not signed, and a note says so"
rm "$work/tiny/fixtures/"*
release 1 "$work/un" "$work/P-384.pem"
out_has "nothing was signed, as nothing is published"
[ ! -e "$work/un.unverified/model.sig" ] || fail "an unverified folder is signed"
