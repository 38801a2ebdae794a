// gemma_tensors: the tensors of a Gemma file by name, with shapes, and whether a file holds them and nothing else: see gemma_internal.h.
#include "gemma_internal.h"

#include "../quant/codec.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { V_EMBD, V_HEAD, V_PLE, V_ONE, V_ROPE, M_Q, M_KV, M_O, M_UP, M_DOWN, M_PLE_GATE, M_PLE_PROJ, M_VOCAB, M_PLE_EMBD, M_PLE_ALL } shape_kind;

// ALWAYS: a file without it is refused. OPTIONAL: it may be absent.
// WITH_KV: of a layer with keys of its own; a layer that shares another's may hold one that nobody reads, as published files do.
// WITH_KV_OR_K: the same, but K serves as V where V is absent, in the full-attention layers of Gemma 4 (attention_k_eq_v).
// WITH_PLE: of a model with per-layer embeddings; nobody knows it in another. WITH_FULL: likewise, of a model with full-attention layers.
typedef enum { ALWAYS, WITH_KV, WITH_KV_OR_K, WITH_PLE, WITH_FULL, OPTIONAL } presence;

typedef struct { size_t at; const char *name; shape_kind shape; presence presence; } tensor_row;

static const tensor_row model_table[] = {
    { offsetof(gemma, token_embd),     "token_embd",           M_VOCAB,    ALWAYS },
    { offsetof(gemma, output_norm),    "output_norm",          V_EMBD,     ALWAYS },
    { offsetof(gemma, output),         "output",               M_VOCAB,    OPTIONAL },      // absent: tied to token_embd
    { offsetof(gemma, ple_embd),       "per_layer_token_embd", M_PLE_EMBD, WITH_PLE },
    { offsetof(gemma, ple_model_proj), "per_layer_model_proj", M_PLE_ALL,  WITH_PLE },
    { offsetof(gemma, ple_proj_norm),  "per_layer_proj_norm",  V_PLE,      WITH_PLE },
    { NOT_A_WEIGHT,                    "rope_freqs",           V_ROPE,     WITH_FULL },     // hparams has it
};

static const tensor_row layer_table[] = {
    { offsetof(layer_weights, attn_norm),      "attn_norm",           V_EMBD,     ALWAYS },
    { offsetof(layer_weights, q),              "attn_q",              M_Q,        ALWAYS },
    { offsetof(layer_weights, k),              "attn_k",              M_KV,       WITH_KV },
    { offsetof(layer_weights, v),              "attn_v",              M_KV,       WITH_KV_OR_K },
    { offsetof(layer_weights, o),              "attn_output",         M_O,        ALWAYS },
    { offsetof(layer_weights, q_norm),         "attn_q_norm",         V_HEAD,     ALWAYS },
    { offsetof(layer_weights, k_norm),         "attn_k_norm",         V_HEAD,     WITH_KV },
    { offsetof(layer_weights, post_attn_norm), "post_attention_norm", V_EMBD,     ALWAYS },
    { offsetof(layer_weights, ffn_norm),       "ffn_norm",            V_EMBD,     ALWAYS },
    { offsetof(layer_weights, gate),           "ffn_gate",            M_UP,       ALWAYS },
    { offsetof(layer_weights, up),             "ffn_up",              M_UP,       ALWAYS },
    { offsetof(layer_weights, down),           "ffn_down",            M_DOWN,     ALWAYS },
    { offsetof(layer_weights, post_ffw_norm),  "post_ffw_norm",       V_EMBD,     ALWAYS },
    { offsetof(layer_weights, ple_gate),       "inp_gate",            M_PLE_GATE, WITH_PLE },
    { offsetof(layer_weights, ple_proj),       "proj",                M_PLE_PROJ, WITH_PLE },
    { offsetof(layer_weights, ple_norm),       "post_norm",           V_EMBD,     WITH_PLE },
    { offsetof(layer_weights, out_scale),      "layer_output_scale",  V_ONE,      OPTIONAL },
};
enum { N_MODEL_TENSORS = sizeof model_table / sizeof *model_table, N_LAYER_TENSORS = sizeof layer_table / sizeof *layer_table };

// Head size of the full-attention layers, 0 where the model has none.
static int full_head_dim(const hparams *h)
{
    for (int i = 0; i < h->n_layer; i++)
        if (!h->layers[i].sliding) return h->layers[i].head_dim;
    return 0;
}

static void set_shape(const hparams *h, const layer_shape *l, shape_kind k, gemma_tensor *t)
{
    const int64_t ple = h->n_embd_per_layer, all_ple = ple * h->n_layer;
    t->vector = k <= V_ROPE;
    t->rows = 1;
    switch (k) {
    case V_EMBD:     t->cols = h->n_embd; break;
    case V_HEAD:     t->cols = l->head_dim; break;
    case V_PLE:      t->cols = ple; break;
    case V_ONE:      t->cols = 1; break;
    case V_ROPE:     t->cols = full_head_dim(h) / 2; break;
    case M_Q:        t->rows = (int64_t)h->n_head * l->head_dim;    t->cols = h->n_embd; break;
    case M_KV:       t->rows = (int64_t)l->n_kv_head * l->head_dim; t->cols = h->n_embd; break;
    case M_O:        t->rows = h->n_embd;  t->cols = (int64_t)h->n_head * l->head_dim; break;
    case M_UP:       t->rows = l->n_ff;    t->cols = h->n_embd; break;
    case M_DOWN:     t->rows = h->n_embd;  t->cols = l->n_ff; break;
    case M_PLE_GATE: t->rows = ple;        t->cols = h->n_embd; break;
    case M_PLE_PROJ: t->rows = h->n_embd;  t->cols = ple; break;
    case M_VOCAB:    t->rows = h->n_vocab; t->cols = h->n_embd; break;
    case M_PLE_EMBD: t->rows = h->n_vocab; t->cols = all_ple; break;
    case M_PLE_ALL:  t->rows = all_ple;    t->cols = h->n_embd; break;
    }
}

