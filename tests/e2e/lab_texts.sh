#!/usr/bin/env bash
# fixtures/lab_texts.sh: six texts of the asked size, valid UTF-8, the same when made twice; what cannot be made is
# refused by name.
. "$(dirname "$0")/lib.sh"
categories="coding chat tool_calling science non_latin long_document"
make_texts() { sh "$root/fixtures/lab_texts.sh" "$@" > "$work/out" 2> "$work/err"; }
expect() {      # STATUS ARGUMENT...
    local want=$1 got=0
    shift
    make_texts "$@" || got=$?
    [ "$got" -eq "$want" ] || fail "lab_texts.sh $* exits $got, expected $want"
}
size_is() {     # FILE BYTES: as many, or up to three fewer
    local size
    size=$(wc -c < "$1")
    [ "$size" -le "$2" ] && [ "$size" -gt $(($2 - 4)) ] || fail "$1 has $size bytes, expected $2 or up to three fewer"
}
listing() { (cd "$1" && ls | tr '\n' ' '); }

say "six texts of the asked size, in whole characters"
# 9001, 9002, 9003: at least two of three neighbouring sizes cut a character of three bytes.
for n in 9001 9002 9003; do
    expect 0 --bytes 6000 --bytes non_latin=$n "$work/texts-$n"
    size_is "$work/texts-$n/non_latin.txt" $n
done
expected="SOURCES.txt chat.txt coding.txt long_document.txt non_latin.txt science.txt tool_calling.txt "
[ "$(listing "$work/texts-9001")" = "$expected" ] || fail "other files: $(listing "$work/texts-9001")"
for c in $categories; do
    file=$work/texts-9001/$c.txt
    iconv -f UTF-8 -t UTF-8 "$file" > /dev/null || fail "$c.txt is not UTF-8"
    grep -q "^$c	[1-9][0-9]*	." "$work/texts-9001/SOURCES.txt" || fail "SOURCES.txt lacks $c"
    out_has "$c.txt"
    [ $c = non_latin ] && continue
    size_is "$file" 6000
done
[ "$(find "$work" -maxdepth 1 -name '*.partial' | wc -l)" -eq 0 ] || fail "something partial is left"

say "no text of repeated lines"
for c in $categories; do
    file=$work/texts-9001/$c.txt
    long=$(grep -c '.\{40\}' "$file")
    other=$(grep '.\{40\}' "$file" | sort -u | wc -l)
    [ $((other * 10)) -ge $((long * 9)) ] || fail "$c.txt: of $long long lines only $other differ"
done

say "the same bytes from another current directory, time zone and locale"
(cd / && TZ=Asia/Kathmandu LC_ALL=C.UTF-8 make_texts --bytes 6000 --bytes non_latin=9001 "$work/again") ||
    fail "the second time"
diff -r "$work/texts-9001" "$work/again" > /dev/null || fail "made twice, the texts differ"

say "by default 18000 bytes of each, 23000 of non_latin"
expect 0 "$work/default"
for c in $categories; do
    want=18000
    [ $c != non_latin ] || want=23000
    size_is "$work/default/$c.txt" $want
done

say "wrong command lines are refused, and write nothing"
expect 2
expect 2 --bytes 0 "$work/no"
expect 2 --bytes 12k "$work/no"
expect 2 --bytes "$work/no"
expect 2 --bytes poems=100 "$work/no"
err_has "no such category"
expect 2 --what "$work/no"
expect 2 "$work/again"
err_has "exists"
say "more text than there is is refused by category, found and expected"
expect 3 --bytes 6000 --bytes chat=90000000 "$work/no"
err_has "chat: found $(wc -c < "$root/fixtures/lab/chat.txt") bytes of text, expected at least 90000000"
[ ! -e "$work/no" ] && [ ! -e "$work/no.partial" ] || fail "a refused command left something"
say "done"
