#define _GNU_SOURCE
#include "model_id.h"

#include "../formats/utf8.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

// ---- titles ---------------------------------------------------------------------------------------------------------

// Letters of every script, whatever language the program runs in. (locale_t)0 where the C library has no such locale:
// then ASCII alone has cases.
typedef struct { locale_t loc; wctrans_t title; } letters;

static letters letters_open(void)
{
    letters l = { newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), 0 };
    if (l.loc) l.title = wctrans_l("totitle", l.loc);
    return l;
}

static bool is_lower(const letters *l, uint32_t c)
{
    return l->loc ? iswlower_l((wint_t)c, l->loc) != 0 : c >= 'a' && c <= 'z';
}

static bool is_upper(const letters *l, uint32_t c)
{
    return l->loc ? iswupper_l((wint_t)c, l->loc) != 0 : c >= 'A' && c <= 'Z';
}

static uint32_t to_title(const letters *l, uint32_t c)
{
    if (l->loc && l->title) return (uint32_t)towctrans_l((wint_t)c, l->title, l->loc);
    if (l->loc) return (uint32_t)towupper_l((wint_t)c, l->loc);
    return is_lower(l, c) ? c - 'a' + 'A' : c;
}

// The character at s and its bytes; a byte that is no UTF-8 is a character of its own, and no letter.
static int decode(const char *s, uint32_t *c)
{
    const uint8_t *p = (const uint8_t *)s;
    const int len = utf8_len(p, (int64_t)strnlen(s, 4));
    if (len <= 1) { *c = len ? p[0] : 0xfffd; return 1; }
    *c = p[0] & (0x7f >> len);
    for (int i = 1; i < len; i++) *c = *c << 6 | (p[i] & 0x3f);
    return len;
}

static int encode(char *out, uint32_t c)
{
    if (c < 0x80) { out[0] = (char)c; return 1; }
    const int len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = len - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> len) | c);
    return len;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "v1", "v1.2": nothing else behind the v.
static bool is_version_word(const char *w, size_t n)
{
    if (n < 2 || w[0] != 'v') return false;
    for (size_t i = 1; i < n; i++)
        if (!is_digit(w[i]) && !(w[i] == '.' && is_digit(w[i - 1]) && i + 1 < n)) return false;
    return true;
}

// A word that gets capitals: some lower-case letter, no upper-case one, and neither a number nor a version.
static bool wants_title(const letters *l, const char *w, size_t n)
{
    bool     lower = false;
    uint32_t c;
    if (n == 0 || is_digit(w[0]) || is_version_word(w, n)) return false;
    for (size_t i = 0; i < n; i += (size_t)decode(w + i, &c)) {
        decode(w + i, &c);
        if (is_upper(l, c)) return false;
        lower = lower || is_lower(l, c);
    }
    return lower;
}

// Appends a word. In one that gets capitals, each letter that follows no letter is one.
static char *put_word(const letters *l, char *out, const char *w, size_t n)
{
    const bool title = wants_title(l, w, n);
    bool     after_letter = false;
    uint32_t c;
    for (size_t i = 0; i < n;) {
        const int  len    = decode(w + i, &c);
        const bool letter = is_lower(l, c) || is_upper(l, c);
        if (title && letter && !after_letter && c >= 0x80) {
            out += encode(out, to_title(l, c));
        } else {
            memcpy(out, w + i, (size_t)len);
            if (title && letter && !after_letter) *out = (char)to_title(l, c);
            out += len;
        }
        after_letter = letter;
        i += (size_t)len;
    }
    return out;
}

char *model_id_title(const char *id)
{
    static const char BREAKS[] = "- \t\n\v\f\r";
    letters l   = letters_open();
    char   *out = malloc(strlen(id) * 2 + 1), *w = out;      // a capital is at most a byte longer than its small letter
    for (const char *s = id; out && *s;) {
        const size_t n = strcspn(s, BREAKS);
        if (n && w != out) *w++ = ' ';
        w = put_word(&l, w, s, n);
        s += n + (s[n] != 0);
    }
    if (out) *w = '\0';
    if (l.loc) freelocale(l.loc);
    return out;
}

// ---- parts ----------------------------------------------------------------------------------------------------------

// What a word of a name may be, as sets.
enum { VERSION = 1, TYPE = 2, SIZE = 4, FINETUNE = 8, BASENAME = 16 };
enum { MAX_WORDS = 64 };

typedef struct { const char *s; size_t n; int what; bool digits; } word;        // digits: a size with a number in it
typedef struct { regex_t version, type, size, finetune; } patterns;

static bool patterns_open(patterns *p, err *e)
{
    const struct { regex_t *to; const char *text; } rows[] = {
        { &p->version, "^(v|iter)?[0-9]+([.][0-9]+)*$" },
        { &p->type, "^(i?q[0-9](_[[:alnum:]_])*|b?fp?(16|32))$" },
        { &p->size, "^((A|[0-9]+x)?[0-9]+([._][0-9]+)?[KMBT][0-9]?|small|mini|medium|large|x?xl)$" },
        { &p->finetune, "^(chat|instruct|vision|lora)$" },
    };
    for (int i = 0; i < 4; i++) {
        if (regcomp(rows[i].to, rows[i].text, REG_EXTENDED | REG_ICASE | REG_NOSUB) == 0) continue;
        while (i > 0) regfree(rows[--i].to);
        return err_nomem(e, "a pattern", sizeof *p);
    }
    return true;
}

