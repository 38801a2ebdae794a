// mix_state: figures of a search on disk. See mix_state.h.
//
// What cells hold (state_folder.h has what is around it). Of one tensor: u64 its place in the file; u32 types; the
// types, u32 each; what each costs, f64. Of a mix: the digest of its types, in hex; i64 positions; f64 mean, median and
// largest KL; i64 positions of equal top-1; f64 of both negative log-likelihoods.
#include "mix_state.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/version.h"
#include "state_folder.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ALONE[STATE_MARK] = "HMALONE\n", TOGETHER[STATE_MARK] = "HMMIXED\n";
enum { PLAN_FORMAT = 1, LIMIT_PLAN_VALUES = 100000, NAME_HEX = 16 };

struct mix_state {
    char *dir, *plan;
    char  digest[SHA256_HEX + 1];       // of plan
};

// ---- the plan -------------------------------------------------------------------------------------------------------

static bool add_source(cJSON *j, const probe *p, const sensitivity_opts *o, err *e)
{
    char hex[SHA256_HEX + 1];
    return claims_model_digest(model_gguf(probe_model(p)), o->run.n_threads, hex, e)
        && (cJSON_AddStringToObject(j, "source", hex) || err_nomem(e, "the plan", sizeof hex));
}

static bool add_texts(cJSON *j, const probe *p, const sensitivity_opts *o, err *e)
{
    cJSON *list = cJSON_AddArrayToObject(j, "texts");
    bool ok = list != NULL;
    for (int i = 0; ok && i < o->n_texts; i++) {
        cJSON *hex = cJSON_CreateString(probe_text_digest(p, i));
        ok = hex && cJSON_AddItemToArray(list, hex);
    }
    return ok || err_nomem(e, "the plan", 0);
}

static bool add_imatrix(cJSON *j, const sensitivity_opts *o, err *e)
{
    char hex[SHA256_HEX + 1];
    if (!o->imatrix) return true;
    return sha256_file(o->imatrix, hex, e)
        && (cJSON_AddStringToObject(j, "imatrix", hex) || err_nomem(e, "the plan", sizeof hex));
}

static bool add_rest(cJSON *j, const probe *p, const sensitivity_opts *o, err *e)
{
    const bool ok = cJSON_AddNumberToObject(j, "chunk", (double)probe_chunk(p))
        && cJSON_AddNumberToObject(j, "chunks", (double)probe_samples(p))
        && cJSON_AddBoolToObject(j, "exact", o->exact) && cJSON_AddStringToObject(j, "device", probe_device(p));
    return ok || err_nomem(e, "the plan", 0);
}

static bool describe(mix_state *s, const probe *p, const sensitivity_opts *o, err *e)
{
    char program[128];
    cJSON *j = cJSON_CreateObject();
    snprintf(program, sizeof program, "hallmark %s (%s)", hallmark_version(), hallmark_commit());
    bool ok = (j && cJSON_AddNumberToObject(j, "format", PLAN_FORMAT) && cJSON_AddStringToObject(j, "of", "a mix")
               && cJSON_AddStringToObject(j, "program", program)) || err_nomem(e, "the plan", 0);
    ok = ok && add_source(j, p, o, e) && add_texts(j, p, o, e) && add_imatrix(j, o, e) && add_rest(j, p, o, e);
    if (ok) s->plan = json_print(j);
    cJSON_Delete(j);
    if (!ok) return false;
    return s->plan ? sha256_bytes(s->plan, (int64_t)strlen(s->plan), s->digest, e) : err_nomem(e, "the plan", 0);
}

// In what another plan differs from ours, in words.
static const char *difference(const cJSON *there, const cJSON *ours)
{
    static const struct { const char *key, *words; } members[] = {
        { "format", "the folder's format" }, { "of", "what is measured" }, { "program", "the version of the program" },
        { "source", "the source" }, { "texts", "a text" }, { "imatrix", "the importance matrix" },
        { "chunk", "the size of a chunk" }, { "chunks", "the number of chunks" }, { "exact", "--exact" },
        { "device", "the device" },
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const cJSON *a = json_get(there, members[i].key), *b = json_get(ours, members[i].key);
        if ((a || b) && !cJSON_Compare(a, b, true)) return members[i].words;
    }
    return NULL;
}

