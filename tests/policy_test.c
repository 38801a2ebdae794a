// Proves quant/policy.h: the type of every tensor in every mix equals what llama-quantize chose
// (tests/golden/policy.txt says how that was recorded), whatever the order the tensors are given in.
#include "formats/file_map.h"
#include "quant/policy.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 1024, MAX_TYPES = 32, MAX_NAME = 64 };

typedef struct {
    char          name[128], arch[16];
    policy_model  model;
    int64_t       n;
    policy_tensor t[MAX_TENSORS];
    char          names[MAX_TENSORS][MAX_NAME], choices[MAX_TENSORS][MAX_TYPES + 1];
} golden_case;

static dtype letter_type(char c)
{
    static const struct { char letter; dtype type; } letters[] = {
        { 'F', DT_F32 },  { 'H', DT_F16 },  { 'B', DT_BF16 }, { '8', DT_Q8_0 }, { '4', DT_Q4_0 },
        { 't', DT_Q4_1 }, { '5', DT_Q5_0 }, { 'u', DT_Q5_1 }, { 'c', DT_Q2_K }, { 'd', DT_Q3_K },
        { 'e', DT_Q4_K }, { 'f', DT_Q5_K }, { 'g', DT_Q6_K },
    };
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if (letters[i].letter == c) return letters[i].type;
    return DT_INVALID;
}

static void parse_tensor(golden_case *c, const char *line)
{
    char source, shape[64];
    policy_tensor *t = &c->t[c->n];
    ck_assert_int_lt(c->n, MAX_TENSORS);
    ck_assert_int_eq(sscanf(line, "tensor %63s %c %63s %32s", c->names[c->n], &source, shape, c->choices[c->n]), 4);
    *t = (policy_tensor){ .name = c->names[c->n], .type = letter_type(source) };
    for (char *p = strtok(shape, "x"); p; p = strtok(NULL, "x")) t->shape[t->n_dims++] = atoll(p);
    c->n++;
}

static int64_t n_fallbacks[2];      // among all the recorded choices: to a block of 32, to F16

// What llama-quantize recorded as something else than the mix asks for is one of its fallbacks, and only where the
// block does not divide the rows.
static void check_fallback(const policy_tensor *t, dtype wanted, dtype type)
{
    static const struct { dtype from, to; } rules[] = {
        { DT_Q2_K, DT_Q4_0 }, { DT_Q3_K, DT_Q4_0 }, { DT_Q4_K, DT_Q5_0 }, { DT_Q5_K, DT_Q5_1 }, { DT_Q6_K, DT_Q8_0 },
    };
    const int64_t cols = t->shape[t->n_dims - 1];
    ck_assert_int_eq(wanted != type, cols % dtype_find(wanted)->block_weights != 0);
    if (wanted == type) return;
    n_fallbacks[cols % 32 != 0]++;
    if (cols % 32 != 0) { ck_assert_int_eq(type, DT_F16); return; }
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].from == wanted) { ck_assert_int_eq(type, rules[i].to); return; }
    ck_abort_msg("tensor '%s': %s fell back", t->name, dtype_name(wanted));
}

// Which order the tensors are given in must not matter: as recorded, or turned round.
static void check_type(const golden_case *c, const char *type_name, int column, bool reversed)
{
    static policy_tensor t[MAX_TENSORS];
    static dtype types[MAX_TENSORS], wanted[MAX_TENSORS];
    static int64_t decided[1];
    policy_told told = { .wanted = wanted, .decided = decided };
    char plain[32];
    err e = { 0 };
    policy_model m = c->model;
    m.has_imatrix = strstr(type_name, "+i") != NULL;
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(type_name, "+"), type_name);
    const file_type_info *ft = file_type_find(plain);
    ck_assert_msg(ft != NULL, "%s", plain);
    for (int64_t i = 0; i < c->n; i++) t[i] = c->t[reversed ? c->n - 1 - i : i];
    ck_assert_msg(policy_choose_telling(ft->id, &m, t, c->n, types, &told, &e), "%s", e.msg);
    for (int64_t i = 0; i < c->n; i++) check_fallback(&t[i], wanted[i], types[i]);
    for (int64_t i = 0; i < c->n; i++) {
        const dtype found = types[reversed ? c->n - 1 - i : i], expected = letter_type(c->choices[i][column]);
        ck_assert_msg(found == expected, "%s: %s: tensor '%s': found %s, expected %s", c->name, type_name, c->names[i],
                      dtype_name(found), dtype_name(expected));
    }
}

static void check_case(const golden_case *c, char (*types)[16], int n_types)
{
    for (int k = 0; k < n_types; k++) {
        check_type(c, types[k], k, false);
        check_type(c, types[k], k, true);
    }
}

