// check: see release.h. Everything a release said, proved again from the files alone.
#include "release.h"
#include "check_beside.h"
#include "check_file.h"
#include "check_hub.h"
#include "check_hub_source.h"
#include "check_signature.h"
#include "hub_files.h"
#include "hub_publish.h"
#include "json_diff.h"
#include "../verify/record.h"
#include "../verify/steps.h"
#include "release_dir.h"
#include "release_lab.h"
#include "release_report.h"
#include "../formats/claims.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A suffix alone is no artifact's name.
static bool is_artifact(const char *name) { return strlen(name) > strlen(".gguf"); }

static bool list_artifacts(dir_list *l, const char *dir, err *e)
{
    if (!dir_list_read(l, dir, ".gguf", false, e)) return false;
    int n = 0;
    for (int i = 0; i < l->n; i++)
        if (is_artifact(l->v[i])) l->v[n++] = l->v[i];
        else                      free(l->v[i]);
    l->n = n;
    return n > 0 || err_set(e, ERR_INPUT, "%s: holds no .gguf file", dir);
}

static bool lists(const cJSON *files, const char *name)
{
    const cJSON *f;
    cJSON_ArrayForEach(f, files) {
        const cJSON *s = json_get(f, "name");
        if (cJSON_IsString(s) && strcmp(s->valuestring, name) == 0) return true;
    }
    return false;
}

