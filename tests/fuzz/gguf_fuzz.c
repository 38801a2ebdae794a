// Any bytes as a GGUF file: refused in one line, or every value and tensor can be read, and writing it again gives the
// same.
#include "formats/claims.h"
#include "formats/gguf.h"
#include "fuzz.h"

#include <string.h>

static unsigned read_values(const gguf *g)
{
    unsigned sum = 0;
    for (int64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        gguf_str_iter  it = gguf_strs(kv);
        gguf_str       s;
        int64_t        n = 0, v;
        float          f;
        MUST(gguf_find_kv(g, kv->key) == kv);
        sum += touch(kv->data, kv->n_bytes);
        while (gguf_next_str(&it, &s)) {
            sum += touch(s.s, s.n);
            n++;
        }
        MUST(kv->type != GGUF_ARRAY || kv->elem != GGUF_STRING || n == kv->n);
        for (int64_t k = -1; k <= kv->n && k < 100; k++) {
            bool inside = k >= 0 && k < kv->n;
            MUST(!gguf_arr_i64(kv, k, &v) || inside);
            MUST(!gguf_arr_f32(kv, k, &f) || inside);
        }
        char *text = gguf_kv_text(kv, 20);
        MUST(text != NULL);
        sum += touch(text, (int64_t)strlen(text));
        free(text);
    }
    return sum;
}

static unsigned read_tensors(const gguf *g, const uint8_t *data, size_t size)
{
    unsigned sum = 0;
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        MUST(gguf_find_tensor(g, t->name) == t);
        MUST(t->off >= gguf_data_off(g) && t->n_bytes > 0 && t->off + t->n_bytes <= (int64_t)size &&
             t->data == data + t->off);
        sum += touch(t->data, t->n_bytes);
    }
    return sum;
}

// Every pair and tensor into a plan; false if the plan may refuse (a name longer than others read, an offset order of
// its own).
static bool plan_again(const gguf *g, gguf_plan *p)
{
    err e = { 0 };
    for (int64_t i = 0; i < gguf_n_kv(g); i++) MUST(gguf_plan_copy_kv(p, gguf_kv_at(g, i), &e));
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (strlen(t->name) > GGUF_MAX_TENSOR_NAME) return false;
        MUST(gguf_plan_tensor(p, t->name, t->type, t->n_dims, t->shape, &e));
    }
    return true;
}

static void write_again(const gguf *g)
{
    err        e = { 0 };
    int64_t    header_bytes, file_bytes, n;
    uint8_t   *header = NULL;
    gguf_plan *p = gguf_alignment(g) <= 1 << 16 ? gguf_plan_new(gguf_alignment(g), &e) : NULL;
    if (!p) return;
    if (plan_again(g, p) && gguf_plan_layout(p, &header_bytes, &file_bytes, &e) && file_bytes < 1 << 22) {
        MUST(gguf_plan_header(p, &header, &n, &e) && n == header_bytes);
        uint8_t *file = calloc(1, (size_t)file_bytes);
        MUST(file != NULL);
        memcpy(file, header, (size_t)n);
        gguf *again = gguf_open_mem(file, file_bytes, "again", &e);
        MUST(again != NULL);
        // The plan writes general.alignment first where it is not the default: as many pairs, in another order.
        MUST(gguf_n_tensors(again) == gguf_n_tensors(g) && gguf_n_kv(again) == gguf_n_kv(g));
        for (int64_t i = 0; i < gguf_n_kv(g); i++) {
            const gguf_kv *a = gguf_kv_at(g, i), *b = gguf_find_kv(again, a->key);
            MUST(b && a->type == b->type && a->elem == b->elem && a->n == b->n && a->n_bytes == b->n_bytes &&
                 memcmp(a->data, b->data, (size_t)a->n_bytes) == 0);
        }
        gguf_close(again);
        free(file);
    }
    free(header);
    gguf_plan_free(p);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    err   e = { 0 };
    gguf *g = gguf_open_mem(data, (int64_t)size, "fuzz.gguf", &e);
    if (!g) { must_be_refusal(&e); return 0; }
    use(read_values(g) + read_tensors(g, data, size));
    char hex[SHA256_HEX + 1];
    MUST(claims_metadata_digest(g, hex, &e));
    if (!claims_check_tensors(g, 1, NULL, &e)) MUST(e.kind == ERR_INPUT || e.kind == ERR_VERDICT);
    gguf_str record;
    int64_t  at;
    err      own = { 0 };
    if (claims_find_record(g, &record, &at, &own))
        MUST(at >= 0 && (const uint8_t *)record.s == data + at && at + CLAIMS_RECORD_BYTES <= (int64_t)size);
    write_again(g);
    gguf_close(g);
    return 0;
}
