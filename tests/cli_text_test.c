// Proves cli/text_out.h and the option parser of cli/cli.h: what goes to a terminal, into JSON, and in from the command
// line.
#include "cli/cli.h"
#include "cli/prompt.h"
#include "cli/text_out.h"
#include "formats/json.h"
#include "suite.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- streamed UTF-8 -------------------------------------------------------------------------------------------------

static char *stream_in_pieces(const char *s, size_t n, size_t piece, bool raw)
{
    char *out = NULL;
    size_t n_out = 0;
    FILE *f = open_memstream(&out, &n_out);
    prose u = { .raw = raw };
    for (size_t i = 0; i < n; i += piece) prose_write(&u, f, s + i, (int64_t)(n - i < piece ? n - i : piece));
    prose_end(&u, f);
    fclose(f);
    return out;
}

START_TEST(utf8_is_whole_however_it_is_cut)
{
    static const struct { const char *in, *out; } rows[] = {
        { "plain", "plain" },
        { "\xC3\xA9\xE2\x82\xAC\xF0\x9F\xA6\x8A.", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\xA6\x8A." },
        { "a\xFF" "b", "a\xEF\xBF\xBD" "b" },
        { "\xC3(", "\xEF\xBF\xBD(" },                                                   // a lead byte without its rest
        { "\xE2\x82", "\xEF\xBF\xBD" },    // cut short at the end: some replacement
        { "\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD" },                                     // overlong
        { "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },                     // a surrogate
        { "\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },     // above U+10FFFF
        // a new sequence inside an unfinished one
        { "\xF0\x9F\xF0\x9F\xA6\x8A", "\xEF\xBF\xBD\xEF\xBF\xBD\xF0\x9F\xA6\x8A" },
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
        for (size_t piece = 1; piece <= 5; piece++) {
            for (int raw = 0; raw < 2; raw++) {
                char *got = stream_in_pieces(rows[r].in, strlen(rows[r].in), piece, raw);
                ck_assert_str_eq(got, rows[r].out);
                free(got);
            }
        }
}
END_TEST

START_TEST(an_incomplete_sequence_waits)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    prose u = { .raw = true };
    prose_write(&u, f, "\xF0\x9F\xA6", 3);
    fflush(f);
    ck_assert_uint_eq(n, 0);
    prose_write(&u, f, "\x8A", 1);
    fclose(f);
    ck_assert_str_eq(out, "\xF0\x9F\xA6\x8A");
    free(out);
}
END_TEST

// ---- terminals ------------------------------------------------------------------------------------------------------

// Clearing the screen, setting the title (OSC, ended by BEL), C1's CSI, a turned direction, an invisible mark. What
// writing needs stays: lines, tabs, joiners, the selector that colours an emoji.
START_TEST(a_model_does_not_steer_the_terminal)
{
    static const char in[] = "a\033[2J\033]0;t\007\xC2\x9B"
                             "1m\r\n\t\xE2\x80\xAE"
                             "b\xE2\x80\x8B\x7F\x9B\xE2\x80\x8C\xE2\x9D\xA4\xEF\xB8\x8F";
    for (size_t piece = 1; piece <= 9; piece++) {
        char *got = stream_in_pieces(in, sizeof in - 1, piece, false);
        ck_assert_str_eq(got, "a\\x1b[2J\\x1b]0;"
                              "t\\x07\\u009b1m\\r\n\t\\u202eb\\u200b\\x7f\xEF\xBF\xBD\xE2\x80\x8C\xE2\x9D\xA4\xEF\xB8"
                              "\x8F");
        free(got);
        got = stream_in_pieces(in, sizeof in - 1, piece, true);
        ck_assert_str_eq(got, "a\033[2J\033]0;t\007\xC2\x9B"
                              "1m\r\n\t\xE2\x80\xAE"
                              "b\xE2\x80\x8B\x7F\xEF\xBF\xBD\xE2\x80\x8C\xE2\x9D\xA4\xEF\xB8\x8F");
        free(got);
    }
}
END_TEST

// A text with a character of every length, cut at every size: always whole characters, never longer than asked for.
START_TEST(texts_are_cut_between_characters)
{
    static const char s[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\xA6\x8A\xFFz";
    static const int64_t ends[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 12 };
    for (int64_t max = 0; max <= 12; max++) ck_assert_int_eq(text_cut(s, 12, max), ends[max]);
    ck_assert_int_eq(text_cut(s, 12, 100), 12);
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    static const char *const header[] = { "prompt", NULL };
    table t;
    table_begin(&t, header);
    table_text(&t, s, 12, 8);
    table_text(&t, "short\n", 6, 8);
    ck_assert(table_print(&t, f));
    print_line(f, "%s: %s", "a\nb", "\033[2J");
    fclose(f);
    ck_assert_str_eq(out, "prompt\na\xC3\xA9\xE2\x82\xAC...\nshort\\n\na\\nb: \\x1b[2J\n");
    free(out);
}
END_TEST

START_TEST(sizes_are_short)
{
    static const struct { int64_t n; const char *text; } rows[] = {
        { 0, "0 B" },          { 999, "999 B" },          { 1000, "1.00 kB" },
        { 9994, "9.99 kB" },   { 9996, "10.0 kB" },       { 999499, "999 kB" },
        { 999500, "1.00 MB" }, { 4440000000, "4.44 GB" }, { INT64_MAX, "9223 PB" },
    };
    char out[32];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_str_eq(human_bytes(rows[i].n, out), rows[i].text);
}
END_TEST

START_TEST(tables_align)
{
    static const char *const header[] = { "name", ">n", "note", NULL };
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    table t;
    table_begin(&t, header);
    table_cell(&t, "\xC3\xA9t\xC3\xA9");
    table_cell(&t, "%d", 7);
    table_cell(&t, "x");
    table_cell(&t, "longer");
    table_cell(&t, "%d", 123);
    table_cell(&t, "y\n");
    ck_assert(table_print(&t, f));
    fclose(f);
    ck_assert_str_eq(out, "name      n  note\n\xC3\xA9t\xC3\xA9       7  x\nlonger  123  y\\n\n");
    free(out);
}
END_TEST

// ---- JSON -----------------------------------------------------------------------------------------------------------

START_TEST(json_is_json)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    json_out j;
    err e = { 0 };
    json_begin(&j, f);
    json_open(&j, '{');
    json_key(&j, "quote\"back\\slash\n");
    json_text(&j, "\x01\xFF\xED\xA0\x80\xC3\xA9\0x", 9);
    json_key(&j, "empty");
    json_open(&j, '[');
    json_close(&j, ']');
    json_key(&j, "list");
    json_open(&j, '[');
    json_int(&j, INT64_MIN);
    json_uint(&j, UINT64_MAX);
    json_num(&j, NAN, 9);
    json_num(&j, -INFINITY, 9);
    json_num(&j, 0.1f, 9);
    json_bool(&j, true);
    json_cstr(&j, NULL);
    json_open(&j, '{');
    json_close(&j, '}');
    json_close(&j, ']');
    json_close(&j, '}');
    fclose(f);
    // The strict reader refuses an escaped NUL; everything else must pass it.
    char *nul = strstr(out, "\\u0000");
    ck_assert_ptr_nonnull(nul);
    memcpy(nul, "\\u0030", 6);
    cJSON *root = json_parse(out, (int64_t)n, "test", &e);
    ck_assert_msg(root != NULL, "%s: %s", e.msg, out);
    ck_assert_str_eq(cJSON_GetObjectItemCaseSensitive(root, "quote\"back\\slash\n")->valuestring,
                     "\x01\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xC3\xA9" "0x");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "list");
    ck_assert_int_eq(cJSON_GetArraySize(list), 8);
    ck_assert(cJSON_IsNull(cJSON_GetArrayItem(list, 2)) && cJSON_IsNull(cJSON_GetArrayItem(list, 3)));
    ck_assert((float)cJSON_GetArrayItem(list, 4)->valuedouble == 0.1f);
    ck_assert_ptr_nonnull(strstr(out, "18446744073709551615"));
    cJSON_Delete(root);
    free(out);
}
END_TEST

// ---- options --------------------------------------------------------------------------------------------------------

typedef struct {
    const char *out, *kv, *text, *arith;
    int64_t n, threads;
    text_list many;
    bool flag;
    given_int level;
} sample_options;
static const opt sample_table[] = {
    { "--output", "-o", OPT_OUTPUT, offsetof(sample_options, out), "F", "", true, 0, 0, NULL },
    { "--text", NULL, OPT_TEXT, offsetof(sample_options, text), "T", "", false, 0, 0, NULL },
    { "--number", "-n", OPT_INT, offsetof(sample_options, n), "N", "", false, -5, 9, NULL },
    { "--many", NULL, OPT_PATHS, offsetof(sample_options, many), "F", "", false, 0, 0, NULL },
    { "--level", NULL, OPT_GIVEN_INT, offsetof(sample_options, level), "N", "", false, 0, 2, NULL },
    { "--flag", NULL, OPT_FLAG, offsetof(sample_options, flag), NULL, "", false, 0, 0, NULL },
    OPT_KV(sample_options),
    OPT_ARITH(sample_options),
    OPT_THREADS(sample_options),
};
static const command sample = { .name = "sample", .synopsis = "X", .opts = sample_table, .n_opts = N_ROWS(sample_table),
                                .options_bytes = sizeof(sample_options), .min_args = 1, .max_args = 2 };

static bool parse(const char *line, sample_options *o, text_list *args, err *e)
{
    static char buffer[256];
    char *argv[32], *rest = NULL;
    int argc = 0;
    bool help;
    snprintf(buffer, sizeof buffer, "%s", line);
    for (char *w = strtok_r(buffer, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) argv[argc++] = w;
    memset(o, 0, sizeof *o);
    memset(args, 0, sizeof *args);
    memset(e, 0, sizeof *e);
    return options_parse(&sample, argc, argv, o, args, &help, e);
}

START_TEST(options_are_read)
{
    sample_options o;
    text_list args;
    err e = { 0 };
    ck_assert_msg(parse("a -o out --number=-5 --many x --text --flag --many=y --kv q8_0 -- --b", &o, &args, &e), "%s",
                  e.msg);
    ck_assert_int_eq(args.n, 2);
    ck_assert_str_eq(args.v[0], "a");
    ck_assert_str_eq(args.v[1], "--b");
    ck_assert_str_eq(o.out, "out");
    ck_assert_str_eq(o.text, "--flag");     // a value is taken as it stands
    ck_assert(!o.flag);
    ck_assert_int_eq(o.n, -5);
    ck_assert_int_eq(o.many.n, 2);
    ck_assert_str_eq(o.many.v[1], "y");
    ck_assert(!o.level.given && o.level.v == 0);
    ck_assert_str_eq(o.kv, "q8_0");
    options_free(&sample, &o, &args);
}
END_TEST

START_TEST(an_option_may_tell_0_from_nothing)
{
    sample_options o;
    text_list args;
    err e = { 0 };
    ck_assert_msg(parse("a -o out --level 0", &o, &args, &e), "%s", e.msg);
    ck_assert(o.level.given && o.level.v == 0);
    options_free(&sample, &o, &args);
}
END_TEST

static void check_message(const err *e, const char *a, const char *b)
{
    ck_assert_msg(strstr(e->msg, a) && strstr(e->msg, b), "found \"%s\", expected \"%s\" and \"%s\"", e->msg, a, b);
}

START_TEST(wrong_options_are_named)
{
    static const struct { const char *line, *message; } rows[] = {
        { "a", "-o F is missing" },
        { "-o x", "argument is missing" },
        { "a b c -o x", "unexpected argument 'c'" },
        { "a -o x --nmuber 3", "did you mean '--number'?" },
        { "a -o x --out y", "did you mean '--output'?" },
        { "a -o x -n 10", "expected -5 to 9" },
        { "a -o x -n -6", "expected -5 to 9" },
        { "a -o x -n 5x", "whole number" },
        { "a -o x -n +5", "whole number" },
        { "a -o x --level 3", "expected 0 to 2" },
        { "a -o x --level 1 --level 1", "given twice" },
        { "a -o x -n", "needs a value" },
        { "a -o x -n 1 -n 1", "given twice" },
        { "a -o x --flag=1", "takes no value" },
        { "a -o x --arith f23", "did you mean 'f32'?" },
        { "a -o x --many=", "empty" },
        { "a -o x --outfile y", "unknown option '--outfile'; here it is '-o'" },
        { "a -o x --temp=0", "unknown option '--temp=0': generation is greedy" },
        { "a -o x -m y", "the file is named without an option" },
        { "a -o x --outtype y", "unknown option '--outtype'" },
        { "a -o x -z", "unknown option '-z'" },
        { "a -o -", "found '-'" },
        { "a --output=", "empty" },
        { "a -o x --threads 99999999999999999999", "expected 1 to 1024" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sample_options o;
        text_list args;
        err e = { 0 };
        ck_assert_msg(!parse(rows[i].line, &o, &args, &e), "accepted: %s", rows[i].line);
        ck_assert_int_eq(e.kind, ERR_USAGE);
        ck_assert_msg(strstr(e.msg, rows[i].message) != NULL, "%s: %s", rows[i].line, e.msg);
        options_free(&sample, &o, &args);
    }
}
END_TEST

START_TEST(unknown_types_are_answered_with_the_nearest)
{
    static const struct { const char *word, *near; } rows[] = {
        { "q4km", "q4_k_m" },    { "Q4KM", "q4_k_m" }, { "q4-k-m", "q4_k_m" },
        { "q4_k_mm", "q4_k_m" }, { "q4_k", "q4_k_m" }, { "Q3KL", "q3_k_l" },
        { "q6k", "q6_k" },       { "q40", "q4_0" },    { "fp16", "f16" },
        { "BFLOAT16", NULL },    { "q8", "q8_0" },     { "int8", NULL },
        { "_", NULL },           { "", NULL },         { "q4444444444444444444444444444444444444444", NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        err  e = { 0 };
        char text[64];
        ck_assert_ptr_null(file_type_arg(rows[i].word, &e));
        ck_assert_int_eq(e.kind, ERR_USAGE);
        snprintf(text, sizeof text, "did you mean '%s'?", rows[i].near ? rows[i].near : "");
        ck_assert_msg(rows[i].near ? strstr(e.msg, text) != NULL : strstr(e.msg, "did you mean") == NULL, "%s: %s",
                      rows[i].word, e.msg);
    }
}
END_TEST

// --temp is not --help: most letters must be right.
START_TEST(a_suggestion_is_near_what_was_written)
{
    static const char *const names[] = { "--help", "--text", "--threads", "--output", "--kv" };
    static const struct { const char *word, *near; } rows[] = {
        { "--temp", NULL },           { "--hepl", "--help" },  { "--hlep", "--help" }, { "--ouput", "--output" },
        { "--thraeds", "--threads" }, { "--out", "--output" }, { "--kx", NULL },       { "--test", "--text" },
        { "--seed", NULL },           { "--top-k", NULL },     { "--tokens", NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *near = nearest_name(rows[i].word, names, N_ROWS(names));
        ck_assert_msg(rows[i].near ? near && strcmp(near, rows[i].near) == 0 : !near, "%s: %s", rows[i].word,
                      near ? near : "-");
    }
}
END_TEST

START_TEST(types_of_others_are_known)
{
    static const struct { const char *word, *near; } rows[] = {
        { "q3_k_xl", "q3_k_l" }, { "UD-Q4_K_XL", "q4_k_m" }, { "fp8", "q8_0" },     { "mxfp4", "q4_0" },
        { "IQ4_XS", "q4_k_s" },  { "nf4", "q4_k_m" },        { "F8_E4M3", "q8_0" }, { "tq1_0", "q2_k" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        err  e = { 0 };
        char text[64];
        ck_assert_ptr_null(file_type_arg(rows[i].word, &e));
        snprintf(text, sizeof text, "nearest in size: '%s'.", rows[i].near);
        check_message(&e, "is known", text);
    }
    // Each is told once, none of them is written here, and what is near it is.
    int n;
    const file_type_info *t = file_type_table(&n);
    for (int i = 0; i < n; i++) ck_assert_ptr_null(foreign_type_said(t[i].name));
}
END_TEST

// ---- prompts --------------------------------------------------------------------------------------------------------

START_TEST(ids_are_parted_by_commas_and_spaces)
{
    static const char *const good[] = { "2,645,9", "2, 645, 9", " 2 645\t9 ", "2 ,645,\n9" };
    static const struct { const char *text, *message; } bad[] = {
        { "", "found ''" },
        { "2,", "found ''" },
        { "2,,3", "found ',3'" },
        { "2x", "found '2x'" },
        { "2 x", "found 'x'" },
        { "-1", "found '-1'" },
        { "2,1000", "found 1000, expected 0 to 999" },
        { "99999999999999999999", "expected 0 to 999" },
    };
    int32_t *ids;
    int64_t  n;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        err e = { 0 };
        ck_assert_msg(prompt_ids(good[i], 1000, &ids, &n, &e), "%s: %s", good[i], e.msg);
        ck_assert_msg(n == 3 && ids[0] == 2 && ids[1] == 645 && ids[2] == 9, "%s", good[i]);
        free(ids);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err e = { 0 };
        ck_assert_msg(!prompt_ids(bad[i].text, 1000, &ids, &n, &e), "accepted: %s", bad[i].text);
        check_message(&e, "option --ids", bad[i].message);
        free(ids);
    }
}
END_TEST

// A whole file, whatever is in it, but for one line's end at its end.
START_TEST(a_prompt_is_read_from_a_file)
{
    static const struct { const char *file; int64_t n; const char *text; int64_t n_text; } rows[] = {
        { "ab", 2, "ab", 2 },       { "ab\n", 3, "ab", 2 }, { "ab\r\n", 4, "ab", 2 }, { "ab\n\n", 4, "ab\n", 3 },
        { "a\0b\n", 4, "a\0b", 3 }, { "\n", 1, "", 0 },     { "", 0, "", 0 },         { "a\r", 2, "a\r", 2 },
    };
    char path[] = "/tmp/prompt.XXXXXX";
    const int fd = mkstemp(path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        prompt_text t;
        err e = { 0 };
        ck_assert(ftruncate(fd, 0) == 0 && pwrite(fd, rows[i].file, (size_t)rows[i].n, 0) == rows[i].n);
        ck_assert_msg(prompt_read(&t, NULL, path, &e), "%s", e.msg);
        ck_assert_int_eq(t.n, rows[i].n_text);
        ck_assert(t.n == 0 || memcmp(t.s, rows[i].text, (size_t)t.n) == 0);
        prompt_free(&t);
    }
    // More than one read, and than a command line takes.
    enum { LONG = 200000 };
    char *big = malloc(LONG);
    prompt_text t;
    err e = { 0 };
    memset(big, 'x', LONG);
    ck_assert(pwrite(fd, big, LONG, 0) == LONG && prompt_read(&t, NULL, path, &e));
    ck_assert(t.n == LONG && memcmp(t.s, big, LONG) == 0);
    prompt_free(&t);
    free(big);
    close(fd);
    unlink(path);
    ck_assert(!prompt_read(&t, NULL, path, &e));
    check_message(&e, path, "No such file");
    e = (err){ 0 };
    ck_assert(!prompt_read(&t, NULL, "/", &e));
    check_message(&e, "/: ", "directory");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli_text");
    TCase *t = tcase_create("all");
    tcase_add_test(t, utf8_is_whole_however_it_is_cut);
    tcase_add_test(t, an_incomplete_sequence_waits);
    tcase_add_test(t, a_model_does_not_steer_the_terminal);
    tcase_add_test(t, texts_are_cut_between_characters);
    tcase_add_test(t, sizes_are_short);
    tcase_add_test(t, tables_align);
    tcase_add_test(t, json_is_json);
    tcase_add_test(t, options_are_read);
    tcase_add_test(t, an_option_may_tell_0_from_nothing);
    tcase_add_test(t, wrong_options_are_named);
    tcase_add_test(t, a_suggestion_is_near_what_was_written);
    tcase_add_test(t, types_of_others_are_known);
    tcase_add_test(t, ids_are_parted_by_commas_and_spaces);
    tcase_add_test(t, a_prompt_is_read_from_a_file);
    tcase_add_test(t, unknown_types_are_answered_with_the_nearest);
    suite_add_tcase(s, t);
    return run_suite(s);
}
