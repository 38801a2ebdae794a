// Proves formats/sha256.h, formats/source.h and formats/claims.h. Known digests are what sha256sum prints.
#include "bytes.h"
#include "formats/claims.h"
#include "formats/sha256.h"
#include "formats/source.h"

#include <fcntl.h>
#include <sys/stat.h>

START_TEST(test_known_digests)
{
    // FIPS 180-4's examples.
    const struct { const char *text, *hex; } ROWS[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167"
                                                                      "f6ecedd419db06c1" },
    };
    char hex[SHA256_HEX + 1];
    err  e = { 0 };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        ck_assert(sha256_bytes(ROWS[i].text, (int64_t)strlen(ROWS[i].text), hex, &e));
        ck_assert_str_eq(hex, ROWS[i].hex);
        sha256 *s = sha256_new(&e);     // the same, a byte at a time
        for (const char *p = ROWS[i].text; *p; p++) ck_assert(sha256_add(s, p, 1, &e));
        ck_assert(sha256_end(s, hex, &e));
        ck_assert_str_eq(hex, ROWS[i].hex);
    }
    sha256_free(sha256_new(&e));
    sha256_free(NULL);
}
END_TEST

// printf 'aaa...' (a million of them) | sha256sum
static const char MILLION_A[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

typedef struct { progress p; int64_t total, done; } counter;
static void count_stage(progress *p, const char *stage, int64_t total) { ((counter *)p)->total = total; }
static void count_add(progress *p, const char *item, int64_t n)
{
#pragma omp atomic
    ((counter *)p)->done += n;
}

START_TEST(test_files)
{
    char   *dir = new_dir(), hex[SHA256_HEX + 1];
    buffer   b   = { 0 };
    err     e   = { 0 };
    for (int i = 0; i < 2500000; i++) put_u8(&b, 'a');
    write_file(in_dir(dir, "a"), b.p, 1000000);
    ck_assert(sha256_file(in_dir(dir, "a"), hex, &e));
    ck_assert_str_eq(hex, MILLION_A);
    ck_assert(!sha256_file(in_dir(dir, "none"), hex, &e));
    check_refused(&e, ERR_INPUT, "none", "cannot open");
    e = (err){ 0 };
    ck_assert(!sha256_file(dir, hex, &e));
    check_refused(&e, ERR_INPUT, dir, "found a folder");
    bytes_free(&b);
    drop_dir(dir);
}
END_TEST

// ---- the source ----------------------------------------------------------------------------------------------------

static void save(const char *dir, const char *name, const char *text) { write_text(in_dir(dir, name), text); }

START_TEST(test_source_digest)
{
    char *dir = new_dir();
    source_id id, again;
    err   e = { 0 };
    ck_assert(!source_digest(dir, 1, NULL, &id, &e));
    check_refused(&e, ERR_INPUT, dir, "found none of the files of a checkpoint");
    e = (err){ 0 };
    save(dir, "tokenizer.json", "abc");
    save(dir, "config.json", "");
    save(dir, "model-00002-of-00002.safetensors", "two");
    save(dir, "model-00001-of-00002.safetensors", "one");
    save(dir, "model.safetensors.index.json", "index");
    save(dir, "generation_config.json", "g");
    save(dir, "tokenizer_config.json", "t");
    save(dir, "chat_template.jinja", "c");
    save(dir, "README.md", "not part of it");
    save(dir, "xconfig.json", "nor this");
    save(dir, "model.safetensors.bak", "nor this");
    counter c = { .p = { .stage = count_stage, .add = count_add } };
    ck_assert_msg(source_digest(dir, 1, &c.p, &id, &e), "%s", e.msg);
    ck_assert(c.total == 17 && c.done == 17);
    // (cd DIR && LC_ALL=C sha256sum *.safetensors *.safetensors.index.json config.json generation_config.json
    // tokenizer.json
    //  tokenizer_config.json chat_template.jinja | LC_ALL=C sort -k2 | sha256sum)
    ck_assert_str_eq(id.v1, "fc6a70afefa449b36f407d4fe20f29b9f93c81b1ab6b9ede536628329dfc65a3");
    ck_assert_str_eq(id.v2, id.v1);         // no file that only the second list has
    for (int threads = 0; threads < 9; threads += 4) {
        ck_assert(source_digest(dir, threads, NULL, &again, &e));
        ck_assert_str_eq(again.v2, id.v2);
    }
    save(dir, "README.md", "changed");
    ck_assert(source_digest(dir, 2, NULL, &again, &e));
    ck_assert_str_eq(again.v2, id.v2);
    save(dir, "chat_template.jinja", "C");
    ck_assert(source_digest(dir, 2, NULL, &again, &e));
    ck_assert_str_ne(again.v2, id.v2);
    // Links are followed; a dead one is an error that names the file.
    ck_assert_int_eq(rename(in_dir(dir, "chat_template.jinja"), in_dir(dir, "blob")), 0);
    save(dir, "blob", "c");
    ck_assert_int_eq(symlink("blob", in_dir(dir, "chat_template.jinja")), 0);
    ck_assert(source_digest(dir, 2, NULL, &again, &e));
    ck_assert_str_eq(again.v2, id.v2);
    unlink(in_dir(dir, "blob"));
    ck_assert(!source_digest(dir, 2, NULL, &again, &e));
    check_refused(&e, ERR_INPUT, "chat_template.jinja", "is a link to blob, which is not there");
    e = (err){ 0 };
    unlink(in_dir(dir, "chat_template.jinja"));
    save(dir, "a\nb.safetensors", "forged line");
    ck_assert(!source_digest(dir, 2, NULL, &again, &e));
    check_refused(&e, ERR_INPUT, dir, "a control character or backslash");
    e = (err){ 0 };
    ck_assert(!source_digest(in_dir(dir, "none"), 2, NULL, &again, &e));
    check_refused(&e, ERR_INPUT, "none", "cannot open the folder");
    drop_dir(dir);
}
END_TEST

// What was added to the list since version 1. A folder x.jinja is no template, to Transformers neither.
START_TEST(test_longer_list)
{
    char     *dir = new_dir();
    source_id id, before;
    err       e = { 0 };
    save(dir, "config.json", "c");
    save(dir, "model.safetensors", "m");
    ck_assert(source_digest(dir, 1, NULL, &before, &e));
    static const char *const MORE[] = { "chat_template.json", "added_tokens.json", "special_tokens_map.json",
                                        "tokenizer.model",    "vocab.json",        "merges.txt" };
    for (size_t i = 0; i < sizeof MORE / sizeof MORE[0]; i++) {
        save(dir, MORE[i], "x");
        ck_assert(source_digest(dir, 1, NULL, &id, &e));
        ck_assert_str_eq(id.v1, before.v1);
        ck_assert_str_ne(id.v2, before.v2);
        ck_assert_str_ne(id.v2, id.v1);
        before = id;
    }
    ck_assert_int_eq(mkdir(in_dir(dir, SOURCE_TEMPLATES), 0777), 0);
    ck_assert_int_eq(mkdir(in_dir(dir, SOURCE_TEMPLATES "/folder.jinja"), 0777), 0);
    save(dir, SOURCE_TEMPLATES "/notes.txt", "no template");
    ck_assert(source_digest(dir, 1, NULL, &id, &e));
    ck_assert_str_eq(id.v2, before.v2);
    save(dir, SOURCE_TEMPLATES "/tool_use.jinja", "t");
    save(dir, SOURCE_TEMPLATES "/.x.jinja", "h");
    ck_assert_msg(source_digest(dir, 1, NULL, &id, &e), "%s", e.msg);
    ck_assert_str_eq(id.v1, before.v1);
    // cd DIR && LC_ALL=C sha256sum added_tokens.json additional_chat_templates/.x.jinja
    // additional_chat_templates/tool_use.jinja
    //  chat_template.json config.json merges.txt model.safetensors special_tokens_map.json tokenizer.model vocab.json |
    //  sha256sum
    ck_assert_str_eq(id.v2, "86c3e0e5d914625a44baf45f2f6efb6bb5ab1ef5ec3e6e8320b2252bb4ba0778");
    drop_dir(dir);
}
END_TEST

// Who is of the same source: by the longer list where both know it, else by the shorter one.
START_TEST(test_same_source)
{
    #define SHA(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
    const char *a = SHA("aa"), *b = SHA("bb"), *c = SHA("cc");
    source_id x, y;
    const struct { int64_t vx; const char *dx, *ox; int64_t vy; const char *dy, *oy; bool same; } ROWS[] = {
        { 1, a, "", 1, a, "", true }, { 1, a, "", 1, b, "", false },   { 2, a, "", 1, a, "", true },
        { 1, a, "", 2, a, "", true }, { 2, b, a, 1, a, "", true },     { 1, a, "", 2, b, a, true },
        { 2, b, a, 1, b, "", false }, { 2, b, a, 2, b, a, true },      { 2, b, a, 2, c, a, false },
        { 2, a, "", 2, b, a, false }, { 2, "", "", 2, "", "", false }, { 1, "", "", 1, a, "", false },
        { 1, a, c, 2, b, c, false },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        source_id_said(&x, ROWS[i].vx, ROWS[i].dx, ROWS[i].ox);
        source_id_said(&y, ROWS[i].vy, ROWS[i].dy, ROWS[i].oy);
        ck_assert_msg(source_id_same(&x, &y) == ROWS[i].same, "row %zu", i);
        ck_assert_msg(source_id_same(&y, &x) == ROWS[i].same, "row %zu, turned round", i);
    }
}
END_TEST

START_TEST(test_source_revision)
{
    const char REV[] = "0123456789abcdef0123456789abcdef01234567";
    const struct { const char *path; bool known; } ROWS[] = {
        { "/x/models--a--b/snapshots/0123456789abcdef0123456789abcdef01234567", true },
        { "/x/models--a--b/snapshots/0123456789abcdef0123456789abcdef01234567/", true },
        { "snapshots/0123456789abcdef0123456789abcdef01234567/sub", true },
        { "/snapshots/x/snapshots/0123456789abcdef0123456789abcdef01234567", true },
        { "/x/snapshots/0123456789abcdef0123456789abcdef0123456", false },
        { "/x/snapshots/0123456789abcdef0123456789abcdef012345678", false },
        { "/x/snapshots/0123456789ABCDEF0123456789abcdef01234567", false },
        { "/x/mysnapshots/0123456789abcdef0123456789abcdef01234567", false },
        { "/x/0123456789abcdef0123456789abcdef01234567", false },
        { "", false },
    };
    char rev[41];
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        source_revision(ROWS[i].path, rev);
        ck_assert_msg(strcmp(rev, ROWS[i].known ? REV : "") == 0, "%s: %s", ROWS[i].path, rev);
    }
    // A link into the cache.
    char *dir = new_dir(), to[4400];
    snprintf(to, sizeof to, "mkdir -p '%s/snapshots/%s'", dir, REV);
    ck_assert_int_eq(system(to), 0);
    snprintf(to, sizeof to, "%s/snapshots/%s", dir, REV);
    ck_assert_int_eq(symlink(to, in_dir(dir, "here")), 0);
    source_revision(in_dir(dir, "here"), rev);
    ck_assert_str_eq(rev, REV);
    source_revision(dir, rev);
    ck_assert_str_eq(rev, "");
    drop_dir(dir);
}
END_TEST

