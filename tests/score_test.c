// Proves runtime/score.h on the CPU: what is said of rows of logits is what plain sums in long double say, and has the
// same bits at every SIMD level and for any number of threads; and the calls of a session that say it of a model's
// logits.
#include "convert/convert.h"
#include "runtime/session.h"
#include "score_rows.h"
#include "suite.h"
#include <stdio.h>
#include <unistd.h>

static err e;
static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

// ---- rows -----------------------------------------------------------------------------------------------------------

static bool all_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) if (!isfinite(x[i])) return false;
    return true;
}

static bool all_zero(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) if (!(x[i] == 0)) return false;
    return true;
}

static long double plain_lse(const float *x, int64_t n)
{
    long double sum = 0;
    const long double max = x[argmax_f32(x, n)];
    for (int64_t i = 0; i < n; i++) sum += expl(x[i] - max);
    return max + logl(sum);
}

// KL(p || q) over `kept` ids of p (NULL: all) and a bucket of the others; *size: the sum of the terms' magnitudes, by
// which they may be off.
static long double plain_kl(const float *p, const float *q, int64_t n, const int32_t *ids, int64_t kept,
                            long double *size)
{
    const long double lp = plain_lse(p, n), lq = plain_lse(q, n);
    long double kl = 0, in_p = 0, in_q = 0;
    *size = 0;
    for (int64_t j = 0; j < kept; j++) {
        const int64_t i = ids ? ids[j] : j;
        const long double pi = expl(p[i] - lp), term = pi * ((p[i] - lp) - (q[i] - lq));
        kl += term;
        *size += fabsl(term);
        in_p += pi;
        in_q += expl(q[i] - lq);
    }
    if (!ids || !(in_p < 1)) return kl;
    const long double term = (1 - in_p) * logl((1 - in_p) / (in_q < 1 ? 1 - in_q : 1e-300L));
    *size += fabsl(term);
    return kl + term;
}

static void check_stats(const row_stats *s, const float *x, int64_t n, int r)
{
    ck_assert_int_eq(s->top, argmax_f32(x, n));
    ck_assert_int_eq(s->finite, all_finite(x, n));
    ck_assert_int_eq(s->zero, all_zero(x, n));
    const float next = r % 5 == 4 || !s->finite ? 0.0f : x[r * 7919 % n];
    ck_assert_msg(memcmp(&s->next, &next, sizeof next) == 0, "row %d: the wanted logit is %g, found %g", r,
                  (double)next, (double)s->next);
    if (!s->finite) { ck_assert(s->lse == 0); return; }
    const long double want = plain_lse(x, n);
    ck_assert_msg(fabsl(s->lse - want) <= 4e-16L * fmaxl(8, fabsl(want)),
                  "row %d of %lld: log-sum-exp %.17g, expected %.17Lg", r, (long long)n, s->lse, want);
}

// Where both rows' log-sum-exp is off by rounding, so is each term. Logits of 1e38 have no digits left to compare.
static void check_kl(double got, const float *p, const float *q, int64_t n, const int32_t *ids, int64_t kept, int r)
{
    long double size;
    if (!all_finite(p, n) || !all_finite(q, n)) { ck_assert(got == 0); return; }
    if (r % N_ROW_KINDS == HUGE_RANGE) { ck_assert(got >= 0 && isfinite(got)); return; }
    const long double want = plain_kl(p, q, n, ids, kept, &size);
    // Both log-sum-exps are rounded, so every probability is off by as much, relatively, as they are absolutely. And
    // where next to nothing is outside of what is kept, the bucket is noise of 1e-15 times a logarithm of at most 36 +
    // 691.
    const long double lse = fmaxl(fabsl(plain_lse(p, n)), fabsl(plain_lse(q, n))),
                      allowed = 4e-16L * fmaxl(8, lse) * (1 + size) + (ids ? 1e-12L : 0);
    ck_assert_msg(fabsl(got - fmaxl(0, want)) <= allowed, "row %d of %lld, %lld kept: KL %.17g, expected %.17Lg", r,
                  (long long)n, (long long)kept, got, want);
}

