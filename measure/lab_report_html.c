// The laboratory's report as HTML: the page, its sentences, the tables of figures. Plots are in
// lab_report_plots.c and lab_report_small.c, other tables in lab_report_tables.c.
#include "lab_html.h"
#include <stdlib.h>

// ---- tables ---------------------------------------------------------------------------------------------------------

void lab_begin_head(lab_page *g, const char *caption, const char *const *names)
{
    html_begin_columns(&g->t, caption);
    for (int i = 0; names[i]; i++) {
        if (names[i][0] != '?') html_put_column(&g->t, names[i]);
        else if (g->several)    html_put_column(&g->t, "<file");
    }
}

void lab_begin_table(lab_page *g, const char *caption, const char *const *names)
{
    lab_begin_head(g, caption, names);
    html_end_columns(&g->t);
}

// A figure and, in the next cell, its interval.
void lab_put_interval_cells(text_buf *t, const lab_figure *f, bool share)
{
    html_put_figure_cell(t, f->v, share);
    text_words(t, "<td>");
    lab_put_interval(t, f, share);
    text_words(t, "</td>");
}

void lab_put_file_cell(lab_page *g, const lab_candidate *c)
{
    if (!g->several) return;
    text_words(&g->t, "<td class=\"l\">");
    lab_put_file(&g->t, TEXT_XML, g->p, c->artifact);
    text_words(&g->t, "</td>");
}

void lab_put_name_header(lab_page *g, int artifact, const char *more)
{
    text_words(&g->t, "<th scope=\"row\"><span>");
    lab_put_file(&g->t, TEXT_XML, g->p, artifact);
    text_printf(&g->t, "%s</span></th>", more);
}

// Number, cache as the row's header, file.
static void put_candidate_cells(lab_page *g, int place)
{
    const lab_candidate *c = lab_page_candidate(g, place);
    text_printf(&g->t, "<tr><td>%d</td><th scope=\"row\">", place + 1);
    lab_put_cache(&g->t, TEXT_XML, c->kv);
    text_words(&g->t, "</th>");
    lab_put_file_cell(g, c);
}

// ---- candidates -----------------------------------------------------------------------------------------------------

void lab_put_bytes_cells(lab_page *g, const lab_candidate *c)
{
    const double base = (double)g->p->base_context_bytes;
    text_words(&g->t, "<td>");
    figure_put_bytes(&g->t, lab_each_bytes(g->p, c->context_bytes));
    text_words(&g->t, "</td><td>");
    if (base > 0) text_printf(&g->t, "%.1f %%", 100 * (double)c->context_bytes / base);
    else          text_words(&g->t, "-");
    text_words(&g->t, "</td>");
}

static void put_main_row(lab_page *g, int place)
{
    const lab_candidate *c = lab_page_candidate(g, place);
    const lab_figures   *f = &lab_page_measured(g, place)->all;
    text_buf            *t = &g->t;
    put_candidate_cells(g, place);
    lab_put_bytes_cells(g, c);
    lab_put_interval_cells(t, &f->kl_mean, false);
    html_put_figure_cell(t, f->kl_median.v, false);
    html_put_figure_cell(t, f->kl_p90.v, false);
    html_put_figure_cell(t, f->kl_p99.v, false);
    html_put_figure_cell(t, f->kl_p999.v, false);
    html_put_figure_cell(t, f->kl_max.v, false);
    lab_put_interval_cells(t, &f->top1, true);
    html_put_figure_cell(t, f->top5.v, true);
    html_put_figure_cell(t, f->change_mean.v, false);
    html_put_figure_cell(t, f->change_rms.v, false);
    html_put_figure_cell(t, f->change_p99.v, false);
    text_printf(t, "<td>%.5g</td><td class=\"l\">%s</td>", f->nll, g->front[g->order[place]] ? "yes" : "no");
    html_put_words_cell(t, c->llama ? c->llama : "-");
    text_words(t, "</tr>\n");
}

static void put_candidates(lab_page *g)
{
    static const char *const names[] = {
        "no.", "<cache", "?file", "bytes a position", "of the base's", "mean KL", "95 %", "median", "p90", "p99",
        "p99.9", "largest", "top-1", "95 %", "top-5", "change, mean", "rms", "p99", "NLL", "<on the front",
        "<llama.cpp", NULL };
    text_words(&g->t, "<h2>What each costs</h2>\n");
    if (g->n_drawn > 0) {
        text_words(&g->t, "<p>Each point is a cache, its number that of the table below. Filled points are on the "
                          "front of their file, which the line shows: no other cache is as small and loses as "
                          "little.</p>\n");
        lab_put_bytes_plot(g);
    }
    lab_begin_table(g, "All candidates, from the smallest cache to the largest", names);
    for (int i = 0; i < g->p->n_candidates; i++) put_main_row(g, i);
    html_end_table(&g->t);
}

// What a category and a band show alike; the row's end.
static void put_part(text_buf *t, const lab_figures *f)
{
    html_put_count_cell(t, f->tokens);
    lab_put_interval_cells(t, &f->kl_mean, false);
    html_put_figure_cell(t, f->kl_median.v, false);
    html_put_figure_cell(t, f->kl_p99.v, false);
    html_put_figure_cell(t, f->kl_max.v, false);
    lab_put_interval_cells(t, &f->top1, true);
    html_put_figure_cell(t, f->top5.v, true);
    text_words(t, "</tr>\n");
}

