// Proves arch/keys.h: every row is sound, an absent key is what the table says, a value outside a row's range is
// refused by name, and what was assumed is kept for those who ask.
#include "arch/hparams.h"
#include "arch/keys.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ARCHS[] = { "gemma3", "gemma4", "llama", "qwen2", "qwen3" };
static err none;

static gguf_plan *plan_of(const char *arch)
{
    gguf_plan *p = gguf_plan_new(32, &none);
    ck_assert(p && gguf_plan_str(p, "general.architecture", arch, &none));
    return p;
}

static void put_u32(gguf_plan *p, const char *arch, const char *name, uint32_t v)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    ck_assert(gguf_plan_u32(p, key, v, &none));
}

static void put_f32(gguf_plan *p, const char *arch, const char *name, float v)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, name);
    ck_assert(gguf_plan_f32(p, key, v, &none));
}

typedef struct { uint8_t *bytes; gguf *g; } file;

static file file_of(gguf_plan *p)
{
    int64_t header, all, n;
    file    f = { 0 };
    ck_assert(gguf_plan_layout(p, &header, &all, &none) && gguf_plan_header(p, &f.bytes, &n, &none));
    f.g = gguf_open_mem(f.bytes, n, "test.gguf", &none);
    ck_assert_msg(f.g != NULL, "%s", none.msg);
    gguf_plan_free(p);
    return f;
}

static void close_file(file *f)
{
    gguf_close(f->g);
    free(f->bytes);
}

// What every dense file has.
static gguf_plan *small_plan(const char *arch)
{
    gguf_plan *p = plan_of(arch);
    put_u32(p, arch, "block_count", 2);
    put_u32(p, arch, "context_length", 64);
    put_u32(p, arch, "embedding_length", 96);
    put_u32(p, arch, "feed_forward_length", 128);
    put_u32(p, arch, "attention.head_count", 3);
    put_f32(p, arch, "attention.layer_norm_rms_epsilon", 1e-5f);
    return p;
}

START_TEST(what_llama_cpp_assumes_is_assumed_and_told)
{
    hparams h;
    err     e = { 0 };
    file    f = file_of(small_plan("llama"));
    ck_assert_msg(hparams_read(&h, f.g, &e), "%s", e.msg);
    ck_assert_int_eq(h.layers[1].head_dim, 32);
    ck_assert_int_eq(h.layers[1].n_kv_head, 3);
    ck_assert(h.rope_base == 10000.0f && h.final_softcap == 0.0f && h.attention_scale == 1.0f / sqrtf(32.0f));
    static const char *const told[] = { "attention.head_count_kv", "rope.freq_base", "attention.scale" };
    ck_assert_int_eq(h.assumed.n, 3);
    for (int i = 0; i < 3; i++) {
        bool found = false;
        for (int k = 0; k < 3; k++) found |= strcmp(h.assumed.k[k].name, told[i]) == 0;
        ck_assert_msg(found, "%s is not told", told[i]);
    }
    hparams_free(&h);
    close_file(&f);
}
END_TEST

START_TEST(a_key_that_is_there_is_not_assumed)
{
    hparams    h;
    err        e = { 0 };
    gguf_plan *p = small_plan("qwen3");
    put_u32(p, "qwen3", "attention.head_count_kv", 1);
    put_f32(p, "qwen3", "rope.freq_base", 1e6f);
    put_f32(p, "qwen3", "attention.scale", 0.25f);
    file f = file_of(p);
    ck_assert_msg(hparams_read(&h, f.g, &e), "%s", e.msg);
    ck_assert(h.assumed.n == 0 && h.rope_base == 1e6f && h.attention_scale == 0.25f);
    hparams_free(&h);
    close_file(&f);
}
END_TEST

