#include "rounding.h"
#include "distance.h"
#include "../formats/threads.h"
#include "../quant/blocks.h"
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

// ---- moving --------------------------------------------------------------------------------------------------------

// Where a block keeps the lowest bit of each weight: in every one of `n` bytes from `off` on, the bits of `mask`. The
// other value of that bit is the next step, up or down, and always one that the type has. share: of a twelfth of the
// step's square, what the type's encoder leaves of error on nearly normal weights: those that look for better scales
// leave less. tests/rounding_test.c measures it.
static const struct { dtype type; size_t block, off, n; uint8_t mask; double share; } LOW_BITS[] = {
    { DT_Q4_0, sizeof(q4_0_block), offsetof(q4_0_block, q), QUANT_BLOCK / 2, 0x11, 1 },
    { DT_Q4_1, sizeof(q4_1_block), offsetof(q4_1_block, q), QUANT_BLOCK / 2, 0x11, 0.95 },
    { DT_Q5_0, sizeof(q5_0_block), offsetof(q5_0_block, q), QUANT_BLOCK / 2, 0x11, 1 },
    { DT_Q5_1, sizeof(q5_1_block), offsetof(q5_1_block, q), QUANT_BLOCK / 2, 0x11, 0.95 },
    { DT_Q8_0, sizeof(q8_0_block), offsetof(q8_0_block, q), QUANT_BLOCK, 0x01, 0.95 },
    { DT_Q2_K, sizeof(q2_k_block), offsetof(q2_k_block, q), QUANT_SUPER / 4, 0x55, 0.79 },
    { DT_Q3_K, sizeof(q3_k_block), offsetof(q3_k_block, q), QUANT_SUPER / 4, 0x55, 0.92 },
    { DT_Q4_K, sizeof(q4_k_block), offsetof(q4_k_block, q), QUANT_SUPER / 2, 0x11, 0.78 },
    { DT_Q5_K, sizeof(q5_k_block), offsetof(q5_k_block, q), QUANT_SUPER / 2, 0x11, 0.86 },
    { DT_Q6_K, sizeof(q6_k_block), offsetof(q6_k_block, low), QUANT_SUPER / 2, 0x11, 0.82 },
    { DT_F16, sizeof(uint16_t), 0, 1, 0x01, 1 },            // one unit in the last place: little-endian
};

// Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014: SplitMix64's output for state x.
static uint64_t mixed(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t seed_of(const char *name)
{
    uint64_t h = 0;
    for (; *name; name++) h = mixed(h ^ (uint8_t)*name);
    return h;
}

// The bits of mask that move in byte number `at`: each with a probability of `often` / 65536.
static uint8_t moves(uint64_t seed, uint64_t at, uint8_t mask, uint32_t often)
{
    uint64_t x = mixed(seed ^ mixed(at));
    uint8_t  out = 0;
    for (int bit = 0; bit < 8; bit++) {
        if (!(mask >> bit & 1)) continue;
        if ((x & 0xffff) < often) out |= (uint8_t)(1u << bit);
        x >>= 16;                                           // four of them at most
    }
    return out;
}

bool rounding_move(uint8_t *bytes, int64_t n, dtype t, const char *name, int n_threads)
{
    const uint64_t seed = seed_of(name);
    size_t k = 0;
    while (k < sizeof LOW_BITS / sizeof *LOW_BITS && LOW_BITS[k].type != t) k++;
    if (k == sizeof LOW_BITS / sizeof *LOW_BITS) return false;
    const int64_t blocks = n / (int64_t)LOW_BITS[k].block;
    const uint32_t often = (uint32_t)(LOW_BITS[k].share * 65536 / 12);
#pragma omp parallel for schedule(static) num_threads(threads_or_cores(n_threads))
    for (int64_t b = 0; b < blocks; b++) {
        uint8_t *q = bytes + (size_t)b * LOW_BITS[k].block + LOW_BITS[k].off;
        for (size_t i = 0; i < LOW_BITS[k].n; i++)
            q[i] ^= moves(seed, (uint64_t)b * LOW_BITS[k].n + i, LOW_BITS[k].mask, often);
    }
    return true;
}

// ---- comparing -----------------------------------------------------------------------------------------------------

struct rounding {
    const fixture *f;
    float         *logits, *logprobs;   // [steps][top_k] of the artifact, of the fixture's ids
    int32_t       *top;                 // [steps]
    uint8_t      **bytes;               // [n_bytes] moved tensors, which the session borrows
    int64_t        n_bytes, n, equal;   // n: steps compared
    double         kl_sum;
};

rounding *rounding_new(const fixture *f, err *e)
{
    const size_t steps = (size_t)(f->n_cases * f->tokens), kept = steps * (size_t)f->top_k;
    rounding *r = calloc(1, sizeof *r);
    if (r) {
        r->f        = f;
        r->logits   = calloc(kept + 1, sizeof *r->logits);
        r->logprobs = calloc(kept + 1, sizeof *r->logprobs);
        r->top      = calloc(steps + 1, sizeof *r->top);
    }
    if (r && r->logits && r->logprobs && r->top) return r;
    rounding_free(r);
    err_nomem(e, "what each step says", 2 * kept * sizeof(float));
    return NULL;
}

void rounding_free(rounding *r)
{
    if (!r) return;
    for (int64_t i = 0; i < r->n_bytes; i++) free(r->bytes[i]);
    free(r->bytes);
    free(r->top);
    free(r->logprobs);
    free(r->logits);
    free(r);
}

void rounding_keep(rounding *r, int64_t c, int64_t step, const float *logits, int64_t n_vocab)
{
    const int64_t at = c * r->f->tokens + step;
    const int32_t *ids = r->f->cases[c].steps[step].ids;
    int32_t top = 0;
    double  sum = 0;
    for (int64_t i = 1; i < n_vocab; i++)
        if (logits[i] > logits[top]) top = (int32_t)i;
    for (int64_t i = 0; i < n_vocab; i++) sum += exp((double)logits[i] - (double)logits[top]);
    const double lse = (double)logits[top] + log(sum);
    for (int k = 0; k < r->f->top_k; k++) {
        r->logits[at * r->f->top_k + k]   = logits[ids[k]];
        r->logprobs[at * r->f->top_k + k] = (float)((double)logits[ids[k]] - lse);
    }
    r->top[at] = top;
}

void rounding_compare(rounding *r, int64_t c, int64_t step, const float *logits, int64_t n_vocab)
{
    const int64_t at = c * r->f->tokens + step;
    fixture_step own = r->f->cases[c].steps[step];          // the same ids, as the artifact has them
    own.logits   = r->logits + at * r->f->top_k;
    own.logprobs = r->logprobs + at * r->f->top_k;
    const distance d = distance_at(&own, r->f->top_k, logits, n_vocab);
    r->kl_sum += d.kl;
    r->equal  += d.top == r->top[at];
    r->n++;
}

double  rounding_kl_mean(const rounding *r)    { return r->n > 0 ? r->kl_sum / (double)r->n : NAN; }
int64_t rounding_top1_equal(const rounding *r) { return r->equal; }

// ---- the moved weights in a session --------------------------------------------------------------------------------

static bool replace(rounding *r, session *s, const gguf_tensor *t, int n_threads, err *e)
{
    gguf_tensor moved = *t;
    bool used;
    uint8_t *bytes = malloc((size_t)t->n_bytes + 1);
    if (!bytes) return err_nomem(e, "a tensor", (size_t)t->n_bytes);
    memcpy(bytes, t->data, (size_t)t->n_bytes);
    moved.data = bytes;
    if (!rounding_move(bytes, t->n_bytes, t->type, t->name, n_threads)) {
        free(bytes);
        return true;
    }
    r->bytes[r->n_bytes++] = bytes;
    return session_replace_weight(s, &moved, &used, e);
}

bool rounding_apply(rounding *r, session *s, const model *m, int n_threads, err *e)
{
    const gguf *g = model_gguf(m);
    const int64_t n = gguf_n_tensors(g);
    r->bytes = calloc((size_t)n + 1, sizeof *r->bytes);
    if (!r->bytes) return err_nomem(e, "the list of tensors", (size_t)n * sizeof *r->bytes);
    for (int64_t i = 0; i < n; i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (t->n_dims == 2 && !replace(r, s, t, n_threads, e)) return false;
    }
    return true;
}
