// Proves measure/lab_record.h on the committed tiny Gemma 4: a result becomes a text and comes back; a text that is not
// as it is written is refused, whatever byte is another; a file that gets the record keeps its tensors and every other
// key; a record in another file is found.
#include "measure/lab.h"
#include "measure/lab_record.h"
#include "texts.h"
#include "verify_files.h"

static char exact[SCRATCH_PATH], coarse[SCRATCH_PATH], arg_a[SCRATCH_PATH + 16], arg_b[SCRATCH_PATH + 16];
static err e;
static lab_record made;         // of `exact` with four caches, beside another file
static char *text;

enum { ALL = 0, UNIFORM = 2 };         // the first cache; probes of layers are of uniform ones

static void measure(lab_record *rec, const char *base, const char *beside, int first, bool layers)
{
    static const char *const kv[] = { "f32", "k=q8_0,v=q4_0", "q8_0", "q4_0" };
    const char *const texts[] = { arg_a, arg_b };
    const lab_plan_opts o = { .base = base, .artifacts = &beside, .n_artifacts = beside ? 1 : 0, .kv = kv + first,
                              .n_kv = 4 - first, .texts = texts, .n_texts = 2, .chunk = 16, .skip = 3,
                              .arith = "f32", .layers = layers };
    lab_plan   p;
    lab_cells  c;
    lab_result r;
    ck_assert_msg(lab_plan_open(&p, &o, &e), "%s", e.msg);
    ck_assert_msg(lab_run(&c, &p, &(lab_run_opts){ .device = "cpu", .n_threads = 1 }, &e), "%s", e.msg);
    ck_assert_msg(lab_result_of(&r, &p, &c, 0, &e), "%s", e.msg);
    ck_assert_msg(lab_record_of(rec, &r, &e), "%s", e.msg);
    lab_result_free(&r);
    lab_cells_free(&c);
    lab_plan_free(&p);
}

static void prepare(void)
{
    files_begin("hallmark-record");
    strcpy(exact, convert_tiny("f32.gguf", FT_F32));
    strcpy(coarse, convert_tiny("q4_0.gguf", FT_Q4_0));
    snprintf(arg_a, sizeof arg_a, "chat=%s", in_scratch("a.txt"));
    snprintf(arg_b, sizeof arg_b, "coding=%s", in_scratch("b.txt"));
    write_license(in_scratch("a.txt"), 120);
    write_license_from(in_scratch("b.txt"), 900, 200);
    measure(&made, exact, coarse, ALL, false);
    ck_assert_ptr_nonnull(text = lab_record_text(&made));
}

static void clean(void)
{
    free(text);
    lab_record_free(&made);
    files_end();
}

START_TEST(a_result_becomes_a_text_and_comes_back)
{
    lab_record r;
    char *again;
    ck_assert_int_eq(made.n_caches, 4);         // not those of the file beside it
    ck_assert_int_eq(made.n_categories, 2);
    ck_assert(made.caches[0].kl_mean == 0 && made.caches[0].top1 == 1);
    ck_assert(made.caches[3].kl_mean > made.caches[2].kl_mean && made.caches[2].kl_mean > 0);
    ck_assert(made.caches[3].kl_low <= made.caches[3].kl_high && made.caches[3].top1_worst <= made.caches[3].top1);
    ck_assert_msg(lab_record_read(&r, text, (int64_t)strlen(text), "x", &e), "%s", e.msg);
    ck_assert_ptr_nonnull(again = lab_record_text(&r));
    ck_assert_str_eq(again, text);
    ck_assert_int_eq(r.best, made.best);
    ck_assert_int_eq(lab_record_cache_of(&r, "k=q8_0,v=q4_0"), 1);
    ck_assert_int_eq(lab_record_cache_of(&r, "q5_0"), -1);
    lab_record_free(&r);
    free(again);
}
END_TEST

