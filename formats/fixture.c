#include "fixture.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "file_map.h"
#include "gzip_lines.h"
#include "json.h"

// ---- values of a line ----------------------------------------------------------------------------------------------

typedef struct {
    const char *where;      // "file: line 3" or "file: line 3: case 'x'"
    err        *e;
} place;
enum { WHERE_BYTES = 700 };

// "<p>: <what><name>" or "<p>: <what> <number>"; a long path is cut, and err_set would cut it too.
static void where_within(char where[WHERE_BYTES], const place *p, const char *what, const char *name, int64_t number)
{
    if (number >= 0) snprintf(where, WHERE_BYTES, "%.600s: %s %lld", p->where, what, (long long)number);
    else snprintf(where, WHERE_BYTES, "%.500s: %s'%.80s'", p->where, what, name);
}

static bool get_text(const cJSON *obj, const char *key, char **out, const place *p)
{
    const char *s;
    if (!json_str(obj, key, &s, p->where, p->e)) return false;
    *out = strdup(s);
    return *out || err_nomem(p->e, key, strlen(s) + 1);
}

static bool get_text_or_null(const cJSON *obj, const char *key, char **out, const place *p)
{
    return !json_get(obj, key) || get_text(obj, key, out, p);
}

static bool get_digest(const cJSON *obj, const char *key, char hex[SHA256_HEX + 1], const place *p)
{
    const char *s;
    if (!json_str(obj, key, &s, p->where, p->e)) return false;
    if (!sha256_is_hex(s))
        return err_set(p->e, ERR_INPUT, "%s: key '%s': found '%.80s', expected %d lower-case hex digits", p->where, key,
                       s, SHA256_HEX);
    memcpy(hex, s, SHA256_HEX + 1);
    return true;
}

static bool get_object(const cJSON *obj, const char *key, const cJSON **out, const place *p)
{
    *out = json_get(obj, key);
    return cJSON_IsObject(*out) ||
           err_set(p->e, ERR_INPUT, "%s: key '%s': found no object, expected one", p->where, key);
}

// An array of exactly n elements (n < 0: of any number); *count says how many.
static bool get_array(const cJSON *obj, const char *key, int64_t n, const cJSON **first, int64_t *count, const place *p)
{
    const cJSON *a = json_get(obj, key);
    int64_t      k = 0;
    if (!cJSON_IsArray(a)) return err_set(p->e, ERR_INPUT, "%s: key '%s': found no array, expected one", p->where, key);
    for (const cJSON *c = a->child; c; c = c->next) k++;
    if (n >= 0 && k != n)
        return err_set(p->e, ERR_INPUT, "%s: key '%s': found %lld elements, expected %lld", p->where, key, (long long)k,
                       (long long)n);
    *first = a->child;
    *count = k;
    return true;
}

static bool fill_ids(const cJSON *obj, const char *key, int64_t n, int32_t *out, const place *p)
{
    const cJSON *c = NULL;
    int64_t      k = 0, v = 0;
    if (!get_array(obj, key, n, &c, &k, p)) return false;
    for (int64_t i = 0; i < n; i++, c = c->next) {
        if (!json_as_i64(c, 0, INT32_MAX, &v))
            return err_set(p->e, ERR_INPUT, "%s: key '%s': index %lld: found no integer from 0 to %d", p->where, key,
                           (long long)i, INT32_MAX);
        out[i] = (int32_t)v;
    }
    return true;
}

static bool not_finite(const char *key, int64_t i, const place *p)
{
    return err_set(p->e, ERR_INPUT, "%s: key '%s': index %lld: found no finite number", p->where, key, (long long)i);
}

static bool fill_f32(const cJSON *obj, const char *key, int64_t n, float *out, const place *p)
{
    const cJSON *c = NULL;
    int64_t      k = 0;
    if (!get_array(obj, key, n, &c, &k, p)) return false;
    for (int64_t i = 0; i < n; i++, c = c->next) {
        if (!cJSON_IsNumber(c) || !(fabs(c->valuedouble) <= FLT_MAX)) return not_finite(key, i, p);
        out[i] = (float)c->valuedouble;
    }
    return true;
}

static bool fill_f64(const cJSON *obj, const char *key, int64_t n, double *out, const place *p)
{
    const cJSON *c = NULL;
    int64_t      k = 0;
    if (!get_array(obj, key, n, &c, &k, p)) return false;
    for (int64_t i = 0; i < n; i++, c = c->next) {
        if (!cJSON_IsNumber(c) || !isfinite(c->valuedouble)) return not_finite(key, i, p);
        out[i] = c->valuedouble;
    }
    return true;
}

