// Proves formats/checkpoint.h, formats/hub_cache.h and formats/file_kind.h: what a path turns out to be, and what a
// message says to do about it. Whole commands in such situations: tests/field/found-*.json, hub-*.json and link-*.json.
#include "bytes.h"
#include "formats/checkpoint.h"
#include "formats/file_kind.h"
#include "formats/hub_cache.h"

#include <sys/stat.h>

#define SHA "0123456789abcdef0123456789abcdef01234567"

// Writes files ("a/b" makes the folder a) named in a list that NULL ends; each holds its own name.
static char *folder_with(const char *const *files)
{
    char *dir = new_dir(), sub[4200];
    for (; *files; files++) {
        snprintf(sub, sizeof sub, "%s/%s", dir, *files);
        for (char *c = sub + strlen(dir) + 1; (c = strchr(c, '/')); *c++ = '/') {
            *c = '\0';
            mkdir(sub, 0777);
        }
        write_file(sub, *files, (int64_t)strlen(*files));
    }
    return dir;
}

START_TEST(test_folders)
{
    static const struct { const char *files[5]; const char *says; } ROWS[] = {
        { { "config.json", "model.safetensors" }, NULL },
        { { "config.json", "model.safetensors.index.json" }, NULL },
        { { "config.json", "model.safetensors", "adapter_config.json", "pytorch_model.bin", "x.gguf" }, NULL },
        { { NULL }, "found an empty folder" },
        { { "config.json" }, "found config.json and no weights" },
        { { "config.json", "tokenizer.json" }, "found config.json and no weights" },
        { { "model.safetensors" }, "found weights and no config.json" },
        { { "notes.txt" }, "found none of a checkpoint's files" },
        { { "config.json", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json" },
          "found pytorch_model-00001-of-00002.bin and no safetensors" },
        { { "params.json", "consolidated.00.pth" }, "found consolidated.00.pth and no safetensors" },
        { { "config.json", "tf_model.h5" }, "found tf_model.h5" },
        { { "config.json", "flax_model.msgpack" }, "found flax_model.msgpack" },
        { { "config.json", "consolidated.safetensors" },
          "found 'consolidated.safetensors', expected model.safetensors" },
        { { "config.json", "model.fp16.safetensors" }, "found 'model.fp16.safetensors', expected model.safetensors" },
        { { "config.json", "model-00001-of-00002.safetensors" }, "no model.safetensors.index.json" },
        { { "adapter_config.json", "adapter_model.safetensors" },
          "found an adapter (LoRA), which is no model of its own" },
        { { "config.json", "adapter_model.safetensors" }, "found an adapter" },
        { { "a-BF16.gguf", "a-Q4_K_M.gguf" }, "found 2 GGUF files (a-BF16.gguf)" },
        { { "config.json", "model.safetensors.part" }, "found 'model.safetensors.part', a download that did not end" },
        { { "models--google--gemma-3-270m/refs/main" }, "such as 'google/gemma-3-270m'" },
        { { "models--gpt2/refs/main" }, "such as 'gpt2'" },
        { { "snapshots/" SHA "/config.json", "refs/main" }, "/snapshots/" SHA },
        { { "snapshots/x", "blobs/y" }, "expected one of its snapshots" },
        { { "run/config.json" }, "/run" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        err   e = { 0 };
        char *dir = folder_with(ROWS[i].files);
        ck_assert_msg(checkpoint_expect(dir, true, &e) == !ROWS[i].says, "row %zu: %s", i, e.msg);
        if (ROWS[i].says) check_refused(&e, ERR_INPUT, dir, ROWS[i].says);
        drop_dir(dir);
    }
    err   e = { 0 };
    char *dir = folder_with((const char *[]){ "config.json", NULL });
    ck_assert(checkpoint_expect(dir, false, &e));
    drop_dir(dir);
    // A folder called like a model of the cache, without anything in it: the command that would fill it.
    dir = folder_with((const char *[]){ "models--a--b/refs/main", NULL });
    ck_assert(!checkpoint_expect(in_dir(dir, "models--a--b"), true, &e));
    check_refused(&e, ERR_INPUT, "models--a--b", "without a snapshot; to download it: hf download a/b");
    drop_dir(dir);
}
END_TEST

START_TEST(test_ids)
{
    static const char *const GOOD[] = { "google/gemma-3-270m", "gpt2", "a/b", "a_b/c.d-e", "_a/b_", "0/1" };
    static const char *const BAD[] = { "",
                                       "/",
                                       "a/",
                                       "/a",
                                       "a/b/c",
                                       "./a",
                                       "../a",
                                       "a/..",
                                       "a b/c",
                                       "a/b.",
                                       "-a/b",
                                       "a/b-",
                                       "a--b/c",
                                       "a/b..c",
                                       "a/b.git",
                                       "~/x",
                                       "a\nb/c",
                                       "caf\xc3\xa9/x",
                                       "a/"
                                       "0123456789012345678901234567890123456789012345678901234567890123456789012345678"
                                       "901234567890123456" };
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) ck_assert_msg(hub_is_id(GOOD[i]), "%s", GOOD[i]);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) ck_assert_msg(!hub_is_id(BAD[i]), "%s", BAD[i]);
}
END_TEST

