// Plots of verification reports that need no steps: what was measured against what is allowed, of every comparison;
// departures of layers.
#include "report_html.h"
#include "../formats/figures.h"
#include <math.h>
#include <stdlib.h>

// ---- measured against allowed ---------------------------------------------------------------------------------------

enum { ROW = 38, NAME = 12, TRACK = 26 };       // pixels: a row's height; its name, and its marks, below its upper edge
enum { FOUND = 0, ROUNDED = 3 };                // shapes: a circle, filled; a triangle, empty

typedef struct { double found, allowed, rounded; } pair;       // NAN: there is none
typedef pair pair_of(const verify_fixture_result *f);

static pair kl_of(const verify_fixture_result *f)
{
    return (pair){ f->kl_mean, f->kl_limit, f->kind == CHECK_DRIFT ? f->rounding_kl_mean : NAN };
}

// The share of steps whose best id is another; in an exact check at ties alone.
static pair others_of(const verify_fixture_result *f)
{
    const double n = (double)f->steps, rounded = f->kind == CHECK_DRIFT && isfinite(f->rounding_kl_mean)
        ? 1 - (double)f->rounding_top1_equal / n : NAN;
    return (pair){ (n - (double)f->teacher_forced_equal) / n,
                   f->kind == CHECK_DRIFT ? 1 - f->top1_limit : f->ties_limit / n, rounded };
}

static bool is_drawn(const verify_fixture_result *f) { return f->ran && f->steps > 0; }

// A comparison of the page's; in a struct of zeros before the first.
typedef struct {
    const verify_report         *r;
    const verify_fixture_result *f;     // NULL: before the first
    int     report;
    int64_t next;               // of its fixtures
} spot;

// The next that is drawn; false: there is none.
static bool next_drawn(const report_page *g, spot *s)
{
    for (; s->report < g->n; s->report++, s->next = 0)
        while (s->next < g->r[s->report]->n_fixtures) {
            s->r = g->r[s->report];
            s->f = &s->r->fixtures[s->next++];
            if (is_drawn(s->f)) return true;
        }
    return false;
}

static int n_drawn(const report_page *g)
{
    int n = 0;
    for (spot s = { 0 }; next_drawn(g, &s);) n++;
    return n;
}

static void take(plot_axis *a, const pair *p)
{
    plot_axis_take(a, p->found);
    plot_axis_take(a, p->allowed);
    plot_axis_take(a, p->rounded);
}

static void put_mark_at(text_buf *t, const plot_axis *a, double v, double y, int shape, const char *class)
{
    if (!isfinite(v)) return;
    html_begin_at(t, plot_axis_at(a, v), y);
    text_printf(t, "<g class=\"%s\">", class);
    plot_put_mark(t, shape, shape == FOUND);
    text_words(t, "</g></svg>");
}

static void put_pair(text_buf *t, const plot_axis *a, const pair *p, double y)
{
    const double x = plot_axis_at(a, p->allowed);
    html_put_line(t, "grid", 0, y, 1, y);
    if (isfinite(p->allowed)) html_put_line(t, "limit", x, y - 7, x, y + 7);
    put_mark_at(t, a, p->rounded, y, ROUNDED, "rounded");
    put_mark_at(t, a, p->found, y, FOUND, p->found <= p->allowed ? "found" : "bad");
}

static void put_x_axis(text_buf *t, const plot_axis *a, double bottom)
{
    double at[PLOT_TICKS + 1];
    const int n = plot_axis_lines(a, 5, at);
    for (int i = 0; i < n; i++) {
        const double x = plot_axis_at(a, at[i]);
        if (at[i] > 0 && a->zero && x < 0.25) continue;        // there the 0 has its label
        html_put_line(t, at[i] > 0 ? "grid" : "zero", x, 0, x, bottom);
        text_printf(t, "<text class=\"%s\" y=\"%.0f\"", x < 0.1 ? "start" : x > 0.9 ? "end" : "mid", bottom + 15);
        html_put_at(t, "x", x);
        text_words(t, ">");
        figure_put_tick(t, at[i]);
        text_words(t, "</text>");
    }
}

