#include "record.h"
#include "held_type.h"
#include "match.h"
#include "preflight.h"
#include "recipe.h"
#include "../formats/json.h"
#include "../quant/derive.h"
#include "../quant/policy.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    return err_set(e, ERR_VERDICT,
                   "%s: the verification record was made for %s with digest %.64s, the file's is %s: it was changed "
                   "after it was verified",
                   path, of, s, found);
}

// A record may not contradict itself: every fixture it names was run and passed, and its counts and limits allow that.
static bool check_counts(const verify_fixture_result *f, const char *path, err *e)
{
    const bool exact = f->kind == CHECK_EXACT;
    const char *bad = NULL;
    if (strlen(f->file_digest) != SHA256_HEX)
        return err_set(e, ERR_VERDICT, "%s: the verification record names a fixture without its digest", path);
    if (!f->passed || !f->ran)
        return err_set(e, ERR_VERDICT, "%s: the verification record names a fixture that did not pass", path);
    if (f->cases < 1 || f->steps < 1 || f->free_run_tokens < 1)
        return err_set(e, ERR_VERDICT, "%s: the verification record names a fixture of which nothing was run", path);
    if (f->free_run_equal > f->cases || f->free_run_ties > f->cases - f->free_run_equal)
        bad = "free_run_equal";
    else if (exact && f->free_run_equal + f->free_run_ties != f->cases)
        bad = "free_run_equal";
    else if (f->free_run_tokens_equal > f->free_run_tokens)
        bad = "free_run_tokens_equal";
    else if (f->ties > f->steps || f->ties_differing > f->ties)                                       bad = "ties";
    else if (f->teacher_forced_equal > f->steps - f->ties_differing)
        bad = "teacher_forced_equal";
    else if (exact && f->teacher_forced_equal + f->ties_differing != f->steps)
        bad = "teacher_forced_equal";
    else if (exact && !((double)f->ties_differing <= f->ties_limit))
        bad = "ties_differing";
    else if (exact && !((double)f->free_run_ties <= f->free_run_ties_limit))
        bad = "free_run_ties";
    else if (exact && !(f->logprob_diff_max <= f->logprob_limit))
        bad = "logprob_diff_max";
    else if (!exact && !((double)f->teacher_forced_equal / (double)f->steps >= f->top1_limit))
        bad = "teacher_forced_equal";
    else if (!(f->kl_mean <= f->kl_limit))                                                            bad = "kl_mean";
    return !bad || err_set(e, ERR_VERDICT,
                           "%s: the verification record contradicts itself: against fixture '%.127s' it says pass, but "
                           "not with its '%s'",
                           path, f->name, bad);
}

static bool same_text(const char *key, const char *found, const char *expected, const char *path, err *e)
{
    if (strcmp(found, expected) == 0) return true;
    return err_set(e, ERR_VERDICT, "%s: the verification record's '%s' is '%s', the file's is '%s'", path, key, found,
                   expected);
}

static bool same_scale(const gguf *g, const verify_report *r, err *e)
{
    char     key[96];
    gguf_str arch;
    float    scale;
    if (!gguf_get_str(g, "general.architecture", &arch, e)) return false;
    snprintf(key, sizeof key, "%.*s.attention.scale", arch.n < 64 ? (int)arch.n : 64, arch.s);
    if (!gguf_get_f32_or(g, key, r->attention_scale, &scale, e)) return false;
    return scale == r->attention_scale ||
           err_set(e, ERR_VERDICT, "%s: the verification record's 'attention_scale' is %g, the file's is %g",
                   gguf_path(g), (double)r->attention_scale, (double)scale);
}

