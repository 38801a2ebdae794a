// release_take: see release_take.h.
#include "release_take.h"
#include "../convert/convert.h"
#include "../formats/claims.h"
#include "../formats/digest_queue.h"
#include "../quant/finish.h"
#include "../runtime/model.h"
#include <stdlib.h>
#include <string.h>

// What the blocks were made with, which the source does not tell.
static const char *const KEPT[] = { KEY_HM_EFFORT, KEY_HM_CALIBRATION, KEY_HM_QUANTIZE_MIX };

// ---- what it is ----------------------------------------------------------------------------------------------------

static bool check_source(const gguf *g, const source_id *source, err *e)
{
    source_id said;
    claims_read_source(g, &said);
    if (!source_id_known(&said) || source_id_same(&said, source)) return true;
    return err_set(e, ERR_INPUT, "%s: key '%s': found %.16s..., expected %.16s...: it was made from another source",
                   gguf_path(g), KEY_HM_SOURCE_DIGEST, said.v2[0] ? said.v2 : said.v1,
                   said.v2[0] ? source->v2 : source->v1);
}

static bool find_type(const gguf *g, file_type *type, err *e)
{
    int64_t id, splits;
    if (!gguf_get_i64_or(g, "split.count", 1, &splits, e) || !gguf_get_i64(g, "general.file_type", &id, e))
        return false;
    if (splits > 1)
        return err_set(e, ERR_INPUT, "%s: key 'split.count': found one part of %lld, expected a whole model",
                       gguf_path(g), (long long)splits);
    const file_type_info *t = file_type_of(id);
    if (!t)
        return err_set(e, ERR_INPUT, "%s: key 'general.file_type': found %lld, which is no type that is released here",
                       gguf_path(g), (long long)id);
    *type = t->id;
    return true;
}

// ---- the header ----------------------------------------------------------------------------------------------------

// Of the hallmark's keys the proof takes care.
static void tell_differences(const gguf *g, const gguf_plan *p, progress *log)
{
    const char *first = NULL;
    int n = 0;
    for (int64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i), *ours = gguf_plan_find(p, kv->key);
        if (strncmp(kv->key, "hallmark.", 9) == 0 || strcmp(kv->key, "general.alignment") == 0) continue;
        if (ours && gguf_kv_same(kv, ours)) continue;
        if (n++ == 0) first = kv->key;
    }
    if (n > 0)
        progress_logf(log, "%s: %d of its keys are not what the source gives (the first is '%s'): what the source "
                      "gives is published", gguf_path(g), n, first);
    if (gguf_find_kv(g, KEY_HM_KV_MEASURED))
        progress_logf(log, "%s: what it says of measured caches is left out", gguf_path(g));
}

static gguf_plan *plan_header(const gguf *g, const release_take_opts *o, err *e)
{
    convert_opts co = { .imatrix = o->imatrix, .n_threads = o->n_threads };
    convert_other_types other;
    const bool two = strcmp(o->source->v1, o->source->v2) != 0;
    const claims_source said = { .digest = o->source->v2, .digest_v1 = two ? o->source->v1 : NULL,
                                 .revision = o->revision };
    if (!find_type(g, &co.type, e)) return NULL;
    gguf_plan *p = convert_plan_of_artifact(g, o->hf_dir, &co, &said, &other, e);
    bool ok = p != NULL;
    for (size_t i = 0; ok && i < sizeof KEPT / sizeof *KEPT; i++) {
        const gguf_kv *kv = gguf_find_kv(g, KEPT[i]);
        ok = !kv || gguf_plan_copy_kv(p, kv, e);
    }
    if (ok) {
        tell_differences(g, p, o->progress);
        return p;
    }
    gguf_plan_free(p);
    return NULL;
}

// ---- the tensors ---------------------------------------------------------------------------------------------------

// Digests of the bytes that were copied, read from the copy.
static bool digest_tensors(gguf_plan *p, outfile *f, const release_take_opts *o, err *e)
{
    const int64_t n = gguf_plan_n_tensors(p);
    char (*hex)[SHA256_HEX + 1] = calloc((size_t)n + 1, sizeof *hex);
    digest_queue *q = digest_queue_new(n, o->progress, e);
    file_map m = { 0 };
    bool ok = q && (hex || err_nomem(e, "digests", (size_t)n * sizeof *hex))
        && file_map_open(&m, outfile_tmp_path(f), e);
    for (int64_t i = 0; ok && i < n; i++) {
        const gguf_tensor *t = gguf_plan_tensor_at(p, i);
        digest_queue_add_range(q, m.fd, t->off, t->n_bytes, t->name, outfile_path(f));
    }
    if (ok) progress_stage(o->progress, "digest", digest_queue_bytes(q));
    if (ok) digest_queue_run(q, o->n_threads);
    for (int64_t i = 0; ok && i < n; i++) ok = digest_queue_get(q, i, hex[i], e);
    ok = ok && claims_set_digests(p, (const char (*)[SHA256_HEX + 1])hex, e);
    digest_queue_free(q);
    file_map_close(&m);
    free(hex);
    return ok;
}

static bool copy_tensors(const gguf_plan *p, const gguf *g, outfile *f, err *e)
{
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *from = gguf_tensor_at(g, i), *to = gguf_plan_tensor_at(p, i);
        if (!outfile_copy_at(f, to->off, gguf_fd(g), from->off, from->n_bytes, e)) return false;
    }
    return true;
}

static bool write_file(gguf_plan *p, const gguf *g, const char *to, const release_take_opts *o, err *e)
{
    int64_t header, bytes;
    if (!gguf_plan_layout(p, &header, &bytes, e)) return false;
    outfile *f = outfile_open(to, bytes, e);
    if (!f) return false;
    if (copy_tensors(p, g, f, e) && digest_tensors(p, f, o, e)) return finish_gguf(p, f, model_check, gguf_path(g), e);
    outfile_abort(f);
    return false;
}

bool release_take(const char *from, const char *to, const release_take_opts *o, err *e)
{
    gguf *g = gguf_open(from, e);
    if (!g) return false;
    gguf_plan *p = check_source(g, o->source, e) ? plan_header(g, o, e) : NULL;
    const bool ok = p && write_file(p, g, to, o, e);
    gguf_plan_free(p);
    gguf_close(g);
    return ok;
}