START_TEST(a_record_does_not_depend_on_what_ran_beside)
{
    lab_record beside, alone;
    measure(&alone, exact, NULL, UNIFORM, false);
    measure(&beside, exact, coarse, UNIFORM, true);
    char *a = lab_record_text(&alone), *b = lab_record_text(&beside);
    ck_assert(a && b);
    ck_assert_str_eq(a, b);
    ck_assert_int_eq(alone.n_caches, 2);
    free(a);
    free(b);
    lab_record_free(&alone);
    lab_record_free(&beside);
}
END_TEST

// Reads n bytes; true: they are a record, which says just these.
static bool reads(const char *json, int64_t n)
{
    lab_record r;
    err why = { 0 };
    text_buf words = { 0 };
    const bool ok = lab_record_read(&r, json, n, "x", &why);
    if (ok) {
        char *again = lab_record_text(&r);
        ck_assert(again && strlen(again) == (size_t)n && memcmp(again, json, (size_t)n) == 0);
        free(again);
        lab_record_put_run(&words, &r);
        lab_record_put_table(&words, &r);
        lab_record_put_advice(&words, TEXT_MD, &r);
        for (int i = 0; i < r.n_caches; i++) lab_record_put_cache(&words, &r, i);
        char *shown = text_take(&words);
        ck_assert(shown && !strchr(shown, '\x1b') && !strchr(shown, '<'));
        free(shown);
    } else {
        ck_assert_int_eq(why.kind, ERR_INPUT);
        ck_assert(strncmp(why.msg, "x: ", 3) == 0 || strncmp(why.msg, "x:", 2) == 0);
    }
    lab_record_free(&r);
    return ok;
}

