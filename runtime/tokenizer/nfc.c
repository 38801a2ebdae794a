// nfc: see nfc.h. utf8proc decomposes and composes; marks are put in order here, because its own ordering takes the square of a run of marks.
#include "nfc.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { CLASSES = 256, MOST_PARTS = 18 };        // Unicode: a character decomposes into 18 at most (NFKD), 4 canonically

static bool is_ascii(const char *s, int64_t n)
{
    unsigned char any = 0;
    for (int64_t i = 0; i < n; i++) any |= (unsigned char)s[i];
    return any < 0x80;
}

static int class_of(int32_t c) { return utf8proc_get_property(c)->combining_class; }

// Canonical ordering of a run of marks: a stable sort by combining class.
static void order_short(int32_t *c, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        const int32_t x = c[i];
        const int     k = class_of(x);
        int64_t       j = i;
        for (; j > 0 && class_of(c[j - 1]) > k; j--) c[j] = c[j - 1];
        c[j] = x;
    }
}

static void order_long(int32_t *c, int64_t n, int32_t *scratch)
{
    int64_t from[CLASSES + 1] = { 0 };
    for (int64_t i = 0; i < n; i++) from[class_of(c[i]) + 1]++;
    for (int k = 0; k < CLASSES; k++) from[k + 1] += from[k];
    for (int64_t i = 0; i < n; i++) scratch[from[class_of(c[i])]++] = c[i];
    memcpy(c, scratch, (size_t)n * sizeof *c);
}

static void order_marks(int32_t *c, int64_t n, int32_t *scratch)
{
    enum { SHORT = 16 };
    for (int64_t i = 0; i < n; i++) {
        int64_t end = i;
        while (end < n && class_of(c[end]) != 0) end++;
        if (end - i > SHORT)  order_long(c + i, end - i, scratch);
        else if (end - i > 1) order_short(c + i, end - i);
        if (end > i) i = end - 1;
    }
}

// The canonical decomposition of a text, marks not yet in order. dst: room for MOST_PARTS more than it ever holds. Returns the count, -1 on failure.
static int64_t decompose(const char *text, int64_t n, int32_t **dst)
{
    int64_t  count = 0, room = n + MOST_PARTS;
    int32_t *all = malloc((size_t)room * sizeof *all);
    for (int64_t i = 0; all && i < n;) {
        int32_t c = 0;
        int     last = 0;
        if (room - count < MOST_PARTS) {
            room += room / 2 + MOST_PARTS;
            int32_t *more = realloc(all, (size_t)room * sizeof *all);
            if (!more) free(all);
            all = more;
            if (!all) break;
        }
        const utf8proc_ssize_t len = utf8proc_iterate((const utf8proc_uint8_t *)text + i, n - i, &c);
        const utf8proc_ssize_t parts = len > 0 ? utf8proc_decompose_char(c, all + count, room - count, UTF8PROC_DECOMPOSE, &last) : -1;
        if (parts < 0) {
            free(all);
            all = NULL;
            break;
        }
        count += parts;
        i += len;
    }
    *dst = all;
    return all ? count : -1;
}

bool nfc_text(const char *text, int64_t n, char **out, int64_t *n_out, err *e)
{
    int32_t *c = NULL;
    *out = NULL;
    *n_out = n;
    if (is_ascii(text, n)) return true;
    int64_t  count = decompose(text, n, &c);
    int32_t *scratch = count < 0 ? NULL : malloc((size_t)count * sizeof *scratch + 1);
    char    *s = count < 0 ? NULL : malloc((size_t)count * 4 + 1);
    bool ok = scratch && s;
    if (ok) {
        order_marks(c, count, scratch);
        count = utf8proc_normalize_utf32(c, count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        int64_t w = 0;
        for (int64_t i = 0; i < count; i++) w += utf8proc_encode_char(c[i], (utf8proc_uint8_t *)s + w);
        *out = s;
        *n_out = w;
    } else {
        free(s);
        err_nomem(e, "a normalized text", (size_t)n * 4);
    }
    free(scratch);
    free(c);
    return ok;
}
