#define _GNU_SOURCE
#include "release_report.h"
#include "release_dir.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool add_strings(cJSON *doc, const char *key, const char *member, char *const *v, int n)
{
    cJSON *list = cJSON_AddArrayToObject(doc, key);
    bool   ok = list != NULL;
    for (int i = 0; ok && i < n; i++) {
        cJSON *item = member ? cJSON_CreateObject() : cJSON_CreateString(v[i]);
        ok = item && cJSON_AddItemToArray(list, item) && (!member || cJSON_AddStringToObject(item, member, v[i]));
    }
    return ok;
}

static bool fill(cJSON *doc, const release_head *h, const release_result *r)
{
    cJSON *list;
    if (!cJSON_AddNumberToObject(doc, "hallmark_release", 1) || !cJSON_AddStringToObject(doc, "name", h->name)
        || !cJSON_AddStringToObject(doc, "source_digest", h->source_digest)
        || !(h->revision[0] ? cJSON_AddStringToObject(doc, "source_revision", h->revision) : cJSON_AddNullToObject(doc, "source_revision"))
        || !cJSON_AddStringToObject(doc, "gate", h->gate) || !cJSON_AddStringToObject(doc, "verdict", h->verdict)
        || !(list = cJSON_AddArrayToObject(doc, "artifacts"))) return false;
    for (int i = 0; i < r->n; i++) {
        cJSON *a = verify_report_json(&r->reports[i]);
        if (!a || !cJSON_AddItemToArray(list, a)) return false;
    }
    return add_strings(doc, "missing", "command", r->missing, r->n_missing) && add_strings(doc, "notes", NULL, r->notes, r->n_notes);
}

cJSON *release_report_json(const release_head *h, const release_result *r)
{
    cJSON *doc = cJSON_CreateObject();
    if (doc && fill(doc, h, r)) return doc;
    cJSON_Delete(doc);
    return NULL;
}

static bool write_json(const char *dir, const release_head *h, const release_result *r, err *e)
{
    char  *path = path_join(dir, RELEASE_JSON);
    cJSON *doc  = release_report_json(h, r);
    char  *text = doc ? cJSON_Print(doc) : NULL;
    bool   ok   = path && text ? outfile_write_whole(path, text, (int64_t)strlen(text), e) : err_nomem(e, RELEASE_JSON, 0);
    free(text);
    cJSON_Delete(doc);
    free(path);
    return ok;
}

// Limits of the maker's own are said where the verdict is read; a file may call itself "built-in", its digest cannot.
static void write_gate(FILE *f, const release_head *h, const release_result *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->reports[i].gate[0] && strcmp(r->reports[i].gate, "built-in") != 0) {
            fputs("- Note: held to gate ", f);
            for (const char *s = h->gate; *s; s++) {
                if (strchr("|`<>*[]\\", *s)) fputc('\\', f);
                fputc((unsigned char)*s < 0x20 ? ' ' : *s, f);
            }
            fprintf(f, " (sha256 `%s`), not the built-in one\n", r->reports[i].gate);
            return;
        }
}

char *release_report_md(const release_head *h, const release_result *r)
{
    const verify_report **list = calloc((size_t)r->n + 1, sizeof *list);
    char   *table = NULL, *out = NULL;
    size_t  size;
    FILE   *f = list ? open_memstream(&out, &size) : NULL;
    if (!f) { free(list); return NULL; }
    for (int i = 0; i < r->n; i++) list[i] = &r->reports[i];
    table = verify_report_md(list, r->n);
    if (table) {
        fprintf(f, "# %s: %s\n\nSource digest `%s`%s%s.\n\n%s", h->name, h->verdict, h->source_digest, h->revision[0] ? ", revision " : "", h->revision, table);
        write_gate(f, h, r);
        for (int i = 0; i < r->n_notes; i++) fprintf(f, "- Note: %s\n", r->notes[i]);
        if (r->n_missing > 0) fprintf(f, "\nMissing fixtures; these commands make them, where Transformers is installed:\n\n");
        for (int i = 0; i < r->n_missing; i++) fprintf(f, "    %s\n", r->missing[i]);
    }
    bool ok = table && !ferror(f);
    if (fclose(f) != 0) ok = false;
    free(table);
    free(list);
    if (ok) return out;
    free(out);
    return NULL;
}

static bool write_md(const char *dir, const release_head *h, const release_result *r, err *e)
{
    char *path = path_join(dir, RELEASE_MD), *text = release_report_md(h, r);
    bool  ok = path && text ? outfile_write_whole(path, text, (int64_t)strlen(text), e) : err_nomem(e, RELEASE_MD, 0);
    free(text);
    free(path);
    return ok;
}

bool release_report_write(const char *dir, const release_head *h, const release_result *r, err *e)
{
    return write_json(dir, h, r, e) && write_md(dir, h, r, e);
}
