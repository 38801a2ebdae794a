// Proves that arrows between the folders point one way (ARCHITECTURE.md): every #include of a folder's sources names
// the folder itself or one below it.
#include "formats/file_map.h"
#include "suite.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A folder and those that it may name. Subfolders belong to their folder.
typedef struct { const char *name, *may[10]; } folder;
static const folder FOLDERS[] = {
    { "formats", { NULL } },
    { "device",  { "formats" } },
    { "arch",    { "formats" } },
    { "quant",   { "arch", "formats", "device" } },
    { "convert", { "quant", "arch", "formats" } },
    { "runtime", { "quant", "arch", "formats", "device" } },
    { "measure", { "convert", "runtime", "quant", "arch", "formats" } },
    { "verify",  { "measure", "convert", "runtime", "quant", "arch", "formats" } },
    { "release", { "verify", "measure", "convert", "runtime", "quant", "arch", "formats" } },
    { "cli",     { "release", "verify", "measure", "convert", "runtime", "quant", "arch", "formats" } },
};
enum { N_FOLDERS = sizeof FOLDERS / sizeof *FOLDERS };

// The folder that an #include in `dir` ("runtime/cuda") leads to: its first part once each ".." has taken one away.
static void target_of(char out[64], const char *dir, const char *include)
{
    char path[256];
    snprintf(path, sizeof path, "%s", dir);
    for (; strncmp(include, "../", 3) == 0; include += 3) {
        char *cut = strrchr(path, '/');
        if (cut) *cut = 0;
        else path[0] = 0;
    }
    const char *whole = path[0] ? path : include;
    snprintf(out, 64, "%.*s", (int)strcspn(whole, "/"), whole);
}

// What stands against the #include lines of a source; true: nothing.
static bool obeys(const folder *f, const char *dir, const char *text, char *why, size_t size)
{
    static const char mark[] = "#include \"";
    for (const char *at = text; (at = strstr(at, mark)) != NULL;) {
        char include[200], to[64];
        at += sizeof mark - 1;
        snprintf(include, sizeof include, "%.*s", (int)strcspn(at, "\"\n"), at);
        target_of(to, dir, include);
        if (strcmp(to, f->name) == 0) continue;
        bool known = false;
        for (const char *const *m = f->may; *m; m++) known |= strcmp(*m, to) == 0;
        if (known) continue;
        snprintf(why, size, "#include \"%s\" leads to %s", include, to);
        return false;
    }
    return true;
}

static bool is_source(const char *name)
{
    static const char *const ends[] = { ".c", ".h", ".inc", ".cu", ".cuh", ".cpp" };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
        if (strcmp(dot, ends[i]) == 0) return true;
    return false;
}

static int check_dir(const folder *f, const char *dir)
{
    int  n = 0;
    char path[512], why[512];
    snprintf(path, sizeof path, SOURCE_DIR "/%s", dir);
    DIR *d = opendir(path);
    ck_assert_msg(d != NULL, "%s", path);
    for (struct dirent *x; (x = readdir(d)) != NULL;) {
        char   *text, below[300];
        int64_t size;
        err     e = { 0 };
        if (x->d_name[0] == '.') continue;
        snprintf(below, sizeof below, "%s/%.200s", dir, x->d_name);
        if (x->d_type == DT_DIR) {
            n += check_dir(f, below);
            continue;
        }
        if (!is_source(x->d_name)) continue;
        snprintf(path, sizeof path, SOURCE_DIR "/%s", below);
        ck_assert_msg(file_read_text(&text, &size, path, 1 << 22, &e), "%s", e.msg);
        ck_assert_msg(obeys(f, dir, text, why, sizeof why), "%s: %s, which %s may not name", below, why, f->name);
        free(text);
        n++;
    }
    closedir(d);
    return n;
}

START_TEST(arrows_point_one_way)
{
    ck_assert_int_gt(check_dir(&FOLDERS[_i], FOLDERS[_i].name), 0);
}
END_TEST

// The check itself: an arrow that points back is seen, wherever it stands.
START_TEST(an_arrow_that_points_back_is_seen)
{
    static const struct { int folder; const char *dir, *text; bool ok; } cases[] = {
        { 3, "quant", "#include \"policy.h\"\n#include \"../formats/gguf.h\"\n", true },
        { 3, "quant", "#include \"../formats/gguf.h\"\n  #include \"../convert/convert.h\"\n", false },
        { 5, "runtime/cuda/host", "#include \"../../../device/gpu.h\"\n#include \"../../backend.h\"\n", true },
        { 5, "runtime/cuda", "#include \"../../verify/gate.h\"\n", false },
        { 0, "formats", "#include \"../quant/codec.h\"\n", false },
        { 8, "release", "#include \"../cli/cli.h\"\n", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[512] = "";
        const bool ok = obeys(&FOLDERS[cases[i].folder], cases[i].dir, cases[i].text, why, sizeof why);
        ck_assert_msg(ok == cases[i].ok, "case %d: %s", (int)i, why);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("arrows");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, arrows_point_one_way, 0, N_FOLDERS);
    tcase_add_test(t, an_arrow_that_points_back_is_seen);
    suite_add_tcase(s, t);
    return run_suite(s);
}
