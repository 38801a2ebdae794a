// quality_bench: what a type costs, by method, at the same size: ggml's choice, --effort, --calibrate; each with and
// without an importance matrix.
//
//   quality_bench SOURCE.gguf --text HELD_OUT [--calibrate TEXT] [--tokens 2048] [--chunk 256] [--threads N] [--imatrix
//   IM.gguf] TYPE...
//
// Columns: bytes of the file; the weighted error of all quantized matrices beside ggml's with the same matrix
// (geometric mean of the ratios of tensors; weights: the importance, or 1); mean, median and largest KL(source ||
// artifact) over the held-out text, nats; top-1 agreement; perplexity; KL beside ggml's without and with the matrix.
// LLAMA_QUANTIZE=path/to/llama-quantize: the reference rows are made by it, elsewhere by this program at effort 0,
// which gives the same bytes. The calibration text must not be the held-out one. By hand: it prints figures, it judges
// nothing.
#include "formats/file_map.h"
#include "quant/codec.h"
#include "quant/imatrix.h"
#include "quant/quantize.h"
#include "measure/calibrate.h"
#include "measure/divergence.h"
#include "measure/texts.h"
#include "measure/importance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct { const char *name; bool imatrix, calibrate; int effort; } method;
static const method methods[] = {
    { "ggml", false, false, 0 }, { "effort 1", false, false, 1 }, { "ggml", true, false, 0 },
    { "effort 1", true, false, 1 }, { "calibrate", false, true, 1 },
};
enum { N_METHODS = sizeof methods / sizeof *methods };

typedef struct {
    const char *source, *text, *calibrate, *imatrix;
    char        dir[64], made_imatrix[96];
    int64_t     tokens, chunk, calibration_tokens;
    int         threads, only;
} setup;

