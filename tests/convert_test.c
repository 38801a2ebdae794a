// Proves convert/convert.h and convert/tensor_map.h: whole conversions of small checkpoints, and every way in which one
// can be wrong.
#include "convert/convert.h"
#include "convert/family.h"
#include "formats/claims.h"
#include "formats/source.h"
#include "formats/file_map.h"
#include "quant/quantize.h"
#include "converted.h"

// ---- what comes out -------------------------------------------------------------------------------------------------

// Every tensor of the checkpoint is there under its GGUF name with its values; `add` for norms.
static void check_tensors(const mini *m, const gguf *g, dtype matrix, float add)
{
    static const char *const names[][2] = {
        { "embed_tokens.weight", "token_embd.weight" },
        { "norm.weight", "output_norm.weight" },
        { "embed_tokens_per_layer.weight", "per_layer_token_embd.weight" },
        { "per_layer_model_projection.weight", "per_layer_model_proj.weight" },
        { "per_layer_projection_norm.weight", "per_layer_proj_norm.weight" },
        { "input_layernorm.weight", "attn_norm.weight" },
        { "self_attn.q_proj.weight", "attn_q.weight" },
        { "self_attn.k_proj.weight", "attn_k.weight" },
        { "self_attn.v_proj.weight", "attn_v.weight" },
        { "self_attn.o_proj.weight", "attn_output.weight" },
        { "self_attn.q_norm.weight", "attn_q_norm.weight" },
        { "self_attn.k_norm.weight", "attn_k_norm.weight" },
        { "post_attention_layernorm.weight", "post_attention_norm.weight" },
        { "pre_feedforward_layernorm.weight", "ffn_norm.weight" },
        { "mlp.gate_proj.weight", "ffn_gate.weight" },
        { "mlp.up_proj.weight", "ffn_up.weight" },
        { "mlp.down_proj.weight", "ffn_down.weight" },
        { "post_feedforward_layernorm.weight", "post_ffw_norm.weight" },
        { "per_layer_input_gate.weight", "inp_gate.weight" },
        { "per_layer_projection.weight", "proj.weight" },
        { "post_per_layer_input_norm.weight", "post_norm.weight" },
        { "layer_scalar", "layer_output_scale.weight" },
    };
    for (int i = 0; i < m->n; i++) {
        const mini_tensor *t = &m->t[i];
        char want[200] = "";
        int  layer = -1, at = 0;
        const char *inner = t->name + strlen("model.");
        if (sscanf(inner, "layers.%d.%n", &layer, &at) == 1) inner += at;
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            if (strcmp(names[k][0], inner) != 0) continue;
            if (layer >= 0) snprintf(want, sizeof want, "blk.%d.%s", layer, names[k][1]);
            else            snprintf(want, sizeof want, "%s", names[k][1]);
        }
        const gguf_tensor *x = tensor_of(g, want);
        ck_assert_int_eq(x->type, t->n_dims == 1 ? DT_F32 : matrix);
        ck_assert_int_eq(x->n_dims, t->n_dims);
        for (int d = 0; d < t->n_dims; d++) ck_assert_int_eq(x->shape[d], t->shape[d]);
        float plus = t->n_dims == 1 ? add : 0;
        for (int64_t k = 0; k < x->n_elems; k++) ck_assert_float_eq(value_at(x, k), mini_value(t, k) + plus);
    }
}

