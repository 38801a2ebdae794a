#!/usr/bin/env bash
# The laboratory, through the program: one run, its parts joined in any order, and runs that were killed give the same
# bytes, on any number of threads and at every SIMD level; a cache to order fits its budget and is what run, verify and
# lab take; what cannot be measured is said, with the right status, and nothing is written.
. "$(dirname "$0")/lib.sh"
run_hm 0 convert "$checkpoint" -o "$work/bf16.gguf" --type bf16
run_hm 0 convert "$checkpoint" -o "$work/q8_0.gguf" --type q8_0
kills=20 chat=1500 coding=900
[ "$sanitized" = 1 ] && kills=3 chat=500 coding=400 &&
    echo "SMALLER under sanitizers: 3 of 20 kills, a third of the texts"
head -c $chat "$root/LICENSE" > "$work/chat.txt"
head -c $coding "$root/ARCHITECTURE.md" > "$work/coding.txt"
texts=(--text "chat=$work/chat.txt" --text "coding=$work/coding.txt" --chunk 64 --skip 8)
whole=("$work/bf16.gguf" --arith f32 --kv f32 --kv q4_0 --kv k=q8_0,v=kivi2:g16:r32+sink2 "${texts[@]}" --device cpu)

say "one run: the base is at distance 0 from itself, and losses have the order of their bits"
run_hm 0 lab "${whole[@]}" --report "$work/r.json" --report "$work/report.md" --report "$work/r.html"
out_has "mean KL"
run_hm 0 lab "${whole[@]}" --json
json_valid
cp "$work/out" "$work/whole.json"
cmp -s "$work/whole.json" "$work/r.json" || fail "--json and the report differ"
[ "$(json_get candidates.0.kl_mean)" = 0 ] || fail "a base is not at distance 0 from itself"
[ "$(json_get candidates.0.top1)" = 1 ] || fail "a base is not equal to itself"
awk -v a="$(json_get candidates.1.kl_mean)" 'BEGIN { exit !(a > 1e-5) }' || fail "q4_0 loses nothing"
grep -q '<svg' "$work/r.html" || fail "no plot"
grep -q '^| ' "$work/report.md" || fail "no table"

say "threads, SIMD levels, parts in any order, a folder: the same bytes"
run_hm 0 lab "${whole[@]}" --json --threads 1
cmp -s "$work/out" "$work/whole.json" || fail "one thread: other figures"
run_hm 0 lab "${whole[@]}" --samples 2 --json
cp "$work/out" "$work/few.json"
levels=(avx2 portable)
[ "$sanitized" = 1 ] && levels=() && echo "SMALLER under sanitizers: no other SIMD level"
for level in "${levels[@]}"; do
    if HALLMARK_SIMD=$level "$hallmark" lab "${whole[@]}" --samples 2 --json > "$work/out" 2> "$work/err"; then
        cmp -s "$work/out" "$work/few.json" || fail "$level: other figures"
    else
        err_has "$level"        # this processor lacks it
    fi
done
for i in 3 1 2; do run_hm 0 lab "${whole[@]}" --part $i/3 --state "$work/part$i"; out_empty; done
run_hm 0 lab --merge "$work/part2" --merge "$work/part3" "$work/part1" --json
cmp -s "$work/out" "$work/whole.json" || fail "parts: other figures"
run_hm 3 lab --merge "$work/part2" "$work/part1"; err_has "of 3 parts, part 3;"; out_empty
run_hm 3 lab --merge "$work/part2"; err_has "of 3 parts, parts 1, 3;"

say "killed at random moments and run again: the same bytes"
state=$work/state
killed=0
for ((i = 0; i < kills; i++)); do
    timeout -s KILL "0.$((RANDOM % 40 + 10))" "$hallmark" lab "${whole[@]}" --state "$state" --json \
        > "$work/killed" 2> /dev/null
    [ $? -eq 137 ] && killed=$((killed + 1))
done
[ $killed -gt 0 ] || fail "no run was killed"
run_hm 0 lab "${whole[@]}" --state "$state" --json
cmp -s "$work/out" "$work/whole.json" || fail "after kills: other figures"
run_hm 0 lab --merge "$state" --json
cmp -s "$work/out" "$work/whole.json" || fail "merged after kills: other figures"

say "a folder of another run, or edited, is refused by name"
run_hm 2 lab "${whole[@]}" --kv q5_0 --state "$state"; err_has "the number of candidates differs"
sed -i 's/"skip":\t8/"skip":\t9/' "$work/part1/plan.json"
run_hm 2 lab --merge "$work/part2" "$work/part1"; err_has "the chunks differs"
cell=$(ls "$work/part3"/*.cell | head -n 1)
truncate -s -1 "$cell"
run_hm 3 lab --merge "$work/part2" "$work/part3"; err_has "${cell##*/}"
mkdir "$work/mine"; echo letters > "$work/mine/letters"
run_hm 2 lab "${whole[@]}" --state "$work/mine"; err_has "letters"
[ "$(ls "$work/mine")" = letters ] || fail "something was put into a folder of somebody's own"

