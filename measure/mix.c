// mix: see mix.h.
#define _GNU_SOURCE
#include "mix.h"
#include "../quant/type_of.h"
#include "../formats/json.h"
#include "../formats/sha256.h"
#include "mix_solve.h"
#include "mix_state.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Of types alike in size the first is taken where they cost the same.
static const dtype block_types[] = { DT_Q2_K, DT_Q3_K, DT_Q4_K, DT_Q5_K, DT_Q6_K, DT_Q4_0, DT_Q4_1, DT_Q5_0, DT_Q5_1,
                                     DT_Q8_0 };
enum { N_TYPES = sizeof block_types / sizeof *block_types, MAX_RUNS = 8 };

typedef struct {                // one tensor that the search gives a type
    int64_t    row;
    int        n;
    dtype      types[N_TYPES];
    mix_choice choices[N_TYPES];
    bool       measured;        // what each of them costs is known
} candidate;

typedef struct {
    mix_result       *r;
    const mix_target *target;
    const sensitivity_opts *o;
    probe      *p;
    mix_state  *state;          // NULL: nothing is kept
    candidate  *c;              // [n]
    mix_item   *items;          // [n], of c
    const char **names;         // [n]
    int64_t    *rows;           // [n], of the file
    int64_t     n, fixed_bytes, budget;     // budget: bytes of all tensors; 0 with max_kl
} search;

// ---- targets --------------------------------------------------------------------------------------------------------

bool mix_parse_bytes(const char *text, int64_t *bytes)
{
    static const struct { const char *unit; double bytes; } units[] = {
        { "B", 1 }, { "kB", 1e3 }, { "KB", 1e3 }, { "MB", 1e6 }, { "GB", 1e9 }, { "KiB", 1024 }, { "MiB", 1048576 },
        { "GiB", 1073741824 },
    };
    char *end = NULL;
    const double v = strtod(text, &end);
    const bool decimal = strspn(text, "0123456789.eE+") >= (size_t)(end - text);     // no space before it, no 0x
    if (end == text || !decimal || !isfinite(v) || !(v > 0) || !(v < 1e15)) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].unit) != 0 || v * units[i].bytes < 1 || v * units[i].bytes >= 1e15) continue;
        *bytes = (int64_t)(v * units[i].bytes);
        return true;
    }
    return false;
}

bool mix_parse_budget(mix_target *t, const char *text, err *e)
{
    char *end = NULL;
    const double v = strtod(text, &end);
    const file_type_info *ft = file_type_find(text);
    *t = (mix_target){ .like = FT_INVALID };
    if (ft) {
        t->like = ft->id;
        return true;
    }
    if (end != text && isfinite(v) && v > 0 && v <= 64 && strcmp(end, "bpw") == 0) {
        t->bits = v;
        return true;
    }
    if (mix_parse_bytes(text, &t->bytes)) return true;
    return err_set(e, ERR_USAGE,
                   "budget '%s': expected bits a weight (4.5bpw), a size (180MiB, 2.1GB), or a type whose size to keep "
                   "to (q4_k_m)",
                   text);
}

bool mix_parse_kl(mix_target *t, const char *text, err *e)
{
    char *end = NULL;
    const double v = strtod(text, &end);
    *t = (mix_target){ .like = FT_INVALID, .max_kl = v };
    return (end != text && *end == '\0' && isfinite(v) && v > 0)
        || err_set(e, ERR_USAGE, "largest KL '%s': expected a number above 0, in nats", text);
}

// ---- the tensors ----------------------------------------------------------------------------------------------------

