// Makes codec.bin and codec_digests.h from ggml's own code. Not part of the build. The committed files were made with
// ggml 0.25.3, that of the llama.cpp in PyPI's llama-cpp-python 0.3.36 source package, its library ggml-base compiled
// for x86-64 without -march=native (its default: so without FMA):
//     gcc -O2 -ffp-contract=off -I ggml/include make_codec_golden.c -L build/bin -lggml-base -lcrypto -o make && ./make
//     .
// codec.bin: for each type of the list, for each kind, the row without importance and then with it, in ggml's bytes.
// codec_digests.h: the SHA-256 over many more rows, and over their values as ggml decodes them.
#include "codec_inputs.h"

#include <ggml.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const enum ggml_type types[] = {
    GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
    GGML_TYPE_Q2_K, GGML_TYPE_Q3_K, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K,
};

static void write_rows(FILE *f, enum ggml_type t)
{
    static float x[GOLDEN_COLS], w[GOLDEN_COLS];
    static unsigned char row[GOLDEN_COLS * 4];
    const size_t n = ggml_row_size(t, GOLDEN_COLS);
    for (int kind = 0; kind < GOLDEN_KINDS; kind++) {
        input_row(x, GOLDEN_COLS, kind, 1);
        input_importance(w, GOLDEN_COLS, kind, 1);
        for (int weighted = 0; weighted < 2; weighted++) {
            ggml_quantize_chunk(t, x, row, 0, 1, GOLDEN_COLS, weighted ? w : NULL);
            if (!ggml_validate_row_data(t, row, n)) abort();
            fwrite(row, 1, n, f);
        }
    }
}

static void print_digest(FILE *f, SHA256_CTX *c)
{
    unsigned char md[32];
    SHA256_Final(md, c);
    fputs(" \"", f);
    for (int i = 0; i < 32; i++) fprintf(f, "%02x", md[i]);
    fputs("\",", f);
}

static void write_digests(FILE *f, enum ggml_type t)
{
    static float x[GOLDEN_BATCH_COLS], w[GOLDEN_BATCH_COLS], y[GOLDEN_BATCH_COLS];
    static unsigned char row[GOLDEN_BATCH_COLS * 4];
    const size_t n = ggml_row_size(t, GOLDEN_BATCH_COLS);
    SHA256_CTX plain, weighted, decoded;
    SHA256_Init(&plain); SHA256_Init(&weighted); SHA256_Init(&decoded);
    for (int r = 0; r < GOLDEN_BATCH_ROWS; r++) {
        input_row(x, GOLDEN_BATCH_COLS, r % GOLDEN_KINDS, (uint64_t)r + 2);
        input_importance(w, GOLDEN_BATCH_COLS, r % GOLDEN_KINDS, (uint64_t)r + 2);
        ggml_quantize_chunk(t, x, row, 0, 1, GOLDEN_BATCH_COLS, w);
        if (!ggml_validate_row_data(t, row, n)) abort();
        SHA256_Update(&weighted, row, n);
        ggml_quantize_chunk(t, x, row, 0, 1, GOLDEN_BATCH_COLS, NULL);
        if (!ggml_validate_row_data(t, row, n)) abort();
        SHA256_Update(&plain, row, n);
        ggml_get_type_traits(t)->to_float(row, y, GOLDEN_BATCH_COLS);
        SHA256_Update(&decoded, y, sizeof y);
    }
    fprintf(f, "    { %d,", t);
    print_digest(f, &plain); print_digest(f, &weighted); print_digest(f, &decoded);
    fputs(" },\n", f);
}

// IQ4_NL as caches are stored in it: the two digests of codec_golden_test.c, to standard output. ggml-base exports
// these two.
void quantize_row_iq4_nl_ref(const float *x, void *y, int64_t k);
void dequantize_row_iq4_nl(const void *x, float *y, int64_t k);

static void print_iq4_nl(void)
{
    enum { BLOCK = 18 };
    static float x[GOLDEN_BATCH_COLS], y[GOLDEN_BATCH_COLS];
    static unsigned char row[GOLDEN_BATCH_COLS];
    const size_t n = GOLDEN_BATCH_COLS / 32 * BLOCK;
    SHA256_CTX plain, decoded;
    SHA256_Init(&plain); SHA256_Init(&decoded);
    for (int r = 0; r < GOLDEN_BATCH_ROWS; r++) {
        input_row(x, GOLDEN_BATCH_COLS, r % GOLDEN_KINDS, (uint64_t)r + 2);
        quantize_row_iq4_nl_ref(x, row, GOLDEN_BATCH_COLS);
        for (size_t b = 0; b < n; b += BLOCK)       // codes under a scale of 0 are never set
            if (row[b] == 0 && (row[b + 1] & 0x7f) == 0) memset(row + b + 2, 0, BLOCK - 2);
        SHA256_Update(&plain, row, n);
        dequantize_row_iq4_nl(row, y, GOLDEN_BATCH_COLS);
        SHA256_Update(&decoded, y, sizeof y);
    }
    print_digest(stdout, &plain); print_digest(stdout, &decoded);
    putchar('\n');
}

int main(int argc, char **argv)
{
    char path[4096];
    const int n = sizeof types / sizeof types[0];
    if (argc != 2) return 2;
    snprintf(path, sizeof path, "%s/codec.bin", argv[1]);
    FILE *bin = fopen(path, "wb");
    snprintf(path, sizeof path, "%s/codec_digests.h", argv[1]);
    FILE *h = fopen(path, "w");
    if (!bin || !h) return 4;
    fputs("// Made by make_codec_golden.c from ggml's own code: type id; SHA-256 of the rows encoded without "
          "importance, with it, and of the\n"
          "// values ggml decodes from the rows without. The order is also that of codec.bin.\n"
          "static const struct { int type; const char *plain, *weighted, *decoded; } codec_digests[] = {\n",
          h);
    for (int i = 0; i < n; i++) { write_rows(bin, types[i]); write_digests(h, types[i]); }
    fputs("};\n", h);
    print_iq4_nl();
    return fclose(bin) == 0 && fclose(h) == 0 ? 0 : 4;
}
