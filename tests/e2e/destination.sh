#!/usr/bin/env bash
# Destinations: a place that cannot have been meant is exit 2, one that cannot take the file exit 4, both before the
# work; the place is named (never a temporary name), and nothing is left there. What is replaced is said.
. "$(dirname "$0")/lib.sh"

say "a limit on file size (as a full disk, reported before the work)"
(trap '' XFSZ; ulimit -f 1000; "$hallmark" convert "$checkpoint" -o "$work/limited.gguf" > "$work/out" 2> "$work/err")
[ $? -eq 4 ] || fail "over the file size limit: not exit 4"
err_has "limited.gguf"
[ -z "$(ls "$work" | grep limited)" ] || fail "something is left: $(ls "$work")"

no_partial() { ! grep -q 'partial' "$work/err" || fail "a temporary name reached the user: $(cat "$work/err")"; }
# each_command CHECK PLACE: every command that writes, with PLACE as its destination (PLACE.json as a report).
each_command() {
    local check=$1 place=$2 c
    for c in "convert $checkpoint -o" "quantize $work/bf16.gguf --type q8_0 -o" \
             "imatrix $work/bf16.gguf --text $work/text -o" \
             "verify $work/bf16.gguf --fixture $bf16_fix --report" "release $checkpoint --types bf16 -o"; do
        case $c in verify*) p=$place.json ;; *) p=$place ;; esac
        $check "$p" $c
        no_partial
    done
}
bf16_fix=$(fixture_for bfloat16) || exit 1
run_hm 0 convert "$checkpoint" -o "$work/bf16.gguf"
for i in $(seq 1 200); do echo "the quick brown fox number $i jumps over the lazy dog"; done > "$work/text"

say "a place that cannot have been meant: exit 2, before anything is read or run, from every command that writes"
: > "$work/plain"
misplaced() {
    run_hm 2 "${@:2}" "$1"
    out_empty
    err_has "$1"
    [ "$(wc -l < "$work/err")" -eq 2 ] || fail "$2 worked before it looked"
}
each_command misplaced "$work/no/such/folder/x.gguf"; [ ! -e "$work/no" ] || fail "a folder was made"
each_command misplaced "$work/plain/x.gguf"
each_command misplaced "$work/$(printf '%0300d' 0)"
misplaced "$work/plain" release "$checkpoint" -o            # a file where the folder should be
mkdir "$work/taken" "$work/taken.json"
for c in "convert $checkpoint -o" "quantize $work/bf16.gguf --type q8_0 -o" \
         "imatrix $work/bf16.gguf --text $work/text -o"; do
    misplaced "$work/taken" $c
    misplaced /dev/null $c
done
misplaced "$work/taken.json" verify "$work/bf16.gguf" --fixture "$bf16_fix" --report
[ -d "$work/taken" ] && [ -z "$(ls -A "$work/taken")" ] || fail "the folder under the final name is not as it was"
misplaced "$work/bf16.gguf" quantize "$work/bf16.gguf" --type q8_0 -o     # the input itself

