#include "hub_publish.h"
#include "hub_files.h"
#include "release_list.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include <stdlib.h>
#include <string.h>

// ---- the source ----------------------------------------------------------------------------------------------------

static bool set(char **to, const char *text, err *e)
{
    if (!text) return true;
    *to = strdup(text);
    return *to || err_nomem(e, "the model card", strlen(text));
}

bool hub_source_read(hub_source *s, const char *hf_dir, const char *base_model, const char *quantized_by,
                     progress *log, err *e)
{
    *s = (hub_source){ .hf_dir = hf_dir };
    if (base_model && !hub_front_check_base(base_model, e)) return false;
    if (quantized_by && !hub_front_check_name(quantized_by, e)) return false;
    if (!hub_front_of_source(&s->front, hf_dir, log, e) || !hub_licenses(&s->licenses, hf_dir, e)) return false;
    if (!hub_generation_of_source(&s->generation, hf_dir, e) || !set(&s->front.quantized_by, quantized_by, e))
        return false;
    if (base_model) return set(&s->front.base_model, base_model, e);
    if (!hub_front_base_of(&s->front.base_model, hf_dir, e)) return false;
    if (!s->front.base_model)
        progress_logf(log, "README.md will name no base_model: the source's id on the Hub is not known here "
                      "(--base-model says it)");
    return true;
}

void hub_source_free(hub_source *s)
{
    dir_list_free(&s->licenses);
    hub_front_free(&s->front);
}

static const char *const OURS[] = { HUB_ATTRIBUTES, HUB_MODELFILE, HUB_CARD };

bool hub_writes(const char *name)
{
    for (size_t i = 0; i < sizeof OURS / sizeof OURS[0]; i++)
        if (strcmp(name, OURS[i]) == 0) return true;
    return false;
}

bool hub_plan(record_file **files, int *n, const hub_source *s, err *e)
{
    for (int i = 0; i < s->licenses.n; i++)
        if (!record_files_plan(files, n, s->licenses.v[i], e)) return false;
    for (size_t i = 0; i < sizeof OURS / sizeof OURS[0]; i++)
        if (!record_files_plan(files, n, OURS[i], e)) return false;
    return true;
}

// ---- writing -------------------------------------------------------------------------------------------------------

static bool list(release_result *r, const char *path, bool kept, err *e)
{
    if (!record_files_push(&r->files, &r->n_files, path_base(path), "", e)) return false;
    record_file *f = &r->files[r->n_files - 1];
    f->kept = kept;
    return sha256_file(path, f->sha256, e);
}

static bool put_text(release_result *r, const char *dir, const char *name, const char *text, err *e)
{
    char *path = path_join(dir, name);
    if (!path) return err_nomem(e, "a path", strlen(dir));
    const bool kept = file_exists(path);
    const bool ok = (kept || outfile_write_text(dir, name, text, e)) && list(r, path, kept, e);
    free(path);
    return ok;
}

static bool put_license(release_result *r, const char *dir, const hub_source *s, const char *name, err *e)
{
    char *path = path_join(dir, name);
    if (!path) return err_nomem(e, "a path", strlen(dir));
    const bool kept = file_exists(path);
    const bool ok = (kept || hub_license_copy(s->hf_dir, dir, name, e)) && list(r, path, kept, e);
    free(path);
    return ok;
}

static bool put_modelfile(release_result *r, const char *dir, const hub_source *s, err *e)
{
    char *text = hub_modelfile_of(dir, r->reports, r->n, &s->generation, e);
    const bool ok = text && put_text(r, dir, HUB_MODELFILE, text, e);
    free(text);
    return ok;
}

bool hub_publish(release_result *r, const char *dir, const release_head *h, const hub_source *s, const char *key_hint,
                 err *e)
{
    const hub_card c = { .front = &s->front, .key_hint = key_hint };
    char *card = NULL, *attributes = hub_attributes();
    bool  ok = true;
    for (int i = 0; ok && i < s->licenses.n; i++) ok = put_license(r, dir, s, s->licenses.v[i], e);
    ok = ok && put_text(r, dir, HUB_ATTRIBUTES, attributes, e) && put_modelfile(r, dir, s, e)
        && hub_card_md(&card, dir, h, r, &c, e) && put_text(r, dir, HUB_CARD, card, e);
    free(attributes);
    free(card);
    return ok;
}

// ---- at the end ----------------------------------------------------------------------------------------------------

static void add_sum(hub_sum *files, int *n, const char *name, const char *hex)
{
    hub_sum *f = &files[(*n)++];
    f->name = name;
    strcpy(f->sha256, hex);
}

// Reports where they are there; not SHA256SUMS itself, nor what is signed over it.
char *hub_sums_of(const char *dir, const release_result *r, int n_threads, progress *p, err *e)
{
    hub_sum *files = calloc((size_t)(r->n + r->n_files + RELEASE_N_REPORTS), sizeof *files);
    int n = 0;
    if (!files) { err_nomem(e, HUB_SUMS, 0); return NULL; }
    for (int i = 0; i < r->n; i++) add_sum(files, &n, r->reports[i].artifact, r->reports[i].file_sha256);
    for (int i = 0; i < r->n_files; i++) add_sum(files, &n, r->files[i].name, r->files[i].sha256);
    for (int i = 0; i < RELEASE_N_REPORTS; i++)
        if (file_exists_in(dir, RELEASE_REPORTS[i])) add_sum(files, &n, RELEASE_REPORTS[i], "");
    char *text = hub_sums(dir, files, n, n_threads, p, e);
    free(files);
    return text;
}
