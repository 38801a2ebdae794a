#include "provenance.h"
#include "json_diff.h"
#include "model_statement.h"
#include "../verify/record.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/version.h"
#include <stdlib.h>
#include <string.h>

#define BUILD_TYPE "urn:hallmark:release:1"
#define BUILDER    "urn:hallmark:release"
enum { MOST_PROVENANCE_VALUES = 1 << 18, MOST_REPORT_BYTES = 16 << 20 };

cJSON *folder_json(const folder_digest *f, const char *name, err *e)
{
    char   *path = path_join(f->dir, name), *text = NULL;
    int64_t n;
    const bool ok = path ? folder_digest_text(&text, &n, f, name, MOST_REPORT_BYTES, e)
                         : err_nomem(e, "a path", strlen(name));
    cJSON *doc = ok ? json_parse(text, n, path, e) : NULL;
    free(text);
    free(path);
    return doc;
}

static const char *text_of(const cJSON *obj, const char *key)
{
    const cJSON *s = json_get(obj, key);
    return cJSON_IsString(s) ? s->valuestring : "";
}

// ---- subject and what it was made of -------------------------------------------------------------------------------

// cJSON's adders and json.h's give NULL when memory fails, and take a NULL object: what is missing is found at the end.
static bool add_subjects(cJSON *doc, const cJSON *report, const folder_digest *f)
{
    cJSON *list = cJSON_AddArrayToObject(doc, "subject");
    const cJSON *a;
    bool ok = list != NULL;
    cJSON_ArrayForEach(a, json_get(report, "artifacts")) {
        const char *name = text_of(a, "artifact");
        const folder_file *x = folder_digest_find(f, name);
        cJSON *one = json_add_object(list), *digest = cJSON_AddObjectToObject(one, "digest");
        ok = ok && digest && cJSON_AddStringToObject(one, "name", name)
          && cJSON_AddStringToObject(digest, "sha256", x ? x->sha256 : "");
    }
    return ok;
}

// A dependency with its role; its digests are added by the caller. NULL when out of memory.
static cJSON *add_dependency(cJSON *list, const char *name, const char *role)
{
    cJSON *one = json_add_object(list), *notes = cJSON_AddObjectToObject(one, "annotations");
    const bool ok = notes && cJSON_AddStringToObject(one, "name", name) && cJSON_AddStringToObject(notes, "role", role);
    return ok ? cJSON_AddObjectToObject(one, "digest") : NULL;
}

// The annotations of the dependency that was added last.
static cJSON *last_notes(const cJSON *list)
{
    const int n = cJSON_GetArraySize(list);
    return n > 0 ? cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(list, n - 1), "annotations") : NULL;
}

static bool add_source(cJSON *list, const cJSON *report)
{
    const char *commit = text_of(report, "source_revision"), *repository = text_of(report, "source_repository");
    cJSON *digest = add_dependency(list, text_of(report, "name"), "source");
    cJSON *notes = last_notes(list);
    if (repository[0] && !cJSON_AddStringToObject(notes, "repository", repository)) return false;
    return digest && cJSON_AddStringToObject(digest, "hallmarkSource2", text_of(report, "source_digest"))
        && (!commit[0] || cJSON_AddStringToObject(digest, "gitCommit", commit));
}

static bool listed(const cJSON *list, const char *hex)
{
    const cJSON *x;
    cJSON_ArrayForEach(x, list) {
        const char *there = descriptor_sha256(x);
        if (there && strcmp(there, hex) == 0) return true;
    }
    return false;
}

static bool add_file(cJSON *list, const char *name, const char *role, const char *hex)
{
    if (listed(list, hex)) return true;
    cJSON *digest = add_dependency(list, name, role);
    return digest && cJSON_AddStringToObject(digest, "sha256", hex);
}

// A fixture, with what the report says of its reference; reports of before they said it have none.
static bool add_fixture(cJSON *list, const cJSON *x)
{
    const char *hex = text_of(x, "sha256");
    const cJSON *reference = json_get(x, "reference");
    if (listed(list, hex)) return true;
    if (!add_file(list, text_of(x, "name"), "fixture", hex)) return false;
    return !reference || cJSON_AddItemToObject(last_notes(list), "reference", cJSON_Duplicate(reference, true));
}

// Whose limits were held, by content; in reports of before that only a gate file has a digest.
static bool add_gate(cJSON *list, const cJSON *report, const cJSON *artifact)
{
    const cJSON *by = json_get(artifact, "judged_by");
    const char  *held = text_of(artifact, "gate");
    if (by) return add_file(list, text_of(by, "name"), "gate", text_of(by, "sha256"));
    return !held[0] || strcmp(held, "built-in") == 0 || add_file(list, text_of(report, "gate"), "gate", held);
}

