#!/usr/bin/env bash
# The main job on the committed checkpoint, through the program: convert, inspect, verify, run, bench, quantize,
# release, check.
. "$(dirname "$0")/lib.sh"
f32_fix=$(fixture_for float32) || exit 1
bf16_fix=$(fixture_for bfloat16) || exit 1
q4_fix=$(fixture_for float32 Q4_K_M) || exit 1

say "convert writes three types, each whole, with nothing left beside it"
for t in bf16 f32 q4_k_m; do
    run_hm 0 convert "$checkpoint" -o "$work/$t.gguf" --type $t
    out_has "$work/$t.gguf"
done
[ "$(ls "$work" | grep -c partial)" -eq 0 ] || fail "a partial file is left: $(ls "$work")"

say "inspect shows metadata, tensors and the memory plan; --json is one document with kv and tensors"
for t in bf16 f32 q4_k_m; do
    run_hm 0 inspect "$work/$t.gguf"; err_empty
    out_has "hallmark.kv.type"; out_has "token_embd.weight"; out_has "saved"
    run_hm 0 inspect "$work/$t.gguf" --json; err_empty; json_valid
    [ "$(json_get kv/general.architecture)" = gemma4 ] || fail "general.architecture"
    [ "$(json_get kv/hallmark.version)" = 2 ] || fail "hallmark.version"
    [ "$(json_get 'kv/hallmark.tensor.sha256/#')" = "$(json_get 'tensors/#')" ] || fail "not one digest a tensor"
    [ "$(json_get kv/gemma4.attention.scale)" = 1 ] || fail "the attention scale is not written as 1"
done
run_hm 0 inspect "$work/bf16.gguf" --json
[ "$(json_get kv/hallmark.kv.type)" = bf16 ] || fail "BF16 must require a bf16 cache"
run_hm 0 inspect "$work/q4_k_m.gguf" --json
[ "$(json_get kv/hallmark.kv.type)" = f32 ] || fail "Q4_K_M must require an f32 cache"

say "the offsets and sizes that inspect tells are where the bytes are:" \
    "each tensor's digest is what sha256sum says of them"
run_hm 0 inspect "$work/q4_k_m.gguf" --json
cp "$work/out" "$work/tensors.json"
for i in 0 7 $(($(json_get 'tensors/#') - 1)); do
    off=$(json_get "tensors/$i/offset" "$work/tensors.json") n=$(json_get "tensors/$i/bytes" "$work/tensors.json")
    got=$(tail -c +$((off + 1)) "$work/q4_k_m.gguf" | head -c "$n" | sha256sum | cut -d' ' -f1)
    [ "$got" = "$(json_get "kv/hallmark.tensor.sha256/$i" "$work/tensors.json")" ] ||
        fail "tensor $i: the digest does not match its bytes"
done

say "inspect reads the source, too: the folder, one shard, a fixture"
run_hm 0 inspect "$checkpoint"; err_empty; out_has "saved"
run_hm 0 inspect "$checkpoint" --json; err_empty; json_valid; json_get 'tensors/0/shape' > /dev/null
run_hm 0 inspect "$(find "$checkpoint" -name '*.safetensors' | sort | head -n 1)" --json; err_empty; json_valid
run_hm 0 inspect "$bf16_fix" --json; json_valid; [ "$(json_get kv.dtype)" = bfloat16 ] || fail "the fixture's dtype"

say "a config alone is enough for the memory plan:" \
    "sharing saves 57 % with E2B's own numbers (20 of 35 layers share, in both kinds)"
mkdir "$work/e2b"
kinds=$(for i in 1 2 3 4 5 6 7; do printf '"sliding_attention",%.0s' 1 2 3 4; printf '"full_attention",'; done)
cat > "$work/e2b/config.json" << JSON
{ "architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4", "text_config": {
    "model_type": "gemma4_text", "vocab_size": 262144, "hidden_size": 1536, "intermediate_size": 6144,
    "num_hidden_layers": 35, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256,
    "global_head_dim": 512, "num_kv_shared_layers": 20, "use_double_wide_mlp": true,
    "hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144, "sliding_window": 512,
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-06, "final_logit_softcapping": 30.0,
    "tie_word_embeddings": true, "hidden_activation": "gelu_pytorch_tanh", "attention_k_eq_v": false,
    "enable_moe_block": false, "layer_types": [${kinds%,}],
    "rope_parameters": {
        "full_attention": { "partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional" },
        "sliding_attention": { "rope_theta": 10000.0, "rope_type": "default" } } } }
