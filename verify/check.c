// check: see release.h. Everything a release said, proved again from the files alone.
#include "release.h"
#include "match.h"
#include "preflight.h"
#include "record.h"
#include "release_dir.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { char **v; int n; } names;

static void names_free(names *l)
{
    for (int i = 0; i < l->n; i++) free(l->v[i]);
    free(l->v);
    *l = (names){ 0 };
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool list_artifacts(names *l, const char *dir, err *e)
{
    DIR *d = opendir(dir);
    if (!d) return err_errno(e, true, dir, "open the folder");
    bool ok = true;
    for (struct dirent *x; ok && (x = readdir(d)) != NULL;) {
        size_t n = strlen(x->d_name);
        if (n < 6 || strcmp(x->d_name + n - 5, ".gguf") != 0) continue;
        char **grown = realloc(l->v, ((size_t)l->n + 1) * sizeof *grown);
        if (grown) l->v = grown;
        ok = grown && (grown[l->n] = strdup(x->d_name)) != NULL;
        if (ok) l->n++;
        else    err_nomem(e, "names of artifacts", 0);
    }
    closedir(d);
    if (l->n > 1) qsort(l->v, (size_t)l->n, sizeof *l->v, by_name);
    return ok && (l->n > 0 || err_set(e, ERR_INPUT, "%s: holds no .gguf file", dir));
}

// ---- one file ------------------------------------------------------------------------------------------------------

// Digests of the bytes, then the record. *rec is the caller's to delete when true.
static bool check_claims(const char *path, const check_opts *o, cJSON **rec, err *e)
{
    gguf *g = gguf_open(path, e);
    if (!g) return false;
    *rec = NULL;
    bool ok = gguf_find_kv(g, KEY_HM_TENSOR_SHA)
           || err_set(e, ERR_VERDICT, "%s: key '%s': absent: the file makes no claims that could be checked", path, KEY_HM_TENSOR_SHA);
    ok = ok && claims_check_gaps(g, e) && claims_check_tensors(g, o->n_threads, o->progress, e) && record_read(g, rec, e);
    if (ok && !*rec) ok = err_set(e, ERR_VERDICT, "%s: key '%s': the record is empty: this file was never released", path, KEY_HM_VERIFICATION);
    ok = ok && record_check(g, *rec, e);
    if (!ok) { cJSON_Delete(*rec); *rec = NULL; }
    gguf_close(g);
    return ok;
}

static bool first_failure(const verify_report *r, const char *path, err *e)
{
    for (int64_t i = 0; i < r->n_fixtures; i++)
        if (r->fixtures[i].n_failures > 0)
            return err_set(e, ERR_VERDICT, "%s: against %s: %s", path, r->fixtures[i].name, r->fixtures[i].failures[0].text);
    return err_set(e, ERR_VERDICT, "%s: does not pass", path);
}

// A new run against those of the fixtures that this artifact answers to.
static bool run_again(const char *path, fixture_refs *all, const check_opts *o, err *e)
{
    artifact_ref  a;
    verify_report r = { 0 };
    int           n = 0;
    if (all->n == 0) return true;
    if (!artifact_ref_read(&a, path, e)) return false;
    const char **paths = calloc((size_t)all->n, sizeof *paths);
    if (!paths) return err_nomem(e, "fixtures", 0);
    for (int i = 0; i < all->n; i++)
        if (fixture_match(&all->v[i], &a) != MATCH_NONE) {
            all->v[i].used = true;
            paths[n++] = all->v[i].path;
        }
    verify_opts vo = { .gate_path = o->gate_path, .progress = o->progress, .run = { .device = o->device, .n_threads = o->n_threads } };
    bool ok = n == 0 || verify_artifact(&r, path, paths, n, &vo, e);
    if (ok && n > 0 && !r.passed) ok = first_failure(&r, path, e);
    verify_report_free(&r);
    free(paths);
    return ok;
}

// ---- the folder ----------------------------------------------------------------------------------------------------

static const cJSON *find_reported(const cJSON *report, const char *name)
{
    const cJSON *a;
    cJSON_ArrayForEach(a, json_get(report, "artifacts")) {
        const cJSON *s = json_get(a, "artifact");
        if (cJSON_IsString(s) && strcmp(s->valuestring, name) == 0) return a;
    }
    return NULL;
}

// The report of a folder: it must be there, say pass, and speak of these artifacts and no others.
static bool check_report(const char *path, const cJSON *report, const names *l, err *e)
{
    const cJSON *verdict = json_get(report, "verdict"), *a;
    if (!cJSON_IsNumber(json_get(report, "hallmark_release"))) return err_set(e, ERR_VERDICT, "%s: not the report of a release", path);
    if (!cJSON_IsString(verdict) || strcmp(verdict->valuestring, "pass") != 0)
        return err_set(e, ERR_VERDICT, "%s: the release's verdict is '%s'", path, cJSON_IsString(verdict) ? verdict->valuestring : "missing");
    cJSON_ArrayForEach(a, json_get(report, "artifacts")) {
        const cJSON *s = json_get(a, "artifact");
        bool there = false;
        for (int i = 0; i < l->n; i++) there |= cJSON_IsString(s) && strcmp(s->valuestring, l->v[i]) == 0;
        if (!there) return err_set(e, ERR_VERDICT, "%s: speaks of '%s', which is not in the folder", path, cJSON_IsString(s) ? s->valuestring : "?");
    }
    return true;
}

static bool check_member(const char *dir, const char *name, const char *report_path, const cJSON *report, fixture_refs *fixtures,
                         const check_opts *o, err *e)
{
    char        *path = path_join(dir, name);
    cJSON       *rec = NULL;
    const cJSON *said = find_reported(report, name);
    char         where[600];
    snprintf(where, sizeof where, "%s: artifact '%.200s'", report_path, name);
    bool ok = path ? check_claims(path, o, &rec, e) : err_nomem(e, "a path", 0);
    if (ok && !said) ok = err_set(e, ERR_VERDICT, "%s: the report does not speak of it", where);
    ok = ok && record_agrees(rec, said, where, e) && run_again(path, fixtures, o, e);
    cJSON_Delete(rec);
    free(path);
    return ok;
}

static bool check_folder(const char *dir, fixture_refs *fixtures, const check_opts *o, err *e)
{
    names  l = { 0 };
    err    bad = { 0 };
    cJSON *report = NULL;
    char  *path = path_join(dir, RELEASE_JSON);
    bool   ok = path ? list_artifacts(&l, dir, e) : err_nomem(e, "a path", 0);
    if (ok && !file_exists(path)) ok = err_set(e, ERR_VERDICT, "%s: is not there: this folder is not a release", path);
    if (ok && !(report = json_parse_file(path, &bad))) ok = err_set(e, bad.kind == ERR_SYSTEM ? ERR_SYSTEM : ERR_VERDICT, "%s", bad.msg);
    ok = ok && check_report(path, report, &l, e);
    for (int i = 0; ok && i < l.n; i++) ok = check_member(dir, l.v[i], path, report, fixtures, o, e);
    cJSON_Delete(report);
    free(path);
    names_free(&l);
    return ok;
}

static bool check_file(const char *path, fixture_refs *fixtures, const check_opts *o, err *e)
{
    cJSON *rec = NULL;
    bool   ok = check_claims(path, o, &rec, e) && run_again(path, fixtures, o, e);
    cJSON_Delete(rec);
    return ok;
}

bool check_artifact(const char *path, const check_opts *o, err *e)
{
    fixture_refs fixtures = { 0 };
    bool ok = true;
    for (int i = 0; ok && i < o->n_fixtures; i++) ok = fixture_refs_add(&fixtures, o->fixtures[i], true, e);
    ok = ok && (dir_exists(path) ? check_folder(path, &fixtures, o, e) : check_file(path, &fixtures, o, e));
    for (int i = 0; ok && i < fixtures.n; i++)
        if (!fixtures.v[i].used) ok = err_set(e, ERR_VERDICT, "%s: no artifact here answers to this fixture (other source, weights or dtype)", fixtures.v[i].path);
    fixture_refs_free(&fixtures);
    return ok;
}
