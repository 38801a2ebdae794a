// What a release is called, what it will hold, and room for that: see release_job.h.
#define _GNU_SOURCE
#include "release_job.h"
#include "release_lab.h"
#include "../formats/checked.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include "../formats/text.h"
#include "../verify/steps.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const SUFFIXES[] = { "", ".failed", ".unverified" };

const char *release_gate_name(const release_opts *o)
{
    return o->gate_path ? path_base(o->gate_path) : "built-in";
}

// ---- names ---------------------------------------------------------------------------------------------------------

static bool state_is_elsewhere(const release_job *x, err *e)
{
    bool lies;
    for (int i = 0; x->o->state && i < 3; i++) {
        if (!path_lies_in(&lies, x->o->state, x->dest[i], e)) return false;
        if (lies)
            return err_set(e, ERR_USAGE, "option --state: found '%s', which is or lies in %s, where the release goes: "
                           "what is kept there would be a part of it; expected a folder outside", x->o->state,
                           x->dest[i]);
    }
    return !x->o->state || !file_exists(x->o->state)
        || err_set(e, ERR_USAGE, "option --state: found '%s', a file, expected a folder", x->o->state);
}

bool release_place(release_job *x, const char *out_dir, err *e)
{
    size_t n = strlen(out_dir);
    while (n > 1 && out_dir[n - 1] == '/') n--;
    for (int i = 0; i < 3; i++)
        if (asprintf(&x->dest[i], "%.*s%s", (int)n, out_dir, SUFFIXES[i]) < 0) {
            x->dest[i] = NULL;
            return err_nomem(e, "a path", n);
        }
    if (n >= sizeof x->r->where - 16) return err_set(e, ERR_USAGE, "%.200s...: the name is too long", out_dir);
    if (!state_is_elsewhere(x, e)) return false;
    return dir_exists(x->hf_dir)
        || err_set(e, ERR_INPUT, "%s: not a folder; expected a Hugging Face checkpoint", x->hf_dir);
}

// The model's name: "name" of .../models--org--name/snapshots/<commit>, else the folder's own.
static char *name_of(const char *hf_dir)
{
    char *real = realpath(hf_dir, NULL), *name = NULL;
    if (!real) return NULL;
    char *hub = strstr(real, "/models--"), *end = hub ? strstr(hub, "/snapshots/") : NULL;
    if (end) {
        *end = '\0';
        char *org = strstr(hub + 9, "--");
        name = strdup(org ? org + 2 : hub + 9);
    } else {
        name = strdup(strrchr(real, '/') + 1);
    }
    free(real);
    return name;
}

// What is added to keeps its name.
bool release_name(release_job *x, err *e)
{
    const char *given = x->o->name ? x->o->name : x->old.name;
    x->name = given ? strdup(given) : name_of(x->hf_dir);
    if (!x->name) return err_nomem(e, "the name", 0);
    if (!x->name[0] || strchr(x->name, '/') || x->name[0] == '.' || !text_is_plain(x->name, strlen(x->name)))
        return err_set(e, ERR_USAGE, "name '%s': expected a file name's beginning; choose one with --name", x->name);
    return true;
}

// ---- artifacts -----------------------------------------------------------------------------------------------------

// A finished file that says with which matrix it was made derives with that alone.
static bool has_its_matrix(const gguf *g, const recipe *r, err *e)
{
    gguf_str name;
    err      absent = { 0 };
    const bool said = gguf_get_str(g, "quantize.imatrix.file", &name, &absent);
    if (said == (r->imatrix != NULL)) return true;
    if (!said) return err_set(e, ERR_USAGE, "%s: it was made without an importance matrix, or does not say with which",
                              r->artifact);
    const int n = name.n < 200 ? (int)name.n : 200;
    return err_set(e, ERR_USAGE, "%s: it was made with the importance matrix '%.*s': give that with imatrix=FILE or "
                   "--imatrix", r->artifact, n, name.s);
}

static bool label_of_file(const char **label, const recipe *r, err *e)
{
    gguf *g = gguf_open(r->artifact, e);
    const bool ok = g && has_its_matrix(g, r, e) && file_type_label(g, label, e);
    gguf_close(g);
    if (ok && strcmp(*label, "?") == 0)
        return err_set(e, ERR_INPUT, "%s: key 'general.file_type': absent, or no type that is released here",
                       r->artifact);
    return ok;
}

// What its file is called behind the release's name, where its recipe does not say.
static bool label_of(const char **label, const recipe *r, err *e)
{
    const file_type_info *t = r->kind == RECIPE_TYPE ? file_type_of(r->type) : NULL;
    if (r->kind == RECIPE_TYPE && !t) return err_set(e, ERR_USAGE, "type %d is not one we write", (int)r->type);
    *label = r->name ? r->name : t ? t->label : "MIX";
    if (r->kind != RECIPE_ARTIFACT) return true;
    const char *type;
    if (!label_of_file(&type, r, e)) return false;
    if (!r->name) *label = type;
    return true;
}

