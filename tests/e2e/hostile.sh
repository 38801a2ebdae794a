#!/usr/bin/env bash
# Hostile files through the program: exit 3, a message that names the file, within a second and 100 MB.
. "$(dirname "$0")/lib.sh"
# Sanitizers multiply time and memory: there only the exit status and the message are checked.
# A second of processor time: on a machine that is busy with other things the clock says nothing about us. The clock's
# limit is for hangs.
max_cpu=1.0 max_seconds=20 max_kb=102400
count=0 most=0
shopt -s lastpipe                     # `wrong` below ends a pipe, and must be able to end the script

# refused COMMAND... FILE: the last argument is the file that must be named.
refused() {
    local file=${!#} status=0 seconds=0 cpu=0 peak_kb=0 anon_kb=0
    "$MEASURE" "$work/cost" "$hallmark" "$@" > "$work/out" 2> "$work/err" < /dev/null
    . "$work/cost"
    [ "$status" -eq 3 ] || fail "hallmark $* exits $status, expected 3"
    [ -s "$work/err" ] && [ "$(wc -l < "$work/err")" -le 2 ] || fail "hallmark $*: expected one message"
    grep -qF -- "$(basename "$file")" "$work/err" || fail "hallmark $*: the message does not name the file"
    out_empty
    count=$((count + 1))
    [ "$sanitized" = 1 ] && return
    awk "BEGIN { exit !($cpu <= $max_cpu && $seconds <= $max_seconds) }" ||
        fail "hallmark $*: $cpu s of processor time, $seconds s by the clock"
    most=$(awk "BEGIN { print ($cpu > $most) ? $cpu : $most }")
    [ "$peak_kb" -le $max_kb ] || fail "hallmark $*: $peak_kb kB resident"
}
refused_gguf() {
    refused inspect "$1"
    refused run -p a "$1"
    refused bench "$1"
    refused quantize -o "$work/o.gguf" --type f32 "$1"
}

# A GGUF head: magic, version 3, tensor count, pair count.
head_of() { printf GGUF; le 4 3; le 8 "$1"; le 8 "$2"; }
kv_u32()  { str "$1"; le 4 4; le 4 "$2"; }
tensor() {
    local name=$1 off=$2
    shift 2
    str "$name"; le 4 $#
    for d in "$@"; do le 8 "$d"; done
    le 4 0; le 8 "$off"
}
pad32()   { local n; n=$(stat -c %s "$1"); head -c $(((32 - n % 32) % 32)) /dev/zero >> "$1"; }
f=$work/bad.gguf

say "the control: a small valid file made the same way is read"
{ head_of 1 1; kv_u32 general.alignment 32; tensor a 0 8; } > "$f"; pad32 "$f"; head -c 32 /dev/zero >> "$f"
run_hm 0 inspect "$f"

say "truncations of that file"
cp "$f" "$work/good.gguf"
size=$(stat -c %s "$f")
for ((n = 0; n < size; n += 7)); do head -c $n "$work/good.gguf" > "$f"; refused inspect "$f"; done

say "versions, counts and lengths"
{ printf GGUF; le 4 1; le 8 0; le 8 0; } > "$f"; refused_gguf "$f"
{ printf GGUF; le 4 99; le 8 0; le 8 0; } > "$f"; refused_gguf "$f"
{ printf GGUF; le 4 $((3 << 24)); le 8 0; le 8 0; } > "$f"; refused_gguf "$f"
for n in 1099511627776 9223372036854775807 -1 65537 4611686018427387904; do
    head_of $n 0 > "$f"; refused_gguf "$f"
    head_of 0 $n > "$f"; refused_gguf "$f"
    { head_of 0 1; le 8 $n; printf key; } > "$f"; refused_gguf "$f"
    { head_of 0 1; str key; le 4 8; le 8 $n; printf value; } > "$f"; refused_gguf "$f"
    { head_of 0 1; str key; le 4 9; le 4 0; le 8 $n; printf value; } > "$f"; refused_gguf "$f"
    { head_of 0 1; str key; le 4 9; le 4 8; le 8 $n; printf value; } > "$f"; refused_gguf "$f"
done

say "value types, nested arrays, duplicates, alignments"
{ head_of 0 1; str key; le 4 13; le 8 0; } > "$f"; refused_gguf "$f"
{ head_of 0 1; str key; le 4 9; le 4 9; le 8 1; le 4 9; le 8 1; le 4 0; le 8 1; le 1 0; } > "$f"; refused_gguf "$f"
{ head_of 0 2; kv_u32 same 1; kv_u32 same 2; } > "$f"; refused_gguf "$f"
for a in 0 3 4294967295; do { head_of 0 1; kv_u32 general.alignment $a; } > "$f"; refused_gguf "$f"; done

say "tensors: dimensions that wrap, offsets out of bounds, unaligned, overlapping; duplicate names; unknown types"
wrong() { { head_of "$1" 0; cat; } > "$f"; pad32 "$f"; head -c 256 /dev/zero >> "$f"; refused_gguf "$f"; }
tensor a 0 4294967296 4294967296 | wrong 1
tensor a 0 4611686018427387904 4 | wrong 1
tensor a 0 -1 | wrong 1
tensor a 0 9223372036854775807 | wrong 1
tensor a 1099511627776 8 | wrong 1
tensor a -32 8 | wrong 1
tensor a 5 8 | wrong 1
{ tensor a 0 16; tensor b 32 8; } | wrong 2
{ tensor a 0 8; tensor a 32 8; } | wrong 2
{ str a; le 4 5; for d in 1 1 1 1 1; do le 8 $d; done; le 4 0; le 8 0; } | wrong 1
{ str a; le 4 4294967295; } | wrong 1
{ str a; le 4 1; le 8 8; le 4 4; le 8 0; } | wrong 1
{ str a; le 4 1; le 8 33; le 4 2; le 8 0; } | wrong 1

say "safetensors: headers that lie"
mkdir "$work/hf" && cp "$checkpoint"/*.json "$work/hf/" && rm -f "$work"/hf/*.index.json
s=$work/hf/model.safetensors
st() { { le 8 "${2:-${#1}}"; printf %s "$1"; head -c 64 /dev/zero; } > "$s"; refused inspect "$s"; 
       "$hallmark" convert "$work/hf" -o "$work/o.gguf" > "$work/out" 2> "$work/err"
       [ $? -eq 3 ] || fail "convert of a bad safetensors: not exit 3"
       grep -q safetensors "$work/err" || fail "convert does not name the safetensors file"; }
t64='"dtype":"F32","shape":[16],"data_offsets":[0,64]'
st '{}' 9223372036854775807
st '{}' -1
st '{}' 104857601
st '{"a":{'"$t64"'}' 
st '{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,64]}}'
st '{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,64]}}'
st '{"a":{"dtype":"F32","shape":[-16],"data_offsets":[0,64]}}'
st '{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,64]}}'
st '{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,1e30]}}'
st '{"a":{"dtype":"F32","shape":[16],"data_offsets":[64,0]}}'
st '{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},"b":{"dtype":"F32","shape":[4],"data_offsets":[48,64]}}'
st '{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},"b":{"dtype":"F32","shape":[12],"data_offsets":[16,64]}}'
st '{"a":{'"$t64"'},"a":{'"$t64"'}}'
st "$(printf '{"a":%0.s' $(seq 1 5000))"
st "$(printf '[%.0s' $(seq 1 100000))"

say "an index that leads out of the folder"
rm -f "$s"
for name in ../../etc/passwd /etc/passwd sub/../x.safetensors .. ''; do
    printf '{"weight_map":{"a":"%s"}}' "$name" > "$work/hf/model.safetensors.index.json"
    "$hallmark" convert "$work/hf" -o "$work/o.gguf" > "$work/out" 2> "$work/err"
    [ $? -eq 3 ] || fail "an index that names '$name': not exit 3"
    err_has "model.safetensors.index.json"
done

say "fixtures: not gzip, not JSON, a bomb"
fx=$work/bad.json.gz
echo '{"hallmark_fixture":1}' > "$fx"; refused inspect "$fx"
echo '{"hallmark_fixture":1' | gzip > "$fx"; refused inspect "$fx"
echo '[]' | gzip > "$fx"; refused inspect "$fx"
head -c 300000000 /dev/zero | gzip -1 > "$fx"; refused inspect "$fx"
say "$count refusals, at most $most s of processor time"
