#!/usr/bin/env bash
# A search for a mix with --state: killed at several moments, run again, it gives the bytes and the report of one that
# was not, and says what is left; another budget needs no other search; a folder of another search, or one that was
# truncated or edited, is refused by name; a release's mixes share one.
. "$(dirname "$0")/lib.sh"
run_hm 0 convert "$checkpoint" -o "$work/bf16.gguf" --type bf16
head -c 6000 "$root/LICENSE" > "$work/text"
head -c 7000 "$root/LICENSE" > "$work/longer"
at=(5 25 45 59)
[ "$sanitized" = 1 ] && at=(3) && echo "SMALLER under sanitizers: one of four kills, no release"
short=(--text "$work/text" --samples 1 --chunk 16)
fast=("${short[@]}" --device cpu)
mix=(quantize "$work/bf16.gguf" -o "$work/mix.gguf" --budget 4.5bpw "${fast[@]}")
state=$work/state

cells() { ls "$state" 2> /dev/null | grep -c '^tensor-.*\.cell$'; }
# killed_at N SIGNAL: the same command, ended once N tensors are kept. Its exit status, or 0 where it was done before.
killed_at() {
    "$hallmark" "${mix[@]}" --state "$state" > "$work/killed" 2>&1 < /dev/null &
    local pid=$!
    while kill -0 $pid 2> /dev/null && [ "$(cells)" -lt "$1" ]; do sleep 0.02; done
    kill -"$2" $pid 2> /dev/null
    wait $pid 2> /dev/null
}

say "a search that was not killed"
run_hm 0 "${mix[@]}"
cp "$work/mix.gguf" "$work/whole.gguf"; cp "$work/out" "$work/whole"
tensors=$(sed -n 's/^to do: \([0-9]*\) tensors.*/\1/p' "$work/err")
[ "$tensors" = 59 ] || fail "found $tensors tensors to do, expected 59"

say "ended by a signal, killed at several moments, and run again: the same bytes, the same report," \
    "and only what is left is to do"
rm "$work/mix.gguf"
killed_at 1 TERM
[ $? -eq 143 ] || fail "SIGTERM: another exit status"
[ ! -e "$work/mix.gguf" ] || fail "an ended search left a file"
! ls "$state" "$work" | grep -q 'partial-' || fail "an ended search left a partial file"
killed=0
for n in "${at[@]}"; do
    killed_at "$n" KILL
    status=$?
    [ $status -eq 137 ] && killed=$((killed + 1))
    [ $status -eq 0 ] || [ ! -e "$work/mix.gguf" ] || fail "a killed search left a file"
done
[ $killed -gt 0 ] || fail "no search was killed"
kept=$(cells)
[ "$kept" -ge "${at[-1]}" ] || fail "$kept tensors are kept, expected ${at[-1]}"
rm -f "$work/mix.gguf"
run_hm 0 "${mix[@]}" --state "$state"
err_has "$kept of 59 tensors are measured"
left=$((59 - kept))
[ $left -eq 0 ] || err_has "to do: $left tensors, "
cmp -s "$work/mix.gguf" "$work/whole.gguf" || fail "after kills: other bytes"
cmp -s "$work/out" "$work/whole" || fail "after kills: another report"

say "what is measured is not measured again, for another budget either"
run_hm 0 "${mix[@]}" --state "$state" 
cmp -s "$work/mix.gguf" "$work/whole.gguf" || fail "measured before: other bytes"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/four.gguf" --budget 4bpw "${fast[@]}" --state "$state"
err_has "59 of 59 tensors are measured"
! grep -q "to do" "$work/err" || fail "another budget measures again"
awk '/bits a weight$/ { exit !($(NF-3) <= 4 && $(NF-3) > 3.9) }' "$work/out" || fail "the other budget"
run_hm 0 quantize "$work/bf16.gguf" --budget 4bpw "${fast[@]}" --dry-run
cp "$work/out" "$work/afresh"
run_hm 0 quantize "$work/bf16.gguf" --budget 4bpw "${fast[@]}" --state "$state" --dry-run
cmp -s "$work/out" "$work/afresh" || fail "another budget from the folder: another report"

