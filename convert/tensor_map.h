// tensor_map: which tensor of the checkpoint becomes which tensor of the file, by the family's tables.
// What becomes of each tensor on the way, and which may not be there, is decided in tensor_slots.c and tensor_change.c.
// A tensor that no row maps, that is missing, or whose shape config.json does not give is an error by name. What is
// left out on purpose stands in a table, and the log shows how much of it there was.
#ifndef HALLMARK_CONVERT_TENSOR_MAP_H
#define HALLMARK_CONVERT_TENSOR_MAP_H

#include "../arch/tensors.h"
#include "../formats/progress.h"
#include "../formats/safetensors.h"
#include "../quant/policy.h"
#include "../quant/tensor_writer.h"
#include "hf_config.h"

typedef struct {
    char           name[TENSOR_NAME_BYTES]; // in the file
    char          *where;                   // owned: "dir/model.safetensors: tensor 'x'", for messages
    tensor_source  src;                     // data borrowed from the st, or from the map (rope_freqs, parts)
    const uint8_t **parts;                  // owned: of experts that are stacked; else NULL
    tensor_role    role;
    int            n_dims;
    int64_t        shape[LIMIT_DIMS];
} mapped_tensor;

typedef struct {
    mapped_tensor *t;           // owned: [n] in file order: rope_freqs first, then as the checkpoint's files have them
    int64_t        n;
    bool           has_output;  // an output.weight of its own
    int64_t        n_params;    // elements of all tensors together
    int64_t        n_expert_params;     // of those of experts
    float         *rope_freqs;  // owned: [head_dim / 2] factors, NULL for a family without
} tensor_map;

// ERR_INPUT names the tensor and its file. s must outlive the map. log may be NULL. Freed by tensor_map_free, also
// after a failure.
bool tensor_map_build(tensor_map *m, const st *s, const hf_config *c, progress *log, err *e);
void tensor_map_free(tensor_map *m);

// Settles how many blocks that guess further tokens the file gets (c->n_mtp), before the map is built: none where they
// are to be left out; none, which the log says, where config.json promises one and the weights have none (text-only
// exports often do); those of the weights where config.json does not speak of them. ERR_INPUT: more than one.
bool tensor_map_settle_mtp(hf_config *c, const st *s, bool leave_out, progress *log, err *e);

#endif
