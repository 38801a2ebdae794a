// derivation: is an artifact what its source gives, tensor by tensor? As a check of a report, beside the fixtures.
//
// Every tensor is encoded again from the source and compared byte for byte, and decoded and compared with the source
// (quant/derive.h).
// Fixtures see what a file does, as a whole: a tensor of zeros in one layer may cost less than the rounding of all the
// others.
// Proved by tests/damage_test.c.
#ifndef HALLMARK_VERIFY_DERIVATION_H
#define HALLMARK_VERIFY_DERIVATION_H

#include "verify.h"
#include "../convert/convert.h"

struct derivation_opts {
    const char        *from;        // a checkpoint's folder, or a GGUF file in F32, F16 or BF16
    const char        *imatrix;     // with which the artifact was made, or NULL
    const char *const *calibrate;   // texts that it was calibrated with, in the same order
    int                n_calibrate;
    int                n_threads;   // 0: all cores
    progress          *progress;    // may be NULL
};

// Of a file that anybody made: the types of its tensors are taken as they are, but for what it says itself of its mix.
// true: d->passed is the verdict, d->reason says why not. false: it could not be asked (ERR_INPUT, ERR_USAGE,
// ERR_SYSTEM).
bool derivation_of(verify_derivation *d, const char *artifact, const derivation_opts *o, err *e);

// The same, as an error: true: they derive. ERR_VERDICT names the first that does not, with the folders it lies in.
// found may be NULL.
bool derivation_prove(derive_found *found, const char *artifact, const derivation_opts *o, err *e);

// Of a file that convert_checkpoint has just made from hf_dir with o: the types are those that it chooses, too.
bool derivation_of_converted(verify_derivation *d, const char *artifact, const char *hf_dir, const convert_opts *o,
                             err *e);

#endif
