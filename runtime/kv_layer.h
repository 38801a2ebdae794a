// kv_layer: what one layer's KV cache is made of: the types that keys and values may be kept in, and what is kept of
// each position, in bytes.
//
// A side (keys, or values) is a store of units, and, where some positions are seen whole, those positions beside it. A
// unit is one position of all heads; of KIVI's keys it is one group of positions. What a query at position p sees of
// position j depends on p and j alone: j is seen whole if j < sink or j >= kv_whole_from(side, p), else as the store
// has it. Batches, windows and what is kept decide nothing.
//
// KIVI (Liu et al. 2024, arXiv 2402.02750): asymmetric codes of 2 or 4 bits (quant/kivi.h), keys in groups of g tokens
// for each channel, values in groups of g channels for each token, the newest r tokens whole: keys from r * floor((p +
// 1) / r) on, values from p - r + 1 on. A group of keys is positions i g .. i g + g - 1 of the sequence, and is encoded
// once the last of them is stored; it holds the sinks' keys too.
//
// Proved by tests/kv_layer_test.c and tests/kivi_test.c.
#ifndef HALLMARK_RUNTIME_KV_LAYER_H
#define HALLMARK_RUNTIME_KV_LAYER_H

#include "../formats/dtype.h"
#include "../formats/err.h"

typedef enum {
    KV_F32, KV_BF16, KV_F16, KV_Q8_0, KV_Q5_1, KV_Q5_0, KV_Q4_1, KV_Q4_0, KV_IQ4_NL, KV_KIVI2, KV_KIVI4,
    N_KV_TYPES
} kv_type;

typedef struct {
    const char *name;           // in the words of kv_spec.h
    dtype       type;           // of a row of a head; KIVI's have none: DT_INVALID
    int         bits;           // of a KIVI code; 0: not KIVI's
} kv_trait;
const kv_trait *kv_trait_of(kv_type t);             // t: below N_KV_TYPES
bool kv_type_of(dtype type, kv_type *t);            // the cache type whose rows are of that dtype; false: there is none

// By which Walsh-Hadamard matrix a side is rotated (op.h): as llama.cpp chooses it, by the largest power of two from 64
// up that divides a key's head, and 64 for values; or always 64.
typedef enum { KV_ROT_NONE, KV_ROT, KV_ROT_64 } kv_rotation;

enum { KV_MAX_WHOLE = 65536, KV_MIN_GROUP = 8, KV_MAX_GROUP = 256, KV_ROT_LEAST = 64 };

typedef struct {
    kv_type     type;
    int         group, residual;        // KIVI's g and r, r a multiple of g; else 0
    kv_rotation rot;
} kv_side;

typedef struct {                        // of one layer's cache
    kv_side k, v;
    int     sink, recent;               // the first and the newest positions, whole on both sides; no recent with KIVI
} kv_choice;

bool kv_side_same(const kv_side *a, const kv_side *b);
bool kv_choice_same(const kv_choice *a, const kv_choice *b);

typedef struct {                        // keys, or values
    kv_side how;
    int     rot_block;                  // floats that are rotated together; 0: none
    bool    by_tokens;                  // a unit is a group of how.group positions; else one position
    int64_t unit;                       // bytes of a unit: head after head, each as long
    int64_t units;                      // that are kept; unit i lies in slot i % units
    void   *data;                       // backend memory, [units][unit]
    int     newest;                     // how many of the newest positions are whole, at most; 0: none
    bool    in_steps;                   // from a multiple of `newest` on (KIVI's keys), else exactly so many
    dtype   whole;                      // of whole positions: F32; BF16 where results are in it and nothing is rotated
    int64_t whole_row;                  // bytes of one position, all heads
    int64_t ring, sinks;                // whole positions kept: the newest, p in slot p % ring; and the first
    void   *newest_data, *sink_data;    // backend memory, [ring][whole_row], [sinks][whole_row]; NULL: there are none
} kv_part;

typedef struct {                        // keys and values of one layer (or of the layers that share it)
    kv_part k, v;
    int     sink, recent;               // of the choice
    int     n_kv_head, head_dim;
    int64_t capacity;                   // positions that a batch sees: the context, or a window and a batch less one
} kv_layer;

typedef struct {                        // what room a cache is made for
    int64_t n_ctx, capacity;
    int     n_batch;
    bool    bf16;                       // results are rounded to BF16
} kv_room;

// Everything but the memory. ERR_USAGE: a head that the types cannot hold, or sizes beyond 64 bits; `layer` is named.
bool kv_layer_plan(kv_layer *kv, const kv_choice *c, int n_kv_head, int head_dim, const kv_room *room, int layer,
                   err *e);
int64_t kv_part_bytes(const kv_part *p);            // of its memory; kv_layer_plan has checked that it fits
int64_t kv_layer_bytes(const kv_layer *kv);
kv_choice kv_layer_choice(const kv_layer *kv);

// The least position that a query at p sees whole, sinks aside; p + 1: none.
static inline int64_t kv_whole_from(const kv_part *part, int64_t p)
{
    return part->in_steps ? (p + 1) / part->newest * part->newest : p - part->newest + 1;
}

// Bytes of one side that a query at p reads, which sees positions lo .. p.
int64_t kv_part_read(const kv_part *part, int64_t lo, int64_t p);

#endif
