// words: see words.h. Patterns are PCRE2's; what a white space is follows Unicode's White_Space, as the reference has
// it, not PCRE2's own list.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "words.h"
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

struct words {
    pcre2_code          *code;
    pcre2_match_data    *match;
    pcre2_match_context *limits;
    bool                 digits;
    pcre2_code          *digit;         // one numeric character, where digits are cut first
    pcre2_match_data    *digit_match;
};

// Members of White_Space (Unicode 15), inside a class.
#define WHITE                                                                                                          \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

typedef struct { char s[2048]; size_t n; } pattern;

static void append(pattern *p, const char *s)
{
    const size_t n = strlen(s);
    if (p->n + n >= sizeof p->s) return;        // patterns are our own and short
    memcpy(p->s + p->n, s, n + 1);
    p->n += n;
}

// The pattern with \s and \S spelled out.
static void spell_out(pattern *to, const char *from)
{
    bool in_class = false;
    for (; *from; from++) {
        const bool escaped = from[0] == '\\' && from[1] != 0;
        if (escaped && from[1] == 's') append(to, in_class ? WHITE : "[" WHITE "]");
        else if (escaped && from[1] == 'S') append(to, "[^" WHITE "]");
        else if (escaped) append(to, (const char[]){ from[0], from[1], 0 });
        else append(to, (const char[]){ from[0], 0 });
        if (!escaped && from[0] == '[') in_class = true;
        if (!escaped && from[0] == ']') in_class = false;
        if (escaped) from++;
    }
}

static pcre2_code *compile(const char *text, err *e)
{
    pattern p = { .n = 0 };
    int error = 0;
    PCRE2_SIZE at = 0;
    spell_out(&p, text);
    pcre2_code *c = pcre2_compile((PCRE2_SPTR)p.s, p.n, PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &error, &at, NULL);
    if (c) return c;
    PCRE2_UCHAR why[160] = { 0 };
    pcre2_get_error_message(error, why, sizeof why);
    err_set(e, ERR_SYSTEM, "a pattern of words does not compile at %zu: %s", (size_t)at, (const char *)why);
    return NULL;
}

words *words_new(const pretok_row *row, err *e)
{
    words *w = calloc(1, sizeof *w);
    if (!w) {
        err_nomem(e, "a tokenizer's pattern", sizeof *w);
        return NULL;
    }
    w->digits = row->digits;
    w->code = compile(row->pattern, e);
    if (w->code && row->digits) w->digit = compile("\\p{N}", e);
    if (!w->code || (row->digits && !w->digit)) goto fail;
    w->match = pcre2_match_data_create_from_pattern(w->code, NULL);
    w->digit_match = w->digit ? pcre2_match_data_create_from_pattern(w->digit, NULL) : NULL;
    w->limits = pcre2_match_context_create(NULL);
    if (!w->match || !w->limits || (w->digit && !w->digit_match)) {
        err_nomem(e, "a tokenizer's pattern", 0);
        goto fail;
    }
    return w;
fail:
    words_free(w);
    return NULL;
}

void words_free(words *w)
{
    if (!w) return;
    pcre2_code_free(w->code);
    pcre2_code_free(w->digit);
    pcre2_match_data_free(w->match);
    pcre2_match_data_free(w->digit_match);
    pcre2_match_context_free(w->limits);
    free(w);
}

typedef struct {
    bool (*fn)(void *ctx, const char *s, int64_t n, err *e);
    void *ctx;
} sink;

// The next match of c in s [n] from `from` on. *at n: none. false: too much work.
static bool next_match(const words *w, const pcre2_code *c, pcre2_match_data *m, const char *s, int64_t n, int64_t from,
                       int64_t *at, int64_t *end, err *e)
{
    const int rc = pcre2_match(c, (PCRE2_SPTR)s, (PCRE2_SIZE)n, (PCRE2_SIZE)from, PCRE2_NO_UTF_CHECK, m, w->limits);
    *at = *end = n;
    if (rc == PCRE2_ERROR_NOMATCH) return true;
    if (rc < 0)
        return err_set(e, ERR_INPUT,
                       "a text to encode: its words take more work than %lld bytes should (PCRE2 says %d)",
                       (long long)n, rc);
    const PCRE2_SIZE *v = pcre2_get_ovector_pointer(m);
    *at = (int64_t)v[0];
    *end = (int64_t)v[1];
    return true;
}

// Matches are words, and so is what lies between them.
static bool cut_by(words *w, const pcre2_code *c, pcre2_match_data *m, const char *s, int64_t n, sink to, err *e)
{
    for (int64_t from = 0; from < n;) {
        int64_t at, end;
        if (!next_match(w, c, m, s, n, from, &at, &end, e)) return false;
        if (at > from && !to.fn(to.ctx, s + from, at - from, e)) return false;
        if (end > at && !to.fn(to.ctx, s + at, end - at, e)) return false;
        from = end > from ? end : from + 1;
    }
    return true;
}

typedef struct { words *w; sink to; } inner;

static bool cut_again(void *ctx, const char *s, int64_t n, err *e)
{
    const inner *i = ctx;
    return cut_by(i->w, i->w->code, i->w->match, s, n, i->to, e);
}

bool words_cut(words *w, const char *text, int64_t n, bool (*fn)(void *ctx, const char *s, int64_t n, err *e),
               void *ctx, err *e)
{
    const sink to = { fn, ctx };
    // A word's match looks at each of its characters a few times: white space before a line's end is tried twice.
    const int64_t most = n < (1 << 26) ? 32 * n + 10000 : 1 << 31;
    pcre2_set_match_limit(w->limits, (uint32_t)(most < UINT32_MAX ? most : UINT32_MAX));
    if (!w->digits) return cut_by(w, w->code, w->match, text, n, to, e);
    inner i = { w, to };
    return cut_by(w, w->digit, w->digit_match, text, n, (sink){ cut_again, &i }, e);
}
