// tensor_names: the names of a checkpoint's tensors: what is before them, which of them are left out on purpose, and
// the layer and expert that they speak of.
#ifndef HALLMARK_CONVERT_TENSOR_NAMES_H
#define HALLMARK_CONVERT_TENSOR_NAMES_H

#include "../formats/progress.h"
#include "hf_config.h"

// The name inside the model, without the prefixes that savers put before it.
const char *name_inner(const char *name);

typedef struct {
    int64_t     block;      // of the file: a layer's number, or behind the layers a block that guesses; -1: of none
    bool        mtp;        // "mtp.*" without "layers.N.": a tensor of the first such block
    const char *rest;       // what follows; NULL: a layer without a number
} name_place;

name_place name_split(const hf_config *c, const char *inner);

// Is `rest` what a rule's pattern says? *expert: the number where the pattern has '*', else 0.
bool name_matches(const char *pattern, const char *rest, int64_t *expert);

// The name that tensor `hf` of a block has after its prefixes; expert -1: the pattern as it stands.
void name_of_source(char *out, size_t size, const hf_config *c, const char *hf, bool mtp, int64_t block,
                    int64_t expert);

// ---- what is left out on purpose -----------------------------------------------------------------------------------

enum { MAX_LEFT_OUT = 16 };
typedef struct { int64_t n, n_bytes; } left_out_tally;

// Row of the table, or -1. Whatever config.json calls the model: a merged finetune of the text half may lie beside the
// towers it came with.
int left_out_find(const hf_config *c, const char *name, const char *inner);
void left_out_log(const left_out_tally tally[MAX_LEFT_OUT], progress *log);

#endif