// A byte may be another only where that is another claim of the same form: a digit, a letter of a name or digest.
START_TEST(a_byte_that_is_another_is_refused_or_another_claim)
{
    static const char to[] = "0a9\"},:{[ <\x1b\xff";
    static const char plain[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-_ =";
    const int64_t n = (int64_t)strlen(text);
    char *copy = malloc((size_t)n);
    int64_t taken = 0;
    ck_assert_ptr_nonnull(copy);
    for (int64_t i = 0; i < n; i++) {
        ck_assert(!reads(text, i));
        for (size_t k = 0; k <= sizeof to; k++) {
            memcpy(copy, text, (size_t)n);
            copy[i] = k < sizeof to ? to[k] : (char)(text[i] ^ 1);
            if (copy[i] == text[i] || !reads(copy, n)) continue;
            ck_assert_msg(copy[i] && strchr(plain, copy[i]),
                          "offset %lld: '%c' for '%c'", (long long)i, copy[i], text[i]);
            taken++;
        }
    }
    ck_assert_int_gt(taken, 0);
    free(copy);
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
    static const struct { const char *from, *to, *says; } cases[] = {
        { "\"format\":1", "\"format\":2", "format: found 2, expected 1" },
        { "\"hallmark\":\"", "\"hallmark\":\"\\u001b", "hallmark: found" },
        { "\"arith\":\"f32\"", "\"arith\":\"f16\"", "arith: found 'f16'" },
        { "\"base_kv\":\"f32\"", "\"base_kv\":\"bf16\"", "base_kv: found 'bf16'" },
        { "\"chat\"", "\"ch\\u202eat\"", "category: found" },
        { "\"chat\"", "\"coding\"", "'coding' twice" },
        { "\"tokens\":", "\"tokens\":1", "tokens" },
        { "\"q8_0\"", "\"q8\"", "kv: found 'q8'" },
        { "\"q8_0\"", "\"q8_0:norot\"", "kv: found 'q8_0:norot'" },
        { "\"q8_0\"", "\"q4_0\"", "'q4_0' twice" },
        { "\"context\":", "\"context\":-", "context" },
        { "\"kl_mean\":0,", "\"kl_mean\":-1,", "kl_mean: found -1" },
        { "\"kl_mean\":0,", "\"kl_mean\":0.0,", "not as it is written" },
        { "\"kl_mean\":0,", "\"kl_mean\":null,", "kl_mean" },
        { "\"kl_low\":0,\"kl_high\":0,", "\"kl_low\":1,\"kl_high\":0,", "kl_low: found 1 above" },
        { "\"kl_low\":0,\"kl_high\":0,", "\"kl_low\":0,\"kl_high\":null,", "kl_high" },
        { "\"top1\":1,", "\"top1\":1.5,", "top1: found 1.5" },
        { "\"top1_worst\":1,", "\"top1_worst\":1.1,", "top1_worst: found 1.1" },
        { "\"worst\":\"chat\"", "\"worst\":\"prose\"", "worst: found 'prose'" },
        { "\"best\":", "\"best\":\"q5_0\",\"was\":", "best: found 'q5_0'" },
        { "\"llama\":", "\"more\":0,\"llama\":", "not as it is written" },
        { "{\"format\"", "{ \"format\"", "not as it is written" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lab_record r;
        err why = { 0 };
        char *s = replaced(text, cases[i].from, cases[i].to);
        ck_assert_msg(!lab_record_read(&r, s, (int64_t)strlen(s), "x", &why), "%s", cases[i].to);
        ck_assert_int_eq(why.kind, ERR_INPUT);
        ck_assert_msg(strstr(why.msg, cases[i].says) != NULL, "%s: %s", cases[i].says, why.msg);
        lab_record_free(&r);
        free(s);
    }
}
END_TEST

// The best cache is what the figures give: another that is in the list is refused.
START_TEST(another_best_is_refused)
{
    char now[64], other[64];
    const char *best = made.best < 0 ? NULL : made.caches[made.best].kv;
    snprintf(now, sizeof now, best ? "\"best\":\"%s\"" : "\"best\":null", best);
    for (int i = -1; i < made.n_caches; i++) {
        if (i == made.best) continue;
        snprintf(other, sizeof other, i < 0 ? "\"best\":null" : "\"best\":\"%s\"", i < 0 ? "" : made.caches[i].kv);
        char *s = replaced(text, now, other);
        ck_assert_msg(!reads(s, (int64_t)strlen(s)), "%s for %s", other, now);
        free(s);
    }
}
END_TEST

// ---- files ----------------------------------------------------------------------------------------------------------

static void check_same_bytes(const char *a, const char *b)
{
    char x[SHA256_HEX + 1], y[SHA256_HEX + 1];
    ck_assert(sha256_file(a, x, &e) && sha256_file(b, y, &e));
    ck_assert_str_eq(x, y);
}

START_TEST(a_file_keeps_everything_else)
{
    const char *out = in_scratch("out.gguf"), *twice = in_scratch("twice.gguf");
    ck_assert_msg(lab_record_write(exact, out, &made, 0, NULL, &e), "%s", e.msg);
    gguf *a = open_gguf(exact), *b = open_gguf(out);
    ck_assert_int_eq(gguf_n_kv(b), gguf_n_kv(a) + 1);
    for (int64_t i = 0; i < gguf_n_kv(a); i++) {
        const gguf_kv *x = gguf_kv_at(a, i), *y = gguf_kv_at(b, i);
        ck_assert_str_eq(x->key, y->key);
        ck_assert(x->n_bytes == y->n_bytes && memcmp(x->data, y->data, (size_t)x->n_bytes) == 0);
    }
    ck_assert_int_eq(gguf_n_tensors(b), gguf_n_tensors(a));
    ck_assert_msg(claims_check_tensors(b, 1, NULL, &e) && claims_check_gaps(b, &e), "%s", e.msg);
    lab_record found;
    bool there;
    ck_assert_msg(lab_record_find(&found, b, &there, &e) && there, "%s", e.msg);
    char *again = lab_record_text(&found);
    ck_assert_str_eq(again, text);
    ck_assert_msg(lab_record_fits(&found, b, 1, &e) && lab_record_fits(&found, a, 1, &e), "%s", e.msg);
    free(again);
    lab_record_free(&found);
    gguf_close(a);
    gguf_close(b);

    // again, over itself: the same bytes
    ck_assert_msg(lab_record_write(out, twice, &made, 0, NULL, &e), "%s", e.msg);
    check_same_bytes(out, twice);
    ck_assert_msg(lab_record_write(twice, twice, &made, 0, NULL, &e), "%s", e.msg);
    check_same_bytes(out, twice);
    lab_record measured;        // the file with the record is the same base
    measure(&measured, out, NULL, ALL, false);
    ck_assert_str_eq(measured.tensors, made.tensors);
    lab_record_free(&measured);
}
END_TEST

START_TEST(a_verification_record_becomes_empty)
{
    const char *out = in_scratch("unsigned.gguf"), *copy = in_scratch("released.gguf");
    gguf_str json;
    int64_t  off;
    bool     emptied = false;
    ck_assert_msg(lab_record_write(exact, copy, &made, 0, &emptied, &e), "%s", e.msg);
    ck_assert(!emptied);
    gguf *g = open_gguf(copy);
    ck_assert(claims_find_record(g, &json, &off, &e));
    gguf_close(g);
    patch(copy, off, "{\"verdict\":\"pass\"}", 18);
    ck_assert_msg(lab_record_write(copy, out, &made, 0, &emptied, &e), "%s", e.msg);
    ck_assert(emptied);
    g = open_gguf(out);
    ck_assert(claims_find_record(g, &json, &off, &e));
    ck_assert(json.n == 2 && memcmp(json.s, "{}", 2) == 0);
    gguf_close(g);
}
END_TEST

START_TEST(a_record_of_another_file_is_found)
{
    const char *out = in_scratch("wrong.gguf");
    err why = { 0 };
    ck_assert(!lab_record_write(coarse, out, &made, 0, NULL, &why));
    ck_assert_int_eq(why.kind, ERR_USAGE);
    ck_assert(strstr(why.msg, "is not what is measured") && !file_exists(out));
    gguf *g = open_gguf(coarse);
    why = (err){ 0 };
    ck_assert(!lab_record_fits(&made, g, 1, &why));
    ck_assert_int_eq(why.kind, ERR_VERDICT);
    ck_assert(strstr(why.msg, "measured on tensors and keys with digest") != NULL);
    gguf_close(g);
}
END_TEST

START_TEST(a_result_without_caches_of_the_base_is_refused)
{
    static const char *const kv[] = { "f32" };
    const char *const texts[] = { arg_a }, *beside[] = { coarse };
    const lab_plan_opts o = { .base = exact, .artifacts = beside, .n_artifacts = 1, .kv = kv, .n_kv = 1, .texts = texts,
                              .n_texts = 1, .chunk = 16 };
    lab_plan   p;
    lab_cells  c;
    lab_result r;
    lab_record rec;
    err why = { 0 };
    ck_assert_msg(lab_plan_open(&p, &o, &e), "%s", e.msg);
    ck_assert_msg(lab_run(&c, &p, &(lab_run_opts){ .device = "cpu", .n_threads = 1 }, &e), "%s", e.msg);
    ck_assert_msg(lab_result_of(&r, &p, &c, 0, &e), "%s", e.msg);
    for (int i = 0; i < p.n_candidates; i++) p.candidates[i].artifact = 1;
    ck_assert(!lab_record_of(&rec, &r, &why));
    ck_assert_int_eq(why.kind, ERR_USAGE);
    lab_record_free(&rec);
    lab_result_free(&r);
    lab_cells_free(&c);
    lab_plan_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lab_record");
    TCase *t = tcase_create("lab_record");
    tcase_set_timeout(t, 120);
    tcase_add_unchecked_fixture(t, prepare, clean);
    tcase_add_test(t, a_result_becomes_a_text_and_comes_back);
    tcase_add_test(t, a_record_does_not_depend_on_what_ran_beside);
    tcase_add_test(t, a_byte_that_is_another_is_refused_or_another_claim);
    tcase_add_test(t, what_is_wrong_is_named);
    tcase_add_test(t, another_best_is_refused);
    tcase_add_test(t, a_file_keeps_everything_else);
    tcase_add_test(t, a_verification_record_becomes_empty);
    tcase_add_test(t, a_record_of_another_file_is_found);
    tcase_add_test(t, a_result_without_caches_of_the_base_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
