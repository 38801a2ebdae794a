// kl_as_llama MODEL.gguf IDS CHUNK SKIP KV...: the divergence of caches from an F32 cache as llama.cpp's
// llama-perplexity computes it, beside our own, on the same ids: what our figures are compared with.
//
// Its base is a file of log-probabilities in 16 bits, clamped at 16 below the largest logit; ids whose base
// log-probability is -16 or less count nothing; sums are double over single-precision terms. On a CPU it rounds queries
// to blocks of 8 bits before their product with a quantized key, which FAULT_QUERY_ROUNDED imitates. IDS: a text file
// of ids, separated by commas or white space; each chunk of CHUNK begins with BOS in the place of its first id.
// One line a cache: its words; KL ours; KL as theirs; with queries rounded: KL ours, KL as theirs; top-1 of the two.
#include "measure/texts.h"
#include "runtime/session.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const model *m;
    int32_t     *ids;
    int64_t      n, chunk, skip, vocab;
} input;

typedef struct { double exact, theirs; int64_t top, n; } sums;

static void stop(const char *what)
{
    fprintf(stderr, "kl_as_llama: %s\n", what);
    exit(1);
}

static void read_ids(input *in, const char *path)
{
    FILE *f = fopen(path, "r");
    long  v;
    int   got;
    if (!f) stop("cannot read the ids");
    while ((got = fscanf(f, "%ld%*[, \n\t]", &v)) == 1) {
        if (v < 0 || v >= in->vocab) stop("an id outside the vocabulary");
        in->ids = realloc(in->ids, (size_t)(in->n + 1) * sizeof *in->ids);
        if (!in->ids) stop("no memory");
        in->ids[in->n++] = (int32_t)v;
    }
    fclose(f);
}

static double log_sum(const float *x, int64_t n, float top)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - top);
    return log(sum);
}

static double exact_kl(const float *b, const float *c, int64_t n, float top_b, float top_c)
{
    const double lb = log_sum(b, n, top_b) + top_b, lc = log_sum(c, n, top_c) + top_c;
    double kl = 0;
    for (int64_t i = 0; i < n; i++) kl += exp(b[i] - lb) * ((b[i] - lb) - (c[i] - lc));
    return kl;
}

static float log_sum_single(const float *x, int64_t n, float top)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += expf(x[i] - top);
    return (float)log(sum);
}

static double their_kl(const float *b, const float *c, int64_t n, float top_b, float top_c)
{
    float least = b[0];
    for (int64_t i = 1; i < n; i++) least = b[i] < least ? b[i] : least;
    if (least < top_b - 16) least = top_b - 16;
    const float at_least = least - top_b - log_sum_single(b, n, top_b), scale = (top_b - least) / 65535.f;
    const float inverse = scale != 0 ? 1 / scale : 0, shift = top_c + log_sum_single(c, n, top_c);
    double kl = 0;
    for (int64_t i = 0; i < n; i++) {
        const float code = b[i] > least ? nearbyintf(inverse * (b[i] - least)) : 0, p = scale * code + at_least;
        if (p > -16.f) kl += expf(p) * (p - c[i] + shift);
    }
    return kl;
}

static int64_t top_of(const float *x, int64_t n)
{
    int64_t top = 0;
    for (int64_t i = 1; i < n; i++) top = x[i] > x[top] ? i : top;
    return top;
}

static session *open(const input *in, const char *kv, bool rounded)
{
    err e = { 0 };
    const session_opts o = { .device = "cpu", .kv = kv, .arith = "f32", .n_ctx = in->chunk,
                             .fault = rounded ? FAULT_QUERY_ROUNDED : FAULT_NONE };
    session *s = session_new(in->m, &o, &e);
    if (!s) stop(e.msg);
    return s;
}

static void compare(sums *s, const input *in, session *base, session *run, float *b, float *c)
{
    const int64_t v = in->vocab, first = in->skip;
    err e = { 0 };
    for (int64_t at = 0; at + in->chunk <= in->n; at += in->chunk) {
        const int32_t bos = texts_bos(in->m);
        // In two runs of ids, so that no more rows of logits are asked for than are compared.
        const int64_t tail = in->chunk - first;
        const bool ok = (first == 0 || (texts_run(base, in->ids + at, first, true, bos, NULL, &e)
                                        && texts_run(run, in->ids + at, first, true, bos, NULL, &e)))
            && texts_run(base, in->ids + at + first, tail, first == 0, bos, b, &e)
            && texts_run(run, in->ids + at + first, tail, first == 0, bos, c, &e);
        if (!ok) stop(e.msg);
        for (int64_t i = 0; i < tail - 1; i++) {
            const float *x = b + i * v, *y = c + i * v;
            const int64_t tx = top_of(x, v), ty = top_of(y, v);
            s->exact += exact_kl(x, y, v, x[tx], y[ty]);
            s->theirs += their_kl(x, y, v, x[tx], y[ty]);
            s->top += tx == ty;
            s->n++;
        }
    }
}

int main(int argc, char **argv)
{
    err e = { 0 };
    if (argc < 6) stop("usage: kl_as_llama MODEL.gguf IDS CHUNK SKIP KV...");
    model *m = model_open(argv[1], &e);
    if (!m) stop(e.msg);
    input in = { .m = m, .chunk = atoll(argv[3]), .skip = atoll(argv[4]), .vocab = model_hparams(m)->n_vocab };
    read_ids(&in, argv[2]);
    if (in.chunk < 2 || in.skip < 0 || in.skip > in.chunk - 2 || in.n < in.chunk)
        stop("chunks that hold nothing to compare");
    const size_t room = (size_t)(in.chunk - in.skip) * (size_t)in.vocab;
    float *b = malloc(room * sizeof *b), *c = malloc(room * sizeof *c);
    if (!b || !c) stop("no memory");
    for (int k = 5; k < argc; k++) {
        sums s[2] = { 0 };
        for (int rounded = 0; rounded < 2; rounded++) {
            session *base = open(&in, "f32", false), *run = open(&in, argv[k], rounded);
            compare(&s[rounded], &in, base, run, b, c);
            session_free(base);
            session_free(run);
        }
        const double n = (double)s[0].n;
        printf("%s %.8g %.8g %.8g %.8g %.5f %.5f\n", argv[k], s[0].exact / n, s[0].theirs / n, s[1].exact / n,
               s[1].theirs / n, (double)s[0].top / n, (double)s[1].top / n);
        fflush(stdout);
    }
    free(b);
    free(c);
    free(in.ids);
    model_close(m);
    return 0;
}