START_TEST(test_gemma4)
{
    mini *m = mini_gemma4();
    mini_write(m, true);
    static const struct { const char *name; dtype matrix; const char *kv; } types[] = {
        { "bf16", DT_BF16, "bf16" }, { "f32", DT_F32, "f32" }, { "f16", DT_F16, "f32" },
    };
    for (size_t i = 0; i < 3; i++) {
        gguf *g = converted(m, types[i].name, NULL);
        check_tensors(m, g, types[i].matrix, 0);
        ck_assert_int_eq(gguf_n_tensors(g), m->n + 1);
        const gguf_tensor *freqs = tensor_of(g, "rope_freqs.weight");
        ck_assert_int_eq(freqs->n_elems, 32);
        for (int64_t k = 0; k < 32; k++) ck_assert_float_eq(value_at(freqs, k), k < 8 ? 1.0f : 1e30f);
        ck_assert(text_is(g, "general.architecture", "gemma4"));
        ck_assert(text_is(g, KEY_HM_KV_TYPE, types[i].kv));
        ck_assert_float_eq(f32_of(g, "gemma4.attention.scale"), 1.0f);
        ck_assert_int_eq(int_of(g, "gemma4.attention.key_length"), 64);
        ck_assert_int_eq(int_of(g, "gemma4.attention.key_length_swa"), 32);
        ck_assert_int_eq(int_of(g, "gemma4.attention.shared_kv_layers"), 2);
        const gguf_kv *ff = gguf_find_kv(g, "gemma4.feed_forward_length"),
                      *swa = gguf_find_kv(g, "gemma4.attention.sliding_window_pattern");
        ck_assert_int_eq(ff->elem, GGUF_I32);
        ck_assert_int_eq(swa->elem, GGUF_BOOL);
        for (int64_t k = 0; k < MINI_LAYERS; k++) {
            int64_t a, b;
            ck_assert(gguf_arr_i64(ff, k, &a) && gguf_arr_i64(swa, k, &b));
            ck_assert_int_eq(a, k < 4 ? MINI_FF : 2 * MINI_FF);
            ck_assert_int_eq(b, k != 2 && k != 5);
        }
        err e = { 0 };
        ck_assert_msg(claims_check_tensors(g, 1, NULL, &e), "%s", e.msg);
        ck_assert_msg(convert_config_agrees(g, m->config, &e), "%s", e.msg);
        gguf_close(g);
    }
    mini_free(m);
}
END_TEST

START_TEST(test_gemma3)
{
    mini *m = mini_gemma3();
    mini_write(m, false);
    gguf *g = converted(m, "bf16", NULL);
    check_tensors(m, g, DT_BF16, 1);        // norms hold 1 + w
    ck_assert_int_eq(gguf_n_tensors(g), m->n);
    ck_assert_float_eq(f32_of(g, "gemma3.attention.scale"), 0.25f);     // query_pre_attn_scalar 16
    ck_assert_float_eq(f32_of(g, "gemma3.rope.freq_base"), 1e6f);
    ck_assert_float_eq(f32_of(g, "gemma3.rope.freq_base_swa"), 1e4f);
    // every sixth layer: what llama.cpp assumes
    ck_assert_ptr_null(gguf_find_kv(g, "gemma3.attention.sliding_window_pattern"));
    gguf_close(g);
    mini_set(m->config, "sliding_window_pattern", "3");
    mini_write(m, false);
    g = converted(m, "bf16", NULL);
    const gguf_kv *swa = gguf_find_kv(g, "gemma3.attention.sliding_window_pattern");
    for (int64_t k = 0; k < MINI_LAYERS; k++) {
        int64_t v;
        ck_assert(gguf_arr_i64(swa, k, &v));
        ck_assert_int_eq(v, (k + 1) % 3 != 0);
    }
    gguf_close(g);
    mini_free(m);
}
END_TEST

START_TEST(test_source_types)       // F16 and F32 checkpoints convert too, and mixed ones
{
    mini *m = mini_gemma4();
    static const char *const types[] = { "F32", "F16", "BF16" };
    for (int i = 0; i < m->n; i++) m->t[i].dtype = types[i % 3];
    mini_write(m, false);
    gguf *g = converted(m, "f32", NULL);
    check_tensors(m, g, DT_F32, 0);
    gguf_close(g);
    g = converted(m, "bf16", NULL);
    check_tensors(m, g, DT_BF16, 0);
    gguf_close(g);
    mini_free(m);
}
END_TEST

