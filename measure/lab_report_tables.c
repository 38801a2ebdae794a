// Parts of the laboratory's HTML report: weights and caches together, each layer alone, the worst places as text.
#include "lab_html.h"
#include <stdlib.h>
#include <string.h>

// ---- weights and caches ---------------------------------------------------------------------------------------------

// Is it the first compound of its cache (or, by_file, of its file)? Columns (and rows) are those.
static bool is_first(const lab_page *g, int at, bool by_file)
{
    const lab_candidate *c = g->p->candidates;
    const int both = g->r->compounds[at].both;
    for (int i = 0; i < at; i++) {
        const int other = g->r->compounds[i].both;
        if (by_file ? c[other].artifact == c[both].artifact : strcmp(c[other].kv, c[both].kv) == 0) return false;
    }
    return true;
}

// The compound of the file of one and the cache of another; NULL: not measured.
static const lab_compound *compound_of(const lab_page *g, int file, int cache)
{
    const lab_candidate *c = g->p->candidates;
    const lab_candidate *f = &c[g->r->compounds[file].both], *k = &c[g->r->compounds[cache].both];
    for (int i = 0; i < g->r->n_compounds; i++) {
        const lab_candidate *both = &c[g->r->compounds[i].both];
        if (both->artifact == f->artifact && strcmp(both->kv, k->kv) == 0) return &g->r->compounds[i];
    }
    return NULL;
}

static double kl_of(const lab_page *g, int candidate) { return g->r->measured[candidate].all.kl_mean.v; }

static void put_compound_cell(lab_page *g, const lab_compound *x)
{
    text_words(&g->t, "<td>");
    if (x) {
        figure_put_kl(&g->t, kl_of(g, x->both));
        text_words(&g->t, "<br>share ");
        figure_put_kl(&g->t, x->share.v);
        if (lab_has_interval(&x->share)) {
            text_words(&g->t, "<br><small>");
            lab_put_interval(&g->t, &x->share, false);
            text_printf(&g->t, "</small><br>%s", lab_compound_verdict(x));
        }
    }
    text_words(&g->t, x ? "</td>" : "-</td>");
}

static void put_compound_row(lab_page *g, int file)
{
    const lab_compound *x = &g->r->compounds[file];
    text_words(&g->t, "<tr>");
    lab_put_name_header(g, g->p->candidates[x->both].artifact, "");
    html_put_figure_cell(&g->t, kl_of(g, x->weights), false);
    for (int i = 0; i < g->r->n_compounds; i++)
        if (is_first(g, i, false)) put_compound_cell(g, compound_of(g, file, i));
    text_words(&g->t, "</tr>\n");
}

static void put_compound_head(lab_page *g)
{
    static const char *const names[] = { "<file", "weights alone", NULL };
    lab_begin_head(g, "Mean KL of each file with each cache", names);
    for (int i = 0; i < g->r->n_compounds; i++) {
        if (!is_first(g, i, false)) continue;
        text_words(&g->t, "<th scope=\"col\">");
        lab_put_cache(&g->t, TEXT_XML, g->p->candidates[g->r->compounds[i].both].kv);
        text_words(&g->t, "</th>");
    }
    html_end_columns(&g->t);
}

void lab_put_compounds(lab_page *g)
{
    if (g->r->n_compounds == 0) return;
    text_words(&g->t, "<h2>Weights and cache together</h2>\n<p>The share is KL of both, divided by the sum of the KL "
                      "of the weights alone and that of the cache alone: 1 where the two losses add up, above 1 where "
                      "they compound, below 1 where they overlap. The words are said where the interval allows "
                      "them.</p>\n");
    put_compound_head(g);
    text_words(&g->t, "<tr>");
    lab_put_name_header(g, 0, ", cache alone");
    text_words(&g->t, "<td>0</td>");
    for (int i = 0; i < g->r->n_compounds; i++)
        if (is_first(g, i, false)) html_put_figure_cell(&g->t, kl_of(g, g->r->compounds[i].cache), false);
    text_words(&g->t, "</tr>\n");
    for (int i = 0; i < g->r->n_compounds; i++)
        if (is_first(g, i, true)) put_compound_row(g, i);
    html_end_table(&g->t);
}

// ---- one layer alone ------------------------------------------------------------------------------------------------

