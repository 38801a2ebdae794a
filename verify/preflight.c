#include "preflight.h"
#include "held_type.h"
#include "../quant/mix_record.h"
#include "record.h"
#include "../convert/convert.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool digest_of_bytes(const gguf *g, char hex[SHA256_HEX + 1], err *e)
{
    sha256 *all = sha256_new(e);
    bool    ok = all != NULL;
    for (int64_t i = 0; ok && i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        char line[SHA256_HEX + 2];
        ok = sha256_bytes(t->data, t->n_bytes, line, e);
        line[SHA256_HEX] = '\n';
        ok = ok && sha256_add(all, line, SHA256_HEX + 1, e);
    }
    return all && sha256_end_if(all, ok, hex, e);
}

bool artifact_weights_digest(const gguf *g, char hex[SHA256_HEX + 1], err *e)
{
    return gguf_find_kv(g, KEY_HM_TENSOR_SHA) ? claims_weights_digest(g, hex, e) : digest_of_bytes(g, hex, e);
}

bool preflight_claims(const gguf *g, int n_threads, progress *p, const char **what, err *e)
{
    cJSON *rec = NULL;
    const char *label;
    *what = "metadata";
    if (!file_type_label(g, &label, e) || !claims_check_keys(g, label, e)) return false;
    *what = "type";
    if (!type_of_check(g, e) || !mix_record_check(g, e)) return false;
    *what = "digest";
    if (gguf_find_kv(g, KEY_HM_TENSOR_SHA) && !claims_check_tensors(g, n_threads, p, e)) return false;
    *what = "record";
    bool ok = record_read(g, &rec, e) && (!rec || record_check(g, rec, e));
    cJSON_Delete(rec);
    return ok;
}

bool gguf_keeps_source(const gguf *g)
{
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        dtype t = gguf_tensor_at(g, i)->type;
        if (t != DT_F32 && t != DT_BF16) return false;
    }
    return true;
}

check_kind preflight_kind(const gguf *g, const fixture *f)
{
    return f->weights_digest[0] || gguf_keeps_source(g) ? CHECK_EXACT : CHECK_DRIFT;
}

// ---- whose fixture it is -------------------------------------------------------------------------------------------

static bool other(fixture_bond *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool other(fixture_bond *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(b->why, sizeof b->why, fmt, ap);
    va_end(ap);
    b->belongs = false;
    return true;
}

// A file that says no source is told by its architecture alone.
static bool bond_unbound(fixture_bond *b, const gguf *g, const fixture *f)
{
    gguf_str    arch;
    err         absent = { 0 };
    const char *expected = convert_architecture_of(f->config);
    b->unbound = true;
    if (!expected || !gguf_get_str(g, "general.architecture", &arch, &absent)) return true;
    if ((size_t)arch.n == strlen(expected) && memcmp(arch.s, expected, (size_t)arch.n) == 0) return true;
    return other(b, "it belongs to another model: %.100s is of architecture %s, the artifact is %.*s", f->model_name,
                 expected, arch.n < 40 ? (int)arch.n : 40, arch.s);
}

// A digest of its source that is none is the artifact's own fault, and names no other source.
static bool names_a_source(const gguf *g)
{
    char     hex[SHA256_HEX + 1];
    gguf_str s;
    err      absent = { 0 };
    if (!gguf_get_str(g, KEY_HM_SOURCE_DIGEST, &s, &absent) || s.n != SHA256_HEX) return false;
    memcpy(hex, s.s, SHA256_HEX);
    hex[SHA256_HEX] = '\0';
    return sha256_is_hex(hex);
}

static bool bond_by_source(fixture_bond *b, const gguf *g, const fixture *f)
{
    source_id id;
    if (!gguf_find_kv(g, KEY_HM_SOURCE_DIGEST)) return bond_unbound(b, g, f);
    claims_read_source(g, &id);
    if (!names_a_source(g) || source_id_same(&id, &f->source)) return true;
    const bool by_v2 = id.v2[0] && f->source.v2[0];
    return other(b, "it belongs to another source: %.100s with digest %s, "
                 "the artifact was made from one with digest %s", f->model_name,
                 by_v2 ? f->source.v2 : f->source_digest, by_v2 || !id.v1[0] ? id.v2 : id.v1);
}

// Where the weights are the artifact's, it does not matter what else the source's folder held. Where they are not,
// another source says why.
static bool bond_by_weights(fixture_bond *b, const gguf *g, const fixture *f, err *e)
{
    char hex[SHA256_HEX + 1];
    if (!artifact_weights_digest(g, hex, e)) return false;
    if (strcmp(hex, f->weights_digest) == 0) return true;
    bond_by_source(b, g, f);
    if (!b->belongs) return true;
    return other(b, "it was made from the weights of %.100s, with digest %s, the artifact's weights have digest %s",
                 f->weights_file ? f->weights_file : "another file", f->weights_digest, hex);
}

bool preflight_bond(fixture_bond *b, const gguf *g, const fixture *f, err *e)
{
    *b = (fixture_bond){ .belongs = true };
    return f->weights_digest[0] ? bond_by_weights(b, g, f, e) : bond_by_source(b, g, f);
}

// ---- what it says of the artifact ----------------------------------------------------------------------------------

static bool check_source_key(verify_fixture_result *r, const gguf *g)
{
    char text[128];
    if (!gguf_find_kv(g, KEY_HM_SOURCE_DIGEST) || names_a_source(g)) return true;
    snprintf(text, sizeof text, "key '%s': expected a SHA-256 in hex", KEY_HM_SOURCE_DIGEST);
    result_fail_whole(r, "source", text);
    return false;
}

// A message about the artifact without its folder: a report names no machine's paths.
const char *without_folder(const gguf *g, const char *msg)
{
    const char *path = gguf_path(g), *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash + 1 - path) : 0;
    return strncmp(msg, path, n) == 0 ? msg + n : msg;
}

