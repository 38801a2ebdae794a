// The small plots of the laboratory's HTML report: one for each category, one for each candidate along the position.
// Their tables stand behind them, in lab_report_html.c.
#include "lab_html.h"
#include <math.h>

// ---- categories -----------------------------------------------------------------------------------------------------

enum { ROW = 19 };
static const double NAMES = 0.46, TRACK = 0.49;     // shares of a small plot's width: names of rows, then their marks

// Categories are the same, and in the same order, for every candidate.
static const lab_category *category_of(const lab_page *g, int place, int category)
{
    const lab_measured *m = lab_page_measured(g, place);
    return category < m->n_categories ? &m->categories[category] : NULL;
}

static int n_categories(const lab_page *g)
{
    return g->n_drawn > 0 ? lab_page_measured(g, g->drawn[0])->n_categories : 0;
}

static double across(const plot_axis *a, double v) { return NAMES + TRACK * plot_axis_at(a, v); }

static void put_category_axis(lab_page *g, const plot_axis *a, double bottom)
{
    double at[PLOT_TICKS + 1];
    const int n = plot_axis_lines(a, 4, at);
    for (int i = 0; i < n; i++) {
        const double x = across(a, at[i]);
        html_put_line(&g->t, at[i] > 0 ? "grid" : "zero", x, 2, x, bottom);
        if (at[i] > 0 && a->zero && plot_axis_at(a, at[i]) < 0.25) continue;       // there the 0 has its label
        text_printf(&g->t, "<text class=\"mid\" y=\"%.0f\"", bottom + 15);
        html_put_at(&g->t, "x", x);
        text_words(&g->t, ">");
        figure_put_tick(&g->t, at[i]);
        text_words(&g->t, "</text>");
    }
}

static void put_category_row(lab_page *g, const plot_axis *a, int place, const lab_figures *f, double y)
{
    text_printf(&g->t, "<text class=\"no end\" x=\"18\" y=\"%.1f\">%d</text>", y + 4, place + 1);
    text_printf(&g->t, "<text x=\"24\" y=\"%.1f\">", y + 4);
    html_put_short(&g->t, lab_page_candidate(g, place)->kv, 18);
    text_words(&g->t, "</text>");
    if (!isfinite(f->kl_mean.v)) return;
    if (f->kl_mean.high > 0) html_put_line(&g->t, "range", across(a, f->kl_mean.low), y, across(a, f->kl_mean.high), y);
    html_begin_at(&g->t, across(a, f->kl_mean.v), y);
    text_words(&g->t, "<g>");
    lab_put_hint(g, place, f);
    plot_put_mark(&g->t, lab_page_candidate(g, place)->artifact, g->front[g->order[place]]);
    text_words(&g->t, "</g></svg>");
}

static void put_category_plot(lab_page *g, const plot_axis *a, int category)
{
    const char  *name   = category_of(g, g->drawn[0], category)->category;
    const double bottom = ROW * g->n_drawn + 4;
    text_words(&g->t, "<figure><figcaption>");
    text_puts(&g->t, TEXT_XML, name);
    text_words(&g->t, "</figcaption>");
    html_begin_plot(&g->t, ++g->n_plots, bottom + 20);
    text_words(&g->t, "Mean KL of each candidate in ");
    text_puts(&g->t, TEXT_XML, name);
    html_begin_description(&g->t, g->n_plots);
    for (int i = 0; i < g->n_drawn; i++) {
        const lab_category *c = category_of(g, g->drawn[i], category);
        text_words(&g->t, i > 0 ? "; " : "");
        lab_put_named(g, g->drawn[i]);
        text_words(&g->t, ": ");
        figure_put_kl(&g->t, c ? c->f.kl_mean.v : NAN);
    }
    text_words(&g->t, ".</desc>");
    put_category_axis(g, a, bottom);
    for (int i = 0; i < g->n_drawn; i++) {
        const lab_category *c = category_of(g, g->drawn[i], category);
        if (c) put_category_row(g, a, g->drawn[i], &c->f, ROW * (i + 0.5) + 2);
    }
    text_words(&g->t, "</svg></figure>\n");
}

void lab_put_category_plots(lab_page *g)
{
    plot_axis a = { 0 };
    for (int i = 0; i < g->n_drawn; i++)
        for (int k = 0; k < n_categories(g); k++) {
            const lab_category *c = category_of(g, g->drawn[i], k);
            if (c) lab_axis_take_figure(&a, &c->f.kl_mean);
        }
    if (!a.any) {
        text_words(&g->t, "<p>Every KL is 0 in every category.</p>\n");
        return;
    }
    plot_axis_decades(&a);
    text_words(&g->t, "<p class=\"axis\">mean KL in nats, logarithmic; lines: 95 %</p>\n<div class=\"many\">\n");
    for (int k = 0; k < n_categories(g); k++) put_category_plot(g, &a, k);
    text_words(&g->t, "</div>\n");
}

// ---- positions ------------------------------------------------------------------------------------------------------

