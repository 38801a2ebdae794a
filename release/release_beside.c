// What a release publishes beside artifacts and reports: the files of its recipes, and the fixtures. See release_job.h.
#define _GNU_SOURCE
#include "release_job.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include "../formats/text.h"
#include "../verify/recipe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

// ---- names ---------------------------------------------------------------------------------------------------------

static bool is_artifacts(const release_job *x, const char *name)
{
    for (int i = 0; i < x->old.n; i++)
        if (strcasecmp(x->old.reports[i].artifact, name) == 0) return true;
    return release_makes(x, name) || strcasecmp(name, RELEASE_BASE) == 0;
}

// Another file's, in the release that is added to.
static bool is_old(const release_job *x, const char *name, const char *hex)
{
    for (int i = 0; i < x->old.n_files; i++)
        if (strcasecmp(x->old.files[i].name, name) == 0) return strcmp(x->old.files[i].sha256, hex) != 0;
    return false;
}

// Names that a release gives to files of its own, and those that its artifacts have.
static bool is_taken(const release_job *x, const char *name, const char *hex)
{
    static const char *const OWN[] = { "README.md", "LICENSE", "NOTICE", "Modelfile" };
    for (size_t i = 0; i < sizeof OWN / sizeof *OWN; i++)
        if (strcasecmp(name, OWN[i]) == 0) return true;
    return release_has_beside(x, name) || is_artifacts(x, name) || is_old(x, name, hex)
        || text_ends_with(name, "-lab.json") || text_ends_with(name, "-lab.md") || text_ends_with(name, "-lab.html");
}

// Its own base name, or, where another file of this folder has that, with digits of its SHA-256 before the suffix.
static char *name_for(const release_job *x, const char *from, const char *hex, const char *suffix)
{
    const char *base = path_base(from);
    const size_t n = strlen(base), m = strlen(suffix);
    const bool has = text_ends_with(base, suffix);
    char *name = NULL;
    if (record_file_is(base) && !is_taken(x, base, hex)) return strdup(base);
    const bool usable = record_file_is(base) && n < 200;
    const int len = asprintf(&name, "%.*s-%.8s%s", (int)(usable ? n - (has ? m : 0) : 4), usable ? base : "file", hex,
                             suffix);
    return len < 0 ? NULL : name;
}

// Lists a file, once for the same bytes; *at: which it is.
static bool add_file(release_job *x, int *at, const char *from, const char *suffix, bool only_used, err *e)
{
    char hex[SHA256_HEX + 1];
    if (!sha256_file(from, hex, e)) return false;
    for (*at = 0; *at < x->n_beside; ++*at)
        if (strcmp(x->beside[*at].sha256, hex) == 0) return true;
    release_beside *grown = realloc(x->beside, ((size_t)x->n_beside + 1) * sizeof *grown);
    if (!grown) return err_nomem(e, "names", ((size_t)x->n_beside + 1) * sizeof *grown);
    x->beside = grown;
    release_beside b = { .from = strdup(from), .name = name_for(x, from, hex, suffix), .fixture = only_used };
    snprintf(b.sha256, sizeof b.sha256, "%s", hex);
    grown[x->n_beside++] = b;
    return (b.from && b.name) || err_nomem(e, "a name", strlen(from));
}

// ---- the files of recipes ------------------------------------------------------------------------------------------

// Named in the report, and published.
static bool plan_published(release_job *x, release_item *item, const char *kind, const char *path, err *e)
{
    const char *dot = strrchr(path_base(path), '.');
    int at;
    if (!add_file(x, &at, path, dot ? dot : "", false, e)) return false;
    return verify_recipe_input(&item->said, kind, x->beside[at].name, x->beside[at].sha256, e);
}

// Named alone.
static bool plan_named(release_item *item, const char *kind, const char *path, err *e)
{
    char hex[SHA256_HEX + 1];
    return sha256_file(path, hex, e) && verify_recipe_input(&item->said, kind, path_base(path), hex, e);
}

static bool plan_texts(release_item *item, const char *kind, const recipe_list *l, err *e)
{
    for (int i = 0; i < l->n; i++)
        if (!plan_named(item, kind, l->v[i], e)) return false;
    return true;
}

// A recipe file is published byte for byte, with what its paths tell of the machine that made the release: said once a
// file, whichever of its recipes has one.
static void say_path(const release_job *x, const release_item *item)
{
    const recipe *r = item->r;
    if (!r->outside) return;
    for (const release_item *other = x->items; other < item; other++)
        if (other->r->outside && strcmp(other->r->file, r->file) == 0) return;
    progress_logf(x->o->progress, "%s is published as it is, with the path '%s' in it: what lies beside a recipe file "
                  "needs no folder", path_base(r->file), r->outside);
}

