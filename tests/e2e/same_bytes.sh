#!/usr/bin/env bash
# The same input gives the same bytes and the same tokens, for any number of threads and any SIMD level.
. "$(dirname "$0")/lib.sh"
levels="portable"
grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo && levels="$levels avx2"
grep -qw avx512f /proc/cpuinfo && grep -qw avx512bw /proc/cpuinfo && levels="$levels avx512"
say "SIMD levels of this CPU: $levels"

say "convert: 1, 2 and 5 threads"
for t in bf16 f32 q4_k_m; do
    for n in 1 2 5; do run_hm 0 convert "$checkpoint" -o "$work/$t-$n.gguf" --type $t --threads $n; done
    cmp "$work/$t-1.gguf" "$work/$t-2.gguf" && cmp "$work/$t-1.gguf" "$work/$t-5.gguf" ||
        fail "$t differs with the number of threads"
done
say "convert: every SIMD level, another current directory, another time zone and locale"
for l in $levels; do
    HALLMARK_SIMD=$l run_hm 0 convert "$checkpoint" -o "$work/simd.gguf" --type q4_k_m
    cmp "$work/simd.gguf" "$work/q4_k_m-1.gguf" || fail "q4_k_m differs at $l"
done
(cd / && TZ=Asia/Kathmandu LC_ALL=C.UTF-8 run_hm 0 convert "$checkpoint/" -o "$work/moved.gguf" --type q4_k_m) || exit 1
cmp "$work/moved.gguf" "$work/q4_k_m-1.gguf" || fail "q4_k_m differs with the surroundings"

say "quantize: 1 and 3 threads"
for n in 1 3; do run_hm 0 quantize "$work/f32-1.gguf" -o "$work/quantize-$n.gguf" --type q4_k_m --threads $n; done
cmp "$work/quantize-1.gguf" "$work/quantize-3.gguf" || fail "quantize differs with the number of threads"

n=24 prompt='The quick brown fox jumps over the lazy dog. The quick brown fox'
[ "$sanitized" = 1 ] && n=8
for t in bf16 f32 q4_k_m; do
    say "run $t: threads 1, 2, 3 and every SIMD level give the same $n ids"
    run_hm 0 run "$work/$t-1.gguf" -p "$prompt" -n $n --print-ids --ignore-eos --threads 1
    cp "$work/out" "$work/ids"
    for threads in 2 3; do
        run_hm 0 run "$work/$t-1.gguf" -p "$prompt" -n $n --print-ids --ignore-eos --threads $threads
        cmp -s "$work/out" "$work/ids" || fail "$t: other ids with $threads threads"
    done
    for l in $levels; do
        HALLMARK_SIMD=$l run_hm 0 run "$work/$t-1.gguf" -p "$prompt" -n $n --print-ids --ignore-eos
        cmp -s "$work/out" "$work/ids" || fail "$t: other ids at $l"
    done
done

say "verify: the distances are equal to the last digit at every SIMD level"
# Four cases: the portable level takes twenty times as long.
fix=$(fixture_for bfloat16) || exit 1
[ "$sanitized" = 1 ] || { four_cases "$fix" "$work/four.json.gz"; fix=$work/four.json.gz; }
[ "$sanitized" = 1 ] && levels=${levels#portable } &&
    echo "SMALLER under sanitizers: $n ids of each run; verify without the portable level, which takes minutes"
for l in $levels; do
    HALLMARK_SIMD=$l run_hm 0 verify "$work/bf16-1.gguf" --fixture "$fix" --json
    [ "$(json_get processor)" = "$l" ] || fail "the level is not named"
    grep -v '"processor":' "$work/out" > "$work/verify-$l.json"
    cmp -s "$work/verify-$l.json" "$work/verify-${levels%% *}.json" || fail "verify differs at $l"
done

say "a SIMD level that does not exist is refused: exit 2"
HALLMARK_SIMD=mmx run_hm 2 run "$work/bf16-1.gguf" -p a -n 1; err_has mmx
