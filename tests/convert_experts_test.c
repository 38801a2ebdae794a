// Proves convert/convert.h for families with experts and delta nets: what becomes of each tensor and each key, what is
// refused, and that quantized files are derived again byte for byte.
#include "quant/quantize.h"
#include "converted.h"
#include "mini_families.h"

#include <math.h>

static const mini_tensor *source_of(mini *m, const char *name) { return mini_find(m, name); }

// Row r of the file's tensor is row `from` of the checkpoint's, plus `plus`.
static void check_row(const gguf_tensor *x, int64_t r, const mini_tensor *t, int64_t from, float plus)
{
    const int64_t cols = x->n_dims > 1 ? x->shape[x->n_dims - 1] : 1;
    for (int64_t c = 0; c < cols; c++)
        ck_assert_msg(value_at(x, r * cols + c) == mini_value(t, from * cols + c) + plus, "%s: row %d, column %d",
                      x->name, (int)r, (int)c);
}

static bool convert_with(const mini *m, const char *type, bool no_mtp, log_of *l, err *e)
{
    *l = (log_of){ .p = { .log = keep_line } };
    convert_opts o = { .type = file_type_find(type)->id, .n_threads = 2, .progress = &l->p, .no_mtp = no_mtp };
    unlink(in_dir(m->dir, "out.gguf"));
    return convert_checkpoint(m->dir, in_dir(m->dir, "out.gguf"), &o, e);
}