static bool plan_item(release_job *x, int i, err *e)
{
    release_item *item = &x->items[i];
    const char *label = NULL;
    if (!recipe_check(item->r, e) || !label_of(&label, item->r, e)) return false;
    recipe_words(item->r, item->said.words);
    item->label = strdup(label);
    if (!item->label) return err_nomem(e, "a name", strlen(label));
    if (asprintf(&item->name, "%s-%s.gguf", x->name, label) >= 0) return true;
    item->name = NULL;
    return err_nomem(e, "a name", strlen(x->name));
}

// On file systems without capitals two names that differ in them alone are one.
static bool is_name_free(const release_job *x, int i, err *e)
{
    const release_item *b = &x->items[i];
    for (int k = 0; k < i; k++) {
        const release_item *a = &x->items[k];
        if (strcasecmp(a->name, b->name) != 0) continue;
        char *first = recipe_text(a->r), *second = recipe_text(b->r);
        err_set(e, ERR_USAGE, "%s and %s would both be %s: give one of them a name, as in %s:name=%s-2",
                first ? first : "one", second ? second : "another", b->name, second ? second : "it", b->label);
        free(first);
        free(second);
        return false;
    }
    return strcasecmp(b->name, RELEASE_BASE) != 0
        || err_set(e, ERR_USAGE, "%s: this name is needed while the release is made; choose another", b->name);
}

bool release_plan_items(release_job *x, err *e)
{
    for (int i = 0; i < x->n_items; i++)
        if (!plan_item(x, i, e) || !is_name_free(x, i, e)) return false;
    return true;
}

bool release_makes(const release_job *x, const char *name)
{
    for (int i = 0; i < x->n_items; i++)
        if (strcasecmp(x->items[i].name, name) == 0) return true;
    return false;
}

bool release_has_beside(const release_job *x, const char *name)
{
    for (int i = 0; i < x->n_beside; i++)
        if (strcasecmp(x->beside[i].name, name) == 0) return true;
    return false;
}

// ---- what a record has room for ------------------------------------------------------------------------------------

static bool plan_file(release_job *x, const char *name, err *e)
{
    return record_files_plan(&x->planned, &x->n_planned, name, e);
}

// Names of all artifacts, the kept ones first; the array is freed by the caller, the names are x's.
static const char **names_of_all(const release_job *x, int *n, err *e)
{
    const char **v = calloc((size_t)(x->n_items + x->old.n) + 1, sizeof *v);
    *n = 0;
    for (int i = 0; v && i < x->old.n; i++)
        if (!x->old.replaced[i]) v[(*n)++] = x->old.reports[i].artifact;
    for (int i = 0; v && i < x->n_items; i++) v[(*n)++] = x->items[i].name;
    if (!v) err_nomem(e, "names", 0);
    return v;
}

bool release_plan_files(release_job *x, err *e)
{
    int n;
    const int kept = old_release_n_kept(&x->old);
    const char **names = names_of_all(x, &n, e);
    bool ok = names != NULL;
    ok = ok && (x->o->n_lab == 0 || release_lab_plan(&x->planned, &x->n_planned, names + kept, n - kept, e));
    ok = ok && plan_file(x, STEPS_FILE, e) && hub_plan(&x->planned, &x->n_planned, &x->hub, e);
    for (int i = 0; ok && i < x->n_beside; i++) ok = plan_file(x, x->beside[i].name, e);
    for (int i = 0; ok && i < x->old.n_files; i++)
        ok = x->old.files[i].kept || plan_file(x, x->old.files[i].name, e);
    free(names);
    return ok;
}

static const verify_recipe *longest_recipe(const release_job *x)
{
    const verify_recipe *most = NULL;
    size_t longest = 0;
    for (int i = 0; i < x->n_items; i++) {
        const verify_recipe *r = &x->items[i].said;
        const size_t n = strlen(r->words) + (size_t)r->n * sizeof *r->v;
        if (n > longest) { longest = n; most = r; }
    }
    return most;
}

// What is planned, and what is the user's own; names are x's, the array is the caller's.
static record_file *files_of_all(const release_job *x, int *n, err *e)
{
    record_file *v = calloc((size_t)(x->n_planned + x->own.n) + 1, sizeof *v);
    *n = 0;
    for (int i = 0; v && i < x->n_planned; i++) v[(*n)++] = x->planned[i];
    for (int i = 0; v && i < x->own.n; i++) {
        v[*n] = (record_file){ .name = x->own.v[i], .kept = true };
        memset(v[(*n)++].sha256, 'f', SHA256_HEX);
    }
    if (!v) err_nomem(e, "names", 0);
    return v;
}

