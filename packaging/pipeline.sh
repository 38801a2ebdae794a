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
#              verdict=pass, fail, inconclusive, unverified, interrupted or error; folder= and report= what there is to
#              look at, or nothing
# The exit status is the program's: 0 only where everything passed; ended by a signal, 128 and its number.
# Proved by tests/e2e/action.sh.
set -uo pipefail

out=${OUTPUT:-hallmark-release} key_text=${SIGN_KEY:-} arguments=()
unset SIGN_KEY                              # the program and its children need not see it
scratch=$(mktemp -d) || exit 4              # nobody else can enter it: the key lies in there
trap 'rm -rf "$scratch"' EXIT
verdict=error folder=

# A fixture that cannot decide is not one that is missing: which, the report says, in its own first level.
open_verdict() { sed -n 's/^\t"verdict":\t"\([a-z]*\)",*$/\1/p' "$1/report.json"; }

# judge STATUS: of the program. What does not pass lies beside the destination; an older one of the same name is not
# this run's.
judge() {
    verdict=error folder=
    case $1 in
    0)  verdict=pass folder=$out ;;
    1)  verdict=fail
        if [ "$out.failed" -nt "$scratch/began" ]; then folder=$out.failed
        elif [ "$out.unverified" -nt "$scratch/began" ]; then
            folder=$out.unverified
            verdict=$(open_verdict "$folder") && [ -n "$verdict" ] || verdict=unverified
        fi ;;
    129 | 130 | 143) verdict=interrupted ;; # ended by a signal of its own
    esac
}

put_outputs() {
    [ -z "${OUTPUTS:-}" ] ||
        printf '%s\n' "verdict=$verdict" "folder=$folder" "report=${folder:+$folder/report.json}" >> "$OUTPUTS"
}

end() {                                     # NUMBER OF A SIGNAL; a command behind '&' is deaf to SIGINT
    local status=$((128 + $1)) child=${!:-} # the program, from the moment that it is there
    trap '' HUP INT TERM                    # once is enough: a runner sends another before it kills
    if [ -n "$child" ]; then
        # Only while it runs: once it was waited for, its number may be another's.
        [ -z "$(jobs -pr)" ] || kill -TERM "$child" 2> /dev/null
        wait "$child"
        judge $?                            # what was done by then is there all the same
    fi
    verdict=interrupted
    put_outputs
    exit "$status"
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
    wait $!                                 # a signal ends this, which it would not do for a command in front
}

case $out in
*[[:cntrl:]]*) echo "pipeline.sh: OUTPUT: found a control character, expected a folder's name" >&2; status=2 ;;
*) release; status=$? ;;
esac
trap '' HUP INT TERM                        # all is done: it is said once, as it is
judge "$status"
put_outputs || exit 4
exit "$status"
