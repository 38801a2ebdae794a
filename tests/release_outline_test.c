// Proves what is made by a recipe or from a finished file (release/release_take.h), and what is said of a release
// before it is made (release/release_outline.h).
#include "made_release.h"
#include "forger.h"
#include "quant/quantize.h"
#include "release/release_outline.h"
#include "release/release_recipe.h"

// ---- recipes -------------------------------------------------------------------------------------------------------

static recipe recipe_of(const char *key, const char *value)
{
    recipe r = { .type = FT_Q4_K_M };
    err e = { 0 };
    ck_assert_msg(recipe_set(&r, key, value, &e), "%s", e.msg);
    return r;
}

START_TEST(two_recipes_of_one_type_need_two_names)
{
    const char *out = in_scratch("two");
    recipe two[2] = { { .type = FT_BF16 }, { .type = FT_BF16 } };
    release_opts o = options(NULL, 0);
    o.recipes = two;
    o.n_recipes = 2;
    refused(out, &o, ERR_USAGE,
            "bf16 and bf16 would both be tiny-BF16.gguf: give one of them a name, as in bf16:name=BF16-2");
    two[1] = recipe_of("name", "again");
    two[1].type = FT_BF16;
    release_result r = released(out, &o);
    ck_assert(r.published && r.n == 2);
    ck_assert_str_eq(r.reports[1].artifact, "tiny-again.gguf");
    ck_assert_str_eq(r.reports[1].type, "BF16");
    ck_assert_str_eq(r.reports[1].recipe.words, "bf16");
    release_result_free(&r);
    holds(out);
    recipe_free(&two[1]);
}
END_TEST

// A file that somebody else's quantizer made: no claims, another chat template, a key of his own.
static void strip(const char *from, const char *to)
{
    err e = { 0 };
    int64_t header, bytes;
    gguf *g = open_gguf(from);
    gguf_plan *p = gguf_plan_new(32, &e);
    for (int64_t i = 0; i < gguf_n_kv(g); i++)
        if (strncmp(gguf_kv_at(g, i)->key, "hallmark.", 9) != 0) ck_assert(gguf_plan_copy_kv(p, gguf_kv_at(g, i), &e));
    ck_assert(gguf_plan_str(p, "tokenizer.chat_template", "{{ evil }}", &e) &&
              gguf_plan_str(p, "general.evil", "x", &e));
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        ck_assert(gguf_plan_tensor(p, t->name, t->type, t->n_dims, t->shape, &e));
    }
    ck_assert(gguf_plan_layout(p, &header, &bytes, &e));
    outfile *f = outfile_open(to, bytes, &e);
    for (int64_t i = 0; i < gguf_n_tensors(g); i++)
        ck_assert(outfile_write_at(f, gguf_plan_tensor_at(p, i)->off, gguf_tensor_at(g, i)->data,
                                   gguf_tensor_at(g, i)->n_bytes, &e));
    ck_assert_msg(gguf_plan_write(p, f, &e) && outfile_commit(f, &e), "%s", e.msg);
    gguf_plan_free(p);
    gguf_close(g);
}

static release_result take(const char *out, const char *file)
{
    recipe r = { .kind = RECIPE_ARTIFACT, .type = FT_INVALID, .artifact = (char *)file };
    release_opts o = options(NULL, 0);
    o.recipes = &r;
    o.n_recipes = 1;
    return released(out, &o);
}

