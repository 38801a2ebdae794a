// Proves formats/safetensors.h: reading, folders with an index, and hostile files.
#include "bytes.h"
#include "formats/checked.h"
#include "formats/safetensors.h"
#include "formats/source.h"
#include "doubling.h"
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// A file of this header and n bytes of data, 0 1 2 ...
static buffer file_of(const char *header, int64_t n)
{
    buffer b = { 0 };
    put_u64(&b, strlen(header));
    put_text(&b, header);
    for (int64_t i = 0; i < n; i++) put_u8(&b, (uint8_t)i);
    return b;
}

static void refuse_bytes(buffer *b, const char *says)
{
    uint8_t *p = exact(b->p, b->n);
    err      e = { 0 };
    double   t = seconds();
    st      *s = st_open_mem(p, b->n, "bad.safetensors", &e);
    ck_assert_msg(seconds() - t < 1, "%s: %g s", says, seconds() - t);
    ck_assert_msg(s == NULL, "accepted, expected \"%s\"", says);
    check_refused(&e, ERR_INPUT, "bad.safetensors", says);
    free(p);
    bytes_free(b);
}

static void refuse(const char *header, int64_t n, const char *says)
{
    buffer b = file_of(header, n);
    refuse_bytes(&b, says);
}

static const char GOOD[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                           "\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[16,20]},"
                           "\"a\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
                           "\"e\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[16,16]},"
                           "\"c\":{\"dtype\":\"I8\",\"shape\":[1,1,1,1,4],\"data_offsets\":[12,16]}}   ";

START_TEST(test_good_file)
{
    buffer b = file_of(GOOD, 20);
    err   e = { 0 };
    st   *s = st_open_mem(b.p, b.n, "good.safetensors", &e);
    ck_assert_msg(s != NULL, "%s", e.msg);
    ck_assert_int_eq(st_n_tensors(s), 4);
    const char *NAMES[] = { "a", "b", "c", "e" };       // by name, wherever they lie
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(st_at(s, i)->name, NAMES[i]);
        ck_assert_ptr_eq(st_find(s, NAMES[i]), st_at(s, i));
    }
    const st_tensor *a = st_find(s, "a"), *c = st_find(s, "c"), *z = st_find(s, "e");
    ck_assert(a->type == DT_BF16 && a->n_dims == 2 && a->shape[0] == 2 && a->shape[1] == 3 && a->shape[2] == 1 &&
              a->n_elems == 6 && a->n_bytes == 12);
    ck_assert(a->off == 8 + (int64_t)strlen(GOOD) && a->data == b.p + a->off && a->data[11] == 11 && a->file == 0);
    ck_assert(st_find(s, "b")->type == DT_F32 && st_find(s, "b")->n_dims == 0 && st_find(s, "b")->n_elems == 1);
    ck_assert(z->n_elems == 0 && z->n_bytes == 0);
    ck_assert_ptr_null(st_find(s, "d"));
    ck_assert(st_require_float(s, a, &e) && st_require_float(s, st_find(s, "b"), &e));
    ck_assert(c->type == DT_INVALID && !st_require_float(s, c, &e));
    check_refused(&e, ERR_INPUT, "good.safetensors",
                  "tensor 'c': found dtype I8, expected a float (BF16, F16, F32, F64, F8_E4M3 or F8_E5M2)");
    ck_assert_int_eq(st_n_files(s), 1);
    ck_assert_str_eq(st_file(s, 0)->path, "good.safetensors");
    st_close(s);
    e = (err){ 0 };
    buffer none = file_of("{}", 0);      // no tensors is a checkpoint too
    s = st_open_mem(none.p, none.n, "none.safetensors", &e);
    ck_assert_msg(s != NULL && st_n_tensors(s) == 0 && st_find(s, "a") == NULL, "%s", e.msg);
    st_close(s);
    bytes_free(&none);
    bytes_free(&b);
}
END_TEST

