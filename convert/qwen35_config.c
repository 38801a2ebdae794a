// qwen35_config: the config.json of Qwen 3.5 and later: layers with a delta net ("linear attention") and layers with
// attention, dense or with experts.
//
// Defaults and what is refused: Qwen3_5TextConfig and Qwen3_5MoeTextConfig of Transformers 5.24.
#include "qwen35_config.h"

#include "../arch/keys.h"
#include "../formats/json.h"
#include "config_read.h"
#include "hf_rope.h"

#include <math.h>
#include <stddef.h>

// ---- plain numbers -------------------------------------------------------------------------------------------------

typedef struct {
    const char *key;
    size_t      field;              // offset of an int64_t in hf_config
    int64_t     lo, hi;
    int64_t     dense, experts;     // Transformers' defaults
} int_row;

enum { NO_KEY = CONFIG_NO_KEY };
#define FIELD(f) offsetof(hf_config, f)
static const int_row int_rows[] = {
    { "vocab_size",              FIELD(n_vocab),                     1, LIMIT_VOCAB,      248320, 248320 },
    { "hidden_size",             FIELD(n_embd),                      1, 1 << 20,          4096,   2048 },
    { "intermediate_size",       FIELD(n_ff),                        1, 1 << 22,          12288,  NO_KEY },
    { "num_hidden_layers",       FIELD(n_layer),                     1, LIMIT_LAYERS - 1, 32,     40 },
    { "num_attention_heads",     FIELD(n_head),                      1, 1 << 12,          16,     16 },
    { "num_key_value_heads",     FIELD(kind[KIND_FULL].n_head_kv),   1, 1 << 12,          4,      2 },
    { "head_dim",                FIELD(kind[KIND_FULL].head_dim),    2, 1 << 16,          256,    256 },
    { "max_position_embeddings", FIELD(n_ctx),                       1, INT32_MAX,        32768,  32768 },
    { "linear_conv_kernel_dim",  FIELD(delta.conv_kernel),           2, LIMIT_TAPS,       4,      4 },
    { "linear_key_head_dim",     FIELD(delta.key_dim),               1, 1 << 12,          128,    128 },
    { "linear_value_head_dim",   FIELD(delta.value_dim),             1, 1 << 12,          128,    128 },
    { "linear_num_key_heads",    FIELD(delta.n_key_head),            1, 1 << 12,          16,     16 },
    { "linear_num_value_heads",  FIELD(delta.n_value_head),          1, 1 << 12,          32,     32 },
    { "num_experts",             FIELD(n_expert),                    1, LIMIT_EXPERTS,    NO_KEY, 256 },
    { "num_experts_per_tok",     FIELD(n_expert_used),               1, LIMIT_EXPERTS,    NO_KEY, 8 },
    { "moe_intermediate_size",   FIELD(n_ff_expert),                 1, 1 << 22,          NO_KEY, 512 },
    { "shared_expert_intermediate_size", FIELD(n_ff_shared),         1, 1 << 22,          NO_KEY, 512 },
};

static bool read_ints(hf_config *c, const cJSON *t, const char *where, err *e)
{
    for (size_t i = 0; i < sizeof int_rows / sizeof *int_rows; i++) {
        const int_row *r = &int_rows[i];
        const int64_t  def = c->arch->class == CLASS_QWEN35 ? r->dense : r->experts;
        const config_int row = { r->key, r->field, r->lo, r->hi, def };
        if (def != NO_KEY && !config_not_null(t, r->key, where, e)) return false;
        if (!config_int_read(c, &row, t, where, e)) return false;
    }
    return true;
}

// The class with experts does not know intermediate_size, but its configs may have it, and then the file says so, too.
static bool read_spare_ff(hf_config *c, const cJSON *t, const char *where, err *e)
{
    if (c->arch->class == CLASS_QWEN35) return true;
    return json_i64_or(t, "intermediate_size", 0, 1 << 22, 0, &c->n_ff, where, e);
}

static bool check_heads(const hf_config *c, const char *where, err *e)
{
    const hf_kind  *k = &c->kind[KIND_FULL];
    const hf_delta *d = &c->delta;
    if (!config_head_dim_check(k->head_dim, where, e)) return false;
    if (!config_kv_heads_check(c->n_head, k->n_head_kv, where, e)) return false;
    if (d->n_value_head % d->n_key_head == 0) return true;
    return err_set(e, ERR_INPUT, "%s: linear_num_value_heads: found %lld, which %lld key heads do not divide", where,
                   (long long)d->n_value_head, (long long)d->n_key_head);
}

// GGUF has one size for key heads and value heads.
static bool check_state(const hf_config *c, const char *where, err *e)
{
    const hf_delta *d = &c->delta;
    if (d->key_dim == d->value_dim) return true;
    return err_set(e, ERR_INPUT, "%s: linear_value_head_dim: found %lld, expected %lld as linear_key_head_dim: GGUF "
                   "has one size for both", where, (long long)d->value_dim, (long long)d->key_dim);
}

static bool read_scalars(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e)
{
    if (!read_ints(c, t, where, e) || !read_spare_ff(c, t, where, e)) return false;
    if (!check_heads(c, where, e) || !check_state(c, where, e)) return false;
    if (c->n_expert > 0 && !config_experts_check(c->n_expert, c->n_expert_used, "num_experts_per_tok", where, e))
        return false;
    if (!config_not_null(root, "tie_word_embeddings", where, e)) return false;
    if (!json_bool_or(root, "tie_word_embeddings", false, &c->tied, where, e)) return false;
    if (!config_pad_check(c->n_vocab, t, where, e) || !config_not_null(t, "rms_norm_eps", where, e)) return false;
    if (!config_positive(t, "rms_norm_eps", 1e-6, &c->eps, where, e)) return false;
    c->attn_scale = pow((double)c->kind[KIND_FULL].head_dim, -0.5);
    return json_i64_or(t, "mtp_num_hidden_layers", 0, 1, 0, &c->n_mtp, where, e);
}

// ---- which layers have a delta net ---------------------------------------------------------------------------------

// layer_types, or else every full_attention_interval-th layer has attention.
static bool read_layers(hf_config *c, const cJSON *t, const char *where, err *e)
{
    const cJSON *types = json_get(t, "layer_types");
    if (!json_i64_or(t, "full_attention_interval", 1, LIMIT_LAYERS, 4, &c->delta.full_interval, where, e)) return false;
    if (types && !config_layer_types(c->recurrent, "linear_attention", c->n_layer, types, false, where, e))
        return false;
    for (int64_t i = 0; i < c->n_layer; i++) {
        if (!types) c->recurrent[i] = (i + 1) % c->delta.full_interval != 0;
        c->kind[KIND_FULL].n_layers += !c->recurrent[i];
    }
    for (int64_t i = 0; i <= c->n_layer; i++) {         // one more: the block that guesses
        c->layer_ff[i] = (int32_t)c->n_ff;
        c->layer_kv[i] = (int32_t)c->kind[KIND_FULL].n_head_kv;
    }
    return true;
}

bool qwen35_config_read(hf_config *c, const cJSON *root, const cJSON *t, const char *where, err *e)
{
    if (!config_refuse(t, "per_layer_config", "layers of their own are not supported in this family", where, e))
        return false;
    return read_scalars(c, root, t, where, e) && read_layers(c, t, where, e) && hf_rope_read(c, t, where, e);
}