static bool add_texts(cJSON *list, const folder_digest *f, const char *lab_report, err *e)
{
    cJSON *lab = folder_json(f, lab_report, e);
    const cJSON *x;
    bool ok = lab != NULL;
    cJSON_ArrayForEach(x, json_get(lab, "texts"))
        ok = ok && add_file(list, text_of(x, "name"), "text", text_of(x, "sha256"));
    cJSON_Delete(lab);
    return ok;
}

static bool add_all_texts(cJSON *list, const cJSON *report, const folder_digest *f, err *e)
{
    const cJSON *x;
    bool ok = true;
    cJSON_ArrayForEach(x, json_get(report, "files")) {
        const char *name = text_of(x, "name");
        if (record_lab_stem(name) > 0) ok = ok && add_texts(list, f, name, e);
    }
    return ok;
}

static bool add_dependencies(cJSON *definition, const cJSON *report, const folder_digest *f, err *e)
{
    cJSON *list = cJSON_AddArrayToObject(definition, "resolvedDependencies");
    const cJSON *a, *x;
    bool ok = list && add_source(list, report);
    cJSON_ArrayForEach(a, json_get(report, "artifacts")) {
        cJSON_ArrayForEach(x, json_get(a, "fixtures")) ok = ok && add_fixture(list, x);
        cJSON_ArrayForEach(x, json_get(json_get(a, "recipe"), "inputs"))
            ok = ok && add_file(list, text_of(x, "name"), text_of(x, "kind"), text_of(x, "sha256"));
        ok = ok && add_gate(list, report, a);
    }
    return ok && add_all_texts(list, report, f, e);
}

// ---- what was proved -----------------------------------------------------------------------------------------------

static bool add_check(cJSON *list, const cJSON *artifact)
{
    const cJSON *d = json_get(artifact, "derivation"), *tensors = json_get(d, "tensors"), *x;
    cJSON *one = json_add_object(list), *fixtures = cJSON_AddArrayToObject(one, "fixtures");
    bool ok = fixtures && cJSON_AddStringToObject(one, "artifact", text_of(artifact, "artifact"))
           && cJSON_AddStringToObject(one, "verdict", text_of(artifact, "verdict"))
           && cJSON_AddStringToObject(one, "derivation", text_of(d, "verdict"))
           && cJSON_AddNumberToObject(one, "tensors", cJSON_IsNumber(tensors) ? tensors->valuedouble : 0);
    cJSON_ArrayForEach(x, json_get(artifact, "fixtures")) {
        cJSON *f = json_add_object(fixtures);
        ok = ok && cJSON_AddStringToObject(f, "name", text_of(x, "name"))
          && cJSON_AddStringToObject(f, "sha256", text_of(x, "sha256"))
          && cJSON_AddStringToObject(f, "check", text_of(x, "check"))
          && cJSON_AddStringToObject(f, "verdict", text_of(x, "verdict"));
    }
    return ok;
}

static bool add_checks(cJSON *predicate, const cJSON *report)
{
    cJSON *list = cJSON_AddArrayToObject(predicate, "hallmark_checks");
    const cJSON *a;
    bool ok = list != NULL;
    cJSON_ArrayForEach(a, json_get(report, "artifacts")) ok = ok && add_check(list, a);
    return ok;
}

// ---- the whole -----------------------------------------------------------------------------------------------------

static bool is_kept(const provenance_run *run, const char *artifact)
{
    for (int i = 0; i < run->n_kept; i++)
        if (strcmp(run->kept[i], artifact) == 0) return true;
    return false;
}

static const char *or_unknown(const char *text) { return text[0] ? text : "unknown"; }

static bool add_one_kept(cJSON *list, const cJSON *artifact)
{
    const cJSON *by = json_get(artifact, "hallmark");
    cJSON *one = json_add_object(list), *version;
    return one && cJSON_AddStringToObject(one, "name", text_of(artifact, "artifact"))
        && cJSON_AddStringToObject(one, "made", "kept from the release before")
        && (version = cJSON_AddObjectToObject(one, "version"))
        && cJSON_AddStringToObject(version, "hallmark", or_unknown(text_of(by, "version")))
        && cJSON_AddStringToObject(version, "commit", or_unknown(text_of(by, "commit")));
}

static bool add_kept(cJSON *parameters, const cJSON *report, const provenance_run *run)
{
    if (run->n_kept == 0) return true;
    cJSON *list = cJSON_AddArrayToObject(parameters, "kept");
    const cJSON *a;
    bool ok = list != NULL;
    cJSON_ArrayForEach(a, json_get(report, "artifacts"))
        if (is_kept(run, text_of(a, "artifact"))) ok = ok && add_one_kept(list, a);
    return ok;
}

static bool add_parameters(cJSON *definition, const cJSON *report, const provenance_run *run)
{
    cJSON *parameters = cJSON_AddObjectToObject(definition, "externalParameters");
    return json_add_strings(parameters, "command", run->command, run->n_command) && add_kept(parameters, report, run);
}