static bool check_text(const mix_state *s, const char *text, int64_t n, const char *path, err *e)
{
    if ((size_t)n == strlen(s->plan) && memcmp(text, s->plan, (size_t)n) == 0) return true;
    cJSON *there = json_parse_limited(text, n, LIMIT_PLAN_VALUES, path, e);
    if (!there) return false;
    cJSON *ours = json_parse_limited(s->plan, (int64_t)strlen(s->plan), LIMIT_PLAN_VALUES, "the plan", e);
    const char *what = ours ? difference(there, ours) : NULL;
    const bool parsed = ours != NULL;
    cJSON_Delete(there);
    cJSON_Delete(ours);
    if (what) return state_folder_differs(s->dir, what, e);
    return parsed && err_set(e, ERR_INPUT, "%s: found a plan that is not as it is written, expected the bytes of a "
                             "search for a mix", path);
}

static bool check_plan(const mix_state *s, err *e)
{
    char   *text, *path;
    int64_t n;
    if (!state_folder_plan(&text, &n, &path, s->dir, e)) return false;
    const bool ok = check_text(s, text, n, path, e);
    free(text);
    free(path);
    return ok;
}

// ---- the folder -----------------------------------------------------------------------------------------------------

// The folder itself, or the one in it that this plan's digest names.
static bool find_dir(mix_state *s, const sensitivity_opts *o, err *e)
{
    char name[NAME_HEX + 1];
    if (o->many_states) {
        memcpy(name, s->digest, NAME_HEX);
        name[NAME_HEX] = '\0';
        return state_folder_below(o->state, name, &s->dir, e);
    }
    s->dir = strdup(o->state);
    return s->dir || err_nomem(e, o->state, strlen(o->state));
}

bool mix_state_open(mix_state **to, const probe *p, const sensitivity_opts *o, err *e)
{
    *to = NULL;
    if (!o->state) return true;
    mix_state *s = calloc(1, sizeof *s);
    if (!s) return err_nomem(e, "a state", sizeof *s);
    if (describe(s, p, o, e) && find_dir(s, o, e) && state_folder_open(s->dir, s->plan, "a search for a mix", e)
        && check_plan(s, e)) {
        *to = s;
        return true;
    }
    mix_state_close(s);
    return false;
}

void mix_state_close(mix_state *s)
{
    if (!s) return;
    free(s->dir);
    free(s->plan);
    free(s);
}

// ---- a tensor alone -------------------------------------------------------------------------------------------------

static char *alone_path(const mix_state *s, const mix_alone *c)
{
    char name[64];
    snprintf(name, sizeof name, "tensor-%06lld.cell", (long long)c->tensor);
    return path_join(s->dir, name);
}

bool mix_state_keep_alone(const mix_state *s, const mix_alone *c, const double *kl, err *e)
{
    text_buf t = { 0 };
    if (!s) return true;
    state_cell_begin(&t, ALONE, s->digest);
    state_put_u64(&t, (uint64_t)c->tensor);
    state_put_u32(&t, (uint32_t)c->n);
    for (int k = 0; k < c->n; k++) state_put_u32(&t, (uint32_t)c->types[k]);
    for (int k = 0; k < c->n; k++) state_put_f64(&t, kl[k]);
    char *path = alone_path(s, c);
    const bool ok = state_cell_write(&t, path, e);
    free(path);
    return ok;
}

// Costs are added up, and the search divides by them.
static bool is_cost(double x) { return isfinite(x) && x >= 0; }

typedef struct { const mix_state *s; const mix_alone *c; double *kl; } alone_room;

static bool take_alone(state_cell *r, void *with)
{
    const alone_room *room = with;
    const mix_alone  *c = room->c;
    double  *kl = room->kl;
    uint64_t tensor = 0;
    uint32_t n = 0, type = 0;
    if (!state_take_begin(r, ALONE, room->s->digest)) return false;
    if (!state_take(r, &tensor, sizeof tensor) || !state_take(r, &n, sizeof n)) return false;
    if (tensor != (uint64_t)c->tensor) return state_broken(r, "it is of another tensor");
    if (n != (uint32_t)c->n) return state_broken(r, "its types are another run's");
    for (int k = 0; k < c->n; k++) {
        if (!state_take(r, &type, sizeof type)) return false;
        if (type != (uint32_t)c->types[k]) return state_broken(r, "its types are another run's");
    }
    for (int k = 0; k < c->n; k++) {
        if (!state_take(r, &kl[k], sizeof kl[k])) return false;
        if (!is_cost(kl[k])) return state_broken(r, "a figure in it is out of range");
    }
    return state_take_end(r);
}

