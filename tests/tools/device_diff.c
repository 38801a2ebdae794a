// device_diff ART.gguf FIXTURE ARITH KV [CASES]: how far the CUDA backend is from the CPU on a fixture's cases, of
// which the first CASES (all). Teacher-forced, every position of prompt and continuation: the largest difference of a
// logit, in units of the largest logit too; and the free run of both: whether the greedy ids are equal, to each other
// and to the fixture's. One line: 'key value' pairs. Exit status 0: ids equal; 1: not. What the products' mode is
// (HALLMARK_CUDA_PRODUCTS) is the caller's business; the library is runtime/session.h.
#include "formats/fixture.h"
#include "runtime/session.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CPU, CUDA, N };

typedef struct {
    session *on[N];
    int64_t  n_vocab, positions, unequal;
    float   *logits[N];
    int32_t *ids, *out[N];
    double   diff_max, logit_max;
    int      equal, as_fixture;             // cases
} job;

// Prompt and continuation at once, logits of all positions.
static bool forced(job *j, const fixture_case *c, int tokens, err *e)
{
    const int64_t n = c->n_prompt + tokens - 1;
    memcpy(j->ids, c->prompt_ids, (size_t)c->n_prompt * sizeof *j->ids);
    memcpy(j->ids + c->n_prompt, c->generated_ids, (size_t)(tokens - 1) * sizeof *j->ids);
    for (int i = 0; i < N; i++) {
        session_reset(j->on[i]);
        if (!session_eval(j->on[i], j->ids, n, j->logits[i], n, NULL, e)) return false;
    }
    for (int64_t i = 0; i < n * j->n_vocab; i++) {
        const double a = j->logits[CPU][i], b = j->logits[CUDA][i], d = fabs(a - b);
        if (!(d <= j->diff_max)) j->diff_max = d;           // a NaN is the largest there is
        if (fabs(a) > j->logit_max) j->logit_max = fabs(a);
        j->unequal += memcmp(&j->logits[CPU][i], &j->logits[CUDA][i], sizeof(float)) != 0;
    }
    j->positions += n;
    return true;
}

static bool run_free(job *j, const fixture_case *c, int tokens, err *e)
{
    for (int i = 0; i < N; i++) {
        session_reset(j->on[i]);
        if (session_generate(j->on[i], c->prompt_ids, c->n_prompt, j->out[i], tokens, true, NULL, NULL, e) != tokens)
            return false;
    }
    j->equal += memcmp(j->out[CPU], j->out[CUDA], (size_t)tokens * sizeof(int32_t)) == 0;
    j->as_fixture += memcmp(j->out[CUDA], c->generated_ids, (size_t)tokens * sizeof(int32_t)) == 0;
    return true;
}

static bool open_job(job *j, const model *m, const fixture *f, const char *arith_name, const char *kv, err *e)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < f->n_cases; i++) if (f->cases[i].n_prompt > longest) longest = f->cases[i].n_prompt;
    const int64_t n = longest + f->tokens;
    j->n_vocab = model_hparams(m)->n_vocab;
    j->ids = malloc((size_t)n * sizeof *j->ids);
    bool ok = j->ids != NULL;
    for (int i = 0; i < N; i++) {
        j->logits[i] = malloc((size_t)(n * j->n_vocab) * sizeof(float));
        j->out[i]    = malloc((size_t)f->tokens * sizeof(int32_t));
        ok = ok && j->logits[i] && j->out[i];
    }
    if (!ok) return err_nomem(e, "logits", (size_t)(n * j->n_vocab) * sizeof(float));
    for (int i = 0; i < N; i++)
        if (!(j->on[i] = session_new(
                  m, &(session_opts){ .device = i == CPU ? "cpu" : "cuda", .arith = arith_name, .kv = kv, .n_ctx = n },
                  e)))
            return false;
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: device_diff ART.gguf FIXTURE ARITH KV [CASES]\n");
        return 2;
    }
    err e = { 0 };
    job j = { 0 };
    model *m = model_open(argv[1], &e);
    fixture *f = m ? fixture_open(argv[2], &e) : NULL;
    bool ok = f && open_job(&j, m, f, argv[3], argv[4], &e);
    const int64_t asked = argc > 5 ? atoll(argv[5]) : INT64_MAX, n = f && f->n_cases < asked ? f->n_cases : asked;
    for (int64_t i = 0; ok && i < n; i++)
        ok = forced(&j, &f->cases[i], f->tokens, &e) && run_free(&j, &f->cases[i], f->tokens, &e);
    if (ok) {
        const char *note = session_note(j.on[CUDA]);
        printf("cases %lld positions %lld ids_equal %d as_fixture %d logits_unequal %lld logit_diff_max %.3g of "
               "%.3g%s%s\n",
               (long long)n, (long long)j.positions, j.equal, j.as_fixture, (long long)j.unequal, j.diff_max,
               j.logit_max, *note ? " note " : "", note);
    } else fprintf(stderr, "device_diff: %s\n", e.msg);
    const int status = !ok ? 3 : j.equal == n ? 0 : 1;
    for (int i = 0; i < N; i++) {
        session_free(j.on[i]);
        free(j.logits[i]);
        free(j.out[i]);
    }
    free(j.ids);
    fixture_close(f);
    model_close(m);
    return status;
}
