#!/usr/bin/env bash
# Recipes of a release, through the program: importance matrix, calibration, mixes to order, recipe files, finished
# files; what is published beside them; types that are added; what passed is published alone; what is wrong is named
# with its exit status.
# recipes-q4_k_m-imatrix.json.gz is what Transformers 5.24 says of the Q4_K_M file that is made below:
#   fixtures/hf_fixture.py fixtures/tiny-gemma4 -o FIX --weights rel.unverified/tiny-Q4_K_M-im.gguf --limit 4 \
#       --tokens 30 --top 16
. "$(dirname "$0")/lib.sh"
src=$work/tiny
mkdir -p "$src/fixtures" && cp "$checkpoint"/*.json "$checkpoint"/*.safetensors "$checkpoint"/*.jinja "$src/"
four_cases "$(fixture_for float32)" "$src/fixtures/float32.json.gz"
cp "$(dirname "$0")/recipes-q4_k_m-imatrix.json.gz" "$src/fixtures/q4-im.json.gz"
head -c 3000 "$root/LICENSE" > "$work/cal.txt"
run_hm 0 convert "$src" -o "$work/bf16.gguf" --type bf16
run_hm 0 imatrix "$work/bf16.gguf" --text "$work/cal.txt" --chunk 64 -o "$work/im.gguf"
rel() { local want=$1; shift; run_hm "$want" release "$src" --tokens 4 --device cpu "$@"; }
there() { local dir=$1 f; shift; for f in "$@"; do [ -e "$dir/$f" ] || fail "$f is not in $dir: $(ls "$dir")"; done; }

say "an importance matrix: proved, published beside the file, named in words and by its digest"
rel 0 -o "$work/rel" --types "q4_k_m:imatrix=$work/im.gguf:name=Q4_K_M-im"
there "$work/rel" tiny-Q4_K_M-im.gguf im.gguf float32.json.gz q4-im.json.gz
json="$work/rel/report.json"
[ "$(json_get artifacts.0.recipe.words "$json")" = "q4_k_m, importance matrix im.gguf" ] || fail "the words"
# input N JSON: kind and digest of the first input of the report's Nth recipe.
input() {
    local first=artifacts.$1.recipe.inputs.0
    echo "$(json_get "$first.kind" "$2") $(json_get "$first.sha256" "$2")"
}
[ "$(input 0 "$json")" = "imatrix $(sha "$work/im.gguf")" ] || fail "the matrix"
grep -q "was made by the recipe: q4_k_m, importance matrix im.gguf" "$work/rel/report.md" || fail "report.md"
run_hm 0 check "$work/rel" --fixture "$work/rel/q4-im.json.gz" --fixture "$work/rel/float32.json.gz"
mv "$work/im.gguf" "$work/away.gguf"
run_hm 0 check "$work/rel" --from "$src"           # with the matrix that lies beside the file
mv "$work/away.gguf" "$work/im.gguf"
(cd "$work/rel" && sha256sum -c --quiet SHA256SUMS) || fail "SHA256SUMS"

say "a type is added: what was there stays, and all of it is proved again"
before=$(sha "$work/rel/im.gguf")
rel 0 -o "$work/rel" --types f32
out_has "kept: tiny-Q4_K_M-im.gguf"
! grep -q replaced "$work/err" || fail "it replaced what it keeps"
there "$work/rel" tiny-Q4_K_M-im.gguf tiny-F32.gguf im.gguf q4-im.json.gz float32.json.gz
[ "$(sha "$work/rel/im.gguf")" = "$before" ] || fail "the matrix changed"
run_hm 0 check "$work/rel" --fixture "$work/rel/q4-im.json.gz"
rm "$src/fixtures/q4-im.json.gz"                    # the fixture is in the folder; that is enough
rel 0 -o "$work/rel" --types "f32,q4_k_m:imatrix=$work/im.gguf:name=Q4_K_M-im" --json; json_valid
[ "$(json_get 'artifacts/#')" = 2 ] || fail "the same types again are the same two"
rel 0 -o "$work/rel" --types f32 --replace; err_has "replaced $work/rel"
[ "$(ls "$work/rel" | grep -c gguf)" -eq 1 ] || fail "--replace makes a new release: $(ls "$work/rel")"

say "what passed is not thrown with what did not: each verdict, and the command that publishes it alone"
rel 1 -o "$work/part" \
    --types "f32,mix:budget=4.5bpw:text=$work/cal.txt:samples=1:chunk=32,q4_k_m:calibrate=$work/cal.txt"
there "$work/part.unverified" tiny-F32.gguf tiny-MIX.gguf tiny-Q4_K_M.gguf
out_has "tiny-F32.gguf: pass"
out_has "tiny-MIX.gguf: unverified"
out_has "--weights $work/part.unverified/tiny-MIX.gguf"
[ ! -e "$work/part.unverified/mix-base.gguf" ] || fail "the file that the mix was made from is left"
json="$work/part.unverified/report.json"
[ "$(json_get artifacts.1.derivation.verdict "$json")" = pass ] || fail "derivation of the mix"
[ "$(json_get artifacts.2.derivation.verdict "$json")" = pass ] || fail "derivation of the calibrated file"
[ "$(json_get artifacts.1.recipe.words "$json")" = "mix, budget 4.5bpw, measured on cal.txt, samples 1, chunk 32" ] ||
    fail "the mix's words"
[ "$(input 2 "$json")" = "calibration $(sha "$work/cal.txt")" ] ||
    fail "the text of the calibration"
again=$(grep -A 1 '^This publishes what passed' "$work/out" | tail -n 1)
case $again in *"--types f32"*) ;; *) fail "the command: $again" ;; esac
eval "run_hm 0 ${again#*hallmark }"
out_has "$work/part.unverified stays, with"
[ -s "$work/part.unverified/tiny-MIX.gguf" ] || fail "the mix that a fixture is to be made from is gone"
there "$work/part" tiny-F32.gguf

say "a recipe file is kept beside the release, and its paths begin at its own folder"
mkdir "$work/r" && cp "$work/im.gguf" "$work/r/" && cp "$work/rel/float32.json.gz" "$work/r/"
printf '{"hallmark_recipe":1,"recipes":[{"type":"q4_k_m","imatrix":"im.gguf","name":"Q4_K_M-im"}]}' \
    > "$work/r/tiny.json"
im_fix=$(dirname "$0")/recipes-q4_k_m-imatrix.json.gz
rel 0 -o "$work/file" --recipe "$work/r/tiny.json" --fixture "$im_fix" --no-fixtures
there "$work/file" tiny.json im.gguf; [ ! -e "$work/file/float32.json.gz" ] || fail "a fixture is published"
cmp -s "$work/r/tiny.json" "$work/file/tiny.json" || fail "the recipe file"
grep -q "published as it is" "$work/err" && fail "a path of no folder is said to tell something"
printf '{"hallmark_recipe":1,"recipes":[{"type":"q4_k_m","imatrix":"%s/im.gguf","name":"Q4_K_M-im"}]}' "$work" \
    > "$work/r/paths.json"
rel 0 -o "$work/file2" --recipe "$work/r/paths.json" --fixture "$im_fix" --no-fixtures --dry-run
err_has "paths.json is published as it is, with the path '$work/im.gguf' in it"
# says PATH RECIPE-FILE RECIPES ARGUMENT...: which path the note names, once ("": there is none).
says() {
    local path=$1 file=$2 want=${1:+1}
    printf '{"hallmark_recipe":1,"recipes":[%s]}' "$3" > "$file"
    shift 3
    rel 0 -o "$work/says" --recipe "$file" --dry-run "$@"
    [ -z "$path" ] || err_has "${file##*/} is published as it is, with the path '$path' in it"
    [ "$(grep -c "published as it is" "$work/err")" -eq "${want:-0}" ] || fail "notes of a path, expected ${want:-0}"
}
q4='{"type":"q4_k_m","imatrix"'
mkdir "$work/r/below..d" && cp "$work/im.gguf" "$work/r/below..d/"
says ../im.gguf "$work/r/up.json" "$q4:\"../im.gguf\"}"
says below..d/../im.gguf "$work/r/down.json" "$q4:\"below..d/../im.gguf\"}"
says "$work/r/im.gguf" "$work/r/own.json" "$q4:\"$work/r/im.gguf\"}"
says ../cal.txt "$work/r/text.json" '{"type":"q4_k_m","calibrate":["../cal.txt"]}'
says ../bf16.gguf "$work/r/done.json" '{"artifact":"../bf16.gguf"}'
q8=${q4/q4_k_m/q8_0}
says ../im.gguf "$work/r/two.json" "{\"type\":\"f32\"},$q4:\"../im.gguf\"},$q8:\"../im.gguf\"}"
says "" "$work/r//slash.json" "$q4:\"im.gguf\"}"
says "" "$work/r/below.json" "$q4:\"below..d/im.gguf\"}"
says "" "$work/r/given.json" '{"type":"q4_k_m"}' --imatrix "$work/im.gguf"      # no path of the file
grep -q "hf_fixture.py SOURCE -o float32.json.gz --dtype float32" "$work/file/report.md" ||
    fail "the command of a fixture that is not published"
