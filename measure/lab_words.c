// lab_words: see lab_words.h.
#include "lab_words.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIGURE(name, share) { #name, offsetof(lab_figures, name), share }
const lab_figure_kind LAB_FIGURES[LAB_N_FIGURES] = {
    FIGURE(kl_mean, false), FIGURE(kl_median, false), FIGURE(kl_p90, false),      FIGURE(kl_p99, false),
    FIGURE(kl_p999, false), FIGURE(kl_max, false),    FIGURE(top1, true),         FIGURE(top5, true),
    FIGURE(change_mean, false), FIGURE(change_rms, false), FIGURE(change_p99, false),
};

const lab_figure *lab_figure_at(const lab_figures *f, int kind)
{
    return (const lab_figure *)((const char *)f + LAB_FIGURES[kind].at);
}

// ---- order ----------------------------------------------------------------------------------------------------------

static double loss(const lab_result *r, int c) { return r->measured[c].all.kl_mean.v; }

// Before: in the order of lab_by_bytes.
static bool is_before(const lab_result *r, int a, int b)
{
    const int64_t bytes_a = r->plan->candidates[a].context_bytes, bytes_b = r->plan->candidates[b].context_bytes;
    if (bytes_a != bytes_b) return bytes_a < bytes_b;
    if (loss(r, a) != loss(r, b)) return loss(r, a) < loss(r, b);
    return a < b;
}

int *lab_by_bytes(const lab_result *r)
{
    const int n = r->plan->n_candidates;
    int *order = malloc(((size_t)n + 1) * sizeof *order);
    for (int i = 0; order && i < n; i++) {
        int at = i;
        for (; at > 0 && is_before(r, i, order[at - 1]); at--) order[at] = order[at - 1];
        order[at] = i;
    }
    return order;
}

static bool is_beaten(const lab_result *r, int c, int by)
{
    const lab_candidate *x = &r->plan->candidates[c], *y = &r->plan->candidates[by];
    if (x->artifact != y->artifact || y->context_bytes > x->context_bytes || !(loss(r, by) <= loss(r, c))) return false;
    return y->context_bytes < x->context_bytes || loss(r, by) < loss(r, c);
}

bool *lab_front(const lab_result *r)
{
    const int n = r->plan->n_candidates;
    bool *front = malloc((size_t)n + 1);
    for (int i = 0; front && i < n; i++) {
        front[i] = true;
        for (int k = 0; k < n && front[i]; k++) front[i] = !is_beaten(r, i, k);
    }
    return front;
}

const lab_category *lab_worst_category(const lab_measured *m)
{
    const lab_category *worst = NULL;
    for (int i = 0; i < m->n_categories; i++)
        if (!worst || m->categories[i].f.top1.v < worst->f.top1.v) worst = &m->categories[i];
    return worst;
}

bool lab_has_places(const lab_measured *m)
{
    for (int i = 0; i < m->n_categories; i++)
        if (m->categories[i].n_worst > 0) return true;
    return false;
}

bool lab_any_places(const lab_result *r)
{
    for (int i = 0; i < r->plan->n_candidates; i++)
        if (lab_has_places(&r->measured[i])) return true;
    return false;
}

double lab_each_bytes(const lab_plan *p, int64_t context_bytes)
{
    return p->context > 0 ? (double)context_bytes / (double)p->context : 0;
}

// ---- names ----------------------------------------------------------------------------------------------------------

void lab_put_file(text_buf *t, text_sink sink, const lab_plan *p, int artifact)
{
    int same = 1;
    for (int i = 0; i < artifact; i++) same += strcmp(p->artifacts[i].name, p->artifacts[artifact].name) == 0;
    text_puts(t, sink, p->artifacts[artifact].name);
    if (same > 1) text_printf(t, " (%d)", same);
}

void lab_put_cache(text_buf *t, text_sink sink, const char *kv)
{
    if (sink == TEXT_XML) text_words(t, "<code>");
    text_puts(t, sink == TEXT_MD ? TEXT_MD_CODE : sink, kv);
    if (sink == TEXT_XML) text_words(t, "</code>");
}

// ---- intervals ------------------------------------------------------------------------------------------------------

bool lab_has_interval(const lab_figure *f) { return isfinite(f->low) && isfinite(f->high); }

void lab_put_interval(text_buf *t, const lab_figure *f, bool share)
{
    if (!lab_has_interval(f)) {
        text_words(t, "-");
        return;
    }
    figure_put(t, f->low, share);
    text_words(t, " to ");
    figure_put(t, f->high, share);
}

void lab_put_share_in(text_buf *t, text_sink sink, double share, const char *category)
{
    figure_put_share(t, share);
    text_words(t, " in ");
    text_puts(t, sink, category);
}

// ---- sentences ------------------------------------------------------------------------------------------------------

// Of all texts; those of one category may stand apart.
static int n_categories(const lab_plan *p)
{
    int n = 0;
    for (int i = 0; i < p->n_texts; i++) {
        bool first = true;
        for (int k = 0; k < i && first; k++) first = strcmp(p->texts[k].category, p->texts[i].category) != 0;
        n += first;
    }
    return n;
}

