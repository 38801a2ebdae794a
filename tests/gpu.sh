#!/usr/bin/env bash
# Everything that needs a GPU, in one run of less than eight minutes, with one table at the end.
#   tests/gpu.sh [BUNDLE]               builds (nvcc and the -dev packages must be here), or runs what --pack made
#   tests/gpu.sh --pack BUNDLE          builds, and copies programs and libraries to the folder BUNDLE, for a machine
#               that can build nothing
#   HF_DIR=...  a checkpoint to benchmark; default: random weights of E2B's shape, 9.3 GB, made by fixtures/make_tiny.py
#               (needs torch); it and the files made of it take 23 GB in TMPDIR. GPU_GIGABYTES=4: fewer layers. A bundle
#               carries this script and the fixtures.
# 1. each kernel against its CPU twin, bit for bit, on the device
# 2. the same under compute-sanitizer: memcheck, racecheck
# 3. a whole model: the CPU's bits, eager and as a recorded step; the three silent failures, caught
# 4. quantized files, encoded there: the CPU's bytes
# 5. verify: every fixture, every KV dtype, both arithmetics
# 6. bench beside Transformers, eager and compiled; scoring of a text
# The machine of a bundle needs a driver and bash; Transformers and PyTorch for the comparison, compute-sanitizer for 2.
# Exit status 0: all held. 1: something did not. 3: all that was looked at held, and a row says SKIP. 77: there is no
# GPU here (SKIP).
# GPU_SECONDS=470: the time for all of it but the build. GPU_ARCH: architectures to build for. GPU_BUILD_DIR: where.
set -uo pipefail
export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
limit=${GPU_SECONDS:-470}
pack= bundle=
case ${1:-} in
    --pack) pack=${2:?--pack needs a folder} ;;
    -*)     sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 2 ;;
    *)      bundle=${1:-} ;;
esac
programs="cuda_encode_gpu cuda_ops_gpu cuda_step_ops_gpu cuda_kv_gpu cuda_experts_gpu cuda_delta_gpu cuda_mixed_gpu"
programs+=" cuda_tensor_gpu cuda_session_gpu cuda_families_gpu cuda_fuse_gpu cuda_score_gpu cuda_faults_gpu json_tool"
programs+=" device_diff"
work=$(mktemp -d "${TMPDIR:-/tmp}/hallmark-gpu.XXXXXX")
trap 'rm -rf "$work"' EXIT
status=0
: > "$work/table"
row()  { printf '%-10s %-46s %s\n' "$@" | tee -a "$work/table"; }
bad()  { row "$1" "$2" "FAILED: $3"; status=1; }
time_left() { echo $((limit - SECONDS)); }
enough() { [ "$(time_left)" -gt "$1" ] || { row skipped "$2" "SKIP: $(time_left) s of $limit are left"; return 1; }; }

# within SECONDS COMMAND...: at most that long, and never past the limit of the whole run. 124: no time, or it ran out.
within() {
    local cap=$1
    shift
    [ "$(time_left)" -lt "$cap" ] && cap=$(time_left)
    [ "$cap" -ge 1 ] || { echo "no time is left of $limit s"; return 124; }
    timeout -k 5 "$cap" "$@"
}

have_gpu() {
    command -v nvidia-smi > /dev/null && nvidia-smi -L 2> /dev/null | grep -q '^GPU' && return 0
    [ -e /dev/nvidia0 ] || [ -e /dev/nvidiactl ]
}

missing_packages() {
    . "$root/.ci/packages.sh"
    local p missing=
    for p in $BUILD_PACKAGES $TEST_PACKAGES; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2> /dev/null)" = installed ] || missing="$missing $p"
    done
    echo "the build could not be configured${missing:+; packages that are not installed here:$missing}"
    echo "Install what is missing, or make a bundle on a machine that has it (tests/gpu.sh --pack BUNDLE)" \
        "and run BUNDLE/tests/gpu.sh BUNDLE here."
}

