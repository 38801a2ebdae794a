// Plots of verification reports that show each step: KL by case and step, margins and ties. What was kept is in
// trace.h; how much of it is drawn stands in report_html.h.
#include "report_html.h"
#include "../formats/figures.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t most_steps(const verify_fixture_result *f)
{
    int64_t n = 0;
    for (int64_t i = 0; i < f->n_traced; i++)
        if (f->traced[i].n_steps > n) n = f->traced[i].n_steps;
    return n;
}

// Another id than the reference's, whatever is asked of it.
static bool differs(const verify_step *s) { return s->got != s->expected; }

// NaN is the worst there can be.
static double worse(double a, double b) { return isnan(a) || a > b ? a : b; }

static double case_kl_max(const verify_case *c)
{
    double most = 0;
    for (int64_t i = 0; i < c->n_steps; i++) most = worse(c->steps[i].kl, most);
    return most;
}

static void put_step_ticks(text_buf *t, int64_t n_steps, double y)
{
    int64_t each = 1;
    while (n_steps / each > 8) each *= 2;
    for (int64_t s = 0; s < n_steps; s += each) {
        text_printf(t, "<text class=\"%s\" y=\"%.0f\"", s == 0 ? "start" : "mid", y);
        html_put_at(t, "x", s == 0 ? 0 : ((double)s + 0.5) / (double)n_steps);
        text_printf(t, ">%lld</text>", (long long)s);
    }
}

// ---- KL by case and step --------------------------------------------------------------------------------------------

enum { HEAT_ROW = 17, LEVELS = 6 };

typedef struct {
    const verify_fixture_result *f;
    const verify_case *rows[HEAT_ROWS];
    int     n_rows, n_columns;
    int64_t n_steps, per_column;        // steps; of a column
    double  unit;                       // the limit on the mean: levels are multiples of it
} heat;

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// The k-th smallest of n values, k from 1 on, which are sorted; INFINITY where there are not so many.
static double smallest(double *v, int64_t n, int64_t k)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return k <= n ? v[k - 1] : INFINITY;
}

// As a key to sort by: what is not finite comes first.
static double row_key(const verify_case *c)
{
    const double most = case_kl_max(c);
    return isnan(most) ? -INFINITY : -most;
}

// Of more cases than rows those of the largest KL, in the fixture's order.
static bool choose_rows(heat *h)
{
    const int64_t n = h->f->n_traced;
    int64_t before = 0;
    double *keys = malloc(((size_t)n + 1) * sizeof *keys);
    if (!keys) return false;
    for (int64_t i = 0; i < n; i++) keys[i] = row_key(&h->f->traced[i]);
    const double last = smallest(keys, n, HEAT_ROWS);
    for (int64_t i = 0; i < n; i++) before += keys[i] < last;
    for (int64_t i = 0, like_last = 0; i < n; i++) {
        const double key = row_key(&h->f->traced[i]);
        if (key > last || (key == last && like_last++ >= HEAT_ROWS - before)) continue;
        h->rows[h->n_rows++] = &h->f->traced[i];
    }
    free(keys);
    return true;
}

static heat heat_of(const verify_fixture_result *f, bool *failed)
{
    heat h = { .f = f, .n_steps = most_steps(f) };
    h.per_column = (h.n_steps + HEAT_COLUMNS - 1) / HEAT_COLUMNS;
    if (h.per_column < 1) h.per_column = 1;
    h.n_columns = (int)((h.n_steps + h.per_column - 1) / h.per_column);
    h.unit = f->kl_limit > 0 ? f->kl_limit : 1e-3;
    *failed |= !choose_rows(&h);
    return h;
}

// The largest of a column's steps; -1: the case did not come to it.
static double column_kl(const heat *h, const verify_case *c, int column)
{
    double most = -1;
    for (int64_t s = column * h->per_column; s < (column + 1) * h->per_column && s < c->n_steps; s++)
        most = worse(c->steps[s].kl, most);
    return most;
}

// 0: at most a thousandth of the limit; then a level each decade. LEVELS: above a hundred times it, or not finite.
// -1: there is nothing.
static int level_of(const heat *h, double kl)
{
    double bound = h->unit / 1000;
    int    level = 0;
    if (isnan(kl)) return LEVELS;
    if (kl < 0) return -1;
    for (; level < LEVELS && kl > bound; level++) bound *= 10;
    return level;
}

static const char *level_class(int level)
{
    static const char *const classes[LEVELS + 1] = { "h0", "h1", "h2", "h3", "h4", "h5", "bad" };
    return classes[level];
}

