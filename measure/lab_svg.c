// What the plots of the laboratory's HTML report share: frames, lines, axes that point up, names; see lab_html.h.
#include "lab_html.h"
#include <math.h>
#include <string.h>

void lab_put_short(text_buf *t, const char *s, int most)
{
    char text[128];
    const size_t room = (size_t)most + 1 < sizeof text ? (size_t)most + 1 : sizeof text;
    text_fit(text, room, s, strlen(s), room / 3);
    text_puts(t, TEXT_XML, text);
}

// Begins a plot of that height. Its title and its description follow, each ended by the caller.
void lab_begin_plot(lab_page *g, double height)
{
    const int id = ++g->n_plots;
    text_printf(&g->t, "<svg role=\"img\" width=\"100%%\" height=\"%.0f\" aria-labelledby=\"t%d\" "
                       "aria-describedby=\"d%d\"><title id=\"t%d\">", height, id, id, id);
}

void lab_begin_description(lab_page *g) { text_printf(&g->t, "</title><desc id=\"d%d\">", g->n_plots); }

void lab_put_at(text_buf *t, const char *attribute, double share)
{
    text_printf(t, " %s=\"%.2f%%\"", attribute, 100 * share);
}

// A line from (x1 share, y1 pixels) to (x2, y2).
void lab_put_line(text_buf *t, const char *class, double x1, double y1, double x2, double y2)
{
    text_printf(t, "<line class=\"%s\" y1=\"%.1f\" y2=\"%.1f\"", class, y1, y2);
    lab_put_at(t, "x1", x1);
    lab_put_at(t, "x2", x2);
    text_words(t, "/>");
}

// Begins a part whose (0, 0) is that point; ended with </svg>. No width and height: they would be those of the plot.
void lab_begin_at(text_buf *t, double x, double y)
{
    text_words(t, "<svg overflow=\"visible\"");
    lab_put_at(t, "x", x);
    text_printf(t, " y=\"%.1f\">", y);
}

void lab_axis_take_figure(lab_axis *a, const lab_figure *f)
{
    lab_axis_take(a, f->v);
    if (f->low > 0) lab_axis_take(a, f->low);
    lab_axis_take(a, f->high);
}

// "0.001", and "2e-7" where that would be long.
void lab_put_tick(text_buf *t, double v)
{
    const int decade = v > 0 ? (int)floor(log10(v) + 1e-9) : 0;
    lab_put_digits(t, v, decade >= -4 && decade < 6 ? 5 : 2);
}

double lab_up(const lab_axis *a, double v, double top, double bottom)
{
    return bottom - (bottom - top) * lab_axis_at(a, v);
}

// Lines across and their labels at the left, for an axis that points up between y = top and bottom.
void lab_put_y_axis(text_buf *t, const lab_axis *a, int most, double top, double bottom)
{
    double at[LAB_TICKS + 1];
    const int n = lab_axis_lines(a, most, at);
    for (int i = 0; i < n; i++) {
        const double y = lab_up(a, at[i], top, bottom);
        lab_put_line(t, at[i] > 0 ? "grid" : "zero", 0, y, 1, y);
        if (at[i] > 0 && a->zero && y > bottom - 13) continue;    // there the 0 has its label
        text_printf(t, "<text x=\"-7\" y=\"%.1f\" class=\"end\">", y + 4);
        lab_put_tick(t, at[i]);
        text_words(t, "</text>");
    }
}

// "12 q4_0 of file": how words name a candidate.
void lab_put_named(lab_page *g, int place)
{
    const lab_candidate *c = lab_page_candidate(g, place);
    text_printf(&g->t, "%d ", place + 1);
    text_puts(&g->t, TEXT_XML, c->kv);
    if (!g->several) return;
    text_words(&g->t, " of ");
    lab_put_file(&g->t, TEXT_XML, g->p, c->artifact);
}

// What a pointer that rests on a mark is told.
void lab_put_hint(lab_page *g, int place, const lab_figures *f)
{
    text_words(&g->t, "<title>");
    lab_put_named(g, place);
    text_words(&g->t, ": mean KL ");
    lab_put_kl(&g->t, f->kl_mean.v);
    if (lab_has_interval(&f->kl_mean)) {
        text_words(&g->t, ", 95 % ");
        lab_put_interval(&g->t, &f->kl_mean, false);
    }
    text_words(&g->t, ", top-1 ");
    lab_put_share(&g->t, f->top1.v);
    text_words(&g->t, "</title>");
}