// ---- the header ----------------------------------------------------------------------------------------------------

static bool read_model(fixture *f, cJSON *head, int64_t format, const place *p)
{
    const cJSON *model;
    char         v1[SHA256_HEX + 1] = "";
    if (!get_object(head, "model", &model, p) || !get_text(model, "name", &f->model_name, p) ||
        !get_text_or_null(model, "revision", &f->revision, p) ||
        !get_digest(model, "source_digest", f->source_digest, p))
        return false;
    if (json_get(model, "source_digest_v1") && !get_digest(model, "source_digest_v1", v1, p)) return false;
    source_id_said(&f->source, format, f->source_digest, v1);
    const cJSON *config;
    if (!get_object(model, "config", &config, p)) return false;
    f->config = cJSON_DetachItemViaPointer((cJSON *)(uintptr_t)model, (cJSON *)(uintptr_t)config);
    return true;
}

static bool read_weights(fixture *f, const cJSON *head, const place *p)
{
    const cJSON *w;
    if (!json_get(head, "weights")) return true;
    return get_object(head, "weights", &w, p) && get_text(w, "file", &f->weights_file, p) &&
           get_text(w, "type", &f->weights_type, p) && get_digest(w, "digest", f->weights_digest, p);
}

static bool read_counts(fixture *f, const cJSON *head, const place *p)
{
    int64_t tokens, top_k, cases;
    if (!json_i64(head, "tokens", 1, LIMIT_LINE_VALUES, &tokens, p->where, p->e) ||
        !json_i64(head, "top_k", 1, LIMIT_LINE_VALUES, &top_k, p->where, p->e) ||
        !json_i64(head, "cases", 1, LIMIT_CASES, &cases, p->where, p->e))
        return false;
    if (tokens * top_k > LIMIT_LINE_VALUES / 3)     // ids, log-probabilities and logits of each step are one line
        return err_set(p->e, ERR_INPUT, "%s: found %lld tokens and %lld ids for each, expected a product of at most %d",
                       p->where, (long long)tokens, (long long)top_k, LIMIT_LINE_VALUES / 3);
    f->tokens = (int)tokens;
    f->top_k  = (int)top_k;
    f->cases  = calloc((size_t)cases, sizeof *f->cases);
    if (!f->cases) return err_nomem(p->e, "a fixture's cases", (size_t)cases * sizeof *f->cases);
    f->n_cases = cases;
    return true;
}

static bool counts_experts(const cJSON *config)
{
    static const char *const KEYS[] = { "num_experts", "num_local_experts" };   // the second: of Transformers 5
    if (cJSON_IsFalse(json_get(config, "enable_moe_block"))) return false;
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        const cJSON *n = json_get(config, KEYS[i]);
        if (cJSON_IsNumber(n) && n->valuedouble > 0) return true;
    }
    return false;
}

static bool has_linear_layers(const cJSON *config)
{
    const cJSON *kinds = json_get(config, "layer_types"), *kind;
    cJSON_ArrayForEach(kind, kinds)
        if (cJSON_IsString(kind) && strcmp(kind->valuestring, "linear_attention") == 0) return true;
    return false;
}

// *out: `only`, or NULL where there is no such key.
static bool check_implementation(const cJSON *head, const char *key, const char *only, bool needed, const char **out,
                                 const place *p)
{
    const char *found;
    if (!needed && !json_get(head, key)) return true;
    if (!json_str(head, key, &found, p->where, p->e)) return false;
    *out = only;
    if (strcmp(found, only) == 0) return true;
    return err_set(p->e, ERR_INPUT, "%s: key '%s': found '%.40s', expected %s", p->where, key, found, only);
}

// Other implementations round elsewhere.
static bool check_implementations(fixture *f, const cJSON *head, const place *p)
{
    const cJSON *text = json_get(f->config, "text_config");
    bool linear = has_linear_layers(f->config) || has_linear_layers(text);
    f->experts  = counts_experts(f->config) || counts_experts(text);
    return check_implementation(head, "attention", "eager", true, &f->attention, p) &&
           check_implementation(head, "experts", "eager", f->experts, &f->experts_by, p) &&
           check_implementation(head, "linear_attention", "torch", linear, &f->linear_attention, p);
}

