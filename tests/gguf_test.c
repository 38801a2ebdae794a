// Proves formats/gguf.h: reading (golden files typed byte by byte, hostile ones) and writing.
#include "bytes.h"
#include "doubling.h"
#include "formats/gguf.h"

#include <math.h>
#include <sys/stat.h>

// ---- golden files --------------------------------------------------------------------------------------------------

// A whole file by hand, after ggml's docs/gguf.md: one key of each kind of type, two tensors, alignment 32.
// v3; version 2 differs in one byte.
static const uint8_t GOLDEN[] = {
    'G', 'G', 'U', 'F', 3, 0, 0, 0,    // magic, version
    2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0,    // tensors, pairs
    20, 0, 0, 0, 0, 0, 0, 0, 'g', 'e', 'n', 'e', 'r', 'a', 'l', '.', 'a', 'r', 'c', 'h', 'i', 't', 'e', 'c', 't', 'u',
    'r', 'e', 8, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 'g', 'e', 'm', 'm', 'a', '4', 1, 0, 0, 0, 0, 0, 0, 0, 'u', 4, 0, 0, 0,
    0xfe, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 'f', 6, 0, 0, 0, 0, 0, 0xc0, 0x3f, 1, 0, 0, 0, 0, 0, 0, 0, 'b', 7,
    0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 'q', 10, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0,
    0, 0, 0, 'i', 9, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0,
    0, 0, 's', 9, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 'a', '\n', 0, 0, 0, 0, 0, 0, 0,
    0, 1, 0, 0, 0, 0, 0, 0, 0, 'w', 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
    0,    // [2][3], stored 3, 2
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    // F32 at 0
    // BF16 at 32
    1, 0, 0, 0, 0, 0, 0, 0, 'v', 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0,
    // padding from 289 to 320
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80,
    0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40, 0, 0, 0xa0, 0x40,    // 0 1 2 3 4 5
    0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0x00, 0x40,    // padding; 1 2
};

static void check_golden(const gguf *g, int version)
{
    err e = { 0 };
    int64_t i;
    float f;
    bool b;
    gguf_str s;
    ck_assert_int_eq(gguf_version(g), version);
    ck_assert_int_eq(gguf_alignment(g), 32);
    ck_assert_int_eq(gguf_n_kv(g), 7);
    ck_assert(gguf_get_str(g, "general.architecture", &s, &e) && s.n == 6 && memcmp(s.s, "gemma4", 6) == 0);
    ck_assert(gguf_get_i64(g, "u", &i, &e) && i == 4294967294);
    ck_assert(gguf_get_f32(g, "f", &f, &e) && f == 1.5f);
    ck_assert(gguf_get_bool_or(g, "b", false, &b, &e) && b);
    ck_assert(!gguf_get_i64(g, "q", &i, &e) && strstr(e.msg, "key 'q'") && strstr(e.msg, "an integer within 63 bits"));
    const gguf_kv *kv = gguf_find_kv(g, "i");
    ck_assert(kv && kv->type == GGUF_ARRAY && kv->elem == GGUF_I32 && kv->n == 2);
    ck_assert(gguf_arr_i64(kv, 0, &i) && i == -1 && gguf_arr_i64(kv, 1, &i) && i == 7 && !gguf_arr_i64(kv, 2, &i) &&
              !gguf_arr_i64(kv, -1, &i));
    gguf_str_iter it = gguf_strs(gguf_find_kv(g, "s"));
    ck_assert(gguf_next_str(&it, &s) && s.n == 2 && memcmp(s.s, "a\n", 2) == 0);
    ck_assert(gguf_next_str(&it, &s) && s.n == 0 && !gguf_next_str(&it, &s));
    ck_assert_int_eq(gguf_n_tensors(g), 2);
    const gguf_tensor *w = gguf_find_tensor(g, "w"), *v = gguf_find_tensor(g, "v");
    ck_assert_ptr_eq(w, gguf_tensor_at(g, 0));
    ck_assert(w->n_dims == 2 && w->shape[0] == 2 && w->shape[1] == 3 && w->n_elems == 6 && w->n_bytes == 24 &&
              w->type == DT_F32);
    ck_assert(v->n_dims == 1 && v->shape[0] == 2 && v->n_bytes == 4 && v->type == DT_BF16 && v->off == w->off + 32);
    float last;
    memcpy(&last, w->data + 20, 4);
    ck_assert(last == 5.0f);
    ck_assert_ptr_null(gguf_find_tensor(g, "x"));
    ck_assert_int_eq(gguf_data_off(g), w->off);
}

START_TEST(test_golden)
{
    for (uint8_t version = 2; version <= 3; version++) {
        uint8_t *p = exact(GOLDEN, sizeof GOLDEN);
        p[4] = version;
        err   e = { 0 };
        gguf *g = gguf_open_mem(p, sizeof GOLDEN, "golden.gguf", &e);
        ck_assert_msg(g != NULL, "%s", e.msg);
        check_golden(g, version);
        ck_assert_int_eq(gguf_fd(g), -1);
        gguf_close(g);
        free(p);
    }
}
END_TEST

START_TEST(test_every_truncation)
{
    for (int64_t n = 0; n < (int64_t)sizeof GOLDEN; n++) {
        uint8_t *p = exact(GOLDEN, n);
        err      e = { 0 };
        ck_assert_msg(gguf_open_mem(p, n, "cut.gguf", &e) == NULL, "accepted %lld bytes", (long long)n);
        check_refused(&e, ERR_INPUT, "cut.gguf", "found");
        free(p);
    }
}
END_TEST