// Weights that lost precision answer to two fixtures: equality with their own, and drift from the source's. Those that
// keep the source's are equal to it or nothing; and no fixture proves anything twice.
static bool check_both(const gguf *g, const verify_report *r, err *e)
{
    const bool keeps = gguf_keeps_source(g);
    bool exact = false, drift = false;
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        const verify_fixture_result *f = &r->fixtures[i];
        exact |= f->kind == CHECK_EXACT;
        drift |= f->kind == CHECK_DRIFT;
        if (keeps && drift)
            return err_set(e, ERR_VERDICT,
                           "%s: the verification record's 'check' against fixture '%.127s' is 'drift', but the weights "
                           "keep the source's: expected 'exact'",
                           gguf_path(g), f->name);
        for (int64_t k = 0; k < i; k++)
            if (strcmp(r->fixtures[k].file_digest, f->file_digest) == 0)
                return err_set(e, ERR_VERDICT,
                               "%s: the verification record names one fixture twice: '%.127s' and '%.127s' have the "
                               "same 'sha256'",
                               gguf_path(g), r->fixtures[k].name, f->name);
    }
    if (exact && (drift || keeps)) return true;
    return err_set(e, ERR_VERDICT,
                   "%s: the verification record names no fixture made from the %s: one of each is needed for weights "
                   "that lost precision",
                   gguf_path(g), exact ? "source's weights" : "artifact's own weights");
}

// The source is not here: what the record says of it may at least not contradict itself or the file.
static bool check_derivation(const gguf *g, const verify_derivation *d, err *e)
{
    const char *path = gguf_path(g);
    if (!d->made) return true;          // a record of before there was such a check
    if (!d->passed) return err_set(e, ERR_VERDICT, "%s: the verification record's 'derivation' did not pass", path);
    if (d->tensors != gguf_n_tensors(g))
        return err_set(e, ERR_VERDICT,
                       "%s: the verification record's 'derivation' speaks of %lld tensors, the file has %lld", path,
                       (long long)d->tensors, (long long)gguf_n_tensors(g));
    if (d->encoded > d->tensors)
        return err_set(e, ERR_VERDICT, "%s: the verification record contradicts itself with 'derivation.encoded'",
                       path);
    if (d->encoded == 0) return true;
    const gguf_tensor *t = gguf_find_tensor(g, d->error_tensor);
    if (!t)
        return err_set(e, ERR_VERDICT,
                       "%s: the verification record's 'derivation' speaks of tensor '%s', which the file does not have",
                       path, d->error_tensor);
    if (!(d->error_max <= derive_error_limit(t->type)))
        return err_set(e, ERR_VERDICT,
                       "%s: the verification record's 'derivation.error_max' is %.9g for tensor '%s', expected at most "
                       "%.9g for %s",
                       path, d->error_max, t->name, derive_error_limit(t->type), dtype_name(t->type));
    return true;
}

// What was run is what the file is: its type, in the arithmetic and with the cache that it requires.
static bool check_run(const gguf *g, const verify_report *r, err *e)
{
    const char *label, *path = gguf_path(g);
    if (!file_type_label(g, &label, e)) return false;
    const char *kv = claims_kv_of(g, label);
    if (!claims_check_keys(g, label, e) || !type_of_check(g, e)) return false;
    if (!same_text("type", r->type, label, path, e) || !same_text("kv", r->kv, kv, path, e)
        || !same_text("arith", r->arith, kv, path, e)
        || !same_text("kv_required", r->kv_required, kv, path, e) || !same_scale(g, r, e)) return false;
    if (r->file_bytes != gguf_file_bytes(g))
        return err_set(e, ERR_VERDICT, "%s: the verification record's 'file_bytes' is %lld, the file has %lld", path,
                       (long long)r->file_bytes, (long long)gguf_file_bytes(g));
    for (int64_t i = 0; i < r->n_fixtures; i++)
        if (!check_counts(&r->fixtures[i], path, e) ||
            !same_text("dtype", r->fixtures[i].dtype, fixture_dtype_word(kv), path, e))
            return false;
    return check_both(g, r, e) && check_derivation(g, &r->derivation, e) && verify_recipe_fits(&r->recipe, g, e)
        && record_limits(g, r, e);
}

bool record_check(const gguf *g, const cJSON *rec, err *e)
{
    const char *path = gguf_path(g);
    char        hex[SHA256_HEX + 1];
    verify_report r;
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
    if (cJSON_GetArraySize(json_get(rec, "fixtures")) < 1)
        return err_set(e, ERR_VERDICT, "%s: the verification record names no fixture", path);
    if (!record_report(g, rec, &r, e)) return false;
    bool ok = check_run(g, &r, e);
    verify_report_free(&r);
    return ok;
}