build() {
    local dir=${GPU_BUILD_DIR:-$root/build-gpu} arch=()
    # For the card at hand only: a quarter of the compile time. A bundle may go to any card.
    [ -z "$pack" ] && arch=(-DHALLMARK_CUDA_ARCHITECTURES=native)
    [ -n "${GPU_ARCH:-}" ] && arch=(-DHALLMARK_CUDA_ARCHITECTURES="$GPU_ARCH")
    # The programs find the libraries beside them by their own path: no other program is made to load those. RPATH:
    # libraries of libraries too.
    # As if for installing: a build's own path is padded, and a gap in it is the current folder.
    cmake -S "$root" -B "$dir" -DHALLMARK_CUDA=ON -DBUILD_TESTING=ON "${arch[@]}" -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
        '-DCMAKE_INSTALL_RPATH=$ORIGIN/lib' '-DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags' \
        > "$work/build.log" 2>&1 ||
        { tail -n 40 "$work/build.log"; missing_packages; exit 1; }

    cmake --build "$dir" -j "$(nproc)" --target hallmark $programs >> "$work/build.log" 2>&1 ||
        { tail -n 40 "$work/build.log"; echo "the build failed"; exit 1; }
    mkdir -p "$1/lib" "$1/libc"
    cp "$dir/hallmark" "$1/"
    for p in $programs; do cp "$dir/tests/$p" "$1/"; done
    # The C library lies apart: the machine's own is taken where it is new enough, as the driver's libraries were made
    # for it.
    local c='/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*)\.so'
    ldd "$1/hallmark" "$1/cuda_faults_gpu" | awk '/=> \// { print $3 } /^\t\/.*ld-linux/ { print $1 }' | sort -u \
        > "$work/libraries"
    grep -vE "$c" "$work/libraries" | xargs -I{} cp -L {} "$1/lib/"
    grep -E "$c" "$work/libraries" | xargs -I{} cp -L {} "$1/libc/"
}

# Where the machine's C library is older than the programs want, they run on the bundle's, through its loader.
wrap_programs() {
    local loader
    loader=$(ls "$bundle"/libc/ld-linux*.so* 2> /dev/null | head -n 1)
    [ -n "$loader" ] ||
        { echo "$bundle: its programs do not start here: $("$bundle/hallmark" --version 2>&1 | head -n 1)"; exit 2; }
    mkdir -p "$work/wrapped"
    for p in hallmark $programs; do
        printf '#!/bin/sh\nexec "%s" --library-path "%s:%s" "%s" "$@"\n' \
            "$loader" "$bundle/libc" "$bundle/lib" "$bundle/$p" > "$work/wrapped/$p"
        chmod +x "$work/wrapped/$p"
    done
    bundle=$work/wrapped
}

if [ -n "$pack" ]; then
    mkdir -p "$pack/tests" && cp -R "$root/fixtures" "$pack/" && cp "$0" "$pack/tests/gpu.sh" && build "$pack" &&
        echo "packed in $pack: $(du -sh "$pack" | cut -f1)"
    exit
fi
[ -x /usr/local/cuda/bin/nvcc ] && PATH=$PATH:/usr/local/cuda/bin
have_gpu || { echo "SKIP: no NVIDIA GPU on this machine"; exit 77; }
if [ -z "$bundle" ]; then
    command -v nvcc > /dev/null ||
        { echo "SKIP: no nvcc, and no bundle given (tests/gpu.sh --pack makes one)"; exit 77; }
    bundle=$work/bundle
    build "$bundle"
fi
[ -x "$bundle/hallmark" ] || { echo "$bundle: no program 'hallmark' in it"; exit 2; }
bundle=$(cd "$bundle" && pwd)
export CK_FORK=no CK_DEFAULT_TIMEOUT=300 OMP_WAIT_POLICY=passive HALLMARK_ROOT=$root
"$bundle/hallmark" --version > /dev/null 2>&1 || wrap_programs
hm=$bundle/hallmark
card=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2> /dev/null | head -n 1)
row machine "${card:-unknown GPU}" "$(nproc) cores"
cd "$root" || exit 1

