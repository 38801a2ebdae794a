// nfc: see nfc.h. utf8proc decomposes and composes; marks are put in order here, because its own ordering takes the
// square of a run of marks.
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

// Hugging Face's tokenizers knows Unicode 9. Marks that are younger stand in nobody's order there: nothing moves past
// them, and nothing composes over them. These are those that utf8proc 2.8 (Unicode 15) knows; a newer one may know
// more.
static const struct { int32_t first, last; } k_young_marks[] = {
    { 0x7fd, 0x7fd },     { 0x898, 0x89f },     { 0x8ca, 0x8d3 },     { 0x9fe, 0x9fe },     { 0xc3c, 0xc3c },
    { 0xd3b, 0xd3c },     { 0xeba, 0xeba },     { 0x1715, 0x1715 },   { 0x1abf, 0x1ace },   { 0x1df6, 0x1dfa },
    { 0xa82c, 0xa82c },   { 0x10d24, 0x10d27 }, { 0x10eab, 0x10eac }, { 0x10efd, 0x10eff }, { 0x10f46, 0x10f50 },
    { 0x10f82, 0x10f85 }, { 0x11070, 0x11070 }, { 0x1133b, 0x1133b }, { 0x1145e, 0x1145e }, { 0x11839, 0x1183a },
    { 0x1193d, 0x1193e }, { 0x11943, 0x11943 }, { 0x119e0, 0x119e0 }, { 0x11a34, 0x11a34 }, { 0x11a47, 0x11a47 },
    { 0x11a99, 0x11a99 }, { 0x11d42, 0x11d42 }, { 0x11d44, 0x11d45 }, { 0x11d97, 0x11d97 }, { 0x11f41, 0x11f42 },
    { 0x16ff0, 0x16ff1 }, { 0x1e08f, 0x1e08f }, { 0x1e130, 0x1e136 }, { 0x1e2ae, 0x1e2ae }, { 0x1e2ec, 0x1e2ef },
    { 0x1e4ec, 0x1e4ef },
};
// The one pair that Unicode 10 to 15 compose: U+11935 and this. It stays a pair, and what it would make stays whole.
enum { YOUNG_PART = 0x11930, YOUNG_WHOLE = 0x11938 };

static bool is_young(int32_t c)
{
    if (c == YOUNG_PART) return true;
    if (utf8proc_get_property(c)->combining_class == 0) return false;
    for (size_t i = 0; i < sizeof k_young_marks / sizeof *k_young_marks; i++)
        if (c <= k_young_marks[i].last) return c >= k_young_marks[i].first;
    return false;
}

static int class_of(int32_t c) { return is_young(c) ? 0 : utf8proc_get_property(c)->combining_class; }

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

// The canonical decomposition of a text, marks not yet in order. dst: room for MOST_PARTS more than it ever holds.
// Returns the count, -1 on failure.
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
        utf8proc_ssize_t parts = len > 0 ? 1 : -1;
        if (len > 0 && c == YOUNG_WHOLE) all[count] = c;
        else if (len > 0) parts = utf8proc_decompose_char(c, all + count, room - count, UTF8PROC_DECOMPOSE, &last);
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

// Composes c[0..n), in place, and writes it as UTF-8. Returns the bytes written.
static int64_t compose(utf8proc_uint8_t *dst, int32_t *c, int64_t n)
{
    int64_t w = 0;
    for (int64_t i = 0; i < n;) {
        int64_t end = i;
        while (end < n && !is_young(c[end])) end++;
        const int64_t made = utf8proc_normalize_utf32(c + i, end - i, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        for (int64_t k = 0; k < made; k++) w += utf8proc_encode_char(c[i + k], dst + w);
        if (end < n) w += utf8proc_encode_char(c[end], dst + w);
        i = end + 1;
    }
    return w;
}

bool nfc_text(const char *text, int64_t n, char **out, int64_t *n_out, err *e)
{
    int32_t *c = NULL;
    *out = NULL;
    *n_out = n;
    if (is_ascii(text, n)) return true;
    const int64_t count = decompose(text, n, &c);
    int32_t *scratch = count < 0 ? NULL : malloc((size_t)count * sizeof *scratch + 1);
    char    *s = count < 0 ? NULL : malloc((size_t)count * 4 + 1);
    bool ok = scratch && s;
    if (ok) {
        order_marks(c, count, scratch);
        *out = s;
        *n_out = compose((utf8proc_uint8_t *)s, c, count);
    } else {
        free(s);
        err_nomem(e, "a normalized text", (size_t)n * 4);
    }
    free(scratch);
    free(c);
    return ok;
}
