// key_defaults: what llama.cpp takes where a hyperparameter's key is absent, by architecture (src/models/gemma3.cpp, gemma4.cpp, llama-hparams.h).
// The runtime computes with these, and the comparison of a file with its source's config judges by these: one table, so that a file cannot
// be found right by one rule and run by another. Keys without a row have no default: they must be there. Proved by tests/model_test.c.
#ifndef HALLMARK_FORMATS_KEY_DEFAULTS_H
#define HALLMARK_FORMATS_KEY_DEFAULTS_H

#include <stdbool.h>

#define DEFAULT_ROPE_SCALING_TYPE "linear"      // of "<arch>.rope.scaling.type"; the factor counts then

// name: the key without "<arch>.". false: the key has no default.
bool key_default(const char *arch, const char *name, double *value);

#endif