static gguf *converted_with(const mini *m, const char *type, bool no_mtp, log_of *l)
{
    err e = { 0 };
    ck_assert_msg(convert_with(m, type, no_mtp, l, &e), "%s", e.msg);
    gguf *g = gguf_open(in_dir(m->dir, "out.gguf"), &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    return g;
}

START_TEST(test_gemma4_experts)
{
    mini  *m = mini_gemma4_moe();
    log_of l;
    mini_write(m, false);
    gguf *g = converted_with(m, "bf16", false, &l);
    ck_assert_int_eq(int_of(g, "gemma4.expert_count"), 3);
    ck_assert_int_eq(int_of(g, "gemma4.expert_used_count"), 2);
    ck_assert_int_eq(int_of(g, "gemma4.expert_feed_forward_length"), 16);
    ck_assert_int_eq(int_of(g, "gemma4.feed_forward_length"), 96);
    const gguf_tensor *experts = tensor_of(g, "blk.1.ffn_gate_up_exps.weight");
    ck_assert_int_eq(experts->type, DT_BF16);
    ck_assert_int_eq(experts->n_dims, 3);
    for (int64_t r = 0; r < 3 * 32; r++)
        check_row(experts, r, source_of(m, "model.layers.1.experts.gate_up_proj"), r, 0);
    ck_assert_int_eq(tensor_of(g, "blk.0.ffn_gate_inp.weight")->type, DT_F32);
    check_row(tensor_of(g, "blk.0.ffn_down_exps.scale"), 2, source_of(m, "model.layers.0.router.per_expert_scale"), 2,
              0);
    check_row(tensor_of(g, "blk.0.post_ffw_norm_2.weight"), 5,
              source_of(m, "model.layers.0.post_feedforward_layernorm_2.weight"), 5, 0);
    ck_assert_ptr_nonnull(gguf_find_tensor(g, "blk.0.attn_v.weight"));
    ck_assert_ptr_null(gguf_find_tensor(g, "blk.1.attn_v.weight"));
    ck_assert(text_is(g, "general.size_label", "3x124K"));
    gguf_close(g);
    mini_free(m);
}
END_TEST

// A matrix for each expert and all of them in one tensor give the same file, but for what it says of its source.
START_TEST(test_qwen3_experts)
{
    mini *one = mini_qwen3moe(false), *all = mini_qwen3moe(true);
    for (int i = 0; i < one->n; i++) one->t[i].fill = 0.5f;
    for (int i = 0; i < all->n; i++) all->t[i].fill = 0.5f;
    for (int k = 0; k < 3; k++) {       // the experts differ: expert k holds k + 1, and k + 4 in its up
        char name[80];
        static const char *const part[] = { "gate_proj", "up_proj", "down_proj" };
        for (int p = 0; p < 3; p++) {
            snprintf(name, sizeof name, "model.layers.1.mlp.experts.%d.%s.weight", k, part[p]);
            mini_find(one, name)->fill = (float)(k + 1 + 3 * (p == 1));
        }
    }
    mini_write(one, true);
    mini_write(all, false);
    log_of l;
    gguf *a = converted_with(one, "bf16", false, &l), *b = converted_with(all, "bf16", false, &l);
    ck_assert_int_eq(gguf_n_tensors(a), gguf_n_tensors(b));
    for (int64_t i = 0; i < gguf_n_tensors(a); i++) {
        const gguf_tensor *x = gguf_tensor_at(a, i), *y = tensor_of(b, x->name);
        ck_assert(x->type == y->type && x->n_dims == y->n_dims && x->n_bytes == y->n_bytes);
        if (!strstr(x->name, "blk.1.ffn_")) ck_assert_mem_eq(x->data, y->data, (size_t)x->n_bytes);
    }
    const gguf_tensor *gate = tensor_of(a, "blk.1.ffn_gate_exps.weight"), *up = tensor_of(a, "blk.1.ffn_up_exps."
                                                                                             "weight");
    ck_assert_int_eq(gate->shape[0], 3);
    ck_assert_int_eq(gate->shape[1], 16);
    for (int64_t i = 0; i < gate->n_elems; i++) {
        ck_assert_float_eq(value_at(gate, i), (float)(i / (16 * 64) + 1));
        ck_assert_float_eq(value_at(up, i), (float)(i / (16 * 64) + 4));
    }
    ck_assert_int_eq(int_of(a, "qwen3moe.expert_count"), 3);
    ck_assert_int_eq(int_of(a, "qwen3moe.expert_used_count"), 2);
    ck_assert_int_eq(int_of(a, "qwen3moe.expert_feed_forward_length"), 16);
    ck_assert_int_eq(tensor_of(a, "blk.0.ffn_gate_inp.weight")->type, DT_F32);
    gguf_close(a);
    gguf_close(b);
    mini_free(one);
    mini_free(all);
}
END_TEST

static void check_delta_keys(const gguf *g)
{
    static const struct { const char *key; int64_t value; } rows[] = {
        { "ssm.conv_kernel", 4 }, { "ssm.state_size", 16 }, { "ssm.group_count", 2 }, { "ssm.time_step_rank", 6 },
        { "ssm.inner_size", 96 }, { "full_attention_interval", 4 }, { "rope.dimension_count", 4 },
        { "attention.key_length", 16 }, { "attention.head_count_kv", 2 },
    };
    char key[80];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(key, sizeof key, "qwen35.%s", rows[i].key);
        ck_assert_int_eq(int_of(g, key), rows[i].value);
    }
    static const int64_t sections[] = { 1, 1, 0, 0 }, recurrent[] = { 1, 0, 1, 0 };
    for (int64_t v, i = 0; i < 4; i++) {
        ck_assert(gguf_arr_i64(gguf_find_kv(g, "qwen35.rope.dimension_sections"), i, &v) && v == sections[i]);
        ck_assert(gguf_arr_i64(gguf_find_kv(g, "qwen35.attention.recurrent_layers"), i, &v) && v == recurrent[i]);
    }
    ck_assert_int_eq(gguf_find_kv(g, "qwen35.attention.recurrent_layers")->n, 4);
    ck_assert_float_eq(f32_of(g, "qwen35.rope.freq_base"), 1e7f);
    ck_assert(text_is(g, "tokenizer.ggml.pre", "qwen2"));    // as the class says that is named, of a text model alone
}

