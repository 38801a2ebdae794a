// probe: at which layer does a run part from the reference? The fixture keeps, for the last token of each prompt, some
// values and the norm of the hidden state after every layer; so a mismatch at the end can be laid at the door of the
// first layer that departs.
// Proved by tests/distance_test.c.
#ifndef HALLMARK_VERIFY_PROBE_H
#define HALLMARK_VERIFY_PROBE_H

#include "trace.h"

typedef struct {
    int    layer;           // first layer that departs (-1: the embeddings); LAYER_NONE of verify.h (-2) when none does
    int    bad_from;        // first layer whose hidden state is not finite or all zero; -2 when none is
    bool   all_zero;        // ... of the two, which it is
    double worst;           // largest relative departure seen at any layer; INFINITY when a layer is not finite
    int    worst_layer;     // ... and where
    int    n_first, n_first_equal;  // values kept of layer 0's output, and how many are the reference's own bits
} probe_result;

// hidden: [n_layer + 1][n_embd], the scaled embedding first, then each layer's output, for the prompt's last token.
// tolerance: layer l departs when a sampled value is further than t * max(|value|, norm / sqrt(n_embd)) from the
// reference's, or the norm further than t * norm, with t = tolerance * sqrt(l + 2): rounding adds up over the layers as
// a random walk does.
// Probes of layers and positions that hidden does not have are a departure.
probe_result probe_compare(const fixture_case *c, const float *hidden, int n_layer, int n_embd, double tolerance);

// The departure of each probe, for reports that show them: to->layers has room for c's.
void probe_trace(verify_case *to, const fixture_case *c, const float *hidden, int n_layer, int n_embd,
                 double tolerance);

#endif
