// lab_record: read from a file, where it is hostile until checked. See lab_record.h.
#include "lab_record.h"
#include "lab_record_internal.h"
#include "../formats/json.h"
#include "../runtime/kv_spec.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_RECORD_VALUES = 20000, LIMIT_WORDS = 127 };
#define LIMIT_TOKENS ((int64_t)1 << 40)
#define LIMIT_POSITIONS ((int64_t)1 << 40)
#define LEAST_KL (-1e-6)        // a sum of rounded terms may end a hair below 0
#define SLACK 1e-8              // of shares, which have nine digits

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool lab_record_is_category(const char *s)
{
    const size_t n = strlen(s);
    return n > 0 && n <= LAB_RECORD_CATEGORY && strspn(s, LETTERS "_-") == n;
}

typedef struct { lab_record *rec; const char *where; err *e; } reader;

// ---- texts ----------------------------------------------------------------------------------------------------------

// A text of these characters alone, of 1 to `most` bytes.
static bool get_word(const reader *r, const cJSON *j, const char *key, const char *of, size_t most, const char **s)
{
    if (!json_str(j, key, s, r->where, r->e)) return false;
    const size_t n = strlen(*s);
    if (n > 0 && n <= most && strspn(*s, of) == n) return true;
    return err_set(r->e, ERR_INPUT, "%s: %s: found '%.80s', expected 1 to %zu of the characters that such a name has",
                   r->where, key, *s, most);
}

static bool copy_word(const reader *r, const cJSON *j, const char *key, const char *of, char *to, size_t size)
{
    const char *s;
    if (!get_word(r, j, key, of, size - 1, &s)) return false;
    strcpy(to, s);
    return true;
}

static bool copy_digest(const reader *r, const cJSON *j, const char *key, char hex[SHA256_HEX + 1])
{
    if (!copy_word(r, j, key, "0123456789abcdef", hex, SHA256_HEX + 1)) return false;
    return strlen(hex) == SHA256_HEX
        || err_set(r->e, ERR_INPUT, "%s: %s: found '%s', expected a SHA-256 in hex", r->where, key, hex);
}

static bool keep_cache_words(const reader *r, const cJSON *j, char **to)
{
    kv_spec     spec;
    char        text[KV_TEXT];
    const char *s;
    err         why = { 0 };
    if (!json_str(j, "kv", &s, r->where, r->e)) return false;
    const bool canonical = kv_spec_parse(&spec, s, &why) && kv_spec_text(&spec, text) && strcmp(text, s) == 0;
    if (canonical) return lab_record_keep(to, s, r->e);
    return err_set(r->e, ERR_INPUT, "%s: kv: found '%.200s', expected a KV cache as it is printed", r->where, s);
}

static bool keep_llama(const reader *r, const cJSON *j, char **to)
{
    const char *s;
    if (!json_get(j, "llama")) return true;         // null; one that is not there is not as it is written
    return get_word(r, j, "llama", LETTERS "_-= ", LIMIT_WORDS, &s) && lab_record_keep(to, s, r->e);
}

// ---- numbers --------------------------------------------------------------------------------------------------------

static bool get_number(const reader *r, const cJSON *j, const char *key, double low, double high, double *v)
{
    if (!json_f64(j, key, v, r->where, r->e)) return false;
    if (*v >= low && *v <= high) return true;
    return err_set(r->e, ERR_INPUT, "%s: %s: found %g, expected %g to %g", r->where, key, *v, low, high);
}

static bool get_interval(const reader *r, const cJSON *j, lab_record_cache *c)
{
    const bool low = json_get(j, "kl_low") != NULL, high = json_get(j, "kl_high") != NULL;
    c->kl_low = c->kl_high = NAN;
    if (!low && !high) return true;
    if (!get_number(r, j, "kl_low", LEAST_KL, 1e300, &c->kl_low)) return false;
    if (!get_number(r, j, "kl_high", LEAST_KL, 1e300, &c->kl_high)) return false;
    return c->kl_low <= c->kl_high
        || err_set(r->e, ERR_INPUT, "%s: kl_low: found %g above kl_high %g", r->where, c->kl_low, c->kl_high);
}