static void describe_pairs(report_page *g, pair_of *of)
{
    bool first = true;
    for (spot s = { 0 }; next_drawn(g, &s); first = false) {
        const pair p = of(s.f);
        text_words(&g->t, first ? "" : "; ");
        report_put_named(&g->t, s.r, s.f);
        text_words(&g->t, ": ");
        figure_put_kl(&g->t, p.found);
        text_words(&g->t, ", allowed ");
        figure_put_kl(&g->t, p.allowed);
    }
    text_words(&g->t, ".</desc>");
}

static void put_rows(report_page *g, const plot_axis *a, pair_of *of)
{
    double y = 0;
    for (spot s = { 0 }; next_drawn(g, &s); y += ROW) {
        const pair p = of(s.f);
        put_pair(&g->t, a, &p, y + TRACK);
        text_printf(&g->t, "<text x=\"0\" y=\"%.0f\">", y + NAME);
        html_put_short(&g->t, s.r->artifact, 24);
        text_words(&g->t, ", ");
        html_put_short(&g->t, s.f->name, 18);
        text_words(&g->t, "</text>");
    }
}

static void put_pairs(report_page *g, const char *title, const char *unit, pair_of *of)
{
    const int n = n_drawn(g);
    plot_axis a = { 0 };
    for (spot s = { 0 }; next_drawn(g, &s);) {
        const pair p = of(s.f);
        take(&a, &p);
    }
    if (!a.any) return;
    plot_axis_decades(&a);
    text_printf(&g->t, "<h3>%s</h3>\n<p class=\"axis\">%s</p>\n<div class=\"rows\">", title, unit);
    html_begin_plot(&g->t, ++g->n_plots, ROW * n + 22);
    text_words(&g->t, title);
    html_begin_description(&g->t, g->n_plots);
    describe_pairs(g, of);
    put_x_axis(&g->t, &a, ROW * n + 4);
    put_rows(g, &a, of);
    text_words(&g->t, "</svg></div>\n");
}

static void put_pair_cells(text_buf *t, const pair *p)
{
    html_put_figure_cell(t, p->found, false);
    html_put_figure_cell(t, p->allowed, false);
    html_put_figure_cell(t, p->rounded, false);
}

static void put_limits_table(report_page *g)
{
    static const char *const names[] = { "<artifact, fixture", "mean KL", "allowed", "rounding costs",
                                         "the reference's own", "other best id", "allowed", "after rounding", NULL };
    html_begin_details(&g->t, "Measured and allowed as a table");
    html_begin_table(&g->t, "Measured and allowed", names);
    for (spot s = { 0 }; next_drawn(g, &s);) {
        const pair kl = kl_of(s.f), others = others_of(s.f);
        text_words(&g->t, "<tr><th scope=\"row\"><span>");
        report_put_named(&g->t, s.r, s.f);
        text_words(&g->t, "</span></th>");
        put_pair_cells(&g->t, &kl);
        html_put_figure_cell(&g->t, s.f->self_kl_mean, false);
        put_pair_cells(&g->t, &others);
        text_words(&g->t, "</tr>\n");
    }
    html_end_table(&g->t);
    html_end_details(&g->t);
}

static void put_limits_key(text_buf *t, bool drift)
{
    text_words(t, "<ul class=\"shapes\">");
    html_begin_key(t);
    plot_put_mark(t, FOUND, true);
    text_words(t, "</svg> measured</li>");
    html_begin_key(t);
    text_words(t, "<line class=\"limit\" x1=\"0\" x2=\"0\" y1=\"-7\" y2=\"7\"/></svg> the most that is allowed</li>");
    if (drift) {
        html_begin_key(t);
        plot_put_mark(t, ROUNDED, false);
        text_words(t, "</svg> what rounding its weights once more costs</li>");
    }
    text_words(t, "</ul>\n");
}

void report_put_limits(report_page *g)
{
    bool drift = false;
    if (n_drawn(g) == 0) return;
    for (int i = 0; i < g->n; i++)
        for (int64_t k = 0; k < g->r[i]->n_fixtures; k++) drift |= g->r[i]->fixtures[k].kind == CHECK_DRIFT;
    put_limits_key(&g->t, drift);
    put_pairs(g, "Mean KL against its limit", "nats, logarithmic", kl_of);
    put_pairs(g, "Steps whose best id is another", "share of all steps, logarithmic; in an exact check at ties alone",
              others_of);
    put_limits_table(g);
}