// The rows as the policy's plainest mix has them: what becomes Q8_0 there is what the search may give another type.
static bool list_tensors(search *s, const char *in_path, err *e)
{
    const policy_overrides pure = { .pure = true, .output = DT_INVALID, .embedding = DT_INVALID };
    const quantize_opts q = { .type = FT_Q8_0, .imatrix = s->o->imatrix, .n_threads = s->o->run.n_threads,
                              .overrides = &pure };
    mix_result *r = s->r;
    quantize_preview v;
    if (!quantize_preview_file(&v, in_path, &q, e)) return false;
    const size_t n = (size_t)v.n + 1;
    r->rows  = calloc(n, sizeof *r->rows);
    r->types = calloc(n, sizeof *r->types);
    s->c     = calloc(n, sizeof *s->c);
    s->items = calloc(n, sizeof *s->items);
    s->names = calloc(n, sizeof *s->names);
    s->rows  = calloc(n, sizeof *s->rows);
    bool ok = (r->rows && r->types && s->c && s->items && s->names && s->rows)
        || err_nomem(e, "the list of tensors", n * sizeof *s->c);
    for (int64_t i = 0; ok && i < v.n; i++) {
        const quantize_row *from = &v.rows[i];
        mix_row *row = &r->rows[r->n++];
        *row = (mix_row){ .name = from->name, .from = from->from, .to = from->to, .n_dims = from->n_dims,
                          .bytes = from->to_bytes, .chosen = from->to != from->from && from->to == DT_Q8_0 };
        memcpy(row->shape, from->shape, sizeof row->shape);
        v.rows[i].name = NULL;                  // it is the row's now
        r->n_elems += from->n_elems;
        if (dtype_find(row->from)->block_weights > 1)
            ok = err_set(e, ERR_INPUT, "%s: tensor '%s': found %s, expected F32, F16 or BF16", in_path, row->name,
                         dtype_name(row->from));
        if (!row->chosen) { s->fixed_bytes += row->bytes; continue; }
        candidate *c = &s->c[s->n];
        c->row = i;
        for (int k = 0; k < N_TYPES; k++)
            if (dtype_bytes(block_types[k], row->n_dims, row->shape, &c->choices[c->n].bytes))
                c->types[c->n++] = block_types[k];
        s->items[s->n] = (mix_item){ c->choices, c->n };
        s->rows[s->n] = i;
        s->names[s->n++] = row->name;
    }
    quantize_preview_free(&v);
    if (ok && s->n == 0) ok = err_set(e, ERR_INPUT, "%s: found no tensor to quantize", in_path);
    return ok;
}

static bool find_budget(search *s, const char *in_path, err *e)
{
    const mix_target *t = s->target;
    int64_t largest = s->fixed_bytes, least = s->fixed_bytes;
    for (int64_t i = 0; i < s->n; i++) {
        int64_t lo = INT64_MAX, hi = 0;
        for (int k = 0; k < s->c[i].n; k++) {
            if (s->c[i].choices[k].bytes > hi) hi = s->c[i].choices[k].bytes;
            if (s->c[i].choices[k].bytes < lo) lo = s->c[i].choices[k].bytes;
        }
        largest += hi;
        least += lo;
    }
    s->budget = t->bytes;
    if (t->bits > 0) s->budget = (int64_t)floor(t->bits * (double)s->r->n_elems / 8 + 1e-6);
    if (t->like != FT_INVALID) {
        const quantize_opts q = { .type = t->like, .imatrix = s->o->imatrix, .n_threads = s->o->run.n_threads };
        quantize_preview v;
        if (!quantize_preview_file(&v, in_path, &q, e)) return false;
        s->budget = v.to_bytes;
        quantize_preview_free(&v);
    }
    if (t->max_kl > 0) s->budget = largest;
    if (s->budget >= least) return true;
    return err_set(e, ERR_USAGE,
                   "a budget of %lld bytes of tensors (%.4f bits a weight) is too small: the least possible is %lld "
                   "bytes (%.4fbpw)",
                   (long long)s->budget, 8.0 * (double)s->budget / (double)s->r->n_elems, (long long)least,
                   ceil(8e4 * (double)least / (double)s->r->n_elems) / 1e4);
}

// ---- searching ------------------------------------------------------------------------------------------------------

static mix_alone alone_of(const search *s, int64_t i)
{
    return (mix_alone){ .tensor = s->c[i].row, .types = s->c[i].types, .n = s->c[i].n };
}

static void set_costs(candidate *c, const double *kl)
{
    for (int k = 0; k < c->n; k++) c->choices[k].cost = kl[k];
    c->measured = true;
}

