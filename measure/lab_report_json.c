// The laboratory's report as JSON. Written straight into a text: numbers have a chosen number of digits.
#include "lab_report.h"
#include "lab_words.h"
#include <math.h>

static void put_string(text_buf *t, const char *s)
{
    text_words(t, "\"");
    text_puts(t, TEXT_JSON, s);
    text_words(t, "\"");
}

// "key": of an object; first: nothing stands before it.
static void put_key(text_buf *t, const char *key, bool first) { text_printf(t, "%s\"%s\": ", first ? "" : ", ", key); }

static void put_text(text_buf *t, const char *key, const char *s, bool first)
{
    put_key(t, key, first);
    if (s) put_string(t, s);
    else   text_words(t, "null");
}

static void put_int(text_buf *t, const char *key, int64_t v)
{
    put_key(t, key, false);
    text_printf(t, "%lld", (long long)v);
}

static void put_digits(text_buf *t, double v, int digits)
{
    if (isfinite(v)) text_printf(t, "%.*g", digits, v + 0.0);       // + 0.0: no sign before nothing
    else             text_words(t, "null");
}

static void put_number(text_buf *t, const char *key, double v)
{
    put_key(t, key, false);
    put_digits(t, v, LAB_KL_DIGITS);
}

static void put_file(text_buf *t, const char *key, const lab_plan *p, int artifact, bool first)
{
    put_key(t, key, first);
    text_words(t, "\"");
    lab_put_file(t, TEXT_JSON, p, artifact);
    text_words(t, "\"");
}

static void put_bytes(text_buf *t, const lab_plan *p, int64_t context_bytes)
{
    put_key(t, "bytes_per_position", false);
    put_digits(t, lab_each_bytes(p, context_bytes), LAB_SHARE_DIGITS);
    put_int(t, "context_bytes", context_bytes);
}

// Begins the next item of a list that stands on lines of its own, indented by so much.
static void next_line(text_buf *t, int i, int indent) { text_printf(t, "%s\n%*s", i > 0 ? "," : "", indent, ""); }

// ---- figures --------------------------------------------------------------------------------------------------------

static int digits_of(int kind) { return LAB_FIGURES[kind].share ? LAB_SHARE_DIGITS : LAB_KL_DIGITS; }

static void put_intervals(text_buf *t, const lab_figures *f)
{
    put_key(t, "intervals", false);
    text_words(t, "{");
    for (int i = 0; i < LAB_N_FIGURES; i++) {
        const lab_figure *x = lab_figure_at(f, i);
        const int digits = digits_of(i);
        put_key(t, LAB_FIGURES[i].key, i == 0);
        if (!lab_has_interval(x)) {
            text_words(t, "null");
            continue;
        }
        text_words(t, "[");
        put_digits(t, x->low, digits);
        text_words(t, ", ");
        put_digits(t, x->high, digits);
        text_words(t, "]");
    }
    text_words(t, "}");
}

static void put_figures(text_buf *t, const lab_figures *f)
{
    put_int(t, "tokens", f->tokens);
    put_int(t, "chunks", f->chunks);
    for (int i = 0; i < LAB_N_FIGURES; i++) {
        put_key(t, LAB_FIGURES[i].key, false);
        put_digits(t, lab_figure_at(f, i)->v, digits_of(i));
        if (i > 0) continue;
        put_number(t, "kl_low", f->kl_mean.low);
        put_number(t, "kl_high", f->kl_mean.high);
    }
    put_number(t, "nll_base", f->nll_base);
    put_number(t, "nll", f->nll);
    put_intervals(t, f);
}

// ---- what was measured ----------------------------------------------------------------------------------------------

static void put_base(text_buf *t, const lab_plan *p)
{
    text_words(t, "  \"base\": {");
    put_file(t, "name", p, 0, true);
    put_text(t, "type", p->artifacts[0].type, false);
    put_text(t, "kv", p->base_kv, false);
    put_text(t, "arith", p->arith, false);
    put_text(t, "digest", p->artifacts[0].digest, false);
    put_bytes(t, p, p->base_context_bytes);
    text_words(t, "},\n");
}

static void put_artifacts(text_buf *t, const lab_plan *p)
{
    text_words(t, "  \"artifacts\": [");
    for (int i = 0; i < p->n_artifacts; i++) {
        next_line(t, i, 4);
        text_words(t, "{");
        put_file(t, "name", p, i, true);
        put_text(t, "type", p->artifacts[i].type, false);
        put_text(t, "digest", p->artifacts[i].digest, false);
        text_words(t, "}");
    }
    text_words(t, "\n  ],\n");
}

static void put_texts(text_buf *t, const lab_plan *p)
{
    text_words(t, "  \"texts\": [");
    for (int i = 0; i < p->n_texts; i++) {
        const lab_text *x = &p->texts[i];
        next_line(t, i, 4);
        text_words(t, "{");
        put_text(t, "category", x->category, true);
        put_text(t, "name", x->name, false);
        put_int(t, "tokens", x->tokens);
        put_int(t, "chunks", x->chunks);
        put_text(t, "sha256", x->sha256, false);
        text_words(t, "}");
    }
    text_words(t, "\n  ],\n");
}

// ---- candidates -----------------------------------------------------------------------------------------------------

