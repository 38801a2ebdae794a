// effort: see effort.h.
#include "effort.h"
#include "../formats/checked.h"
#include "codec_impl.h"
#include "effort_impl.h"
#include "pack.h"

#include <stdlib.h>

static const effort_kind kinds[] = {
    //           n subs  codes      affine any    s         m   narrowest
    { DT_Q4_0,  32,  1,  -8,   7,  false, false,   0,   0,  0, 0.76f },
    { DT_Q4_1,  32,  1,   0,  15,  true,  true,    0,   0,  0, 0.80f },
    { DT_Q5_0,  32,  1, -16,  15,  false, false,   0,   0,  0, 0.86f },
    { DT_Q5_1,  32,  1,   0,  31,  true,  true,    0,   0,  0, 0.88f },
    { DT_Q8_0,  32,  1, -127, 127, false, false,   0,   0,  0, 0.97f },
    { DT_Q2_K,  16, 16,   0,   3,  true,  false,   0,  15, 15, 0.50f },
    { DT_Q3_K,  16, 16,  -4,   3,  false, false, -32,  31,  0, 0.60f },
    { DT_Q4_K,  32,  8,   0,  15,  true,  false,   0,  63, 63, 0.80f },
    { DT_Q5_K,  32,  8,   0,  31,  true,  false,   0,  63, 63, 0.88f },
    { DT_Q6_K,  16, 16, -32,  31,  false, false, -128, 127, 0, 0.92f },
};

static const effort_kind *kind_of(dtype t)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].type == t) return &kinds[i];
    return NULL;
}

// ---- packing --------------------------------------------------------------------------------------------------------

void effort_pack(const effort_kind *k, uint8_t *dst, const effort_block *b)
{
    const uint16_t d = f16_from_f32(b->d), dmin = f16_from_f32(b->dmin), min = f16_from_f32(-b->dmin);
    uint8_t code[QUANT_SUPER], s[16], m[16];
    for (int i = 0; i < k->n * k->subs; i++) code[i] = (uint8_t)(b->q[i] - k->q_lo);
    for (int j = 0; j < k->subs; j++) {
        s[j] = (uint8_t)(k->type == DT_Q3_K ? b->s[j] + 32 : b->s[j]);
        m[j] = (uint8_t)b->m[j];
    }
    // Every struct is packed as a whole into its place, which need not be aligned.
    switch (k->type) {
    case DT_Q4_0: { q4_0_block o = { .scale = d }; pack_nibbles(o.q, code); memcpy(dst, &o, sizeof o); break; }
    case DT_Q4_1: {
        q4_1_block o = { .scale = d, .min = min };
        pack_nibbles(o.q, code);
        memcpy(dst, &o, sizeof o);
        break;
    }
    case DT_Q5_0: {
        q5_0_block o = { .scale = d };
        pack_nibbles(o.q, code);
        pack_fifth_bits(o.high, code);
        memcpy(dst, &o, sizeof o);
        break;
    }
    case DT_Q5_1: {
        q5_1_block o = { .scale = d, .min = min };
        pack_nibbles(o.q, code);
        pack_fifth_bits(o.high, code);
        memcpy(dst, &o, sizeof o);
        break;
    }
    case DT_Q8_0: { q8_0_block o = { .scale = d }; memcpy(o.q, b->q, sizeof o.q); memcpy(dst, &o, sizeof o); break; }
    case DT_Q2_K: {
        q2_k_block o = { .scale = d, .min = dmin };
        for (int j = 0; j < 16; j++) o.scales[j] = (uint8_t)(s[j] | m[j] << 4);
        pack_two_bits(o.q, code);
        memcpy(dst, &o, sizeof o);
        break;
    }
    case DT_Q3_K: {
        q3_k_block o = { .scale = d };
        q3_k_pack_scales(o.scales, s);
        pack_two_bits(o.q, code);
        pack_high_bits(o.high, code, 2);
        memcpy(dst, &o, sizeof o);
        break;
    }
    case DT_Q4_K: {
        q4_k_block o = { .scale = d, .min = dmin };
        k4_pack_scales(o.scales, s, m);
        k4_pack_nibbles(o.q, code);
        memcpy(dst, &o, sizeof o);
        break;
    }
    case DT_Q5_K: {
        q5_k_block o = { .scale = d, .min = dmin };
        k4_pack_scales(o.scales, s, m);
        k4_pack_nibbles(o.q, code);
        pack_high_bits(o.high, code, 4);
        memcpy(dst, &o, sizeof o);
        break;
    }
    default: {
        q6_k_block o = { .scale = d };
        memcpy(o.scales, b->s, sizeof o.scales);
        q6_k_pack(&o, code);
        memcpy(dst, &o, sizeof o);
        break;
    }
    }
}

