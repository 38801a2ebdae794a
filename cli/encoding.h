// encoding: what convert and quantize do alike around the one call that makes their file: the destination, the
// calibration, the device, the progress.
//
//   encoding_plan       what the command line alone can be refused for
//   encoding_begin      the device and the progress bar; from here on encoding_end in every case
//   encoding_calibrated takes the calibration, where texts ask for one
//   encoding_end        closes all that, and tells of the file
#ifndef HALLMARK_CLI_ENCODING_H
#define HALLMARK_CLI_ENCODING_H

#include "progress_bar.h"
#include "type_options.h"
#include "../measure/calibrate.h"

typedef struct {
    const command      *c;
    const type_options *o;              // borrowed
    destination         out;            // of o->out; nothing in a dry run without one
    calibration_opts    texts;          // n_texts 0: no calibration is asked for
    calibration        *calibration;
    // for the options of the call; the level from encoding_plan on, the rest from encoding_calibrated on
    effort_opts         effort;
    block_encoder      *encoder;        // likewise, from encoding_begin on; NULL: the CPU
    progress           *progress;
    progress_bar        bar;
} encoding;

// ERR_USAGE: no -o, an effort that contradicts a calibration, an output that is an input; ERR_USAGE or ERR_SYSTEM: a
// place that cannot be written to (formats/outfile.h); ERR_INPUT: a text that cannot be read. Owns nothing yet.
bool encoding_plan(encoding *x, const command *c, const type_options *o, err *e);

// ERR_SYSTEM: --device cuda, where none answers; nothing is left open then.
bool encoding_begin(encoding *x, err *e);

// Takes cal over; false when it is NULL: its maker has said why.
bool encoding_calibrated(encoding *x, calibration *cal);

// ok: the file was written, as `label` (BF16, say). Returns ok.
bool encoding_end(encoding *x, bool ok, const char *label);

#endif