// Any byte changed: refused or read, but never a crash (a sanitizer sees what goes out of bounds).
START_TEST(test_every_byte_changed)
{
    const uint8_t TO[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    for (int64_t i = 0; i < (int64_t)sizeof GOLDEN; i++)
        for (size_t k = 0; k < sizeof TO; k++) {
            uint8_t *p = exact(GOLDEN, sizeof GOLDEN);
            p[i] = TO[k];
            err   e = { 0 };
            gguf *g = gguf_open_mem(p, sizeof GOLDEN, "changed.gguf", &e);
            ck_assert(g != NULL || e.kind == ERR_INPUT);
            for (int64_t j = 0; g && j < gguf_n_kv(g); j++) free(gguf_kv_text(gguf_kv_at(g, j), -1));
            gguf_close(g);
            free(p);
        }
}
END_TEST

// ---- hostile files -------------------------------------------------------------------------------------------------

static void put_head(buffer *b, uint64_t n_tensors, uint64_t n_kv)
{
    put_text(b, "GGUF");
    put_u32(b, 3);
    put_u64(b, n_tensors);
    put_u64(b, n_kv);
}

static void put_kv_u32(buffer *b, const char *key, uint32_t v)
{
    put_str(b, key);
    put_u32(b, GGUF_U32);
    put_u32(b, v);
}

static void put_info(buffer *b, const char *name, int n_dims, const uint64_t *dims, uint32_t type, uint64_t off)
{
    put_str(b, name);
    put_u32(b, (uint32_t)n_dims);
    for (int i = 0; i < n_dims; i++) put_u64(b, dims[i]);
    put_u32(b, type);
    put_u64(b, off);
}

// The bytes must be refused with `says` in the message, within a second.
static void refuse(buffer *b, const char *says)
{
    uint8_t *p = exact(b->p, b->n);
    err      e = { 0 };
    double   t = seconds();
    gguf    *g = gguf_open_mem(p, b->n, "bad.gguf", &e);
    ck_assert(seconds() - t < 1);
    ck_assert_msg(g == NULL, "accepted, expected \"%s\"", says);
    check_refused(&e, ERR_INPUT, "bad.gguf", says);
    free(p);
    bytes_free(b);
}

static void refuse_one_tensor(int n_dims, const uint64_t *dims, uint32_t type, uint64_t off, const char *says)
{
    buffer b = { 0 };
    put_head(&b, 1, 0);
    put_info(&b, "x", n_dims, dims, type, off);
    put_pad(&b, 32);
    put_zeros(&b, 4096);
    refuse(&b, says);
}

START_TEST(test_heads)
{
    buffer b = { 0 };
    put_text(&b, "GGML");
    put_zeros(&b, 100);
    refuse(&b, "offset 0: found bytes 47 47 4d 4c, expected the magic \"GGUF\"");
    const struct { uint32_t version; const char *says; } VERSIONS[] = {
        { 0x03000000, "offset 4: found a big-endian file (version 3)" }, { 0x02000000, "big-endian file (version 2)" },
        { 1, "found version 1, expected 2 or 3" }, { 4, "found version 4" }, { 0, "found version 0" },
    };
    for (size_t i = 0; i < sizeof VERSIONS / sizeof VERSIONS[0]; i++) {
        put_text(&b, "GGUF");
        put_u32(&b, VERSIONS[i].version);
        put_zeros(&b, 100);
        refuse(&b, VERSIONS[i].says);
    }
    const uint64_t COUNTS[] = { 5,         LIMIT_TENSORS + 1, (uint64_t)1 << 32, (uint64_t)1 << 60, (uint64_t)1 << 63,
                                UINT64_MAX };
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        put_head(&b, COUNTS[i], 0);
        put_zeros(&b, 100);
        refuse(&b, "offset 8: found a count of");
        put_head(&b, 0, COUNTS[i] | 8);
        put_zeros(&b, 100);
        refuse(&b, "offset 16: found a count of");
    }
}
END_TEST