[ "$(json_get artifacts.0.recipe.inputs.0.kind "$work/file/report.json")" = recipe ] ||
    fail "the recipe file in the report"
run_hm 0 check "$work/file"

say "a finished file, with the matrix that it says it was made with, given once for all"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/done.gguf" --type q4_k_m --imatrix "$work/im.gguf"
rel 0 -o "$work/taken" --types f32 --artifact "$work/done.gguf" --imatrix "$work/im.gguf" --fixture "$im_fix"
there "$work/taken" tiny-F32.gguf tiny-Q4_K_M.gguf im.gguf
[ "$(json_get artifacts.1.recipe.inputs.0.sha256 "$work/taken/report.json")" = "$(sha "$work/done.gguf")" ] ||
    fail "the finished file's digest"
run_hm 0 check "$work/taken" --from "$src"
rel 2 -o "$work/no" --artifact "$work/done.gguf"; err_has "it was made with the importance matrix 'im.gguf'"
rel 2 -o "$work/no" --types f32 --artifact "$work/bf16.gguf:imatrix=$work/im.gguf"; err_has "was made without"

say "what is wrong is named before the work: 2 for words, 3 for files"
before=$(ls "$work")
rel 2 -o "$work/no" --types "q4_k_m:imatrx=x"; err_has "found 'imatrx'"
rel 2 -o "$work/no" --types "q4_k_m,q4_k_m:pure"; err_has "would both be tiny-Q4_K_M.gguf"; err_has ":name=Q4_K_M-2"
rel 2 -o "$work/no" --types bf16 --imatrix "$work/im.gguf"; err_has "--imatrix does nothing"
rel 2 -o "$work/no" --types f32:name=README.md/x; err_has "name 'README.md/x'"
rel 3 -o "$work/no" --types "q4_k_m:imatrix=$work/absent"; err_has "absent"
rel 3 -o "$work/no" --types "q4_k_m:imatrix=$work/cal.txt"; err_has "cal.txt"
rel 3 -o "$work/no" --types "mix:budget=4bpw:text=$work/absent"; err_has "absent"
echo '{"hallmark_recipe":1,"recipes":[{"type":"q4_k_m","imatrix":7}]}' > "$work/r/bad.json"
rel 3 -o "$work/no" --recipe "$work/r/bad.json"; err_has "bad.json: recipes[0]: "; err_has "imatrix"
rel 3 -o "$work/no" --artifact "$work/cal.txt"; err_has "cal.txt"
[ "$before" = "$(ls "$work")" ] || fail "something was written: $(ls "$work")"

if command -v openssl > /dev/null; then
    say "a signed release is signed again, or not added to"
    openssl ecparam -name prime256v1 -genkey -noout -out "$work/key.pem" 2> /dev/null && chmod 600 "$work/key.pem"
    openssl ec -in "$work/key.pem" -pubout -out "$work/pub.pem" 2> /dev/null
    echo mine > "$work/part/notes.txt"
    rel 0 -o "$work/part" --types f32 --sign "$work/key.pem"; out_has "'notes.txt' is not of the release"
    run_hm 0 check "$work/part" --key "$work/pub.pem"
    rel 2 -o "$work/part" --types f32; err_has "is signed"
    [ "$(cat "$work/part/notes.txt")" = mine ] || fail "notes.txt"
    mkdir "$work/part/sub"
    rel 2 -o "$work/part" --types f32 --sign "$work/key.pem"; err_has "'sub'"
else
    echo "SKIP: no openssl: nothing is signed here"
fi
echo "recipes: all as it should be"
