// tensor_piece: see tensor_piece.h.
#include "tensor_piece.h"
#include "finite.h"
#include "../formats/checked.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_WEIGHTS    = 1 << 18,         // of a tensor that is encoded: 1 MB of F32; a multiple of every block
    PIECE_COPY_BYTES = 1 << 20,         // of a tensor that is copied: no buffer, so larger
    ROWS_AT_ONCE     = 16,              // in effort's widest lanes
};

// Of a source that is cut, only a part is the destination's.
static int64_t source_weights(const gguf_tensor *dst, const transform *change)
{
    return change->of == 0 ? dst->n_elems : dst->n_elems / change->take * change->of;
}

bool tensor_job_init(tensor_job *j, const gguf_tensor *dst, const tensor_source *src, err *e)
{
    const dtype_info *to = dtype_find(dst->type), *from = dtype_of(src->type);
    const bool plain = dtype_is_float(src->type);
    *j = (tensor_job){ .dst = dst, .src = src, .to = codec_find(dst->type) };
    if (!plain) j->from = codec_find(src->type);
    j->cols = dst->n_dims > 0 ? dst->shape[dst->n_dims - 1] : 1;
    j->rows_per_matrix = dst->n_dims > 1 ? dst->shape[dst->n_dims - 2] : 1;
    j->row_length = dst->n_dims > 1 ? j->cols : 1;
    j->part_weights = src->n_parts > 0 ? source_weights(dst, &src->change) / src->n_parts : 0;
    j->copied = src->type == dst->type && tensor_in_one_piece(src);
    if (!to || (!j->copied && (!j->to || (!plain && !j->from))))
        return err_set(e, ERR_INPUT, "%s: found type %s, which cannot become %s", src->where, dtype_name(src->type),
                       dtype_name(dst->type));
    if (!j->copied && j->cols % from->block_weights != 0)
        return err_set(e, ERR_INPUT, "%s: found rows of %lld, expected a multiple of %d", src->where,
                       (long long)j->cols, from->block_weights);
    const int64_t most = j->copied ? PIECE_COPY_BYTES / to->block_bytes * to->block_weights : PIECE_WEIGHTS;
    if (j->copied || to->block_weights == 1) {     // rows do not matter: the tensor is one long row
        j->piece_weights = most;
        j->pieces_per_row = 1;
        j->n_pieces = dst->n_elems / most + (dst->n_elems % most != 0);
    } else if (j->cols <= most || src->importance || src->feedback) {    // a search and feedback look at the whole row
        const bool lanes = src->effort > 0 || src->feedback;               // whole groups of rows: no lane idles
        const int64_t n_rows = dst->n_elems / j->cols;
        int64_t rows = j->cols <= most ? most / j->cols : 1;
        if (lanes) rows = rows < ROWS_AT_ONCE ? ROWS_AT_ONCE : rows / ROWS_AT_ONCE * ROWS_AT_ONCE;
        j->piece_weights = rows * j->cols;
        j->pieces_per_row = 1;
        j->n_pieces = n_rows / rows + (n_rows % rows != 0);
    } else {
        j->piece_weights = most;
        j->pieces_per_row = j->cols / most + (j->cols % most != 0);
        j->n_pieces = dst->n_elems / j->cols * j->pieces_per_row;
    }
    return true;
}

int64_t tensor_job_piece(const tensor_job *j, int64_t k, int64_t *first)
{
    int64_t end = j->dst->n_elems;
    if (j->pieces_per_row > 1) {
        const int64_t row = k / j->pieces_per_row;
        *first = row * j->cols + k % j->pieces_per_row * j->piece_weights;
        end    = (row + 1) * j->cols;
    } else {
        *first = k * j->piece_weights;
    }
    return end - *first < j->piece_weights ? end - *first : j->piece_weights;
}

int64_t piece_bytes(dtype t, int64_t weights)
{
    const dtype_info *i = dtype_of(t);
    return weights / i->block_weights * i->block_bytes;
}

// ---- one piece -----------------------------------------------------------------------------------------------------

// What the type's reader wants: structs of uint16_t and uint8_t, or floats that are read where they lie.
static bool is_aligned(const void *p, dtype t)
{
    if (t == DT_F32) return (uintptr_t)p % sizeof(float) == 0;
    return dtype_is_float(t) || (uintptr_t)p % sizeof(uint16_t) == 0;
}

