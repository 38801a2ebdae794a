// Proves quant/codec.h: the bytes that ggml itself writes, the values that ggml and the gguf package read.
// Golden files: tests/golden/make_codec_golden.c, tests/golden/gguf_decoded.h.
#include "formats/file_map.h"
#include "formats/sha256.h"
#include "quant/blocks.h"
#include "quant/codec.h"

#include "golden/codec_digests.h"
#include "golden/codec_inputs.h"
#include "golden/gguf_decoded.h"
#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_TYPES = sizeof codec_digests / sizeof codec_digests[0] };

static int64_t row_bytes(int type, int64_t cols)
{
    int64_t n;
    ck_assert(dtype_row_bytes(type, cols, &n));
    return n;
}

START_TEST(test_every_row_of_every_kind)
{
    file_map f = { 0 };
    err e = { 0 };
    static float x[GOLDEN_COLS], w[GOLDEN_COLS];
    static uint8_t row[GOLDEN_COLS * 4];
    ck_assert_msg(file_map_open(&f, SOURCE_DIR "/tests/golden/codec.bin", &e), "%s", e.msg);
    const uint8_t *expected = f.data;
    for (int i = 0; i < N_TYPES; i++) {
        const int type = codec_digests[i].type;
        const int64_t n = row_bytes(type, GOLDEN_COLS);
        for (int kind = 0; kind < GOLDEN_KINDS; kind++)
            for (int weighted = 0; weighted < 2; weighted++, expected += n) {
                input_row(x, GOLDEN_COLS, kind, 1);
                input_importance(w, GOLDEN_COLS, kind, 1);
                ck_assert_msg(codec_find(type)->encode_row(row, x, GOLDEN_COLS, weighted ? w : NULL, &e), "%s", e.msg);
                for (int64_t b = 0; b < n; b++)
                    ck_assert_msg(row[b] == expected[b],
                                  "%s, kind %d, %s importance: byte %lld: found %02x, expected %02x", dtype_name(type),
                                  kind, weighted ? "with" : "without", (long long)b, row[b], expected[b]);
            }
    }
    ck_assert_ptr_eq(expected, f.data + f.size);
    file_map_close(&f);
}
END_TEST

static void check_digest(sha256 *s, const char *expected, int type, const char *what)
{
    char hex[SHA256_HEX + 1];
    err e = { 0 };
    ck_assert_msg(sha256_end(s, hex, &e), "%s", e.msg);
    ck_assert_msg(strcmp(hex, expected) == 0, "%s: %s: found %s, expected %s", dtype_name(type), what, hex, expected);
}

START_TEST(test_many_rows)
{
    static float x[GOLDEN_BATCH_COLS], w[GOLDEN_BATCH_COLS], y[GOLDEN_BATCH_COLS];
    static uint8_t row[GOLDEN_BATCH_COLS * 4];
    const int type = codec_digests[_i].type;
    const codec *c = codec_find(type);
    const int64_t n = row_bytes(type, GOLDEN_BATCH_COLS);
    err e = { 0 };
    sha256 *plain = sha256_new(&e), *weighted = sha256_new(&e), *decoded = sha256_new(&e);
    for (int r = 0; r < GOLDEN_BATCH_ROWS; r++) {
        input_row(x, GOLDEN_BATCH_COLS, r % GOLDEN_KINDS, (uint64_t)r + 2);
        input_importance(w, GOLDEN_BATCH_COLS, r % GOLDEN_KINDS, (uint64_t)r + 2);
        ck_assert_msg(c->encode_row(row, x, GOLDEN_BATCH_COLS, w, &e), "%s", e.msg);
        ck_assert(sha256_add(weighted, row, n, &e));
        ck_assert_msg(c->encode_row(row, x, GOLDEN_BATCH_COLS, NULL, &e), "%s", e.msg);
        ck_assert(sha256_add(plain, row, n, &e));
        c->decode_row(y, row, GOLDEN_BATCH_COLS);
        ck_assert(sha256_add(decoded, y, sizeof y, &e));
    }
    check_digest(plain, codec_digests[_i].plain, type, "encoded without importance");
    check_digest(weighted, codec_digests[_i].weighted, type, "encoded with importance");
    check_digest(decoded, codec_digests[_i].decoded, type, "decoded");
}
END_TEST