// ---- layers ---------------------------------------------------------------------------------------------------------

enum { TOP = 10, BOTTOM = 118 };

static bool departs(const verify_layer *l) { return !(l->departure <= l->limit); }

static double ratio(const verify_layer *l) { return l->limit > 0 ? l->departure / l->limit : l->departure; }

static double worst_ratio(const verify_case *c)
{
    double worst = 0;
    for (int i = 0; i < c->n_layers; i++) worst = fmax(worst, ratio(&c->layers[i]));
    return worst;
}

static bool is_to_see(const verify_case *c)
{
    bool any = c->free_run == PART_BROKE || c->forced == PART_BROKE;
    for (int i = 0; i < c->n_layers; i++) any |= departs(&c->layers[i]);
    return any && c->n_layers > 0;
}

static int by_layer(const void *a, const void *b)
{
    const int x = ((const verify_layer *)a)->layer, y = ((const verify_layer *)b)->layer;
    return x < y ? -1 : x > y;
}

// Far below its limit it does not matter how far: the axis begins at a thousandth of the least limit.
static plot_axis layer_axis(const verify_layer *v, int n)
{
    plot_axis a = { 0 };
    double least = INFINITY;
    for (int i = 0; i < n; i++) least = fmin(least, v[i].limit);
    for (int i = 0; i < n; i++) {
        plot_axis_take(&a, v[i].limit);
        plot_axis_take(&a, fmax(v[i].departure, least / 1000));
    }
    plot_axis_decades(&a);
    return a;
}

// What is not finite is as far as can be drawn.
static double drawn(const plot_axis *a, double departure) { return isfinite(departure) ? departure : pow(10, a->hi); }

static double x_of(int i, int n) { return n > 1 ? 0.02 + 0.96 * i / (n - 1) : 0.5; }

static void put_layer_title(text_buf *t, const verify_layer *l)
{
    if (l->layer == LAYER_EMBEDDING) text_words(t, "the embeddings");
    else                             text_printf(t, "layer %d", l->layer);
}

static void put_layer_mark(text_buf *t, const plot_axis *a, const verify_layer *l, double x)
{
    html_begin_at(t, x, html_up(a, drawn(a, l->departure), TOP, BOTTOM));
    text_printf(t, "<g class=\"%s\"><title>", departs(l) ? "bad" : "found");
    put_layer_title(t, l);
    text_words(t, ": departs by ");
    figure_put_kl(t, l->departure);
    text_words(t, ", allowed ");
    figure_put_kl(t, l->limit);
    text_words(t, "</title>");
    plot_put_mark(t, departs(l) ? 5 : 0, true);
    text_words(t, "</g></svg>");
}

static void put_layers_svg(text_buf *t, const plot_axis *a, const verify_layer *v, int n)
{
    html_put_y_axis(t, a, 5, TOP, BOTTOM);
    for (int i = 1; i < n; i++) {
        html_put_line(t, "allowed", x_of(i - 1, n), html_up(a, v[i - 1].limit, TOP, BOTTOM), x_of(i, n),
                      html_up(a, v[i].limit, TOP, BOTTOM));
        html_put_line(t, "path", x_of(i - 1, n), html_up(a, drawn(a, v[i - 1].departure), TOP, BOTTOM), x_of(i, n),
                      html_up(a, drawn(a, v[i].departure), TOP, BOTTOM));
    }
    for (int i = 0; i < n; i++) put_layer_mark(t, a, &v[i], x_of(i, n));
    text_printf(t, "<text x=\"0\" y=\"%d\">", BOTTOM + 18);
    put_layer_title(t, &v[0]);
    text_printf(t, "</text><text class=\"end\" x=\"100%%\" y=\"%d\">", BOTTOM + 18);
    put_layer_title(t, &v[n - 1]);
    text_words(t, "</text>");
}

static void describe_layers(report_page *g, const verify_case *c, const verify_layer *v, int n)
{
    text_words(&g->t, "Departure of each layer, case ");
    text_puts(&g->t, TEXT_XML, c->id);
    html_begin_description(&g->t, g->n_plots);
    for (int i = 0; i < n; i++) {
        if (!departs(&v[i])) continue;
        text_words(&g->t, "The first that departs is ");
        put_layer_title(&g->t, &v[i]);
        text_words(&g->t, ".</desc>");
        return;
    }
    text_words(&g->t, "None departs.</desc>");
}

