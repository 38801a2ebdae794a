#!/usr/bin/env bash
# A mix made to order, through the program: the same command gives the same file, the file says how it was made and
# derives from its source, and it is nearer to the source than the fixed mix of its size; what cannot be had is said,
# and nothing is written.
. "$(dirname "$0")/lib.sh"
run_hm 0 convert "$checkpoint" -o "$work/bf16.gguf" --type bf16
head -c 6000 "$root/LICENSE" > "$work/text"
fast=(--text "$work/text" --samples 2 --chunk 32 --device cpu)

say "--budget: the same bytes for any number of threads, within the budget, told in the table and in the metadata"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/mix.gguf" --budget 4.5bpw "${fast[@]}" --threads 1
err_has " passes in "
cp "$work/out" "$work/table"
out_has "predicted"
grep -Eq '^blk\.0\.attn_q\.weight +BF16 +Q[2-8]' "$work/table" || fail "the table"
awk '/bits a weight$/ { exit !($(NF-3) <= 4.5 && $(NF-3) > 4.4) }' "$work/table" || fail "the budget"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/again.gguf" --budget 4.5bpw "${fast[@]}" --threads 2
cmp -s "$work/mix.gguf" "$work/again.gguf" || fail "two runs, two files"
cmp -s <(grep -v "\.gguf  mix" "$work/table") <(grep -v "\.gguf  mix" "$work/out") || fail "two runs, two tables"
run_hm 0 inspect "$work/mix.gguf" --json
json_get 'kv/hallmark.quantize.mix' > "$work/record"
"$JSON_TOOL" "$work/record" kl_measured > /dev/null || fail "the record"
[ "$("$JSON_TOOL" "$work/record" bits)" = 4.5 ] || fail "the record's budget"
[ "$("$JSON_TOOL" "$work/record" texts.0)" = "$(sha "$work/text")" ] || fail "the record's text"
said=$("$JSON_TOOL" "$work/record" 'tensors/blk.0.attn_q.weight')
grep -Eq "^blk\.0\.attn_q\.weight +BF16 +$said " "$work/table" || fail "the record's types"

say "the file runs, derives from its source, and is no input for another quantization"
run_hm 0 run "$work/mix.gguf" -p 'def main():' -n 2 --print-ids
run_hm 0 derive "$work/mix.gguf" --from "$checkpoint"
run_hm 0 derive "$work/mix.gguf" --from "$work/bf16.gguf"
# A record that says another type of a tensor: the same bytes but for one letter of the key's value.
offset=$(LC_ALL=C grep -abo '"blk\.0\.attn_q\.weight":"Q[0-9]' "$work/mix.gguf" | head -n 1)
cp "$work/mix.gguf" "$work/lies.gguf"
at=${offset%%:*} text=${offset#*:}
[ "${said:1:1}" = 8 ] && other=6 || other=8
printf %s $other | dd of="$work/lies.gguf" bs=1 seek=$((at + ${#text} - 1)) conv=notrunc status=none
run_hm 1 derive "$work/lies.gguf" --from "$work/bf16.gguf"; out_has "does NOT derive"
err_has "tensor 'blk.0.attn_q.weight': the record of the mix says Q$other${said:2}, the tensor is $said"
run_hm 1 verify "$work/lies.gguf" --fixture "$(fixture_for float32)" --tokens 2; out_has "the record of the mix says"
run_hm 3 quantize "$work/mix.gguf" -o "$work/no.gguf" --budget 4bpw "${fast[@]}"; err_has "expected F32, F16 or BF16"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/q8.gguf" --type q8_0
run_hm 0 inspect "$work/q8.gguf"
! grep -q hallmark.quantize.mix "$work/out" || fail "a fixed mix has no record of a search"

if [ "$sanitized" = 1 ]; then
    echo "SMALLER under sanitizers: one budget; no names, no comparison with q4_k_m, no --max-kl"
    run_hm 0 imatrix "$work/bf16.gguf" --text "$work/text" --chunk 64 -o "$work/im.gguf"
else
say "the name of a mix is one that verification lets stand"
for bpw in 3.0 4.5 6; do
    run_hm 0 quantize "$work/bf16.gguf" -o "$work/named.gguf" --budget ${bpw}bpw \
        --text "$work/text" --samples 1 --chunk 32 --device cpu
    run_hm 0 verify "$work/named.gguf" --fixture "$(fixture_for float32)" --tokens 2
    ! grep -q "general.file_type" "$work/out" "$work/err" || fail "its own name at $bpw"
    out_has pass
done

say "in the bytes of q4_k_m, nearer to the source than q4_k_m"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/like.gguf" --budget q4_k_m "${fast[@]}"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/fixed.gguf" --type q4_k_m
# The record is metadata.
[ "$(stat -c %s "$work/like.gguf")" -le $(($(stat -c %s "$work/fixed.gguf") + 16384)) ] || fail "the size"
tail -c 40000 "$root/README.md" > "$work/unseen"
"$KL_TOOL" "$work/bf16.gguf" "$work/unseen" 512 1 "$work/fixed.gguf" "$work/like.gguf" > "$work/kl" || fail "kl_tool"
awk 'NR == 1 { fixed = $1 } NR == 2 { exit !($1 > 0 && $1 < 0.6 * fixed) }' "$work/kl" ||
    fail "KL: $(cut -d' ' -f1 "$work/kl" | tr '\n' ' ')"

say "--max-kl: the smallest file within it; an importance matrix is used and named"
run_hm 0 imatrix "$work/bf16.gguf" --text "$work/text" --chunk 64 -o "$work/im.gguf"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/kl.gguf" --max-kl 0.01 "${fast[@]}" --imatrix "$work/im.gguf"
awk '/^mean KL/ {
    for (i = 1; i <= NF; i++) if ($i ~ /^measured/) exit !($(i-1) <= 0.01 && $(i-1) > 0.005)
}' "$work/out" || fail "the KL"
run_hm 0 derive "$work/kl.gguf" --from "$checkpoint" --imatrix "$work/im.gguf"
run_hm 1 derive "$work/kl.gguf" --from "$checkpoint"
fi

say "what cannot be had is said, and nothing is written"
before=$(ls "$work")
run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf" --budget 2bpw "${fast[@]}"; err_has "the least possible is"
run_hm 1 quantize "$work/bf16.gguf" -o "$work/no.gguf" --max-kl 1e-9 "${fast[@]}"
err_has "no mix is within a mean KL of 1e-09: the best there is"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf" --budget 4.5bpw; err_has "--text FILE is missing"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf" --budget 4.5 "${fast[@]}"; err_has "4.5bpw"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf" --budget 4.5bpw --type q8_0 "${fast[@]}"; err_has "--type"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf" --type q8_0 --text "$work/text"; err_has "--budget"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf"; err_has "--type T is missing"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/bf16.gguf" --budget 4.5bpw "${fast[@]}"; err_has "the output is the input"
for o in text im.gguf; do
    before_sha=$(sha "$work/$o")
    run_hm 2 quantize "$work/bf16.gguf" -o "$work/$o" --budget 4.5bpw "${fast[@]}" --imatrix "$work/im.gguf"
    err_has "would replace"
    [ "$before_sha" = "$(sha "$work/$o")" ] || fail "$o was replaced"
done
run_hm 3 quantize "$work/bf16.gguf" -o "$work/no.gguf" --budget 4.5bpw --text "$work/absent"; err_has "absent"
run_hm 0 quantize "$work/bf16.gguf" --budget 4.5bpw "${fast[@]}" --dry-run
[ "$before" = "$(ls "$work")" ] || fail "something was written"
echo "mix: all as it should be"
