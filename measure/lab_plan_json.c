// lab_plan_json: a plan as a JSON document, and back. What it says is what figures and reports need; a run needs the
// files themselves.
#include "lab_internal.h"
#include "../formats/json.h"
#include "../runtime/kv_spec.h"
#include <stdlib.h>
#include <string.h>

enum { PLAN_FORMAT = 1, LIMIT_PLAN_VALUES = 200000 };
#define LIMIT_TOKENS ((int64_t)1 << 26)         // of a text: 64 MiB hold no more
#define LIMIT_POSITIONS ((int64_t)1 << 40)

// ---- writing --------------------------------------------------------------------------------------------------------

static cJSON *artifacts_json(const lab_plan *p)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < p->n_artifacts; i++) {
        cJSON *a = cJSON_CreateObject();
        cJSON_AddStringToObject(a, "name", p->artifacts[i].name);
        cJSON_AddStringToObject(a, "type", p->artifacts[i].type);
        cJSON_AddStringToObject(a, "digest", p->artifacts[i].digest);
        cJSON_AddItemToArray(list, a);
    }
    return list;
}

static cJSON *candidates_json(const lab_plan *p)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < p->n_candidates; i++) {
        const lab_candidate *c = &p->candidates[i];
        cJSON *j = cJSON_CreateObject();
        cJSON_AddNumberToObject(j, "artifact", c->artifact);
        cJSON_AddStringToObject(j, "kv", c->kv);
        cJSON_AddNumberToObject(j, "context_bytes", (double)c->context_bytes);
        if (c->llama) cJSON_AddStringToObject(j, "llama", c->llama);
        if (c->layer >= 0) cJSON_AddNumberToObject(j, "layer", c->layer);
        if (c->layer >= 0) cJSON_AddBoolToObject(j, "values", c->values);
        cJSON_AddItemToArray(list, j);
    }
    return list;
}

static cJSON *texts_json(const lab_plan *p)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < p->n_texts; i++) {
        const lab_text *t = &p->texts[i];
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "category", t->category);
        cJSON_AddStringToObject(j, "name", t->name);
        cJSON_AddStringToObject(j, "sha256", t->sha256);
        cJSON_AddNumberToObject(j, "tokens", (double)t->tokens);
        cJSON_AddItemToArray(list, j);
    }
    return list;
}

static cJSON *plan_json(const lab_plan *p)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "format", PLAN_FORMAT);
    cJSON_AddStringToObject(j, "program", p->program);
    cJSON_AddStringToObject(j, "arith", p->arith);
    cJSON_AddStringToObject(j, "base_kv", p->base_kv);
    cJSON_AddNumberToObject(j, "base_context_bytes", (double)p->base_context_bytes);
    cJSON_AddNumberToObject(j, "state_bytes", (double)p->state_bytes);
    cJSON_AddNumberToObject(j, "n_vocab", (double)p->n_vocab);
    cJSON_AddNumberToObject(j, "bos", p->bos);
    cJSON_AddNumberToObject(j, "chunk", (double)p->chunk);
    cJSON_AddNumberToObject(j, "skip", (double)p->skip);
    cJSON_AddNumberToObject(j, "samples", (double)p->samples);
    cJSON_AddNumberToObject(j, "context", (double)p->context);
    cJSON_AddNumberToObject(j, "budget", (double)p->budget);
    cJSON_AddItemToObject(j, "artifacts", artifacts_json(p));
    cJSON_AddItemToObject(j, "texts", texts_json(p));
    cJSON_AddItemToObject(j, "candidates", candidates_json(p));
    return j;
}

bool lab_plan_describe(lab_plan *p, err *e)
{
    cJSON *j = plan_json(p);
    char  *text = j ? json_print(j) : NULL;
    cJSON_Delete(j);
    const size_t n = text ? strlen(text) : 0;
    char *line = text ? realloc(text, n + 2) : NULL;
    if (!line) {
        free(text);
        return err_nomem(e, "the plan", n);
    }
    line[n] = '\n';
    line[n + 1] = '\0';
    free(p->json);
    p->json = line;
    return sha256_bytes(line, (int64_t)n + 1, p->digest, e);
}

// ---- reading --------------------------------------------------------------------------------------------------------

typedef struct { lab_plan *p; const char *where; err *e; } plan_reader;

static bool copy_text(const plan_reader *r, const cJSON *j, const char *name, char **to)
{
    const char *s;
    if (!json_str(j, name, &s, r->where, r->e)) return false;
    *to = strdup(s);
    return *to || err_nomem(r->e, name, strlen(s));
}

