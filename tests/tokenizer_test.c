// Proves runtime/tokenizer.h: texts and ids against Transformers' fast tokenizer (golden/tokenizer_golden.h), merging
// against its own definition on random texts, time on texts that nowhere can be cut, and every kind of metadata that
// must be refused.
#define _GNU_SOURCE     // clock_gettime
#include "formats/gguf.h"
#include "golden/tokenizer_golden.h"
#include "runtime/tokenizer.h"
#include "doubling.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

// ---- files in memory -----------------------------------------------------------------------------------------------

typedef struct {
    uint8_t *bytes;
    int64_t  n;
} image;

static gguf_plan *plan_of(const char *model, const golden_token *tok, int n_tok, const golden_text *merges,
                          int n_merges)
{
    err e = { 0 };
    gguf_plan *p = gguf_plan_new(32, &e);
    gguf_str *s = malloc((size_t)(n_tok + n_merges) * sizeof *s);
    int32_t  *type = malloc((size_t)n_tok * sizeof *type);
    for (int i = 0; i < n_tok; i++) {
        s[i] = (gguf_str){ tok[i].s, tok[i].n };
        type[i] = tok[i].type;
    }
    ck_assert(gguf_plan_str(p, "tokenizer.ggml.model", model, &e));
    ck_assert(gguf_plan_arr_str(p, "tokenizer.ggml.tokens", s, n_tok, &e));
    ck_assert(gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, type, n_tok, &e));
    for (int i = 0; i < n_merges; i++) s[i] = (gguf_str){ merges[i].s, merges[i].n };
    if (merges) ck_assert(gguf_plan_arr_str(p, "tokenizer.ggml.merges", s, n_merges, &e));
    free(s);
    free(type);
    return p;
}

static gguf_plan *gemma_ids(gguf_plan *p)
{
    err e = { 0 };
    ck_assert(gguf_plan_u32(p, "tokenizer.ggml.bos_token_id", 2, &e) &&
              gguf_plan_u32(p, "tokenizer.ggml.eos_token_id", 1, &e) &&
              gguf_plan_u32(p, "tokenizer.ggml.unknown_token_id", 3, &e) &&
              gguf_plan_u32(p, "tokenizer.ggml.padding_token_id", 0, &e) &&
              gguf_plan_bool(p, "tokenizer.ggml.add_bos_token", true, &e) &&
              gguf_plan_bool(p, "tokenizer.ggml.add_space_prefix", false, &e));
    return p;
}

static gguf_plan *gemma4_plan(void)
{
    return gemma_ids(plan_of("gemma4", gemma4_tokens, COUNT(gemma4_tokens), gemma4_merges, COUNT(gemma4_merges)));
}

static gguf_plan *llama_plan(void) { return gemma_ids(plan_of("llama", llama_tokens, COUNT(llama_tokens), NULL, 0)); }

static gguf_plan *partial_plan(void)
{
    err e = { 0 };
    gguf_plan *p = plan_of("gemma4", partial_tokens, COUNT(partial_tokens), partial_merges, COUNT(partial_merges));
    ck_assert(gguf_plan_u32(p, "tokenizer.ggml.unknown_token_id", 0, &e) &&
              gguf_plan_u32(p, "tokenizer.ggml.bos_token_id", 1, &e));
    return p;
}

static image image_of(gguf_plan *p)
{
    err     e = { 0 };
    image   im;
    int64_t header, file;
    ck_assert(gguf_plan_layout(p, &header, &file, &e));
    ck_assert(gguf_plan_header(p, &im.bytes, &im.n, &e));
    gguf_plan_free(p);
    return im;
}

static tokenizer *load_image(image im, err *e)
{
    gguf *g = gguf_open_mem(im.bytes, im.n, "test.gguf", e);
    tokenizer *t = g ? tokenizer_new(g, e) : NULL;
    gguf_close(g);      // the tokenizer keeps copies only
    return t;
}

static tokenizer *load_plan(gguf_plan *p, err *e)
{
    image im = image_of(p);
    tokenizer *t = load_image(im, e);
    free(im.bytes);
    return t;
}

static tokenizer *load(gguf_plan *p)
{
    err e = { 0 };
    tokenizer *t = load_plan(p, &e);
    ck_assert_msg(t != NULL, "%s", e.msg);
    return t;
}

// ---- golden texts --------------------------------------------------------------------------------------------------

static void expect_ids(const tokenizer *t, const char *s, int64_t n, bool parse_special, const int32_t *want,
                       int64_t n_want)
{
    err      e = { 0 };
    int32_t *ids;
    int64_t  n_ids;
    char    *copy = malloc((size_t)n + 1);      // exactly as long as said, so that a sanitizer sees a read past the end
    copy = realloc(copy, (size_t)n ? (size_t)n : 1);
    memcpy(copy, s, (size_t)n);
    ck_assert_msg(tokenizer_encode(t, copy, n, false, parse_special, &ids, &n_ids, &e), "%s", e.msg);
    int64_t at = 0;
    while (at < n_ids && at < n_want && ids[at] == want[at]) at++;
    ck_assert_msg(n_ids == n_want && at == n_want, "text '%.*s': id %lld: found %d (of %lld), expected %d (of %lld)",
                  (int)n, s, (long long)at, at < n_ids ? ids[at] : -1, (long long)n_ids, at < n_want ? want[at] : -1,
                  (long long)n_want);
    free(ids);
    free(copy);
}

static void run_cases(const tokenizer *t, bool parse_special, const golden_case *c, int n)
{
    for (int i = 0; i < n; i++) expect_ids(t, c[i].s, c[i].n, parse_special, c[i].ids, c[i].n_ids);
}

START_TEST(gemma4_texts)
{
    tokenizer *t = load(gemma4_plan());
    ck_assert_int_ge(COUNT(gemma4_cases), 60);
    run_cases(t, true, gemma4_cases, COUNT(gemma4_cases));
    run_cases(t, false, gemma4_plain_cases, COUNT(gemma4_plain_cases));
    run_cases(t, true, gemma4_raw_cases, COUNT(gemma4_raw_cases));
    tokenizer_free(t);
}
END_TEST

START_TEST(llama_texts)
{
    tokenizer *t = load(llama_plan());
    run_cases(t, true, llama_cases, COUNT(llama_cases));
    run_cases(t, false, llama_plain_cases, COUNT(llama_plain_cases));
    tokenizer_free(t);
}
END_TEST

