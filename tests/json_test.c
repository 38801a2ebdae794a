// Proves formats/json.h.
#include "bytes.h"
#include "doubling.h"
#include "formats/checked.h"
#include "formats/json.h"

static cJSON *parse(const char *text, err *e)
{
    // From exactly its bytes: the text has no NUL after it.
    int64_t  n = (int64_t)strlen(text);
    uint8_t *p = exact((const uint8_t *)text, n);
    cJSON   *v = json_parse((const char *)p, n, "f.json", e);
    free(p);
    return v;
}

START_TEST(test_good_texts)
{
    const char *GOOD[] = {
        "{}",
        "[]",
        " [ ] ",
        "0",
        "-0",
        "-1.5e+10",
        "1E-3",
        "true",
        "false",
        "null",
        "\"\"",
        "\"\\ud83d\\ude00\\u00e9\\n\\/\"",
        "{\"a\":1,\"b\":{\"a\":2},\"A\":[1,[2,[3]],{}]}",
        "\t\r\n[1 , 2\n]\n",
        "\"\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbf\"",
        "[\"\",\"\\\\u0000\"]",
    };
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        err    e = { 0 };
        cJSON *v = parse(GOOD[i], &e);
        ck_assert_msg(v != NULL, "%s: %s", GOOD[i], e.msg);
        cJSON_Delete(v);
    }
}
END_TEST

START_TEST(test_bad_texts)
{
    const struct { const char *text, *says; } BAD[] = {
        { "", "offset 0: found the end, expected a JSON value" },
        { "  ", "offset 2: found the end" },
        { "[1,]", "offset 3: found ']', expected a JSON value" },
        { "{\"a\":1,}", "offset 7: found '}', expected a string" },
        { "[1 2]", "offset 3: found '2', expected ',' or ']'" },
        { "{\"a\" 1}", "offset 5: found '1', expected ':'" },
        { "{1:2}", "offset 1: found '1', expected a string" },
        { "[1}", "offset 2: found '}'" },
        { "[", "offset 1: found the end" },
        { "{\"a\":1} x", "offset 8: found 'x', expected nothing after" },
        { "01", "offset 1: found '1', expected nothing" },
        { "1.", "expected a digit" },
        { ".5", "expected a JSON value" },
        { "+1", "expected a JSON value" },
        { "-", "expected a digit" },
        { "1e", "expected a digit" },
        { "nan", "expected null" },
        { "Nan", "expected NaN" },
        { "Inf", "expected Infinity" },
        { "-Inf", "expected Infinity" },
        { "+Infinity", "expected a JSON value" },
        { "NaNs", "expected nothing after" },
        { "{NaN:1}", "expected a string" },
        { "tru", "expected true" },
        { "truer", "expected nothing after" },
        { "'a'", "expected a JSON value" },
        { "\"a", "the end of a string" },
        { "\"\\x\"", "after a backslash" },
        { "\"\\", "after a backslash" },
        { "\"\\u12g4\"", "four hex digits" },
        { "\"\\u12", "four hex digits" },
        { "\"a\\u0000b\"", "offset 2: found \\u0000" },
        { "\"\\ud800\"", "half of a surrogate pair" },
        { "\"\\ude00\"", "half of a surrogate pair" },
        { "\"\\ud800\\u0041\"", "half of a surrogate pair" },
        { "\"a\nb\"", "offset 2: found byte 0x0a, expected control characters to be escaped" },
        { "\"\xff\"", "valid UTF-8" },
        { "\"\xc0\x80\"", "valid UTF-8" },
        { "\"\xed\xa0\x80\"", "valid UTF-8" },
        { "\"\xe2\x82\"", "valid UTF-8" },
        { "\"\xf4\x90\x80\x80\"", "valid UTF-8" },
        { "\xef\xbb\xbf{}", "offset 0: found a text with a byte order mark" },
        { "{}/**/", "nothing after" },
        { "{\"a\":1,\"b\":2,\"a\":3}", "found the name 'a' twice" },
        { "[{\"x\":{\"k\":1,\"\\u006b\":2}}]", "found the name 'k' twice" },
        { "1234567890123456789012345678901234567890123456789012345678901", "a number of 61 characters" },
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        err e = { 0 };
        ck_assert_msg(parse(BAD[i].text, &e) == NULL, "accepted: %s", BAD[i].text);
        check_refused(&e, ERR_INPUT, "f.json", BAD[i].says);
    }
}
END_TEST