// ---- the artifact --------------------------------------------------------------------------------------------------

START_TEST(test_required_kv)
{
    ck_assert_str_eq(claims_required_kv("BF16"), "bf16");
    ck_assert_str_eq(claims_required_kv("bf16"), "bf16");
    const char *F32[] = { "F32", "F16", "Q8_0", "Q4_K_M", "Q2_K", "" };
    for (size_t i = 0; i < sizeof F32 / sizeof F32[0]; i++) ck_assert_str_eq(claims_required_kv(F32[i]), "f32");
}
END_TEST

enum { N_TENSORS = 3, N_BYTES = 1000003 };

// A small artifact at dir/a.gguf: tensors of bytes 'a', with their digests and `record` in place.
static void save_artifact(const char *dir, const char *record)
{
    err     e = { 0 };
    int64_t h, n, size[N_TENSORS] = { 1000000, 3, 77 };
    char    digests[N_TENSORS][SHA256_HEX + 1], name[8] = "w0", padded[CLAIMS_RECORD_BYTES];
    uint8_t *data = malloc(N_BYTES);
    memset(data, 'a', N_BYTES);
    gguf_plan *p = gguf_plan_new(32, &e);
    ck_assert(gguf_plan_str(p, "general.architecture", "gemma4", &e));
    for (int i = 0; i < N_TENSORS; i++, name[1]++) {
        ck_assert(gguf_plan_tensor(p, name, DT_I8, 1, &size[i], &e));
        ck_assert(sha256_bytes(data, size[i], digests[i], &e));
    }
    ck_assert(claims_plan(p, "BF16",
                          &(claims_source){ .digest = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e"
                                                      "9" },
                          &e));
    ck_assert(gguf_plan_layout(p, &h, &n, &e));
    ck_assert_msg(claims_set_digests(p, digests, &e), "%s", e.msg);
    if (record)
        ck_assert(claims_pad_record(record, padded, &e) &&
                  gguf_plan_strn(p, KEY_HM_VERIFICATION, padded, sizeof padded, &e));
    outfile *f = outfile_open(in_dir(dir, "a.gguf"), n, &e);
    for (int i = 0; i < N_TENSORS; i++)
        ck_assert(outfile_write_at(f, gguf_plan_tensor_at(p, i)->off, data, size[i], &e));
    ck_assert_msg(gguf_plan_write(p, f, &e) && outfile_commit(f, &e), "%s", e.msg);
    gguf_plan_free(p);
    free(data);
}