START_TEST(partial_texts)
{
    tokenizer *t = load(partial_plan());
    run_cases(t, true, partial_cases, COUNT(partial_cases));
    tokenizer_free(t);
}
END_TEST

static void expect_text(const tokenizer *t, const golden_decode *d, bool skip, const char *want, int n_want)
{
    err     e = { 0 };
    char   *s;
    int64_t n;
    ck_assert_msg(tokenizer_decode(t, d->ids, d->n_ids, skip, &s, &n, &e), "%s", e.msg);
    ck_assert_msg(n == n_want && memcmp(s, want, (size_t)n) == 0 && s[n] == 0,
                  "%d ids from %d: found '%s', expected '%s'", d->n_ids, d->n_ids ? d->ids[0] : -1, s, want);
    free(s);
}

START_TEST(decoding)
{
    tokenizer *a = load(gemma4_plan()), *b = load(llama_plan());
    for (int i = 0; i < COUNT(gemma4_decodes); i++) {
        expect_text(a, &gemma4_decodes[i], false, gemma4_decodes[i].s, gemma4_decodes[i].n);
        expect_text(a, &gemma4_decodes[i], true, gemma4_decodes[i].skip, gemma4_decodes[i].n_skip);
    }
    for (int i = 0; i < COUNT(llama_decodes); i++) {
        expect_text(b, &llama_decodes[i], false, llama_decodes[i].s, llama_decodes[i].n);
        expect_text(b, &llama_decodes[i], true, llama_decodes[i].skip, llama_decodes[i].n_skip);
    }
    for (int bad = 0; bad < 2; bad++) {
        err     e = { 0 };
        int32_t id = bad ? -1 : COUNT(gemma4_tokens);
        char   *s;
        int64_t n;
        ck_assert(!tokenizer_decode(a, &id, 1, false, &s, &n, &e) && e.kind == ERR_INPUT && !s);
    }
    tokenizer_free(a);
    tokenizer_free(b);
}
END_TEST

// ---- the parts around ----------------------------------------------------------------------------------------------

static int32_t id_of(const golden_token *tok, int n, const char *s)
{
    for (int i = 0; i < n; i++)
        if (tok[i].n == (int)strlen(s) && memcmp(tok[i].s, s, (size_t)tok[i].n) == 0) return i;
    ck_abort_msg("no token '%s'", s);
    return -1;
}
#define ID4(s) id_of(gemma4_tokens, COUNT(gemma4_tokens), s)

static void expect_framed(gguf_plan *p, int32_t first, int32_t last)
{
    err        e = { 0 };
    tokenizer *t = load(p);
    int32_t   *ids;
    int64_t    n;
    ck_assert(tokenizer_encode(t, "a", 1, true, true, &ids, &n, &e));
    ck_assert_int_eq(n, 1 + (first >= 0) + (last >= 0));
    if (first >= 0) ck_assert_int_eq(ids[0], first);
    if (last >= 0) ck_assert_int_eq(ids[n - 1], last);
    ck_assert_int_eq(ids[first >= 0], ID4("a"));
    free(ids);
    tokenizer_free(t);
}

START_TEST(begin_and_end)
{
    err e = { 0 };
    gguf_plan *p;
    expect_framed(gemma4_plan(), 2, -1);
    p = gemma4_plan(); gguf_plan_bool(p, "tokenizer.ggml.add_bos_token", false, &e); expect_framed(p, -1, -1);
    p = gemma4_plan(); gguf_plan_bool(p, "tokenizer.ggml.add_eos_token", true, &e); expect_framed(p, 2, 1);
    p = gemma4_plan(); gguf_plan_remove(p, "tokenizer.ggml.add_bos_token"); expect_framed(p, 2, -1);
    p = gemma4_plan();
    gguf_plan_remove(p, "tokenizer.ggml.add_bos_token");
    gguf_plan_remove(p, "tokenizer.ggml.bos_token_id");
    expect_framed(p, -1, -1);
    ck_assert_int_eq(e.kind, ERR_NONE);
}
END_TEST

START_TEST(roles)
{
    tokenizer *t = load(gemma4_plan());
    ck_assert_int_eq(tokenizer_n_vocab(t), COUNT(gemma4_tokens));
    ck_assert_int_eq(tokenizer_bos(t), 2);
    ck_assert(tokenizer_add_bos(t));
    for (int32_t id = 0; id < COUNT(gemma4_tokens); id++) {
        bool end = id == 1 || id == ID4("<turn|>");
        // Transformers' own special tokens: the control ones, and those that are shown to chat parsers though they are
        // special.
        bool special = gemma4_tokens[id].type == 3 || id == ID4("<|tool_call>") || id == ID4("<tool_call|>") ||
                       id == ID4("<|\"|>");
        ck_assert_msg(tokenizer_is_end(t, id) == end && tokenizer_is_special(t, id) == special, "id %d", id);
    }
    ck_assert(!tokenizer_is_end(t, -1) && !tokenizer_is_end(t, COUNT(gemma4_tokens)) && !tokenizer_is_special(t, -1));
    tokenizer_free(t);
}
END_TEST

// A list of end-of-text ids is the whole answer: Transformers stops nowhere else, so neither do we.
START_TEST(end_lists)
{
    static const char *const keys[] = { "hallmark.eos_token_ids", "tokenizer.ggml.eos_token_ids" };
    for (int k = 0; k < 2; k++) {
        err e = { 0 };
        gguf_plan *p = gemma4_plan();
        uint32_t ids[] = { 1, 9 };
        ck_assert(gguf_plan_arr(p, keys[k], GGUF_U32, ids, 2, &e) &&
                  gguf_plan_u32(p, "tokenizer.ggml.eot_token_id", 11, &e));
        tokenizer *t = load(p);
        for (int32_t id = 0; id < 40; id++) ck_assert_int_eq(tokenizer_is_end(t, id), id == 1 || id == 9 || id == 11);
        tokenizer_free(t);
    }
    tokenizer *t = load(llama_plan());
    for (int32_t id = 0; id < COUNT(llama_tokens); id++)
        ck_assert_int_eq(tokenizer_is_end(t, id),
                         id == 1 || id == id_of(llama_tokens, COUNT(llama_tokens), "<end_of_turn>"));
    tokenizer_free(t);
}
END_TEST

