#!/usr/bin/env bash
# Quantizing and its proof, through the program: every type by both ways, derive, the options that name types, the plan.
. "$(dirname "$0")/lib.sh"
run_hm 0 convert "$checkpoint" -o "$work/bf16.gguf" --type bf16
run_hm 0 convert "$checkpoint" -o "$work/f32.gguf" --type f32

types="q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m q6_k f16"
on_device="q8_0 q4_k_m q5_k_m" n_text=3000
if [ "$sanitized" = 1 ]; then
    types="q8_0 q5_1 q3_k_m q4_k_m" on_device=q5_k_m n_text=800
    echo "SMALLER under sanitizers: both ways of 4 of 15 types, --device of one of three," \
        "calibration on $n_text bytes of text"
fi

say "every type: straight from the checkpoint and by way of BF16 gives the same tensors;" \
    "derive proves both from both sources"
for t in $types; do
    run_hm 0 convert "$checkpoint" -o "$work/straight.gguf" --type $t
    run_hm 0 quantize "$work/bf16.gguf" -o "$work/twice.gguf" --type $t
    for f in straight twice; do
        run_hm 0 derive "$work/$f.gguf" --from "$checkpoint"; out_has "derives from"
        run_hm 0 derive "$work/$f.gguf" --from "$work/bf16.gguf"
    done
    run_hm 0 derive "$work/straight.gguf" --from "$work/f32.gguf"
    # As in llama.cpp, its converter makes F16 of some tensors that its quantizer leaves alone.
    [ $t = f16 ] && continue
    run_hm 0 inspect "$work/straight.gguf" --json; json_get 'kv/hallmark.tensor.sha256' > "$work/straight.digests"
    run_hm 0 inspect "$work/twice.gguf" --json; json_get 'kv/hallmark.tensor.sha256' > "$work/twice.digests"
    cmp -s "$work/straight.digests" "$work/twice.digests" || fail "$t: the two ways differ"
done

say "derive names the first tensor, row and block that the source does not give, and exits 1; --json says so too"
run_hm 0 convert "$checkpoint" -o "$work/a.gguf" --type q4_k_m
run_hm 0 inspect "$work/a.gguf" --json
n=$(json_get 'tensors/#')
name=$(json_get "tensors/$((n / 2))/name") off=$(json_get "tensors/$((n / 2))/offset")
byte=$(od -An -tu1 -j "$off" -N 1 "$work/a.gguf")
printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$work/a.gguf" bs=1 seek="$off" conv=notrunc status=none
run_hm 1 derive "$work/a.gguf" --from "$checkpoint"; err_has "tensor '$name': row 0, block 0"
run_hm 1 derive "$work/a.gguf" --from "$checkpoint" --json
json_valid
[ "$(json_get verdict)" = fail ] || fail "verdict"
run_hm 3 derive "$work/f32.gguf" --from "$work/a.gguf"; err_has "what is quantized already is no source"
run_hm 3 quantize "$work/a.gguf" -o "$work/again.gguf" --type q4_k_m; err_has "would change nothing in it"
run_hm 3 quantize "$work/a.gguf" -o "$work/again.gguf" --type f32; err_has "what quantization lost cannot come back"
[ ! -e "$work/again.gguf" ] || fail "a quantized file was quantized"

say "a source that becomes shorter while it is read: exit 3, a message, and no file"
cp "$work/f32.gguf" "$work/shrinks.gguf"; : > "$work/err"
seq -s ' the fox and dog ' 3000 > "$work/long"
"$hallmark" quantize "$work/shrinks.gguf" -o "$work/shrunk.gguf" --type q4_k_m --calibrate "$work/long" --threads 1 \
    > "$work/out" 2> "$work/err" &
pid=$!
# Once this is said, the texts were run; now the bytes are looked at and worked on, for a tenth of a second at least:
# what waits for the line is woken by it. Bytes are read or mapped, and both have words for it.
grep -q -m 1 '^calibrate ' < <(tail -n +1 -f --pid=$pid "$work/err") || fail "no word of the calibration"
truncate -s 100000 "$work/shrinks.gguf"
wait $pid
[ $? -eq 3 ] || fail "a source that shrinks: not exit 3"
grep -qE 'an input file became shorter while it was read|: found the end, expected [0-9]+ more bytes' "$work/err" ||
    fail "what became shorter is not said"