static void fail(const err *e)
{
    fprintf(stderr, "quality_bench: %s\n", e->msg);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Sums of the weighted errors of each quantized matrix, in the source's order; NAN for the others. errors: [n tensors
// of source].
static void tensor_errors(double *errors, const gguf *source, const gguf *art, const imatrix *im)
{
    for (int64_t i = 0; i < gguf_n_tensors(source); i++) {
        const gguf_tensor *s = gguf_tensor_at(source, i), *t = gguf_find_tensor(art, s->name);
        int64_t n, from_bytes, to_bytes;
        errors[i] = NAN;
        if (!t || t->n_dims != 2 || dtype_find(t->type)->block_weights == 1) continue;
        const int64_t cols = t->shape[1];
        const float *w = im ? imatrix_find(im, t->name, &n) : NULL;
        const codec *from = codec_find(s->type);
        float *x = malloc((size_t)cols * sizeof *x);
        if (!x || !from || !dtype_row_bytes(s->type, cols, &from_bytes) || !dtype_row_bytes(t->type, cols, &to_bytes))
            abort();
        errors[i] = 0;
        for (int64_t r = 0; r < t->shape[0]; r++) {
            from->decode_row(x, s->data + r * from_bytes, cols);
            errors[i] += effort_row_error(t->type, t->data + r * to_bytes, x, cols, w);
        }
        free(x);
    }
}

static double mean_ratio(const double *a, const double *b, int64_t n)
{
    double sum = 0, count = 0;
    for (int64_t i = 0; i < n; i++)
        if (a[i] > 0 && b[i] > 0) {
            sum += log(a[i] / b[i]);
            count++;
        }
    return count > 0 ? exp(sum / count) : NAN;
}

static void make_reference(const setup *s, const char *out, const file_type_info *t, const char *imatrix_path)
{
    const char *tool = getenv("LLAMA_QUANTIZE");
    char command[1024];
    err e = { 0 };
    if (!tool) {
        if (!quantize_file(s->source, out,
                           &(quantize_opts){ .type = t->id, .imatrix = imatrix_path, .n_threads = s->threads }, &e))
            fail(&e);
        return;
    }
    snprintf(command, sizeof command, "'%s' %s%s%s '%s' '%s' %s %d >/dev/null 2>&1", tool,
             imatrix_path ? "--imatrix '" : "", imatrix_path ? imatrix_path : "", imatrix_path ? "'" : "", s->source,
             out, t->label, s->threads > 0 ? s->threads : 2);
    if (system(command) != 0) {
        fprintf(stderr, "quality_bench: failed: %s\n", command);
        exit(1);
    }
}

static void make(const setup *s, const char *out, const file_type_info *t, const method *m, const calibration *cal)
{
    err e = { 0 };
    const char *im = m->imatrix ? s->imatrix : NULL;
    if (m->effort == 0) {
        make_reference(s, out, t, im);
        return;
    }
    quantize_opts q = { .type = t->id, .imatrix = im, .n_threads = s->threads,
                        .effort = calibration_effort(m->calibrate ? cal : NULL, m->effort) };
    if (!quantize_file(s->source, out, &q, &e)) fail(&e);
}

static void bench_type(const setup *s, const file_type_info *t, const model *source, const int32_t *ids, int64_t n_ids,
                       const calibration *cal, const imatrix *im)
{
    char path[N_METHODS][128];
    model *arts[N_METHODS] = { 0 };
    double seconds[N_METHODS], *errors[N_METHODS][2] = { 0 };       // by 1, by importance
    int which[N_METHODS], n = 0;
    divergence d[N_METHODS];
    err e = { 0 };
    const int64_t n_tensors = gguf_n_tensors(model_gguf(source));
    for (int i = 0; i < N_METHODS; i++) {
        if ((methods[i].imatrix && !s->imatrix) || (methods[i].calibrate && !cal)) continue;
        snprintf(path[n], sizeof path[n], "%s/%d.gguf", s->dir, i);
        const double begin = now();
        make(s, path[n], t, &methods[i], cal);
        seconds[n] = now() - begin;
        if (!(arts[n] = model_open(path[n], &e))) fail(&e);
        for (int w = 0; w < 2; w++) {
            errors[n][w] = malloc((size_t)n_tensors * sizeof(double));
            if (!errors[n][w]) abort();
            tensor_errors(errors[n][w], model_gguf(source), model_gguf(arts[n]), w ? im : NULL);
        }
        which[n++] = i;
    }
    const divergence_opts o = { .chunk = s->chunk, .run = { .device = "cpu", .n_threads = s->threads } };
    if (!divergence_measure_many(d, source, (const model *const *)arts, n, ids, n_ids, &o, &e)) fail(&e);
    int plain = 0, weighted = 0;
    for (int i = 0; i < n; i++)
        if (methods[which[i]].effort == 0) *(methods[which[i]].imatrix ? &weighted : &plain) = i;
    for (int i = 0; i < n; i++) {
        const method *m = &methods[which[i]];
        printf("%-7s %-8s %-10s %11lld %6.1f  %7.3f %7.3f  %9.6f %9.6f %8.4f  %6.2f%%  %8.4f  %6.3f %6.3f\n", t->label,
               m->imatrix ? "imatrix" : "-", m->name, (long long)gguf_file_bytes(model_gguf(arts[i])), seconds[i],
               mean_ratio(errors[i][0], errors[plain][0], n_tensors),
               mean_ratio(errors[i][1], errors[weighted][1], n_tensors), d[i].kl_mean, d[i].kl_median, d[i].kl_max,
               100.0 * (double)d[i].top1_equal / (double)d[i].tokens, exp(d[i].nll), d[i].kl_mean / d[plain].kl_mean,
               d[i].kl_mean / d[weighted].kl_mean);
    }
    fflush(stdout);
    for (int i = 0; i < n; i++) {
        model_close(arts[i]);
        unlink(path[i]);
        free(errors[i][0]);
        free(errors[i][1]);
    }
}

static void usage(void)
{
    fprintf(stderr, "usage: quality_bench SOURCE.gguf --text HELD_OUT [--calibrate TEXT] [--calibration-tokens 16384] "
                    "[--tokens 2048] [--chunk 256] [--threads N] [--imatrix IM] TYPE...\n");
    exit(2);
}

int main(int argc, char **argv)
{
    setup s = { .tokens = 2048, .chunk = 256 };
    const file_type_info *types[32];
    int n_types = 0;
    err e = { 0 };
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (a[0] == '-' && !v) usage();
        if (strcmp(a, "--text") == 0)           { s.text = v; i++; }
        else if (strcmp(a, "--calibrate") == 0) { s.calibrate = v; i++; }
        else if (strcmp(a, "--imatrix") == 0)   { s.imatrix = v; i++; }
        else if (strcmp(a, "--tokens") == 0)    { s.tokens = atoll(v); i++; }
        else if (strcmp(a, "--calibration-tokens") == 0) { s.calibration_tokens = atoll(v); i++; }
        else if (strcmp(a, "--chunk") == 0)     { s.chunk = atoll(v); i++; }
        else if (strcmp(a, "--threads") == 0)   { s.threads = atoi(v); i++; }
        else if (a[0] == '-')                   usage();
        else if (!s.source)                     s.source = a;
        else if (n_types < 32 && (types[n_types] = file_type_find(a))) n_types++;
        else usage();
    }
    if (!s.source || !s.text || n_types == 0) usage();
    strcpy(s.dir, "/tmp/hallmark-quality-XXXXXX");
    if (!mkdtemp(s.dir)) return 1;
    model *source = model_open(s.source, &e);
    int32_t *ids = NULL;
    int64_t n_ids = 0;
    calibration *cal = NULL;
    imatrix *im = NULL;
    if (!source || !texts_read(&ids, &n_ids, source, s.text, s.tokens, &e)) fail(&e);
    if (s.calibrate) {
        const double begin = now();
        const calibration_opts c = { .texts = &s.calibrate,
                                     .n_texts = 1,
                                     .max_tokens = s.calibration_tokens,
                                     .dir = s.dir,
                                     .n_threads = s.threads };
        if (!(cal = calibration_compute(s.source, &c, &e))) fail(&e);
        printf("calibration: %.1f s\n", now() - begin);
        if (!s.imatrix) {           // of the same text
            snprintf(s.made_imatrix, sizeof s.made_imatrix, "%s/imatrix.gguf", s.dir);
            s.imatrix = s.made_imatrix;
            const importance_opts io = { .texts = &s.calibrate,
                                         .n_texts = 1,
                                         .chunk = 256,
                                         .run = { .device = "cpu", .arith = "f32", .n_threads = s.threads } };
            if (!importance_compute(s.source, s.imatrix, &io, &e)) fail(&e);
        }
    }
    if (s.imatrix && !(im = imatrix_open(s.imatrix, &e))) fail(&e);
    printf("%-7s %-8s %-10s %11s %6s  %7s %7s  %9s %9s %8s  %7s  %8s  %6s %6s\n", "type", "imatrix", "method", "bytes",
           "s", "error", "w.error", "KL mean", "median", "max", "top-1", "ppl", "/ggml", "/ggml im");
    for (int i = 0; i < n_types; i++) bench_type(&s, types[i], source, ids, n_ids, cal, im);
    imatrix_close(im);
    calibration_free(cal);
    if (s.made_imatrix[0]) unlink(s.made_imatrix);
    rmdir(s.dir);
    free(ids);
    model_close(source);
    return 0;
}
