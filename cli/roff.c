// roff: the escapes of groff_char(7), which mandoc knows, too.
#include "roff.h"
#include <ctype.h>
#include <string.h>

enum { WIDTH = 78 };

// A hyphen that is typed must be pasted as one; quotes and accents would become others.
static void put_char(text_buf *t, char c)
{
    switch (c) {
    case '\\': text_words(t, "\\(rs"); return;
    case '-':  text_words(t, "\\-");   return;
    case '\'': text_words(t, "\\(aq"); return;
    case '`':  text_words(t, "\\(ga"); return;
    case '^':  text_words(t, "\\(ha"); return;
    case '~':  text_words(t, "\\(ti"); return;
    case '"':  text_words(t, "\\(dq"); return;
    default:
        if (c == '\t' || c == '\n') c = ' ';
        if ((unsigned char)c >= ' ' && c != '\x7f') text_raw(t, &c, 1);
    }
}

// A point that begins a line would begin a request; a quotation mark is an escape in any case.
static void guard(text_buf *t, char first)
{
    if (first == '.') text_words(t, "\\&");
}

void roff_text(text_buf *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) put_char(t, s[i]);
}

void roff_line(text_buf *t, const char *s, size_t n)
{
    if (n > 0) guard(t, s[0]);
    roff_text(t, s, n);
    text_words(t, "\n");
}

void roff_font(text_buf *t, char font, const char *s)
{
    text_printf(t, "\\f%c", font);
    roff_text(t, s, strlen(s));
    text_words(t, "\\fR");
}

// How many bytes of s[0..n) are the name of an option, "-o" or "--output"; 0: none begins there.
static size_t option_name(const char *s, size_t n)
{
    size_t dashes = 0, len;
    while (dashes < n && dashes < 2 && s[dashes] == '-') dashes++;
    if (dashes == 0 || dashes == n || !isalpha((unsigned char)s[dashes])) return 0;
    for (len = dashes; len < n && (isalnum((unsigned char)s[len]) || s[len] == '-'); len++) { }
    return len;
}

static void put_word(text_buf *t, const char *s, size_t n)
{
    guard(t, s[0]);
    for (size_t i = 0; i < n;) {
        const bool   begins = i == 0 || strchr("([|'", s[i - 1]);
        const size_t len    = begins ? option_name(s + i, n - i) : 0;
        if (len == 0) {
            put_char(t, s[i++]);
            continue;
        }
        text_words(t, "\\fB");
        roff_text(t, s + i, len);
        text_words(t, "\\fR");
        i += len;
    }
}

void roff_prose(text_buf *t, const char *s, size_t n)
{
    size_t line = t->n;                 // where this line begins
    for (size_t i = 0, len; i < n; i += len) {
        const size_t before = t->n;
        len = 1;
        if (isspace((unsigned char)s[i])) continue;
        while (i + len < n && !isspace((unsigned char)s[i + len])) len++;
        if (before > line) text_words(t, " ");
        put_word(t, s + i, len);
        if (t->failed || before == line || t->n - line <= WIDTH) continue;
        t->s[before] = '\n';            // the space before the word that is too much
        line = before + 1;
    }
    if (t->n > line) text_words(t, "\n");
}
