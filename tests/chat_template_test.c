// Proves convert/chat_template.h: the templates are those that Transformers 5.24's tokenizer has after loading the same
// folder (AutoTokenizer.from_pretrained(DIR).chat_template, looked up for every row), and each is in the file under a
// key of its own.
#include "convert/chat_template.h"
#include "formats/json.h"
#include "mini_checkpoint.h"

#include <sys/stat.h>

enum { MAX_FILES = 4, MAX_KEYS = 4 };
typedef struct { const char *name, *text; } named;
typedef struct {
    const char *config;                 // chat_template of tokenizer_config.json, as JSON; NULL: none
    named       files[MAX_FILES];
    named       keys[MAX_KEYS];         // without "tokenizer.chat_template"
    const char *log;                    // said; NULL: nothing is said
} row;

static char said[4096];
static void keep_log(progress *p, const char *line)
{
    strncat(said, line, sizeof said - strlen(said) - 2);
    strcat(said, "\n");
}

static char *folder_of(const row *r)
{
    char *dir = new_dir();
    mkdir(in_dir(dir, "additional_chat_templates"), 0777);
    for (int i = 0; i < MAX_FILES && r->files[i].name; i++)
        write_file(in_dir(dir, r->files[i].name), r->files[i].text, (int64_t)strlen(r->files[i].text));
    return dir;
}

static gguf_plan *plan_of(const row *r, const char *dir, err *e)
{
    progress   log = { .log = keep_log };
    gguf_plan *p = gguf_plan_new(32, e);
    cJSON     *config = cJSON_CreateObject();
    said[0] = '\0';
    if (r->config) cJSON_AddItemToObject(config, "chat_template", mini_json(r->config));
    bool ok = chat_template_plan(p, dir, config, &log, e);
    cJSON_Delete(config);
    if (ok) return p;
    gguf_plan_free(p);
    return NULL;
}

static bool value_is(const gguf_plan *p, const char *suffix, const char *text)
{
    char     key[300];
    gguf_str s;
    snprintf(key, sizeof key, "tokenizer.chat_template%s", suffix);
    return gguf_kv_str(gguf_plan_find(p, key), &s) && (size_t)s.n == strlen(text) &&
           memcmp(s.s, text, strlen(text)) == 0;
}

// The list of names holds exactly those of the keys that have one.
static void check_names(const gguf_plan *p, const row *r, size_t i)
{
    const gguf_kv *kv = gguf_plan_find(p, "tokenizer.chat_templates");
    int64_t named_keys = 0;
    for (int k = 0; k < MAX_KEYS && r->keys[k].name; k++) {
        if (!r->keys[k].name[0]) continue;
        named_keys++;
        gguf_str_iter it = gguf_strs(kv);
        gguf_str s = { 0 };
        bool found = false;
        while (!found && gguf_next_str(&it, &s))
            found = (size_t)s.n == strlen(r->keys[k].name + 1) && memcmp(s.s, r->keys[k].name + 1, (size_t)s.n) == 0;
        ck_assert_msg(found, "row %zu: %s is not listed", i, r->keys[k].name);
    }
    ck_assert_msg((kv ? kv->n : 0) == named_keys, "row %zu", i);
}

#define A "additional_chat_templates/"
#define J "chat_template.jinja"