// IQ4_NL is a type of caches here, never of files. These are ggml's quantize_row_iq4_nl_ref, which it stores caches
// with, and dequantize_row_iq4_nl, on the same rows as test_many_rows; made as tests/golden/make_codec_golden.c says.
// Codes of a block whose scale is 0 are whatever stood in ggml's memory: they count as 0 here.
START_TEST(test_iq4_nl_of_caches)
{
    static const char encoded[] = "adde17e89eb843a276d17e6aeddfbcd6f5a6ddbd3b1fee22137e0d6562977b95";
    static const char values[] = "6395a45318d72ffa082b329d1e01d5f2cedccb82983109790b2eed0fbeb1d2d0";
    static float x[GOLDEN_BATCH_COLS], y[GOLDEN_BATCH_COLS];
    static uint8_t row[GOLDEN_BATCH_COLS];
    const codec *c = codec_of_cache(DT_IQ4_NL);
    const int64_t n = row_bytes(DT_IQ4_NL, GOLDEN_BATCH_COLS);
    err e = { 0 };
    sha256 *plain = sha256_new(&e), *decoded = sha256_new(&e);
    for (int r = 0; r < GOLDEN_BATCH_ROWS; r++) {
        input_row(x, GOLDEN_BATCH_COLS, r % GOLDEN_KINDS, (uint64_t)r + 2);
        ck_assert_msg(c->encode_row(row, x, GOLDEN_BATCH_COLS, NULL, &e), "%s", e.msg);
        for (int64_t b = 0; b < n; b += (int64_t)sizeof(iq4_nl_block))
            if (row[b] == 0 && (row[b + 1] & 0x7f) == 0) memset(row + b + 2, 0, sizeof(iq4_nl_block) - 2);
        ck_assert(sha256_add(plain, row, n, &e));
        c->decode_row(y, row, GOLDEN_BATCH_COLS);
        ck_assert(sha256_add(decoded, y, sizeof y, &e));
    }
    check_digest(plain, encoded, DT_IQ4_NL, "encoded");
    check_digest(decoded, values, DT_IQ4_NL, "decoded");
}
END_TEST

START_TEST(test_decodes_as_the_gguf_package)
{
    file_map f = { 0 };
    err e = { 0 };
    static float y[GOLDEN_COLS];
    ck_assert_msg(file_map_open(&f, SOURCE_DIR "/tests/golden/codec.bin", &e), "%s", e.msg);
    const uint8_t *row = f.data;
    for (int i = 0; i < N_TYPES; i++) {
        const int type = gguf_decoded[i].type;
        sha256 *s = sha256_new(&e);
        for (int r = 0; r < 2 * GOLDEN_KINDS; r++, row += row_bytes(type, GOLDEN_COLS)) {
            codec_find(type)->decode_row(y, row, GOLDEN_COLS);
            ck_assert(sha256_add(s, y, sizeof y, &e));
        }
        check_digest(s, gguf_decoded[i].values, type, "decoded by the gguf package");
    }
    file_map_close(&f);
}
END_TEST

