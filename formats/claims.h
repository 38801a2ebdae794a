// claims: the keys of the hallmark.* namespace, and the digests they hold. See README, "What an artifact says about
// itself".
// Proved by tests/claims_test.c.
#ifndef HALLMARK_FORMATS_CLAIMS_H
#define HALLMARK_FORMATS_CLAIMS_H

#include "gguf.h"
#include "progress.h"
#include "sha256.h"
#include "source.h"

#define KEY_HM_VERSION       "hallmark.version"             // u32 1 or 2
#define KEY_HM_KV_TYPE       "hallmark.kv.type"             // "f32" | "bf16"
#define KEY_HM_ATTN_MATH     "hallmark.attention.math"      // "f32"
#define KEY_HM_SOURCE_REV    "hallmark.source.revision"     // Hub commit, when known
// hex, by the list of files that goes with the version (source.h)
#define KEY_HM_SOURCE_DIGEST "hallmark.source.digest"
// hex, by the list of version 1; absent in version 1 and where it is the same
#define KEY_HM_SOURCE_V1     "hallmark.source.digest_v1"
#define KEY_HM_TENSOR_SHA    "hallmark.tensor.sha256"       // array of hex strings, file order
#define KEY_HM_QUANTIZE_MIX  "hallmark.quantize.mix"        // JSON: how a mix made to order was found (measure/mix.h)
// padded JSON, CLAIMS_RECORD_BYTES, empty ("{}" padded) until release
#define KEY_HM_VERIFICATION  "hallmark.verification"
// u32, above 0 only: how hard the blocks were searched for (quant/effort.h)
#define KEY_HM_EFFORT        "hallmark.quantize.effort"
// hex SHA-256 of the texts whose inputs steered the rounding (measure/calibrate.h)
#define KEY_HM_CALIBRATION   "hallmark.quantize.calibration"
// JSON: what quantized caches cost this file, by measurement (measure/lab_record.h); absent where nothing was measured
#define KEY_HM_KV_MEASURED   "hallmark.kv.measured"
// Not a claim about the bytes but part of the tokenizer (u32 array, every id that ends a text): copied, never
// recomputed.
#define KEY_HM_EOS_IDS       "hallmark.eos_token_ids"
// The same: string array, the texts of tokens that the tokenizer knows and the embedding has no row for; absent where
// there are none.
#define KEY_HM_BEYOND        "hallmark.tokens_beyond"
enum { CLAIMS_VERSION = 2, CLAIMS_RECORD_BYTES = 65536 };

// What the artifact requires, from its file type name ("BF16", "F32", "Q4_K_M", ...): "bf16" for BF16, else "f32".
const char *claims_required_kv(const char *type_name);
// The same of a file: "bf16" only where each tensor is BF16 or F32, too. A file that is BF16 but for some tensors
// (convert --tensor-type) requires "f32".
const char *claims_kv_of(const gguf *g, const char *type_name);

typedef struct {                // borrowed; NULL or "": the key is left out, and removed if it is there
    int64_t     version;        // whose list of files the digest is of: 1, or 0 for the newest
    const char *digest, *digest_v1, *revision;
} claims_source;

// Puts every hallmark.* key in the plan, digests and record as placeholders of their final size; call after all tensors
// are planned and before gguf_plan_layout. src NULL: nothing is known of the source.
bool claims_plan(gguf_plan *p, const char *type_name, const claims_source *src, err *e);

// What the file says of its source; both digests "" where it says nothing.
void claims_read_source(const gguf *g, source_id *id);

// The verification record: JSON text padded with spaces to CLAIMS_RECORD_BYTES, so that `release` can put it into a
// finished file (before its rename) without moving anything. Pads `json`; ERR_SYSTEM if it does not fit.
bool claims_pad_record(const char *json, char out[CLAIMS_RECORD_BYTES], err *e);
// Where it stands: *json is the text without its padding (borrowed; "{}" until release), *off the file offset of its
// CLAIMS_RECORD_BYTES bytes. ERR_INPUT if the key is absent, ERR_VERDICT if its size is another.
bool claims_find_record(const gguf *g, gguf_str *json, int64_t *off, err *e);

// Fills in hallmark.tensor.sha256; digests: [n_tensors] in file order.
bool claims_set_digests(gguf_plan *p, const char (*digests)[SHA256_HEX + 1], err *e);

// SHA-256 over the lines "<digest>\n" of hallmark.tensor.sha256: what a fixture made --weights names. ERR_INPUT if
// absent.
bool claims_weights_digest(const gguf *g, char hex[SHA256_HEX + 1], err *e);

// SHA-256 over all metadata pairs in file order but hallmark.verification, and over the tensor table: what the record
// binds.
// Per pair: key bytes, NUL, type u32, elem u32, n u64, value bytes. Per tensor: name, NUL, type u32, n_stored u32, each
// of the stored dimensions i64.
bool claims_metadata_digest(const gguf *g, char hex[SHA256_HEX + 1], err *e);

// SHA-256 of what a file computes with: all metadata pairs but hallmark.verification and hallmark.kv.measured, the
// tensor table, and the tensors' bytes, which stand for themselves in hallmark.tensor.sha256 and are read where that is
// absent (n_threads at a time, 0: all cores).
bool claims_model_digest(const gguf *g, int n_threads, char hex[SHA256_HEX + 1], err *e);

// Do the keys that the file's own type decides hold what that type decides (hallmark.version, hallmark.kv.type,
// hallmark.attention.math)? Keys that are absent claim nothing. type_name: "BF16", "Q4_K_M", ... ERR_VERDICT naming the
// key, found and expected.
bool claims_check_keys(const gguf *g, const char *type_name, err *e);

// Is there nothing in the file beside header and tensors: zeros between them, no byte after the last one's padding?
// ERR_VERDICT names the offset.
bool claims_check_gaps(const gguf *g, err *e);

// Recomputes each tensor's digest and compares with hallmark.tensor.sha256. ERR_VERDICT naming the first tensor that
// differs (or that the list does not fit the tensors); ERR_INPUT if the key is absent. n_threads tensors at a time (0:
// all cores).
bool claims_check_tensors(const gguf *g, int n_threads, progress *p, err *e);

#endif