// Columns of one level, side by side, are one rectangle.
static void put_heat_row(text_buf *t, const heat *h, int row)
{
    const verify_case *c = h->rows[row];
    for (int from = 0, to; from < h->n_columns; from = to) {
        const int level = level_of(h, column_kl(h, c, from));
        for (to = from + 1; to < h->n_columns && level_of(h, column_kl(h, c, to)) == level; to++) {}
        if (level < 0) continue;
        text_printf(t, "<rect class=\"%s\" y=\"%d\" height=\"%d\"", level_class(level), row * HEAT_ROW, HEAT_ROW - 2);
        html_put_at(t, "x", (double)from / h->n_columns);
        html_put_at(t, "width", (double)(to - from) / h->n_columns);
        text_words(t, "/>");
    }
    text_printf(t, "<text class=\"end\" x=\"-6\" y=\"%d\">", row * HEAT_ROW + 12);
    html_put_short(t, c->id, 16);
    text_words(t, "</text>\n");
}

static void put_heat_key(text_buf *t)
{
    static const char *const words[LEVELS + 1] = {
        "at most a thousandth of the limit on the mean", "a hundredth", "a tenth", "the limit", "10 times it",
        "100 times it", "more, or not finite" };
    text_words(t, "<ul class=\"shapes key\">");
    for (int i = 0; i <= LEVELS; i++)
        text_printf(t, "<li><svg width=\"16\" height=\"12\" aria-hidden=\"true\"><rect class=\"%s\" x=\"1\" y=\"1\" "
                       "width=\"14\" height=\"10\"/></svg> %s</li>", level_class(i), words[i]);
    text_words(t, "</ul>\n");
}

static void describe_heat(report_page *g, const heat *h)
{
    text_words(&g->t, "KL by case and step");
    html_begin_description(&g->t, g->n_plots);
    text_words(&g->t, "The largest KL of each case: ");
    for (int i = 0; i < h->n_rows; i++) {
        text_words(&g->t, i > 0 ? "; " : "");
        text_puts(&g->t, TEXT_XML, h->rows[i]->id);
        text_words(&g->t, ", ");
        figure_put_kl(&g->t, case_kl_max(h->rows[i]));
    }
    text_words(&g->t, ".</desc>");
}

static void put_heat_svg(report_page *g, const heat *h)
{
    text_words(&g->t, "<div class=\"heat\">");
    html_begin_plot(&g->t, ++g->n_plots, HEAT_ROW * h->n_rows + 18);
    describe_heat(g, h);
    for (int i = 0; i < h->n_rows; i++) put_heat_row(&g->t, h, i);
    put_step_ticks(&g->t, h->n_steps, HEAT_ROW * h->n_rows + 13);
    text_words(&g->t, "</svg></div>\n<p class=\"axis x\">step</p>\n");
}

static void put_column_name(text_buf *t, const heat *h, int column)
{
    const int64_t from = column * h->per_column, last = from + h->per_column - 1;
    if (h->per_column == 1) text_printf(t, "<th scope=\"col\">%lld</th>", (long long)from);
    else                    text_printf(t, "<th scope=\"col\">%lld to %lld</th>", (long long)from,
                                        (long long)(last < h->n_steps ? last : h->n_steps - 1));
}

static void put_kl_cell(text_buf *t, double kl)
{
    if (isnan(kl))     text_words(t, "<td>not finite</td>");
    else if (kl == -1) text_words(t, "<td>-</td>");
    else               html_put_figure_cell(t, kl, false);
}

static void put_heat_table(text_buf *t, const heat *h)
{
    html_begin_details(t, "KL by case and step as a table");
    html_begin_columns(t, "KL of each case at each step, in nats");
    html_put_column(t, "<case");
    for (int k = 0; k < h->n_columns; k++) put_column_name(t, h, k);
    html_end_columns(t);
    for (int i = 0; i < h->n_rows; i++) {
        text_words(t, "<tr><th scope=\"row\"><span>");
        text_puts(t, TEXT_XML, h->rows[i]->id);
        text_words(t, "</span></th>");
        for (int k = 0; k < h->n_columns; k++) put_kl_cell(t, column_kl(h, h->rows[i], k));
        text_words(t, "</tr>\n");
    }
    html_end_table(t);
    html_end_details(t);
}

