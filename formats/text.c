// text: see text.h. First which characters are not shown as they stand, then what each sink makes of a character, then
// the string that grows.
#include "text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

static const char REPLACEMENT[] = "\xEF\xBF\xBD";       // U+FFFD
static const char DOTS[] = "...";                       // stands where a text was cut

// ---- characters -----------------------------------------------------------------------------------------------------

// Controls (C0, DEL, C1), the marks that turn the direction of writing, the separators of lines and paragraphs, and
// what Unicode 15 calls Default_Ignorable_Code_Point: characters that leave nothing on the paper. The variation
// selectors U+FE00 to U+FE0F stay, because they choose how the emoji before them looks. writing: some scripts need it
// inside a word, so that a text keeps it; a name that differs in it alone is a trap.
static const struct { uint32_t first, last; bool writing; } UNSEEN[] = {
    { 0x0000, 0x001f, false }, { 0x007f, 0x009f, false }, { 0x00ad, 0x00ad, true }, { 0x034f, 0x034f, true },
    { 0x061c, 0x061c, false }, { 0x115f, 0x1160, true }, { 0x17b4, 0x17b5, true }, { 0x180b, 0x180f, true },
    { 0x200b, 0x200b, false }, { 0x200c, 0x200d, true }, { 0x200e, 0x200f, false }, { 0x2028, 0x202e, false },
    { 0x2060, 0x206f, false }, { 0x3164, 0x3164, true }, { 0xfeff, 0xfeff, false }, { 0xffa0, 0xffa0, true },
    { 0xfff0, 0xfffb, false }, { 0xfffe, 0xffff, false }, { 0x1bca0, 0x1bca3, false }, { 0x1d173, 0x1d17a, false },
    { 0xe0000, 0xe00ff, false }, { 0xe0100, 0xe01ef, true }, { 0xe01f0, 0xe0fff, false },
};

static bool is_seen(uint32_t c, bool in_writing)
{
    if (c >= 0x20 && c < 0x7f) return true;
    for (size_t i = 0; i < sizeof UNSEEN / sizeof UNSEEN[0]; i++)
        if (c <= UNSEEN[i].last) return c < UNSEEN[i].first || (in_writing && UNSEEN[i].writing);
    return true;
}

typedef struct {
    int      bytes;         // that it takes in the text
    uint32_t c;             // the code point; of a byte that is no UTF-8, the byte
    bool     valid;
} character;

static character character_at(const char *s, size_t n)
{
    const uint8_t *p = (const uint8_t *)s;
    const int len = utf8_len(p, (int64_t)n);
    character x = { .bytes = len ? len : 1, .c = p[0], .valid = len > 0 };
    if (len > 1) x.c = p[0] & (0xffu >> (len + 1));
    for (int i = 1; i < len; i++) x.c = x.c << 6 | (p[i] & 0x3f);
    return x;
}

// ---- what a sink makes of one character -----------------------------------------------------------------------------

typedef struct {
    const char *s;          // what goes out: the text itself, own, or words of ours
    size_t      n, taken;   // bytes of it; bytes of the text that it stands for
    char        own[16];
} step;

static void say(step *x, const char *words)
{
    x->s = words;
    x->n = strlen(words);
}

static void escape(step *x, char backslash_letter)
{
    x->own[0] = '\\';
    x->own[1] = backslash_letter;
    x->s = x->own;
    x->n = 2;
}

static void spell(step *x, character c)
{
    const char *form = !c.valid || c.c < 0x80 ? "\\x%02x" : c.c <= 0xffff ? "\\u%04x" : "\\U%08x";
    x->n = (size_t)snprintf(x->own, sizeof x->own, form, (unsigned)c.c);
    x->s = x->own;
}

