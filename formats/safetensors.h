// safetensors: a Hugging Face checkpoint's tensors, one file or shards behind model.safetensors.index.json.
// Rules of the format are enforced: header length in bounds, JSON header, offsets ascending without hole or overlap
// from 0 to the end of the file, shape times dtype equal to the byte count, no duplicate names.
// Proved by tests/safetensors_test.c and tests/fuzz/safetensors_fuzz.c.
#ifndef HALLMARK_FORMATS_SAFETENSORS_H
#define HALLMARK_FORMATS_SAFETENSORS_H

#include "checked.h"
#include "dtype.h"
#include "err.h"
#include "file_map.h"

typedef struct {
    const char    *name;                // borrowed until st_close
    dtype          type;    // a float (dtype_is_float); DT_INVALID for another, refused by name at st_require_float
    const char    *dtype_text;          // as the file spells it ("BF16", "F8_E4M3", ...)
    int            n_dims;
    int64_t        shape[8];            // unused ones are 1; a dimension of 0 is allowed
    int64_t        n_elems;
    int64_t        n_bytes;
    int64_t        off;                 // absolute offset in its file
    int            file;                // index for st_file
    const uint8_t *data;                // borrowed from the mapping; not aligned: the header's length is whatever it is
} st_tensor;

typedef struct st st;

// dir: a Hugging Face folder. model.safetensors if present, else what model.safetensors.index.json names (each a plain
// name inside dir that ends in .safetensors, links followed; the tensors are those of these files, each in one of them
// only). So Transformers does it (modeling_utils, _get_resolved_checkpoint_files). ERR_INPUT names the file and place.
st  *st_open_dir(const char *dir, err *e);
st  *st_open_file(const char *path, err *e);
st  *st_open_mem(const uint8_t *data, int64_t n, const char *name, err *e);     // borrowed; for tests and fuzzing
void st_close(st *s);

int64_t          st_n_tensors(const st *s);
const st_tensor *st_at(const st *s, int64_t i);                         // sorted by name
const st_tensor *st_find(const st *s, const char *name);                // NULL if absent
int              st_n_files(const st *s);
const file_map  *st_file(const st *s, int i);
// Tensors that the index lists and no file has, sorted by name, and the file it names for each: missing, for whoever
// needs them.
int64_t          st_n_absent(const st *s);
const char      *st_absent(const st *s, int64_t i, const char **file);  // file may be NULL
// How many tensors the index does not list, or lists for another file than theirs; *first: the first one, or NULL.
int64_t          st_n_misplaced(const st *s, const st_tensor **first);
// ERR_INPUT "file: tensor 'x': found dtype I8, expected a float (...)" unless type is a float that f32_from_float_run
// reads. Transformers casts integers and booleans to the model's dtype, too; as weights they are the codes of a
// quantized checkpoint without its scales.
bool             st_require_float(const st *s, const st_tensor *t, err *e);

// Do two tensors of float types hold the same numbers, whatever their types (F64 as rounded to F32; NaN is equal to
// NaN)? false where they have another number of elements. Memory stays within some 50 MB however large they are: pages
// that were read are let go.
bool             st_same_numbers(const st *s, const st_tensor *a, const st_tensor *b);
bool             st_index_unread(const st *s);      // an index stands beside the model.safetensors that was read
bool             st_is_borrowed(const st *s);    // of st_open_mem: the bytes are no mapping of a file

#endif