# ---- 1 to 3: kernels, sanitizers, a whole model ----------------------------------------------------------------------
check() {           # check SECONDS NAME WHAT COMMAND...
    local cap=$1 name=$2 what=$3 began=$SECONDS got=0
    shift 3
    within "$cap" "$@" > "$work/log" 2>&1 || got=$?
    if [ $got -eq 0 ]; then
        row "$name" "$what" \
            "ok, $((SECONDS - began)) s: $(grep -E '^[0-9]+%|ERROR SUMMARY|RACECHECK SUMMARY' "$work/log" | tail -n 1)"
    elif [ $got -eq 77 ]; then
        row "$name" "$what" "$(tail -n 1 "$work/log")"
    elif [ $got -eq 124 ] && [ "$cap" -le 60 ]; then
        row "$name" "$what" "SKIP: not finished in $((SECONDS - began)) s, proves nothing"
    else
        bad "$name" "$what" "status $got"
        tail -n 15 "$work/log"
    fi
}
check 120 encoders "every encoder gives the CPU's bytes" "$bundle/cuda_encode_gpu"
check 120 kernels "every operation gives the CPU's bits" "$bundle/cuda_ops_gpu"
check 120 steps "recorded and fused kernels: the CPU's bits" "$bundle/cuda_step_ops_gpu"
check 120 caches "rotated, KIVI's, with sinks: the CPU's bits" "$bundle/cuda_kv_gpu"
check 120 experts "experts: the CPU's bits" "$bundle/cuda_experts_gpu"
check 120 delta "delta nets: the CPU's bits" "$bundle/cuda_delta_gpu"
check 120 tensor "products in pieces: within 2^-21, the same bits" "$bundle/cuda_tensor_gpu"
check 120 model "a whole model gives the CPU's bits" "$bundle/cuda_session_gpu"
check 120 families "Llama and Qwen give the CPU's bits, with every cache" "$bundle/cuda_families_gpu"
check 120 fused "models, fused and not: the CPU's bits" "$bundle/cuda_fuse_gpu"
check 120 mixed "models with experts and delta nets: the CPU's bits" "$bundle/cuda_mixed_gpu"
check 120 scores "scores of logits: the CPU's bits" "$bundle/cuda_score_gpu"
check 120 faults "verify catches the three silent failures" "$bundle/cuda_faults_gpu"
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null)
if [ -n "$sanitizer" ]; then
    # Kernel by kernel, both tools, one small run of each case: what does not fit the time is the last.
    under() {       # under WHAT COMMAND...
        local what=$1 tool
        shift
        for tool in memcheck racecheck; do
            enough 200 "$tool" &&
                check 45 "$tool" "$what" env HALLMARK_TEST_RUNS=1 "$sanitizer" --tool $tool --error-exitcode 9 "$@"
        done
    }
    under "every operation under it" "$bundle/cuda_ops_gpu"
    under "recorded and fused kernels under it" "$bundle/cuda_step_ops_gpu"
    under "mixed caches under it" "$bundle/cuda_kv_gpu"
    under "experts under it" "$bundle/cuda_experts_gpu"
    under "delta nets under it" "$bundle/cuda_delta_gpu"
    under "products in pieces under it" "$bundle/cuda_tensor_gpu"
    CK_RUN_CASE=rows under "scores of rows of logits under it" "$bundle/cuda_score_gpu"
    under "every encoder under it" "$bundle/cuda_encode_gpu"
else
    row sanitizer "compute-sanitizer is not on this machine" "SKIP"
fi

tiny=$root/fixtures/tiny-gemma4
for type in bf16 f32 q4_k_m; do
    within 60 "$hm" convert "$tiny" -o "$work/$type.gguf" --type $type > /dev/null 2> "$work/log" ||
        bad convert "$type" "$(tail -n 1 "$work/log")"
