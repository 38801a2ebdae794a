// Reports as one HTML page: the verdict in words, tables, what was looked at. Plots are in report_plots.c and
// report_steps.c.
#include "report_html.h"
#include "../formats/figures.h"
#include <math.h>
#include <string.h>

// Colours beside those of HTML_CSS, as pairs again; what they say is said in words, too.
const char REPORT_CSS[] =
    ":root{--good:#116329;--bad:#b42318;--open:#7a4f00}\n"
    "@media(prefers-color-scheme:dark){\n"
    ":root{--good:#57d27a;--bad:#ff938a;--open:#e3b341}\n"
    "}\n"
    ".verdict{border-left:6px solid var(--soft);background:var(--box);padding:.6em .9em;max-width:none}\n"
    ".verdict b{display:block;font-size:1.2rem}\n"
    ".pass b,td.held,.held>b{color:var(--good)}\n"
    ".fail b,td.broke,.broke>b{color:var(--bad)}\n"
    ".inconclusive b,.unverified b,td.open{color:var(--open)}\n"
    ".pass{border-color:var(--good)}\n"
    ".fail{border-color:var(--bad)}\n"
    ".inconclusive,.unverified{border-color:var(--open)}\n"
    "td.held,td.broke,td.open{font-weight:600}\n"
    "td.said{white-space:normal;min-width:18em;max-width:44em;overflow-wrap:anywhere}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2em 1em;font-size:.9rem;margin:.8em 0}\n"
    "dt{color:var(--soft)}\n"
    "dd{margin:0;min-width:0}\n"
    ".what{padding-left:1.1em}\n"
    ".what li{margin:.4em 0}\n"
    ".heat{padding:0 12px 0 118px}\n"
    ".heat rect{fill:var(--data)}\n"
    ".heat rect.bad{fill:var(--bad);fill-opacity:1}\n"
    ".rows{padding:4px 12px 0 8px}\n"
    ".bad .m{stroke:var(--bad)}\n"
    ".bad .on{fill:var(--bad)}\n"
    "h4{font-size:.95rem;margin:1.4em 0 .2em}\n"
    "h4+.axis{margin-top:0}\n"
    "rect.h0{fill-opacity:.05}\n"
    "rect.h1{fill-opacity:.14}\n"
    "rect.h2{fill-opacity:.28}\n"
    "rect.h3{fill-opacity:.48}\n"
    "rect.h4{fill-opacity:.74}\n"
    "rect.h5{fill-opacity:1}\n"
    ".key rect{fill:var(--data);stroke:var(--line)}\n"
    ".key rect.bad{fill:var(--bad);fill-opacity:1}\n"
    ".dot{stroke:var(--data);stroke-width:3;stroke-linecap:round;opacity:.55}\n"
    ".limit{stroke:var(--bad);stroke-width:2}\n"
    ".allowed{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:5 3}\n"
    ".digest code{overflow-wrap:anywhere}\n"
    "@media(max-width:520px){\n"
    ".heat{padding-left:84px}\n"
    ".heat text.end{font-size:10px}\n"
    "dl{grid-template-columns:1fr;gap:0}\n"
    "dd{margin:0 0 .5em}\n"
    "}\n"
    "@media print{\n"
    ":root{--good:#116329;--bad:#b42318;--open:#7a4f00}\n"
    ".heat rect,.key rect,.verdict{print-color-adjust:exact;-webkit-print-color-adjust:exact}\n"
    "}\n";

// ---- the verdict ----------------------------------------------------------------------------------------------------

static const struct { const char *verdict, *word, *meaning; } VERDICTS[] = {
    { "pass", "Pass", "Everything that was asked of it holds: it does what Transformers does, within the limits named "
                      "below." },
    { "fail", "Fail", "Something that was asked of it does not hold. It is named below, with the first step and layer "
                      "where it shows." },
    { "inconclusive", "Inconclusive", "Nothing that was looked at speaks against it, but a fixture cannot decide. What "
                                      "would decide it is said below." },
    { "unverified", "Unverified", "Nothing that was looked at speaks against it, but a fixture that it answers to is "
                                  "missing. Until there is one, nothing is proved." },
};