// Value head v of key head k (of 2, with 3 each) is head v * 2 + k of the file.
START_TEST(test_qwen35)
{
    mini  *m = mini_qwen35(false, false);
    log_of l;
    mini_write(m, true);
    gguf *g = converted_with(m, "f32", false, &l);
    ck_assert_int_eq(int_of(g, "qwen35.block_count"), 4);
    ck_assert_int_eq(int_of(g, "qwen35.nextn_predict_layers"), 1);
    check_delta_keys(g);
    const gguf_tensor *qkv = tensor_of(g, "blk.0.attn_qkv.weight"), *conv = tensor_of(g, "blk.2.ssm_conv1d.weight");
    const gguf_tensor *a = tensor_of(g, "blk.0.ssm_a"), *out = tensor_of(g, "blk.0.ssm_out.weight");
    ck_assert_int_eq(conv->n_dims, 2);
    ck_assert_int_eq(conv->shape[1], 4);
    for (int64_t r = 0; r < 64; r++)
        check_row(qkv, r, source_of(m, "model.layers.0.linear_attn.in_proj_qkv.weight"), r, 0);
    for (int64_t k = 0; k < 2; k++)
        for (int64_t v = 0; v < 3; v++) {
            const int64_t to = v * 2 + k, from = k * 3 + v;
            const mini_tensor *log_a = source_of(m, "model.layers.0.linear_attn.A_log");
            ck_assert_double_le(fabs((double)value_at(a, to) / -exp((double)mini_value(log_a, from)) - 1), 0x1p-24);
            check_row(tensor_of(g, "blk.0.ssm_dt.bias"), to, source_of(m, "model.layers.0.linear_attn.dt_bias"), from,
                      0);
            check_row(tensor_of(g, "blk.2.ssm_beta.weight"), to,
                      source_of(m, "model.layers.2.linear_attn.in_proj_b.weight"), from, 0);
            for (int64_t i = 0; i < 16; i++) {
                check_row(qkv, 64 + to * 16 + i, source_of(m, "model.layers.0.linear_attn.in_proj_qkv.weight"),
                          64 + from * 16 + i, 0);
                check_row(conv, 64 + to * 16 + i, source_of(m, "model.layers.2.linear_attn.conv1d.weight"),
                          64 + from * 16 + i, 0);
                const mini_tensor *o = source_of(m, "model.layers.0.linear_attn.out_proj.weight");
                ck_assert_float_eq(value_at(out, 7 * 96 + to * 16 + i), mini_value(o, 7 * 96 + from * 16 + i));
            }
        }
    check_row(tensor_of(g, "blk.1.attn_k_norm.weight"), 3, source_of(m, "model.layers.1.self_attn.k_norm.weight"), 3,
              1);
    check_row(tensor_of(g, "blk.0.ssm_norm.weight"), 3, source_of(m, "model.layers.0.linear_attn.norm.weight"), 3, 0);
    check_row(tensor_of(g, "output_norm.weight"), 3, source_of(m, "model.norm.weight"), 3, 1);
    check_row(tensor_of(g, "blk.3.nextn.enorm.weight"), 3, source_of(m, "mtp.pre_fc_norm_embedding.weight"), 3, 1);
    check_row(tensor_of(g, "blk.3.nextn.eh_proj.weight"), 3, source_of(m, "mtp.fc.weight"), 3, 0);
    check_row(tensor_of(g, "blk.3.attn_q.weight"), 3, source_of(m, "mtp.layers.0.self_attn.q_proj.weight"), 3, 0);
    gguf_close(g);
    mini_free(m);
}
END_TEST

// F32 in every file, whatever is asked for.
START_TEST(test_types_that_stay)
{
    static const char *const f32[] = { "blk.0.ssm_conv1d.weight", "blk.0.ssm_a", "blk.0.ssm_dt.bias",
                                       "blk.0.ssm_norm.weight",
                                       "blk.1.ffn_gate_inp.weight", "blk.1.ffn_gate_inp_shexp.weight",
                                       "blk.3.nextn.hnorm.weight", "blk.1.attn_q_norm.weight" };
    static const char *const types[] = { "bf16", "f16", "q8_0", "q4_0" };
    mini  *m = mini_qwen35(true, true);
    log_of l;
    mini_write(m, false);
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        gguf *g = converted_with(m, types[k], false, &l);
        for (size_t i = 0; i < sizeof f32 / sizeof *f32; i++)
            ck_assert_msg(tensor_of(g, f32[i])->type == DT_F32, "%s: %s", types[k], f32[i]);
        ck_assert(tensor_of(g, "blk.0.ssm_alpha.weight")->type != DT_F32);
        ck_assert(tensor_of(g, "blk.0.ffn_up_exps.weight")->type != DT_F32);
        ck_assert_int_eq(int_of(g, "qwen35moe.expert_shared_feed_forward_length"), 40);
        ck_assert_ptr_null(gguf_find_kv(g, "qwen35moe.feed_forward_length"));
        gguf_close(g);
    }
    mini_free(m);
}
END_TEST

