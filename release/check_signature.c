#include "check_signature.h"
#include "provenance.h"
#include "release_sign.h"
#include "release_list.h"
#include "../formats/dsse.h"
#include "../formats/file_kind.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- the signature -------------------------------------------------------------------------------------------------

static void note_held(check_proof *to, const signing_key *k, const model_statement *s)
{
    if (!to) return;
    strcpy(to->held_key, signing_key_hint(k));
    strcpy(to->curve, signing_key_curve(k));
    to->n_signed = s->n;
}

// The signature's path: o->sig_path, or SIGNATURE_NAME in dir. malloc'd.
static char *signature_path(const char *dir, const check_opts *o)
{
    return o->sig_path ? strdup(o->sig_path) : path_join(dir, SIGNATURE_NAME);
}

// Where the signature lies in the folder itself, it is not a file that it could name. NULL: it does not, or no memory.
static char *name_in(const char *dir, const char *sig)
{
    const char *name = path_base(sig);
    char *there = path_join(dir, name), *out = there && same_file(there, sig) ? strdup(name) : NULL;
    free(there);
    return out;
}

// ---- a folder ------------------------------------------------------------------------------------------------------

static bool check_provenance(const folder_digest *f, const signing_key *k, const check_opts *o, err *e)
{
    char   *text = NULL, *path = NULL;
    cJSON  *report = NULL;
    int64_t n;
    dsse    d = { 0 };
    if (!folder_digest_find(f, PROVENANCE_NAME)) return true;
    bool ok = (path = path_join(f->dir, PROVENANCE_NAME)) != NULL || err_nomem(e, "a path", 0);
    ok = ok && folder_digest_text(&text, &n, f, PROVENANCE_NAME, BUNDLE_MOST_BYTES, e)
        && dsse_read(&d, text, n, path, e) && dsse_check(&d, k, path, e)
        && (report = folder_json(f, RELEASE_JSON, e)) != NULL
        && provenance_check(d.payload, d.n_payload, report, f, path, e);
    if (ok && o->proof) o->proof->provenance = true;
    cJSON_Delete(report);
    dsse_free(&d);
    free(text);
    free(path);
    return ok;
}

// What the signature leaves out, as it says itself.
static bool note_left_out(check_proof *to, const model_statement *s, const folder_digest *f, err *e)
{
    bool ok = true;
    for (int i = 0; to && ok && i < f->n; i++)
        if (model_statement_leaves_out(s, f->v[i].name))
            ok = dir_list_add(&to->left_out, f->v[i].name, e);
    return ok;
}

static bool check_folder(check_watch *w, const char *sig, const signing_key *k, const check_opts *o, err *e)
{
    model_statement s;
    if (!release_signed_statement(&s, sig, k, e)) return false;
    char *name = name_in(w->path, sig);
    const bool ok = folder_digest_open(&w->folder, w->path, name, FOLDER_STRICT, e)
        && folder_digest_take(&w->folder, o->n_threads, o->progress, e) && model_statement_fits(&s, &w->folder, sig, e)
        && check_provenance(&w->folder, k, o, e) && note_left_out(o->proof, &s, &w->folder, e);
    if (ok) note_held(o->proof, k, &s);
    if (ok && o->proof) memcpy(o->proof->ignored, w->folder.ignored, sizeof o->proof->ignored);
    free(name);
    model_statement_free(&s);
    return ok;
}

// ---- one file ------------------------------------------------------------------------------------------------------