START_TEST(test_ids_of_paths)
{
    static const struct { const char *path, *id; } ROWS[] = {
        { "/c/models--google--gemma-3-270m/snapshots/" SHA, "google/gemma-3-270m" },
        { "models--gpt2", "gpt2" },
        { "/c/models--a--b/blobs", "a/b" },
        { "/c/xmodels--a--b/snapshots", NULL },
        { "/c/models--/x", NULL },
        { "/c/models--a--b--c/x", NULL },
        { "/c", NULL },
        { "", NULL },
        { "/models--..--x/models--a--b/x", "a/b" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        char *id = hub_id_of(ROWS[i].path);
        ck_assert_msg(ROWS[i].id ? id && strcmp(id, ROWS[i].id) == 0 : !id, "%s: %s", ROWS[i].path, id ? id : "none");
        free(id);
    }
}
END_TEST

#define HEX64 "ab23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

START_TEST(test_blobs)
{
    static const struct { const char *real, *dir; bool is; } ROWS[] = {
        { "/c/models--a--b/blobs/" SHA, "/c/models--a--b/snapshots/x", true },
        { "/c/models--a--b/blobs/" HEX64, "/home/me/model", true },
        { "/c/blobs/ab/" HEX64, "/c/models--a--b/snapshots/x", true },
        { "/c/blobs/cd/" HEX64, "/c/models--a--b/snapshots/x", false },
        { "/c/blobs/ab/" SHA, "/c/models--a--b/snapshots/x", false },
        { "/c/models--a--b/blobs/passwd", "/home/me/model", false },
        { "/c/renamed/blobs/etag", "/c/renamed/snapshots/x", true },
        { "/c/renamed/blobs/etag", "/c/other/snapshots/x", false },
        { "/c/renamed/blobs/etag", "/c/renamed", false },
        { "/c/renamed/blobs/x/y", "/c/renamed/snapshots/x", false },
        { "/etc/passwd", "/c/models--a--b/snapshots/x", false },
        { "/blobs", "/c", false },
        { "/", "/c", false },
        { "/a/blobs", "/c/snapshots/x", false },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        ck_assert_msg(hub_is_blob_of(ROWS[i].real, ROWS[i].dir) == ROWS[i].is, "row %zu", i);
}
END_TEST

START_TEST(test_kinds)
{
    static const struct { const char *bytes; int64_t n; const char *kind; } ROWS[] = {
        { "GGUF", 4, "a GGUF file" },
        { "GGU", 3, NULL },
        { "", 0, NULL },
        { "PK\3\4", 4, "a zip archive" },
        { "\x1f\x8b", 2, "gzip" },
        { "\xef\xbb\xbf{}", 5, "byte order mark" },
        { "\xff\xfe{\0", 4, "UTF-16" },
        { " \n<!DocType HTML>", 17, "an HTML page" },
        { "<html>", 6, "an HTML page" },
        { "\2\0\0\0\0\0\0\0{}", 10, "a safetensors file" },
        { "  {\"a\":1}", 9, "a JSON text" },
        { "plain", 5, NULL },
        { "Entry not found", 15, "Entry not found" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        uint8_t    *p = exact((const uint8_t *)ROWS[i].bytes, ROWS[i].n);
        const char *kind = file_kind(p, ROWS[i].n);
        ck_assert_msg(ROWS[i].kind ? kind && strstr(kind, ROWS[i].kind) : !kind, "row %zu: %s", i,
                      kind ? kind : "none");
        free(p);
    }
}
END_TEST

#define POINTER "version https://git-lfs.github.com/spec/v1\noid sha256:" HEX64 "\nsize "

START_TEST(test_pointers)
{
    static const struct { const char *path, *text; const char *says; } ROWS[] = {
        { "d/model.safetensors", POINTER "4967494592\n",
          "stands for a file of 4967494592 bytes that was not fetched; run: cd d && git lfs pull" },
        { "model.safetensors", POINTER "1\n", "run: git lfs pull" },
        { "/model.safetensors", POINTER "1\n", "run: cd / && git lfs pull" },
        { "it's/x", POINTER "1\n", "git lfs pull" },
        { "d/x", POINTER "99999999999999999999999999999\n", "git lfs pull" },
        { "d/x", "version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer that was not fetched" },
        { "d/x", "version https://hawser.github.com/spec/v1\noid sha256:a\nsize 5\n", "a file of 5 bytes" },
        { "d/x", "version https://example.org/\n", NULL },
        { "d/x", "", NULL },
        { "d/x", "version ", NULL },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        err e = { 0 };
        ck_assert_msg(file_is_no_pointer(ROWS[i].path, (const uint8_t *)ROWS[i].text, (int64_t)strlen(ROWS[i].text),
                                         &e) == !ROWS[i].says,
                      "row %zu", i);
        if (ROWS[i].says) check_refused(&e, ERR_INPUT, ROWS[i].path, ROWS[i].says);
    }
    // A text of 1024 bytes and more that begins so is no pointer, as git-lfs sees it.
    err    e = { 0 };
    buffer b = { 0 };
    put_text(&b, POINTER "1\n");
    while (b.n < 1023) put_u8(&b, 'x');
    ck_assert(!file_is_no_pointer("f", b.p, b.n, &e));
    put_u8(&b, 'x');
    ck_assert(file_is_no_pointer("f", b.p, b.n, &e));
    bytes_free(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("checkpoint");
    TCase *t = tcase_create("all");
    tcase_add_test(t, test_folders);
    tcase_add_test(t, test_ids);
    tcase_add_test(t, test_ids_of_paths);
    tcase_add_test(t, test_blobs);
    tcase_add_test(t, test_kinds);
    tcase_add_test(t, test_pointers);
    suite_add_tcase(s, t);
    return run_suite(s);
}