START_TEST(pieces)
{
    tokenizer  *t = load(gemma4_plan());
    const char *s;
    int64_t     n;
    ck_assert(tokenizer_piece(t, ID4("\xe2\x96\x81\xe2\x96\x81"), &s, &n) && n == 2 && memcmp(s, "  ", 2) == 0);
    ck_assert(tokenizer_piece(t, ID4("<0xC3>"), &s, &n) && n == 1 && (uint8_t)*s == 0xc3);
    ck_assert(tokenizer_piece(t, ID4("<0x00>"), &s, &n) && n == 1 && *s == 0);
    ck_assert(tokenizer_piece(t, ID4("<turn|>"), &s, &n) && n == 7 && memcmp(s, "<turn|>", 7) == 0);
    ck_assert(!tokenizer_piece(t, -1, &s, &n) && !tokenizer_piece(t, COUNT(gemma4_tokens), &s, &n));
    tokenizer_free(t);
}
END_TEST

// In a "llama" file that lists its merges, runs of spaces come from a tokenizer.json in which U+2581 written out is an
// added token. Reference (tokenizers 0.23.3): with added tokens "\u2581\u2581", "\u2581\u2581\u2581" and merges
// ("\u2581","\u2581"), ("\u2581\u2581","\u2581"), the text "\u2581\u2581 x" is [2][1]x and the text "   x" is [3]x.
START_TEST(listed_merges_of_llama)
{
    err e = { 0 };
    golden_text merges[] = { { 7, "\xe2\x96\x81 \xe2\x96\x81" }, { 10, "\xe2\x96\x81\xe2\x96\x81 \xe2\x96\x81" } };
    gguf_plan *p = gemma_ids(plan_of("llama", llama_tokens, COUNT(llama_tokens), merges, 2));
    tokenizer *t = load_plan(p, &e);
    ck_assert_msg(t != NULL, "%s", e.msg);
    int32_t one = id_of(llama_tokens, COUNT(llama_tokens), "\xe2\x96\x81"),
            two = id_of(llama_tokens, COUNT(llama_tokens), "  "),
            three = id_of(llama_tokens, COUNT(llama_tokens), "   "), x = id_of(llama_tokens, COUNT(llama_tokens), "x");
    expect_ids(t, "\xe2\x96\x81\xe2\x96\x81 x", 8, true, (int32_t[]){ two, one, x }, 3);
    expect_ids(t, "   x", 4, true, (int32_t[]){ three, x }, 2);
    tokenizer_free(t);
    t = load(llama_plan());     // and without a list it is not
    expect_ids(t, "\xe2\x96\x81\xe2\x96\x81 x", 8, true, (int32_t[]){ three, x }, 2);
    tokenizer_free(t);
}
END_TEST

// A space without a token falls back to the three bytes of U+2581, which is what the normalizer has made of it
// (tokenizers 0.23.3).
START_TEST(space_without_token)
{
    err          e = { 0 };
    golden_token tok[2 + 256 + 1] = { { 2, 5, "<unk>" }, { 3, 5, "<bos>" }, { 1, 1, "a" } };
    char         text[256][8];
    for (int b = 0; b < 256; b++) {
        snprintf(text[b], sizeof text[b], "<0x%02X>", (unsigned)b);
        tok[3 + b] = (golden_token){ 6, 6, text[b] };
    }
    gguf_plan *p = plan_of("llama", tok, COUNT(tok), NULL, 0);
    ck_assert(gguf_plan_u32(p, "tokenizer.ggml.bos_token_id", 1, &e));
    ck_assert(gguf_plan_bool(p, "tokenizer.ggml.add_space_prefix", false, &e));
    tokenizer *t = load(p);
    expect_ids(t, "a b", 3, true, (int32_t[]){ 2, 3 + 0xe2, 3 + 0x96, 3 + 0x81, 3 + 'b' }, 5);
    expect_ids(t, "  ", 2, true, (int32_t[]){ 3 + 0xe2, 3 + 0x96, 3 + 0x81, 3 + 0xe2, 3 + 0x96, 3 + 0x81 }, 6);
    tokenizer_free(t);
}
END_TEST

// A SentencePiece vocabulary is merged in the order of its ids. Scores that rise somewhere say another order.
START_TEST(scores_in_another_order)
{
    for (int i = 0; i < 2; i++) {
        err        e = { 0 };
        gguf_plan *p = llama_plan();
        const gguf_kv *kv = gguf_plan_find(p, "tokenizer.ggml.tokens");
        const int64_t n = kv->n;
        float *score = malloc((size_t)n * sizeof *score);
        for (int64_t k = 0; k < n; k++) score[k] = i ? (float)k : -(float)k;
        gguf_plan_remove(p, "tokenizer.ggml.scores");
        ck_assert(gguf_plan_arr(p, "tokenizer.ggml.scores", GGUF_F32, score, n, &e));
        tokenizer *t = load_plan(p, &e);
        const bool refused = !t && e.kind == ERR_INPUT && strstr(e.msg, "expected scores that fall with the ids");
        ck_assert_msg(i ? refused : t != NULL, "%s", e.msg);
        tokenizer_free(t);
        free(score);
    }
}
END_TEST

// ---- merging against its definition --------------------------------------------------------------------------------

typedef struct { uint64_t s; } rng;
static uint32_t rng_next(rng *r, uint32_t n)
{
    r->s = r->s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((r->s >> 33) % n);
}

// Letters a, b and c, the space, and random pairs of what is there already.
enum { N_LETTERS = 4, N_SMALL = 60 };
typedef struct {
    golden_token tok[2 + 256 + N_SMALL];
    golden_text  merge[N_SMALL];
    int          left[N_SMALL], right[N_SMALL], n;      // n merges; merge i makes letter token N_LETTERS + i
    char         text[2 + 256 + N_SMALL][64];
    char         merge_text[N_SMALL][160];
} small_vocab;

enum { FIRST_LETTER = 2 + 256 };

static const char *spelled(const char *s, char *dst)      // spaces as U+2581
{
    char *d = dst;
    for (; *s; s++) {
        if (*s == ' ') { memcpy(d, "\xe2\x96\x81", 3); d += 3; }
        else *d++ = *s;
    }
    *d = 0;
    return dst;
}

static bool is_new_text(const small_vocab *v, const char *s, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(v->text[FIRST_LETTER + i], s) == 0) return false;
    return true;
}

