// source: which checkpoint an artifact was made from: the digest of its files, and its commit.
// Proved by tests/claims_test.c; the queue by tests/digest_test.c.
#ifndef HALLMARK_FORMATS_SOURCE_H
#define HALLMARK_FORMATS_SOURCE_H

#include "digest_queue.h"
#include "file_map.h"

// One checkpoint's identity: two digests of the same form, SHA-256, in hex, over "<hex sha256> <file name>\n" sorted by
// name, of the files in the folder that decide tensors, hyperparameters, tokenizer and chat templates. What is beside
// them (README.md, LICENSE) is no part of it.
//   v1: *.safetensors, *.safetensors.index.json, config.json, generation_config.json, tokenizer.json,
//       tokenizer_config.json, chat_template.jinja
//   v2: these, and chat_template.json, additional_chat_templates/*.jinja (with that folder's name), added_tokens.json,
//       special_tokens_map.json, tokenizer.model, vocab.json, merges.txt
// Artifacts and fixtures up to hallmark.version 1 hold v1 alone; what is made now says v2, and v1 beside it where the
// two differ.
typedef struct {
    char v1[SHA256_HEX + 1], v2[SHA256_HEX + 1];    // "" where it is not known
} source_id;

// Fills in what a file says: version of its key set, its digest, and the one by the list of version 1 ("" where it says
// none).
void source_id_said(source_id *id, int64_t version, const char *digest, const char *digest_v1);
// By v2 where both know it, else by v1. False where neither is known to both.
bool source_id_same(const source_id *a, const source_id *b);
bool source_id_known(const source_id *id);

// n_threads files at a time (0: all cores). Each digest is equal to: (cd DIR && LC_ALL=C sha256sum FILES...) |
// sha256sum. ERR_INPUT if there is none of the files, or one cannot be read, leads out of the folder (checkpoint.h), or
// is a git-lfs pointer.
bool source_digest(const char *hf_dir, int n_threads, progress *p, source_id *id, err *e);

// The same step by step, for whoever has other digests to take meanwhile, or some of the files mapped.
typedef struct source_files source_files;
source_files *source_files_list(const char *hf_dir, err *e);
void          source_files_free(source_files *s);                           // NULL is allowed
// The path of the i-th file by name; NULL beyond the last.
const char   *source_files_path(const source_files *s, int64_t i);
// Is there a file that only v2 covers? Else v1 and v2 are equal.
bool          source_files_differ(const source_files *s);
// These bytes are to be digested for the file at m's path; m is borrowed.
void          source_files_mapped(source_files *s, const file_map *m);
// Of them all, to be worked on; owned by s.
digest_queue *source_files_queue(source_files *s, progress *p, err *e);
// Runs what is left of the queue.
bool          source_files_digest(source_files *s, int n_threads, source_id *id, err *e);

// The Hub commit when hf_dir is (or links into) a Hub cache snapshot: .../snapshots/<40 hex>[/]; "" otherwise.
void source_revision(const char *hf_dir, char rev[41]);

// Is a file of this name in a checkpoint's folder on the list of v2?
bool source_lists(const char *name);

#define SOURCE_TEMPLATES "additional_chat_templates"        // a checkpoint's folder of named templates, NAME.jinja

#endif
