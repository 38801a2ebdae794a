// kv_spec: a KV cache in words: which type each layer's keys and values are kept in. One parser and one printer for options, reports and records.
//
//     q8_0                        keys and values of every layer that has a cache
//     k=q8_0,v=q4_0               keys and values apart
//     sliding:q4_0;full:bf16      by kind of layer; layers 0-5,29:bf16;*:q4_0 by number; the first rule that fits a layer is its
//
// Proved by tests/kv_spec_test.c.
#ifndef HALLMARK_RUNTIME_KV_SPEC_H
#define HALLMARK_RUNTIME_KV_SPEC_H

#include "model.h"

typedef struct { dtype k, v; } kv_choice;       // of one layer's cache

typedef enum { KV_EVERY, KV_SLIDING, KV_FULL, KV_LAYERS } kv_which;

enum { KV_RULES = 16, KV_RANGES = 16, KV_TEXT = 512 };

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

// The types a cache may have, in the order of their names in messages; ends with a NULL name.
typedef struct { const char *name; dtype type; } kv_format;
const kv_format *kv_formats(void);

// ERR_USAGE says where the text is wrong and what could stand there.
bool kv_spec_parse(kv_spec *s, const char *text, err *e);
kv_spec kv_spec_of(dtype type);                 // one type for everything
// The canonical text: what parses to the same, and is equal where specs are. Names as in kv_formats.
void kv_spec_text(const kv_spec *s, char text[KV_TEXT]);

// What layer i of the model keeps. ERR_USAGE: no rule fits it; or a type's blocks do not divide its heads.
bool kv_spec_choose(const kv_spec *s, const hparams *h, int layer, kv_choice *c, err *e);
// Every layer that has a cache has a choice, and every rule names layers that the model has. ERR_USAGE says which does not.
bool kv_spec_check(const kv_spec *s, const hparams *h, err *e);

// What a cache costs: bytes for n_ctx positions, and what they would be without sharing between layers and without
// windows; and what recurrent layers keep, whatever the context.
typedef struct {
    int64_t kv_bytes;           // what is kept: windows, and nothing in layers that share another's
    int64_t kv_bytes_unshared;  // if every layer with attention kept its own
    int64_t kv_bytes_plain;     // if each of those kept all positions, too
    int64_t state_bytes, scratch_bytes, weight_bytes;
    int     n_kv_layers;        // layers that own a cache
    int     n_state_layers;     // layers that keep a state
} memory_plan;
bool memory_plan_of(memory_plan *p, const hparams *h, const kv_spec *kv, int64_t n_ctx, int n_batch, err *e);

#endif
