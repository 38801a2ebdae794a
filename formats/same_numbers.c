// Comparing two tensors of a checkpoint (declared in safetensors.h), in memory that does not grow with them.
#include "safetensors.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RUN = 1024, WINDOW = 1 << 22 };      // weights decoded together; weights after which pages are let go

static bool equal_run(const st_tensor *a, const uint8_t *at, const st_tensor *b, const uint8_t *bt, int64_t n)
{
    float x[RUN], y[RUN];
    f32_from_float_run(a->type, x, at, n);
    f32_from_float_run(b->type, y, bt, n);
    for (int64_t i = 0; i < n; i++)
        if (x[i] != y[i] && !(x[i] != x[i] && y[i] != y[i])) return false;
    return true;
}

// Pages that lie wholly in [from, to) of a mapping: they stay in the kernel's cache, and no longer count as this
// program's memory. Bytes of a tensor need not begin at a page.
static void let_go(const uint8_t *from, const uint8_t *to)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)from + page - 1) / page * page, end = (uintptr_t)to / page * page;
    if (first < end) madvise((void *)first, end - first, MADV_DONTNEED);
}

bool st_same_numbers(const st *s, const st_tensor *a, const st_tensor *b)
{
    const int64_t size_a = a->n_elems ? a->n_bytes / a->n_elems : 0, size_b = b->n_elems ? b->n_bytes / b->n_elems : 0;
    const bool same_type = a->type == b->type, mapped = !st_is_borrowed(s);
    if (a->n_elems != b->n_elems) return false;
    for (int64_t window, i = 0; i < a->n_elems; i += window) {
        const uint8_t *at = a->data + i * size_a, *bt = b->data + i * size_b;
        window = a->n_elems - i < WINDOW ? a->n_elems - i : WINDOW;
        bool equal = same_type && memcmp(at, bt, (size_t)(window * size_a)) == 0;
        if (!equal) {
            equal = true;
            for (int64_t n, k = 0; equal && k < window; k += n) {
                n = window - k < RUN ? window - k : RUN;
                equal = equal_run(a, at + k * size_a, b, bt + k * size_b, n);
            }
        }
        if (!equal) return false;
        if (!mapped) continue;
        let_go(at, at + window * size_a);
        let_go(bt, bt + window * size_b);
    }
    return true;
}