static const row ROWS[] = {
    { NULL, { { NULL } }, { { NULL } }, NULL },
    { NULL, { { J, "D" } }, { { "", "D" } }, NULL },
    { "\"C\"", { { NULL } }, { { "", "C" } }, NULL },
    { "\"C\"", { { J, "D" } }, { { "", "D" } }, "tokenizer_config.json: its chat_template is not the one" },
    { "\"D\"", { { J, "D" } }, { { "", "D" } }, NULL },
    { NULL, { { J, "a\r\nb\rc\n" } }, { { "", "a\nb\nc\n" } }, NULL },    // as Python reads text
    { "\"a\\r\\nb\\rc\"", { { NULL } }, { { "", "a\r\nb\rc" } }, NULL },    // JSON says these characters
    { NULL,
      { { J, "\xef\xbb\xbf"
             "abc" } },
      { { "", "\xef\xbb\xbf"
              "abc" } },
      "begins with a byte order mark" },
    { NULL, { { J, "" } }, { { NULL } }, "template 'default' is empty" },    // gguf-py: no key
    { NULL, { { J, "D" }, { A "tool_use.jinja", "T" } }, { { "", "D" }, { ".tool_use", "T" } }, NULL },
    { NULL, { { A "tool_use.jinja", "T" } }, { { ".tool_use", "T" } }, "none of them is the default one" },
    { "\"C\"", { { A "tool_use.jinja", "T" } }, { { ".tool_use", "T" } }, "which replace it, as in Transformers" },
    { NULL, { { J, "D" }, { A "default.jinja", "AD" } }, { { "", "AD" } }, "stands twice" },
    { NULL, { { J, "D" }, { A "x.jinja", "" } }, { { "", "D" } }, "'x' is empty" },
    { NULL,
      { { J, "D" }, { A "file.jinja", "F" } },
      { { "", "D" }, { ".file", "F" } },
      "takes a template of this name for the default one" },
    { NULL, { { J, "D" }, { A "x.txt", "no template" } }, { { "", "D" } }, NULL },
    { "[{\"name\":\"default\",\"template\":\"d\"},{\"name\":\"tool use\",\"template\":\"t\"}]",
      { { NULL } },
      { { "", "d" }, { ".tool_use", "t" } },
      "'tool use' is written as tokenizer.chat_template.tool_use" },
    { "[{\"name\":\"default\",\"template\":\"L\"},{\"name\":\"tool_use\",\"template\":\"T\"}]",
      { { J, "D" } },
      { { "", "D" } },
      "which replace it" },
    { "[{\"name\":\"default\",\"template\":\"D\"},{\"name\":\"default\",\"template\":\"T\"}]",
      { { NULL } },
      { { "", "T" } },
      "stands twice" },
    { "[{\"name\":\"a\",\"template\":\"D\"},{\"name\":\"\",\"template\":\"T\"}]",
      { { NULL } },
      { { ".a", "D" }, { "._", "T" } },
      "none of them is the default" },
    { "[]", { { NULL } }, { { NULL } }, NULL },
    { "{\"default\":\"D\",\"tool_use\":\"T\"}", { { NULL } }, { { "", "D" }, { ".tool_use", "T" } }, NULL },
    // Different names that a key cannot tell apart: the one that is a key as it stands keeps it.
    { "[{\"name\":\"tool-use\",\"template\":\"1\"},{\"name\":\"tool_use\",\"template\":\"2\"},{\"name\":\"tool "
      "use\",\"template\":\"3\"}]",
      { { NULL } },
      { { ".tool_use", "2" }, { ".tool_use_2", "1" }, { ".tool_use_3", "3" } },
      "'tool-use' is written as tokenizer.chat_template.tool_use_2" },
    { "[{\"name\":\"a-b\",\"template\":\"1\"},{\"name\":\"a_b_2\",\"template\":\"2\"},{\"name\":\"a.b\",\"template\":"
      "\"3\"}]",
      { { NULL } },
      { { ".a_b", "1" }, { ".a_b_2", "2" }, { ".a_b_3", "3" } },
      NULL },
    { "[{\"name\":\"g\xc3\xa9mma\",\"template\":\"1\"},{\"name\":\"\xf0\x9f\x98\x80\",\"template\":\"2\"}]",
      { { NULL } },
      { { ".g_mma", "1" }, { "._", "2" } },
      NULL },
    // chat_template.json: Transformers' processors and llama.cpp read it where the tokenizer has none.
    { NULL,
      { { "chat_template.json", "{\"chat_template\":\"P\"}" } },
      { { "", "P" } },
      "chat_template.json: its template is taken" },
    { "\"C\"",
      { { "chat_template.json", "{\"chat_template\":\"P\"}" } },
      { { "", "C" } },
      "chat_template.json: its template is another" },
    { "\"C\"", { { "chat_template.json", "{\"chat_template\":\"C\"}" } }, { { "", "C" } }, NULL },
    { NULL, { { "chat_template.json", "{\"chat_template\":\"P\"}" }, { J, "D" } }, { { "", "D" } }, "is left out" },
    { "\"C\"", { { "chat_template.json", "no JSON" } }, { { "", "C" } }, "is left out" },
};

