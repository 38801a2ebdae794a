// Proves runtime/op.h, program.h and net.h: a program gives the bits of the forward pass written directly
// (gemma_twin.h); what an operation is said to touch is what it touches; a coarse operation expands into what it is
// said to be.
#include "convert/convert.h"
#include "gemma_twin.h"
#include "mini_checkpoint.h"
#include "mixed_nets.h"
#include "runtime/net.h"
#include "runtime/program.h"

static err e;

static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

static model *make_model(bool gemma3, const char *type)
{
    mini *c = gemma3 ? mini_gemma3() : mini_gemma4();
    mini_write(c, false);
    const convert_opts o = { .type = file_type_find(type)->id };
    must(convert_checkpoint(c->dir, in_dir(c->dir, "out.gguf"), &o, &e));
    model *m = model_open(in_dir(c->dir, "out.gguf"), &e);      // a mapping: the folder may go
    must(m != NULL);
    mini_free(c);
    return m;
}

// ---- against the forward pass written directly ----------------------------------------------------------------------

static const struct { bool gemma3; const char *type; arith a; dtype kv; } runs[] = {
    { false, "bf16", ARITH_BF16, DT_BF16 }, { false, "q8_0", ARITH_F32, DT_F32 }, { false, "f32", ARITH_F32, DT_Q4_0 },
    { true, "bf16", ARITH_BF16, DT_F16 },   { true, "f32", ARITH_F32, DT_Q8_0 },
};

START_TEST(the_bits_of_the_twin)
{
    enum { N_PROMPT = 19, N_BATCH = 9, N_CTX = 32 };    // longer than a window of 16; the last batch is of one token
    model *m = make_model(runs[_i].gemma3, runs[_i].type);
    const hparams *h = model_hparams(m);
    backend *b = backend_cpu(runs[_i].a, 1, NULL, &e);
    must(b != NULL);
    const kv_spec kv = kv_spec_of(kv_case_type(runs[_i].kv));
    net *n = net_open(b, model_gguf(m), h, &kv, N_CTX, N_BATCH, &e);
    must(n != NULL);
    gemma_twin *twin = twin_open(b, model_gguf(m), h, runs[_i].kv, N_CTX, N_BATCH);
    const size_t n_hidden = (size_t)(h->n_layer + 1) * (size_t)h->n_embd,
                 n_logits = (size_t)N_BATCH * (size_t)h->n_vocab;
    float *hidden[2] = { calloc(n_hidden, 4), calloc(n_hidden, 4) },
          *logits[2] = { calloc(n_logits, 4), calloc(n_logits, 4) };
    int32_t ids[N_PROMPT];
    for (int i = 0; i < N_PROMPT; i++) ids[i] = i == 0 ? 2 : (i * i + 7) % (int)h->n_vocab;
    for (int at = 0; at < N_PROMPT; at += N_BATCH) {
        const int count = N_PROMPT - at < N_BATCH ? N_PROMPT - at : N_BATCH;
        must(net_forward(n, ids + at, count, at, hidden[0], &e) && net_logits(n, 0, count, logits[0], &e));
        twin_forward(twin, ids + at, count, at, hidden[1]);
        twin_logits(twin, count, logits[1]);
        for (size_t i = 0; i < (size_t)count * (size_t)h->n_vocab; i++)
            ck_assert_msg(isfinite(logits[0][i]), "logit %zu is not finite", i);
        ck_assert(memcmp(hidden[0], hidden[1], n_hidden * 4) == 0);
        ck_assert(memcmp(logits[0], logits[1], (size_t)count * (size_t)h->n_vocab * 4) == 0);
    }
    for (int i = 0; i < 2; i++) {
        free(hidden[i]);
        free(logits[i]);
    }
    twin_close(twin);
    net_close(n);
    b->ops->close(b);
    model_close(m);
}
END_TEST

// ---- what is touched ------------------------------------------------------------------------------------------------

typedef struct { float *copy[64]; } buffers_copy;

static void copy_buffers(buffers_copy *c, const program *p, const op_memory *m, int n_batch)
{
    for (int i = 0; i < p->n_buffers; i++) {
        const size_t bytes = (size_t)p->buffers[i].floats * (size_t)n_batch * sizeof(float);
        c->copy[i] = malloc(bytes + 1);
        memcpy(c->copy[i], m->buffers[i], bytes);
    }
}

static bool is_said(const op_span *spans, int n, int buf, int64_t at, int tokens)
{
    for (int i = 0; i < n; i++)
        for (int t = 0; t < tokens && spans[i].write && spans[i].buf == buf; t++) {
            const int64_t from = spans[i].off + (int64_t)t * spans[i].row;
            if (at >= from && at < from + spans[i].floats) return true;
        }
    return false;
}

