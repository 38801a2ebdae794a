// Any bytes as an importance matrix, in either form: refused in one line, or every value is finite and not negative.
#include "fuzz.h"
#include "quant/imatrix.h"

#include <math.h>

int fuzz_one(const uint8_t *data, size_t size)
{
    err e = { 0 };
    imatrix *m = imatrix_open_mem(data, (int64_t)size, "fuzz.imatrix", &e);
    if (!m) { must_be_refusal(&e); return 0; }
    MUST(imatrix_n_entries(m) > 0 && imatrix_dataset(m) && imatrix_path(m));
    const char *const names[] = { "blk.0.attn_q.weight", "blk.1.ffn_down.weight", "a", "" };
    for (int i = 0; i < 4; i++) {
        int64_t n = 0;
        const float *v = imatrix_find(m, names[i], &n);
        if (!v) continue;
        MUST(n > 0);
        for (int64_t c = 0; c < n; c++) MUST(isfinite(v[c]) && v[c] >= 0);
        const policy_tensor t = { .name = names[i], .type = DT_BF16, .n_dims = 2, .shape = { 4, n } };
        const float *w;
        err own = { 0 };
        MUST(imatrix_for_tensor(m, &t, DT_Q4_K, (imatrix_reach){ 1, 1 }, &w, &own) && w == v);
    }
    imatrix_close(m);
    return 0;
}