// What a run before this one has measured; *left: how many tensors it has not.
static bool read_state(search *s, int64_t *left, err *e)
{
    *left = s->n;
    for (int64_t i = 0; i < s->n; i++) {
        double kl[N_TYPES] = { 0 };
        bool found;
        const mix_alone c = alone_of(s, i);
        if (!mix_state_read_alone(s->state, &c, kl, &found, e)) return false;
        if (!found) continue;
        set_costs(&s->c[i], kl);
        --*left;
    }
    if (*left < s->n)
        progress_logf(s->o->progress, "%s: %lld of %lld tensors are measured", s->o->state, (long long)(s->n - *left),
                      (long long)s->n);
    return true;
}

// Runs over the chunks that are left to do.
static int64_t passes_left(const search *s)
{
    int64_t passes = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (!s->c[i].measured) passes += probe_passes(s->p, s->names[i], s->c[i].n);
    return passes;
}

// Said before it starts: it takes minutes for a small model, hours for a large one.
static void tell_work(const search *s, int64_t tensors, int64_t passes)
{
    const double seconds = (double)passes * probe_pass_seconds(s->p);
    progress_logf(s->o->progress, "to do: %lld tensors, %lld passes of %lld tokens, about %lld:%02lld min of them at "
                  "%.2g s each, beside encoding every tensor in every type", (long long)tensors, (long long)passes,
                  (long long)(probe_samples(s->p) * probe_chunk(s->p)), (long long)seconds / 60,
                  (long long)seconds % 60, probe_pass_seconds(s->p));
}

static bool measure_tensor(search *s, int64_t i, err *e)
{
    double kl[N_TYPES] = { 0 };
    const mix_alone c = alone_of(s, i);
    if (!probe_tensor(s->p, s->names[i], c.types, c.n, kl, e)) return false;
    set_costs(&s->c[i], kl);
    return mix_state_keep_alone(s->state, &c, kl, e);
}

static bool measure_candidates(search *s, err *e)
{
    int64_t left;
    if (!read_state(s, &left, e)) return false;
    if (left == 0) return true;
    if (!probe_prepare(s->p, e)) return false;
    const int64_t passes = passes_left(s);
    tell_work(s, left, passes);
    progress_stage_of(s->o->progress, "sensitivity", passes, "passes");
    for (int64_t i = 0; i < s->n; i++)
        if (!s->c[i].measured && !measure_tensor(s, i, e)) return false;
    return true;
}

typedef struct { int *picks; int64_t bytes; double predicted; } solution;       // bytes: of all tensors

static bool solve(const search *s, int64_t budget, solution *to, err *e)
{
    int64_t least;
    if (!mix_solve(s->items, s->n, budget - s->fixed_bytes, to->picks, &least, e))
        return err_set(e, ERR_USAGE, "a budget of %lld bytes of tensors is too small", (long long)budget);
    to->bytes = s->fixed_bytes;
    to->predicted = 0;
    for (int64_t i = 0; i < s->n; i++) {
        to->bytes     += s->c[i].choices[to->picks[i]].bytes;
        to->predicted += s->c[i].choices[to->picks[i]].cost;
    }
    return true;
}

// What the mix costs: as a run before this one has it, or by running it.
static bool measure_mix(search *s, const dtype *types, divergence *d, err *e)
{
    bool found;
    const mix_together m = { .tensors = s->rows, .types = types, .n = s->n };
    if (!mix_state_read_mix(s->state, &m, d, &found, e)) return false;
    return found || (probe_mix(s->p, s->names, types, s->n, d, e) && mix_state_keep_mix(s->state, &m, d, e));
}

static bool run_mix(search *s, const solution *from, divergence *d, err *e)
{
    dtype *types = calloc((size_t)s->n, sizeof *types);
    bool ok = types || err_nomem(e, "the types", (size_t)s->n * sizeof *types);
    for (int64_t i = 0; ok && i < s->n; i++) types[i] = s->c[i].types[from->picks[i]];
    ok = ok && measure_mix(s, types, d, e);
    free(types);
    s->r->n_measured++;
    progress_logf(s->o->progress, "mix: %.4f bits a weight, KL %.5f predicted, %.5f measured",
                  8.0 * (double)from->bytes / (double)s->r->n_elems, from->predicted, d->kl_mean);
    return ok;
}

