// lab_record_opts: see lab_record_opts.h.
#include "lab_record_opts.h"
#include "../measure/lab_plan.h"
#include "../formats/file_map.h"
#include <string.h>

// The file itself may be replaced by what it becomes; nothing else may.
static bool check_inputs(const lab_record_opts *o, err *e)
{
    for (int i = 0; i < o->args->n; i++)
        if (!same_file(o->args->v[i], o->art) && !output_is_no_input(o->out, o->args->v[i], NULL, e)) return false;
    for (int i = 0; i < o->texts->n; i++)
        if (lab_text_names(o->texts->v[i], o->out))
            return err_set(e, ERR_USAGE, "option -o: found '%s', which is a text of '%s'", o->out, o->texts->v[i]);
    for (int i = 0; i < o->reports->n; i++)
        if (strcmp(o->out, o->reports->v[i]) == 0 || same_file(o->out, o->reports->v[i]))
            return err_set(e, ERR_USAGE, "option -o: found '%s', which is the report '%s'", o->out, o->reports->v[i]);
    return true;
}

bool lab_record_place(destination *dest, const lab_record_opts *o, err *e)
{
    if (!o->art && !o->out) return true;
    if (!o->art) return err_set(e, ERR_USAGE, "option -o: found it without --record ART.gguf, whose result it is");
    if (!o->out) return err_set(e, ERR_USAGE, "option --record: expected -o OUT.gguf, where the file goes");
    if (o->part)
        return err_set(e, ERR_USAGE, "option --part: found --record, expected it with --merge, where all parts are");
    for (int i = 0; i < o->reports->n; i++)
        if (!output_is_no_input(o->reports->v[i], o->art, NULL, e)) return false;
    return check_inputs(o, e) && destination_file(dest, o->out, e);
}

bool lab_record_put(const char *art, const destination *dest, const lab_result *r, int n_threads, bool quiet, err *e)
{
    lab_record rec;
    bool emptied = false;
    const bool ok = lab_record_of(&rec, r, e) && lab_record_write(art, dest->path, &rec, n_threads, &emptied, e);
    lab_record_free(&rec);
    if (!ok) return false;
    if (quiet) destination_note_replaced(&cmd_lab, dest);
    else       destination_done(&cmd_lab, dest, "measured");
    if (emptied)
        cli_note(&cmd_lab, "%s: its verification record is empty now, as that was of the file without these figures: "
                 "release writes one again", dest->path);
    return true;
}