bool mix_state_read_alone(const mix_state *s, const mix_alone *c, double *kl, bool *found, err *e)
{
    *found = false;
    if (!s) return true;
    alone_room room = { s, c, kl };
    char *path = alone_path(s, c);
    const bool ok = state_cell_read(path, take_alone, &room, found, e);
    free(path);
    return ok;
}

// ---- a mix ----------------------------------------------------------------------------------------------------------

static bool types_digest(const mix_together *m, char hex[SHA256_HEX + 1], err *e)
{
    text_buf t = { 0 };
    for (int64_t i = 0; i < m->n; i++) {
        state_put_u64(&t, (uint64_t)m->tensors[i]);
        state_put_u32(&t, (uint32_t)m->types[i]);
    }
    const bool ok = t.failed ? err_nomem(e, "a mix's types", (size_t)m->n * sizeof *m->types)
        : sha256_bytes(t.s, (int64_t)t.n, hex, e);
    text_drop(&t);
    return ok;
}

static char *mix_path(const mix_state *s, const char *hex)
{
    char name[64];
    snprintf(name, sizeof name, "mix-%.*s.cell", (int)NAME_HEX, hex);
    return path_join(s->dir, name);
}

bool mix_state_keep_mix(const mix_state *s, const mix_together *m, const divergence *d, err *e)
{
    char     hex[SHA256_HEX + 1];
    text_buf t = { 0 };
    if (!s) return true;
    if (!types_digest(m, hex, e)) return false;
    state_cell_begin(&t, TOGETHER, s->digest);
    text_raw(&t, hex, SHA256_HEX);
    state_put_u64(&t, (uint64_t)d->tokens);
    state_put_f64(&t, d->kl_mean);
    state_put_f64(&t, d->kl_median);
    state_put_f64(&t, d->kl_max);
    state_put_u64(&t, (uint64_t)d->top1_equal);
    state_put_f64(&t, d->nll_ref);
    state_put_f64(&t, d->nll);
    char *path = mix_path(s, hex);
    const bool ok = state_cell_write(&t, path, e);
    free(path);
    return ok;
}

typedef struct { const mix_state *s; const char *types; divergence *d; } together_room;

static bool take_mix(state_cell *r, void *with)
{
    const together_room *room = with;
    divergence *d = room->d;
    char hex[SHA256_HEX];
    if (!state_take_begin(r, TOGETHER, room->s->digest) || !state_take(r, hex, sizeof hex)) return false;
    if (memcmp(hex, room->types, SHA256_HEX) != 0) return state_broken(r, "it is of another mix");
    const bool ok = state_take(r, &d->tokens, sizeof d->tokens) && state_take(r, &d->kl_mean, sizeof d->kl_mean)
        && state_take(r, &d->kl_median, sizeof d->kl_median) && state_take(r, &d->kl_max, sizeof d->kl_max)
        && state_take(r, &d->top1_equal, sizeof d->top1_equal) && state_take(r, &d->nll_ref, sizeof d->nll_ref)
        && state_take(r, &d->nll, sizeof d->nll);
    if (!ok) return false;
    const bool numbers = is_cost(d->kl_mean) && is_cost(d->kl_median) && is_cost(d->kl_max) && isfinite(d->nll_ref)
        && isfinite(d->nll);
    if (!numbers || d->tokens < 1 || d->top1_equal < 0 || d->top1_equal > d->tokens)
        return state_broken(r, "a figure in it is out of range");
    return state_take_end(r);
}

bool mix_state_read_mix(const mix_state *s, const mix_together *m, divergence *d, bool *found, err *e)
{
    char hex[SHA256_HEX + 1];
    *found = false;
    if (!s) return true;
    if (!types_digest(m, hex, e)) return false;
    together_room room = { s, hex, d };
    char *path = mix_path(s, hex);
    const bool ok = state_cell_read(path, take_mix, &room, found, e);
    free(path);
    return ok;
}
