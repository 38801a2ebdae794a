// tensors: see tensors.h.
#include "tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the tables ----------------------------------------------------------------------------------------------------

#define EMBEDDINGS \
    { "token_embd.weight",  ROLE_LOOKUP, WHEN_ALWAYS, { SIZE_VOCAB, SIZE_EMBD } }, \
    { "output_norm.weight", ROLE_NORM,   WHEN_ALWAYS, { SIZE_EMBD } }, \
    { "output.weight",      ROLE_OUTPUT, WHEN_UNTIED, { SIZE_VOCAB, SIZE_EMBD } }

#define FREQS { "rope_freqs.weight", ROLE_FREQS, WHEN_FREQS, { SIZE_FREQS } }

#define DENSE_MLP(when) \
    { "ffn_gate.weight", ROLE_PRODUCT, when, { SIZE_FF, SIZE_EMBD } }, \
    { "ffn_up.weight",   ROLE_PRODUCT, when, { SIZE_FF, SIZE_EMBD } }, \
    { "ffn_down.weight", ROLE_PRODUCT, when, { SIZE_EMBD, SIZE_FF } }

#define QK_NORMS \
    { "attn_q_norm.weight", ROLE_NORM, WHEN_ATTENTION, { SIZE_HEAD } }, \
    { "attn_k_norm.weight", ROLE_NORM, WHEN_KV,        { SIZE_HEAD } }

static const tensor_row dense_model[] = { EMBEDDINGS, FREQS, { 0 } };

static const tensor_row gemma4_model[] = {
    EMBEDDINGS, FREQS,
    { "per_layer_token_embd.weight", ROLE_LOOKUP,  WHEN_PLE, { SIZE_VOCAB, SIZE_PLE_ALL } },
    { "per_layer_model_proj.weight", ROLE_PRODUCT, WHEN_PLE, { SIZE_PLE_ALL, SIZE_EMBD } },
    { "per_layer_proj_norm.weight",  ROLE_NORM,    WHEN_PLE, { SIZE_PLE } },
    { 0 },
};

#define GEMMA_BLOCK \
    { "attn_norm.weight",           ROLE_NORM,    WHEN_ALWAYS, { SIZE_EMBD } }, \
    { "attn_q.weight",              ROLE_PRODUCT, WHEN_ALWAYS, { SIZE_Q, SIZE_EMBD } }, \
    { "attn_k.weight",              ROLE_PRODUCT, WHEN_KV,     { SIZE_KV, SIZE_EMBD } }, \
    { "attn_v.weight",              ROLE_PRODUCT, WHEN_V,      { SIZE_KV, SIZE_EMBD } }, \
    { "attn_output.weight",         ROLE_PRODUCT, WHEN_ALWAYS, { SIZE_EMBD, SIZE_Q } }, \
    QK_NORMS, \
    { "post_attention_norm.weight", ROLE_NORM,    WHEN_ALWAYS, { SIZE_EMBD } }, \
    { "ffn_norm.weight",            ROLE_NORM,    WHEN_ALWAYS, { SIZE_EMBD } }, \
    DENSE_MLP(WHEN_ALWAYS), \
    { "post_ffw_norm.weight",       ROLE_NORM,    WHEN_ALWAYS, { SIZE_EMBD } }

static const tensor_row gemma3_block[] = { GEMMA_BLOCK, { 0 } };

// V has a norm without weight, so there is no row for it.
static const tensor_row gemma4_block[] = {
    GEMMA_BLOCK,
    { "inp_gate.weight",           ROLE_PRODUCT, WHEN_PLE,     { SIZE_PLE, SIZE_EMBD } },
    { "proj.weight",               ROLE_PRODUCT, WHEN_PLE,     { SIZE_EMBD, SIZE_PLE } },
    { "post_norm.weight",          ROLE_NORM,    WHEN_PLE,     { SIZE_EMBD } },
    { "layer_output_scale.weight", ROLE_VECTOR,  WHEN_ALWAYS,  { SIZE_ONE } },
    { "ffn_gate_inp.weight",       ROLE_ROUTER,  WHEN_EXPERTS, { SIZE_EXPERTS, SIZE_EMBD } },
    { "ffn_gate_inp.scale",        ROLE_ROUTER,  WHEN_EXPERTS, { SIZE_EMBD } },
    { "ffn_gate_up_exps.weight",   ROLE_EXPERTS, WHEN_EXPERTS, { SIZE_EXPERTS, SIZE_FF_EXPERT_BOTH, SIZE_EMBD } },
    { "ffn_down_exps.weight",      ROLE_EXPERTS, WHEN_EXPERTS, { SIZE_EXPERTS, SIZE_EMBD, SIZE_FF_EXPERT } },
    { "ffn_down_exps.scale",       ROLE_ROUTER,  WHEN_EXPERTS, { SIZE_EXPERTS } },
    { "pre_ffw_norm_2.weight",     ROLE_NORM,    WHEN_EXPERTS, { SIZE_EMBD } },
    { "post_ffw_norm_1.weight",    ROLE_NORM,    WHEN_EXPERTS, { SIZE_EMBD } },
    { "post_ffw_norm_2.weight",    ROLE_NORM,    WHEN_EXPERTS, { SIZE_EMBD } },
    { 0 },
};

