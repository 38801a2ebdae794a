// Proves release/release_recipe.h and verify/recipe.h, and how cli/recipe_args.h reads the command line: every key of a
// recipe, alone and together; what would do nothing or contradicts is refused by name; a file of recipes, hostile until
// checked; what a report says of a recipe, read back from it.
#include "bytes.h"
#include "cli/command_words.h"
#include "cli/recipe_args.h"
#include "formats/json.h"
#include "formats/sha256.h"
#include "verify/recipe.h"

static char *dir;
static void begin(void) { dir = new_dir(); }
static void end(void) { drop_dir(dir); }

// ---- the command line ----------------------------------------------------------------------------------------------

typedef struct { recipe *v; int n; err e; bool ok; } parsed;

static parsed parse(const char *types)
{
    parsed p = { .n = 0 };
    p.ok = recipe_args_types(&p.v, &p.n, types, &p.e);
    return p;
}

static void drop(parsed *p) { recipes_free(p->v, p->n); }

START_TEST(a_recipe_is_a_type_and_what_changes_its_blocks)
{
    parsed p = parse("bf16,q4_k_m:imatrix=a\\,b\\:c.gguf:effort=0:name=Q4_K_M-x,q6_k:tensor-type=blk\\.0\\\\\\:=q8_0:"
                     "tensor-type="
                     "a=b=q5_k:pure,mix:budget=4.5bpw:text=t.txt:text=u.txt:samples=2:chunk=32:exact");
    ck_assert_msg(p.ok, "%s", p.e.msg);
    ck_assert_int_eq(p.n, 4);
    ck_assert(recipe_is_plain(&p.v[0]) && p.v[0].type == FT_BF16 && !recipe_encodes(&p.v[0]));
    ck_assert_str_eq(p.v[1].imatrix, "a,b:c.gguf");
    ck_assert_str_eq(p.v[1].name, "Q4_K_M-x");
    ck_assert(p.v[1].has_effort && p.v[1].effort == 0 && recipe_encodes(&p.v[1]));
    ck_assert_int_eq(p.v[2].tensor_types.n, 2);
    ck_assert_str_eq(p.v[2].tensor_types.v[0], "blk\\.0\\:=q8_0");      // a '\' alone is the pattern's
    ck_assert_str_eq(p.v[2].tensor_types.v[1], "a=b=q5_k");
    ck_assert(p.v[2].pure && p.v[3].kind == RECIPE_MIX && p.v[3].exact && p.v[3].samples == 2 && p.v[3].chunk == 32);
    ck_assert_int_eq(p.v[3].texts.n, 2);
    for (int i = 0; i < p.n; i++) {             // said again, it is the same
        char  *text = recipe_text(&p.v[i]), words[2][512];
        parsed q = parse(text);
        ck_assert_msg(q.ok && q.n == 1, "%s: %s", text, q.e.msg);
        recipe_words(&p.v[i], words[0]);
        recipe_words(&q.v[0], words[1]);
        ck_assert_str_eq(words[0], words[1]);
        char *again = recipe_text(&q.v[0]);
        ck_assert_str_eq(text, again);
        free(text);
        free(again);
        drop(&q);
    }
    char words[512];
    recipe_words(&p.v[0], words);
    ck_assert_str_eq(words, "");
    recipe_words(&p.v[3], words);
    ck_assert_str_eq(words, "mix, budget 4.5bpw, measured on t.txt, measured on u.txt, samples 2, chunk 32, exact");
    drop(&p);
}
END_TEST

