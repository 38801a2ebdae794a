// sensitivity: see sensitivity.h.
#include "sensitivity.h"
#include "../quant/encode.h"
#include "texts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// the first positions have hardly any context: their KL is mostly noise
enum { DEFAULT_CHUNK = 128, DEFAULT_SAMPLES = 4, SKIP = 4 };
// of the reference; beyond that its largest, and one bucket for the rest
static const int64_t LOGITS_BYTES = (int64_t)1 << 30;

// What a matrix is multiplied with; of experts [n_expert][cols], n all their tokens together, so that an expert counts
// as often as it is taken.
typedef struct { float *mean_square; double *sum; int64_t values, n; } column;
typedef struct { uint8_t *bytes; dtype type; } encoded;    // one matrix as the session has it now; NULL: the source's

struct probe {
    model           *m;
    session         *run;
    imatrix         *im;
    sensitivity_opts o;
    char           (*digests)[SHA256_HEX + 1];      // [o.n_texts]
    int32_t         *ids;
    int64_t          n_ids, n_tensors;
    imatrix_reach    reach;
    column          *columns;       // [n_tensors]; mean_square NULL where nothing was seen
    encoded         *now;           // [n_tensors]
    divergence_ref  *ref;
    double           pass_seconds;  // of the run whose inputs were seen
    err             *e;             // of the observer, which cannot return one
};

const model *probe_model(const probe *p) { return p->m; }
int64_t probe_samples(const probe *p)    { return p->n_ids / p->o.chunk; }
int64_t probe_chunk(const probe *p)      { return p->o.chunk; }
const char *probe_text_digest(const probe *p, int i) { return p->digests[i]; }
const char *probe_device(const probe *p) { return session_device(p->run); }
double probe_pass_seconds(const probe *p) { return p->pass_seconds; }

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// ---- the text -------------------------------------------------------------------------------------------------------

// Takes o.samples chunks of all texts' whole chunks, evenly spread.
static bool sample_texts(probe *p, err *e)
{
    token_list all = { 0 };
    const int64_t chunk = p->o.chunk;
    p->digests = calloc((size_t)p->o.n_texts, sizeof *p->digests);
    if (!p->digests) return err_nomem(e, "the texts' digests", (size_t)p->o.n_texts * sizeof *p->digests);
    for (int i = 0; i < p->o.n_texts; i++) {
        if (!texts_append(&all, p->m, p->o.texts[i], false, p->digests[i], e)) { free(all.v); return false; }
        all.n = all.n / chunk * chunk;          // as all before it are whole chunks
    }
    const int64_t have = all.n / chunk, n = have < p->o.samples ? have : p->o.samples;
    p->ids = malloc((size_t)(n * chunk + 1) * sizeof *p->ids);
    for (int64_t k = 0; p->ids && k < n; k++)
        memcpy(p->ids + k * chunk, all.v + k * have / n * chunk, (size_t)chunk * sizeof *p->ids);
    free(all.v);
    if (!p->ids) return err_nomem(e, "the texts' tokens", (size_t)(n * chunk) * sizeof *p->ids);
    if (n < 1)
        return err_set(e, ERR_INPUT, "%s: the texts are shorter than one chunk of %lld tokens", p->o.texts[0],
                       (long long)chunk);
    p->n_ids = n * chunk;
    return true;
}

// ---- what each matrix is multiplied with ----------------------------------------------------------------------------

static int64_t index_of(const probe *p, const char *name)
{
    const gguf *g = model_gguf(p->m);
    const gguf_tensor *t = gguf_find_tensor(g, name);
    return t ? t - gguf_tensor_at(g, 0) : -1;
}

static void observe(void *ctx, const product_input *seen)
{
    probe *p = ctx;
    column *c = &p->columns[index_of(p, seen->tensor)];
    const int64_t cols = seen->cols;
    if (!c->sum) {
        c->values = cols * (seen->experts > 0 ? seen->experts : 1);
        c->sum = calloc((size_t)c->values, sizeof *c->sum);
    }
    if (!c->sum) {
        err_nomem(p->e, "sums of a matrix's input", (size_t)c->values * sizeof *c->sum);
        return;
    }
    double *sum = c->sum + seen->expert * cols;
    for (int t = 0; t < seen->n; t++)
        for (int64_t k = 0; k < cols; k++) sum[k] += (double)seen->x[t * cols + k] * seen->x[t * cols + k];
    c->n += seen->n;
}

static bool observe_inputs(probe *p, err *e)
{
    p->e = e;
    if (!session_observe(p->run, observe, p, e)) return false;
    for (int64_t at = 0; at < p->n_ids; at += p->o.chunk)
        if (!texts_run(p->run, p->ids + at, p->o.chunk, true, texts_bos(p->m), NULL, e) || e->kind != ERR_NONE)
            return false;
    if (!session_observe(p->run, NULL, NULL, e)) return false;
    for (int64_t i = 0; i < p->n_tensors; i++) {
        column *c = &p->columns[i];
        if (!c->sum) continue;
        if (!(c->mean_square = malloc((size_t)c->values * sizeof *c->mean_square)))
            return err_nomem(e, "sums of a matrix's input", (size_t)c->values * sizeof(float));
        for (int64_t k = 0; k < c->values; k++) c->mean_square[k] = (float)(c->sum[k] / (double)c->n);
        free(c->sum);
        c->sum = NULL;
    }
    return true;
}