// Line ends and tabs, which every sink spells alike.
static bool escape_space(step *x, uint32_t c)
{
    if (c != '\n' && c != '\t' && c != '\r') return false;
    escape(x, c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    return true;
}

static void plain(step *x, character c)
{
    if (c.valid && (is_seen(c.c, false) || escape_space(x, c.c))) return;
    spell(x, c);
}

static void prose(step *x, character c)
{
    if (!c.valid) say(x, REPLACEMENT);
    else if (c.c == '\n' || c.c == '\t' || is_seen(c.c, true)) return;
    else plain(x, c);
}

static void spell_json(step *x, uint32_t c)
{
    int n = 0;
    if (c > 0xffff) {
        n = snprintf(x->own, sizeof x->own, "\\u%04x", (unsigned)(0xd7c0 + (c >> 10)));
        c = 0xdc00 | (c & 0x3ff);
    }
    x->n = (size_t)(n + snprintf(x->own + n, sizeof x->own - (size_t)n, "\\u%04x", (unsigned)c));
    x->s = x->own;
}

// printed: a whole document, whose quotes, backslashes and line ends are the printer's own.
static void json(step *x, character c, bool printed)
{
    if (!c.valid) say(x, REPLACEMENT);
    else if (printed && (c.c == '\n' || c.c == '\t')) return;
    else if (!printed && (c.c == '"' || c.c == '\\')) escape(x, (char)c.c);
    else if (!is_seen(c.c, false) && !escape_space(x, c.c)) spell_json(x, c.c);
}

// The same in XML 1.0 and HTML. XML has no way at all to hold most control characters: they are spelled.
static void xml(step *x, character c)
{
    if (!c.valid) say(x, REPLACEMENT);
    else if (c.c == '&') say(x, "&amp;");
    else if (c.c == '<') say(x, "&lt;");
    else if (c.c == '>') say(x, "&gt;");
    else if (c.c == '"') say(x, "&quot;");
    else if (c.c == '\'') say(x, "&#39;");
    else plain(x, c);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c)  { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool is_beginning(const char *s, size_t at)
{
    while (at > 0 && s[at - 1] == ' ') at--;
    return at == 0;
}

// The dot or bracket after a number makes a list of it at the beginning of a line.
static bool ends_list_number(const char *s, size_t n, size_t at)
{
    size_t i = at;
    if (at + 1 < n && s[at + 1] != ' ') return false;
    while (i > 0 && is_digit(s[i - 1])) i--;
    return i < at && is_beginning(s, i);
}

// GitHub's Markdown makes links of these without being asked: www. and what has :// in it.
static bool ends_www(const char *s, size_t at)
{
    return at >= 3 && (s[at - 1] | 32) == 'w' && (s[at - 2] | 32) == 'w' && (s[at - 3] | 32) == 'w';
}

// A character that Markdown (CommonMark 0.31, and GitHub's additions) may read as structure, where it stands.
static bool is_structure(const char *s, size_t n, size_t at)
{
    const char c = s[at];
    switch (c) {
    case '\\': case '`': case '*': case '[': case ']': case '|': case '~': case '$': case '#':
        return true;
    case '_':               // inside a word it is one of its letters
        return at == 0 || at + 1 == n || !is_word(s[at - 1]) || !is_word(s[at + 1]);
    case '-': case '+': case '=':
        return is_beginning(s, at);
    case ':':
        return at + 1 < n && s[at + 1] == '/';
    case '.':
        return ends_www(s, at) || ends_list_number(s, n, at);
    case ')':
        return ends_list_number(s, n, at);
    default:
        return false;
    }
}

static void markdown(step *x, character c, const char *s, size_t n, size_t at)
{
    if (!c.valid) say(x, REPLACEMENT);
    else if (c.c == '&') say(x, "&amp;");
    else if (c.c == '<') say(x, "&lt;");
    else if (c.c == '>') say(x, "&gt;");
    else if (c.c == '@') spell(x, c);       // no escape keeps an address or the name of a person from becoming a link
    else if (c.c < 0x80 && is_structure(s, n, at)) escape(x, (char)c.c);
    else plain(x, c);
}

// In a code span nothing means anything but its end; in a table, a cell's.
static void markdown_code(step *x, character c)
{
    if (!c.valid) say(x, REPLACEMENT);
    else if (c.c == '`' || c.c == '|' || c.c == '<') spell(x, c);
    else plain(x, c);
}

// Inside $'...': bytes as they are, but for those that no line may show. '<' too, so that nothing takes it for a tag.
static void shell(step *x, character c, const char *s)
{
    if (c.c == '\'' || c.c == '\\') escape(x, (char)c.c);
    else if (!c.valid || !is_seen(c.c, false) || c.c == '<') {
        x->taken = 1;       // byte by byte: what the file is called
        spell(x, (character){ .bytes = 1, .c = (uint8_t)*s, .valid = false });
    }
}

// What stands for the text at s[at], by default the character itself.
static void next(step *x, text_sink sink, const char *s, size_t n, size_t at)
{
    const character c = character_at(s + at, n - at);
    x->s = s + at;
    x->n = x->taken = (size_t)c.bytes;
    switch (sink) {
    case TEXT_PLAIN:    plain(x, c); break;
    case TEXT_PROSE:    prose(x, c); break;
    case TEXT_MD:       markdown(x, c, s, n, at); break;
    case TEXT_MD_CODE:  markdown_code(x, c); break;
    case TEXT_JSON:     json(x, c, false); break;
    case TEXT_JSON_DOC: json(x, c, true); break;
    case TEXT_XML:      xml(x, c); break;
    case TEXT_SHELL:    shell(x, c, s + at); break;
    }
}

bool text_is_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const character c = character_at(s + i, n - i);
        if (!c.valid || !is_seen(c.c, false)) return false;
        i += (size_t)c.bytes;
    }
    return true;
}

// ---- the growing string ---------------------------------------------------------------------------------------------