START_TEST(a_finished_file_is_proved_and_published_with_the_sources_metadata)
{
    const char *base = convert_tiny("base.gguf", FT_BF16), *made = in_scratch("made.gguf"),
               *bare = in_scratch("bare.gguf");
    const quantize_opts q = { .type = FT_Q4_K_M };
    char hex[2][SHA256_HEX + 1];
    err  e = { 0 };
    ck_assert_msg(quantize_file(base, made, &q, &e), "%s", e.msg);
    strip(made, bare);
    for (int i = 0; i < 2; i++) {
        const char *out = in_scratch(i ? "take-bare" : "take-made");
        release_result r = take(out, i ? bare : made);
        ck_assert_msg(r.published, "%s", verify_verdict(&r.reports[0]));
        ck_assert_str_eq(r.reports[0].artifact, "tiny-Q4_K_M.gguf");
        ck_assert(r.made[0].finished && strstr(r.reports[0].recipe.words, "a finished file"));
        ck_assert_str_eq(r.reports[0].recipe.v[0].kind, "artifact");
        release_result_free(&r);
        holds(out);
        gguf *g = open_gguf(in_scratch(i ? "take-bare/tiny-Q4_K_M.gguf" : "take-made/tiny-Q4_K_M.gguf"));
        gguf_str chat;
        ck_assert(gguf_get_str(g, "tokenizer.chat_template", &chat, &e) && chat.n > 20);
        ck_assert(!gguf_find_kv(g, "general.evil"));
        ck_assert(claims_metadata_digest(g, hex[i], &e));
        gguf_close(g);
    }
    ck_assert_str_eq(hex[0], hex[1]);
}
END_TEST

START_TEST(a_finished_file_of_other_tensors_or_another_source_is_not)
{
    err e = { 0 };
    const char *wrong = convert_tiny("wrong.gguf", FT_BF16);
    flip_bit(wrong, "blk.0.attn_q.weight", 10, 3);
    redigest(wrong);
    release_result r = take(in_scratch("wrong-out"), wrong);
    ck_assert(!r.published && strstr(r.where, ".failed"));
    ck_assert(strstr(r.reports[0].derivation.reason, "blk.0.attn_q.weight"));
    release_result_free(&r);
    const char *other = copy_checkpoint("elsewhere"), *made = in_scratch("elsewhere.gguf");
    put(other, "generation_config.json", "{}");
    const convert_opts co = { .type = FT_BF16 };
    ck_assert_msg(convert_checkpoint(other, made, &co, &e), "%s", e.msg);
    recipe rec = { .kind = RECIPE_ARTIFACT, .type = FT_INVALID, .artifact = (char *)made };
    release_opts o = options(NULL, 0);
    o.recipes = &rec;
    o.n_recipes = 1;
    refused(in_scratch("other-out"), &o, ERR_INPUT, "it was made from another source");
}
END_TEST

// ---- before any of it -----------------------------------------------------------------------------------------------

static int files_below(const char *dir)
{
    char command[700];
    int n = -1;
    snprintf(command, sizeof command, "find '%s' '%s' | wc -l", dir, source);
    FILE *f = popen(command, "r");
    ck_assert(f && fscanf(f, "%d", &n) == 1);
    pclose(f);
    return n;
}

static release_outline outlined(const char *out, const release_opts *o)
{
    release_outline to;
    err e = { 0 };
    ck_assert_msg(release_outline_make(&to, source, out, o, &e), "%s", e.msg);
    return to;
}

static const release_outline_file *listed(const release_outline *to, const char *name)
{
    for (int i = 0; i < to->n_files; i++)
        if (strcmp(to->files[i].name, name) == 0) return &to->files[i];
    return NULL;
}

static bool makes(const release_outline *to, const char *name)
{
    for (int i = 0; i < to->n; i++)
        if (strcmp(to->v[i].name, name) == 0) return true;
    return false;
}

// Every file that is there was said, and every one that was said without an if is there.
static void is_as_said(const release_outline *to, const char *dir)
{
    dir_list l;
    err e = { 0 };
    ck_assert_msg(dir_list_read(&l, dir, NULL, false, &e), "%s", e.msg);
    for (int i = 0; i < l.n; i++) ck_assert_msg(makes(to, l.v[i]) || listed(to, l.v[i]), "%s was not said", l.v[i]);
    for (int i = 0; i < to->n_files; i++) {
        const release_outline_file *f = &to->files[i];
        ck_assert_msg(f->perhaps || dir_list_has(&l, f->name), "%s is not there", f->name);
    }
    for (int i = 0; i < to->n; i++) ck_assert_msg(dir_list_has(&l, to->v[i].name), "%s is not there", to->v[i].name);
    dir_list_free(&l);
}

