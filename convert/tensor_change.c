// tensor_change: see tensor_change.h.
#include "tensor_change.h"

#include <string.h>

bool change_stacks(const tensor_rule *rule) { return strchr(rule->hf, '*') != NULL; }

int change_source_shape(const tensor_rule *rule, const hf_config *c, const tensor_row *row, const model_sizes *m,
                        int64_t block, int64_t shape[SOURCE_DIMS])
{
    int64_t file[LIMIT_DIMS];
    int     n = 0;
    const int n_file = tensor_row_shape(row, m, block, file);
    for (int d = change_stacks(rule) ? 1 : 0; d < n_file; d++) {
        if ((rule->change & SQUEEZE) && d == n_file - 1) shape[n++] = 1;
        shape[n++] = file[d];
    }
    if (rule->change & (FIRST_HALF | SECOND_HALF)) shape[n - 2] *= 2;
    if (rule->change & CUT_ROWS) shape[0] = c->n_vocab_ple;
    return n;
}

// Value heads lie by the key head that they belong to, and in the file in tiles, so that llama.cpp can repeat the key
// heads. Nothing moves where each key head has one.
static head_order value_heads(const hf_delta *d, int64_t first, int64_t size)
{
    if (d->n_key_head == d->n_value_head) return (head_order){ 0 };
    const int64_t each = d->n_value_head / d->n_key_head;
    return (head_order){ .first = first, .groups = d->n_key_head, .each = each, .size = size };
}

transform change_transform(const tensor_rule *rule, const hf_config *c, int64_t block)
{
    const int       change = rule->change;
    const hf_delta *d = &c->delta;
    transform       t = { .add = change & (ADD_ONE | ZERO_NORM) ? 1 : 0, .neg_exp = (change & NEG_EXP) != 0 };
    if (change & PERMUTE)    t.pairs = c->kind[hf_layer_kind(c, block)].head_dim;
    if (change & V_ROWS)     t.rows = value_heads(d, 0, d->value_dim);
    if (change & V_CHANNELS) t.rows = value_heads(d, 2 * d->n_key_head * d->key_dim, d->value_dim);
    if (change & V_HEADS)    t.rows = value_heads(d, 0, 1);
    if (change & V_COLUMNS)  t.cols = value_heads(d, 0, d->value_dim);
    if (change & (FIRST_HALF | SECOND_HALF)) {
        t.take = c->n_ff_expert;
        t.of   = 2 * c->n_ff_expert;
        t.skip = change & SECOND_HALF ? c->n_ff_expert : 0;
    }
    return t;
}
