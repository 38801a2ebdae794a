// record: files of a release beside its artifacts and reports. See record.h.
#include "record.h"
#include "../formats/dir_list.h"
#include "../formats/json.h"
#include "../formats/place.h"
#include "../formats/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 256, MOST_NAME = 255 };

// With something before it.
static bool ends(const char *name, const char *end) { return name[0] && text_ends_with(name + 1, end); }

// Written from the records and the files, so that no record can hold their digests.
static const char *const MADE[] = {
    "report.json", "report.md", "report.html", "junit.xml", "SHA256SUMS", "model.sig", "provenance.intoto.json",
};

bool record_file_is_made(const char *name)
{
    for (size_t i = 0; i < sizeof MADE / sizeof MADE[0]; i++)
        if (strcmp(name, MADE[i]) == 0) return true;
    return false;
}

bool record_file_is(const char *name)
{
    const size_t n = strlen(name);
    if (n == 0 || n > MOST_NAME || strchr(name, '/') || !text_is_plain(name, n)) return false;
    if (name[0] == '.') return strcmp(name, ".gitattributes") == 0;
    return !partial_base(name) && !record_file_is_made(name);
}

size_t record_lab_stem(const char *name)
{
    return ends(name, "-lab.json") ? strlen(name) - strlen("-lab.json") : 0;
}

void record_files_free(record_file *files, int n)
{
    for (int i = 0; files && i < n; i++) free(files[i].name);
    free(files);
}

bool record_files_push(record_file **files, int *n, const char *name, const char *hex, err *e)
{
    record_file *grown = realloc(*files, ((size_t)*n + 1) * sizeof *grown);
    if (!grown) return err_nomem(e, "names", ((size_t)*n + 1) * sizeof *grown);
    *files = grown;
    grown[*n] = (record_file){ .name = strdup(name) };
    if (!grown[*n].name) return err_nomem(e, "a name", strlen(name));
    snprintf(grown[(*n)++].sha256, sizeof grown->sha256, "%s", hex);
    return true;
}

bool record_files_plan(record_file **files, int *n, const char *name, err *e)
{
    char hex[SHA256_HEX + 1];
    memset(hex, 'f', SHA256_HEX);
    hex[SHA256_HEX] = '\0';
    return record_files_find(*files, *n, name) || record_files_push(files, n, name, hex, e);
}

const record_file *record_files_find(const record_file *files, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(files[i].name, name) == 0) return &files[i];
    return NULL;
}

bool record_files_add(cJSON *o, const record_file *files, int n)
{
    cJSON *list = n > 0 ? cJSON_AddArrayToObject(o, "files") : NULL;
    for (int i = 0; list && i < n; i++) {
        cJSON *f = json_add_object(list);
        if (!cJSON_AddStringToObject(f, "name", files[i].name)) return false;
        if (!cJSON_AddStringToObject(f, "sha256", files[i].sha256)) return false;
        if (files[i].kept && !cJSON_AddTrueToObject(f, "kept")) return false;
    }
    return list || n == 0;
}

static bool read_one(record_file *to, const cJSON *f, const char *where, err *e)
{
    const char *name, *digest;
    if (!json_str(f, "name", &name, where, e) || !json_str(f, "sha256", &digest, where, e)) return false;
    if (!record_file_is(name))
        return err_set(e, ERR_VERDICT, "%s: files: found '%.200s', which is no name of a release's", where, name);
    if (!sha256_is_hex(digest))
        return err_set(e, ERR_VERDICT, "%s: files: '%.200s': found '%.80s', expected a SHA-256 in hex", where, name,
                       digest);
    strcpy(to->sha256, digest);
    to->kept = cJSON_IsTrue(json_get(f, "kept"));
    to->name = strdup(name);
    return to->name || err_nomem(e, "a name", strlen(name));
}

bool record_files_read(record_file **files, int *n, const cJSON *release, const char *where, err *e)
{
    const cJSON *f, *list = json_get(release, "files");
    err bad = { 0 };
    *files = NULL;
    *n = 0;
    if (!list) return true;
    const int found = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (found < 1 || found > MOST_FILES)
        return err_set(e, ERR_VERDICT, "%s: files: found %s of %d, expected an array of 1 to %d", where,
                       json_kind(list), found, MOST_FILES);
    *files = calloc((size_t)found, sizeof **files);
    if (!*files) return err_nomem(e, "names", (size_t)found * sizeof **files);
    cJSON_ArrayForEach(f, list) {
        if (!read_one(&(*files)[*n], f, where, &bad))
            return err_as_verdict(e, &bad);
        (*n)++;
        for (int i = 0; i + 1 < *n; i++)
            if (strcmp((*files)[i].name, (*files)[*n - 1].name) == 0)
                return err_set(e, ERR_VERDICT, "%s: files: found '%.200s' twice", where, (*files)[i].name);
    }
    return true;
}
