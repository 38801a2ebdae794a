// The large plot of the laboratory's HTML report, KL against bytes: one SVG with a title and a description; its table
// stands below it. What a point is, is said by shape, by number and in words, never by colour alone.
#include "lab_html.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 24 };          // above it the line of the base's own cache has its label

typedef struct {
    plot_axis   x, y;
    double     bottom;
    plot_label *labels;      // [n_drawn]
    plot_edge  *edges;       // of fronts, two a point at most, and of the base
    int       *edge_of;     // [..]: the file whose front an edge is of
    int        n_edges;
} bytes_plot;

// A model of windows alone may keep less than a byte for each of many positions.
static double drawn_bytes(const lab_page *g, int64_t context_bytes)
{
    return fmax(lab_each_bytes(g->p, context_bytes), 0.01);
}

static double bytes_of(const lab_page *g, int place)
{
    return drawn_bytes(g, lab_page_candidate(g, place)->context_bytes);
}

static double base_bytes(const lab_page *g) { return drawn_bytes(g, g->p->base_context_bytes); }

static void take_values(const lab_page *g, bytes_plot *b)
{
    plot_axis_take(&b->x, base_bytes(g));
    for (int i = 0; i < g->n_drawn; i++) {
        plot_axis_take(&b->x, bytes_of(g, g->drawn[i]));
        lab_axis_take_figure(&b->y, &lab_page_measured(g, g->drawn[i])->all.kl_mean);
    }
    plot_axis_margin(&b->x, 0.06);
    plot_axis_decades(&b->y);
}

static void set_labels(const lab_page *g, bytes_plot *b)
{
    for (int i = 0; i < g->n_drawn; i++) {
        char   number[16];
        size_t name = strlen(lab_page_candidate(g, g->drawn[i])->kv);
        snprintf(number, sizeof number, "%d", g->drawn[i] + 1);
        b->labels[i] = (plot_label){
            .x = plot_axis_at(&b->x, bytes_of(g, g->drawn[i])),
            .y = html_up(&b->y, lab_page_measured(g, g->drawn[i])->all.kl_mean.v, TOP, b->bottom),
            .width = 7.2 * (double)strlen(number) + 2, .name_width = name <= 28 ? 6.9 * (double)name + 8 : 0 };
    }
}

// The front of one file: no cache below a step is as small and loses as little.
static void add_front(const lab_page *g, bytes_plot *b, int artifact)
{
    const plot_label *last = NULL;
    for (int i = 0; i < g->n_drawn; i++) {
        const int place = g->drawn[i];
        if (!g->front[g->order[place]] || lab_page_candidate(g, place)->artifact != artifact) continue;
        const plot_label *to = &b->labels[i];
        for (int down = 0; last && down < 2; down++) {
            b->edge_of[b->n_edges] = artifact;
            b->edges[b->n_edges++] = down ? (plot_edge){ to->x, last->y, to->x, to->y }
                                          : (plot_edge){ last->x, last->y, to->x, last->y };
        }
        last = to;
    }
}

static void put_x_axis(lab_page *g, const bytes_plot *b)
{
    double ticks[PLOT_TICKS];
    const int n = plot_axis_ticks(&b->x, 5, ticks);
    for (int i = 0; i < n; i++) {
        const double x = plot_axis_at(&b->x, ticks[i]);
        html_put_line(&g->t, "grid", x, TOP, x, b->bottom);
        text_printf(&g->t, "<text y=\"%.1f\" class=\"mid\"", b->bottom + 18);
        html_put_at(&g->t, "x", x);
        text_words(&g->t, ">");
        figure_put_bytes(&g->t, ticks[i]);
        text_words(&g->t, "</text>");
    }
}

static void put_base_line(lab_page *g, const bytes_plot *b)
{
    const double x = plot_axis_at(&b->x, base_bytes(g));
    html_put_line(&g->t, "base", x, TOP - 6, x, b->bottom);
    text_printf(&g->t, "<text y=\"%d\" class=\"%s\"", TOP - 11, x > 0.5 ? "end" : "start");
    html_put_at(&g->t, "x", x);
    text_words(&g->t, ">the base's own: ");
    html_put_short(&g->t, g->p->base_kv, 12);
    text_words(&g->t, "</text>");
}

static void put_fronts(lab_page *g, const bytes_plot *b)
{
    for (int i = 0; i < b->n_edges; i++) {
        const plot_edge *x = &b->edges[i];
        char class[24];
        snprintf(class, sizeof class, "front f%d", b->edge_of[i] % 4);
        html_put_line(&g->t, class, x->x1, x->y1, x->x2, x->y2);
    }
}

