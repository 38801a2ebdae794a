// hparams: the hyperparameter keys that a config.json asks for. Planned once, used twice: written into a new file, and
// compared with the metadata of an existing one.
#ifndef HALLMARK_CONVERT_HPARAMS_H
#define HALLMARK_CONVERT_HPARAMS_H

#include "../formats/gguf.h"

typedef enum { HP_U32, HP_F32, HP_STR, HP_I32S, HP_BOOLS } hparam_type;

typedef enum {          // what llama.cpp takes when the key is absent
    DEF_NONE,           // nothing: the key must be there
    DEF_VALUE,          // `def`, in every layer where the key is an array
    DEF_PERIOD,         // a layer pattern: every def-th of the first n_period layers is a full-attention layer, and all
                        // behind them
} hparam_default;

typedef struct {
    char           key[80];
    hparam_type    type;
    bool           write;       // false: only compared (the key is left out because its default is right)
    double         value;       // of HP_U32 and HP_F32
    const char    *text;        // of HP_STR
    const int32_t *v;           // of arrays, [n]; borrowed from the hf_config
    int64_t        n;
    hparam_default def_kind;
    double         def;
    int64_t        n_period;    // of DEF_PERIOD
} hparam;

enum { HPARAMS_MAX = 40 };
typedef struct {
    const char *arch;           // prefix of every key
    hparam      hp[HPARAMS_MAX];
    int         n;
} hparam_list;

// Each appends one key, "<arch>.<name>", and returns its row to be refined. New rows are written and have no default.
hparam *hp_u32(hparam_list *l, const char *name, int64_t value);
hparam *hp_f32(hparam_list *l, const char *name, double value);
hparam *hp_str(hparam_list *l, const char *name, const char *text);
hparam *hp_i32s(hparam_list *l, const char *name, const int32_t *v, int64_t n);
hparam *hp_bools(hparam_list *l, const char *name, const int32_t *v, int64_t n);
static inline void hp_default(hparam *h, double def) { h->def_kind = DEF_VALUE; h->def = def; }
// The default that arch/keys.h has for the key (it must have one); a layer pattern's is its period. Returns h.
hparam *hp_arch_default(const hparam_list *l, hparam *h);

bool hparams_write(const hparam_list *l, gguf_plan *p, err *e);

// ERR_VERDICT "file: key: found X, expected Y" at the first key that differs. Numbers may be stored in any width, an
// array whose elements are all equal as a scalar and the other way round, and a key may be absent where llama.cpp's
// default is the value.
bool hparams_agree(const hparam_list *l, const gguf *g, err *e);

#endif