say "a folder of another search is refused by what differs"
other() {
    local says=$1
    shift
    run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf" --budget 4.5bpw --device cpu --state "$state" "$@"
    err_has "$state: the folder of another run: $says differs"
}
other "a text" --text "$work/longer" --samples 1 --chunk 16
other "the size of a chunk" --text "$work/text" --samples 1 --chunk 32
other "the number of chunks" --text "$work/text" --samples 2 --chunk 16
other "--exact" "${short[@]}" --exact
run_hm 0 imatrix "$work/bf16.gguf" --text "$work/text" --chunk 64 -o "$work/im.gguf"
other "the importance matrix" "${short[@]}" --imatrix "$work/im.gguf"
run_hm 0 convert "$checkpoint" -o "$work/f32.gguf" --type f32
run_hm 2 quantize "$work/f32.gguf" -o "$work/no.gguf" --budget 4.5bpw "${fast[@]}" --state "$state"
err_has "the source differs"
run_hm 0 lab "$work/bf16.gguf" --kv q8_0 --text "$work/text" --samples 1 --chunk 32 --state "$work/lab"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf" --budget 4.5bpw "${fast[@]}" --state "$work/lab"
err_has "what is measured differs"
run_hm 3 lab "$work/bf16.gguf" --kv q8_0 --text "$work/text" --samples 1 --chunk 32 --state "$state"
err_has "$state/plan.json"
mkdir "$work/mine"; echo letters > "$work/mine/letters"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf" --budget 4.5bpw "${fast[@]}" --state "$work/mine"
err_has "found 'letters'"
[ "$(ls "$work/mine")" = letters ] || fail "something was put into a folder of somebody's own"

say "a truncated, an edited and another tensor's cell are refused by name"
refused() { run_hm 3 "${mix[@]}" --state "$state"; err_has "$state/$1: $2: expected a whole cell of this run"; }
cell=$(basename "$(ls "$state"/tensor-*.cell | head -n 1)")
second=$(basename "$(ls "$state"/tensor-*.cell | sed -n 2p)")
cp "$state/$cell" "$work/cell"
truncate -s -1 "$state/$cell"; refused "$cell" "it ends too early"
cp "$work/cell" "$state/$cell"
printf '\x7f' | dd of="$state/$cell" bs=1 seek=130 conv=notrunc status=none
refused "$cell" "its digest is another's"
cp "$state/$second" "$state/$cell"; refused "$cell" "it is of another tensor"
cp "$work/cell" "$state/$cell"
cp "$state/plan.json" "$work/plan"
sed -i 's/"exact"/ "exact"/' "$state/plan.json"
run_hm 3 "${mix[@]}" --state "$state"; err_has "found a plan that is not as it is written"
cp "$work/plan" "$state/plan.json"
truncate -s -1 "$state"/mix-*.cell
run_hm 3 "${mix[@]}" --state "$state"
grep -Eq 'state/mix-[0-9a-f]{16}\.cell: it ends too early' "$work/err" || fail "a truncated mix is not refused by name"

say "a wrong command line"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf" --type q8_0 --state "$work/new"
err_has "--state belong to --budget"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/no.gguf" --budget 4.5bpw "${fast[@]}" --state "$work/no.gguf"
err_has "which is the file to write"
run_hm 2 release "$checkpoint" -o "$work/release" --types q8_0 --state "$work/new"
err_has "option --state does nothing"
[ ! -e "$work/no.gguf" ] && [ ! -e "$work/new" ] || fail "something was written"

if [ "$sanitized" != 1 ]; then
say "mixes of a release share what is measured, and a second release measures nothing"
mkdir "$work/bare"
cp "$checkpoint"/*.json "$checkpoint"/*.jinja "$checkpoint"/*.safetensors "$work/bare/"
texts="text=$work/text:samples=1:chunk=16"
mixes="mix:budget=4.5bpw:$texts,mix:budget=4bpw:$texts:name=small"
two=(release "$work/bare" --types "$mixes" --state "$work/shared" --device cpu)
run_hm 1 "${two[@]}" -o "$work/release"
mv "$work/release.unverified" "$work/first"
[ "$(grep -c "to do: 59 tensors" "$work/err")" = 1 ] || fail "the second mix measures again"
run_hm 1 "${two[@]}" -o "$work/release"
! grep -q "to do" "$work/err" || fail "a second release measures again"
for f in bare-MIX.gguf bare-small.gguf report.json; do
    cmp -s "$work/first/$f" "$work/release.unverified/$f" || fail "$f: other bytes"
done
[ "$(ls "$work/shared" | wc -l)" = 1 ] || fail "one measurement, several folders"
fi
echo "mix_state: all as it should be"
