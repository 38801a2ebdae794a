#!/usr/bin/env bash
# Everything that needs a GPU, in one run of less than eight minutes, with one table at the end.
#   tests/gpu.sh [BUNDLE]               builds (nvcc and the -dev packages must be here), or runs what --pack made
#   tests/gpu.sh --pack BUNDLE          builds, and copies programs and libraries to the folder BUNDLE, for a machine that can build nothing
#   HF_DIR=...  a checkpoint to benchmark; default: random weights of E2B's widths, made by fixtures/make_tiny.py (needs torch)
# 1. each kernel against its CPU twin, bit for bit, on the device      2. the same under compute-sanitizer: memcheck, racecheck
# 3. a whole model: the CPU's bits, eager and as a recorded step; the three silent failures, caught
# 4. quantized files, encoded there: the CPU's bytes                    5. verify: every fixture, every KV dtype, both arithmetics
# 6. bench beside Transformers, eager and compiled
# The machine of a bundle needs a driver and bash; Transformers and PyTorch for the comparison, compute-sanitizer for 2.
# Exit status 0: all held. 1: something did not. 77: there is no GPU here (SKIP).
set -uo pipefail
export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
limit=${GPU_SECONDS:-470}
pack= bundle=
case ${1:-} in
    --pack) pack=${2:?--pack needs a folder} ;;
    -*)     sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
    *)      bundle=${1:-} ;;
esac
programs="cuda_encode_gpu cuda_ops_gpu cuda_step_ops_gpu cuda_session_gpu cuda_fuse_gpu cuda_faults_gpu json_tool"
work=$(mktemp -d "${TMPDIR:-/tmp}/hallmark-gpu.XXXXXX")
trap 'rm -rf "$work"' EXIT
status=0
: > "$work/table"
row()  { printf '%-10s %-46s %s\n' "$@" | tee -a "$work/table"; }
bad()  { row "$1" "$2" "FAILED: $3"; status=1; }
time_left() { echo $((limit - SECONDS)); }
enough() { [ "$(time_left)" -gt "$1" ] || { row skipped "$2" "SKIP: $(time_left) s of $limit are left"; return 1; }; }

have_gpu() {
    command -v nvidia-smi > /dev/null && nvidia-smi -L 2> /dev/null | grep -q '^GPU' && return 0
    [ -e /dev/nvidia0 ] || [ -e /dev/nvidiactl ]
}

build() {
    local dir=${GPU_BUILD_DIR:-$root/build-gpu} arch=()
    # For the card at hand only: a quarter of the compile time. A bundle may go to any card.
    [ -z "$pack" ] && arch=(-DHALLMARK_CUDA_ARCHITECTURES=native)
    cmake -S "$root" -B "$dir" -DHALLMARK_CUDA=ON -DBUILD_TESTING=ON "${arch[@]}" > "$work/build.log" 2>&1 &&
        cmake --build "$dir" -j "$(nproc)" --target hallmark $programs >> "$work/build.log" 2>&1 ||
        { tail -n 40 "$work/build.log"; echo "the build failed"; exit 1; }
    mkdir -p "$1/lib" "$1/libc"
    cp "$dir/hallmark" "$1/"
    for p in $programs; do cp "$dir/tests/$p" "$1/"; done
    # The C library lies apart: the machine's own is taken where it is new enough, as the driver's libraries were made for it.
    local c='/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*)\.so'
    ldd "$1/hallmark" "$1/cuda_faults_gpu" | awk '/=> \// { print $3 } /^\t\/.*ld-linux/ { print $1 }' | sort -u > "$work/libraries"
    grep -vE "$c" "$work/libraries" | xargs -I{} cp -L {} "$1/lib/"
    grep -E "$c" "$work/libraries" | xargs -I{} cp -L {} "$1/libc/"
}

# Where the machine's C library is older than the programs want, they run on the bundle's, through its loader.
wrap_programs() {
    local loader
    loader=$(ls "$bundle"/libc/ld-linux*.so* 2> /dev/null | head -n 1)
    [ -n "$loader" ] || { echo "$bundle: its programs do not start here: $("$bundle/hallmark" --version 2>&1 | head -n 1)"; exit 2; }
    mkdir -p "$work/wrapped"
    for p in hallmark $programs; do
        printf '#!/bin/sh\nexec "%s" --library-path "%s:%s" "%s" "$@"\n' "$loader" "$bundle/libc" "$bundle/lib" "$bundle/$p" > "$work/wrapped/$p"
        chmod +x "$work/wrapped/$p"
    done
    bundle=$work/wrapped
}

