// effort_plan: effort over a whole file: which tensor gets which feedback, and what the metadata says of it.
#ifndef HALLMARK_QUANT_EFFORT_PLAN_H
#define HALLMARK_QUANT_EFFORT_PLAN_H

#include "tensor_writer.h"

typedef struct { const char *tensor; feedback f; } tensor_feedback;

typedef struct {            // zeroed: the reference's bytes
    int                    level;           // 0 .. EFFORT_MAX
    const tensor_feedback *feedback;        // [n], any order: what a calibration gives (measure/calibrate.h); borrowed
    int64_t                n;
    const char            *calibration;     // with feedback: its digest, for the metadata
} effort_opts;

// What tensor `name` (shape as in GGUF, Hugging Face order) gets: s->effort and s->feedback. ERR_INPUT: the calibration
// saw another width.
bool effort_for_tensor(const effort_opts *o, const char *name, int n_dims, const int64_t *shape, tensor_source *s,
                       err *e);

// ERR_USAGE: a level there is none of; or an effort, or a calibration, where no tensor becomes blocks (encodes), so
// that it would do nothing.
bool effort_check(const effort_opts *o, bool encodes, err *e);

// hallmark.quantize.effort and hallmark.quantize.calibration, where they say something.
bool effort_plan_keys(gguf_plan *p, const effort_opts *o, err *e);

// The effort that an artifact says it was made with. ERR_INPUT: a level there is none of. ERR_USAGE: it was calibrated
// and `given` has no feedback;
// ERR_VERDICT: `given` comes from other texts, or the artifact knows of no calibration.
bool effort_of_artifact(effort_opts *out, const gguf *art, const effort_opts *given, err *e);

#endif