// The whole file, by any number of threads, from one file or two; and a new one over an old one.
START_TEST(test_same_bytes)
{
    mini *m = mini_gemma4();
    static uint8_t first[4 << 20], again[4 << 20];
    static const char *const types[] = { "bf16", "q8_0" };
    mini_write(m, false);
    for (size_t t = 0; t < 2; t++) {
        int64_t n = 0;
        for (int threads = 1; threads <= 3; threads++) {
            err e = { 0 };
            ck_assert_msg(convert_to(m, types[t], threads, NULL, &e), "%s", e.msg);
            int64_t k = read_file_bytes(in_dir(m->dir, "out.gguf"), threads == 1 ? first : again, sizeof first);
            ck_assert_int_gt(k, 0);
            ck_assert_int_lt(k, (int64_t)sizeof first);
            if (threads == 1) n = k;
            ck_assert_int_eq(k, n);
            if (threads > 1) ck_assert_mem_eq(first, again, (size_t)n);
        }
    }
    mini_free(m);
}
END_TEST

// Straight to a type, or to BF16 first: the same tensors.
START_TEST(test_one_pass_equals_two)
{
    static const char *const types[] = { "q4_k_m", "q8_0", "q5_0", "q6_k" };
    mini *m = mini_gemma4();
    err   e = { 0 };
    mini_write(m, false);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        quantize_opts o = { .type = file_type_find(types[i])->id };
        gguf_close(converted(m, "bf16", NULL));
        ck_assert_msg(quantize_file(in_dir(m->dir, "out.gguf"), in_dir(m->dir, "two.gguf"), &o, &e), "%s", e.msg);
        gguf *one = converted(m, types[i], NULL), *two = gguf_open(in_dir(m->dir, "two.gguf"), &e);
        ck_assert_msg(two != NULL, "%s", e.msg);
        ck_assert_int_eq(gguf_n_tensors(one), gguf_n_tensors(two));
        ck_assert_int_eq(gguf_n_kv(one), gguf_n_kv(two));
        for (int64_t k = 0; k < gguf_n_kv(one); k++) {
            const gguf_kv *a = gguf_kv_at(one, k), *b = gguf_find_kv(two, a->key);
            ck_assert_msg(b && a->type == b->type && a->n_bytes == b->n_bytes &&
                              memcmp(a->data, b->data, (size_t)a->n_bytes) == 0,
                          "%s: %s", types[i], a->key);
        }
        for (int64_t k = 0; k < gguf_n_tensors(one); k++) {
            const gguf_tensor *a = gguf_tensor_at(one, k), *b = gguf_tensor_at(two, k);
            ck_assert_str_eq(a->name, b->name);
            ck_assert_msg(a->type == b->type && memcmp(a->data, b->data, (size_t)a->n_bytes) == 0, "%s: %s", types[i],
                          a->name);
        }
        gguf_close(one);
        gguf_close(two);
    }
    mini_free(m);
}
END_TEST

START_TEST(test_source_digest)
{
    mini *m = mini_gemma4();
    source_id id;
    err       e = { 0 };
    mini_write(m, true);
    gguf *g = converted(m, "bf16", NULL);
    ck_assert_msg(source_digest(m->dir, 1, NULL, &id, &e), "%s", e.msg);
    ck_assert(text_is(g, KEY_HM_SOURCE_DIGEST, id.v2));
    ck_assert_ptr_null(gguf_find_kv(g, KEY_HM_SOURCE_V1));      // no file that only the newer list covers
    gguf_close(g);
    // One more file that decides the tokenizer: another digest; the older list's stands beside it, for fixtures of that
    // time.
    char old[SHA256_HEX + 1];
    memcpy(old, id.v1, sizeof old);
    write_file(in_dir(m->dir, "special_tokens_map.json"), "{}", 2);
    g = converted(m, "bf16", NULL);
    ck_assert_msg(source_digest(m->dir, 1, NULL, &id, &e), "%s", e.msg);
    ck_assert(text_is(g, KEY_HM_SOURCE_DIGEST, id.v2) && text_is(g, KEY_HM_SOURCE_V1, old));
    ck_assert_str_ne(id.v2, old);
    source_id said;
    claims_read_source(g, &said);
    ck_assert(strcmp(said.v1, id.v1) == 0 && strcmp(said.v2, id.v2) == 0);
    gguf_close(g);
    mini_free(m);
}
END_TEST