static bool copy_short(const plan_reader *r, const cJSON *j, const char *name, char *to, size_t size)
{
    const char *s;
    if (!json_str(j, name, &s, r->where, r->e)) return false;
    if (strlen(s) >= size)
        return err_set(r->e, ERR_INPUT, "%s: %s: found %zu characters, expected fewer than %zu", r->where, name,
                       strlen(s), size);
    strcpy(to, s);
    return true;
}

static bool copy_digest(const plan_reader *r, const cJSON *j, const char *name, char hex[SHA256_HEX + 1])
{
    if (!copy_short(r, j, name, hex, SHA256_HEX + 1)) return false;
    return strspn(hex, "0123456789abcdef") == SHA256_HEX
        || err_set(r->e, ERR_INPUT, "%s: %s: found '%s', expected a SHA-256 in hex", r->where, name, hex);
}

// The named array, of 1 to `most` objects (0 too where none is allowed); *n: how many.
static const cJSON *list_of(const plan_reader *r, const cJSON *j, const char *name, int most, int *n)
{
    const cJSON *list = json_get(j, name);
    *n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (*n >= 1 && *n <= most) return list;
    err_set(r->e, ERR_INPUT, "%s: %s: found %s of %d, expected an array of 1 to %d", r->where, name, json_kind(list),
            *n, most);
    return NULL;
}

static bool read_artifacts(const plan_reader *r, const cJSON *j)
{
    int n, i = 0;
    const cJSON *a, *list = list_of(r, j, "artifacts", LAB_ARTIFACTS, &n);
    if (!list) return false;
    r->p->artifacts = calloc((size_t)n, sizeof *r->p->artifacts);
    if (!r->p->artifacts) return err_nomem(r->e, "files", (size_t)n * sizeof *r->p->artifacts);
    r->p->n_artifacts = n;
    cJSON_ArrayForEach(a, list) {
        lab_artifact *to = &r->p->artifacts[i++];
        if (!copy_text(r, a, "name", &to->name) || !copy_text(r, a, "type", &to->type)) return false;
        if (!copy_digest(r, a, "digest", to->digest)) return false;
    }
    return true;
}

static bool is_canonical(const plan_reader *r, const char *kv)
{
    kv_spec s;
    char    text[KV_TEXT];
    err     why = { 0 };
    if (kv_spec_parse(&s, kv, &why)) {
        kv_spec_text(&s, text);
        if (strcmp(text, kv) == 0) return true;
    }
    return err_set(r->e, ERR_INPUT, "%s: kv: found '%s', expected a KV cache as it is printed", r->where, kv);
}

static bool read_candidate(const plan_reader *r, const cJSON *j, lab_candidate *c)
{
    int64_t artifact;
    int64_t layer;
    const char *llama;
    if (!json_i64_or(j, "layer", 0, LIMIT_LAYERS - 1, -1, &layer, r->where, r->e)) return false;
    c->layer = (int)layer;
    if (!json_bool_or(j, "values", false, &c->values, r->where, r->e)) return false;
    if (!json_i64(j, "artifact", 0, r->p->n_artifacts - 1, &artifact, r->where, r->e)) return false;
    c->artifact = (int)artifact;
    if (!copy_text(r, j, "kv", &c->kv) || !is_canonical(r, c->kv)) return false;
    if (!json_i64(j, "context_bytes", 0, INT64_MAX, &c->context_bytes, r->where, r->e)) return false;
    if (!json_str_or(j, "llama", NULL, &llama, r->where, r->e)) return false;
    c->llama = llama ? strdup(llama) : NULL;
    return !llama || c->llama || err_nomem(r->e, "a candidate", strlen(llama));
}

static bool read_candidates(const plan_reader *r, const cJSON *j)
{
    int n, i = 0;
    const cJSON *c, *list = list_of(r, j, "candidates", LAB_CANDIDATES, &n);
    if (!list) return false;
    r->p->candidates = calloc((size_t)n, sizeof *r->p->candidates);
    if (!r->p->candidates) return err_nomem(r->e, "candidates", (size_t)n * sizeof *r->p->candidates);
    r->p->n_candidates = n;
    cJSON_ArrayForEach(c, list)
        if (!read_candidate(r, c, &r->p->candidates[i++])) return false;
    return true;
}

static bool read_texts(const plan_reader *r, const cJSON *j)
{
    int n, i = 0;
    const cJSON *t, *list = list_of(r, j, "texts", LAB_TEXTS, &n);
    if (!list) return false;
    r->p->texts = calloc((size_t)n, sizeof *r->p->texts);
    if (!r->p->texts) return err_nomem(r->e, "texts", (size_t)n * sizeof *r->p->texts);
    r->p->n_texts = n;
    cJSON_ArrayForEach(t, list) {
        lab_text *to = &r->p->texts[i++];
        if (!copy_text(r, t, "category", &to->category) || !copy_text(r, t, "name", &to->name)) return false;
        if (!copy_digest(r, t, "sha256", to->sha256)) return false;
        if (!json_i64(t, "tokens", 1, LIMIT_TOKENS, &to->tokens, r->where, r->e)) return false;
    }
    return true;
}

