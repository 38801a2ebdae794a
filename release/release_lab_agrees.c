// release_lab: what an artifact says of its caches against the report beside it. See release_lab.h.
#define _GNU_SOURCE
#include "release_lab.h"
#include "../formats/checked.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../measure/lab_record.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *where; err *e; } reader;

// null is NaN. Both have as many digits.
static bool same_number(const reader *r, const cJSON *o, const char *key, const char *kv, double expected)
{
    const cJSON *v = json_get(o, key);
    const double found = cJSON_IsNumber(v) ? v->valuedouble : NAN;
    if (found == expected || (!v && isnan(expected))) return true;
    return err_set(r->e, ERR_VERDICT, "%s: cache '%.200s': %s: found %.9g, expected %.9g, as the artifact says",
                   r->where, kv, key, found, expected);
}

static bool same_cache(const reader *r, const cJSON *o, const lab_record_cache *c)
{
    return same_number(r, o, "context_bytes", c->kv, (double)c->context_bytes)
        && same_number(r, o, "kl_mean", c->kv, c->kl_mean) && same_number(r, o, "kl_low", c->kv, c->kl_low)
        && same_number(r, o, "kl_high", c->kv, c->kl_high) && same_number(r, o, "kl_p99", c->kv, c->kl_p99)
        && same_number(r, o, "top1", c->kv, c->top1);
}

static const cJSON *candidate_of(const cJSON *report, const char *kv)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, json_get(report, "candidates")) {
        const cJSON *s = json_get(o, "kv");
        if (cJSON_IsString(s) && strcmp(s->valuestring, kv) == 0) return o;
    }
    return NULL;
}

// A release's run has one file: every candidate is a cache of it.
static bool same_figures(const reader *r, const cJSON *report, const lab_record *rec)
{
    const cJSON *digest = json_get(json_get(report, "base"), "digest"), *list = json_get(report, "candidates");
    if (!cJSON_IsString(digest) || strcmp(digest->valuestring, rec->tensors) != 0)
        return err_set(r->e, ERR_VERDICT, "%s: base: found another digest than the artifact's %s", r->where,
                       rec->tensors);
    if (cJSON_GetArraySize(list) != rec->n_caches)
        return err_set(r->e, ERR_VERDICT, "%s: candidates: found %d, expected the %d that the artifact names", r->where,
                       cJSON_GetArraySize(list), rec->n_caches);
    for (int i = 0; i < rec->n_caches; i++) {
        const cJSON *o = candidate_of(report, rec->caches[i].kv);
        if (!o)
            return err_set(r->e, ERR_VERDICT, "%s: candidates: found no '%.200s', which the artifact names", r->where,
                           rec->caches[i].kv);
        if (!same_cache(r, o, &rec->caches[i])) return false;
    }
    return true;
}

static bool agrees(const char *path, const char *artifact, err *e)
{
    lab_record rec = { .best = -1 };
    bool    found = false;
    int64_t n;
    char   *text = NULL;
    cJSON  *report = NULL;
    err     bad = { 0 };
    const reader r = { path, &bad };
    gguf *g = gguf_open(artifact, &bad);
    bool  ok = g && lab_record_find(&rec, g, &found, &bad);
    if (ok && !found)
        ok = err_set(&bad, ERR_VERDICT, "%s: key '%s': absent, but %s is there", artifact, KEY_HM_KV_MEASURED, path);
    ok = ok && file_read_text(&text, &n, path, LIMIT_JSON_BYTES, &bad);
    ok = ok && (report = json_parse_limited(text, n, LIMIT_JSON_VALUES, path, &bad)) != NULL;
    ok = ok && same_figures(&r, report, &rec);
    if (!ok) err_as_verdict(e, &bad);
    cJSON_Delete(report);
    free(text);
    lab_record_free(&rec);
    gguf_close(g);
    return ok;
}

bool release_lab_agrees(const char *dir, const char *report, err *e)
{
    const size_t stem = record_lab_stem(report);
    char *path = NULL, *artifact = NULL;
    if (stem == 0) return true;
    const bool named = asprintf(&path, "%s/%s", dir, report) >= 0
        && asprintf(&artifact, "%s/%.*s.gguf", dir, (int)stem, report) >= 0;
    const bool ok = named ? agrees(path, artifact, e) : err_nomem(e, "a path", stem);
    free(artifact);
    free(path);
    return ok;
}