static bool read_header(fixture *f, cJSON *head, const place *p)
{
    int64_t     format;
    const char *dtype;
    if (!json_i64(head, "hallmark_fixture", 0, INT32_MAX, &format, p->where, p->e)) return false;
    if (format < 1 || format > 2)
        return err_set(p->e, ERR_INPUT, "%s: found format %lld, expected 1 or 2", p->where, (long long)format);
    if (!read_model(f, head, format, p) || !json_str(head, "dtype", &dtype, p->where, p->e)) return false;
    if (strcmp(dtype, "float32") != 0 && strcmp(dtype, "bfloat16") != 0)
        return err_set(p->e, ERR_INPUT, "%s: key 'dtype': found '%.40s', expected float32 or bfloat16", p->where,
                       dtype);
    return check_implementations(f, head, p) && get_text(head, "dtype", &f->dtype, p) &&
           get_text(head, "device", &f->device, p) && get_text(head, "transformers", &f->transformers, p) &&
           get_text(head, "torch", &f->torch, p) && read_weights(f, head, p) && read_counts(f, head, p);
}

// ---- a case --------------------------------------------------------------------------------------------------------

// The ids of one step must be sorted as the format says, and be different ones.
static bool check_order(const fixture *f, const fixture_step *s, int32_t *scratch, const place *p)
{
    for (int i = 1; i < f->top_k; i++)
        if (s->logits[i] > s->logits[i - 1] || (s->logits[i] == s->logits[i - 1] && s->ids[i] <= s->ids[i - 1]))
            return err_set(p->e, ERR_INPUT,
                           "%s: index %d: found id %d out of order, expected the highest logit first, then the lowest "
                           "id",
                           p->where, i, s->ids[i]);
    // An id that comes twice cannot have equal logits, so sorting by logit does not show it.
    memcpy(scratch, s->ids, (size_t)f->top_k * sizeof *scratch);
    for (int gap = f->top_k / 2; gap > 0; gap /= 2)    // Shell sort: top_k is small, and no library call allocates here
        for (int i = gap; i < f->top_k; i++)
            for (int j = i; j >= gap && scratch[j] < scratch[j - gap]; j -= gap) {
                int32_t swap = scratch[j];
                scratch[j] = scratch[j - gap];
                scratch[j - gap] = swap;
            }
    for (int i = 1; i < f->top_k; i++)
        if (scratch[i] == scratch[i - 1])
            return err_set(p->e, ERR_INPUT, "%s: found id %d twice, expected it once", p->where, scratch[i]);
    return true;
}

static bool read_step(const fixture *f, fixture_case *c, int64_t i, const cJSON *step, int32_t *scratch, const place *p)
{
    fixture_step *s = &c->steps[i];
    int64_t       k = f->top_k;
    if (!fill_ids(step, "ids", k, s->ids, p) || !fill_f32(step, "logprobs", k, s->logprobs, p) ||
        !fill_f32(step, "logits", k, s->logits, p) || !check_order(f, s, scratch, p))
        return false;
    for (int j = 0; j < k; j++)
        if (!(s->logprobs[j] <= 0.001f))        // a log-probability is at most 0, give or take the rounding of float32
            return err_set(p->e, ERR_INPUT, "%s: key 'logprobs': index %d: found %g, expected at most 0", p->where, j,
                           s->logprobs[j]);
    if (c->generated_ids[i] != s->ids[0])
        return err_set(p->e, ERR_INPUT, "%s: found generated id %d, expected the id of the highest logit, %d", p->where,
                       c->generated_ids[i], s->ids[0]);
    return true;
}

static bool read_steps(const fixture *f, fixture_case *c, const cJSON *line, const place *p)
{
    const cJSON *step = NULL;
    int64_t      n = f->tokens, k = f->top_k, count = 0;
    if (!get_array(line, "steps", n, &step, &count, p)) return false;
    size_t   all      = (size_t)(n * k);
    int32_t *ids      = malloc((all + (size_t)k) * sizeof *ids);      // and one more step's: the scratch of check_order
    float   *logprobs = malloc(all * sizeof *logprobs), *logits = malloc(all * sizeof *logits);
    c->steps = calloc((size_t)n, sizeof *c->steps);
    if (!ids || !logprobs || !logits || !c->steps) {
        free(ids);
        free(logprobs);
        free(logits);
        free(c->steps);
        c->steps = NULL;
        return err_nomem(p->e, "a fixture's steps", all * 12);
    }
    for (int64_t i = 0; i < n; i++) c->steps[i] = (fixture_step){ ids + i * k, logprobs + i * k, logits + i * k };
    char  where[WHERE_BYTES];
    place at = { .where = where, .e = p->e };
    for (int64_t i = 0; i < n; i++, step = step->next) {
        where_within(where, p, "step", "", i);
        if (!read_step(f, c, i, step, ids + all, &at)) return false;
    }
    return true;
}

