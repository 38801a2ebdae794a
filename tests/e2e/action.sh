#!/usr/bin/env bash
# A release in a pipeline: the steps of action.yml and the script of docs/gitlab-ci.yml, run as their runners do, from
# inputs to outputs. Of YAML this reads what those files are written in: keys by their indentation, one a line.
. "$(dirname "$0")/lib.sh"
action=$root/action.yml
gitlab=$root/docs/gitlab-ci.yml
bf16_fix=$(fixture_for bfloat16) || exit 1
mkdir -p "$work/tiny/fixtures" "$work/bare" "$work/tmp" || exit 1
for to in tiny bare; do cp "$checkpoint"/*.* "$work/$to" || fail "no copy of $checkpoint"; done
four_cases "$bf16_fix" "$work/tiny/fixtures/${bf16_fix##*/}"
"$KEY_TOOL" P-256 "$work/key.pem" "$work/key.pub" || fail "no key"
cd "$work" || exit 1

# block KEY: the lines below a key of the first level.
block() { awk -v key="$1:" '/^[^ #]/ { on = $1 == key; next } on'; }
# names: the keys of two spaces.     field NAME KEY: a key of four spaces below one of two.
names() { sed -n 's/^  \([a-z-]*\):$/\1/p'; }
field() {
    awk -v name="$1:" -v key="$2:" '
        /^  [^ ]/ { on = $1 == name; next }
        on && $1 == key { sub(/^ *[a-z]*: */, ""); gsub(/^\x27|\x27$/, ""); print }'
}
# step NAME: the lines of a step.    part KEY: of a step's lines the value of a key, or what is below it.
step() { awk -v name="- name: $1" '/^    - / { on = substr($0, 5) == name; next } on' "$action"; }
part() {
    awk -v key="$1:" '
        /^      [a-z]/ { on = $1 == key; sub(/^ *[a-z]*: *[|]?/, ""); if (on && $0 != "") print; next }
        on { print substr($0, 9) }'
}

say "action.yml: inputs reach the shell as variables only, each of them, and outputs are those of a step"
block inputs < "$action" > inputs; block outputs < "$action" > outputs
mapfile -t inputs < <(names < inputs); mapfile -t results < <(names < outputs)
[ "${inputs[*]}" = "source output types fixture gate sign-key lab program" ] || fail "inputs: ${inputs[*]}"
[ "${results[*]}" = "verdict folder report" ] || fail "outputs: ${results[*]}"
for r in "${results[@]}"; do
    [ "$(field "$r" value < outputs)" = "\${{ steps.release.outputs.$r }}" ] || fail "output $r"
done
mapfile -t steps < <(sed -n 's/^    - name: //p' "$action")
[ "${steps[*]}" = "Build Release" ] || fail "steps: ${steps[*]}"
[ "$(grep -c '^    - ' "$action")" -eq 2 ] || fail "a step without a name"
for s in "${steps[@]}"; do
    [ "$(step "$s" | part shell)" = bash ] || fail "step $s has no shell"
    step "$s" | part run > run; [ -s run ] || fail "step $s runs nothing"
    ! grep -qF '${{' run || fail "step $s: an expression in its shell text"
done
[ "$(step Build | part if)" = "inputs.program == ''" ] || fail "when Build is left out"
[ "$(step Release | part id)" = release ] || fail "the id of Release"
step Release | part env > env
for i in "${inputs[@]}"; do
    grep -qE "^[A-Z_]+: \\$\{\{ inputs\.$i \}\}$" env || fail "input $i reaches no step"