// ---- multimodal checkpoints -----------------------------------------------------------------------------------------

static void add_towers(mini *m, const char *prefix)
{
    static const char *const names[] = { "vision_tower.encoder.layers.0.mlp.weight", "audio_tower.conv.weight",
                                         "embed_vision.proj.weight", "embed_audio.proj.weight",
                                         "multi_modal_projector.weight" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[120];
        snprintf(name, sizeof name, "%s%s", prefix, names[i]);
        mini_add(m, name, 2, 3, 5)->dtype = i == 0 ? "F8_E4M3" : "BF16";     // what is left out may be of any type
    }
}

static void nest_config(mini *m, const char *arch)
{
    cJSON *outer = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(outer, "architectures");
    cJSON_AddItemToArray(list, cJSON_CreateString(arch));
    cJSON_AddItemToObject(outer, "text_config", m->config);
    cJSON_AddItemToObject(outer, "vision_config", cJSON_CreateObject());
    m->config = outer;
}

// Gemma4Unified has no per-layer embeddings, whatever a config says of them.
static void drop_per_layer_embeddings(mini *m)
{
    for (int i = m->n - 1; i >= 0; i--)
        if (strstr(m->t[i].name, "per_layer")) mini_drop(m, m->t[i].name);
}

START_TEST(test_multimodal)
{
    static const struct { const char *arch, *text_prefix, *tower_prefix; } rows[] = {
        { "Gemma4ForConditionalGeneration", "model.language_model.", "model." },
        { "Gemma4ForConditionalGeneration", "language_model.model.", "" },
        { "Gemma4UnifiedForConditionalGeneration", "model.language_model.", "model." },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mini *m = mini_gemma4();
        log_of l;
        if (strstr(rows[i].arch, "Unified")) drop_per_layer_embeddings(m);
        int n = m->n;
        mini_prefix(m, "model.", rows[i].text_prefix);
        add_towers(m, rows[i].tower_prefix);
        nest_config(m, rows[i].arch);
        mini_write(m, false);
        gguf *g = converted(m, "bf16", &l);
        ck_assert_int_eq(gguf_n_tensors(g), n + 1);
        ck_assert_msg(strstr(l.text, "left out: 1 tensors 'vision_tower.'") != NULL, "%s", l.text);
        ck_assert_msg(strstr(l.text, "'audio_tower.'") != NULL, "%s", l.text);
        ck_assert_msg(strstr(l.text, "'embed_vision.'") != NULL, "%s", l.text);
        gguf_close(g);
        mini_free(m);
    }
    mini *m = mini_gemma3();        // a text-only model that lies beside the towers it was trained with
    log_of l;
    int n = m->n;
    mini_add(m, "model.vision_tower.x", 1, 3, 1);
    mini_write(m, false);
    gguf *g = converted(m, "bf16", &l);
    ck_assert_int_eq(gguf_n_tensors(g), n);
    ck_assert_msg(strstr(l.text, "left out: 1 tensors 'vision_tower.'") != NULL, "%s", l.text);
    gguf_close(g);
    mini_free(m);
}
END_TEST

// ---- tensors that do not fit ----------------------------------------------------------------------------------------