JSON
run_hm 0 inspect "$work/e2b"; err_empty; out_has "15 of 35 layers"; out_has "57 % saved"
run_hm 0 inspect "$work/e2b" --json; json_valid
# 3 full layers keep 131072 positions, 12 sliding ones a window and a batch; K and V, BF16.
[ "$(json_get memory.2.positions)" = 131072 ] || fail "the plan for the whole context is missing"
awk "BEGIN { exit !($(json_get memory.2.saved) > 0.571 && $(json_get memory.2.saved) < 0.572) }" ||
    fail "saved: $(json_get memory.2.saved), expected 20/35"
[ "$(json_get memory.2.kv_bytes)" -ge $((3 * 131072 * 512 * 2 * 2)) ] ||
    fail "the plan is smaller than what three full layers need"

say "a plan names the types that Transformers' own reader refuses, and is silent where nothing is known of it"
qwen=$(cd "$(dirname "$0")/../.." && pwd)/fixtures/tiny-qwen35moe
run_hm 0 inspect "$qwen" --plan; err_empty; out_has "Q4_K_M (Q5_0), Q5_K_S (Q5_1)"
run_hm 0 inspect "$qwen" --plan --json; json_valid
[ "$(json_get types.0.transformers_refuses)" = "[]" ] || fail "F32 is read: $(json_get types.0.transformers_refuses)"
grep -q '"Q4_K_M".*"transformers_refuses": \["Q5_0"\]' "$work/out" || fail "Q4_K_M is refused for Q5_0"
run_hm 0 inspect "$work/e2b" --plan --json; json_valid
grep -q transformers_refuses "$work/out" && fail "nothing is known of that reader and gemma4"

say "verify passes each artifact against its fixture, and never changes it"
before=$(sha "$work/bf16.gguf")
run_hm 0 verify "$work/f32.gguf" --fixture "$f32_fix" --tokens 64; out_has "pass"
run_hm 0 verify "$work/bf16.gguf" --fixture "$bf16_fix" --report "$work/r.json" --report "$work/r.md"; out_has "pass"
run_hm 0 verify "$work/q4_k_m.gguf" --fixture "$q4_fix" --fixture "$f32_fix" --json; json_valid
[ "$(json_get verdict)" = pass ] || fail "verdict of Q4_K_M: $(json_get verdict)"
[ "$(json_get 'fixtures/#')" = 2 ] || fail "two fixtures were asked for"
[ "$(sha "$work/bf16.gguf")" = "$before" ] || fail "verify changed the artifact"
"$JSON_TOOL" "$work/r.json" > /dev/null || fail "report .json is not JSON"
for key in artifact type arith kv device verdict fixtures; do json_get $key "$work/r.json" > /dev/null; done
for key in name dtype cases free_run_equal steps teacher_forced_equal ties kl_mean kl_max logprob_diff_max verdict \
    failures; do
    json_get fixtures.0.$key "$work/r.json" > /dev/null
done
grep -q '|' "$work/r.md" || fail "report .md holds no table"

say "another KV dtype makes the verdict no, exit 1, and the report names it"
run_hm 1 verify "$work/f32.gguf" --fixture "$f32_fix" --kv q4_0; grep -q q4_0 "$work/out" || fail "q4_0 is not named"