[ ! -e "$work/shrunk.gguf" ] || fail "a file was made of what is gone"
run_hm 3 derive "$work/a.gguf" --from "$work/absent.gguf"

say "options that name types, and the plan that --dry-run prints without writing anything"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/o.gguf" --type q4_k_m --tensor-type 'blk\.0\.ffn_(up|gate)=q8_0' \
    --embedding-type q5_1 --threads 2
run_hm 0 inspect "$work/o.gguf"
grep -E 'blk\.0\.ffn_up\.weight' "$work/out" | grep -q Q8_0 || fail "--tensor-type"
grep -E '^ *token_embd\.weight' "$work/out" | grep -q Q5_1 || fail "--embedding-type"
run_hm 0 derive "$work/o.gguf" --from "$checkpoint"
before=$(ls "$work")
run_hm 0 quantize "$work/bf16.gguf" --type q4_k_m --pure --dry-run; out_has "bits a weight"; err_empty
grep -E '^blk\.0\.attn_q\.weight' "$work/out" | grep -q Q4_K || fail "--dry-run"
[ "$before" = "$(ls "$work")" ] || fail "--dry-run left a file"
run_hm 2 quantize "$work/bf16.gguf" --type q4_k_m --tensor-type '(=q8_0' --dry-run; err_has "'('"
run_hm 2 quantize "$work/bf16.gguf" --type q4_k_m --tensor-type 'x=q9' --dry-run; err_has "'q9'"
run_hm 2 quantize "$work/bf16.gguf" --type q4_k_m; err_has "-o OUT.gguf is missing"
run_hm 3 quantize "$work/o.gguf" -o "$work/p.gguf" --type q8_0; err_has "cannot come back"

say "--device: blocks that a GPU encodes are the CPU's; where none answers, cuda is an error of the system" \
    "and auto is the CPU"
for t in $on_device; do
    run_hm 0 quantize "$work/bf16.gguf" -o "$work/cpu.gguf" --type $t --device cpu
    run_hm 0 quantize "$work/bf16.gguf" -o "$work/dev.gguf" --type $t --device auto
    cmp -s "$work/cpu.gguf" "$work/dev.gguf" || fail "$t: quantize --device auto gives other bytes"
    run_hm 0 convert "$checkpoint" -o "$work/cpu.gguf" --type $t
    run_hm 0 convert "$checkpoint" -o "$work/dev.gguf" --type $t --device auto
    cmp -s "$work/cpu.gguf" "$work/dev.gguf" || fail "$t: convert --device auto gives other bytes"
done
rm "$work/dev.gguf"
if "$hallmark" quantize "$work/bf16.gguf" -o "$work/dev.gguf" --type q5_k_m --device cuda \
    > "$work/out" 2> "$work/err"; then
    run_hm 0 convert "$checkpoint" -o "$work/dev2.gguf" --type q5_k_m --device cuda
    cmp -s "$work/cpu.gguf" "$work/dev2.gguf" || fail "convert --device cuda gives other bytes"
else
    reason() { sed 's/^hallmark [a-z]*: //' "$1" | tail -n 1; }
    for what in "quantize $work/bf16.gguf" "convert $checkpoint"; do
        run_hm 4 $what -o "$work/dev.gguf" --type q4_k_m --device cuda
        err_has "device cuda: "
        cp "$work/err" "$work/why"
        run_hm 4 run "$work/bf16.gguf" -p a -n 1 --device cuda
        [ "$(reason "$work/err")" = "$(reason "$work/why")" ] || fail "run says something else"
        [ ! -e "$work/dev.gguf" ] || fail "a file of a device that is not there"
    done
fi

say "effort and calibration: other bytes of the same size, the metadata says so, both ways give the same," \
    "derive proves them"
