#define _GNU_SOURCE
#include "text_out.h"
#include "../formats/utf8.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

void print_line(FILE *f, const char *fmt, ...)
{
    va_list ap;
    char   *text = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n >= 0) text_write(f, TEXT_PLAIN, text, (size_t)n);
    if (n >= 0) free(text);
    fputc('\n', f);
}

int64_t text_cut(const char *s, int64_t n, int64_t max)
{
    int64_t at = 0;
    while (at < n) {
        const int len = utf8_len((const uint8_t *)s + at, n - at);
        if (at + (len ? len : 1) > max) break;
        at += len ? len : 1;
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
    text_fit(safe, sizeof safe, text, strlen(text), 0);
    add_cell(t, safe);
}

void table_text(table *t, const char *s, int64_t n, int64_t max)
{
    const int64_t cut = text_cut(s, n, max);
    table_cell(t, "%.*s%s", (int)cut, s, cut < n ? "..." : "");
}

void table_words(table *t, text_buf *words)
{
    char *text = text_take(words);
    if (text) table_cell(t, "%s", text);
    else      t->failed = true;
    free(text);
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
    text_write(f, TEXT_JSON, s, (size_t)n);
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

void json_key_open(json_out *j, const char *key, char bracket)
{
    json_key(j, key);
    json_open(j, bracket);
}

void json_key_cstr(json_out *j, const char *key, const char *s)
{
    json_key(j, key);
    json_cstr(j, s);
}

void json_key_int(json_out *j, const char *key, int64_t v)
{
    json_key(j, key);
    json_int(j, v);
}

void json_key_num(json_out *j, const char *key, double v, int digits)
{
    json_key(j, key);
    json_num(j, v, digits);
}

void json_key_bool(json_out *j, const char *key, bool v)
{
    json_key(j, key);
    json_bool(j, v);
}

void json_num(json_out *j, double v, int digits)
{
    before_value(j);
    if (isfinite(v)) fprintf(j->f, "%.*g", digits, v);
    else             fputs("null", j->f);
}

// ---- what a model writes --------------------------------------------------------------------------------------------

static const char REPLACEMENT[] = "\xEF\xBF\xBD";       // U+FFFD

static void write_character(const prose *p, FILE *f, size_t n)
{
    if (p->raw) fwrite(p->held, 1, n, f);
    else        text_write(f, TEXT_PROSE, p->held, n);
}

// The first byte held starts nothing.
static void drop_first(prose *p, FILE *f)
{
    fputs(REPLACEMENT, f);
    memmove(p->held, p->held + 1, --p->n);
}

void prose_write(prose *p, FILE *f, const char *s, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        p->held[p->n++] = s[i];
        while (p->n > 0 && !utf8_may_go_on((const uint8_t *)p->held, (int64_t)p->n)) {
            const int len = utf8_len((const uint8_t *)p->held, (int64_t)p->n);
            if (len == 0) {
                drop_first(p, f);
                continue;
            }
            write_character(p, f, (size_t)len);
            p->n = 0;
        }
    }
}

void prose_end(prose *p, FILE *f)
{
    if (p->n > 0) fputs(REPLACEMENT, f);
    p->n = 0;
}
