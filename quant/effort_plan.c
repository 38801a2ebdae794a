// effort_plan: see effort_plan.h.
#include "effort_plan.h"
#include "../formats/claims.h"

#include <stdlib.h>
#include <string.h>

bool effort_for_tensor(const effort_opts *o, const char *name, int n_dims, const int64_t *shape, tensor_source *s,
                       err *e)
{
    s->effort = o->level;
    for (int64_t i = 0; i < o->n; i++) {
        const tensor_feedback *f = &o->feedback[i];
        if (strcmp(f->tensor, name) != 0) continue;
        if (n_dims != 2 || f->f.cols != shape[1])
            return err_set(e, ERR_INPUT, "tensor '%s': the calibration saw %lld columns, the tensor has %lld", name,
                           (long long)f->f.cols, (long long)(n_dims > 0 ? shape[n_dims - 1] : 1));
        s->feedback = &f->f;
    }
    return true;
}

bool effort_check(const effort_opts *o, bool encodes, err *e)
{
    if (o->level < 0 || o->level > EFFORT_MAX)
        return err_set(e, ERR_USAGE, "effort %d: expected 0 to %d", o->level, EFFORT_MAX);
    if (encodes || (o->level == 0 && !o->calibration)) return true;
    return err_set(e, ERR_USAGE,
                   "no tensor would be encoded to a block type: an effort or a calibration has nothing to work on");
}

bool effort_plan_keys(gguf_plan *p, const effort_opts *o, err *e)
{
    return (o->level == 0 || gguf_plan_u32(p, KEY_HM_EFFORT, (uint32_t)o->level, e)) &&
           (!o->calibration || gguf_plan_str(p, KEY_HM_CALIBRATION, o->calibration, e));
}

bool effort_of_artifact(effort_opts *out, const gguf *art, const effort_opts *given, err *e)
{
    int64_t level;
    char *calibration = NULL;
    *out = *given;
    if (!gguf_get_i64_or(art, KEY_HM_EFFORT, 0, &level, e)) return false;
    if (level < 0 || level > EFFORT_MAX)
        return err_set(e, ERR_INPUT, "%s: key '%s': found %lld, expected at most %d", gguf_path(art), KEY_HM_EFFORT,
                       (long long)level, EFFORT_MAX);
    out->level = (int)level;
    if (!gguf_find_kv(art, KEY_HM_CALIBRATION))
        return !given->calibration ||
               err_set(e, ERR_VERDICT, "%s: key '%s' is missing: it was made without a calibration", gguf_path(art),
                       KEY_HM_CALIBRATION);
    if (!gguf_get_cstr(art, KEY_HM_CALIBRATION, &calibration, e)) return false;
    bool ok = true;
    if (!given->calibration)
        ok = err_set(e, ERR_USAGE, "%s: it was calibrated: give the texts, of SHA-256 %s", gguf_path(art), calibration);
    else if (strcmp(given->calibration, calibration) != 0)
        ok = err_set(e, ERR_VERDICT, "%s: key '%s': found %s, the texts given are %s", gguf_path(art),
                     KEY_HM_CALIBRATION, calibration, given->calibration);
    free(calibration);
    return ok;
}
