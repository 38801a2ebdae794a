#!/usr/bin/env bash
# Destinations that cannot take the file: exit 4, the place is named, and nothing is left under the final name.
. "$(dirname "$0")/lib.sh"

say "a limit on file size (as a full disk, reported before the work)"
(trap '' XFSZ; ulimit -f 1000; "$hallmark" convert "$checkpoint" -o "$work/limited.gguf" > "$work/out" 2> "$work/err")
[ $? -eq 4 ] || fail "over the file size limit: not exit 4"
err_has "limited.gguf"
[ -z "$(ls "$work" | grep limited)" ] || fail "something is left: $(ls "$work")"

say "folders that are not there, or are files"
run_hm 4 convert "$checkpoint" -o "$work/no/such/folder/x.gguf"; err_has "$work/no/such/folder/x.gguf"
: > "$work/plain"
run_hm 4 convert "$checkpoint" -o "$work/plain/x.gguf"; err_has "x.gguf"
mkdir "$work/taken"
run_hm 4 convert "$checkpoint" -o "$work/taken"; err_has "$work/taken"
[ -d "$work/taken" ] || fail "the folder under the final name is gone"

say "a read-only folder"
mkdir "$work/ro" && chmod 555 "$work/ro"
if [ "$(id -u)" -ne 0 ]; then
    run_hm 4 convert "$checkpoint" -o "$work/ro/x.gguf"; err_has "ro/x.gguf"
elif command -v setpriv > /dev/null; then
    # root writes anywhere: another user must try. It needs readable copies.
    chmod 755 "$work"
    cp -r "$checkpoint" "$work/source" && cp "$hallmark" "$work/hallmark" && chmod -R a+rX "$work/source" "$work/hallmark"
    setpriv --reuid=65534 --regid=65534 --clear-groups "$work/hallmark" convert "$work/source" -o "$work/ro/x.gguf" > "$work/out" 2> "$work/err"
    [ $? -eq 4 ] || fail "a read-only folder: not exit 4"
    err_has "ro/x.gguf"
fi
[ -z "$(ls -A "$work/ro")" ] || fail "something is in the read-only folder"

say "a full disk, and a read-only mount"
[ "$(id -u)" -eq 0 ] || skip "not root: no tmpfs can be mounted (all checks above passed)"
mkdir "$work/small"
mount -t tmpfs -o size=4m tmpfs "$work/small" 2> "$work/err" || skip "no tmpfs can be mounted here: $(cat "$work/err") (all checks above passed)"
cleanup_more() { umount "$work/small" 2> /dev/null; }
run_hm 4 convert "$checkpoint" -o "$work/small/x.gguf" --type f32; err_has "small/x.gguf"
[ -z "$(ls -A "$work/small")" ] || fail "something is left on the full disk: $(ls -A "$work/small")"
printf old > "$work/small/x.gguf"
run_hm 4 convert "$checkpoint" -o "$work/small/x.gguf" --type f32
[ "$(cat "$work/small/x.gguf")" = old ] || fail "the old file was touched"
run_hm 4 release "$checkpoint" -o "$work/small/pub" --types f32
[ ! -e "$work/small/pub" ] || fail "a release on a full disk left its folder"
mount -o remount,ro "$work/small" 2> "$work/err" || skip "no read-only mount here: $(cat "$work/err") (all checks above passed)"
run_hm 4 convert "$checkpoint" -o "$work/small/y.gguf" --type q4_k_m; err_has "small/y.gguf"
