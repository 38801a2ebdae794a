// choice: the types of a whole file, and what there is to say of them: options that would do nothing, and blocks that
// do not fit their rows.
// convert and quantize choose through here, for a file and for a plan alike.
// Proved by tests/choice_test.c.
#ifndef HALLMARK_QUANT_CHOICE_H
#define HALLMARK_QUANT_CHOICE_H

#include "../formats/progress.h"
#include "policy.h"

typedef struct {
    file_type           type;
    bool                strict;     // --strict-types: a tensor that falls back is ERR_USAGE
    progress           *log;        // where warnings go; NULL: nobody
    const policy_model *model;      // its overrides are --tensor-type, --output-type and so on
} choice_opts;

// As policy_choose: types[i] for each of the n tensors; and wanted[i], which is another where the tensor falls back.
// ERR_USAGE naming an option that decides no tensor, and what it could have named: a --tensor-type whose pattern is in
// no name, or only in those of tensors whose type is fixed, or of tensors that another option decides; an --output-type
// that a rule or --pure overrules (--embedding-type may).
// ERR_USAGE with strict: how many tensors fall back, the first of them, its rows.
bool choice_make(const choice_opts *o, const policy_tensor *t, int64_t n, dtype *types, dtype *wanted, err *e);

#endif