// Python's json module writes these, and a checkpoint's config may hold one in a key that does not concern us. Whoever
// asks for it as a number is told that it is none.
START_TEST(test_nonfinite)
{
    static const char text[] = "{\"a\":NaN,\"b\":[Infinity,-Infinity],\"NaN \\\" "
                               "Infinity\":\"NaN\",\"c\":-Infinity,\"d\":7,\"e\\\\\":NaN}";
    err     e = { 0 };
    double  x;
    int64_t i;
    cJSON  *v = json_parse(text, (int64_t)strlen(text), "f.json", &e);
    ck_assert_msg(v != NULL, "%s", e.msg);
    ck_assert_str_eq(cJSON_GetStringValue(json_get(v, "NaN \" Infinity")), "NaN");
    ck_assert_int_eq(cJSON_GetArraySize(json_get(v, "b")), 2);
    ck_assert_ptr_nonnull(json_get(v, "e\\"));
    ck_assert(json_i64(v, "d", 0, 9, &i, "f.json", &e) && i == 7);
    ck_assert(!json_f64(v, "a", &x, "f.json", &e));
    check_refused(&e, ERR_INPUT, "f.json", "key 'a': found NaN, Infinity or a number too large");
    e = (err){ 0 };
    ck_assert(!json_f64_or(v, "c", 1, &x, "f.json", &e));
    check_refused(&e, ERR_INPUT, "f.json", "key 'c'");
    e = (err){ 0 };
    ck_assert(!json_i64_or(v, "a", 0, INT64_MAX, 1, &i, "f.json", &e));
    check_refused(&e, ERR_INPUT, "f.json", "key 'a'");
    cJSON_Delete(v);
    // The forms for files that no Python wrote stay strict.
    char strict[] = "[NaN]";
    e = (err){ 0 };
    ck_assert_ptr_null(json_parse_limited(strict, 5, 9, "f.json", &e));
    check_refused(&e, ERR_INPUT, "f.json", "offset 1: found 'N', expected a JSON value");
    e = (err){ 0 };
    ck_assert_ptr_null(json_parse_nul(strict, 5, 9, "f.json", &e));
    check_refused(&e, ERR_INPUT, "f.json", "expected a JSON value");
}
END_TEST

static cJSON *must_parse(buffer *b)
{
    err    e = { 0 };
    cJSON *v = json_parse((const char *)b->p, b->n, "f.json", &e);
    ck_assert_msg(v != NULL, "%s", e.msg);
    bytes_free(b);
    return v;
}

// Names of one object are compared without a table that their writer could fill against us, and literals that are no
// JSON without moving the rest of the text.
static void object_of_names(int64_t n)
{
    buffer b = { 0 };
    char   name[80];
    put_text(&b, "{");
    for (int64_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "\"the_same_for_all_of_them_%07lld\":{},", (long long)(n - i));
        put_text(&b, name);
    }
    put_text(&b, "\"last\":{}}");
    cJSON *v = must_parse(&b);
    ck_assert_ptr_nonnull(json_get(v, "last"));
    cJSON_Delete(v);
}

static void array_of_nan(int64_t n)
{
    buffer b = { 0 };
    put_text(&b, "[");
    for (int64_t i = 0; i < n; i++) put_text(&b, "NaN,");
    put_text(&b, "-Infinity]");
    cJSON *v = must_parse(&b);
    ck_assert_int_eq(cJSON_GetArraySize(v), n + 1);
    cJSON_Delete(v);
}

START_TEST(test_time)
{
    must_be_linear("names of one object", object_of_names, 20000);
    must_be_linear("NaN in an array", array_of_nan, 50000);
}
END_TEST

START_TEST(test_every_truncation)
{
    const char *text = "{\"a\": [1, -2.5e3, true, null], \"b\\n\": {\"c\": \"\\ud83d\\ude00\xc3\xa9\"}}";
    for (size_t n = 0; n < strlen(text); n++) {
        char *cut = strndup(text, n);
        err   e   = { 0 };
        ck_assert_msg(parse(cut, &e) == NULL, "accepted: %s", cut);
        ck_assert_int_eq(e.kind, ERR_INPUT);
        free(cut);
    }
}
END_TEST

