// The laboratory's report as Markdown, for a model card or a page of a repository.
#include "lab_report.h"
#include "lab_words.h"
#include <stdlib.h>

enum { PLACES = 5 };        // worst places shown of each candidate and category; the JSON has all

typedef struct {
    text_buf          t;
    const lab_result *r;
    const lab_plan   *p;
    int              *order;        // [n_candidates], see lab_by_bytes
} page;

// ---- cells ----------------------------------------------------------------------------------------------------------

static void put_header(text_buf *t, const char *const *names)
{
    for (int i = 0; names[i]; i++) text_printf(t, "| %s ", names[i]);
    text_words(t, "|\n");
    for (int i = 0; names[i]; i++) text_words(t, "|---");
    text_words(t, "|\n");
}

static void put_text_cell(text_buf *t, const char *s)
{
    text_words(t, " | ");
    text_puts(t, TEXT_MD, s);
}

static void html_put_count_cell(text_buf *t, int64_t v)
{
    text_words(t, " | ");
    figure_put_count(t, v);
}

static void put_kl_cell(text_buf *t, double v)
{
    text_words(t, " | ");
    figure_put_kl(t, v);
}

static void put_share_cell(text_buf *t, double v)
{
    text_words(t, " | ");
    figure_put_share(t, v);
}

static void put_interval_cell(text_buf *t, const lab_figure *f, bool share)
{
    text_words(t, " | ");
    lab_put_interval(t, f, share);
}

// "| 3 | cache | file": what every row of a candidate begins with.
static void put_candidate(page *g, int place)
{
    const lab_candidate *c = &g->p->candidates[g->order[place]];
    text_printf(&g->t, "| %d | ", place + 1);
    lab_put_cache(&g->t, TEXT_MD, c->kv);
    text_words(&g->t, " | ");
    lab_put_file(&g->t, TEXT_MD, g->p, c->artifact);
}

// ---- tables ---------------------------------------------------------------------------------------------------------

static void put_main_row(page *g, int place)
{
    text_buf            *t = &g->t;
    const lab_candidate *c = &g->p->candidates[g->order[place]];
    const lab_figures   *f = &g->r->measured[g->order[place]].all;
    put_candidate(g, place);
    text_words(t, " | ");
    if (c->llama) text_puts(t, TEXT_MD_CODE, c->llama);
    else          text_words(t, "-");
    text_words(t, " | ");
    figure_put_bytes(t, lab_each_bytes(g->p, c->context_bytes));
    put_kl_cell(t, f->kl_mean.v);
    put_interval_cell(t, &f->kl_mean, false);
    put_kl_cell(t, f->kl_median.v);
    put_kl_cell(t, f->kl_p90.v);
    put_kl_cell(t, f->kl_p99.v);
    put_kl_cell(t, f->kl_p999.v);
    put_kl_cell(t, f->kl_max.v);
    put_share_cell(t, f->top1.v);
    put_interval_cell(t, &f->top1, true);
    put_share_cell(t, f->top5.v);
    put_kl_cell(t, f->change_mean.v);
    put_kl_cell(t, f->change_rms.v);
    put_kl_cell(t, f->change_p99.v);
    text_printf(t, " | %.5g |\n", f->nll);
}

static void put_main(page *g)
{
    static const char *const names[] = {
        "number", "cache", "file", "llama.cpp", "bytes a position", "mean KL", "95 %", "median", "p90", "p99", "p99.9",
        "largest", "top-1", "95 %", "top-5", "change, mean", "rms", "p99", "NLL", NULL };
    text_words(&g->t, "\n## Candidates\n\nFrom the smallest cache to the largest. The base's own takes ");
    figure_put_bytes(&g->t, lab_each_bytes(g->p, g->p->base_context_bytes));
    text_words(&g->t, " bytes a position.\n\n");
    put_header(&g->t, names);
    for (int i = 0; i < g->p->n_candidates; i++) put_main_row(g, i);
}