// False: a model of these hyperparameters has no such tensor.
static bool set_presence(const hparams *h, const layer_shape *l, presence p, gemma_tensor *t)
{
    t->read     = true;
    t->required = p == ALWAYS;
    if (p == WITH_PLE) {
        t->required = true;
        return h->n_embd_per_layer > 0;
    }
    if (p == WITH_FULL) {
        t->required = h->family == FAMILY_GEMMA4;       // Gemma 3 turns whole heads: its files have no factors
        return full_head_dim(h) > 0;
    }
    if (p == WITH_KV || p == WITH_KV_OR_K) {
        const bool k_serves = p == WITH_KV_OR_K && h->family == FAMILY_GEMMA4 && !l->sliding;
        t->read     = l->has_kv;
        t->required = l->has_kv && !k_serves;
    }
    return true;
}

int gemma_n_tensors(int layer) { return layer < 0 ? N_MODEL_TENSORS : N_LAYER_TENSORS; }

weight *gemma_layer_weight(layer_weights *w, int i, bool *is_matrix)
{
    if (is_matrix) *is_matrix = layer_table[i].shape > V_ROPE;
    return (weight *)(void *)((char *)w + layer_table[i].at);
}

bool gemma_tensor_of(const hparams *h, int layer, int i, gemma_tensor *t)
{
    const tensor_row  *row = layer < 0 ? &model_table[i] : &layer_table[i];
    const layer_shape *l   = layer < 0 ? NULL : &h->layers[layer];
    *t = (gemma_tensor){ .at = row->at };
    if (layer < 0) snprintf(t->name, sizeof t->name, "%s.weight", row->name);
    else           snprintf(t->name, sizeof t->name, "blk.%d.%s.weight", layer, row->name);
    set_shape(h, l, row->shape, t);
    return set_presence(h, l, row->presence, t);
}

// ---- a file against the list ---------------------------------------------------------------------------------------

// "[2][3]", dimensions in Hugging Face order.
static const char *shape_text(char out[96], int n_dims, const int64_t *shape)
{
    size_t n = 0;
    out[0] = '\0';
    for (int d = 0; d < n_dims; d++) n += (size_t)snprintf(out + n, 96 - n, "[%lld]", (long long)shape[d]);
    return out;
}

static bool wrong_shape(const gguf *g, const gguf_tensor *t, const gemma_tensor *want, err *e)
{
    const int64_t shape[] = { want->rows, want->cols };
    char found[96], expected[96];
    return err_set(e, ERR_INPUT, "%s: tensor '%s': found shape %s, expected %s", gguf_path(g), t->name, shape_text(found, t->n_dims, t->shape),
                   want->vector ? shape_text(expected, 1, &want->cols) : shape_text(expected, 2, shape));
}

bool gemma_tensor_find(const gguf *g, const gemma_tensor *want, const gguf_tensor **found, err *e)
{
    const gguf_tensor *t = *found = gguf_find_tensor(g, want->name);
    if (!t && want->required) return err_set(e, ERR_INPUT, "%s: tensor '%s': missing", gguf_path(g), want->name);
    if (!t) return true;
    if (t->n_dims > 2 || gguf_tensor_rows(t) != want->rows || gguf_tensor_cols(t) != want->cols) return wrong_shape(g, t, want, e);
    if (want->vector && t->type != DT_F32)
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found %s, expected F32", gguf_path(g), t->name, dtype_name(t->type));
    if (!codec_find(t->type))
        return err_set(e, ERR_INPUT, "%s: tensor '%s': found %s, expected a type that can be decoded", gguf_path(g), t->name, dtype_name(t->type));
    return true;
}

static bool check_list(const gguf *g, const hparams *h, int layer, int64_t *n_known, err *e)
{
    for (int i = 0; i < gemma_n_tensors(layer); i++) {
        gemma_tensor want;
        const gguf_tensor *found;
        if (!gemma_tensor_of(h, layer, i, &want)) continue;
        if (!gemma_tensor_find(g, &want, &found, e)) return false;
        if (found) ++*n_known;
    }
    return true;
}

static bool listed(const hparams *h, int layer, const char *name)
{
    for (int i = 0; i < gemma_n_tensors(layer); i++) {
        gemma_tensor t;
        if (gemma_tensor_of(h, layer, i, &t) && strcmp(t.name, name) == 0) return true;
    }
    return false;
}

static bool is_known(const hparams *h, const char *name)
{
    if (strncmp(name, "blk.", 4) != 0) return listed(h, -1, name);
    const long layer = strtol(name + 4, NULL, 10);      // "blk.07" is compared with "blk.7" below
    return layer >= 0 && layer < h->n_layer && listed(h, (int)layer, name);
}

bool gemma_check_tensors(const hparams *h, const gguf *g, err *e)
{
    int64_t n_known = 0;
    if (!check_list(g, h, -1, &n_known, e)) return false;
    for (int layer = 0; layer < h->n_layer; layer++)
        if (!check_list(g, h, layer, &n_known, e)) return false;
    if (n_known == gguf_n_tensors(g)) return true;
    // There is at least one more than the list has; the first stands no later than behind all that are known.
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const char *name = gguf_tensor_at(g, i)->name;
        if (!is_known(h, name))
            return err_set(e, ERR_INPUT, "%s: tensor '%s': found one that no %s model of %d layers has: what it is for is not computed", gguf_path(g), name, h->arch,
                           h->n_layer);
    }
    return true;
}
