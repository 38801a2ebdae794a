#include "record.h"
#include "../formats/json.h"
#include "../quant/policy.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What of a report a record keeps: the result, not the reasons.
static const char *const REPORT_KEYS[]  = { "artifact", "type", "arith", "kv", "device", "gate", "verdict", NULL };
static const char *const FIXTURE_KEYS[] = { "name", "sha256", "dtype", "check", "cases", "free_run_equal", "free_run_tokens", "free_run_tokens_equal",
                                            "steps", "teacher_forced_equal", "ties", "ties_differing", "kl_mean", "kl_max",
                                            "logprob_diff_max", "verdict", NULL };

bool record_read(const gguf *g, cJSON **rec, err *e)
{
    char     where[512];
    gguf_str s;
    int64_t  off;
    err      bad = { 0 };
    *rec = NULL;
    if (!gguf_find_kv(g, KEY_HM_VERIFICATION)) return true;
    snprintf(where, sizeof where, "%s: key '%s'", gguf_path(g), KEY_HM_VERIFICATION);
    if (!claims_find_record(g, &s, &off, &bad)) return err_set(e, ERR_VERDICT, "%s", bad.msg);
    cJSON *j = json_parse(s.s, s.n, where, &bad);
    if (!j || !cJSON_IsObject(j)) {
        cJSON_Delete(j);
        return err_set(e, ERR_VERDICT, "%s", bad.msg[0] ? bad.msg : "a record is a JSON object");
    }
    if (!j->child) cJSON_Delete(j);
    else           *rec = j;
    return true;
}

static bool check_digest(const cJSON *rec, const char *key, const char *found, const char *path, const char *of, err *e)
{
    const cJSON *v = json_get(rec, key);
    const char  *s = cJSON_IsString(v) ? v->valuestring : "nothing";
    if (strcmp(s, found) == 0) return true;
    return err_set(e, ERR_VERDICT, "%s: the verification record was made for %s with digest %.64s, the file's is %s: it was changed after it was verified",
                   path, of, s, found);
}

static bool check_run(const gguf *g, const cJSON *rec, err *e);

bool record_check(const gguf *g, const cJSON *rec, err *e)
{
    const char *path = gguf_path(g);
    char        hex[SHA256_HEX + 1];
    const cJSON *version = json_get(rec, "hallmark_record"), *verdict = json_get(rec, "verdict");
    if (!cJSON_IsNumber(version) || version->valuedouble != 1)
        return err_set(e, ERR_VERDICT, "%s: key '%s': not a record of version 1", path, KEY_HM_VERIFICATION);
    err bad = { 0 };
    if (!claims_weights_digest(g, hex, &bad)) return err_set(e, ERR_VERDICT, "%s", bad.msg);
    if (!check_digest(rec, "tensors", hex, path, "tensors", e)) return false;
    if (!claims_metadata_digest(g, hex, e)) return false;
    if (!check_digest(rec, "metadata", hex, path, "metadata", e)) return false;
    if (!cJSON_IsString(verdict) || strcmp(verdict->valuestring, "pass") != 0)
        return err_set(e, ERR_VERDICT, "%s: the verification record does not say that verification passed", path);
    const cJSON *fixtures = json_get(rec, "fixtures");
    if (!cJSON_IsArray(fixtures) || cJSON_GetArraySize(fixtures) < 1)
        return err_set(e, ERR_VERDICT, "%s: the verification record names no fixture", path);
    return check_run(g, rec, e);
}

static bool positive(const cJSON *o, const char *key)
{
    const cJSON *v = json_get(o, key);
    return cJSON_IsNumber(v) && v->valuedouble > 0;
}

// A record may not contradict itself: every fixture it names was run, and passed.
static bool check_fixture_entry(const cJSON *f, const char *path, err *e)
{
    const cJSON *sha = json_get(f, "sha256"), *verdict = json_get(f, "verdict");
    if (!cJSON_IsObject(f) || !cJSON_IsString(sha) || strlen(sha->valuestring) != SHA256_HEX)
        return err_set(e, ERR_VERDICT, "%s: the verification record names a fixture without its digest", path);
    if (!cJSON_IsString(verdict) || strcmp(verdict->valuestring, "pass") != 0)
        return err_set(e, ERR_VERDICT, "%s: the verification record names a fixture that did not pass", path);
    if (!positive(f, "cases") || !positive(f, "steps") || !positive(f, "free_run_tokens"))
        return err_set(e, ERR_VERDICT, "%s: the verification record names a fixture of which nothing was run", path);
    return true;
}

static bool same_text(const cJSON *rec, const char *key, const char *found, const char *path, err *e)
{
    const cJSON *v = json_get(rec, key);
    if (cJSON_IsString(v) && strcmp(v->valuestring, found) == 0) return true;
    return err_set(e, ERR_VERDICT, "%s: the verification record's '%s' is '%s', the file's is '%s'", path, key, cJSON_IsString(v) ? v->valuestring : "missing", found);
}

// What was run is what the file is: its type, in the arithmetic and with the cache that it requires.
static bool check_run(const gguf *g, const cJSON *rec, err *e)
{
    const cJSON *f, *fixtures = json_get(rec, "fixtures");
    int64_t id;
    if (!gguf_get_i64_or(g, "general.file_type", -1, &id, e)) return false;
    const file_type_info *type = file_type_of(id);
    const char *label = type ? type->label : "?", *kv = claims_required_kv(label);
    if (!claims_check_keys(g, label, e)) return false;
    if (!same_text(rec, "type", label, gguf_path(g), e) || !same_text(rec, "kv", kv, gguf_path(g), e) || !same_text(rec, "arith", kv, gguf_path(g), e)) return false;
    cJSON_ArrayForEach(f, fixtures) if (!check_fixture_entry(f, gguf_path(g), e)) return false;
    return true;
}

