#define _GNU_SOURCE
#include "text_out.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char REPLACEMENT[] = "\xEF\xBF\xBD";       // U+FFFD
static const char DOTS[] = "...";                       // stands where a text was cut

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

const char *human_bytes(int64_t n, char out[32])
{
    static const char *const unit[] = { "B", "kB", "MB", "GB", "TB", "PB" };
    double v = (double)n;
    int i = 0;
    while (v >= 999.5 && i < 5) { v /= 1000; i++; }
    snprintf(out, 32, i == 0 ? "%.0f %s" : v < 9.995 ? "%.2f %s" : v < 99.95 ? "%.1f %s" : "%.0f %s", v, unit[i]);
    return out;
}

// ---- text from files ------------------------------------------------------------------------------------------------

// Length of the valid UTF-8 sequence at s, 0 if it is invalid, -1 if it is cut short by n.
static int utf8_len(const unsigned char *s, int64_t n)
{
    if (n <= 0) return 0;
    if (s[0] < 0x80) return 1;
    int len = s[0] >= 0xC2 && s[0] <= 0xDF ? 2 : s[0] >= 0xE0 && s[0] <= 0xEF ? 3 : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4 : 0;
    if (!len) return 0;
    // The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF (Unicode, table 3-7).
    unsigned char lo = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char hi = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
    for (int i = 1; i < len; i++) {
        if (i >= n) return -1;
        if (s[i] < lo || s[i] > hi) return 0;
        lo = 0x80;
        hi = 0xBF;
    }
    return len;
}

// Bytes of the next piece of s that may go out as it stands, 0 if the byte at s must be escaped: control characters
// (C1 too: U+009B starts a terminal command as ESC [ does) and invalid UTF-8.
static int printable_len(const unsigned char *s, int64_t n)
{
    int len = utf8_len(s, n);
    if (len <= 0) return 0;
    if (len == 1 && (s[0] < 0x20 || s[0] == 0x7F)) return 0;
    if (len == 2 && s[0] == 0xC2 && s[1] < 0xA0) return 0;
    return len;
}

// How the piece of text at s goes out: as it stands, or escaped into buf. *taken: bytes of s that it stands for.
static const char *printable(const char *s, int64_t n, char buf[8], int *taken, int *bytes)
{
    *taken = *bytes = printable_len((const unsigned char *)s, n);
    if (*taken) return s;
    *taken = 1;
    *bytes = *s == '\n' || *s == '\t' || *s == '\r' ? snprintf(buf, 8, "\\%c", *s == '\n' ? 'n' : *s == '\t' ? 't' : 'r')
                                                    : snprintf(buf, 8, "\\x%02x", (unsigned char)*s);
    return buf;
}

void escape_text(char *out, size_t size, const char *s, size_t n)
{
    size_t at = 0, keep = 0;                // keep: how much leaves room for the dots
    if (size < sizeof DOTS) { if (size) out[0] = '\0'; return; }
    for (size_t i = 0; i < n;) {
        char buf[8];
        int  taken, bytes;
        const char *piece = printable(s + i, (int64_t)(n - i), buf, &taken, &bytes);
        if (at + (size_t)bytes + 1 > size) {
            memcpy(out + keep, DOTS, sizeof DOTS);
            return;
        }
        memcpy(out + at, piece, (size_t)bytes);
        at += (size_t)bytes;
        i += (size_t)taken;
        if (at + sizeof DOTS <= size) keep = at;
    }
    out[at] = '\0';
}

void print_escaped(FILE *f, const char *s, int64_t n)
{
    for (int64_t i = 0; i < n;) {
        char buf[8];
        int  taken, bytes;
        const char *piece = printable(s + i, n - i, buf, &taken, &bytes);
        fwrite(piece, 1, (size_t)bytes, f);
        i += taken;
    }
}

void print_line(FILE *f, const char *fmt, ...)
{
    va_list ap;
    char   *text = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n >= 0) print_escaped(f, text, n);
    if (n >= 0) free(text);
    fputc('\n', f);
}

int64_t text_cut(const char *s, int64_t n, int64_t max)
{
    int64_t at = 0;
    while (at < n) {
        int len = utf8_len((const unsigned char *)s + at, n - at);
        if (len <= 0) len = 1;
        if (at + len > max) break;
        at += len;
    }
    return at;
}

// ---- tables ---------------------------------------------------------------------------------------------------------

static void add_cell(table *t, const char *text)
{
    if (t->n_cells == t->capacity) {
        int capacity = t->capacity ? 2 * t->capacity : 64;
        char **more = realloc(t->cells, (size_t)capacity * sizeof *more);
        if (!more) { t->failed = true; return; }
        t->cells = more;
        t->capacity = capacity;
    }
    char *copy = strdup(text);
    if (!copy) { t->failed = true; return; }
    t->cells[t->n_cells++] = copy;
}

void table_begin(table *t, const char *const *header)
{
    memset(t, 0, sizeof *t);
    for (; header[t->n_cols]; t->n_cols++) add_cell(t, header[t->n_cols]);
}

void table_cell(table *t, const char *fmt, ...)
{
    char text[4200], safe[1024];        // a path fits; what does not fit into the cell is cut there, where a cut shows
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    escape_text(safe, sizeof safe, text, strlen(text));
    add_cell(t, safe);
}