static bool read_numbers(const plan_reader *r, const cJSON *j)
{
    lab_plan *p = r->p;
    int64_t format, bos;
    if (!json_i64(j, "format", PLAN_FORMAT, PLAN_FORMAT, &format, r->where, r->e)) return false;
    if (!json_i64(j, "base_context_bytes", 0, INT64_MAX, &p->base_context_bytes, r->where, r->e)) return false;
    if (!json_i64(j, "state_bytes", 0, INT64_MAX, &p->state_bytes, r->where, r->e)) return false;
    if (!json_i64(j, "n_vocab", 1, INT32_MAX, &p->n_vocab, r->where, r->e)) return false;
    if (!json_i64(j, "bos", -1, p->n_vocab - 1, &bos, r->where, r->e)) return false;
    if (!json_i64(j, "chunk", 2, LIMIT_TOKENS, &p->chunk, r->where, r->e)) return false;
    if (!json_i64(j, "skip", 0, p->chunk - 2, &p->skip, r->where, r->e)) return false;
    if (!json_i64(j, "samples", 0, LIMIT_TOKENS, &p->samples, r->where, r->e)) return false;
    if (!json_i64(j, "budget", 0, INT64_MAX, &p->budget, r->where, r->e)) return false;
    if (!json_i64(j, "context", 1, LIMIT_POSITIONS, &p->context, r->where, r->e)) return false;
    p->bos = (int32_t)bos;
    if (!copy_short(r, j, "program", p->program, sizeof p->program)) return false;
    return copy_short(r, j, "arith", p->arith, sizeof p->arith)
        && copy_short(r, j, "base_kv", p->base_kv, sizeof p->base_kv);
}

bool lab_plan_read(lab_plan *p, const char *json, int64_t n, const char *where, err *e)
{
    *p = (lab_plan){ 0 };
    const plan_reader r = { .p = p, .where = where, .e = e };
    cJSON *j = json_parse_limited(json, n, LIMIT_PLAN_VALUES, where, e);
    if (!j) return false;
    const bool ok = read_numbers(&r, j) && read_artifacts(&r, j) && read_texts(&r, j) && read_candidates(&r, j);
    cJSON_Delete(j);
    if (!ok || !lab_plan_chunks(p, e) || !lab_plan_describe(p, e)) return false;
    if (strlen(p->json) == (size_t)n && memcmp(p->json, json, (size_t)n) == 0) return true;
    return err_set(e, ERR_INPUT,
                   "%s: found a plan that is not as it is written, expected the bytes of a laboratory run", where);
}

// ---- comparing ------------------------------------------------------------------------------------------------------

static bool same_artifact(const lab_artifact *a, const lab_artifact *b) { return strcmp(a->digest, b->digest) == 0; }

static const char *texts_difference(const lab_plan *a, const lab_plan *b)
{
    if (a->n_texts != b->n_texts) return "the number of texts";
    for (int i = 0; i < a->n_texts; i++) {
        if (strcmp(a->texts[i].sha256, b->texts[i].sha256) != 0) return "a text";
        if (strcmp(a->texts[i].category, b->texts[i].category) != 0) return "a text's category";
        if (strcmp(a->texts[i].name, b->texts[i].name) != 0) return "a text's name";
    }
    return NULL;
}

static const char *candidates_difference(const lab_plan *a, const lab_plan *b)
{
    if (a->n_artifacts != b->n_artifacts) return "the number of files";
    for (int i = 1; i < a->n_artifacts; i++)
        if (!same_artifact(&a->artifacts[i], &b->artifacts[i])) return "a file beside the base";
    if (a->n_candidates != b->n_candidates) return "the number of candidates";
    for (int i = 0; i < a->n_candidates; i++)
        if (strcmp(a->candidates[i].kv, b->candidates[i].kv) != 0) return "a candidate's cache";
    return NULL;
}

const char *lab_plan_difference(const lab_plan *a, const lab_plan *b)
{
    if (strcmp(a->json, b->json) == 0) return NULL;
    if (strcmp(a->program, b->program) != 0) return "the version of the program";
    if (!same_artifact(&a->artifacts[0], &b->artifacts[0])) return "the base";
    if (strcmp(a->arith, b->arith) != 0) return "the arithmetic";
    if (a->chunk != b->chunk || a->skip != b->skip) return "the chunks";
    const char *what = texts_difference(a, b);
    if (!what) what = candidates_difference(a, b);
    return what ? what : "a name or a count";
}