// ---- opening --------------------------------------------------------------------------------------------------------

static session_opts run_opts(const probe *p)
{
    session_opts so = p->o.run;
    so.arith = "f32";
    so.kv    = NULL;
    so.n_ctx = p->o.chunk;
    so.reproducible = true;     // the mix is the file
    return so;
}

static bool open_all(probe *p, const char *path, err *e)
{
    if (p->o.n_texts < 1) return err_set(e, ERR_USAGE, "measuring what quantization costs needs a text");
    if (!(p->m = model_open(path, e)) || (p->o.imatrix && !(p->im = imatrix_open(p->o.imatrix, e)))) return false;
    const hparams *h = model_hparams(p->m);
    p->reach.first_mtp = h->n_layer;
    while (p->reach.first_shared_kv < h->n_layer) {
        const layer_shape *l = &h->layers[p->reach.first_shared_kv];
        if (!l->has_kv && !l->recurrent) break;
        p->reach.first_shared_kv++;
    }
    p->n_tensors = gguf_n_tensors(model_gguf(p->m));
    p->columns   = calloc((size_t)p->n_tensors + 1, sizeof *p->columns);
    p->now       = calloc((size_t)p->n_tensors + 1, sizeof *p->now);
    if (!p->columns || !p->now) return err_nomem(e, "the list of tensors", (size_t)p->n_tensors * sizeof *p->columns);
    const session_opts so = run_opts(p);
    if (!sample_texts(p, e) || !(p->run = session_new(p->m, &so, e))) return false;
    if (*session_note(p->run)) progress_log(p->o.progress, session_note(p->run));
    return true;
}

bool probe_prepare(probe *p, err *e)
{
    if (p->ref) return true;
    const double began = seconds_now();
    if (!observe_inputs(p, e)) return false;
    p->pass_seconds = seconds_now() - began;
    const divergence_opts d = { .chunk = p->o.chunk, .skip = SKIP < p->o.chunk - 2 ? SKIP : 0, .run = run_opts(p) };
    return (p->ref = divergence_ref_new(p->m, p->ids, p->n_ids, &d, LOGITS_BYTES, e)) != NULL;
}

probe *probe_open(const char *path, const sensitivity_opts *o, err *e)
{
    probe *p = calloc(1, sizeof *p);
    if (!p) { err_nomem(e, "a probe", sizeof *p); return NULL; }
    p->o = *o;
    if (p->o.chunk < 1) p->o.chunk = DEFAULT_CHUNK;
    if (p->o.samples < 1) p->o.samples = DEFAULT_SAMPLES;
    if (open_all(p, path, e)) return p;
    probe_close(p);
    return NULL;
}

void probe_close(probe *p)
{
    if (!p) return;
    session_free(p->run);
    divergence_ref_free(p->ref);
    for (int64_t i = 0; i < p->n_tensors; i++) {
        if (p->columns) { free(p->columns[i].mean_square); free(p->columns[i].sum); }
        if (p->now) free(p->now[i].bytes);
    }
    free(p->columns);
    free(p->now);
    free(p->digests);
    free(p->ids);
    imatrix_close(p->im);
    model_close(p->m);
    free(p);
}

// ---- encoding and running -------------------------------------------------------------------------------------------

// Six digits: more than a measurement on a sample means, fewer than two C libraries agree on (rotary tables are made of
// their functions).
static double rounded(double x)
{
    char text[32];
    snprintf(text, sizeof text, "%.5e", x);
    return strtod(text, NULL);
}

// Tensor t in type `to`, as quantize would write it. malloc'd.
static uint8_t *encode(const probe *p, const gguf_tensor *t, dtype to, err *e)
{
    const float *importance = NULL;
    policy_tensor pt = { .name = t->name, .type = t->type, .n_dims = t->n_dims };
    int64_t bytes;
    memcpy(pt.shape, t->shape, sizeof pt.shape);
    if (p->im && !imatrix_for_tensor(p->im, &pt, to, p->reach, &importance, e)) return NULL;
    if (!dtype_bytes(to, t->n_dims, t->shape, &bytes)) {
        err_set(e, ERR_USAGE, "tensor '%s': its rows cannot be %s", t->name, dtype_name(to));
        return NULL;
    }
    uint8_t *dst = malloc((size_t)bytes);
    if (!dst) { err_nomem(e, "a tensor", (size_t)bytes); return NULL; }
    if (encode_tensor(dst, t, to, importance, p->o.run.n_threads, e)) return dst;
    free(dst);
    return NULL;
}