// Each operation of the wholly expanded program by itself: floats that it is not said to write are as before.
static void check_writes(backend *b, const gguf *g, const hparams *h)
{
    enum { N = 3 };
    const kv_spec kv = kv_spec_of(KV_F32);
    net *n = net_open(b, g, h, &kv, 16, N, &e);
    must(n != NULL);
    program p;
    must(program_build(&p, h, &e));
    ck_assert_int_le(p.n_buffers, 64);
    int n_ops, seen[N_OP_KINDS] = { 0 }, attending = 0;
    const op *list = net_list(n, false, false, &n_ops);
    const op_memory *mem = net_memory(n);
    const int32_t ids[N] = { 2, 9, 11 };
    const op_args a = { .ids = ids, .n = N };
    for (int i = 0; i < n_ops; i++) {
        op_shape shapes[OP_WEIGHTS] = { { 0 } };
        op_span spans[OP_SPANS];
        buffers_copy before;
        for (int k = 0; k < OP_WEIGHTS; k++)
            if (list[i].w[k] >= 0)
                shapes[k] = (op_shape){ mem->weights[list[i].w[k]].rows, mem->weights[list[i].w[k]].cols };
        const int n_spans = op_touches(&list[i], shapes, list[i].dim, spans);
        ck_assert_int_le(n_spans, OP_SPANS);
        copy_buffers(&before, &p, mem, N);
        must(b->ops->run(b, &list[i], 1, mem, &a, &e));
        int64_t changed = 0;
        for (int k = 0; k < p.n_buffers; k++) {
            for (int64_t j = 0; j < p.buffers[k].floats * N; j++) {
                if (memcmp(&before.copy[k][j], &mem->buffers[k][j], sizeof(float)) == 0) continue;
                changed++;
                ck_assert_msg(is_said(spans, n_spans, k, j, N), "operation %d (%s) writes float %lld of '%s'", i,
                              op_name(list[i].kind), (long long)j, p.buffers[k].name);
            }
            free(before.copy[k]);
        }
        const bool writes = list[i].kind != OP_MARK && list[i].kind != OP_STORE;
        ck_assert_msg((changed > 0) == writes, "operation %d (%s) changes %lld floats", i, op_name(list[i].kind),
                      (long long)changed);
        seen[list[i].kind]++;
    }
    for (int i = 0; i < h->n_layer; i++) attending += !h->layers[i].recurrent;
    ck_assert_int_eq(seen[OP_ATTEND], attending);
    ck_assert_int_eq(seen[OP_DELTA], h->n_layer - attending);
    ck_assert_int_eq(seen[OP_ROUTE], h->n_expert > 0 ? h->n_layer : 0);
    ck_assert_int_eq(seen[OP_RESIDUAL] + seen[OP_GLU] + seen[OP_GATED] + seen[OP_HEADS], 0);
    program_free(&p);
    net_close(n);
}

START_TEST(an_operation_writes_what_it_is_said_to)
{
    model *m = make_model(_i == 1, "f32");
    backend *b = backend_cpu(ARITH_F32, 1, NULL, &e);
    check_writes(b, model_gguf(m), model_hparams(m));
    b->ops->close(b);
    model_close(m);
}
END_TEST

START_TEST(so_do_those_of_experts_and_delta_nets)
{
    mixed m = mixed_make((mixed_kind)_i);
    backend *b = backend_cpu(ARITH_F32, 1, NULL, &e);
    check_writes(b, m.g, &m.h);
    b->ops->close(b);
    mixed_free(&m);
}
END_TEST

// ---- expansions -----------------------------------------------------------------------------------------------------

static void check_kinds(const op *o, const op_kind *want, int n)
{
    op finer[OP_EXPANSION];
    ck_assert_int_eq(op_expand(o, finer), n);
    for (int i = 0; i < n; i++) {
        ck_assert_msg(finer[i].kind == want[i], "%s: operation %d is %s", op_name(o->kind), i, op_name(finer[i].kind));
        op none[OP_EXPANSION];
        ck_assert_int_eq(op_expand(&finer[i], none), 0);        // expansions are fine, all of them
        ck_assert_int_eq(finer[i].layer, o->layer);
    }
}

START_TEST(expansions)
{
    op o = op_new(OP_RESIDUAL, 4);
    check_kinds(&o, (op_kind[]){ OP_ADD }, 1);
    o.w[0] = 1;
    o.w[1] = 2;
    o.scale = 0.5f;
    check_kinds(&o, (op_kind[]){ OP_NORM, OP_ADD, OP_SCALE, OP_NORM }, 4);
    o = op_new(OP_LINEAR, 4);
    o.w[0] = 3;
    check_kinds(&o, NULL, 0);
    o.w[1] = 4;
    check_kinds(&o, (op_kind[]){ OP_LINEAR, OP_LINEAR }, 2);
    o = op_new(OP_LINEAR_ID, 4);
    o.w[0] = 3;
    check_kinds(&o, NULL, 0);
    o.w[1] = 4;
    check_kinds(&o, (op_kind[]){ OP_LINEAR_ID, OP_LINEAR_ID }, 2);
    o = op_new(OP_GLU, 4);
    check_kinds(&o, (op_kind[]){ OP_LINEAR, OP_LINEAR, OP_ACT_MUL }, 3);
    o = op_new(OP_GATED, 4);
    check_kinds(&o, (op_kind[]){ OP_LINEAR, OP_ACT, OP_MUL }, 3);
    o = op_new(OP_HEADS, 4);
    check_kinds(&o, (op_kind[]){ OP_ROTATE }, 1);
    o.cache = 0;
    check_kinds(&o, (op_kind[]){ OP_ROTATE, OP_ROTATE, OP_STORE }, 3);
    o.w[0] = o.w[1] = 5;
    o.v_norm = true;
    check_kinds(&o, (op_kind[]){ OP_NORM, OP_ROTATE, OP_NORM, OP_NORM, OP_ROTATE, OP_STORE }, 6);
    for (int k = 0; k < N_OP_KINDS; k++) ck_assert_ptr_nonnull(op_name((op_kind)k));
    ck_assert_int_le(N_OP_KINDS, 28);       // the fence of op.h
}
END_TEST

int main(void)
{
    Suite *s = suite_create("op");
    TCase *t = tcase_create("programs");
    tcase_add_loop_test(t, the_bits_of_the_twin, 0, sizeof runs / sizeof *runs);
    tcase_add_loop_test(t, an_operation_writes_what_it_is_said_to, 0, 2);
    tcase_add_loop_test(t, so_do_those_of_experts_and_delta_nets, 0, N_MIXED);
    tcase_add_test(t, expansions);
    suite_add_tcase(s, t);
    return run_suite(s);
}