say "weights and caches"
run_hm 0 lab "$work/bf16.gguf" "$work/q8_0.gguf" --arith f32 --kv q8_0 --kv q4_0 "${texts[@]}" --samples 4 --json
[ "$(json_get compounds.1.kv)" = q4_0 ] || fail "no share of weights and cache"
run_hm 0 lab "$work/bf16.gguf" "$work/q8_0.gguf" --arith f32 --kv q8_0 "${texts[@]}" --samples 2
out_has "Weights and cache, q8_0.gguf with q8_0: "

say "a cache to order fits, and is a cache for run and lab"
run_hm 0 lab "$work/bf16.gguf" --arith f32 --kv q8_0 --kv q4_0 --kv-budget 30% --samples 2 "${texts[@]}" --json
spec=$(json_get chosen)
limit=$(json_get budget)
[ "$(json_get candidates.0.kv)" = "$spec" ] || fail "the choice is not the first candidate"
awk -v a="$(json_get candidates.0.context_bytes)" -v b="$limit" 'BEGIN { exit !(a <= b) }' ||
    fail "the choice is too large"
kl=$(json_get candidates.0.kl_mean)
run_hm 0 run "$work/bf16.gguf" --kv "$spec" -p 'def main():' -n 2 --print-ids
run_hm 0 lab "$work/bf16.gguf" --arith f32 --kv "$spec" "${texts[@]}" --samples 2 --json
[ "$(json_get candidates.0.kl_mean)" = "$kl" ] || fail "the printed cache has other figures"
run_hm 2 lab "$work/bf16.gguf" --kv q4_0 --kv-budget 1KiB@4096 "${texts[@]}" --samples 2; err_has "expected at least"
! grep -q "tokens/s" "$work/err" || fail "a budget that nothing fits is refused after the run"
run_hm 0 lab "$work/bf16.gguf" --arith f32 --kv q8_0 --kv q4_0 --kv-budget 30% --samples 2 "${texts[@]}"
out_has "The best of one kind within them: q8_0"
run_hm 2 lab "$work/bf16.gguf" --kv q4_0 --kv-budget 40 "${texts[@]}" --part 1/2; err_has "--part"
run_hm 2 lab "$work/bf16.gguf" --kv q4_0 --kv-budget lots "${texts[@]}"; err_has "lots"

say "what cannot be measured is said"
: > "$work/empty"; printf 'text \377' > "$work/wrong"; echo short > "$work/short"
run_hm 3 lab "$work/bf16.gguf" --kv q8_0 --text "$work/empty" --report "$work/no.json"; err_has "the text is empty"
run_hm 3 lab "$work/bf16.gguf" --kv q8_0 --text "$work/wrong"; err_has "offset 5"
run_hm 3 lab "$work/bf16.gguf" --kv q8_0 --text "$work/short" --chunk 64; err_has "expected a chunk of 64"
run_hm 2 lab "$work/bf16.gguf" --kv q3_0 "${texts[@]}"; err_has "q3_0"
run_hm 2 lab "$work/bf16.gguf" --kv kivi2:g32:r100 "${texts[@]}"; err_has "r100"
run_hm 2 lab "$work/bf16.gguf" --kv q8_0 "${texts[@]}" --part 4/3 --state "$work/no"; err_has "4/3"
run_hm 2 lab "$work/bf16.gguf" --kv q8_0 "${texts[@]}" --part 1/3; err_has "--state"
run_hm 2 lab "$work/bf16.gguf" --kv q8_0 "${texts[@]}" --report "$work/r.txt"; err_has "r.txt"
run_hm 2 lab "$work/bf16.gguf" --kv q8_0 --text "$work/r.json" --report "$work/r.json"; err_has "r.json"
printf '%s\n' "a text that is longer than a chunk of eight tokens, and a little more" > "$work/own.md"
run_hm 2 lab "$work/bf16.gguf" --kv q8_0 --text "chat=$work/*.md" --chunk 8 --report "$work/own.md"; err_has "own.md"
run_hm 2 lab "$work/bf16.gguf" --kv k=kivi2,v=bf16 --text "$work/own.md" --chunk 8; err_has "sees keys of it only"
run_hm 2 lab --merge "$work/part2" --kv q8_0; err_has "--kv"
run_hm 3 lab --merge "$work/nowhere"; err_has "nowhere"
[ ! -e "$work/no" ] && [ ! -e "$work/no.json" ] || fail "something was written"