typedef struct { float v; int32_t id; } ranked;

static int by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    const bool xn = isnan(x->v), yn = isnan(y->v);
    if (xn != yn) return xn ? 1 : -1;
    if (!xn && x->v != y->v) return x->v > y->v ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_id(const void *a, const void *b) { return ((const ranked *)a)->id < ((const ranked *)b)->id ? -1 : 1; }

static void check_top(const int32_t *ids, const float *logits, const float *x, int64_t n, int64_t k)
{
    ranked *all = malloc((size_t)n * sizeof *all);
    for (int64_t i = 0; i < n; i++) all[i] = (ranked){ x[i], (int32_t)i };
    qsort(all, (size_t)n, sizeof *all, by_rank);
    qsort(all, (size_t)k, sizeof *all, by_id);
    for (int64_t j = 0; j < k; j++) {
        if (ids[j] != all[j].id)
            ck_abort_msg("%lld of %lld: place %lld: id %d, expected %d", (long long)k, (long long)n, (long long)j,
                         ids[j], all[j].id);
        if (memcmp(&logits[j], &x[ids[j]], sizeof *x) != 0)
            ck_abort_msg("place %lld: another logit than that of id %d", (long long)j, ids[j]);
    }
    free(all);
}

// Row r of the reference is x's own where r % 6 is 5: at no distance.
static void make_rows(const score_case *c, float **x, float **ref)
{
    *x = score_rows(c, 7);
    *ref = score_rows(c, 99);
    for (int r = 5; r < c->rows; r += 6) memcpy(*ref + r * c->n, *x + r * c->n, (size_t)c->n * sizeof **x);
}

START_TEST(figures_are_those_of_plain_sums)
{
    backend *b = backend_cpu(ARITH_F32, 2, NULL, &e);
    must(b != NULL);
    for (int i = 0; i < N_SCORE_CASES; i++) {
        const score_case *c = &score_cases[i];
        float *x, *ref;
        make_rows(c, &x, &ref);
        scores s = score_on(b, c, x, ref);
        for (int r = 0; r < c->rows; r++) {
            const float *p = ref + r * c->n, *q = x + r * c->n;
            check_stats(&s.stats[r], q, c->n, r);
            check_stats(&s.ref_stats[r], p, c->n, r);
            check_kl(s.kl[r], p, q, c->n, NULL, c->n, r);
            check_top(s.ids + r * c->k, s.logits + r * c->k, p, c->n, c->k);
            check_kl(s.kl_kept[r], p, q, c->n, s.ids + r * c->k, c->k, r);
            ck_assert(s.kl[r] == s.kl_host[r]);
            if (r % 6 == 5) ck_assert_msg(s.kl[r] == 0, "row %d from itself: KL %g", r, s.kl[r]);
        }
        score_free(&s);
        free(x);
        free(ref);
    }
    b->ops->close(b);
}
END_TEST

START_TEST(same_bits_at_every_level_and_for_any_threads)
{
    static const struct {
        const char *simd;
        int threads;
    } others[] = { { "portable", 3 }, { "avx2", 1 }, { "avx2", 4 }, { "avx512", 1 }, { "avx512", 3 } };
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        err why = { 0 };
        backend *one = backend_cpu(ARITH_F32, 1, "portable", &e),
                *b = backend_cpu(ARITH_F32, others[k].threads, others[k].simd, &why);
        must(one != NULL);
        if (!b) fprintf(stderr, "SKIP %s: %s\n", others[k].simd, why.msg);
        for (int i = 0; b && i < N_SCORE_CASES; i++) {
            float *x, *ref;
            make_rows(&score_cases[i], &x, &ref);
            scores want = score_on(one, &score_cases[i], x, ref), got = score_on(b, &score_cases[i], x, ref);
            score_same(&want, &got, &score_cases[i], others[k].simd);
            score_free(&want);
            score_free(&got);
            free(x);
            free(ref);
        }
        if (b) b->ops->close(b);
        one->ops->close(one);
    }
}
END_TEST

// ---- sessions -------------------------------------------------------------------------------------------------------

enum { N_IDS = 45 };
static char dir[64], path[96];
static model *m;
static int32_t ids[N_IDS];