// ---- rows -----------------------------------------------------------------------------------------------------------

static double error_of(const float *decoded, const float *src, int64_t n, const float *importance)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double r = (double)src[i] - (double)decoded[i];
        sum += (importance ? (double)importance[i] : 1) * r * r;
    }
    return sum;
}

double effort_row_error(dtype t, const void *row, const float *src, int64_t n_cols, const float *importance)
{
    const codec *c = codec_find(t);
    float *decoded = malloc((size_t)n_cols * sizeof *decoded);
    if (!c || !decoded) { free(decoded); return __builtin_nan(""); }
    c->decode_row(decoded, row, n_cols);
    const double sum = error_of(decoded, src, n_cols, importance);
    free(decoded);
    return sum;
}

// Where the reference's block is no worse, it stays.
static void keep_reference(const effort_kind *k, const codec *c, uint8_t *dst, const uint8_t *reference,
                           const float *src, int64_t n_weights, int64_t n_cols, const float *importance)
{
    const int n = k->n * k->subs, bytes = dtype_find(k->type)->block_bytes;
    float ours[QUANT_SUPER], theirs[QUANT_SUPER];
    for (int64_t at = 0; at < n_weights; at += n, dst += bytes, reference += bytes) {
        const float *w = importance ? importance + at % n_cols : NULL;
        uint16_t aligned[2][(sizeof(q6_k_block) + 1) / 2 + 1];
        memcpy(aligned[0], dst, (size_t)bytes);
        memcpy(aligned[1], reference, (size_t)bytes);
        c->decode_row(ours, aligned[0], n);
        c->decode_row(theirs, aligned[1], n);
        if (!(error_of(ours, src + at, n, w) < error_of(theirs, src + at, n, w))) memcpy(dst, reference, (size_t)bytes);
    }
}

static bool search_rows(const effort_kind *k, uint8_t *dst, const float *src, int64_t n_rows, int64_t n_cols,
                        const float *importance, const feedback *f)
{
#if defined(__x86_64__)
    const simd_level level = simd_best();
    if (level == SIMD_AVX512) return effort_rows_avx512(k, dst, src, n_rows, n_cols, importance, f);
    if (level == SIMD_AVX2)   return effort_rows_avx2(k, dst, src, n_rows, n_cols, importance, f);
#endif
    return effort_rows_portable(k, dst, src, n_rows, n_cols, importance, f);
}

bool effort_encode_rows(dtype t, int effort, void *dst, const float *src, int64_t n_rows, int64_t n_cols,
                        const float *importance, const feedback *f, int64_t *bad_row, err *e)
{
    const codec *c = codec_find(t);
    const effort_kind *k = kind_of(t);
    int64_t row_bytes, bytes;
    if (!c) return err_set(e, ERR_INPUT, "there is no encoder for %s", dtype_name(t));
    // The reference goes first: it finds what is not finite, and what no scale can hold.
    if (!codec_encode_rows(c, dst, src, n_rows, n_cols, importance, bad_row, e)) return false;
    if (!k || (effort == 0 && !f)) return true;
    *bad_row = 0;
    if (!dtype_row_bytes(t, n_cols, &row_bytes) || !mul_i64(row_bytes, n_rows, &bytes))
        return err_set(e, ERR_INPUT, "rows of %lld are too long", (long long)n_cols);
    uint8_t *reference = f ? NULL : malloc((size_t)bytes + 1);
    if (!f && !reference) return err_nomem(e, "the reference's blocks", (size_t)bytes);
    if (!f) memcpy(reference, dst, (size_t)bytes);
    bool ok = search_rows(k, dst, src, n_rows, n_cols, importance, f)
        || err_nomem(e, "rows in lanes", (size_t)n_cols * 128);
    if (ok && !f) keep_reference(k, c, dst, reference, src, n_rows * n_cols, n_cols, importance);
    free(reference);
    return ok;
}