static void put_layer_row(lab_page *g, int place)
{
    const lab_candidate *c  = lab_page_candidate(g, place);
    const char          *kv = strchr(c->kv, ':') + 1;
    const lab_figures   *f  = &lab_page_measured(g, place)->all;
    text_printf(&g->t, "<tr><th scope=\"row\">%d, %s</th><td class=\"l\"><code>", c->layer,
                c->values ? "values" : "keys");
    text_put(&g->t, TEXT_XML, kv, strcspn(kv, ";"));
    text_words(&g->t, "</code></td>");
    lab_put_file_cell(g, c);
    lab_put_bytes_cells(g, c);
    lab_put_interval_cells(&g->t, &f->kl_mean, false);
    html_put_figure_cell(&g->t, f->kl_p99.v, false);
    html_put_figure_cell(&g->t, f->top1.v, true);
    text_words(&g->t, "</tr>\n");
}

// Places of caches of one layer alone, those that lose most first. Returns how many; layers: [n_candidates].
static int by_loss(const lab_page *g, int *layers)
{
    int n = 0;
    for (int i = 0; i < g->p->n_candidates; i++) {
        if (lab_page_candidate(g, i)->layer < 0) continue;
        int at = n++;
        const double kl = lab_page_measured(g, i)->all.kl_mean.v;
        for (; at > 0 && lab_page_measured(g, layers[at - 1])->all.kl_mean.v < kl; at--) layers[at] = layers[at - 1];
        layers[at] = i;
    }
    return n;
}

void lab_put_layers(lab_page *g)
{
    static const char *const names[] = { "layer", "<its cache", "?file", "bytes a position", "of the base's", "mean KL",
                                         "95 %", "p99", "top-1", NULL };
    int *layers = malloc(((size_t)g->p->n_candidates + 1) * sizeof *layers);
    const int n = layers ? by_loss(g, layers) : 0;
    if (!layers) g->t.failed = true;
    if (n > 0) {
        text_words(&g->t, "<h2>Each layer alone</h2>\n");
        lab_begin_table(g, "Caches that differ in one layer, those that lose most first", names);
        for (int i = 0; i < n; i++) put_layer_row(g, layers[i]);
        html_end_table(&g->t);
    }
    free(layers);
}

// ---- places ---------------------------------------------------------------------------------------------------------

static void put_piece(text_buf *t, const char *s)
{
    if (!s || !*s) {
        text_words(t, "(nothing)");
        return;
    }
    text_words(t, "<code><bdi>");
    text_puts(t, TEXT_XML, s);
    text_words(t, "</bdi></code>");
}

static void put_place(text_buf *t, const lab_worst *w)
{
    text_printf(t, "<li><p class=\"at\">chunk %lld, position %lld: KL ", (long long)w->chunk,
                (long long)w->place->position);
    figure_put_kl(t, w->kl);
    text_words(t, "; best of the base: ");
    put_piece(t, w->place->base_best);
    text_words(t, ", of the candidate: ");
    put_piece(t, w->place->best);
    text_words(t, "</p><p class=\"said\" dir=\"auto\">");
    text_puts(t, TEXT_XML, w->place->before);
    text_words(t, "<mark><span class=\"sr\"> [what follows:</span>");
    text_puts(t, TEXT_XML, w->place->next);
    text_words(t, "<span class=\"sr\">] </span></mark>");
    text_puts(t, TEXT_XML, w->place->after);
    text_words(t, "</p></li>\n");
}

static void put_places_of(lab_page *g, int place)
{
    const lab_measured *m = lab_page_measured(g, place);
    if (!lab_has_places(m)) return;
    text_printf(&g->t, "<details><summary>%d ", place + 1);
    lab_put_cache(&g->t, TEXT_XML, lab_page_candidate(g, place)->kv);
    if (g->several) text_words(&g->t, ", ");
    if (g->several) lab_put_file(&g->t, TEXT_XML, g->p, lab_page_candidate(g, place)->artifact);
    text_words(&g->t, ": largest KL ");
    figure_put_kl(&g->t, m->all.kl_max.v);
    text_words(&g->t, "</summary>\n");
    for (int i = 0; i < m->n_categories; i++) {
        if (m->categories[i].n_worst == 0) continue;
        text_words(&g->t, "<h3>");
        text_puts(&g->t, TEXT_XML, m->categories[i].category);
        text_words(&g->t, "</h3>\n<ol class=\"places\">\n");
        for (int k = 0; k < m->categories[i].n_worst; k++) put_place(&g->t, &m->categories[i].worst[k]);
        text_words(&g->t, "</ol>\n");
    }
    html_end_details(&g->t);
}

void lab_put_places(lab_page *g)
{
    text_words(&g->t, "<h2>The worst places</h2>\n<p>Where the distributions are farthest apart, in each category. The "
                      "token that follows in the text is marked.</p>\n");
    if (!lab_any_places(g->r)) text_words(&g->t, "<p>At no position does a candidate differ from the base.</p>\n");
    for (int i = 0; i < g->p->n_candidates; i++) put_places_of(g, i);
}
