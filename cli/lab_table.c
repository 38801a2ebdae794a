#include "lab_table.h"
#include "../measure/lab_words.h"
#include "terminal.h"
#include "text_out.h"
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 120, CACHE_WIDTH = 18, CATEGORY_WIDTH = 13, TAIL = 11 };      // where there is no terminal; and names

// ---- names ----------------------------------------------------------------------------------------------------------

typedef struct {
    char **v;               // [n] of all files, without .gguf, which all have
    int    n;
    size_t common, cut;     // bytes that all begin with, and need not be told by; of those left out
    bool   short_caches;
} names;

static char *file_name(const lab_plan *p, int artifact)
{
    text_buf name = { 0 };
    lab_put_file(&name, TEXT_PLAIN, p, artifact);
    char *text = text_take(&name);
    const size_t n = text ? strlen(text) : 0;
    if (n > 5 && strcmp(text + n - 5, ".gguf") == 0) text[n - 5] = '\0';
    return text;
}

// Of each name something stays; of one alone its end, which says the type.
static void find_common(names *x)
{
    const char *first = x->v[0];
    x->common = strlen(first);
    for (int i = 0; i < x->n; i++) {
        const size_t n = strlen(x->v[i]);
        size_t same = 0;
        while (same < x->common && same + 1 < n && x->v[i][same] == first[same]) same++;
        x->common = same;
    }
    if (x->n == 1) x->common = x->common > TAIL ? strlen(first) - TAIL : 0;
}

static bool names_open(names *x, const lab_plan *p)
{
    *x = (names){ .v = calloc((size_t)p->n_artifacts, sizeof *x->v), .n = p->n_artifacts };
    bool ok = x->v != NULL;
    for (int i = 0; ok && i < x->n; i++) ok = (x->v[i] = file_name(p, i)) != NULL;
    if (ok) find_common(x);
    return ok;
}

static void names_close(names *x)
{
    for (int i = 0; x->v && i < x->n; i++) free(x->v[i]);
    free(x->v);
}

// So much of what is common is left out that a table of that width, which has all of it, has no more columns.
static void cut_common(names *x, int width, int columns)
{
    const size_t needed = width > columns ? (size_t)(width - columns) + strlen("...") : 0;
    const size_t most = needed < x->common ? needed : x->common;
    x->cut = (size_t)text_cut(x->v[0], (int64_t)strlen(x->v[0]), (int64_t)most);
    if (x->cut <= strlen("...")) x->cut = 0;
}

static void put_file(table *t, const names *x, int artifact)
{
    table_cell(t, "%s%s", x->cut ? "..." : "", x->v[artifact] + x->cut);
}

// Of one that is cut the end is as telling as the beginning.
static void put_cache(table *t, const names *x, const char *kv)
{
    char text[CACHE_WIDTH + 1];
    text_fit(text, sizeof text, kv, strlen(kv), CACHE_WIDTH / 2);
    table_cell(t, "%s", x->short_caches ? text : kv);
}

// ---- cells ----------------------------------------------------------------------------------------------------------

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

static void put_row(table *t, const lab_result *r, const names *x, int c)
{
    const lab_figures *f = &r->measured[c].all;
    text_buf bytes = { 0 };
    put_file(t, x, r->plan->candidates[c].artifact);
    put_cache(t, x, r->plan->candidates[c].kv);
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

static table table_of(const lab_result *r, const names *x, const int *order)
{
    static const char *const header[] = { "file", "cache", ">bytes", ">mean KL (95 %)", ">p99", ">max",
                                          ">top-1 %", ">top-5 %", "worst category, %", NULL };
    table t;
    table_begin(&t, header);
    for (int i = 0; i < r->plan->n_candidates; i++) put_row(&t, r, x, order[i]);
    return t;
}

// The table with as little left out of files' names as its columns need. True: it fits.
static bool fit_files(table *t, const lab_result *r, names *x, const int *order, int columns)
{
    x->cut = 0;
    *t = table_of(r, x, order);
    if (table_width(t) <= columns || t->failed) return true;
    cut_common(x, table_width(t), columns);
    table_drop(t);
    *t = table_of(r, x, order);
    return table_width(t) <= columns;
}

// Caches are cut where that is not enough.
static bool print_table(const lab_result *r, names *x, const int *order, int columns, FILE *f)
{
    table t;
    if (!fit_files(&t, r, x, order, columns)) {
        x->short_caches = true;
        table_drop(&t);
        fit_files(&t, r, x, order, columns);
    }
    return table_print(&t, f);
}

bool lab_table_print(const lab_result *r, FILE *f)
{
    names x;
    int *order = lab_by_bytes(r);
    const bool named = names_open(&x, r->plan) && order;
    if (!named) fprintf(stderr, "hallmark: out of memory for a table\n");
    const bool ok = named && print_table(r, &x, order, terminal_columns(fileno(f), COLUMNS), f)
        && print_sentences(r, f) && print_compounds(r, f);
    names_close(&x);
    free(order);
    return ok;
}