static bool scratch_fit(piece_scratch *s, int64_t weights, err *e)
{
    if (s->weights >= weights) return true;
    free(s->f32);
    free(s->aligned);
    const size_t n = (size_t)weights * sizeof(float);           // no type takes more bytes a weight than F32
    s->f32     = malloc(n);
    s->aligned = malloc(n);
    s->weights = s->f32 && s->aligned ? weights : 0;
    return s->weights ? true : err_nomem(e, "conversion buffers", 2 * n);
}

// Where element i of the file lies in the source.
static int64_t source_index(const tensor_job *j, int64_t i)
{
    const transform *t = &j->src->change;
    const int64_t row = i / j->row_length, col = i % j->row_length;
    return transform_source_row(t, row) * j->row_length + head_order_source(&t->cols, col);
}

// The bytes from the block with weight i of the source on.
static const uint8_t *source_bytes(const tensor_job *j, int64_t i)
{
    if (j->part_weights == 0) return j->src->data + piece_bytes(j->src->type, i);
    return j->src->parts[i / j->part_weights] + piece_bytes(j->src->type, i % j->part_weights);
}


// How many weights of the file from weight i on follow each other in the source, too; at most n.
static int64_t run_of(const tensor_job *j, int64_t i, int64_t n)
{
    const transform *t = &j->src->change;
    const int64_t col = i % j->row_length;
    if (transform_moves_rows(t) || t->cols.groups) n = min_i64(n, j->row_length - col);
    if (t->cols.groups) n = min_i64(n, head_order_run(&t->cols, col));
    if (j->part_weights) n = min_i64(n, j->part_weights - source_index(j, i) % j->part_weights);
    return n;
}

// n weights that follow each other in the source, from its weight `first` on, as F32: in dst, or where they lie.
static const float *read_run(const tensor_job *j, int64_t first, int64_t n, float *dst, piece_scratch *s)
{
    const dtype    type = j->src->type;
    const uint8_t *from = source_bytes(j, first);
    if (!is_aligned(from, type)) {
        memcpy(s->aligned, from, (size_t)piece_bytes(type, n));
        from = s->aligned;
    }
    if (type == DT_F32) return (const float *)(const void *)from;
    if (j->from) j->from->decode_row(dst, from, n);
    else         f32_from_float_run(type, dst, from, n);
    return dst;
}

// n weights of the file from weight `first` on, as F32: in the scratch, or where they lie in the source.
static const float *source_f32(const tensor_job *j, int64_t first, int64_t n, piece_scratch *s)
{
    const bool changes = transform_changes_values(&j->src->change);
    if (!changes && run_of(j, first, n) == n) return read_run(j, source_index(j, first), n, s->f32, s);
    for (int64_t run, i = 0; i < n; i += run) {
        run = run_of(j, first + i, n - i);
        const float *x = read_run(j, source_index(j, first + i), run, s->f32 + i, s);
        if (x != s->f32 + i) memcpy(s->f32 + i, x, (size_t)run * sizeof *x);
    }
    transform_values(&j->src->change, s->f32, n);
    return s->f32;
}

const float *piece_source(const tensor_job *j, int64_t first, int64_t n, piece_scratch *s, err *e)
{
    return scratch_fit(s, n, e) ? source_f32(j, first, n, s) : NULL;
}

// The importance of row `row`, and up to which row it stays the same.
static const float *importance_of(const tensor_job *j, int64_t row, int64_t *end)
{
    const bool experts = j->src->importance && j->dst->n_dims > 2;
    const int64_t matrix = experts ? row / j->rows_per_matrix : 0;
    *end = experts ? (matrix + 1) * j->rows_per_matrix : INT64_MAX;
    return j->src->importance ? j->src->importance + matrix * j->cols : NULL;
}

