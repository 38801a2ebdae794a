#define _GNU_SOURCE
#include "claims.h"
#include "digest_queue.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ---- claims in a plan ----------------------------------------------------------------------------------------------

const char *claims_required_kv(const char *type_name)
{
    return strcasecmp(type_name, "BF16") == 0 ? "bf16" : "f32";
}

// A tensor of another type in a file that calls itself BF16 was quantized, or is F16: what the arithmetic of BF16
// rounds is then no longer its weights.
// Integers are tables, not weights.
static bool in_bf16(dtype t)
{
    const bool integers = dtype_find(t)->block_weights == 1 && !dtype_is_float(t);
    return t == DT_BF16 || t == DT_F32 || integers;
}

const char *claims_kv_of(const gguf *g, const char *type_name)
{
    for (int64_t i = 0; i < gguf_n_tensors(g); i++)
        if (!in_bf16(gguf_tensor_at(g, i)->type)) return "f32";
    return claims_required_kv(type_name);
}

static const char *kv_of_plan(const gguf_plan *p, const char *type_name)
{
    for (int64_t i = 0; i < gguf_plan_n_tensors(p); i++)
        if (!in_bf16(gguf_plan_tensor_at(p, i)->type)) return "f32";
    return claims_required_kv(type_name);
}

static bool plan_or_remove(gguf_plan *p, const char *key, const char *value, err *e)
{
    if (value && *value) return gguf_plan_str(p, key, value, e);
    gguf_plan_remove(p, key);
    return true;
}

static bool plan_digest_placeholders(gguf_plan *p, err *e)
{
    static const char ZEROS[SHA256_HEX + 1] = "0000000000000000000000000000000000000000000000000000000000000000";
    int64_t   n = gguf_plan_n_tensors(p);
    gguf_str *v = malloc((size_t)(n + 1) * sizeof *v);
    if (!v) return err_nomem(e, KEY_HM_TENSOR_SHA, (size_t)n * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i] = (gguf_str){ .s = ZEROS, .n = SHA256_HEX };
    bool ok = gguf_plan_arr_str(p, KEY_HM_TENSOR_SHA, v, n, e);
    free(v);
    return ok;
}

bool claims_plan(gguf_plan *p, const char *type_name, const claims_source *src, err *e)
{
    static const claims_source NONE = { 0 };
    char record[CLAIMS_RECORD_BYTES];
    if (!src) src = &NONE;
    return gguf_plan_u32(p, KEY_HM_VERSION, src->version ? (uint32_t)src->version : CLAIMS_VERSION, e) &&
           gguf_plan_str(p, KEY_HM_KV_TYPE, kv_of_plan(p, type_name), e) &&
           gguf_plan_str(p, KEY_HM_ATTN_MATH, "f32", e) &&
           plan_or_remove(p, KEY_HM_SOURCE_REV, src->revision, e) &&
           plan_or_remove(p, KEY_HM_SOURCE_DIGEST, src->digest, e) &&
           plan_or_remove(p, KEY_HM_SOURCE_V1, src->digest_v1, e) &&
           plan_digest_placeholders(p, e) &&
           claims_pad_record("{}", record, e) &&
           gguf_plan_strn(p, KEY_HM_VERIFICATION, record, sizeof record, e);
}

bool claims_pad_record(const char *json, char out[CLAIMS_RECORD_BYTES], err *e)
{
    size_t n = strlen(json);
    if (n > CLAIMS_RECORD_BYTES)
        return err_set(e, ERR_SYSTEM, "%s: found a record of %zu bytes, expected at most %d", KEY_HM_VERIFICATION, n,
                       CLAIMS_RECORD_BYTES);
    memset(out, ' ', CLAIMS_RECORD_BYTES);
    memcpy(out, json, n);
    return true;
}

bool claims_set_digests(gguf_plan *p, const char (*digests)[SHA256_HEX + 1], err *e)
{
    int64_t   n = gguf_plan_n_tensors(p);
    gguf_str *v = malloc((size_t)(n + 1) * sizeof *v);
    if (!v) return err_nomem(e, KEY_HM_TENSOR_SHA, (size_t)n * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i] = (gguf_str){ .s = digests[i], .n = SHA256_HEX };
    bool ok = gguf_plan_arr_str(p, KEY_HM_TENSOR_SHA, v, n, e);
    free(v);
    return ok;
}

