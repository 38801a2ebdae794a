#include "lab_table.h"
#include "../measure/lab_words.h"
#include "text_out.h"
#include <stdlib.h>
#include <string.h>

enum { FILE_WIDTH = 14, CACHE_WIDTH = 18, CATEGORY_WIDTH = 13 };       // the widest a name is shown

// A name of at most that many characters: of a longer one the end is as telling as the beginning.
static void put_name(table *t, const char *s, size_t width)
{
    char text[64];
    text_fit(text, width + 1, s, strlen(s), width / 2);
    table_cell(t, "%s", text);
}

// A file's name without .gguf, which all have.
static void put_file(table *t, const lab_plan *p, int artifact)
{
    text_buf name = { 0 };
    lab_put_file(&name, TEXT_PLAIN, p, artifact);
    char *text = text_take(&name);
    const size_t n = text ? strlen(text) : 0;
    if (n > 5 && strcmp(text + n - 5, ".gguf") == 0) text[n - 5] = '\0';
    if (text) put_name(t, text, FILE_WIDTH);
    else      t->failed = true;
    free(text);
}

static void put_kl(table *t, double v)
{
    text_buf words = { 0 };
    figure_put_digits(&words, v, 2);
    table_words(t, &words);
}

static void put_percent(table *t, double v)
{
    text_buf words = { 0 };
    figure_put_percent(&words, v);
    table_words(t, &words);
}

// As short as it can be: two digits of an interval's ends say how wide it is.
static void put_bounds(text_buf *words, const lab_figure *x)
{
    text_words(words, " (");
    figure_put_digits(words, x->low, 2);
    text_words(words, "..");
    figure_put_digits(words, x->high, 2);
    text_words(words, ")");
}

static void put_mean(table *t, const lab_figure *kl)
{
    text_buf words = { 0 };
    figure_put_kl(&words, kl->v);
    if (lab_has_interval(kl)) put_bounds(&words, kl);
    table_words(t, &words);
}

static void put_worst(table *t, const lab_measured *m)
{
    const lab_category *worst = lab_worst_category(m);
    if (!worst) {
        table_cell(t, "-");
        return;
    }
    char name[CATEGORY_WIDTH + 1];
    text_fit(name, sizeof name, worst->category, strlen(worst->category), CATEGORY_WIDTH / 2);
    text_buf words = { 0 };
    text_puts(&words, TEXT_PLAIN, name);
    text_words(&words, " ");
    figure_put_percent(&words, worst->f.top1.v);
    table_words(t, &words);
}

static void put_row(table *t, const lab_result *r, int c)
{
    const lab_figures *f = &r->measured[c].all;
    text_buf bytes = { 0 };
    put_file(t, r->plan, r->plan->candidates[c].artifact);
    put_name(t, r->plan->candidates[c].kv, CACHE_WIDTH);
    figure_put_bytes(&bytes, lab_each_bytes(r->plan, r->plan->candidates[c].context_bytes));
    table_words(t, &bytes);
    put_mean(t, &f->kl_mean);
    put_kl(t, f->kl_p99.v);
    put_kl(t, f->kl_max.v);
    put_percent(t, f->top1.v);
    put_percent(t, f->top5.v);
    put_worst(t, &r->measured[c]);
}

static bool print_words(text_buf *words, FILE *f)
{
    char *text = text_take(words);
    if (text) fputs(text, f);
    else      fprintf(stderr, "hallmark: out of memory for a table\n");
    free(text);
    return text != NULL;
}

static bool print_sentences(const lab_result *r, FILE *f)
{
    text_buf words = { 0 };
    text_words(&words, "bytes: for each position, in a context of ");
    figure_put_count(&words, r->plan->context);
    text_words(&words, "; KL in nats; worst category: that of the lowest top-1 agreement\n");
    lab_put_measured(&words, TEXT_PLAIN, r);
    text_words(&words, "\n");
    lab_put_advice(&words, TEXT_PLAIN, r);
    text_words(&words, "\n");
    return print_words(&words, f);
}

// What a file's weights and a cache lose together, beside what they lose apart.
static bool print_compounds(const lab_result *r, FILE *f)
{
    text_buf t = { 0 };
    for (int i = 0; i < r->n_compounds; i++) {
        const lab_compound *x = &r->compounds[i];
        text_words(&t, "Weights and cache, ");
        lab_put_file(&t, TEXT_PLAIN, r->plan, x->artifact);
        text_words(&t, " with ");
        lab_put_cache(&t, TEXT_PLAIN, r->plan->candidates[x->both].kv);
        text_printf(&t, ": %.3g of the sum of both losses (", x->share.v);
        lab_put_interval(&t, &x->share, false);
        text_printf(&t, "): they %s\n", lab_compound_verdict(x));
    }
    return print_words(&t, f);
}

bool lab_table_print(const lab_result *r, FILE *f)
{
    static const char *const header[] = { "file", "cache", ">bytes", ">mean KL (95 %)", ">p99", ">max",
                                          ">top-1 %", ">top-5 %", "worst category, %", NULL };
    int  *order = lab_by_bytes(r);
    table t;
    table_begin(&t, header);
    for (int i = 0; order && i < r->plan->n_candidates; i++) put_row(&t, r, order[i]);
    t.failed |= !order;
    free(order);
    return table_print(&t, f) && print_sentences(r, f) && print_compounds(r, f);
}
