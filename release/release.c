// release: see release.h. The order of a release reads top to bottom in release_checkpoint; its steps are those of
// release_job.h.
#define _GNU_SOURCE
#include "release.h"
#include "chat_source.h"
#include "hub_files.h"
#include "release_job.h"
#include "release_lab.h"
#include "release_sign.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include "../verify/gate.h"
#include "../verify/recipe.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const file_type DEFAULT_TYPES[] = { FT_BF16, FT_F32, FT_Q4_K_M };

bool release_say(char ***list, int *n, err *e, const char *fmt, ...)
{
    va_list ap;
    char   *text = NULL;
    char  **grown = realloc(*list, ((size_t)*n + 1) * sizeof *grown);
    if (!grown) return err_nomem(e, "a line of the report", 0);
    *list = grown;
    va_start(ap, fmt);
    int len = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (len < 0) return err_nomem(e, "a line of the report", 0);
    for (int i = 0; i < *n; i++)
        if (strcmp((*list)[i], text) == 0) { free(text); return true; }
    (*list)[(*n)++] = text;
    return true;
}

// ---- one artifact --------------------------------------------------------------------------------------------------

// What was made is r's from here on.
static bool keep_result(release_job *x, int i, err *e)
{
    release_result *r = x->r;
    verify_report  *v = &r->reports[i];
    const recipe   *made_by = x->items[i].r;
    r->file_bytes[i] = v->file_bytes;
    r->made[i] = (release_made){ .text = recipe_text(made_by), .finished = made_by->kind == RECIPE_ARTIFACT };
    r->n++;
    progress_logf(x->o->progress, "%s: %s", v->artifact, verify_verdict(v));
    return (r->made[i].text || err_nomem(e, "a recipe", 0)) && verify_recipe_copy(&v->recipe, &x->items[i].said, e);
}

static bool make_artifact(release_job *x, int i, err *e)
{
    char *path = path_join(x->dir.path, x->items[i].name);
    if (!path) return err_nomem(e, "a path", 0);
    verify_derivation derived;
    const bool ok = release_make(x, i, path, &derived, e)
        && release_verify(x, &x->r->reports[i], path, i, &derived, e) && keep_result(x, i, e);
    free(path);
    return ok;
}

// ---- the whole -----------------------------------------------------------------------------------------------------

// The worst of all; nothing made is no release.
static const char *judge(const release_result *r)
{
    const char *worst = r->n > 0 ? "pass" : "fail";
    for (int i = 0; i < r->n; i++) worst = verify_worse(worst, verify_verdict(&r->reports[i]));
    return worst;
}

static outcome outcome_of(const char *verdict)
{
    if (strcmp(verdict, "fail") == 0) return TO_FAILED;
    return strcmp(verdict, "pass") == 0 ? TO_PUBLISH : TO_UNVERIFIED;
}

// Of the whole files, as they are published.
static bool digest_all(release_job *x, err *e)
{
    bool ok = true;
    for (int i = 0; ok && i < x->r->n; i++) {
        char *path = path_join(x->dir.path, x->r->reports[i].artifact);
        ok = path ? sha256_file(path, x->r->reports[i].file_sha256, e) : err_nomem(e, "a path", 0);
        free(path);
    }
    return ok;
}

static bool record_one(const release_job *x, int i, const record_release *all, err *e)
{
    char  *path = path_join(x->dir.path, x->r->reports[i].artifact);
    gguf  *g = NULL;
    cJSON *rec = NULL;
    bool ok = path ? record_write(path, &x->r->reports[i], all, e) : err_nomem(e, "a path", 0);
    ok = ok && (g = gguf_open(path, e)) != NULL && record_read(g, &rec, e);
    ok = ok && (rec ? record_check(g, rec, e)
                    : err_set(e, ERR_SYSTEM, "%s: the record just written is not there", path));
    cJSON_Delete(rec);
    gguf_close(g);
    free(path);
    return ok;
}

// Only now, when every artifact passed: a file that carries a record is a published one.
static bool record_all(release_job *x, const release_head *h, err *e)
{
    const release_result *r = x->r;
    const char **names = calloc((size_t)r->n + 1, sizeof *names);
    bool ok = names || err_nomem(e, "names", 0);
    for (int i = 0; ok && i < r->n; i++) names[i] = r->reports[i].artifact;
    const record_release all = { .name = x->name, .gate = release_gate_name(x->o), .artifacts = names,
                                 .n_artifacts = r->n, .notes = (const char *const *)r->notes, .n_notes = r->n_notes,
                                 .files = r->files, .n_files = r->n_files,
                                 .chat_template = h->chat_template };
    for (int i = 0; ok && i < r->n; i++)
        ok = verify_report_settle(&x->r->reports[i], e) && record_one(x, i, &all, e);
    free(names);
    return ok;
}

// All that a folder holds which is published, but what is written over it. Caches are measured of what is new.
static bool gather(release_job *x, err *e)
{
    return (x->o->n_lab == 0 || release_lab_all(x->r, x->dir.path, x->o, e)) && release_bring_beside(x, e)
        && release_add_bring(x, e) && release_name_fixtures(x, e) && release_own_bring(x, e)
        && release_kept_signed(x, e);       // the user's own files are those that were signed, still
}

