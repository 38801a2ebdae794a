// Proves the caches of runtime/kv_spec.h in whole models: the same bits for any batch, thread count and SIMD level,
// over windows shorter than the text, shared caches and odd heads; memory as planned; rotations (runtime/program_kv.h);
// codes that are those of what was stored; and mistakes people make with caches, planted in a runtime built for it.
#include "mixed_nets.h"
#include "quant/kivi.h"
#include "runtime/program_kv.h"
#include "runtime/session.h"
#include "verify_files.h"

static err e;
static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

static void setup(void) { files_begin("kv_cache"); }

// The committed checkpoint of that name, as a file that every test of this program shares.
static model *open_tiny(const char *name)
{
    char dir[256], file[64];
    const convert_opts o = { .type = FT_BF16 };
    snprintf(dir, sizeof dir, "%s/fixtures/%s", SOURCE_DIR, name);
    snprintf(file, sizeof file, "%s.gguf", name);
    const char *path = in_scratch(file);
    if (access(path, R_OK) != 0) must(convert_checkpoint(dir, path, &o, &e));
    model *m = model_open(path, &e);
    must(m != NULL);
    return m;
}

static kv_spec parsed(const char *text)
{
    kv_spec s;
    must(kv_spec_parse(&s, text, &e));
    return s;
}

// ---- the same bits --------------------------------------------------------------------------------------------------

enum { N_IDS = 80, N_LOGITS = 3 };          // more than three windows

static int32_t id_at(int i, int64_t n_vocab)
{
    return i == 0 ? 2 : (int32_t)((uint32_t)(i * i + 7) * 2654435761u % (uint32_t)n_vocab);
}

// Logits of the last ids; freed by the caller.
static float *logits_of(const model *m, session_opts o)
{
    const int64_t n_vocab = model_hparams(m)->n_vocab;
    int32_t ids[N_IDS];
    float *x = malloc((size_t)(N_LOGITS * n_vocab) * sizeof *x);
    o.device = "cpu";
    o.n_ctx = N_IDS + 1;
    for (int i = 0; i < N_IDS; i++) ids[i] = id_at(i, n_vocab);
    session *s = session_new(m, &o, &e);
    must(s && session_eval(s, ids, N_IDS, x, N_LOGITS, NULL, &e));
    session_free(s);
    return x;
}

static bool same_logits(const model *m, const float *a, const float *b)
{
    return memcmp(a, b, (size_t)(N_LOGITS * model_hparams(m)->n_vocab) * sizeof *a) == 0;
}

static const struct { const char *model, *kv, *arith; } RUNS[] = {
    { "tiny-gemma4", "kivi2:g32:r32:rot+sink3", "f32" },
    { "tiny-gemma4", "sliding:q4_0:rot+recent9;full:kivi4:g8:r40", "bf16" },
    { "tiny-llama", "kivi4:g8:r16", "bf16" },               { "tiny-llama", "k=kivi2:g32:r64,v=q5_1+sink2", "f32" },
    { "tiny-mistral", "q4_0+sink4+recent10", "f32" },       { "tiny-mistral", "kivi2:g8:r8", "bf16" },
    { "tiny-qwen2", "layers 0-1:k=q8_0,v=kivi2:g16:r48;*:q5_0+recent70", "f32" },
    { "tiny-qwen35", "k=kivi4:g8:r24:rot,v=q4_1:rot+sink5", "bf16" },
};
enum { N_RUNS = sizeof RUNS / sizeof *RUNS };

START_TEST(the_same_bits_for_any_batch)
{
    static const session_opts variants[] = { { .n_threads = 2, .n_batch = 7 }, { .n_threads = 1, .n_batch = 64 },
                                             { .n_threads = 2, .n_batch = 512 } };
    model *m = open_tiny(RUNS[_i].model);
    float *want = logits_of(m, (session_opts){ .kv = RUNS[_i].kv, .arith = RUNS[_i].arith, .n_threads = 1,
                                               .n_batch = 1 });
    float *plain = logits_of(m, (session_opts){ .kv = "f32", .arith = RUNS[_i].arith });
    ck_assert_msg(!same_logits(m, want, plain), "%s: nothing was lost", RUNS[_i].kv);
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        session_opts o = variants[v];
        o.kv = RUNS[_i].kv;
        o.arith = RUNS[_i].arith;
        float *got = logits_of(m, o);
        ck_assert_msg(same_logits(m, got, want), "%s, %s, batches of %d", RUNS[_i].model, o.kv, o.n_batch);
        free(got);
    }
    free(plain);
    free(want);
    model_close(m);
}
END_TEST

