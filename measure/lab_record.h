// lab_record: what a laboratory run measured of a file, as the file itself says it: hallmark.kv.measured.
//
// A canonical JSON text without white space: read and written again it is the same bytes, or it is refused.
//   {"format":1,"hallmark":version,"tensors":hex,"arith":s,"base_kv":s,"base_context_bytes":n,"context":n,"chunk":n,
//    "skip":n,"samples":n,"tokens":n,"texts":hex,"categories":[{"category":s,"tokens":n}],
//    "caches":[{"kv":s,"llama":s|null,"bytes_per_position":x,"context_bytes":n,"kl_mean":x,"kl_low":x|null,
//    "kl_high":x|null,"kl_p99":x,"top1":x,"top1_worst":x,"worst":category}],"best":kv|null}
// tensors: claims_model_digest of the file that was measured, which does not count this key: moved to another file, or
// to this one with other tensors or keys, it no longer fits (lab_record_fits). texts: SHA-256 over the lines
// "<category> <sha256>\n", one for each text in the run's order. tokens: positions compared. Figures are those of
// lab_report.h, in as many digits: KL in 6, shares and bytes in 9. worst: the category of the lowest top-1. best: the
// smallest cache whose top-1 is at least LAB_ENOUGH in every category.
// Every text that it holds is of a closed set of characters, so that it can be shown as it is.
// Proved by tests/lab_record_test.c and tests/fuzz/lab_record_fuzz.c.
#ifndef HALLMARK_MEASURE_LAB_RECORD_H
#define HALLMARK_MEASURE_LAB_RECORD_H

#include "../formats/claims.h"
#include "../formats/text.h"
#include "lab_figures.h"

enum { LAB_RECORD_FORMAT = 1, LAB_RECORD_CACHES = 128, LAB_RECORD_BYTES = 1 << 20 };

typedef struct { char *category; int64_t tokens; } lab_record_category;

typedef struct {
    char   *kv, *llama;             // in words (runtime/kv_spec.h); what llama.cpp calls it, or NULL
    int64_t context_bytes;
    double  kl_mean, kl_low, kl_high, kl_p99;       // nats; low, high: NaN where there is no interval
    double  top1, top1_worst;       // shares
    char   *worst;                  // the category of top1_worst
} lab_record_cache;

typedef struct {
    char    hallmark[32], arith[8], base_kv[16];
    char    tensors[SHA256_HEX + 1], texts[SHA256_HEX + 1];
    int64_t base_context_bytes, context, chunk, skip, samples, tokens;     // samples 0: all chunks
    lab_record_category *categories;
    int     n_categories;
    lab_record_cache *caches;       // in the run's order
    int     n_caches;
    int     best;                   // -1: none
} lab_record;                       // owns its texts; lab_record_free

// Of the base's own caches; other files and probes of one layer are left out. ERR_USAGE: none is left, or more than
// LAB_RECORD_CACHES; ERR_INPUT: a category that is no word (of a plan that was read).
bool lab_record_of(lab_record *rec, const lab_result *r, err *e);
void lab_record_free(lab_record *rec);

// The text, freed by the caller; NULL when out of memory.
char *lab_record_text(const lab_record *rec);
// Hostile until checked. where: for messages. ERR_INPUT names the key, found and expected. rec is to be freed in any
// case.
bool lab_record_read(lab_record *rec, const char *json, int64_t n, const char *where, err *e);

// The record in a file. *found false: it has none. ERR_INPUT as above. rec is to be freed in any case.
bool lab_record_find(lab_record *rec, const gguf *g, bool *found, err *e);
// Was it measured of this file? ERR_VERDICT: of other tensors, or other keys that decide what it computes. Digests are
// taken from hallmark.tensor.sha256 where the file has them: claims_check_tensors proves those.
bool lab_record_fits(const lab_record *rec, const gguf *g, int n_threads, err *e);

// The cache of these words; -1: it was not measured.
int lab_record_cache_of(const lab_record *rec, const char *kv);

// Is art the run's base, so that its record can be written into it? Asked before a run. n_threads, here and below: as
// lab_record_fits has it. ERR_USAGE: it is not.
bool lab_record_is_of(const char *art, const lab_plan *p, int n_threads, err *e);

// Writes `out` whole or not at all: what `art` holds, and the record; out may be art. A verification record, which
// binds all keys, becomes empty: *emptied (may be NULL). ERR_USAGE: art is not what was measured. ERR_INPUT: it cannot
// be run; a tensor's dimensions are stored in a way that is not written again.
bool lab_record_write(const char *art, const char *out, const lab_record *rec, int n_threads, bool *emptied, err *e);

// ---- in words (lab_record_words.c) ----------------------------------------------------------------------------------

// "KL 0.00123 (0.0011 to 0.0013), top-1 99.87 % (99.1 % in coding) over 8,192 tokens"
void lab_record_put_cache(text_buf *t, const lab_record *rec, int cache);
// One sentence, as lab_words.h's advice: the smallest cache within the loss that is allowed.
void lab_record_put_advice(text_buf *t, text_sink sink, const lab_record *rec);
// What was run: "8,192 tokens of 2 categories (chat, coding), in chunks of 512, against a cache in f32".
void lab_record_put_run(text_buf *t, const lab_record *rec);
// A table in Markdown, a row for each cache.
void lab_record_put_table(text_buf *t, const lab_record *rec);

#endif