START_TEST(test_depth)
{
    for (int depth = LIMIT_JSON_DEPTH - 1; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        buffer b = { 0 };
        for (int i = 0; i < depth; i++) put_text(&b, i % 2 ? "{\"a\":" : "[");
        put_text(&b, "\"[[[[{{\"");
        for (int i = depth; i-- > 0;) put_text(&b, i % 2 ? "}" : "]");
        err    e = { 0 };
        cJSON *v = json_parse((char *)b.p, b.n, "f.json", &e);
        ck_assert_msg((v != NULL) == (depth <= LIMIT_JSON_DEPTH), "%d: %s", depth, e.msg);
        if (!v) check_refused(&e, ERR_INPUT, "f.json", "nested deeper than 64");
        cJSON_Delete(v);
        bytes_free(&b);
    }
    buffer b = { 0 };        // a million brackets that never close
    for (int i = 0; i < 1000000; i++) put_u8(&b, '[');
    err    e = { 0 };
    double t = seconds();
    ck_assert_ptr_null(json_parse((char *)b.p, b.n, "f.json", &e));
    ck_assert(seconds() - t < 1);
    bytes_free(&b);
}
END_TEST

// 262144 names, as many as a vocabulary: quadratic work would take minutes.
START_TEST(test_many_names)
{
    for (int twice = 0; twice < 2; twice++) {
        buffer b = { 0 };
        char  name[40];
        put_u8(&b, '{');
        for (int i = 0; i < 262144; i++) {
            snprintf(name, sizeof name, "%s\"t%d\":%d", i ? "," : "", twice && i == 262143 ? 17 : i, i);
            put_text(&b, name);
        }
        put_u8(&b, '}');
        err    e = { 0 };
        double t = seconds();
        cJSON *v = json_parse((char *)b.p, b.n, "f.json", &e);
        ck_assert_msg((v != NULL) == !twice, "%s", e.msg);
        if (twice) check_refused(&e, ERR_INPUT, "f.json", "the name 't17' twice");
        ck_assert(seconds() - t < 5);
        cJSON_Delete(v);
        bytes_free(&b);
    }
}
END_TEST

START_TEST(test_value_limit)
{
    err    e = { 0 };
    cJSON *v = json_parse_limited("[1,2,3]", 7, 4, "f.json", &e);
    ck_assert_ptr_nonnull(v);
    cJSON_Delete(v);
    ck_assert_ptr_null(json_parse_limited("[1,2,3]", 7, 3, "f.json", &e));
    check_refused(&e, ERR_INPUT, "f.json", "more than 3 values");
}
END_TEST

START_TEST(test_escaped_nul)
{
    char        text[] = "{\"a\":\"x\\u0000y\\\\u0000\\u0000\"}";
    err         e      = { 0 };
    int64_t     n      = 0;
    const char *s      = NULL;
    cJSON      *v      = json_parse_nul(text, (int64_t)strlen(text), 100, "f.json", &e);
    ck_assert_msg(v != NULL, "%s", e.msg);
    ck_assert(json_str(v, "a", &s, "f.json", &e));
    char *restored = json_restore_nul(s, &n);
    ck_assert_int_eq(n, 10);
    ck_assert_mem_eq(restored, "x\0y\\u0000\0", 11);
    free(restored);
    cJSON_Delete(v);
    char taken[] = "[\"\xef\xbf\xbf\"]", escaped[] = "[\"\\uFFFF\"]";
    ck_assert_ptr_null(json_parse_nul(taken, (int64_t)strlen(taken), 100, "f.json", &e));
    check_refused(&e, ERR_INPUT, "f.json", "offset 2: found U+FFFF");
    e = (err){ 0 };
    ck_assert_ptr_null(json_parse_nul(escaped, (int64_t)strlen(escaped), 100, "f.json", &e));
    check_refused(&e, ERR_INPUT, "f.json", "offset 2: found U+FFFF");
}
END_TEST

