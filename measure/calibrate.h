// calibrate: how the inputs of every weight matrix of a layer go together, on texts that the source model is run on;
// quantize rounds with it.
//
// For each distinct input (q, k and v share theirs, gate and up too) the sum of x x^T over all tokens, in blocks of at
// most CALIBRATION_BLOCK columns, then its factors (quant/moments.h, quant/effort.h). Sums are taken for as many layers
// at a time as fit the memory bound, the texts being run again for the next ones; factors go to an unnamed file in
// `dir` and are mapped. On the CPU in F32 always, so that the same texts give the same bytes for any number of threads
// and at every SIMD level. The embeddings and the output matrix have none: what looks rows up has no inputs. Nor have
// experts: a square matrix for each of them is more than any memory holds; they are encoded by effort alone.
// Proved by tests/calibrate_test.c.
#ifndef HALLMARK_MEASURE_CALIBRATE_H
#define HALLMARK_MEASURE_CALIBRATE_H

#include "../formats/progress.h"
#include "../quant/effort_plan.h"

enum { CALIBRATION_BLOCK = 2048 };

typedef struct {
    const char *const *texts;   // files of UTF-8 text
    int         n_texts;
    // tokens of a chunk, run by itself, its first token replaced by BOS if the model wants one; 0: 512. All texts are
    // one row of tokens, and so at most its length
    int64_t     chunk;
    int64_t     max_tokens;     // of all texts together; 0: no limit
    int64_t     memory_bytes;   // for sums; 0: 1 GiB; one layer's are always taken
    const char *dir;            // where the unnamed file lies; NULL: $TMPDIR, or /var/tmp
    double      damping;        // of the mean of the diagonal; 0: 0.01
    int         n_threads;      // 0: all cores
    progress   *progress;       // may be NULL; told when there are so few tokens that they calibrate poorly
} calibration_opts;

typedef struct calibration calibration;

// The texts can be read: to be asked first. ERR_INPUT names the one that cannot.
bool calibration_check_texts(const calibration_opts *o, err *e);

// NULL with ERR_INPUT: a text shorter than two tokens, a source the runtime refuses; ERR_SYSTEM: memory, disk. Freed by
// calibration_free.
calibration *calibration_compute(const char *source_gguf, const calibration_opts *o, err *e);
void         calibration_free(calibration *c);          // NULL is allowed

// The same for a checkpoint's folder: it is converted to a file in `dir` first, BF16 or, where that would not hold it
// exactly, F32. The file is unlinked as soon as it is mapped; one that a killed conversion left there is removed by the
// next call.
calibration *calibration_compute_hf(const char *hf_dir, const calibration_opts *o, err *e);

// For quantize, convert and derive: level as given, 1 at least; borrowed until calibration_free. NULL: no feedback.
effort_opts calibration_effort(const calibration *c, int level);
// each text's SHA-256, in the order of their use, joined by commas
const char *calibration_digest(const calibration *c);
int64_t     calibration_tokens(const calibration *c);       // tokens that were run

#endif