static void keep(search *s, const solution *from, const divergence *d)
{
    mix_result *r = s->r;
    r->bytes        = from->bytes;
    r->kl_predicted = from->predicted;
    r->measured     = *d;
    for (int64_t i = 0; i < s->n; i++) {
        mix_row *row = &r->rows[s->c[i].row];
        row->to    = s->c[i].types[from->picks[i]];
        row->bytes = s->c[i].choices[from->picks[i]].bytes;
        row->kl    = s->c[i].choices[from->picks[i]].cost;
    }
}

// The smallest budget whose mix is predicted to cost at most kl, to within a part in a thousand of the way from lo to
// hi.
static bool budget_for(const search *s, double kl, int64_t lo, int64_t hi, solution *scratch, int64_t *budget, err *e)
{
    const int64_t close = (hi - lo) / 1000;
    while (hi - lo > close + 1) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (!solve(s, mid, scratch, e)) return false;
        if (scratch->predicted <= kl) hi = mid; else lo = mid;
    }
    *budget = hi;
    return true;
}

// The smallest mix whose measured KL is within the limit. The prediction says where to look; each run corrects it.
static bool search_kl(search *s, solution *now, err *e)
{
    const double limit = s->target->max_kl;
    divergence d;
    int64_t hi = s->budget, lo, at;
    double predicted;
    if (!solve(s, hi, now, e) || !run_mix(s, now, &d, e)) return false;
    if (d.kl_mean > limit)
        return err_set(e, ERR_VERDICT,
                       "no mix is within a mean KL of %g: the best there is, %.4f bits a weight, costs %g on this text",
                       limit, 8.0 * (double)now->bytes / (double)s->r->n_elems, d.kl_mean);
    keep(s, now, &d);
    mix_solve(s->items, s->n, 0, now->picks, &lo, e);      // for the least of all
    lo += s->fixed_bytes;
    hi = s->r->bytes;
    predicted = limit;
    for (int i = 0; i < MAX_RUNS && hi - lo > hi / 500; i++) {
        if (!budget_for(s, predicted, lo, hi, now, &at, e)) return false;
        if (at <= lo || at >= hi) at = lo + (hi - lo) / 2;
        if (!solve(s, at, now, e) || !run_mix(s, now, &d, e)) return false;
        predicted = now->predicted * limit / (d.kl_mean > 0 ? d.kl_mean : limit) * 0.995;
        if (d.kl_mean > limit) {
            lo = at;
        } else {
            hi = now->bytes;
            keep(s, now, &d);
        }
    }
    return true;
}

static bool search_types(search *s, err *e)
{
    solution now = { .picks = calloc((size_t)s->n, sizeof *now.picks) };
    divergence d;
    bool ok = now.picks || err_nomem(e, "the choices", (size_t)s->n * sizeof *now.picks);
    progress_stage(s->o->progress, "search", 0);
    if (ok && s->target->max_kl > 0) ok = search_kl(s, &now, e);
    else if (ok && (ok = solve(s, s->budget, &now, e) && run_mix(s, &now, &d, e))) keep(s, &now, &d);
    free(now.picks);
    return ok;
}

// ---- the result -----------------------------------------------------------------------------------------------------

// The type that verification lets the file be called: what readers show, and what llama.cpp calls it.
static bool name_type(mix_result *r, const char *in_path, err *e)
{
    policy_tensor *t = calloc((size_t)r->n + 1, sizeof *t);
    gguf *g = t ? gguf_open(in_path, e) : NULL;
    bool ok = g || (t ? false : err_nomem(e, "the list of tensors", (size_t)r->n * sizeof *t));
    for (int64_t i = 0; ok && i < r->n; i++) {
        t[i] = (policy_tensor){ .name = r->rows[i].name, .type = r->rows[i].to, .n_dims = r->rows[i].n_dims };
        memcpy(t[i].shape, r->rows[i].shape, sizeof t[i].shape);
    }
    ok = ok && type_of_name(g, t, r->n, &r->type, e);
    gguf_close(g);
    free(t);
    return ok;
}

static bool add_number(cJSON *o, const char *key, double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", v);
    return cJSON_AddRawToObject(o, key, text) != NULL;
}