#define DENSE_ATTENTION \
    { "attn_norm.weight",   ROLE_NORM,    WHEN_ALWAYS,   { SIZE_EMBD } }, \
    { "attn_q.weight",      ROLE_PRODUCT, WHEN_ALWAYS,   { SIZE_Q, SIZE_EMBD } }, \
    { "attn_q.bias",        ROLE_VECTOR,  WHEN_QKV_BIAS, { SIZE_Q } }, \
    { "attn_k.weight",      ROLE_PRODUCT, WHEN_ALWAYS,   { SIZE_KV, SIZE_EMBD } }, \
    { "attn_k.bias",        ROLE_VECTOR,  WHEN_QKV_BIAS, { SIZE_KV } }, \
    { "attn_v.weight",      ROLE_PRODUCT, WHEN_ALWAYS,   { SIZE_KV, SIZE_EMBD } }, \
    { "attn_v.bias",        ROLE_VECTOR,  WHEN_QKV_BIAS, { SIZE_KV } }, \
    { "attn_output.weight", ROLE_PRODUCT, WHEN_ALWAYS,   { SIZE_EMBD, SIZE_Q } }, \
    { "attn_output.bias",   ROLE_VECTOR,  WHEN_O_BIAS,   { SIZE_EMBD } }, \
    { "ffn_norm.weight",    ROLE_NORM,    WHEN_ALWAYS,   { SIZE_EMBD } }

static const tensor_row llama_block[] = {
    DENSE_ATTENTION, DENSE_MLP(WHEN_ALWAYS),
    { "ffn_gate.bias", ROLE_VECTOR, WHEN_FFN_BIAS, { SIZE_FF } },
    { "ffn_up.bias",   ROLE_VECTOR, WHEN_FFN_BIAS, { SIZE_FF } },
    { "ffn_down.bias", ROLE_VECTOR, WHEN_FFN_BIAS, { SIZE_EMBD } },
    { 0 },
};

static const tensor_row qwen2_block[] = { DENSE_ATTENTION, DENSE_MLP(WHEN_ALWAYS), { 0 } };
static const tensor_row qwen3_block[] = { DENSE_ATTENTION, QK_NORMS, DENSE_MLP(WHEN_ALWAYS), { 0 } };

// Qwen's experts: gate and up apart.
#define QWEN_EXPERTS \
    { "ffn_gate_inp.weight",  ROLE_ROUTER,  WHEN_EXPERTS, { SIZE_EXPERTS, SIZE_EMBD } }, \
    { "ffn_gate_exps.weight", ROLE_EXPERTS, WHEN_EXPERTS, { SIZE_EXPERTS, SIZE_FF_EXPERT, SIZE_EMBD } }, \
    { "ffn_up_exps.weight",   ROLE_EXPERTS, WHEN_EXPERTS, { SIZE_EXPERTS, SIZE_FF_EXPERT, SIZE_EMBD } }, \
    { "ffn_down_exps.weight", ROLE_EXPERTS, WHEN_EXPERTS, { SIZE_EXPERTS, SIZE_EMBD, SIZE_FF_EXPERT } }, \
    { "ffn_gate_up_exps.weight", ROLE_EXPERTS, WHEN_EXPERTS_FUSED, { SIZE_EXPERTS, SIZE_FF_EXPERT_BOTH, SIZE_EMBD } }

static const tensor_row qwen3moe_block[] = { DENSE_ATTENTION, QK_NORMS, QWEN_EXPERTS, { 0 } };

