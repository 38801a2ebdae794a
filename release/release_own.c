// What is in the places of a release and is not this release's: files of the user's own, which stay, and folders of
// releases that did not pass, which go. See release_job.h.
#define _GNU_SOURCE
#include "hub_files.h"
#include "release_job.h"
#include "release_sign.h"
#include "../formats/file_map.h"
#include "../formats/folder_digest.h"
#include "../formats/json.h"
#include "../verify/preflight.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CARD_STAYS HUB_CARD " is not as a release wrote it: it is kept and not rewritten, and what it says of files " \
                   "and signature may be of a release before this one"

// ---- files of the user's own ---------------------------------------------------------------------------------------

// A name that what the Hub wants has: there the user's own file stands for it (hub_publish.h).
static bool is_for_hub(const release_job *x, const char *name)
{
    return hub_writes(name) || dir_list_has(&x->hub.licenses, name);
}

static bool is_made(const release_job *x, const char *name)
{
    return record_file_is_made(name) || release_makes(x, name) || release_has_beside(x, name)
        || record_files_find(x->planned, x->n_planned, name);
}

static bool is_ignored(const char *name)
{
    for (int i = 0; i < FOLDER_N_IGNORED; i++)
        if (strcmp(FOLDER_IGNORED[i], name) == 0) return true;
    return false;
}

static bool is_regular(const release_job *x, const char *name)
{
    struct stat st;
    char *path = path_join(x->dest[TO_PUBLISH], name);
    const bool yes = path && lstat(path, &st) == 0 && S_ISREG(st.st_mode);
    free(path);
    return yes;
}

bool release_own_check(release_job *x, err *e)
{
    const char *dir = x->dest[TO_PUBLISH];
    if (!release_dir_own(&x->own, dir, e)) return false;
    for (int i = 0; i < x->own.n; i++) {
        const char *name = x->own.v[i];
        if (is_made(x, name) && !is_for_hub(x, name) && !hub_is_license(name))
            return err_set(e, ERR_USAGE, "%s: '%s' is not of the release that is there, or was changed, and this "
                           "release makes one of that name: move it away", dir, name);
        if (x->key && !is_ignored(name) && !is_regular(x, name))
            return err_set(e, ERR_USAGE, "%s: '%s' is no regular file, and what is signed holds those alone: move it "
                           "away", dir, name);
    }
    return true;
}

// One that cannot be listed in a record (it is hidden, or no regular file) stays all the same.
static bool list_own(release_job *x, const char *name, err *e)
{
    char  hex[SHA256_HEX + 1], *path = path_join(x->dir.path, name);
    const bool ok = path ? sha256_file(path, hex, e) : err_nomem(e, "a path", strlen(name));
    free(path);
    if (!ok || !record_files_push(&x->r->files, &x->r->n_files, name, hex, e)) return false;
    x->r->files[x->r->n_files - 1].kept = true;
    return true;
}

// A card that no release wrote, or that was edited since: it goes on saying what it said.
static bool note_card(release_job *x, err *e)
{
    if (!file_exists_in(x->dest[TO_PUBLISH], RELEASE_JSON)) return true;
    progress_logf(x->o->progress, "note: " CARD_STAYS);
    return release_say(&x->r->notes, &x->r->n_notes, e, "%s", CARD_STAYS);
}

bool release_own_bring(release_job *x, err *e)
{
    for (int i = 0; i < x->own.n; i++) {
        const char *name = x->own.v[i];
        bool linked;
        if (!release_say(&x->r->told, &x->r->n_told, e, "'%s' is not of the release: it stays as it is", name))
            return false;
        if (strcmp(name, HUB_CARD) == 0 && !note_card(x, e)) return false;
        if (!release_dir_link(&x->dir, x->dest[TO_PUBLISH], name, &linked, e)) return false;
        if (!linked && x->key && !is_ignored(name))
            return err_set(e, ERR_SYSTEM, "%s: '%s' cannot be linked to, and the signature needs it: move it away",
                           x->dest[TO_PUBLISH], name);
        if (linked && record_file_is(name) && !is_for_hub(x, name) && !list_own(x, name, e)) return false;
    }
    return true;
}

// ---- folders of releases that did not pass -------------------------------------------------------------------------

static bool weights_of(const char *dir, const char *artifact, char hex[SHA256_HEX + 1])
{
    err   bad = { 0 };
    gguf *g = gguf_open_in(dir, artifact, &bad);
    const bool ok = g && artifact_weights_digest(g, hex, &bad);
    gguf_close(g);
    return ok;
}

// The artifact in dir, if it is there at all, is published now: the same name, the same weights.
static bool is_published(const release_job *x, const char *dir, const char *artifact)
{
    char stale[SHA256_HEX + 1], now[SHA256_HEX + 1];
    char *path = path_join(dir, artifact);
    const bool gone = path && !file_exists(path);
    bool found = false;
    free(path);
    for (int i = 0; i < x->r->n; i++) found |= strcmp(x->r->reports[i].artifact, artifact) == 0;
    if (gone || !found) return gone;
    return weights_of(dir, artifact, stale) && weights_of(x->r->where, artifact, now) && strcmp(stale, now) == 0;
}

// Why the folder is still of use, or NULL: a fixture of an artifact's own weights is made from that artifact. why: its
// place.
static const char *is_needed(const release_job *x, const char *dir, char why[256])
{
    err    unread = { 0 };
    char  *path = path_join(dir, RELEASE_JSON);
    cJSON *report = path && file_exists(path) ? json_parse_file(path, &unread) : NULL;
    const char  *found = NULL;
    const cJSON *a;
    cJSON_ArrayForEach(a, json_get(report, "artifacts")) {
        const cJSON *name = json_get(a, "artifact");
        if (found || !cJSON_IsString(name) || !record_file_is(name->valuestring)) continue;
        if (is_published(x, dir, name->valuestring)) continue;
        snprintf(why, 256, "its %.200s is not published", name->valuestring);
        found = why;
    }
    cJSON_Delete(report);
    free(path);
    return found;
}

static void drop_stale(release_job *x, outcome which)
{
    char    needed[256];
    int64_t bytes;
    char    why[256];
    err     ignored = { 0 };        // DIR is published, whatever becomes of the others
    const char *dir = x->dest[which];
    const stale_end end = release_dir_discard(dir, x->name, is_needed(x, dir, needed), &bytes, why);
    if (end == STALE_REMOVED)
        release_say(&x->r->told, &x->r->n_told, &ignored, "removed %s, of an earlier release of this name", dir);
    if (end == STALE_STAYS)
        release_say(&x->r->told, &x->r->n_told, &ignored, "%s stays, with %lld bytes: %s", dir, (long long)bytes, why);
}

void release_drop_stale(release_job *x)
{
    drop_stale(x, TO_FAILED);
    drop_stale(x, TO_UNVERIFIED);
}