void lab_put_measured(text_buf *t, text_sink sink, const lab_result *r)
{
    const lab_plan *p = r->plan;
    lab_put_file(t, sink, p, 0);
    text_words(t, " with its cache ");
    lab_put_cache(t, sink, p->base_kv);
    text_words(t, " (arithmetic ");
    text_puts(t, sink, p->arith);
    text_words(t, ") was compared with ");
    figure_put_number_of(t, p->n_candidates, "candidate", "candidates");
    text_words(t, " on the same positions: ");
    figure_put_number_of(t, p->n_candidates > 0 ? r->measured[0].all.tokens : 0, "position", "positions");
    text_words(t, " in ");
    figure_put_number_of(t, p->n_chunks, "chunk", "chunks");
    text_words(t, " of ");
    figure_put_number_of(t, p->chunk, "token", "tokens");
    text_words(t, ", from ");
    figure_put_number_of(t, p->n_texts, "text", "texts");
    text_words(t, " of ");
    figure_put_number_of(t, n_categories(p), "category", "categories");
    text_printf(t, "; what is beyond position %lld of a context was not measured", (long long)p->chunk);
    if (p->n_chunks == 1) text_words(t, ", and one chunk gives no interval");
    text_words(t, ".");
}

// Of the caches of the base that are smaller than its own, that whose worst category is the best; -1: there is none.
static int nearest(const lab_result *r)
{
    int    best = -1;
    double most = -1;
    for (int i = 0; i < r->plan->n_candidates; i++) {
        const lab_category *worst = lab_worst_category(&r->measured[i]);
        const lab_candidate *c = &r->plan->candidates[i];
        if (c->artifact != 0 || c->layer >= 0 || c->context_bytes >= r->plan->base_context_bytes) continue;
        if (!worst || !(worst->f.top1.v > most)) continue;
        most = worst->f.top1.v;
        best = i;
    }
    return best;
}

static void put_with_worst(text_buf *t, text_sink sink, const lab_result *r, int c)
{
    const lab_category *worst = lab_worst_category(&r->measured[c]);
    lab_put_cache(t, sink, r->plan->candidates[c].kv);
    if (!worst) return;
    text_words(t, " (");
    lab_put_share_in(t, sink, worst->f.top1.v, worst->category);
    text_words(t, ")");
}

static void put_none(text_buf *t, text_sink sink, const lab_result *r)
{
    const int c = nearest(r);
    if (c < 0) {
        text_words(t, "No cache of the base was measured that is smaller than its own, so that none is recommended");
        return;
    }
    text_printf(t, "No cache measured that is smaller than the base's own has a top-1 agreement of at least %.0f %% in "
                   "every category; the nearest is ", 100 * LAB_ENOUGH);
    put_with_worst(t, sink, r, c);
}

static void put_best(text_buf *t, text_sink sink, const lab_result *r)
{
    const lab_candidate *c = &r->plan->candidates[r->best];
    text_printf(t, "The smallest cache whose top-1 agreement is at least %.0f %% in every category is ",
                100 * LAB_ENOUGH);
    lab_put_cache(t, sink, c->kv);
    text_words(t, " (");
    figure_put_bytes(t, lab_each_bytes(r->plan, c->context_bytes));
    text_words(t, " bytes a position, the base's own ");
    figure_put_bytes(t, lab_each_bytes(r->plan, r->plan->base_context_bytes));
    text_words(t, ")");
}

static void put_avoid(text_buf *t, text_sink sink, const lab_result *r)
{
    text_words(t, "; avoid ");
    if (r->instead < 0) {
        put_with_worst(t, sink, r, r->avoid);
        return;
    }
    lab_put_cache(t, sink, r->plan->candidates[r->avoid].kv);
    text_words(t, ": ");
    lab_put_cache(t, sink, r->plan->candidates[r->instead].kv);
    text_words(t, " is no larger and loses less (mean KL ");
    figure_put_kl(t, loss(r, r->instead));
    text_words(t, ", not ");
    figure_put_kl(t, loss(r, r->avoid));
    text_words(t, ")");
}

const char *lab_compound_verdict(const lab_compound *x)
{
    if (!lab_has_interval(&x->share)) return "-";
    return x->share.low > 1 ? "compound" : x->share.high < 1 ? "overlap" : "add up";
}

void lab_put_method(text_buf *t, const lab_result *r)
{
    const lab_plan *p = r->plan;
    text_words(t, "All of them ran the same tokens, each chunk from an empty cache. At every compared position the "
                  "whole distribution of the next token was taken: KL is KL(base to candidate) in nats, top-1 and "
                  "top-5 how often the base's best tokens are the candidate's, change that of the next token's "
                  "probability, NLL the mean negative log-likelihood of the text. A chunk has ");
    figure_put_number_of(t, p->chunk, "token", "tokens");
    if (p->skip > 0) {
        text_words(t, ", of which the first ");
        figure_put_count(t, p->skip);
        text_words(t, " are run and not compared");
    }
    text_words(t, ". Bytes are those of a cache for ");
    figure_put_number_of(t, p->context, "position", "positions");
    text_words(t, ", divided by them. ");
    if (p->state_bytes > 0) {
        text_words(t, "Recurrent layers keep ");
        figure_put_count(t, p->state_bytes);
        text_words(t, " bytes beside any cache. ");
    }
    text_words(t, p->n_chunks > 1 ? "Intervals are of 95 %, by resampling whole chunks, wider where chunks are few."
                                  : "One chunk has no intervals.");
}

void lab_put_advice(text_buf *t, text_sink sink, const lab_result *r)
{
    if (r->best >= 0) put_best(t, sink, r);
    else              put_none(t, sink, r);
    const bool is_nearest = r->best < 0 && r->instead < 0 && r->avoid == nearest(r);     // named already
    if (r->avoid >= 0 && !is_nearest) put_avoid(t, sink, r);
    text_words(t, ".");
}