// Digested through the descriptor whose state is kept.
static bool digest_file(check_watch *w, char hex[SHA256_HEX + 1], const check_opts *o, err *e)
{
    const int fd = open(w->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return err_errno(e, true, w->path, "open");
    digest_queue *q = NULL;
    bool ok = fstat(fd, &w->st) == 0 || err_errno(e, true, w->path, "look at");
    if (ok && !S_ISREG(w->st.st_mode)) ok = err_set(e, ERR_INPUT, "%s: not a regular file", w->path);
    if (ok) progress_stage(o->progress, "digest", w->st.st_size);
    ok = ok && (q = digest_queue_new(1, o->progress, e)) != NULL;
    if (ok) {
        digest_queue_add_range(q, fd, 0, w->st.st_size, w->path, w->path);
        digest_queue_run(q, 1);
        ok = digest_queue_get(q, 0, hex, e);
    }
    digest_queue_free(q);
    close(fd);
    return ok;
}

// Any name is right but that of another file that was signed.
static bool is_named_right(const char *path, const model_statement *s, const model_resource *r, err *e)
{
    const char *base = path_base(path);
    const model_resource *other = model_statement_named(s, base);
    if (!other || other == r) return true;
    return err_set(e, ERR_VERDICT, "%s: this is the signed file '%.200s' under the name of another signed file: that "
                   "of '%.200s' has SHA-256 %s", path, r->name, base, other->sha256);
}

static bool check_file(check_watch *w, const char *sig, const signing_key *k, const check_opts *o, err *e)
{
    char hex[SHA256_HEX + 1];
    model_statement s;
    if (!release_signed_statement(&s, sig, k, e)) return false;
    bool ok = digest_file(w, hex, o, e);
    const model_resource *r = ok ? model_statement_find(&s, path_base(w->path), hex) : NULL;
    if (ok && !r)
        ok = err_set(e, ERR_VERDICT, "%s: its SHA-256 %s is none of the %d files that %s signs", w->path, hex, s.n,
                     sig);
    ok = ok && is_named_right(w->path, &s, r, e);
    if (ok) note_held(o->proof, k, &s);
    if (ok && o->proof) text_fit(o->proof->signed_as, sizeof o->proof->signed_as, r->name, strlen(r->name), 0);
    model_statement_free(&s);
    return ok;
}

// ---- without a key --------------------------------------------------------------------------------------------------

static bool is_as_named(const folder_digest *f, const model_resource *r, const char *sig, err *e)
{
    const folder_file *x = folder_digest_find(f, r->name);
    return strcmp(x->sha256, r->sha256) == 0
        || err_set(e, ERR_VERDICT, "%s/%s: is not the file that %s names: found SHA-256 %s, expected %s", f->dir,
                   r->name, sig, x->sha256, r->sha256);
}

// A digest that the check took is not taken again. The first that is another file is said before a later one that is
// not there.
static bool are_as_named(check_watch *w, const model_statement *s, const char *sig, err *e)
{
    folder_digest *f = &w->named;
    err missing = { 0 };
    int n = 0;
    if (!folder_digest_open(f, w->path, NULL, FOLDER_NAMED, e)) return false;
    while (n < s->n && folder_digest_add(f, s->v[n].name, sig, &missing)) n++;
    folder_digest_know(f, &w->folder);
    bool ok = folder_digest_take(f, w->o->n_threads, w->o->progress, e);
    for (int i = 0; ok && i < n; i++) ok = is_as_named(f, &s->v[i], sig, e);
    return ok && (n == s->n || err_set(e, missing.kind, "%s", missing.msg));
}

// Another method or digest of the same format says nothing against the folder: nothing is compared, and that is told.
static bool is_not_ours(check_proof *to, const model_statement *s)
{
    if (to) strcpy(to->not_ours, s->not_ours);
    return s->not_ours[0] != '\0';
}

// A list that leaves the release's own files out says nothing of them, though each name on it is right. What
// signatures leave out by default (FOLDER_IGNORED) is not missed.
static bool note_unnamed(check_proof *to, const model_statement *s, err *e)
{
    bool ok = true;
    for (int i = 0; ok && i < to->own.n; i++) {
        const char *name = to->own.v[i];
        if (!folder_digest_ignores(name) && !model_statement_named(s, name)) ok = dir_list_add(&to->unnamed, name, e);
    }
    return ok;
}

static bool names_what_is_here(check_watch *w, const char *sig, err *e)
{
    model_statement s;
    err unread = { 0 };
    bool ok = release_signed_statement(&s, sig, NULL, &unread);
    if (!ok) return is_not_ours(w->o->proof, &s) || err_set(e, unread.kind, "%s", unread.msg);
    ok = are_as_named(w, &s, sig, e) && (!w->o->proof || note_unnamed(w->o->proof, &s, e));
    if (ok && w->o->proof) w->o->proof->n_named = s.n;
    model_statement_free(&s);
    return ok;
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

// As in a Hub cache, where each file is a link into a store: nothing is compared there, and that is told.
static bool is_link_to_file(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && file_exists(path);
}

// What is there is a regular file, or a link to one.
static bool is_file(const char *path, err_kind otherwise, err *e)
{
    struct stat st;
    if (file_exists(path) || lstat(path, &st) != 0) return true;
    return err_set(e, otherwise, "%s: found %s, expected a regular file", path, file_kind_of_mode(st.st_mode));
}

static bool check_named(check_watch *w, err *e)
{
    char *sig = path_join(w->path, SIGNATURE_NAME);
    bool  ok = sig || err_nomem(e, "a path", strlen(w->path));
    if (ok && is_there(sig) && !is_link_to_file(sig)) ok = is_file(sig, ERR_INPUT, e) && names_what_is_here(w, sig, e);
    free(sig);
    return ok;
}

// ---- the watch -----------------------------------------------------------------------------------------------------

static bool check_key(check_watch *w, bool folder, const char *sig, const check_opts *o, err *e)
{
    signing_key *k = signing_key_read(o->key_path, KEY_PUBLIC, e);
    const bool ok = k && (folder ? check_folder : check_file)(w, sig, k, o, e);
    signing_key_free(k);
    return ok;
}

// Where no key is given there is nothing to compare with, and whoever follows links may. What cannot be looked at is
// for the check itself to name.
static bool look(check_watch *w, bool folder)
{
    err ignored = { 0 };
    if (folder) return folder_digest_open(&w->folder, w->path, NULL, FOLDER_ANY, &ignored);
    return stat(w->path, &w->st) == 0;
}

// What is not there is named before a signature that would be beside it.
static bool is_anything(const char *path, err *e)
{
    struct stat st;
    return stat(path, &st) == 0 || err_errno(e, true, path, "open");
}

bool check_watch_begin(check_watch *w, const char *path, const check_opts *o, err *e)
{
    const bool folder = dir_exists(path);
    *w = (check_watch){ .folder = { .fd = -1 }, .named = { .fd = -1 }, .path = path,
                        .unkeyed = folder && !o->key_path, .o = o };
    char *dir = folder ? strdup(path) : path_dir(path), *sig = dir ? signature_path(dir, o) : NULL;
    bool  ok = sig || err_nomem(e, "a path", strlen(path));
    if (ok && o->proof) {
        o->proof->folder = folder;
        o->proof->signature_there = file_exists(sig);
        o->proof->provenance_there = folder && file_exists_in(dir, PROVENANCE_NAME);
    }
    ok = ok && (!o->key_path || is_anything(path, e));
    if (ok && o->key_path) ok = check_key(w, folder, sig, o, e);
    w->watched = ok && (o->key_path || look(w, folder));
    free(sig);
    free(dir);
    return ok;
}

static bool same_still(const check_watch *w, err *e)
{
    struct stat now;
    if (!w->watched) return true;
    if (w->folder.fd >= 0)
        return folder_digest_same(&w->folder, e) && (w->named.fd < 0 || folder_digest_same(&w->named, e));
    if (stat(w->path, &now) == 0 && same_state(&now, &w->st)) return true;
    return err_set(e, ERR_VERDICT, "%s: changed while it was read: this is another file now", w->path);
}

bool check_watch_end(check_watch *w, bool ok, err *e)
{
    ok = ok && same_still(w, e) && (!w->unkeyed || (check_named(w, e) && same_still(w, e)));
    folder_digest_free(&w->folder);
    folder_digest_free(&w->named);
    return ok;
}

bool check_signed_files_there(const char *dir, const cJSON *report, err *e)
{
    static const char *const NAMES[] = { SIGNATURE_NAME, PROVENANCE_NAME };
    bool ok = true;
    for (int i = 0; ok && i < 2 && cJSON_IsTrue(json_get(report, "signed")); i++) {
        char *path = path_join(dir, NAMES[i]);
        ok = path || err_nomem(e, "a path", strlen(dir));
        if (ok && !is_there(path))
            ok = err_set(e, ERR_VERDICT, "%s: is not there; the report says that the folder is signed", path);
        ok = ok && is_file(path, i == 0 ? ERR_INPUT : ERR_VERDICT, e);
        free(path);
    }
    return ok;
}
