#include "text_file.h"

#include "file_map.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

int64_t utf8_valid_bytes(const char *text, int64_t n)
{
    int64_t i = 0;
    while (i < n) {
        int len = utf8_len((const uint8_t *)text + i, n - i);
        if (len == 0) break;
        i += len;
    }
    return i;
}

char *utf8_mended(const char *text, int64_t n, int64_t *n_bad)
{
    char   *out = malloc((size_t)n * 3 + 1);
    int64_t w = 0;
    *n_bad = 0;
    if (!out) return NULL;
    for (int64_t i = 0; i < n;) {
        int len = utf8_len((const uint8_t *)text + i, n - i);
        if (len > 0) memcpy(out + w, text + i, (size_t)len);
        else         memcpy(out + w, "\xef\xbf\xbd", 3);
        *n_bad += len == 0;
        w += len > 0 ? len : 3;
        i += len > 0 ? len : 1;
    }
    out[w] = '\0';
    return out;
}

int64_t text_unify_line_ends(char *s, int64_t n)
{
    int64_t w = 0;
    for (int64_t i = 0; i < n; i++) {
        const bool cr = s[i] == '\r';
        if (cr && i + 1 < n && s[i + 1] == '\n') i++;
        s[w++] = cr ? '\n' : s[i];
    }
    s[w] = '\0';
    return w;
}

static bool check_text(const char *s, int64_t n, const char *path, err *e)
{
    const char   *nul = n > 0 ? memchr(s, '\0', (size_t)n) : NULL;
    const int64_t ok  = utf8_valid_bytes(s, n);
    if (n >= 2 && (memcmp(s, "\xff\xfe", 2) == 0 || memcmp(s, "\xfe\xff", 2) == 0))
        return err_set(e, ERR_INPUT, "%s: offset 0: found the mark of UTF-16, expected UTF-8", path);
    if (ok < n)
        return err_set(e, ERR_INPUT, "%s: offset %lld: found byte 0x%02x, expected UTF-8", path, (long long)ok,
                       (unsigned)(uint8_t)s[ok]);
    if (!nul) return true;
    return err_set(e, ERR_INPUT, "%s: offset %lld: found a NUL byte, expected text", path, (long long)(nul - s));
}

bool text_file_read(char **text, int64_t *n_bytes, const char *path, int64_t max_bytes, err *e)
{
    char *s = NULL;
    if (!file_read_text(&s, n_bytes, path, max_bytes, e)) return false;
    if (!check_text(s, *n_bytes, path, e)) {
        free(s);
        return false;
    }
    *n_bytes = text_unify_line_ends(s, *n_bytes);
    *text = s;
    return true;
}
