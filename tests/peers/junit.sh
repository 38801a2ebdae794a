#!/usr/bin/env bash
# By hand or in CI: PyPI's junitparser (5.0.3) and xmllint with tests/junit.xsd read the JUnit reports of verify and
# release: what passes, what fails, what lacks a fixture, and what made-up reports hold (hostile names among them).
# Usage: tests/peers/junit.sh HALLMARK CHECKPOINT PYTHON [REPORTS]
#   HALLMARK: the program; CHECKPOINT: one with fixtures (fixtures/tiny-gemma4); PYTHON: one that has junitparser;
#   REPORTS: a folder of more, from the target report_pages
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
hallmark=$1 source=$2 python=$3 more=${4:-}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

exits() {
    local want=$1 got=0
    shift
    "$@" > "$work/said" 2>&1 < /dev/null || got=$?
    [ "$got" -eq "$want" ] ||
        { tail -n 5 "$work/said" >&2; echo "FAILED: exits $got, expected $want: $*" >&2; exit 1; }
}

# What a reader of pipelines makes of a file: passed, failed, errors, skipped; its own counts must be the file's.
cat > "$work/read.py" << 'END'
import sys
from junitparser import Error, Failure, JUnitXml, Skipped
path, green = sys.argv[1], sys.argv[2]
xml = JUnitXml.fromfile(path)
kinds = {"passed": 0, Failure: 0, Error: 0, Skipped: 0}
for suite in xml:
    assert suite.name.startswith("hallmark."), suite.name
    properties = {p.name: p.value for p in suite.properties()}
    assert properties["type"] and properties["verdict"], properties
    found = [0, 0, 0]
    for case in suite:
        assert case.classname == suite.name, (case.classname, suite.name)
        assert len(case.result) <= 1, case.name
        for i, kind in enumerate((Failure, Error, Skipped)):
            found[i] += any(type(r) is kind for r in case.result)
        kinds[type(case.result[0]) if case.result and type(case.result[0]) in kinds else "passed"] += 1
    assert found == [suite.failures, suite.errors, suite.skipped], (suite.name, found)
said = (xml.tests, xml.failures, xml.errors)
xml.update_statistics()
counted = (sum(kinds.values()), kinds[Failure], kinds[Error])
assert said == (xml.tests, xml.failures, xml.errors) == counted, (said, kinds)
assert (kinds[Failure] + kinds[Error] == 0) == (green == "green"), kinds
print("  %d passed, %d failed, %d errors, %d skipped" % tuple(kinds.values()))
END

n=0
reads() {
    echo "$3"
    xmllint --noout --schema "$here/../junit.xsd" "$1" 2> "$work/said" || { cat "$work/said" >&2; exit 1; }
    "$python" "$work/read.py" "$1" "$2"
    n=$((n + 1))
}

exits 0 "$hallmark" release "$source" -o "$work/out" --types bf16,q4_k_m
reads "$work/out/junit.xml" green "a release that is published"
fixture=$(ls "$source"/fixtures/bfloat16.json.gz)
artifact=$(ls "$work"/out/*-BF16.gguf)
exits 0 "$hallmark" verify "$artifact" --fixture "$fixture" --report "$work/pass.xml"
reads "$work/pass.xml" green "verify: it passes"
exits 1 "$hallmark" verify "$artifact" --fixture "$fixture" --kv q4_0 --report "$work/fail.xml"
reads "$work/fail.xml" red "verify: another KV cache than the one that the file requires"
exits 1 "$hallmark" release "$source" -o "$work/lacks" --types q8_0
reads "$work/lacks.unverified/junit.xml" red "a release that lacks a fixture"
for file in ${more:+"$more"/*.xml}; do
    colour=red
    case ${file##*/} in pass*.xml | record*.xml) colour=green ;; esac
    reads "$file" "$colour" "${file##*/}"
done
echo "$n reports read"