START_TEST(test_which_templates)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        const row *r = &ROWS[i];
        err        e = { 0 };
        char      *dir = folder_of(r);
        gguf_plan *p = plan_of(r, dir, &e);
        ck_assert_msg(p != NULL, "row %zu: %s", i, e.msg);
        bool has_default = false;
        for (int k = 0; k < MAX_KEYS && r->keys[k].name; k++) {
            ck_assert_msg(value_is(p, r->keys[k].name, r->keys[k].text), "row %zu: key '%s'", i, r->keys[k].name);
            has_default |= !r->keys[k].name[0];
        }
        ck_assert_msg(has_default == (gguf_plan_find(p, "tokenizer.chat_template") != NULL), "row %zu", i);
        check_names(p, r, i);
        if (r->log) ck_assert_msg(strstr(said, r->log) != NULL, "row %zu: said '%s', expected '%s'", i, said, r->log);
        gguf_plan_free(p);
        drop_dir(dir);
    }
}
END_TEST

START_TEST(test_refused)
{
    static const struct { const char *config, *file; const char *bytes; int64_t n; const char *says; } BAD[] = {
        { "7", NULL, NULL, 0, "tokenizer_config.json: chat_template: expected a string" },
        { "[{\"name\":\"x\"}]", NULL, NULL, 0, "key 'template'" },
        { "[{\"template\":\"x\"}]", NULL, NULL, 0, "key 'name'" },
        { "[7]", NULL, NULL, 0, "expected objects" },
        { "{\"default\":7}", NULL, NULL, 0, "'default': expected a string" },
        { NULL, J, "a\xe9z", 3, "chat_template.jinja: offset 1: found byte 0xe9, expected UTF-8" },
        { NULL, J,
          "\xff\xfe"
          "a\0",
          4, "chat_template.jinja: offset 0: found the mark of UTF-16" },
        { NULL, J, "\xfe\xff\0a", 4, "found the mark of UTF-16" },
        { NULL, J, "a\0b", 3, "chat_template.jinja: offset 1: found a NUL byte" },
        { NULL, A "x.jinja", "ab\xc3", 3, "x.jinja: offset 2: found byte 0xc3" },
        { NULL, "chat_template.json", "{}", 2, "chat_template.json: chat_template: expected" },
        { NULL, "chat_template.json", "{\"chat_template\":5}", 19, "chat_template.json: chat_template: expected" },
        { NULL, "chat_template.json", "nothing", 7, "chat_template.json: offset 0" },
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        err   e = { 0 };
        row   r = { .config = BAD[i].config };
        char *dir = folder_of(&r);
        if (BAD[i].file) write_file(in_dir(dir, BAD[i].file), BAD[i].bytes, BAD[i].n);
        ck_assert_msg(plan_of(&r, dir, &e) == NULL, "row %zu", i);
        check_refused(&e, ERR_INPUT, dir, BAD[i].says);
        drop_dir(dir);
    }
}
END_TEST

// A list as long as a hostile file makes it, and a name of any length, end in a message.
START_TEST(test_limits)
{
    err    e = { 0 };
    buffer b = { 0 };
    put_text(&b, "[");
    for (int i = 0; i < 65; i++) {
        char one[80];
        snprintf(one, sizeof one, "%s{\"name\":\"n%d\",\"template\":\"t\"}", i ? "," : "", i);
        put_text(&b, one);
    }
    put_text(&b, "]");
    put_u8(&b, 0);
    row   r = { .config = (char *)b.p };
    char *dir = folder_of(&r);
    ck_assert_ptr_null(plan_of(&r, dir, &e));
    check_refused(&e, ERR_INPUT, dir, "found more than 64 templates");
    char text[400];
    for (int n = 200; n <= 201; n++) {
        e = (err){ 0 };
        snprintf(text, sizeof text, "[{\"name\":\"%0*d\",\"template\":\"t\"}]", n, 0);
        r.config = text;
        gguf_plan *p = plan_of(&r, dir, &e);
        ck_assert_int_eq(p != NULL, n == 200);
        if (!p) check_refused(&e, ERR_INPUT, dir, "found a name of 201 bytes, expected at most 200");
        gguf_plan_free(p);
    }
    bytes_free(&b);
    drop_dir(dir);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("chat_template");
    TCase *t = tcase_create("all");
    tcase_add_test(t, test_which_templates);
    tcase_add_test(t, test_refused);
    tcase_add_test(t, test_limits);
    suite_add_tcase(s, t);
    return run_suite(s);
}