// By the device where there is one that can, else as effort_encode_rows.
static bool encode_blocks(const tensor_job *j, uint8_t *dst, const float *x, int64_t n_rows, int64_t n_cols,
                          const float *importance, int64_t *bad, err *e)
{
    const tensor_source *s = j->src;
    if (s->encoder && s->effort == 0 && !s->feedback) {
        const encoder_answer a =
            s->encoder->encode_rows(s->encoder, j->dst->type, dst, x, n_rows, n_cols, importance, e);
        *bad = 0;
        if (a != ENCODER_NOT_HERE) return a == ENCODER_DONE;
    }
    return effort_encode_rows(j->dst->type, s->effort, dst, x, n_rows, n_cols, importance, s->feedback, bad, e);
}

// Whole rows, n_rows of them from `row` on.
static bool encode_rows(const tensor_job *j, int64_t row, int64_t n_rows, const float *x, uint8_t *dst, err *e)
{
    err why = { 0 };
    for (int64_t end, bad, n, done = 0; done < n_rows; done += n) {
        const float *importance = importance_of(j, row + done, &end);
        n = end - (row + done) < n_rows - done ? end - (row + done) : n_rows - done;
        uint8_t *at = dst + piece_bytes(j->dst->type, done * j->cols);
        if (encode_blocks(j, at, x + done * j->cols, n, j->cols, importance, &bad, &why)) continue;
        // no fault of the row
        if (why.kind == ERR_SYSTEM) return err_set(e, why.kind, "%s: %s", j->src->where, why.msg);
        return err_set(e, why.kind, "%s: row %lld: %s", j->src->where, (long long)(row + done + bad), why.msg);
    }
    return true;
}

// Values that leave the range of the type become infinite; piece_check finds them.
static void encode_plain(dtype to, uint8_t *dst, const float *x, int64_t n)
{
    if (to == DT_F16)       f16_from_f32_run((uint16_t *)(void *)dst, x, n);
    else if (to == DT_BF16) bf16_from_f32_run((uint16_t *)(void *)dst, x, n);
    else                    memcpy(dst, x, (size_t)n * sizeof *x);
}

// ERR_INPUT for element i of the tensor, which is `found`: where it stands, and what is wrong with it.
static bool refuse_value(const tensor_job *j, int64_t i, const char *found, const char *expected, const char *hint,
                         err *e)
{
    return err_set(e, ERR_INPUT, "%s: row %lld: column %lld: found %s, expected %s%s", j->src->where,
                   (long long)(i / j->cols), (long long)(i % j->cols), found, expected, hint);
}

// What the source holds for element i of the file, where F32 may be too small for it.
static double source_value(const tensor_job *j, int64_t element)
{
    const int64_t i = source_index(j, element);
    enum { MOST_WEIGHTS = 256, MOST_BYTES = 512 };      // of one block
    const dtype_info *from = dtype_of(j->src->type);
    const int64_t in_block = i % from->block_weights;
    const uint8_t *at = source_bytes(j, i - in_block);
    float    x[MOST_WEIGHTS];
    uint16_t block[MOST_BYTES / sizeof(uint16_t)];
    double   wide;
    memcpy(block, at, (size_t)from->block_bytes);
    if (from->id == DT_F64) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    if (j->from) j->from->decode_row(x, block, from->block_weights);
    else         f32_from_float_run(from->id, x, block, 1);
    return (double)x[in_block];
}

// Block encoders see F32: a number beyond its range would be told as infinity.
static bool refuse_beyond_f32(const tensor_job *j, int64_t first, int64_t n, const float *x, err *e)
{
    char found[64];
    for (int64_t at, i = 0; j->src->type == DT_F64 && i < n; i += at + 1) {
        at = finite_first(DT_F32, x + i, n - i);
        if (at < 0) return true;
        const double v = source_value(j, first + i + at);
        if (!isfinite(v)) continue;
        snprintf(found, sizeof found, "%g", v);
        return refuse_value(j, first + i + at, found, "a number within the range of F32", "", e);
    }
    return true;
}