static bool add_digests(cJSON *o, const probe *p, const sensitivity_opts *so, err *e)
{
    cJSON *texts = cJSON_AddArrayToObject(o, "texts");
    char hex[SHA256_HEX + 1];
    for (int i = 0; i < so->n_texts; i++) {
        cJSON *item = cJSON_CreateString(probe_text_digest(p, i));
        if (!texts || !item || !cJSON_AddItemToArray(texts, item)) return err_nomem(e, "the record of the mix", 0);
    }
    if (so->imatrix && (!sha256_file(so->imatrix, hex, e) || !cJSON_AddStringToObject(o, "imatrix", hex)))
        return err_nomem(e, "the record of the mix", 0);
    return true;
}

static bool make_record(search *s, err *e)
{
    mix_result *r = s->r;
    const mix_target *t = s->target;
    cJSON *o = cJSON_CreateObject(), *tensors;
    bool ok = o != NULL;
    if (ok && t->max_kl > 0) ok = add_number(o, "max_kl", t->max_kl);
    if (ok && t->bits > 0)   ok = add_number(o, "bits", t->bits);
    if (ok && t->bytes > 0)  ok = cJSON_AddNumberToObject(o, "bytes", (double)t->bytes) != NULL;
    if (ok && t->like != FT_INVALID) ok = cJSON_AddStringToObject(o, "like", file_type_of(t->like)->name) != NULL;
    ok = ok && add_number(o, "kl_predicted", r->kl_predicted) && add_number(o, "kl_measured", r->measured.kl_mean) &&
         cJSON_AddNumberToObject(o, "positions", (double)r->measured.tokens)
             && cJSON_AddNumberToObject(o, "chunks", (double)probe_samples(s->p)) &&
         cJSON_AddNumberToObject(o, "chunk_size", (double)probe_chunk(s->p)) &&
         cJSON_AddBoolToObject(o, "exact", s->o->exact) &&
         cJSON_AddStringToObject(o, "device", probe_device(s->p)) && add_digests(o, s->p, s->o, e)
             && (tensors = cJSON_AddObjectToObject(o, "tensors")) != NULL;
    for (int64_t i = 0; ok && i < s->n; i++) {
        const mix_row *row = &r->rows[s->c[i].row];
        ok = cJSON_AddStringToObject(tensors, row->name, dtype_name(row->to)) != NULL;
    }
    if (ok) ok = (r->record = cJSON_PrintUnformatted(o)) != NULL;
    cJSON_Delete(o);
    return ok || err_nomem(e, "the record of the mix", 0);
}

bool mix_find(mix_result *r, const char *in_path, const mix_target *target, const sensitivity_opts *o, err *e)
{
    search s = { .r = r, .target = target, .o = o };
    *r = (mix_result){ 0 };
    if ((target->bits > 0) + (target->bytes > 0) + (target->like != FT_INVALID) + (target->max_kl > 0) != 1)
        return err_set(e, ERR_USAGE, "a mix needs one target: bits a weight, a size, a type or a largest KL");
    if (o->n_texts < 1) return err_set(e, ERR_USAGE, "a mix needs a text to measure KL on");
    bool ok = list_tensors(&s, in_path, e) && find_budget(&s, in_path, e)
        && (s.p = probe_open(in_path, o, e)) != NULL && mix_state_open(&s.state, s.p, o, e)
        && measure_candidates(&s, e) && search_types(&s, e);
    if (ok) {
        for (int64_t i = 0; i < r->n; i++) r->types[i] = r->rows[i].to;
        r->bits = 8.0 * (double)r->bytes / (double)r->n_elems;
        ok = name_type(r, in_path, e) && make_record(&s, e);
    }
    mix_state_close(s.state);
    probe_close(s.p);
    free(s.rows);
    free(s.c);
    free(s.items);
    free(s.names);
    if (!ok) mix_free(r);
    return ok;
}

void mix_free(mix_result *r)
{
    for (int64_t i = 0; r->rows && i < r->n; i++) free(r->rows[i].name);
    free(r->rows);
    free(r->types);
    free(r->record);
    *r = (mix_result){ 0 };
}
