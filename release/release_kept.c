// What stays of a release that is added to is proved as what is new: see release_job.h.
//
// The digests in a file agree with each other whoever computed them, so what is kept is derived from the source again,
// and where it was signed, it is signed again by the same key alone. Where it was not, no key is put under it: a
// signature says of each figure that its key's owner vouches for it, and in a folder that nobody signed anybody may
// have written them.
#include "release_job.h"
#include "check_source.h"
#include "release_sign.h"
#include "../formats/file_map.h"
#include "../formats/folder_digest.h"
#include "../formats/text.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// ---- the signature -------------------------------------------------------------------------------------------------

static bool fits(const release_job *x, const model_statement *s, const char *path, err *e)
{
    folder_digest f;
    if (!folder_digest_open(&f, x->old.dir, SIGNATURE_NAME, FOLDER_STRICT, e)) return false;
    const bool ok = folder_digest_take(&f, x->o->n_threads, x->o->progress, e) && model_statement_fits(s, &f, path, e)
        && folder_digest_same(&f, e);
    folder_digest_free(&f);
    return ok;
}

static bool signature_holds(const release_job *x, const char *path, err *e)
{
    model_statement s = { 0 };
    const bool ok = release_signed_statement(&s, path, x->key, e) && fits(x, &s, path, e);
    model_statement_free(&s);
    return ok;
}

// By its report, or because a signature lies there: one of the two is enough to ask for it.
static bool is_signed_already(const release_job *x, bool *is, err *e)
{
    char *path = path_join(x->old.dir, SIGNATURE_NAME);
    *is = x->old.is_signed || (path && file_exists(path));
    free(path);
    return path || err_nomem(e, "a path", strlen(x->old.dir));
}

bool release_kept_vouched(const release_job *x, err *e)
{
    bool is_signed;
    if (!x->key || old_release_n_kept(&x->old) == 0) return true;
    if (!is_signed_already(x, &is_signed, e)) return false;
    return is_signed
        || err_set(e, ERR_USAGE, "nothing can be added and signed: nobody signed what stays of %s, so that a key put "
                   "under it would vouch for figures that anybody may have written" OR_REPLACE, x->old.dir);
}

static bool named_by(const release_job *x, const char *path, err *e)
{
    model_statement s = { 0 };
    const bool ok = release_signed_statement(&s, path, x->key, e);
    model_statement_free(&s);
    return ok;
}

typedef bool signature_test(const release_job *x, const char *path, err *e);

static bool still_signed(const release_job *x, signature_test *holds, err *e)
{
    err  why = { 0 };
    bool is_signed;
    if (!x->old.dir || !x->key) return true;
    if (!is_signed_already(x, &is_signed, e)) return false;
    char *path = path_join(x->old.dir, SIGNATURE_NAME);
    if (!path) return err_nomem(e, "a path", strlen(x->old.dir));
    const bool ok = !is_signed || holds(x, path, &why);
    free(path);
    return ok || err_set(e, why.kind, "nothing can be added to what is signed: %s" OR_REPLACE, why.msg);
}

bool release_kept_key(const release_job *x, err *e) { return still_signed(x, named_by, e); }

// A file that the signature does not name would be signed unseen: model_statement_fits refuses it by name.
bool release_kept_signed(const release_job *x, err *e) { return still_signed(x, signature_holds, e); }

// ---- the source ----------------------------------------------------------------------------------------------------

enum { MOST_INPUTS = 1024, MOST_TEXT_BYTES = 64 << 20 };

typedef struct {                // what artifacts that stay may have been made with, beside what is published
    const char *matrices[MOST_INPUTS], *texts[MOST_INPUTS];     // borrowed
    int         n_matrices, n_texts;
    char       *beside[MOST_INPUTS];    // owned; in texts, too
    int         n_beside;
} inputs;

static void take_recipes(inputs *in, const release_job *x)
{
    for (int i = 0; i < x->n_items; i++) {
        const recipe *r = x->items[i].r;
        if (r->imatrix && in->n_matrices < MOST_INPUTS) in->matrices[in->n_matrices++] = r->imatrix;
        for (int k = 0; k < r->calibrate.n && in->n_texts < MOST_INPUTS; k++)
            in->texts[in->n_texts++] = r->calibrate.v[k];
    }
}

// Texts that lie beside the checkpoint.
static bool take_texts(inputs *in, const release_job *x, err *e)
{
    dir_list l = { 0 };
    struct stat st;
    bool ok = dir_list_read(&l, x->hf_dir, NULL, false, e);
    for (int i = 0; ok && i < l.n && in->n_texts < MOST_INPUTS; i++) {
        if (!text_ends_with(l.v[i], ".txt") && !text_ends_with(l.v[i], ".md")) continue;
        char *path = path_join(x->hf_dir, l.v[i]);
        const bool small = path && stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= MOST_TEXT_BYTES;
        if (small) in->texts[in->n_texts++] = in->beside[in->n_beside++] = path;
        else       free(path);
    }
    dir_list_free(&l);
    return ok;
}

// The digest is taken first: whatever the file is when it is copied, it is what was proved.
static bool derives(const release_job *x, check_source *s, verify_report *v, err *e)
{
    char  *path = path_join(x->old.dir, v->artifact);
    gguf  *g = NULL;
    cJSON *rec = NULL;
    check_file_proof told = { .lacks = NULL };
    bool ok = path || err_nomem(e, "a path", strlen(x->old.dir));
    ok = ok && sha256_file(path, v->file_sha256, e) && (g = gguf_open(path, e)) != NULL
        && record_read(g, &rec, e) && check_source_proves(s, g, rec, &told, e);
    cJSON_Delete(rec);
    gguf_close(g);
    free(path);
    return ok;
}

static bool derive_all(release_job *x, const inputs *in, err *e)
{
    const check_opts o = { .from = x->hf_dir, .n_threads = x->o->n_threads, .progress = x->o->progress,
                           .imatrix = in->matrices, .n_imatrix = in->n_matrices, .calibrate = in->texts,
                           .n_calibrate = in->n_texts };
    check_source *s = check_source_open(x->old.dir, &x->source, &o, e);
    bool ok = s != NULL;
    for (int i = 0; ok && i < x->old.n; i++)
        if (!x->old.replaced[i]) ok = derives(x, s, &x->old.reports[i], e);
    check_source_free(s);
    return ok;
}

bool release_kept_derive(release_job *x, err *e)
{
    err why = { 0 };
    if (old_release_n_kept(&x->old) == 0) return true;
    inputs *in = calloc(1, sizeof *in);
    if (!in) return err_nomem(e, "names of files", sizeof *in);
    take_recipes(in, x);
    const bool ok = take_texts(in, x, &why) && derive_all(x, in, &why);
    for (int i = 0; i < in->n_beside; i++) free(in->beside[i]);
    free(in);
    return ok || err_set(e, why.kind, "nothing can be added: what stays must be what the source gives: %s; or make it "
                         "again with this release" OR_REPLACE, why.msg);
}
