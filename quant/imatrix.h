// imatrix: an importance matrix: for each weight matrix, the mean square of what it is multiplied with, column by
// column.
//
// Read from llama.cpp's GGUF form (two F32 tensors for each entry, "<name>.in_sum2" and "<name>.counts", one row for
// each expert) and from its older .dat form. Values become what llama-quantize makes of them: sum / count, and 1 for an
// expert that no token reached.
#ifndef HALLMARK_QUANT_IMATRIX_H
#define HALLMARK_QUANT_IMATRIX_H

#include "../formats/err.h"
#include "../formats/gguf.h"
#include "../formats/progress.h"
#include "policy.h"

typedef struct imatrix imatrix;

// ERR_INPUT names file and entry: truncated, a missing half, a type other than F32, a value that is negative or not
// finite, no entries.
imatrix *imatrix_open(const char *path, err *e);
// The same over bytes in memory, borrowed during the call; `name` stands for the path in messages.
imatrix *imatrix_open_mem(const uint8_t *data, int64_t n, const char *name, err *e);
void     imatrix_close(imatrix *m);             // NULL is allowed

const char *imatrix_path(const imatrix *m);
const char *imatrix_dataset(const imatrix *m);  // first text it was computed on; "" if it does not say
int64_t     imatrix_n_chunks(const imatrix *m); // 0 if it does not say
int64_t     imatrix_n_entries(const imatrix *m);

// For the log, where a matrix was given and no tensor becomes blocks: it is then not named in the file.
#define IMATRIX_IDLE "warning: --imatrix does nothing: no tensor becomes blocks"

// Plans llama.cpp's keys that say which matrix a file was made with: its name (where it lay is nobody's business),
// text, entries and chunks.
bool imatrix_plan_keys(const imatrix *m, gguf_plan *p, err *e);

// The values of a tensor, borrowed until imatrix_close, or NULL if it has no entry. *n: how many.
const float *imatrix_find(const imatrix *m, const char *tensor, int64_t *n);

// What computing a matrix cannot reach, because no forward pass uses it: k and v of layers from first_shared_kv on
// (whose keys and values are an earlier layer's), and blocks from first_mtp on (which guess the token after the next).
// Both are the number of layers where there are none.
typedef struct { int64_t first_shared_kv, first_mtp; } imatrix_reach;

// What tensor t needs on its way to type `to`: *importance is [cols], for 3-D tensors [shape[0]][cols], borrowed; or
// NULL where none is used: types without a search, and tensors that no matrix product of the model sees, which
// computing a matrix cannot reach: the embeddings (output.weight is often left out too), and what is out of `reach`.
// Any other tensor without an entry, and any entry of another width, is ERR_INPUT naming the tensor.
bool imatrix_for_tensor(const imatrix *m, const policy_tensor *t, dtype to, imatrix_reach reach,
                        const float **importance, err *e);

// Warns, in a line for each kind, of experts that the matrix knows little of, among n tensors of which types[i] has
// blocks: how many no token reached (their columns count alike, as in llama-quantize), how many fewer than IMATRIX_FEW
// tokens did (their values are used as they are), and the first of each by name. log may be NULL.
enum { IMATRIX_FEW = 16 };
void imatrix_tell_experts(const imatrix *m, const policy_tensor *t, const dtype *types, int64_t n, progress *log);

#endif