void report_put_verdict(text_buf *t, const char *verdict)
{
    for (size_t i = 0; i < sizeof VERDICTS / sizeof *VERDICTS; i++)
        if (strcmp(VERDICTS[i].verdict, verdict) == 0)
            text_printf(t, "<p class=\"verdict %s\"><b>%s</b>%s</p>\n", verdict, VERDICTS[i].word, VERDICTS[i].meaning);
}

// A word that we chose, by what it means, and what is said behind it.
static void put_state_cell(text_buf *t, const char *word, const char *behind)
{
    static const struct { const char *word, *classes; } words[] = {
        { "pass", "l held" }, { "held", "l held" }, { "fail", "l broke" }, { "did not hold", "l broke" },
        { "inconclusive", "l open" }, { "unverified", "l open" }, { "open", "l open" }, { "not made", "l" },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].word, word) == 0)
            text_printf(t, "<td class=\"%s\">%s%s</td>", words[i].classes, word, behind);
}

// ---- all artifacts --------------------------------------------------------------------------------------------------

static void begin_artifact_row(text_buf *t, const verify_report *r, const char *verdict, const char *part)
{
    text_words(t, "<tr><th scope=\"row\"><span>");
    text_puts(t, TEXT_XML, r->artifact);
    text_words(t, "</span></th>");
    put_state_cell(t, verdict, part);
}

static void end_artifact_row(text_buf *t, const verify_report *r)
{
    html_put_words_cell(t, r->type);
    text_words(t, "<td>");
    if (r->remote.api[0]) text_words(t, "-");       // a server's file is not seen
    else                  figure_put_size(t, r->file_bytes);
    text_words(t, "</td><td class=\"l\">");
    text_puts(t, TEXT_XML, r->kv);
    text_words(t, strcmp(r->kv, r->kv_required) == 0 ? "</td><td>" : " (not what it requires)</td><td>");
    if (isnan(r->attention_scale)) text_words(t, "-");
    else                           text_printf(t, "%.6g", (double)r->attention_scale);
    text_words(t, "</td></tr>\n");
}

static void put_empty_cells(text_buf *t, int n)
{
    for (int i = 0; i < n; i++) text_words(t, "<td>-</td>");
}

static void put_of_cell(text_buf *t, int64_t n, int64_t of, int64_t at_ties)
{
    text_words(t, "<td>");
    figure_put_count(t, n);
    text_words(t, " of ");
    figure_put_count(t, of);
    if (at_ties > 0) text_printf(t, "<br><small>%lld at ties</small>", (long long)at_ties);
    text_words(t, "</td>");
}

static void put_fixture_row(text_buf *t, const verify_report *r, const verify_fixture_result *f)
{
    char part[VERIFY_PART];
    begin_artifact_row(t, r, verify_fixture_verdict(f), verify_part_words(f, part));
    html_put_words_cell(t, f->name);
    text_printf(t, "<td class=\"l\">%s</td>", f->kind == CHECK_EXACT ? "exact" : "drift");
    if (f->ran) {
        put_of_cell(t, f->free_run_equal, f->cases, f->free_run_ties);
        put_of_cell(t, f->teacher_forced_equal, f->steps, f->ties_differing);
        html_put_figure_cell(t, f->kl_mean, false);
        html_put_figure_cell(t, f->kl_limit, false);
        html_put_figure_cell(t, f->kl_max, false);
    } else put_empty_cells(t, 5);
    end_artifact_row(t, r);
}

void report_put_artifacts(report_page *g)
{
    static const char *const names[] = {
        "<artifact", "<verdict", "<fixture", "<check", "free run equal", "best id equal", "mean KL", "its limit",
        "largest KL", "<type", "size", "<KV cache", "attention scale", NULL };
    text_buf *t = &g->t;
    text_words(t, "<h2>Artifacts</h2>\n");
    html_begin_table(t, "Each artifact against each fixture", names);
    for (int i = 0; i < g->n; i++) {
        const verify_report *r = g->r[i];
        if (r->n_fixtures == 0) {
            begin_artifact_row(t, r, verify_verdict(r), "");
            put_empty_cells(t, 7);
            end_artifact_row(t, r);
        }
        for (int64_t k = 0; k < r->n_fixtures; k++) put_fixture_row(t, r, &r->fixtures[k]);
    }
    html_end_table(t);
    text_words(t, "<p><small>A case is a prompt that Transformers continued. Free run: cases whose greedy continuation "
                  "is the same. Best id: steps at which, given Transformers' own text, the best id is the same. KL: "
                  "the distance between the two distributions, in nats.</small></p>\n");
    report_put_limits(g);
}