START_TEST(test_not_finite_is_an_error_naming_the_column)
{
    static const struct {
        float v;
        const char *name;
    } bad[] = { { NAN, "NaN" }, { INFINITY, "Inf" }, { -INFINITY, "-Inf" } };
    static float x[GOLDEN_BATCH_COLS];
    static uint8_t row[GOLDEN_BATCH_COLS * 4];
    int n;
    const codec *c = codec_table(&n);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 3; k++)
            for (int at = 0; at < GOLDEN_BATCH_COLS; at += 1023) {
                err e = { 0 };
                char expected[64];
                input_row(x, GOLDEN_BATCH_COLS, 0, 3);
                x[at] = bad[k].v;
                const bool ok = c[i].encode_row(row, x, GOLDEN_BATCH_COLS, NULL, &e);
                if (dtype_find(c[i].type)->block_weights == 1) { ck_assert(ok); continue; }
                snprintf(expected, sizeof expected, "column %d: found %s", at, bad[k].name);
                ck_assert(!ok && e.kind == ERR_INPUT);
                ck_assert_msg(strncmp(e.msg, expected, strlen(expected)) == 0, "%s", e.msg);
            }
}
END_TEST

START_TEST(test_scale_over_f16_is_an_error_naming_the_block)
{
    static float x[GOLDEN_BATCH_COLS];
    static uint8_t row[GOLDEN_BATCH_COLS * 4];
    int n;
    const codec *c = codec_table(&n);
    for (int i = 0; i < n; i++) {
        const dtype_info *t = dtype_find(c[i].type);
        err e = { 0 };
        char expected[64];
        if (t->block_weights == 1) continue;
        input_row(x, GOLDEN_BATCH_COLS, 0, 3);
        for (int j = 0; j < 16; j++) x[1024 + j] = j % 2 ? 3e10f : -2e10f;      // over 65504 steps of any type
        ck_assert(!c[i].encode_row(row, x, GOLDEN_BATCH_COLS, NULL, &e));
        snprintf(expected, sizeof expected, "column %d: block scale", 1024);
        ck_assert_msg(e.kind == ERR_INPUT && strncmp(e.msg, expected, strlen(expected)) == 0, "%s: %s", t->name, e.msg);
    }
}
END_TEST

START_TEST(test_table_agrees_with_the_layouts)
{
    static const struct { int type, weights; size_t bytes; } layouts[] = {
        { DT_Q4_0, QUANT_BLOCK, sizeof(q4_0_block) }, { DT_Q4_1, QUANT_BLOCK, sizeof(q4_1_block) },
        { DT_Q5_0, QUANT_BLOCK, sizeof(q5_0_block) }, { DT_Q5_1, QUANT_BLOCK, sizeof(q5_1_block) },
        { DT_Q8_0, QUANT_BLOCK, sizeof(q8_0_block) }, { DT_Q2_K, QUANT_SUPER, sizeof(q2_k_block) },
        { DT_Q3_K, QUANT_SUPER, sizeof(q3_k_block) }, { DT_Q4_K, QUANT_SUPER, sizeof(q4_k_block) },
        { DT_Q5_K, QUANT_SUPER, sizeof(q5_k_block) }, { DT_Q6_K, QUANT_SUPER, sizeof(q6_k_block) },
    };
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        const dtype_info *t = dtype_find(layouts[i].type);
        ck_assert_int_eq(t->block_weights, layouts[i].weights);
        ck_assert_int_eq(t->block_bytes, (int)layouts[i].bytes);
        ck_assert_ptr_nonnull(codec_find(layouts[i].type));
    }
    ck_assert_ptr_null(codec_find(DT_IQ4_NL));
    ck_assert_ptr_null(codec_find(DT_INVALID));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("codec_golden");
    TCase *c = tcase_create("codec_golden");
    suite_add_tcase(s, c);
    tcase_add_test(c, test_every_row_of_every_kind);
    tcase_add_loop_test(c, test_many_rows, 0, N_TYPES);
    tcase_add_test(c, test_iq4_nl_of_caches);
    tcase_add_test(c, test_decodes_as_the_gguf_package);
    tcase_add_test(c, test_not_finite_is_an_error_naming_the_column);
    tcase_add_test(c, test_scale_over_f16_is_an_error_naming_the_block);
    tcase_add_test(c, test_table_agrees_with_the_layouts);
    return run_suite(s);
}