bool preflight_fixture(verify_fixture_result *r, const model *m, const fixture *f, err *e)
{
    const gguf    *g = model_gguf(m);
    const hparams *h = model_hparams(m);
    err  found = { 0 };
    char text[512];
    bool ok = check_source_key(r, g);
    if (!convert_config_agrees(g, f->config, &found)) {
        if (found.kind != ERR_VERDICT && found.kind != ERR_INPUT) return err_set(e, found.kind, "%s", found.msg);
        // a config that no artifact of ours could come from is a difference too
        result_fail_whole(r, "metadata", without_folder(g, found.msg));
        ok = false;
    }
    if (!compare_fits(f, h->n_vocab, h->n_layer, h->n_embd, text, sizeof text)) {
        result_fail_whole(r, "metadata", text);
        ok = false;
    }
    return ok;
}

static void fail_encoding(verify_fixture_result *r, const fixture_case *c, const int32_t *ids, int64_t n)
{
    int64_t i = 0;
    while (i < n && i < c->n_prompt && ids[i] == c->prompt_ids[i]) i++;
    verify_failure p = { .what = "tokenizer", .step = -1, .expected = i < c->n_prompt ? c->prompt_ids[i] : -1,
                         .got = i < n ? ids[i] : -1, .margin = NAN, .layer = LAYER_NONE };
    snprintf(p.case_id, sizeof p.case_id, "%s", c->id);
    result_fail(r, &p,
                "case '%s': encoding the prompt gives %lld ids, Transformers gives %lld; they first differ at position "
                "%lld: %d, expected %d",
                c->id, (long long)n, (long long)c->n_prompt, (long long)i, p.got, p.expected);
}

bool preflight_tokenizer(verify_fixture_result *r, const tokenizer *t, const fixture *f, err *e)
{
    for (int64_t i = 0; i < f->n_cases; i++) {
        const fixture_case *c = &f->cases[i];
        int32_t *ids = NULL;
        int64_t  n = 0;
        if (!tokenizer_encode(t, c->prompt, c->prompt_bytes, true, true, &ids, &n, e)) return false;
        const bool same = n == c->n_prompt && memcmp(ids, c->prompt_ids, (size_t)n * sizeof *ids) == 0;
        if (!same) fail_encoding(r, c, ids, n);
        if (r->traced) r->traced[i].prompt_ids = same ? PART_HELD : PART_BROKE;
        free(ids);
    }
    return true;
}