// Heads of 24: one and a half vectors. Each level, in batches and one by one.
static void mixed_logits(mixed_kind kind, const char *kv, arith a, const char *simd, int batch, float *out)
{
    enum { N = 34 };
    err has = { 0 };
    backend *b = backend_cpu(a, 1 + batch % 2, simd, &has);
    mixed m = mixed_make(kind);
    const kv_spec spec = parsed(kv);
    net *n = net_open(b, m.g, &m.h, &spec, N, batch, &e);
    must(n != NULL);
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = mixed_id(i);
    for (int at = 0; at < N; at += batch) {
        const int count = N - at < batch ? N - at : batch;
        must(net_forward(n, ids + at, count, at, NULL, &e) && net_logits(n, count - 1, 1, out, &e));
    }
    net_close(n);
    b->ops->close(b);
    mixed_free(&m);
}

START_TEST(the_same_bits_at_every_level)
{
    static const char *const kvs[] = { "kivi2:g8:r16", "kivi4:g24:r24+sink3", "k=bf16,v=kivi4:g8:r8",
                                       "f16+sink4+recent5" };
    static const char *const levels[] = { "portable", "avx2", "avx512" };
    for (int kind = 0; kind < N_MIXED; kind++)
        for (int l = 0; l < 3; l++) {
            float want[MIXED_VOCAB], got[MIXED_VOCAB];
            err has = { 0 };
            const arith a = _i % 2 ? ARITH_BF16 : ARITH_F32;
            backend *there = backend_cpu(a, 1, levels[l], &has);
            if (!there) { printf("SKIP %s: %s\n", levels[l], has.msg); continue; }
            there->ops->close(there);
            mixed_logits((mixed_kind)kind, kvs[_i], a, NULL, 1, want);
            mixed_logits((mixed_kind)kind, kvs[_i], a, levels[l], 6 + 11 * l, got);
            ck_assert_msg(memcmp(want, got, sizeof want) == 0, "%s, %s at %s", mixed_archs[kind], kvs[_i], levels[l]);
        }
}
END_TEST

// ---- memory ---------------------------------------------------------------------------------------------------------

static int64_t allocated(const model *m, backend *b, const char *kv, int64_t n_ctx, int n_batch, int64_t *caches)
{
    const kv_spec spec = parsed(kv);
    net *n = net_open(b, model_gguf(m), model_hparams(m), &spec, n_ctx, n_batch, &e);
    must(n != NULL);
    const int64_t bytes = b->ops->memory_bytes(b);
    *caches = net_kv_bytes(n);
    net_close(n);
    return bytes;
}

START_TEST(memory_is_what_was_planned)
{
    static const char *const kvs[] = { "q4_0:rot+recent5", "kivi2", "kivi4:g8:r16+sink3",
                                       "sliding:k=kivi2:g8:r8,v=q8_0;full:bf16+sink9+recent2", "q8_0" };
    static const struct { int64_t n_ctx; int n_batch; } sizes[] = { { 1, 1 }, { 90, 7 }, { 300, 128 } };
    model *m = open_tiny("tiny-gemma4");
    for (int a = 0; a < 2; a++) {
        backend *b = backend_cpu(a ? ARITH_BF16 : ARITH_F32, 1, NULL, &e);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            int64_t caches, none, caches_f32;
            const int64_t base = allocated(m, b, "f32", sizes[s].n_ctx, sizes[s].n_batch, &caches_f32);
            none = base - caches_f32;
            for (size_t i = 0; i < sizeof kvs / sizeof *kvs; i++) {
                memory_plan p;
                const kv_spec spec = parsed(kvs[i]);
                const int64_t all = allocated(m, b, kvs[i], sizes[s].n_ctx, sizes[s].n_batch, &caches);
                must(memory_plan_of(&p, model_hparams(m), &spec, b->arith, sizes[s].n_ctx, sizes[s].n_batch, &e));
                ck_assert_int_eq(p.kv_bytes, caches);
                ck_assert_int_eq(p.kv_bytes, all - none);
            }
        }
        b->ops->close(b);
    }
    model_close(m);
}
END_TEST

