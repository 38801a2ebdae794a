#!/usr/bin/env bash
# The command line's contract: help, exit statuses, which stream gets what, messages that name the nearest word.
. "$(dirname "$0")/lib.sh"
commands="convert quantize verify run bench inspect release check derive imatrix"

say "help and version: exit 0, on standard output, nothing on standard error"
run_hm 0 --help; err_empty
for c in $commands; do out_has "  $c "; done
run_hm 0 --version
err_empty
grep -qE '^hallmark [0-9.]+ \(commit ([0-9a-f]{40}(-dirty)?|unknown)\)$' "$work/out" ||
    fail "--version: $(cat "$work/out")"
run_hm 0 --version --json
json_valid
[ "hallmark $(json_get hallmark) (commit $(json_get commit))" = "$("$hallmark" --version)" ] || fail "--version --json"
run_hm 2 --version --jsn; err_has "'--jsn'"
for c in $commands; do
    run_hm 0 "$c" --help; err_empty; out_has "Usage: hallmark $c "; out_has "Examples:"; out_has "  hallmark $c "
    run_hm 0 help "$c"; err_empty; out_has "Usage: hallmark $c "
    run_hm 0 "$c" -h
    [ -z "$(awk 'length > 120' "$work/out")" ] || fail "$c --help: a line is longer than 120 columns"
    # What the usage and the examples name exists, and the examples are of this command.
    sed -n '/^Options:/,/^$/p' "$work/out" > "$work/options"
    sed -n '/^Usage:/p; /^Examples:/,$p' "$work/out" > "$work/named"
    for word in $(grep -oE -- '(^| |\[|\()--?[a-z][a-z-]*' "$work/named" | tr -d ' [('); do
        grep -qE -- "^  ([^ ]+, )?$word( |,|\$)" "$work/options" || fail "$c --help names $word, which is no option"
    done
    [ "$(sed -n '/^Examples:/,$p' "$work/out" | grep -vc "^  hallmark $c ")" -eq 1 ] ||
        fail "$c --help: an example of something else"
done
for c in convert quantize release; do
    run_hm 0 $c --help
    grep -q '^Types: .* bf16.* q4_k_m' "$work/out" || fail "$c --help does not list the types"
done

say "a wrong command line: exit 2, the nearest name, nothing on standard output"
run_hm 2; out_empty; err_has "a command is missing"
run_hm 2 conver; out_empty; err_has "did you mean 'convert'?"
run_hm 2 quantise; err_has "did you mean 'quantize'?"
run_hm 2 xyzzy; out_empty; err_has "unknown command 'xyzzy'"
for c in $commands; do
    case $c in
        imatrix) want="-o IM.gguf is missing" ;;        # --merge needs no artifact
        verify)  want="--fixture FIX is missing" ;;     # nor does --url
        *)       want="argument is missing" ;;
    esac
    run_hm 2 "$c"; out_empty; err_has "$want"
    run_hm 2 "$c" x --no-such-thing-at-all; out_empty; err_has "unknown option '--no-such-thing-at-all'"
    run_hm 2 "$c" x --hepl; err_has "did you mean '--help'?"
done
run_hm 2 verify x --fixtrue y; err_has "did you mean '--fixture'?"
run_hm 2 verify x --token 3 --fixture y; err_has "did you mean '--tokens'?"
run_hm 2 convert x -o; err_has "needs a value"
run_hm 2 convert x; err_has "-o OUT.gguf is missing"
for c in convert "quantize --type f32" imatrix release; do run_hm 2 $c x -o -; out_empty; err_has "found '-'"; done
[ ! -e ./- ] || fail "a file called - was made"
for c in convert quantize; do run_hm 0 $c --help; out_has "(-o OUT.gguf | --dry-run)"; done
run_hm 2 convert x y -o z; err_has "unexpected argument 'y'"
run_hm 2 convert x -o ''; err_has "empty"
run_hm 2 convert '' -o y; err_has "empty"
run_hm 2 convert x -o y -o z; err_has "given twice"
run_hm 2 convert x -o y --type q4_k_mm; err_has "did you mean 'q4_k_m'?"
run_hm 2 quantize x -o y --type q4km; err_has "did you mean 'q4_k_m'?"
run_hm 2 release x -o y --types bf16,Q5KS; err_has "did you mean 'q5_k_s'?"
for o in "--tensor-type a=q8-0" "--output-type q80" "--embedding-type Q8O"; do
    run_hm 2 quantize x -o y --type q4_0 $o
    err_has "did you mean 'Q8_0'?"