// The block that guesses: left out when asked; promised and not there; there and not promised.
START_TEST(test_mtp)
{
    log_of l;
    err    e = { 0 };
    mini  *m = mini_qwen35(false, false);
    mini_write(m, false);
    gguf *g = converted_with(m, "bf16", true, &l);
    ck_assert_int_eq(int_of(g, "qwen35.block_count"), 3);
    ck_assert_ptr_null(gguf_find_kv(g, "qwen35.nextn_predict_layers"));
    ck_assert_int_eq(gguf_find_kv(g, "qwen35.attention.recurrent_layers")->n, 3);
    ck_assert_msg(strstr(l.text, "left out: 15 tensors 'mtp.'"), "%s", l.text);
    const derive_opts d = { .n_threads = 1 };
    ck_assert_msg(convert_derives(g, m->dir, &d, &e), "%s", e.msg);
    ck_assert_msg(convert_config_agrees(g, m->config, &e), "%s", e.msg);
    gguf_close(g);

    mini_set(m->config, "mtp_num_hidden_layers", NULL);
    mini_write(m, false);
    g = converted_with(m, "bf16", false, &l);
    ck_assert_int_eq(int_of(g, "qwen35.nextn_predict_layers"), 1);
    ck_assert_msg(convert_derives(g, m->dir, &d, &e), "%s", e.msg);
    ck_assert_msg(convert_config_agrees(g, m->config, &e), "%s", e.msg);
    gguf_close(g);

    mini_set(m->config, "mtp_num_hidden_layers", "1");
    for (int i = m->n - 1; i >= 0; i--)
        if (strncmp(m->t[i].name, "mtp.", 4) == 0) mini_drop(m, m->t[i].name);
    mini_write(m, false);
    g = converted_with(m, "bf16", false, &l);
    ck_assert_int_eq(int_of(g, "qwen35.block_count"), 3);
    ck_assert_msg(strstr(l.text, "promises a block that guesses the token after the next"), "%s", l.text);
    gguf_close(g);
    gguf_close(converted_with(m, "bf16", true, &l));
    ck_assert_msg(strstr(l.text, "--no-mtp does nothing"), "%s", l.text);
    mini_free(m);
}
END_TEST

// Blocks of Q4_0 and Q8_0, from rows that moved, columns that moved, parts and halves: derived again byte for byte.
START_TEST(test_derives_experts)
{
    static const char *const types[] = { "q8_0", "q4_0", "bf16", "f16", "f32" };
    mini  *all[] = { mini_qwen35(true, false), mini_qwen35(true, true), mini_gemma4_moe(), mini_qwen3moe(false) };
    log_of l;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mini_write(all[i], i == 0);
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            err e = { 0 };
            convert_opts o = { .type = file_type_find(types[k])->id, .n_threads = 1 };
            derive_found found;
            gguf *g = converted_with(all[i], types[k], false, &l);
            ck_assert_msg(convert_proves(g, all[i]->dir, &o, &found, &e), "%s: %s", types[k], e.msg);
            gguf_close(g);
        }
        mini_free(all[i]);
    }
}
END_TEST

// A matrix in llama.cpp's older form, with a value of its own in every column, for every tensor that may have blocks.
static char *write_matrix(const mini *m, const gguf *g)
{
    buffer  b = { 0 };
    int32_t n = 0;
    char   *path = in_dir(m->dir, "im.dat");
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) n += gguf_tensor_at(g, i)->n_dims > 1;
    put(&b, &n, 4);
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (t->n_dims < 2) continue;
        const int32_t name_bytes = (int32_t)strlen(t->name), calls = 1;
        const int32_t values = (int32_t)(t->shape[t->n_dims - 1] * (t->n_dims > 2 ? t->shape[0] : 1));
        put(&b, &name_bytes, 4);
        put(&b, t->name, name_bytes);
        put(&b, &calls, 4);
        put(&b, &values, 4);
        for (int32_t k = 0; k < values; k++) {
            const float v = 0.25f + (float)((k * 37 + i) % 29);
            put(&b, &v, 4);
        }
    }
    write_file(path, b.p, b.n);
    bytes_free(&b);
    return strdup(path);
}

