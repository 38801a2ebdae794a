#!/usr/bin/env bash
# No line of a source file is longer than 120 columns: each that is longer is named, with its length.
# columns.sh HALLMARK [FOLDER]: FOLDER instead of the whole tree.
. "$(dirname "$0")/lib.sh"
limit=120

# sources FOLDER COMMAND...: COMMAND with the names of the source files below FOLDER, from there. Left out are build
# folders and hidden ones (but .ci), and headers that a program writes, whose lines are rows of numbers.
sources() {
    local folder=$1
    shift
    (cd "$folder" && find . -mindepth 1 \
        \( -type d \( -path './build*' -o -name '.*' ! -name .ci \) -o -path '*/tests/golden/*.h' \) -prune -o \
        -type f \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inc' -o -name '*.py' \
            -o -name '*.sh' -o -name '*.cmake' -o -name CMakeLists.txt -o -path './.ci/run' \) -exec "$@" {} +)
}

# Characters of UTF-8 are counted, not bytes, whatever awk and locale: those that continue a character are taken away.
too_long() {
    sources "$1" awk -v limit=$limit '
        length($0) <= limit { next }
        {
            gsub(/[\200-\277]/, "")
            if (length($0) > limit) print substr(FILENAME, 3) ":" FNR ": " length($0) " characters"
        }' > "$work/found" || fail "not every source file below $1 can be read"
    sort -t : -k 1,1 -k 2,2n "$work/found"
}

say "a longer line is found in each kind of source file, at its number, and nowhere else"
made=$work/made
mkdir -p "$made/.ci" "$made/.git" "$made/a folder" "$made/build-x" "$made/tests/golden"
line=$(printf 'x%.0s' $(seq $limit))
golden=tests/golden
kinds=".ci/run CMakeLists.txt a.c a.cmake a.cpp a.cu a.cuh a.h a.inc a.py a.sh $golden/a.py"
for f in $kinds; do printf '%s\n%sy\n' "$line" "$line" > "$made/$f"; done
for f in a.txt a.json .git/a.c build-x/a.c $golden/a.h; do cp "$made/a.c" "$made/$f"; done
# As many characters as may be, in twice as many bytes; one more, without an end of line.
printf '%s\n' "${line//x/$'\xc3\xa9'}" > "$made/fits.c"
printf '%s' "${line//x/$'\xe2\x82\xac'}y" > "$made/a folder/characters.c"
for f in $kinds; do echo "$f:2: $((limit + 1)) characters"; done > "$work/named"
echo "a folder/characters.c:1: $((limit + 1)) characters" >> "$work/named"
too_long "$made" > "$work/long"
sort -t : -k 1,1 -k 2,2n "$work/named" | cmp -s - "$work/long" || fail "found: $(cat "$work/long")"

folder=${2:-$root}
n=$(sources "$folder" printf '%s\n' | wc -l)
say "no longer line in $n source files"
[ "$n" -gt 0 ] || fail "no source file below $folder"
too_long "$folder" > "$work/long"
cat "$work/long"
[ ! -s "$work/long" ] || fail "$(wc -l < "$work/long") lines are longer than $limit columns"