done
run_hm 2 convert x -o y --type=; err_has "unknown type"
run_hm 2 verify x --fixture y --json=yes; err_has "takes no value"
run_hm 2 verify x --fixture y --report z.txt; err_has ".json, .md, .html or .xml"
run_hm 2 release x -o y --types bf16,bf16; err_has "given twice"
run_hm 2 release x -o y --types bf16,,f32; err_has "--types"
run_hm 2 run x; err_has "one of -p TEXT, -f FILE and --ids"
run_hm 2 run x -f a -p b; err_has "only one"
run_hm 2 convert x --temp 0.7 -o y
err_has "unknown option '--temp'"
! grep -q "did you mean" "$work/err" || fail "--temp is near nothing"
run_hm 2 quantize x -o y --type q3_k_xl; err_has "'q3_k_xl' is known"; err_has "nearest in size: 'q3_k_l'"
run_hm 2 quantize x -o y --type q4_0 --tensor-type a=mxfp4
err_has "'mxfp4' is known"
err_has "nearest in size: 'Q4_0'"
for c in $commands; do run_hm 0 $c --help; out_has "--json "; out_has "-q, --quiet"; done
run_hm 2 run x -p a --ids 1; err_has "only one"
run_hm 2 bench x --case g1p1; err_has "--case"
run_hm 2 bench x --case p0g1; err_has "--case"
for c in s s0 s1g1 s12p s1000001 p1 p1g s1, x1; do run_hm 2 bench x --case "$c"; err_has "--case"; done
for n in 0 -1 1x '' ' ' 99999999999999999999 0x10 1.5 1e3; do
    run_hm 2 run x -p a -n "$n"; out_empty; err_has "option --tokens"
done
run_hm 2 run x -p a --kv bf17; err_has "KV cache 'bf17': at 'bf17': expected f32, bf16"
run_hm 2 run x -p a --kv 'k=q8_0'; err_has "',v=' and a type"
run_hm 2 run x -p a --arith f64; err_has "f32, bf16"
run_hm 2 run x -p a --device gpu; err_has "auto, cpu, cuda"

say "--opt value and --opt=value are the same; -- ends the options"
run_hm 3 run "$work/none" -p a --kv f32; cp "$work/err" "$work/err1"
run_hm 3 run --kv=f32 --prompt=a -- "$work/none"; cmp -s "$work/err" "$work/err1" || fail "the two spellings differ"
run_hm 3 inspect -- --help; err_has "--help"

say "an unusable input: exit 3, the file is named, nothing on standard output"
printf 'not a model' > "$work/junk"
: > "$work/empty"
mkdir "$work/dir"
for bad in "$work/none" "$work/junk" "$work/empty" "$work/dir"; do
    for c in "inspect" "run -p a" "bench" "quantize -o $work/o.gguf --type f32" "convert -o $work/o.gguf" \
             "release -o $work/o"; do
        run_hm 3 $c "$bad"; out_empty; err_has "$bad"
    done
done
printf 'GGUF\3\0\0\0' > "$work/some.gguf"
run_hm 3 convert "$work/some.gguf" -o "$work/o.gguf"
out_empty
err_has "$work/some.gguf: found a GGUF file"
err_has "hallmark quantize"
for o in "--type f32" "--budget 4bpw --text $work/junk"; do
    for how in "-o $work/o.gguf" --dry-run; do
        run_hm 3 quantize "$checkpoint" $how $o
        out_empty
        err_has "$checkpoint: found a folder"
        err_has "hallmark convert"
    done
done
[ ! -e "$work/o.gguf" ] && [ ! -e "$work/o" ] || fail "a failed command left an output"
run_hm 3 verify "$work/none" --fixture "$work/junk"; out_empty; err_has "$work/"
run_hm 3 check "$work/none"; err_has "$work/none"
run_hm 3 check "$work/junk"; err_has "$work/junk"

say "a result that cannot be written is not done: exit 4"
"$hallmark" --help > /dev/full 2> "$work/err"; [ $? -eq 4 ] || fail "--help > /dev/full does not exit 4"
err_has "standard output"

say "inspect cuts long values between characters, and shows a line's end as \\n"
long_and_short() {
    printf GGUF; le 4 3; le 8 0; le 8 2
    # A character of three bytes at byte 158.
    local text
    text=$(printf 'x%.0s' $(seq 158))$'\xe2\x82\xac'tail
    str long; le 4 8; le 8 ${#text}; printf %s "$text"
    text=$'two\nlines'
    str short; le 4 8; str "$text"
}
long_and_short > "$work/long.gguf"
run_hm 0 inspect "$work/long.gguf"; out_has 'two\nlines'
iconv -f UTF-8 -t UTF-8 "$work/out" > /dev/null || fail "inspect cut a character in two"
grep -Eq 'long +x{158}\.\.\. \(165 bytes\)$' "$work/out" || fail "the long value is not cut before the character"

say "inspect of a folder without GGUF files and without a config says what is missing"
mkdir "$work/other"; : > "$work/other/readme.txt"
run_hm 3 inspect "$work/other"; out_empty; err_has "config.json"; err_has ".gguf"
cp "$work/junk" "$work/other/a.gguf"
run_hm 3 inspect "$work/other"; out_empty; err_has "other/a.gguf"

say "streams that are closed: no file is opened in their place, so that no message can go into one"
"$hallmark" inspect /proc/self/fd/1 2> "$work/err" >&-; [ $? -eq 3 ] || fail "inspect of a closed stream: not exit 3"
err_has "regular file"                                  # /dev/null: something stands there
"$hallmark" convert "$checkpoint" -o "$work/whole.gguf" > /dev/null 2>&1 < /dev/null || fail "convert"
for c in ">&-" "2>&-" "<&-" "<&- 2>&-" "<&- >&- 2>&-"; do
    case $c in *">&- 2"* | ">&-") want=4 ;; *) want=0 ;; esac       # without standard output the result cannot be told
    eval "\"\$hallmark\" convert \"\$checkpoint\" -o \"\$work/closed.gguf\" > /dev/null 2> /dev/null < /dev/null $c"
    [ $? -eq $want ] || fail "convert $c: not exit $want"
    cmp -s "$work/closed.gguf" "$work/whole.gguf" || fail "convert $c: other bytes"