void report_put_heat(report_page *g, const verify_fixture_result *f)
{
    const heat h = heat_of(f, &g->t.failed);
    if (h.n_steps == 0) return;
    text_words(&g->t, "<h4>KL by case and step</h4>\n<p class=\"axis\">the stronger the colour, the further from "
                      "Transformers, given its own text. The limit on the mean is ");
    figure_put_kl(&g->t, h.unit);
    text_words(&g->t, f->kl_limit > 0 ? " nats; single steps of a sound run may lie above it.</p>\n"
                                      : " nats here, as there is none.</p>\n");
    put_heat_key(&g->t);
    put_heat_svg(g, &h);
    if (h.per_column > 1)
        text_printf(&g->t, "<p>A column is %lld steps and shows the largest.</p>\n", (long long)h.per_column);
    if (h.n_rows < f->n_traced)
        text_printf(&g->t, "<p>Drawn are the %d cases of the largest KL, of %lld.</p>\n", h.n_rows,
                    (long long)f->n_traced);
    put_heat_table(&g->t, &h);
}

// ---- margins and ties -----------------------------------------------------------------------------------------------

enum { TOP = 10, BOTTOM = 190 };

typedef enum { PLAIN, OPEN, TIED, OTHER, KINDS } kind;

static kind kind_of(const verify_step *s)
{
    if (s->state == PART_TIE) return TIED;
    if (s->state == PART_BROKE || differs(s)) return OTHER;
    return s->open ? OPEN : PLAIN;
}

static const char *const KIND_WORDS[KINDS] = {
    "the same id", "the same id at a tie", "another id at a tie, which is allowed", "another id" };

// Of each kind so many at most are drawn. Of steps of another id those of the largest margins tell most, else those of
// the smallest.
static const int MOST[KINDS] = { MOST_POINTS, MOST_POINTS / 4, MOST_POINTS / 4, MOST_POINTS / 4 };

typedef struct {
    double  key[KINDS];         // steps up to that key are drawn
    int64_t n[KINDS];           // how many there are
} bounds;

static double key_of(const verify_step *s) { return kind_of(s) == OTHER ? -s->margin : s->margin; }

static bool shown(const verify_step *s, const bounds *b)
{
    return isfinite(s->margin) && key_of(s) <= b->key[kind_of(s)];
}

static double bound_of(const verify_fixture_result *f, kind k, double *keys)
{
    int64_t n = 0;
    for (int64_t i = 0; i < f->n_traced; i++)
        for (int64_t s = 0; s < f->traced[i].n_steps; s++) {
            const verify_step *x = &f->traced[i].steps[s];
            if (isfinite(x->margin) && kind_of(x) == k) keys[n++] = key_of(x);
        }
    return smallest(keys, n, MOST[k]);
}

static bounds bounds_of(const verify_fixture_result *f, bool *failed)
{
    bounds  b = { .n = { 0 } };
    int64_t n = 0;
    for (int64_t i = 0; i < f->n_traced; i++) {
        n += f->traced[i].n_steps;
        for (int64_t s = 0; s < f->traced[i].n_steps; s++) b.n[kind_of(&f->traced[i].steps[s])]++;
    }
    double *keys = malloc(((size_t)n + 1) * sizeof *keys);
    *failed |= !keys;
    for (int k = 0; keys && k < KINDS; k++) b.key[k] = bound_of(f, (kind)k, keys);
    free(keys);
    return b;
}

// Plain ones are dots.
static void put_kind_mark(text_buf *t, kind k)
{
    static const int shapes[KINDS] = { 0, 2, 2, 5 };
    plot_put_mark(t, shapes[k], k != OPEN);
}

static void put_point(text_buf *t, const plot_axis *a, const verify_step *s, int64_t step, int64_t n_steps,
                      const char *case_id)
{
    const double x = ((double)step + 0.5) / (double)n_steps, y = html_up(a, s->margin, TOP, BOTTOM);
    const kind k = kind_of(s);
    if (k == PLAIN) {
        html_put_line(t, "dot", x, y, x, y);
        return;
    }
    html_begin_at(t, x, y);
    text_printf(t, "<g class=\"%s\"><title>", k == OTHER ? "bad" : "found");
    text_puts(t, TEXT_XML, case_id);
    text_printf(t, ", step %lld: %s, margin ", (long long)step, KIND_WORDS[k]);
    figure_put_kl(t, s->margin);
    text_words(t, "</title>");
    put_kind_mark(t, k);
    text_words(t, "</g></svg>");
}

static void put_points(text_buf *t, const verify_fixture_result *f, const plot_axis *a, const bounds *b, kind k)
{
    const int64_t n_steps = most_steps(f);
    for (int64_t i = 0; i < f->n_traced; i++)
        for (int64_t s = 0; s < f->traced[i].n_steps; s++) {
            const verify_step *x = &f->traced[i].steps[s];
            if (shown(x, b) && kind_of(x) == k) put_point(t, a, x, s, n_steps, f->traced[i].id);
        }
}