static void make_small(small_vocab *v, rng *r)
{
    static const char *const letters[N_LETTERS] = { "a", "b", "c", " " };
    memset(v, 0, sizeof *v);
    strcpy(v->text[0], "<bos>");
    strcpy(v->text[1], "<eos>");
    for (int b = 0; b < 256; b++) snprintf(v->text[2 + b], 64, "<0x%02X>", (unsigned)b);
    for (int i = 0; i < N_LETTERS; i++) strcpy(v->text[FIRST_LETTER + i], letters[i]);
    int n = N_LETTERS;
    for (int tries = 0; tries < 400 && n < N_SMALL; tries++) {
        int l = (int)rng_next(r, (uint32_t)n), k = (int)rng_next(r, (uint32_t)n);
        char s[64], a[100], b[100];
        if (strlen(v->text[FIRST_LETTER + l]) + strlen(v->text[FIRST_LETTER + k]) > 12) continue;
        snprintf(s, sizeof s, "%.31s%.31s", v->text[FIRST_LETTER + l], v->text[FIRST_LETTER + k]);
        if (!is_new_text(v, s, n)) continue;
        strcpy(v->text[FIRST_LETTER + n], s);
        v->left[v->n] = l;
        v->right[v->n] = k;
        snprintf(v->merge_text[v->n], 160, "%.70s %.70s", spelled(v->text[FIRST_LETTER + l], a),
                 spelled(v->text[FIRST_LETTER + k], b));
        v->merge[v->n] = (golden_text){ (int)strlen(v->merge_text[v->n]), v->merge_text[v->n] };
        v->n++;
        n++;
    }
    for (int i = 0; i < FIRST_LETTER + n; i++) {
        char s[200];
        strcpy(v->text[i], spelled(v->text[i], s));
        v->tok[i] = (golden_token){ i < 2 ? 3 : i < FIRST_LETTER ? 6 : 1, (int)strlen(v->text[i]), v->text[i] };
    }
}

// The definition: while some pair merges, merge the leftmost of the lowest rank.
static int64_t merge_slowly(const small_vocab *v, int32_t *ids, int64_t n)
{
    for (;;) {
        int64_t at = -1;
        int     rank = v->n;
        for (int64_t i = 0; i + 1 < n; i++)
            for (int m = 0; m < rank; m++)
                if (ids[i] == FIRST_LETTER + v->left[m] && ids[i + 1] == FIRST_LETTER + v->right[m]) {
                    rank = m;
                    at = i;
                }
        if (at < 0) return n;
        ids[at] = FIRST_LETTER + N_LETTERS + rank;
        memmove(ids + at + 1, ids + at + 2, (size_t)(n - at - 2) * sizeof *ids);
        n--;
    }
}

START_TEST(merging_by_definition)
{
    rng r = { 20 };
    small_vocab *v = malloc(sizeof *v);
    for (int round = 0; round < 60; round++) {
        make_small(v, &r);
        err e = { 0 };
        gguf_plan *p = plan_of("gemma4", v->tok, FIRST_LETTER + N_LETTERS + v->n, v->merge, v->n);
        gguf_plan_u32(p, "tokenizer.ggml.bos_token_id", 0, &e);
        tokenizer *t = load(p);
        for (int k = 0; k < 60; k++) {
            char    s[200];
            int32_t want[200];
            int64_t n = 1 + rng_next(&r, k % 3 ? 24 : 199);     // on both sides of where scanning gives way to the heap
            for (int64_t i = 0; i < n; i++) {
                uint32_t c = rng_next(&r, N_LETTERS);
                s[i] = "abc "[c];
                want[i] = FIRST_LETTER + (int32_t)c;
            }
            expect_ids(t, s, n, true, want, merge_slowly(v, want, n));
        }
        tokenizer_free(t);
    }
    free(v);
}
END_TEST

// ---- time ----------------------------------------------------------------------------------------------------------

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);     // a busy machine's clock says nothing about us
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// A text that grows eightfold may take no more than some twenty times as long: n log n would take nine or ten, n * n
// 64.
static void expect_quick(const tokenizer *t, const char *unit)
{
    double  took[2] = { 1e30, 1e30 };
    size_t  len = strlen(unit);
    char   *s = malloc((1 << 20) + len);
    for (size_t i = 0; i < (1 << 20); i += len) memcpy(s + i, unit, len);
    for (int k = 0; k < 4; k++) {
        int32_t *ids;
        int64_t  n;
        err      e = { 0 };
        double   t0 = seconds();
        ck_assert(tokenizer_encode(t, s, k & 1 ? 1 << 20 : 1 << 17, true, true, &ids, &n, &e));
        t0 = seconds() - t0;
        if (t0 < took[k & 1]) took[k & 1] = t0;
        ck_assert_int_gt(n, 1);
        free(ids);
    }
    ck_assert_msg(took[1] < 0.25 || took[1] < 24 * took[0], "1 MB of '%s': %.3f s, 128 KB %.3f s", unit, took[1],
                  took[0]);
    free(s);
}

START_TEST(long_texts)
{
    static const char *const units[] = { "a", " ", "\n", "ha", "<", "<eos", "\xff", "\xe2\x96\x81", "z", "the " };
    tokenizer *a = load(gemma4_plan()), *b = load(llama_plan());
    for (int i = 0; i < COUNT(units); i++) {
        expect_quick(a, units[i]);
        expect_quick(b, units[i]);
    }
    tokenizer_free(a);
    tokenizer_free(b);
}
END_TEST

// ---- what must be refused ------------------------------------------------------------------------------------------

typedef void (*change)(gguf_plan *p, err *e);

static void set_strs(gguf_plan *p, const char *key, const char *const *s, int n, err *e)
{
    gguf_str *g = calloc((size_t)n + 1, sizeof *g);
    for (int i = 0; i < n; i++) g[i] = (gguf_str){ s[i], (int64_t)strlen(s[i]) };
    gguf_plan_arr_str(p, key, g, n, e);
    free(g);
}

static void set_tokens(gguf_plan *p, const char *const *s, int n, err *e)
{
    int32_t types[16] = { 3, 3, 3, 2 };
    for (int i = 4; i < n; i++) types[i] = 1;
    set_strs(p, "tokenizer.ggml.tokens", s, n, e);
    gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, types, n, e);
    set_strs(p, "tokenizer.ggml.merges", NULL, 0, e);
}
#define TOKENS(p, e, ...) set_tokens(p, (const char *const[]){ "<pad>", "<eos>", "<bos>", "<unk>", __VA_ARGS__ }, \
                                     4 + (int)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)), e)
#define MERGES(p, e, ...) set_strs(p, "tokenizer.ggml.merges", (const char *const[]){ __VA_ARGS__ }, \
                                   (int)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)), e)

