// tensor_map: which tensor of the checkpoint becomes which tensor of the file, by the family's tables.
// A tensor that no row maps, that is missing, or whose shape config.json does not give is an error by name. What is left out on
// purpose stands in a table, and the log shows how much of it there was.
#ifndef HALLMARK_CONVERT_TENSOR_MAP_H
#define HALLMARK_CONVERT_TENSOR_MAP_H

#include "../formats/progress.h"
#include "../formats/safetensors.h"
#include "../quant/policy.h"
#include "../quant/tensor_writer.h"
#include "hf_config.h"

enum { GGUF_NAME_BYTES = 64 };

typedef struct {
    char           name[GGUF_NAME_BYTES];   // in the file
    char          *where;                   // owned: "dir/model.safetensors: tensor 'x'", for messages
    tensor_source  src;                     // data borrowed from the st, or from the map (rope_freqs)
    int            n_dims;
    int64_t        shape[LIMIT_DIMS];
} mapped_tensor;

typedef struct {
    mapped_tensor *t;           // owned: [n] in file order: rope_freqs first, then as the checkpoint's files have them
    int64_t        n;
    bool           has_output;  // an output.weight of its own
    int64_t        n_params;    // elements of all tensors together
    float         *rope_freqs;  // owned: [head_dim / 2] factors, NULL for a family without
} tensor_map;

// ERR_INPUT names the tensor and its file. s must outlive the map. log may be NULL. Freed by tensor_map_free, also after a failure.
bool tensor_map_build(tensor_map *m, const st *s, const hf_config *c, progress *log, err *e);
void tensor_map_free(tensor_map *m);


#endif
