// dtype: the one table of element types that ggml has an id for, so that any GGUF file can be inspected.
// Names and ids as in ggml.h (enum ggml_type); sizes are proved by tests/err_dtype_test.c.
#ifndef HALLMARK_FORMATS_DTYPE_H
#define HALLMARK_FORMATS_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {      // values are ggml's ids, as stored in GGUF
    DT_F32 = 0, DT_F16 = 1, DT_Q4_0 = 2, DT_Q4_1 = 3, DT_Q5_0 = 6, DT_Q5_1 = 7, DT_Q8_0 = 8, DT_Q8_1 = 9,
    DT_Q2_K = 10, DT_Q3_K = 11, DT_Q4_K = 12, DT_Q5_K = 13, DT_Q6_K = 14, DT_Q8_K = 15,
    DT_IQ2_XXS = 16, DT_IQ2_XS = 17, DT_IQ3_XXS = 18, DT_IQ1_S = 19, DT_IQ4_NL = 20, DT_IQ3_S = 21, DT_IQ2_S = 22,
    DT_IQ4_XS = 23, DT_I8 = 24, DT_I16 = 25, DT_I32 = 26, DT_I64 = 27, DT_F64 = 28, DT_IQ1_M = 29, DT_BF16 = 30,
    DT_TQ1_0 = 34, DT_TQ2_0 = 35, DT_MXFP4 = 39, DT_NVFP4 = 40, DT_Q1_0 = 41, DT_Q2_0 = 42,
    DT_INVALID = -1,
    // Only in safetensors, so without an id of ggml's: no GGUF file holds them, and dtype_find does not find them.
    DT_F8_E4M3 = 1 << 16, DT_F8_E5M2,
} dtype;

typedef struct {
    dtype       id;
    const char *name;           // as ggml prints it in capitals: "F32", "Q4_K", ...
    int32_t     block_weights;  // weights per block (1 for plain types)
    int32_t     block_bytes;    // bytes per block
} dtype_info;

// The row of the table, or NULL for an id ggml does not have.
const dtype_info *dtype_find(int64_t id);

// The row of any value of dtype, those of safetensors included; NULL for DT_INVALID.
const dtype_info *dtype_of(dtype t);

// By name, ignoring case; NULL if there is none.
const dtype_info *dtype_find_name(const char *name);

// Rows of the table, for tests and listings: the types that ggml has an id for.
const dtype_info *dtype_table(int *n);

const char *dtype_name(dtype t);    // "?" for an id without a row

// Bytes of one row of n_cols weights; false if block_weights does not divide n_cols, n_cols < 0, or overflow.
bool dtype_row_bytes(dtype t, int64_t n_cols, int64_t *bytes);

// Bytes of a tensor of n_dims dimensions (0: one weight), rows along the last; false as dtype_row_bytes, or where a
// dimension is negative.
bool dtype_bytes(dtype t, int n_dims, const int64_t *shape, int64_t *bytes);

// Scalar conversions, round to nearest even, as ggml's portable code does them: widening F16 keeps a NaN's payload and
// quiets it, narrowing to F16 gives sign | 0x7e00, narrowing to BF16 keeps the payload's high bits and quiets; BF16 to
// F32 is a shift.
float    f32_from_bf16(uint16_t bits);
uint16_t bf16_from_f32(float x);
float    f32_from_f16(uint16_t bits);
uint16_t f16_from_f32(float x);

// Whole runs of the same, vectorized by the compiler; src and dst do not overlap.
void f32_from_bf16_run(float *dst, const uint16_t *src, int64_t n);
void f32_from_f16_run(float *dst, const uint16_t *src, int64_t n);
void bf16_from_f32_run(uint16_t *dst, const float *src, int64_t n);
void f16_from_f32_run(uint16_t *dst, const float *src, int64_t n);

// A float type of one element a weight: F64, F32, F16, BF16, F8_E4M3, F8_E5M2.
bool dtype_is_float(dtype t);
// n elements of such a type, of any alignment, as F32. F64 is rounded to nearest even, and to infinity beyond F32's
// range; all others are exact.
// Narrower types are then rounded from F32, as llama.cpp and torch do it.
void f32_from_float_run(dtype t, float *dst, const void *src, int64_t n);

#endif