static void put_label(lab_page *g, int place, const plot_label *l)
{
    text_buf *t = &g->t;
    if (hypot(l->dx, l->dy) > 24)       // far from its point: a line leads to it
        text_printf(t, "<line class=\"lead\" x1=\"0\" y1=\"0\" x2=\"%.1f\" y2=\"%.1f\"/>", 0.75 * l->dx, 0.75 * l->dy);
    text_printf(t, "<text class=\"no mid\" x=\"%.1f\" y=\"%.1f\">%d</text>", l->dx, l->dy + 4, place + 1);
    if (l->name == 0) return;
    text_printf(t, "<text class=\"wide-only %s\" x=\"%.1f\" y=\"%.1f\">", l->name > 0 ? "start" : "end",
                l->dx + l->name * (l->width / 2 + 3), l->dy + 4);
    text_puts(t, TEXT_XML, lab_page_candidate(g, place)->kv);
    text_words(t, "</text>");
}

static void put_point(lab_page *g, const bytes_plot *b, int i)
{
    const int place = g->drawn[i];
    const lab_figures *f = &lab_page_measured(g, place)->all;
    const plot_label   *l = &b->labels[i];
    if (!isfinite(f->kl_mean.v)) return;
    if (f->kl_mean.high > 0)
        html_put_line(&g->t, "range", l->x, html_up(&b->y, f->kl_mean.low, TOP, b->bottom), l->x,
                 html_up(&b->y, f->kl_mean.high, TOP, b->bottom));
    html_begin_at(&g->t, l->x, l->y);
    text_words(&g->t, "<g>");
    lab_put_hint(g, place, f);
    plot_put_mark(&g->t, lab_page_candidate(g, place)->artifact, g->front[g->order[place]]);
    put_label(g, place, l);
    text_words(&g->t, "</g></svg>");
}

static void describe_bytes_plot(lab_page *g)
{
    text_words(&g->t, "Mean KL against bytes for each position");
    html_begin_description(&g->t, g->n_plots);
    text_printf(&g->t, "%d points, both axes logarithmic. On the front, from the smallest cache on: ", g->n_drawn);
    for (int i = 0, n = 0; i < g->n_drawn; i++) {
        const int place = g->drawn[i];
        if (!g->front[g->order[place]]) continue;
        if (n++ > 0) text_words(&g->t, "; ");
        lab_put_named(g, place);
        text_words(&g->t, ", ");
        figure_put_bytes(&g->t, lab_each_bytes(g->p, lab_page_candidate(g, place)->context_bytes));
        text_words(&g->t, " bytes, KL ");
        figure_put_kl(&g->t, lab_page_measured(g, place)->all.kl_mean.v);
    }
    text_words(&g->t, ".</desc>");
}

static void put_shapes(lab_page *g)
{
    text_words(&g->t, "<ul class=\"shapes\">");
    for (int i = 0; i < g->p->n_artifacts; i++) {
        bool used = false;
        for (int k = 0; k < g->n_drawn && !used; k++) used = lab_page_candidate(g, g->drawn[k])->artifact == i;
        if (!used) continue;
        text_words(&g->t, "<li><svg width=\"14\" height=\"14\" viewBox=\"-7 -7 14 14\" aria-hidden=\"true\">");
        plot_put_mark(&g->t, i, true);
        text_printf(&g->t, "</svg> %s: ", plot_shape_name(i));
        lab_put_file(&g->t, TEXT_XML, g->p, i);
        text_words(&g->t, "</li>");
    }
    text_words(&g->t, "</ul>\n");
}

static void put_bytes_svg(lab_page *g, bytes_plot *b)
{
    const double x = plot_axis_at(&b->x, base_bytes(g));
    set_labels(g, b);
    for (int i = 0; i < g->p->n_artifacts; i++) add_front(g, b, i);
    b->edges[b->n_edges] = (plot_edge){ x, TOP - 6, x, b->bottom };     // of the base: no front's
    plot_labels_place(b->labels, g->n_drawn, b->edges, b->n_edges + 1, b->bottom + 8);
    html_begin_plot(&g->t, ++g->n_plots, b->bottom + 26);
    describe_bytes_plot(g);
    html_put_y_axis(&g->t, &b->y, 8, TOP, b->bottom);
    put_x_axis(g, b);
    put_base_line(g, b);
    put_fronts(g, b);
    for (int i = 0; i < g->n_drawn; i++) put_point(g, b, i);
    text_words(&g->t, "</svg>");
}

void lab_put_bytes_plot(lab_page *g)
{
    bytes_plot b = { .bottom = TOP };
    b.labels  = calloc((size_t)g->n_drawn + 1, sizeof *b.labels);
    b.edges   = calloc(2 * (size_t)g->n_drawn + 1, sizeof *b.edges);
    b.edge_of = calloc(2 * (size_t)g->n_drawn + 1, sizeof *b.edge_of);
    take_values(g, &b);
    b.bottom += !b.y.any ? 60 : g->n_drawn > 24 ? 480 : g->n_drawn > 12 ? 400 : 300;       // 60: all are 0
    put_shapes(g);
    text_words(&g->t, "<p class=\"axis\">mean KL in nats, logarithmic</p>\n<div class=\"plot\">");
    if (b.labels && b.edges && b.edge_of) put_bytes_svg(g, &b);
    else                                  g->t.failed = true;
    text_words(&g->t, "</div>\n<p class=\"axis x\">bytes for each position, logarithmic</p>\n");
    free(b.labels);
    free(b.edges);
    free(b.edge_of);
}
