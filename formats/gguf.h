// gguf: reading and writing GGUF files (ggml's docs/gguf.md; versions 2 and 3 read, 3 written, little-endian only).
//
// Reading maps the file; metadata and tensor data are borrowed from the mapping until gguf_close.
// Writing plans the whole header first (gguf_plan_*), so that every tensor offset is known before any data is read.
// Shapes are in Hugging Face order everywhere (slowest dimension first: [rows][cols]); only gguf.c reverses them.
// Reading is gguf.c and gguf_value.c, writing gguf_plan.c. Proved by tests/gguf_test.c and tests/fuzz/gguf_fuzz.c.
#ifndef HALLMARK_FORMATS_GGUF_H
#define HALLMARK_FORMATS_GGUF_H

#include "checked.h"
#include "dtype.h"
#include "err.h"
#include "outfile.h"
#include <stdint.h>

typedef enum {      // value types, as stored
    GGUF_U8 = 0, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY,
    GGUF_U64, GGUF_I64, GGUF_F64,
} gguf_type;

const char *gguf_type_name(gguf_type t);    // "u8", ... "f64", "string", "array"; "?" for another number
int         gguf_type_bytes(gguf_type t);   // bytes of one stored element; 0 for strings, arrays and other numbers

typedef struct {            // a string inside the file: not NUL-terminated, may hold any bytes
    const char *s;
    int64_t     n;
} gguf_str;

typedef struct {
    const char    *key;     // NUL-terminated
    gguf_type      type;    // GGUF_ARRAY for arrays
    gguf_type      elem;    // element type of an array; equal to type otherwise
    int64_t        n;       // elements; 1 for a scalar
    const uint8_t *data;    // the value's bytes as stored (an array's elements, without its type and count; a string
                            // with its u64 length before it, in arrays too); not aligned
    int64_t        n_bytes;
    int64_t        off;     // offset of the pair in the file, for messages
} gguf_kv;

typedef struct {
    const char    *name;                // NUL-terminated
    dtype          type;
    int            n_dims;              // 1 to LIMIT_DIMS, as gguf_count_dims counts them
    int            n_stored;            // as the file has them; a plan writes n_dims
    int64_t        shape[LIMIT_DIMS];   // Hugging Face order: n_dims of them; unused ones are 1
    int64_t        n_elems;
    int64_t        n_bytes;
    int64_t        off;                 // absolute offset in the file
    const uint8_t *data;                // borrowed from the mapping
} gguf_tensor;

typedef struct gguf gguf;

// ggml knows four dimensions of every tensor, and counts those up to the last that is more than 1, but at least one: a
// vector that is stored as [n, 1, 1, 1] is the same vector, and a single weight without dimensions is a row of one. (In
// Hugging Face order the ones stand first.) Fills shape, ones behind; returns how many count.
int gguf_count_dims(int n_dims, const int64_t *stored, int64_t shape[LIMIT_DIMS]);
// A row is what the last dimension holds; a tensor of one dimension is one row.
static inline int64_t gguf_tensor_cols(const gguf_tensor *t) { return t->shape[t->n_dims - 1]; }
static inline int64_t gguf_tensor_rows(const gguf_tensor *t) { return t->n_elems / gguf_tensor_cols(t); }

// Opens and checks a file wholly: magic, version, counts against the bytes left, types, string lengths, booleans,
// duplicate keys and tensor names, nested arrays (refused), alignment (a power of two and a multiple of 8, as the
// specification asks), dimensions (none is 0), tensor offsets (aligned, in bounds, not overlapping). ERR_INPUT names
// the place. Freed by gguf_close.
// Costs one pass over the metadata; tensor data is not touched.
gguf *gguf_open(const char *path, err *e);
// The same where messages, and gguf_path, shall name the file as `name`: one that is still being written names its
// destination.
gguf *gguf_open_as(const char *path, const char *name, err *e);
gguf *gguf_open_in(const char *dir, const char *name, err *e);         // dir/name
// The same over bytes in memory, borrowed until gguf_close; `name` stands for the path in messages.
gguf *gguf_open_mem(const uint8_t *data, int64_t n, const char *name, err *e);
void  gguf_close(gguf *g);

const char        *gguf_path(const gguf *g);
int                gguf_version(const gguf *g);
int64_t            gguf_alignment(const gguf *g);
int64_t            gguf_data_off(const gguf *g);        // where tensor data begins
int64_t            gguf_file_bytes(const gguf *g);
int                gguf_fd(const gguf *g);              // -1 for gguf_open_mem
int64_t            gguf_n_kv(const gguf *g);
const gguf_kv     *gguf_kv_at(const gguf *g, int64_t i);
const gguf_kv     *gguf_find_kv(const gguf *g, const char *key);               // NULL if absent
int64_t            gguf_n_tensors(const gguf *g);
const gguf_tensor *gguf_tensor_at(const gguf *g, int64_t i);                   // file order
const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name);          // by binary search; NULL if absent

// Typed values. A missing key or another type is ERR_INPUT naming file and key; _or forms give a default when absent.
// Integers of any width are accepted where an integer is asked for, if the value fits.
bool gguf_get_i64(const gguf *g, const char *key, int64_t *out, err *e);
bool gguf_get_i64_or(const gguf *g, const char *key, int64_t def, int64_t *out, err *e);
bool gguf_get_f32(const gguf *g, const char *key, float *out, err *e);
bool gguf_get_f32_or(const gguf *g, const char *key, float def, float *out, err *e);
bool gguf_get_bool_or(const gguf *g, const char *key, bool def, bool *out, err *e);
bool gguf_get_str(const gguf *g, const char *key, gguf_str *out, err *e);
// malloc'd, NUL-terminated; refuses embedded NUL
bool gguf_get_cstr(const gguf *g, const char *key, char **out, err *e);

