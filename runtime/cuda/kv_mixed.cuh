// kv_mixed: caches that are more than rows of one type (GPU_KV_MIXED): positions that are whole beside a store, and
// KIVI's codes. Where a position lies is found when a kernel runs; how its values are read is kv_formats' business.
// Twin: runtime/cpu/kv_rows.inc; what a query sees is a function of two positions, see kv_layer.h.
#ifndef HALLMARK_RUNTIME_CUDA_KV_MIXED_CUH
#define HALLMARK_RUNTIME_CUDA_KV_MIXED_CUH

#include "../../quant/kivi.h"
#include "kernels.h"
#include "kv_formats.cuh"

#ifdef HALLMARK_FAULTS
// Values of `fault` in backend.h that change what is read; backend_cuda.c asserts that they agree.
enum { GPU_FAULT_GROUP_OF_ALL_HEADS = 23, GPU_FAULT_WHOLE_OFF_BY_ONE = 24, GPU_FAULT_SINK_FORGOTTEN = 25 };
#endif

// Whether what a mixed side stores has a case below, where what is no row's type is KIVI's. Launchers ask.
static inline bool can_read(const gpu_kv_side *s)
{
    switch ((int)s->stored) {
#define ROW(T) case T: return true;
    FOR_KV_TYPES(ROW)
#undef ROW
    default: return s->bits > 0;
    }
}

// ---- where a position lies ------------------------------------------------------------------------------------------

// How a head's bytes are read: a dtype, or one of these.
enum { KIVI_KEYS = -2, KIVI_VALUES = -3 };

// The slot of a position, of a unit: 32 bits, as positions have: no rotary table of more fits a device.
DEV int64_t slot_of(int64_t i, int slots) { return (uint32_t)i % (uint32_t)slots; }

struct kv_seen { int64_t from, sinks; };        // positions from `from` on and below `sinks` are whole

// Of a query at p. Twin: kv_whole_from.
DEV kv_seen kv_seen_at(const gpu_kv_side &s, int64_t p, int fault)
{
    int64_t next = p + 1;
    kv_seen w = { next - s.newest, s.sinks };
#ifdef HALLMARK_FAULTS
    if (fault == GPU_FAULT_SINK_FORGOTTEN) w.sinks = 0;
    if (fault == GPU_FAULT_WHOLE_OFF_BY_ONE && s.newest > 0) w.from = --next - s.newest;
#endif
    if (s.in_steps) w.from = next - slot_of(next, s.newest);
    return w;
}

struct kv_place { const uint8_t *head; int format, token; };     // one position's one head; token: of its group

DEV int whole_format(const gpu_kv_side &s) { return s.whole_bf16 ? (int)DT_BF16 : (int)DT_F32; }
DEV int stored_format(const gpu_kv_side &s)
{
    return s.bits == 0 ? (int)s.stored : s.by_tokens ? (int)KIVI_KEYS : (int)KIVI_VALUES;
}

DEV kv_place place_of(const gpu_kv_side &s, const kv_seen &w, int64_t pos, int kv_head, int n_kv_head)
{
    const int64_t in_whole = kv_head * (s.whole_row / n_kv_head), in_unit = kv_head * (s.row / n_kv_head);
    const uint8_t *newest = (const uint8_t *)s.newest_data + in_whole, *sinks = (const uint8_t *)s.sink_data + in_whole;
    if (pos >= w.from) return { newest + slot_of(pos, s.ring) * s.whole_row, whole_format(s), 0 };
    if (pos < w.sinks) return { sinks + pos * s.whole_row, whole_format(s), 0 };
    const uint32_t unit = s.by_tokens ? (uint32_t)pos / (uint32_t)s.group : (uint32_t)pos;
    const int token = s.by_tokens ? (int)(pos - (int64_t)unit * s.group) : 0;
    return { (const uint8_t *)s.data + slot_of(unit, s.units) * s.row + in_unit, stored_format(s), token };
}

// ---- values ---------------------------------------------------------------------------------------------------------

// Channel i of token t of a group's head of keys.
DEV float kivi_key(const uint8_t *head, int t, int i, int dim, int bits)
{
    const uint16_t *scales = reinterpret_cast<const uint16_t *>(head), *zeros = scales + dim;
    const uint8_t  *codes = head + 4 * dim + t * dim * bits / 8;
    return kivi_value(kivi_code_at(codes, i, bits), f32_of_f16(scales[i]), f32_of_f16(zeros[i]));
}

// Channel i of a position's head of values.
DEV float kivi_value_of(const uint8_t *head, int i, int dim, int group, int bits)
{
    const int n = dim / group, k = i / group;
    const uint16_t *scales = reinterpret_cast<const uint16_t *>(head), *zeros = scales + n;
    return kivi_value(kivi_code_at(head + 4 * n, i, bits), f32_of_f16(scales[k]), f32_of_f16(zeros[k]));
}

// Element i of a head.
DEV float value_at(const kv_place &at, const gpu_kv_side &s, int i, int dim)
{
    switch (at.format) {
#define ROW(T) case T: return kv_format<T>::value(at.head, i / LANES, i % LANES);
    FOR_KV_TYPES(ROW)
#undef ROW
    case KIVI_KEYS: return kivi_key(at.head, at.token, i, dim, s.bits);
    default:        return kivi_value_of(at.head, i, dim, s.group, s.bits);
    }
}

