#!/usr/bin/env bash
# quickstart.sh in a copy of the sources, from another current directory, twice; and the packages that it needs.
. "$(dirname "$0")/lib.sh"
say "the packages that README.md names are those that the build and the tests install, and no more"
named=$(tr '\n' ' ' < "$root/README.md" | sed -n 's/.*(Debian: `\([^`]*\)`.*/\1/p')
needed=$(. "$root/.ci/packages.sh" && echo "$BUILD_PACKAGES $TEST_PACKAGES")
needed=${needed/ libc6-dev/}            # comes with gcc
[ -n "$named" ] && [ "$(echo $named)" = "$(echo $needed)" ] || fail "README.md: '$named', .ci/packages.sh: '$needed'"

export CUDACXX=/nonexistent/nvcc        # as on a machine without it, where everything but --device cuda must work
# The steps are what is proved here; that the release options build is what the tests' own build proves. -O1 takes half
# the time.
real=$(command -v "${CC:-cc}") || fail "no C compiler"
printf '#!/bin/sh\nexec "%s" "$@" -O1\n' "$real" > "$work/cc" && chmod +x "$work/cc"
export CC=$work/cc
mkdir "$work/copy of sources"
copy="$work/copy of sources"
if git -C "$root" rev-parse --git-dir > /dev/null 2>&1; then
    (cd "$root" && git ls-files -z -co --exclude-standard | tar --null --files-from=- --ignore-failed-read -c) |
        tar -x -C "$copy"
else
    (cd "$root" && tar --exclude='./build*' --exclude='./.git' -c .) | tar -x -C "$copy"
fi
# Nor is how many prompts are equal: e2e_pipeline releases this checkpoint with all of them.
for f in "$copy"/fixtures/tiny-gemma4/fixtures/*.json.gz; do
    four_cases "$f" "$work/four.json.gz" && mv "$work/four.json.gz" "$f" || fail "$f cannot be shortened"
done

for round in first second; do
    say "the $round time"
    (cd / && "$copy/quickstart.sh") > "$work/out" 2> "$work/err" < /dev/null ||
        fail "quickstart.sh fails the $round time"
    out_has "1. Packages"; out_has "2. Build"; out_has "3. hallmark release"; out_has "Published"; out_has "pass"
    grep -q "$copy/build" "$work/out" || fail "it does not say where the published folder is"
done
ls "$copy/build/release"/*/*.gguf > /dev/null || fail "no artifact in the published folder"
