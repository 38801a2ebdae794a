// kl_tool REF.gguf TEXT TOKENS THREADS ART.gguf...: how far each artifact is from REF over the first TOKENS tokens of
// TEXT, one line each: mean KL, median, share of positions with the same greedy id, perplexity of REF and of the
// artifact. For benchmarks; the library is measure/divergence.h.
#include "measure/divergence.h"
#include "measure/texts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: kl_tool REF.gguf TEXT TOKENS THREADS ART.gguf...\n");
        return 2;
    }
    const int n = argc - 5;
    err e = { 0 };
    int32_t *ids = NULL;
    int64_t n_ids = 0;
    model *ref = model_open(argv[1], &e), **arts = calloc((size_t)n, sizeof *arts);
    divergence *d = calloc((size_t)n, sizeof *d);
    bool ok = arts && d && ref && texts_read(&ids, &n_ids, ref, argv[2], atoll(argv[3]), &e);
    for (int i = 0; ok && i < n; i++) ok = (arts[i] = model_open(argv[5 + i], &e)) != NULL;
    const divergence_opts o = { .run = { .n_threads = atoi(argv[4]) } };
    ok = ok && divergence_measure_many(d, ref, (const model *const *)arts, n, ids, n_ids, &o, &e);
    for (int i = 0; ok && i < n; i++)
        printf("%.6g %.6g %.5f %.4f %.4f %s\n", d[i].kl_mean, d[i].kl_median,
               (double)d[i].top1_equal / (double)d[i].tokens, exp(d[i].nll_ref), exp(d[i].nll), argv[5 + i]);
    if (!ok) fprintf(stderr, "kl_tool: %s\n", e.msg);
    for (int i = 0; arts && i < n; i++) model_close(arts[i]);
    model_close(ref);
    free(arts);
    free(d);
    free(ids);
    return ok ? 0 : 3;
}
