// program: a model's forward pass as a list of operations, with the buffers, weights, caches and rotary tables that
// they name by index. Made from hyperparameters alone by a family's build() (nets/), before any file or device is
// touched; so a plan, a list for people and a running net come from the same place. Proved by tests/op_test.c.
#ifndef HALLMARK_RUNTIME_PROGRAM_H
#define HALLMARK_RUNTIME_PROGRAM_H

#include "../arch/tensors.h"
#include "model.h"
#include "op.h"

typedef struct {            // an activation: floats of one token
    const char *name;
    int64_t     floats;
    bool        of_logits;  // for as many tokens as have their logits computed at a time; else for a batch
} program_buffer;

// Under ARITH_BF16 the reference holds all parameters in bfloat16, also those that a checkpoint has in F32: Qwen 3.5's
// A_log and gated norm.
typedef enum {
    CAST_NONE,              // nothing: the file's values are those that the reference computes with
    CAST_ROUND,             // they are rounded
    CAST_ROUND_LOG,         // -e^A: A is rounded
    CAST_ADD_ONE,           // 1 is added, in any arithmetic; tests plant it
} weight_cast;

typedef struct {            // a tensor of the file
    char    name[64];
    int64_t rows, cols;     // a vector has rows 1
    // a tensor of three dimensions: `rows` are those of so many matrices, one behind the other; 0: a matrix
    int     experts;
    int     used;           // of how many of them a step reads: those that a token goes to
    bool    vector;         // F32, one dimension
    bool    plain;          // F32, of two dimensions: what is no product's weight
    bool    optional;       // may be absent: then `instead` is used, or (-1) nothing
    // a file may hold it, or must, but no operation reads it: shape and type are checked, nothing is loaded
    bool    unread;
    int     instead;
    weight_cast cast;       // of a tensor in F32
    bool    by_rows;        // a step reads single rows of it (embeddings), unless another operation multiplies with it
} program_weight;

// what a recurrent layer keeps (backend.h)
typedef struct { int layer; int64_t conv_floats, s_floats; } program_state;

typedef struct { int layer; } program_cache;       // whose keys and values; shape and capacity are the layer's

typedef struct {    // inverse frequencies: 1 / base^(2i / d) / linear, divided by factors[i] where there are any
    int          head_dim;
    float        base, linear;
    const float *factors;   // [head_dim / 2] or NULL; borrowed from the hyperparameters
} program_rope;

typedef struct {
    op             *ops;    // the layers; leaves in buffer `normed` what the head multiplies
    int             n_ops;
    op             *head;   // logits of tokens `first` .. of the batch
    int             n_head;
    program_buffer *buffers;
    int             n_buffers;
    program_weight *weights;
    int             n_weights;
    program_cache  *caches;
    int             n_caches;
    program_state  *states;
    int             n_states;
    program_rope   *ropes;
    int             n_ropes;
    int             logits;             // the buffer of logits
    int             n_marks;            // hidden states that probes may ask for
    int64_t         mark_dim;
    bool            failed;             // out of memory while it was built
    bool            in_head;            // operations are appended to the head
    op              nowhere;            // what program_add gives when memory is gone: written to, read by nobody
} program;

// The program of a model. ERR_SYSTEM without memory. Freed by program_free, also after a failure.
bool program_build(program *p, const hparams *h, err *e);
void program_free(program *p);

// The file's tensor of that name, checked: shape, a type that can be run, presence. *found NULL: absent, and it may be.
// ERR_INPUT otherwise.
bool program_find_tensor(const gguf *g, const program_weight *want, const gguf_tensor **found, err *e);
// Does the file hold the tensors that a model of these hyperparameters has, each in its shape and a type that can be
// run, and no others? ERR_INPUT names the first that is not so. No weight is read. Proved by tests/broken_gguf_test.c.
bool program_check_tensors(const hparams *h, const gguf *g, err *e);

// ---- for build() ----------------------------------------------------------------------------------------------------
// Each returns the index of what it adds (-1 where memory is gone, which program_build and program_rotate report).

int  program_add_buffer(program *p, const char *name, int64_t floats);
// "blk.3.attn_q": ".weight" is added
int  program_add_weight(program *p, const char *name, bool vector, int64_t rows, int64_t cols);
int  program_layer_weight(program *p, int layer, const char *name, bool vector, int64_t rows, int64_t cols);
int  program_layer_bias(program *p, int layer, const char *name, int64_t n);                       // ".bias", one row
// F32, its name as it is
int  program_layer_vector(program *p, int layer, const char *name, int64_t n);
// Matrices [rows][cols] of `experts`, of which a token goes to `used`.
int  program_layer_experts(program *p, int layer, const char *name, int experts, int used, int64_t rows, int64_t cols);
// As the architecture's table has it, of sizes of one block (m->block[0]).
int  program_row_weight(program *p, int layer, const tensor_row *r, const model_sizes *m);
int  program_add_cache(program *p, int layer);
int  program_add_state(program *p, int layer, int64_t conv_floats, int64_t s_floats);
// The file may hold w and no operation reads it.
void program_unread(program *p, int w);
int  program_add_rope(program *p, int head_dim, float base, float linear, const float *factors);
op  *program_add(program *p, op_kind kind, int layer);      // to be filled in at once; never NULL
view program_view(const program *p, int buffer);            // the whole buffer: a row a token

// The families.
void gemma_build(program *p, const hparams *h);     // Gemma 3 and 4
void llama_build(program *p, const hparams *h);     // Llama, Mistral, Qwen 2 and 3, with experts too
void qwen35_build(program *p, const hparams *h);    // Qwen 3.5 and later, with experts too

#endif