// Delta nets, attention whose Q comes with a gate, and what a block that guesses has beside. ssm_a has no suffix.
#define QWEN35_BLOCK \
    { "attn_norm.weight",              ROLE_NORM,    WHEN_ALWAYS,    { SIZE_EMBD } }, \
    { "post_attention_norm.weight",    ROLE_NORM,    WHEN_ALWAYS,    { SIZE_EMBD } }, \
    { "attn_q.weight",                 ROLE_PRODUCT, WHEN_ATTENTION, { SIZE_Q_AND_GATE, SIZE_EMBD } }, \
    { "attn_k.weight",                 ROLE_PRODUCT, WHEN_KV,        { SIZE_KV, SIZE_EMBD } }, \
    { "attn_v.weight",                 ROLE_PRODUCT, WHEN_V,         { SIZE_KV, SIZE_EMBD } }, \
    { "attn_output.weight",            ROLE_PRODUCT, WHEN_ATTENTION, { SIZE_EMBD, SIZE_Q } }, \
    QK_NORMS, \
    { "attn_qkv.weight",               ROLE_PRODUCT, WHEN_RECURRENT, { SIZE_CONV_CHANNELS, SIZE_EMBD } }, \
    { "attn_gate.weight",              ROLE_PRODUCT, WHEN_RECURRENT, { SIZE_V, SIZE_EMBD } }, \
    { "ssm_alpha.weight",              ROLE_PRODUCT, WHEN_RECURRENT, { SIZE_V_HEADS, SIZE_EMBD } }, \
    { "ssm_beta.weight",               ROLE_PRODUCT, WHEN_RECURRENT, { SIZE_V_HEADS, SIZE_EMBD } }, \
    { "ssm_conv1d.weight",             ROLE_CONV,    WHEN_RECURRENT, { SIZE_CONV_CHANNELS, SIZE_CONV_TAPS } }, \
    { "ssm_a",                         ROLE_VECTOR,  WHEN_RECURRENT, { SIZE_V_HEADS } }, \
    { "ssm_dt.bias",                   ROLE_VECTOR,  WHEN_RECURRENT, { SIZE_V_HEADS } }, \
    { "ssm_norm.weight",               ROLE_NORM,    WHEN_RECURRENT, { SIZE_V_HEAD } }, \
    { "ssm_out.weight",                ROLE_PRODUCT, WHEN_RECURRENT, { SIZE_EMBD, SIZE_V } }, \
    { "nextn.eh_proj.weight",          ROLE_PRODUCT, WHEN_MTP,       { SIZE_EMBD, SIZE_TWO_EMBD } }, \
    { "nextn.enorm.weight",            ROLE_NORM,    WHEN_MTP,       { SIZE_EMBD } }, \
    { "nextn.hnorm.weight",            ROLE_NORM,    WHEN_MTP,       { SIZE_EMBD } }, \
    { "nextn.shared_head_norm.weight", ROLE_NORM,    WHEN_MTP,       { SIZE_EMBD } }, \
    { "nextn.embed_tokens.weight",     ROLE_LOOKUP,  WHEN_MTP_OWN,   { SIZE_VOCAB, SIZE_EMBD } }, \
    { "nextn.shared_head_head.weight", ROLE_OUTPUT,  WHEN_MTP_OWN,   { SIZE_VOCAB, SIZE_EMBD } }

static const tensor_row qwen35_block[] = { QWEN35_BLOCK, DENSE_MLP(WHEN_ALWAYS), { 0 } };

static const tensor_row qwen35moe_block[] = {
    QWEN35_BLOCK, QWEN_EXPERTS,
    { "ffn_gate_inp_shexp.weight", ROLE_ROUTER,  WHEN_EXPERTS, { SIZE_ONE, SIZE_EMBD } },
    { "ffn_gate_shexp.weight",     ROLE_PRODUCT, WHEN_EXPERTS, { SIZE_FF_SHARED, SIZE_EMBD } },
    { "ffn_up_shexp.weight",       ROLE_PRODUCT, WHEN_EXPERTS, { SIZE_FF_SHARED, SIZE_EMBD } },
    { "ffn_down_shexp.weight",     ROLE_PRODUCT, WHEN_EXPERTS, { SIZE_EMBD, SIZE_FF_SHARED } },
    { 0 },
};

static const tensor_table TABLES[] = {
    { "gemma3",    dense_model,  gemma3_block },
    { "gemma4",    gemma4_model, gemma4_block },
    { "llama",     dense_model,  llama_block },
    { "qwen2",     dense_model,  qwen2_block },
    { "qwen3",     dense_model,  qwen3_block },
    { "qwen3moe",  dense_model,  qwen3moe_block },
    { "qwen35",    dense_model,  qwen35_block },
    { "qwen35moe", dense_model,  qwen35moe_block },
};