static bool plan_item(release_job *x, release_item *item, err *e)
{
    const recipe *r = item->r;
    const calibration_opts texts = { .texts = (const char *const *)r->calibrate.v, .n_texts = r->calibrate.n };
    if (!calibration_check_texts(&texts, e)) return false;
    if (r->artifact && !plan_named(item, "artifact", r->artifact, e)) return false;
    if (r->file && !plan_published(x, item, "recipe", r->file, e)) return false;
    say_path(x, item);
    if (r->imatrix && !plan_published(x, item, "imatrix", r->imatrix, e)) return false;
    return plan_texts(item, "calibration", &r->calibrate, e) && plan_texts(item, "text", &r->texts, e);
}

bool release_plan_beside(release_job *x, err *e)
{
    int at;
    for (int i = 0; i < x->n_items; i++)
        if (!plan_item(x, &x->items[i], e)) return false;
    for (int i = 0; i < x->fixtures.n && !x->o->no_fixtures; i++)
        if (!add_file(x, &at, x->fixtures.v[i].path, ".json.gz", true, e)) return false;
    return true;
}

// ---- copying -------------------------------------------------------------------------------------------------------

static bool copy_whole(const file_map *m, const char *path, err *e)
{
    outfile *f = outfile_open(path, m->size, e);
    if (!f) return false;
    if (m->size == 0 || outfile_copy_at(f, 0, m->fd, 0, m->size, e)) return outfile_commit(f, e);
    outfile_abort(f);
    return false;
}

bool release_copy(const char *from, const char *dir, const char *name, char digest[SHA256_HEX + 1], err *e)
{
    char  hex[SHA256_HEX + 1], *path = path_join(dir, name);
    file_map m = { 0 };
    bool ok = path ? file_map_open(&m, from, e) : err_nomem(e, "a path", strlen(dir));
    ok = ok && copy_whole(&m, path, e) && sha256_file(path, hex, e);
    if (ok && digest[0] && strcmp(hex, digest) != 0)
        ok = err_set(e, ERR_INPUT, "%s: found SHA-256 %s, expected %s: it changed while the release was made", from,
                     hex, digest);
    if (ok) strcpy(digest, hex);
    file_map_close(&m);
    free(path);
    return ok;
}

static bool is_used(const release_job *x, const release_beside *b)
{
    if (!b->fixture) return true;
    for (int i = 0; i < x->fixtures.n; i++)
        if (x->fixtures.v[i].used && strcmp(x->fixtures.v[i].digest, b->sha256) == 0) return true;
    return false;
}

// ---- fixtures that are not published -------------------------------------------------------------------------------

// The artifact that has the weights of fixture f, or NULL.
static const char *artifact_of(const release_result *r, const fixture_ref *f)
{
    for (int i = 0; i < r->n && f->weights[0]; i++)
        for (int64_t k = 0; k < r->reports[i].n_fixtures; k++)
            if (strcmp(r->reports[i].fixtures[k].file_digest, f->digest) == 0) return r->reports[i].artifact;
    return NULL;
}

// What its header says of how it was made, as words of hf_fixture.py.
static void put_command(text_buf *t, const fixture_ref *f, const char *weights)
{
    text_words(t, "python3 hf_fixture.py SOURCE -o ");
    text_puts(t, TEXT_SHELL, f->name);
    text_printf(t, " --dtype %s --tokens %lld --top %lld --limit %lld",
                fixture_dtype_word(f->arith), (long long)f->reference.tokens,
                (long long)f->top_k, (long long)f->cases);
    if (f->reference.model[0]) {
        text_words(t, " --name ");
        text_puts(t, TEXT_SHELL, f->reference.model);
    }
    if (!weights) return;
    text_words(t, " --weights ");
    text_puts(t, TEXT_SHELL, weights);
}

// Which prompts it asks is told by their digest alone: whether they are the script's own nobody here knows.
static bool name_fixture(release_job *x, const fixture_ref *f, err *e)
{
    text_buf t = { 0 };
    put_command(&t, f, artifact_of(x->r, f));
    char *command = text_take(&t);
    const bool ok = command ? release_say(&x->r->notes, &x->r->n_notes, e, "fixture %s, SHA-256 %s, is not in this "
                                          "folder; it is made by %s with Transformers %s and torch %s, where the "
                                          "prompts are the script's own; others are named with --prompts: theirs have "
                                          "SHA-256 %s (prompts_sha256)", f->name, f->digest, command,
                                          f->reference.transformers, f->reference.torch, f->reference.prompts)
                            : err_nomem(e, "a command", 0);
    free(command);
    return ok;
}

// Said where they are not here; words of a command, without this machine's folders.
bool release_name_fixtures(release_job *x, err *e)
{
    for (int i = 0; i < x->fixtures.n && x->o->no_fixtures; i++) {
        const fixture_ref *f = &x->fixtures.v[i];
        if (!f->used) continue;
        if (!name_fixture(x, f, e)) return false;
    }
    return true;
}

bool release_bring_beside(release_job *x, err *e)
{
    for (int i = 0; i < x->n_beside; i++) {
        release_beside *b = &x->beside[i];
        if (!is_used(x, b)) continue;
        if (!release_copy(b->from, x->dir.path, b->name, b->sha256, e)) return false;
        if (!record_files_push(&x->r->files, &x->r->n_files, b->name, b->sha256, e)) return false;
    }
    return true;
}
