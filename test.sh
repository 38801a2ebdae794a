#!/usr/bin/env bash
# Builds everything and runs all tests: libcheck suites and end-to-end scripts, through CTest.
#   ./test.sh [BUILD_DIR [CMake options]]      default: build/ with the release options
# The last line is "N passed, M failed" (", K skipped" follows where a test could not run here; the log above says why).
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$root/.ci/packages.sh"

build=${1:-build}
case $build in /*) ;; *) build=$root/$build ;; esac
shift $(($# > 0 ? 1 : 0))

install_missing $BUILD_PACKAGES $TEST_PACKAGES || { echo "0 passed, 1 failed"; exit 1; }

echo "Building in $build"
mkdir -p "$build"
# Without a word from outside by Ninja, where it is: make starts a program or two of CMake's for each file that it
# compiles.
generator=${CMAKE_GENERATOR:-}
[ -z "$generator" ] && [ ! -e "$build/CMakeCache.txt" ] && command -v ninja >/dev/null && generator=Ninja
if ! {
    env ${generator:+CMAKE_GENERATOR="$generator"} cmake -S "$root" -B "$build" -DBUILD_TESTING=ON "$@" &&
        cmake --build "$build" -j "$(nproc)"
} > "$build/test-build.log" 2>&1; then
    tail -n 60 "$build/test-build.log"
    echo "The build failed; the whole log is $build/test-build.log"
    echo "0 passed, 1 failed"
    exit 1
fi

echo "Running the tests"
ctest --test-dir "$build" -j2 --output-on-failure --no-tests=error --output-junit "$build/tests.xml"
status=$?

# Where the time went, and what ran smaller than it could: the suites say so themselves.
echo "Seconds of each suite, the longest first (those below one are left out):"
sed -n 's/.*<testcase name="\([^"]*\)".* time="\([0-9.]*\)".*/\2 \1/p' "$build/tests.xml" 2>/dev/null | sort -rn |
    awk '$1 >= 1 { printf "%s%s %.0f", n++ ? ", " : "  ", $2, $1 } END { print "" }' | fold -s -w 118
smaller=$(awk '/ Testing: / { name = $3 } /^SMALLER |^- SMALLER / { sub(/^- /, ""); print "  " name ": " $0 }' \
    "$build/Testing/Temporary/LastTest.log" 2>/dev/null)
[ -n "$smaller" ] && printf 'What ran smaller here than in another build:\n%s\n' "$smaller"

# One number of the <testsuite> element. Without the file nothing passed.
count() {
    sed -n '/<testsuite/,/>/p' "$build/tests.xml" 2>/dev/null | tr '\n\t' '  ' |
        sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p" | head -n 1
}
tests=$(count tests) failed=$(count failures) skipped=$(count skipped) disabled=$(count disabled)
if [ -z "$tests" ] || [ -z "$failed" ]; then tests=1 failed=1 skipped=0 disabled=0; fi
skipped=$((${skipped:-0} + ${disabled:-0}))
line="$((tests - failed - skipped)) passed, $failed failed"
[ "$skipped" -gt 0 ] && line="$line, $skipped skipped"
echo "$line"
[ "$status" -eq 0 ] && [ "$failed" -eq 0 ]
