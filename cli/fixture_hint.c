// fixture_hint: see fixture_hint.h.
#include "fixture_hint.h"
#include "../formats/file_map.h"
#include "../verify/match.h"
#include <stdlib.h>
#include <string.h>

// A hint is worth no failure of its own.
static void add_folder(fixture_refs *r, const char *dir)
{
    err passed_over = { 0 };
    if (dir) fixture_refs_add_dir(r, dir, &passed_over);
}

static void add_folders(fixture_refs *r, const char *artifact, const text_list *given)
{
    char *dir = path_dir(artifact), *below = dir ? path_join(dir, "fixtures") : NULL;
    for (int i = 0; i < given->n; i++) {
        char *beside = path_dir(given->v[i]);
        add_folder(r, beside);
        free(beside);
    }
    add_folder(r, dir);
    add_folder(r, below);
    free(below);
    free(dir);
}

static bool is_given(const fixture_refs *r, const artifact_ref *a, match kind)
{
    for (int i = 0; i < r->n; i++)
        if (r->v[i].asked && fixture_match(&r->v[i], a) == kind) return true;
    return false;
}

static void note_first(const command *c, const fixture_refs *r, const artifact_ref *a, const char *artifact, match kind)
{
    for (int i = 0; i < r->n; i++) {
        const fixture_ref *f = &r->v[i];
        if (f->asked || fixture_match(f, a) != kind) continue;
        cli_note(c, "%s answers to %s (%s, from %s), which was not given", artifact, f->path,
                 strcmp(f->arith, "bf16") == 0 ? "bfloat16" : "float32",
                 kind == MATCH_WEIGHTS ? "its own weights" : "the source");
        return;
    }
}

void fixture_hint(const command *c, const char *artifact, const text_list *given)
{
    artifact_ref a;
    fixture_refs r = { 0 };
    err unread = { 0 };
    if (!artifact_ref_read(&a, artifact, &unread)) return;
    for (int i = 0; i < given->n; i++) {
        err bad = { 0 };
        fixture_refs_add(&r, given->v[i], true, &bad);
    }
    add_folders(&r, artifact, given);
    const bool own = is_given(&r, &a, MATCH_WEIGHTS), source = is_given(&r, &a, MATCH_SOURCE);
    if (a.lossy && !own) note_first(c, &r, &a, artifact, MATCH_WEIGHTS);
    if (!source && (a.lossy || !own)) note_first(c, &r, &a, artifact, MATCH_SOURCE);
    fixture_refs_free(&r);
}