// Exact equality of two values as written: cJSON_Compare allows numbers an epsilon.
static bool same_value(const cJSON *a, const cJSON *b)
{
    if (!a || !b) return !a && !b;
    if (cJSON_IsNumber(a) && cJSON_IsNumber(b)) return a->valuedouble == b->valuedouble;
    if (cJSON_IsNumber(a) || cJSON_IsNumber(b)) return false;
    return cJSON_Compare(a, b, true);
}

static bool same_keys(const cJSON *rec, const cJSON *report, const char *const *keys, const char *where, err *e)
{
    for (; *keys; keys++) {
        if (same_value(json_get(rec, *keys), json_get(report, *keys))) continue;
        return err_set(e, ERR_VERDICT, "%s: '%s' is not what the artifact's own verification record says", where, *keys);
    }
    return true;
}

bool record_agrees(const cJSON *rec, const cJSON *report, const char *where, err *e)
{
    if (!same_keys(rec, report, REPORT_KEYS, where, e)) return false;
    const cJSON *ours = json_get(rec, "fixtures"), *theirs = json_get(report, "fixtures");
    int n = cJSON_GetArraySize(ours);
    if (!cJSON_IsArray(theirs) || cJSON_GetArraySize(theirs) != n)
        return err_set(e, ERR_VERDICT, "%s: 'fixtures' are not those that the artifact's own verification record names", where);
    for (int i = 0; i < n; i++)
        if (!same_keys(cJSON_GetArrayItem(ours, i), cJSON_GetArrayItem(theirs, i), FIXTURE_KEYS, where, e)) return false;
    return true;
}

// ---- writing -------------------------------------------------------------------------------------------------------

static bool copy_keys(cJSON *to, const cJSON *from, const char *const *keys)
{
    for (; *keys; keys++) {
        cJSON *v = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(from, *keys), true);
        if (!v || !cJSON_AddItemToObject(to, *keys, v)) { cJSON_Delete(v); return false; }
    }
    return true;
}

static bool fill_record(cJSON *rec, const cJSON *report, const char *tensors, const char *metadata)
{
    cJSON *list;
    if (!cJSON_AddNumberToObject(rec, "hallmark_record", 1) || !cJSON_AddStringToObject(rec, "tensors", tensors)
        || !cJSON_AddStringToObject(rec, "metadata", metadata) || !copy_keys(rec, report, REPORT_KEYS)
        || !(list = cJSON_AddArrayToObject(rec, "fixtures"))) return false;
    const cJSON *f;
    cJSON_ArrayForEach(f, cJSON_GetObjectItemCaseSensitive(report, "fixtures")) {
        cJSON *o = cJSON_CreateObject();
        if (!o || !cJSON_AddItemToArray(list, o)) { cJSON_Delete(o); return false; }
        if (!copy_keys(o, f, FIXTURE_KEYS)) return false;
    }
    return true;
}

static char *record_text(const gguf *g, const verify_report *r, err *e)
{
    char   tensors[SHA256_HEX + 1], metadata[SHA256_HEX + 1], *text = NULL;
    if (!claims_weights_digest(g, tensors, e) || !claims_metadata_digest(g, metadata, e)) return NULL;
    cJSON *report = verify_report_json(r), *rec = cJSON_CreateObject();
    if (report && rec && fill_record(rec, report, tensors, metadata)) text = cJSON_PrintUnformatted(rec);
    if (!text) err_nomem(e, "the verification record", CLAIMS_RECORD_BYTES);
    cJSON_Delete(rec);
    cJSON_Delete(report);
    return text;
}

static bool overwrite(const char *path, int64_t off, const char *bytes, int64_t n, err *e)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return err_errno(e, false, path, "open for writing");
    bool ok = true;
    for (int64_t done = 0; ok && done < n;) {
        ssize_t w = pwrite(fd, bytes + done, (size_t)(n - done), off + done);
        if (w > 0) done += w;
        else if (w == 0 || errno != EINTR) ok = err_errno(e, false, path, "write");
    }
    if (ok && fsync(fd) != 0) ok = err_errno(e, false, path, "flush");
    if (close(fd) != 0 && ok) ok = err_errno(e, false, path, "close");
    return ok;
}

bool record_write(const char *path, const verify_report *r, err *e)
{
    bool    ok = false;
    int64_t off = 0;
    char    padded[CLAIMS_RECORD_BYTES], *text = NULL;
    gguf_str old;
    gguf   *g = gguf_open(path, e);
    if (!g) return false;
    text = record_text(g, r, e);
    if (!text || !claims_find_record(g, &old, &off, e)) goto out;
    if (strlen(text) > sizeof padded) {
        err_set(e, ERR_USAGE, "%s: the verification record takes %zu bytes, there is room for %d: use fewer fixtures", path, strlen(text), CLAIMS_RECORD_BYTES);
        goto out;
    }
    if (!claims_pad_record(text, padded, e)) goto out;
    gguf_close(g);                      // not written under a mapping that is still read
    g  = NULL;
    ok = overwrite(path, off, padded, sizeof padded, e);
out:
    free(text);
    gguf_close(g);
    return ok;
}
