// Proves runtime/tokenizer/: words.h and nfc.h against what Hugging Face's tokenizers make of 10,200 random texts
// (golden/words.txt.gz, made by golden/make_words.py), in time that grows with the text alone; and byte-level
// vocabularies as tokenizer.h reads them.
#include "bytes.h"
#include "formats/gguf.h"
#include "runtime/tokenizer.h"
#include "runtime/tokenizer/nfc.h"
#include "runtime/tokenizer/words.h"

#include <zlib.h>

static err e;

static int64_t unhex(char *dst, const char *hex)
{
    int64_t n = 0;
    unsigned v;
    for (; hex[0] && hex[1] && sscanf(hex, "%2x", &v) == 1; hex += 2) dst[n++] = (char)v;
    return n;
}

typedef struct { char text[2000]; size_t n; const char *begin; int64_t last; } ends;

static bool take_word(void *ctx, const char *s, int64_t n, err *err_)
{
    ends *x = ctx;
    ck_assert_msg(s == x->begin + x->last && n > 0, "words do not follow each other");
    x->last += n;
    x->n += (size_t)snprintf(x->text + x->n, sizeof x->text - x->n, "%s%lld", x->n ? "," : "", (long long)x->last);
    return true;
}

START_TEST(the_words_of_the_reference)
{
    static char line[8192], text[2048], normal[2048];
    char name[32], hex[4096], want[2048], nfc_hex[4096];
    words *w = NULL;
    const char *of = "";
    int n_lines = 0;
    gzFile f = gzopen(SOURCE_DIR "/tests/golden/words.txt.gz", "rb");
    ck_assert_ptr_nonnull(f);
    while (gzgets(f, line, sizeof line)) {
        ck_assert_int_eq(sscanf(line, "%31s %4095s %2047s %4095s", name, hex, want, nfc_hex), 4);
        const pretok_row *row = pretok_find(name);
        ck_assert_msg(row != NULL, "%s", name);
        if (strcmp(of, name) != 0) {
            words_free(w);
            w = words_new(row, &e);
            of = row->name;
        }
        ck_assert_msg(w != NULL, "%s", e.msg);
        const int64_t n = unhex(text, hex), n_want = unhex(normal, nfc_hex);
        ends got = { .begin = text };
        ck_assert_msg(words_cut(w, text, n, take_word, &got, &e), "%s", e.msg);
        ck_assert_msg(strcmp(got.text, want) == 0, "%s: %s: words end at %s, expected %s", name, hex, got.text, want);
        char   *made;
        int64_t n_made;
        ck_assert(nfc_text(text, n, &made, &n_made, &e));
        ck_assert_msg(n_made == n_want && memcmp(made ? made : text, normal, (size_t)n_want) == 0, "NFC of %s", hex);
        free(made);
        n_lines++;
    }
    gzclose(f);
    words_free(w);
    ck_assert_int_eq(n_lines, 6 * 1700);
}
END_TEST

// ---- hostile texts --------------------------------------------------------------------------------------------------

static bool count_word(void *ctx, const char *s, int64_t n, err *err_)
{
    ++*(int64_t *)ctx;
    return true;
}

static const char *const units[] = { " ",        "\n",
                                     " \n",      "a",
                                     "'",        "1",
                                     "\xcc\x81", "\xcc\x96\xcc\x81",
                                     "a ",       "\t\xe2\x80\xa8",
                                     "!",        "\xe1\x84\x80\xe1\x85\xa1" };

// One unit over and over, 1 MB of it, in every row: a quarter takes about a quarter of the time.
static double time_of(const pretok_row *row, const char *unit, int64_t n)
{
    char  *s = malloc((size_t)n + 8), *made;
    size_t len = strlen(unit);
    int64_t whole = n / (int64_t)len * (int64_t)len, n_made, count = 0;
    for (int64_t i = 0; i < whole; i += (int64_t)len) memcpy(s + i, unit, len);
    words *w = words_new(row, &e);
    const double begin = seconds();
    ck_assert_msg(words_cut(w, s, whole, count_word, &count, &e), "%s: 1 MB of '%s': %s", row->name, unit, e.msg);
    ck_assert(nfc_text(s, whole, &made, &n_made, &e));
    const double took = seconds() - begin;
    ck_assert_int_gt(count, 0);
    words_free(w);
    free(made);
    free(s);
    return took;
}

START_TEST(work_in_proportion)
{
    const char *unit = units[_i];
    for (const pretok_row *row = pretok_table(); row->name; row++) {
        const double small = time_of(row, unit, 1 << 18), large = time_of(row, unit, 1 << 20);
        ck_assert_msg(large < 0.2 || large < 12 * small, "%s: 1 MB of '%s' takes %.2f s, a quarter %.2f s", row->name,
                      unit, large, small);
    }
}
END_TEST

// ---- a byte-level vocabulary ----------------------------------------------------------------------------------------

// The character that stands for byte b in such vocabularies, as UTF-8.
static void spelling(char dst[8], int b)
{
    int c = b, other = 256;
    for (int i = 0; i <= b; i++) {
        const bool itself = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
        if (i == b) c = itself ? b : other;
        if (!itself) other++;
    }
    if (c < 128) { dst[0] = (char)c; dst[1] = 0; return; }
    dst[0] = (char)(0xc0 | c >> 6);
    dst[1] = (char)(0x80 | (c & 63));
    dst[2] = 0;
}