done
# ---- 4: encoding -----------------------------------------------------------------------------------------------------
for type in q8_0 q4_0 q4_k_m q6_k; do
    within 60 "$hm" quantize "$work/bf16.gguf" -o "$work/cpu.gguf" --type $type > /dev/null 2> "$work/log" &&
        within 60 "$hm" quantize "$work/bf16.gguf" -o "$work/dev.gguf" --type $type --device cuda \
            > /dev/null 2> "$work/log" ||
        { bad quantize "$type" "$(tail -n 1 "$work/log")"; continue; }
    if cmp -s "$work/cpu.gguf" "$work/dev.gguf"; then
        row quantize "$type, --device cuda" "the CPU's bytes"
    else
        bad quantize "$type, --device cuda" "other bytes than the CPU's"
    fi
done

# ---- 5: verify -------------------------------------------------------------------------------------------------------
# Exact products must give the CPU's report to the last digit; auto's (tensor cores) add in another order and must pass.
products=exact
# Where PyTorch is, its cuBLAS is; a toolkit's is in the loader's path, or in the caller's LD_LIBRARY_PATH.
blas=$(python3 -c 'import importlib.util as u, glob, os
for p in (u.find_spec("nvidia").submodule_search_locations if u.find_spec("nvidia") else []):
    for f in glob.glob(p + "/*/lib/libcublas.so.*"): print(os.path.dirname(f))' 2> /dev/null | head -n 1)
# with_products COMMAND...: as HALLMARK_CUDA_PRODUCTS=$products says; no other program is made to load those libraries.
with_products() {
    if [ "$products" = cublas ]; then
        HALLMARK_CUDA_PRODUCTS=cublas LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}${LD_LIBRARY_PATH:+:}$blas "$@"
    else
        HALLMARK_CUDA_PRODUCTS=$products "$@"
    fi
}
get() { "$bundle/json_tool" "$1" "$2" 2> /dev/null; }
of_verify() { get "$1" "fixtures.0.$2"; }           # of_verify REPORT FIGURE
verify_run() {      # verify_run DEVICE OUT TYPE FIXTURE ARITH KV: the status of verify
    with_products within 90 "$hm" verify "$work/$3.gguf" --fixture "$tiny/fixtures/$4.json.gz" \
        --arith "$5" --kv "$6" --device "$1" --json > "$2" 2> "$work/log"
}
verify_one() {      # verify_one TYPE FIXTURE FIXTURE_ARITH ARITH KV
    local got=0 out=$work/verify.json what="$1, fixture $2, arith $4, kv $5" wanted=1
    # The fixture's arithmetic with the cache that it requires must pass; any other is for the figures, and its verdict
    # must be no.
    [ "$4" = "$3" ] && [ "$5" = "$3" ] && wanted=0
    verify_run cuda "$out" "$1" "$2" "$4" "$5" || got=$?
    if [ $got -gt 1 ]; then bad verify "$what" "status $got: $(tail -n 1 "$work/log")"; return; fi
    local says="free run $(of_verify "$out" free_run_equal), top-1 $(of_verify "$out" teacher_forced_equal)"
    says+=" of $(of_verify "$out" steps), KL $(of_verify "$out" kl_mean)"
    if [ $got -eq $wanted ]; then
        row verify "$what" "status $got: $says"
    else
        bad verify "$what" "status $got, expected $wanted: $says"
    fi
    [ $wanted -eq 0 ] || return
    # The CPU's report: every count and distance, to the last digit, or how far they are.
    got=0
    verify_run cpu "$work/cpu.json" "$1" "$2" "$4" "$5" || got=$?
    if [ $got -gt 1 ]; then
        bad verify "$what, CPU" "status $got: $(tail -n 1 "$work/log")"
    elif cmp -s <(grep -v '"device":' "$out") <(grep -v '"device":' "$work/cpu.json"); then
        row verify "$what, against the CPU" "every figure equal; largest difference 0"
    else
        says="KL $(of_verify "$work/cpu.json" kl_mean) there, largest log-probability difference to the fixture"
        says+=" $(of_verify "$work/cpu.json" logprob_diff_max) there, $(of_verify "$out" logprob_diff_max) here"
        bad verify "$what, against the CPU" "$says"
    fi
}
for kv in f32 bf16 f16 q8_0 q4_0; do
    for arith in f32 bf16; do
        enough 130 "verify, kv $kv, arith $arith" || continue
        verify_one bf16 bfloat16 bf16 $arith $kv
        verify_one f32 float32 f32 $arith $kv
        verify_one q4_k_m q4_k_m f32 $arith $kv
    done