static bool read_probe(fixture_probe *r, const cJSON *item, const place *p)
{
    const cJSON *first = NULL;
    int64_t      layer = 0, n = 0;
    if (!json_i64(item, "layer", -1, LIMIT_LAYERS - 1, &layer, p->where, p->e) ||
        !get_array(item, "index", -1, &first, &n, p) || !json_f64(item, "norm", &r->norm, p->where, p->e))
        return false;
    if (!(r->norm >= 0))
        return err_set(p->e, ERR_INPUT, "%s: key 'norm': found %g, expected 0 or more", p->where, r->norm);
    r->layer = (int)layer;
    r->n     = (int)n;
    r->index = malloc((size_t)(n + 1) * sizeof *r->index);
    r->value = malloc((size_t)(n + 1) * sizeof *r->value);
    if (!r->index || !r->value) return err_nomem(p->e, "a probe", (size_t)n * 8);
    return fill_ids(item, "index", n, r->index, p) && fill_f32(item, "value", n, r->value, p);
}

static bool read_probes(fixture_case *c, const cJSON *line, const place *p)
{
    const cJSON *item = NULL;
    int64_t      n    = 0;
    if (!get_array(line, "probes", -1, &item, &n, p)) return false;
    if (n > LIMIT_LAYERS + 1)
        return err_set(p->e, ERR_INPUT, "%s: key 'probes': found %lld, expected at most %d", p->where, (long long)n,
                       LIMIT_LAYERS + 1);
    c->probes = calloc((size_t)n + 1, sizeof *c->probes);
    if (!c->probes) return err_nomem(p->e, "probes", (size_t)n * sizeof *c->probes);
    for (int64_t i = 0; i < n; i++, item = item->next) {
        c->n_probes = (int)i + 1;       // what read_probe allocates is freed with the case, whole or not
        if (!read_probe(&c->probes[i], item, p)) return false;
        if (i > 0 && c->probes[i].layer <= c->probes[i - 1].layer)
            return err_set(p->e, ERR_INPUT, "%s: key 'probes': found layer %d after layer %d", p->where,
                           c->probes[i].layer, c->probes[i - 1].layer);
    }
    return true;
}

static bool read_self_run(const fixture *f, fixture_self *s, const cJSON *self, const char *key, const place *p)
{
    const cJSON *run;
    size_t       n = (size_t)f->tokens;
    if (!get_object(self, key, &run, p)) return false;
    s->top            = malloc(n * sizeof *s->top);
    s->second         = malloc(n * sizeof *s->second);
    s->margin         = malloc(n * sizeof *s->margin);
    s->margin_of_base = malloc(n * sizeof *s->margin_of_base);
    s->kl             = malloc(n * sizeof *s->kl);
    if (!s->top || !s->second || !s->margin || !s->margin_of_base || !s->kl)
        return err_nomem(p->e, "a run of the reference", n * 24);
    return fill_ids(run, "top", f->tokens, s->top, p) && fill_ids(run, "second", f->tokens, s->second, p) &&
           fill_f32(run, "margin", f->tokens, s->margin, p) &&
           fill_f32(run, "margin_of_base", f->tokens, s->margin_of_base, p) &&
           fill_f64(run, "kl", f->tokens, s->kl, p) &&
           json_f64(run, "logprob_diff_max", &s->logprob_diff_max, p->where, p->e);
}

static bool read_self(const fixture *f, fixture_case *c, const cJSON *line, const place *p)
{
    const cJSON *self;
    if (!json_get(line, "self") && strcmp(f->dtype, "float32") == 0) return true;
    if (!get_object(line, "self", &self, p)) return false;
    c->n_self = 2;
    return read_self_run(f, &c->self[0], self, "a", p) && read_self_run(f, &c->self[1], self, "b", p);
}

