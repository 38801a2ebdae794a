// forger: what somebody can do who wants another file to pass for the one that was released: change it as he likes, and
// compute every digest again, with our own library. No key is needed for any of it.
#ifndef HALLMARK_TESTS_FORGER_H
#define HALLMARK_TESTS_FORGER_H

#include "formats/json.h"
#include "verify/record.h"
#include "verify_files.h"

// The record of the file at path, changed by edit (may be NULL), with the digests and the size of what is there now.
typedef void (*edit_record)(cJSON *rec);

static inline void set_text(cJSON *o, const char *key, const char *text)
{
    ck_assert(cJSON_ReplaceItemInObjectCaseSensitive(o, key, cJSON_CreateString(text)));
}

static inline void set_number(cJSON *o, const char *key, double v)
{
    ck_assert(cJSON_ReplaceItemInObjectCaseSensitive(o, key, cJSON_CreateNumber(v)));
}

// Puts a record's text into the file at path, whatever it says.
static inline void write_record(const char *path, const cJSON *rec)
{
    err      e = { 0 };
    int64_t  off;
    gguf_str old;
    char     padded[CLAIMS_RECORD_BYTES], *text = json_print_short(rec);
    gguf    *g = open_gguf(path);
    ck_assert_msg(claims_find_record(g, &old, &off, &e) && claims_pad_record(text, padded, &e), "%s", e.msg);
    gguf_close(g);
    patch(path, off, padded, sizeof padded);
    free(text);
}

static inline cJSON *record_of(const char *path)
{
    err    e = { 0 };
    cJSON *rec = NULL;
    gguf  *g = open_gguf(path);
    ck_assert_msg(record_read(g, &rec, &e) && rec, "%s", e.msg);
    gguf_close(g);
    return rec;
}

// A record by hand: rec with the digests and the size of the file at path.
static inline void record_by_hand(const char *path, cJSON *rec, edit_record edit)
{
    char  hex[SHA256_HEX + 1];
    err   e = { 0 };
    gguf *g = open_gguf(path);
    ck_assert_msg(claims_weights_digest(g, hex, &e), "%s", e.msg);
    set_text(rec, "tensors", hex);
    ck_assert_msg(claims_metadata_digest(g, hex, &e), "%s", e.msg);
    set_text(rec, "metadata", hex);
    set_number(rec, "file_bytes", (double)gguf_file_bytes(g));
    gguf_close(g);
    if (edit) edit(rec);
    write_record(path, rec);
}

static inline void rerecord(const char *path, edit_record edit)
{
    cJSON *rec = record_of(path);
    record_by_hand(path, rec, edit);
    cJSON_Delete(rec);
}

// ---- another file --------------------------------------------------------------------------------------------------

typedef struct {
    const char *from, *to;                          // paths
    void (*keys)(gguf_plan *p);                     // changes the metadata; NULL: it stays
    // The bytes of a tensor, malloc'd, where they are others than in `from`; NULL: they stay.
    uint8_t *(*bytes)(const gguf_tensor *t);
} forgery;

static inline void forge_tensor(const forgery *f, outfile *out, const gguf_plan *p, int64_t i, const gguf_tensor *t,
                                char hex[SHA256_HEX + 1])
{
    err e = { 0 };
    uint8_t *other = f->bytes ? f->bytes(t) : NULL;
    const uint8_t *data = other ? other : t->data;
    ck_assert_msg(outfile_write_at(out, gguf_plan_tensor_at(p, i)->off, data, t->n_bytes, &e), "%s", e.msg);
    ck_assert_msg(sha256_bytes(data, t->n_bytes, hex, &e), "%s", e.msg);
    free(other);
}

// Writes the file with all its tensor digests right, and the old record.
static inline void forge(const forgery *f)
{
    err     e = { 0 };
    int64_t header, total;
    gguf   *g = open_gguf(f->from);
    const int64_t n = gguf_n_tensors(g);
    gguf_plan *p = gguf_plan_new(gguf_alignment(g), &e);
    char (*hex)[SHA256_HEX + 1] = calloc((size_t)n, sizeof *hex);
    for (int64_t i = 0; i < gguf_n_kv(g); i++) ck_assert(gguf_plan_copy_kv(p, gguf_kv_at(g, i), &e));
    if (f->keys) f->keys(p);
    for (int64_t i = 0; i < n; i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        ck_assert(gguf_plan_tensor(p, t->name, t->type, t->n_dims, t->shape, &e));
    }
    ck_assert_msg(gguf_plan_layout(p, &header, &total, &e), "%s", e.msg);
    outfile *out = outfile_open(f->to, total, &e);
    ck_assert_msg(out != NULL, "%s", e.msg);
    for (int64_t i = 0; i < n; i++) forge_tensor(f, out, p, i, gguf_tensor_at(g, i), hex[i]);
    ck_assert(claims_set_digests(p, (const char (*)[SHA256_HEX + 1])hex, &e) && gguf_plan_write(p, out, &e));
    ck_assert_msg(outfile_commit(out, &e), "%s", e.msg);
    free(hex);
    gguf_plan_free(p);
    gguf_close(g);
}

#endif