START_TEST(test_pairs)
{
    buffer b = { 0 };
    const uint64_t LENGTHS[] = { 0, LIMIT_NAME_BYTES + 1, (uint64_t)1 << 40, (uint64_t)1 << 63, UINT64_MAX };
    for (size_t i = 0; i < sizeof LENGTHS / sizeof LENGTHS[0]; i++) {
        put_head(&b, 0, 1);
        put_u64(&b, LENGTHS[i]);
        put_zeros(&b, 2000);
        refuse(&b, "offset 24: found a length of");
    }
    put_head(&b, 0, 1);
    put_u64(&b, 3);
    put(&b, "a\0b", 3);
    put_zeros(&b, 20);
    refuse(&b, "found a NUL byte in a key");
    const struct { uint32_t type, elem; uint64_t n; const char *says; } ROWS[] = {
        { 13, 0, 0, "key 'k': offset 33: found 13, expected a value type from 0 to 12" },
        { UINT32_MAX, 0, 0, "found 4294967295" },
        { GGUF_ARRAY, 13, 1, "expected an element type" },
        { GGUF_ARRAY, GGUF_ARRAY, 1, "found an array of arrays" },
        { GGUF_ARRAY, GGUF_ARRAY, 0, "found an array of arrays" },
        { GGUF_ARRAY, GGUF_U64, 100, "found a count of 100 elements of u64" },
        { GGUF_ARRAY, GGUF_U64, (uint64_t)1 << 61, "elements of u64" },
        { GGUF_ARRAY, GGUF_U8, UINT64_MAX, "elements of u8" },
        { GGUF_ARRAY, GGUF_U32, (uint64_t)1 << 62, "elements of u32" },
        { GGUF_ARRAY, GGUF_STRING, 100, "found a count of 100 strings" },
        { GGUF_ARRAY, GGUF_STRING, UINT64_MAX, "strings" },
        { GGUF_STRING, 0x7fffffff, 0, "key 'k': offset 37: found a string of 2147483647 bytes" },
        { GGUF_STRING, 0, UINT64_MAX, "found a string of" },
        { GGUF_BOOL, 2, 0, "found 2, expected a boolean of 0 or 1" },
        { GGUF_ARRAY, GGUF_BOOL, 3, "key 'k': offset 50: found 2, expected a boolean" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        put_head(&b, 0, 1);
        put_str(&b, "k");
        put_u32(&b, ROWS[i].type);
        put_u32(&b, ROWS[i].elem);
        put_u64(&b, ROWS[i].n);
        put(&b, "\0\2\1\0\0\0\0\0\0\0\0\0\0\0", 14);
        refuse(&b, ROWS[i].says);
    }
    put_head(&b, 0, 3);
    put_kv_u32(&b, "a", 1);
    put_kv_u32(&b, "b", 1);
    put_kv_u32(&b, "a", 2);
    refuse(&b, "key 'a': offset 58: found it a second time");
    // A string list whose last length is a lie.
    put_head(&b, 0, 1);
    put_str(&b, "k");
    put_u32(&b, GGUF_ARRAY);
    put_u32(&b, GGUF_STRING);
    put_u64(&b, 2);
    put_str(&b, "fine");
    put_u64(&b, 5);
    put_text(&b, "four");
    refuse(&b, "key 'k': offset 61: found a string of 5 bytes, expected at most the 4 left");
}
END_TEST

START_TEST(test_alignment)
{
    const uint32_t BAD[] = { 0, 1, 2, 3, 4, 12, 24, 33, 0x80000000, 0xffffffff };
    buffer b = { 0 };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        put_head(&b, 0, 1);
        put_kv_u32(&b, "general.alignment", BAD[i]);
        put_zeros(&b, 64);
        refuse(&b, "key 'general.alignment': offset 24: found");
    }
    put_head(&b, 0, 1);
    put_str(&b, "general.alignment");
    put_u32(&b, GGUF_U64);
    put_u64(&b, 32);
    refuse(&b, "found type u64, expected u32");
    put_head(&b, 1, 1);     // the largest alignment there is: the data section begins beyond the file
    put_kv_u32(&b, "general.alignment", LIMIT_ALIGNMENT);
    put_info(&b, "x", 1, (uint64_t[]){ 4 }, DT_F32, 0);
    put_zeros(&b, 64);
    refuse(&b, "tensor 'x'");
    for (uint32_t a = 8; a <= 4096; a *= 2) {       // what is allowed is honoured
        put_head(&b, 1, 1);
        put_kv_u32(&b, "general.alignment", a);
        put_info(&b, "x", 1, (uint64_t[]){ 1 }, DT_F32, a);
        put_pad(&b, a);
        int64_t data = b.n;
        put_zeros(&b, a + 4);
        err   e = { 0 };
        gguf *g = gguf_open_mem(b.p, b.n, "aligned.gguf", &e);
        ck_assert_msg(g != NULL, "%s", e.msg);
        ck_assert_int_eq(gguf_alignment(g), a);
        ck_assert_int_eq(gguf_tensor_at(g, 0)->off, data + a);
        gguf_close(g);
        bytes_free(&b);
    }
}
END_TEST

