// hparams_mixed: hyperparameters of models whose layers are not all alike: experts, and recurrent layers (delta nets).
// See hparams.h.
#include "hparams_internal.h"

#include <stdlib.h>

bool hparams_has_experts(arch_family f) { return f == ARCH_GEMMA4 || f == ARCH_QWEN3MOE || f == ARCH_QWEN35MOE; }
bool hparams_has_delta(arch_family f)   { return f == ARCH_QWEN35 || f == ARCH_QWEN35MOE; }

// One value for each block into layers' `n_ff_exp`.
static bool read_expert_sizes(arch_reader *r, hparams *h)
{
    const int n = hparams_blocks(h);
    int64_t *v = calloc((size_t)n, sizeof *v);
    if (!v) return err_nomem(r->e, "layer table", (size_t)n * sizeof *v);
    const bool ok = arch_layers(r, "expert_feed_forward_length", n, 0, v);
    for (int i = 0; ok && i < h->n_layer; i++) h->layers[i].n_ff_exp = (int)v[i];
    free(v);
    return ok;
}

bool hparams_read_experts(arch_reader *r, hparams *h)
{
    int64_t used, shared = 0;
    if (h->n_expert == 0) return true;
    if (!arch_int(r, "expert_used_count", &used)) return false;
    if (used > h->n_expert)
        return err_set(r->e, ERR_INPUT, "%s: key '%s': found %lld, expected at most expert_count, which is %d",
                       gguf_path(r->g), arch_key_of(r, "expert_used_count"), (long long)used, h->n_expert);
    if (h->family == ARCH_QWEN35MOE && !arch_int(r, "expert_shared_feed_forward_length", &shared)) return false;
    h->n_expert_used = (int)used;
    h->n_ff_shared = (int)shared;
    return read_expert_sizes(r, h);
}

// ---- recurrent layers -----------------------------------------------------------------------------------------------

static bool fill_recurrent(arch_reader *r, hparams *h, int64_t *v)
{
    const char *name = "attention.recurrent_layers";
    const int n = hparams_blocks(h);
    int64_t every;
    if (!arch_has(r, name)) {
        if (!arch_int(r, "full_attention_interval", &every)) return false;
        for (int i = 0; i < h->n_layer; i++) v[i] = (i + 1) % every != 0;
    } else if (!arch_layers(r, name, n, 0, v)) {
        return false;
    }
    for (int i = h->n_layer; i < n; i++)
        if (v[i])
            return arch_bad(r, name,
                            "a block behind the layers, which predicts further tokens, is said to be recurrent");
    for (int i = 0; i < h->n_layer; i++) h->layers[i].recurrent = v[i] != 0;
    return true;
}

static bool read_recurrent(arch_reader *r, hparams *h)
{
    const int n = hparams_blocks(h);
    int64_t *v = calloc((size_t)n, sizeof *v);
    if (!v) return err_nomem(r->e, "layer table", (size_t)n * sizeof *v);
    const bool ok = fill_recurrent(r, h, v);
    free(v);
    return ok;
}

static bool read_shape(arch_reader *r, delta_shape *d)
{
    int64_t taps, key_dim, key_heads, value_heads, inner;
    if (!arch_int(r, "ssm.conv_kernel", &taps) || !arch_int(r, "ssm.state_size", &key_dim)) return false;
    if (!arch_int(r, "ssm.group_count", &key_heads) || !arch_int(r, "ssm.time_step_rank", &value_heads)) return false;
    if (!arch_int(r, "ssm.inner_size", &inner)) return false;
    if (value_heads % key_heads != 0)
        return err_set(r->e, ERR_INPUT,
                       "%s: key '%s': found %lld heads of values, expected a multiple of ssm.group_count, %lld",
                       gguf_path(r->g), arch_key_of(r, "ssm.time_step_rank"), (long long)value_heads,
                       (long long)key_heads);
    if (inner % value_heads != 0)
        return err_set(r->e, ERR_INPUT,
                       "%s: key '%s': found %lld, expected a multiple of ssm.time_step_rank, which is %lld",
                       gguf_path(r->g), arch_key_of(r, "ssm.inner_size"), (long long)inner, (long long)value_heads);
    if (inner / value_heads > 4096)
        return arch_bad(r, "ssm.inner_size", "heads of values have more than 4096 elements");
    *d = (delta_shape){ .taps = (int)taps, .key_heads = (int)key_heads, .value_heads = (int)value_heads,
                        .key_dim = (int)key_dim, .value_dim = (int)(inner / value_heads) };
    return true;
}

bool hparams_read_delta(arch_reader *r, hparams *h)
{
    if (!hparams_has_delta(h->family)) return true;
    return read_recurrent(r, h) && read_shape(r, &h->delta);
}
