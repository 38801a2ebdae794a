#include "release_report.h"
#include "release_dir.h"
#include "../formats/json.h"
#include "../formats/outfile.h"
#include "../formats/text.h"
#include <stdlib.h>
#include <string.h>

static bool add_missing(cJSON *doc, const release_result *r)
{
    cJSON *list = cJSON_AddArrayToObject(doc, "missing");
    bool   ok = list != NULL;
    for (int i = 0; ok && i < r->n_missing; i++)
        ok = cJSON_AddStringToObject(json_add_object(list), "command", r->missing[i]) != NULL;
    return ok;
}

// Of the source, where an artifact's report names it.
static const char *repository_of(const release_result *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->reports[i].source.repository[0]) return r->reports[i].source.repository;
    return NULL;
}

static bool add_repository(cJSON *doc, const release_result *r)
{
    const char *name = repository_of(r);
    return !name || cJSON_AddStringToObject(doc, "source_repository", name);
}

static bool fill(cJSON *doc, const release_head *h, const release_result *r)
{
    cJSON *list;
    if (!cJSON_AddNumberToObject(doc, "hallmark_release", 1) || !cJSON_AddStringToObject(doc, "name", h->name)
        || !cJSON_AddStringToObject(doc, "source_digest", h->source_digest)
        || !(h->revision[0] ? cJSON_AddStringToObject(doc, "source_revision", h->revision)
                            : cJSON_AddNullToObject(doc, "source_revision"))
        || !add_repository(doc, r) || !cJSON_AddStringToObject(doc, "gate", h->gate)
        || !cJSON_AddStringToObject(doc, "verdict", h->verdict)
        || (h->is_signed && !cJSON_AddTrueToObject(doc, "signed"))
        || !(list = cJSON_AddArrayToObject(doc, "artifacts"))) return false;
    for (int i = 0; i < r->n; i++) {
        cJSON *a = verify_report_json(&r->reports[i]);
        if (!a || !cJSON_AddItemToArray(list, a)) return false;
    }
    return add_missing(doc, r) && json_add_strings(doc, "notes", (const char *const *)r->notes, r->n_notes)
        && record_files_add(doc, r->files, r->n_files) && record_template_add(doc, h->chat_template);
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
    cJSON *doc  = release_report_json(h, r);
    char  *text = doc ? json_print(doc) : NULL;
    const bool ok = outfile_write_text(dir, RELEASE_JSON, text, e);
    free(text);
    cJSON_Delete(doc);
    return ok;
}

// Limits of the maker's own are said where the verdict is read; a file may call itself "built-in", its digest cannot.
static void put_gate(text_buf *t, const release_head *h, const release_result *r)
{
    for (int i = 0; i < r->n; i++) {
        const char *held = r->reports[i].gate;
        if (!held[0] || strcmp(held, "built-in") == 0) continue;
        text_words(t, "- Note: held to gate ");
        text_puts(t, TEXT_MD, h->gate);
        text_words(t, " (sha256 ");
        text_puts(t, TEXT_MD_CODE, held);
        text_words(t, "), not the built-in one\n");
        return;
    }
}

static void put_files(text_buf *t, const release_result *r)
{
    for (int i = 0; i < r->n_files; i++) {
        text_words(t, "- File ");
        text_puts(t, TEXT_MD, r->files[i].name);
        text_words(t, ", SHA-256 ");
        text_puts(t, TEXT_MD_CODE, r->files[i].sha256);
        text_words(t, ".\n");
    }
}

void release_put_template(text_buf *t, const record_template *c)
{
    text_words(t, c->same_as_source ? "is the source's, byte for byte" : "is not the source's in all of them");
    text_printf(t, ": %lld bytes, SHA-256 ", (long long)c->bytes);
    text_puts(t, TEXT_MD_CODE, c->sha256);
    text_words(t, ".");
}

static void put_template(text_buf *t, const record_template *c)
{
    if (!c) return;
    text_words(t, c->there ? "- The chat template in the files " : "- The files have no chat template.");
    if (c->there) release_put_template(t, c);
    text_words(t, "\n");
}

// Commands are words for a shell (TEXT_SHELL), and stand in a block of code: no line of them ends before its end.
static void put_missing(text_buf *t, const release_result *r)
{
    if (r->n_missing == 0) return;
    text_words(t, "\nMissing fixtures; these commands make them, where Transformers is installed:\n\n");
    for (int i = 0; i < r->n_missing; i++) {
        text_words(t, "    ");
        text_puts(t, TEXT_PLAIN, r->missing[i]);
        text_words(t, "\n");
    }
}

static void put_head(text_buf *t, const release_head *h, const char *repository)
{
    text_words(t, "# ");
    text_puts(t, TEXT_MD, h->name);
    text_printf(t, ": %s\n\nSource digest ", h->verdict);
    text_puts(t, TEXT_MD_CODE, h->source_digest);
    if (h->revision[0]) text_words(t, ", revision ");
    text_puts(t, TEXT_MD, h->revision);
    if (repository) text_words(t, ", of ");
    text_puts(t, TEXT_MD, repository);
    text_words(t, ".\n\n");
}

const verify_report **release_in_order(const release_result *r)
{
    const verify_report **list = calloc((size_t)r->n + 1, sizeof *list);
    for (int i = 0; list && i < r->n; i++) list[i] = &r->reports[i];
    return list;
}

char *release_report_md(const release_head *h, const release_result *r)
{
    const verify_report **list = release_in_order(r);
    if (!list) return NULL;
    char *table = verify_report_md(list, r->n);
    free(list);
    if (!table) return NULL;
    text_buf t = { 0 };
    put_head(&t, h, repository_of(r));
    text_words(&t, table);
    put_gate(&t, h, r);
    for (int i = 0; i < r->n_notes; i++) {
        text_words(&t, "- Note: ");
        text_puts(&t, TEXT_MD, r->notes[i]);
        text_words(&t, "\n");
    }
    put_template(&t, h->chat_template);
    put_files(&t, r);
    put_missing(&t, r);
    free(table);
    return text_take(&t);
}

// Takes the text over; NULL: there was no memory for it.
static bool write_text(const char *dir, const char *name, char *text, err *e)
{
    const bool ok = outfile_write_text(dir, name, text, e);
    free(text);
    return ok;
}

bool release_report_write(const char *dir, const release_head *h, const release_result *r, err *e)
{
    return write_json(dir, h, r, e) && write_text(dir, RELEASE_MD, release_report_md(h, r), e)
        && write_text(dir, RELEASE_HTML, release_report_html(h, r), e)
        && write_text(dir, RELEASE_JUNIT, release_report_junit(r), e);
}