// ---- one artifact ---------------------------------------------------------------------------------------------------

static void put_fact(text_buf *t, const char *name, const char *value)
{
    if (!value[0]) return;
    text_printf(t, "<dt>%s</dt><dd>", name);
    text_puts(t, TEXT_XML, value);
    text_words(t, "</dd>\n");
}

static void put_digest(text_buf *t, const char *name, const char *hex)
{
    if (!hex[0]) return;
    text_printf(t, "<dt>%s</dt><dd class=\"digest\"><code>", name);
    text_puts(t, TEXT_XML, hex);
    text_words(t, "</code></dd>\n");
}

static void put_facts(text_buf *t, const verify_report *r)
{
    text_words(t, "<dl>\n");
    put_fact(t, "arithmetic", r->arith);
    put_fact(t, "KV cache required", r->kv_required);
    put_fact(t, "device", r->device);
    put_fact(t, "processor", r->processor);
    put_fact(t, "server, by API", r->remote.api);
    put_fact(t, "server, by its own words", r->remote.server);
    put_fact(t, "model, by its own words", r->remote.model);
    put_fact(t, "gate", r->judged_by.name[0] ? r->judged_by.name : r->gate);
    put_digest(t, "its SHA-256", r->judged_by.sha256);
    put_digest(t, "SHA-256 of the file", r->file_sha256);
    put_fact(t, "source", r->source.repository);
    put_digest(t, "commit of the source", r->source.revision);
    put_digest(t, "digest of the source", r->source.digest);
    put_fact(t, "hallmark", r->program.version);
    put_digest(t, "commit of hallmark", r->program.commit);
    text_words(t, "</dl>\n");
}

static void put_notes(text_buf *t, const verify_report *r)
{
    if (r->n_notes == 0) return;
    text_words(t, "<h3>Notes</h3>\n<ul class=\"what\">\n");
    for (int64_t i = 0; i < r->n_notes; i++) {
        text_words(t, "<li>");
        text_puts(t, TEXT_XML, r->notes[i]);
        text_words(t, "</li>\n");
    }
    text_words(t, "</ul>\n");
}

static void put_failures(text_buf *t, const verify_fixture_result *f)
{
    for (int64_t i = 0; i < f->n_failures; i++) {
        text_printf(t, "<li class=\"broke\"><b>%s</b>: ", f->failures[i].what);
        text_puts(t, TEXT_XML, f->failures[i].text);
        text_words(t, "</li>\n");
    }
    for (int64_t i = 0; i < f->n_why; i++) {
        text_printf(t, "<li><b>%s</b>: ", f->why[i].what);
        text_puts(t, TEXT_XML, f->why[i].text);
        text_words(t, "</li>\n");
    }
    if (f->failures_total > f->n_failures)
        text_printf(t, "<li>... and %lld more</li>\n", (long long)(f->failures_total - f->n_failures));
}

static void put_what_speaks_against(text_buf *t, const verify_report *r)
{
    int64_t n = r->derivation.made && !r->derivation.passed;
    for (int64_t i = 0; i < r->n_fixtures; i++) n += r->fixtures[i].failures_total + r->fixtures[i].n_why;
    if (n == 0) return;
    text_words(t, "<h3>What does not hold, or cannot be decided</h3>\n");
    if (r->derivation.made && !r->derivation.passed) {
        text_words(t, "<ul class=\"what\"><li class=\"broke\"><b>derivation</b>: ");
        text_puts(t, TEXT_XML, r->derivation.reason);
        text_words(t, "</li></ul>\n");
    }
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        const verify_fixture_result *f = &r->fixtures[i];
        if (f->failures_total + f->n_why == 0) continue;
        text_words(t, "<p>Against ");
        text_puts(t, TEXT_XML, f->name);
        text_words(t, ":</p>\n<ul class=\"what\">\n");
        put_failures(t, f);
        text_words(t, "</ul>\n");
    }
}

