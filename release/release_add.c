// A release that adds to one that is published: what stays of that, and how it comes into the new folder. See
// release_job.h.
#include "release_job.h"
#include "../formats/file_map.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ---- before the work -----------------------------------------------------------------------------------------------

static bool same_gate(const release_job *x, err *e)
{
    char hex[SHA256_HEX + 1] = "built-in";
    if (x->o->gate_path && !sha256_file(x->o->gate_path, hex, e)) return false;
    for (int i = 0; i < x->old.n; i++)
        if (strcmp(x->old.reports[i].gate, hex) != 0 || strcmp(x->old.gate, release_gate_name(x->o)) != 0)
            return err_set(e, ERR_USAGE, "%s: was held to the limits of %s (%.16s), this release is held to %s "
                           "(%.16s): all of a release are held to the same" OR_REPLACE, x->old.dir, x->old.gate,
                           x->old.reports[i].gate, release_gate_name(x->o), hex);
    return true;
}

bool release_add_begin(release_job *x, err *e)
{
    err why = { 0 };
    if (x->o->replace) return true;
    if (!old_release_open(&x->old, x->dest[TO_PUBLISH], &why))
        return err_set(e, why.kind, "nothing can be added: %s" OR_REPLACE, why.msg);
    if (!x->old.dir) return true;
    if (x->o->name && strcmp(x->o->name, x->old.name) != 0)
        return err_set(e, ERR_USAGE, "%s: its files are called %s-..., those of this release %s-..." OR_REPLACE,
                       x->old.dir, x->old.name, x->o->name);
    if (x->old.is_signed && !x->o->sign_key)
        return err_set(e, ERR_USAGE, "%s: is signed, and would no longer be: sign it again with --sign KEY.pem"
                       OR_REPLACE, x->old.dir);
    return same_gate(x, e);
}

// All of its artifacts must be of this source, those that are replaced, too: a folder of another is not added to.
bool release_add_prove(release_job *x, err *e)
{
    for (int i = 0; i < x->old.n; i++) x->old.replaced[i] = release_makes(x, x->old.reports[i].artifact);
    if (!x->old.dir) return true;
    return release_kept_signed(x, e) && old_release_prove(&x->old, &x->source, x->o->n_threads, x->o->progress, e)
        && release_kept_derive(x, e);
}

// ---- artifacts -----------------------------------------------------------------------------------------------------

// The copy is another file than the one that was proved, and its record is to be written: it is read back.
static bool read_back(const char *path, const release_job *x, err *e)
{
    gguf *g = gguf_open(path, e);
    const bool ok = g && claims_check_gaps(g, e) && claims_check_tensors(g, x->o->n_threads, x->o->progress, e);
    gguf_close(g);
    return ok;
}

static bool copy_artifact(const release_job *x, verify_report *v, err *e)
{
    char *from = path_join(x->old.dir, v->artifact), *to = path_join(x->dir.path, v->artifact);
    bool  ok = (from && to) || err_nomem(e, "a path", strlen(v->artifact));
    ok = ok && release_copy(from, x->dir.path, v->artifact, v->file_sha256, e) && read_back(to, x, e);
    v->file_sha256[0] = '\0';                       // its record will be another
    free(from);
    free(to);
    return ok;
}

// A place for n more reports; what is there stays.
static bool make_room(release_result *r, int n, err *e)
{
    const size_t all = (size_t)(r->n + n);
    verify_report *reports = realloc(r->reports, all * sizeof *reports);
    int64_t       *bytes = realloc(r->file_bytes, all * sizeof *bytes);
    release_made  *made = realloc(r->made, all * sizeof *made);
    if (reports) r->reports = reports;
    if (bytes) r->file_bytes = bytes;
    if (made) r->made = made;
    return (reports && bytes && made) || err_nomem(e, "reports", all * sizeof *reports);
}

static void swap_rows(release_result *r, int i, int k)
{
    const verify_report v = r->reports[i];
    const int64_t bytes = r->file_bytes[i];
    const release_made m = r->made[i];
    r->reports[i] = r->reports[k];
    r->file_bytes[i] = r->file_bytes[k];
    r->made[i] = r->made[k];
    r->reports[k] = v;
    r->file_bytes[k] = bytes;
    r->made[k] = m;
}

static int find_row(const release_result *r, const char *artifact)
{
    int i = 0;
    while (i < r->n && strcasecmp(r->reports[i].artifact, artifact) != 0) i++;
    return i;
}

// Row i becomes that of old artifact k: the one that was made in its place, or its own.
static bool put_row(release_job *x, int i, int k, err *e)
{
    release_result *r = x->r;
    verify_report  *v = &x->old.reports[k];
    int at = x->old.replaced[k] ? find_row(r, v->artifact) : r->n;
    if (!x->old.replaced[k]) {
        if (!copy_artifact(x, v, e)) return false;
        r->reports[at] = *v;                        // it is r's now
        r->file_bytes[at] = v->file_bytes;
        r->made[at] = (release_made){ .kept = true };
        r->n++;
        memset(v, 0, sizeof *v);
        x->old.replaced[k] = true;                  // nothing of it is the old one's any more
    }
    for (; at > i; at--) swap_rows(r, at, at - 1);  // the others keep their order
    return true;
}

bool release_add_bring(release_job *x, err *e)
{
    if (!x->old.dir) return true;
    if (!old_release_still_there(&x->old, e) || !make_room(x->r, x->old.n, e)) return false;
    for (int k = 0; k < x->old.n; k++)
        if (!put_row(x, k, k, e)) return false;
    return release_carry_files(x, e) && release_carry_notes(x, e);
}