// What an artifact that stays was held to, and made with, it says again.
static bool kept_will_fit(const record_release *all, const verify_report *v, err *e)
{
    record_release  kept = *all;
    fixture_ref    *of = calloc((size_t)v->n_fixtures + 1, sizeof *of);
    if (!of) return err_nomem(e, "fixtures", (size_t)v->n_fixtures * sizeof *of);
    for (int64_t i = 0; i < v->n_fixtures; i++) {
        snprintf(of[i].name, sizeof of[i].name, "%s", v->fixtures[i].name);
        of[i].reference = v->fixtures[i].reference;
    }
    kept.recipe = &v->recipe;
    const bool ok = record_fits(&kept, of, (int)v->n_fixtures, e);
    free(of);
    return ok;
}

static bool all_kept_will_fit(const release_job *x, const record_release *all, err *e)
{
    for (int i = 0; i < x->old.n; i++)
        if (!x->old.replaced[i] && !kept_will_fit(all, &x->old.reports[i], e)) return false;
    return true;
}

// A record that overflows is found before anything is converted. Counted as if one artifact answered to every fixture:
// those it does not answer to take a note, which is shorter.
static bool records_will_fit(release_job *x, const char *const *artifacts, int n, err *e)
{
    int n_files;
    record_file *files = files_of_all(x, &n_files, e);
    record_template template = { .there = true, .bytes = INT64_C(1) << 53 };
    memset(template.sha256, 'f', SHA256_HEX);
    const record_release all = { .name = x->name, .gate = release_gate_name(x->o),
                                 .limits = x->o->gate_path ? &x->limits : NULL, .artifacts = artifacts,
                                 .n_artifacts = n, .files = files, .n_files = n_files, .chat_template = &template,
                                 .notes = (const char *const *)x->old.notes, .n_notes = x->old.n_notes,
                                 .recipe = longest_recipe(x) };
    const bool ok = files && record_fits(&all, x->fixtures.v, x->fixtures.n, e) && all_kept_will_fit(x, &all, e);
    free(files);
    return ok;
}

// ---- the folder to work in -----------------------------------------------------------------------------------------

// Its first report lists the files that are to come, and the one that is gone before it is published.
static bool begin_folder(release_job *x, const char **artifacts, int n, err *e)
{
    const char **files = calloc((size_t)x->n_planned + 2, sizeof *files);
    if (!files) return err_nomem(e, "names", 0);
    int n_files = 0;
    for (int i = 0; i < x->n_planned; i++) files[n_files++] = x->planned[i].name;
    if (release_has_mix(x)) files[n_files++] = RELEASE_BASE;
    const release_names names = { .artifacts = artifacts, .n_artifacts = n, .files = files, .n_files = n_files };
    const bool ok = release_dir_begin(&x->dir, x->dest[TO_PUBLISH], &names, e);
    free(files);
    return ok;
}

static bool kept_bytes(const release_job *x, int i, int64_t *bytes)
{
    for (int k = 0; k < x->old.n; k++) {
        if (x->old.replaced[k] || i-- > 0) continue;
        *bytes = x->old.reports[k].file_bytes;
        return true;
    }
    return false;
}

static bool bytes_of(const release_job *x, int i, int64_t *bytes, int64_t *sum, err *e)
{
    const int kept = old_release_n_kept(&x->old);
    if (!kept_bytes(x, i, bytes) && !release_make_bytes(x, i - kept, bytes, e)) return false;
    return add_i64(*sum, *bytes, sum)
        || err_set(e, ERR_INPUT, "%s: the artifacts are larger than 63 bits can say", x->hf_dir);
}

// The artifacts lie beside each other before any is published: room for all of them is asked for at once, before hours
// of work on the first.
static bool all_will_fit(const release_job *x, const char *const *artifacts, int n, err *e)
{
    outfile **files = calloc((size_t)n, sizeof *files);
    int64_t  *bytes = calloc((size_t)n, sizeof *bytes), sum = 0;
    bool ok = (files && bytes) || err_nomem(e, "names", 0);
    for (int i = 0; ok && i < n; i++) ok = bytes_of(x, i, &bytes[i], &sum, e);
    for (int i = 0; ok && i < n; i++) {
        char *path = path_join(x->dir.path, artifacts[i]);
        err   bad = { 0 };
        ok = path ? (files[i] = outfile_open(path, bytes[i], &bad)) != NULL : err_nomem(&bad, "a path", 0);
        if (!ok)
            err_set(e, bad.kind, n > 1 ? "%s; the %d artifacts take %lld bytes together" : "%s", bad.msg, n,
                    (long long)sum);
        free(path);
    }
    for (int i = 0; files && i < n; i++) outfile_abort(files[i]);
    free(bytes);
    free(files);
    return ok;
}

bool release_begin(release_job *x, err *e)
{
    int n;
    const char **artifacts = names_of_all(x, &n, e);
    const bool ok = artifacts && records_will_fit(x, artifacts, n, e)
        && begin_folder(x, artifacts, n, e) && all_will_fit(x, artifacts, n, e);
    free(artifacts);
    return ok;
}