static bool read_router_tie(fixture_router_tie *t, const cJSON *pair, int64_t n_position, int64_t i, const place *p)
{
    int64_t position, layer;
    bool ok = cJSON_IsArray(pair) && cJSON_GetArraySize(pair) == 2;
    ok = ok && json_as_i64(pair->child, 0, n_position - 1, &position);
    ok = ok && json_as_i64(pair->child->next, 0, LIMIT_LAYERS - 1, &layer);
    if (!ok)
        return err_set(p->e, ERR_INPUT,
                       "%s: key 'router_ties': index %lld: expected a position below %lld and a layer below %d",
                       p->where, (long long)i, (long long)n_position, LIMIT_LAYERS);
    *t = (fixture_router_tie){ (int32_t)position, (int)layer };
    return true;
}

static bool is_before(const fixture_router_tie *a, const fixture_router_tie *b)
{
    return a->position < b->position || (a->position == b->position && a->layer < b->layer);
}

static bool read_router_ties(const fixture *f, fixture_case *c, const cJSON *line, const place *p)
{
    const cJSON *pair = NULL;
    int64_t      n    = 0;
    if (!f->experts) return true;
    if (!get_array(line, "router_ties", -1, &pair, &n, p)) return false;
    c->router_ties = malloc((size_t)(n + 1) * sizeof *c->router_ties);
    if (!c->router_ties) return err_nomem(p->e, "router ties", (size_t)(n + 1) * sizeof *c->router_ties);
    for (int64_t i = 0; i < n; i++, pair = pair->next) {
        if (!read_router_tie(&c->router_ties[i], pair, c->n_prompt + f->tokens - 1, i, p)) return false;
        if (i > 0 && !is_before(&c->router_ties[i - 1], &c->router_ties[i]))
            return err_set(p->e, ERR_INPUT,
                           "%s: key 'router_ties': index %lld: found a place that does not follow the last", p->where,
                           (long long)i);
    }
    c->n_router_ties = n;
    return true;
}

static bool read_ids(const fixture *f, fixture_case *c, const cJSON *line, const place *p)
{
    const cJSON *first;
    if (!get_array(line, "prompt_ids", -1, &first, &c->n_prompt, p)) return false;
    if (c->n_prompt < 1)
        return err_set(p->e, ERR_INPUT, "%s: key 'prompt_ids': found none, expected one or more", p->where);
    c->prompt_ids    = malloc((size_t)c->n_prompt * sizeof *c->prompt_ids);
    c->generated_ids = malloc((size_t)f->tokens * sizeof *c->generated_ids);
    if (!c->prompt_ids || !c->generated_ids) return err_nomem(p->e, "token ids", (size_t)(c->n_prompt + f->tokens) * 4);
    return fill_ids(line, "prompt_ids", c->n_prompt, c->prompt_ids, p) &&
           fill_ids(line, "generated_ids", f->tokens, c->generated_ids, p);
}

static bool read_case(const fixture *f, fixture_case *c, const cJSON *line, const place *p)
{
    const char *prompt;
    if (!get_text(line, "id", &c->id, p)) return false;
    char  where[WHERE_BYTES];
    place at = { .where = where, .e = p->e };
    where_within(where, p, "case ", c->id, -1);
    if (!get_text(line, "category", &c->category, &at) || !json_str(line, "prompt", &prompt, where, p->e)) return false;
    c->prompt = json_restore_nul(prompt, &c->prompt_bytes);
    if (!c->prompt) return err_nomem(p->e, "a prompt", strlen(prompt) + 1);
    return read_ids(f, c, line, &at) && read_steps(f, c, line, &at) && read_probes(c, line, &at) &&
           read_self(f, c, line, &at) && read_router_ties(f, c, line, &at);
}

// ---- the whole -----------------------------------------------------------------------------------------------------

static bool ids_unique(const fixture *f, err *e)
{
    for (int64_t i = 0; i < f->n_cases; i++)        // LIMIT_CASES keeps this small
        for (int64_t j = 0; j < i; j++)
            if (strcmp(f->cases[i].id, f->cases[j].id) == 0)
                return err_set(e, ERR_INPUT, "%s: line %lld: found case '%.100s' twice, expected it once", f->path,
                               (long long)i + 2, f->cases[i].id);
    return true;
}

// Line `number` as JSON; NULL on failure or if there is none. Escaped NULs are allowed, because a prompt may hold them.
static cJSON *line_tree(gzip_lines *l, char where[WHERE_BYTES], err *e)
{
    char   *line;
    int64_t n;
    bool    got = gzip_lines_next(l, &line, &n);
    snprintf(where, WHERE_BYTES, "%.400s: line %lld", l->path, (long long)l->number + (got ? 0 : 1));
    return got ? json_parse_nul(line, n, LIMIT_LINE_VALUES, where, e) : NULL;
}

