#include "merges.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char       *text;
    int64_t     n, i;
    const char *where;
    err        *e;
} cursor;

static bool fail(const cursor *c, const char *expected)
{
    return err_set(c->e, ERR_INPUT, "%s: offset %lld: merges: expected %s", c->where, (long long)c->i, expected);
}

static int peek(const cursor *c) { return c->i < c->n ? (unsigned char)c->text[c->i] : -1; }

static void skip_space(cursor *c)
{
    while (c->i < c->n &&
           (c->text[c->i] == ' ' || c->text[c->i] == '\n' || c->text[c->i] == '\r' || c->text[c->i] == '\t'))
        c->i++;
}

// ---- finding the array ----------------------------------------------------------------------------------------------

// From an opening quote to behind the closing one; false at the end of the text.
static bool skip_string(cursor *c)
{
    for (c->i++; c->i < c->n; c->i++) {
        if (c->text[c->i] == '\\') c->i++;
        else if (c->text[c->i] == '"') { c->i++; return true; }
    }
    return false;
}

static bool string_is(const cursor *c, int64_t from, const char *s)
{
    int64_t k = (int64_t)strlen(s);
    return c->i - from == k + 2 && memcmp(c->text + from + 1, s, (size_t)k) == 0;
}

// Leaves the cursor on the '[' of the first "merges" inside the first "model" of the outermost object. A text that is
// not JSON may lead anywhere or nowhere; the parse that follows says so.
static bool find_array(cursor *c)
{
    int64_t depth = 0;
    bool    in_model = false;
    while (c->i < c->n) {
        int ch = peek(c);
        int64_t from = c->i;
        if (ch == '{' || ch == '[') depth++;
        if (ch == '}' || ch == ']') {
            if (--depth == 1) in_model = false;
        }
        if (ch != '"') { c->i++; continue; }
        if (!skip_string(c)) return false;
        bool model = depth == 1 && string_is(c, from, "model"),
             here = depth == 2 && in_model && string_is(c, from, "merges");
        if (!model && !here) continue;
        skip_space(c);
        if (peek(c) != ':') continue;       // a value, not a name
        c->i++;
        skip_space(c);
        if (here) return peek(c) == '[';
        in_model = peek(c) == '{';
    }
    return false;
}

// ---- reading it -----------------------------------------------------------------------------------------------------

static int hex4(cursor *c)
{
    int v = 0;
    for (int k = 0; k < 4; k++, c->i++) {
        int ch = peek(c), d = ch >= '0' && ch <= '9'                 ? ch - '0'
                              : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10
                                                                     : -1;
        if (ch < 0 || d < 0) return -1;
        v = v << 4 | d;
    }
    return v;
}

static int64_t put_utf8(char *dst, unsigned u)
{
    if (u < 0x80) { dst[0] = (char)u; return 1; }
    if (u < 0x800) { dst[0] = (char)(0xc0 | u >> 6); dst[1] = (char)(0x80 | (u & 63)); return 2; }
    if (u < 0x10000) {
        dst[0] = (char)(0xe0 | u >> 12);
        dst[1] = (char)(0x80 | (u >> 6 & 63));
        dst[2] = (char)(0x80 | (u & 63));
        return 3;
    }
    dst[0] = (char)(0xf0 | u >> 18);
    dst[1] = (char)(0x80 | (u >> 12 & 63));
    dst[2] = (char)(0x80 | (u >> 6 & 63));
    dst[3] = (char)(0x80 | (u & 63));
    return 4;
}

// Behind the 'u' of \u: the character, with its second half if it is a pair. -1 if malformed or NUL.
static int read_unicode(cursor *c)
{
    int u = hex4(c);
    if (u < 0xd800 || u > 0xdfff) return u == 0 ? -1 : u;
    if (u > 0xdbff || peek(c) != '\\') return -1;
    c->i++;
    if (peek(c) != 'u') return -1;
    c->i++;
    int low = hex4(c);
    return low < 0xdc00 || low > 0xdfff ? -1 : 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
}