enum { BAND_TOP = 8, BAND_BOTTOM = 92 };

static double band_x(const lab_measured *m, int band) { return (band + 0.5) / m->n_bands; }

static double band_y(const plot_axis *a, double v) { return html_up(a, v, BAND_TOP, BAND_BOTTOM); }

static void put_band(lab_page *g, const plot_axis *a, int place, int band)
{
    const lab_measured *m  = lab_page_measured(g, place);
    const lab_figure   *kl = &m->bands[band].f.kl_mean;
    const double x = band_x(m, band), y = band_y(a, kl->v);
    if (!isfinite(kl->v)) return;
    if (kl->high > 0) html_put_line(&g->t, "range", x, band_y(a, kl->low), x, band_y(a, kl->high));
    if (band > 0)
        html_put_line(&g->t, "path", band_x(m, band - 1), band_y(a, m->bands[band - 1].f.kl_mean.v), x, y);
    html_begin_at(&g->t, x, y);
    text_printf(&g->t, "<path class=\"m on\" d=\"M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z\">"
                       "<title>positions %lld to %lld: KL ",
                (long long)m->bands[band].from, (long long)m->bands[band].to - 1);
    figure_put_kl(&g->t, kl->v);
    text_words(&g->t, "</title></path></svg>");
}

static void describe_bands(lab_page *g, int place)
{
    const lab_measured *m = lab_page_measured(g, place);
    text_words(&g->t, "KL along the position of ");
    lab_put_named(g, place);
    html_begin_description(&g->t, g->n_plots);
    for (int i = 0; i < m->n_bands; i++) {
        text_printf(&g->t, "%spositions %lld to %lld: ", i > 0 ? "; " : "", (long long)m->bands[i].from,
                    (long long)m->bands[i].to - 1);
        figure_put_kl(&g->t, m->bands[i].f.kl_mean.v);
    }
    text_words(&g->t, ".</desc>");
}

static void put_band_ends(lab_page *g, const lab_measured *m)
{
    if (m->n_bands == 0) return;
    text_printf(&g->t, "<text x=\"0\" y=\"%d\">", BAND_BOTTOM + 17);
    figure_put_count(&g->t, m->bands[0].from);
    text_printf(&g->t, "</text><text class=\"end\" x=\"100%%\" y=\"%d\">", BAND_BOTTOM + 17);
    figure_put_count(&g->t, m->bands[m->n_bands - 1].to - 1);
    text_words(&g->t, "</text>");
}

static void put_position_plot(lab_page *g, const plot_axis *a, int place)
{
    const lab_measured *m = lab_page_measured(g, place);
    text_printf(&g->t, "<figure><figcaption>%d <code>", place + 1);
    html_put_short(&g->t, lab_page_candidate(g, place)->kv, 24);
    text_words(&g->t, "</code>");
    if (g->several) {
        text_words(&g->t, "<br><small>");
        text_puts(&g->t, TEXT_XML, g->p->artifacts[lab_page_candidate(g, place)->artifact].type);
        text_words(&g->t, "</small>");
    }
    text_words(&g->t, "</figcaption><div class=\"plot\">");
    html_begin_plot(&g->t, ++g->n_plots, BAND_BOTTOM + 22);
    describe_bands(g, place);
    html_put_y_axis(&g->t, a, 4, BAND_TOP, BAND_BOTTOM);
    for (int i = 0; i < m->n_bands; i++) put_band(g, a, place, i);
    put_band_ends(g, m);
    text_words(&g->t, "</svg></div></figure>\n");
}

static plot_axis axis_of_bands(const lab_measured *m)
{
    plot_axis a = { 0 };
    for (int i = 0; i < m->n_bands; i++) lab_axis_take_figure(&a, &m->bands[i].f.kl_mean);
    return a;
}

// Each has an axis of its own, so that what moves is seen; all have one span, so that it can be compared.
void lab_put_position_plots(lab_page *g)
{
    double decades = 0.7;
    bool   any = false;
    for (int i = 0; i < g->n_drawn; i++) {
        const plot_axis a = axis_of_bands(lab_page_measured(g, g->drawn[i]));
        if (a.any && a.hi - a.lo > decades) decades = a.hi - a.lo;
        any |= a.any;
    }
    if (!any) {
        text_words(&g->t, "<p>Every KL is 0 in every band.</p>\n");
        return;
    }
    text_printf(&g->t, "<p class=\"axis\">mean KL in nats against the position in the chunk, in bands; lines up and "
                       "down: 95 %%. Each axis is logarithmic and spans a factor of %.2g: slopes can be compared, "
                       "heights are on the axes.</p>\n<div class=\"many small\">\n", pow(10, 1.1 * decades));
    for (int i = 0; i < g->n_drawn; i++) {
        plot_axis a = axis_of_bands(lab_page_measured(g, g->drawn[i]));
        plot_axis_widen(&a, 1.1 * decades);
        put_position_plot(g, &a, g->drawn[i]);
    }
    text_words(&g->t, "</div>\n");
}
