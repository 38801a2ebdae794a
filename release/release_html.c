// The release's report as one HTML page, and as JUnit's XML; see release_report.h.
#include "release_report.h"
#include "../formats/html.h"
#include "../verify/report_html.h"
#include <stdlib.h>
#include <string.h>

static void put_title(text_buf *t, const release_head *h)
{
    text_puts(t, TEXT_XML, h->name);
    text_printf(t, ": %s", h->verdict);
}

static void put_code(text_buf *t, const char *name, const char *value)
{
    if (!value[0]) return;
    text_printf(t, "<dt>%s</dt><dd class=\"digest\"><code>", name);
    text_puts(t, TEXT_XML, value);
    text_words(t, "</code></dd>\n");
}

static void put_template(text_buf *t, const record_template *c)
{
    if (!c) return;
    text_words(t, "<dt>chat template</dt><dd>");
    if (c->there)
        text_printf(t, "%s, %lld bytes, SHA-256 <code>", c->same_as_source ? "the source's, byte for byte"
                                                                          : "not the source's in all files",
                    (long long)c->bytes);
    else
        text_words(t, "none");
    if (c->there) text_puts(t, TEXT_XML, c->sha256);
    text_words(t, c->there ? "</code></dd>\n" : "</dd>\n");
}

static void put_facts(text_buf *t, const release_head *h)
{
    text_words(t, "<dl>\n");
    put_code(t, "digest of the source", h->source_digest);
    put_code(t, "its revision", h->revision);
    put_code(t, "gate", h->gate);
    put_template(t, h->chat_template);
    text_words(t, "</dl>\n");
}

static void put_list(text_buf *t, const char *heading, char *const *lines, int n, bool code)
{
    if (n == 0) return;
    text_printf(t, "<h2>%s</h2>\n<ul class=\"what\">\n", heading);
    for (int i = 0; i < n; i++) {
        text_words(t, code ? "<li><code>" : "<li>");
        text_puts(t, TEXT_XML, lines[i]);
        text_words(t, code ? "</code></li>\n" : "</li>\n");
    }
    text_words(t, "</ul>\n");
}

static void put_files(text_buf *t, const release_result *r)
{
    static const char *const names[] = { "<file", "<SHA-256", NULL };
    if (r->n_files == 0) return;
    text_words(t, "<h2>Files beside them</h2>\n");
    html_begin_table(t, "Files that the artifacts' records name", names);
    for (int i = 0; i < r->n_files; i++) {
        text_words(t, "<tr><th scope=\"row\"><span>");
        text_puts(t, TEXT_XML, r->files[i].name);
        text_words(t, "</span></th><td class=\"l digest\"><code>");
        text_puts(t, TEXT_XML, r->files[i].sha256);
        text_words(t, "</code></td></tr>\n");
    }
    html_end_table(t);
}

static void put_page(report_page *g, const release_head *h, const release_result *r)
{
    html_begin(&g->t);
    put_title(&g->t, h);
    html_begin_body(&g->t, REPORT_CSS);
    text_words(&g->t, "<h1>");
    put_title(&g->t, h);
    text_words(&g->t, "</h1>\n");
    report_put_verdict(&g->t, h->verdict);
    put_facts(&g->t, h);
    put_list(&g->t, "Missing fixtures; these commands make them, where Transformers is installed", r->missing,
             r->n_missing, true);
    report_put_artifacts(g);
    report_put_each(g);
    put_list(&g->t, "Notes of the release", r->notes, r->n_notes, false);
    put_files(&g->t, r);
    html_end(&g->t);
}

char *release_report_html(const release_head *h, const release_result *r)
{
    const verify_report **list = release_in_order(r);
    if (!list) return NULL;
    report_page g = { .r = list, .n = r->n };
    put_page(&g, h, r);
    free(list);
    return text_take(&g.t);
}

char *release_report_junit(const release_result *r)
{
    const verify_report **list = release_in_order(r);
    char *text = list ? verify_report_junit(list, r->n) : NULL;
    free(list);
    return text;
}