static void patch(const char *path, int64_t off, const void *v, size_t n)
{
    FILE *f = fopen(path, "r+b");
    ck_assert(f && fseek(f, off, SEEK_SET) == 0 && fwrite(v, 1, n, f) == n && fclose(f) == 0);
}

// What a file requires follows from all its tensors: one that is neither BF16 nor F32 makes it F32.
START_TEST(test_required_cache_of_mixed_files)
{
    static const struct { const char *label; dtype second; const char *kv; } rows[] = {
        { "BF16", DT_BF16, "bf16" }, { "BF16", DT_F32, "bf16" },   { "BF16", DT_I32, "bf16" },
        { "BF16", DT_Q8_0, "f32" },  { "BF16", DT_F16, "f32" },    { "BF16", DT_Q4_K, "f32" },
        { "F32", DT_BF16, "f32" },   { "Q4_K_M", DT_BF16, "f32" },
    };
    static const int64_t shape[2] = { 1, 256 };
    static const uint8_t zeros[1024];
    char *dir = new_dir();
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        err     e = { 0 };
        int64_t head, bytes;
        gguf_str kv;
        gguf_plan *p = gguf_plan_new(32, &e);
        ck_assert(gguf_plan_tensor(p, "a", DT_BF16, 2, shape, &e) &&
                  gguf_plan_tensor(p, "b", rows[k].second, 2, shape, &e));
        ck_assert_msg(claims_plan(p, rows[k].label, NULL, &e) && gguf_plan_layout(p, &head, &bytes, &e), "%s", e.msg);
        outfile *f = outfile_open(in_dir(dir, "m.gguf"), bytes, &e);
        for (int i = 0; i < 2; i++) {
            const gguf_tensor *t = gguf_plan_tensor_at(p, i);
            int64_t n;
            ck_assert(dtype_bytes(t->type, t->n_dims, t->shape, &n) && outfile_write_at(f, t->off, zeros, n, &e));
        }
        ck_assert_msg(gguf_plan_write(p, f, &e) && outfile_commit(f, &e), "%s", e.msg);
        gguf_plan_free(p);
        gguf *g = gguf_open(in_dir(dir, "m.gguf"), &e);
        ck_assert_msg(g && gguf_get_str(g, KEY_HM_KV_TYPE, &kv, &e), "%s", e.msg);
        ck_assert_msg(kv.n == (int64_t)strlen(rows[k].kv) && memcmp(kv.s, rows[k].kv, (size_t)kv.n) == 0, "%s",
                      rows[k].label);
        ck_assert_str_eq(claims_kv_of(g, rows[k].label), rows[k].kv);
        ck_assert_msg(claims_check_keys(g, rows[k].label, &e), "%s", e.msg);
        gguf_close(g);
    }
    drop_dir(dir);
}
END_TEST