START_TEST(test_as_llama_quantize)
{
    static golden_case c;
    static char types[MAX_TYPES][16];
    char *text = NULL;
    int64_t n;
    int n_types = 0, n_cases = 0, has_output;
    err e = { 0 };
    ck_assert_msg(file_read_text(&text, &n, SOURCE_DIR "/tests/golden/policy.txt", 1 << 24, &e), "%s", e.msg);
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        if (strncmp(line, "types ", 6) == 0) {
            for (char *at = line + 6, *word; (word = strsep(&at, " "));)
                snprintf(types[n_types++], sizeof types[0], "%s", word);
        } else if (strncmp(line, "case ", 5) == 0) {
            if (n_cases++) check_case(&c, types, n_types);
            memset(&c, 0, sizeof c);
            snprintf(c.name, sizeof c.name, "%s", line + 5);
        } else if (strncmp(line, "model ", 6) == 0) {
            long long layers, heads, kv, experts;
            ck_assert_int_eq(sscanf(line, "model %15s %lld %lld %lld %lld %d", c.arch, &layers, &heads, &kv, &experts,
                                    &has_output),
                             6);
            c.model = (policy_model){ .arch = c.arch,
                                      .n_layer = layers,
                                      .n_head = heads,
                                      .n_head_kv = kv,
                                      .n_expert = experts,
                                      .has_output = has_output };
        } else if (strncmp(line, "tensor ", 7) == 0) {
            parse_tensor(&c, line);
        }
    }
    check_case(&c, types, n_types);
    ck_assert_int_eq(n_types, 20);
    ck_assert_int_eq(n_cases, 23);
    ck_assert_msg(n_fallbacks[0] > 100 && n_fallbacks[1] > 100, "%lld and %lld", (long long)n_fallbacks[0],
                  (long long)n_fallbacks[1]);
    free(text);
}
END_TEST

// "q4_k_m pure output=q8_0 ffn_down=q5_k" as overrides; the rules' patterns stay in the text.
static const file_type_info *parse_set(char *text, policy_overrides *o, type_rule rules[8])
{
    const file_type_info *ft = file_type_find(strsep(&text, " "));
    *o = (policy_overrides){ .rules = rules, .output = DT_INVALID, .embedding = DT_INVALID };
    for (char *word; (word = strsep(&text, " "));) {
        char *equals = strchr(word, '=');
        if (strcmp(word, "pure") == 0) { o->pure = true; continue; }
        *equals = '\0';
        const dtype type = dtype_find_name(equals + 1)->id;
        if (strcmp(word, "output") == 0)         o->output = type;
        else if (strcmp(word, "embedding") == 0) o->embedding = type;
        else                                     rules[o->n_rules++] = (type_rule){ word, type };
    }
    return ft;
}

// llama-quantize --dry-run lets --token-embedding-type name a type that the rows do not fit, and fails only when it
// gets there.
static bool fits(const golden_case *c, int column)
{
    for (int64_t i = 0; i < c->n; i++)
        if (c->t[i].shape[c->t[i].n_dims - 1] % dtype_find(letter_type(c->choices[i][column]))->block_weights != 0)
            return false;
    return true;
}

static void check_sets(golden_case *c, char (*sets)[128], int n_sets)
{
    static dtype types[MAX_TENSORS];
    for (int k = 0; k < n_sets; k++) {
        char text[128];
        type_rule rules[8];
        policy_overrides o;
        err e = { 0 };
        memcpy(text, sets[k], sizeof text);
        const file_type_info *ft = parse_set(text, &o, rules);
        c->model.overrides = &o;
        const bool ok = policy_choose(ft->id, &c->model, c->t, c->n, types, &e);
        if (!fits(c, k)) { ck_assert(!ok && e.kind == ERR_USAGE && strstr(e.msg, "cannot be")); continue; }
        ck_assert_msg(ok, "%s", e.msg);
        for (int64_t i = 0; i < c->n; i++)
            ck_assert_msg(types[i] == letter_type(c->choices[i][k]), "%s: %s: tensor '%s': found %s", c->name, sets[k],
                          c->names[i], dtype_name(types[i]));
    }
}

START_TEST(test_overrides_as_llama_quantize)
{
    static golden_case c;
    static char sets[16][128];
    char *text = NULL;
    int64_t n;
    int n_sets = 0, n_cases = 0, has_output;
    err e = { 0 };
    ck_assert_msg(file_read_text(&text, &n, SOURCE_DIR "/tests/golden/policy_overrides.txt", 1 << 24, &e), "%s", e.msg);
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        long long layers, heads, kv, experts;
        if (strncmp(line, "set ", 4) == 0) snprintf(sets[n_sets++], sizeof sets[0], "%s", line + 4);
        if (strncmp(line, "tensor ", 7) == 0) parse_tensor(&c, line);
        if (strncmp(line, "case ", 5) == 0) {
            if (n_cases++) check_sets(&c, sets, n_sets);
            memset(&c, 0, sizeof c);
            snprintf(c.name, sizeof c.name, "%s", line + 5);
        }
        if (sscanf(line, "model %15s %lld %lld %lld %lld %d", c.arch, &layers, &heads, &kv, &experts, &has_output) == 6)
            c.model = (policy_model){ .arch = c.arch,
                                      .n_layer = layers,
                                      .n_head = heads,
                                      .n_head_kv = kv,
                                      .n_expert = experts,
                                      .has_output = has_output };
    }
    check_sets(&c, sets, n_sets);
    ck_assert_int_eq(n_sets, 10);
    ck_assert_int_eq(n_cases, 3);
    free(text);
}
END_TEST