static bool note_unpublished(release_job *x, err *e)
{
    release_result *r = x->r;
    if (x->key && !release_say(&r->notes, &r->n_notes, e, "nothing was signed, as nothing is published")) return false;
    return x->o->n_lab == 0
        || release_say(&r->notes, &r->n_notes, e, "caches were not measured, as nothing is published");
}

// The last thing that is written: over all the rest, the report too.
static bool sign_folder(release_job *x, err *e)
{
    const char **kept = calloc((size_t)x->r->n + 1, sizeof *kept);
    if (!kept) return err_nomem(e, "names", 0);
    release_sign_opts so = { .key = x->key, .subject = path_base(x->dest[TO_PUBLISH]), .n_threads = x->o->n_threads,
                             .progress = x->o->progress,
                             .run = { .command = x->o->command, .n_command = x->o->n_command, .kept = kept } };
    for (int i = 0; i < x->r->n; i++)
        if (x->r->made[i].kept) kept[so.run.n_kept++] = x->r->reports[i].artifact;
    snprintf(x->r->signed_by, sizeof x->r->signed_by, "%s, %s", signing_key_curve(x->key), signing_key_hint(x->key));
    const bool ok = release_sign(x->dir.path, &so, e);
    free(kept);
    return ok;
}

// A file that was not made here may have another template: it is a verdict on nothing that was run, but said.
static bool compare_templates(release_job *x, record_template *t, err *e)
{
    const release_result *r = x->r;
    const char **names = calloc((size_t)r->n + 1, sizeof *names);
    bool *differs = calloc((size_t)r->n + 1, sizeof *differs);
    bool  ok = (names && differs) || err_nomem(e, "names", 0);
    for (int i = 0; ok && i < r->n; i++) names[i] = r->reports[i].artifact;
    ok = ok && chat_compare(t, differs, x->dir.path, names, r->n, x->hf_dir, e);
    for (int i = 0; ok && i < r->n; i++)
        if (differs[i])
            ok = release_say(&x->r->notes, &x->r->n_notes, e, "%s: its chat template is not the source's", names[i]);
    free(differs);
    free(names);
    return ok;
}

// What the Hub wants, the records over it, and the reports over those.
static bool publish_all(release_job *x, const release_head *h, err *e)
{
    const char *hint = h->is_signed ? signing_key_hint(x->key) : NULL;
    if (!release_steps_publish(x, e) || !hub_publish(x->r, x->dir.path, h, &x->hub, hint, e)) return false;
    if (!record_all(x, h, e)) return false;
    if (!digest_all(x, e) || !release_report_write(x->dir.path, h, x->r, e)) return false;
    char *sums = hub_sums_of(x->dir.path, x->r, x->o->n_threads, x->o->progress, e);
    const bool ok = sums && outfile_write_text(x->dir.path, HUB_SUMS, sums, e);
    free(sums);
    return ok && (!h->is_signed || sign_folder(x, e));
}

static bool finish(release_job *x, err *e)
{
    const char   *verdict = judge(x->r);
    const outcome to = outcome_of(verdict);
    record_template chat;
    release_head h = { .name = x->name, .source_digest = x->source.v2, .revision = x->revision,
                       .gate = release_gate_name(x->o), .verdict = verdict,
                       .is_signed = x->key && to == TO_PUBLISH, .chat_template = &chat };
    release_make_end(x);
    if (!release_note_unused(x, e)) return false;
    if (to == TO_PUBLISH ? !gather(x, e) : !note_unpublished(x, e)) return false;
    if (!compare_templates(x, &chat, e)) return false;
    if (to == TO_PUBLISH && !publish_all(x, &h, e)) return false;
    if (to != TO_PUBLISH && (!digest_all(x, e) || !release_report_write(x->dir.path, &h, x->r, e))) return false;
    release_before before;
    if (to == TO_PUBLISH && !x->o->replace) x->dir.over = x->old.report;
    if (!release_dir_publish(&x->dir, x->dest[to], &before, e)) return false;
    x->r->replaced = before.replaced;
    x->r->left     = before.left;
    snprintf(x->r->where, sizeof x->r->where, "%s", x->dest[to]);
    x->r->published = to == TO_PUBLISH;
    if (x->r->published) release_drop_stale(x);
    return true;
}

// Without recipes, those of the types.
static bool take_recipes(release_job *x, err *e)
{
    const release_opts *o = x->o;
    const file_type *types = o->types ? o->types : DEFAULT_TYPES;
    const int n_types = o->types ? o->n_types : (int)(sizeof DEFAULT_TYPES / sizeof *DEFAULT_TYPES);
    const int n = o->recipes ? o->n_recipes : n_types;
    if (n < 1) return err_set(e, ERR_USAGE, "a release needs at least one type");
    x->items = calloc((size_t)n, sizeof *x->items);
    x->plain = calloc((size_t)n, sizeof *x->plain);
    if (!x->items || !x->plain) return err_nomem(e, "recipes", (size_t)n * sizeof *x->plain);
    x->n_items = n;
    for (int i = 0; i < n; i++) {
        x->plain[i].type = o->recipes ? FT_INVALID : types[i];
        x->items[i].r = o->recipes ? &o->recipes[i] : &x->plain[i];
    }
    return true;
}