START_TEST(test_members)
{
    err         e = { 0 };
    int64_t     i = 0;
    double      d = 0;
    bool        b = false;
    const char *s = NULL;
    cJSON *v = parse("{\"n\":7,\"N\":8,\"f\":1.5,\"t\":true,\"s\":\"x\",\"z\":null,\"big\":9007199254740993,\"huge\":"
                     "4611686018427387904,\"inf\":1e999}",
                     &e);
    ck_assert(json_i64(v, "n", 0, 10, &i, "f", &e) && i == 7);
    ck_assert(json_i64(v, "N", 0, 10, &i, "f", &e) && i == 8);      // names differ by case
    ck_assert(json_i64_or(v, "z", 0, 10, 5, &i, "f", &e) && i == 5 && json_i64_or(v, "none", 0, 10, 6, &i, "f", &e) &&
              i == 6);
    ck_assert(json_f64(v, "f", &d, "f", &e) && d == 1.5 && json_f64(v, "n", &d, "f", &e) && d == 7 &&
              json_f64_or(v, "z", 2, &d, "f", &e) && d == 2);
    ck_assert(json_bool_or(v, "t", false, &b, "f", &e) && b && json_bool_or(v, "z", true, &b, "f", &e) && b);
    ck_assert(json_str(v, "s", &s, "f", &e) && strcmp(s, "x") == 0 && json_str_or(v, "z", "def", &s, "f", &e) &&
              strcmp(s, "def") == 0);
    ck_assert_ptr_null(json_get(v, "z"));
    ck_assert_ptr_null(json_get(NULL, "z"));
    ck_assert_int_eq(e.kind, ERR_NONE);
    const struct { const char *name; int64_t lo, hi; const char *says; } BAD[] = {
        { "n", 8, 10, "key 'n': found 7, expected an integer from 8 to 10" },
        { "f", 0, 10, "found 1.5" },
        { "s", 0, 10, "found a string, expected an integer" },
        { "none", 0, 10, "key 'none': found nothing" },
        { "z", 0, 10, "found nothing" },
        { "huge", 0, INT64_MAX, "found 4.61" },
        { "inf", 0, INT64_MAX, "found inf" },
        { "t", 0, 1, "found a boolean" },
    };
    for (size_t k = 0; k < sizeof BAD / sizeof BAD[0]; k++) {
        e = (err){ 0 };
        ck_assert(!json_i64(v, BAD[k].name, BAD[k].lo, BAD[k].hi, &i, "f.json", &e));
        check_refused(&e, ERR_INPUT, "f.json", BAD[k].says);
    }
    e = (err){ 0 };
    ck_assert(!json_f64(v, "inf", &d, "f.json", &e) && strstr(e.msg, "expected a finite one"));
    e = (err){ 0 };
    ck_assert(!json_bool_or(v, "n", true, &b, "f.json", &e) && strstr(e.msg, "found a number, expected true or false"));
    e = (err){ 0 };
    ck_assert(!json_str(v, "n", &s, "f.json", &e) && strstr(e.msg, "found a number, expected a string"));
    cJSON_Delete(v);
}
END_TEST

START_TEST(test_files)
{
    char *dir = new_dir();
    err   e   = { 0 };
    ck_assert_ptr_null(json_parse_file(in_dir(dir, "none.json"), &e));
    check_refused(&e, ERR_INPUT, "none.json", "cannot open");
    e = (err){ 0 };
    ck_assert_ptr_null(json_parse_file(dir, &e));
    check_refused(&e, ERR_INPUT, dir, "found a folder");
    e = (err){ 0 };
    write_file(in_dir(dir, "a.json"), "{\"a\":[1]}", 9);
    cJSON *v = json_parse_file(in_dir(dir, "a.json"), &e);
    ck_assert_msg(v != NULL, "%s", e.msg);
    cJSON_Delete(v);
    write_file(in_dir(dir, "nul.json"), "{}\0", 3);
    ck_assert_ptr_null(json_parse_file(in_dir(dir, "nul.json"), &e));
    check_refused(&e, ERR_INPUT, "nul.json", "offset 2: found byte 0x00");
    drop_dir(dir);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_good_texts);
    tcase_add_test(t, test_bad_texts);
    tcase_add_test(t, test_nonfinite);
    tcase_add_test(t, test_time);
    tcase_add_test(t, test_every_truncation);
    tcase_add_test(t, test_depth);
    tcase_add_test(t, test_many_names);
    tcase_add_test(t, test_value_limit);
    tcase_add_test(t, test_escaped_nul);
    tcase_add_test(t, test_members);
    tcase_add_test(t, test_files);
    suite_add_tcase(s, t);
    return run_suite(s);
}
