// bytes: what the tests of formats/ share: a growing buffer to write files byte by byte, a scratch folder, and how a
// refusal is checked.
#ifndef HALLMARK_TESTS_BYTES_H
#define HALLMARK_TESTS_BYTES_H

#include "formats/err.h"
#include "suite.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct { uint8_t *p; int64_t n, cap; } buffer;

static inline void put(buffer *b, const void *v, int64_t n)
{
    if (b->n + n > b->cap) {
        b->cap = (b->n + n) * 2;
        b->p   = realloc(b->p, (size_t)b->cap);
        ck_assert_ptr_nonnull(b->p);
    }
    if (n > 0) memcpy(b->p + b->n, v, (size_t)n);
    b->n += n;
}
static inline void put_u8(buffer *b, uint8_t v)   { put(b, &v, 1); }
static inline void put_u32(buffer *b, uint32_t v) { put(b, &v, 4); }
static inline void put_u64(buffer *b, uint64_t v) { put(b, &v, 8); }
static inline void put_text(buffer *b, const char *s) { put(b, s, (int64_t)strlen(s)); }
static inline void put_str(buffer *b, const char *s)     // as GGUF stores it
{
    put_u64(b, strlen(s));
    put_text(b, s);
}
static inline void put_zeros(buffer *b, int64_t n) { while (n-- > 0) put_u8(b, 0); }
static inline void put_pad(buffer *b, int64_t alignment) { while (b->n % alignment) put_u8(b, 0); }
static inline void bytes_free(buffer *b) { free(b->p); *b = (buffer){ 0 }; }

// A copy of exactly n bytes on the heap, so that a sanitizer sees the first byte read beyond them.
static inline uint8_t *exact(const uint8_t *p, int64_t n)
{
    uint8_t *copy = malloc(n > 0 ? (size_t)n : 1);
    ck_assert_ptr_nonnull(copy);
    if (n > 0) memcpy(copy, p, (size_t)n);
    return copy;
}

// Of processor time, so that a busy machine does not fail a test.
static inline double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// A new folder, freed by the caller; removed with everything in it by drop_dir.
static inline char *new_dir(void)
{
    const char *base = getenv("TMPDIR");
    char       *dir  = malloc(4096);
    snprintf(dir, 4096, "%s/hallmark-test-XXXXXX", base && *base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    return dir;
}
static inline void drop_dir(char *dir)
{
    char cmd[4200];
    snprintf(cmd, sizeof cmd, "rm -rf -- '%s'", dir);
    ck_assert_int_eq(system(cmd), 0);
    free(dir);
}
static inline char *in_dir(const char *dir, const char *name)       // one of a few rotating buffers
{
    static char bufs[8][4200];
    static int  next;
    char *b = bufs[next++ % 8];
    snprintf(b, sizeof bufs[0], "%s/%s", dir, name);
    return b;
}
static inline void write_file(const char *path, const void *p, int64_t n)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq((int64_t)fwrite(p, 1, (size_t)n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}
static inline void write_text(const char *path, const char *text) { write_file(path, text, (int64_t)strlen(text)); }
static inline int64_t read_file_bytes(const char *path, uint8_t *p, int64_t cap)     // -1: there is none
{
    FILE *f = fopen(path, "rb");
    if (!f) return -1;
    int64_t n = (int64_t)fread(p, 1, (size_t)cap, f);
    fclose(f);
    return n;
}

// A refusal is of this kind, its message holds `text`, is one line, and names `file`.
static inline void check_refused(const err *e, err_kind kind, const char *file, const char *text)
{
    ck_assert_msg(e->kind == kind, "kind %d for \"%s\", expected %d with \"%s\"", e->kind, e->msg, kind, text);
    ck_assert_msg(strstr(e->msg, text) != NULL, "found \"%s\", expected \"%s\" in it", e->msg, text);
    ck_assert_msg(!file || strstr(e->msg, file) != NULL, "found \"%s\", expected the file's name in it", e->msg);
    ck_assert_ptr_null(strchr(e->msg, '\n'));
}

#endif
