#include "release_sign.h"
#include "release_list.h"
#include "../formats/dsse.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/outfile.h"
#include <stdlib.h>
#include <string.h>

signing_key *release_sign_key(const char *path, progress *p, err *e)
{
    signing_key *k = signing_key_read(path, KEY_PRIVATE, e);
    if (k && signing_key_is_shared(k))
        progress_warnf(p, "note: %s: others than its owner may read this private key (chmod 600 ends that)", path);
    return k;
}

static bool write_signed(const char *dir, const char *name, const signing_key *k, const char *payload, err *e)
{
    if (!payload) return err_nomem(e, name, 0);
    char *text = dsse_sign(k, payload, (int64_t)strlen(payload), e);
    const bool ok = text && outfile_write_text(dir, name, text, e);
    free(text);
    return ok;
}

static bool write_provenance(const folder_digest *f, const release_sign_opts *o, err *e)
{
    cJSON *report = folder_json(f, RELEASE_JSON, e);
    char  *payload = report ? provenance_text(report, f, &o->run, e) : NULL;
    const bool ok = payload && write_signed(f->dir, PROVENANCE_NAME, o->key, payload, e);
    free(payload);
    cJSON_Delete(report);
    return ok;
}

static bool write_signature(const folder_digest *f, const release_sign_opts *o, err *e)
{
    char *payload = model_statement_text(f, o->subject, SIGNATURE_NAME);
    const bool ok = write_signed(f->dir, SIGNATURE_NAME, o->key, payload, e);
    free(payload);
    return ok;
}

bool release_sign(const char *dir, const release_sign_opts *o, err *e)
{
    folder_digest f;
    if (!folder_digest_open(&f, dir, SIGNATURE_NAME, FOLDER_STRICT, e)) return false;
    const bool ok = folder_digest_take(&f, o->n_threads, o->progress, e) && write_provenance(&f, o, e)
        && folder_digest_renew(&f, e) && folder_digest_take(&f, o->n_threads, NULL, e) && write_signature(&f, o, e)
        && folder_digest_same(&f, e);
    folder_digest_free(&f);
    return ok;
}

bool release_signed_statement(model_statement *s, const char *path, const signing_key *k, err *e)
{
    char   *text = NULL;
    int64_t n;
    dsse    d = { 0 };
    *s = (model_statement){ 0 };
    const bool ok = file_read_text(&text, &n, path, BUNDLE_MOST_BYTES, e) && dsse_read(&d, text, n, path, e)
        && (!k || dsse_check(&d, k, path, e)) && model_statement_read(s, d.payload, d.n_payload, path, e);
    dsse_free(&d);
    free(text);
    return ok;
}