const tensor_table *tensor_table_of(const char *arch)
{
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++)
        if (strcmp(TABLES[i].arch, arch) == 0) return &TABLES[i];
    return NULL;
}

int64_t tensor_rows_count(const tensor_row *rows)
{
    int64_t n = 0;
    while (rows[n].name) n++;
    return n;
}

// ---- names ---------------------------------------------------------------------------------------------------------

void tensor_row_name(const tensor_row *r, int64_t block, char name[TENSOR_NAME_BYTES])
{
    if (block < 0) snprintf(name, TENSOR_NAME_BYTES, "%s", r->name);
    else           snprintf(name, TENSOR_NAME_BYTES, "blk.%lld.%s", (long long)block, r->name);
}

// "blk.N.rest" with a plain decimal N; NULL if it is not that.
static const char *split_block(const char *name, int64_t *block)
{
    int64_t n = 0;
    int     digits = 0;
    if (strncmp(name, "blk.", 4) != 0) return NULL;
    name += 4;
    while (name[digits] >= '0' && name[digits] <= '9' && digits < 9) n = n * 10 + (name[digits++] - '0');
    if (digits == 0 || name[digits] != '.' || (digits > 1 && name[0] == '0')) return NULL;
    *block = n;
    return name + digits + 1;
}

const tensor_row *tensor_row_find(const tensor_table *t, const char *name, int64_t *block)
{
    *block = -1;
    const char *rest = split_block(name, block);
    for (const tensor_row *r = rest ? t->block : t->model; r->name; r++)
        if (strcmp(r->name, rest ? rest : name) == 0) return r;
    return NULL;
}

// ---- sizes ---------------------------------------------------------------------------------------------------------

int64_t size_of(const model_sizes *m, size_id id, int64_t block)
{
    static const block_sizes none = { 0 };
    const block_sizes *b = block < 0 ? &none : &m->block[block];
    switch (id) {
    case SIZE_END:            return 0;
    case SIZE_ONE:            return 1;
    case SIZE_VOCAB:          return m->n_vocab;
    case SIZE_EMBD:           return m->n_embd;
    case SIZE_TWO_EMBD:       return 2 * m->n_embd;
    case SIZE_FF:             return b->n_ff;
    case SIZE_KV:             return b->n_head_kv * b->head_dim;
    case SIZE_HEAD:           return b->head_dim;
    case SIZE_Q:              return m->n_head * b->head_dim;
    case SIZE_Q_AND_GATE:     return 2 * m->n_head * b->head_dim;
    case SIZE_PLE:            return m->ple;
    case SIZE_PLE_ALL:        return m->ple * m->n_block;
    case SIZE_FREQS:          return m->n_rope_freqs;
    case SIZE_EXPERTS:        return m->n_expert;
    case SIZE_FF_EXPERT:      return m->n_ff_expert;
    case SIZE_FF_EXPERT_BOTH: return 2 * m->n_ff_expert;
    case SIZE_FF_SHARED:      return m->n_ff_shared;
    case SIZE_CONV_TAPS:      return m->conv_kernel;
    case SIZE_CONV_CHANNELS:  return 2 * m->n_key_head * m->key_dim + m->n_value_head * m->value_dim;
    case SIZE_V_HEADS:        return m->n_value_head;
    case SIZE_V_HEAD:         return m->value_dim;
    case SIZE_V:              return m->n_value_head * m->value_dim;
    }
    return 0;
}

int tensor_row_shape(const tensor_row *r, const model_sizes *m, int64_t block, int64_t shape[LIMIT_DIMS])
{
    int n = 0;
    for (int d = 0; d < LIMIT_DIMS; d++) shape[d] = 1;
    while (n < 3 && r->shape[n] != SIZE_END) {
        shape[n] = size_of(m, r->shape[n], block);
        n++;
    }
    return n;
}

static tensor_presence only_if(bool there) { return there ? TENSOR_MUST : TENSOR_NOT; }

static tensor_presence of_kv(const block_sizes *b, bool there)
{
    if (b->recurrent) return TENSOR_NOT;
    return b->own_kv ? only_if(there) : TENSOR_MAY;
}

