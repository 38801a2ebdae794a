// program: see program.h.
#include "program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The array with room for one more element; its room doubles. Without memory it stays as it was and p->failed is set.
static void *grown(program *p, void *array, int n, size_t size)
{
    if (p->failed || (n != 0 && (n < 8 || (n & (n - 1)) != 0))) return array;
    const size_t room = n < 8 ? 8 : 2 * (size_t)n;
    void *more = realloc(array, room * size);
    if (!more) p->failed = true;
    return more ? more : array;
}

int program_add_buffer(program *p, const char *name, int64_t floats)
{
    p->buffers = grown(p, p->buffers, p->n_buffers, sizeof *p->buffers);
    if (p->failed) return -1;
    p->buffers[p->n_buffers] = (program_buffer){ .name = name, .floats = floats };
    return p->n_buffers++;
}

int program_add_weight(program *p, const char *name, bool vector, int64_t rows, int64_t cols)
{
    p->weights = grown(p, p->weights, p->n_weights, sizeof *p->weights);
    if (p->failed) return -1;
    program_weight *w = &p->weights[p->n_weights];
    *w = (program_weight){ .rows = rows, .cols = cols, .vector = vector, .instead = -1 };
    snprintf(w->name, sizeof w->name, "%s.weight", name);
    return p->n_weights++;
}

int program_layer_weight(program *p, int layer, const char *name, bool vector, int64_t rows, int64_t cols)
{
    char full[48];
    snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    return program_add_weight(p, full, vector, rows, cols);
}

int program_layer_vector(program *p, int layer, const char *name, int64_t n)
{
    const int w = program_layer_weight(p, layer, name, true, 1, n);
    if (w >= 0) snprintf(p->weights[w].name, sizeof p->weights[w].name, "blk.%d.%s", layer, name);
    return w;
}

int program_layer_bias(program *p, int layer, const char *name, int64_t n)
{
    char full[48];
    snprintf(full, sizeof full, "%s.bias", name);
    return program_layer_vector(p, layer, full, n);
}

int program_layer_experts(program *p, int layer, const char *name, int experts, int used, int64_t rows, int64_t cols)
{
    const int w = program_layer_weight(p, layer, name, false, experts * rows, cols);
    if (w < 0) return w;
    p->weights[w].experts = experts;
    p->weights[w].used = used;
    return w;
}

int program_row_weight(program *p, int layer, const tensor_row *r, const model_sizes *m)
{
    int64_t    shape[LIMIT_DIMS];
    const int  n_dims = tensor_row_shape(r, m, 0, shape);
    const bool experts = r->role == ROLE_EXPERTS, vector = n_dims == 1 || r->shape[0] == SIZE_ONE;
    const int64_t rows = n_dims == 3 ? shape[0] * shape[1] : n_dims == 2 ? shape[0] : 1;
    const int  w = program_layer_vector(p, layer, r->name, shape[n_dims - 1]);
    if (w < 0) return w;
    p->weights[w].vector = vector;
    p->weights[w].rows = rows;
    p->weights[w].experts = experts ? (int)m->n_expert : 0;
    p->weights[w].used = experts ? (int)m->n_expert_used : 0;
    return w;
}

void program_unread(program *p, int w)
{
    if (w >= 0) p->weights[w].optional = p->weights[w].unread = true;
}

int program_add_cache(program *p, int layer)
{
    p->caches = grown(p, p->caches, p->n_caches, sizeof *p->caches);
    if (p->failed) return -1;
    p->caches[p->n_caches] = (program_cache){ .layer = layer };
    return p->n_caches++;
}

int program_add_state(program *p, int layer, int64_t conv_floats, int64_t s_floats)
{
    p->states = grown(p, p->states, p->n_states, sizeof *p->states);
    if (p->failed) return -1;
    p->states[p->n_states] = (program_state){ .layer = layer, .conv_floats = conv_floats, .s_floats = s_floats };
    return p->n_states++;
}

int program_add_rope(program *p, int head_dim, float base, float linear, const float *factors)
{
    p->ropes = grown(p, p->ropes, p->n_ropes, sizeof *p->ropes);
    if (p->failed) return -1;
    p->ropes[p->n_ropes] = (program_rope){ .head_dim = head_dim, .base = base, .linear = linear, .factors = factors };
    return p->n_ropes++;
}

op *program_add(program *p, op_kind kind, int layer)
{
    op  **list = p->in_head ? &p->head : &p->ops;
    int  *n    = p->in_head ? &p->n_head : &p->n_ops;
    *list = grown(p, *list, *n, sizeof **list);
    op *o = p->failed ? &p->nowhere : &(*list)[(*n)++];
    *o = op_new(kind, layer);
    return o;
}

view program_view(const program *p, int buffer)
{
    if (buffer < 0 || p->failed) return (view){ .buf = -1 };
    return (view){ .buf = buffer, .row = (int32_t)p->buffers[buffer].floats };
}

bool program_build(program *p, const hparams *h, err *e)
{
    static void (*const build[])(program *, const hparams *) = {
        [ARCH_GEMMA3] = gemma_build, [ARCH_GEMMA4] = gemma_build,
        [ARCH_LLAMA] = llama_build, [ARCH_QWEN2] = llama_build, [ARCH_QWEN3] = llama_build,
        [ARCH_QWEN3MOE] = llama_build, [ARCH_QWEN35] = qwen35_build, [ARCH_QWEN35MOE] = qwen35_build,
    };
    *p = (program){ 0 };
    build[h->family](p, h);
    if (p->failed) err_nomem(e, "list of operations", 0);
    return !p->failed;
}

void program_free(program *p)
{
    free(p->ops);
    free(p->head);
    free(p->buffers);
    free(p->weights);
    free(p->caches);
    free(p->states);
    free(p->ropes);
    *p = (program){ 0 };
}
