// The fixtures of a release: which there are, which an artifact answers to, which are missing. See release_job.h.
#define _GNU_SOURCE
#include "release_job.h"
#include "release_describe.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/hub_cache.h"
#include "../formats/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool check_asked(const release_job *x, err *e)
{
    for (int i = 0; i < x->fixtures.n; i++) {
        const fixture_ref *f = &x->fixtures.v[i];
        if (f->asked && !fixture_ref_is_of(f, &x->source, x->hf_dir, e)) return false;
    }
    return true;
}

// A fixture that an artifact answered to before is needed again, whoever is made now.
static void mark_kept(release_job *x)
{
    for (int i = 0; i < x->old.n; i++) {
        const verify_report *v = &x->old.reports[i];
        for (int64_t k = 0; k < v->n_fixtures && !x->old.replaced[i]; k++)
            for (int j = 0; j < x->fixtures.n; j++)
                x->fixtures.v[j].used |= strcmp(x->fixtures.v[j].digest, v->fixtures[k].file_digest) == 0;
    }
}

// Those that the release which is added to publishes: one that was changed since is none of its.
static bool add_published(release_job *x, err *e)
{
    bool ok = true;
    for (int i = 0; ok && i < x->old.n_files; i++) {
        const record_file *f = &x->old.files[i];
        if (f->kept || !text_ends_with(f->name, ".json.gz")) continue;
        char  hex[SHA256_HEX + 1], *path = path_join(x->old.dir, f->name);
        err   unread = { 0 };
        ok = path || err_nomem(e, "a path", strlen(f->name));
        const bool same = ok && sha256_file(path, hex, &unread) && strcmp(hex, f->sha256) == 0;
        ok = ok && (!same || fixture_refs_add(&x->fixtures, path, false, e));
        free(path);
    }
    return ok;
}

// Beside those asked for: in the checkpoint's folder, and in the release that is added to.
bool release_find_fixtures(release_job *x, err *e)
{
    char *sub = path_join(x->hf_dir, "fixtures");
    bool  ok = sub || err_nomem(e, "a path", 0);
    for (int i = 0; ok && i < x->o->n_fixtures; i++) ok = fixture_refs_add(&x->fixtures, x->o->fixtures[i], true, e);
    ok = ok && fixture_refs_add_dir(&x->fixtures, sub, e) && fixture_refs_add_dir(&x->fixtures, x->hf_dir, e);
    ok = ok && add_published(x, e) && check_asked(x, e);
    free(sub);
    if (ok) mark_kept(x);
    return ok && release_fixtures_fit(x, e);
}

// ---- missing -------------------------------------------------------------------------------------------------------

// Freed by the caller; NULL when out of memory.
static char *shell_word(const char *word)
{
    text_buf t = { 0 };
    text_puts(&t, TEXT_SHELL, word);
    return text_take(&t);
}

// The command that makes what is missing. weights: where the artifact will lie for the user, NULL: from the source.
static bool add_missing(release_job *x, const char *stem, const char *type, const char *weights, err *e)
{
    char *script = shell_word(x->o->fixture_script ? x->o->fixture_script
                                                   : "/path/to/hallmark/fixtures/hf_fixture.py");
    char *fix = NULL, *w_dir = shell_word(x->hf_dir), *w_fix = NULL, *w_art = weights ? shell_word(weights) : NULL;
    bool  ok = script && asprintf(&fix, "%s/%s-%s.json.gz", x->hf_dir, x->name, stem) >= 0 && (w_fix = shell_word(fix))
        && w_dir && (!weights || w_art);
    ok = ok ? release_say(&x->r->missing, &x->r->n_missing, e, "python3 %s %s -o %s --dtype %s%s%s", script, w_dir,
                          w_fix, type, weights ? " --weights " : "", weights ? w_art : "")
            : err_nomem(e, "a command", 0);
    free(script);
    free(w_art);
    free(w_fix);
    free(w_dir);
    free(fix);
    return ok;
}

// It will lie under its name where it is not published.
bool release_list_missing(release_job *x, const char *in, const char *name, const char *label, bool source,
                          bool weights, err *e)
{
    const char *word = fixture_dtype_word(in);
    if (source && !add_missing(x, word, word, NULL, e)) return false;
    if (!weights) return true;
    char *later = path_join(x->dest[TO_UNVERIFIED], name);
    bool  ok = later ? add_missing(x, label, word, later, e) : err_nomem(e, "a path", 0);
    free(later);
    return ok;
}

// ---- one artifact --------------------------------------------------------------------------------------------------