START_TEST(a_wrong_word_is_named_and_is_usage)
{
    static const struct { const char *types, *says; } CASES[] = {
        { "q4_k_m:imatrx=a", "'q4_k_m:imatrx=a': found 'imatrx', expected of a type one of name, imatrix" },
        { "q4_k_m:imatrix", "imatrix: the value is missing" },
        { "q4_k_m:imatrix=", "imatrix: the value is missing" },
        { "q4_k_m:", "found ''" },
        { "q4_k_m:imatrix=a:imatrix=b", "imatrix is given twice" },
        { "q4_k_m:effort=1:effort=1", "effort is given twice" },
        { "q4_k_m:effort=2", "effort: found '2', expected 0 to 1" },
        { "q4_k_m:effort=1x", "effort: found '1x'" },
        { "q4_k_m:effort=-1", "effort: found '-1'" },
        { "q4_k_m:pure=yes", "pure takes no value" },
        { "q4_k_m:budget=4bpw", "found 'budget'" },
        { "q4_k_m:tensor-type=a", "expected PATTERN=TYPE" },
        { "q4_k_m:tensor-type=a=q9", "tensor-type: unknown tensor type 'q9'" },
        { "q4_k_m:output-type=q9", "output-type: unknown tensor type 'q9'" },
        { "q4_k_m:effort=0:calibrate=t", "exclude each other" },
        { "q4_k_m:name=a/b", "name 'a/b'" },
        { "q4_k_m:name=.x", "name '.x'" },
        { "bf16:imatrix=a", "imatrix does nothing" },
        { "f32:effort=1", "effort does nothing" },
        { "mix", "budget=SIZE or max-kl=X" },
        { "mix:budget=4bpw:max-kl=1:text=t", "one of them" },
        { "mix:budget=4bpw", "text=FILE" },
        { "mix:budget=four:text=t", "budget 'four'" },
        { "mix:max-kl=0:text=t", "largest KL '0'" },
        { "mix:max-kl=1:text=t:chunk=4", "chunk: found '4', expected 8" },
        { "mix:max-kl=1:text=t:effort=1", "found 'effort', expected of a mix" },
        { "bf16,bf16", "bf16 is given twice" },
        { "bf16,,f32", "separated by commas" },
        { "q4_k_n", "q4_k_m" },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        parsed p = parse(CASES[i].types);
        ck_assert_msg(!p.ok && p.e.kind == ERR_USAGE, "%s: %d", CASES[i].types, p.e.kind);
        ck_assert_msg(strstr(p.e.msg, CASES[i].says) != NULL, "%s: %s", CASES[i].types, p.e.msg);
        drop(&p);
    }
    parsed p = parse("q4_k_m,q4_k_m:name=x,bf16:tensor-type=ffn_down=q6_k:imatrix=a");     // one has blocks after all
    ck_assert_msg(p.ok, "%s", p.e.msg);
    drop(&p);
}
END_TEST

START_TEST(a_finished_file_is_one_by_its_path)
{
    recipe *v = NULL;
    int n = 0;
    err e = { 0 };
    const char *odd = in_dir(dir, "a:b,c.gguf");
    write_file(odd, "x", 1);
    ck_assert_msg(recipe_args_artifact(&v, &n, odd, &e), "%s", e.msg);
    ck_assert_str_eq(v[0].artifact, odd);
    ck_assert(recipe_args_artifact(&v, &n, "b.gguf:name=B:imatrix=i\\:j:calibrate=t", &e));
    ck_assert_str_eq(v[1].artifact, "b.gguf");
    ck_assert_str_eq(v[1].imatrix, "i:j");
    ck_assert(!recipe_args_artifact(&v, &n, "b.gguf:effort=1", &e));
    ck_assert_msg(e.kind == ERR_USAGE && strstr(e.msg, "expected of a finished file"), "%s", e.msg);
    recipes_free(v, n);
}
END_TEST

START_TEST(defaults_go_where_they_do_something)
{
    const char *texts[] = { "t" };
    parsed p = parse("bf16,q4_k_m,q6_k:imatrix=own:effort=0,mix:budget=4bpw:text=u");
    recipe_defaults d = { .imatrix = "all", .calibrate = { texts, 1 }, .effort = { 1, true } };
    ck_assert_msg(recipe_args_defaults(p.v, p.n, &d, &p.e), "%s", p.e.msg);
    ck_assert(recipe_is_plain(&p.v[0]));
    ck_assert_str_eq(p.v[1].imatrix, "all");
    ck_assert(p.v[1].has_effort && p.v[1].effort == 1 && p.v[1].calibrate.n == 1);
    ck_assert_str_eq(p.v[2].imatrix, "own");
    ck_assert(p.v[2].effort == 0 && p.v[2].calibrate.n == 0);
    ck_assert_str_eq(p.v[3].imatrix, "all");
    drop(&p);
    p = parse("bf16");
    ck_assert(!recipe_args_defaults(p.v, p.n, &d, &p.e) && p.e.kind == ERR_USAGE);
    ck_assert_msg(strstr(p.e.msg, "--imatrix does nothing"), "%s", p.e.msg);
    drop(&p);
}
END_TEST

// ---- the command line as it is published ----------------------------------------------------------------------------

typedef struct {
    const char *out, *types, *sign, *revision, *base_model;
    text_list   lab, lab_kv, artifacts;
    int64_t     n;
} told;

