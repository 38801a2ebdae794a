// verify_files: what the tests of verification share: a scratch folder, the committed checkpoint, artifacts made from
// it, texts to run them on, and ways to damage them. Every path lies in the scratch folder, which files_end removes.
#ifndef HALLMARK_TESTS_VERIFY_FILES_H
#define HALLMARK_TESTS_VERIFY_FILES_H

#include "convert/convert.h"
#include "formats/claims.h"
#include "formats/file_map.h"
#include "formats/gguf.h"
#include "verify/verify.h"
#include "suite.h"
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#ifndef TINY_DIR
#define TINY_DIR SOURCE_DIR "/fixtures/tiny-gemma4"
#endif

static char scratch[64];

static void files_begin(const char *name)
{
    snprintf(scratch, sizeof scratch, "/tmp/%s.XXXXXX", name);
    ck_assert_ptr_nonnull(mkdtemp(scratch));
}

static void remove_tree(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) { unlink(dir); return; }
    for (struct dirent *x; (x = readdir(d)) != NULL;) {
        if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0) continue;
        char *path = path_join(dir, x->d_name);
        struct stat st;
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) remove_tree(path);
        else unlink(path);
        free(path);
    }
    closedir(d);
    rmdir(dir);
}

static void files_end(void) { remove_tree(scratch); }

// scratch/name, in one of a few buffers that are used in turn.
static inline const char *in_scratch(const char *name)
{
    static char buf[8][256];
    static int  next;
    char *p = buf[next++ % 8];
    snprintf(p, sizeof buf[0], "%s/%s", scratch, name);
    return p;
}

// The same in a place that the caller keeps.
enum { SCRATCH_PATH = 96 };
static inline void scratch_path(char path[SCRATCH_PATH], const char *name)
{
    snprintf(path, SCRATCH_PATH, "%s/%s", scratch, name);
}

// A text in English to run a model on: n bytes of the project's license, from there on; 0: all that follow.
static inline void write_license_from(const char *path, int64_t from, int64_t n)
{
    err     e = { 0 };
    char   *text;
    int64_t all;
    ck_assert_msg(file_read_text(&text, &all, SOURCE_DIR "/LICENSE", 1 << 20, &e), "%s", e.msg);
    ck_assert_int_le(from + n, all);
    ck_assert_msg(outfile_write_whole(path, text + from, n > 0 ? n : all - from, &e), "%s", e.msg);
    free(text);
}
static inline void write_license(const char *path, int64_t n) { write_license_from(path, 0, n); }

// The cases `which` (n of them, ascending) of a fixture, as a fixture of its own at `to`: as good for what is not about
// numbers, and quicker.
static inline void pick_cases(const char *from, const char *to, const int *which, int n)
{
    enum { LINE = 4 << 20 };
    gzFile in = gzopen(from, "rb"), out = gzopen(to, "wb");
    char  *line = malloc(LINE);
    ck_assert(in && out && line && gzgets(in, line, LINE));
    char *at = strstr(line, "\"cases\":");
    ck_assert_ptr_nonnull(at);
    char *rest = at + 8 + strspn(at + 8, " 0123456789");
    gzprintf(out, "%.*s\"cases\":%d", (int)(at - line), line, n);
    gzputs(out, rest);
    for (int i = 0, k = 0; k < n; i++) {
        ck_assert(gzgets(in, line, LINE) && strchr(line, '\n'));
        if (i != which[k]) continue;
        gzputs(out, line);
        k++;
    }
    ck_assert(gzclose(in) == Z_OK && gzclose(out) == Z_OK);
    free(line);
}

static inline void copy_bytes(const char *from, const char *to)
{
    static char buf[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0666);
    ck_assert_msg(in >= 0 && out >= 0, "%s, %s", from, to);
    for (ssize_t n; (n = read(in, buf, sizeof buf)) != 0;) ck_assert(n > 0 && write(out, buf, (size_t)n) == n);
    ck_assert(close(in) == 0 && close(out) == 0);
}

// A folder in scratch with copies of the committed checkpoint's files (a link out of it would be refused); its fixtures
// are left out.
static inline const char *copy_checkpoint(const char *name)
{
    const char *dir = in_scratch(name);
    char from[800], to[800];
    ck_assert(mkdir(dir, 0777) == 0);
    DIR *d = opendir(TINY_DIR);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *x; (x = readdir(d)) != NULL;) {
        if (x->d_name[0] == '.' || strcmp(x->d_name, "fixtures") == 0) continue;
        snprintf(from, sizeof from, "%s/%s", TINY_DIR, x->d_name);
        snprintf(to, sizeof to, "%s/%s", dir, x->d_name);
        copy_bytes(from, to);
    }
    closedir(d);
    return dir;
}

// The first n cases.
static inline void shorten_fixture(const char *from, const char *to, int n)
{
    static const int FIRST[] = { 0, 1, 2, 3 };
    ck_assert_int_le(n, 4);
    pick_cases(from, to, FIRST, n);
}

