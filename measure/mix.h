// mix: a quantization made to order: the type of each tensor chosen from what its quantization alone costs, to meet a
// number of bytes or a KL.
//
// Which tensors are quantized at all is the policy's rule (norms, scales and the like keep their type); each of those
// may take any block type that divides its rows: Q2_K Q3_K Q4_K Q5_K Q6_K Q4_0 Q4_1 Q5_0 Q5_1 Q8_0; rows that 32 does
// not divide become F16 (whose rounding is not in the KL). sensitivity.h measures, mix_solve.h chooses; the chosen mix
// is run, and its KL stands in the result beside the sum that was predicted. With a largest KL the search repeats that
// for other sizes until the measured figure fits. Deterministic: the same input, texts and options give the same types.
// With a folder for its state (mix_state.h) a search that was killed goes on: what is there is not measured again.
// Memory: the chosen tensors (the size of the file to be), and at most 1 GiB of the source's logits. Proved by
// tests/mix_test.c, tests/e2e/mix.sh and tests/e2e/mix_state.sh.
#ifndef HALLMARK_MEASURE_MIX_H
#define HALLMARK_MEASURE_MIX_H

#include "../quant/quantize.h"
#include "sensitivity.h"

typedef struct {        // exactly one of the first four is set
    double    bits;         // bits a weight, over all tensors of the file; 0: not asked for
    int64_t   bytes;        // of all tensors; 0 likewise
    file_type like;         // as many bytes as this type's fixed mix takes; FT_INVALID likewise
    double    max_kl;       // the largest mean KL, in nats; 0 likewise
} mix_target;

// "180MB", "24GiB", "123456B": bytes, from 1 to 1e15. false: it is no size.
bool mix_parse_bytes(const char *text, int64_t *bytes);

// "4.5bpw", "180MB", "180MiB", "2.1GB", "2GiB", "123456B", or a file type: "q4_k_m". ERR_USAGE.
bool mix_parse_budget(mix_target *t, const char *text, err *e);
// A number above 0. ERR_USAGE.
bool mix_parse_kl(mix_target *t, const char *text, err *e);

typedef struct {
    char   *name;
    dtype   from, to;
    int     n_dims;
    int64_t shape[4], bytes;    // bytes: of `to`
    bool    chosen;             // by the search; false: the policy's rule
    double  kl;                 // predicted: of this tensor alone in its type
} mix_row;

typedef struct {
    int64_t    n;
    mix_row   *rows;            // [n], file order
    dtype     *types;           // [n], for quantize_opts
    file_type  type;            // general.file_type: the nearest in size, of the layers' matrices (quant/type_of.h)
    int64_t    n_elems, bytes;  // of all tensors
    double     bits;            // 8 * bytes / n_elems
    double     kl_predicted;    // sum of the rows'
    divergence measured;        // of the whole mix, on the same text
    int        n_measured;      // mixes whose KL was asked for
    // JSON, for hallmark.quantize.mix: target, digests of the texts and the importance matrix, KL, type of each tensor
    char      *record;
} mix_result;

// Freed by mix_free. ERR_USAGE: no target, no text, a budget below the least possible (named); ERR_VERDICT: no mix is
// within max_kl (the best is named); ERR_INPUT as quantize_file, divergence and imatrix; of a state as mix_state_open.
bool mix_find(mix_result *r, const char *in_path, const mix_target *target, const sensitivity_opts *o, err *e);
void mix_free(mix_result *r);

#endif
