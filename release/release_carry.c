// What a release that is added to had beside its artifacts, and the one that adds does not give again: base_model and
// quantized_by of the card, licenses, files of recipes, fixtures, notes. What the source's card said is in the
// artifacts' metadata, too: a copy of the source without it is refused when those are proved (release_kept.c), and the
// message asks for it. Anything else would publish new files that name no license beside old ones that do.
// See release_job.h.
#include "hub_files.h"
#include "release_job.h"
#include "../formats/file_map.h"
#include "../formats/hub_cache.h"
#include "../formats/text.h"
#include <stdlib.h>
#include <string.h>

// ---- the card ------------------------------------------------------------------------------------------------------

enum { MOST_CARD_BYTES = 16 << 20 };

// What the old card says, where it is still the one that was written.
static bool read_card(hub_front *was, const release_job *x, err *e)
{
    const record_file *f = record_files_find(x->old.files, x->old.n_files, HUB_CARD);
    char    hex[SHA256_HEX + 1], *text = NULL;
    int64_t n;
    err     unread = { 0 };
    *was = (hub_front){ 0 };
    if (!f || f->kept) return true;
    char *path = path_join(x->old.dir, HUB_CARD);
    if (!path) return err_nomem(e, "a path", strlen(x->old.dir));
    const bool same = file_read_text(&text, &n, path, MOST_CARD_BYTES, &unread) && sha256_bytes(text, n, hex, &unread)
        && strcmp(hex, f->sha256) == 0;
    const bool ok = !same || hub_front_of_card(was, text, n, e);
    free(text);
    free(path);
    return ok;
}

// As options would have to say them: a card is a file that anybody may have written.
static const char *usable_base(const hub_front *was)
{
    return was->base_model && hub_is_id(was->base_model) ? was->base_model : NULL;
}

static const char *usable_name(const hub_front *was)
{
    err no = { 0 };
    return was->quantized_by && hub_front_check_name(was->quantized_by, &no) ? was->quantized_by : NULL;
}

bool release_read_hub(release_job *x, err *e)
{
    hub_front was;
    const release_opts *o = x->o;
    const bool ok = read_card(&was, x, e)
        && hub_source_read(&x->hub, x->hf_dir, o->base_model ? o->base_model : usable_base(&was),
                           o->quantized_by ? o->quantized_by : usable_name(&was), o->progress, e);
    hub_front_free(&was);
    return ok;
}

// ---- files ---------------------------------------------------------------------------------------------------------

static bool names(const verify_report *v, const char *hex)
{
    for (int64_t k = 0; k < v->n_fixtures; k++)
        if (strcmp(v->fixtures[k].file_digest, hex) == 0) return true;
    for (int64_t k = 0; k < v->recipe.n; k++)
        if (strcmp(v->recipe.v[k].sha256, hex) == 0) return true;
    return false;
}

// <name>-<TYPE>-lab.* of the artifact.
static bool is_lab_of(const verify_report *v, const char *name)
{
    const size_t stem = strlen(v->artifact) - strlen(".gguf");
    return strncmp(name, v->artifact, stem) == 0 && strncmp(name + stem, "-lab.", 5) == 0;
}

static bool is_of_kept(const release_job *x, const record_file *f)
{
    const bool is_fixture = text_ends_with(f->name, ".json.gz");
    for (int i = 0; i < x->old.n; i++) {
        const verify_report *v = &x->old.reports[i];
        if (x->old.replaced[i]) continue;
        if (is_lab_of(v, f->name) || (names(v, f->sha256) && !(is_fixture && x->o->no_fixtures))) return true;
    }
    return false;
}

static bool is_license_gone(const release_job *x, const char *name)
{
    return hub_is_license(name) && !dir_list_has(&x->hub.licenses, name) && !dir_list_has(&x->own, name);
}

// Where the file lies now: in the release, or among what this one publishes. NULL: nowhere, or no memory.
static char *find(const release_job *x, const record_file *f)
{
    char *path = path_join(x->old.dir, f->name);
    if (path && file_exists(path)) return path;
    free(path);
    for (int i = 0; i < x->n_beside; i++)
        if (strcmp(x->beside[i].sha256, f->sha256) == 0) return strdup(x->beside[i].from);
    return NULL;
}