// Columns of a matrix of importance are the file's: those of ssm_out, whose columns moved, too. Both ways lead to the
// same blocks: from the checkpoint at once, and from an F32 file, where everything has moved already.
START_TEST(test_importance_follows)
{
    static const char *const types[] = { "q4_0", "q5_1" };
    mini  *all[] = { mini_qwen35(false, false), mini_qwen35(true, true), mini_qwen3moe(false) };
    log_of l;
    err    e = { 0 };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mini_write(all[i], false);
        gguf *f32 = converted_with(all[i], "f32", false, &l);
        char *im = write_matrix(all[i], f32), *from = strdup(in_dir(all[i]->dir, "f32.gguf"));
        gguf_close(f32);
        ck_assert_int_eq(rename(in_dir(all[i]->dir, "out.gguf"), from), 0);
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            const file_type type = file_type_find(types[k])->id;
            const quantize_opts q = { .type = type, .imatrix = im };
            const convert_opts  c = { .type = type, .imatrix = im, .n_threads = 2 };
            const derive_opts   d = { .imatrix = im, .n_threads = 1 };
            char *one_path = strdup(in_dir(all[i]->dir, "one.gguf")), *two_path = strdup(in_dir(all[i]->dir, "two."
                                                                                                             "gguf"));
            ck_assert_msg(quantize_file(from, two_path, &q, &e), "%s", e.msg);
            ck_assert_msg(convert_checkpoint(all[i]->dir, one_path, &c, &e), "%s", e.msg);
            gguf *one = gguf_open(one_path, &e), *two = gguf_open(two_path, &e);
            ck_assert_msg(one && two, "%s", e.msg);
            for (int64_t t = 0; t < gguf_n_tensors(one); t++) {
                const gguf_tensor *a = gguf_tensor_at(one, t), *b = tensor_of(two, a->name);
                ck_assert_msg(a->type == b->type && memcmp(a->data, b->data, (size_t)a->n_bytes) == 0, "%s: %s",
                              types[k], a->name);
            }
            if (i == 0) ck_assert(dtype_of(tensor_of(one, "blk.0.ssm_out.weight")->type)->block_weights == 32);
            ck_assert_msg(convert_derives(one, all[i]->dir, &d, &e), "%s", e.msg);
            gguf_close(one);
            gguf_close(two);
            free(one_path);
            free(two_path);
        }
        free(im);
        free(from);
        mini_free(all[i]);
    }
}
END_TEST

typedef struct { const char *drop, *from, *to, *path, *value, *says; } refused_row;

static void check_refused_rows(mini *(*make)(void), const refused_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const refused_row *r = &rows[i];
        mini *m = make();
        if (r->drop) mini_drop(m, r->drop);
        if (r->from) snprintf(mini_find(m, r->from)->name, sizeof m->t[0].name, "%s", r->to);
        if (r->path) mini_set(m->config, r->path, r->value);
        check_fails(m, "bf16", r->says);
        mini_free(m);
    }
}

static mini *qwen3moe_apart(void)  { return mini_qwen3moe(false); }
static mini *qwen35_dense(void)    { return mini_qwen35(false, false); }

