// Proves that the documents name what is there: each path and each `file:function` that they name in backquotes, the
// first column of their tables of files, folders and suites, and the tests that sources say they are proved by.
#include "formats/file_map.h"
#include "suite.h"
#include "texts.h"

#include <check.h>
#include <ctype.h>
#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 1024 };

// What paths here are made of; in documents also patterns.
#define NAME_CHARS    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./"
#define PATTERN_CHARS NAME_CHARS "*{},-"

// ---- is it there? -------------------------------------------------------------------------------

// dir/name, dir "": name alone.
static void join(char out[PATH_BYTES], const char *dir, const char *name)
{
    const int n = snprintf(out, PATH_BYTES, "%s%s%s", dir, *dir ? "/" : "", name);
    ck_assert_int_lt(n, PATH_BYTES);
}

// Where `path` (which may hold * and {a,b}) leads to, from the folder `dir` below the root ("": the root itself).
static bool find_file(char found[PATH_BYTES], const char *dir, const char *path)
{
    char   below[PATH_BYTES], pattern[PATH_BYTES];
    glob_t g;
    join(below, dir, path);
    join(pattern, SOURCE_DIR, below);
    const bool ok = glob(pattern, GLOB_BRACE, NULL, &g) == 0;
    if (ok) snprintf(found, PATH_BYTES, "%s", g.gl_pathv[0]);
    globfree(&g);
    return ok;
}

// A document names files from the root, or from its own folder.
static bool find_named(char found[PATH_BYTES], const char *dir, const char *path)
{
    return find_file(found, "", path) || find_file(found, dir, path);
}

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

// Is `name` a whole word of a line that begins at the margin? There definitions stand, and calls do not.
static bool defines(const char *text, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = text; (at = strstr(at, name)) != NULL; at += n) {
        const char *line = at;
        while (line > text && line[-1] != '\n') line--;
        const bool whole = (at == text || !is_word(at[-1])) && !is_word(at[n]);
        if (whole && !isspace((unsigned char)*line) && strncmp(line, "//", 2) != 0) return true;
    }
    return false;
}

// ---- what is a path? ----------------------------------------------------------------------------

// Endings that files of the repository have and files that users are told of do not.
static bool has_source_ending(const char *path)
{
    static const char *const ends[] = {
        ".c", ".h", ".inc", ".cu", ".cuh", ".cpp", ".py", ".sh", ".md", ".jsonl", ".cmake",
    };
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
        if (strcmp(dot, ends[i]) == 0) return true;
    return false;
}

// A name of a source file, or something below a folder that is there. Words of a command line may be anything.
static bool is_path(const char *word)
{
    char top[PATH_BYTES], found[PATH_BYTES];
    const char *slash = strchr(word, '/');
    if (!is_word(word[0]) || word[strspn(word, PATTERN_CHARS)]) return false;
    if (has_source_ending(word)) return true;
    snprintf(top, sizeof top, "%.*s", slash ? (int)(slash - word) : 0, word);
    return slash && strcmp(top, "build") != 0 && find_file(found, "", top);
}

// What stands against one word of a document in folder `dir`; true: nothing. *n counts what was looked at.
static bool check_word(const char *dir, char *word, int *n, char *why, size_t size)
{
    char  found[PATH_BYTES];
    char *colon = strchr(word, ':'), *function = colon && colon[1] && !strchr(colon, '/') ? colon + 1 : NULL;
    if (colon) *colon = 0;
    while (*word == '.' && word[1] == '/') word += 2;
    word[strcspn(word, ";")] = 0;
    if (!is_path(word)) return true;
    ++*n;
    if (!find_named(found, dir, word)) {
        snprintf(why, size, "'%s' is not there", word);
        return false;
    }
    if (!function) return true;
    char *text = read_text(found);
    const bool ok = defines(text, function);
    if (!ok) snprintf(why, size, "'%s' has no '%s'", word, function);
    free(text);
    return ok;
}

// ---- a document ---------------------------------------------------------------------------------

// The words of each `span`; what stands in blocks of code between ``` is code.
static bool check_spans(const char *dir, const char *text, int *n, char *why, size_t size)
{
    for (const char *at = text; (at = strchr(at, '`')) != NULL;) {
        if (strncmp(at, "```", 3) == 0) {
            at = strstr(at + 3, "```");
            if (!at) return true;
            at += 3;
            continue;
        }
        const char *end = strchr(at + 1, '`');
        char        span[PATH_BYTES], *rest = span, *word;
        if (!end) return true;
        snprintf(span, sizeof span, "%.*s", (int)(end - at - 1), at + 1);
        while ((word = strtok_r(rest, " \n", &rest)) != NULL)
            if (!check_word(dir, word, n, why, size)) return false;
        at = end + 1;
    }
    return true;
}