static void model_gone(gguf_plan *p, err *e) { gguf_plan_remove(p, "tokenizer.ggml.model"); }
static void model_bert(gguf_plan *p, err *e) { gguf_plan_str(p, "tokenizer.ggml.model", "bert", e); }
static void model_long(gguf_plan *p, err *e) { gguf_plan_str(p, "tokenizer.ggml.model", "gemma44", e); }
static void model_number(gguf_plan *p, err *e) { gguf_plan_u32(p, "tokenizer.ggml.model", 4, e); }
static void tokens_gone(gguf_plan *p, err *e) { gguf_plan_remove(p, "tokenizer.ggml.tokens"); }
static void tokens_ints(gguf_plan *p, err *e)
{
    gguf_plan_arr(p, "tokenizer.ggml.tokens", GGUF_I32, (int32_t[]){ 1, 2 }, 2, e);
}
static void tokens_none(gguf_plan *p, err *e) { set_strs(p, "tokenizer.ggml.tokens", NULL, 0, e); }
static void token_twice(gguf_plan *p, err *e) { TOKENS(p, e, "a", "b", "a"); }
static void token_added_twice(gguf_plan *p, err *e) { TOKENS(p, e, "<eos>"); }
static void token_not_utf8(gguf_plan *p, err *e) { TOKENS(p, e, "a", "\xc3"); }
static void token_long(gguf_plan *p, err *e)
{
    char s[1026];
    memset(s, 'x', 1025);
    s[1025] = 0;
    TOKENS(p, e, s);
}
static void types_gone(gguf_plan *p, err *e) { gguf_plan_remove(p, "tokenizer.ggml.token_type"); }
static void types_few(gguf_plan *p, err *e)
{
    gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, (int32_t[]){ 1, 1 }, 2, e);
}
static void types_floats(gguf_plan *p, err *e)
{
    gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_F32, (float[]){ 1, 1 }, 2, e);
}
static void type_seven(gguf_plan *p, err *e)
{
    TOKENS(p, e, "a");
    gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, (int32_t[]){ 3, 3, 3, 2, 7 }, 5, e);
}
static void type_byte(gguf_plan *p, err *e)
{
    TOKENS(p, e, "<0x4>");
    gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, (int32_t[]){ 3, 3, 3, 2, 6 }, 5, e);
}
static void scores_few(gguf_plan *p, err *e)
{
    gguf_plan_arr(p, "tokenizer.ggml.scores", GGUF_F32, (float[]){ 0, -1 }, 2, e);
}
static void scores_strs(gguf_plan *p, err *e)
{
    set_strs(p, "tokenizer.ggml.scores", (const char *const[]){ "1" }, 1, e);
}
static void merges_gone(gguf_plan *p, err *e) { gguf_plan_remove(p, "tokenizer.ggml.merges"); }
static void merges_ints(gguf_plan *p, err *e)
{
    gguf_plan_arr(p, "tokenizer.ggml.merges", GGUF_I32, (int32_t[]){ 1 }, 1, e);
}
static void merge_no_space(gguf_plan *p, err *e) { MERGES(p, e, "th"); }
static void merge_two_spaces(gguf_plan *p, err *e) { MERGES(p, e, "t h e"); }
static void merge_no_left(gguf_plan *p, err *e) { MERGES(p, e, " h"); }
static void merge_no_right(gguf_plan *p, err *e) { MERGES(p, e, "t "); }
static void merge_empty(gguf_plan *p, err *e) { MERGES(p, e, ""); }
static void merge_strange_left(gguf_plan *p, err *e) { MERGES(p, e, "t h", "\xc3\xb7 h"); }
static void merge_strange_right(gguf_plan *p, err *e) { MERGES(p, e, "t \xc3\xb7"); }
static void merge_strange_both(gguf_plan *p, err *e) { MERGES(p, e, "x \t"); }
static void merge_long(gguf_plan *p, err *e)
{
    char s[4001];
    memset(s, 'x', 4000);
    s[2000] = ' ';
    s[4000] = 0;
    MERGES(p, e, s);
}
static void bos_out(gguf_plan *p, err *e)
{
    gguf_plan_u32(p, "tokenizer.ggml.bos_token_id", (uint32_t)COUNT(gemma4_tokens), e);
}
static void eos_out(gguf_plan *p, err *e) { gguf_plan_u32(p, "tokenizer.ggml.eos_token_id", UINT32_MAX, e); }
static void eot_out(gguf_plan *p, err *e) { gguf_plan_i32(p, "tokenizer.ggml.eot_token_id", -2, e); }
static void unk_text(gguf_plan *p, err *e) { gguf_plan_str(p, "tokenizer.ggml.unknown_token_id", "<unk>", e); }
static void bos_flag(gguf_plan *p, err *e) { gguf_plan_remove(p, "tokenizer.ggml.bos_token_id"); }
static void bos_flag_int(gguf_plan *p, err *e) { gguf_plan_u32(p, "tokenizer.ggml.add_bos_token", 1, e); }
static void eos_flag(gguf_plan *p, err *e)
{
    gguf_plan_remove(p, "tokenizer.ggml.eos_token_id");
    gguf_plan_bool(p, "tokenizer.ggml.add_eos_token", true, e);
}
static void prefix_flag(gguf_plan *p, err *e) { gguf_plan_bool(p, "tokenizer.ggml.add_space_prefix", true, e); }
static void ends_out(gguf_plan *p, err *e)
{
    gguf_plan_arr(p, "hallmark.eos_token_ids", GGUF_U32, (uint32_t[]){ 1, 5000000 }, 2, e);
}
static void ends_scalar(gguf_plan *p, err *e) { gguf_plan_u32(p, "hallmark.eos_token_ids", 1, e); }
static void ends_floats(gguf_plan *p, err *e)
{
    gguf_plan_arr(p, "tokenizer.ggml.eos_token_ids", GGUF_F32, (float[]){ 1 }, 1, e);
}
static void beyond_number(gguf_plan *p, err *e) { gguf_plan_u32(p, "hallmark.tokens_beyond", 1, e); }
static void beyond_empty(gguf_plan *p, err *e)
{
    set_strs(p, "hallmark.tokens_beyond", (const char *const[]){ "" }, 1, e);
}
static void beyond_within(gguf_plan *p, err *e)
{
    set_strs(p, "hallmark.tokens_beyond", (const char *const[]){ "<eos>" }, 1, e);
}
static void added_bytes(gguf_plan *p, err *e)
{
    enum { N = 16385 };
    static char text[N][1025];
    const char **s = malloc(N * sizeof *s);
    int32_t     *type = malloc(N * sizeof *type);
    for (int i = 0; i < N; i++) {
        memset(text[i], 'x', 1024);
        text[i][snprintf(text[i], 8, "%07d", i)] = 'x';
        s[i] = text[i];
        type[i] = 4;
    }
    set_strs(p, "tokenizer.ggml.tokens", s, N, e);
    gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, type, N, e);
    free(s);
    free(type);
}
static void no_fallback(gguf_plan *p, err *e)
{
    TOKENS(p, e, "a");
    gguf_plan_remove(p, "tokenizer.ggml.unknown_token_id");
}

