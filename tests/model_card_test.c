// Proves convert/model_card.h and convert/model_id.h. tests/golden/model_cards.json: cards, and the keys under
// general.license, base_model, dataset, tags and languages that gguf-py 0.19 writes of each
// (Metadata.load of a folder that holds it as README.md, 7e9 parameters; set_gguf_meta_model).
#include "bytes.h"
#include "convert/model_card.h"
#include "convert/model_id.h"
#include "formats/json.h"

#include <time.h>

static const int64_t N_PARAMS = 7000000000;

static char said[4096];
static void keep_log(progress *p, const char *line) { snprintf(said, sizeof said, "%s", line); }

// The keys of a card of n bytes; `said` is what the log has.
static gguf_plan *plan_of(const void *card, int64_t n)
{
    progress   log = { .log = keep_log };
    err        e = { 0 };
    char      *dir = new_dir();
    gguf_plan *p = gguf_plan_new(32, &e);
    said[0] = '\0';
    if (card) write_file(in_dir(dir, "README.md"), card, n);
    ck_assert_msg(p && model_card_plan(p, dir, N_PARAMS, &log, &e), "%s", e.msg);
    drop_dir(dir);
    return p;
}

static gguf_plan *plan_of_text(const char *card) { return plan_of(card, (int64_t)strlen(card)); }

static bool str_is(const gguf_plan *p, const char *key, const char *want)
{
    gguf_str s;
    const gguf_kv *kv = gguf_plan_find(p, key);
    return kv && gguf_kv_str(kv, &s) && (size_t)s.n == strlen(want) && memcmp(s.s, want, strlen(want)) == 0;
}

static bool list_is(const gguf_plan *p, const char *key, const cJSON *want)
{
    const gguf_kv *kv = gguf_plan_find(p, key);
    gguf_str_iter  it = gguf_strs(kv);
    gguf_str       s;
    const cJSON   *one;
    if (!kv || kv->n != cJSON_GetArraySize(want)) return false;
    cJSON_ArrayForEach(one, want) {
        if (!gguf_next_str(&it, &s) || (size_t)s.n != strlen(one->valuestring)) return false;
        if (memcmp(s.s, one->valuestring, (size_t)s.n) != 0) return false;
    }
    return true;
}

static bool value_is(const gguf_plan *p, const cJSON *want)
{
    int64_t v;
    if (cJSON_IsString(want)) return str_is(p, want->string, want->valuestring);
    if (cJSON_IsArray(want)) return list_is(p, want->string, want);
    return gguf_plan_find(p, want->string) && gguf_arr_i64(gguf_plan_find(p, want->string), 0, &v) &&
           v == want->valueint;
}

// No key but those: each that could be there is looked for.
static int count_keys(const gguf_plan *p)
{
    static const char *const PLAIN[] = { "license",       "license.name", "license.link", "base_model.count",
                                         "dataset.count", "tags",         "languages" };
    static const char *const FIELDS[] = { "name", "author", "version", "organization", "description",
                                          "url",  "doi",    "uuid",    "repo_url" };
    char key[100];
    int  n = 0;
    for (size_t i = 0; i < sizeof PLAIN / sizeof PLAIN[0]; i++) {
        snprintf(key, sizeof key, "general.%s", PLAIN[i]);
        n += gguf_plan_find(p, key) != NULL;
    }
    for (int k = 0; k < 2 * 4; k++)
        for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++) {
            snprintf(key, sizeof key, "general.%s.%d.%s", k % 2 ? "dataset" : "base_model", k / 2, FIELDS[i]);
            n += gguf_plan_find(p, key) != NULL;
        }
    return n;
}