// The session runs with these bytes for t; NULL: with the source's own.
static bool set_weight(probe *p, const gguf_tensor *t, dtype type, const uint8_t *bytes, bool *used, err *e)
{
    gguf_tensor now = *t;
    if (bytes) {
        now.type = type;
        now.data = bytes;
        if (!dtype_bytes(type, t->n_dims, t->shape, &now.n_bytes))
            return err_set(e, ERR_USAGE, "tensor '%s': its rows cannot be %s", t->name, dtype_name(type));
    }
    return session_replace_weight(p->run, &now, used, e);
}

static bool run_mean(probe *p, const char *name, double *kl, err *e)
{
    divergence d;
    if (!divergence_of_session(&d, p->ref, p->run, model_hparams(p->m)->n_vocab, e)) return false;
    *kl = rounded(d.kl_mean);
    progress_add(p->o.progress, name, 1);
    return true;
}

// The type whose run stands for all: the smallest of at least four bits a weight. Smaller ones leave the range where KL
// follows the squared error; with larger ones it drowns in the last bits of F32 arithmetic.
static int probe_type(const dtype *types, int n)
{
    int best = 0;
    double best_bits = 0;
    for (int k = 0; k < n; k++) {
        const dtype_info *d = dtype_find(types[k]);
        const double bits = 8.0 * d->block_bytes / d->block_weights;
        if (k == 0 || (bits >= 4 && (best_bits < 4 || bits < best_bits))) { best = k; best_bits = bits; }
    }
    return best;
}

// One type is run and the others follow, where what the matrix is multiplied with was seen.
static bool stands_for_all(const probe *p, int64_t index) { return p->columns[index].mean_square && !p->o.exact; }

int64_t probe_passes(const probe *p, const char *name, int n)
{
    const int64_t index = index_of(p, name);
    return index >= 0 && stands_for_all(p, index) ? 1 : n;
}

// Back to the source's weights, whatever was replaced.
static bool restore(probe *p, err *e)
{
    bool ok = true, used;
    for (int64_t i = 0; i < p->n_tensors; i++) {
        if (!p->now[i].bytes) continue;
        ok = set_weight(p, gguf_tensor_at(model_gguf(p->m), i), DT_INVALID, NULL, &used, e) && ok;
        free(p->now[i].bytes);
        p->now[i].bytes = NULL;
    }
    return ok;
}

bool probe_tensor(probe *p, const char *name, const dtype *types, int n, double *kl, err *e)
{
    const int64_t index = index_of(p, name);
    if (index < 0) return err_set(e, ERR_USAGE, "tensor '%s': the model has none of that name", name);
    if (!probe_prepare(p, e) || !restore(p, e)) return false;
    const gguf_tensor *t = gguf_tensor_at(model_gguf(p->m), index);
    const float *mean_square = p->columns[index].mean_square;
    const int standard = probe_type(types, n);
    double *error = calloc((size_t)n, sizeof *error);
    bool ok = error || err_nomem(e, "errors", (size_t)n * sizeof *error), used = true;
    for (int i = 0; ok && used && i < n; i++) {
        // the standard first: the others are measured by it
        const int k = i == 0 ? standard : i <= standard ? i - 1 : i;
        uint8_t *bytes = encode(p, t, types[k], e);
        const bool run = k == standard || !stands_for_all(p, index);
        ok = bytes && encode_error(&error[k], t, bytes, types[k], mean_square, p->o.run.n_threads, e);
        if (ok && run) ok = set_weight(p, t, types[k], bytes, &used, e);
        if (ok && run && used) {
            ok = run_mean(p, name, &kl[k], e);
            bool back;
            ok = set_weight(p, t, DT_INVALID, NULL, &back, e) && ok;        // before the bytes go
        } else if (ok && used) {
            kl[k] = error[standard] > 0 ? rounded(kl[standard] * error[k] / error[standard]) : rounded(error[k]);
        }
        free(bytes);
    }
    for (int k = 0; ok && !used && k < n; k++) kl[k] = 0;
    if (ok && !used) progress_add(p->o.progress, name, probe_passes(p, name, n));
    free(error);
    return ok;
}

bool probe_mix(probe *p, const char *const *names, const dtype *types, int64_t n, divergence *d, err *e)
{
    if (!probe_prepare(p, e)) return false;
    for (int64_t i = 0; i < n; i++) {
        const int64_t index = index_of(p, names[i]);
        bool used;
        if (index < 0) return err_set(e, ERR_USAGE, "tensor '%s': the model has none of that name", names[i]);
        encoded *now = &p->now[index];
        if (now->bytes && now->type == types[i]) continue;
        const gguf_tensor *t = gguf_tensor_at(model_gguf(p->m), index);
        uint8_t *bytes = encode(p, t, types[i], e);
        if (!bytes || !set_weight(p, t, types[i], bytes, &used, e)) { free(bytes); return false; }
        free(now->bytes);
        *now = (encoded){ bytes, types[i] };
    }
    if (!divergence_of_session(d, p->ref, p->run, model_hparams(p->m)->n_vocab, e)) return false;
    d->kl_mean = rounded(d->kl_mean);
    return true;
}
