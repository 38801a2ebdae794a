// finish: see finish.h.
#include "finish.h"

static bool judge_output(const outfile *f, gguf_judge judge, const char *source, err *e)
{
    err   why = { 0 };
    gguf *g = gguf_open_as(outfile_tmp_path(f), outfile_path(f), &why);
    const bool ok = g && judge(g, &why);
    gguf_close(g);
    if (ok) return true;
    if (why.kind != ERR_INPUT) return err_set(e, why.kind, "%s", why.msg);
    return err_set(e, ERR_INPUT, "%s; it was made of %s, could not be run, and is not kept", why.msg, source);
}

bool finish_gguf(const gguf_plan *p, outfile *f, gguf_judge judge, const char *source, err *e)
{
    if (!gguf_plan_write(p, f, e) || (judge && !judge_output(f, judge, source, e))) {
        outfile_abort(f);
        return false;
    }
    return outfile_commit(f, e);
}
