// source_keys: is an artifact's metadata what its source gives, key by key? Beside derivation.h, which asks it of the
// tensors.
//
// Each key that convert would write today from the checkpoint must be there with the same type and value (tokenizer and
// chat templates too), and no other. Some are held to by a rule of their own:
//   hallmark.verification        the record: record_check binds it to the file
//   hallmark.tensor.sha256       claims_check_tensors compares it with the bytes
//   hallmark.kv.measured         measured_check binds it to the tensors; its figures are proved by nobody here
//   hallmark.quantize.effort, .calibration     derive_compare encodes with them
//   hallmark.quantize.mix        mix_record_check compares its types with the tensors'; how they were found is told
//   quantize.imatrix.file        a name: that of the matrix at hand, or told; the tensors prove the matrix, the other
//                                quantize.imatrix.* are the matrix's
//   general.file_type            the file's own, where it is a type that convert writes; type_of_check holds it to the
//                                tensors
//   hallmark.version             1 or 2; the source's digest is compared by the list of that version
//   hallmark.source.revision     a checkpoint's folder may not tell its commit, and an artifact need not
//   general.name                 follows from the name of the folder, which is the publisher's in a Hub cache alone
// Order is not compared.
// Proved by tests/forgeries_test.c.
#ifndef HALLMARK_VERIFY_SOURCE_KEYS_H
#define HALLMARK_VERIFY_SOURCE_KEYS_H

#include "../convert/convert.h"

typedef struct {
    const char      *hf_dir;    // the checkpoint's folder
    const char      *imatrix;   // with which the artifact was made, or NULL
    const source_id *source;    // of hf_dir (source_digest)
} source_keys_opts;

typedef struct {                // what could not be compared
    int64_t compared;           // keys that are what the source gives
    char    revision[41];       // the commit that the artifact names, where the folder tells none; ""
    char    open_keys[128];     // keys that it has and that nothing here proves, ", " between them; ""
    char    name[128];          // general.name, where the folder has another and is in no Hub cache; ""
    convert_other_types other;  // tensors whose types the maker chose, and the source cannot tell
} source_keys_found;

// ERR_VERDICT names the first key that differs, is missing or is not the source's: found, expected. ERR_INPUT: the
// checkpoint or the matrix cannot be read.
bool source_keys_prove(source_keys_found *found, const gguf *art, const source_keys_opts *o, err *e);

#endif