static void put_categories(text_buf *t, const lab_measured *m)
{
    text_words(t, ",\n      \"categories\": [");
    for (int i = 0; i < m->n_categories; i++) {
        next_line(t, i, 8);
        text_words(t, "{");
        put_text(t, "category", m->categories[i].category, true);
        put_figures(t, &m->categories[i].f);
        text_words(t, "}");
    }
    text_words(t, "]");
}

static void put_positions(text_buf *t, const lab_measured *m)
{
    text_words(t, ",\n      \"positions\": [");
    for (int i = 0; i < m->n_bands; i++) {
        next_line(t, i, 8);
        text_printf(t, "{\"from\": %lld", (long long)m->bands[i].from);
        put_int(t, "to", m->bands[i].to);
        put_figures(t, &m->bands[i].f);
        text_words(t, "}");
    }
    text_words(t, "]");
}

static void put_place(text_buf *t, const char *category, const lab_worst *w)
{
    text_words(t, "{");
    put_text(t, "category", category, true);
    put_int(t, "chunk", w->chunk);
    put_int(t, "position", w->place->position);
    put_number(t, "kl", w->kl);
    put_text(t, "base_best", w->place->base_best, false);
    put_text(t, "best", w->place->best, false);
    put_text(t, "before", w->place->before, false);
    put_text(t, "next", w->place->next, false);
    put_text(t, "after", w->place->after, false);
    text_words(t, "}");
}

static void put_worst(text_buf *t, const lab_measured *m)
{
    int n = 0;
    text_words(t, ",\n      \"worst\": [");
    for (int i = 0; i < m->n_categories; i++)
        for (int k = 0; k < m->categories[i].n_worst; k++) {
            next_line(t, n++, 8);
            put_place(t, m->categories[i].category, &m->categories[i].worst[k]);
        }
    text_words(t, "]");
}

static void put_candidates(text_buf *t, const lab_result *r)
{
    const lab_plan *p = r->plan;
    text_words(t, "  \"candidates\": [");
    for (int i = 0; i < p->n_candidates; i++) {
        next_line(t, i, 4);
        text_words(t, "{");
        put_file(t, "artifact", p, p->candidates[i].artifact, true);
        put_text(t, "kv", p->candidates[i].kv, false);
        put_text(t, "llama", p->candidates[i].llama, false);
        if (p->candidates[i].layer >= 0) {
            put_int(t, "layer", p->candidates[i].layer);
            put_text(t, "side", p->candidates[i].values ? "values" : "keys", false);
        }
        put_bytes(t, p, p->candidates[i].context_bytes);
        put_figures(t, &r->measured[i].all);
        put_categories(t, &r->measured[i]);
        put_positions(t, &r->measured[i]);
        put_worst(t, &r->measured[i]);
        text_words(t, "}");
    }
    text_words(t, "\n  ],\n");
}

static void put_compounds(text_buf *t, const lab_result *r)
{
    text_words(t, "  \"compounds\": [");
    for (int i = 0; i < r->n_compounds; i++) {
        const lab_compound *x = &r->compounds[i];
        next_line(t, i, 4);
        text_words(t, "{");
        put_file(t, "artifact", r->plan, r->plan->candidates[x->both].artifact, true);
        put_text(t, "kv", r->plan->candidates[x->both].kv, false);
        put_number(t, "kl_weights", r->measured[x->weights].all.kl_mean.v);
        put_number(t, "kl_cache", r->measured[x->cache].all.kl_mean.v);
        put_number(t, "kl_both", r->measured[x->both].all.kl_mean.v);
        put_number(t, "share", x->share.v);
        put_number(t, "share_low", x->share.low);
        put_number(t, "share_high", x->share.high);
        text_words(t, "}");
    }
    text_words(t, "],\n");
}

static const char *kv_of(const lab_result *r, int c) { return c < 0 ? NULL : r->plan->candidates[c].kv; }

static void put_recommendation(text_buf *t, const lab_result *r)
{
    text_words(t, "  \"recommendation\": {");
    put_text(t, "use", kv_of(r, r->best), true);
    put_text(t, "avoid", kv_of(r, r->avoid), false);
    put_text(t, "instead", kv_of(r, r->instead), false);
    put_key(t, "sentence", false);
    text_words(t, "\"");
    lab_put_advice(t, TEXT_JSON, r);
    text_words(t, "\"}\n");
}

// Of the document, on a line of its own.
static void put_count(text_buf *t, const char *key, int64_t v)
{
    text_printf(t, "  \"%s\": %lld,\n", key, (long long)v);
}

char *lab_report_json(const lab_result *r)
{
    const lab_plan *p = r->plan;
    text_buf t = { 0 };
    text_words(&t, "{\n  \"hallmark_lab\": 1,\n");
    put_base(&t, p);
    put_artifacts(&t, p);
    put_texts(&t, p);
    put_count(&t, "chunk", p->chunk);
    put_count(&t, "skip", p->skip);
    put_count(&t, "samples", p->samples);
    put_count(&t, "context", p->context);
    put_count(&t, "state_bytes", p->state_bytes);
    if (p->budget > 0) {
        text_printf(&t, "  \"budget\": %lld", (long long)p->budget);
        put_text(&t, "chosen", p->candidates[0].kv, false);
        text_words(&t, ",\n");
    }
    put_candidates(&t, r);
    put_compounds(&t, r);
    put_recommendation(&t, r);
    text_words(&t, "}\n");
    return text_take(&t);
}
