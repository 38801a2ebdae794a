#!/usr/bin/env bash
# Completions in real shells, and pages under real readers: by hand, where zsh, fish, man and mandoc are (Debian: zsh
# fish man-db mandoc). Prints what each said, and exits with 1 at the first thing that is wrong.
#   tests/tools/try_pages.sh build/hallmark
set -uo pipefail
hallmark=$(realpath "$1")
work=$(mktemp -d) && cd "$work" || exit 1
trap 'rm -rf "$work"' EXIT
wrong() { echo "WRONG: $*"; exit 1; }
expect() { grep -qF -- "$2" <<< "$1" || wrong "expected '$2', found: $1"; }
for need in bash zsh fish man mandoc script; do command -v $need > /dev/null || wrong "$need is not here"; done
export PATH="${hallmark%/*}:$PATH" SOURCE_DATE_EPOCH=1767225600
commands=$("$hallmark" --help | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }')

echo "- man and mandoc have nothing to say of any page"
for c in "" $commands; do
    "$hallmark" manual $c > page.1
    man --warnings -l page.1 > shown 2> said || wrong "man of '$c'"
    [ -s shown ] && [ ! -s said ] || wrong "man of '$c': $(cat said)"
    mandoc -T lint -W warning page.1 > said || wrong "mandoc of '$c': $(cat said)"
    mandoc -T utf8 page.1 > shown || wrong "mandoc of '$c'"
done

echo "- bash: the keys of a terminal"
mkdir -p folder; touch file-one folder/inside
"$hallmark" completion bash > bash
printf '%s\n' "source $work/bash" "PS1='> '" "bind 'set bell-style none'" "bind 'set enable-bracketed-paste off'" \
    "hallmark() { echo \"got:\$*\"; }" > rc
bash_says() {
    { sleep 0.3; printf '%s' "$1"; sleep 0.5; printf '\nexit\n'; sleep 0.2; } |
        script -qec "env -i PATH=$PATH HOME=$work TERM=dumb bash --rcfile rc -i" /dev/null 2>&1 | tr -d '\r\a'
}
expect "$(bash_says $'hallmark rel\t')" "got:release"
expect "$(bash_says $'hallmark release x --ty\tbf16,q8\t')" "got:release x --types bf16,q8_0"
expect "$(bash_says $'hallmark run x --device=cu\t')" "got:run x --device=cuda"
expect "$(bash_says $'hallmark verify file\t')" "got:verify file-one"
expect "$(bash_says $'hallmark lab x --text chat=fil\t')" "got:lab x --text chat=file-one"
expect "$(bash_says $'hallmark release x -o f\t')" "got:release x -o folder/"

echo "- zsh: the keys of a terminal, by zpty"
mkdir -p zfunctions; "$hallmark" completion zsh > zfunctions/_hallmark
cat > zsh <<'ZSH'
zmodload zsh/zpty
zpty shell 'zsh -f -i'
send() { zpty -w -n shell "$1"; sleep ${2:-0.4}; }
send $'PS1="> "; TERM=dumb; fpath=('$PWD$'/zfunctions $fpath); autoload -Uz compinit; compinit -u -D\n' 2
send $'hallmark() { print "got:$*" }\n'
for typed in "$@"; do send "$typed"$'\t'; send $'\n'; done
send $'print the-end\n'
while zpty -r -t shell line; do print -r -- "$line"; done
ZSH
said=$(zsh -f zsh "hallmark rel" "hallmark release x --typ" "hallmark release x --types=bf16,q8" \
    "hallmark run x --device cu" "hallmark verify file" "hallmark lab x --text=chat=fil" "hallmark release x -o f" \
    "hallmark completion f" 2>&1 | tr -d '\r')
for line in "got:release" "got:release x --types" "got:release x --types=bf16,q8_0" "got:run x --device cuda" \
    "got:verify file-one" "got:lab x --text=chat=file-one" "got:release x -o folder" "got:completion fish"; do
    expect "$said" "$line"
done
! grep -qiE "error|not found|bad |parse" <<< "$said" || wrong "zsh: $said"

echo "- fish: complete -C"
"$hallmark" completion fish > fish
fish_says() { HOME=$work fish -c "source fish; complete -C '$1'"; }
expect "$(fish_says 'hallmark rel')" "release"
expect "$(fish_says 'hallmark release x --ty')" "--types"
expect "$(fish_says 'hallmark release x --types bf16,q8')" "bf16,q8_0"
expect "$(fish_says 'hallmark run x --device cu')" "cuda"
expect "$(fish_says 'hallmark verify file')" "file-one"
expect "$(fish_says 'hallmark release x -o f')" "folder/"
expect "$(fish_says 'hallmark completion f')" "fish"
expect "$(fish_says 'hallmark help rel')" "release"
[ -z "$(fish_says 'hallmark run x --tokens ')" ] || wrong "fish offers something for a number"
echo "Everything did what it should."
