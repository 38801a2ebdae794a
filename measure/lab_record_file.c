// lab_record: put into a file. See lab_record.h.
//
// The header is planned again, with one key more; tensors are copied by range. Nothing is decoded.
#include "lab_record.h"
#include "../quant/finish.h"
#include "../runtime/model.h"
#include <stdlib.h>
#include <string.h>

// What is planned again must be what the digest was taken of: dimensions as they are stored belong to it.
static bool check_tensors(const gguf *g, err *e)
{
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (t->n_stored != t->n_dims)
            return err_set(e, ERR_INPUT, "%s: tensor '%s': found %d dimensions stored, expected %d: it would be "
                           "written otherwise", gguf_path(g), t->name, t->n_stored, t->n_dims);
    }
    return true;
}

static bool is_of(const gguf *g, const char *digest, int n_threads, err *e)
{
    char hex[SHA256_HEX + 1];
    if (!claims_model_digest(g, n_threads, hex, e)) return false;
    return strcmp(hex, digest) == 0
        || err_set(e, ERR_USAGE, "%s: is not what is measured: its tensors and keys have digest %.16s..., those of the "
                   "run's base %.16s...; run the laboratory with this file as its base", gguf_path(g), hex, digest);
}

bool lab_record_is_of(const char *art, const lab_plan *p, int n_threads, err *e)
{
    gguf *g = gguf_open(art, e);
    const bool ok = g && is_of(g, p->artifacts[0].digest, n_threads, e) && check_tensors(g, e);
    gguf_close(g);
    return ok;
}

static bool empty_verification(gguf_plan *p, const gguf *g, bool *emptied, err *e)
{
    char     record[CLAIMS_RECORD_BYTES];
    gguf_str json;
    int64_t  off;
    err      none = { 0 };
    *emptied = false;
    if (!gguf_find_kv(g, KEY_HM_VERIFICATION)) return true;
    *emptied = !claims_find_record(g, &json, &off, &none) || json.n != 2 || memcmp(json.s, "{}", 2) != 0;
    return claims_pad_record("{}", record, e) && gguf_plan_strn(p, KEY_HM_VERIFICATION, record, sizeof record, e);
}

static bool plan_all(gguf_plan *p, const gguf *g, const lab_record *rec, bool *emptied, err *e)
{
    gguf_plan_remove(p, "general.alignment");           // comes back in the place that it has
    for (int64_t i = 0; i < gguf_n_kv(g); i++)
        if (!gguf_plan_copy_kv(p, gguf_kv_at(g, i), e)) return false;
    char *text = lab_record_text(rec);
    if (!text) return err_nomem(e, "a record", 0);
    bool ok = gguf_plan_str(p, KEY_HM_KV_MEASURED, text, e);
    free(text);
    ok = ok && empty_verification(p, g, emptied, e);
    for (int64_t i = 0; ok && i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        ok = gguf_plan_tensor(p, t->name, t->type, t->n_dims, t->shape, e);
    }
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

// Before it has its name: it can be run, and the record in it is one, and of it.
static bool judge(const gguf *g, err *e)
{
    lab_record rec = { .best = -1 };
    bool found = false;
    bool ok = model_check(g, e) && lab_record_find(&rec, g, &found, e);
    if (ok && !found) ok = err_set(e, ERR_SYSTEM, "%s: the record just written is not there", gguf_path(g));
    ok = ok && lab_record_fits(&rec, g, 0, e);
    lab_record_free(&rec);
    return ok;
}

static bool write_file(const gguf_plan *p, const gguf *g, const char *out, int64_t bytes, err *e)
{
    outfile *f = outfile_open(out, bytes, e);
    if (!f) return false;
    if (copy_tensors(p, g, f, e)) return finish_gguf(p, f, judge, gguf_path(g), e);
    outfile_abort(f);
    return false;
}

bool lab_record_write(const char *art, const char *out, const lab_record *rec, int n_threads, bool *emptied, err *e)
{
    int64_t header, bytes;
    bool    was_released = false;
    gguf   *g = gguf_open(art, e);
    if (!g) return false;
    bool ok = model_check(g, e) && is_of(g, rec->tensors, n_threads, e) && check_tensors(g, e);
    gguf_plan *p = ok ? gguf_plan_new(gguf_alignment(g), e) : NULL;
    ok = p && plan_all(p, g, rec, &was_released, e) && gguf_plan_layout(p, &header, &bytes, e);
    ok = ok && write_file(p, g, out, bytes, e);
    if (emptied) *emptied = ok && was_released;
    gguf_plan_free(p);
    gguf_close(g);
    return ok;
}
