// What the plots of the laboratory's HTML report share: figures on an axis, names; see lab_html.h.
#include "lab_html.h"

void lab_axis_take_figure(plot_axis *a, const lab_figure *f)
{
    plot_axis_take(a, f->v);
    if (f->low > 0) plot_axis_take(a, f->low);
    plot_axis_take(a, f->high);
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
    figure_put_kl(&g->t, f->kl_mean.v);
    if (lab_has_interval(&f->kl_mean)) {
        text_words(&g->t, ", 95 % ");
        lab_put_interval(&g->t, &f->kl_mean, false);
    }
    text_words(&g->t, ", top-1 ");
    figure_put_share(&g->t, f->top1.v);
    text_words(&g->t, "</title>");
}
