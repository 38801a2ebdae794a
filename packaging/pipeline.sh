#!/usr/bin/env bash
# One release in a pipeline: what action.yml and docs/gitlab-ci.yml call. Everything comes by environment variables, and
# none of it is read as shell text:
#   SOURCE     a checkpoint's folder, or the id of a model in the Hub cache
#   OUTPUT     the folder to publish (default: hallmark-release)
#   TYPES      as --types takes them
#   FIXTURE    a fixture a line          LAB        CATEGORY=FILE a line
#   GATE       limits, a JSON file       SIGN_KEY   the text of a private key in PEM
#   HALLMARK   the program (default: hallmark)
#   OUTPUTS    a file that gets three lines more (default: none):
#              verdict=pass, fail, inconclusive, unverified or error; folder= and report= what there is to look at, or nothing
# The exit status is the program's: 0 only where everything passed. Proved by tests/e2e/action.sh.
set -uo pipefail

out=${OUTPUT:-hallmark-release} key_text=${SIGN_KEY:-} arguments=()
unset SIGN_KEY                              # the program and its children need not see it
scratch=$(mktemp -d) || exit 4              # nobody else can enter it: the key lies in there
trap 'rm -rf "$scratch"' EXIT
child=
end() {                                     # NUMBER OF A SIGNAL; a command behind '&' is deaf to SIGINT
    [ -z "$child" ] || { kill -TERM "$child" 2> /dev/null; wait "$child"; }
    exit $((128 + $1))
}
trap 'end 1' HUP
trap 'end 2' INT
trap 'end 15' TERM

each_line() {                               # OPTION LINES
    local line
    while IFS= read -r line || [ -n "$line" ]; do
        line=${line%$'\r'}
        [ -z "$line" ] || arguments+=("$1" "$line")
    done <<< "$2"
}

release() {
    arguments=(-o "$out")
    each_line --fixture "${FIXTURE:-}"
    each_line --lab "${LAB:-}"
    [ -z "${TYPES:-}" ] || arguments+=(--types "$TYPES")
    [ -z "${GATE:-}" ] || arguments+=(--gate "$GATE")
    if [ -n "$key_text" ]; then
        (umask 077 && printf '%s\n' "$key_text" > "$scratch/key.pem") || return 4
        arguments+=(--sign "$scratch/key.pem")
    fi
    : > "$scratch/began"
    "${HALLMARK:-hallmark}" release "${arguments[@]}" -- "${SOURCE:-}" &
    child=$!                                # a signal ends the waiting, which it would not do for a command in front
    wait "$child"
}

case $out in
*[[:cntrl:]]*) echo "pipeline.sh: OUTPUT: found a control character, expected a folder's name" >&2; status=2 ;;
*) release; status=$? ;;
esac

# A fixture that cannot decide is not one that is missing: which, the report says, in its own first level.
open_verdict() { sed -n 's/^\t"verdict":\t"\([a-z]*\)",*$/\1/p' "$1/report.json"; }

# What does not pass lies beside the destination; an older one of the same name is not this run's.
verdict=error folder=
case $status in
0)  verdict=pass folder=$out ;;
1)  verdict=fail
    if [ "$out.failed" -nt "$scratch/began" ]; then folder=$out.failed
    elif [ "$out.unverified" -nt "$scratch/began" ]; then
        folder=$out.unverified
        verdict=$(open_verdict "$folder") && [ -n "$verdict" ] || verdict=unverified
    fi ;;
esac
if [ -n "${OUTPUTS:-}" ]; then
    printf '%s\n' "verdict=$verdict" "folder=$folder" "report=${folder:+$folder/report.json}" >> "$OUTPUTS" || exit 4
fi
exit "$status"