START_TEST(an_outline_says_what_is_made_then_and_writes_nothing)
{
    static const file_type TWO[] = { FT_F32, FT_Q4_K_M };
    const char *out = in_scratch("outline");
    char above[300], before[SHA256_HEX + 1], after[SHA256_HEX + 1];
    release_outline to;
    err e = { 0 };
    publish(out, BF16, 1);
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(out, '/') - out), out);
    const int n = files_below(above);
    digest_of(out, "report.json", before);
    const release_opts o = options(TWO, 2);
    ck_assert_msg(release_outline_make(&to, source, out, &o, &e), "%s", e.msg);
    ck_assert_int_eq(files_below(above), n);
    digest_of(out, "report.json", after);
    ck_assert_str_eq(before, after);
    ck_assert(to.n == 3 && to.v[0].kept && !to.v[1].kept && !to.v[1].lossy && to.v[2].lossy);
    ck_assert(to.v[1].own == 0 && to.v[1].source == 1 && to.v[2].own == 1 && to.v[2].source == 1);
    ck_assert(!to.v[2].own_known && to.fate == OUTLINE_UNKNOWN && to.n_missing == 0 && !to.measures);
    ck_assert(listed(&to, "q4_k_m.json.gz")->perhaps && !listed(&to, "float32.json.gz")->perhaps);
    ck_assert(to.v[1].tokens > 0 && to.v[2].tokens > to.v[1].tokens && to.tokens == to.v[1].tokens + to.v[2].tokens);
    ck_assert(to.seconds > 0 && to.seconds < 600 && to.room > to.bytes && !to.signs);
    release_result r = released(out, &o);
    ck_assert(r.published && r.n == to.n);
    for (int i = 0; i < r.n; i++) {
        ck_assert_str_eq(r.reports[i].artifact, to.v[i].name);
        ck_assert(to.v[i].bytes > 0 && to.v[i].bytes <= r.file_bytes[i]);
    }
    is_as_said(&to, out);
    release_result_free(&r);
    release_outline_free(&to);
    release_opts other = o;
    other.name = "other";
    ck_assert(!release_outline_make(&to, source, out, &other, &e) && e.kind == ERR_USAGE);
    ck_assert_msg(strstr(e.msg, "its files are called tiny-") != NULL, "%s", e.msg);
}
END_TEST

// A fixture that is not there is found missing at once, and what is said then is what the release says.
START_TEST(an_outline_says_what_is_missing)
{
    static const file_type TYPE[] = { FT_Q4_K_M };
    const char *out = in_scratch("lacks");
    const release_opts o = options(TYPE, 1);
    ck_assert_int_eq(unlink(in_scratch("hf/fixtures/q4_k_m.json.gz")), 0);
    release_outline to = outlined(out, &o);
    ck_assert(to.fate == OUTLINE_UNVERIFIED && to.v[0].own == 0 && to.v[0].own_known && to.v[0].source == 1);
    release_result r = released(out, &o);
    ck_assert(!r.published && r.n_missing == 1 && to.n_missing == 1);
    ck_assert_str_eq(to.missing[0], r.missing[0]);
    ck_assert_str_eq(to.where, r.where);
    ck_assert(!listed(&to, "SHA256SUMS") && !listed(&to, "float32.json.gz"));
    is_as_said(&to, r.where);
    release_result_free(&r);
    release_outline_free(&to);
}
END_TEST

// The type's fixture is of the weights that no effort made: the type alone cannot tell.
START_TEST(an_outline_guesses_no_weights)
{
    const char *out = in_scratch("effort"), *text = in_scratch("text.txt");
    recipe r[] = { recipe_of("effort", "1"), { .kind = RECIPE_MIX } };
    err e = { 0 };
    release_opts o = options(NULL, 0);
    o.recipes = r;
    o.n_recipes = 2;
    ck_assert_msg(outfile_write_whole(text, "some words to measure on", 24, &e), "%s", e.msg);
    ck_assert_msg(recipe_set(&r[1], "budget", "6bpw", &e) && recipe_set(&r[1], "text", text, &e), "%s", e.msg);
    release_outline to = outlined(out, &o);
    ck_assert(to.fate == OUTLINE_UNKNOWN && to.n_missing == 0 && to.v[1].searched);
    for (int i = 0; i < 2; i++) ck_assert(to.v[i].own == 1 && !to.v[i].own_known && to.v[i].source == 1);
    release_outline_free(&to);
    o.n_recipes = 1;
    release_result made = released(out, &o);
    ck_assert(!made.published && made.n_missing == 1);
    release_result_free(&made);
    recipe_free(&r[0]);
    recipe_free(&r[1]);
}
END_TEST