static void prepare(void)
{
    strcpy(dir, "/tmp/hallmark-score-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/f32.gguf", dir);
    must(convert_checkpoint(SOURCE_DIR "/fixtures/tiny-gemma4", path, &(convert_opts){ .type = FT_F32 }, &e));
    must((m = model_open(path, &e)) != NULL);
    for (int i = 0; i < N_IDS; i++)
        ids[i] = (int32_t)((uint32_t)(i * i + 7) * 2654435761u % (uint32_t)model_hparams(m)->n_vocab);
}

static void clean(void)
{
    model_close(m);
    unlink(path);
    rmdir(dir);
}

static session *open_one(int n_batch)
{
    session *s = session_new(m, &(session_opts){ .device = "cpu", .n_ctx = N_IDS, .n_batch = n_batch }, &e);
    must(s != NULL);
    return s;
}

// Whatever the batch: 45 is less than one, several with a rest, single tokens.
START_TEST(a_text_is_scored_as_its_logits_are)
{
    static const int batches[] = { 0, 45, 19, 16, 1 };
    const int64_t v = model_hparams(m)->n_vocab;
    float *logits = malloc((size_t)(N_IDS * v) * sizeof *logits);
    session *s = open_one(0);
    ck_assert_int_eq(session_batch(s), N_IDS);
    must(session_eval(s, ids, N_IDS, logits, N_IDS, NULL, &e));
    session_free(s);
    for (size_t k = 0; k < sizeof batches / sizeof *batches; k++) {
        row_stats out[N_IDS];
        memset(out, 0x7b, sizeof out);
        s = open_one(batches[k]);
        must(session_score(s, ids, N_IDS, k % 2 ? 12 : -1, out, &e));
        ck_assert_int_eq(session_pos(s), N_IDS);
        for (int i = 0; i < N_IDS; i++) {
            const float *row = logits + i * v;
            const long double lse = plain_lse(row, v);
            const float next = i + 1 < N_IDS ? row[ids[i + 1]] : k % 2 ? row[12] : 0.0f;
            ck_assert_msg(out[i].top == argmax_f32(row, v) && out[i].finite && !out[i].zero && out[i].next == next,
                          "batch %d, token %d", batches[k], i);
            ck_assert_msg(fabsl(out[i].lse - lse) <= 1e-14L, "batch %d, token %d: %.17g, expected %.17Lg", batches[k],
                          i, out[i].lse, lse);
        }
        session_free(s);
    }
    free(logits);
}
END_TEST

enum { HELD = 32 };         // rows of logits at a time on the CPU

START_TEST(what_is_held_is_what_was_run)
{
    const int64_t v = model_hparams(m)->n_vocab;
    float *logits = malloc((size_t)(N_IDS * v) * sizeof *logits), *held = malloc((size_t)(HELD * v) * sizeof *held),
          top_logits[HELD * 20];
    int32_t top[HELD * 20];
    row_stats stats[HELD], other_stats[HELD];
    double kl[HELD], kl_kept[HELD];
    session *s = open_one(0), *other = open_one(0);
    must(session_eval(s, ids, N_IDS, logits, N_IDS, NULL, &e));
    session_reset(s);
    must(session_step(s, ids, N_IDS, &e) && session_step(other, ids + 3, 7 + HELD, &e));
    const int rows = session_hold_rows(s);
    ck_assert_int_eq(rows, HELD);
    must(session_hold(s, 10, rows, &e) && session_held_logits(s, held, &e));
    ck_assert(memcmp(held, logits + 10 * v, (size_t)(rows * v) * sizeof *held) == 0);
    must(session_held_stats(s, ids + 11, stats, &e) && session_held_top(s, 20, top, top_logits, &e));
    check_top(top, top_logits, held, v, 20);
    must(session_hold(other, 7, rows, &e) && session_held_stats(other, ids + 11, other_stats, &e));
    must(session_held_kl_from(other, other_stats, s, stats, kl, &e));
    const row_reference ref = { .logits = held, .kept = v, .stats = stats };
    must(session_held_kl(other, other_stats, &ref, kl_kept, &e));
    ck_assert(memcmp(kl, kl_kept, sizeof kl) == 0);
    for (int i = 0; i < rows; i++) ck_assert(kl[i] > 0 && isfinite(kl[i]));
    must(session_held_kl_from(s, stats, s, stats, kl, &e));
    for (int i = 0; i < rows; i++) ck_assert(kl[i] == 0);
    session_free(s);
    session_free(other);
    free(logits);
    free(held);
}
END_TEST

