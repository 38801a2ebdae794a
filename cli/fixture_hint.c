// fixture_hint: see fixture_hint.h.
#include "fixture_hint.h"
#include "../formats/dir_list.h"
#include "../formats/file_map.h"
#include "../verify/match.h"
#include <stdlib.h>
#include <string.h>

// Each folder once. A hint is worth no failure of its own: a file that is none hides no other.
static void look_in(fixture_refs *r, dir_list *seen, const char *dir)
{
    dir_list names;
    err unread = { 0 };
    for (int i = 0; dir && i < seen->n; i++)
        if (strcmp(seen->v[i], dir) == 0) return;
    if (!dir || !dir_list_add(seen, dir, &unread)) return;
    dir_list_read(&names, dir, ".json.gz", true, &unread);
    for (int i = 0; i < names.n; i++) {
        char *path = names.v[i][0] == '.' ? NULL : path_join(dir, names.v[i]);
        err bad = { 0 };
        if (path) fixture_refs_add(r, path, false, &bad);
        free(path);
    }
    dir_list_free(&names);
}

static void look_beside(fixture_refs *r, dir_list *seen, const char *path, const char *below)
{
    char *dir = path_dir(path), *sub = dir && below ? path_join(dir, below) : NULL;
    look_in(r, seen, dir);
    look_in(r, seen, sub);
    free(sub);
    free(dir);
}

static void look(fixture_refs *r, const text_list *artifacts, const text_list *given)
{
    dir_list seen = { 0 };
    for (int i = 0; i < given->n; i++) {
        err bad = { 0 };
        fixture_refs_add(r, given->v[i], true, &bad);
    }
    for (int i = 0; i < given->n; i++) look_beside(r, &seen, given->v[i], NULL);
    for (int i = 0; i < artifacts->n; i++) look_beside(r, &seen, artifacts->v[i], "fixtures");
    dir_list_free(&seen);
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
                 fixture_dtype_word(f->arith),
                 kind == MATCH_WEIGHTS ? "its own weights" : "the source");
        return;
    }
}

static void hint(const command *c, const fixture_refs *r, const char *artifact)
{
    artifact_ref a;
    err unread = { 0 };
    if (!artifact_ref_read(&a, artifact, &unread)) return;
    const bool own = is_given(r, &a, MATCH_WEIGHTS), source = is_given(r, &a, MATCH_SOURCE);
    if (a.lossy && !own) note_first(c, r, &a, artifact, MATCH_WEIGHTS);
    // A file that does not say what it was made from matches a fixture of any source.
    if (!source && (a.lossy || !own) && source_id_known(&a.source)) note_first(c, r, &a, artifact, MATCH_SOURCE);
}

void fixture_hint(const command *c, fixture_refs *r, const text_list *artifacts, const text_list *given)
{
    if (artifacts->n == 0) return;
    look(r, artifacts, given);
    for (int i = 0; i < artifacts->n; i++) hint(c, r, artifacts->v[i]);
}