static bool add_builder(cJSON *predicate)
{
    cJSON *details = cJSON_AddObjectToObject(predicate, "runDetails");
    cJSON *builder = cJSON_AddObjectToObject(details, "builder");
    if (!builder || !cJSON_AddStringToObject(builder, "id", BUILDER)) return false;
    cJSON *version = cJSON_AddObjectToObject(builder, "version");
    return version && cJSON_AddStringToObject(version, "hallmark", hallmark_version())
        && cJSON_AddStringToObject(version, "commit", hallmark_commit());
}

static cJSON *statement(const cJSON *report, const folder_digest *f, const provenance_run *run, err *e)
{
    cJSON *doc = cJSON_CreateObject(), *predicate, *definition;
    bool ok = doc && cJSON_AddStringToObject(doc, "_type", STATEMENT_TYPE) && add_subjects(doc, report, f)
        && cJSON_AddStringToObject(doc, "predicateType", PROVENANCE_PREDICATE)
        && (predicate = cJSON_AddObjectToObject(doc, "predicate"))
        && (definition = cJSON_AddObjectToObject(predicate, "buildDefinition"))
        && cJSON_AddStringToObject(definition, "buildType", BUILD_TYPE) && add_parameters(definition, report, run)
        && add_dependencies(definition, report, f, e) && add_builder(predicate) && add_checks(predicate, report);
    if (ok) return doc;
    err_nomem(e, "a statement", 0);         // where nothing else was wrong: the first failure is kept
    cJSON_Delete(doc);
    return NULL;
}

char *provenance_text(const cJSON *report, const folder_digest *f, const provenance_run *run, err *e)
{
    cJSON *doc = statement(report, f, run, e);
    char  *text = doc ? json_print(doc) : NULL;
    if (!text) err_nomem(e, "a statement", 0);
    cJSON_Delete(doc);
    return text;
}

// ---- checking ------------------------------------------------------------------------------------------------------

// One part, found and expected, under one name so that a message names it.
static bool same_part(const cJSON *found, const cJSON *expected, const char *part, const char *where, err *e)
{
    const cJSON *a = json_get(found, part), *b = json_get(expected, part);
    if (!a) return err_set(e, ERR_VERDICT, "%s: key '%s': is not there", where, part);
    cJSON *x = cJSON_CreateObject(), *y = cJSON_CreateObject();
    bool ok = (x && y && cJSON_AddItemReferenceToObject(x, part, (cJSON *)a)
               && cJSON_AddItemReferenceToObject(y, part, (cJSON *)b)) || err_nomem(e, "a comparison", 0);
    ok = ok && json_same(x, y, where, e);
    cJSON_Delete(x);
    cJSON_Delete(y);
    return ok;
}

static bool same_parts(const cJSON *found, const cJSON *expected, const char *where, err *e)
{
    const cJSON *p = json_get(found, "predicate"), *q = json_get(expected, "predicate");
    const cJSON *d = json_get(p, "buildDefinition"), *c = json_get(q, "buildDefinition");
    const cJSON *ours = json_get(d, "externalParameters"), *theirs = json_get(c, "externalParameters");
    return same_part(found, expected, "subject", where, e) && json_str_is(d, "buildType", BUILD_TYPE, where, e)
        && same_part(d, c, "resolvedDependencies", where, e) && same_part(p, q, "hallmark_checks", where, e)
        && (!json_get(ours, "kept") || same_part(ours, theirs, "kept", where, e));
}

// The artifacts that it says were kept; borrowed names. NULL when out of memory.
static const char **kept_of(const cJSON *found, int *n)
{
    const cJSON *definition = json_get(json_get(found, "predicate"), "buildDefinition"), *a;
    const cJSON *list = json_get(json_get(definition, "externalParameters"), "kept");
    const char **names = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *names);
    *n = 0;
    cJSON_ArrayForEach(a, list)
        if (names) names[(*n)++] = text_of(a, "name");
    return names;
}

bool provenance_check(const char *payload, int64_t n, const cJSON *report, const folder_digest *f, const char *where,
                      err *e)
{
    cJSON *found = json_parse_limited(payload, n, MOST_PROVENANCE_VALUES, where, e), *expected = NULL;
    bool ok = found && json_str_is(found, "_type", STATEMENT_TYPE, where, e)
        && json_str_is(found, "predicateType", PROVENANCE_PREDICATE, where, e);
    int n_kept;
    const char **kept = kept_of(found, &n_kept);
    ok = ok && (kept || err_nomem(e, "a statement", 0));
    ok = ok && (expected = statement(report, f, &(provenance_run){ .kept = kept, .n_kept = n_kept }, e)) != NULL;
    ok = ok && same_parts(found, expected, where, e);
    free(kept);
    cJSON_Delete(expected);
    cJSON_Delete(found);
    return ok;
}