// ---- claims in a file ----------------------------------------------------------------------------------------------

bool claims_find_record(const gguf *g, gguf_str *json, int64_t *off, err *e)
{
    if (!gguf_get_str(g, KEY_HM_VERIFICATION, json, e)) return false;
    if (json->n != CLAIMS_RECORD_BYTES)
        return err_set(e, ERR_VERDICT, "%s: key '%s': found %lld bytes, expected %d", gguf_path(g), KEY_HM_VERIFICATION,
                       (long long)json->n, CLAIMS_RECORD_BYTES);
    const gguf_kv *kv = gguf_find_kv(g, KEY_HM_VERIFICATION);
    // The pair: u64 length and bytes of the key, u32 type, u64 length of the value, its bytes.
    *off = kv->off + 8 + (int64_t)strlen(kv->key) + 4 + 8;
    while (json->n > 0 && json->s[json->n - 1] == ' ') json->n--;
    return true;
}

static void read_hex(const gguf *g, const char *key, char hex[SHA256_HEX + 1])
{
    gguf_str s;
    err      absent = { 0 };
    hex[0] = '\0';
    if (!gguf_get_str(g, key, &s, &absent) || s.n != SHA256_HEX || memchr(s.s, '\0', SHA256_HEX)) return;
    memcpy(hex, s.s, SHA256_HEX);
    hex[SHA256_HEX] = '\0';
}

void claims_read_source(const gguf *g, source_id *id)
{
    char    digest[SHA256_HEX + 1], v1[SHA256_HEX + 1];
    int64_t version = 1;
    err     absent  = { 0 };
    gguf_get_i64_or(g, KEY_HM_VERSION, 1, &version, &absent);
    read_hex(g, KEY_HM_SOURCE_DIGEST, digest);
    read_hex(g, KEY_HM_SOURCE_V1, v1);
    source_id_said(id, version, digest, v1);
}

// The list of tensor digests, one for each tensor, each 64 lower-case hex digits.
static bool find_digests(const gguf *g, const gguf_kv **list, err *e)
{
    const gguf_kv *kv = gguf_find_kv(g, KEY_HM_TENSOR_SHA);
    if (!kv || kv->type != GGUF_ARRAY || kv->elem != GGUF_STRING)
        return err_set(e, kv ? ERR_VERDICT : ERR_INPUT,
                       "%s: key '%s': found no array of strings: the file carries no digests of its tensors",
                       gguf_path(g), KEY_HM_TENSOR_SHA);
    if (kv->n != gguf_n_tensors(g))
        return err_set(e, ERR_VERDICT, "%s: key '%s': found %lld digests, expected one for each of %lld tensors",
                       gguf_path(g), KEY_HM_TENSOR_SHA, (long long)kv->n, (long long)gguf_n_tensors(g));
    gguf_str_iter it = gguf_strs(kv);
    gguf_str      s;
    for (int64_t i = 0; gguf_next_str(&it, &s); i++) {
        int64_t k = 0;
        while (k < s.n && s.n == SHA256_HEX && s.s[k] && strchr("0123456789abcdef", s.s[k])) k++;
        if (k != SHA256_HEX)
            return err_set(e, ERR_VERDICT,
                           "%s: key '%s': found a malformed digest at index %lld, expected %d hex digits", gguf_path(g),
                           KEY_HM_TENSOR_SHA, (long long)i, SHA256_HEX);
    }
    *list = kv;
    return true;
}

bool claims_weights_digest(const gguf *g, char hex[SHA256_HEX + 1], err *e)
{
    const gguf_kv *kv;
    if (!find_digests(g, &kv, e)) return false;
    sha256 *s = sha256_new(e);
    if (!s) return false;
    gguf_str_iter it = gguf_strs(kv);
    gguf_str      d;
    bool          ok = true;
    while (ok && gguf_next_str(&it, &d)) ok = sha256_add(s, d.s, d.n, e) && sha256_add(s, "\n", 1, e);
    return sha256_end_if(s, ok, hex, e);
}