static void patterns_close(patterns *p)
{
    regfree(&p->version);
    regfree(&p->type);
    regfree(&p->size);
    regfree(&p->finetune);
}

static bool matches(const regex_t *re, const word *w)
{
    char text[100];
    if (w->n >= sizeof text) return false;
    snprintf(text, sizeof text, "%.*s", (int)w->n, w->s);
    return regexec(re, text, 0, NULL, 0) == 0;
}

// "7b1" is 7.1b; a size that is far from the model's own is the length of a context, and with it a finetune.
static int kind_of_size(const word *w, int64_t n_params)
{
    char text[110], *end;
    snprintf(text, sizeof text, "%.*s", (int)w->n, w->s);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (text[i] == '_') text[i] = '.';
    if (is_digit(text[n - 1]) && n >= 2) {
        const char unit = text[n - 2], digit = text[n - 1];
        snprintf(text + n - 2, 4, ".%c%c", digit, unit);
        n = strlen(text);
    }
    const char *unit = strchr(" KMBT", toupper((unsigned char)text[n - 1]));
    if (!unit || n_params == 0) return SIZE;
    const int power = (int)(unit - " KMBT");
    text[n - 1] = '\0';
    const double v = strtod(text, &end) * pow(1000, power);
    if (strspn(text, "0123456789.") != n - 1 || *end) return SIZE;      // a word, or "8x7": gguf-py takes it as it is
    return fabs(v - (double)n_params) > (double)(7 * n_params / 8) ? FINETUNE : SIZE;
}

static int annotate(const patterns *p, const word *w, bool first, int64_t n_params)
{
    if (matches(&p->version, w)) return VERSION;
    if (matches(&p->type, w)) return TYPE;
    if (!first && matches(&p->size, w)) return kind_of_size(w, n_params);
    return !first && matches(&p->finetune, w) ? FINETUNE : 0;
}

static bool all_letters(const word *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (!isalpha((unsigned char)w->s[i])) return false;
    return true;
}

// Which words are the basename: those at the beginning, with versions among them, but not a version at its end.
static void mark_basename(word *w, int n)
{
    bool numbers = false, at_start = true;
    for (int i = 0; i < n; i++) numbers |= (w[i].what & SIZE) && strcspn(w[i].s, "0123456789") < w[i].n;
    for (int i = 0; i < n; i++)
        if (numbers && (w[i].what & SIZE) && all_letters(&w[i])) w[i].what &= ~SIZE;      // "small" beside "7B"
    for (int i = 0; i < n; i++) {
        const bool alpha = isalpha((unsigned char)w[i].s[0]) || ((unsigned char)w[i].s[0] & 0x80);
        at_start = at_start && ((w[i].what == 0 && alpha) || (w[i].what & VERSION));
        if (at_start) w[i].what |= BASENAME;
        else if (w[i].what == 0) w[i].what = FINETUNE;
    }
    for (int i = n - 1; i >= 0 && (w[i].what & BASENAME) && w[i].what != BASENAME; i--) w[i].what &= ~BASENAME;
}

// The versions that are no part of the basename, joined by "-"; *version stays NULL where there is none.
static bool join_versions(char **version, const word *w, int n, err *e)
{
    size_t room = 1;
    for (int i = 0; i < n; i++) room += w[i].n + 1;
    for (int i = 0; i < n; i++) {
        if (!(w[i].what & VERSION) || (w[i].what & BASENAME)) continue;
        if (!*version && !(*version = calloc(room, 1))) return err_nomem(e, "a version", room);
        if (**version) strcat(*version, "-");
        strncat(*version, w[i].s, w[i].n);
    }
    return true;
}

static bool find_version(char **version, const char *name, int64_t n_params, err *e)
{
    word     w[MAX_WORDS];
    patterns p;
    int      n = 0;
    for (const char *s = name; *s && n < MAX_WORDS;) {
        const size_t len = strcspn(s, "-");
        if (len) w[n++] = (word){ .s = s, .n = len };
        s += len + (s[len] != 0);
    }
    if (!patterns_open(&p, e)) return false;
    for (int i = 0; i < n; i++) w[i].what = annotate(&p, &w[i], i == 0, n_params);
    patterns_close(&p);
    mark_basename(w, n);
    return join_versions(version, w, n, e);
}

bool model_id_split(model_id *m, const char *id, int64_t n_params, err *e)
{
    *m = (model_id){ 0 };
    const char *slash = strchr(id, '/');
    if (strchr(id, ' ')) slash = NULL;                           // a sentence, no id
    m->name = strdup(slash ? slash + 1 : id);
    if (slash && id[0] != '.') m->organization = strndup(id, (size_t)(slash - id));
    bool ok = m->name && (m->organization || !slash || id[0] == '.');
    if (!ok) err_nomem(e, "a model's name", strlen(id));
    if (ok && !strchr(id, ' ')) ok = find_version(&m->version, m->name, n_params, e);
    if (!ok) model_id_free(m);
    return ok;
}

void model_id_free(model_id *m)
{
    free(m->organization);
    free(m->name);
    free(m->version);
    *m = (model_id){ 0 };
}
