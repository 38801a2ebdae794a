// Any bytes as a safetensors file: refused in one line, or every tensor can be read and together they fill the file.
#include "formats/safetensors.h"
#include "fuzz.h"

#include <string.h>

int fuzz_one(const uint8_t *data, size_t size)
{
    err e = { 0 };
    st *s = st_open_mem(data, (int64_t)size, "fuzz.safetensors", &e);
    if (!s) { must_be_refusal(&e); return 0; }
    uint64_t head;
    memcpy(&head, data, 8);
    int64_t total = 0;
    for (int64_t i = 0; i < st_n_tensors(s); i++) {
        const st_tensor *t = st_at(s, i);
        MUST(st_find(s, t->name) == t && t->file == 0);
        MUST(i == 0 || strcmp(st_at(s, i - 1)->name, t->name) < 0);
        MUST(t->off >= 8 + (int64_t)head && t->n_bytes >= 0 && t->off + t->n_bytes <= (int64_t)size &&
             t->data == data + t->off);
        int64_t row;
        if (t->type != DT_INVALID) MUST(dtype_row_bytes(t->type, t->n_elems, &row) && row == t->n_bytes);
        err own = { 0 };
        MUST(st_require_float(s, t, &own) == (t->type != DT_INVALID));
        use(touch(t->data, t->n_bytes));
        total += t->n_bytes;
    }
    MUST(total == (int64_t)size - 8 - (int64_t)head);
    st_close(s);
    return 0;
}