static bool make_result(release_result *r, int n, err *e)
{
    r->reports    = calloc((size_t)n, sizeof *r->reports);
    r->file_bytes = calloc((size_t)n, sizeof *r->file_bytes);
    r->made       = calloc((size_t)n, sizeof *r->made);
    return (r->reports && r->file_bytes && r->made) || err_nomem(e, "reports", (size_t)n * sizeof *r->reports);
}

// What can be refused without reading a weight.
static bool look_around(release_job *x, const char *out_dir, err *e)
{
    const release_opts *o = x->o;
    if (!take_recipes(x, e) || !release_place(x, out_dir, e)) return false;
    if (o->sign_key && !(x->key = release_sign_key(o->sign_key, o->progress, e))) return false;
    for (int i = 0; i < 3; i++)
        if (!release_dir_free_to_use(x->dest[i], e)) return false;
    if (o->gate_path && !gate_read(&x->limits, o->gate_path, e)) return false;
    if (!release_add_begin(x, e) || !release_name(x, e) || !make_result(x->r, x->n_items, e)) return false;
    if (!session_device_there(o->device, e)) return false;
    source_revision(x->hf_dir, x->revision);
    if (!release_read_hub(x, e)) return false;
    return release_plan_items(x, e) && (o->n_lab == 0 || release_lab_check(x->hf_dir, o, e));
}

static bool prepare(release_job *x, const char *out_dir, err *e)
{
    return look_around(x, out_dir, e)
        && source_digest(x->hf_dir, x->o->n_threads, x->o->progress, &x->source, e) && release_add_prove(x, e)
        && release_find_fixtures(x, e) && release_plan_beside(x, e) && release_plan_files(x, e)
        && release_own_check(x, e) && release_carry_check(x, e) && release_begin(x, e) && release_kept_vouched(x, e);
}

static void free_job(release_job *x)
{
    release_make_end(x);
    release_dir_abort(&x->dir);
    for (int i = 0; i < 3; i++) free(x->dest[i]);
    for (int i = 0; x->items && i < x->n_items; i++) {
        free(x->items[i].label);
        free(x->items[i].name);
        verify_recipe_free(&x->items[i].said);
    }
    for (int i = 0; i < x->n_beside; i++) {
        free(x->beside[i].from);
        free(x->beside[i].name);
    }
    free(x->items);
    free(x->plain);
    free(x->beside);
    dir_list_free(&x->own);
    hub_source_free(&x->hub);
    record_files_free(x->planned, x->n_planned);
    old_release_free(&x->old);
    free(x->name);
    signing_key_free(x->key);
    fixture_refs_free(&x->fixtures);
}

bool release_checkpoint(release_result *r, const char *hf_dir, const char *out_dir, const release_opts *o, err *e)
{
    release_job x = { .o = o, .r = r, .hf_dir = hf_dir, .dir = { .fd = -1, .at = { .fd = -1 } } };
    memset(r, 0, sizeof *r);
    bool ok = prepare(&x, out_dir, e);
    for (int i = 0; ok && i < x.n_items; i++) ok = make_artifact(&x, i, e);
    ok = ok && finish(&x, e);
    free_job(&x);
    if (!ok) release_result_free(r);
    return ok;
}

bool release_outline_make(release_outline *to, const char *hf_dir, const char *out_dir, const release_opts *o, err *e)
{
    release_result r = { .n = 0 };
    release_job x = { .o = o, .r = &r, .hf_dir = hf_dir, .dir = { .fd = -1, .at = { .fd = -1 } } };
    *to = (release_outline){ .n = 0 };
    bool ok = look_around(&x, out_dir, e) && source_digest(hf_dir, o->n_threads, o->progress, &x.source, e);
    for (int i = 0; ok && i < x.old.n; i++) x.old.replaced[i] = release_makes(&x, x.old.reports[i].artifact);
    ok = ok && release_kept_key(&x, e) && release_find_fixtures(&x, e) && release_plan_beside(&x, e)
        && release_plan_files(&x, e) && release_own_check(&x, e) && release_carry_check(&x, e)
        && release_outline_fill(to, &x, e);
    free_job(&x);
    release_result_free(&r);
    if (!ok) release_outline_free(to);
    return ok;
}

static void free_lines(char **v, int n)
{
    for (int i = 0; i < n; i++) free(v[i]);
    free(v);
}

void release_result_free(release_result *r)
{
    for (int i = 0; i < r->n; i++) {
        verify_report_free(&r->reports[i]);
        free(r->made[i].text);
    }
    free_lines(r->missing, r->n_missing);
    free_lines(r->notes, r->n_notes);
    free_lines(r->told, r->n_told);
    record_files_free(r->files, r->n_files);
    free(r->reports);
    free(r->file_bytes);
    free(r->made);
    free(r->left);
    memset(r, 0, sizeof *r);
}