bool record_names_all(const cJSON *rec)
{
    const cJSON *f;
    cJSON_ArrayForEach(f, json_get(rec, "fixtures"))
        if (!json_get(f, "top_k")) return false;
    return true;
}

const char *record_lacks(const cJSON *rec)
{
    const cJSON *f;
    if (!record_names_all(rec))
        return "'top_k' in records (how many ids a fixture keeps of a step): that minimum of the gate is not checked "
               "again";
    cJSON_ArrayForEach(f, json_get(rec, "fixtures")) {
        const cJSON *kind = json_get(f, "check");
        if (cJSON_IsString(kind) && strcmp(kind->valuestring, "drift") == 0 && !json_get(f, "rounding_kl_mean"))
            return "'rounding_kl_mean' in records: its drift was held to the budget of its type alone";
    }
    if (json_get(rec, "release") && !json_get(rec, "derivation"))
        return "'derivation' in records: its tensors were not compared with the source";
    if (!json_get(rec, "hallmark") || !json_get(rec, "judged_by"))
        return "'hallmark' and 'judged_by' in records: it does not say which version made it, nor its limits by "
               "content";
    cJSON_ArrayForEach(f, json_get(rec, "fixtures"))
        if (!json_get(f, "reference"))
            return "'reference' in records: it does not say which Transformers made its fixtures, nor of which commit";
    return NULL;
}

bool record_report(const gguf *g, const cJSON *rec, verify_report *r, err *e)
{
    char where[512];
    snprintf(where, sizeof where, "%s: the verification record", gguf_path(g));
    return verify_report_read(r, rec, where, e);
}

// ---- writing -------------------------------------------------------------------------------------------------------

static bool add_release(cJSON *rec, const record_release *all)
{
    cJSON *o = all ? cJSON_AddObjectToObject(rec, "release") : NULL;
    return !all || (o && cJSON_AddStringToObject(o, "name", all->name) && cJSON_AddStringToObject(o, "gate", all->gate)
                    && json_add_strings(o, "artifacts", all->artifacts, all->n_artifacts)
                    && json_add_strings(o, "notes", all->notes, all->n_notes)
                    && record_files_add(o, all->files, all->n_files) && record_template_add(o, all->chat_template));
}

// Freed by the caller; NULL when out of memory.
static char *record_text(const char *tensors, const char *metadata, const verify_report *r, const record_release *all)
{
    char  *text = NULL;
    cJSON *rec = verify_report_brief(r);
    if (rec && cJSON_AddNumberToObject(rec, "hallmark_record", 1) && cJSON_AddStringToObject(rec, "tensors", tensors)
        && cJSON_AddStringToObject(rec, "metadata", metadata) && add_release(rec, all)) text = json_print_short(rec);
    cJSON_Delete(rec);
    return text;
}

// The longest that the text can be: every number with all its digits.
static void widest(verify_fixture_result *f, const fixture_ref *of)
{
    const double wide = -1.2345678901234567e-300;
    *f = (verify_fixture_result){ .kind = CHECK_EXACT, .cases = INT64_C(1) << 53, .probe_layer = 1 << 20 };
    snprintf(f->name, sizeof f->name, "%s", of->name);
    f->reference = of->reference;
    memset(f->file_digest, 'f', SHA256_HEX);
    strcpy(f->dtype, "bfloat16");
    strcpy(f->budget, "Q4_K_M");
    f->free_run_equal = f->free_run_ties = f->free_run_tokens = f->free_run_tokens_equal = f->steps = f->cases;
    f->teacher_forced_equal = f->ties = f->ties_differing = f->top_k = f->cases;
    f->rounding_kl_mean = wide;
    f->rounding_top1_equal = f->cases;
    f->kl_mean = f->kl_max = f->logprob_diff_max = f->probe_worst = f->self_kl_mean = f->self_logprob_diff_max = wide;
    f->kl_limit = f->logprob_limit = f->ties_limit = f->free_run_ties_limit = f->top1_limit = wide;
}