bool piece_encode(const tensor_job *j, int64_t first, int64_t n, uint8_t *dst, piece_scratch *s, err *e)
{
    err why = { 0 };
    int64_t bad;
    const float *x = piece_source(j, first, n, s, e);
    if (!x) return false;
    if (dtype_find(j->dst->type)->block_weights == 1) {
        encode_plain(j->dst->type, dst, x, n);
        return true;
    }
    if (!refuse_beyond_f32(j, first, n, x, e)) return false;
    if (j->pieces_per_row == 1) return encode_rows(j, first / j->cols, n / j->cols, x, dst, e);
    if (encode_blocks(j, dst, x, 1, n, NULL, &bad, &why)) return true;
    if (why.kind == ERR_SYSTEM) return err_set(e, why.kind, "%s: %s", j->src->where, why.msg);
    return err_set(e, why.kind, "%s: row %lld: from column %lld on: %s", j->src->where, (long long)(first / j->cols),
                   (long long)(first % j->cols), why.msg);
}

void piece_bad_add(piece_bad *all, const piece_bad *more)
{
    if (more->n == 0) return;
    if (all->n == 0 || more->first < all->first) all->first = more->first;
    all->n += more->n;
}

// ---- what is no number ---------------------------------------------------------------------------------------------

static const char HINT[] = " (--allow-nonfinite goes on)";

// Element i came out as NaN or Inf: it was that before, or is outside the range of its new type.
static bool refuse_plain(const tensor_job *j, int64_t i, err *e)
{
    char found[64], range[64];
    const double v = source_value(j, i);
    const char *name = finite_name(v);
    if (name) return refuse_value(j, i, name, "a finite value", HINT, e);
    snprintf(found, sizeof found, "%g", v);
    snprintf(range, sizeof range, "a number within the range of %s", dtype_name(j->dst->type));
    return refuse_value(j, i, found, range, HINT, e);
}

// Blocks that are copied as they are: a scale may be NaN or Inf. Few tensors ever are, so they are simply decoded.
static bool check_blocks(const tensor_job *j, int64_t first, int64_t n, const uint8_t *bytes, piece_scratch *s,
                         piece_bad *bad, err *e)
{
    enum { STEP = 1 << 13 };        // a multiple of every block
    if (!scratch_fit(s, STEP, e)) return false;
    for (int64_t step, i = 0; i < n; i += step) {
        step = n - i < STEP ? n - i : STEP;
        memcpy(s->aligned, bytes + piece_bytes(j->dst->type, i), (size_t)piece_bytes(j->dst->type, step));
        j->to->decode_row(s->f32, s->aligned, step);
        const int64_t at = finite_first(DT_F32, s->f32, step);
        if (at < 0) continue;
        const char *found = finite_name((double)s->f32[at]);
        if (!j->src->allow_nonfinite) return refuse_value(j, first + i + at, found, "blocks of finite values", HINT, e);
        piece_bad_add(bad, &(piece_bad){ finite_count_bad(DT_F32, s->f32, step), first + i + at });
    }
    return true;
}

bool piece_check(const tensor_job *j, int64_t first, int64_t n, const uint8_t *bytes, piece_scratch *s, piece_bad *bad,
                 err *e)
{
    const dtype t = j->dst->type;
    if (!finite_checks(t)) return !j->copied || !j->to || check_blocks(j, first, n, bytes, s, bad, e);
    const int64_t at = finite_first(t, bytes, n);
    if (at < 0) return true;
    if (!j->src->allow_nonfinite) return refuse_plain(j, first + at, e);
    piece_bad_add(bad, &(piece_bad){ finite_count_bad(t, bytes, n), first + at });
    return true;
}

// ---- comparing -----------------------------------------------------------------------------------------------------

bool piece_compare(const tensor_job *j, const char *path, int64_t first, const uint8_t *bytes, int64_t n_bytes, err *e)
{
    const dtype_info *t = dtype_find(j->dst->type);
    const uint8_t *found = j->dst->data + piece_bytes(j->dst->type, first);
    if (memcmp(found, bytes, (size_t)n_bytes) == 0) return true;
    int64_t at = 0;
    while (found[at] == bytes[at]) at++;
    const int64_t weight = first + at / t->block_bytes * t->block_weights;
    return err_set(e, ERR_VERDICT, "%s: tensor '%s': row %lld, block %lld (%s): not what %s gives", path, j->dst->name,
                   (long long)(weight / j->cols), (long long)(weight % j->cols / t->block_weights), t->name,
                   j->src->where);
}

void piece_scratch_free(piece_scratch *s)
{
    free(s->f32);
    free(s->aligned);
    *s = (piece_scratch){ 0 };
}