// The built-in gate, satisfied with n cases (one digit) and as few steps, as a file: for fixtures shortened where time
// is short.
static inline void gate_for_cases(const char *to, int n)
{
    err     e = { 0 };
    char   *text = NULL;
    int64_t bytes;
    ck_assert_msg(file_read_text(&text, &bytes, SOURCE_DIR "/verify/gate.json", 1 << 20, &e), "%s", e.msg);
    char *cases = strstr(text, "\"cases\": 4"), *steps = strstr(text, "\"steps\": 100");
    ck_assert(cases && steps);
    cases[strlen("\"cases\": ")] = (char)('0' + n);
    memcpy(steps + strlen("\"steps\": "), "1  ", 3);
    ck_assert_msg(outfile_write_whole(to, text, (int64_t)strlen(text), &e), "%s", e.msg);
    free(text);
}

// Four cases of a committed fixture, as many as the built-in gate asks for: they reach the code that all fourteen reach
// (a window that is full more than twice, a prompt of several batches, text of several bytes a character). For whatever
// is not about how many cases are equal.
enum { SAMPLED_CASES = 4 };
static inline const char *sampled_path(const char *name)
{
    static const int WHICH[SAMPLED_CASES] = { 0, 5, 10, 13 };
    static char buf[4][512];
    static int  next;
    char from[512], *p = buf[next++ % 4];
    snprintf(p, sizeof buf[0], "%s/%s.json.gz", scratch, name);
    snprintf(from, sizeof from, "%s/fixtures/%s.json.gz", TINY_DIR, name);
    if (access(p, R_OK) != 0) pick_cases(from, p, WHICH, SAMPLED_CASES);
    return p;
}

// A committed fixture, whole. Sanitizers slow a run about twentyfold and look for other things than numbers: there it
// is the sample, and said.
#if defined(__SANITIZE_ADDRESS__) || defined(HALLMARK_SAMPLE_FIXTURES)
enum { FIXTURE_CASES = SAMPLED_CASES };
static inline const char *fixture_path(const char *name)
{
    static bool said;
    if (!said) printf("SMALLER under sanitizers: %d of 14 cases of each fixture\n", FIXTURE_CASES);
    said = true;
    return sampled_path(name);
}
#else
enum { FIXTURE_CASES = 14 };
static inline const char *fixture_path(const char *name)
{
    static char buf[4][768];
    static int  next;
    char *p = buf[next++ % 4];
    snprintf(p, sizeof buf[0], "%s/fixtures/%s.json.gz", TINY_DIR, name);
    return p;
}
#endif

static inline const char *convert_tiny(const char *name, file_type type)
{
    err e = { 0 };
    convert_opts o = { .type = type };
    const char *path = in_scratch(name);
    ck_assert_msg(convert_checkpoint(TINY_DIR, path, &o, &e), "%s", e.msg);
    return path;
}

// ---- running -------------------------------------------------------------------------------------------------------

static inline verify_report verify_with(const char *artifact, const char *fixture_file, const verify_opts *o)
{
    verify_report r;
    err e = { 0 };
    const char *list[] = { fixture_file };
    ck_assert_msg(verify_artifact(&r, artifact, list, 1, o, &e), "%s", e.msg);
    return r;
}

static inline verify_report verify_plain(const char *artifact, const char *fixture_file)
{
    verify_opts o = { 0 };
    return verify_with(artifact, fixture_file, &o);
}

// The first failure that names a case, or the first of all.
static inline const verify_failure *first_in_a_case(const verify_report *r)
{
    const verify_fixture_result *x = &r->fixtures[0];
    for (int64_t i = 0; i < x->n_failures; i++)
        if (x->failures[i].case_id[0]) return &x->failures[i];
    return &x->failures[0];
}

static inline const verify_failure *failure_of(const verify_report *r, const char *what)
{
    for (int64_t i = 0; i < r->fixtures[0].n_failures; i++)
        if (strcmp(r->fixtures[0].failures[i].what, what) == 0) return &r->fixtures[0].failures[i];
    return NULL;
}

// ---- damaging ------------------------------------------------------------------------------------------------------

static inline void patch(const char *path, int64_t off, const void *bytes, int64_t n)
{
    int fd = open(path, O_WRONLY);
    ck_assert(fd >= 0 && pwrite(fd, bytes, (size_t)n, off) == n && close(fd) == 0);
}