// ---- rotations ------------------------------------------------------------------------------------------------------

static float distance(const model *m, const float *a, const float *b)
{
    float most = 0;
    for (int64_t i = 0; i < N_LOGITS * model_hparams(m)->n_vocab; i++) {
        ck_assert(isfinite(a[i]) && isfinite(b[i]));
        most = fmaxf(most, fabsf(a[i] - b[i]));
    }
    return most;
}

// In F32 a rotated cache that loses nothing changes logits by rounding alone; where queries are not rotated, it does
// not.
START_TEST(a_rotation_changes_rounding_alone)
{
    static const char *const models[] = { "tiny-gemma4", "tiny-qwen35" };
    static const char *const kvs[] = { "f32:rot", "f32:rot64", "k=f32:rot,v=f32", "k=f32,v=f32:rot" };
    model *m = open_tiny(models[_i % 2]);
    const char *kv = kvs[_i];
    float *want = logits_of(m, (session_opts){ .arith = "f32", .kv = "f32" });
    float *got = logits_of(m, (session_opts){ .arith = "f32", .kv = kv });
    float *wrong = logits_of(m, (session_opts){ .arith = "f32", .kv = kv, .fault = FAULT_QUERY_NOT_ROTATED });
    ck_assert_msg(distance(m, got, want) > 0 && distance(m, got, want) < 1e-4f, "%s: %g", kv,
                  (double)distance(m, got, want));
    const bool keys = strncmp(kv, "k=f32,", 6) != 0;
    ck_assert_msg(keys == (distance(m, wrong, want) > 1e-3f), "%s: queries that are not rotated: %g", kv,
                  (double)distance(m, wrong, want));
    free(wrong);
    free(got);
    free(want);
    model_close(m);
}
END_TEST

// Layers that own a cache rotate k, v and q, and the result back; those that share it q and the result.
START_TEST(every_layer_of_a_rotated_cache_rotates)
{
    model *m = open_tiny("tiny-gemma4");
    const hparams *h = model_hparams(m);
    const kv_spec spec = parsed("sliding:q8_0:rot;full:k=q4_0,v=q4_0:rot");
    program p;
    must(program_build(&p, h, &e) && program_rotate(&p, h, &spec, &e));
    for (int layer = 0; layer < h->n_layer; layer++) {
        const layer_shape *l = &h->layers[layer];
        int before = 0, after = 0, expanded = 0;
        for (int i = 0; i < p.n_ops; i++) {
            const op *o = &p.ops[i];
            if (o->layer != layer) continue;
            if (o->kind == OP_HADAMARD && o->unrounded) before++;
            if (o->kind == OP_HADAMARD && !o->unrounded) after++;
            const bool of_v = o->kind == OP_HADAMARD && o->out[0].buf == p.ops[i + 1].in[1].buf;
            const int  block = o->unrounded && l->sliding && !of_v ? 256 : 64;
            if (o->kind == OP_HADAMARD) ck_assert_int_eq(o->block, block);
            if (o->kind == OP_ATTEND) ck_assert(o->unrounded && p.ops[i + 1].kind == OP_HADAMARD);
            expanded += o->kind == OP_STORE;
        }
        ck_assert_int_eq(before, l->sliding ? (l->has_kv ? 3 : 1) : (l->has_kv ? 1 : 0));
        ck_assert_int_eq(after, 1);
        ck_assert_int_eq(expanded, l->has_kv);
    }
    program_free(&p);
    model_close(m);
}
END_TEST

// ---- what is stored -------------------------------------------------------------------------------------------------