static const opt TOLD[] = {
    { "--output", "-o", OPT_OUTPUT, offsetof(told, out), "DIR", "", true, 0, 0, NULL },
    { "--types", NULL, OPT_TEXT, offsetof(told, types), "T,T,...", "", false, 0, 0, NULL },
    { "--artifact", NULL, OPT_PATHS, offsetof(told, artifacts), "FILE.gguf", "", false, 0, 0, NULL },
    { "--sign", NULL, OPT_PATH, offsetof(told, sign), "KEY.pem", "", false, 0, 0, NULL },
    { "--lab", NULL, OPT_PATHS, offsetof(told, lab), "CATEGORY=FILE", "", false, 0, 0, NULL },
    { "--lab-kv", NULL, OPT_PATHS, offsetof(told, lab_kv), "SPEC", "", false, 0, 0, NULL },
    { "--revision", NULL, OPT_PATH, offsetof(told, revision), "REV", "", false, 0, 0, NULL },
    { "--base-model", NULL, OPT_TEXT, offsetof(told, base_model), "ID", "", false, 0, 0, NULL },
    { "--tokens", NULL, OPT_INT, offsetof(told, n), "N", "", false, 1, 9, NULL },
};
static const command TOLD_COMMAND = { .name = "tell", .opts = TOLD, .n_opts = N_ROWS(TOLD) };

static char *told_words(const told *o, const char *arg, words_how how)
{
    command_words w;
    err e = { 0 };
    char all[2048];
    size_t n = 0;
    const text_list args = { &arg, 1 };
    ck_assert_msg(command_words_of(&w, &TOLD_COMMAND, o, &args, how, &e), "%s", e.msg);
    for (int i = 0; i < w.n; i++) n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? " " : "", w.v[i]);
    command_words_free(&w);
    return strdup(all);
}

// Every kind of word that may hold a path; what looks like one and is none stays whole.
START_TEST(what_is_published_of_a_command_line_has_no_folders)
{
    static const char TYPES[] = "bf16,q4_k_m:imatrix=/ann/x\\,y.gguf:pure:tensor-type=a/b=q8_0,"
                                "mix:budget=4bpw:text=/ann/t:text=u";
    const char *lab[] = { "coding=/home/ann/c.txt", "../ann/t=u.txt", "ann/*.txt" }, *kv[] = { "k=q8_0,v=q4_0" };
    const char *odd = in_dir(dir, "a:b,c.gguf");
    const char *files[] = { "ann/b.gguf:imatrix=/ann/i\\:j:calibrate=ann/t:name=B", odd };
    const told o = { .out = "/home/ann/out/", .sign = "/home/ann/key.pem", .revision = "refs/pr/1",
                     .base_model = "org/m", .types = TYPES, .lab = { lab, 3 }, .lab_kv = { kv, 1 },
                     .artifacts = { files, 2 }, .n = 3 };
    write_file(odd, "x", 1);
    char *words = told_words(&o, dir, WORDS_WITHOUT_FOLDERS), expected[1024];
    snprintf(expected, sizeof expected, "hallmark tell %s --output out --types bf16,q4_k_m:imatrix=x\\,y.gguf:pure"
        ":tensor-type=a/b=q8_0,mix:budget=4bpw:text=t:text=u"
        " --artifact b.gguf:imatrix=i\\:j:calibrate=t:name=B --artifact a:b,c.gguf"
        " --sign key.pem --lab coding=c.txt --lab t=u.txt --lab *.txt --lab-kv k=q8_0,v=q4_0 --revision refs/pr/1"
        " --base-model org/m --tokens 3", strrchr(dir, '/') + 1);
    ck_assert_str_eq(words, expected);
    free(words);
}
END_TEST

START_TEST(a_model_s_id_is_published_whole_and_a_command_to_repeat_as_it_was_typed)
{
    const told o = { .out = "/home/ann/out" };
    char *id = told_words(&o, "org/model", WORDS_WITHOUT_FOLDERS), *typed = told_words(&o, dir, WORDS_AS_TYPED);
    char  expected[256];
    ck_assert_str_eq(id, "hallmark tell org/model --output out");
    snprintf(expected, sizeof expected, "hallmark tell %s --output /home/ann/out", dir);
    ck_assert_str_eq(typed, expected);
    free(typed);
    free(id);
}
END_TEST

// ---- a file --------------------------------------------------------------------------------------------------------

static bool read_text(const char *text, recipe **v, int *n, err *e)
{
    const char *path = in_dir(dir, "recipe.json");
    write_text(path, text);
    *e = (err){ 0 };
    return recipe_file_read(v, n, path, e);
}