START_TEST(test_bad_tensors)
{
    mini *m = mini_gemma4();
    mini_add(m, "model.layers.0.self_attn.bias", 1, 3, 1);
    check_fails(m, "bf16", "tensor 'model.layers.0.self_attn.bias': not a tensor of Gemma4ForCausalLM");
    mini_drop(m, "model.layers.0.self_attn.bias");

    mini_add(m, "model.layers.6.input_layernorm.weight", 1, MINI_EMBD, 1);
    check_fails(m, "bf16", "tensor 'model.layers.6.input_layernorm.weight': found layer 6, expected layers below 6");
    mini_drop(m, "model.layers.6.input_layernorm.weight");

    mini_add(m, "model.layers.03.layer_scalar", 1, 1, 1);       // not how layers are written
    check_fails(m, "bf16", "not a tensor of");
    mini_drop(m, "model.layers.03.layer_scalar");

    mini_add(m, "language_model.model.norm.weight", 1, MINI_EMBD, 1);
    check_fails(m, "bf16", "is the same tensor under another prefix");
    mini_drop(m, "language_model.model.norm.weight");

    // a sliding layer's, in a full-attention layer
    mini_find(m, "model.layers.2.self_attn.q_proj.weight")->shape[0] = 64;
    check_fails(m, "bf16",
                "tensor 'model.layers.2.self_attn.q_proj.weight': found shape [64, 64], expected [128, 64] by "
                "config.json");
    mini_find(m, "model.layers.2.self_attn.q_proj.weight")->shape[0] = 128;

    mini_find(m, "model.layers.4.mlp.down_proj.weight")->shape[1] = MINI_FF;    // not twice as wide
    check_fails(m, "bf16", "found shape [64, 96], expected [64, 192]");
    mini_find(m, "model.layers.4.mlp.down_proj.weight")->shape[1] = 2 * MINI_FF;

    mini_find(m, "model.norm.weight")->n_dims = 2;
    check_fails(m, "bf16", "tensor 'model.norm.weight': found shape [64, 1], expected [64]");
    mini_find(m, "model.norm.weight")->n_dims = 1;

    mini_find(m, "model.layers.1.mlp.up_proj.weight")->dtype = "I8";
    check_fails(m, "bf16", "tensor 'model.layers.1.mlp.up_proj.weight': found dtype I8, expected a float");
    mini_find(m, "model.layers.1.mlp.up_proj.weight")->dtype = "BF16";
    mini_free(m);
}
END_TEST

START_TEST(test_missing_tensors)        // each of them in turn
{
    mini *m = mini_gemma4();
    mini_write(m, false);
    for (int i = 0; i < m->n; i++) {
        mini_tensor kept = m->t[i];
        char says[300];
        err  e = { 0 };
        snprintf(says, sizeof says, "tensor '%s' is missing", kept.name + strlen("model."));
        mini_drop(m, kept.name);
        mini_write_tensors(m, in_dir(m->dir, "model.safetensors"), 0, m->n);
        ck_assert_msg(!convert_to(m, "bf16", 1, NULL, &e), "accepted without %s", kept.name);
        check_refused(&e, ERR_INPUT, "model.safetensors", says);
        memmove(&m->t[i + 1], &m->t[i], (size_t)(m->n - i) * sizeof kept);
        m->t[i] = kept;
        m->n++;
    }
    mini_free(m);
}
END_TEST

// K and V of layers that share them: gone in some checkpoints, there in others; llama.cpp keeps them, and so do we.
START_TEST(test_shared_kv_kept)
{
    mini *m = mini_gemma4();
    mini_add(m, "model.layers.5.self_attn.k_proj.weight", 2, 64, MINI_EMBD);
    mini_add(m, "model.layers.5.self_attn.k_norm.weight", 1, 64, 1);
    mini_write(m, false);
    gguf *g = converted(m, "bf16", NULL);
    check_tensors(m, g, DT_BF16, 0);
    gguf_close(g);
    mini_find(m, "model.layers.5.self_attn.k_norm.weight")->shape[0] = 32;
    check_fails(m, "q8_0", "found shape [32], expected [64]");
    mini_free(m);
}
END_TEST