head -c $n_text "$root/LICENSE" > "$work/text"; export TMPDIR=$work
run_hm 0 quantize "$work/bf16.gguf" -o "$work/reference.gguf" --type q4_k_m
for how in "--effort 1" "--calibrate $work/text"; do
    run_hm 0 convert "$checkpoint" -o "$work/straight.gguf" --type q4_k_m $how
    run_hm 0 quantize "$work/bf16.gguf" -o "$work/twice.gguf" --type q4_k_m $how --threads 3
    for f in reference straight twice; do
        run_hm 0 inspect "$work/$f.gguf" --json
        json_get 'kv/hallmark.tensor.sha256' > "$work/$f.digests"
        json_get 'tensors/#' > "$work/$f.tensors"
    done
    [ "$(json_get 'kv/hallmark.quantize.effort')" = 1 ] || fail "$how: hallmark.quantize.effort"
    cmp -s "$work/straight.digests" "$work/twice.digests" || fail "$how: the two ways differ"
    cmp -s "$work/reference.digests" "$work/twice.digests" && fail "$how: the reference's bytes"
    run_hm 0 derive "$work/straight.gguf" --from "$work/bf16.gguf" ${how#--effort 1}
    run_hm 0 derive "$work/twice.gguf" --from "$checkpoint" ${how#--effort 1}
done
run_hm 0 inspect "$work/twice.gguf" --json
[ "$(json_get 'kv/hallmark.quantize.calibration')" = "$(sha "$work/text")" ] || fail "hallmark.quantize.calibration"
run_hm 2 derive "$work/twice.gguf" --from "$work/bf16.gguf"; err_has "$(sha "$work/text")"
run_hm 1 derive "$work/twice.gguf" --from "$work/bf16.gguf" --calibrate "$root/README.md"
run_hm 3 quantize "$work/bf16.gguf" -o "$work/o2.gguf" --type q4_k_m --calibrate "$work/absent"
run_hm 2 quantize "$work/bf16.gguf" -o "$work/o2.gguf" --type q4_k_m --effort 7
say "what can be refused is refused before the calibration: no word of its progress is said"
refused() {
    local status=$1 what=$2
    shift 2
    run_hm "$status" "$@"
    err_has "$what"
    ! grep -q '^calibrate ' "$work/err" || fail "the calibration ran"
}
run_hm 0 quantize "$work/bf16.gguf" -o "$work/o2.gguf" --type q4_0 --calibrate "$work/text"
grep -q '^calibrate ' "$work/err" || fail "the progress has another name"
for c in "quantize $work/bf16.gguf" "convert $checkpoint"; do
    refused 3 absent $c -o "$work/no.gguf" --type q4_k_m --calibrate "$work/text" --imatrix "$work/absent"
    refused 3 absent $c --dry-run --type q4_k_m --calibrate "$work/absent"
    both="--effort 0 and --calibrate exclude each other"
    refused 2 "$both" $c -o "$work/no.gguf" --type q4_k_m --effort 0 --calibrate "$work/text"
    refused 2 "$both" $c --dry-run --type q4_k_m --calibrate "$work/text" --effort=0
    for t in bf16 f32; do
        refused 2 "no tensor would be encoded" $c -o "$work/no.gguf" --type $t --calibrate "$work/text"
        refused 2 "no tensor would be encoded" $c -o "$work/no.gguf" --type $t --effort 1
        refused 2 "no tensor would be encoded" $c --type $t --effort 1 --dry-run
    done
done
refused 3 "cannot come back" quantize "$work/o2.gguf" -o "$work/no.gguf" --type q8_0 --calibrate "$work/text"
refused 2 "no tensor would be encoded" quantize "$work/o2.gguf" -o "$work/no.gguf" --type q4_0 --effort 1
refused 2 "the output is the input" quantize "$work/bf16.gguf" -o "$work/bf16.gguf" --type q4_0 --calibrate "$work/text"
cp -r "$checkpoint" "$work/hf"; chmod -R u+w "$work/hf"; shard=$(ls "$work"/hf/*.safetensors | head -n 1)
refused 2 "a file of the checkpoint" convert "$work/hf" -o "$shard" --type q4_0 --calibrate "$work/text"
( ulimit -f 64
  refused 4 no.gguf quantize "$work/bf16.gguf" -o "$work/no.gguf" --type q8_0 --calibrate "$work/text" ) ||
    fail "no room"
rm -r "$work/hf" "$work/o2.gguf"; [ ! -e "$work/no.gguf" ] || fail "something was written"

say "a matrix that no block was encoded with is not named"
run_hm 0 imatrix "$work/bf16.gguf" --text "$work/text" --chunk 64 -o "$work/im.gguf"
for c in "quantize $work/bf16.gguf" "convert $checkpoint"; do
    run_hm 0 $c -o "$work/o2.gguf" --type f16 --imatrix "$work/im.gguf"
    run_hm 0 inspect "$work/o2.gguf"
    ! grep -q quantize.imatrix "$work/out" || fail "$c: quantize.imatrix.* of a file without blocks"
    run_hm 0 $c -o "$work/o2.gguf" --type q4_0 --imatrix "$work/im.gguf"
    run_hm 0 inspect "$work/o2.gguf"; grep -q quantize.imatrix "$work/out" || fail "$c: no quantize.imatrix.*"
done

for c in "quantize $work/bf16.gguf" "convert $checkpoint"; do
    run_hm 2 $c -o "$work/text" --type q4_k_m --calibrate "$work/text"; err_has "would replace"
    # Before what the place itself is refused for.
    run_hm 2 $c -o /dev/null --type q4_k_m --imatrix /dev/null; err_has "would replace"
done
[ "$(stat -c %s "$work/text")" = $n_text ] || fail "the text was replaced"
[ -z "$(ls "$work" | grep hallmark-)" ] || fail "a calibration left files behind"
say "convert takes the same options: straight from the checkpoint, the bytes of convert to BF16 and quantize"
for o in "--tensor-type blk\.[0-3]\..*=q8_0 --tensor-type ffn_down=q6_k" "--embedding-type q5_1 --output-type q8_0" \
         --pure "--type q3_k_m --pure --tensor-type attn_v=f16"; do
    case $o in --type*) t= ;; *) t="--type q4_k_m" ;; esac
    run_hm 0 convert "$checkpoint" -o "$work/straight.gguf" $t $o
    run_hm 0 quantize "$work/bf16.gguf" -o "$work/twice.gguf" $t $o
    for f in straight twice; do
        run_hm 0 inspect "$work/$f.gguf" --json
        json_get 'kv/hallmark.tensor.sha256' > "$work/$f.digests"
        json_get tensors > "$work/$f.tensors"
    done
    cmp -s "$work/straight.digests" "$work/twice.digests" && cmp -s "$work/straight.tensors" "$work/twice.tensors" ||
        fail "$o: the two ways differ"
    run_hm 0 convert "$checkpoint" $t $o --dry-run; cp "$work/out" "$work/plan"; out_has "bits a weight"
    run_hm 0 quantize "$work/bf16.gguf" $t $o --dry-run
    # "from" may differ: norms are F32 in the GGUF file.
    for f in plan out; do awk '{ print $1, $NF }' "$work/$f" | sort > "$work/$f.sorted"; done
    cmp -s "$work/plan.sorted" "$work/out.sorted" || fail "$o: the two plans differ"
done
before=$(ls "$work")
run_hm 0 convert "$checkpoint" --type q4_k_m --dry-run
grep -E '^blk\.0\.attn_q\.weight' "$work/out" | grep -q Q4_K || fail "convert --dry-run"
[ "$before" = "$(ls "$work")" ] || fail "convert --dry-run left a file"
run_hm 2 convert "$checkpoint" --tensor-type 'x=q9' --dry-run; err_has "'q9'"
run_hm 2 convert "$checkpoint" --type q4_k_m; err_has "-o OUT.gguf is missing"
echo "quantize: all as it should be"