enum { STORED = 70, STORED_BATCH = 25, GROUP = 8, MOST_DIM = 256 };

typedef struct {
    backend *b;
    net     *n;
} running;

static running run_in(const model *m, const char *kv, fault f)
{
    int32_t ids[STORED];
    const kv_spec spec = parsed(kv);
    running r = { .b = backend_cpu(ARITH_F32, 1, NULL, &e) };
    r.b->fault = f;
    r.n = net_open(r.b, model_gguf(m), model_hparams(m), &spec, STORED, STORED_BATCH, &e);
    must(r.n != NULL);
    for (int i = 0; i < STORED; i++) ids[i] = id_at(i, model_hparams(m)->n_vocab);
    for (int at = 0; at < STORED; at += STORED_BATCH) {
        const int n = STORED - at < STORED_BATCH ? STORED - at : STORED_BATCH;
        must(net_forward(r.n, ids + at, n, at, NULL, &e));
    }
    return r;
}

static void end(running *r)
{
    net_close(r->n);
    r->b->ops->close(r->b);
}

// One head of a group of positions, encoded from what an F32 cache has of it, against what a KIVI cache holds. Of
// values the group's first position.
static bool group_differs(const kv_layer *plain, const kv_layer *coded, bool values, int group, int head)
{
    const int dim = plain->head_dim, heads = plain->n_kv_head;
    const kv_part *from = values ? &plain->v : &plain->k, *to = values ? &coded->v : &coded->k;
    const int64_t bytes = to->unit / heads, unit = values ? group * GROUP : group;
    uint8_t want[4096];
    float   x[GROUP * MOST_DIM];
    ck_assert(dim <= MOST_DIM && bytes <= (int64_t)sizeof want);
    for (int t = 0; t < GROUP; t++)
        memcpy(x + t * dim, (const float *)from->data + ((int64_t)(group * GROUP + t) * heads + head) * dim,
               (size_t)dim * sizeof *x);
    if (values) ck_assert(kivi_encode_values(want, x, dim, GROUP, 4));
    else        ck_assert(kivi_encode_keys(want, x, dim, GROUP, 4));
    const uint8_t *got = (const uint8_t *)to->data + unit % to->units * to->unit + head * bytes;
    return memcmp(got, want, (size_t)(values ? 4 * (dim / GROUP) + dim / 2 : bytes)) != 0;
}

// Layer 0's keys and values do not depend on a cache: those of an F32 cache, encoded, are what a KIVI cache of it
// holds.
static int groups_that_differ(fault f, bool values)
{
    model *m = open_tiny("tiny-llama");
    running r[2] = { run_in(m, "f32", FAULT_NONE), run_in(m, "kivi4:g8:r16", f) };
    const kv_layer *plain = &net_memory(r[0].n)->caches[0], *coded = &net_memory(r[1].n)->caches[0];
    int wrong = 0;
    for (int group = 0; group < STORED / GROUP; group++)
        for (int head = 0; head < plain->n_kv_head; head++) wrong += group_differs(plain, coded, values, group, head);
    for (int i = 0; i < 2; i++) end(&r[i]);
    model_close(m);
    return wrong;
}

START_TEST(a_store_holds_the_codes_of_what_was_stored)
{
    for (int values = 0; values < 2; values++) ck_assert_int_eq(groups_that_differ(FAULT_NONE, values), 0);
}
END_TEST

START_TEST(mistakes_in_what_is_stored_are_told)
{
    ck_assert_int_gt(groups_that_differ(FAULT_VALUES_BY_TOKENS, true), 0);      // groups of values along the wrong axis
    ck_assert_int_eq(groups_that_differ(FAULT_VALUES_BY_TOKENS, false), 0);
    ck_assert_int_gt(groups_that_differ(FAULT_GROUP_OF_ALL_HEADS, false), 0);   // one scale for all heads
}
END_TEST