done
[ "$(wc -l < env)" -eq ${#inputs[@]} ] || fail "env has more than the inputs"

# What a runner's machine has, and sanitizers are told.
machine=(PATH="$PATH" HOME="$work" TMPDIR="$work/tmp" GOMP_SPINCOUNT=1000 OMP_NUM_THREADS=1
         ASAN_OPTIONS="${ASAN_OPTIONS:-}" UBSAN_OPTIONS="${UBSAN_OPTIONS:-}")

# run_action STATUS INPUT=VALUE...: the step Release, as a runner starts it; what it said is in out and err, its outputs
# in result.
run_action() {
    local want=$1 got=0 name input value line
    local -A given=()
    shift
    for line in "$@" "program=$hallmark"; do given[${line%%=*}]=${line#*=}; done
    local -a vars=()
    while IFS= read -r line; do
        name=${line%%:*} input=${line#*inputs.} input=${input% \}\}}
        value=${given[$input]-$(field "$input" default < inputs)}
        vars+=("$name=$value")
    done < env
    step Release | part run > run
    : > result
    (exec env -i "${machine[@]}" RUNNER_TEMP="$work/none" GITHUB_ACTION_PATH="$root" GITHUB_OUTPUT="$work/result" \
        "${vars[@]}" bash --noprofile --norc -eo pipefail "$work/run") > out 2> err < /dev/null || got=$?
    [ "$got" -eq "$want" ] || fail "the action with $* exits $got, expected $want"
    [ -z "$(ls -A tmp)" ] || fail "the action leaves $(ls -A tmp)"
}
result() {
    printf '%s\n' "verdict=$1" "folder=$2" "report=${2:+$2/report.json}" > expected
    cmp -s expected result || fail "outputs: $(cat result)"
}

say "a release that passes"
run_action 0 source=tiny types=bf16; result pass hallmark-release; out_has "Published: hallmark-release"
[ "$(json_get verdict hallmark-release/report.json)" = pass ] || fail "report.json has another verdict"

say "signed by a key that is there only as long as it is needed, and two fixtures, a line each"
run_action 0 source=tiny types=bf16 output=signed sign-key="$(cat key.pem)" \
    fixture="tiny/fixtures/${bf16_fix##*/}"$'\r\n\n'"$bf16_fix"
result pass signed; out_has "Signed: model.sig"
run_hm 0 check signed --key key.pub
secret=$(sed -n 2p key.pem)
! grep -rqF "${secret:0:40}" signed out err result || fail "a line of the private key is told"

say "one that does not hold, one without a fixture, beside older ones of other verdicts"
sed 's/"kl_factor": 3, "kl_floor": 2e-5/"kl_factor": 1e-6, "kl_floor": 1e-12/' "$root/verify/gate.json" > gate.json
mkdir no.unverified
run_action 1 source=tiny types=bf16 output=no gate=gate.json; result fail no.failed
[ -s no.failed/report.json ] || fail "no report"
rmdir no.unverified
run_action 1 source=bare types=bf16 output=no; result unverified no.unverified; out_has "hf_fixture.py"

say "a fixture that is too short to decide is neither a failure nor missing"
mkdir -p short/fixtures && cp "$checkpoint"/*.* short || fail "no copy of $checkpoint"
gunzip -c "$bf16_fix" | sed '1s/"cases": *[0-9]*/"cases":1/; 2q' | gzip > "short/fixtures/${bf16_fix##*/}"
run_action 1 source=short types=bf16 output=no; result inconclusive no.unverified
out_has "inconclusive"; out_has "prompts of"
[ "$(json_get verdict no.unverified/report.json)" = inconclusive ] || fail "report.json has another verdict"

say "inputs that are unusable, or a wrong command line: no verdict"
run_action 3 source=absent types=bf16 output=none; result error ""; err_has "absent"
run_action 2 source=tiny types=q4_k output=none; result error ""; err_has "did you mean"
run_action 2 source=; result error ""
run_action 2 source=tiny output=$'a\nverdict=pass'; result error ""; err_has "control character"
run_action 3 source=tiny types=bf16 output=none sign-key="no key"; result error ""; err_has "key.pem"

say "shell text in an input stays text, and none is taken for an option"
for evil in '$(touch hit)' '`touch hit`' '"; touch hit; "' "'; touch hit; '" '--help' '-o'; do
    for i in source types fixture gate lab; do
        declare -a with=(source=tiny types=bf16 output=none); with+=("$i=$evil")
        [ $i = types ] && want=2 || want=3
        run_action $want "${with[@]}"; result error ""
    done
done
[ ! -e hit ] && [ ! -e none ] || fail "something was run, or written"

say "a run that is cancelled takes its key and what it began with it, and says that it was"
# A shell cannot trap what was ignored when it began, as SIGINT is for a command behind '&'.
cancelled() {                               # SIGNAL EXIT-STATUS
    : > result
    env --default-signal=INT "${machine[@]}" SOURCE=tiny OUTPUT=cut SIGN_KEY="$(cat key.pem)" HALLMARK="$hallmark" \
        OUTPUTS="$work/result" "$root/packaging/pipeline.sh" > out 2> err < /dev/null &
    for ((i = 0; i < 3000; i++)); do [ -n "$(find . -maxdepth 1 -name 'cut.partial-*')" ] && break; sleep 0.01; done
    [ "$(stat -c %a tmp/*/key.pem)" = 600 ] || fail "the key's mode"
    kill -"$1" $!; wait $!; got=$?
    [ "$got" -eq "$2" ] || fail "a run cancelled by $1 exits $got, expected $2"
    err_has "SIGTERM"                       # the program was ended in the middle of its work, and says so
    result interrupted ""
    [ -z "$(ls -A tmp)" ] || fail "a run cancelled by $1 leaves $(ls -A tmp)"
    [ -z "$(find . -maxdepth 1 -name 'cut*')" ] || fail "a run cancelled by $1 leaves $(ls -d cut*)"
}
cancelled TERM 143
cancelled INT 130
cancelled HUP 129

say "what was published before a signal came is named"
cat > published.sh <<'SH'
#!/usr/bin/env bash
trap 'mkdir cut; exit 0' TERM               # a release that is through when it is told to end
: > ready
while :; do sleep 0.01; done
SH
chmod 755 published.sh
: > result
env "${machine[@]}" SOURCE=tiny OUTPUT=cut HALLMARK="$work/published.sh" OUTPUTS="$work/result" \
    "$root/packaging/pipeline.sh" > out 2> err < /dev/null &
for ((i = 0; i < 3000; i++)); do [ -e ready ] && break; sleep 0.01; done
kill -TERM $!; wait $!; got=$?
[ "$got" -eq 143 ] || fail "a run cancelled at its end exits $got"
result interrupted cut
rmdir cut

say "a program that was ended by a signal of its own was interrupted, too"
for signal in TERM INT HUP; do
    printf '#!/bin/sh\nexec env --default-signal=%s sh -c '\''kill -%s $$'\'' \n' $signal $signal > ended.sh
    chmod 755 ended.sh
    : > result; got=0
    env --default-signal=INT "${machine[@]}" SOURCE=tiny OUTPUT=cut HALLMARK="$work/ended.sh" OUTPUTS="$work/result" \
        "$root/packaging/pipeline.sh" > out 2> err < /dev/null || got=$?
    [ "$got" -eq $((128 + $(kill -l $signal))) ] || fail "a program ended by $signal exits $got"
    result interrupted ""
done

say "a signal that comes once the program was waited for is sent to nobody: its number may be another's by then"
cat > late.bash <<'SH'
wait() {
    builtin wait "$@"
    set -- $?
    [ -e waited ] || { : > waited; builtin kill -TERM $$; }
    return "$1"
}
kill() { echo "$*" >> kills; }
SH
printf '#!/bin/sh\nexit 1\n' > ended.sh
: > result; got=0
env "${machine[@]}" BASH_ENV="$work/late.bash" SOURCE=tiny OUTPUT=cut HALLMARK="$work/ended.sh" OUTPUTS="$work/result" \
    "$root/packaging/pipeline.sh" > out 2> err < /dev/null || got=$?
[ -e waited ] && [ "$got" -eq 143 ] || fail "a run cancelled at its very end exits $got"
[ ! -e kills ] || fail "a signal is sent to $(cat kills)"
result interrupted ""

say "docs/gitlab-ci.yml: its script, from variables to the dotenv file and the folder that is kept"
awk '/^  [a-z]/ { on = $1 == "variables:"; next }
     on { sub(/^ */, ""); sub(/: /, "="); gsub(/\x27/, ""); print }' "$gitlab" > variables
mapfile -t defaults < variables
awk '/^  [a-z]/ { on = $1 == "script:"; next } on { print substr($0, 7) }' "$gitlab" |
    sed "s|/usr/share/hallmark/|$root/packaging/|" > script
[ "$(grep -c . script)" -ge 2 ] || fail "no script"
run_gitlab() {
    local want=$1 got=0
    shift
    (exec env -i "${machine[@]}" PATH="${hallmark%/*}:$PATH" "${defaults[@]}" "$@" bash -eo pipefail script) \
        > out 2> err < /dev/null || got=$?
    [ "$got" -eq "$want" ] || fail "the GitLab job exits $got, expected $want"
}
rm -rf hallmark-release
run_gitlab 0 HALLMARK_SOURCE=tiny HALLMARK_TYPES=bf16 HALLMARK_SIGN_KEY="$work/key.pem"
cp hallmark.env result; result pass hallmark-release
[ -s hallmark-release/model.sig ] || fail "not signed"
grep -q '<testsuites' hallmark-release/junit.xml || fail "no JUnit report where the job looks for one"
grep -qF 'junit: hallmark-release*/junit.xml' "$gitlab" || fail "the job looks for another JUnit report"
rm hallmark.env
run_gitlab 3 HALLMARK_SOURCE='$(touch hit)'; cp hallmark.env result; result error ""
[ ! -e hit ] || fail "a variable was run"
pattern=$(sed -n 's/^ *- \(hallmark-release.*\)/\1/p' "$gitlab")
for kept in hallmark-release hallmark-release.failed; do
    case $kept/ in $pattern) ;; *) fail "$kept is not kept by '$pattern'" ;; esac
done
