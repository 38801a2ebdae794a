// parts: what families' build() functions have in common: single operations, appended.
#ifndef HALLMARK_RUNTIME_NETS_PARTS_H
#define HALLMARK_RUNTIME_NETS_PARTS_H

#include "../program.h"

typedef struct { int x, t, q, k, v, att, gate, up; } part_buffers;      // the state, its norm, heads, and the MLP's

// Of experts: the router's input, scores and choice; gate, up and answers of the chosen, the answers' sum; the shared
// expert's factor.
typedef struct { int in, scores, weights, ids, gate, up, down, sum, shared; } expert_buffers;

// The buffers, as wide as the widest layer needs.
part_buffers part_add_buffers(program *p, const hparams *h);
// A view whose rows are as wide as what this layer puts there.
view part_rows(int buffer, int64_t floats);

void part_embed(program *p, int buffer, int64_t dim, int table, double scale);
void part_scale(program *p, int buffer, int64_t dim, double by);
// out = w in, plus the bias where there is one (-1: none).
void part_linear(program *p, int layer, view out, view in, int w, int bias);
void part_norm(program *p, const hparams *h, int layer, view out, view in, int w, int rows, int64_t dim);
void part_mark(program *p, const hparams *h, const part_buffers *b);    // x is a hidden state that a probe may ask for
// x += norm(t, post) (post -1: x += t), then t = norm(x, next) where there is a next.
op  *part_residual(program *p, const hparams *h, const part_buffers *b, int layer, int post, int next);
// t = down(act(gate(t)) * up(t))
void part_mlp(program *p, const hparams *h, const part_buffers *b, int layer, activation act);
expert_buffers part_add_expert_buffers(program *p, const hparams *h);
// scores = ffn_gate_inp in; the choice by them. per_expert: weights [n_expert] of the chosen (-1: none); rounded: as
// op.h's round_weights.
void part_route(program *p, const hparams *h, const expert_buffers *b, int layer, view in, int per_expert,
                bool rounded);
// out = the sum of what the chosen experts make of `in`, by their weights; out may be `in`.
void part_experts(program *p, const hparams *h, const expert_buffers *b, int layer, view out, view in, activation act);
// t = sum + the shared expert's answer to t, by the token's factor for it.
void part_shared_expert(program *p, const hparams *h, const part_buffers *b, const expert_buffers *x, int layer);
// logits = output t (the embeddings where the file has no output of its own), soft-capped where cap is not 0.
void part_head(program *p, const hparams *h, const part_buffers *b, int embeddings, float cap);
// The cache that a layer reads: its own or the one it shares.
int  part_cache_of(const program *p, const hparams *h, int layer);

#endif
