// texts: plain text as what a model is run on: its tokens, cut in chunks, each run by itself from an empty cache.
//
// Importance matrices, calibration, the searches and the divergence all read their texts here, so that they mean the
// same by a text and by a chunk. Where the model wants BOS, a chunk begins with it in the place of its first token, as
// llama.cpp's tools do it.
// Proved by tests/divergence_test.c and tests/calibrate_test.c.
#ifndef HALLMARK_MEASURE_TEXTS_H
#define HALLMARK_MEASURE_TEXTS_H

#include "../formats/sha256.h"
#include "../runtime/session.h"

// A UTF-8 file of at most 64 MiB, NUL-terminated; freed by the caller. ERR_INPUT otherwise.
bool texts_load(char **text, int64_t *n_bytes, const char *path, err *e);

// v: malloc'd, the caller's, also where a call failed; begins zeroed
typedef struct { int32_t *v; int64_t n; } token_list;

// Adds the file's ids in m's vocabulary; with_bos: begun with BOS where the model wants one. hex: the file's SHA-256,
// or NULL.
bool texts_append(token_list *to, const model *m, const char *path, bool with_bos, char hex[SHA256_HEX + 1], err *e);

// The ids of one file without BOS, at most max_ids of them from its beginning (0: all). *ids: malloc'd, the caller's.
bool texts_read(int32_t **ids, int64_t *n_ids, const model *m, const char *path, int64_t max_ids, err *e);

// What a chunk begins with, or -1: its own first token.
int32_t texts_bos(const model *m);

// Runs n ids, 1 or more. begins: they are a chunk's first, so the session forgets what it ran and bos, if it is not -1,
// stands for the first of them. logits: [n][n_vocab], or NULL for none.
bool texts_run(session *run, const int32_t *ids, int64_t n, bool begins, int32_t bos, float *logits, err *e);
// The same as one session_step, n at most session_batch, whose logits can then be held.
bool texts_step(session *run, const int32_t *ids, int n, bool begins, int32_t bos, err *e);

// What figures of positions `first` .. first + n - 1 of a chunk must be, or the error that names the first that is not:
// of finite logits (ERR_INPUT), and, since those were, numbers (ERR_SYSTEM: the device's failure). who: the file; kv:
// its cache, or NULL.
bool texts_all_finite(const row_stats *stats, int n, const char *who, const char *kv, int64_t chunk, int64_t first,
                      err *e);
bool texts_all_numbers(const double *kl, int n, const char *who, int64_t chunk, int64_t first, err *e);

#endif
