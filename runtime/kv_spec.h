// kv_spec: a KV cache in words: which type each layer's keys and values are kept in, and which positions are whole. One
// parser and one printer for options, reports and records.
//
//     q8_0                        keys and values of every layer that has a cache
//     k=q8_0,v=q4_0               keys and values apart
//     q4_0:rot                    rotated, as llama.cpp does by default (kv_layer.h); :rot64 always by 64; :norot not
//     kivi2                       KIVI's 2 bits (kivi4: 4), groups of 32, the newest 128 whole: kivi2:g32:r128
//     q4_0+sink4+recent64         the first 4 and the newest 64 positions whole, of keys and values
//     sliding:q4_0;full:bf16      by kind of layer; layers 0-5,29:bf16;*:q4_0 by number; the first rule that fits a
//     layer is its
//
// Proved by tests/kv_spec_test.c.
#ifndef HALLMARK_RUNTIME_KV_SPEC_H
#define HALLMARK_RUNTIME_KV_SPEC_H

#include "backend.h"
#include "model.h"

typedef enum { KV_EVERY, KV_SLIDING, KV_FULL, KV_LAYERS } kv_which;

enum { KV_RULES = 128, KV_RANGES = 16, KV_TEXT = 4096 };

typedef struct {
    kv_which  which;
    int       lo[KV_RANGES], hi[KV_RANGES];     // KV_LAYERS: numbers, both included
    int       n_ranges;
    kv_choice choice;
} kv_rule;

typedef struct {
    kv_rule rules[KV_RULES];
    int     n;
} kv_spec;

// ERR_USAGE says where the text is wrong and what could stand there.
bool kv_spec_parse(kv_spec *s, const char *text, err *e);
kv_spec kv_spec_of(kv_type type);               // one type for everything, with the type's own groups
kv_spec kv_spec_of_choice(const kv_choice *c);  // one choice for everything
// The canonical text: what parses to the same, and is equal where specs are. false: it is longer, and cut; never of
// what was parsed.
bool kv_spec_text(const kv_spec *s, char text[KV_TEXT]);

// What layer i of the model keeps. ERR_USAGE: no rule fits it; or a type's blocks do not divide its heads.
bool kv_spec_choose(const kv_spec *s, const hparams *h, int layer, kv_choice *c, err *e);
// Every layer that has a cache has a choice, and every rule names layers that the model has. ERR_USAGE says which does
// not.
bool kv_spec_check(const kv_spec *s, const hparams *h, err *e);

// The arithmetic that the cache which the artifact requires belongs to.
arith kv_arith_of(const hparams *h);
// What layer i keeps in a session of n_ctx positions and batches of n_batch: everything but memory. ERR_USAGE as
// kv_spec_choose.
bool kv_spec_plan(const kv_spec *s, const hparams *h, int layer, arith a, int64_t n_ctx, int n_batch, kv_layer *kv,
                  err *e);

// What a cache costs: bytes for n_ctx positions, and what they would be without sharing between layers and without
// windows; and what recurrent layers keep, whatever the context. Exactly what a session allocates.
typedef struct {
    int64_t kv_bytes;           // what is kept: windows, and nothing in layers that share another's
    int64_t kv_bytes_unshared;  // if every layer with attention kept its own
    int64_t kv_bytes_plain;     // if each of those kept all positions, too
    int64_t state_bytes, scratch_bytes, weight_bytes;
    double  position_bytes;     // of one more position in every layer that owns a cache, in its store, windows aside
    int     n_kv_layers;        // layers that own a cache
    int     n_state_layers;     // layers that keep a state
} memory_plan;
bool memory_plan_of(memory_plan *p, const hparams *h, const kv_spec *kv, arith a, int64_t n_ctx, int n_batch, err *e);

#endif