done
# Logit by logit, prompt and continuation at once, and the free run's ids: exact products must differ nowhere, others in
# no id.
for products in exact auto; do
    for one in "bf16 bfloat16 bf16" "f32 float32 f32" "q4_k_m q4_k_m f32"; do
        enough 120 "logits, products $products" || continue
        set -- $one
        got=0
        with_products within 40 "$bundle/device_diff" "$work/$1.gguf" "$tiny/fixtures/$2.json.gz" "$3" "$3" 6 \
            > "$work/diff" 2> "$work/log" || got=$?
        what="$1, fixture $2, products $products" says=$(cat "$work/diff" "$work/log" | tail -n 1)
        if [ $got -eq 0 ] && { [ $products = auto ] || grep -q 'logits_unequal 0 ' "$work/diff"; }; then
            row logits "$what" "$says"
        else
            bad logits "$what" "status $got: $says"
        fi
    done
done
products=exact
# cublas: no part of any claim, and so not of the exit status; where the library is not, its message.
for products in auto cublas; do
    for one in "bf16 bfloat16 bf16" "f32 float32 f32" "q4_k_m q4_k_m f32"; do
        enough 120 "products $products" || continue
        set -- $one
        got=0
        verify_run cuda "$work/verify.json" "$1" "$2" "$3" "$3" || got=$?
        what="$1, fixture $2, products $products"
        says="KL $(of_verify "$work/verify.json" kl_mean)"
        if [ $got -eq 0 ]; then
            row verify "$what" "passes: $says"
        elif [ $products = auto ]; then
            bad verify "$what" "status $got: $says $(tail -n 1 "$work/log")"
        else
            row verify "$what" "status $got (not counted): $(tail -n 1 "$work/log")"
        fi
        # What was used: auto falls back to exact products, and says why.
        grep -q 'formed exactly' "$work/log" && row products "auto" "$(grep -m1 'formed exactly' "$work/log")"
    done
done

# ---- 6: bench --------------------------------------------------------------------------------------------------------
cases=p1g32,p512g128
python=$(command -v python3)
if [ -z "${HF_DIR:-}" ] && enough 120 "a checkpoint of E2B's widths" && [ -n "$python" ]; then
    HF_DIR=$work/e2b
    within 90 "$python" fixtures/make_tiny.py --out "$HF_DIR" --shape e2b-wide --random \
        ${GPU_GIGABYTES:+--gigabytes "$GPU_GIGABYTES"} > "$work/log" 2>&1 ||
        { row bench "no checkpoint to benchmark" "SKIP: make_tiny.py: $(tail -n 1 "$work/log")"; HF_DIR=; }