START_TEST(test_k_is_v)
{
    mini *m = mini_gemma4();
    mini_set(m->config, "attention_k_eq_v", "true");
    check_fails(m, "bf16",
                "tensor 'model.layers.2.self_attn.v_proj.weight': by config.json there is none in this model");
    mini_drop(m, "model.layers.2.self_attn.v_proj.weight");
    // only then are full-attention layers given heads of their own
    mini_set(m->config, "num_global_key_value_heads", "2");
    mini_find(m, "model.layers.2.self_attn.k_proj.weight")->shape[0] = 128;
    mini_write(m, false);
    gguf *g = converted(m, "bf16", NULL);
    const gguf_kv *kv = gguf_find_kv(g, "gemma4.attention.head_count_kv");
    for (int64_t i = 0; i < MINI_LAYERS; i++) {
        int64_t v;
        ck_assert(gguf_arr_i64(kv, i, &v));
        ck_assert_int_eq(v, i == 2 || i == 5 ? 2 : 1);
    }
    gguf_close(g);
    mini_free(m);
}
END_TEST

START_TEST(test_output_matrix)
{
    mini *m = mini_gemma4();
    log_of l;
    mini_tensor *head = mini_add(m, "lm_head.weight", 2, MINI_VOCAB, MINI_EMBD);
    head->seed = mini_find(m, "model.embed_tokens.weight")->seed;
    mini_write(m, false);
    gguf *g = converted(m, "bf16", &l);     // tied and the same: left out
    ck_assert_ptr_null(gguf_find_tensor(g, "output.weight"));
    ck_assert_msg(strstr(l.text, "left out: tensor 'lm_head.weight'") != NULL, "%s", l.text);
    gguf_close(g);
    head->dtype = "F32";                    // the same numbers
    mini_write(m, false);
    g = converted(m, "bf16", NULL);
    ck_assert_ptr_null(gguf_find_tensor(g, "output.weight"));
    gguf_close(g);
    head->dtype = "BF16";
    head->seed++;                           // others: whatever the config says, as in Transformers
    mini_write(m, false);
    g = converted(m, "bf16", &l);
    ck_assert_int_eq(tensor_of(g, "output.weight")->n_elems, MINI_VOCAB * MINI_EMBD);
    ck_assert_msg(strstr(l.text, "untied: tensor 'lm_head.weight' has values of its own") != NULL, "%s", l.text);
    gguf_close(g);
    mini_set(m->config, "tie_word_embeddings", "false");
    mini_write(m, false);
    g = converted(m, "bf16", NULL);
    ck_assert_int_eq(tensor_of(g, "output.weight")->n_elems, MINI_VOCAB * MINI_EMBD);
    gguf_close(g);
    mini_drop(m, "lm_head.weight");
    check_fails(m, "bf16", "tensor 'lm_head.weight' is missing");
    mini_free(m);
    m = mini_gemma3();                      // only the head: it is the embedding, unless the config denies it
    snprintf(mini_find(m, "model.embed_tokens.weight")->name, 160, "lm_head.weight");
    mini_write(m, false);
    g = converted(m, "bf16", &l);
    ck_assert_int_eq(tensor_of(g, "token_embd.weight")->n_elems, MINI_VOCAB * MINI_EMBD);
    ck_assert_ptr_null(gguf_find_tensor(g, "output.weight"));
    ck_assert_msg(strstr(l.text, "tied: the checkpoint has 'lm_head.weight' and no embedding") != NULL, "%s", l.text);
    gguf_close(g);
    mini_set(m->config, "tie_word_embeddings", "false");
    check_fails(m, "bf16", "tensor 'embed_tokens.weight' is missing");
    mini_free(m);
}
END_TEST

START_TEST(test_left_out_buffers)
{
    mini *m = mini_gemma4();
    log_of l;
    mini_add(m, "model.layers.0.self_attn.rotary_emb.inv_freq", 1, 16, 1)->dtype = "F32";
    mini_write(m, false);
    gguf *g = converted(m, "bf16", &l);
    ck_assert_msg(strstr(l.text, "'.rotary_emb.inv_freq'") != NULL, "%s", l.text);
    gguf_close(g);
    mini_free(m);
}
END_TEST