say "a fixture that the file answers to, and that lies beside the one that was given, is named; else no word is said"
run_hm 3 verify "$work/bf16.gguf" --fixture "$f32_fix"
err_has "bf16.gguf answers to $bf16_fix (bfloat16, from the source), which was not given"
run_hm 3 verify "$work/f32.gguf" --fixture "$bf16_fix"
err_has "f32.gguf answers to $f32_fix (float32, from the source), which was not given"
run_hm 3 verify "$work/f32.gguf" --fixture "$q4_fix"; err_has "f32.gguf answers to $f32_fix"
run_hm 0 verify "$work/q4_k_m.gguf" --fixture "$f32_fix"
err_has "q4_k_m.gguf answers to $q4_fix (float32, from its own weights), which was not given"
mkdir "$work/lonely" && cp "$f32_fix" "$work/lonely/f.json.gz"
run_hm 1 verify "$work/f32.gguf" --fixture "$f32_fix" --samples 1
! grep -q "answers to" "$work/err" || fail "a fixture of the same kind is no hint"
cp "$work/bf16.gguf" "$work/lonely/bf16.gguf"
run_hm 3 verify "$work/lonely/bf16.gguf" --fixture "$work/lonely/f.json.gz"
! grep -q "answers to" "$work/err" || fail "there is none beside it"
mkdir "$work/lonely/fixtures" && echo broken > "$work/lonely/fixtures/a.json.gz"
cp "$bf16_fix" "$work/lonely/fixtures/b.json.gz"
run_hm 3 verify "$work/lonely/bf16.gguf" --fixture "$work/lonely/f.json.gz"
err_has "answers to $work/lonely/fixtures/b.json.gz"
cp "$work/lonely/bf16.gguf" "$work/lonely/copy.gguf"
run_hm 3 verify "$work/lonely/bf16.gguf" "$work/lonely/copy.gguf" --fixture "$work/lonely/f.json.gz"
for f in bf16 copy; do err_has "$f.gguf answers to $work/lonely/fixtures/b.json.gz"; done
# A file that does not say what it was made from gets no hint: any fixture in its arithmetic would do.
sed 's/hallmark\.source\.digest/hallmark.sourcX.digest/' "$work/bf16.gguf" > "$work/lonely/bf16.gguf"
run_hm 3 verify "$work/lonely/bf16.gguf" --fixture "$work/lonely/f.json.gz"
! grep -q "answers to" "$work/err" || fail "it does not say which source it is from"

say "a part of the cases is a first look: inconclusive, or a failure where something differs, and never a pass"
held=14
[ "$sanitized" = 1 ] && held=4
run_hm 1 verify "$work/f32.gguf" --fixture "$f32_fix" --samples 2
out_has "inconclusive, 2 of $held cases"
out_has "2 of $held cases were asked, and a part is never a pass"
run_hm 1 verify "$work/f32.gguf" --fixture "$f32_fix" --samples 2 --json; json_valid
part="$(json_get verdict) $(json_get fixtures.0.cases) $(json_get fixtures.0.cases_held)"
[ "$part $(json_get fixtures.0.why.0.what)" = "inconclusive 2 $held part" ] || fail "a part: $(cat "$work/out")"
run_hm 1 verify "$work/f32.gguf" --fixture "$f32_fix" --samples 1 --kv q4_0
out_has "FAIL, 1 of $held cases"
run_hm 2 verify "$work/f32.gguf" --fixture "$f32_fix" --samples 0; err_has "--samples"