// What is said of the file and the run besides. Texts are plain (text_fit), and a backslash takes two bytes.
static void widest_run(verify_report *r, const record_release *all)
{
    memset(r->processor, '\\', sizeof r->processor - 1);
    memset(r->program.version, 'v', sizeof r->program.version - 1);
    memset(r->program.commit, 'c', sizeof r->program.commit - 1);
    memset(r->source.repository, '\\', sizeof r->source.repository - 1);
    memset(r->source.revision, '\\', sizeof r->source.revision - 1);
    memset(r->source.digest, 'd', sizeof r->source.digest - 1);
    snprintf(r->judged_by.name, sizeof r->judged_by.name, "%s", all->gate);
    memset(r->judged_by.sha256, 'f', SHA256_HEX);
    r->judged_by.limits = all->limits ? *all->limits : *gate_builtin();
}

bool record_fits(const record_release *all, const fixture_ref *fixtures, int n, err *e)
{
    char hex[SHA256_HEX + 1] = "";
    verify_report r = { .file_bytes = INT64_C(1) << 53, .attention_scale = 1.17549435e-38f, .n_fixtures = n,
                        .arith = "bf16", .kv = "bf16", .kv_required = "bf16" };
    size_t longest = 0;
    for (int i = 0; i < all->n_artifacts; i++) {
        if (strlen(all->artifacts[i]) <= longest) continue;
        longest = strlen(all->artifacts[i]);
        snprintf(r.artifact, sizeof r.artifact, "%s", all->artifacts[i]);
    }
    memset(hex, 'f', SHA256_HEX);
    strcpy(r.gate, hex);
    memset(r.type, 'Q', sizeof r.type - 1);
    memset(r.device, 'd', sizeof r.device - 1);
    r.derivation = (verify_derivation){ .made = true, .tensors = INT64_C(1) << 53, .encoded = INT64_C(1) << 53,
                                        .error_max = -1.2345678901234567e-300 };
    memset(r.derivation.error_tensor, 't', sizeof r.derivation.error_tensor - 1);
    r.fixtures = calloc((size_t)n + 1, sizeof *r.fixtures);
    if (!r.fixtures) return err_nomem(e, "results", (size_t)n * sizeof *r.fixtures);
    widest_run(&r, all);
    for (int i = 0; i < n; i++) widest(&r.fixtures[i], &fixtures[i]);
    if (all->recipe) r.recipe = *all->recipe;               // borrowed
    char  *text = record_text(hex, hex, &r, all);
    r.recipe = (verify_recipe){ .n = 0 };
    bool   ok = text || err_nomem(e, "the verification record", CLAIMS_RECORD_BYTES);
    if (ok && strlen(text) > CLAIMS_RECORD_BYTES)
        ok = err_set(e, ERR_USAGE,
                     "%d fixtures: the verification record may take %zu bytes, there is room for %d: use fewer "
                     "fixtures",
                     n, strlen(text), CLAIMS_RECORD_BYTES);
    free(text);
    verify_report_free(&r);
    return ok;
}

static bool overwrite(const char *path, int64_t off, const char *bytes, int64_t n, err *e)
{
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
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

bool record_write(const char *path, const verify_report *r, const record_release *all, err *e)
{
    bool    ok = false;
    int64_t off = 0;
    char    padded[CLAIMS_RECORD_BYTES], tensors[SHA256_HEX + 1], metadata[SHA256_HEX + 1], *text = NULL;
    gguf_str old;
    gguf   *g = gguf_open(path, e);
    if (!g) return false;
    if (!claims_weights_digest(g, tensors, e) || !claims_metadata_digest(g, metadata, e)) goto out;
    if (!(text = record_text(tensors, metadata, r, all))) {
        err_nomem(e, "the verification record", CLAIMS_RECORD_BYTES);
        goto out;
    }
    if (!claims_find_record(g, &old, &off, e)) goto out;
    if (strlen(text) > sizeof padded) {
        err_set(e, ERR_USAGE, "%s: the verification record takes %zu bytes, there is room for %d: use fewer fixtures",
                path, strlen(text), CLAIMS_RECORD_BYTES);
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