// An importance matrix is a GGUF file, too. What the report lists is compared with the records afterwards.
static bool drop_other_files(dir_list *l, const char *dir, const cJSON *report, err *e)
{
    int n = 0;
    for (int i = 0; i < l->n; i++)
        if (lists(json_get(report, "files"), l->v[i])) free(l->v[i]);
        else                                           l->v[n++] = l->v[i];
    l->n = n;
    return n > 0 || err_set(e, ERR_VERDICT, "%s: its report lists no .gguf file as an artifact", dir);
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
static bool check_report(const char *path, const cJSON *report, const dir_list *l, err *e)
{
    const cJSON *verdict = json_get(report, "verdict"), *a;
    if (!cJSON_IsNumber(json_get(report, "hallmark_release")))
        return err_set(e, ERR_VERDICT, "%s: not the report of a release", path);
    if (!cJSON_IsString(verdict) || strcmp(verdict->valuestring, "pass") != 0)
        return err_set(e, ERR_VERDICT, "%s: the release's verdict is '%s'", path,
                       cJSON_IsString(verdict) ? verdict->valuestring : "missing");
    cJSON_ArrayForEach(a, json_get(report, "artifacts")) {
        const cJSON *s = json_get(a, "artifact");
        bool there = false;
        for (int i = 0; i < l->n; i++) there |= cJSON_IsString(s) && strcmp(s->valuestring, l->v[i]) == 0;
        if (!there)
            return err_set(e, ERR_VERDICT, "%s: speaks of '%s', which is not in the folder", path,
                           cJSON_IsString(s) ? s->valuestring : "?");
    }
    return true;
}

typedef struct {                // what the records of a folder say, to write its reports again
    const char    *dir;
    dir_list       l;           // the artifacts, by name
    verify_report *reports;     // [l.n]; by name
    cJSON         *release;     // that part of the first record
    char           source[SHA256_HEX + 1], revision[65];
} folder;

// The part of a record that all artifacts of a release share, with what the file says of its source.
static bool check_shared(folder *f, const gguf *g, const cJSON *rec, err *e)
{
    const char *path = gguf_path(g);
    const char *const keys[] = { KEY_HM_SOURCE_DIGEST, KEY_HM_SOURCE_REV };
    char text[2][65] = { "", "" };
    for (int i = 0; i < 2; i++) {
        gguf_str s;
        err absent = { 0 };
        if (gguf_get_str(g, keys[i], &s, &absent))
            snprintf(text[i], sizeof text[i], "%.*s", s.n < 64 ? (int)s.n : 64, s.s);
    }
    const cJSON *part = json_get(rec, "release");
    if (!part) return err_set(e, ERR_VERDICT, "%s: the verification record is not that of a release's folder", path);
    if (f->release)
        return (json_same(part, f->release, path, e) && strcmp(text[0], f->source) == 0
                && strcmp(text[1], f->revision) == 0)
            || err_set(e, ERR_VERDICT, "%s: it is of another release than the files beside it", path);
    strcpy(f->source, text[0]);
    strcpy(f->revision, text[1]);
    return (f->release = cJSON_Duplicate(part, true)) != NULL || err_nomem(e, "a record", 0);
}

// Of the whole file; taken once.
static bool whole_digest(char hex[SHA256_HEX + 1], const check_run *x, const char *name, const char *path, err *e)
{
    const folder_file *listed = folder_digest_find(x->digests, name);
    if (listed && listed->sha256[0]) {
        strcpy(hex, listed->sha256);
        return true;
    }
    if (!sha256_file(path, hex, e)) return false;
    if (listed) strcpy(x->digests->v[listed - x->digests->v].sha256, hex);
    return true;
}

static bool check_member(folder *f, int i, const char *report_path, const cJSON *report, check_run *x, err *e)
{
    char  *path = path_join(f->dir, f->l.v[i]);
    gguf  *g = NULL;
    cJSON *rec = NULL;
    bool   ok = path ? check_claims(x, path, &g, &rec, e) : err_nomem(e, "a path", 0);
    if (ok && !find_reported(report, f->l.v[i]))
        ok = err_set(e, ERR_VERDICT, "%s: artifact '%.200s': the report does not speak of it", report_path, f->l.v[i]);
    ok = ok && record_report(g, rec, &f->reports[i], e) && check_shared(f, g, rec, e);
    if (ok && f->reports[i].program.version[0])
        ok = whole_digest(f->reports[i].file_sha256, x, f->l.v[i], path, e);
    if (ok && strcmp(f->reports[i].artifact, f->l.v[i]) != 0)
        ok = err_set(e, ERR_VERDICT, "%s: its verification record is that of '%s'", path, f->reports[i].artifact);
    ok = ok && check_further(x, g, rec, e);
    cJSON_Delete(rec);
    gguf_close(g);
    free(path);
    return ok;
}

// Fills r with the reports in the order of the release; they stay f's, and so do the strings.
static bool arrange(const folder *f, release_result *r, const char **name, const char **gate_name, err *e)
{
    const cJSON *s, *list = json_get(f->release, "artifacts"), *notes = json_get(f->release, "notes");
    char where[600];
    snprintf(where, sizeof where, "%.500s: the verification records", f->dir);
    if (!json_str(f->release, "name", name, where, e) || !json_str(f->release, "gate", gate_name, where, e))
        return false;
    if (cJSON_GetArraySize(list) != f->l.n)
        return err_set(e, ERR_VERDICT, "%s: they speak of %d artifacts, found %d", where, cJSON_GetArraySize(list),
                       f->l.n);
    r->reports = calloc((size_t)f->l.n + 1, sizeof *r->reports);
    r->notes   = calloc((size_t)cJSON_GetArraySize(notes) + 1, sizeof *r->notes);
    if (!r->reports || !r->notes) return err_nomem(e, "reports", 0);
    cJSON_ArrayForEach(s, list) {
        int i = 0;
        while (i < f->l.n && !(cJSON_IsString(s) && strcmp(s->valuestring, f->l.v[i]) == 0)) i++;
        if (i == f->l.n)
            return err_set(e, ERR_VERDICT, "%s: they speak of '%s', which is not in the folder", where,
                           cJSON_IsString(s) ? s->valuestring : "?");
        r->reports[r->n++] = f->reports[i];
    }
    cJSON_ArrayForEach(s, notes) {
        if (!cJSON_IsString(s)) return err_set(e, ERR_VERDICT, "%s: key 'notes': found no text", where);
        r->notes[r->n_notes++] = s->valuestring;
    }
    return record_files_read(&r->files, &r->n_files, f->release, where, e);
}

// Each file that the records list is there, as it was. What can be written again is compared line by line first.
static bool check_files(const folder *f, const release_head *h, const release_result *r, const check_run *run, err *e)
{
    char hex[SHA256_HEX + 1];
    bool ok = check_hub(f->dir, h, r, e);
    for (int i = 0; ok && i < r->n_files; i++) {
        const record_file *x = &r->files[i];
        char *path = path_join(f->dir, x->name);
        err   bad = { 0 };
        ok = path != NULL || err_nomem(e, "a path", strlen(f->dir));
        if (ok && !whole_digest(hex, run, x->name, path, &bad))
            ok = err_as_verdict(e, &bad);
        if (ok && strcmp(hex, x->sha256) != 0)
            ok = err_set(e, ERR_VERDICT,
                         "%s: found SHA-256 %s, expected %s, as the artifacts' verification records say", path, hex,
                         x->sha256);
        ok = ok && release_lab_agrees(f->dir, x->name, e);
        free(path);
    }
    return ok && check_hub_sums(f->dir, h, r, 0, e);
}

// Takes the text over, which the records gave.
static bool same_report(const char *dir, const char *name, char *expected, err *e)
{
    const bool ok = expected ? check_text_same(dir, name, expected, e) : err_nomem(e, "a report", 0);
    free(expected);
    return ok;
}

// Releases of before there were such reports have none; their records name no program either.
static bool may_lack(const char *dir, const char *name, const release_result *r)
{
    char *path = path_join(dir, name);
    bool  older = path && !file_exists(path);
    for (int i = 0; i < r->n; i++) older &= r->reports[i].program.version[0] == '\0';
    free(path);
    return older;
}

static bool same_reports(const char *dir, const release_head *h, const release_result *r, err *e)
{
    return same_report(dir, RELEASE_MD, release_report_md(h, r), e)
        && (may_lack(dir, RELEASE_HTML, r) || same_report(dir, RELEASE_HTML, release_report_html(h, r), e))
        && (may_lack(dir, RELEASE_JUNIT, r) || same_report(dir, RELEASE_JUNIT, release_report_junit(r), e));
}

// What check_hub and same_reports wrote again, what the maker put there, and what else the records name.
static bool note_files(check_proof *proof, const release_head *h, const release_result *r, err *e)
{
    bool ok = true;
    for (int i = 0; i < RELEASE_N_REPORTS; i++) ok &= dir_list_add(&proof->written, RELEASE_REPORTS[i], e);
    for (int i = 0; i < r->n_files; i++) {
        const record_file *x = &r->files[i];
        if (x->kept)                  ok &= dir_list_add(&proof->kept, x->name, e);
        else if (hub_writes(x->name)) ok &= dir_list_add(&proof->written, x->name, e);
        else                          proof->n_files++;
    }
    return ok && (!h->chat_template || dir_list_add(&proof->written, HUB_SUMS, e));
}

// The reports are written again from the records, and must be what is there.
static bool check_reports(const folder *f, const char *report_path, const cJSON *report, const check_run *x, err *e)
{
    const check_opts *o = x->o;
    release_result r = { 0 };
    release_head   h = { .source_digest = f->source, .revision = f->revision, .verdict = "pass" };
    char   where[600];
    cJSON *expected = NULL;
    bool   looked;
    record_template chat;
    h.is_signed = cJSON_IsTrue(json_get(report, "signed"));
    snprintf(where, sizeof where, "%.500s: not what the artifacts' verification records say", report_path);
    bool ok = record_template_read(&chat, &looked, f->release, where, e) && arrange(f, &r, &h.name, &h.gate, e);
    ok = ok && (!x->steps || steps_attach(r.reports, r.n, x->steps, STEPS_FILE, e));
    if (looked) h.chat_template = &chat;
    if (ok && !(expected = release_report_json(&h, &r))) ok = err_nomem(e, "the reports", 0);
    ok = ok && json_same(report, expected, where, e) && same_reports(f->dir, &h, &r, e)
        && check_files(f, &h, &r, x, e);
    ok = ok && (!o->from || check_hub_source(f->dir, o->from, &h, &r, o->proof, e));
    ok = ok && (!o->proof || note_files(o->proof, &h, &r, e));
    cJSON_Delete(expected);
    record_files_free(r.files, r.n_files);
    free(r.reports);
    free(r.notes);
    return ok;
}

// Where the report lists them, with that digest. That it lists what the records do is asked later.
static bool read_steps(cJSON **steps, const char *dir, const cJSON *report, err *e)
{
    record_file *files;
    int  n;
    bool ok = record_files_read(&files, &n, report, RELEASE_JSON, e);
    const record_file *f = ok ? record_files_find(files, n, STEPS_FILE) : NULL;
    if (f && !f->kept) {
        char *path = path_join(dir, STEPS_FILE);
        ok = path ? (*steps = steps_read_file(path, f->sha256, e)) != NULL : err_nomem(e, "a path", strlen(dir));
        free(path);
    }
    record_files_free(files, n);
    return ok;
}

static bool check_folder(const char *dir, check_run *x, err *e)
{
    cJSON *steps = NULL;
    folder f = { .dir = dir };
    err    bad = { 0 };
    cJSON *report = NULL;
    char  *path = path_join(dir, RELEASE_JSON);
    bool   ok = path ? list_artifacts(&f.l, dir, e) : err_nomem(e, "a path", 0);
    if (ok && !file_exists(path)) ok = err_set(e, ERR_VERDICT, "%s: is not there: this folder is not a release", path);
    if (ok && !(report = json_parse_file(path, &bad)))
        ok = err_as_verdict(e, &bad);
    ok = ok && drop_other_files(&f.l, dir, report, e) && check_report(path, report, &f.l, e)
        && check_signed_files_there(dir, report, e) && read_steps(&steps, dir, report, e)
        && ((f.reports = calloc((size_t)f.l.n, sizeof *f.reports)) != NULL || err_nomem(e, "reports", 0));
    x->steps = steps;
    for (int i = 0; ok && i < f.l.n; i++) ok = check_member(&f, i, path, report, x, e);
    ok = ok && check_reports(&f, path, report, x, e);
    if (ok && x->o->proof) ok = check_beside_others(x->o->proof, dir, e);
    for (int i = 0; f.reports && i < f.l.n; i++) verify_report_free(&f.reports[i]);
    free(f.reports);
    x->steps = NULL;
    cJSON_Delete(steps);
    cJSON_Delete(f.release);
    cJSON_Delete(report);
    free(path);
    dir_list_free(&f.l);
    return ok;
}

static bool check_file(const char *path, check_run *x, err *e)
{
    gguf  *g = NULL;
    cJSON *rec = NULL;
    const bool ok = check_claims(x, path, &g, &rec, e) && check_further(x, g, rec, e);
    cJSON_Delete(rec);
    gguf_close(g);
    return ok;
}

// A file that was signed need not be an artifact: a card, a matrix, a report. What it is not asked for it need not say.
static bool is_bare(const check_run *x, const char *path)
{
    const check_opts *o = x->o;
    if (!o->key_path || o->from || o->n_fixtures > 0) return false;
    err      unread = { 0 };
    file_map m;
    if (!file_map_open(&m, path, &unread)) return false;
    const bool is_gguf = m.size >= 4 && memcmp(m.data, "GGUF", 4) == 0;
    file_map_close(&m);
    if (!is_gguf) return true;
    gguf *g = gguf_open(path, &unread);
    const bool bare = g && !gguf_find_kv(g, KEY_HM_TENSOR_SHA) && !gguf_find_kv(g, KEY_HM_VERIFICATION);
    gguf_close(g);
    return bare;
}

static void begin_telling(const check_opts *o)
{
    if (o->proof)
        *o->proof = (check_proof){ .n_fixtures = o->n_fixtures, .from = o->from,
                                   .own_gate = o->gate_path != NULL };
    if (o->claims) *o->claims = (check_told){ 0 };
    if (o->gate) *o->gate = (check_gate){ .sha256 = "" };
}

// Each fixture, matrix and text that is given has an artifact that answers to it.
static bool all_used(const check_run *x, err *e)
{
    for (int i = 0; i < x->fixtures.n; i++)
        if (!x->fixtures.v[i].used)
            return err_set(e, ERR_INPUT,
                           "%s: no artifact here answers to this fixture (other source, weights or dtype): %s",
                           x->fixtures.v[i].path, x->fixtures.v[i].why_not);
    return check_source_used(x->source, e);
}

static void note_undecided(check_proof *p, const check_run *x)
{
    snprintf(p->undecided, sizeof p->undecided, "%s", x->undecided);
    snprintf(p->undecided_by, sizeof p->undecided_by, "%s", x->why_of);
    snprintf(p->undecided_what, sizeof p->undecided_what, "%s", x->why.what);
    p->prompts_needed = x->why.prompts;
    p->steps_needed   = x->why.steps;
}

// A fixture that cannot decide hides no failure of what is looked at after it: only where all else holds it is the
// verdict.
static bool decided(const check_run *x, err *e)
{
    if (!x->undecided[0]) return true;
    if (x->o->proof) note_undecided(x->o->proof, x);
    return err_set(e, ERR_VERDICT, "%s", x->undecided);
}

bool check_artifact(const char *path, const check_opts *o, err *e)
{
    check_watch watch;
    const bool  in_folder = dir_exists(path);
    check_run   x = { .o = o, .dir = in_folder ? strdup(path) : path_dir(path) };
    begin_telling(o);
    bool ok = check_watch_begin(&watch, path, o, e);
    if (ok && in_folder) x.digests = &watch.folder;
    ok = ok && (x.dir || err_nomem(e, "a path", strlen(path)));
    for (int i = 0; ok && i < o->n_fixtures; i++) ok = fixture_refs_add(&x.fixtures, o->fixtures[i], true, e);
    ok = ok && (!o->from || (x.source = check_source_open(x.dir, NULL, o, e)) != NULL);
    const bool bare = ok && !in_folder && is_bare(&x, path);
    ok = ok && (bare || (in_folder ? check_folder(path, &x, e) : check_file(path, &x, e))) && all_used(&x, e);
    if (o->proof) o->proof->bare = bare;
    check_source_free(x.source);
    fixture_refs_free(&x.fixtures);
    free(x.dir);
    ok = check_watch_end(&watch, ok, e) && decided(&x, e);
    if (!ok && o->proof) o->proof->unusable = e->kind == ERR_INPUT;
    return ok;
}