if [ -n "$pack" ]; then
    mkdir -p "$pack" && build "$pack" && echo "packed in $pack: $(du -sh "$pack" | cut -f1)"
    exit
fi
have_gpu || { echo "SKIP: no NVIDIA GPU on this machine"; exit 77; }
if [ -z "$bundle" ]; then
    command -v nvcc > /dev/null || [ -x /usr/local/cuda/bin/nvcc ] || { echo "SKIP: no nvcc, and no bundle given (tests/gpu.sh --pack makes one)"; exit 77; }
    bundle=$work/bundle
    build "$bundle"
fi
[ -x "$bundle/hallmark" ] || { echo "$bundle: no program 'hallmark' in it"; exit 2; }
bundle=$(cd "$bundle" && pwd)
export LD_LIBRARY_PATH=$bundle/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} CK_FORK=no CK_DEFAULT_TIMEOUT=300 OMP_WAIT_POLICY=passive HALLMARK_ROOT=$root
"$bundle/hallmark" --version > /dev/null 2>&1 || wrap_programs
hm=$bundle/hallmark
card=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2> /dev/null | head -n 1)
row machine "${card:-unknown GPU}" "$(nproc) cores"
cd "$root" || exit 1

# ---- 1 to 3: kernels, sanitizers, a whole model ------------------------------------------------------------------------
check() {           # check NAME WHAT COMMAND...
    local name=$1 what=$2 began=$SECONDS
    shift 2
    if timeout "$(time_left)" "$@" > "$work/log" 2>&1; then row "$name" "$what" "ok, $((SECONDS - began)) s: $(grep -E '^[0-9]+%|ERROR SUMMARY|RACECHECK SUMMARY' "$work/log" | tail -n 1)"
    else bad "$name" "$what" "status $?"; tail -n 15 "$work/log"; fi
}
check encoders "every encoder gives the CPU's bytes" "$bundle/cuda_encode_gpu"
check kernels "every operation gives the CPU's bits" "$bundle/cuda_ops_gpu"
check steps "recorded and fused kernels: the CPU's bits" "$bundle/cuda_step_ops_gpu"
check model "a whole model gives the CPU's bits" "$bundle/cuda_session_gpu"
check fused "models, fused and not: the CPU's bits" "$bundle/cuda_fuse_gpu"
check faults "verify catches the three silent failures" "$bundle/cuda_faults_gpu"
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null)
if [ -n "$sanitizer" ]; then
    for tool in memcheck racecheck; do
        enough 240 "$tool" && check "$tool" "every encoder under compute-sanitizer" "$sanitizer" --tool $tool --error-exitcode 9 "$bundle/cuda_encode_gpu"
        enough 240 "$tool" && check "$tool" "every operation under compute-sanitizer" "$sanitizer" --tool $tool --error-exitcode 9 "$bundle/cuda_ops_gpu"
        enough 240 "$tool" && check "$tool" "recorded and fused kernels under it" "$sanitizer" --tool $tool --error-exitcode 9 "$bundle/cuda_step_ops_gpu"
    done
else
    row sanitizer "compute-sanitizer is not on this machine" "SKIP"
fi

tiny=$root/fixtures/tiny-gemma4
for type in bf16 f32 q4_k_m; do "$hm" convert "$tiny" -o "$work/$type.gguf" --type $type 2> "$work/log" || bad convert "$type" "$(tail -n 1 "$work/log")"; done
# ---- 4: encoding -------------------------------------------------------------------------------------------------------
for type in q8_0 q4_0 q4_k_m q6_k; do
    "$hm" quantize "$work/bf16.gguf" -o "$work/cpu.gguf" --type $type 2> "$work/log" && "$hm" quantize "$work/bf16.gguf" -o "$work/dev.gguf" --type $type --device cuda 2> "$work/log" ||
        { bad quantize "$type" "$(tail -n 1 "$work/log")"; continue; }
    if cmp -s "$work/cpu.gguf" "$work/dev.gguf"; then row quantize "$type, --device cuda" "the CPU's bytes"; else bad quantize "$type, --device cuda" "other bytes than the CPU's"; fi
done