static bool is_there(const release_job *x, const record_file *f, err *e)
{
    char hex[SHA256_HEX + 1], *path = find(x, f);
    bool ok = path || err_set(e, ERR_VERDICT, "%s/%s: is gone, and what stays of the release needs it (SHA-256 %s)"
                              OR_REPLACE, x->old.dir, f->name, f->sha256);
    ok = ok && sha256_file(path, hex, e);
    if (ok && strcmp(hex, f->sha256) != 0)
        ok = err_set(e, ERR_VERDICT, "%s: found SHA-256 %s, expected %s" OR_REPLACE, path, hex, f->sha256);
    free(path);
    return ok;
}

bool release_carry_check(release_job *x, err *e)
{
    old_release *old = &x->old;
    if (old->n_files == 0) return true;
    old->stays = calloc((size_t)old->n_files, sizeof *old->stays);
    if (!old->stays) return err_nomem(e, "names of files", (size_t)old->n_files);
    for (int i = 0; i < old->n_files; i++) {
        const record_file *f = &old->files[i];
        old->stays[i] = !f->kept && (is_of_kept(x, f) || is_license_gone(x, f->name));
        if (old->stays[i] && !is_there(x, f, e)) return false;
    }
    return true;
}

static bool bring(release_job *x, record_file *f, err *e)
{
    release_result *r = x->r;
    char *from = find(x, f);
    const bool ok = from ? release_copy(from, x->dir.path, f->name, f->sha256, e)
                         : err_set(e, ERR_VERDICT, "%s/%s: is gone", x->old.dir, f->name);
    free(from);
    if (!ok || !record_files_push(&r->files, &r->n_files, f->name, f->sha256, e)) return false;
    return !hub_is_license(f->name)
        || release_say(&r->told, &r->n_told, e, "%s stays: this copy of the source has none", f->name);
}

bool release_carry_files(release_job *x, err *e)
{
    for (int i = 0; i < x->old.n_files; i++) {
        record_file *f = &x->old.files[i];
        if (!x->old.stays[i] || record_files_find(x->r->files, x->r->n_files, f->name)) continue;
        if (!bring(x, f, e)) return false;
    }
    return true;
}

// ---- notes ---------------------------------------------------------------------------------------------------------

// What each release says anew: of fixtures that it found, of chat templates, of a card that is the user's.
static bool is_said_anew(const char *note)
{
    return strstr(note, " was not used: ") || text_ends_with(note, ": its chat template is not the source's")
        || strncmp(note, HUB_CARD " is not ", strlen(HUB_CARD " is not ")) == 0;
}

static bool is_kept_in(const release_result *r, const char *hex)
{
    for (int i = 0; i < r->n; i++)
        if (r->made[i].kept && names(&r->reports[i], hex)) return true;
    return false;
}

static bool is_published(const release_result *r, const char *hex)
{
    for (int i = 0; i < r->n_files; i++)
        if (strcmp(r->files[i].sha256, hex) == 0) return true;
    return false;
}

// "fixture NAME, SHA-256 HEX, is not in this folder": of an artifact that stays, and still true.
static bool holds_still(const release_result *r, const char *note)
{
    char hex[SHA256_HEX + 1] = "";
    const char *at = strstr(note, ", SHA-256 ");
    if (!at || strlen(at) < strlen(", SHA-256 ") + SHA256_HEX) return true;
    memcpy(hex, at + strlen(", SHA-256 "), SHA256_HEX);
    return is_kept_in(r, hex) && !is_published(r, hex);
}

bool release_carry_notes(release_job *x, err *e)
{
    release_result *r = x->r;
    for (int i = 0; i < x->old.n_notes; i++) {
        const char *note = x->old.notes[i];
        if (is_said_anew(note) || !holds_still(r, note)) continue;
        if (!release_say(&r->notes, &r->n_notes, e, "%s", note)) return false;
    }
    return true;
}
