#include "preflight.h"
#include "held_type.h"
#include "../quant/mix_record.h"
#include "record.h"
#include "../convert/convert.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool digest_of_bytes(const gguf *g, char hex[SHA256_HEX + 1], err *e)
{
    sha256 *all = sha256_new(e);
    if (!all) return false;
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        char line[SHA256_HEX + 2];
        if (!sha256_bytes(t->data, t->n_bytes, line, e)) { sha256_free(all); return false; }
        line[SHA256_HEX] = '\n';
        if (!sha256_add(all, line, SHA256_HEX + 1, e)) { sha256_free(all); return false; }
    }
    return sha256_end(all, hex, e);
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

static bool check_source(verify_fixture_result *r, const gguf *g, const fixture *f, bool *unbound)
{
    char      text[512];
    gguf_str  s;
    source_id id;
    err       absent = { 0 };
    *unbound = !gguf_find_kv(g, KEY_HM_SOURCE_DIGEST);
    if (*unbound) return true;
    if (!gguf_get_str(g, KEY_HM_SOURCE_DIGEST, &s, &absent)) s = (gguf_str){ "?", 1 };
    claims_read_source(g, &id);
    if (source_id_same(&id, &f->source)) return true;
    snprintf(text, sizeof text, "the fixture belongs to another source: %.100s with digest %.16s..., this artifact was made from one with digest %.*s...",
             f->model_name, f->source_digest, s.n < 16 ? (int)s.n : 16, s.s);
    result_fail_whole(r, "source", text);
    return false;
}

// Where the weights are the artifact's, it does not matter what else the source's folder held. Where they are not,
// another source says why.
static bool check_weights(verify_fixture_result *r, const gguf *g, const fixture *f, err *e)
{
    char hex[SHA256_HEX + 1], text[512];
    bool unbound;
    if (!artifact_weights_digest(g, hex, e)) return false;
    if (strcmp(hex, f->weights_digest) == 0) return true;
    if (!check_source(r, g, f, &unbound)) return false;
    snprintf(text, sizeof text, "the fixture was made from the weights of %.100s (digest %.16s...), this artifact's weights have digest %.16s...",
             f->weights_file ? f->weights_file : "another file", f->weights_digest, hex);
    result_fail_whole(r, "weights", text);
    return false;
}

// A message about the artifact without its folder: a report names no machine's paths.
const char *without_folder(const gguf *g, const char *msg)
{
    const char *path = gguf_path(g), *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash + 1 - path) : 0;
    return strncmp(msg, path, n) == 0 ? msg + n : msg;
}

bool preflight_fixture(verify_fixture_result *r, const model *m, const fixture *f, bool *unbound, bool *other, err *e)
{
    const gguf    *g = model_gguf(m);
    const hparams *h = model_hparams(m);
    err  found = { 0 };
    char text[512];
    *unbound = false;
    bool ok = f->weights_digest[0] ? check_weights(r, g, f, e) : check_source(r, g, f, unbound);
    if (e->kind != ERR_NONE) return false;
    *other = !ok;
    if (!ok) return false;
    if (!convert_config_agrees(g, f->config, &found)) {
        if (found.kind != ERR_VERDICT && found.kind != ERR_INPUT) return err_set(e, found.kind, "%s", found.msg);
        result_fail_whole(r, "metadata", without_folder(g, found.msg));        // a config that no artifact of ours could come from is a difference too
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
    result_fail(r, &p, "case '%s': encoding the prompt gives %lld ids, Transformers gives %lld; they first differ at position %lld: %d, expected %d",
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
