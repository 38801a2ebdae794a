#!/usr/bin/env bash
# Importance matrices, through the program: computed, merged, read in both of llama.cpp's forms, used by convert,
# quantize and derive; what does not fit is named.
. "$(dirname "$0")/lib.sh"
run_hm 0 convert "$checkpoint" -o "$work/bf16.gguf" --type bf16
head -c 3000 "$root/LICENSE" > "$work/one.txt"
head -c 3000 "$root/README.md" > "$work/two.txt"

say "the same matrix for any number of threads; several texts in one run are several matrices merged"
run_hm 0 imatrix "$work/bf16.gguf" --text "$work/one.txt" --chunk 64 -o "$work/one.gguf" --threads 1
run_hm 0 imatrix "$work/bf16.gguf" --text "$work/one.txt" --chunk 64 -o "$work/again.gguf" --threads 2
err_has "chunks in "
grep -q 'imatrix .*MB' "$work/err" && fail "chunks are counted as bytes"
cmp -s "$work/one.gguf" "$work/again.gguf" || fail "two runs, two matrices"
run_hm 0 imatrix "$work/bf16.gguf" --text "$work/two.txt" --chunk 64 -o "$work/two.gguf"
run_hm 0 imatrix "$work/bf16.gguf" --text "$work/one.txt" --text "$work/two.txt" --chunk 64 -o "$work/both.gguf"
run_hm 0 imatrix --merge "$work/one.gguf" --merge "$work/two.gguf" -o "$work/merged.gguf"
run_hm 0 imatrix "$work/bf16.gguf" --merge "$work/one.gguf" --text "$work/two.txt" --chunk 64 -o "$work/added.gguf"
chunks() { run_hm 0 inspect "$1" --json; json_get 'kv/imatrix.chunk_count'; }
[ "$(chunks "$work/merged.gguf")" -eq $(($(chunks "$work/one.gguf") + $(chunks "$work/two.gguf"))) ] ||
    fail "chunks of the merged matrix"
run_hm 0 inspect "$work/merged.gguf" --json
[ "$(json_get 'kv/imatrix.datasets/#')" -eq 2 ] || fail "the texts of the merged matrix"
[ "$(json_get 'kv/imatrix.datasets/0')" = one.txt ] || fail "a text's name tells where it lay"
[ "$(json_get 'tensors/#')" -eq "$(chunks "$work/both.gguf" > /dev/null; json_get 'tensors/#')" ] || fail "entries"

say "what it changes: the bytes of searched types; derive needs the same matrix"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/plain.gguf" --type q4_k_m
run_hm 0 quantize "$work/bf16.gguf" -o "$work/weighted.gguf" --type q4_k_m --imatrix "$work/both.gguf"
run_hm 0 convert "$checkpoint" -o "$work/straight.gguf" --type q4_k_m --imatrix "$work/both.gguf"
digests() { run_hm 0 inspect "$1" --json; json_get 'kv/hallmark.tensor.sha256' > "$2"; }
for f in plain weighted straight; do digests "$work/$f.gguf" "$work/$f.digests"; done
cmp -s "$work/plain.digests" "$work/weighted.digests" && fail "the matrix changes nothing"
cmp -s "$work/weighted.digests" "$work/straight.digests" || fail "convert and quantize differ"
run_hm 0 inspect "$work/weighted.gguf" --json
[ "$(json_get 'kv/quantize.imatrix.file')" = both.gguf ] || fail "the matrix's name in the file"
run_hm 0 derive "$work/weighted.gguf" --from "$checkpoint" --imatrix "$work/both.gguf"
run_hm 1 derive "$work/weighted.gguf" --from "$checkpoint"; err_has "row 0"
run_hm 1 derive "$work/weighted.gguf" --from "$work/bf16.gguf" --imatrix "$work/one.gguf"

say "the .dat form of the same sums gives the same bytes"
run_hm 0 inspect "$work/one.gguf"
awk '
    /^name .*offset$/ { on = 1; next }
    on && NF == 0     { exit }
    on                { print $1, $(NF-1), $NF }' "$work/out" > "$work/entries"
count_at=$(awk '/\.counts / { print $3; exit }' "$work/entries")
{
    le 4 "$(grep -c '\.in_sum2 ' "$work/entries")"
    while read -r name bytes at; do
        name=${name%.in_sum2}
        le 4 ${#name}; printf %s "$name"
        # The calls that sums are divided by: the tokens, here; the GGUF form keeps them as F32.
        le 4 "$(od -An -tf4 -j "$count_at" -N 4 "$work/one.gguf" | awk '{ printf "%d", $1 }')"
        le 4 $((bytes / 4))
        tail -c +$((at + 1)) "$work/one.gguf" | head -c "$bytes"
    done < <(grep '\.in_sum2 ' "$work/entries")
    le 4 1; le 4 3; printf txt
} > "$work/one.dat" 2> "$work/pipes"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/a.gguf" --type q3_k_m --imatrix "$work/one.gguf"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/b.gguf" --type q3_k_m --imatrix "$work/one.dat"
digests "$work/a.gguf" "$work/a.digests"
digests "$work/b.gguf" "$work/b.digests"
cmp -s "$work/a.digests" "$work/b.digests" || fail "the two forms differ"
run_hm 0 derive "$work/a.gguf" --from "$checkpoint" --imatrix "$work/one.dat"

say "what does not fit is named, and nothing is written"
before=$(ls "$work")
head -c 1000 "$work/one.dat" > "$work/short.dat"
run_hm 3 quantize "$work/bf16.gguf" -o "$work/no.gguf" --type q4_k_m --imatrix "$work/short.dat"; err_has "short.dat"
run_hm 3 quantize "$work/bf16.gguf" -o "$work/no.gguf" --type q4_k_m --imatrix "$work/bf16.gguf"; err_has "bf16.gguf"
run_hm 3 imatrix --merge "$work/one.gguf" --merge "$work/bf16.gguf" -o "$work/no.gguf"
err_has "not an importance matrix"
ln "$work/one.gguf" "$work/link.gguf"; head -c 3000 "$root/LICENSE" > "$work/own.txt"
run_hm 2 imatrix --merge "$work/one.gguf" -o "$work/link.gguf"; err_has "would replace"
run_hm 2 imatrix "$work/bf16.gguf" --text "$work/own.txt" -o "$work/own.txt"; err_has "would replace"
run_hm 2 imatrix "$work/bf16.gguf" --text "$work/own.txt" -o "$work/bf16.gguf"; err_has "would replace"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/link.gguf" --type q4_k_m --imatrix "$work/one.gguf"
err_has "would replace"
run_hm 2 convert "$checkpoint" -o "$work/link.gguf" --type q4_k_m --imatrix "$work/one.gguf"; err_has "would replace"
rm "$work/link.gguf" "$work/own.txt"
run_hm 2 imatrix -o "$work/no.gguf"; err_has "needs a text"
rm "$work/short.dat"
[ "$before" = "$(ls "$work")" ] || fail "something was written"
echo "imatrix: all as it should be"