// What a message must hold: the key, and where in it.
static const struct { const char *name; change how; const char *says; } k_refused[] = {
    { "no model", model_gone, "tokenizer.ggml.model" },
    { "bert", model_bert, "'tokenizer.ggml.model': found 'bert'" },
    { "gemma44", model_long, "'tokenizer.ggml.model': found 'gemma44'" },
    { "model a number", model_number, "tokenizer.ggml.model" },
    { "no tokens", tokens_gone, "'tokenizer.ggml.tokens': not found" },
    { "tokens numbers", tokens_ints, "'tokenizer.ggml.tokens': found another type" },
    { "no token", tokens_none, "'tokenizer.ggml.tokens': found 0" },
    { "token twice", token_twice, "'tokenizer.ggml.tokens': [6]: found 'a' again, first at [4]" },
    { "added token twice", token_added_twice, "'tokenizer.ggml.tokens': [4]: found '<eos>' again" },
    { "token not UTF-8", token_not_utf8, "'tokenizer.ggml.tokens': [5]: found bytes that are not UTF-8" },
    { "token too long", token_long, "'tokenizer.ggml.tokens': [4]: found 1025 bytes" },
    { "no types", types_gone, "'tokenizer.ggml.token_type': not found" },
    { "few types", types_few, "'tokenizer.ggml.token_type': found 2 elements" },
    { "types floats", types_floats, "'tokenizer.ggml.token_type': found another type" },
    { "type 7", type_seven, "'tokenizer.ggml.token_type': [4]" },
    { "byte of another form", type_byte, "'tokenizer.ggml.tokens': [4]: found '<0x4>'" },
    { "few scores", scores_few, "'tokenizer.ggml.scores': found 2 elements" },
    { "scores strings", scores_strs, "'tokenizer.ggml.scores': found another type" },
    { "no merges", merges_gone, "'tokenizer.ggml.merges': not found" },
    { "merges numbers", merges_ints, "'tokenizer.ggml.merges': found another type" },
    { "merge of one", merge_no_space, "'tokenizer.ggml.merges': [0]: found 'th'" },
    { "merge of three", merge_two_spaces, "'tokenizer.ggml.merges': [0]: found 't h e'" },
    { "merge without left", merge_no_left, "'tokenizer.ggml.merges': [0]" },
    { "merge without right", merge_no_right, "'tokenizer.ggml.merges': [0]" },
    { "empty merge", merge_empty, "'tokenizer.ggml.merges': [0]" },
    { "strange left", merge_strange_left, "'tokenizer.ggml.merges': [1]" },
    { "strange right", merge_strange_right, "right side is not in the vocabulary" },
    { "strange result", merge_strange_both, "result is not in the vocabulary" },
    { "merge too long", merge_long, "'tokenizer.ggml.merges': [0]" },
    { "bos out of range", bos_out, "'tokenizer.ggml.bos_token_id': found id" },
    { "eos out of range", eos_out, "'tokenizer.ggml.eos_token_id': found id" },
    { "eot negative", eot_out, "tokenizer.ggml.eot_token_id" },
    { "unk a text", unk_text, "tokenizer.ggml.unknown_token_id" },
    { "bos wanted, not there", bos_flag, "'tokenizer.ggml.add_bos_token'" },
    { "bos flag a number", bos_flag_int, "tokenizer.ggml.add_bos_token" },
    { "eos wanted, not there", eos_flag, "'tokenizer.ggml.add_eos_token'" },
    { "space prefix", prefix_flag, "'tokenizer.ggml.add_space_prefix': found true" },
    { "end list out of range", ends_out, "'hallmark.eos_token_ids': [1]" },
    { "end list a number", ends_scalar, "'hallmark.eos_token_ids': found another type" },
    { "end list floats", ends_floats, "'tokenizer.ggml.eos_token_ids': [0]" },
    { "beyond a number", beyond_number, "'hallmark.tokens_beyond': found another type" },
    { "beyond and empty", beyond_empty, "'hallmark.tokens_beyond': [0]: found 0 bytes" },
    { "beyond and within", beyond_within, "'hallmark.tokens_beyond': found '<eos>', which is another token too" },
    { "too many bytes", added_bytes, "'tokenizer.ggml.tokens': found 16778240 bytes of tokens that are found whole" },
    { "no fallback", no_fallback, "neither <0x00> nor an unknown_token_id" },
};

// A pair that stands again has its last rank, as in Transformers: "b c" goes before "a b".
START_TEST(merge_twice)
{
    err made = { 0 };
    gguf_plan *p = gemma4_plan();
    TOKENS(p, &made, "a", "b", "c", "ab", "bc");
    MERGES(p, &made, "a b", "b c", "a b");
    ck_assert_int_eq(made.kind, ERR_NONE);
    tokenizer *t = load(p);
    expect_ids(t, "abcab", 5, true, (int32_t[]){ 4, 8, 7 }, 3);
    tokenizer_free(t);
}
END_TEST

// An id whose text is empty: no text becomes it, whatever its type and role, and it becomes no text.
START_TEST(token_empty)
{
    err     made = { 0 }, e = { 0 };
    char   *text;
    int64_t n;
    gguf_plan *p = gemma4_plan();
    TOKENS(p, &made, "a", "", "");
    gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, (int32_t[]){ 3, 3, 3, 2, 1, 3, 4 }, 7, &made);
    gguf_plan_u32(p, "tokenizer.ggml.mask_token_id", 6, &made);
    ck_assert_msg(made.kind == ERR_NONE, "%s", made.msg);
    tokenizer *t = load(p);
    expect_ids(t, "a<eos>a", 7, true, (int32_t[]){ 4, 1, 4 }, 3);
    ck_assert(tokenizer_decode(t, (int32_t[]){ 4, 5, 6, 4 }, 4, false, &text, &n, &e));
    ck_assert_str_eq(text, "aa");
    free(text);
    tokenizer_free(t);
}
END_TEST

