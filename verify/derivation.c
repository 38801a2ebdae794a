#include "derivation.h"
#include "../measure/calibrate.h"
#include "../quant/mix_record.h"
#include "preflight.h"
#include "../formats/file_map.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

// A report names no folder of this machine: takes "<folder>/" out of text, wherever it stands.
static void drop_folder(char *text, const char *folder, size_t n)
{
    while (n > 0 && folder[n - 1] == '/') n--;
    for (char *at = text; n > 0 && *at;) {
        if (strncmp(at, folder, n) != 0 || at[n] != '/') {
            at++;
            continue;
        }
        const size_t cut = n + strspn(at + n, "/");
        memmove(at, at + cut, strlen(at + cut) + 1);
    }
}

// What the answer `ok` with `why` means for a report. false: it was no answer.
static bool answer(verify_derivation *d, bool ok, const char *from, const gguf *art, const derive_found *found,
                   const err *why, err *e)
{
    const char *slash = strrchr(from, '/');
    *d = (verify_derivation){ .made = true, .passed = ok, .error_max = NAN };
    if (!ok && why->kind != ERR_VERDICT) return err_set(e, why->kind, "%s", why->msg);
    if (!ok) {
        char text[sizeof why->msg];
        snprintf(text, sizeof text, "%s", without_folder(art, why->msg));
        drop_folder(text, from, dir_exists(from) ? strlen(from) : slash ? (size_t)(slash - from) : 0);
        snprintf(d->reason, sizeof d->reason, "%.*s", (int)sizeof d->reason - 1, text);
        return true;
    }
    d->tensors = found->tensors;
    d->encoded = found->encoded;
    if (found->encoded == 0) return true;
    d->error_max = found->error_max;
    snprintf(d->error_tensor, sizeof d->error_tensor, "%.*s", (int)sizeof d->error_tensor - 1, found->error_tensor);
    return true;
}

bool derivation_of_converted(verify_derivation *d, const char *artifact, const char *hf_dir, const convert_opts *o,
                             err *e)
{
    derive_found found = { 0 };
    err why = { 0 };
    gguf *art = gguf_open(artifact, e);
    if (!art) return false;
    const bool ok = answer(d, convert_proves(art, hf_dir, o, &found, &why), hf_dir, art, &found, &why, e);
    gguf_close(art);
    return ok;
}

static calibration *calibrate(const derivation_opts *o, err *e)
{
    const calibration_opts c = { .texts = o->calibrate, .n_texts = o->n_calibrate, .n_threads = o->n_threads,
                                 .progress = o->progress };
    return dir_exists(o->from) ? calibration_compute_hf(o->from, &c, e) : calibration_compute(o->from, &c, e);
}

static bool derive(derive_found *found, const gguf *art, const derivation_opts *o, err *e)
{
    derive_opts d = { .imatrix = o->imatrix, .n_threads = o->n_threads, .progress = o->progress, .found = found };
    calibration *cal = NULL;
    if (!mix_record_check(art, e)) return false;
    if (o->n_calibrate > 0 && !(cal = calibrate(o, e))) return false;
    d.effort = calibration_effort(cal, 0);
    const bool ok = dir_exists(o->from) ? convert_derives(art, o->from, &d, e)
        : derive_from_gguf(gguf_path(art), o->from, &d, e);
    calibration_free(cal);
    return ok;
}

bool derivation_prove(derive_found *found, const char *artifact, const derivation_opts *o, err *e)
{
    gguf *art = gguf_open(artifact, e);
    const bool ok = art && derive(found, art, o, e);
    gguf_close(art);
    return ok;
}

bool derivation_of(verify_derivation *d, const char *artifact, const derivation_opts *o, err *e)
{
    derive_found found = { 0 };
    err why = { 0 };
    gguf *art = gguf_open(artifact, e);
    if (!art) return false;
    const bool ok = answer(d, derive(&found, art, o, &why), o->from, art, &found, &why, e);
    gguf_close(art);
    return ok;
}