void table_text(table *t, const char *s, int64_t n, int64_t max)
{
    const int64_t cut = text_cut(s, n, max);
    table_cell(t, "%.*s%s", (int)cut, s, cut < n ? DOTS : "");
}

void table_shape(table *t, int n_dims, const int64_t *shape)
{
    char text[128] = "";
    for (int d = 0; d < n_dims; d++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%lld", d ? " x " : "", (long long)shape[d]);
    table_cell(t, "%s", n_dims ? text : "scalar");
}

// Columns that a text takes, near enough for alignment: code points.
static int text_width(const char *s)
{
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static void print_row(const table *t, int row, const int *width, FILE *f)
{
    for (int c = 0; c < t->n_cols; c++) {
        const char *head = t->cells[c], *cell = t->cells[row * t->n_cols + c];
        bool right = head[0] == '>';
        if (row == 0 && right) cell++;
        int pad = width[c] - text_width(cell);
        bool last = c + 1 == t->n_cols;
        fprintf(f, "%*s%s%*s", right ? pad : 0, "", cell, right || last ? 0 : pad, "");
        fputs(last ? "\n" : "  ", f);
    }
}

bool table_print(table *t, FILE *f)
{
    int *width = calloc((size_t)t->n_cols, sizeof *width);
    bool ok = width && !t->failed;
    int rows = ok ? t->n_cells / t->n_cols : 0;
    for (int i = 0; i < rows * t->n_cols; i++) {
        int w = text_width(t->cells[i]) - (i < t->n_cols && t->cells[i][0] == '>');
        if (w > width[i % t->n_cols]) width[i % t->n_cols] = w;
    }
    for (int r = 0; r < rows; r++) print_row(t, r, width, f);
    for (int i = 0; i < t->n_cells; i++) free(t->cells[i]);
    free(t->cells);
    free(width);
    memset(t, 0, sizeof *t);
    if (!ok) fprintf(stderr, "hallmark: out of memory for a table\n");
    return ok;
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

static void new_line(json_out *j)
{
    fprintf(j->f, "\n%*s", 2 * j->depth, "");
}

static void before_value(json_out *j)
{
    if (j->after_key) { j->after_key = false; return; }
    if (!j->first[j->depth]) fputs(j->depth > 2 ? ", " : ",", j->f);
    if (j->depth == 1 || j->depth == 2) new_line(j);       // what lies deeper stays on one line
    j->first[j->depth] = false;
}

void json_begin(json_out *j, FILE *f)
{
    memset(j, 0, sizeof *j);
    j->f = f;
    j->first[0] = true;
}

void json_open(json_out *j, char bracket)
{
    before_value(j);
    fputc(bracket, j->f);
    if (j->depth < 15) j->depth++;
    j->first[j->depth] = true;
}

void json_close(json_out *j, char bracket)
{
    bool empty = j->first[j->depth];
    if (j->depth > 0) j->depth--;
    if (!empty && j->depth < 2) new_line(j);
    fputc(bracket, j->f);
    if (j->depth == 0) fputc('\n', j->f);
}

static void put_text(FILE *f, const char *s, int64_t n)
{
    fputc('"', f);
    for (int64_t i = 0; i < n;) {
        const unsigned char c = (unsigned char)s[i];
        int len = utf8_len((const unsigned char *)s + i, n - i);
        if (len <= 0) { fputs(REPLACEMENT, f); i++; continue; }
        if (c == '"' || c == '\\')      fprintf(f, "\\%c", c);
        else if (c < 0x20 || c == 0x7F) fprintf(f, "\\u%04x", c);
        else                            fwrite(s + i, 1, (size_t)len, f);
        i += len;
    }
    fputc('"', f);
}

void json_key(json_out *j, const char *key)
{
    before_value(j);
    put_text(j->f, key, (int64_t)strlen(key));
    fputs(": ", j->f);
    j->after_key = true;
}

void json_text(json_out *j, const char *s, int64_t n) { before_value(j); put_text(j->f, s, n); }
void json_int(json_out *j, int64_t v)                 { before_value(j); fprintf(j->f, "%lld", (long long)v); }
void json_uint(json_out *j, uint64_t v)               { before_value(j); fprintf(j->f, "%llu", (unsigned long long)v); }
void json_bool(json_out *j, bool v)                   { before_value(j); fputs(v ? "true" : "false", j->f); }

void json_cstr(json_out *j, const char *s)
{
    if (s) { json_text(j, s, (int64_t)strlen(s)); return; }
    before_value(j);
    fputs("null", j->f);
}

void json_num(json_out *j, double v, int digits)
{
    before_value(j);
    if (isfinite(v)) fprintf(j->f, "%.*g", digits, v);
    else             fputs("null", j->f);
}

// ---- streamed UTF-8 -------------------------------------------------------------------------------------------------

void utf8_write(utf8_stream *u, FILE *f, const char *s, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        u->held[u->n++] = (unsigned char)s[i];
        for (;;) {
            int len = utf8_len(u->held, u->n);
            if (len < 0 || u->n == 0) break;                    // wait for the rest
            if (len == u->n) { fwrite(u->held, 1, (size_t)len, f); u->n = 0; break; }
            fputs(REPLACEMENT, f);                              // the first byte starts nothing
            memmove(u->held, u->held + 1, (size_t)--u->n);
        }
    }
}

void utf8_end(utf8_stream *u, FILE *f)
{
    if (u->n > 0) fputs(REPLACEMENT, f);
    u->n = 0;
}