static bool add_name(sha256 *s, const char *name, err *e) { return sha256_add(s, name, (int64_t)strlen(name) + 1, e); }
static bool add_u32(sha256 *s, uint32_t v, err *e)        { return sha256_add(s, &v, sizeof v, e); }
static bool add_i64_bytes(sha256 *s, int64_t v, err *e)   { return sha256_add(s, &v, sizeof v, e); }

static bool add_pair(sha256 *s, const gguf_kv *kv, err *e)
{
    return add_name(s, kv->key, e) && add_u32(s, kv->type, e) && add_u32(s, kv->elem, e)
        && add_i64_bytes(s, kv->n, e) &&
           sha256_add(s, kv->data, kv->n_bytes, e);
}

static bool add_tensor(sha256 *s, const gguf_tensor *t, err *e)
{
    // As stored: the file's own words are bound, not what they come to.
    const int ones = t->n_stored - t->n_dims;
    bool ok = add_name(s, t->name, e) && add_u32(s, (uint32_t)t->type, e) && add_u32(s, (uint32_t)t->n_stored, e);
    for (int d = 0; ok && d < t->n_stored; d++) ok = add_i64_bytes(s, d < ones ? 1 : t->shape[d - ones], e);
    return ok;
}

// All pairs but the record and, where it is given, another key's; then the tensor table.
static bool add_metadata(sha256 *s, const gguf *g, const char *but, err *e)
{
    for (int64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        if (strcmp(kv->key, KEY_HM_VERIFICATION) == 0) continue;
        if (but && strcmp(kv->key, but) == 0) continue;
        if (!add_pair(s, kv, e)) return false;
    }
    for (int64_t i = 0; i < gguf_n_tensors(g); i++)
        if (!add_tensor(s, gguf_tensor_at(g, i), e)) return false;
    return true;
}

bool claims_metadata_digest(const gguf *g, char hex[SHA256_HEX + 1], err *e)
{
    sha256 *s = sha256_new(e);
    return s && sha256_end_if(s, add_metadata(s, g, NULL, e), hex, e);
}

// ---- the tensors against their digests -----------------------------------------------------------------------------

static bool compare_digests(const gguf *g, const gguf_kv *list, const digest_queue *q, err *e)
{
    gguf_str_iter it = gguf_strs(list);
    gguf_str      s;
    char          hex[SHA256_HEX + 1];
    for (int64_t i = 0; gguf_next_str(&it, &s); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (!digest_queue_get(q, i, hex, e)) return false;
        if (memcmp(s.s, hex, SHA256_HEX) != 0)
            return err_set(e, ERR_VERDICT, "%s: tensor '%s': offset %lld: found bytes with SHA-256 %s, expected %.64s",
                           gguf_path(g), t->name, (long long)t->off, hex, s.s);
    }
    return true;
}

// All tensors, queued for their digests in file order; NULL without memory.
static digest_queue *queue_tensors(const gguf *g, progress *p, err *e)
{
    const int64_t n = gguf_n_tensors(g);
    digest_queue *q = digest_queue_new(n, p, e);
    for (int64_t i = 0; q && i < n; i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (gguf_fd(g) >= 0) digest_queue_add_range(q, gguf_fd(g), t->off, t->n_bytes, t->name, gguf_path(g));
        else                 digest_queue_add_bytes(q, t->data, t->n_bytes, t->name);
    }
    return q;
}

static bool add_tensor_bytes(sha256 *s, const gguf *g, int n_threads, err *e)
{
    char hex[SHA256_HEX + 1];
    if (gguf_find_kv(g, KEY_HM_TENSOR_SHA)) return true;
    digest_queue *q = queue_tensors(g, NULL, e);
    if (!q) return false;
    digest_queue_run(q, n_threads);
    bool ok = true;
    for (int64_t i = 0; ok && i < gguf_n_tensors(g); i++)
        ok = digest_queue_get(q, i, hex, e) && sha256_add(s, hex, SHA256_HEX, e);
    digest_queue_free(q);
    return ok;
}

bool claims_model_digest(const gguf *g, int n_threads, char hex[SHA256_HEX + 1], err *e)
{
    sha256 *s = sha256_new(e);
    if (!s) return false;
    const bool ok = add_metadata(s, g, KEY_HM_KV_MEASURED, e) && add_tensor_bytes(s, g, n_threads, e);
    return sha256_end_if(s, ok, hex, e);
}

