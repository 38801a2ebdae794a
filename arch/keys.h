// keys: the hyperparameter keys of the architectures that are known here, as a table: type, range, and what stands
// for a key that a file leaves out (llama.cpp's own defaults: src/models/*.cpp, llama-hparams.h). The only reader of
// these keys: a key without a row cannot be read, the runtime computes with what this gives, and the comparison of a
// file with its source's config judges by the same defaults. Proved by tests/keys_test.c and tests/model_test.c.
#ifndef HALLMARK_ARCH_KEYS_H
#define HALLMARK_ARCH_KEYS_H

#include "../formats/gguf.h"

// What the runtime's operations hold (runtime/op.h): experts that a token goes to, taps of a convolution.
enum { LIMIT_EXPERTS_USED = 64, LIMIT_TAPS = 16 };

#define DEFAULT_ROPE_SCALING_TYPE "linear"      // of "<arch>.rope.scaling.type"; the factor counts then

typedef enum {
    ABSENT_REFUSED,         // the key must be there
    ABSENT_VALUE,           // `value` is meant
    ABSENT_FORMULA,         // what the caller computes from other keys is meant
} key_absent;

typedef struct {
    const char *archs;      // "gemma3 gemma4"; NULL: every other
    const char *name;       // without "<arch>."
    double      lo, hi;     // what a value may be, both included
    bool        above;      // lo itself is not included
    key_absent  absent;
    double      value;
    bool        told;       // people are told when a file leaves it out: a value that other readers may take otherwise
} arch_key;

// The row of a key; NULL: there is none.
const arch_key *arch_key_find(const char *arch, const char *name);

// The default of a key that has one as a value; false otherwise.
bool key_default(const char *arch, const char *name, double *value);

// ---- reading -------------------------------------------------------------------------------------------------------

enum { MAX_ASSUMED = 16 };
typedef struct { const char *name; double value; } assumed_key;     // name: static, without "<arch>."
typedef struct { assumed_key k[MAX_ASSUMED]; int n; } assumed_keys;

typedef struct {
    const gguf   *g;
    const char   *arch;
    err          *e;
    char          key[128];     // the last one that was looked at, whole
    assumed_keys *assumed;      // keys with `told` that were absent; NULL: nobody asks
} arch_reader;

// Values of a key, checked against its row's range. ERR_INPUT names file and key, found and expected.
bool arch_int(arch_reader *r, const char *name, int64_t *out);                      // absent: as the row says
bool arch_int_or(arch_reader *r, const char *name, int64_t formula, int64_t *out);  // of a row with ABSENT_FORMULA
bool arch_float(arch_reader *r, const char *name, float *out);
bool arch_float_or(arch_reader *r, const char *name, float formula, float *out);
// One for each layer: an array of n_layer integers, or one for all. ABSENT_FORMULA: `formula` in every layer.
bool arch_layers(arch_reader *r, const char *name, int n_layer, int64_t formula, int64_t *out);

bool        arch_has(arch_reader *r, const char *name);
const char *arch_key_of(arch_reader *r, const char *name);                          // "<arch>.<name>", in r->key
bool        arch_bad(arch_reader *r, const char *name, const char *what);  // ERR_INPUT: file, key, what; false

// ---- what the choice of types looks at -----------------------------------------------------------------------------

// Of any architecture, known here or not.
typedef struct {
    int64_t n_layer, n_head, n_head_kv, n_expert;       // n_head_kv: of layer 0 where it differs by layer
    int64_t first_shared;       // the first layer that takes keys and values from an earlier one; n_layer: none does
    int64_t first_mtp;          // the first block that guesses the token after the next; n_layer: none does
} arch_facts;

// ERR_INPUT names the key.
bool arch_facts_read(arch_facts *f, const gguf *g, err *e);

#endif