tensor_presence tensor_row_presence(const tensor_row *r, const model_sizes *m, int64_t block)
{
    static const block_sizes none = { 0 };
    const block_sizes *b = block < 0 ? &none : &m->block[block];
    switch (r->when) {
    case WHEN_ALWAYS:     return TENSOR_MUST;
    case WHEN_UNTIED:     return m->tied ? TENSOR_MAY : TENSOR_MUST;
    case WHEN_FREQS:      return only_if(m->n_rope_freqs > 0);
    case WHEN_PLE:        return only_if(m->ple > 0);
    case WHEN_KV:         return of_kv(b, true);
    case WHEN_V:          return of_kv(b, !b->k_is_v);
    case WHEN_QKV_BIAS:   return only_if(b->qkv_bias);
    case WHEN_O_BIAS:     return only_if(b->o_bias);
    case WHEN_FFN_BIAS:   return only_if(b->ffn_bias);
    case WHEN_ATTENTION:  return only_if(!b->recurrent);
    case WHEN_RECURRENT:  return only_if(b->recurrent);
    case WHEN_EXPERTS:    return only_if(b->experts);
    case WHEN_MTP:        return only_if(b->mtp);
    case WHEN_EXPERTS_FUSED: return b->experts ? TENSOR_MAY : TENSOR_NOT;
    case WHEN_MTP_OWN:    return b->mtp ? TENSOR_MAY : TENSOR_NOT;
    }
    return TENSOR_NOT;
}

bool tensor_role_is_f32(tensor_role role)
{
    return role == ROLE_NORM || role == ROLE_ROUTER || role == ROLE_CONV || role == ROLE_VECTOR || role == ROLE_FREQS;
}

// ---- a whole model -------------------------------------------------------------------------------------------------

static bool add_entry(const model_sizes *m, const tensor_row *r, int64_t block, tensor_entry *t, err *e)
{
    *t = (tensor_entry){ .row = r, .block = block, .n_elems = 1 };
    t->n_dims = tensor_row_shape(r, m, block, t->shape);
    tensor_row_name(r, block, t->name);
    for (int d = 0; d < t->n_dims; d++)
        if (t->shape[d] < 1 || !mul_i64(t->n_elems, t->shape[d], &t->n_elems))
            return err_set(e, ERR_INPUT, "tensor '%s': found a dimension of %lld, expected a size that fits", t->name,
                           (long long)t->shape[d]);
    return true;
}

static bool add_rows(const model_sizes *m, const tensor_row *r, int64_t block, tensor_entry *list, int64_t *n, err *e)
{
    for (; r->name; r++) {
        if (tensor_row_presence(r, m, block) != TENSOR_MUST) continue;
        if (!add_entry(m, r, block, &list[(*n)++], e)) return false;
    }
    return true;
}

bool tensors_list(const model_sizes *m, tensor_entry **list, int64_t *n, err *e)
{
    const tensor_table *t = tensor_table_of(m->arch);
    *list = NULL;
    *n = 0;
    if (!t) return err_set(e, ERR_INPUT, "general.architecture: found '%s', whose tensors are not known", m->arch);
    const size_t room = (size_t)(tensor_rows_count(t->model) + m->n_block * tensor_rows_count(t->block));
    *list = calloc(room, sizeof **list);
    if (!*list) return err_nomem(e, "the list of tensors", room * sizeof **list);
    bool ok = add_rows(m, t->model, -1, *list, n, e);
    for (int64_t i = 0; ok && i < m->n_block; i++) ok = add_rows(m, t->block, i, *list, n, e);
    if (ok) return true;
    free(*list);
    *list = NULL;
    return false;
}

static bool add_to(int64_t *sum, int64_t n, err *e)
{
    return add_i64(*sum, n, sum) || err_set(e, ERR_INPUT, "found more parameters than 63 bits count");
}

static bool count_tensor(const model_sizes *m, const tensor_entry *t, tensor_counts *c, err *e)
{
    const bool mtp = t->block >= 0 && m->block[t->block].mtp;
    const bool lookup = t->row->role == ROLE_LOOKUP && !(m->tied && t->row->shape[1] == SIZE_EMBD);
    int64_t    active = t->n_elems;
    if (t->row->role == ROLE_EXPERTS && m->n_expert > 0) active = t->n_elems / m->n_expert * m->n_expert_used;
    if (!add_to(&c->total, t->n_elems, e)) return false;
    if (mtp) return add_to(&c->mtp, t->n_elems, e);
    if (lookup && !add_to(&c->lookup, t->n_elems, e)) return false;
    return add_to(&c->active, active, e);
}

bool tensors_count(const model_sizes *m, const tensor_entry *list, int64_t n, tensor_counts *c, err *e)
{
    *c = (tensor_counts){ 0 };
    for (int64_t i = 0; i < n; i++)
        if (!count_tensor(m, &list[i], c, e)) return false;
    return true;
}