START_TEST(what_cannot_be_held_or_scored_is_said)
{
    session *s = open_one(40), *other = open_one(40);
    row_stats out[N_IDS];
    int32_t none[HELD];
    double kl[HELD];
    const int32_t outside = (int32_t)model_hparams(m)->n_vocab;
    for (int i = 0; i < HELD; i++) none[i] = -1;
#define REFUSED(call, what, says)                                                                                   \
    do {                                                                                                            \
        err why = { 0 };                                                                                            \
        ck_assert(!(call));                                                                                         \
        ck_assert_msg(why.kind == (what) && strstr(why.msg, says), "%s: found '%s', expected '%s' in it", #call,    \
                      why.msg, says);                                                                               \
    } while (0)
    REFUSED(session_held_stats(s, none, out, &why), ERR_USAGE, "no logits are held");
    REFUSED(session_hold(s, 0, 1, &why), ERR_USAGE, "a step of 0 was run");
    REFUSED(session_step(s, ids, 41, &why), ERR_USAGE, "expected 1 to 40");
    REFUSED(session_step(s, ids, 0, &why), ERR_USAGE, "expected 1 to 40");
    REFUSED(session_step(s, &outside, 1, &why), ERR_INPUT, "outside the vocabulary");
    REFUSED(session_score(s, ids, 0, -1, out, &why), ERR_USAGE, "no tokens");
    must(session_score(s, ids, 40, -1, out, &e));
    REFUSED(session_score(s, ids, 6, -1, out, &why), ERR_USAGE, "do not fit the context");
    session_reset(s);
    must(session_step(s, ids, HELD + 2, &e));
    REFUSED(session_hold(s, 3, HELD, &why), ERR_USAGE, "a step of 34 was run");
    REFUSED(session_hold(s, 0, HELD + 1, &why), ERR_USAGE, "32 at a time");
    REFUSED(session_hold(s, -1, 2, &why), ERR_USAGE, "from -1 on");
    must(session_hold(s, 2, HELD, &e));
    REFUSED(session_held_top(s, 0, none, NULL, &why), ERR_USAGE, "the 0 largest");
    REFUSED(session_held_top(s, outside + 1, none, NULL, &why), ERR_USAGE, "largest of");
    REFUSED(session_held_kl_from(s, out, other, out, kl, &why), ERR_USAGE, "no logits are held");
    must(session_step(other, ids, HELD + 2, &e) && session_hold(other, 2, HELD - 1, &e));
    REFUSED(session_held_kl_from(s, out, other, out, kl, &why), ERR_USAGE, "32 rows of");
    none[3] = outside;
    REFUSED(session_held_stats(s, none, out, &why), ERR_INPUT, "outside the vocabulary");
    // Anything else that runs ends the holding.
    must(session_eval(s, ids, 1, NULL, 0, NULL, &e));
    REFUSED(session_held_stats(s, none, out, &why), ERR_USAGE, "no logits are held");
#undef REFUSED
    session_free(s);
    session_free(other);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("score");
    TCase *t = tcase_create("rows"), *u = tcase_create("sessions");
    tcase_add_test(t, figures_are_those_of_plain_sums);
    tcase_add_test(t, same_bits_at_every_level_and_for_any_threads);
    tcase_add_unchecked_fixture(u, prepare, clean);
    tcase_add_test(u, a_text_is_scored_as_its_logits_are);
    tcase_add_test(u, what_is_held_is_what_was_run);
    tcase_add_test(u, what_cannot_be_held_or_scored_is_said);
    suite_add_tcase(s, t);
    suite_add_tcase(s, u);
    return run_suite(s);
}
