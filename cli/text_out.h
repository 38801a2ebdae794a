// text_out: how results are put on paper: sizes, tables, JSON, what a model writes. Text from outside passes
// formats/text.h here.
#ifndef HALLMARK_CLI_TEXT_OUT_H
#define HALLMARK_CLI_TEXT_OUT_H

#include "../formats/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

double seconds_now(void);       // of the monotonic clock

// "12.3 MB" (powers of ten). Returns out.
const char *human_bytes(int64_t n, char out[32]);

// one line, escaped, and its end
void print_line(FILE *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// the longest beginning of at most max bytes that ends with a character
int64_t text_cut(const char *s, int64_t n, int64_t max);

// ---- tables: cells are collected, columns are as wide as their widest cell -----------------------------------------

typedef struct {
    int    n_cols;
    char **cells;               // [n_cells], owned
    int    n_cells, capacity;
    bool   failed;              // memory ran out; table_print says so
} table;

// header: names ended by NULL. A name that begins with '>' is right-aligned with its column.
void table_begin(table *t, const char *const *header);
void table_cell(table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));  // fills rows from left to right
void table_text(table *t, const char *s, int64_t n, int64_t max);       // at most max bytes, then "..."
void table_words(table *t, text_buf *words);    // what was put into words, which is empty afterwards
void table_shape(table *t, int n_dims, const int64_t *shape);           // "4 x 256", "scalar"
int  table_width(const table *t);           // columns of a line, as it would be printed now
void table_drop(table *t);                  // frees without printing
bool table_print(table *t, FILE *f);        // prints and frees; false when memory ran out

// ---- JSON, written as it goes: nothing is held, so a large file costs no memory ------------------------------------

typedef struct json_out {
    FILE *f;
    int   depth;
    bool  first[16];            // nothing stands yet at this depth
    bool  after_key;
} json_out;

void json_begin(json_out *j, FILE *f);
void json_open(json_out *j, char bracket);                      // '{' or '['
void json_close(json_out *j, char bracket);                     // '}' or ']'; the last one ends the line
void json_key(json_out *j, const char *key);
void json_text(json_out *j, const char *s, int64_t n);          // invalid UTF-8 becomes U+FFFD
void json_cstr(json_out *j, const char *s);                     // NULL: null
void json_int(json_out *j, int64_t v);
void json_uint(json_out *j, uint64_t v);
void json_num(json_out *j, double v, int digits);               // not finite: null
void json_bool(json_out *j, bool v);

// A member: its key, and its value as above.
void json_key_open(json_out *j, const char *key, char bracket);
void json_key_cstr(json_out *j, const char *key, const char *s);
void json_key_int(json_out *j, const char *key, int64_t v);
void json_key_num(json_out *j, const char *key, double v, int digits);
void json_key_bool(json_out *j, const char *key, bool v);

// ---- what a model writes, which arrives in pieces -------------------------------------------------------------------

typedef struct {
    bool   raw;                 // the text as it is; else what would steer a terminal is spelled out
    char   held[4];             // an incomplete character
    size_t n;
} prose;

// Writes what is complete; holds the rest back. Bytes that are no UTF-8 become U+FFFD.
void prose_write(prose *p, FILE *f, const char *s, int64_t n);
void prose_end(prose *p, FILE *f);                              // an unfinished character becomes U+FFFD

#endif