say "what a command reads is not replaced by what it writes, whatever links lead there"
mkdir "$work/own" && cp "$checkpoint"/*.json "$checkpoint"/*.safetensors "$checkpoint"/*.jinja "$work/own/"
ln -s "$work/bf16.gguf" "$work/link.json"; cp "$bf16_fix" "$work/fix.json"; echo '{}' > "$work/gate.json"
before=$(cat "$work/bf16.gguf" "$work/fix.json" "$work/gate.json" "$work"/own/* | sha256sum)
keeps() { run_hm 2 "$@"; out_empty; [ "$(wc -l < "$work/err")" -eq 2 ] || fail "$1 worked before it looked"; }
keeps verify "$work/bf16.gguf" --fixture "$bf16_fix" --report "$work/link.json"; err_has "would replace $work/bf16.gguf"
keeps verify "$work/bf16.gguf" --fixture "$work/fix.json" --report "$work/fix.json"
err_has "would replace $work/fix.json"
keeps verify "$work/bf16.gguf" --fixture "$bf16_fix" --gate "$work/gate.json" --report "$work/gate.json"
err_has "would replace $work/gate.json"
keeps verify "$work/bf16.gguf" --fixture "$bf16_fix" --report "$work/twice.md" --report "$work/twice.md"
err_has "which are one file"
for f in tokenizer.json config.json model.safetensors.index.json; do
    keeps convert "$work/own" -o "$work/own/$f"; err_has "own/$f: the output is a file of the checkpoint"
done
[ "$(cat "$work/bf16.gguf" "$work/fix.json" "$work/gate.json" "$work"/own/* | sha256sum)" = "$before" ] ||
    fail "something that is read was replaced"

say "a file that is replaced is said to be, on standard error; a new one is not"
for c in "convert $checkpoint -o" "quantize $work/bf16.gguf --type q8_0 -o" "imatrix --merge $work/im0.gguf -o"; do
    case $c in imatrix*) run_hm 0 imatrix "$work/bf16.gguf" --text "$work/text" --chunk 64 -o "$work/im0.gguf" ;; esac
    run_hm 0 $c "$work/new.gguf"
    ! grep -q replaced "$work/err" || fail "$c: nothing was there to be replaced"
    out_has "$work/new.gguf"
    no_partial
    run_hm 0 $c "$work/new.gguf"
    err_has "note: replaced $work/new.gguf"
    ! grep -q replaced "$work/out" || fail "$c: the note is no result"
    rm "$work/new.gguf"
done
# A file with a bit turned, and a checkpoint without fixtures: a verdict is there without a run, which takes long under
# sanitizers.
cp "$work/bf16.gguf" "$work/bad.gguf"
last=$(($(stat -c %s "$work/bad.gguf") - 100))
byte=$(tail -c 100 "$work/bad.gguf" | head -c 1 | od -An -tu1 | tr -d ' ')
printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$work/bad.gguf" bs=1 seek=$last conv=notrunc status=none
mkdir "$work/bare" && cp "$checkpoint"/*.json "$checkpoint"/*.safetensors "$checkpoint"/*.jinja "$work/bare/"
run_hm 1 verify "$work/bad.gguf" --fixture "$bf16_fix" --report "$work/r.md"
! grep -q replaced "$work/err" || fail "the report is new"
run_hm 1 verify "$work/bad.gguf" --fixture "$bf16_fix" --report "$work/r.md"; err_has "note: replaced $work/r.md"
run_hm 1 release "$work/bare" --types bf16 -o "$work/pub"
! grep -q "replaced\|still holds" "$work/err" || fail "the folder is new"
run_hm 1 release "$work/bare" --types bf16 -o "$work/pub/"; err_has "note: replaced $work/pub.unverified"; no_partial
cp -r "$work/pub.unverified" "$work/pub"
run_hm 1 release "$work/bare" --types bf16 -o "$work/pub"; err_has "nothing can be added"
run_hm 1 release "$work/bare" --types bf16 -o "$work/pub" --replace
err_has "note: $work/pub still holds the release before this one"

say "on a machine that is shared: links under our temporary names lead nowhere, and what a release did not write stays"
mkdir "$work/shared" "$work/elsewhere" && chmod 1777 "$work/shared"
cp "$work/bf16.gguf" "$work/elsewhere/x.gguf"
echo '{}' > "$work/elsewhere/report.json"
cp "$work/elsewhere/report.json" "$work/elsewhere/report.md"
before=$(cat "$work"/elsewhere/* "$work/text" | sha256sum)
for i in 1 2 3; do
    ln -s "$work/elsewhere" "$work/shared/pub.partial-$i"
    ln -s "$work/text" "$work/shared/f.gguf.partial-$i"
done
ln -s "$work/elsewhere" "$work/shared/pub.unverified.partial-7"
mkfifo "$work/shared/pub.partial-8" "$work/shared/f.gguf.partial-8"
mkdir "$work/shared/pub.partial-9"; echo mine > "$work/shared/pub.partial-9/mine.gguf"
for i in 1 2; do
    run_hm 1 release "$work/bare" --types bf16 -o "$work/shared/pub"
    for c in "convert $checkpoint -o" "quantize $work/bf16.gguf --type q8_0 -o" "imatrix --merge $work/im0.gguf -o"; do
        run_hm 0 $c "$work/shared/f.gguf"
    done
    run_hm 1 verify "$work/bad.gguf" --fixture "$bf16_fix" --report "$work/shared/f.json"
done
[ "$(cat "$work"/elsewhere/* "$work/text" | sha256sum)" = "$before" ] && [ "$(ls "$work/elsewhere" | wc -l)" -eq 3 ] ||
    fail "something behind a link was touched"
[ "$(ls "$work/shared" | grep -c partial)" -eq 10 ] && [ -s "$work/shared/pub.partial-9/mine.gguf" ] ||
    fail "what is not ours was removed, or ours is left: $(ls "$work/shared")"
for own in README.md mmproj.gguf; do            # a file of the user's own in a release that is replaced
    echo mine > "$work/shared/pub.unverified/$own"
    run_hm 1 release "$work/bare" --types bf16 -o "$work/shared/pub"
    err_has "note: replaced $work/shared/pub.unverified"
    [ "$(cat "$work/shared/pub.unverified/$own")" = mine ] && [ -s "$work/shared/pub.unverified/bare-BF16.gguf" ] ||
        fail "$own, or the release, is gone"
    rm "$work/shared/pub.unverified/$own"
done
ln -s "$work/elsewhere" "$work/shared/linked"
run_hm 2 release "$work/bare" --types bf16 -o "$work/shared/linked"
err_has "is a link"

say "what is replaced keeps its permissions, whatever umask says; a new file has what umask leaves"
(umask 077; chmod 664 "$work/shared/f.gguf"; chmod 640 "$work/shared/f.json"; chmod 775 "$work/shared/pub.unverified"
 run_hm 0 convert "$checkpoint" -o "$work/shared/f.gguf"; run_hm 0 convert "$checkpoint" -o "$work/shared/g.gguf"
 run_hm 1 verify "$work/bad.gguf" --fixture "$bf16_fix" --report "$work/shared/f.json"
 run_hm 1 release "$work/bare" --types bf16 -o "$work/shared/pub") || exit 1
[ "$(cd "$work/shared" && stat -c %a f.gguf g.gguf f.json pub.unverified | tr '\n' ' ')" = "664 600 640 775 " ] ||
    fail "permissions: $(cd "$work/shared"; stat -c '%n %a' *)"

say "two releases to one place at the same time: the one that is published last says what it replaced"
first=
cleanup_more() { [ -z "$first" ] || kill -KILL "$first" 2> /dev/null; }
for i in 1 2 3 4 5 6 7 8; do            # the first is stopped at work; where it was too quick for that, once more
    "$hallmark" release "$work/bare" --types bf16,f32 -o "$work/two$i" > "$work/out1" 2> "$work/err1" < /dev/null &
    first=$!
    while kill -0 $first 2> /dev/null && [ -z "$(find "$work" -maxdepth 1 -name "two$i.partial-*")" ]; do :; done
    kill -STOP $first 2> /dev/null
    [ ! -e "$work/two$i.unverified" ] && break
    kill -CONT $first 2> /dev/null; wait $first
    [ $i -lt 8 ] || fail "the first release could not be stopped in its work"
done
run_hm 1 release "$work/bare" --types bf16 -o "$work/two$i"
! grep -q replaced "$work/err" || fail "nothing was there to be replaced"
kill -CONT $first
wait $first
status=$?
first=
[ $status -eq 1 ] || fail "the first release: not exit 1: $(cat "$work/err1")"
grep -qF "note: replaced $work/two$i.unverified" "$work/err1" ||
    fail "the first release does not say that it replaced another: $(cat "$work/err1")"
[ -s "$work/two$i.unverified/bare-F32.gguf" ] || fail "the last release is not there"

say "a read-only folder"
mkdir "$work/ro" && chmod 555 "$work/ro"
if [ "$(id -u)" -ne 0 ]; then
    run_hm 4 convert "$checkpoint" -o "$work/ro/x.gguf"; err_has "ro/x.gguf"
elif command -v setpriv > /dev/null; then
    # root writes anywhere: another user must try. It needs readable copies.
    chmod 755 "$work"
    cp -r "$checkpoint" "$work/source" && cp "$hallmark" "$work/hallmark" &&
        chmod -R a+rX "$work/source" "$work/hallmark"
    nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$work/hallmark" "$@" > "$work/out" 2> "$work/err"; }
    nobody convert "$work/source" -o "$work/ro/x.gguf"
    [ $? -eq 4 ] || fail "a read-only folder: not exit 4"
    err_has "ro/x.gguf"
    nobody release "$work/source" -o "$work/ro/x"
    [ $? -eq 4 ] && [ "$(wc -l < "$work/err")" -eq 1 ] ||
        fail "release into a read-only folder: not exit 4 before the work"
    err_has "ro/x: cannot create"
fi
[ -z "$(ls -A "$work/ro")" ] || fail "something is in the read-only folder"

say "a full disk, and a read-only mount"
[ "$(id -u)" -eq 0 ] || skip "not root: no tmpfs can be mounted (all checks above passed)"
mkdir "$work/small"
mount -t tmpfs -o size=4m tmpfs "$work/small" 2> "$work/err" ||
    skip "no tmpfs can be mounted here: $(cat "$work/err") (all checks above passed)"
cleanup_more() { umount "$work/small" 2> /dev/null; }
run_hm 4 convert "$checkpoint" -o "$work/small/x.gguf" --type f32; err_has "small/x.gguf"; no_partial
[ -z "$(ls -A "$work/small")" ] || fail "something is left on the full disk: $(ls -A "$work/small")"
printf old > "$work/small/x.gguf"
run_hm 4 convert "$checkpoint" -o "$work/small/x.gguf" --type f32
[ "$(cat "$work/small/x.gguf")" = old ] || fail "the old file was touched"
run_hm 4 release "$checkpoint" -o "$work/small/pub" --types f32; err_has "small/pub/"; no_partial
[ ! -e "$work/small/pub" ] || fail "a release on a full disk left its folder"
# The name is shown as text, in that place too.
run_hm 4 release "$checkpoint" -o "$work/small/"$'p\nb' --types f32; err_has 'small/p\nb/'; no_partial
rm "$work/small/x.gguf"; mount -o remount,size=30m "$work/small" || fail "remount"
run_hm 4 release "$work/bare" -o "$work/small/pub" --types bf16,f32; err_has "the 2 artifacts take "; no_partial
! grep -q "^convert " "$work/err" ||
    fail "a release that has room for its first artifact alone makes that before it says so"
[ -z "$(ls -A "$work/small")" ] || fail "something is left on the full disk: $(ls -A "$work/small")"
run_hm 1 release "$work/bare" -o "$work/small/pub" --types f32; rm -r "$work/small/pub.unverified"
mount -o remount,ro "$work/small" 2> "$work/err" ||
    skip "no read-only mount here: $(cat "$work/err") (all checks above passed)"
unwritable() {
    run_hm 4 "${@:2}" "$1"
    out_empty
    err_has "$1"
    [ "$(wc -l < "$work/err")" -eq 1 ] || fail "$2 worked before it looked"
}
each_command unwritable "$work/small/y.gguf"