// Every sixteenth element of a head from l on, zeros behind `dim`.
template <int GROUPS> DEV void load_head(float k[GROUPS], const kv_place &at, const gpu_kv_side &s, int l, int dim)
{
    switch (at.format) {
#define ROW(T)                                                                                                         \
    case T:                                                                                                            \
        _Pragma("unroll") for (int g = 0; g < GROUPS; g++)                                                             \
            k[g] = g * LANES + l < dim ? kv_format<T>::value(at.head, g, l) : 0.0f;                                    \
        return;
    FOR_KV_TYPES(ROW)
#undef ROW
    case KIVI_KEYS:
#pragma unroll
        for (int g = 0; g < GROUPS; g++)
            k[g] = g * LANES + l < dim ? kivi_key(at.head, at.token, g * LANES + l, dim, s.bits) : 0.0f;
        return;
    default:
#pragma unroll
        for (int g = 0; g < GROUPS; g++)
            k[g] = g * LANES + l < dim ? kivi_value_of(at.head, g * LANES + l, dim, s.group, s.bits) : 0.0f;
        return;
    }
}

// ---- the weighted sum -----------------------------------------------------------------------------------------------
// A span of keys is, in ascending order, sinks, what the store has, and the newest: each is kept in one way.

enum { MIXED_AHEAD = 4 };           // values that are loaded before they are added: of 8 a kernel spills

struct kept_keys {
    const uint8_t *head;            // position p of it in slot p % slots
    int64_t        row;
    int            slots, format, first, end;       // first: of the chain's keys
};

// acc and the sum over a chain's keys; value: element d of a head.
template <class F> DEV float add_keys(float acc, const kept_keys &r, int64_t at, const float *p, F value)
{
    int slot = (int)slot_of(at + r.first, r.slots);
    for (int j = r.first; j < r.end; j += MIXED_AHEAD * LANES) {
        float v[MIXED_AHEAD];
#pragma unroll
        for (int i = 0; i < MIXED_AHEAD; i++) {
            v[i] = j + i * LANES < r.end ? value(r.head + slot * r.row) : 0.0f;
            slot = slot + LANES < r.slots ? slot + LANES : slot + LANES - r.slots;
        }
#pragma unroll
        for (int i = 0; i < MIXED_AHEAD; i++) {
            if (j + i * LANES < r.end) acc = fmaf(p[j + i * LANES], v[i], acc);
        }
    }
    return acc;
}

DEV float add_kept(float acc, const gpu_kv_side &s, const kept_keys &r, int64_t at, const float *p, int d, int dim)
{
    const int g = d / LANES, l = d % LANES;
    switch (r.format) {
#define ROW(T)                                                                                                         \
    case T: return add_keys(acc, r, at, p, [=](const uint8_t *head) { return kv_format<T>::value(head, g, l); });
    FOR_KV_TYPES(ROW)
#undef ROW
    default: break;
    }
    return add_keys(acc, r, at, p, [&](const uint8_t *head) { return kivi_value_of(head, d, dim, s.group, s.bits); });
}

// How many of n keys from position `at` on are below position `before`.
DEV int keys_below(int64_t before, int64_t at, int n)
{
    return before <= at ? 0 : before - at < n ? (int)(before - at) : n;
}

DEV kept_keys kept_of(const gpu_kv_side &s, int part, int kv_head, int n_kv_head)
{
    const int64_t in_whole = kv_head * (s.whole_row / n_kv_head), in_unit = kv_head * (s.row / n_kv_head);
    if (part == 0) return { (const uint8_t *)s.sink_data + in_whole, s.whole_row, s.sinks, whole_format(s), 0, 0 };
    if (part == 1) return { (const uint8_t *)s.data + in_unit, s.row, s.units, stored_format(s), 0, 0 };
    return { (const uint8_t *)s.newest_data + in_whole, s.whole_row, s.ring, whole_format(s), 0, 0 };
}

#ifdef HALLMARK_FAULTS
// Values whose groups lie along tokens: a mistake that tests plant.
DEV float sum_by_tokens(const gpu_kv &kv, const kv_seen &w, int kv_head, int64_t at, const float *p, int chain, int n,
                        int d)
{
    float acc = 0.0f;
    for (int j = chain; j < n; j += LANES)
        acc = fmaf(p[j], value_at(place_of(kv.v, w, at + j, kv_head, kv.n_kv_head), kv.v, d, kv.head_dim), acc);
    return acc;
}
#endif

// The sum of p[j] * v[j][d] over every sixteenth of n keys from `chain` on. at: the position of the span's first key.
DEV float mixed_sum(const gpu_kv &kv, const kv_seen &w, int kv_head, int64_t at, const float *p, int chain, int n,
                    int d)
{
    const int stored = keys_below(w.from, at, n), sunk = keys_below(w.sinks, at, stored);
    float acc = 0.0f;
#ifdef HALLMARK_FAULTS
    if (kv.v.by_tokens) return sum_by_tokens(kv, w, kv_head, at, p, chain, n, d);
#endif
#pragma unroll 1
    for (int part = 0; part < 3; part++) {
        kept_keys r = kept_of(kv.v, part, kv_head, kv.n_kv_head);
        const int begin = part == 0 ? 0 : part == 1 ? sunk : stored;
        r.end = part == 0 ? sunk : part == 1 ? stored : n;
        r.first = begin + ((chain - begin) & (LANES - 1));
        if (r.first < r.end) acc = add_kept(acc, kv.v, r, at, p, d, kv.head_dim);
    }
    return acc;
}

#endif