// A token that the embedding has no row for: the longest at its place counts, and where it is that one, the text has no
// ids.
START_TEST(token_beyond)
{
    err      made = { 0 };
    int32_t *ids;
    int64_t  n;
    gguf_plan *p = gemma4_plan();
    set_strs(p, "hallmark.tokens_beyond", (const char *const[]){ "<eos><", "<far>" }, 2, &made);
    ck_assert_int_eq(made.kind, ERR_NONE);
    tokenizer *t = load(p);
    expect_ids(t, "<eos>", 5, true, (int32_t[]){ 1 }, 1);
    expect_ids(t, "<eos><", 5, true, (int32_t[]){ 1 }, 1);
    static const struct { const char *text, *says; } rows[] = {
        { "<eos><eos>", "offset 0: found '<eos><'" },
        { "a<far>", "offset 1: found '<far>', a token that the embedding has no row for" },
    };
    for (int i = 0; i < 2; i++)
        for (int special = 0; special < 2; special++) {
            err e = { 0 };
            ck_assert(!tokenizer_encode(t, rows[i].text, (int64_t)strlen(rows[i].text), true, special, &ids, &n, &e));
            ck_assert_msg(e.kind == ERR_INPUT && strstr(e.msg, rows[i].says), "%s", e.msg);
            ck_assert_ptr_null(ids);
        }
    tokenizer_free(t);
}
END_TEST

// Added tokens by their definition: the leftmost, and of those that begin at one place the longest.
static void cut_by_definition(const char *s, const char *const *tok, int n_tok, char *out)
{
    *out = 0;
    while (*s) {
        int best = -1;
        for (int i = 0; i < n_tok; i++)
            if (strncmp(s, tok[i], strlen(tok[i])) == 0 && (best < 0 || strlen(tok[i]) > strlen(tok[best]))) best = i;
        sprintf(out + strlen(out), best < 0 ? "%c" : "(%.*s)", best < 0 ? *s : (int)strlen(tok[best]),
                best < 0 ? "" : tok[best]);
        s += best < 0 ? 1 : strlen(tok[best]);
    }
}

START_TEST(added_by_definition)
{
    rng r = { 11 };
    for (int round = 0; round < 60; round++) {
        char        text[24][8];
        const char *tok[8 + 24] = { "<pad>", "<eos>", "<bos>", "<unk>", "x", "y", "z", "w" };
        int32_t     type[8 + 24] = { 3, 3, 3, 2, 1, 1, 1, 1 };
        int         n = 8;
        err         made = { 0 };
        for (int i = 0; i < 24; i++) {      // no two alike, two letters or more
            const int len = 2 + (int)rng_next(&r, 5);
            for (int k = 0; k < len; k++) text[i][k] = (char)('x' + (int)rng_next(&r, 2));
            text[i][len] = 0;
            bool again = false;
            for (int k = 8; k < n; k++) again |= strcmp(tok[k], text[i]) == 0;
            if (again) continue;
            tok[n] = text[i];
            type[n++] = 4;
        }
        gguf_plan *p = gemma4_plan();
        set_strs(p, "tokenizer.ggml.tokens", tok, n, &made);
        gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, type, n, &made);
        set_strs(p, "tokenizer.ggml.merges", NULL, 0, &made);
        ck_assert_msg(made.kind == ERR_NONE, "%s", made.msg);
        tokenizer *t = load(p);
        for (int k = 0; k < 40; k++) {
            char     s[64], want[512], got[512] = "";
            err      e = { 0 };
            int32_t *ids;
            int64_t  n_ids;
            const int len = (int)rng_next(&r, 60);
            for (int i = 0; i < len; i++) s[i] = (char)('x' + (int)(rng_next(&r, 20) == 0 ? 2 : rng_next(&r, 2)));
            s[len] = 0;
            cut_by_definition(s, tok + 8, n - 8, want);
            ck_assert_msg(tokenizer_encode(t, s, len, false, true, &ids, &n_ids, &e), "%s", e.msg);
            for (int64_t i = 0; i < n_ids; i++) sprintf(got + strlen(got), ids[i] < 8 ? "%s" : "(%s)", tok[ids[i]]);
            ck_assert_str_eq(got, want);
            free(ids);
        }
        tokenizer_free(t);
    }
}
END_TEST

START_TEST(refused)
{
    err        made = { 0 }, e = { 0 };
    gguf_plan *p = gemma4_plan();
    k_refused[_i].how(p, &made);
    ck_assert_msg(made.kind == ERR_NONE, "%s: %s", k_refused[_i].name, made.msg);
    tokenizer *t = load_plan(p, &e);
    ck_assert_msg(!t && e.kind == ERR_INPUT, "%s: was taken", k_refused[_i].name);
    ck_assert_msg(strstr(e.msg, k_refused[_i].says) && strncmp(e.msg, "test.gguf: ", 11) == 0, "%s: said '%s'",
                  k_refused[_i].name, e.msg);
}
END_TEST

// Random damage: whatever is still taken must encode and decode without harm, and give each text back where every byte
// has a token.
static void use_damaged(const tokenizer *t, rng *r)
{
    const golden_case *c = &gemma4_cases[rng_next(r, (uint32_t)COUNT(gemma4_cases))];
    err      e = { 0 };
    int32_t *ids;
    int64_t  n, n_text;
    char    *text;
    if (!tokenizer_encode(t, c->s, c->n, true, true, &ids, &n, &e)) ck_abort_msg("%s", e.msg);
    for (int64_t i = 0; i < n; i++) ck_assert(ids[i] >= 0 && ids[i] < tokenizer_n_vocab(t));
    ck_assert(tokenizer_decode(t, ids, n, false, &text, &n_text, &e));
    free(text);
    free(ids);
    for (int32_t id = 0; id < tokenizer_n_vocab(t); id++) {
        const char *s;
        ck_assert(tokenizer_piece(t, id, &s, &n) && n >= 0);
    }
}