START_TEST(test_tensors)
{
    const uint64_t P32 = (uint64_t)1 << 32, P62 = (uint64_t)1 << 62;
    refuse_one_tensor(2, (uint64_t[]){ P32, P32 }, DT_F32, 0,
                      "tensor 'x': offset 45: found a dimension of 4294967296, expected a number of elements");
    refuse_one_tensor(2, (uint64_t[]){ P62, 4 }, DT_F32, 0, "expected a number of elements within 63 bits");
    refuse_one_tensor(1, (uint64_t[]){ P62 }, DT_F32, 0, "expected a size within 63 bits");
    refuse_one_tensor(4, (uint64_t[]){ 65536, 65536, 65536, 65536 }, DT_F16, 0, "expected a number of elements");
    refuse_one_tensor(1, (uint64_t[]){ UINT64_MAX }, DT_I8, 0, "found a dimension of");
    refuse_one_tensor(1, (uint64_t[]){ (uint64_t)1 << 63 }, DT_I8, 0, "found a dimension of");
    refuse_one_tensor(2, (uint64_t[]){ 0, 4 }, DT_F32, 0, "found a dimension of 0, expected 1 or more");
    refuse_one_tensor(5, (uint64_t[]){ 1, 1, 1, 1, 1 }, DT_F32, 0, "found 5 dimensions, expected at most 4");
    refuse_one_tensor(1, (uint64_t[]){ 4 }, 99, 0, "found tensor type 99, which is unknown");
    refuse_one_tensor(1, (uint64_t[]){ 4 }, 4, 0, "found tensor type 4, which is unknown");     // Q4_2, long gone
    refuse_one_tensor(1, (uint64_t[]){ 4 }, 0xffffffff, 0, "found tensor type 4294967295");
    refuse_one_tensor(2, (uint64_t[]){ 255, 2 }, DT_Q4_K, 0,
                      "found rows of 255 weights, expected a multiple of 256 for Q4_K");
    refuse_one_tensor(1, (uint64_t[]){ 4 }, DT_F32, 16,
                      "found data offset 16, expected a multiple of the alignment 32");
    refuse_one_tensor(1, (uint64_t[]){ 4 }, DT_F32, 4096, "truncated: found a file of");
    refuse_one_tensor(1, (uint64_t[]){ 1025 }, DT_F32, 0, "4100 from data offset 0 on");
    refuse_one_tensor(1, (uint64_t[]){ 4 }, DT_F32, (uint64_t)INT64_MAX - 31, "expected them to end within 63 bits");
    refuse_one_tensor(1, (uint64_t[]){ 4 }, DT_F32, (uint64_t)1 << 63, "tensor 'x'");
    buffer b = { 0 };
    put_head(&b, 2, 0);
    put_info(&b, "x", 1, (uint64_t[]){ 4 }, DT_F32, 0);
    put_info(&b, "x", 1, (uint64_t[]){ 4 }, DT_F32, 32);
    put_zeros(&b, 200);
    refuse(&b, "found tensor 'x' twice");
    put_head(&b, 3, 0);
    put_info(&b, "z", 1, (uint64_t[]){ 4 }, DT_F32, 64);
    put_info(&b, "x", 1, (uint64_t[]){ 9 }, DT_F32, 0);
    put_info(&b, "y", 1, (uint64_t[]){ 4 }, DT_F32, 32);
    put_zeros(&b, 400);
    refuse(&b, "tensor 'y': offset 160: found it inside tensor 'x'");
}
END_TEST

// A file that says it has as many tensors as it has room for, all of one name or all different: time and memory stay
// small.
START_TEST(test_many_tensors)
{
    for (int same = 0; same < 2; same++) {
        buffer b = { 0 };
        char  name[32];
        put_head(&b, LIMIT_TENSORS, 0);
        for (int i = 0; i < LIMIT_TENSORS; i++) {
            snprintf(name, sizeof name, "blk.%08d.w", same ? 7 : (int)((uint32_t)i * 2654435761u % LIMIT_TENSORS));
            put_info(&b, name, 1, (uint64_t[]){ 8 }, DT_F32, (uint64_t)i * 32);
        }
        put_pad(&b, 32);
        put_zeros(&b, (int64_t)LIMIT_TENSORS * 32);
        err    e = { 0 };
        double t = seconds();
        gguf  *g = gguf_open_mem(b.p, b.n, "many.gguf", &e);
        double took = seconds() - t;
        ck_assert_msg(took < 3, "%g s", took);
        ck_assert_msg((g != NULL) == !same, "%s", e.msg);
        if (g) ck_assert_ptr_nonnull(gguf_find_tensor(g, "blk.00000003.w"));
        gguf_close(g);
        bytes_free(&b);
    }
}
END_TEST

START_TEST(test_not_a_file)
{
    char *dir = new_dir();
    err   e   = { 0 };
    ck_assert_ptr_null(gguf_open(in_dir(dir, "none.gguf"), &e));
    check_refused(&e, ERR_INPUT, "none.gguf", "cannot open: No such file");
    e = (err){ 0 };
    ck_assert_ptr_null(gguf_open(dir, &e));
    check_refused(&e, ERR_INPUT, dir, "found a folder, expected a GGUF file; 'hallmark convert' makes one");
    e = (err){ 0 };
    ck_assert_int_eq(mkfifo(in_dir(dir, "fifo"), 0600), 0);
    ck_assert_ptr_null(gguf_open(in_dir(dir, "fifo"), &e));     // must not wait for a writer
    check_refused(&e, ERR_INPUT, "fifo", "found a pipe");
    e = (err){ 0 };
    write_file(in_dir(dir, "empty.gguf"), "", 0);
    ck_assert_ptr_null(gguf_open(in_dir(dir, "empty.gguf"), &e));
    check_refused(&e, ERR_INPUT, "empty.gguf", "found 0 bytes");
    drop_dir(dir);
}
END_TEST

// ---- values --------------------------------------------------------------------------------------------------------