#define RECIPES(list) "{\"hallmark_recipe\":1,\"recipes\":[" list "]}"

START_TEST(a_file_has_paths_from_its_own_folder)
{
    recipe *v = NULL;
    int n = 0;
    err e;
    char expected[600];
    ck_assert_msg(read_text(RECIPES("{\"type\":\"q4_k_m\",\"imatrix\":\"im.gguf\",\"calibrate\":[\"a\",\"/"
                                    "b\"],\"effort\":1,\"pure\":true},"
                                    "{\"mix\":true,\"max-kl\":\"0.01\",\"text\":\"t\",\"samples\":3},"
                                    "{\"artifact\":\"x/done.gguf\",\"name\":\"D\"}"),
                            &v, &n, &e),
                  "%s", e.msg);
    ck_assert_int_eq(n, 3);
    snprintf(expected, sizeof expected, "%s/im.gguf", dir);
    ck_assert_str_eq(v[0].imatrix, expected);
    ck_assert_str_eq(v[0].calibrate.v[1], "/b");
    ck_assert(v[0].pure && v[0].effort == 1 && v[0].file && !recipe_is_plain(&v[0]));
    ck_assert(v[1].kind == RECIPE_MIX && v[1].samples == 3);
    snprintf(expected, sizeof expected, "%s/x/done.gguf", dir);
    ck_assert_str_eq(v[2].artifact, expected);
    recipes_free(v, n);
}
END_TEST

START_TEST(a_hostile_file_is_refused_by_file_recipe_and_key)
{
    static const struct { const char *text, *says; } CASES[] = {
        { "", "recipe.json" }, { "{", "recipe.json" }, { "[]", "hallmark_recipe" }, { "null", "hallmark_recipe" },
        { "{\"hallmark_recipe\":2,\"recipes\":[]}", "hallmark_recipe" },
        { "{\"hallmark_recipe\":1}", "key 'recipes': found nothing of 0" },
        { "{\"hallmark_recipe\":1,\"recipes\":{}}", "key 'recipes': found an object" },
        { RECIPES(""), "of 0, expected an array of 1 to" },
        { "{\"hallmark_recipe\":1,\"recipes\":[{\"type\":\"f32\"}],\"x\":1}", "key 'x'" },
        { RECIPES("1"), "recipes[0]: found a number" },
        { RECIPES("{\"type\":\"f32\"},{}"), "recipes[1]: expected one of the keys 'type', 'mix' and 'artifact'" },
        { RECIPES("{\"type\":\"f32\",\"mix\":true}"), "recipes[0]: expected one of the keys" },
        { RECIPES("{\"mix\":false,\"budget\":\"4bpw\",\"text\":\"t\"}"), "mix: found" },
        { RECIPES("{\"type\":7}"), "type: found a number" },
        { RECIPES("{\"type\":\"q9\"}"), "unknown type 'q9'" },
        { RECIPES("{\"artifact\":\"\"}"), "artifact: found" },
        { RECIPES("{\"type\":\"q4_k_m\",\"imatrx\":\"a\"}"), "recipes[0]: found 'imatrx'" },
        { RECIPES("{\"type\":\"q4_k_m\",\"imatrix\":{}}"), "imatrix: found an object" },
        { RECIPES("{\"type\":\"q4_k_m\",\"imatrix\":7}"), "imatrix: found a number" },
        { RECIPES("{\"type\":\"q4_k_m\",\"imatrix\":\"\"}"), "imatrix: the value is missing" },
        { RECIPES("{\"type\":\"q4_k_m\",\"calibrate\":[1]}"), "calibrate: found a number in the array" },
        { RECIPES("{\"type\":\"q4_k_m\",\"effort\":1.5}"), "effort: found a number" },
        { RECIPES("{\"type\":\"q4_k_m\",\"effort\":-1}"), "effort: found a number" },
        { RECIPES("{\"type\":\"q4_k_m\",\"effort\":9}"), "effort: found '9'" },
        { RECIPES("{\"type\":\"q4_k_m\",\"imatrix\":\"a\",\"imatrix\":\"b\"}"), "imatrix" },
        { RECIPES("{\"type\":\"q4_k_m\",\"pure\":false}"), "pure: found" },
        { RECIPES("{\"type\":\"f32\",\"imatrix\":\"a\"}"), "imatrix does nothing" },
        { RECIPES("{\"type\":\"f32\",\"name\":\"../x\"}"), "name '../x'" },
        { RECIPES("{\"type\":\"f32\"}") "x", "recipe.json" },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        recipe *v = NULL;
        int n = 0;
        err e;
        ck_assert_msg(!read_text(CASES[i].text, &v, &n, &e), "%s", CASES[i].text);
        ck_assert_msg(e.kind == ERR_INPUT && strstr(e.msg, "recipe.json"), "%s: %d: %s", CASES[i].text, e.kind, e.msg);
        ck_assert_msg(strstr(e.msg, CASES[i].says) != NULL, "%s: %s", CASES[i].text, e.msg);
        ck_assert(n == 0);
        recipes_free(v, n);
    }
    recipe *v = NULL;
    int n = 0;
    err e = { 0 };
    ck_assert(!recipe_file_read(&v, &n, in_dir(dir, "absent.json"), &e) && e.kind == ERR_INPUT);
}
END_TEST