// What a category and a band show alike; the row's end.
static void put_part(text_buf *t, const lab_figures *f)
{
    html_put_count_cell(t, f->tokens);
    put_kl_cell(t, f->kl_mean.v);
    put_interval_cell(t, &f->kl_mean, false);
    put_kl_cell(t, f->kl_p99.v);
    put_kl_cell(t, f->kl_max.v);
    put_share_cell(t, f->top1.v);
    put_interval_cell(t, &f->top1, true);
    put_share_cell(t, f->top5.v);
    text_words(t, " |\n");
}

static void put_categories(page *g)
{
    static const char *const names[] = { "number", "cache", "file", "category", "positions", "mean KL", "95 %", "p99",
                                         "largest", "top-1", "95 %", "top-5", NULL };
    text_words(&g->t, "\n## Categories\n\n");
    put_header(&g->t, names);
    for (int i = 0; i < g->p->n_candidates; i++) {
        const lab_measured *m = &g->r->measured[g->order[i]];
        for (int k = 0; k < m->n_categories; k++) {
            put_candidate(g, i);
            put_text_cell(&g->t, m->categories[k].category);
            put_part(&g->t, &m->categories[k].f);
        }
    }
}

static void put_positions(page *g)
{
    static const char *const names[] = { "number", "cache", "file", "in the chunk", "positions", "mean KL", "95 %",
                                         "p99", "largest", "top-1", "95 %", "top-5", NULL };
    text_words(&g->t, "\n## Positions\n\n");
    put_header(&g->t, names);
    for (int i = 0; i < g->p->n_candidates; i++) {
        const lab_measured *m = &g->r->measured[g->order[i]];
        for (int k = 0; k < m->n_bands; k++) {
            put_candidate(g, i);
            html_put_count_cell(&g->t, m->bands[k].from);
            text_words(&g->t, " to ");
            figure_put_count(&g->t, m->bands[k].to - 1);
            put_part(&g->t, &m->bands[k].f);
        }
    }
}

static void put_compounds(page *g)
{
    static const char *const names[] = { "file", "cache", "KL of the weights", "of the cache", "of both",
                                         "both / sum", "95 %", "they", NULL };
    if (g->r->n_compounds == 0) return;
    text_words(&g->t, "\n## Weights and caches\n\nA share of 1: the two losses add up; above it they compound.\n\n");
    put_header(&g->t, names);
    for (int i = 0; i < g->r->n_compounds; i++) {
        const lab_compound *x = &g->r->compounds[i];
        const lab_candidate *c = &g->p->candidates[x->both];
        text_words(&g->t, "| ");
        lab_put_file(&g->t, TEXT_MD, g->p, c->artifact);
        text_words(&g->t, " | ");
        lab_put_cache(&g->t, TEXT_MD, c->kv);
        put_kl_cell(&g->t, g->r->measured[x->weights].all.kl_mean.v);
        put_kl_cell(&g->t, g->r->measured[x->cache].all.kl_mean.v);
        put_kl_cell(&g->t, g->r->measured[x->both].all.kl_mean.v);
        put_kl_cell(&g->t, x->share.v);
        put_interval_cell(&g->t, &x->share, false);
        text_printf(&g->t, " | %s |\n", lab_compound_verdict(x));
    }
}

// ---- places ---------------------------------------------------------------------------------------------------------

static void put_code_or_nothing(text_buf *t, const char *s)
{
    if (s && *s) text_puts(t, TEXT_MD_CODE, s);
    else         text_words(t, "(nothing)");
}

static void put_place(text_buf *t, const char *category, const lab_worst *w)
{
    text_words(t, "| ");
    text_puts(t, TEXT_MD, category);
    html_put_count_cell(t, w->chunk);
    html_put_count_cell(t, w->place->position);
    put_kl_cell(t, w->kl);
    text_words(t, " | ");
    text_puts(t, TEXT_MD, w->place->before);
    text_words(t, " ");
    put_code_or_nothing(t, w->place->next);
    text_words(t, " ");
    text_puts(t, TEXT_MD, w->place->after);
    text_words(t, " | ");
    put_code_or_nothing(t, w->place->base_best);
    text_words(t, " | ");
    put_code_or_nothing(t, w->place->best);
    text_words(t, " |\n");
}