static void put_case_layers(report_page *g, const verify_case *c, const verify_layer *v, int n)
{
    const plot_axis a = layer_axis(v, n);
    text_words(&g->t, "<figure><figcaption>");
    text_puts(&g->t, TEXT_XML, c->id);
    text_words(&g->t, "</figcaption><div class=\"plot\">");
    html_begin_plot(&g->t, ++g->n_plots, BOTTOM + 24);
    describe_layers(g, c, v, n);
    put_layers_svg(&g->t, &a, v, n);
    text_words(&g->t, "</svg></div></figure>\n");
}

static void put_layer_rows(text_buf *t, const verify_case *c, const verify_layer *v, int n)
{
    for (int i = 0; i < n; i++) {
        text_words(t, "<tr>");
        html_put_words_cell(t, c->id);
        text_words(t, "<th scope=\"row\">");
        put_layer_title(t, &v[i]);
        text_words(t, "</th>");
        if (isfinite(v[i].departure)) html_put_figure_cell(t, v[i].departure, false);
        else                          text_words(t, "<td>not finite</td>");
        html_put_figure_cell(t, v[i].limit, false);
        text_printf(t, "<td class=\"l%s</td></tr>\n", departs(&v[i]) ? " broke\">departs" : "\">holds");
    }
}

// The cases whose layers are drawn: those that failed or depart, the worst one where none does.
// chosen: [MOST_LAYER_PLOTS].
static int choose(const verify_fixture_result *f, const verify_case **chosen, int64_t *more)
{
    int n = 0;
    const verify_case *worst = NULL;
    *more = 0;
    for (int64_t i = 0; i < f->n_traced; i++) {
        const verify_case *c = &f->traced[i];
        if (c->n_layers > 0 && (!worst || worst_ratio(c) > worst_ratio(worst))) worst = c;
        if (!is_to_see(c)) continue;
        if (n < MOST_LAYER_PLOTS) chosen[n++] = c;
        else                      (*more)++;
    }
    if (n == 0 && worst) chosen[n++] = worst;
    return n;
}

// A fixture lists its probes in any order.
static verify_layer *sorted(const verify_case *c)
{
    verify_layer *v = calloc((size_t)c->n_layers + 1, sizeof *v);
    for (int i = 0; v && i < c->n_layers; i++) v[i] = c->layers[i];
    if (v) qsort(v, (size_t)c->n_layers, sizeof *v, by_layer);
    return v;
}

// Plots first, then one table of them all.
static void put_chosen(report_page *g, const verify_case *const *chosen, int n, bool as_table)
{
    for (int i = 0; i < n; i++) {
        verify_layer *v = sorted(chosen[i]);
        g->t.failed |= !v;
        if (v && as_table) put_layer_rows(&g->t, chosen[i], v, chosen[i]->n_layers);
        else if (v)        put_case_layers(g, chosen[i], v, chosen[i]->n_layers);
        free(v);
    }
}

void report_put_layers(report_page *g, const verify_fixture_result *f)
{
    static const char *const names[] = { "<case", "<layer", "departure", "allowed", "<outcome", NULL };
    const verify_case *chosen[MOST_LAYER_PLOTS];
    int64_t more;
    const int n = choose(f, chosen, &more);
    if (n == 0) return;
    text_printf(&g->t, "<h4>Departure of each layer</h4>\n<p class=\"axis\">how far the hidden state of the prompt's "
                       "last token is from Transformers', relative, logarithmic; dashed: beyond it a layer departs; "
                       "far below it the lower edge. %s</p>\n",
                is_to_see(chosen[0]) ? "Cases that failed or depart."
                                     : "No case failed or departs; this one is the nearest to it.");
    text_words(&g->t, "<div class=\"many\">\n");
    put_chosen(g, chosen, n, false);
    text_words(&g->t, "</div>\n");
    if (more > 0) text_printf(&g->t, "<p>%lld more cases are not drawn.</p>\n", (long long)more);
    html_begin_details(&g->t, "The layers as a table");
    html_begin_table(&g->t, "Departure of each layer", names);
    put_chosen(g, chosen, n, true);
    html_end_table(&g->t);
    html_end_details(&g->t);
}
