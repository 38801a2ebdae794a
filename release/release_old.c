// release_old: see release_old.h.
#include "release_old.h"
#include "json_diff.h"
#include "release_list.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../verify/steps.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARTIFACTS = 256, MOST_NOTES = 1024 };

// ---- reading -------------------------------------------------------------------------------------------------------

// The record of an artifact, whose file says that it is what was released. *part: what all share, the caller's.
static bool read_artifact(verify_report *v, cJSON **part, const char *dir, const char *name, err *e)
{
    gguf  *g = gguf_open_in(dir, name, e);
    cJSON *rec = NULL;
    bool   ok = g && record_read(g, &rec, e);
    if (ok && !json_get(rec, "release"))
        ok = err_set(e, ERR_VERDICT, "%s: has no verification record of a release", gguf_path(g));
    ok = ok && record_check(g, rec, e) && record_report(g, rec, v, e);
    if (ok && strcmp(v->artifact, name) != 0)
        ok = err_set(e, ERR_VERDICT, "%s: its verification record is that of '%s'", gguf_path(g), v->artifact);
    if (ok) *part = cJSON_DetachItemFromObject(rec, "release");
    cJSON_Delete(rec);
    gguf_close(g);
    return ok;
}

static bool read_next(old_release *o, const cJSON *first, const char *name, err *e)
{
    char   where[600];
    cJSON *part = NULL;
    bool   ok = read_artifact(&o->reports[o->n++], &part, o->dir, name, e);
    snprintf(where, sizeof where, "%.300s/%.200s: it is of another release than the files beside it", o->dir, name);
    ok = ok && json_same(part, first, where, e);
    cJSON_Delete(part);
    return ok;
}

static bool read_artifacts(old_release *o, const cJSON *release, err *e)
{
    const cJSON *s, *list = json_get(release, "artifacts");
    const int n = cJSON_GetArraySize(list);
    if (n < 1 || n > MOST_ARTIFACTS)
        return err_set(e, ERR_VERDICT, "%s: its records name %d artifacts, expected 1 to %d", o->dir, n,
                       (int)MOST_ARTIFACTS);
    o->reports  = calloc((size_t)n, sizeof *o->reports);
    o->replaced = calloc((size_t)n, sizeof *o->replaced);
    if (!o->reports || !o->replaced) return err_nomem(e, "reports", (size_t)n * sizeof *o->reports);
    cJSON_ArrayForEach(s, list) {
        if (!cJSON_IsString(s) || !record_file_is(s->valuestring))
            return err_set(e, ERR_VERDICT, "%s: its records name an artifact that is none", o->dir);
        if (!read_next(o, release, s->valuestring, e)) return false;
    }
    return true;
}

static bool read_notes(old_release *o, const cJSON *release, err *e)
{
    const cJSON *s, *list = json_get(release, "notes");
    const int n = cJSON_GetArraySize(list);
    if (n > MOST_NOTES) return err_set(e, ERR_VERDICT, "%s: its records have %d notes, expected at most %d", o->dir, n,
                                       (int)MOST_NOTES);
    o->notes = calloc((size_t)n + 1, sizeof *o->notes);
    if (!o->notes) return err_nomem(e, "notes", (size_t)n * sizeof *o->notes);
    cJSON_ArrayForEach(s, list) {
        if (!cJSON_IsString(s)) continue;
        if (!(o->notes[o->n_notes] = strdup(s->valuestring))) return err_nomem(e, "a note", strlen(s->valuestring));
        o->n_notes++;
    }
    return true;
}

// What each step of its comparisons gave; releases of before it was published have none.
static bool read_steps(old_release *o, err *e)
{
    const record_file *f = record_files_find(o->files, o->n_files, STEPS_FILE);
    if (!f || f->kept) return true;
    char  *path = path_join(o->dir, STEPS_FILE);
    cJSON *doc  = NULL;
    bool ok = path || err_nomem(e, "a path", strlen(o->dir));
    ok = ok && (doc = steps_read_file(path, f->sha256, e)) != NULL && steps_attach(o->reports, o->n, doc, path, e);
    cJSON_Delete(doc);
    free(path);
    return ok;
}

