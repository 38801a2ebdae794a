// program_kv: a program with rotated caches. A family builds its program without one; the rotations are put in
// afterwards.
#ifndef HALLMARK_RUNTIME_PROGRAM_KV_H
#define HALLMARK_RUNTIME_PROGRAM_KV_H

#include "kv_spec.h"
#include "program.h"

// Keys and values are rotated before they are stored, queries before they attend, in every layer that reads the cache,
// and attention's result is rotated back (a Walsh-Hadamard matrix is its own inverse). Only that result is rounded,
// once. OP_HEADS of such a layer becomes its expansion. ERR_USAGE as kv_spec_plan; ERR_SYSTEM without memory.
// Proved by tests/kv_cache_test.c.
bool program_rotate(program *p, const hparams *h, const kv_spec *kv, err *e);

#endif