// The source of a suite as CTest names it: "gguf", "e2e_kill", "fuzz_*".
static bool find_suite(const char *name)
{
    char path[PATH_BYTES], found[PATH_BYTES];
    if (strncmp(name, "e2e_", 4) == 0)       snprintf(path, sizeof path, "tests/e2e/%s.sh", name + 4);
    else if (strncmp(name, "fuzz_", 5) == 0) snprintf(path, sizeof path, "tests/fuzz/%s_fuzz.c", name + 5);
    else                                     snprintf(path, sizeof path, "tests/%s_test.c", name);
    return find_file(found, "", path);
}

static bool find_module(const char *dir, const char *name)
{
    char found[PATH_BYTES], module[PATH_BYTES];
    snprintf(module, sizeof module, "%s.*", name);
    return find_file(found, dir, name) || find_file(found, dir, module);
}

// One cell of a table of files: "gguf_plan.c", "host/", "codec_*", or a module's name without an ending.
static bool check_cell(const char *dir, char *cell, bool suites, int *n, char *why, size_t size)
{
    char *rest = cell, *word;
    while ((word = strtok_r(rest, ", `", &rest)) != NULL) {
        ++*n;
        if (suites ? find_suite(word) : find_module(dir, word)) continue;
        snprintf(why, size, "a table has '%s', which is not there", word);
        return false;
    }
    return true;
}

typedef enum { NO_TABLE, OF_FILES, OF_SUITES } table;

static table table_of(const char *head)
{
    if (strncmp(head, "| file |", 8) == 0 || strncmp(head, "| folder |", 10) == 0) return OF_FILES;
    return strncmp(head, "| suites |", 10) == 0 ? OF_SUITES : NO_TABLE;
}

// The first column of each table that begins with a head of these.
static bool check_tables(const char *dir, const char *text, int *n, char *why, size_t size)
{
    table inside = NO_TABLE;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char        cell[PATH_BYTES];
        const table begun = table_of(line);
        if (*line != '|') inside = NO_TABLE;
        if (begun != NO_TABLE) inside = begun;
        if (inside == NO_TABLE || begun != NO_TABLE || line[1] == '-') continue;
        snprintf(cell, sizeof cell, "%.*s", (int)strcspn(line + 1, "|\n"), line + 1);
        if (!check_cell(dir, cell, inside == OF_SUITES, n, why, size)) return false;
    }
    return true;
}

static bool check_document(const char *dir, const char *text, int *n, char *why, size_t size)
{
    return check_spans(dir, text, n, why, size) && check_tables(dir, text, n, why, size);
}

// "tests/arrows_test.c" in a source: what it says it is proved by.
static bool check_source(const char *text, int *n, char *why, size_t size)
{
    static const char mark[] = "tests/";
    for (const char *at = text; (at = strstr(at, mark)) != NULL; at += sizeof mark - 1) {
        char word[PATH_BYTES];
        if (at > text && (is_word(at[-1]) || at[-1] == '/')) continue;
        snprintf(word, sizeof word, "%.*s", (int)strspn(at, NAME_CHARS "*-"), at);
        const size_t last = strlen(word) - 1;
        if (word[last] == '.') word[last] = 0;
        if ((has_source_ending(word) || strchr(word, '*')) && !check_word("", word, n, why, size)) return false;
    }
    return true;
}

// ---- all of them --------------------------------------------------------------------------------

typedef struct { int documents, sources, named, failed; } tally;

static void check_file(const char *dir, const char *name, tally *all)
{
    char below[PATH_BYTES], path[PATH_BYTES], why[2 * PATH_BYTES] = "";
    const char *dot = strrchr(name, '.');
    const bool is_document = dot && strcmp(dot, ".md") == 0;
    if (!is_document && (!*dir || !has_source_ending(name))) return;
    join(below, dir, name);
    join(path, SOURCE_DIR, below);
    char *text = read_text(path);
    const bool ok = is_document ? check_document(dir, text, &all->named, why, sizeof why)
                                : check_source(text, &all->named, why, sizeof why);
    free(text);
    if (is_document) all->documents++;
    else             all->sources++;
    if (ok) return;
    all->failed++;
    fprintf(stderr, "%s: %s\n", below, why);
}

