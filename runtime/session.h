// session: one sequence being run: a backend, the weights on it, a KV cache, scratch memory. Not to be shared between
// threads.
#ifndef HALLMARK_RUNTIME_SESSION_H
#define HALLMARK_RUNTIME_SESSION_H

#include "argmax.h"
#include "backend.h"
#include "kv_spec.h"
#include "model.h"
#include "../formats/progress.h"

typedef struct session session;

typedef struct {
    const char *device;     // "auto", "cpu", "cuda"; NULL: "auto"
    const char *kv;         // a cache in words (kv_spec.h); NULL: what the artifact requires in the chosen arithmetic
    const char *arith;      // "f32","bf16"; NULL: bf16 for a BF16 file, f32 for all others
    int         n_threads;  // 0: all cores
    int64_t     n_ctx;      // positions to make room for
    int         n_batch;    // tokens of one prefill step; 0: what suits the device (backend.h)
    fault       fault;      // test builds only
    const char *simd;       // NULL: auto
    // Sessions that are run in turn, never at the same time, need not have everything of their own. Both of these
    // outlive the new one; its device, threads, batch and simd are those of scratch_of, and it records no steps.
    // ERR_USAGE: another arithmetic or context than scratch_of's, another model than weights_of's.
    const session *weights_of;      // of the same model, on the backend of scratch_of: its weights are used. NULL: none
    const session *scratch_of;      // its backend and activations are used. NULL: none
    bool        logits_too;         // and the place of its held logits
    // every product has the bits of every other machine's, at a price in speed (unless HALLMARK_CUDA_PRODUCTS asks for
    // another way): for what ends in a file or a verdict
    bool        reproducible;
} session_opts;

// ERR_USAGE on an unknown name, or a KV cache that the model cannot have; ERR_SYSTEM when memory or device fails.
session *session_new(const model *m, const session_opts *o, err *e);
void     session_free(session *s);

// Whether a session on that device could be opened, models aside: asked before long work that ends in one. `auto`
// always can, unless the environment asks for what nobody knows (ERR_USAGE).
bool session_device_there(const char *device, err *e);

// Runs n ids after what was run before. logits: [n_logits][n_vocab] F32 of the last n_logits positions, host memory
// (n_logits may be 0). hidden (may be NULL): [n_layer + 1][n_embd], the hidden state of the last of the n tokens: the
// scaled embedding, then each layer's output.
// ERR_USAGE when n_ctx would overflow, ERR_INPUT on an id outside the vocabulary.
// One token after another with its logits (n 1, n_logits 1, no hidden) runs from the second on as generation does: as
// the recorded step of a device that records. So what verification compares is what generation runs.
bool session_eval(session *s, const int32_t *ids, int64_t n, float *logits, int64_t n_logits, float *hidden, err *e);

// ---- scoring: figures of a text's logits, which stay where they are computed (score.h) ----

// Runs ids, n of them, teacher-forced: out[i] says of the logits after ids[i], with the logit of ids[i + 1] (of `last`
// after the last; -1: of none). Errors as of session_eval.
bool session_score(session *s, const int32_t *ids, int64_t n, int32_t last, row_stats *out, err *e);

// The same in steps, for who compares sessions. n: 1 to session_batch ids, run after what was run before.
bool session_step(session *s, const int32_t *ids, int n, err *e);
int  session_batch(const session *s);
// Holds the logits of tokens first .. first + n - 1 of the last session_step, n at most session_hold_rows, for the
// calls below, until s runs, holds or is asked for anything else.
bool session_hold(session *s, int first, int n, err *e);
int  session_hold_rows(const session *s);
// next: [n] ids whose logits are wanted, -1: none
bool session_held_stats(session *s, const int32_t *next, row_stats *out, err *e);
bool session_held_logits(session *s, float *logits, err *e);                            // host [n][n_vocab]
// The k (1 <= k <= n_vocab) largest of each, by value, then by lower id; in ascending order of ids. Host [n][k] both.
bool session_held_top(session *s, int64_t k, int32_t *ids, float *logits, err *e);
// kl[i]: KL(reference || s) at held position i, in nats; stats: of s, as session_held_stats gave them. 0 where either
// is not finite.
bool session_held_kl(session *s, const row_stats *stats, const row_reference *ref, double *kl, err *e);
// The reference is what `other` holds: as many rows, of the same vocabulary; on any backend. ERR_USAGE otherwise.
bool session_held_kl_from(session *s, const row_stats *stats, session *other, const row_stats *other_stats, double *kl,
                          err *e);

// Sees the input of every product of a layer (of one expert at a time, where there are experts), borrowed during the
// call. NULL: no more.
// Importance matrices are made of it.
bool session_observe(session *s, void (*fn)(void *ctx, const product_input *in), void *ctx, err *e);

// From here on the session runs with t in the place of the matrix of its name, in any type it can decode: what one
// tensor's quantization costs is measured so. t's data is borrowed until the matrix is replaced again (the model's own
// tensor puts it back) or session_free; what was run before is not forgotten: call session_reset. *used: false where
// the forward pass reads no such matrix (keys of a layer that shares them).
// ERR_USAGE: a vector, another shape, a session that has generated, or run single steps, on a device that records them.
// Proved by tests/mix_test.c.
bool session_replace_weight(session *s, const gguf_tensor *t, bool *used, err *e);

// From here on p is told of the tokens that session_eval and session_generate run, as many at a time as are run at once
// (progress_add with their number, and no item). NULL: nobody is.
void session_tell(session *s, progress *p);

// Forgets everything run so far.
void session_reset(session *s);
int64_t session_pos(const session *s);

const char *session_device(const session *s);      // "cpu", "cuda"
const char *session_processor(const session *s);   // of a CPU the instructions that are used, "avx2"; a GPU's name
const char *session_kv(const session *s);          // the cache in use, as kv_spec_text has it
const char *session_arith(const session *s);
// false when --kv asked for another dtype than the artifact requires
bool        session_kv_is_required(const session *s);
// why `auto` fell back to the CPU, or in what this device's numbers may differ; "": nothing to say
const char *session_note(const session *s);
int64_t     session_memory_bytes(const session *s); // weights, cache and scratch
void        session_plan(const session *s, memory_plan *p);
// Bytes per second that the device's own memory delivers, measured now: the limit of a decode step. 0 where the backend
// has no memory of its own (the CPU's is measured elsewhere).
bool        session_copy_rate(session *s, double *bytes_per_s, err *e);
// What bringing the weights to the device took, file's mapping to device memory, and how many bytes they are. 0 seconds
// where nothing is brought
// anywhere: the CPU runs on the mapping.
void        session_load(const session *s, double *seconds, int64_t *bytes);
int64_t     session_step_bytes(const session *s, int64_t pos);  // bytes a decode step at pos must read: weights + cache

// Greedy generation: evaluates prompt, then up to n_new ids into out; stops after an end-of-text id (kept as the last)
// unless ignore_eos. Returns the count, or -1 on failure. on_token (may be NULL) sees each id as it comes.
int64_t session_generate(session *s, const int32_t *prompt, int64_t n_prompt, int32_t *out, int64_t n_new,
                         bool ignore_eos, void (*on_token)(void *ctx, int32_t id), void *ctx, err *e);

#endif
