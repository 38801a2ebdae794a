// codec: block encoders and decoders, one row of the table for each type this program writes or runs.
// Bytes equal ggml's reference (ggml-quants.c, quantize_row_*_ref and quantize_*, compiled without FMA); proved by
// tests/codec_golden_test.c. The encoders in lanes, many blocks at once, give the plain encoders' bytes at every SIMD
// level; proved by tests/codec_simd_test.c.
#ifndef HALLMARK_QUANT_CODEC_H
#define HALLMARK_QUANT_CODEC_H

#include "../formats/dtype.h"
#include "../formats/err.h"

typedef struct {
    dtype type;
    // Encodes one row, in plain C. src: [n_cols] F32. dst: dtype_row_bytes(type, n_cols) bytes, no overlap with src.
    // importance: [n_cols] weights >= 0, or NULL. Keeps no state: rows may go to different threads.
    // ERR_INPUT naming the column on NaN, Inf, or a scale that overflows F16; dst is then undefined.
    bool (*encode_row)(void *dst, const float *src, int64_t n_cols, const float *importance, err *e);
    // Decodes one row to F32: the values that ggml's dequantize_row_* and the gguf package give, bit for bit.
    void (*decode_row)(float *dst, const void *src, int64_t n_cols);
    // As encode_row for n_rows rows that lie one after another, all with the same importance, many blocks at once.
    // False where encode_row would fail, which then says why. NULL where there is nothing to gain. Use
    // codec_encode_rows.
    bool (*encode_rows)(void *dst, const float *src, int64_t n_rows, int64_t n_cols, const float *importance);
} codec;

// Instruction sets that encode_rows is compiled for. SIMD_PLAIN: none, encode_row is all.
typedef enum { SIMD_PLAIN, SIMD_PORTABLE, SIMD_AVX2, SIMD_AVX512 } simd_level;

// The best level of this processor, or the one that HALLMARK_SIMD (portable, avx2, avx512) asks for, if the processor
// has it.
simd_level simd_best(void);

const codec *codec_find(dtype t);                       // at simd_best(); NULL for a type without a codec
const codec *codec_at(dtype t, simd_level level);       // likewise; the processor must have the level
const codec *codec_table(int *n);                       // all types, SIMD_PLAIN
const codec *codec_of_cache(dtype t);    // codec_find, or IQ4_NL's, which no weights have; NULL for another type

// Encodes n_rows rows as fast as the codec can. On failure *bad_row is the first row that failed, and e says what
// encode_row says.
bool codec_encode_rows(const codec *c, void *dst, const float *src, int64_t n_rows, int64_t n_cols,
                       const float *importance, int64_t *bad_row, err *e);

#endif