static void put_places_of(page *g, int place)
{
    static const char *const names[] = { "category", "chunk", "position", "KL", "text, what follows as code",
                                         "the base's best", "the candidate's", NULL };
    const lab_measured *m = &g->r->measured[g->order[place]];
    if (!lab_has_places(m)) return;
    text_printf(&g->t, "\n### Worst places of %d: ", place + 1);
    lab_put_cache(&g->t, TEXT_MD, g->p->candidates[g->order[place]].kv);
    text_words(&g->t, ", ");
    lab_put_file(&g->t, TEXT_MD, g->p, g->p->candidates[g->order[place]].artifact);
    text_words(&g->t, "\n\n");
    put_header(&g->t, names);
    for (int i = 0; i < m->n_categories; i++)
        for (int k = 0; k < m->categories[i].n_worst && k < PLACES; k++)
            put_place(&g->t, m->categories[i].category, &m->categories[i].worst[k]);
}

static void put_places(page *g)
{
    text_printf(&g->t, "\n## Worst places\n\nOf each category the %d positions of the largest KL.\n", (int)PLACES);
    if (!lab_any_places(g->r)) text_words(&g->t, "\nAt no position does a candidate differ from the base.\n");
    for (int i = 0; i < g->p->n_candidates; i++) put_places_of(g, i);
}

// ---- how it was measured --------------------------------------------------------------------------------------------

static void put_files(page *g)
{
    static const char *const names[] = { "file", "weights", "SHA-256 of tensors and metadata", NULL };
    text_words(&g->t, "\n");
    put_header(&g->t, names);
    for (int i = 0; i < g->p->n_artifacts; i++) {
        text_words(&g->t, "| ");
        lab_put_file(&g->t, TEXT_MD, g->p, i);
        put_text_cell(&g->t, g->p->artifacts[i].type);
        text_words(&g->t, " | ");
        text_puts(&g->t, TEXT_MD_CODE, g->p->artifacts[i].digest);
        text_words(&g->t, " |\n");
    }
}

static void put_texts(page *g)
{
    static const char *const names[] = { "category", "text", "tokens", "chunks of it", "SHA-256", NULL };
    text_words(&g->t, "\n");
    put_header(&g->t, names);
    for (int i = 0; i < g->p->n_texts; i++) {
        const lab_text *x = &g->p->texts[i];
        text_words(&g->t, "| ");
        text_puts(&g->t, TEXT_MD, x->category);
        put_text_cell(&g->t, x->name);
        html_put_count_cell(&g->t, x->tokens);
        html_put_count_cell(&g->t, x->chunks);
        text_words(&g->t, " | ");
        text_puts(&g->t, TEXT_MD_CODE, x->sha256);
        text_words(&g->t, " |\n");
    }
}

static void put_method(page *g)
{
    text_words(&g->t, "\n## How it was measured\n\n");
    lab_put_method(&g->t, g->r);
    text_words(&g->t, "\n");
    put_files(g);
    put_texts(g);
}

char *lab_report_md(const lab_result *r)
{
    page g = { .r = r, .p = r->plan, .order = lab_by_bytes(r) };
    if (!g.order) return NULL;
    text_words(&g.t, "# What a cache costs ");
    lab_put_file(&g.t, TEXT_MD, g.p, 0);
    text_words(&g.t, "\n\n");
    lab_put_measured(&g.t, TEXT_MD, r);
    text_words(&g.t, "\n\n");
    lab_put_advice(&g.t, TEXT_MD, r);
    text_words(&g.t, "\n");
    put_main(&g);
    put_categories(&g);
    put_positions(&g);
    put_compounds(&g);
    put_places(&g);
    put_method(&g);
    free(g.order);
    return text_take(&g.t);
}