static void put_look(text_buf *t, const look *row)
{
    text_words(t, "<tr>");
    html_put_words_cell(t, row->against[0] ? row->against : "-");
    text_printf(t, "<th scope=\"row\">%s</th>", row->title);
    html_put_words_cell(t, row->case_id[0] ? row->case_id : "-");
    put_state_cell(t, look_word(row->state), "");
    text_words(t, "<td class=\"l said\">");
    text_puts(t, TEXT_XML, row->text);
    text_words(t, "</td></tr>\n");
}

static void put_looks(text_buf *t, const verify_report *r)
{
    static const char *const names[] = { "<against", "<what", "<case", "<outcome", "<found", NULL };
    looks   l = { 0 };
    int64_t held = 0;
    looks_add_artifact(&l, r);
    for (int64_t i = 0; i < r->n_fixtures; i++) looks_add_fixture(&l, r, &r->fixtures[i]);
    t->failed |= l.failed;
    for (int64_t i = 0; i < l.n; i++) held += l.v[i].state == LOOK_HELD;
    text_printf(t, "<h3>What was looked at</h3>\n<p>%lld of %lld hold.</p>\n", (long long)held, (long long)l.n);
    html_begin_details(t, "Each of them");
    html_begin_table(t, "What was looked at, in this order", names);
    for (int64_t i = 0; i < l.n; i++) put_look(t, &l.v[i]);
    html_end_table(t);
    html_end_details(t);
    looks_free(&l);
}

static void put_reference(text_buf *t, const verify_fixture_result *f)
{
    const verify_reference *x = &f->reference;
    text_words(t, "<dl>\n");
    put_fact(t, "model", x->model);
    put_digest(t, "its commit", x->revision);
    put_fact(t, "computed in", f->dtype);
    put_fact(t, "Transformers", x->transformers);
    put_fact(t, "torch", x->torch);
    put_fact(t, "on", x->device);
    put_fact(t, "attention", x->attention);
    put_fact(t, "experts", x->experts);
    put_fact(t, "linear attention", x->linear_attention);
    put_digest(t, "digest of the prompts", x->prompts);
    put_digest(t, "SHA-256", f->file_digest);
    text_words(t, "</dl>\n");
}

static void put_fixture(report_page *g, const verify_fixture_result *f)
{
    text_words(&g->t, "<h3>Fixture ");
    text_puts(&g->t, TEXT_XML, f->name);
    text_words(&g->t, "</h3>\n");
    put_reference(&g->t, f);
    if (!f->ran || f->n_traced == 0) return;
    report_put_heat(g, f);
    report_put_margins(g, f);
    report_put_layers(g, f);
}

void report_put_each(report_page *g)
{
    for (int i = 0; i < g->n; i++) {
        const verify_report *r = g->r[i];
        text_words(&g->t, "<h2>");
        text_puts(&g->t, TEXT_XML, r->artifact);
        text_printf(&g->t, ": %s</h2>\n", verify_verdict(r));
        put_facts(&g->t, r);
        put_what_speaks_against(&g->t, r);
        put_looks(&g->t, r);
        put_notes(&g->t, r);
        for (int64_t k = 0; k < r->n_fixtures; k++) put_fixture(g, &r->fixtures[k]);
    }
}

// ---- the page -------------------------------------------------------------------------------------------------------

void report_put_named(text_buf *t, const verify_report *r, const verify_fixture_result *f)
{
    text_puts(t, TEXT_XML, r->artifact);
    text_words(t, ", ");
    text_puts(t, TEXT_XML, f->name);
}

static void put_title(text_buf *t, const verify_report *const *r, int n, const char *verdict)
{
    if (n == 1) text_puts(t, TEXT_XML, r[0]->artifact);
    else        figure_put_number_of(t, n, "artifact", "artifacts");
    text_printf(t, ": %s", verdict);
}

char *verify_report_html(const verify_report *const *r, int n)
{
    report_page g = { .r = r, .n = n };
    const char *verdict = n > 0 ? "pass" : "unverified";
    for (int i = 0; i < n; i++) verdict = verify_worse(verdict, verify_verdict(r[i]));
    html_begin(&g.t);
    put_title(&g.t, r, n, verdict);
    html_begin_body(&g.t, REPORT_CSS);
    text_words(&g.t, "<h1>");
    put_title(&g.t, r, n, verdict);
    text_words(&g.t, "</h1>\n");
    report_put_verdict(&g.t, verdict);
    report_put_artifacts(&g);
    report_put_each(&g);
    html_end(&g.t);
    return text_take(&g.t);
}