static bool get_figures(const reader *r, const cJSON *j, lab_record_cache *c)
{
    if (!get_number(r, j, "kl_mean", LEAST_KL, 1e300, &c->kl_mean) || !get_interval(r, j, c)) return false;
    if (!get_number(r, j, "kl_p99", LEAST_KL, 1e300, &c->kl_p99)) return false;
    if (!get_number(r, j, "top1", 0, 1, &c->top1)) return false;
    return get_number(r, j, "top1_worst", 0, fmin(1, c->top1 + SLACK), &c->top1_worst);
}

static bool read_head(const reader *r, const cJSON *j)
{
    lab_record *rec = r->rec;
    int64_t format;
    if (!json_i64(j, "format", 1, INT32_MAX, &format, r->where, r->e)) return false;
    if (format != LAB_RECORD_FORMAT)
        return err_set(r->e, ERR_INPUT, "%s: format: found %lld, expected %d: another version of hallmark wrote it",
                       r->where, (long long)format, LAB_RECORD_FORMAT);
    return copy_word(r, j, "hallmark", LETTERS ".+-", rec->hallmark, sizeof rec->hallmark)
        && copy_word(r, j, "arith", LETTERS, rec->arith, sizeof rec->arith)
        && copy_word(r, j, "base_kv", LETTERS "_", rec->base_kv, sizeof rec->base_kv)
        && copy_digest(r, j, "tensors", rec->tensors) && copy_digest(r, j, "texts", rec->texts);
}

static bool read_numbers(const reader *r, const cJSON *j)
{
    lab_record *rec = r->rec;
    if (!json_i64(j, "base_context_bytes", 0, INT64_MAX, &rec->base_context_bytes, r->where, r->e)) return false;
    if (!json_i64(j, "context", 1, LIMIT_POSITIONS, &rec->context, r->where, r->e)) return false;
    if (!json_i64(j, "chunk", 2, LIMIT_TOKENS, &rec->chunk, r->where, r->e)) return false;
    if (!json_i64(j, "skip", 0, rec->chunk - 2, &rec->skip, r->where, r->e)) return false;
    if (!json_i64(j, "samples", 0, LIMIT_TOKENS, &rec->samples, r->where, r->e)) return false;
    return json_i64(j, "tokens", 1, LIMIT_TOKENS, &rec->tokens, r->where, r->e);
}

// ---- lists ----------------------------------------------------------------------------------------------------------

// The named array, of 1 to `most` values; NULL otherwise.
static const cJSON *list_of(const reader *r, const cJSON *j, const char *key, int most)
{
    const cJSON *list = json_get(j, key);
    const int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n >= 1 && n <= most) return list;
    err_set(r->e, ERR_INPUT, "%s: %s: found %s of %d, expected an array of 1 to %d", r->where, key, json_kind(list), n,
            most);
    return NULL;
}

static int category_of(const lab_record *rec, const char *name)
{
    int i = 0;
    while (i < rec->n_categories && strcmp(rec->categories[i].category, name) != 0) i++;
    return i < rec->n_categories ? i : -1;
}

static bool read_category(const reader *r, const cJSON *j)
{
    lab_record *rec = r->rec;
    lab_record_category *to = &rec->categories[rec->n_categories];
    const char *name;
    if (!get_word(r, j, "category", LETTERS "_-", LAB_RECORD_CATEGORY, &name)) return false;
    if (category_of(rec, name) >= 0)
        return err_set(r->e, ERR_INPUT, "%s: categories: found '%s' twice", r->where, name);
    if (!json_i64(j, "tokens", 1, LIMIT_TOKENS, &to->tokens, r->where, r->e)) return false;
    if (!lab_record_keep(&to->category, name, r->e)) return false;
    rec->n_categories++;
    return true;
}