bool claims_check_tensors(const gguf *g, int n_threads, progress *p, err *e)
{
    const gguf_kv *list;
    if (!find_digests(g, &list, e)) return false;
    digest_queue *q = queue_tensors(g, p, e);
    if (!q) return false;
    progress_stage(p, "check", digest_queue_bytes(q));
    digest_queue_run(q, n_threads);
    const bool ok = compare_digests(g, list, q, e);
    digest_queue_free(q);
    return ok;
}

// ---- what a file may not say or hold -------------------------------------------------------------------------------

static bool check_text(const gguf *g, const char *key, const char *expected, err *e)
{
    gguf_str s;
    err      bad = { 0 };
    if (!gguf_find_kv(g, key)) return true;
    if (!gguf_get_str(g, key, &s, &bad)) return err_set(e, ERR_VERDICT, "%s", bad.msg);
    if (s.n == (int64_t)strlen(expected) && memcmp(s.s, expected, (size_t)s.n) == 0) return true;
    return err_set(e, ERR_VERDICT, "%s: key '%s': found '%.*s', expected '%s', which the file's type requires",
                   gguf_path(g), key, s.n < 32 ? (int)s.n : 32, s.s, expected);
}

bool claims_check_keys(const gguf *g, const char *type_name, err *e)
{
    int64_t version = CLAIMS_VERSION;
    err     bad = { 0 };
    if (!gguf_get_i64_or(g, KEY_HM_VERSION, CLAIMS_VERSION, &version, &bad))
        return err_set(e, ERR_VERDICT, "%s", bad.msg);
    if (version < 1 || version > CLAIMS_VERSION)
        return err_set(e, ERR_VERDICT, "%s: key '%s': found %lld, expected 1 to %d", gguf_path(g), KEY_HM_VERSION,
                       (long long)version, CLAIMS_VERSION);
    return check_text(g, KEY_HM_KV_TYPE, claims_kv_of(g, type_name), e) && check_text(g, KEY_HM_ATTN_MATH, "f32", e);
}

typedef struct { int64_t off, end; } span;

static int by_off(const void *a, const void *b)
{
    const span *x = a, *y = b;
    return (x->off > y->off) - (x->off < y->off);
}

bool claims_check_gaps(const gguf *g, err *e)
{
    const int64_t n = gguf_n_tensors(g), align = gguf_alignment(g);
    const uint8_t *base = n > 0 ? gguf_tensor_at(g, 0)->data - gguf_tensor_at(g, 0)->off : NULL;
    span *s = malloc((size_t)(n + 1) * sizeof *s);
    if (!s) return err_nomem(e, "tensor spans", (size_t)(n + 1) * sizeof *s);
    for (int64_t i = 0; i < n; i++)
        s[i] = (span){ gguf_tensor_at(g, i)->off, gguf_tensor_at(g, i)->off + gguf_tensor_at(g, i)->n_bytes };
    qsort(s, (size_t)n, sizeof *s, by_off);
    int64_t at = gguf_data_off(g);
    bool ok = true;
    for (int64_t i = 0; ok && i < n; i++) {
        for (; ok && at < s[i].off; at++)
            if (base[at] != 0)
                ok = err_set(e, ERR_VERDICT, "%s: offset %lld: found a byte %02x between tensors, expected padding",
                             gguf_path(g), (long long)at, base[at]);
        if (s[i].end > at) at = s[i].end;
    }
    const int64_t end = gguf_file_bytes(g), most = (at + align - 1) / align * align;
    if (ok && n > 0 && end > most)
        ok = err_set(e, ERR_VERDICT, "%s: offset %lld: found %lld bytes after the last tensor, expected none",
                     gguf_path(g), (long long)most, (long long)(end - most));
    for (; ok && n > 0 && at < end; at++)
        if (base[at] != 0)
            ok = err_set(e, ERR_VERDICT, "%s: offset %lld: found a byte %02x after the last tensor, expected padding",
                         gguf_path(g), (long long)at, base[at]);
    free(s);
    return ok;
}