// A finished file has its weights: nothing is guessed, of the right ones or of others.
START_TEST(an_outline_knows_the_weights_of_a_finished_file)
{
    const char *base = convert_tiny("base.gguf", FT_BF16);
    for (int i = 0; i < 2; i++) {
        const char *file = in_scratch(i ? "other.gguf" : "right.gguf");
        const quantize_opts q = { .type = FT_Q4_K_M, .effort = { .level = i } };
        recipe rec = { .kind = RECIPE_ARTIFACT, .type = FT_INVALID, .artifact = (char *)file };
        release_opts o = options(NULL, 0);
        err e = { 0 };
        o.recipes = &rec;
        o.n_recipes = 1;
        ck_assert_msg(quantize_file(base, file, &q, &e), "%s", e.msg);
        release_outline to = outlined(in_scratch(i ? "other" : "right"), &o);
        ck_assert(to.v[0].own_known && to.v[0].own == !i && to.n_missing == i);
        ck_assert(to.fate == (i ? OUTLINE_UNVERIFIED : OUTLINE_PUBLISHED));
        release_result r = take(in_scratch(i ? "other" : "right"), file);
        ck_assert(r.published == !i && r.n_missing == i);
        is_as_said(&to, r.where);
        release_result_free(&r);
        release_outline_free(&to);
    }
}
END_TEST

static void outline_refused(const char *out, const release_opts *o, err_kind kind, const char *says)
{
    release_outline to;
    err e = { 0 };
    ck_assert(!release_outline_make(&to, source, out, o, &e));
    ck_assert_msg(e.kind == kind && strstr(e.msg, says), "%d: %s", e.kind, e.msg);
}

START_TEST(an_outline_of_what_is_signed_asks_for_its_signature)
{
    const char *out = in_scratch("sealed");
    char mine[SCRATCH_PATH], theirs[SCRATCH_PATH];
    scratch_path(mine, "mine.pem");
    scratch_path(theirs, "theirs.pem");
    write_key(mine);
    write_key(theirs);
    release_opts o = options(BF16, 1);
    o.sign_key = mine;
    for (int i = 0; i < 2; i++) {               // made, then added to
        o.types = i ? F32 : BF16;
        release_outline to = outlined(out, &o);
        ck_assert(to.signs && to.fate == OUTLINE_PUBLISHED && listed(&to, "model.sig"));
        release_result r = released(out, &o);
        is_as_said(&to, out);
        release_result_free(&r);
        release_outline_free(&to);
    }
    o.sign_key = theirs;
    outline_refused(out, &o, ERR_VERDICT, "--replace");
    o.sign_key = mine;
    ck_assert_int_eq(unlink(in_scratch("sealed/model.sig")), 0);
    outline_refused(out, &o, ERR_INPUT, "model.sig");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("release_outline");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, files_end);
    tcase_add_test(t, an_outline_says_what_is_made_then_and_writes_nothing);
    tcase_add_test(t, an_outline_says_what_is_missing);
    tcase_add_test(t, an_outline_guesses_no_weights);
    tcase_add_test(t, an_outline_knows_the_weights_of_a_finished_file);
    tcase_add_test(t, an_outline_of_what_is_signed_asks_for_its_signature);
    tcase_add_test(t, two_recipes_of_one_type_need_two_names);
    tcase_add_test(t, a_finished_file_is_proved_and_published_with_the_sources_metadata);
    tcase_add_test(t, a_finished_file_of_other_tensors_or_another_source_is_not);
    suite_add_tcase(s, t);
    return run_suite(s);
}
