#!/usr/bin/env bash
# From a fresh Debian to a proved release: installs what is missing, builds, and releases the checkpoint in fixtures/.
# Works from any current directory and as often as you like; writes only below build/.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$root/build
. "$root/.ci/packages.sh"

echo "1. Packages"
install_missing $BUILD_PACKAGES

echo "2. Build: $build"
mkdir -p "$build"
if ! cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF > "$build/quickstart.log" 2>&1 ||
   ! cmake --build "$build" --target hallmark -j "$(nproc)" >> "$build/quickstart.log" 2>&1; then
    cat "$build/quickstart.log" >&2
    echo "The build failed; the log above is $build/quickstart.log" >&2
    exit 4
fi
grep -E 'CUDA: ' "$build/quickstart.log" || true

echo "3. hallmark release $root/fixtures/tiny-gemma4 -o $build/release/tiny-gemma4-GGUF"
rm -rf "$build/release"
mkdir -p "$build/release"
"$build/hallmark" release "$root/fixtures/tiny-gemma4" -o "$build/release/tiny-gemma4-GGUF"

echo
echo "The program is $build/hallmark ('hallmark --help'); ./test.sh runs the tests."