static bool read_shared(old_release *o, const cJSON *release, err *e)
{
    char where[600];
    const char *name, *limits;
    snprintf(where, sizeof where, "%.500s: the verification records", o->dir);
    if (!json_str(release, "name", &name, where, e) || !json_str(release, "gate", &limits, where, e)) return false;
    o->name = strdup(name);
    o->gate = strdup(limits);
    if (!o->name || !o->gate) return err_nomem(e, "a name", 0);
    return read_notes(o, release, e) && record_files_read(&o->files, &o->n_files, release, where, e)
        && read_artifacts(o, release, e) && read_steps(o, e);
}

static const char *first_artifact(const cJSON *report)
{
    const cJSON *name = json_get(cJSON_GetArrayItem(json_get(report, "artifacts"), 0), "artifact");
    return cJSON_IsString(name) && record_file_is(name->valuestring) ? name->valuestring : NULL;
}

static bool read_folder(old_release *o, const cJSON *report, err *e)
{
    verify_report v = { 0 };
    cJSON *release = NULL;
    const cJSON *verdict = json_get(report, "verdict");
    const char *first = first_artifact(report);
    if (!first || !cJSON_IsString(verdict) || strcmp(verdict->valuestring, "pass") != 0)
        return err_set(e, ERR_VERDICT, "%s: its report is not one of a release that passed", o->dir);
    o->is_signed = cJSON_IsTrue(json_get(report, "signed"));
    const bool ok = read_artifact(&v, &release, o->dir, first, e) && read_shared(o, release, e);
    cJSON_Delete(release);
    verify_report_free(&v);
    return ok;
}

// An edited or foreign report.json is nobody's release: release_dir_free_to_use has looked at it.
bool old_release_open(old_release *o, const char *dir, err *e)
{
    char  *path = path_join(dir, RELEASE_JSON);
    cJSON *report = NULL;
    bool   ok = path || err_nomem(e, "a path", strlen(dir));
    if (ok && file_exists(path)) {
        err bad = { 0 };
        ok = (report = json_parse_file(path, &bad)) != NULL && sha256_file(path, o->report, &bad);
        if (!ok) err_as_verdict(e, &bad);
    }
    if (ok && report) ok = (o->dir = strdup(dir)) != NULL || err_nomem(e, "a path", strlen(dir));
    ok = ok && (!report || read_folder(o, report, e));
    cJSON_Delete(report);
    free(path);
    return ok;
}

void old_release_free(old_release *o)
{
    for (int i = 0; o->reports && i < o->n; i++) verify_report_free(&o->reports[i]);
    free(o->reports);
    free(o->replaced);
    free(o->stays);
    for (int i = 0; i < o->n_notes; i++) free(o->notes[i]);
    free(o->notes);
    record_files_free(o->files, o->n_files);
    free(o->name);
    free(o->gate);
    free(o->dir);
    *o = (old_release){ .n = 0 };
}

int old_release_n_kept(const old_release *o)
{
    int n = 0;
    for (int i = 0; i < o->n; i++) n += !o->replaced[i];
    return n;
}

// ---- proving -------------------------------------------------------------------------------------------------------

static bool prove_artifact(const gguf *g, const source_id *source, int n_threads, progress *p, err *e)
{
    source_id said;
    claims_read_source(g, &said);
    const bool ok = source_id_same(&said, source)
        || err_set(e, ERR_USAGE, "%s: was made from another source (%.16s..., this one is %.16s...); --replace makes a "
                   "new release in its place", gguf_path(g), said.v2[0] ? said.v2 : said.v1,
                   said.v2[0] ? source->v2 : source->v1);
    return ok && claims_check_gaps(g, e) && claims_check_tensors(g, n_threads, p, e);
}

bool old_release_prove(const old_release *o, const source_id *source, int n_threads, progress *p, err *e)
{
    bool ok = true;
    for (int i = 0; ok && i < o->n; i++) {
        gguf *g = gguf_open_in(o->dir, o->reports[i].artifact, e);
        ok = g && prove_artifact(g, source, n_threads, p, e);
        gguf_close(g);
    }
    return ok;
}

bool old_release_still_there(const old_release *o, err *e)
{
    char  hex[SHA256_HEX + 1] = "";
    err   gone = { 0 };
    char *path = path_join(o->dir, RELEASE_JSON);
    if (!path) return err_nomem(e, "a path", strlen(o->dir));
    const bool same = sha256_file(path, hex, &gone) && strcmp(hex, o->report) == 0;
    free(path);
    return same || err_set(e, ERR_SYSTEM, "%s: is no longer the release that this one began to add to", o->dir);
}