// Each has whole chunks, and together they are all.
static bool check_tokens(const reader *r)
{
    const lab_record *rec = r->rec;
    const int64_t each = rec->chunk - 1 - rec->skip;
    int64_t sum = 0;
    for (int i = 0; i < rec->n_categories; i++) {
        const lab_record_category *c = &rec->categories[i];
        if (c->tokens % each != 0)
            return err_set(r->e, ERR_INPUT, "%s: categories: found %lld tokens of '%s', expected a multiple of %lld",
                           r->where, (long long)c->tokens, c->category, (long long)each);
        sum += c->tokens;       // LAB_TEXTS times 2^40 at most
    }
    return sum == rec->tokens
        || err_set(r->e, ERR_INPUT, "%s: tokens: found %lld, expected the categories' %lld", r->where,
                   (long long)rec->tokens, (long long)sum);
}

static bool read_categories(const reader *r, const cJSON *j)
{
    const cJSON *c, *list = list_of(r, j, "categories", LAB_TEXTS);
    if (!list) return false;
    r->rec->categories = calloc((size_t)cJSON_GetArraySize(list), sizeof *r->rec->categories);
    if (!r->rec->categories) return err_nomem(r->e, "a record", 0);
    cJSON_ArrayForEach(c, list)
        if (!read_category(r, c)) return false;
    return check_tokens(r);
}

static bool read_cache(const reader *r, const cJSON *j)
{
    lab_record *rec = r->rec;
    lab_record_cache *to = &rec->caches[rec->n_caches++];       // what is not read yet is NULL
    const char *worst;
    if (!keep_cache_words(r, j, &to->kv) || !keep_llama(r, j, &to->llama)) return false;
    if (lab_record_cache_of(rec, to->kv) != rec->n_caches - 1)
        return err_set(r->e, ERR_INPUT, "%s: caches: found '%.200s' twice", r->where, to->kv);
    if (!json_i64(j, "context_bytes", 0, INT64_MAX, &to->context_bytes, r->where, r->e)) return false;
    if (!get_figures(r, j, to) || !json_str(j, "worst", &worst, r->where, r->e)) return false;
    if (category_of(rec, worst) < 0)
        return err_set(r->e, ERR_INPUT, "%s: worst: found '%.80s', expected one of the categories", r->where, worst);
    return lab_record_keep(&to->worst, worst, r->e);
}

static bool read_caches(const reader *r, const cJSON *j)
{
    const cJSON *c, *list = list_of(r, j, "caches", LAB_RECORD_CACHES);
    if (!list) return false;
    r->rec->caches = calloc((size_t)cJSON_GetArraySize(list), sizeof *r->rec->caches);
    if (!r->rec->caches) return err_nomem(r->e, "a record", 0);
    cJSON_ArrayForEach(c, list)
        if (!read_cache(r, c)) return false;
    return true;
}

// ---- the best -------------------------------------------------------------------------------------------------------

static bool is_smaller(const lab_record *rec, int i)
{
    const int64_t than = rec->best < 0 ? rec->base_context_bytes : rec->caches[rec->best].context_bytes;
    return rec->caches[i].context_bytes < than;
}

// It must be what the figures say. They are rounded: one that is LAB_ENOUGH to the last digit may have been below.
static bool check_best(const reader *r)
{
    const lab_record *rec = r->rec;
    const lab_record_cache *best = rec->best < 0 ? NULL : &rec->caches[rec->best];
    if (best && (best->top1_worst < LAB_ENOUGH || best->context_bytes >= rec->base_context_bytes))
        return err_set(r->e, ERR_INPUT, "%s: best: found '%.200s', which has a top-1 of %g in '%s' and %lld bytes, "
                       "expected at least %g and fewer than the base's %lld", r->where, best->kv, best->top1_worst,
                       best->worst, (long long)best->context_bytes, LAB_ENOUGH, (long long)rec->base_context_bytes);
    for (int i = 0; i < rec->n_caches; i++)
        if (is_smaller(rec, i) && rec->caches[i].top1_worst > LAB_ENOUGH)
            return err_set(r->e, ERR_INPUT, "%s: best: found %s, expected '%.200s' or a smaller one", r->where,
                           best ? best->kv : "null", rec->caches[i].kv);
    return true;
}

