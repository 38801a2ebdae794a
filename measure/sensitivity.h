// sensitivity: what quantizing one tensor alone costs the model, in KL from itself over a text.
//
// A probe holds the source model (F32, F16 or BF16), its logits over sampled chunks of the texts, and one session in
// which matrices are replaced in memory. KL is of second order in a small error, so a tensor's KL grows as its squared
// error does: for a layer's matrix one type is run, and the others follow from their errors, each column weighted with
// the mean square of what it is multiplied with. The token embeddings, whose inputs are not seen, are run in every
// type. Figures are rounded to six digits, so that another C library's last bits do not decide anything.
// On the CPU the same for any number of threads and any SIMD level; a GPU sums in another order. Proved by
// tests/mix_test.c.
#ifndef HALLMARK_MEASURE_SENSITIVITY_H
#define HALLMARK_MEASURE_SENSITIVITY_H

#include "../formats/progress.h"
#include "../quant/imatrix.h"
#include "divergence.h"

typedef struct {
    const char *const *texts;   // files of UTF-8 text; at least one
    int          n_texts;
    int64_t      chunk;         // tokens of a chunk; 0: 128
    int64_t      samples;       // chunks run, evenly spread over the texts; 0: 4
    bool         exact;         // every type of every tensor is run, none is derived from another
    const char  *imatrix;       // path or NULL: what the encoders use
    const char  *state;         // a folder where mix_find keeps what is measured (mix_state.h); NULL: in memory alone
    bool         many_states;   // it holds such a folder for each thing that is measured
    session_opts run;           // device, threads; arithmetic is F32
    progress    *progress;      // may be NULL
} sensitivity_opts;

typedef struct probe probe;

// ERR_USAGE: no text; ERR_INPUT: a text shorter than a chunk, a model that cannot be run, an importance matrix that
// does not fit.
probe *probe_open(const char *path, const sensitivity_opts *o, err *e);
void   probe_close(probe *p);
// Runs the source over the chunks, twice, unless that is done: what the others need, and the first of them asks for.
bool   probe_prepare(probe *p, err *e);
const model *probe_model(const probe *p);
int64_t      probe_samples(const probe *p);     // chunks that are run: fewer than asked for when the texts are short
int64_t      probe_chunk(const probe *p);       // tokens of each
const char  *probe_device(const probe *p);      // "cpu", "cuda"
const char  *probe_text_digest(const probe *p, int i);  // the SHA-256 of text i, in hex
// Of a probe that is prepared: what one run over the chunks took.
double       probe_pass_seconds(const probe *p);
// Likewise: runs over the chunks that probe_tensor makes for that tensor in n types, and tells o->progress of.
int64_t      probe_passes(const probe *p, const char *name, int n);

// kl[k] for tensor `name` in types[k], k < n, all block types that divide its rows. 0 for all where the forward pass
// reads no such matrix.
bool probe_tensor(probe *p, const char *name, const dtype *types, int n, double *kl, err *e);

// The model with n tensors replaced together. What an earlier call encoded and this one has too is not encoded again;
// memory: the bytes of all n.
bool probe_mix(probe *p, const char *const *names, const dtype *types, int64_t n, divergence *d, err *e);

#endif