say "a fixture of another checkpoint is not this artifact's, and no verdict: exit 3, both digests are named"
mkdir "$work/other" && cp "$checkpoint"/*.json "$checkpoint"/*.safetensors "$work/other/" &&
    cp "$checkpoint"/*.jinja "$work/other/" 2> /dev/null
echo >> "$work/other/generation_config.json"        # one more newline: the same model, another source
run_hm 0 convert "$work/other" -o "$work/other.gguf" --type f32
run_hm 3 verify "$work/other.gguf" --fixture "$f32_fix"; out_empty; err_has "belongs to another source"
[ "$(grep -oE '[0-9a-f]{64}' "$work/err" | sort -u | wc -l)" -eq 2 ] || fail "both digests: $(cat "$work/err")"
run_hm 3 release "$work/other" -o "$work/foreign" --types f32 --fixture "$f32_fix"; err_has "belongs to another source"
run_hm 3 verify "$work/f32.gguf" --fixture "$bf16_fix"; out_empty; err_has "--arith bf16"

say "a file that is cut short is not proved: exit 3, and both are said"
head -c 1000000 "$work/f32.gguf" > "$work/cut.gguf"
run_hm 3 check "$work/cut.gguf"; out_has "NOT proved"
grep -q "truncated: found a file of 1000000 bytes" "$work/err" || fail "the size is not named: $(cat "$work/err")"

say "run prints the fixture's own continuation; ids on one line, comma-separated; text and ids agree in number of runs"
run_hm 0 inspect "$f32_fix" --json
prompt='def main():'
run_hm 0 run "$work/f32.gguf" -p "$prompt" -n 12 --print-ids --ignore-eos; cp "$work/out" "$work/ids"
[ "$(wc -l < "$work/ids")" -eq 1 ] || fail "--print-ids prints one line"
grep -Eq '^[0-9]+(,[0-9]+){11}$' "$work/ids" || fail "--print-ids: 12 ids separated by commas: $(cat "$work/ids")"
err_has "memory:"; err_has "saved"
run_hm 0 run "$work/f32.gguf" -p "$prompt" -n 12 --print-ids --ignore-eos --threads 1
cmp -s "$work/out" "$work/ids" || fail "another run gives other ids"
run_hm 0 run "$work/f32.gguf" -p "$prompt" -n 12 --ignore-eos; [ -s "$work/out" ] || fail "run prints no text"
run_hm 0 run "$work/f32.gguf" -p "$prompt" -n 4 --kv q8_0; err_has "note:"; err_has "q8_0"
run_hm 2 run "$work/f32.gguf" --ids 1,2,99999999 -n 2; err_has "vocabulary"
run_hm 2 run "$work/f32.gguf" --ids 1,,2 -n 2; err_has "--ids"

say "bench: one JSON document with every key"
run_hm 0 bench "$work/bf16.gguf" --case p4g4 --repeat 1 --json; json_valid
for key in artifact device cases.0.prompt cases.0.gen cases.0.prefill_tok_s cases.0.decode_tok_s \
    cases.0.score cases.0.score_tok_s cases.0.decode_gb_s cases.0.limit_gb_s cases.0.memory_bytes \
    load_s load_gb_s; do
    json_get $key > /dev/null
done
run_hm 0 bench "$work/bf16.gguf" "$work/q4_k_m.gguf" --case p4g4,p1g2 --repeat 1; out_has "q4_k_m.gguf"
run_hm 0 bench "$work/bf16.gguf" --case s600,p4g1,s1 --repeat 1 --json; json_valid
for i in 0 2; do
    figures="$(json_get cases.$i.prompt) $(json_get cases.$i.gen) $(json_get cases.$i.prefill_tok_s)"
    figures+=" $(json_get cases.$i.decode_tok_s) $(json_get cases.$i.step_bytes)"
    [ "$figures" = "0 0 null null 0" ] || fail "a case of scoring has figures of a prompt: $(cat "$work/out")"
    awk -v t="$(json_get cases.$i.score_tok_s)" 'BEGIN { exit !(t > 0) }' ||
        fail "a text was scored at $(json_get cases.$i.score_tok_s) tokens a second"
done
scored="$(json_get cases.0.score) $(json_get cases.1.score) $(json_get cases.1.score_tok_s) $(json_get cases.2.score)"
[ "$scored" = "600 0 null 1" ] || fail "scored: $(cat "$work/out")"
run_hm 0 bench "$work/bf16.gguf" --case s20 --repeat 1; out_has "score tok/s"

say "quantize from the BF16 file gives the tensors that convert gives, and keeps every key that still holds"
run_hm 0 quantize "$work/bf16.gguf" -o "$work/q.gguf" --type q4_k_m
run_hm 0 inspect "$work/q.gguf" --json
for key in kv/hallmark.tensor.sha256 kv/hallmark.source.digest kv/hallmark.eos_token_ids kv/hallmark.kv.type \
    kv/general.file_type; do
    [ "$(json_get $key)" = "$(json_get $key "$work/tensors.json")" ] || fail "$key is not what convert writes"
done

say "lab --record writes what caches cost into the file: inspect shows it, verify cites it, quantize drops it"
head -c 400 "$root/LICENSE" > "$work/text"
lab=("$work/bf16.gguf" --kv q8_0 --kv q4_0 --text "chat=$work/text" --chunk 32)
run_hm 0 lab "${lab[@]}" --state "$work/cells" --record "$work/bf16.gguf" -o "$work/measured.gguf"
out_has "$work/measured.gguf"
run_hm 0 lab --merge "$work/cells" --record "$work/bf16.gguf" -o "$work/merged.gguf" --json; json_valid
cmp -s "$work/measured.gguf" "$work/merged.gguf" || fail "joined cells give another file"
run_hm 2 lab --merge "$work/cells" --record "$work/f32.gguf" -o "$work/refused.gguf"; err_has "is not what is measured"
run_hm 2 lab "${lab[@]}" --record "$work/bf16.gguf"; err_has "-o OUT.gguf"
run_hm 2 lab "${lab[@]}" -o "$work/refused.gguf"; err_has "--record"
[ ! -e "$work/refused.gguf" ] || fail "a refused record left a file"
run_hm 0 inspect "$work/measured.gguf"; err_empty; out_has "Measured caches: "
run_hm 0 inspect "$work/measured.gguf" --json; json_valid
measured="$(json_get kv.measured.caches.1.kv) $(json_get kv.measured.fits) $(json_get 'kv.measured.caches.#')"
[ "$measured" = "q4_0 true 2" ] || fail "inspect --json: measured"
four_cases "$bf16_fix" "$work/four.json.gz"
run_hm 1 verify "$work/measured.gguf" --fixture "$work/four.json.gz" --kv q8_0 --tokens 4 --report "$work/cited.md"
out_has "measured: KL"
grep -q "measured: KL" "$work/cited.md" || fail "verify's report does not cite what was measured"
run_hm 0 quantize "$work/measured.gguf" -o "$work/q2.gguf" --type q4_k_m
cmp -s "$work/q.gguf" "$work/q2.gguf" ||
    fail "what was measured of another file's caches is still said of the quantized one"

say "release publishes the folder; check proves it; one flipped bit and it does not"
run_hm 0 release "$checkpoint" -o "$work/pub"; out_has "Published"; out_has "pass"; cp "$work/out" "$work/table"
[ -s "$work/pub/report.json" ] && [ -s "$work/pub/report.md" ] ||
    fail "the published folder lacks its reports: $(ls "$work/pub")"
for t in BF16 F32 Q4_K_M; do ls "$work/pub" | grep -q -- "-$t.gguf\$" || fail "no $t artifact: $(ls "$work/pub")"; done
[ ! -e "$work/pub.failed" ] && [ ! -e "$work/pub.unverified" ] || fail "a published release left another folder"
run_hm 0 check "$work/pub"; out_has "holds"
[ "$(grep -cE "^[^ ]+-Q4_K_M\.gguf .* q4_k_m  " "$work/table")" = 1 ] &&
    [ "$(grep -cE "^[^ ]+-Q4_K_M\.gguf .* float32, drift  " "$work/table")" = 1 ] ||
    fail "the table does not tell the two fixtures of Q4_K_M apart: $(cat "$work/table")"
run_hm 0 inspect "$work/pub"; err_empty; out_has "3 artifacts"
for t in BF16 F32 Q4_K_M; do
    grep -E -- "-$t\.gguf +$t .* yes *$" "$work/out" > /dev/null ||
        fail "inspect of the folder does not list $t: $(cat "$work/out")"
done
run_hm 0 inspect "$work/pub" --json; json_valid
[ "$(json_get 'artifacts/#')" = 3 ] && [ "$(json_get artifacts/2/kv_type)" = f32 ] || fail "inspect DIR --json"
[ "$(json_get artifacts/0/released)" = true ] && [ "$(json_get 'tensors/#')" = 0 ] || fail "inspect DIR --json"
one=$(ls "$work"/pub/*-BF16.gguf)
run_hm 0 check "$one" --fixture "$bf16_fix" --json; json_valid; [ "$(json_get verdict)" = pass ] || fail "check --json"
cp "$one" "$work/flip.gguf"
size=$(stat -c %s "$work/flip.gguf")
byte=$(tail -c 100 "$work/flip.gguf" | head -c 1 | od -An -tu1 | tr -d ' ')
le 1 $((byte ^ 1)) | dd of="$work/flip.gguf" bs=1 seek=$((size - 100)) conv=notrunc status=none
run_hm 1 check "$work/flip.gguf"; err_has "tensor"
run_hm 1 check "$work/bf16.gguf"        # converted, never released: no record

say "a release held to other limits is proved as such: check says which, and so does the report"
! grep -q "held to gate" "$work/pub/report.md" || fail "the built-in gate is noted as another"
sed 's/"cases": 4/"cases": 1/' "$root/verify/gate.json" > "$work/lax.json"
run_hm 0 release "$checkpoint" -o "$work/lax" --types bf16 --gate "$work/lax.json"
grep -qF -- "- Note: held to gate lax.json (sha256 \`$(sha "$work/lax.json")\`), not the built-in one" \
    "$work/lax/report.md" || fail "report.md does not name the gate"
run_hm 0 check "$work/lax"; out_has "note: held to gate lax.json (sha256 $(sha "$work/lax.json")), not the built-in one"
run_hm 0 check "$work/lax" --json; json_valid
[ "$(json_get gate.name) $(json_get gate.sha256)" = "lax.json $(sha "$work/lax.json")" ] ||
    fail "check --json: the gate"
run_hm 0 check "$work/pub" --json; ! grep -q '"gate"' "$work/out" || fail "check --json names the built-in gate"

say "a release without a matching fixture publishes nothing, exits 1, and says what would make one"
mkdir "$work/bare" && cp "$checkpoint"/*.json "$checkpoint"/*.safetensors "$work/bare/" &&
    cp "$checkpoint"/*.jinja "$work/bare/" 2>/dev/null
run_hm 1 release "$work/bare" -o "$work/nope" --types bf16
[ ! -e "$work/nope" ] && [ -d "$work/nope.unverified" ] || fail "expected nope.unverified alone: $(ls "$work")"
grep -q hf_fixture.py "$work/out" "$work/err" || fail "the hf_fixture.py command is not printed"

say "the printed command names the script that belongs to the program, by its path:" \
    "never one in the current folder, or one that others can change"
real=$(cd "$work" && pwd -P) from=$(cd "$root" && pwd -P)/fixtures/hf_fixture.py
mkdir -p "$work/tree/build" "$work/tree/fixtures" "$work/bin" &&
    cp "$hallmark" "$work/tree/build/hallmark" && cp "$hallmark" "$work/bin/hallmark"
cp "$root/fixtures/hf_fixture.py" "$work/tree/fixtures/"
rm -r "$work/nope.unverified"
prints() {
    (cd "$work/tree" && "$1" release "$work/bare" -o "$work/nope" --types bf16 > "$work/out" 2> "$work/err")
    out_has "    python3 $2 $work/bare"
}
# From a build folder, with another such file here.
prints "$hallmark" "$from"
prints "$work/tree/build/hallmark" "$real/tree/fixtures/hf_fixture.py"
! grep -q "say there where" "$work/out" || fail "the script is known"
prints "$work/bin/hallmark" /path/to/hallmark/fixtures/hf_fixture.py
out_has "in the folder fixtures of hallmark's sources"
# What a build folder elsewhere has beside the program.
(cd "$root" && pwd -P) > "$work/bin/hallmark.sources"
prints "$work/bin/hallmark" "$from"
chmod 666 "$work/bin/hallmark.sources"; prints "$work/bin/hallmark" /path/to/hallmark/fixtures/hf_fixture.py
chmod 777 "$work/tree/fixtures"; prints "$work/tree/build/hallmark" /path/to/hallmark/fixtures/hf_fixture.py
chmod 755 "$work/tree/fixtures"
if [ "$(id -u)" -eq 0 ]; then
    chown 65534 "$work/tree/fixtures/hf_fixture.py"
    prints "$work/tree/build/hallmark" /path/to/hallmark/fixtures/hf_fixture.py
fi
if command -v cmake > /dev/null &&
    cmake --install "$(dirname "$hallmark")" --prefix "$work/installed" > "$work/out" 2> "$work/err"; then
    prints "$work/installed/bin/hallmark" "$real/installed/share/hallmark/hf_fixture.py"
    for file in hf_fixture.py prompts.jsonl prompts-any.jsonl; do
        cmp -s "$root/fixtures/$file" "$work/installed/share/hallmark/$file" ||
            fail "the $file that is installed is not the one in fixtures/"
    done
else
    say "SKIP: nothing can be installed from here: $(head -n 1 "$work/err")"
fi