static bool read_all(fixture *f, gzip_lines *l, err *e)
{
    char   where[WHERE_BYTES];
    place  p    = { .where = where, .e = e };
    cJSON *tree = line_tree(l, where, e);
    if (!tree) return err_set(e, ERR_INPUT, "%s: found no line, expected a header", f->path);
    bool ok = read_header(f, tree, &p);
    cJSON_Delete(tree);
    for (int64_t i = 0; ok && i < f->n_cases; i++) {
        tree = line_tree(l, where, e);
        if (!tree)
            return err_set(e, ERR_INPUT, "%s: found the end, expected case %lld of %lld", where, (long long)i + 1,
                           (long long)f->n_cases);
        ok = read_case(f, &f->cases[i], tree, &p);
        cJSON_Delete(tree);
    }
    if (!ok) return false;
    char   *line;
    int64_t n;
    if (gzip_lines_next(l, &line, &n))
        return err_set(e, ERR_INPUT, "%s: line %lld: found more lines, expected %lld cases", f->path,
                       (long long)l->number, (long long)f->n_cases);
    return (!e || e->kind == ERR_NONE) && ids_unique(f, e);
}

fixture *fixture_open_mem(const uint8_t *gz, int64_t n, const char *name, err *e)
{
    // gzip_lines_next tells its end from its failure by e, so there must be one, and a clean one.
    err      own = { 0 };
    gzip_lines l = { 0 };
    fixture *f   = calloc(1, sizeof *f);
    if (!f) { err_nomem(e, "a fixture", sizeof *f); return NULL; }
    f->path = strdup(name);
    bool ok = f->path || err_nomem(&own, "a path", strlen(name) + 1);
    ok = ok && sha256_bytes(gz, n, f->file_digest, &own);
    ok = ok && gzip_lines_start(&l, gz, n, f->path, &own) && read_all(f, &l, &own);
    gzip_lines_end(&l);
    if (ok) return f;
    err_set(e, own.kind, "%s", own.msg);
    fixture_close(f);
    return NULL;
}

fixture *fixture_open(const char *path, err *e)
{
    file_map m;
    if (!file_map_open(&m, path, e)) return NULL;
    fixture *f = fixture_open_mem(m.data, m.size, path, e);
    file_map_close(&m);
    return f;
}

// Those that are left out stay behind the others, to be freed with them.
bool fixture_sample(fixture *f, int64_t n, err *e)
{
    if (n < 1 || n >= f->n_cases || f->n_held > 0) return true;
    if (!fixture_prompts_digest(f, f->held_prompts, e)) return false;
    for (int64_t i = 0; i < n; i++) {
        const int64_t from = i * f->n_cases / n;
        const fixture_case moved = f->cases[i];
        f->cases[i]    = f->cases[from];
        f->cases[from] = moved;
    }
    f->n_held  = f->n_cases;
    f->n_cases = n;
    return true;
}

static void free_case(fixture_case *c)
{
    free(c->id);
    free(c->category);
    free(c->prompt);
    free(c->prompt_ids);
    free(c->generated_ids);
    if (c->steps) {         // all steps lie in three blocks, which the first one begins
        free(c->steps[0].ids);
        free(c->steps[0].logprobs);
        free(c->steps[0].logits);
    }
    free(c->steps);
    free(c->router_ties);
    for (int i = 0; i < c->n_probes; i++) {
        free(c->probes[i].index);
        free(c->probes[i].value);
    }
    free(c->probes);
    for (int i = 0; i < c->n_self; i++) {
        free(c->self[i].top);
        free(c->self[i].second);
        free(c->self[i].margin);
        free(c->self[i].margin_of_base);
        free(c->self[i].kl);
    }
}

void fixture_close(fixture *f)
{
    if (!f) return;
    for (int64_t i = 0; i < fixture_held(f); i++) free_case(&f->cases[i]);
    free(f->cases);
    cJSON_Delete(f->config);
    free(f->path);
    free(f->model_name);
    free(f->revision);
    free(f->dtype);
    free(f->device);
    free(f->transformers);
    free(f->torch);
    free(f->weights_file);
    free(f->weights_type);
    free(f);
}