# ---- 5: verify ---------------------------------------------------------------------------------------------------------
get() { "$bundle/json_tool" "$1" "$2" 2> /dev/null; }
verify_one() {      # verify_one TYPE FIXTURE ARITH KV WANTED_STATUS
    local got=0 out=$work/verify.json
    timeout "$(time_left)" "$hm" verify "$work/$1.gguf" --fixture "$tiny/fixtures/$2.json.gz" --arith "$3" --kv "$4" --device cuda --json > "$out" 2> "$work/log" || got=$?
    local what="$1, fixture $2, arith $3, kv $4"
    if [ $got -gt 1 ]; then bad verify "$what" "status $got: $(tail -n 1 "$work/log")"; return; fi
    local says="free run $(get "$out" fixtures.0.free_run_equal), top-1 $(get "$out" fixtures.0.teacher_forced_equal) of $(get "$out" fixtures.0.steps), KL $(get "$out" fixtures.0.kl_mean)"
    if [ "$5" = any ] || [ $got -eq "$5" ]; then row verify "$what" "status $got: $says"; else bad verify "$what" "status $got, expected $5: $says"; fi
}
for kv in f32 bf16 f16 q8_0 q4_0; do
    for arith in f32 bf16; do
        enough 150 "verify, kv $kv, arith $arith" || continue
        # What the artifact requires must pass; another cache or arithmetic is for the figures, and its verdict is no.
        own=$([ $kv = $arith ] && echo 0 || echo any)
        verify_one bf16 bfloat16 $arith $kv $([ $arith = bf16 ] && echo "$own" || echo any)
        verify_one f32 float32 $arith $kv $([ $arith = f32 ] && echo "$own" || echo any)
        verify_one q4_k_m q4_k_m $arith $kv $([ $arith = f32 ] && echo "$own" || echo any)
    done
done

# ---- 6: bench ----------------------------------------------------------------------------------------------------------
cases=p1g32,p512g128
python=$(command -v python3)
if [ -z "${HF_DIR:-}" ] && enough 120 "a checkpoint of E2B's widths" && [ -n "$python" ]; then
    HF_DIR=$work/e2b
    timeout 60 "$python" fixtures/make_tiny.py --out "$HF_DIR" --shape e2b-wide --random --gigabytes "${GPU_GIGABYTES:-4}" > "$work/log" 2>&1 ||
        { row bench "no checkpoint to benchmark" "SKIP: make_tiny.py: $(tail -n 1 "$work/log")"; HF_DIR=; }
fi
if [ -n "${HF_DIR:-}" ]; then
    for type in bf16 q4_k_m; do
        enough 60 "bench $type" || continue
        "$hm" convert "$HF_DIR" -o "$work/big-$type.gguf" --type $type 2> "$work/log" || { bad bench "$type" "$(tail -n 1 "$work/log")"; continue; }
        for products in exact tensor; do
            enough 50 "bench $type, products $products" || continue
            HALLMARK_CUDA_PRODUCTS=$products timeout "$(time_left)" "$hm" bench "$work/big-$type.gguf" --case $cases --device cuda --json > "$work/bench.json" 2> "$work/log" ||
                { bad bench "$type, products $products" "$(tail -n 1 "$work/log")"; continue; }
            for i in 0 1; do
                c() { get "$work/bench.json" "cases.$i.$1"; }
                row bench "hallmark $type p$(c prompt)g$(c gen), $products" \
                    "$(c prefill_tok_s | cut -d. -f1) prefill, $(c decode_tok_s) decode tok/s, $(c decode_gb_s) of $(c limit_gb_s) GB/s, $(c step_bytes) bytes a step"
            done
        done
        rm -f "$work/big-$type.gguf"
    done
    if [ -n "$python" ] && enough 45 "Transformers"; then
        timeout "$(($(time_left) - 10))" "$python" fixtures/hf_bench.py "$HF_DIR" --case $cases --seconds "$(($(time_left) - 40))" > "$work/hf" 2> "$work/log" ||
            row bench "Transformers" "stopped: $(tail -n 1 "$work/log" | cut -c1-120)"
        while read -r line; do
            echo "$line" > "$work/line.json"
            row bench "Transformers $(get "$work/line.json" mode) p$(get "$work/line.json" prompt)g$(get "$work/line.json" gen)" \
                "$(get "$work/line.json" prefill_tok_s | cut -d. -f1) prefill, $(get "$work/line.json" decode_tok_s) decode tok/s"
        done < "$work/hf"
    fi
fi

echo
echo "=== $SECONDS s"
cat "$work/table"
exit $status