// ---- what a report says --------------------------------------------------------------------------------------------

static verify_recipe said(void)
{
    verify_recipe r = { .words = "q4_k_m, importance matrix im.gguf" };
    char hex[SHA256_HEX + 1];
    err  e = { 0 };
    ck_assert(sha256_bytes("x", 1, hex, &e));
    ck_assert(verify_recipe_input(&r, "imatrix", "im|.gguf", hex, &e));
    ck_assert(verify_recipe_input(&r, "calibration", "t\n", hex, &e));
    return r;
}

START_TEST(a_report_says_it_in_words_and_digests_and_is_read_back)
{
    verify_recipe r = said(), back = { .n = 0 };
    err    e = { 0 };
    cJSON *o = cJSON_CreateObject();
    ck_assert(verify_recipe_add(o, &r));
    ck_assert_msg(verify_recipe_read(&back, json_get(o, "recipe"), "x", &e), "%s", e.msg);
    ck_assert_int_eq(back.n, 2);
    ck_assert_str_eq(back.words, r.words);
    ck_assert_str_eq(back.v[1].name, "t\\n");
    text_buf t = { 0 };
    verify_recipe_put(&t, "a.gguf", &back);
    char *md = text_take(&t);
    ck_assert(strstr(md, "im\\|.gguf") && strstr(md, r.v[0].sha256));
    free(md);
    cJSON_Delete(o);
    verify_recipe_free(&r);
    verify_recipe_free(&back);
}
END_TEST

START_TEST(a_record_that_says_it_otherwise_is_refused)
{
    static const struct { const char *json, *says; } CASES[] = {
        { "[]", "key 'recipe'" }, { "{\"words\":\"\",\"inputs\":[]}", "words" }, { "{\"words\":\"a\"}", "inputs" },
        { "{\"words\":\"a\",\"inputs\":[{\"kind\":\"gate\",\"name\":\"a\",\"sha256\":\"b\"}]}", "kind" },
        { "{\"words\":\"a\",\"inputs\":[{\"kind\":\"text\",\"name\":\"a\",\"sha256\":\"b\"}]}", "sha256" },
        { "{\"words\":\"a\",\"inputs\":[{\"kind\":\"text\",\"sha256\":\"b\"}]}", "name" },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        verify_recipe r = { .n = 0 };
        err    e = { 0 };
        cJSON *o = json_parse(CASES[i].json, (int64_t)strlen(CASES[i].json), "x", &e);
        ck_assert(!verify_recipe_read(&r, o, "file", &e) && e.kind == ERR_VERDICT);
        ck_assert_msg(strstr(e.msg, CASES[i].says) && strstr(e.msg, "file: key 'recipe'"), "%s: %s", CASES[i].json,
                      e.msg);
        cJSON_Delete(o);
        verify_recipe_free(&r);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("recipe");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, a_recipe_is_a_type_and_what_changes_its_blocks);
    tcase_add_test(t, a_wrong_word_is_named_and_is_usage);
    tcase_add_test(t, a_finished_file_is_one_by_its_path);
    tcase_add_test(t, defaults_go_where_they_do_something);
    tcase_add_test(t, what_is_published_of_a_command_line_has_no_folders);
    tcase_add_test(t, a_model_s_id_is_published_whole_and_a_command_to_repeat_as_it_was_typed);
    tcase_add_test(t, a_file_has_paths_from_its_own_folder);
    tcase_add_test(t, a_hostile_file_is_refused_by_file_recipe_and_key);
    tcase_add_test(t, a_report_says_it_in_words_and_digests_and_is_read_back);
    tcase_add_test(t, a_record_that_says_it_otherwise_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