// Each mistake changes logits, and none that the cache does not have.
START_TEST(mistakes_change_what_is_computed)
{
    static const struct { fault f; const char *kv, *without; } rows[] = {
        { FAULT_QUERY_NOT_ROTATED, "q8_0:rot", "q8_0" },
        { FAULT_GROUP_OF_ALL_HEADS, "kivi4:g8:r16", "q4_0+sink4+recent5" },
        { FAULT_WHOLE_OFF_BY_ONE, "q4_0+recent5", "q4_0+sink4" }, { FAULT_WHOLE_OFF_BY_ONE, "kivi4:g8:r16", "q4_0" },
        { FAULT_SINK_FORGOTTEN, "q4_0+sink4", "q4_0+recent5" },  { FAULT_VALUES_BY_TOKENS, "kivi2:g8:r16", "q4_0" },
        { FAULT_QUERY_ROUNDED, "q8_0", "kivi4:g8:r16" },         { FAULT_QUERY_ROUNDED, "q4_1", "f16" },
    };
    model *m = open_tiny(_i == 0 ? "tiny-qwen35" : "tiny-llama");
    for (int i = 0; i < 2; i++) {
        const char *kv = i ? rows[_i].without : rows[_i].kv;
        float *right = logits_of(m, (session_opts){ .kv = kv, .n_batch = 16 });
        float *wrong = logits_of(m, (session_opts){ .kv = kv, .n_batch = 16, .fault = rows[_i].f });
        ck_assert_msg(same_logits(m, right, wrong) == (i == 1), "fault %d with %s", (int)rows[_i].f, kv);
        free(wrong);
        free(right);
    }
    model_close(m);
}
END_TEST

// ---- sessions -------------------------------------------------------------------------------------------------------

START_TEST(a_session_says_its_cache_and_starts_over)
{
    static const struct { const char *kv, *says; bool required; } rows[] = {
        { "bf16", "bf16", true }, { "bf16:norot", "bf16", true }, { "bf16:rot", "bf16:rot", false },
        { "bf16+sink4", "bf16+sink4", false },
        { "kivi2", "kivi2:g32:r128", false }, { "layers 0:q4_0:rot;*:q4_0:rot", "q4_0:rot", false },
        { "sliding:bf16;full:bf16", "bf16", true },
        { "sliding:bf16;*:kivi4:r64", "sliding:bf16;*:kivi4:g32:r64", false },
    };
    model *m = open_tiny("tiny-gemma4");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t ids[26], first[4], again[4];       // longer than a window
        session *s = session_new(m, &(session_opts){ .device = "cpu", .kv = rows[i].kv, .n_ctx = 50, .n_batch = 8 },
                                 &e);
        must(s != NULL);
        ck_assert_str_eq(session_kv(s), rows[i].says);
        ck_assert_int_eq(session_kv_is_required(s), rows[i].required);
        for (int k = 0; k < 26; k++) ids[k] = id_at(k, model_hparams(m)->n_vocab);
        ck_assert_int_eq(session_generate(s, ids, 26, first, 4, true, NULL, NULL, &e), 4);
        session_reset(s);
        ck_assert_int_eq(session_generate(s, ids, 26, again, 4, true, NULL, NULL, &e), 4);
        ck_assert(memcmp(first, again, sizeof first) == 0);
        session_free(s);
    }
    model_close(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kv_cache");
    TCase *t = tcase_create("kv_cache");
    tcase_add_unchecked_fixture(t, setup, files_end);
    tcase_add_loop_test(t, the_same_bits_for_any_batch, 0, N_RUNS);
    tcase_add_loop_test(t, the_same_bits_at_every_level, 0, 4);
    tcase_add_test(t, memory_is_what_was_planned);
    tcase_add_loop_test(t, a_rotation_changes_rounding_alone, 0, 4);
    tcase_add_test(t, every_layer_of_a_rotated_cache_rotates);
    tcase_add_test(t, a_store_holds_the_codes_of_what_was_stored);
    tcase_add_test(t, mistakes_in_what_is_stored_are_told);
    tcase_add_loop_test(t, mistakes_change_what_is_computed, 0, 8);
    tcase_add_test(t, a_session_says_its_cache_and_starts_over);
    suite_add_tcase(s, t);
    return run_suite(s);
}