START_TEST(test_value_text)
{
    err e = { 0 };
    gguf_plan *p = gguf_plan_new(32, &e);
    gguf_str strs[] = { { "a\"b", 3 }, { "", 0 }, { "\n\0", 2 } };
    float f32s[] = { 1e-6f, 0.1f, 16777216, INFINITY };
    double third = 1.0 / 3;
    bool bools[] = { true, false };
    ck_assert(gguf_plan_str(p, "s", "plain", &e) && gguf_plan_arr_str(p, "ss", strs, 3, &e) &&
              gguf_plan_arr(p, "fs", GGUF_F32, f32s, 4, &e) && gguf_plan_arr(p, "d", GGUF_F64, &third, 1, &e) &&
              gguf_plan_arr(p, "b", GGUF_BOOL, bools, 2, &e) && gguf_plan_u64(p, "u", UINT64_MAX, &e) &&
              gguf_plan_i32(p, "i", -5, &e) && gguf_plan_arr(p, "none", GGUF_I8, NULL, 0, &e));
    const struct { const char *key; int64_t max; const char *text; } ROWS[] = {
        { "s", 5, "plain" },
        { "ss", -1, "[\"a\\\"b\", \"\", \"\\n\\u0000\"]" },
        { "ss", 1, "[\"a\\\"b\", ... (3)]" },
        { "ss", 0, "[... (3)]" },
        { "fs", 9, "[1e-06, 0.1, 16777216, inf]" },
        { "d", 9, "[0.3333333333333333]" },
        { "b", 9, "[true, false]" },
        { "u", 9, "18446744073709551615" },
        { "i", 9, "-5" },
        { "none", 9, "[]" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        char *text = gguf_kv_text(gguf_plan_find(p, ROWS[i].key), ROWS[i].max);
        ck_assert_str_eq(text, ROWS[i].text);
        free(text);
    }
    gguf_plan_free(p);
}
END_TEST

// The file of a plan, with tensors of zeros.
static gguf *open_plan(gguf_plan *p, uint8_t **file)
{
    err      e = { 0 };
    int64_t  h, n, size;
    uint8_t *header;
    ck_assert_msg(gguf_plan_layout(p, &h, &size, &e) && gguf_plan_header(p, &header, &n, &e), "%s", e.msg);
    *file = calloc(1, (size_t)size);
    memcpy(*file, header, (size_t)n);
    free(header);
    gguf *g = gguf_open_mem(*file, size, "plan.gguf", &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    return g;
}

START_TEST(test_typed_values)
{
    err e = { 0 };
    gguf_plan *p = gguf_plan_new(32, &e);
    const int8_t   i8 = -8;   const uint8_t  u8 = 200;
    const int16_t  i16 = -300; const uint16_t u16 = 60000;
    const int64_t  i64 = INT64_MIN; const double f64 = 0.1;
    gguf_str with_nul = { "a\0b", 3 };
    ck_assert(gguf_plan_arr(p, "i8", GGUF_I8, &i8, 1, &e) && gguf_plan_arr(p, "u8", GGUF_U8, &u8, 1, &e) &&
              gguf_plan_arr(p, "i16", GGUF_I16, &i16, 1, &e) && gguf_plan_arr(p, "u16", GGUF_U16, &u16, 1, &e) &&
              gguf_plan_arr(p, "i64", GGUF_I64, &i64, 1, &e) && gguf_plan_arr(p, "f64", GGUF_F64, &f64, 1, &e) &&
              gguf_plan_i32(p, "i32", -70000, &e) && gguf_plan_u64(p, "u64", INT64_MAX, &e) &&
              gguf_plan_f32(p, "f32", 0.25f, &e) && gguf_plan_bool(p, "bool", true, &e) &&
              gguf_plan_strn(p, "nul", with_nul.s, with_nul.n, &e) && gguf_plan_str(p, "s", "x", &e));
    uint8_t *header;
    gguf    *g = open_plan(p, &header);
    const struct {
        const char *key;
        int64_t v;
    } INTS[] = { { "i8", -8 },         { "u8", 200 },     { "i16", -300 },      { "u16", 60000 },
                 { "i64", INT64_MIN }, { "i32", -70000 }, { "u64", INT64_MAX }, { "bool", 1 } };
    for (size_t k = 0; k < sizeof INTS / sizeof INTS[0]; k++) {
        int64_t v;
        ck_assert_msg(gguf_arr_i64(gguf_find_kv(g, INTS[k].key), 0, &v) && v == INTS[k].v, "%s", INTS[k].key);
    }
    float f;
    int64_t i;
    bool b;
    char *s;
    ck_assert(gguf_arr_f32(gguf_find_kv(g, "f64"), 0, &f) && f == 0.1f && !gguf_arr_f32(gguf_find_kv(g, "i8"), 0, &f));
    ck_assert(!gguf_arr_i64(gguf_find_kv(g, "f32"), 0, &i) && !gguf_arr_i64(gguf_find_kv(g, "s"), 0, &i) &&
              !gguf_arr_i64(NULL, 0, &i));
    ck_assert(gguf_get_i64_or(g, "none", 9, &i, &e) && i == 9 && gguf_get_f32_or(g, "none", 2, &f, &e) && f == 2 &&
              gguf_get_bool_or(g, "none", true, &b, &e) && b);
    ck_assert(gguf_get_i64(g, "i32", &i, &e) && i == -70000 && gguf_get_cstr(g, "s", &s, &e) && strcmp(s, "x") == 0);
    free(s);
    ck_assert_int_eq(e.kind, ERR_NONE);
    e = (err){ 0 };
    ck_assert(!gguf_get_i64(g, "f32", &i, &e));
    check_refused(&e, ERR_INPUT, "plan.gguf", "key 'f32'");
    e = (err){ 0 };
    ck_assert(!gguf_get_i64(g, "i8", &i, &e));
    check_refused(&e, ERR_INPUT, "plan.gguf", "found an array of i8, expected an integer");
    e = (err){ 0 };
    ck_assert(!gguf_get_i64(g, "bool", &i, &e));
    check_refused(&e, ERR_INPUT, "plan.gguf", "found bool");
    e = (err){ 0 };
    ck_assert(!gguf_get_i64_or(g, "s", 1, &i, &e));
    check_refused(&e, ERR_INPUT, "plan.gguf", "found string");
    e = (err){ 0 };
    ck_assert(!gguf_get_f32(g, "none", &f, &e));
    check_refused(&e, ERR_INPUT, "plan.gguf", "key 'none': found nothing, expected f32");
    e = (err){ 0 };
    ck_assert(!gguf_get_bool_or(g, "i32", 0, &b, &e));
    check_refused(&e, ERR_INPUT, "plan.gguf", "expected a boolean");
    e = (err){ 0 };
    ck_assert(!gguf_get_cstr(g, "nul", &s, &e));
    check_refused(&e, ERR_INPUT, "plan.gguf", "a string without NUL");
    gguf_close(g);
    free(header);
    gguf_plan_free(p);
}
END_TEST

// ---- writing -------------------------------------------------------------------------------------------------------

static gguf_plan *golden_plan(err *e)
{
    gguf_plan *p = gguf_plan_new(32, e);
    int32_t  ints[] = { -1, 7 };
    gguf_str strs[] = { { "a\n", 2 }, { NULL, 0 } };
    ck_assert(gguf_plan_str(p, "general.architecture", "gemma4", e) && gguf_plan_u32(p, "u", 4294967294u, e) &&
              gguf_plan_f32(p, "f", 1.5f, e) && gguf_plan_bool(p, "b", true, e) &&
              gguf_plan_u64(p, "q", UINT64_MAX, e) && gguf_plan_arr(p, "i", GGUF_I32, ints, 2, e) &&
              gguf_plan_arr_str(p, "s", strs, 2, e) && gguf_plan_tensor(p, "w", DT_F32, 2, (int64_t[]){ 2, 3 }, e) &&
              gguf_plan_tensor(p, "v", DT_BF16, 1, (int64_t[]){ 2 }, e));
    return p;
}

START_TEST(test_plan_writes_golden)
{
    err     e = { 0 };
    int64_t header, size, n;
    char   *dir = new_dir();
    gguf_plan *p = golden_plan(&e);
    ck_assert_msg(gguf_plan_layout(p, &header, &size, &e), "%s", e.msg);
    ck_assert_int_eq(size % 32, 0);
    const gguf_tensor *w = gguf_plan_tensor_at(p, 0), *v = gguf_plan_tensor_at(p, 1);
    ck_assert(w->off == header && v->off == header + 32 && gguf_plan_n_tensors(p) == 2 && w->data == NULL);
    uint8_t *bytes_of_header;
    ck_assert(gguf_plan_header(p, &bytes_of_header, &n, &e) && n == header);
    ck_assert_mem_eq(bytes_of_header, GOLDEN, (size_t)n);
    free(bytes_of_header);
    char path[4300];
    snprintf(path, sizeof path, "%s/out.gguf", dir);
    outfile *f = outfile_open(path, size, &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    ck_assert(outfile_write_at(f, v->off, GOLDEN + v->off, v->n_bytes, &e) &&
              outfile_write_at(f, w->off, GOLDEN + w->off, w->n_bytes, &e));
    ck_assert_msg(gguf_plan_write(p, f, &e) && outfile_commit(f, &e), "%s", e.msg);
    gguf *g = gguf_open(path, &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    check_golden(g, 3);
    ck_assert_int_eq(gguf_file_bytes(g), size);
    ck_assert_int_ge(gguf_fd(g), 0);
    ck_assert_str_eq(gguf_path(g), path);
    gguf_close(g);
    uint8_t got[1000] = { 1 };
    ck_assert_int_eq(read_file_bytes(path, got, sizeof got), size);
    ck_assert_mem_eq(got, GOLDEN, sizeof GOLDEN);
    for (int64_t i = (int64_t)sizeof GOLDEN; i < size; i++) ck_assert_int_eq(got[i], 0);
    gguf_plan_free(p);
    drop_dir(dir);
}
END_TEST

START_TEST(test_plan_keys)
{
    err e = { 0 };
    gguf_plan *p = gguf_plan_new(64, &e);
    ck_assert(gguf_plan_u32(p, "a", 1, &e) && gguf_plan_u32(p, "b", 2, &e) && gguf_plan_u32(p, "c", 3, &e));
    ck_assert(gguf_plan_str(p, "b", "now a string", &e));       // in place, another type
    ck_assert(gguf_plan_remove(p, "a") && !gguf_plan_remove(p, "a"));
    ck_assert_ptr_null(gguf_plan_find(p, "a"));
    ck_assert(gguf_plan_tensor(p, "t", DT_I8, 0, NULL, &e));    // a scalar
    uint8_t *header;
    gguf    *g = open_plan(p, &header);
    ck_assert_int_eq(gguf_alignment(g), 64);
    ck_assert_int_eq(gguf_n_kv(g), 3);
    ck_assert_str_eq(gguf_kv_at(g, 0)->key, "general.alignment");
    ck_assert_str_eq(gguf_kv_at(g, 1)->key, "b");
    ck_assert_str_eq(gguf_kv_at(g, 2)->key, "c");
    // After the layout: the same size is fine, another is refused and leaves the value.
    ck_assert(gguf_plan_str(p, "b", "NOW A STRING", &e) && gguf_plan_u32(p, "c", 9, &e));
    ck_assert(!gguf_plan_remove(p, "b"));
    ck_assert(!gguf_plan_str(p, "b", "longer than it was", &e));
    check_refused(&e, ERR_SYSTEM, NULL, "key 'b': found 26 bytes, expected the 20 of the layout");
    e = (err){ 0 };
    ck_assert(!gguf_plan_u32(p, "new", 1, &e) && !gguf_plan_tensor(p, "late", DT_F32, 1, (int64_t[]){ 1 }, &e));
    char *text = gguf_kv_text(gguf_plan_find(p, "b"), 1);
    ck_assert_str_eq(text, "NOW A STRING");
    free(text);
    gguf_close(g);
    free(header);
    gguf_plan_free(p);
}
END_TEST

START_TEST(test_plan_refusals)
{
    const struct {
        const char *name;
        dtype type;
        int n_dims;
        int64_t shape[4];
        err_kind kind;
        const char *says;
    } ROWS[] = {
        { "w", DT_F32, 1, { 1 }, ERR_INPUT, "found it a second time" },
        { "", DT_F32, 1, { 1 }, ERR_INPUT, "found a name of 0 bytes" },
        { "a234567890123456789012345678901234567890123456789012345678901234",
          DT_F32,
          1,
          { 1 },
          ERR_INPUT,
          "found a name of 64 bytes, expected 1 to 63" },
        { "q", DT_Q4_K, 2, { 2, 255 }, ERR_INPUT, "rows of 255 weights, expected a multiple of 256 for Q4_K" },
        { "q", DT_F32, 2, { 0, 4 }, ERR_INPUT, "found dimension 0" },
        { "q", DT_F32, 2, { -1, 4 }, ERR_INPUT, "found dimension -1" },
        { "q", DT_F32, 2, { (int64_t)1 << 32, (int64_t)1 << 32 }, ERR_INPUT, "a product within 63 bits" },
        { "q", DT_F32, 1, { (int64_t)1 << 62 }, ERR_INPUT, "a size within 63 bits" },
        { "q", DT_F32, 5, { 1 }, ERR_INPUT, "found 5 dimensions" },
        { "q", DT_INVALID, 1, { 1 }, ERR_SYSTEM, "type -1, which is unknown" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        err e = { 0 };
        gguf_plan *p = golden_plan(&e);
        ck_assert(!gguf_plan_tensor(p, ROWS[i].name, ROWS[i].type, ROWS[i].n_dims, ROWS[i].shape, &e));
        check_refused(&e, ROWS[i].kind, NULL, ROWS[i].says);
        gguf_plan_free(p);
    }
    const int64_t BAD[] = { 0, 3, 4, 31, -32, (int64_t)1 << 40 };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        err e = { 0 };
        ck_assert_ptr_null(gguf_plan_new(BAD[i], &e));
        check_refused(&e, ERR_SYSTEM, NULL, "found alignment");
    }
    err e = { 0 };
    gguf_plan *p = golden_plan(&e);
    int64_t h, n;
    uint8_t *header;
    ck_assert(!gguf_plan_header(p, &header, &n, &e));       // before the layout
    e = (err){ 0 };
    ck_assert(gguf_plan_tensor(p, "big1", DT_I8, 1, (int64_t[]){ INT64_MAX - 4096 }, &e) &&
              gguf_plan_tensor(p, "big2", DT_I8, 1, (int64_t[]){ 8192 }, &e));
    ck_assert(!gguf_plan_layout(p, &h, &n, &e));
    check_refused(&e, ERR_INPUT, NULL, "a file size over 63 bits");
    gguf_plan_free(p);
}
END_TEST

// Many tensors and a vocabulary: written, opened in milliseconds, every value where it was put.
START_TEST(test_large_round_trip)
{
    enum { N_STRS = 262144, N_TENSORS = 5000 };
    err e = { 0 };
    gguf_plan *p = gguf_plan_new(32, &e);
    gguf_str *strs = calloc(N_STRS, sizeof *strs);
    char (*text)[16] = calloc(N_STRS, sizeof *text), name[40];
    for (int i = 0; i < N_STRS; i++) strs[i] = (gguf_str){ text[i], snprintf(text[i], sizeof text[i], "t%d", i) };
    ck_assert(gguf_plan_arr_str(p, "tokens", strs, N_STRS, &e));
    for (int i = 0; i < N_TENSORS; i++) {
        snprintf(name, sizeof name, "blk.%d.w", i);
        ck_assert_msg(gguf_plan_tensor(p, name, i % 2 ? DT_F32 : DT_Q8_0, 2, (int64_t[]){ 1 + i % 7, 32 }, &e), "%s",
                      e.msg);
    }
    int64_t h, n, at = 0;
    ck_assert(gguf_plan_layout(p, &h, &n, &e));
    uint8_t *file = calloc(1, (size_t)n), *header;
    ck_assert(gguf_plan_header(p, &header, &at, &e));
    memcpy(file, header, (size_t)at);
    double t = seconds();
    gguf  *g = gguf_open_mem(file, n, "large.gguf", &e);
    ck_assert_msg(seconds() - t < 0.25, "%g s", seconds() - t);
    ck_assert_msg(g != NULL, "%s", e.msg);
    gguf_str_iter it = gguf_strs(gguf_find_kv(g, "tokens"));
    gguf_str s;
    for (int i = 0; i < N_STRS; i++)
        ck_assert(gguf_next_str(&it, &s) && s.n == strs[i].n && memcmp(s.s, strs[i].s, (size_t)s.n) == 0);
    ck_assert(!gguf_next_str(&it, &s));
    for (int i = 0; i < N_TENSORS; i++) {
        const gguf_tensor *a = gguf_plan_tensor_at(p, i), *b = gguf_find_tensor(g, a->name);
        ck_assert(b && b->off == a->off && b->n_bytes == a->n_bytes && b->type == a->type &&
                  memcmp(a->shape, b->shape, sizeof a->shape) == 0);
        ck_assert(a->off % 32 == 0 && a->off + a->n_bytes <= n);
    }
    // Copying every pair and tensor to a new plan gives the same header.
    gguf_plan *q = gguf_plan_new(32, &e);
    for (int64_t i = 0; i < gguf_n_kv(g); i++) ck_assert(gguf_plan_copy_kv(q, gguf_kv_at(g, i), &e));
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *x = gguf_tensor_at(g, i);
        ck_assert(gguf_plan_tensor(q, x->name, x->type, x->n_dims, x->shape, &e));
    }
    uint8_t *again;
    int64_t  n2;
    ck_assert(gguf_plan_layout(q, &h, &n2, &e) && n2 == n && gguf_plan_header(q, &again, &n2, &e) && n2 == at);
    ck_assert_mem_eq(header, again, (size_t)at);
    gguf_close(g);
    gguf_plan_free(p);
    gguf_plan_free(q);
    free(again);
    free(header);
    free(file);
    free(text);
    free(strs);
}
END_TEST

// ---- many names ----------------------------------------------------------------------------------------------------

START_TEST(test_removed_keys_leave_the_others_findable)
{
    enum { N = 1000 };
    err e = { 0 };
    char key[32];
    gguf_plan *p = gguf_plan_new(32, &e);
    for (uint32_t i = 0; i < N; i++) {
        snprintf(key, sizeof key, "k%u", i);
        ck_assert(gguf_plan_u32(p, key, i, &e));
    }
    for (uint32_t i = 0; i < N; i += 3) {
        snprintf(key, sizeof key, "k%u", i);
        ck_assert(gguf_plan_remove(p, key));
    }
    for (uint32_t i = 0; i < N; i++) {
        snprintf(key, sizeof key, "k%u", i);
        const gguf_kv *kv = gguf_plan_find(p, key);
        int64_t v = -1;
        ck_assert((kv != NULL) == (i % 3 != 0));
        ck_assert(!kv || (strcmp(kv->key, key) == 0 && gguf_arr_i64(kv, 0, &v) && v == i));
    }
    gguf_plan_free(p);
}
END_TEST

// A name whose FNV-1a hash falls among the first thousandth of a table: what a hash table of tensor names once took
// minutes for.
static void crowded_name(char name[32], uint64_t *counter)
{
    uint64_t h;
    do {
        snprintf(name, 32, "t%llu", (unsigned long long)(*counter)++);
        h = 14695981039346656037u;
        for (const char *s = name; *s; s++) h = (h ^ (uint8_t)*s) * 1099511628211u;
    } while (h % 65536 >= 640);
}

enum { CROWD = 40000 };
static char (*crowd)[32];

// n keys and n tensors are planned, written and read, with a look at each.
static void plan_and_read(int64_t n)
{
    err e = { 0 };
    gguf_plan *p = gguf_plan_new(32, &e);
    for (int64_t i = 0; i < n; i++) {
        ck_assert(gguf_plan_u32(p, crowd[i], 1, &e));
        ck_assert(gguf_plan_tensor(p, crowd[i], DT_F32, 1, (int64_t[]){ 1 }, &e));
    }
    ck_assert(!gguf_plan_tensor(p, crowd[n - 1], DT_F32, 1, (int64_t[]){ 1 }, &e));     // once is enough
    e = (err){ 0 };
    uint8_t *header, *file;
    int64_t  header_bytes, file_bytes, at;
    ck_assert(gguf_plan_layout(p, &header_bytes, &file_bytes, &e) && gguf_plan_header(p, &header, &at, &e));
    file = calloc(1, (size_t)file_bytes);
    memcpy(file, header, (size_t)at);
    gguf *g = gguf_open_mem(file, file_bytes, "many", &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    for (int64_t i = 0; i < n; i++)
        ck_assert(gguf_find_kv(g, crowd[i]) && gguf_find_tensor(g, crowd[i]) && gguf_plan_find(p, crowd[i]));
    gguf_close(g);
    gguf_plan_free(p);
    free(header);
    free(file);
}

START_TEST(test_many_names_take_time_in_proportion)
{
    uint64_t counter = 0;
    crowd = malloc(CROWD * sizeof *crowd);
    for (int i = 0; i < CROWD; i++) crowded_name(crowd[i], &counter);
    must_be_linear("keys and tensors with chosen names", plan_and_read, CROWD / 4);
    free(crowd);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gguf");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_golden);
    tcase_add_test(t, test_every_truncation);
    tcase_add_test(t, test_every_byte_changed);
    tcase_add_test(t, test_heads);
    tcase_add_test(t, test_pairs);
    tcase_add_test(t, test_alignment);
    tcase_add_test(t, test_tensors);
    tcase_add_test(t, test_many_tensors);
    tcase_add_test(t, test_not_a_file);
    tcase_add_test(t, test_value_text);
    tcase_add_test(t, test_typed_values);
    tcase_add_test(t, test_plan_writes_golden);
    tcase_add_test(t, test_plan_keys);
    tcase_add_test(t, test_plan_refusals);
    tcase_add_test(t, test_large_round_trip);
    tcase_add_test(t, test_removed_keys_leave_the_others_findable);
    tcase_add_test(t, test_many_names_take_time_in_proportion);
    suite_add_tcase(s, t);
    return run_suite(s);
}
