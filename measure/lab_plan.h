// lab_plan: what a laboratory run measures, in words and digests: base, candidates, texts, chunks. No weight is read.
//
// A plan made from files holds models, for running; one read from a folder's `plan.json` holds the words alone, which
// is all that figures and reports need. The text of a plan is a canonical JSON document: equal where the same thing is
// measured, on whatever machine; it holds no path but names, no time, no device.
#ifndef HALLMARK_MEASURE_LAB_PLAN_H
#define HALLMARK_MEASURE_LAB_PLAN_H

#include "../formats/sha256.h"
#include "../runtime/model.h"

enum { LAB_ARTIFACTS = 64, LAB_CANDIDATES = 4096, LAB_TEXTS = 256, LAB_CELLS = 1 << 22 };  // chunks x candidates
enum { LAB_CHUNK = 512 };       // tokens of a chunk, where none is asked for

typedef struct {
    char *category, *name;              // name: of the file, without its folder
    char  sha256[SHA256_HEX + 1];       // of the file's bytes
    int64_t tokens;                     // of the whole text
    int64_t chunks;                     // whole chunks of it that are run; tokens after the last are not
    int32_t *ids;                       // [tokens]; NULL in a plan that was read
} lab_text;

typedef struct {
    char *name, *type;                  // name: of the file, without its folder
    char  digest[SHA256_HEX + 1];       // of its tensors and of the metadata that decide what it computes
    model *m;                           // NULL in a plan that was read
} lab_artifact;

typedef struct {
    int     artifact;
    char   *kv;                         // as kv_spec_text has it
    int64_t context_bytes;              // the cache's bytes for `context` positions: windows and shared layers counted
    char   *llama;                      // what llama.cpp calls this cache, or NULL where it has none like it
    int     layer;                      // the only one whose keys, or values, are not as the base has them; -1: none is
    bool    values;                     // of that layer: which of the two
} lab_candidate;

typedef struct { int text; int64_t first; } lab_chunk;     // ids first .. first + chunk - 1 of a text

typedef struct {
    lab_artifact  *artifacts;           // [0]: the base
    int            n_artifacts;
    lab_candidate *candidates;
    int            n_candidates;
    lab_text      *texts;
    int            n_texts;
    lab_chunk     *chunks;
    int64_t        n_chunks;
    int64_t        chunk, skip;         // tokens of a chunk; of them not compared at its beginning
    int64_t        samples;    // about how many chunks are run, evenly spread, one of each text at least; 0: all
    int64_t        context;             // positions that bytes are counted for
    int64_t        budget;              // bytes that candidate 0 was chosen for (lab_budget.h); 0: none was
    char           program[128];         // the version of hallmark whose figures these are
    char           base_kv[16], arith[8];
    int64_t        base_context_bytes;
    int64_t        state_bytes;         // what recurrent layers keep beside any cache
    int64_t        n_vocab;
    int32_t        bos;                 // what a chunk begins with, -1: its own first token
    char          *json;                // the plan's canonical text, ended by \n
    char           digest[SHA256_HEX + 1];      // of that text
} lab_plan;

typedef struct {
    const char *base;
    const char *const *artifacts;       // other files, n_artifacts
    int         n_artifacts;
    const char *const *kv;              // caches in words, n_kv; each file runs with each, others than the base also
    int         n_kv;                   // with the base's own
    const char *const *texts;           // "category=path" or "path", n_texts
    int         n_texts;
    int64_t     chunk, skip, context;   // 0: 512, 0, 32768
    int64_t     samples, budget;        // as lab_plan has them
    const char *arith;                  // NULL: the base's default
    bool        layers;                 // each cache for the keys, and the values, of each layer of the base alone, too
    bool        layers_only;            // and nothing else
    int         n_threads;              // that digest the files; 0: all cores
} lab_plan_opts;

// Opens the files, reads the texts, checks that every cache suits every file. Freed by lab_plan_free in any case.
// ERR_INPUT: a text that is empty, no UTF-8 or shorter than a chunk; another vocabulary than the base's; a file that
// cannot be run. ERR_USAGE: a cache that a file cannot have; no text; no candidate; a chunk with nothing to compare.
bool lab_plan_open(lab_plan *p, const lab_plan_opts *o, err *e);
void lab_plan_free(lab_plan *p);
// Of one cache alone, before there is a file: would lab_plan_open take it? name: "f32" or "bf16"; chunk 0: LAB_CHUNK.
// ERR_USAGE otherwise.
bool lab_plan_check_kv(const hparams *h, const char *kv, const char *name, int64_t chunk, err *e);
// Where the path begins in "category=path". A '=' after anything but letters, digits, '_' and '-' is the path's own.
const char *lab_text_path(const char *arg);
// Whether a file is one of those that "category=pattern" or "pattern" stands for.
bool lab_text_names(const char *arg, const char *path);

// Of texts alone, in the vocabulary of a file that is yet to be made: is each what lab_plan_open takes? chunk 0:
// LAB_CHUNK.
bool lab_texts_check(const tokenizer *words, const char *const *texts, int n, int64_t chunk, err *e);

// From the text of a plan, which is hostile until checked. where: for messages. Holds no model and no ids.
bool lab_plan_read(lab_plan *p, const char *json, int64_t n, const char *where, err *e);
// In what two plans differ, in words ("base", "texts", ...); NULL: in nothing.
const char *lab_plan_difference(const lab_plan *a, const lab_plan *b);

// Positions of a chunk that are compared: skip .. chunk - 2.
int64_t lab_points(const lab_plan *p);

#endif
