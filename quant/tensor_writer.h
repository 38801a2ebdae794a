// tensor_writer: streams tensors from where they lie to a planned GGUF file, encoding on the way, on all cores, and
// takes each tensor's digest. Shared by convert (from safetensors) and quantize (from GGUF). Memory is bounded: a few
// MB a thread.
//
// Every tensor is cut into pieces of about a quarter of a million weights. Threads take pieces in file order, encode
// them into a slot of a ring and write them at their place; whoever is free next adds finished pieces to their tensor's
// digest, in order. So one huge tensor keeps all cores busy, and hashing runs beside the encoding. A tensor whose type
// stays is copied inside the kernel and hashed from the source's mapping. Hashing one tensor is serial: about 2 GB/s is
// the most that a file of one big tensor can reach. What else is to be hashed meanwhile, as the files of the checkpoint
// are, shares the core with it (digest_queue.h) and costs little more.
#ifndef HALLMARK_QUANT_TENSOR_WRITER_H
#define HALLMARK_QUANT_TENSOR_WRITER_H

#include "../formats/digest_queue.h"
#include "../formats/gguf.h"
#include "effort.h"
#include "encoder.h"
#include "transform.h"

typedef struct {
    const char    *where;       // for messages: source file and tensor, "dir/model.safetensors: tensor 'x'"; borrowed
    dtype          type;        // type of the source bytes (any with a codec, or a float: dtype_is_float)
    const uint8_t *data;        // the whole tensor, in the destination's element order but for `change`; any alignment
    const uint8_t *const *parts;// instead of data, where n_parts > 0: equal parts that follow each other; borrowed
    int64_t        n_parts;
    int            fd;          // the same bytes in a file, for in-kernel copies when the type stays; -1 if none
    int64_t        off;
    transform      change;      // what is done to the values before they are encoded
    const float   *importance;  // [cols], for a 3-D tensor [shape[0]][cols] (one row for each expert), or NULL
    int             effort;     // see effort.h; 0: the reference's bytes
    const feedback *feedback;   // 2-D tensors only, or NULL; borrowed
    // NaN and Inf pass into plain types, and a number beyond its type's range becomes Inf; counted, and logged
    bool            allow_nonfinite;
    block_encoder  *encoder;    // asked first for blocks without effort and feedback, or NULL; borrowed
} tensor_source;

// Do the source's bytes lie as the destination's would, so that they may be copied where the type stays?
static inline bool tensor_in_one_piece(const tensor_source *s)
{
    return s->n_parts == 0 && transform_is_none(&s->change);
}

// Fills every tensor of the plan (laid out) from src[i]; digests: [n_tensors]. Same bytes for any n_threads (0: all
// cores).
// ERR_INPUT naming tensor, row and column: NaN or Inf, a number outside the range of its new type (without
// allow_nonfinite where that is F32, F16 or BF16; in every case where it is a block type), a block scale that overflows
// F16, NaN or Inf in blocks that are copied. ERR_SYSTEM where a source's encoder fails. Progress counts destination
// bytes; the caller announces the stage. aside (may be NULL): digests of other files, taken as far as they come
// meanwhile; the caller runs the rest.
bool write_tensors(const gguf_plan *p, outfile *f, const tensor_source *src, int n_threads,
                   char (*digests)[SHA256_HEX + 1], digest_queue *aside, progress *pr, err *e);

// The same encoding, but nothing is written: every byte is compared with tensor i of `art`, whose types and shapes are
// taken as they are, and whose NaN and Inf in plain types are what the source gives or not, as any other value.
// ERR_VERDICT names the first tensor, row and block that differ, the same for any n_threads. Progress counts art's
// bytes.
bool compare_tensors(const gguf *art, const tensor_source *src, int n_threads, progress *pr, err *e);

#endif