// Adds the fixtures that match a in the given way to paths; how many there are now.
static int add_matching(release_job *x, const artifact_ref *a, match how, const char **paths, int n)
{
    for (int i = 0; i < x->fixtures.n; i++) {
        fixture_ref *f = &x->fixtures.v[i];
        if (fixture_match(f, a) != how) continue;
        f->used = true;
        paths[n++] = f->path;
    }
    return n;
}

// The fixtures that a answers to, those of its own weights first; *need_source, *need_weights: one of that kind is
// missing. paths: [fixtures.n].
static int choose(release_job *x, const artifact_ref *a, const char **paths, bool *need_source, bool *need_weights)
{
    int own = add_matching(x, a, MATCH_WEIGHTS, paths, 0), n = add_matching(x, a, MATCH_SOURCE, paths, own);
    *need_weights = a->lossy && own == 0;
    *need_source  = n == own;
    return n;
}

static void say_why_not(release_job *x, const artifact_ref *a, const char *path)
{
    for (int i = 0; i < x->fixtures.n; i++)
        if (fixture_match(&x->fixtures.v[i], a) == MATCH_NONE)
            fixture_why_not(&x->fixtures.v[i], a, path_base(path));
}

// A folder of the Hub's cache tells which repository it is of, which the file does not say.
static void name_source(const release_job *x, verify_report *v)
{
    if (v->source.repository[0] || !v->program.version[0]) return;
    char *real = realpath(x->hf_dir, NULL), *id = real ? hub_id_of(real) : NULL;
    if (id) text_fit(v->source.repository, sizeof v->source.repository, id, strlen(id), 0);
    free(id);
    free(real);
}

static bool run_fixtures(release_job *x, verify_report *v, const char *path, const char *label,
                         const verify_derivation *derived, err *e)
{
    artifact_ref a;
    bool need_source, need_weights;
    if (!artifact_ref_read(&a, path, e)) return false;
    const char **paths = calloc((size_t)x->fixtures.n + 1, sizeof *paths);
    if (!paths) return err_nomem(e, "fixtures", 0);
    const int n = choose(x, &a, paths, &need_source, &need_weights);
    say_why_not(x, &a, path);
    const verify_opts vo = { .tokens = x->o->tokens, .gate_path = x->o->gate_path, .derived = derived,
                             .progress = x->o->progress,
                             .run = { .device = x->o->device, .n_threads = x->o->n_threads } };
    bool ok = release_list_missing(x, a.arith, path_base(path), label, need_source, need_weights, e);
    if (ok) ok = n > 0 ? verify_artifact(v, path, paths, n, &vo, e) : release_describe_unverified(v, path, &a, e);
    free(paths);
    v->derivation = *derived;
    if (ok) name_source(x, v);
    if (ok && (need_source || need_weights)) {
        v->incomplete = true;
        v->passed = false;
    }
    return ok;
}

static bool label_of(const char **label, const char *path, err *e)
{
    gguf *g = gguf_open(path, e);
    const bool ok = g && file_type_label(g, label, e);
    gguf_close(g);
    return ok;
}

bool release_verify(release_job *x, verify_report *v, const char *path, int i, const verify_derivation *derived,
                    err *e)
{
    const char *type;
    if (derived->passed) return run_fixtures(x, v, path, x->items[i].label, derived, e);
    x->not_run = true;
    return label_of(&type, path, e) && release_describe_not_derived(v, path, type, derived, e);
}

// ---- what is said of them ------------------------------------------------------------------------------------------

static bool failed(const release_result *r)
{
    for (int i = 0; i < r->n; i++)
        if (strcmp(verify_verdict(&r->reports[i]), "fail") == 0) return true;
    return false;
}

// One that was found is passed over; one that was named is of no use, which hides no failure.
bool release_note_unused(release_job *x, err *e)
{
    for (int i = 0; i < x->fixtures.n && !x->not_run; i++) {
        const fixture_ref *f = &x->fixtures.v[i];
        if (f->used) continue;
        const char *why = !source_id_same(&f->source, &x->source) ? "it was made from another source"
                        : f->weights[0] ? "no artifact of this release has the weights that it was made from"
                            : "no artifact of this release computes in its dtype";
        if (f->asked && !failed(x->r))
            return err_set(e, ERR_INPUT, "%s: the fixture cannot be used: %s%s%s", f->path, why,
                           f->why_not[0] ? ": " : "", f->why_not);
        if (!release_say(&x->r->notes, &x->r->n_notes, e, "fixture %s was not used: %s", f->name, why)) return false;
    }
    return true;
}