// The same from a pair in hand (a plan's too); false if kv is NULL or another type.
bool gguf_kv_str(const gguf_kv *kv, gguf_str *out);
// Of one type, and the same bytes; their keys may differ.
bool gguf_kv_same(const gguf_kv *a, const gguf_kv *b);
// Array elements by index, checked; kv from gguf_find_kv; a scalar counts as an array of one, a boolean as 0 or 1.
// Strings are of variable length: walk them with an iterator.
bool gguf_arr_i64(const gguf_kv *kv, int64_t i, int64_t *out);
bool gguf_arr_f32(const gguf_kv *kv, int64_t i, float *out);
typedef struct { const uint8_t *p, *end; } gguf_str_iter;
gguf_str_iter gguf_strs(const gguf_kv *kv);                 // empty for a value that is not an array of strings
bool          gguf_next_str(gguf_str_iter *it, gguf_str *out);

// A value as text for people: scalars and strings in full, arrays as "[a, b, c, ... (n)]" with at most max_elems
// elements (negative: all), made safe to show (text.h). Floats have as many digits as it takes to read them back.
// malloc'd, NULL when out of memory.
char *gguf_kv_text(const gguf_kv *kv, int64_t max_elems);

// Whether a file that is well formed is also what it has to be; ERR_INPUT says why not. Given to those who read a
// source or write a file by those who know: quantize and convert may not ask the runtime themselves (quant -> formats,
// convert -> quant), their callers may. See model_check.
typedef bool (*gguf_judge)(const gguf *g, err *e);

// ---- writing -------------------------------------------------------------------------------------------------------

typedef struct gguf_plan gguf_plan;     // metadata and tensor table of a file to be

gguf_plan *gguf_plan_new(int64_t alignment, err *e);   // 32 is ggml's default; another is written as general.alignment
void       gguf_plan_free(gguf_plan *p);

// Each sets a key: in place if it exists (its position is kept), else at the end. Keys and values are copied.
bool gguf_plan_u32(gguf_plan *p, const char *key, uint32_t v, err *e);
bool gguf_plan_i32(gguf_plan *p, const char *key, int32_t v, err *e);
bool gguf_plan_u64(gguf_plan *p, const char *key, uint64_t v, err *e);
bool gguf_plan_f32(gguf_plan *p, const char *key, float v, err *e);
bool gguf_plan_bool(gguf_plan *p, const char *key, bool v, err *e);
bool gguf_plan_str(gguf_plan *p, const char *key, const char *s, err *e);
bool gguf_plan_strn(gguf_plan *p, const char *key, const char *s, int64_t n, err *e);
// plain elements
bool gguf_plan_arr(gguf_plan *p, const char *key, gguf_type elem, const void *v, int64_t n, err *e);
bool gguf_plan_arr_str(gguf_plan *p, const char *key, const gguf_str *v, int64_t n, err *e);
// An array of n elements whose n_bytes bytes are laid out as in a file (strings: u64 length, then the bytes). data:
// malloc'd; the plan's from now on, also after a failure. For arrays too large to be held twice.
bool gguf_plan_arr_own(gguf_plan *p, const char *key, gguf_type elem, int64_t n, uint8_t *data, int64_t n_bytes,
                       err *e);
bool gguf_plan_copy_kv(gguf_plan *p, const gguf_kv *kv, err *e);    // from another file
bool gguf_plan_remove(gguf_plan *p, const char *key);    // true if it was there
// Reads back what was set; NULL if absent. Borrowed until the plan changes.
const gguf_kv *gguf_plan_find(const gguf_plan *p, const char *key);
int64_t        gguf_plan_n_kv(const gguf_plan *p);
const gguf_kv *gguf_plan_kv_at(const gguf_plan *p, int64_t i);    // in their order

// Adds a tensor; shape in Hugging Face order, written as gguf_count_dims counts it. Duplicate names, names over
// GGUF_MAX_TENSOR_NAME bytes, empty dimensions and rows that the block does not divide are ERR_INPUT.
enum { GGUF_MAX_TENSOR_NAME = 63 };     // ggml's GGML_MAX_NAME with its NUL; readers built on it refuse longer ones
bool gguf_plan_tensor(gguf_plan *p, const char *name, dtype type, int n_dims, const int64_t *shape, err *e);

// Computes offsets. After this, tensors are fixed; values may still be replaced by others of exactly the same size
// (digests and records are filled in at the end). header_bytes includes padding to the alignment.
bool gguf_plan_layout(gguf_plan *p, int64_t *header_bytes, int64_t *file_bytes, err *e);
int64_t            gguf_plan_n_tensors(const gguf_plan *p);
const gguf_tensor *gguf_plan_tensor_at(const gguf_plan *p, int64_t i);    // off is absolute after layout; data is NULL

// The header as bytes, malloc'd; n equals header_bytes of the layout or it is ERR_SYSTEM (a value changed its size).
bool gguf_plan_header(const gguf_plan *p, uint8_t **bytes, int64_t *n, err *e);
// A plan that is laid out here, read as the file that it would begin: metadata without tensor data. *bytes is borrowed
// by the result, and freed after gguf_close, after a failure too.
gguf *gguf_plan_open(gguf_plan *p, uint8_t **bytes, const char *name, err *e);
// Writes header at offset 0 and the zero padding between and after tensors. Tensor data is the caller's.
bool gguf_plan_write(const gguf_plan *p, outfile *f, err *e);

#endif