START_TEST(test_bad_pattern)
{
    const policy_tensor t = { "blk.0.ffn_down.weight", DT_BF16, 2, { 256, 256 } };
    const type_rule rules[] = { { "ffn", DT_Q8_0 }, { "attn_(", DT_Q8_0 } };
    const policy_overrides o = { .rules = rules, .n_rules = 2, .output = DT_INVALID, .embedding = DT_INVALID };
    const policy_model m = { .arch = "gemma4", .n_layer = 2, .n_head = 4, .n_head_kv = 1, .overrides = &o };
    dtype type;
    err e = { 0 };
    ck_assert(!policy_choose(FT_Q4_K_M, &m, &t, 1, &type, &e));
    ck_assert_msg(e.kind == ERR_USAGE && strstr(e.msg, "'attn_('"), "%s", e.msg);
}
END_TEST

// llama.cpp's LLM_TYPE_70B: eighty layers, in a llama with fewer KV heads than heads. V then takes no less than Q5_K.
START_TEST(test_v_of_70b)
{
    static const struct { const char *arch; int64_t n_layer, n_head_kv; dtype third, fifth; } cases[] = {
        { "llama", 80, 8, DT_Q5_K, DT_Q5_K }, { "llama", 80, 64, DT_Q4_K, DT_Q4_K },
        { "qwen2", 80, 8, DT_Q5_K, DT_Q5_K }, { "qwen3", 80, 8, DT_Q4_K, DT_Q4_K },
        { "llama", 79, 8, DT_Q4_K, DT_Q4_K },
    };
    enum { N = 30 };
    char          names[N][40];
    policy_tensor t[N];
    dtype         types[N];
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "blk.%d.attn_v.weight", i);
        t[i] = (policy_tensor){ names[i], DT_BF16, 2, { 256, 256 } };
    }
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        err e = { 0 };
        const policy_model m = { .arch = cases[k].arch, .n_layer = cases[k].n_layer, .n_head = 64,
                                 .n_head_kv = cases[k].n_head_kv };
        ck_assert_msg(policy_choose(FT_Q4_K_M, &m, t, N, types, &e), "%s", e.msg);
        ck_assert_int_eq(types[0], DT_Q6_K);            // the first eighth
        ck_assert_int_eq(types[3], cases[k].third);     // behind it, not every third
        ck_assert_msg(policy_choose(FT_Q3_K_M, &m, t, N, types, &e), "%s", e.msg);
        ck_assert_int_eq(types[0], DT_Q5_K);
        ck_assert_int_eq(types[5], cases[k].fifth);
    }
}
END_TEST

START_TEST(test_refusals)
{
    const policy_tensor t = { "blk.7.ffn_down.weight", DT_BF16, 2, { 256, 256 } };
    dtype type;
    err e = { 0 };
    policy_model m = { .arch = "bloom", .n_layer = 2, .n_head = 4, .n_head_kv = 1 };
    ck_assert(!policy_choose(FT_Q4_K_M, &m, &t, 1, &type, &e));
    ck_assert(e.kind == ERR_INPUT && strstr(e.msg, "'bloom'"));
    e = (err){ 0 };
    m.arch = "gemma4";
    m.n_expert = 4;
    ck_assert(!policy_choose(FT_Q4_K_M, &m, &t, 1, &type, &e));
    ck_assert_msg(e.kind == ERR_INPUT && strstr(e.msg, "'blk.7.ffn_down.weight'"), "%s", e.msg);
    e = (err){ 0 };
    m.n_layer = 0;
    ck_assert(!policy_choose(FT_Q4_K_M, &m, &t, 1, &type, &e));
    ck_assert(e.kind == ERR_INPUT);
}
END_TEST

START_TEST(test_table)
{
    int n;
    const file_type_info *t = file_type_table(&n);
    ck_assert_int_eq(n, 17);
    for (int i = 0; i < n; i++) {
        ck_assert_ptr_eq(file_type_find(t[i].name), &t[i]);
        ck_assert_ptr_eq(file_type_find(t[i].label), &t[i]);
        ck_assert_ptr_eq(file_type_of(t[i].id), &t[i]);
    }
    ck_assert_ptr_null(file_type_find("q4_k"));
    ck_assert_ptr_null(file_type_of(5));
    ck_assert_ptr_null(file_type_of(FT_INVALID));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy");
    TCase *c = tcase_create("policy");
    suite_add_tcase(s, c);
    tcase_add_test(c, test_as_llama_quantize);
    tcase_add_test(c, test_overrides_as_llama_quantize);
    tcase_add_test(c, test_bad_pattern);
    tcase_add_test(c, test_refusals);
    tcase_add_test(c, test_v_of_70b);
    tcase_add_test(c, test_table);
    return run_suite(s);
}