START_TEST(test_plan_and_check)
{
    char *dir = new_dir(), hex[SHA256_HEX + 1], meta[SHA256_HEX + 1], meta2[SHA256_HEX + 1];
    err   e = { 0 };
    save_artifact(dir, NULL);
    gguf *g = gguf_open(in_dir(dir, "a.gguf"), &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    gguf_str s;
    int64_t  v, off;
    ck_assert(gguf_get_i64(g, KEY_HM_VERSION, &v, &e) && v == 2);
    ck_assert(gguf_get_str(g, KEY_HM_KV_TYPE, &s, &e) && s.n == 4 && memcmp(s.s, "bf16", 4) == 0);
    ck_assert(gguf_get_str(g, KEY_HM_ATTN_MATH, &s, &e) && s.n == 3);
    ck_assert(gguf_get_str(g, KEY_HM_SOURCE_DIGEST, &s, &e) && s.n == 64);
    ck_assert_ptr_null(gguf_find_kv(g, KEY_HM_SOURCE_REV));
    ck_assert_msg(claims_find_record(g, &s, &off, &e) && s.n == 2 && memcmp(s.s, "{}", 2) == 0, "%s", e.msg);
    counter c = { .p = { .stage = count_stage, .add = count_add } };
    ck_assert_msg(claims_check_tensors(g, 2, &c.p, &e), "%s", e.msg);
    ck_assert(c.total == 1000080 && c.done == 1000080);
    // printf '%s\n' of: a million a, "aaa", 77 a (each through sha256sum) | sha256sum
    ck_assert(claims_weights_digest(g, hex, &e));
    ck_assert_str_eq(hex, "a29efbc3d2bf21a4fd4f2f7c6728a988afcce305c2199f5b129beffa883c88f3");
    ck_assert(claims_metadata_digest(g, meta, &e));
    gguf_close(g);

    // The record can be filled in where it stands, and binds nothing of itself.
    char padded[CLAIMS_RECORD_BYTES];
    ck_assert(claims_pad_record("{\"result\":\"passed\"}", padded, &e));
    patch(in_dir(dir, "a.gguf"), off, padded, sizeof padded);
    g = gguf_open(in_dir(dir, "a.gguf"), &e);
    ck_assert(claims_find_record(g, &s, &off, &e) && s.n == 19 && memcmp(s.s, "{\"result\":\"passed\"}", 19) == 0);
    ck_assert(claims_metadata_digest(g, meta2, &e));
    ck_assert_str_eq(meta, meta2);
    ck_assert(claims_check_tensors(g, 1, NULL, &e));
    const gguf_kv *kv = gguf_find_kv(g, KEY_HM_KV_TYPE);
    int64_t kv_at = kv->off + 8 + (int64_t)strlen(kv->key) + 4 + 8, w1 = gguf_find_tensor(g, "w1")->off,
            w2 = gguf_find_tensor(g, "w2")->off;
    gguf_close(g);

    // Any other pair is bound.
    patch(in_dir(dir, "a.gguf"), kv_at, "f32 ", 4);
    g = gguf_open(in_dir(dir, "a.gguf"), &e);
    ck_assert(claims_metadata_digest(g, meta2, &e));
    ck_assert_str_ne(meta, meta2);
    gguf_close(g);

    // One bit in two tensors: the first one is named, whatever the threads do.
    patch(in_dir(dir, "a.gguf"), w2 + 76, "c", 1);
    patch(in_dir(dir, "a.gguf"), w1 + 1, "c", 1);
    for (int threads = 0; threads < 4; threads++) {
        e = (err){ 0 };
        g = gguf_open(in_dir(dir, "a.gguf"), &e);
        ck_assert(!claims_check_tensors(g, threads, NULL, &e));
        check_refused(&e, ERR_VERDICT, "a.gguf", "tensor 'w1': offset");
        check_refused(&e, ERR_VERDICT, "a.gguf",
                      "expected 9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0");
        gguf_close(g);
    }
    drop_dir(dir);
}
END_TEST

static void check_list(const gguf_str *list, int64_t n, err_kind kind, const char *says)
{
    err     e = { 0 };
    int64_t h, size, header_bytes, two = 2;
    char    hex[SHA256_HEX + 1];
    uint8_t *header, *file;
    gguf_plan *p = gguf_plan_new(32, &e);
    ck_assert(gguf_plan_tensor(p, "x", DT_I8, 1, &two, &e) && gguf_plan_tensor(p, "y", DT_I8, 1, &two, &e));
    ck_assert(!list || gguf_plan_arr_str(p, KEY_HM_TENSOR_SHA, list, n, &e));
    ck_assert(gguf_plan_layout(p, &h, &size, &e) && gguf_plan_header(p, &header, &header_bytes, &e));
    file = calloc(1, (size_t)size);
    memcpy(file, header, (size_t)header_bytes);
    gguf *g = gguf_open_mem(file, size, "list.gguf", &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    ck_assert_int_eq(claims_check_tensors(g, 2, NULL, &e), kind == ERR_NONE);
    if (kind != ERR_NONE) check_refused(&e, kind, "list.gguf", says);
    e = (err){ 0 };
    ck_assert_int_eq(claims_weights_digest(g, hex, &e), kind == ERR_NONE);
    gguf_close(g);
    gguf_plan_free(p);
    free(header);
    free(file);
}

START_TEST(test_malformed_claims)
{
    // printf '\0\0' | sha256sum
    const char D[] = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    check_list((gguf_str[]){ { D, 64 }, { D, 64 } }, 2, ERR_NONE, NULL);
    check_list(NULL, 0, ERR_INPUT, "the file carries no digests");
    check_list((gguf_str[]){ { D, 64 } }, 1, ERR_VERDICT, "found 1 digests, expected one for each of 2 tensors");
    check_list((gguf_str[]){ { D, 64 }, { D, 63 } }, 2, ERR_VERDICT, "found a malformed digest at index 1");
    check_list((gguf_str[]){ { D, 64 }, { D, 0 } }, 2, ERR_VERDICT, "found a malformed digest at index 1");
    check_list((gguf_str[]){ { "96A296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", 64 }, { D, 64 } }, 2,
               ERR_VERDICT, "a malformed digest at index 0");
    char out[CLAIMS_RECORD_BYTES], big[CLAIMS_RECORD_BYTES + 2];
    err  e = { 0 };
    memset(big, 'x', sizeof big);
    big[CLAIMS_RECORD_BYTES] = '\0';
    ck_assert(claims_pad_record(big, out, &e) && memcmp(big, out, sizeof out) == 0);
    big[CLAIMS_RECORD_BYTES] = 'x';
    big[CLAIMS_RECORD_BYTES + 1] = '\0';
    ck_assert(!claims_pad_record(big, out, &e));
    check_refused(&e, ERR_SYSTEM, KEY_HM_VERIFICATION, "found a record of 65537 bytes, expected at most 65536");
}
END_TEST

// Keys that came along from another file are replaced, or removed where nothing is known.
START_TEST(test_plan_replaces_copied_claims)
{
    err e = { 0 };
    gguf_plan *p = gguf_plan_new(32, &e);
    ck_assert(gguf_plan_str(p, KEY_HM_KV_TYPE, "bf16", &e) && gguf_plan_str(p, KEY_HM_SOURCE_REV, "old", &e) &&
              gguf_plan_str(p, KEY_HM_SOURCE_DIGEST, "old", &e) && gguf_plan_str(p, KEY_HM_SOURCE_V1, "old", &e));
    ck_assert(claims_plan(p, "Q4_K_M", NULL, &e));
    ck_assert(gguf_plan_find(p, KEY_HM_SOURCE_V1) == NULL);
    ck_assert(gguf_plan_find(p, KEY_HM_SOURCE_REV) == NULL && gguf_plan_find(p, KEY_HM_SOURCE_DIGEST) == NULL);
    gguf_str s;
    ck_assert(gguf_kv_str(gguf_plan_find(p, KEY_HM_KV_TYPE), &s) && s.n == 3 && memcmp(s.s, "f32", 3) == 0);
    ck_assert(gguf_kv_str(gguf_plan_find(p, KEY_HM_VERIFICATION), &s) && s.n == CLAIMS_RECORD_BYTES);
    gguf_plan_free(p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("claims");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_known_digests);
    tcase_add_test(t, test_files);
    tcase_add_test(t, test_source_digest);
    tcase_add_test(t, test_longer_list);
    tcase_add_test(t, test_same_source);
    tcase_add_test(t, test_source_revision);
    tcase_add_test(t, test_required_kv);
    tcase_add_test(t, test_plan_and_check);
    tcase_add_test(t, test_required_cache_of_mixed_files);
    tcase_add_test(t, test_malformed_claims);
    tcase_add_test(t, test_plan_replaces_copied_claims);
    suite_add_tcase(s, t);
    return run_suite(s);
}