static inline gguf *open_gguf(const char *path)
{
    err   e = { 0 };
    gguf *g = gguf_open(path, &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    return g;
}

// Where the value of a scalar lies in the file.
static inline int64_t value_off(const char *path, const char *key)
{
    gguf *g = open_gguf(path);
    const gguf_kv *kv = gguf_find_kv(g, key);
    ck_assert_msg(kv != NULL, "%s: no key %s", path, key);
    int64_t off = kv->off + 8 + (int64_t)strlen(key) + 4;
    gguf_close(g);
    return off;
}

static inline void patch_f32(const char *path, const char *key, float v)
{
    patch(path, value_off(path, key), &v, sizeof v);
}
static inline void patch_u32(const char *path, const char *key, uint32_t v)
{
    patch(path, value_off(path, key), &v, sizeof v);
}

static inline const char *copy_file(const char *from, const char *name)
{
    err      e = { 0 };
    file_map m = { 0 };
    const char *to = in_scratch(name);
    ck_assert_msg(file_map_open(&m, from, &e) && outfile_write_whole(to, m.data, m.size, &e), "%s", e.msg);
    file_map_close(&m);
    return to;
}

static inline void flip_bit(const char *path, const char *tensor, int64_t byte, int bit)
{
    gguf *g = open_gguf(path);
    const gguf_tensor *t = gguf_find_tensor(g, tensor);
    ck_assert_msg(t != NULL && byte < t->n_bytes, "%s: no tensor %s", path, tensor);
    uint8_t v = (uint8_t)(t->data[byte] ^ (1u << bit));
    int64_t off = t->off + byte;
    gguf_close(g);
    patch(path, off, &v, 1);
}

static inline void swap_tensors(const char *path, const char *a, const char *b)
{
    gguf *g = open_gguf(path);
    const gguf_tensor *ta = gguf_find_tensor(g, a), *tb = gguf_find_tensor(g, b);
    ck_assert(ta && tb && ta->n_bytes == tb->n_bytes && ta->type == tb->type);
    int64_t  n = ta->n_bytes, oa = ta->off, ob = tb->off;
    uint8_t *ca = malloc((size_t)n), *cb = malloc((size_t)n);
    memcpy(ca, ta->data, (size_t)n);
    memcpy(cb, tb->data, (size_t)n);
    gguf_close(g);
    patch(path, oa, cb, n);
    patch(path, ob, ca, n);
    free(ca);
    free(cb);
}

// Makes hallmark.tensor.sha256 true again, as one would who wants a damage not to show.
static inline void redigest(const char *path)
{
    gguf *g = open_gguf(path);
    const gguf_kv *kv = gguf_find_kv(g, KEY_HM_TENSOR_SHA);
    // type, element type, count
    int64_t n = gguf_n_tensors(g), at = kv->off + 8 + (int64_t)strlen(kv->key) + 4 + 4 + 8;
    char  (*hex)[SHA256_HEX + 1] = calloc((size_t)n, sizeof *hex);
    err     e = { 0 };
    for (int64_t i = 0; i < n; i++)
        ck_assert(sha256_bytes(gguf_tensor_at(g, i)->data, gguf_tensor_at(g, i)->n_bytes, hex[i], &e));
    gguf_close(g);
    for (int64_t i = 0; i < n; i++) patch(path, at + i * (8 + SHA256_HEX) + 8, hex[i], SHA256_HEX);
    free(hex);
    g = open_gguf(path);
    ck_assert_msg(claims_check_tensors(g, 1, NULL, &e), "%s", e.msg);
    gguf_close(g);
}

// Rewrites a file without the drop-th entry of an array of strings.
static inline const char *drop_string(const char *from, const char *name, const char *key, int64_t drop)
{
    err     e = { 0 };
    int64_t header, total;
    gguf   *g = open_gguf(from);
    gguf_plan *p = gguf_plan_new(gguf_alignment(g), &e);
    for (int64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        if (strcmp(kv->key, key) != 0) { ck_assert_msg(gguf_plan_copy_kv(p, kv, &e), "%s", e.msg); continue; }
        gguf_str *v = calloc((size_t)kv->n, sizeof *v);
        gguf_str_iter it = gguf_strs(kv);
        int64_t n = 0;
        for (int64_t k = 0; k < kv->n; k++) {
            ck_assert(gguf_next_str(&it, &v[n]));
            n += k != drop;
        }
        ck_assert_int_eq(n, kv->n - 1);
        ck_assert(gguf_plan_arr_str(p, key, v, n, &e));
        free(v);
    }
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        ck_assert(gguf_plan_tensor(p, t->name, t->type, t->n_dims, t->shape, &e));
    }
    ck_assert(gguf_plan_layout(p, &header, &total, &e));
    const char *to = in_scratch(name);
    outfile *f = outfile_open(to, total, &e);
    ck_assert(f && gguf_plan_write(p, f, &e));
    for (int64_t i = 0; i < gguf_n_tensors(g); i++)
        ck_assert(outfile_write_at(f, gguf_plan_tensor_at(p, i)->off, gguf_tensor_at(g, i)->data,
                                   gguf_tensor_at(g, i)->n_bytes, &e));
    ck_assert_msg(outfile_commit(f, &e), "%s", e.msg);
    gguf_plan_free(p);
    gguf_close(g);
    return to;
}

#endif
