#!/usr/bin/env bash
# kill -9 at 50 random instants of a convert: the final name holds the old file, whole, or nothing.
. "$(dirname "$0")/lib.sh"
rounds=50
out=$work/out.gguf

run_hm 0 convert "$checkpoint" -o "$work/whole.gguf" --type q4_k_m --threads 1
whole=$(sha "$work/whole.gguf")
# The shortest of three: what the loop below meets on a machine that is less busy than at the first try.
micros=$((1 << 60))
for i in 1 2 3; do
    began=$(date +%s%N)
    run_hm 0 convert "$checkpoint" -o "$work/timed.gguf" --type q4_k_m --threads 1
    took=$((($(date +%s%N) - began) / 1000))
    [ $took -lt $micros ] && micros=$took
done
printf 'the old file' > "$work/old"
old=$(sha "$work/old")
RANDOM=20                               # the same instants every time, as far as the scheduler allows
killed=0 finished=0

say "converts of $micros us, each killed at a random instant, until $rounds were; half of them over an old file"
# A kill that comes too late, because the machine was slow to wake this script, proves nothing and is tried again.
for ((i = 0; killed < rounds && i < 10 * rounds; i++)); do
    rm -f "$out"
    [ $((i % 2)) -eq 0 ] || cp "$work/old" "$out"
    "$hallmark" convert "$checkpoint" -o "$out" --type q4_k_m --threads 1 > /dev/null 2>&1 < /dev/null &
    pid=$!
    instant=$(((RANDOM * 32768 + RANDOM) % micros))
    sleep "$(printf '%d.%06d' $((instant / 1000000)) $((instant % 1000000)))"
    kill -9 $pid 2> /dev/null
    wait $pid 2> /dev/null
    status=$?
    [ $status -eq 137 ] && killed=$((killed + 1))
    [ $status -eq 0 ] && finished=$((finished + 1))
    if [ ! -e "$out" ]; then
        [ $((i % 2)) -eq 0 ] || fail "round $i: the old file is gone (status $status)"
        [ $status -ne 0 ] || fail "round $i: exit 0 without a file"
        continue
    fi
    now=$(sha "$out")
    [ "$now" = "$whole" ] || { [ "$now" = "$old" ] && [ $((i % 2)) -eq 1 ] && [ $status -ne 0 ]; } ||
        fail "round $i: $(stat -c %s "$out") bytes under the final name" \
            "that are neither the old file nor the new one (status $status)"
done
say "$killed killed, $finished finished before the kill"
[ $killed -ge $rounds ] || fail "only $killed of $i were killed in time: this proves little"

say "a later convert succeeds and removes what the killed ones left"
run_hm 0 convert "$checkpoint" -o "$out" --type q4_k_m
[ "$(sha "$out")" = "$whole" ] || fail "the file differs"
left=$(ls "$work" | grep -c 'out.gguf.partial')
[ "$left" -eq 0 ] || fail "$left partial files are left"