// Reads one string, unescaped, to dst (never longer than it stands in the text). Returns its bytes, or -1 after
// reporting. Its UTF-8 is not checked here: a merge is looked up among tokens that were.
static int64_t read_string(cursor *c, char *dst)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    int64_t n = 0;
    if (peek(c) != '"') { fail(c, "a string"); return -1; }
    for (c->i++; peek(c) >= 0x20; ) {
        int ch = peek(c);
        c->i++;
        if (ch == '"') return n;
        if (ch != '\\') { dst[n++] = (char)ch; continue; }
        ch = peek(c);
        c->i++;
        const char *at = ch > 0 ? strchr(names, ch) : NULL;
        if (at) { dst[n++] = values[at - names]; continue; }
        int u = ch == 'u' ? read_unicode(c) : -1;
        if (u < 0) { fail(c, "an escape sequence of JSON"); return -1; }
        n += put_utf8(dst + n, (unsigned)u);
    }
    fail(c, "the end of a string");
    return -1;
}

// "left right": exactly one space, neither at the beginning nor at the end.
static bool split_legacy(const cursor *c, const char *s, int64_t n, merge *m)
{
    const char *sp = memchr(s, ' ', (size_t)n);
    if (!sp || sp == s || sp == s + n - 1 || memchr(sp + 1, ' ', (size_t)(s + n - sp - 1)))
        return fail(c, "two tokens with one space between them");
    m->n_left  = (int32_t)(sp - s);
    m->n_right = (int32_t)(s + n - sp - 1);
    return true;
}

static bool read_pair(cursor *c, char *dst, merge *m)
{
    c->i++;
    skip_space(c);
    int64_t left = read_string(c, dst);
    if (left < 0) return false;
    skip_space(c);
    if (peek(c) != ',') return fail(c, "','");
    c->i++;
    skip_space(c);
    dst[left] = ' ';
    int64_t right = read_string(c, dst + left + 1);
    if (right < 0) return false;
    skip_space(c);
    if (peek(c) != ']') return fail(c, "']' after two tokens");
    c->i++;
    if (left == 0 || right == 0) return fail(c, "tokens that are not empty");
    m->n_left  = (int32_t)left;
    m->n_right = (int32_t)right;
    return true;
}

// At the '['. An element takes at least four bytes of text ("" and a comma would be three), so the text bounds the
// count.
static bool read_array(cursor *c, merges *out)
{
    int64_t cap = 0, used = 0;
    c->i++;
    skip_space(c);
    while (peek(c) != ']') {
        if (out->n == cap) {
            cap = cap ? cap * 2 : 1024;
            merge *m = realloc(out->m, (size_t)cap * sizeof *m);
            if (!m) return err_nomem(c->e, "merges", (size_t)cap * sizeof *m);
            out->m = m;
        }
        merge *m = &out->m[out->n];
        m->off = used;
        if (peek(c) == '[') {
            if (!read_pair(c, out->joined + used, m)) return false;
        } else {
            int64_t n = read_string(c, out->joined + used);
            if (n < 0 || !split_legacy(c, out->joined + used, n, m)) return false;
        }
        used += m->n_left + 1 + m->n_right;
        out->n++;
        skip_space(c);
        if (peek(c) == ']') break;
        if (peek(c) != ',') return fail(c, "',' or ']'");
        c->i++;
        skip_space(c);
        if (peek(c) == ']') return fail(c, "a merge after ','");
    }
    return true;
}

bool merges_take(merges *out, char *text, int64_t n, const char *where, err *e)
{
    cursor c = { .text = text, .n = n, .where = where, .e = e };
    memset(out, 0, sizeof *out);
    if (!find_array(&c)) return true;
    int64_t from = c.i + 1;
    out->joined = malloc((size_t)(n - c.i));
    if (!out->joined) return err_nomem(e, "merges", (size_t)(n - c.i));
    if (!read_array(&c, out)) return false;
    memset(text + from, ' ', (size_t)(c.i - from));
    return true;
}

void merges_free(merges *m)
{
    free(m->m);
    free(m->joined);
    memset(m, 0, sizeof *m);
}