fi
if [ -n "${HF_DIR:-}" ]; then
    for type in bf16 q4_k_m; do
        enough 60 "bench $type" || continue
        within 90 "$hm" convert "$HF_DIR" -o "$work/big-$type.gguf" --type $type > /dev/null 2> "$work/log" ||
            { bad bench "$type" "$(tail -n 1 "$work/log")"; continue; }
        for products in exact auto cublas; do
            enough 50 "bench $type, products $products" || continue
            with_products within 120 "$hm" bench "$work/big-$type.gguf" --case $cases --device cuda --json \
                > "$work/bench.json" 2> "$work/log" || {
                why=$(tail -n 1 "$work/log")
                if [ $products = cublas ]; then
                    row bench "$type, products cublas" "not measured: $why"
                else
                    bad bench "$type, products $products" "$why"
                fi
                continue
            }
            for i in 0 1; do
                c() { get "$work/bench.json" "cases.$i.$1"; }
                says="$(c prefill_tok_s | cut -d. -f1) prefill, $(c decode_tok_s) decode tok/s"
                says+=", $(c decode_gb_s) of $(c limit_gb_s) GB/s"
                says+=", $(c step_bytes) bytes a step, $(c memory_bytes) of memory"
                row bench "hallmark $type p$(c prompt)g$(c gen), $products" "$says"
            done
            [ $products = exact ] || continue
            row bench "hallmark $type, loading to the device" \
                "$(get "$work/bench.json" load_s) s, $(get "$work/bench.json" load_gb_s) GB/s"
            enough 60 "bench $type, launches one after the other" &&
                HALLMARK_CUDA_OVERLAP=off within 60 "$hm" bench "$work/big-$type.gguf" --case p1g32 --device cuda \
                    --json > "$work/bench.json" 2> "$work/log" &&
                row bench "hallmark $type p1g32, launches do not overlap" \
                    "$(get "$work/bench.json" cases.0.decode_tok_s) decode tok/s"
        done
        for products in exact auto; do
            enough 45 "scoring $type, products $products" || continue
            # A part that fits the time: a text's chunks are all alike.
            HALLMARK_CUDA_PRODUCTS=$products within 40 "$hm" bench "$work/big-$type.gguf" --case s16384 --repeat 1 \
                --device cuda --json > "$work/bench.json" 2> "$work/log" ||
                { row bench "hallmark $type s16384, $products" "not measured: $(tail -n 1 "$work/log")"; continue; }
            says="$(get "$work/bench.json" cases.0.score_tok_s | cut -d. -f1) tokens scored a second"
            says+=", $(get "$work/bench.json" cases.0.memory_bytes) of memory"
            row bench "hallmark $type s16384, $products" "$says"
        done
        rm -f "$work/big-$type.gguf"
    done
    : > "$work/hf"
    echo "no python3, or no time" > "$work/log"
    [ -n "$python" ] && enough 45 "Transformers" &&
        within "$(($(time_left) - 10))" "$python" fixtures/hf_bench.py "$HF_DIR" --case $cases \
            --seconds "$(($(time_left) - 40))" > "$work/hf" 2> "$work/log"
    why=$(grep -E 'Error|SKIP|no python3' "$work/log" | tail -n 1 | cut -c1-120)
    for mode in eager compiled; do
        for case in p1g32 p512g128; do
            p=${case#p}
            if grep "\"mode\": \"$mode\", \"prompt\": ${p%g*}, \"gen\": ${p#*g}," "$work/hf" > "$work/line.json"; then
                error=$(get "$work/line.json" error)
                says="$(get "$work/line.json" prefill_tok_s | cut -d. -f1) prefill"
                says+=", $(get "$work/line.json" decode_tok_s) decode tok/s"
                row bench "Transformers $mode $case" "${error:-$says}"
            else
                row bench "Transformers $mode $case" "not measured: ${why:-out of time}"
            fi
        done
    done
    if grep '"mode": "matmul"' "$work/hf" > "$work/line.json"; then
        row bench "tensor cores, BF16 8192^3 (PyTorch)" "$(get "$work/line.json" tflop_s) TFLOP/s"
    else
        row bench "tensor cores, BF16" "not measured: ${why:-out of time}"
    fi
else
    [ -n "$python" ] ||
        row bench "no checkpoint to benchmark" "SKIP: no python3 to make one (HF_DIR=FOLDER names another)"
fi

echo
echo "=== $SECONDS s"
cat "$work/table"
[ $status -eq 0 ] && grep -q SKIP "$work/table" && status=3
exit $status