static bool reserve(text_buf *t, size_t n)
{
    if (t->failed) return false;
    if (t->s && n < t->room - t->n) return true;
    const size_t room = 2 * (t->n + n) + 64;
    char *s = room > n ? realloc(t->s, room) : NULL;
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s    = s;
    t->room = room;
    return true;
}

void text_raw(text_buf *t, const char *s, size_t n)
{
    if (!reserve(t, n)) return;
    if (n > 0) memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = '\0';
}

void text_words(text_buf *t, const char *s)
{
    text_raw(t, s, strlen(s));
}

void text_printf(text_buf *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) t->failed = true;
    if (n < 0 || !reserve(t, (size_t)n)) return;
    va_start(ap, fmt);
    vsnprintf(t->s + t->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->n += (size_t)n;
}

static void put_each(text_buf *t, text_sink sink, const char *s, size_t n)
{
    step x;
    for (size_t i = 0; i < n && !t->failed; i += x.taken) {
        next(&x, sink, s, n, i);
        text_raw(t, x.s, x.n);
    }
}

// As short as the shell allows: bare, in quotes, or as $'...', which knows escapes.
static void put_shell_word(text_buf *t, const char *s, size_t n)
{
    static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%,";
    size_t i = 0;
    while (i < n && s[i] && strchr(PLAIN, s[i])) i++;
    if (n > 0 && i == n && s[0] != '-') {
        text_raw(t, s, n);
        return;
    }
    if (!text_is_plain(s, n) || memchr(s, '<', n)) {
        text_words(t, "$'");
        put_each(t, TEXT_SHELL, s, n);
        text_words(t, "'");
        return;
    }
    text_words(t, "'");
    for (i = 0; i < n; i++) {
        if (s[i] == '\'') text_words(t, "'\\''");
        else              text_raw(t, s + i, 1);
    }
    text_words(t, "'");
}

void text_put(text_buf *t, text_sink sink, const char *s, size_t n)
{
    if (sink == TEXT_SHELL) {
        put_shell_word(t, s, n);
        return;
    }
    if (sink == TEXT_MD_CODE) text_words(t, "`");
    put_each(t, sink, s, n);
    if (sink == TEXT_MD_CODE) text_words(t, "`");
}

void text_puts(text_buf *t, text_sink sink, const char *s)
{
    text_put(t, sink, s ? s : "", s ? strlen(s) : 0);
}

char *text_take(text_buf *t)
{
    text_raw(t, "", 0);
    char *s = t->failed ? NULL : t->s;
    if (t->failed) free(t->s);
    *t = (text_buf){ 0 };
    return s;
}

void text_drop(text_buf *t)
{
    free(t->s);
    *t = (text_buf){ 0 };
}

// ---- without memory -------------------------------------------------------------------------------------------------

void text_write(FILE *f, text_sink sink, const char *s, size_t n)
{
    step x;
    for (size_t i = 0; i < n; i += x.taken) {
        next(&x, sink, s, n, i);
        fwrite(x.s, 1, x.n, f);
    }
}

// Writes what of s fits into room bytes and a NUL. Returns the bytes of s that it stands for.
static size_t fit(char *dst, size_t room, const char *s, size_t n)
{
    size_t i = 0, w = 0;
    step   x;
    while (i < n) {
        next(&x, TEXT_PLAIN, s, n, i);
        if (x.n > room - w) break;
        memcpy(dst + w, x.s, x.n);
        w += x.n;
        i += x.taken;
    }
    dst[w] = '\0';
    return i;
}

// Where the longest end of s begins that takes at most room bytes and starts with a character, not before `from`.
static size_t end_that_fits(const char *s, size_t n, size_t from, size_t room)
{
    size_t at = n > room ? n - room : 0, left = 0;
    step   x;
    if (at < from) at = from;
    for (int k = 0; k < 3 && at < n && ((uint8_t)s[at] & 0xc0) == 0x80; k++) at++;
    for (size_t i = at; i < n; i += x.taken) {
        next(&x, TEXT_PLAIN, s, n, i);
        left += x.n;
    }
    while (left > room) {
        next(&x, TEXT_PLAIN, s, n, at);
        left -= x.n;
        at += x.taken;
    }
    return at;
}

void text_fit(char *dst, size_t size, const char *s, size_t n, size_t tail)
{
    const size_t dots = sizeof DOTS - 1;
    if (size == 0) return;
    dst[0] = '\0';
    if (size - 1 < dots + tail || fit(dst, size - 1, s, n) == n) return;
    const size_t head = fit(dst, size - 1 - dots - tail, s, n), from = end_that_fits(s, n, head, tail);
    size_t w = strlen(dst);
    memcpy(dst + w, DOTS, sizeof DOTS);
    w += dots;
    fit(dst + w, size - 1 - w, s + from, n - from);
}
