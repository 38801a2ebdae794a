#!/usr/bin/env bash
# Manual pages and completions against what --help says: every command and every option stands in each, with its values;
# and `cmake --install` puts them where man and the shells look. What bash offers is asked of bash itself; of zsh, fish
# and man by tests/tools/try_pages.sh.
. "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
for shell in bash zsh fish; do "$hallmark" completion $shell > $shell || fail "completion $shell"; done
. ./bash

# offered WORD...: what is offered for the last word, sorted, in one line.
offered() {
    COMP_WORDS=(hallmark "$@") COMP_CWORD=$#
    _hallmark
    printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd' ' -
}
sorted() { printf '%s\n' "$@" | sort | paste -sd' ' -; }
is_offered() {
    local got want
    got=$(offered "${@:2}") want=$(sorted $1)
    [ "$got" = "$want" ] || fail "bash offers for '${*:2}': $got, expected $want"
}

"$hallmark" --help > out || fail "--help"
commands=$(awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }' out)
[ "$(echo $commands | wc -w)" -ge 13 ] || fail "commands: $commands"
say "commands: in the program's page, and offered as the first word, and after help"
is_offered "$(echo $commands) help --help -h --version -V" ""
is_offered "$(echo $commands)" help ""
is_offered "release" rel
"$hallmark" manual > page || fail "manual"
for c in $commands; do
    grep -qF ".BR hallmark\\-$c (1)" page || fail "hallmark.1 lacks $c"
    grep -qE "^        '$c:" zsh || fail "zsh lacks $c"
    grep -qE "^complete -c hallmark -n __hallmark_first -f -a $c -d '" fish || fail "fish lacks $c"
done

say "options of $(echo $commands | wc -w) commands"
n=0
for c in $commands; do
    "$hallmark" "$c" --help > help && "$hallmark" manual "$c" > page || fail "manual $c"
    awk '/^Options:/ { on = 1; next } /^$/ { on = 0 }
         on && /^  -/ { sub(/^  /, ""); sub(/  .*/, ""); print }' help > options
    page=$(< page) words=
    zsh=$(awk -v c="        $c)" '$0 == c { on = 1 } on && /;;$/ { exit } on { print $0 " " }' zsh)
    fish=$(grep -F "__hallmark_at $c' -l" fish)
    while IFS= read -r row; do                          # "-o, --output DIR"
        arg=${row##*--} names=${row%"${arg#"${arg%% *}"}"} arg=${row#"$names"} name=${names##* } letter=${names%,*}
        [ "$letter" != "$names" ] || letter=
        words+=" $name $letter" n=$((n + 1))
        tag="${letter:+\\fB${letter//-/\\-}\\fR, }\\fB${name//-/\\-}\\fR${arg:+ \\fI}"
        [[ $page == *"$tag"* ]] || fail "hallmark-$c.1 lacks $row"
        [ "$name" = --help ] && continue
        [[ $zsh =~ [{*\'\ ]$name(=?\[|=?,) ]] || fail "zsh lacks $name of $c"
        [[ $fish$'\n' == *"' -l ${name#--}${letter:+ -s ${letter#-}} "* ]] || fail "fish lacks $name of $c"
    done < options
    is_offered "$words" "$c" -
    [ "$(grep -c . <<< "$fish")" -eq $(($(wc -l < options) - 1)) ] || fail "fish has options of $c that are none"
    for s in NAME SYNOPSIS DESCRIPTION OPTIONS EXAMPLES "EXIT STATUS" "SEE ALSO"; do
        grep -qx ".SH $s" page || fail "hallmark-$c.1 lacks $s"
    done
    [ -z "$(grep -nE "^(\.[^A-Za-z\\\\]|')" page)" ] || fail "hallmark-$c.1: a line that is no text and no request"
done
say "$n options"

say "values: choices, types, lists of types, files, nothing"
is_offered "auto cpu cuda" release x --device ""
is_offered "cuda" release x --device = cu           # as readline cuts --device=cu
is_offered "bf16" convert x --type bf
is_offered "bf16,q5_k_s bf16,q5_k_m" release x --types bf16,q5_k_
is_offered "bash zsh fish" completion ""
is_offered "" verify x --fixture fix                # nothing of ours: the shell's own file names
is_offered "" run x --tokens ""
complete -p hallmark | grep -q -- '-o default -F _hallmark' || fail "the completion is not bound to the program"
"$hallmark" completion tcsh > out 2> err; [ $? -eq 2 ] || fail "completion tcsh"; err_has "expected bash, zsh or fish"
"$hallmark" manual relase > out 2> err; [ $? -eq 2 ] || fail "manual relase"; err_has "expected a command"

say "pages have the day of SOURCE_DATE_EPOCH, and roff has nothing to say of them"
SOURCE_DATE_EPOCH=86400 "$hallmark" manual check > page
grep -q '^.TH HALLMARK\\-CHECK 1 "1970-01-02" ' page || fail "the page's day"
SOURCE_DATE_EPOCH=soon "$hallmark" manual check > out 2> err; [ $? -eq 2 ] || fail "a day that is none"
if command -v groff > /dev/null; then
    for c in "" $commands; do
        "$hallmark" manual $c | groff -man -Tutf8 -ww -b -z 2> err || fail "groff"
        [ ! -s err ] || fail "groff of the page '$c': $(cat err)"
    done
else echo "SMALLER: groff is not here: pages were not formatted"; fi

say "hf_fixture.py: its usage line, its --help and the documents"
if command -v python3 > /dev/null; then
    python3 "$root/tests/tools/fixture_usage.py" "$root" > out 2> err || fail "documents and hf_fixture.py differ"
else echo "SMALLER: python3 is not here: hf_fixture.py's command line was not looked at"; fi

say "what is installed"
(unset SOURCE_DATE_EPOCH; cmake --install "${hallmark%/*}" --prefix "$work/to") > out 2> err || fail "cmake --install"
for f in man/man1/hallmark.1 bash-completion/completions/hallmark zsh/site-functions/_hallmark \
         fish/vendor_completions.d/hallmark.fish hallmark/hf_fixture.py hallmark/pipeline.sh doc/hallmark/LICENSE; do
    [ -s "to/share/$f" ] || fail "share/$f is not installed"
done
for c in $commands; do
    [ -s "to/share/man/man1/hallmark-$c.1" ] || fail "the page of $c is not installed"
done
cmp -s bash to/share/bash-completion/completions/hallmark || fail "the installed completion is another one"
[ ! -e to/share/zsh/vendor-completions ] || fail "Debian's own files are installed"
