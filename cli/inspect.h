// inspect: what a file says about itself, shown without running it. One function for each kind; each prints text, or
// JSON with at least the keys kv (object) and tensors (array of name, type, shape, offset, bytes).
#ifndef HALLMARK_CLI_INSPECT_H
#define HALLMARK_CLI_INSPECT_H

#include "text_out.h"
#include "../formats/gguf.h"
#include "../runtime/kv_spec.h"

bool inspect_gguf(const char *path, bool json, err *e);
bool inspect_folder(const char *dir, bool json, err *e);            // a Hugging Face folder; its config.json is enough
bool inspect_artifacts(const char *dir, bool json, err *e);         // a folder of GGUF files, as release publishes them
bool inspect_safetensors(const char *path, bool json, err *e);
bool inspect_fixture(const char *path, bool json, err *e);
// The forward pass of a model, a GGUF file, as a list of operations: inspect --program. kv: with that cache
// (kv_spec.h), or NULL. ERR_INPUT where the file could not be run.
bool inspect_program(const char *path, const char *kv, bool json, err *e);

// What a model costs, of a config.json, a folder with one, or a GGUF file: inspect --plan. NULL and 0: not asked for.
// JSON keys of its own.
typedef struct { const char *memory, *kv; int64_t n_ctx; bool json; } inspect_plan_opts;
bool inspect_plan(const char *path, const inspect_plan_opts *o, err *e);

// ---- shared pieces (inspect_gguf.c) ---------------------------------------------------------------------------------

void inspect_head_json(json_out *j, const char *file, const char *format);     // opens the document: file, format
// "kv": {...}; measured: NULL, or where what is said of "measured" goes, which then stands in it, too.
void inspect_kv_json(json_out *j, const gguf *g, err *measured);
bool inspect_kv_table(const gguf *g, err *e);

typedef struct { const char *name, *type; int n_dims; const int64_t *shape; int64_t off, n_bytes; } inspect_row;
void inspect_tensor_json(json_out *j, const inspect_row *r);        // one element of "tensors"
void inspect_tensor_cells(table *t, const inspect_row *r);          // name, type, shape, bytes, offset
extern const char *const inspect_tensor_header[];

// Does the file carry a verification record? *text: the record, borrowed, without its padding; empty where there is
// none.
bool inspect_record(const gguf *g, gguf_str *text);

// What is said after a model's file was shown: can it be run (model_check)? ERR_INPUT where it says that it is a model
// of an architecture that is run here and its values are impossible. A file without tensors is held to its
// hyperparameters alone.
bool inspect_judge(const gguf *g, err *e);

// The KV cache that the model needs at some context lengths, and what sharing between layers saves: "memory" in JSON.
// A file whose architecture is not run here has no plan: the reason is printed in its place.
bool inspect_memory(json_out *j, const gguf *g, err *e);            // j NULL: as text

// What was measured of the file's caches (hallmark.kv.measured), a table; as JSON a member "measured", null where it
// cannot be read. Nothing where the file says nothing. ERR_INPUT: it is no such record.
bool inspect_measured(json_out *j, const gguf *g, err *e);          // inspect_measured.c; j NULL: as text

#endif