static void put_margin_key(text_buf *t, const bounds *b)
{
    text_words(t, "<ul class=\"shapes\">");
    for (int k = 0; k < KINDS; k++) {
        html_begin_key(t);
        if (k == PLAIN) text_words(t, "<line class=\"dot\" x1=\"0\" x2=\"0\" y1=\"0\" y2=\"0\"/>");
        if (k == OTHER) text_words(t, "<g class=\"bad\">");
        if (k != PLAIN) put_kind_mark(t, (kind)k);
        if (k == OTHER) text_words(t, "</g>");
        text_printf(t, "</svg> %s: %lld</li>", KIND_WORDS[k], (long long)b->n[k]);
    }
    text_words(t, "</ul>\n");
}

static plot_axis margin_axis(const verify_fixture_result *f, const bounds *b)
{
    plot_axis a = { 0 };
    for (int64_t i = 0; i < f->n_traced; i++)
        for (int64_t s = 0; s < f->traced[i].n_steps; s++)
            if (shown(&f->traced[i].steps[s], b)) plot_axis_take(&a, f->traced[i].steps[s].margin);
    plot_axis_decades(&a);
    return a;
}

static void put_margin_svg(report_page *g, const verify_fixture_result *f, const bounds *b)
{
    const plot_axis a = margin_axis(f, b);
    text_words(&g->t, "<div class=\"plot\">");
    html_begin_plot(&g->t, ++g->n_plots, BOTTOM + 22);
    text_words(&g->t, "The reference's margin at each step");
    html_begin_description(&g->t, g->n_plots);
    for (int k = 0; k < KINDS; k++)
        text_printf(&g->t, "%s%s: %lld", k > 0 ? "; " : "", KIND_WORDS[k], (long long)b->n[k]);
    text_words(&g->t, ".</desc>");
    html_put_y_axis(&g->t, &a, 6, TOP, BOTTOM);
    for (int k = 0; k < KINDS; k++) put_points(&g->t, f, &a, b, (kind)k);      // what tells more lies above
    put_step_ticks(&g->t, most_steps(f), BOTTOM + 17);
    text_words(&g->t, "</svg></div>\n<p class=\"axis x\">step</p>\n");
}

static void put_step_row(text_buf *t, const verify_case *c, int64_t step)
{
    const verify_step *s = &c->steps[step];
    text_words(t, "<tr>");
    html_put_words_cell(t, c->id);
    text_printf(t, "<th scope=\"row\">%lld</th><td>%d</td><td>%d</td>", (long long)step, s->expected, s->got);
    html_put_figure_cell(t, s->margin, false);
    put_kl_cell(t, s->kl);
    text_printf(t, "<td class=\"l%s\">%s%s</td></tr>\n", kind_of(s) == OTHER ? " broke" : "", KIND_WORDS[kind_of(s)],
                s->left_out ? "; its distance is not counted" : "");
}

static void put_steps_table(text_buf *t, const verify_fixture_result *f, const bounds *b)
{
    static const char *const names[] = { "<case", "<step", "Transformers' id", "ours", "margin", "KL", "<outcome",
                                         NULL };
    html_begin_details(t, "The steps as a table");
    html_begin_table(t, "Each step that is drawn", names);
    for (int64_t i = 0; i < f->n_traced; i++)
        for (int64_t s = 0; s < f->traced[i].n_steps; s++)
            if (shown(&f->traced[i].steps[s], b)) put_step_row(t, &f->traced[i], s);
    html_end_table(t);
    html_end_details(t);
}

static void put_left_out(text_buf *t, const bounds *b)
{
    for (int k = 0; k < KINDS; k++)
        if (b->n[k] > MOST[k])
            text_printf(t, "<p>Of the %lld steps of the kind \"%s\" the %d of the %s margins are drawn.</p>\n",
                        (long long)b->n[k], KIND_WORDS[k], MOST[k], k == OTHER ? "largest" : "smallest");
}

void report_put_margins(report_page *g, const verify_fixture_result *f)
{
    const bounds b = bounds_of(f, &g->t.failed);
    text_words(&g->t, "<h4>Margins and ties</h4>\n<p class=\"axis\">the reference's margin between its best two ids at "
                      "each step, in logits, logarithmic: the smaller, the less it takes to choose another</p>\n");
    put_margin_key(&g->t, &b);
    put_margin_svg(g, f, &b);
    put_left_out(&g->t, &b);
    put_steps_table(&g->t, f, &b);
}