done

say "a destination that is an open stream is refused, and why; so is where it leads to a file"
for o in /dev/stdout /dev/stderr /dev/fd/1 /proc/self/fd/1; do
    run_hm 2 convert "$checkpoint" -o $o; err_has "$o: cannot write: it is not a regular file, but an open stream"
    "$hallmark" convert "$checkpoint" -o $o 2> "$work/err" < /dev/null | cat > "$work/out"; out_empty; err_has "but a"
done

say "run: prompts from a file and standard input; ids parted by spaces; a <bos> that doubles"
printf 'def main():\n' > "$work/prompt"
run_hm 0 run "$work/whole.gguf" -p 'def main():' -n 4 --print-ids; cp "$work/out" "$work/out1"
run_hm 0 run "$work/whole.gguf" -f "$work/prompt" -n 4 --print-ids
cmp -s "$work/out" "$work/out1" || fail "-f: other ids"
"$hallmark" run "$work/whole.gguf" -p - -n 4 --print-ids < "$work/prompt" > "$work/out" 2> "$work/err" || fail "-p -"
cmp -s "$work/out" "$work/out1" || fail "-p -: other ids"
run_hm 0 run "$work/whole.gguf" --ids '2, 645 9' -n 1 --print-ids
run_hm 0 run "$work/whole.gguf" -p '<bos>def' -n 1; err_has "the model sees it twice"
run_hm 0 run "$work/whole.gguf" -p 'def' -n 1; ! grep -q "sees it twice" "$work/err" || fail "one <bos> is no two"

say "run: control tokens are left out of the text, unless --special shows them; a text that ends at once says so"
run_hm 0 run "$work/whole.gguf" -p 'def main' -n 80 --ignore-eos
! grep -q '<eos>' "$work/out" || fail "a control token in the text"
run_hm 0 run "$work/whole.gguf" -p 'def main' -n 80 --ignore-eos --special; out_has '<eos>'
run_hm 0 run "$work/whole.gguf" -p 'def main' -n 100
! grep -q "ends the text" "$work/err" || fail "it did not end at once"
{ printf 'def main'; cat "$work/out"; } > "$work/prompt"
run_hm 0 run "$work/whole.gguf" -f "$work/prompt" -n 3
err_has "the model ends the text at once (id 1, <eos>)"
err_has "tokenizer.chat_template"

say "inspect --program lists the operations of a model"
run_hm 0 inspect "$work/whole.gguf" --program; out_has "embed"; out_has "token_embd.weight"; out_has "attend"
run_hm 0 inspect "$work/whole.gguf" --program --json; out_has '"op": "residual"'
run_hm 3 inspect "$work" --program; out_empty

say "no environment at all, another language, spaces and accents in paths, a reader that goes away"
odd="$work/a folder of my own/d\303\251j\303\240"; odd=$(printf "$odd"); mkdir -p "$odd"
(cd "$odd" && env -i "$hallmark" convert "$checkpoint" -o 'le modele.gguf' > "$work/out" 2> "$work/err") ||
    fail "convert in an odd folder: $(cat "$work/err")"
cmp -s "$odd/le modele.gguf" "$work/whole.gguf" || fail "other bytes in an odd folder"
LANG=C LC_ALL=C "$hallmark" inspect "$odd"/le* > "$work/out" 2> "$work/err" || fail "inspect in an odd folder"
grep -qF "$odd" "$work/out" || fail "the accents are not shown as they are"
"$hallmark" inspect "$work/whole.gguf" | head -n 1 > /dev/null
status=${PIPESTATUS[0]}
[ $status -eq 0 ] || [ $status -eq 141 ] || fail "inspect | head: status $status"

say "a path that is too long: the message keeps the reason"
long=$(printf 'x%.0s' $(seq 5000))
run_hm 3 inspect "$long"; out_empty; err_has "File name too long"
run_hm 2 convert "$checkpoint" -o "$long"; out_empty; err_has "bytes too long for its folder"

say "control bytes of a file name do not reach the terminal"
run_hm 3 inspect "$work/$(printf 'a\033[2Jb')"
! grep -q "$(printf '\033')" "$work/err" || fail "an escape byte reached standard error"