START_TEST(test_values_that_do_not_fit)
{
    mini *m = mini_gemma4();
    mini_find(m, "model.layers.3.mlp.up_proj.weight")->fill = 70000.0f;
    check_fails(m, "f16",
                "tensor 'model.layers.3.mlp.up_proj.weight': row 0: column 0: found 70144, expected a number within "
                "the range of F16");
    mini_find(m, "model.layers.3.mlp.up_proj.weight")->fill = 1.0f / 0.0f;
    check_fails(m, "q8_0", "tensor 'model.layers.3.mlp.up_proj.weight': row 0: ");
    mini_free(m);
}
END_TEST

START_TEST(test_bad_folders)
{
    mini *m = mini_gemma4();
    err   e = { 0 };
    convert_opts o = { .type = FT_BF16 };
    ck_assert(!convert_checkpoint(in_dir(m->dir, "nowhere"), in_dir(m->dir, "out.gguf"), &o, &e));
    check_refused(&e, ERR_INPUT, "nowhere", "found no folder of this name");
    static const char *const files[] = { "config.json", "tokenizer.json", "model.safetensors" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        mini_write(m, false);
        ck_assert_int_eq(unlink(in_dir(m->dir, files[i])), 0);
        e = (err){ 0 };
        ck_assert(!convert_to(m, "bf16", 1, NULL, &e));
        check_refused(&e, ERR_INPUT, files[i], "");
    }
    mini_free(m);
}
END_TEST

// The folder that the project brings along, converted to every type there is.
START_TEST(test_fixture_folder)
{
    const char *dir = SOURCE_DIR "/fixtures/tiny-gemma4";
    char  *scratch = new_dir();
    err    e = { 0 };
    int    n;
    const file_type_info *t = file_type_table(&n);
    if (!dir_exists(dir)) {
        printf("SKIP test_fixture_folder: %s is not there\n", dir);
        drop_dir(scratch);
        return;
    }
    cJSON *config = json_parse_file(SOURCE_DIR "/fixtures/tiny-gemma4/config.json", &e);
    ck_assert_msg(config != NULL, "%s", e.msg);
    for (int i = 0; i < n; i++) {
        convert_opts o = { .type = t[i].id };
        ck_assert_msg(convert_checkpoint(dir, in_dir(scratch, "out.gguf"), &o, &e), "%s: %s", t[i].name, e.msg);
        gguf *g = gguf_open(in_dir(scratch, "out.gguf"), &e);
        ck_assert_msg(g && claims_check_tensors(g, 0, NULL, &e) && convert_config_agrees(g, config, &e), "%s: %s",
                      t[i].name, e.msg);
        ck_assert_int_eq(int_of(g, "general.file_type"), t[i].id);
        gguf_close(g);
    }
    cJSON_Delete(config);
    drop_dir(scratch);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("convert");
    TCase *c = tcase_create("convert");
    tcase_add_test(c, test_gemma4);
    tcase_add_test(c, test_gemma3);
    tcase_add_test(c, test_source_types);
    tcase_add_test(c, test_same_bytes);
    tcase_add_test(c, test_one_pass_equals_two);
    tcase_add_test(c, test_source_digest);
    tcase_add_test(c, test_multimodal);
    tcase_add_test(c, test_bad_tensors);
    tcase_add_test(c, test_missing_tensors);
    tcase_add_test(c, test_shared_kv_kept);
    tcase_add_test(c, test_k_is_v);
    tcase_add_test(c, test_output_matrix);
    tcase_add_test(c, test_left_out_buffers);
    tcase_add_test(c, test_values_that_do_not_fit);
    tcase_add_test(c, test_bad_folders);
    tcase_add_test(c, test_fixture_folder);
    suite_add_tcase(s, c);
    return run_suite(s);
}
