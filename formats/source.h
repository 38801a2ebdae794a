// source: which checkpoint an artifact was made from: the digest of its files, and its commit.
// Proved by tests/claims_test.c; the queue by tests/digest_test.c.
#ifndef HALLMARK_FORMATS_SOURCE_H
#define HALLMARK_FORMATS_SOURCE_H

#include "digest_queue.h"
#include "file_map.h"

// SHA-256, in hex, over "<hex sha256>  <file name>\n" sorted by name, of every *.safetensors, *.safetensors.index.json, config.json,
// generation_config.json, tokenizer.json, tokenizer_config.json, chat_template.jinja in the folder. n_threads files at a time (0: all cores).
// Equal to: (cd DIR && LC_ALL=C sha256sum FILES...) | sha256sum. ERR_INPUT if there is none of them, or one cannot be read.
bool source_digest(const char *hf_dir, int n_threads, progress *p, char hex[SHA256_HEX + 1], err *e);

// The same step by step, for whoever has other digests to take meanwhile, or some of the files mapped.
typedef struct source_files source_files;
source_files *source_files_list(const char *hf_dir, err *e);
void          source_files_free(source_files *s);                           // NULL is allowed
const char   *source_files_path(const source_files *s, int64_t i);           // of the i-th by name; NULL beyond the last
void          source_files_mapped(source_files *s, const file_map *m);      // digest these bytes for the file at m's path; m borrowed
digest_queue *source_files_queue(source_files *s, progress *p, err *e);     // of them all, to be worked on; owned by s
bool          source_files_digest(source_files *s, int n_threads, char hex[SHA256_HEX + 1], err *e);    // runs what is left of the queue

// The Hub commit when hf_dir is (or links into) a Hub cache snapshot: .../snapshots/<40 hex>[/]; "" otherwise.
void source_revision(const char *hf_dir, char rev[41]);

#endif