START_TEST(test_as_gguf_py)
{
    err    e = { 0 };
    cJSON *all = json_parse_file(SOURCE_DIR "/tests/golden/model_cards.json", &e);
    ck_assert_msg(all && cJSON_GetArraySize(all) > 100, "%s", e.msg);
    const cJSON *row, *want;
    cJSON_ArrayForEach(row, all) {
        const char *card = json_get(row, "card")->valuestring;
        const cJSON *keys = json_get(row, "keys");
        gguf_plan *p = plan_of_text(card);
        cJSON_ArrayForEach(want, keys)
            ck_assert_msg(value_is(p, want), "key '%s' of the card:\n%s", want->string, card);
        ck_assert_msg(count_keys(p) == cJSON_GetArraySize(keys), "other keys, too, of the card:\n%s", card);
        gguf_plan_free(p);
    }
    cJSON_Delete(all);
}
END_TEST

// What gguf-py does not read, or fails on, and people have.
START_TEST(test_more_than_gguf_py)
{
    static const struct { const char *card; int64_t n; const char *license, *says; } ROWS[] = {
        { "\xef\xbb\xbf---\nlicense: mit\n---\n", 0, "mit", "" },    // a byte order mark
        { "--- \nlicense: mit\n---\t\n", 0, "mit", "" },    // spaces behind
        { "---\rlicense: mit\r---\r", 0, "mit", "" },
        { "---\nlicense: g\xe9mma\n---\n", 0, "g\xef\xbf\xbdmma", "bytes that are not UTF-8 (1) become U+FFFD" },
        { "---\nlicense: no\n---\n", 0, "no", "" },
        { "---\nlicense: 2.0\n---\n", 0, "2.0", "" },
        { "---\nlicense: {a: b}\n---\n", 0, NULL, "" },
        { "---\nlicense: \"mit\n---\n", 0, NULL, "its front matter is not YAML" },
        { "---\nlicense: mit: x\n---\n", 0, NULL, "line 2: its front matter is not YAML" },
        { "---\nlicense: mit\n", 0, NULL, "has no end" },
        { "---\nlicense: mit\0\n---\n", 23, NULL, "has no end" },
        { "---\n- license\n---\n", 0, NULL, "is no mapping" },
        { "---\nlicense: *nothing\n---\n", 0, NULL, "is not YAML" },
        { "---\nlicense: \x01\n---\n", 0, NULL, "is not YAML" },
        { "no card\n---\nlicense: mit\n---\n", 0, NULL, "" },
        { "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", 0, NULL, "a git-lfs pointer" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        gguf_plan *p = plan_of(ROWS[i].card, ROWS[i].n ? ROWS[i].n : (int64_t)strlen(ROWS[i].card));
        if (ROWS[i].license) ck_assert_msg(str_is(p, "general.license", ROWS[i].license), "row %zu", i);
        else ck_assert_msg(!gguf_plan_find(p, "general.license"), "row %zu", i);
        ck_assert_msg(ROWS[i].says[0] ? strstr(said, ROWS[i].says) != NULL : !said[0], "row %zu: said '%s'", i, said);
        gguf_plan_free(p);
    }
    gguf_plan *p = plan_of(NULL, 0);
    ck_assert(count_keys(p) == 0 && !said[0]);
    gguf_plan_free(p);
}
END_TEST

static void repeat(buffer *b, const char *text, int64_t bytes)
{
    for (int64_t end = b->n + bytes; b->n < end;) put_text(b, text);
}

// Values are counted before they are kept: one costs two bytes in a card, and a hundred times that in memory.
START_TEST(test_values)
{
    static const struct { const char *part; int n; bool taken; } ROWS[] = {
        { "- a\n", 199000, true }, { "- a\n", 201000, false }, { "- ", 201000, false }, { "? ", 201000, false },
        { "- *x\n", 201000, false },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        buffer b = { 0 };
        put_text(&b, "---\nlicense: &x mit\nother:\n");
        for (int k = 0; k < ROWS[i].n; k++) put_text(&b, ROWS[i].part);
        put_text(&b, "\n---\n");
        gguf_plan *p = plan_of(b.p, b.n);
        ck_assert_msg(str_is(p, "general.license", "mit") == ROWS[i].taken, "row %zu", i);
        if (ROWS[i].taken) ck_assert_msg(!said[0], "row %zu: said '%s'", i, said);
        else ck_assert_msg(strstr(said, "has more than 200000 values; nothing is taken") != NULL, "row %zu: '%s'", i,
                           said);
        gguf_plan_free(p);
        bytes_free(&b);
    }
}
END_TEST

// A card may be as long as it likes behind its front matter, and as hostile as it likes within.
START_TEST(test_size_and_work)
{
    buffer b = { 0 };
    put_text(&b, "---\nlicense: mit\n---\n");
    repeat(&b, "0123456789abcdef", 17 << 20);
    gguf_plan *p = plan_of(b.p, b.n);
    ck_assert(str_is(p, "general.license", "mit") && !said[0]);
    gguf_plan_free(p);
    bytes_free(&b);
    static const struct { const char *head, *part; } HOSTILE[] = {
        { "tags: ", "[" },
        { "tags: ", "[\"]\"," },
        { "tags:\n", "- a\n" },
        { "base_model:\n", "- a/b-7B\n" },
        { "", "- " },
        { "", "? " },
        { "a: &a b\ntags:\n", "- *a\n" },
        { "tags:\n", "- &a x\n" },
        { "tags: {", "a: b, " },
        { "a: ", "a: " },
        { "tags: \"", "\\n" },
    };
    for (size_t i = 0; i < sizeof HOSTILE / sizeof HOSTILE[0]; i++) {
        b = (buffer){ 0 };
        put_text(&b, "---\n");
        put_text(&b, HOSTILE[i].head);
        repeat(&b, HOSTILE[i].part, 1000000);
        put_text(&b, "\n---\n");
        const clock_t from = clock();
        p = plan_of(b.p, b.n);
        const double seconds = (double)(clock() - from) / CLOCKS_PER_SEC;
        ck_assert_msg(seconds < 15, "row %zu: %.1f s", i, seconds);     // most take a tenth of one; unbounded, minutes
        gguf_plan_free(p);
        bytes_free(&b);
    }
}
END_TEST

START_TEST(test_titles)
{
    static const struct { const char *id, *title; } NAMES[] = {
        { "gemma-4-E2B-it", "Gemma 4 E2B It" },
        { "gemma-3-270m", "Gemma 3 270m" },
        { "tiny_gemma4", "Tiny_Gemma4" },
        { "v1.2-beta", "v1.2 Beta" },
        { "v1.-a", "V1. A" },
        { "a--b", "A B" },
        { "", "" },
        { "vision", "Vision" },
        { "it's", "It'S" },
        { "g\xc3\xa9mma-4", "G\xc3\xa9mma 4" },
        { "\xc3\xa9lan-vital", "\xc3\x89lan Vital" },
        { "G\xc3\x89MMA", "G\xc3\x89MMA" },
        { "\xd0\xbc\xd0\xbe\xd0\xb4\xd0\xb5\xd0\xbb\xd1\x8c", "\xd0\x9c\xd0\xbe\xd0\xb4\xd0\xb5\xd0\xbb\xd1\x8c" },
        { "\xe6\x97\xa5\xe6\x9c\xac-x", "\xe6\x97\xa5\xe6\x9c\xac X" },
        { "\xc7\x86x", "\xc7\x85x" },
        { "a\xff"
          "b",
          "A\xff"
          "B" },
        { "1\xc3\xa9", "1\xc3\xa9" },
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char *out = model_id_title(NAMES[i].id);
        ck_assert_str_eq(out, NAMES[i].title);
        free(out);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("model_card");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_as_gguf_py);
    tcase_add_test(t, test_more_than_gguf_py);
    tcase_add_test(t, test_values);
    tcase_add_test(t, test_size_and_work);
    tcase_add_test(t, test_titles);
    suite_add_tcase(s, t);
    return run_suite(s);
}