// 256 bytes, four results of merges, a word that no merge makes, two added tokens.
static gguf *byte_level_file(const char *pre, uint8_t **bytes)
{
    static const char *const more[] = { "\xc4\xa0t", "he", "\xc4\xa0the", "ab", "abc", "<|end|>", "\xc3\xa9t\xc3\xa9" };
    static const char *const merges[] = { "\xc4\xa0 t", "h e", "\xc4\xa0t he", "a b" };
    gguf_str tokens[263], list[4];
    int32_t  types[263];
    static char texts[256][8];
    for (int i = 0; i < 256; i++) {
        spelling(texts[i], i);
        tokens[i] = (gguf_str){ texts[i], (int64_t)strlen(texts[i]) };
        types[i] = 1;
    }
    for (int i = 0; i < 7; i++) {
        tokens[256 + i] = (gguf_str){ more[i], (int64_t)strlen(more[i]) };
        types[256 + i] = i == 5 ? 3 : i == 6 ? 4 : 1;
    }
    for (int i = 0; i < 4; i++) list[i] = (gguf_str){ merges[i], (int64_t)strlen(merges[i]) };
    gguf_plan *p = gguf_plan_new(32, &e);
    int64_t n, file;
    bool ok = gguf_plan_str(p, "tokenizer.ggml.model", "gpt2", &e) && gguf_plan_str(p, "tokenizer.ggml.pre", pre, &e) &&
              gguf_plan_arr_str(p, "tokenizer.ggml.tokens", tokens, 263, &e) &&
              gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, types, 263, &e) &&
              gguf_plan_arr_str(p, "tokenizer.ggml.merges", list, 4, &e) &&
              gguf_plan_u32(p, "tokenizer.ggml.eos_token_id", 261, &e) && gguf_plan_layout(p, &n, &file, &e) &&
              gguf_plan_header(p, bytes, &n, &e);
    ck_assert_msg(ok, "%s", e.msg);
    gguf_plan_free(p);
    gguf *g = gguf_open_mem(*bytes, n, "test.gguf", &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    return g;
}

START_TEST(bytes_merge_in_words)
{
    static const struct { const char *pre, *text; int n, ids[16]; const char *back; } rows[] = {
        { "qwen2", "a the", 2, { 'a', 258 }, NULL },
        { "qwen2", "abc", 2, { 259, 'c' }, NULL },
        { "llama-bpe", "abc", 1, { 260 }, NULL },    // a word that is a token, whatever the merges say
        { "qwen2", "he<|end|>he", 3, { 257, 261, 257 }, "hehe" },               // left out of a decoded text
        { "qwen2", "e\xcc\x81", 2, { 0xc3, 0xa9 }, "\xc3\xa9" },                // NFC
        { "gpt-2", "e\xcc\x81", 3, { 'e', 0xcc, 0x81 }, NULL },
        { "gpt-2", "\xff", 3, { 0xef, 0xbf, 0xbd }, "\xef\xbf\xbd" },           // no UTF-8: U+FFFD
        { "smollm", "12", 2, { '1', '2' }, NULL },
        // an added token is decoded as if it were spelled in bytes
        { "gpt-2", "\xc3\xa9t\xc3\xa9", 1, { 262 }, "\xef\xbf\xbdt\xef\xbf\xbd" },
        { "qwen2", "", 0, { 0 }, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t   *bytes;
        gguf      *g = byte_level_file(rows[i].pre, &bytes);
        tokenizer *t = tokenizer_new(g, &e);
        ck_assert_msg(t != NULL, "%s", e.msg);
        int32_t *ids;
        int64_t  n, n_back;
        char    *back;
        ck_assert_msg(tokenizer_encode(t, rows[i].text, (int64_t)strlen(rows[i].text), true, true, &ids, &n, &e), "%s",
                      e.msg);
        ck_assert_msg(n == rows[i].n, "'%s': %lld ids", rows[i].text, (long long)n);
        for (int k = 0; k < n; k++)
            ck_assert_msg(ids[k] == rows[i].ids[k], "'%s': id %d is %d, expected %d", rows[i].text, k, ids[k],
                          rows[i].ids[k]);
        ck_assert(tokenizer_decode(t, ids, n, true, &back, &n_back, &e));
        ck_assert_str_eq(back, rows[i].back ? rows[i].back : rows[i].text);
        ck_assert(tokenizer_is_end(t, 261));
        free(ids);
        free(back);
        tokenizer_free(t);
        gguf_close(g);
        free(bytes);
    }
}
END_TEST

START_TEST(an_unknown_way_to_cut_is_refused)
{
    uint8_t *bytes;
    gguf    *g = byte_level_file("starcoder", &bytes);
    err      why = { 0 };
    ck_assert_ptr_null(tokenizer_new(g, &why));
    check_refused(&why, ERR_INPUT, "test.gguf", "key 'tokenizer.ggml.pre': found 'starcoder'");
    gguf_close(g);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("words");
    TCase *t = tcase_create("words");
    tcase_add_test(t, the_words_of_the_reference);
    tcase_add_loop_test(t, work_in_proportion, 0, sizeof units / sizeof *units);
    tcase_add_test(t, bytes_merge_in_words);
    tcase_add_test(t, an_unknown_way_to_cut_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