static void check_folder(const char *dir, tally *all)
{
    char path[PATH_BYTES], below[PATH_BYTES];
    join(path, SOURCE_DIR, *dir ? dir : ".");
    DIR *d = opendir(path);
    ck_assert_msg(d != NULL, "%s", path);
    for (struct dirent *x; (x = readdir(d)) != NULL;) {
        struct stat st;
        if (x->d_name[0] == '.' || strncmp(x->d_name, "build", 5) == 0) continue;
        join(below, dir, x->d_name);
        join(path, SOURCE_DIR, below);
        if (lstat(path, &st) != 0) continue;
        if (S_ISDIR(st.st_mode)) check_folder(below, all);
        else if (S_ISREG(st.st_mode)) check_file(dir, x->d_name, all);
    }
    closedir(d);
}

START_TEST(what_is_named_is_there)
{
    tally all = { 0 };
    check_folder("", &all);
    ck_assert_msg(all.failed == 0, "%d files name what is not there: see above", all.failed);
    ck_assert_int_ge(all.documents, 8);
    ck_assert_int_ge(all.sources, 300);
    ck_assert_int_ge(all.named, 300);
}
END_TEST

// The check itself.
START_TEST(what_is_not_there_is_seen)
{
    static const struct { const char *dir, *text; bool ok; int named; } cases[] = {
        { "", "See `convert/convert.c` and `./test.sh`.", true, 2 },
        { "", "See `convert/gone.c`.", false, 1 },
        { "", "See `gone.c`.", false, 1 },
        { "", "See `gone/convert.c`.", false, 1 },
        { "", "See `fixtures/tiny-gone`.", false, 1 },
        { "", "Run `python3 fixtures/gone.py HF_DIR -o FIX.json.gz`.", false, 1 },
        { "", "Walk: `runtime/net.c:net_forward`.", true, 1 },
        { "", "Walk: `runtime/net.c:net_gone`.", false, 1 },
        { "", "Walk: `runtime/net.c:net_for`.", false, 1 },
        { "", "Walk: `runtime/session.c:net_forward`, where it is only called.", false, 1 },
        { "convert", "`convert.c` stands here, `convert/convert.h` too.", true, 2 },
        { "", "`convert.c` does not stand at the root.", false, 1 },
        { "", "`runtime/nets/*.c`, `quant/type_of.{c,h}`", true, 2 },
        { "", "`runtime/nets/*.gone`", false, 1 },
        { "", "`config.json`, `build/hallmark`, `google/gemma-3-270m`, `/tmp` are not looked for.", true, 0 },
        { "", "```\n`gone.c`\n```\n", true, 0 },
        { "quant", "| file | what |\n|---|---|\n| blocks, codec_* | x |\n| cuda/ | x |\n", true, 3 },
        { "quant", "| file | what |\n|---|---|\n| blocks, gone | x |\n", false, 2 },
        { "", "| suites | what |\n|---|---|\n| gguf, e2e_kill, fuzz_* | x |\n", true, 3 },
        { "", "| suites | what |\n|---|---|\n| gguf, e2e_gone | x |\n", false, 2 },
        { "quant", "| key | what |\n|---|---|\n| gone | x |\n", true, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[2 * PATH_BYTES] = "";
        int  n = 0;
        const bool ok = check_document(cases[i].dir, cases[i].text, &n, why, sizeof why);
        ck_assert_msg(ok == cases[i].ok && n == cases[i].named, "%s: %s, %d named", cases[i].text, why, n);
    }
}
END_TEST

START_TEST(a_source_that_is_proved_by_nothing_is_seen)
{
    static const struct { const char *text; bool ok; } cases[] = {
        { "// Proved by tests/paths_test.c.", true },
        { "// Proved by tests" "/gone_test.c.", false },        // in two pieces, for this file is a source too
        { "// tests/paths_test.c, tests" "/gone.sh", false },
        { "// tests/field/rope-*.json", true },
        { "// tests/field" "/gone-*.json", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[2 * PATH_BYTES] = "";
        int  n = 0;
        ck_assert_msg(check_source(cases[i].text, &n, why, sizeof why) == cases[i].ok, "%s", cases[i].text);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("paths");
    TCase *t = tcase_create("all");
    tcase_add_test(t, what_is_named_is_there);
    tcase_add_test(t, what_is_not_there_is_seen);
    tcase_add_test(t, a_source_that_is_proved_by_nothing_is_seen);
    suite_add_tcase(s, t);
    return run_suite(s);
}