START_TEST(test_every_truncation_and_change)
{
    buffer b = file_of(GOOD, 20);
    for (int64_t n = 0; n < b.n; n++) {
        uint8_t *p = exact(b.p, n);
        err      e = { 0 };
        ck_assert_msg(st_open_mem(p, n, "cut", &e) == NULL, "accepted %lld bytes", (long long)n);
        check_refused(&e, ERR_INPUT, "cut", "found");
        free(p);
    }
    const uint8_t TO[] = { 0x00, 0x01, '9', '"', '[', '}', 0x80, 0xff };
    for (int64_t i = 0; i < b.n; i++)
        for (size_t k = 0; k < sizeof TO; k++) {
            uint8_t *p = exact(b.p, b.n);
            p[i] = TO[k];
            err e = { 0 };
            st *s = st_open_mem(p, b.n, "changed", &e);
            ck_assert(s != NULL || e.kind == ERR_INPUT);
            st_close(s);
            free(p);
        }
    bytes_free(&b);
}
END_TEST

START_TEST(test_header_length_lies)
{
    const uint64_t LENGTHS[] = {
        0, 1, 19, 1000, (uint64_t)1 << 31, (uint64_t)1 << 32, (uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 7
    };
    for (size_t i = 0; i < sizeof LENGTHS / sizeof LENGTHS[0]; i++) {
        buffer b = file_of("{}                ", 0);
        memcpy(b.p, &LENGTHS[i], 8);
        refuse_bytes(&b, LENGTHS[i] < 2 ? "offset 8: found no '{'" : "offset 0: found a header length of");
    }
    buffer b = { 0 };        // a header that is as long as it says, and more than is allowed
    put_u64(&b, (uint64_t)LIMIT_SAFETENSORS_HEAD + 1);
    put_u8(&b, '{');
    put_zeros(&b, LIMIT_SAFETENSORS_HEAD);
    refuse_bytes(&b, "offset 0: found a header length of 33554433, expected at most 33554432");
    b = (buffer){ 0 };       // one of a million values that mean nothing
    put_u64(&b, 4000007);
    put_text(&b, "{\"a\":[");
    for (int i = 0; i < 2000000; i++) put_text(&b, "0,");
    put_u8(&b, '0');
    refuse_bytes(&b, "found more than 524288 values");
    b = (buffer){ 0 };       // and one of brackets only
    put_u64(&b, 1000005);
    put_text(&b, "{\"a\":");
    for (int i = 0; i < 1000000; i++) put_u8(&b, '[');
    refuse_bytes(&b, "nested deeper than 64");
}
END_TEST

#define TENSOR(dtype, shape, from, to)                                                                                 \
    "{\"x\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}}"

START_TEST(test_tensors)
{
    const struct { const char *header; int64_t n; const char *says; } ROWS[] = {
        { "[]", 0, "found no '{'" },
        { "{", 0, "found no '{'" },
        { "{]", 0, "header (from offset 8): offset 1" },
        { "{\"x\":1}", 0, "tensor 'x': found no object" },
        { "{} x", 0, "expected nothing after" },
        { "{\"\":{}}", 0, "found a name of 0 bytes" },
        { "{\"__metadata__\":1}", 0, "'__metadata__': found no object" },
        { "{\"__metadata__\":{\"k\":1}}", 0, "a value of 'k' that is no string" },
        { "{\"x\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor 'x': found no 'dtype'" },
        { "{\"x\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "found no 'dtype', expected a string" },
        { TENSOR("F31", "[1]", "0", "4"), 4, "found dtype 'F31', which is unknown" },
        { TENSOR("f32", "[1]", "0", "4"), 4, "dtype 'f32'" },
        { "{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "found no 'shape'" },
        { TENSOR("F32", "4", "0", "4"), 4, "found no 'shape'" },
        { TENSOR("F32", "[-1]", "0", "4"), 4, "shape: found -1" },
        { TENSOR("F32", "[1.5]", "0", "4"), 4, "shape: found 1.5" },
        { TENSOR("F32", "[\"1\"]", "0", "4"), 4, "shape: found" },
        { TENSOR("F32", "[1,1,1,1,1,1,1,1,1]", "0", "4"), 4, "more than 8 dimensions" },
        { TENSOR("F32", "[4294967296,4294967296]", "0", "0"), 0, "a number of elements that wraps" },
        { TENSOR("F32", "[4611686018427387904,4]", "0", "0"), 0, "shape: found 4.6116860184273879e+18" },
        { TENSOR("F32", "[1099511627776,1048576]", "0", "0"), 0, "expected 1152921504606846976 elements of F32" },
        { TENSOR("F32", "[1e999]", "0", "4"), 4, "shape: found inf" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "found no 'data_offsets'" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4,
          "found no 'data_offsets' of two integers" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4,
          "found no 'data_offsets' of two integers" },
        { TENSOR("F32", "[1]", "-4", "0"), 4, "found no 'data_offsets' of two integers" },
        { TENSOR("F32", "[1]", "4", "0"), 4, "found data_offsets [4, 0], expected them ascending" },
        { TENSOR("F32", "[2]", "0", "8"), 4, "expected them ascending and within the 4 bytes of data" },
        { TENSOR("F32", "[1]", "0", "9007199254740991"), 4, "within the 4 bytes of data" },
        { TENSOR("F32", "[1]", "0", "8"), 8, "found 8 bytes at data offset 0, expected 1 elements of F32" },
        { TENSOR("BF16", "[2]", "0", "8"), 8, "expected 2 elements of BF16" },
        { TENSOR("F4", "[3]", "0", "2"), 2, "expected 3 elements of F4" },
        { TENSOR("F32", "[1]", "4", "8"), 8, "a hole before it, expected it to begin at" },
        { TENSOR("F32", "[1]", "0", "4"), 8, "found 4 bytes after the last tensor" },
        { "{}", 1, "found 1 bytes after the last tensor" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"y\":{\"dtype\":\"F32\",\"shape\":[1],"
          "\"data_offsets\":[2,6]}}",
          6, "tensor 'y': offset" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"y\":{\"dtype\":\"F32\",\"shape\":[1],"
          "\"data_offsets\":[0,4]}}",
          4, "an overlap with another tensor" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"y\":{\"dtype\":\"F32\",\"shape\":[1],"
          "\"data_offsets\":[5,9]}}",
          9, "tensor 'y': offset" },
        { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"x\":{\"dtype\":\"F32\",\"shape\":[1],"
          "\"data_offsets\":[4,8]}}",
          8, "the name 'x' twice" },
        { "{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
          "the name 'dtype' twice" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) refuse(ROWS[i].header, ROWS[i].n, ROWS[i].says);
    buffer b = { 0 }, h = { 0 };     // a name that is too long
    put_text(&h, "{\"");
    for (int i = 0; i <= LIMIT_NAME_BYTES; i++) put_u8(&h, 'n');
    put_text(&h, "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
    put_u64(&b, (uint64_t)h.n);
    put(&b, h.p, h.n);
    put_u32(&b, 0);
    refuse_bytes(&b, "found a name of 1025 bytes");
    bytes_free(&h);
}
END_TEST

// ---- folders -------------------------------------------------------------------------------------------------------

static void save(const char *dir, const char *name, const char *header, int64_t n)
{
    buffer b = file_of(header, n);
    write_file(in_dir(dir, name), b.p, b.n);
    bytes_free(&b);
}

static void save_text(const char *dir, const char *name, const char *text)
{
    write_file(in_dir(dir, name), text, (int64_t)strlen(text));
}

static void refuse_dir(const char *dir, const char *index, const char *says)
{
    err e = { 0 };
    if (index) save_text(dir, "model.safetensors.index.json", index);
    ck_assert_msg(st_open_dir(dir, &e) == NULL, "accepted, expected \"%s\"", says);
    check_refused(&e, ERR_INPUT, dir, says);
}

START_TEST(test_folder_with_one_file)
{
    char *dir = new_dir();
    refuse_dir(dir, NULL, "found neither model.safetensors.index.json nor model.safetensors");
    save(dir, "model.safetensors", GOOD, 20);
    err e = { 0 };
    st *s = st_open_dir(dir, &e);
    ck_assert_msg(s && st_n_tensors(s) == 4 && st_n_files(s) == 1 && st_file(s, 0)->fd >= 0, "%s", e.msg);
    st_close(s);
    s = st_open_file(in_dir(dir, "model.safetensors"), &e);
    ck_assert_msg(s && st_n_tensors(s) == 4, "%s", e.msg);
    st_close(s);
    ck_assert_ptr_null(st_open_dir(in_dir(dir, "none"), &e));
    check_refused(&e, ERR_INPUT, "none", "found no folder of this name");
    drop_dir(dir);
}
END_TEST

// As the Hub's cache lays a model out: the folder's files are links to others elsewhere.
START_TEST(test_sharded_folder_of_links)
{
    char *dir = new_dir(), *blobs = new_dir(), to[4400];
    save(blobs, "0a",
         "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"m\":{\"dtype\":\"F16\",\"shape\":[2],"
         "\"data_offsets\":[4,8]}}",
         8);
    save(blobs, "0b", "{\"n\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    const char *NAMES[] = { "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors" };
    for (int i = 0; i < 2; i++) {
        snprintf(to, sizeof to, "%s/0%c", blobs, "ab"[i]);
        ck_assert_int_eq(symlink(to, in_dir(dir, NAMES[i])), 0);
    }
    save_text(dir, "model.safetensors.index.json",
              "{\"metadata\":{\"total_size\":12},\"weight_map\":{\"x\":\"model-00001-of-00002.safetensors\","
              "\"n\":\"model-00002-of-00002.safetensors\",\"m\":\"model-00001-of-00002.safetensors\"}}");
    err e = { 0 };
    st *s = st_open_dir(dir, &e);
    ck_assert_msg(s != NULL, "%s", e.msg);
    ck_assert_int_eq(st_n_files(s), 2);
    ck_assert_int_eq(st_n_tensors(s), 3);
    const char *SORTED[] = { "m", "n", "x" };
    for (int i = 0; i < 3; i++) ck_assert_str_eq(st_at(s, i)->name, SORTED[i]);
    ck_assert(st_find(s, "n")->file != st_find(s, "x")->file && st_find(s, "m")->file == st_find(s, "x")->file);
    ck_assert_int_eq(st_find(s, "m")->data[0], 4);
    ck_assert(strstr(st_file(s, st_find(s, "n")->file)->path, NAMES[1]) != NULL);
    st_close(s);
    drop_dir(dir);
    drop_dir(blobs);
}
END_TEST

// Whoever drops a tensor and keeps the index lists a tensor that is in no file. It is missing, and nothing else is.
START_TEST(test_index_of_absent_tensors)
{
    char *dir = new_dir();
    save(dir, "a.safetensors", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    save(dir, "b.safetensors", "{\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    save_text(dir, "model.safetensors.index.json",
              "{\"weight_map\":{\"z\":\"b.safetensors\",\"x\":\"a.safetensors\",\"A\":\"a.safetensors\","
              "\"y\":\"b.safetensors\",\"xx\":\"a.safetensors\"}}");
    err e = { 0 };
    st *s = st_open_dir(dir, &e);
    const char *file, *const NAMES[] = { "A", "xx", "z" },
                             *const FILES[] = { "a.safetensors", "a.safetensors", "b.safetensors" };
    ck_assert_msg(s != NULL, "%s", e.msg);
    ck_assert_int_eq(st_n_tensors(s), 2);
    const st_tensor *first;
    ck_assert_int_eq(st_n_misplaced(s, &first), 0);
    ck_assert_ptr_null(first);
    ck_assert_int_eq(st_n_absent(s), 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_str_eq(st_absent(s, i, &file), NAMES[i]);
        ck_assert_str_eq(file, FILES[i]);
    }
    st_close(s);
    drop_dir(dir);
}
END_TEST

// An index says which files there are. Where it is wrong about a tensor, the files decide, as they do for Transformers.
START_TEST(test_index_that_is_wrong)
{
    char *dir = new_dir();
    save(dir, "a.safetensors", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"k\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8);
    save(dir, "b.safetensors", "{\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    save_text(dir, "model.safetensors.index.json", "{\"weight_map\":{\"y\":\"a.safetensors\",\"x\":\"b.safetensors\","
              "\"z\":\"b.safetensors\"}}");
    err e = { 0 };
    st *s = st_open_dir(dir, &e);
    const st_tensor *first;
    ck_assert_msg(s != NULL, "%s", e.msg);
    ck_assert_int_eq(st_n_tensors(s), 3);
    ck_assert_int_eq(st_n_misplaced(s, &first), 3);
    ck_assert_str_eq(first->name, "k");
    ck_assert_int_eq(st_n_absent(s), 1);
    ck_assert_msg(strstr(st_file(s, st_find(s, "x")->file)->path, "a.safetensors") != NULL, "x in another file");
    st_close(s);
    drop_dir(dir);
}
END_TEST

START_TEST(test_hostile_index)
{
    char *dir = new_dir();
    save(dir, "a.safetensors", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    save(dir, "b.safetensors", "{\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    save(dir, "c.safetensors", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    const char *OUTSIDE[] = { "../../etc/passwd",
                              "/etc/passwd",
                              "../a.safetensors",
                              "sub/a.safetensors",
                              "/tmp/a.safetensors",
                              "..",
                              ".",
                              "",
                              ".safetensors",
                              "a.bin",
                              "..\\\\a.safetensors",
                              "a.safetensors/",
                              ".hidden.safetensors" };
    char text[500];
    for (size_t i = 0; i < sizeof OUTSIDE / sizeof OUTSIDE[0]; i++) {
        snprintf(text, sizeof text, "{\"weight_map\":{\"x\":\"%s\"}}", OUTSIDE[i]);
        refuse_dir(dir, text, "tensor 'x': found file name '");
    }
    refuse_dir(dir, "{\"weight_map\":{\"x\":7}}", "(no string)");
    refuse_dir(dir, "{\"weight_map\":{}}", "key 'weight_map': found no object with tensors");
    refuse_dir(dir, "{}", "key 'weight_map'");
    refuse_dir(dir, "[]", "key 'weight_map'");
    refuse_dir(dir, "{\"weight_map\":", "index.json: offset 14: found the end");
    refuse_dir(dir, "", "found the end");
    refuse_dir(dir, "{\"weight_map\":{\"x\":\"a.safetensors\",\"x\":\"b.safetensors\"}}", "the name 'x' twice");
    refuse_dir(dir, "{\"weight_map\":{\"x\":\"none.safetensors\"}}",
               "names none.safetensors, which is not in the folder");
    refuse_dir(dir, "{\"weight_map\":{\"x\":\"a.safetensors\",\"w\":\"c.safetensors\"}}", "tensor 'x': found it in");
    refuse_dir(dir, "{\"weight_map\":{\"x\":\"a.safetensors\",\"A\":\"a.safetensors\",\"w\":\"c.safetensors\"}}",
               "tensor 'x': found it in");
    // Transformers reads model.safetensors where there is one, whatever the index says.
    save(dir, "model.safetensors", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    for (int i = 0; i < 3; i++) {
        static const char *const UNREAD[] = { "{\"weight_map\":{\"y\":\"b.safetensors\"}}",
                                              "{\"weight_map\":{\"x\":\"model.safetensors\"}}", "no JSON" };
        err e = { 0 };
        save_text(dir, "model.safetensors.index.json", UNREAD[i]);
        st *s = st_open_dir(dir, &e);
        ck_assert_msg(s != NULL, "%s", e.msg);
        ck_assert(st_index_unread(s) && st_n_tensors(s) == 1 && st_n_files(s) == 1);
        ck_assert(st_find(s, "x") && strstr(st_file(s, 0)->path, "/model.safetensors"));
        st_close(s);
    }
    // A shard that is damaged names itself.
    write_file(in_dir(dir, "model.safetensors"), "\1\0\0", 3);
    refuse_dir(dir, NULL, "model.safetensors: offset 0: found 3 bytes");
    drop_dir(dir);
}
END_TEST

// Every expert of every layer a tensor of its own.
START_TEST(test_many_tensors)
{
    enum { N = 31000 };
    buffer b = { 0 }, h = { 0 };
    char  item[200];
    for (int i = 0; i < N; i++) {
        snprintf(item, sizeof item,
                 "%s\"model.layers.%d.experts.%d.down_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[2,1],\"data_"
                 "offsets\":[%d,%d]}",
                 i ? "," : "{", i / 500, i % 500, 4 * i, 4 * i + 4);
        put_text(&h, item);
    }
    put_u8(&h, '}');
    put_u64(&b, (uint64_t)h.n);
    put(&b, h.p, h.n);
    put_zeros(&b, 4 * N);
    err    e = { 0 };
    double t = seconds();
    st    *s = st_open_mem(b.p, b.n, "many", &e);
    ck_assert_msg(s && st_n_tensors(s) == N, "%s", e.msg);
    ck_assert_msg(seconds() - t < 2, "%g s", seconds() - t);
    ck_assert_int_eq(st_find(s, "model.layers.3.experts.77.down_proj.weight")->off, 8 + h.n + 4 * 1577);
    st_close(s);
    bytes_free(&h);
    bytes_free(&b);
}
END_TEST

// ---- work in proportion ---------------------------------------------------------------------------------------------

// A file of n empty tensors whose names begin alike for 149 bytes, so that each comparison is as long as it can be.
static void open_alike(int64_t n)
{
    buffer head = { 0 }, all = { 0 };
    err    e = { 0 };
    char   alike[150], row[400];
    memset(alike, 'a', sizeof alike);
    put_text(&head, "{");
    for (int64_t i = 0; i < n; i++) {
        snprintf(row, sizeof row, "%s\"%.149s%lld\":{\"dtype\":\"BF16\",\"shape\":[0],\"data_offsets\":[0,0]}",
                 i ? "," : "", alike, (long long)(i * 7919 % n));
        put_text(&head, row);
    }
    put_text(&head, "}");
    put_u64(&all, (uint64_t)head.n);
    put(&all, head.p, head.n);
    st *s = st_open_mem(all.p, all.n, "alike.safetensors", &e);
    ck_assert_msg(s && st_n_tensors(s) == n, "%s", e.msg);
    st_close(s);
    bytes_free(&head);
    bytes_free(&all);
}

// A folder of n tensors in `files` files, with its index.
static char *make_folder(int64_t n, int64_t files)
{
    char  *dir = new_dir(), row[300], name[64];
    buffer index = { 0 };
    put_text(&index, "{\"weight_map\":{");
    for (int64_t f = 0; f < files; f++) {
        buffer head = { 0 }, all = { 0 };
        snprintf(name, sizeof name, "model-%05lld.safetensors", (long long)(f * 7 % files));
        put_text(&head, "{");
        for (int64_t i = f; i < n; i += files) {
            snprintf(row, sizeof row,
                     "%s\"model.layers.%lld.x\":{\"dtype\":\"BF16\",\"shape\":[0],\"data_offsets\":[0,0]}",
                     i > f ? "," : "", (long long)i);
            put_text(&head, row);
            snprintf(row, sizeof row, "%s\"model.layers.%lld.x\":\"%s\"", i || f ? "," : "", (long long)i, name);
            put_text(&index, row);
        }
        put_text(&head, "}");
        put_u64(&all, (uint64_t)head.n);
        put(&all, head.p, head.n);
        write_file(in_dir(dir, name), all.p, all.n);
        bytes_free(&head);
        bytes_free(&all);
    }
    put_text(&index, "}}");
    write_file(in_dir(dir, "model.safetensors.index.json"), index.p, index.n);
    bytes_free(&index);
    return dir;
}

static struct { char *dir; int64_t n, files; } folders[4];      // made at the first try, which is not the least

static void open_folder_of(int64_t n, int64_t files)
{
    err e = { 0 };
    int k = 0;
    while (folders[k].dir && (folders[k].n != n || folders[k].files != files)) k++;
    if (!folders[k].dir) {
        folders[k].dir   = make_folder(n, files);
        folders[k].n     = n;
        folders[k].files = files;
    }
    char *dir = folders[k].dir;
    st *s = st_open_dir(dir, &e);
    ck_assert_msg(s && st_n_tensors(s) == n && st_n_files(s) == files, "%s", e.msg);
    st_close(s);
    source_files *l = source_files_list(dir, &e);
    ck_assert_msg(l != NULL, "%s", e.msg);
    source_files_free(l);
}

static void open_index_of(int64_t n)  { open_folder_of(n, 3); }
static void open_shards_of(int64_t n) { open_folder_of(8 * n, n); }

START_TEST(test_work_in_proportion)
{
    must_be_linear("names that begin alike", open_alike, 15000);
    must_be_linear("tensors of an index", open_index_of, 16000);
    must_be_linear("files of an index", open_shards_of, 240);        // 960 are open together: within the usual limit
    for (int k = 0; k < 4; k++) drop_dir(folders[k].dir);
}
END_TEST

// ---- the same numbers -----------------------------------------------------------------------------------------------

START_TEST(test_same_numbers)
{
    enum { N = 3000 };
    static const struct {
        const char *name;
        int width;
    } types[] = { { "BF16", 2 }, { "F32", 4 }, { "F64", 8 }, { "F16", 2 } };
    buffer head = { 0 }, all = { 0 }, data = { 0 };
    err e = { 0 };
    put_text(&head, "{");
    for (int k = 0; k < 4; k++) {
        char row[200];
        snprintf(row, sizeof row, "%s\"%d\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[%lld,%lld]}",
                 k ? "," : "", k, types[k].name, N, (long long)data.n, (long long)(data.n + N * types[k].width));
        put_text(&head, row);
        for (int i = 0; i < N; i++) {
            const float    x = (float)(i % 200 - 100) / 4;
            const double   d = (double)x;
            const uint16_t bf16 = bf16_from_f32(x), f16 = f16_from_f32(x);
            put(&data,
                k == 0   ? (const void *)&bf16
                : k == 1 ? (const void *)&x
                : k == 2 ? (const void *)&d
                         : (const void *)&f16,
                types[k].width);
        }
    }
    put_text(&head, "}");
    put_u64(&all, (uint64_t)head.n);
    put(&all, head.p, head.n);
    put(&all, data.p, data.n);
    st *s = st_open_mem(all.p, all.n, "numbers.safetensors", &e);
    ck_assert_msg(s != NULL, "%s", e.msg);
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++)
            ck_assert_msg(st_same_numbers(s, st_at(s, a), st_at(s, b)), "%s and %s", types[a].name, types[b].name);
    for (int a = 0; a < 4; a++) {           // one number of one of them is another
        uint8_t *last = all.p + (st_at(s, a)->data - all.p) + (int64_t)(N - 1) * types[a].width;
        last[types[a].width - 1] ^= 0x80;
        for (int b = 0; b < 4; b++) ck_assert_int_eq(st_same_numbers(s, st_at(s, a), st_at(s, b)), a == b);
        last[types[a].width - 1] ^= 0x80;
    }
    st_close(s);
    bytes_free(&head);
    bytes_free(&all);
    bytes_free(&data);
}
END_TEST

// Tensors of 256 and 512 MB in a file without a byte of data on disk. What is resident is asked of a process of its
// own.
START_TEST(test_comparing_takes_no_memory)
{
    enum { BYTES = 1 << 28 };
    char  *dir = new_dir(), head[300];
    struct rusage before, after;
    int    status;
    snprintf(head, sizeof head,
             "{\"a\":{\"dtype\":\"BF16\",\"shape\":[%d],\"data_offsets\":[0,%d]},\"b\":{\"dtype\":\"F32\",\"shape\":[%"
             "d],"
             "\"data_offsets\":[%d,%lld]}}",
             BYTES / 2, BYTES, BYTES / 2, BYTES, 3ll * BYTES);
    buffer b = file_of(head, 0);
    write_file(in_dir(dir, "x.safetensors"), b.p, b.n);
    ck_assert_int_eq(truncate(in_dir(dir, "x.safetensors"), b.n + 3ll * BYTES), 0);
    getrusage(RUSAGE_SELF, &before);
    const pid_t child = fork();
    if (child == 0) {
        err e = { 0 };
        st *s = st_open_file(in_dir(dir, "x.safetensors"), &e);
        _exit(s && st_same_numbers(s, st_find(s, "a"), st_find(s, "b")) ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    getrusage(RUSAGE_CHILDREN, &after);
    // A sanitizer's notes of the bytes that were read take an eighth of them.
    ck_assert_msg(after.ru_maxrss < before.ru_maxrss + 256 * 1024, "%ld kB resident, %ld before", after.ru_maxrss,
                  before.ru_maxrss);
    bytes_free(&b);
    drop_dir(dir);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("safetensors");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_good_file);
    tcase_add_test(t, test_work_in_proportion);
    tcase_add_test(t, test_same_numbers);
    tcase_add_test(t, test_comparing_takes_no_memory);
    tcase_add_test(t, test_every_truncation_and_change);
    tcase_add_test(t, test_header_length_lies);
    tcase_add_test(t, test_tensors);
    tcase_add_test(t, test_folder_with_one_file);
    tcase_add_test(t, test_sharded_folder_of_links);
    tcase_add_test(t, test_index_of_absent_tensors);
    tcase_add_test(t, test_index_that_is_wrong);
    tcase_add_test(t, test_hostile_index);
    tcase_add_test(t, test_many_tensors);
    suite_add_tcase(s, t);
    return run_suite(s);
}