START_TEST(outside_its_range_a_key_is_refused_by_name)
{
    static const struct { const char *name; double v; bool is_float; const char *says; } cases[] = {
        { "block_count", 0, false, "key 'llama.block_count': found 0, expected 1 to" },
        { "attention.head_count", 5000, false, "key 'llama.attention.head_count': found 5000, expected 1 to 4096" },
        { "rope.freq_base", -1, true, "key 'llama.rope.freq_base': expected a number above 0" },
        { "attention.layer_norm_rms_epsilon", 0, true,
          "key 'llama.attention.layer_norm_rms_epsilon': expected a number above 0" },
        { "final_logit_softcapping", -1, true, "key 'llama.final_logit_softcapping': expected a number of at least 0" },
        { "attention.shared_kv_layers", 2, false, "key 'llama.attention.shared_kv_layers': found 2, expected 0 to 1" },
        { "attention.shared_kv_layers", 1, false, "key 'llama.attention.shared_kv_layers': found layers that share" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hparams    h;
        err        e = { 0 };
        char       key[128];
        gguf_plan *p = small_plan("llama");
        snprintf(key, sizeof key, "llama.%s", cases[i].name);
        gguf_plan_remove(p, key);
        if (cases[i].is_float) put_f32(p, "llama", cases[i].name, (float)cases[i].v);
        else                   put_u32(p, "llama", cases[i].name, (uint32_t)cases[i].v);
        file f = file_of(p);
        ck_assert_msg(!hparams_read(&h, f.g, &e), "%s: accepted", cases[i].name);
        ck_assert_msg(e.kind == ERR_INPUT && strstr(e.msg, cases[i].says), "%s", e.msg);
        close_file(&f);
    }
}
END_TEST

// A default lies in its own row's range, and Gemma's rows are not everybody's.
START_TEST(rows_are_sound)
{
    static const char *const names[] = {
        "attention.sliding_window", "attention.sliding_window_pattern", "attention.shared_kv_layers", "attention.scale",
        "final_logit_softcapping", "rope.freq_base", "rope.freq_base_swa", "rope.scaling.factor", "expert_count",
    };
    for (size_t a = 0; a < sizeof ARCHS / sizeof *ARCHS; a++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            double v = -1;
            const arch_key *k = arch_key_find(ARCHS[a], names[i]);
            ck_assert_msg(k != NULL, "%s of %s", names[i], ARCHS[a]);
            ck_assert_int_eq(key_default(ARCHS[a], names[i], &v), k->absent == ABSENT_VALUE);
            if (k->absent == ABSENT_VALUE) ck_assert_msg(v >= k->lo && v <= k->hi, "%s of %s", names[i], ARCHS[a]);
        }
    double v;
    ck_assert(key_default("gemma4", "final_logit_softcapping", &v) && v == 30);
    ck_assert(key_default("qwen2", "final_logit_softcapping", &v) && v == 0);
    ck_assert(!key_default("gemma4", "attention.head_count_kv", &v) && !key_default("llama", "attention.scale", &v));
    ck_assert_ptr_null(arch_key_find("llama", "attention.no_such_key"));
}
END_TEST

static file falcon_of(uint32_t n_layer)
{
    gguf_plan *p = plan_of("falcon");
    put_u32(p, "falcon", "block_count", n_layer);
    put_u32(p, "falcon", "attention.head_count", 4);
    put_u32(p, "falcon", "attention.shared_kv_layers", 3);
    return file_of(p);
}

// What the choice of types looks at: also of architectures that nobody runs here.
START_TEST(facts_of_any_architecture)
{
    arch_facts f;
    err        e = { 0 };
    file       x = falcon_of(7);
    ck_assert_msg(arch_facts_read(&f, x.g, &e), "%s", e.msg);
    ck_assert(f.n_layer == 7 && f.n_head == 4 && f.n_head_kv == 4 && f.n_expert == 0 && f.first_shared == 4
              && f.first_mtp == 7);
    close_file(&x);
    x = falcon_of(2);
    ck_assert(!arch_facts_read(&f, x.g, &e) && e.kind == ERR_INPUT && strstr(e.msg, "found 2 and 3"));
    close_file(&x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keys");
    TCase *t = tcase_create("all");
    tcase_add_test(t, what_llama_cpp_assumes_is_assumed_and_told);
    tcase_add_test(t, a_key_that_is_there_is_not_assumed);
    tcase_add_test(t, outside_its_range_a_key_is_refused_by_name);
    tcase_add_test(t, rows_are_sound);
    tcase_add_test(t, facts_of_any_architecture);
    suite_add_tcase(s, t);
    return run_suite(s);
}
