// convert: a Hugging Face checkpoint becomes a GGUF file, in one streaming pass.
#ifndef HALLMARK_CONVERT_CONVERT_H
#define HALLMARK_CONVERT_CONVERT_H

#include "../formats/claims.h"
#include "../quant/derive.h"
#include "../quant/policy.h"
#include "../quant/quantize.h"
#include "../quant/tensor_writer.h"
#include <cjson/cJSON.h>

typedef struct {
    file_type   type;
    const char *imatrix;        // path or NULL
    int         n_threads;      // 0: all cores
    progress   *progress;       // may be NULL
    effort_opts effort;         // zeroed: llama.cpp's bytes
    const policy_overrides *overrides;      // NULL: llama-quantize's mix as it stands
    bool        allow_nonfinite;            // see quant/tensor_writer.h
    bool        strict_types;               // see quant/choice.h
    bool        no_mtp;         // leave out the block that guesses the token after the next (of what has one)
    block_encoder *encoder;     // a device for what it can encode, or NULL; borrowed. The bytes are the same
    gguf_judge  judge;          // asked of the file that was made before it has its name (quant/finish.h). NULL: nobody
} convert_opts;

// Writes out_path whole or not at all. ERR_INPUT names what is unmapped, missing, or of a shape that config.json does
// not give.
bool convert_checkpoint(const char *hf_dir, const char *out_path, const convert_opts *o, err *e);

// What convert_checkpoint refuses without reading a weight, and whether there is room: see quantize_check.
bool convert_check(const char *hf_dir, const char *out_path, const convert_opts *o, err *e);

// What convert_checkpoint would choose, without writing anything; `from` is the checkpoint's type. Freed by
// quantize_preview_free.
bool convert_preview(quantize_preview *v, const char *hf_dir, const convert_opts *o, err *e);

// A type that holds every tensor of the checkpoint exactly: BF16, or F32.
bool convert_exact_type(file_type *t, const char *hf_dir, int n_threads, err *e);

// The general.architecture of a model with that config, static; NULL where it is none that we convert.
const char *convert_architecture_of(const cJSON *config);

// Compares an artifact's metadata with the config.json a fixture carries, key by key: the expected hyperparameter keys
// are planned from the config as convert does, and each must equal the artifact's. ERR_VERDICT naming the first key,
// found and expected.
bool convert_config_agrees(const gguf *g, const cJSON *config, err *e);

// The metadata that convert would plan from a config.json alone: general.architecture and the hyperparameter keys, no
// tokenizer and no tensors; for a memory plan before anything is loaded. `where` names the config in messages. Freed by
// gguf_plan_free; NULL on failure.
gguf_plan *convert_plan_of_config(const cJSON *config, const char *where, err *e);

// The same of a checkpoint's folder, with its tokenizer: all metadata that convert_checkpoint would write but claims,
// and no tensor. No weight is read. Freed by gguf_plan_free; NULL on failure.
gguf_plan *convert_plan_of_folder(const char *hf_dir, const convert_opts *o, err *e);

typedef struct {                // tensors that are not of the type that a file type's mix gives them
    int64_t n;
    char    first[LIMIT_NAME_BYTES + 1];    // ""
} convert_other_types;

// All metadata that convert_checkpoint would write into a file with art's tensors, claims too: the record and the
// digests of tensors are placeholders. o: its type and importance matrix. *other: whose types the maker chose
// otherwise. No weight is read. Freed by gguf_plan_free; NULL on failure.
gguf_plan *convert_plan_of_artifact(const gguf *art, const char *hf_dir, const convert_opts *o,
                                    const claims_source *source, convert_other_types *other, err *e);

// Proves that art's tensors are what hf_dir gives, each in the type it has in art: see quant/derive.h. ERR_VERDICT
// names the first that is not.
bool convert_derives(const gguf *art, const char *hf_dir, const derive_opts *o, err *e);

// The same of a file that convert_checkpoint wrote with these options: its tensors are of the types that are chosen,
// too. found may be NULL.
bool convert_proves(const gguf *art, const char *hf_dir, const convert_opts *o, derive_found *found, err *e);

#endif