START_TEST(test_refused_experts)
{
    static const refused_row moe[] = {
        { "model.layers.1.mlp.experts.1.up_proj.weight", NULL, NULL, NULL, NULL,
          "tensor 'layers.1.mlp.experts.1.up_proj.weight' is missing" },
        { NULL, "model.layers.0.mlp.experts.2.up_proj.weight", "model.layers.0.mlp.experts.3.up_proj.weight", NULL,
          NULL,
          "'model.layers.0.mlp.experts.3.up_proj.weight': found expert 3, expected experts below 3 by config.json" },
        { NULL, "model.layers.0.mlp.experts.2.up_proj.weight", "model.layers.0.mlp.experts.02.up_proj.weight", NULL,
          NULL, "'model.layers.0.mlp.experts.02.up_proj.weight': not a tensor of Qwen3MoeForCausalLM" },
        { NULL, "model.layers.0.mlp.experts.2.up_proj.weight", "model.layers.0.mlp.experts.gate_up_proj", NULL, NULL,
          "'model.layers.0.mlp.experts.gate_up_proj': '" },
        { NULL, "model.layers.0.mlp.experts.2.up_proj.weight", "model.layers.0.mlp.switch_mlp.up_proj.weight", NULL,
          NULL, "not a tensor of Qwen3MoeForCausalLM" },
        { NULL, NULL, NULL, "num_experts", "4",
          "tensor 'model.layers.0.mlp.gate.weight': found shape [3, 64], expected [4, 64]" },
        { NULL, NULL, NULL, "moe_intermediate_size", "8", "found shape [" },
    };
    static const refused_row dense[] = {
        { "mtp.norm.weight", NULL, NULL, NULL, NULL, "tensor 'mtp.norm.weight' is missing" },
        { "mtp.layers.0.mlp.up_proj.weight", NULL, NULL, NULL, NULL,
          "tensor 'mtp.layers.0.mlp.up_proj.weight' is missing" },
        { "model.layers.2.linear_attn.A_log", NULL, NULL, NULL, NULL,
          "tensor 'layers.2.linear_attn.A_log' is missing" },
        { NULL, "mtp.norm.weight", "mtp.layers.1.input_layernorm.weight", NULL, NULL,
          "'mtp.layers.1.input_layernorm.weight': found layer 4, expected layers below 4" },
        { NULL, "mtp.norm.weight", "mtp.embed_tokens.weight", NULL, NULL,
          "'mtp.embed_tokens.weight': not a tensor of Qwen3_5ForCausalLM" },
        { NULL, "model.layers.2.linear_attn.A_log", "model.layers.1.linear_attn.A_log", NULL, NULL,
          "'model.layers.1.linear_attn.A_log': by config.json there is none in this model" },
        { NULL, NULL, NULL, "linear_num_value_heads", "4", "found shape [" },
    };
    check_refused_rows(qwen3moe_apart, moe, sizeof moe / sizeof *moe);
    check_refused_rows(qwen35_dense, dense, sizeof dense / sizeof *dense);
    mini *m = mini_qwen3moe(false);
    mini_find(m, "model.layers.1.mlp.experts.2.down_proj.weight")->dtype = "F32";
    check_fails(m, "bf16",
                "found F32, expected BF16 as 'model.layers.1.mlp.experts.0.down_proj.weight' has, which it is");
    mini_free(m);
}
END_TEST

// Exports of another tool: the convolution's axes moved; norms that have had the 1 added, with the mean that was found.
START_TEST(test_refused_exports)
{
    mini *m = mini_qwen35(false, false);
    mini_tensor *conv = mini_find(m, "model.layers.0.linear_attn.conv1d.weight");
    conv->shape[1] = 4;
    conv->shape[2] = 1;
    check_fails(m, "bf16",
                "'model.layers.0.linear_attn.conv1d.weight': found shape [160, 4, 1], expected [160, 1, 4] by "
                "config.json: its axes were moved, as MLX saves it");
    conv->shape[1] = 1;
    conv->shape[2] = 4;
    for (int i = 0; i < m->n; i++) {
        mini_tensor *t = &m->t[i];
        if (t->fill == t->fill) t->fill += 1;               // norms alone are filled
    }
    // Copied beside the export as it was in the source: it says nothing of the rest.
    mini_find(m, "mtp.layers.0.input_layernorm.weight")->fill = 0;
    check_fails(m, "bf16",
                "tensor 'model.norm.weight': found a mean of 1.062, the least of 9 norms, expected some near 0");
    mini_find(m, "model.layers.2.input_layernorm.weight")->fill = 0.25f;        // one that is near 0: it was not added
    log_of l;
    mini_write(m, false);
    gguf_close(converted_with(m, "bf16", false, &l));
    mini_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("convert_experts");
    TCase *c = tcase_create("convert_experts");
    tcase_add_test(c, test_gemma4_experts);
    tcase_add_test(c, test_qwen3_experts);
    tcase_add_test(c, test_qwen35);
    tcase_add_test(c, test_types_that_stay);
    tcase_add_test(c, test_mtp);
    tcase_add_test(c, test_derives_experts);
    tcase_add_test(c, test_importance_follows);
    tcase_add_test(c, test_refused_experts);
    tcase_add_test(c, test_refused_exports);
    suite_add_tcase(s, c);
    return run_suite(s);
}
