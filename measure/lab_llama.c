// lab_llama: what llama.cpp's programs call a cache.
//
// They take a type for keys and one for values (-ctk, -ctv), the same for all layers. They rotate keys, and values,
// that are quantized where 64 divides the head size, which is one for all layers; LLAMA_ATTN_ROT_DISABLE=1 turns both
// off (llama-kv-cache.cpp, attn_rot_k and attn_rot_v).
#include "lab_internal.h"
#include "../runtime/kv_spec.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// They have no cache of a model whose layers keep none, and none that depends on the layer.
static bool one_choice(const kv_spec *s, const hparams *h, kv_choice *c, int *head_dim)
{
    kv_choice next;
    err ignored = { 0 };
    *head_dim = 0;
    for (int i = 0; i < h->n_layer; i++) {
        if (!h->layers[i].has_kv) continue;
        if (!kv_spec_choose(s, h, i, *head_dim ? &next : c, &ignored)) return false;
        if (*head_dim && (!kv_choice_same(c, &next) || h->layers[i].head_dim % 64 != *head_dim % 64)) return false;
        *head_dim = h->layers[i].head_dim;
    }
    return *head_dim > 0 && c->sink == 0 && c->recent == 0;
}

static bool is_quantized(kv_type t) { return t > KV_F16; }

// What they would do with a side, against what is asked: 1 the same when rotation is on, 2 when it is off.
static int rotation_fits(const kv_side *s, int head_dim)
{
    const bool rotates = is_quantized(s->type) && head_dim % 64 == 0, rotated = s->rot != KV_ROT_NONE;
    if (s->rot == KV_ROT_64) return 0;
    return (rotated == rotates ? 1 : 0) | (rotated ? 0 : 2);
}

bool lab_llama_words(char **words, const char *kv, const hparams *h, err *e)
{
    kv_spec   s;
    kv_choice c;
    char      text[128];
    int       head_dim;
    *words = NULL;
    if (!kv_spec_parse(&s, kv, e)) return false;
    if (!one_choice(&s, h, &c, &head_dim)) return true;
    if (kv_trait_of(c.k.type)->bits || kv_trait_of(c.v.type)->bits) return true;
    const int fits = rotation_fits(&c.k, head_dim) & rotation_fits(&c.v, head_dim);
    if (!fits) return true;
    snprintf(text, sizeof text, "%s-ctk %s -ctv %s", fits & 1 ? "" : "LLAMA_ATTN_ROT_DISABLE=1 ",
             kv_trait_of(c.k.type)->name, kv_trait_of(c.v.type)->name);
    *words = strdup(text);
    return *words || err_nomem(e, "a candidate", sizeof text);
}