static void put_categories(lab_page *g)
{
    static const char *const names[] = { "no.", "<cache", "?file", "<category", "positions", "mean KL", "95 %",
                                         "median", "p99", "largest", "top-1", "95 %", "top-5", NULL };
    text_words(&g->t, "<h2>By category</h2>\n");
    if (g->n_drawn > 0) lab_put_category_plots(g);
    html_begin_details(&g->t, "The categories as a table");
    lab_begin_table(g, "Each candidate in each category", names);
    for (int i = 0; i < g->p->n_candidates; i++) {
        const lab_measured *m = lab_page_measured(g, i);
        for (int k = 0; k < m->n_categories; k++) {
            put_candidate_cells(g, i);
            html_put_words_cell(&g->t, m->categories[k].category);
            put_part(&g->t, &m->categories[k].f);
        }
    }
    html_end_table(&g->t);
    html_end_details(&g->t);
}

static void put_positions(lab_page *g)
{
    static const char *const names[] = { "no.", "<cache", "?file", "in the chunk", "positions", "mean KL", "95 %",
                                         "median", "p99", "largest", "top-1", "95 %", "top-5", NULL };
    text_words(&g->t, "<h2>Along the position</h2>\n");
    if (g->n_drawn > 0) lab_put_position_plots(g);
    html_begin_details(&g->t, "The positions as a table");
    lab_begin_table(g, "Each candidate in each band of positions", names);
    for (int i = 0; i < g->p->n_candidates; i++) {
        const lab_measured *m = lab_page_measured(g, i);
        for (int k = 0; k < m->n_bands; k++) {
            put_candidate_cells(g, i);
            text_words(&g->t, "<td>");
            figure_put_count(&g->t, m->bands[k].from);
            text_words(&g->t, " to ");
            figure_put_count(&g->t, m->bands[k].to - 1);
            text_words(&g->t, "</td>");
            put_part(&g->t, &m->bands[k].f);
        }
    }
    html_end_table(&g->t);
    html_end_details(&g->t);
}

// ---- how it was measured --------------------------------------------------------------------------------------------

static void put_digest(text_buf *t, const char *digest)
{
    text_words(t, "<td class=\"l digest\"><code>");
    text_puts(t, TEXT_XML, digest);
    text_words(t, "</code></td></tr>\n");
}

static void put_files(lab_page *g)
{
    static const char *const names[] = { "<file", "<weights", "<SHA-256 of tensors and metadata", NULL };
    lab_begin_table(g, "Files; the first is the base", names);
    for (int i = 0; i < g->p->n_artifacts; i++) {
        text_words(&g->t, "<tr>");
        lab_put_name_header(g, i, "");
        html_put_words_cell(&g->t, g->p->artifacts[i].type);
        put_digest(&g->t, g->p->artifacts[i].digest);
    }
    html_end_table(&g->t);
}

static void put_texts(lab_page *g)
{
    static const char *const names[] = { "<text", "<category", "tokens", "chunks of it", "<SHA-256", NULL };
    lab_begin_table(g, "Texts", names);
    for (int i = 0; i < g->p->n_texts; i++) {
        const lab_text *x = &g->p->texts[i];
        text_words(&g->t, "<tr><th scope=\"row\"><span>");
        text_puts(&g->t, TEXT_XML, x->name);
        text_words(&g->t, "</span></th>");
        html_put_words_cell(&g->t, x->category);
        html_put_count_cell(&g->t, x->tokens);
        html_put_count_cell(&g->t, x->chunks);
        put_digest(&g->t, x->sha256);
    }
    html_end_table(&g->t);
}

// ---- the page -------------------------------------------------------------------------------------------------------

static void put_head(lab_page *g)
{
    html_begin(&g->t);
    text_words(&g->t, "What a cache costs ");
    lab_put_file(&g->t, TEXT_XML, g->p, 0);
    html_begin_body(&g->t, "");
    text_words(&g->t, "<h1>What a cache costs ");
    lab_put_file(&g->t, TEXT_XML, g->p, 0);
    text_words(&g->t, "</h1>\n<p>");
    lab_put_measured(&g->t, TEXT_XML, g->r);
    text_words(&g->t, "</p>\n<p class=\"advice\">");
    lab_put_advice(&g->t, TEXT_XML, g->r);
    text_words(&g->t, "</p>\n");
}

static void put_page(lab_page *g)
{
    put_head(g);
    put_candidates(g);
    put_categories(g);
    put_positions(g);
    lab_put_compounds(g);
    lab_put_layers(g);
    lab_put_places(g);
    text_words(&g->t, "<h2>How it was measured</h2>\n<p>");
    lab_put_method(&g->t, g->r);
    text_words(&g->t, "</p>\n");
    put_files(g);
    put_texts(g);
    html_end(&g->t);
}

static void choose_drawn(lab_page *g)
{
    for (int i = 0; i < g->p->n_candidates; i++) {
        g->several |= lab_page_candidate(g, i)->artifact != lab_page_candidate(g, 0)->artifact;
        if (lab_page_candidate(g, i)->layer < 0) g->drawn[g->n_drawn++] = i;
    }
}

char *lab_report_html(const lab_result *r)
{
    lab_page g = { .r = r, .p = r->plan, .order = lab_by_bytes(r), .front = lab_front(r) };
    g.drawn = malloc(((size_t)r->plan->n_candidates + 1) * sizeof *g.drawn);
    if (g.order && g.front && g.drawn) {
        choose_drawn(&g);
        put_page(&g);
    } else g.t.failed = true;
    free(g.order);
    free(g.front);
    free(g.drawn);
    return text_take(&g.t);
}
