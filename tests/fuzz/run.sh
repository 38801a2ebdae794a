#!/usr/bin/env bash
# Builds the fuzz targets with clang and runs each for SECONDS (default: FUZZ_SECONDS, or 60), on inputs of up to 4 MB.
# Any finding fails, and its input stays in build-fuzz/findings. What takes more processor time than its size allows is
# a finding too (guard.c).
# Usage: tests/fuzz/run.sh [SECONDS] [TARGET...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
seconds=${1:-${FUZZ_SECONDS:-60}}
shift || true
build=$root/build-fuzz
clang=$(command -v clang || command -v clang-14 || true)
if [ -z "$clang" ]; then
    echo "fuzz: clang is missing: apt-get install clang llvm-14 libclang-rt-14-dev libomp-14-dev" >&2
    exit 1
fi
if [ $# -eq 0 ]; then
    for f in tests/fuzz/*_fuzz.c; do f=${f##*/}; set -- "$@" "${f%_fuzz.c}"; done
fi
targets=()
for name in "$@"; do targets+=("${name}_fuzz"); done
generator=${CMAKE_GENERATOR:-}         # as in test.sh
[ -z "$generator" ] && [ ! -e "$build/CMakeCache.txt" ] && command -v ninja >/dev/null && generator=Ninja
env ${generator:+CMAKE_GENERATOR="$generator"} cmake -S . -B "$build" \
    -DCMAKE_C_COMPILER="$clang" -DCMAKE_BUILD_TYPE=Release -DHALLMARK_FUZZ=ON >/dev/null
cmake --build "$build" --target large_seeds "${targets[@]}" -j 2
mkdir -p "$build/findings"
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1} OMP_NUM_THREADS=1

# fuzz NAME: one target, to its own log. First each of the large inputs once, then SECONDS of changed ones that start
# from the committed seeds: an input of 4 MB takes seconds under ASan, and with some of them in the corpus nothing else
# would ever be tried. Inputs may grow to 4 MB all the same.
fuzz() {
    local name=$1 dict=() corpus=$build/corpus/$1 target=$build/tests/fuzz/${1}_fuzz
    # A corpus of its own, started from the committed seeds, which are never changed.
    mkdir -p "$corpus"
    find "$corpus" -size +128k -delete      # what an earlier run kept
    "$build/tests/fuzz/large_seeds" "$name" "$build/large/$name" || return 1
    [ -f "tests/fuzz/$name.dict" ] && dict=(-dict="tests/fuzz/$name.dict")
    # An input of 4 MB may become a tree of values of some hundred; 150 MB at once is a finding, and so are 60 s by the
    # clock, for what only waits.
    local limits=(-timeout=60 -report_slow_units=60 -rss_limit_mb=2048 -malloc_limit_mb=150 -max_len=4194304
                  -artifact_prefix="$build/findings/$name-")
    "$target" "${limits[@]}" "$build/large/$name"/* >"$build/$name.log" 2>&1 &&
        "$target" "${limits[@]}" -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 "${dict[@]}" \
            "$corpus" "tests/fuzz/seeds/$name" >>"$build/$name.log" 2>&1
}

# Two at a time: each is one thread, and its time is fixed.
status=0
while [ $# -gt 0 ]; do
    pids=() names=("${@:1:2}")
    shift ${#names[@]}
    echo "fuzz: ${names[*]} for $seconds s"
    for name in "${names[@]}"; do fuzz "$name" & pids+=($!); done
    for i in "${!names[@]}"; do
        name=${names[$i]}
        if wait "${pids[$i]}"; then
            echo "fuzz: $name: no finding;" \
                "$(grep -E 'number_of_executed_units|peak_rss_mb' "$build/$name.log" | tr -s ' \n' ' ')"
        else
            echo "fuzz: $name FAILED; see $build/$name.log and $build/findings" >&2
            tail -60 "$build/$name.log" >&2
            status=1
        fi
    done
done
exit $status
