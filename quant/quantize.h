// quantize: GGUF in, GGUF of another type out.
#ifndef HALLMARK_QUANT_QUANTIZE_H
#define HALLMARK_QUANT_QUANTIZE_H

#include "effort_plan.h"
#include "policy.h"
#include "tensor_writer.h"

typedef struct {
    file_type   type;
    const char *imatrix;        // path or NULL
    int         n_threads;      // 0: all cores
    progress   *progress;       // may be NULL
    effort_opts effort;         // zeroed: llama-quantize's bytes
    const policy_overrides *overrides;      // NULL: llama-quantize's mix as it stands
    // [tensors of the input], file order: instead of a mix; `type` then only names the file. NULL: none
    const dtype *types;
    block_encoder *encoder;     // a device for what it can encode, or NULL; borrowed. The bytes are the same
    bool         allow_nonfinite;       // see tensor_writer.h
    bool         strict_types;          // see choice.h
    const char  *mix;           // JSON that tells how types were found, written as hallmark.quantize.mix; NULL: none
    gguf_judge   judge;         // asked of the input first, and of the output before it has its name. NULL: nobody
} quantize_opts;

// Reads in_path, writes out_path whole or not at all. Every key is copied but those recomputed: general.file_type,
// general.quantization_version, hallmark.* (source digest and revision are kept when the input is not itself
// quantized). Refuses (ERR_INPUT) an input whose tensors are already block-quantized, unless the type stays.
// ERR_USAGE when both paths are one file.
bool quantize_file(const char *in_path, const char *out_path, const quantize_opts *o, err *e);

// What quantize_file refuses without reading a weight, an effort that would do nothing among it, and whether there is
// room for the output: to be asked before a calibration, which takes long. effort.level as it will be. Nothing stays
// behind.
bool quantize_check(const char *in_path, const char *out_path, const quantize_opts *o, err *e);

// Room for `bytes` of tensors at out_path, and leave to write there; nothing stays behind.
bool quantize_check_room(const char *out_path, int64_t bytes, err *e);
// Does a tensor of type `from` become blocks of type `to`, where it was none before?
bool quantize_encodes(dtype from, dtype to);

typedef struct {
    char *name;
    dtype from, to, wanted;
    int n_dims;
    int64_t shape[4], n_elems, from_bytes, to_bytes;
} quantize_row;
typedef struct {
    int64_t       n, cap;
    quantize_row *rows;                         // [n], file order
    int64_t       n_elems, from_bytes, to_bytes;    // of all tensors, without header and padding
    double        bits_per_weight;              // 8 * to_bytes / n_elems
} quantize_preview;

// What quantize_file would choose, without writing anything (out_path is not needed, nor disk space). Freed by
// quantize_preview_free.
bool quantize_preview_file(quantize_preview *v, const char *in_path, const quantize_opts *o, err *e);
// Adds a row, and to the sums. name is copied; shape: [n_dims], of a product that was checked. wanted: another than
// `to` where the tensor falls back.
bool quantize_preview_add(quantize_preview *v, const char *name, dtype from, dtype to, dtype wanted, int n_dims,
                          const int64_t *shape, err *e);
void quantize_preview_free(quantize_preview *v);

#endif