START_TEST(damaged)
{
    image  good[] = { image_of(gemma4_plan()), image_of(llama_plan()), image_of(partial_plan()) };
    rng    r = { 4 };
    int    taken = 0, refused_n = 0;
    for (int k = 0; k < 3000; k++) {
        image im = good[k % 3];
        im.bytes = malloc((size_t)im.n);
        memcpy(im.bytes, good[k % 3].bytes, (size_t)im.n);
        for (uint32_t i = 0, flips = 1 + rng_next(&r, 4); i < flips; i++) {
            uint32_t at = rng_next(&r, (uint32_t)im.n);
            im.bytes[at] = rng_next(&r, 2) ? (uint8_t)rng_next(&r, 256)
                                           : (uint8_t)(im.bytes[at] ^ 1u << rng_next(&r, 8));
        }
        if (rng_next(&r, 8) == 0) im.n = 1 + rng_next(&r, (uint32_t)im.n);
        err e = { 0 };
        tokenizer *t = load_image(im, &e);
        ck_assert(t ? e.kind == ERR_NONE : e.kind == ERR_INPUT && e.msg[0]);
        if (t) use_damaged(t, &r);
        taken += t != NULL;
        refused_n += t == NULL;
        tokenizer_free(t);
        free(im.bytes);
    }
    ck_assert_int_gt(taken, 20);    // both happened, so the test tests something (most damage hits a merge's spelling)
    ck_assert_int_gt(refused_n, 1000);
    for (int i = 0; i < 3; i++) free(good[i].bytes);
}
END_TEST

// ---- work ----------------------------------------------------------------------------------------------------------

// A plan of n texts at text[0], text[1], ... with types, and no merges; "llama" derives its own.
static gguf_plan *texts_plan(const char *model, gguf_str *text, int32_t *type, int64_t n)
{
    err e = { 0 };
    gguf_plan *p = gguf_plan_new(32, &e);
    ck_assert(gguf_plan_str(p, "tokenizer.ggml.model", model, &e) &&
              gguf_plan_arr_str(p, "tokenizer.ggml.tokens", text, n, &e));
    ck_assert(gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, type, n, &e) &&
              gguf_plan_arr_str(p, "tokenizer.ggml.merges", NULL, 0, &e));
    ck_assert(gguf_plan_u32(p, "tokenizer.ggml.unknown_token_id", 0, &e));
    if (strcmp(model, "llama") == 0) gguf_plan_remove(p, "tokenizer.ggml.merges");
    return p;
}

// Texts that stand side by side in a table under a hash that anybody can compute (a polynomial modulo 2^64, then
// MurmurHash3's finalizer).
static void load_neighbours(int64_t n)
{
    char     (*s)[12] = malloc((size_t)n * sizeof *s);
    gguf_str *text = malloc((size_t)n * sizeof *text);
    int32_t  *type = malloc((size_t)n * sizeof *type);
    uint64_t  slots = 16;
    while (slots < 2 * (uint64_t)n) slots *= 2;
    for (int64_t k = 0, made = 0; made < n; k++) {
        uint64_t h = 0;
        const int len = snprintf(s[made], sizeof *s, "%08llx", (unsigned long long)k);
        for (int i = 0; i < len; i++) h = h * 0x9e3779b97f4a7c15ull + (uint8_t)s[made][i] + 1;
        h ^= h >> 33; h *= 0xff51afd7ed558ccdull;
        h ^= h >> 33; h *= 0xc4ceb9fe1a85ec53ull;
        h ^= h >> 33;
        if ((h & (slots - 1)) >= slots / 64) continue;
        text[made] = (gguf_str){ s[made], len };
        type[made++] = 1;
    }
    tokenizer_free(load(texts_plan("gemma4", text, type, n)));
    free(s);
    free(text);
    free(type);
}

// n bytes of long texts of one letter and a number: each can be split at each place, and none of the halves is a token.
static void load_splits(int64_t n)
{
    enum { LEN = 1000 };
    const int64_t rows = n / LEN;
    char     *s = malloc((size_t)n);
    gguf_str *text = malloc((size_t)rows * sizeof *text);
    int32_t  *type = malloc((size_t)rows * sizeof *type);
    memset(s, 'a', (size_t)n);
    for (int64_t i = 0; i < rows; i++) {
        char number[16];
        snprintf(number, sizeof number, "%08lld", (long long)i);
        memcpy(s + i * LEN + LEN / 2, number, 8);
        text[i] = (gguf_str){ s + i * LEN, LEN };
        type[i] = 1;
    }
    tokenizer_free(load(texts_plan("llama", text, type, rows)));
    free(s);
    free(text);
    free(type);
}

// A text of n letters, at each of which a thousand added tokens nearly begin.
static void find_nested(int64_t n)
{
    enum { DEPTH = 1000 };
    static char s[DEPTH][DEPTH + 2];
    gguf_str text[DEPTH];
    int32_t  type[DEPTH], *ids;
    err      e = { 0 };
    int64_t  n_ids;
    for (int i = 0; i < DEPTH; i++) {
        memset(s[i], 'a', (size_t)i + 1);
        s[i][i + 1] = 'b';
        text[i] = (gguf_str){ s[i], i + 2 };
        type[i] = 4;
    }
    tokenizer *t = load(texts_plan("gemma4", text, type, DEPTH));
    char *letters = malloc((size_t)n);
    memset(letters, 'a', (size_t)n);
    ck_assert(tokenizer_encode(t, letters, n, true, true, &ids, &n_ids, &e));
    ck_assert_int_eq(n_ids, 1);     // one unknown token for a run of letters
    free(ids);
    free(letters);
    tokenizer_free(t);
}

START_TEST(work)
{
    must_be_linear("texts in neighbouring places", load_neighbours, 20000);
    must_be_linear("ways to split long texts", load_splits, 2000000);
    must_be_linear("added tokens that nearly begin", find_nested, 1000000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tokenizer");
    TCase *c = tcase_create("all");
    tcase_add_test(c, gemma4_texts);
    tcase_add_test(c, llama_texts);
    tcase_add_test(c, partial_texts);
    tcase_add_test(c, decoding);
    tcase_add_test(c, begin_and_end);
    tcase_add_test(c, roles);
    tcase_add_test(c, end_lists);
    tcase_add_test(c, pieces);
    tcase_add_test(c, listed_merges_of_llama);
    tcase_add_test(c, space_without_token);
    tcase_add_test(c, scores_in_another_order);
    tcase_add_test(c, merging_by_definition);
    tcase_add_test(c, long_texts);
    tcase_add_test(c, merge_twice);
    tcase_add_test(c, token_empty);
    tcase_add_test(c, token_beyond);
    tcase_add_test(c, added_by_definition);
    tcase_add_loop_test(c, refused, 0, COUNT(k_refused));
    tcase_add_test(c, damaged);
    tcase_add_test(c, work);
    suite_add_tcase(s, c);
    return run_suite(s);
}