static bool read_best(const reader *r, const cJSON *j)
{
    const char *s;
    r->rec->best = -1;
    if (!json_str_or(j, "best", NULL, &s, r->where, r->e)) return false;
    if (s) r->rec->best = lab_record_cache_of(r->rec, s);
    if (s && r->rec->best < 0)
        return err_set(r->e, ERR_INPUT, "%s: best: found '%.200s', expected one of the caches", r->where, s);
    return check_best(r);
}

// ---- all of it ------------------------------------------------------------------------------------------------------

static bool check_canonical(const reader *r, const char *json, int64_t n)
{
    char *text = lab_record_text(r->rec);
    if (!text) return err_nomem(r->e, "a record", (size_t)n);
    const bool same = strlen(text) == (size_t)n && memcmp(text, json, (size_t)n) == 0;
    free(text);
    return same || err_set(r->e, ERR_INPUT, "%s: found a record that is not as it is written: other keys, order or "
                           "digits", r->where);
}

static bool check_arith(const reader *r)
{
    const char *a = r->rec->arith;
    if (strcmp(a, "f32") != 0 && strcmp(a, "bf16") != 0)
        return err_set(r->e, ERR_INPUT, "%s: arith: found '%s', expected f32 or bf16", r->where, a);
    return strcmp(r->rec->base_kv, a) == 0
        || err_set(r->e, ERR_INPUT, "%s: base_kv: found '%s', expected '%s', which the arithmetic requires", r->where,
                   r->rec->base_kv, a);
}

bool lab_record_read(lab_record *rec, const char *json, int64_t n, const char *where, err *e)
{
    const reader r = { .rec = rec, .where = where, .e = e };
    *rec = (lab_record){ .best = -1 };
    if (n > LAB_RECORD_BYTES)
        return err_set(e, ERR_INPUT, "%s: found %lld bytes, expected at most %d", where, (long long)n,
                       LAB_RECORD_BYTES);
    cJSON *j = json_parse_limited(json, n, LIMIT_RECORD_VALUES, where, e);
    if (!j) return false;
    const bool ok = read_head(&r, j) && check_arith(&r) && read_numbers(&r, j) && read_categories(&r, j)
        && read_caches(&r, j) && read_best(&r, j);
    cJSON_Delete(j);
    return ok && check_canonical(&r, json, n);
}

bool lab_record_find(lab_record *rec, const gguf *g, bool *found, err *e)
{
    char     where[1200];
    gguf_str s;
    *rec = (lab_record){ .best = -1 };
    *found = gguf_find_kv(g, KEY_HM_KV_MEASURED) != NULL;
    if (!*found) return true;
    snprintf(where, sizeof where, "%s: key '%s'", gguf_path(g), KEY_HM_KV_MEASURED);
    return gguf_get_str(g, KEY_HM_KV_MEASURED, &s, e) && lab_record_read(rec, s.s, s.n, where, e);
}

bool lab_record_fits(const lab_record *rec, const gguf *g, int n_threads, err *e)
{
    char hex[SHA256_HEX + 1];
    if (!claims_model_digest(g, n_threads, hex, e)) return false;
    return strcmp(hex, rec->tensors) == 0
        || err_set(e, ERR_VERDICT, "%s: key '%s': it was measured on tensors and keys with digest %s, the file's is %s",
                   gguf_path(g), KEY_HM_KV_MEASURED, rec->tensors, hex);
}
