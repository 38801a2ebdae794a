#include "encoding.h"

bool encoding_plan(encoding *x, const command *c, const type_options *o, err *e)
{
    *x = (encoding){ .c = c, .o = o,
                     .texts = { .texts = o->calibrate.v, .n_texts = o->calibrate.n, .n_threads = (int)o->threads } };
    if (!o->out && !o->dry_run) return err_set(e, ERR_USAGE, "option -o OUT.gguf is missing");
    if (o->calibrate.n && o->effort.given && o->effort.v == 0)
        return err_set(e, ERR_USAGE,
                       "--effort 0 and --calibrate exclude each other: effort 0 gives llama-quantize's bytes, which no "
                       "text changes; a calibration takes effort 1");
    if (!output_is_no_input(o->out, o->imatrix, &o->calibrate, e)) return false;
    if (o->out && !destination_file(&x->out, o->out, e)) return false;
    x->effort.level = o->calibrate.n && !o->effort.given ? 1 : (int)o->effort.v;
    return calibration_check_texts(&x->texts, e);
}

bool encoding_begin(encoding *x, err *e)
{
    if (!encoder_of_device(x->c, &x->encoder, x->o->device, e)) return false;
    x->texts.progress = x->progress = progress_bar_begin(&x->bar);
    return true;
}

bool encoding_calibrated(encoding *x, calibration *cal)
{
    x->calibration = cal;
    x->effort = calibration_effort(cal, x->effort.level);
    return cal != NULL;
}

bool encoding_end(encoding *x, bool ok, const char *label)
{
    calibration_free(x->calibration);
    encoder_close(x->encoder);
    progress_bar_end(&x->bar);
    if (ok) destination_done(x->c, &x->out, label);
    return ok;
}
