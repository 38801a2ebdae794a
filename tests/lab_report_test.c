// Proves measure/lab_report.h, measure/lab_words.h, formats/plot.h and cli/lab_table.h on made-up results
// (lab_sample.h): JSON has every figure to its digits, and nothing that is not measured; Markdown's tables are whole;
// the page is well-formed, says of every plot what it shows, and can be read in both colours; labels keep apart;
// nothing lost, one chunk, one candidate and forty look as they should. Hostile texts are in tests/shown_report_test.c.
#define _GNU_SOURCE
#include "cli/lab_table.h"
#include "contrast.h"
#include "formats/file_map.h"
#include "formats/json.h"
#include "lab_sample.h"
#include "measure/lab_html.h"
#include "page.h"
#include <unistd.h>

static const sample_opts one = { 1, 1, 1, 512, .text = NULL }, nothing_lost = { 3, 1, 12, 512, .nothing_lost = true },
                         dozen = { 12, 1, 24, 8192, .text = NULL }, forty = { 40, 1, 48, 32768, .text = NULL },
                         files = { 5, 4, 24, 4096, .text = NULL }, layers = { 20, 1, 12, 2048, .by_layer = true };
static const sample_opts *const all_samples[] = { &one, &nothing_lost, &dozen, &forty, &files, &layers };
enum { N_SAMPLES = sizeof all_samples / sizeof all_samples[0] };

// ---- words ----------------------------------------------------------------------------------------------------------

#define SAYS(expected, call) do {                                                                                  \
        text_buf t_ = { 0 };                                                                                       \
        text_buf *t = &t_;                                                                                         \
        call;                                                                                                      \
        char *said_ = text_take(t);                                                                                \
        ck_assert_str_eq(said_, expected);                                                                         \
        free(said_);                                                                                               \
    } while (0)

START_TEST(figures_are_for_a_reader)
{
    SAYS("0.0123", figure_put_kl(t, 0.01234));
    SAYS("0", figure_put_kl(t, -0.0));
    SAYS("4.5e-5", figure_put_kl(t, 4.5e-5));
    SAYS("1.23e-17", figure_put_kl(t, 1.23e-17));
    SAYS("-", figure_put_kl(t, NAN));
    SAYS("-", figure_put_kl(t, INFINITY));
    SAYS("98.73 %", figure_put_share(t, 0.98731));
    SAYS("100.00 %", figure_put_share(t, 1));
    SAYS("99.9999 %", figure_put_share(t, 1 - 1e-6));      // one position of a million is not none
    SAYS("99.996 %", figure_put_share(t, 0.99996));
    SAYS("0.00 %", figure_put_share(t, 0));
    SAYS("-", figure_put_share(t, NAN));
    SAYS("1,234,567", figure_put_count(t, 1234567));
    SAYS("-1,234", figure_put_count(t, -1234));
    SAYS("999", figure_put_count(t, 999));
    SAYS("1,065.6", figure_put_bytes(t, 1065.6));
    SAYS("1,066", figure_put_bytes(t, 1065.96));
    SAYS("0.01 to 0.02", lab_put_interval(t, &((lab_figure){ 0.015, 0.01, 0.02 }), false));
    SAYS("-", lab_put_interval(t, &((lab_figure){ 0.015, NAN, NAN }), false));
    ck_assert_str_eq(lab_compound_verdict(&(lab_compound){ .share = { 1.1, 1.01, 1.2 } }), "compound");
    ck_assert_str_eq(lab_compound_verdict(&(lab_compound){ .share = { 1.1, 0.9, 1.2 } }), "add up");
    ck_assert_str_eq(lab_compound_verdict(&(lab_compound){ .share = { 0.8, 0.7, 0.9 } }), "overlap");
    ck_assert_str_eq(lab_compound_verdict(&(lab_compound){ .share = { 1.1, NAN, NAN } }), "-");
}
END_TEST

START_TEST(caches_have_an_order_and_a_front)
{
    lab_sample *s = lab_sample_new(&files);
    const lab_result *r = &s->result;
    const int n = s->plan.n_candidates;
    int  *order = lab_by_bytes(r);
    bool *front = lab_front(r);
    for (int i = 0; i < n; i++) {
        const lab_candidate *c = &s->plan.candidates[order[i]];
        if (i > 0) ck_assert_int_le(s->plan.candidates[order[i - 1]].context_bytes, c->context_bytes);
        bool beaten = false;
        for (int k = 0; k < n; k++) {
            const lab_candidate *o = &s->plan.candidates[k];
            const double loss = r->measured[k].all.kl_mean.v, own = r->measured[order[i]].all.kl_mean.v;
            const bool   same = o->context_bytes == c->context_bytes && loss == own;
            beaten |= o->artifact == c->artifact && o->context_bytes <= c->context_bytes && loss <= own && !same;
        }
        ck_assert_int_eq(front[order[i]], !beaten);
    }
    ck_assert_str_eq(lab_worst_category(&r->measured[0])->category, "non_latin");
    free(order);
    free(front);

    free(s->plan.artifacts[1].name);        // two files called the same, from two folders
    s->plan.artifacts[1].name = strdup(s->plan.artifacts[0].name);
    SAYS("gemma-3-270m-it-BF16.gguf", lab_put_file(t, TEXT_PLAIN, &s->plan, 0));
    SAYS("gemma-3-270m-it-BF16.gguf (2)", lab_put_file(t, TEXT_PLAIN, &s->plan, 1));
    lab_sample_free(s);
}
END_TEST

#define ADVISES(expected) SAYS(expected, lab_put_advice(t, TEXT_PLAIN, r))

START_TEST(advice_is_one_sentence)
{
    lab_sample *s = lab_sample_new(&dozen);
    lab_result *r = &s->result;
    ADVISES("The smallest cache whose top-1 agreement is at least 99 % in every category is q8_0:rot (1,224 bytes a "
            "position, the base's own 2,304); avoid q4_0: q4_0:rot is no larger and loses less (mean KL 0.14, not "
            "0.18).");
    r->avoid = r->instead = -1;
    ADVISES("The smallest cache whose top-1 agreement is at least 99 % in every category is q8_0:rot (1,224 bytes a "
            "position, the base's own 2,304).");
    r->best = -1;
    r->avoid = 5;
    r->measured[0].categories[4].f.top1.v = 0.98765;
    r->measured[1].categories[4].f.top1.v = 0.98764;
    ADVISES("No cache measured that is smaller than the base's own has a top-1 agreement of at least 99 % in every "
            "category; the nearest is q8_0:rot (98.77 % in non_latin); avoid kivi2:g32:r128 (55.83 % in non_latin).");
    r->avoid = 0;           // the nearest is no one to be warned of in the same breath
    ADVISES("No cache measured that is smaller than the base's own has a top-1 agreement of at least 99 % in every "
            "category; the nearest is q8_0:rot (98.77 % in non_latin).");
    r->avoid = -1;
    s->plan.base_context_bytes = 1;
    ADVISES("No cache of the base was measured that is smaller than its own, so that none is recommended.");
    lab_sample_free(s);

    s = lab_sample_new(&one);
    r = &s->result;
    SAYS("gemma-3-270m-it-BF16.gguf with its cache `bf16` (arithmetic bf16) was compared with 1 candidate on the same "
         "positions: 511 positions in 1 chunk of 512 tokens, from 1 text of 1 category; what is beyond position 512 of "
         "a "
         "context was not measured, and one chunk gives no interval.",
         lab_put_measured(t, TEXT_MD, r));
    lab_sample_free(s);
}
END_TEST

// ---- axes and labels ------------------------------------------------------------------------------------------------

START_TEST(an_axis_holds_what_it_took)
{
    static const double sets[][3] = {
        { 0.0007, 0.18, 0.02 }, { 0.0007, 0.0007, 0.0007 }, { 1e-300, 1e300, 1 }, { 0, 0.5, 0.3 }, { 344, 4608, 2304 },
        { 1, 1.001, 1.0005 }, { 5e-324, 1, 1 } };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        for (int how = 0; how < 3; how++) {
            plot_axis a = { 0 };
            for (int k = 0; k < 3; k++) plot_axis_take(&a, sets[i][k]);
            plot_axis_take(&a, NAN);
            plot_axis_take(&a, INFINITY);
            if (how == 0) plot_axis_decades(&a);
            if (how == 1) plot_axis_margin(&a, 0.06);
            if (how == 2) plot_axis_widen(&a, 0.77);
            double ticks[PLOT_TICKS], lowest = INFINITY;
            for (int k = 0; k < 3; k++) {
                const double at = plot_axis_at(&a, sets[i][k]);
                ck_assert(at >= 0 && at <= 1);
                if (sets[i][k] > 0) lowest = fmin(lowest, at);
            }
            if (a.zero) ck_assert(plot_axis_at(&a, 0) == 0 && lowest > 0.1);      // 0 has a place of its own
            for (int most = 2; most < 9; most++) {
                const int n = plot_axis_ticks(&a, most, ticks);
                ck_assert_msg(n >= 2 && n <= most, "%zu: %d of %d ticks", i, n, most);
                for (int k = 0; k < n; k++) ck_assert(isfinite(ticks[k]) && (k == 0 || ticks[k] > ticks[k - 1]));
            }
        }
}
END_TEST

typedef struct { double x, y, w, h; } area;

static bool meet(area a, area b)
{
    return fabs(a.x - b.x) < (a.w + b.w) / 2 - 0.01 && fabs(a.y - b.y) < (a.h + b.h) / 2 - 0.01;
}

static area number_area(const plot_label *l, double width)
{
    return (area){ l->x * width + l->dx, l->y + l->dy, l->width, PLOT_LABEL_HEIGHT };
}

static area name_area(const plot_label *l, double width)
{
    area a = number_area(l, width);
    a.x += l->name * (l->width + l->name_width) / 2;
    a.w = l->name_width;
    return a;
}

// At every width: no number on a number, and on wide plots no name on a number, a name or a mark.
static void judge_labels(const plot_label *l, int n)
{
    for (double width = 220; width <= 1040; width += 20)
        for (int i = 0; i < n; i++)
            for (int k = 0; k < n; k++) {
                if (k == i) continue;
                const area number = number_area(&l[k], width), mark = { l[k].x * width, l[k].y, 9, 9 };
                ck_assert_msg(!meet(number_area(&l[i], width), number), "%g: %d on %d", width, i, k);
                if (width < PLOT_WIDE || l[i].name == 0) continue;
                const area name = name_area(&l[i], width);
                ck_assert_msg(!meet(name, number), "%g: name %d on %d", width, i, k);
                ck_assert_msg(!meet(name, mark), "%g: name %d on mark %d", width, i, k);
                if (l[k].name != 0) ck_assert_msg(!meet(name, name_area(&l[k], width)), "%g: %d on %d", width, i, k);
            }
}

START_TEST(labels_keep_apart)
{
    plot_label l[40];
    for (int n = 1; n <= 40; n += 13) {             // a cloud
        for (int i = 0; i < n; i++)
            l[i] = (plot_label){ .x = 0.05 + 0.9 * (sample_jitter(i, n, 0) - 0.9) / 0.2,
                                .y = 30 + 440 * (sample_jitter(i, n, 1) - 0.9) / 0.2, .width = 16, .name_width = 70 };
        plot_labels_place(l, n, NULL, 0, 500);
        judge_labels(l, n);
    }
    for (int i = 0; i < 12; i++)                    // on a line, one beside the other
        l[i] = (plot_label){ .x = 0.3, .y = 100 + 9 * i, .width = 16, .name_width = 70 };
    plot_labels_place(l, 12, NULL, 0, 324);
    judge_labels(l, 12);
    int named = 0;
    for (int i = 0; i < 12; i++) named += l[i].name != 0;
    ck_assert_int_gt(named, 6);
    for (int i = 0; i < 3; i++) l[i] = (plot_label){ .x = 0.5, .y = 100, .width = 9 };      // at one place
    plot_labels_place(l, 3, &(plot_edge){ 0, 100, 1, 100 }, 1, 324);
    judge_labels(l, 3);
    for (int i = 0; i < 3; i++) ck_assert_msg(fabs(l[i].dy) >= 8, "%g: on the line", l[i].dy);
}
END_TEST

// ---- JSON -----------------------------------------------------------------------------------------------------------

static double number(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    ck_assert_msg(v != NULL, "no %s", key);
    return cJSON_IsNull(v) ? NAN : v->valuedouble;
}

static const char *string(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    ck_assert_msg(v && (cJSON_IsString(v) || cJSON_IsNull(v)), "no %s", key);
    return v->valuestring;
}

static const cJSON *list(const cJSON *o, const char *key, int n)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    ck_assert_msg(cJSON_IsArray(v), "no %s", key);
    ck_assert_int_eq(cJSON_GetArraySize(v), n);
    return v;
}

// Equal to that many significant digits; null where it is not finite.
static void same(double got, double expected, double relative, const char *what)
{
    if (!isfinite(expected)) ck_assert_msg(isnan(got), "%s: %g, expected null", what, got);
    else ck_assert_msg(fabs(got - expected) <= relative * fabs(expected), "%s: %.12g, expected %.12g", what, got,
                       expected);
}

static void same_figures(const cJSON *o, const lab_figures *f)
{
    const cJSON *intervals = cJSON_GetObjectItemCaseSensitive(o, "intervals");
    ck_assert(number(o, "tokens") == (double)f->tokens && number(o, "chunks") == (double)f->chunks);
    ck_assert_int_eq(cJSON_GetArraySize(intervals), LAB_N_FIGURES);
    for (int i = 0; i < LAB_N_FIGURES; i++) {
        const lab_figure *x = lab_figure_at(f, i);
        const double digits = LAB_FIGURES[i].share ? 5e-9 : 5e-6;
        const cJSON *interval = cJSON_GetObjectItemCaseSensitive(intervals, LAB_FIGURES[i].key);
        same(number(o, LAB_FIGURES[i].key), x->v, digits, LAB_FIGURES[i].key);
        ck_assert_ptr_nonnull(interval);
        if (isnan(x->low)) {
            ck_assert(cJSON_IsNull(interval));
            continue;
        }
        same(cJSON_GetArrayItem(interval, 0)->valuedouble, x->low, digits, LAB_FIGURES[i].key);
        same(cJSON_GetArrayItem(interval, 1)->valuedouble, x->high, digits, LAB_FIGURES[i].key);
    }
    same(number(o, "kl_low"), f->kl_mean.low, 5e-6, "kl_low");
    same(number(o, "kl_high"), f->kl_mean.high, 5e-6, "kl_high");
    same(number(o, "nll"), f->nll, 5e-6, "nll");
    same(number(o, "nll_base"), f->nll_base, 5e-6, "nll_base");
}

static void same_places(const cJSON *worst, const lab_measured *m)
{
    const cJSON *v = worst->child;
    for (int i = 0; i < m->n_categories; i++)
        for (int k = 0; k < m->categories[i].n_worst; k++, v = v->next) {
            const lab_worst *w = &m->categories[i].worst[k];
            ck_assert_str_eq(string(v, "category"), m->categories[i].category);
            ck_assert(number(v, "chunk") == (double)w->chunk && number(v, "position") == (double)w->place->position);
            same(number(v, "kl"), w->kl, 5e-6, "kl");
            ck_assert_str_eq(string(v, "before"), w->place->before);
            ck_assert_str_eq(string(v, "next"), w->place->next);
            ck_assert_str_eq(string(v, "after"), w->place->after);
            ck_assert_str_eq(string(v, "base_best"), w->place->base_best);
            ck_assert_str_eq(string(v, "best"), w->place->best);
        }
    ck_assert_ptr_null(v);
}

static void same_candidate(const cJSON *o, const lab_sample *s, int at)
{
    const lab_candidate *c = &s->plan.candidates[at];
    const lab_measured  *m = &s->result.measured[at];
    ck_assert_str_eq(string(o, "artifact"), s->plan.artifacts[c->artifact].name);
    ck_assert_str_eq(string(o, "kv"), c->kv);
    if (c->llama) ck_assert_str_eq(string(o, "llama"), c->llama);
    else          ck_assert_ptr_null(string(o, "llama"));
    ck_assert(number(o, "context_bytes") == (double)c->context_bytes);
    same(number(o, "bytes_per_position"), (double)c->context_bytes / SAMPLE_CONTEXT, 5e-9, "bytes");
    same_figures(o, &m->all);
    const cJSON *v = list(o, "categories", m->n_categories)->child;
    int n_worst = 0;
    for (int i = 0; i < m->n_categories; i++, v = v->next) {
        ck_assert_str_eq(string(v, "category"), m->categories[i].category);
        same_figures(v, &m->categories[i].f);
        n_worst += m->categories[i].n_worst;
    }
    v = list(o, "positions", m->n_bands)->child;
    for (int i = 0; i < m->n_bands; i++, v = v->next) {
        ck_assert(number(v, "from") == (double)m->bands[i].from && number(v, "to") == (double)m->bands[i].to);
        same_figures(v, &m->bands[i].f);
    }
    same_places(list(o, "worst", n_worst), m);
}

START_TEST(json_has_every_figure)
{
    for (int k = 0; k < N_SAMPLES; k++) {
        lab_sample *s = lab_sample_new(all_samples[k]);
        const lab_plan *p = &s->plan;
        err    e = { 0 };
        char  *text = lab_report_json(&s->result), *again = lab_report_json(&s->result);
        cJSON *doc = json_parse_limited(text, (int64_t)strlen(text), 1 << 22, "report", &e);
        ck_assert_msg(doc != NULL, "%s", e.msg);
        ck_assert_str_eq(text, again);
        ck_assert(number(doc, "hallmark_lab") == 1 && number(doc, "chunk") == (double)p->chunk);
        ck_assert(number(doc, "skip") == 0 && number(doc, "context") == SAMPLE_CONTEXT);
        const cJSON *base = cJSON_GetObjectItemCaseSensitive(doc, "base");
        ck_assert_str_eq(string(base, "name"), p->artifacts[0].name);
        ck_assert_str_eq(string(base, "kv"), "bf16");
        ck_assert_str_eq(string(base, "digest"), sample_digest);
        ck_assert_str_eq(string(list(doc, "artifacts", p->n_artifacts)->child, "type"), "BF16");
        const cJSON *x = list(doc, "texts", p->n_texts)->child, *c = list(doc, "candidates", p->n_candidates)->child;
        ck_assert_str_eq(string(x, "sha256"), sample_digest);
        ck_assert(number(x, "tokens") == (double)p->texts[0].tokens);
        ck_assert(number(x, "chunks") == (double)p->texts[0].chunks);
        for (int i = 0; i < p->n_candidates; i++, c = c->next) same_candidate(c, s, i);
        const cJSON *compound = list(doc, "compounds", s->result.n_compounds)->child;
        for (int i = 0; compound; i++, compound = compound->next) {
            const lab_compound *y = &s->result.compounds[i];
            same(number(compound, "kl_both"), s->result.measured[y->both].all.kl_mean.v, 5e-6, "kl_both");
            same(number(compound, "share"), y->share.v, 5e-6, "share");
            same(number(compound, "share_high"), y->share.high, 5e-6, "share_high");
        }
        const cJSON *advice = cJSON_GetObjectItemCaseSensitive(doc, "recommendation");
        ck_assert_str_eq(string(advice, "use"), p->candidates[0].kv);
        ck_assert((string(advice, "avoid") != NULL) == (s->result.avoid >= 0));
        ck_assert_int_gt((int)strlen(string(advice, "sentence")), 40);
        ck_assert(!strstr(text, "nan") && !strstr(text, "inf,") && !strstr(text, "/tmp"));
        cJSON_Delete(doc);
        free(text);
        free(again);
        lab_sample_free(s);
    }
}
END_TEST

// ---- Markdown -------------------------------------------------------------------------------------------------------

// Bars that divide cells: not escaped, not in code.
static int cells_of(const char *line)
{
    int  n = 0;
    bool code = false;
    for (; *line; line++) {
        if (!code && *line == '\\' && line[1]) line++;
        else if (*line == '`') code = !code;
        else n += *line == '|' && !code;
    }
    return n;
}

START_TEST(markdown_tables_are_whole)
{
    for (int k = 0; k < N_SAMPLES; k++) {
        lab_sample *s = lab_sample_new(all_samples[k]);
        char *text = lab_report_md(&s->result), *at = text, *line;
        int   cells = 0, tables = 0, headings = 0, rows = 0;
        while ((line = strsep(&at, "\n")) != NULL) {
            const bool row = line[0] == '|';
            headings += line[0] == '#';
            ck_assert_msg(!strstr(line, " nan") && !strstr(line, " inf "), "%s", line);
            if (row && cells == 0) tables++;
            const int here = row ? cells_of(line) : 0;
            if (row && cells > 0) ck_assert_msg(here == cells, "%d cells, not %d: %s", here, cells, line);
            cells = here;
            rows += row;
        }
        const int n = s->plan.n_candidates, lost = all_samples[k]->nothing_lost ? 0 : n;
        ck_assert_int_ge(rows, n * (1 + s->plan.n_texts + s->result.measured[0].n_bands));
        ck_assert_int_ge(tables, 5 + (lost > 0) + (s->result.n_compounds > 0));
        ck_assert_int_le(headings, 7 + lost);
        free(text);
        lab_sample_free(s);
    }
}
END_TEST

// ---- HTML -----------------------------------------------------------------------------------------------------------

START_TEST(pages_are_well_formed_and_say_what_they_show)
{
    for (int k = 0; k < N_SAMPLES; k++) {
        lab_sample *s = lab_sample_new(all_samples[k]);
        char *text = lab_report_html(&s->result), *again = lab_report_html(&s->result);
        page  p = { .what = "page" };
        page_read(&p, text);
        ck_assert_str_eq(text, again);
        const int n = s->plan.n_candidates, drawn = all_samples[k]->by_layer ? 0 : n;
        const int small = all_samples[k]->nothing_lost || drawn == 0 ? 0 : s->plan.n_texts + drawn;
        ck_assert_int_eq(p.n_plots, (drawn > 0) + small);
        ck_assert_int_eq(p.n_tables, 5 + (s->result.n_compounds > 0) + (drawn == 0));
        ck_assert_int_eq(p.n_marks, s->n_places);
        ck_assert(!strstr(text, "nan") && !strstr(text, "inf%") && !strstr(text, "http://") && !strstr(text, "/tmp"));
        ck_assert_ptr_nonnull(strstr(text, "name=\"viewport\""));
        free(text);
        free(again);
        lab_sample_free(s);
    }
}
END_TEST

START_TEST(colours_can_be_read)
{
    const char *sheets[] = { HTML_CSS, strstr(HTML_CSS, "dark)"), strstr(HTML_CSS, "@media print") };
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(sheets[i]);
        contrast(sheets[i], "ink", "page", 7);
        contrast(sheets[i], "soft", "page", 4.5);
        contrast(sheets[i], "ink", "box", 7);
        contrast(sheets[i], "soft", "box", 4.5);
        contrast(sheets[i], "mark-ink", "mark", 4.5);
        contrast(sheets[i], "data", "page", 4.5);
    }
}
END_TEST

// ---- the table, files -----------------------------------------------------------------------------------------------

START_TEST(the_table_fits_a_terminal)
{
    for (int k = 0; k < N_SAMPLES; k++) {
        lab_sample *s = lab_sample_new(all_samples[k]);
        char  *text = NULL, *line;
        size_t n = 0;
        FILE  *f = open_memstream(&text, &n);
        ck_assert(f && lab_table_print(&s->result, f) && fclose(f) == 0);
        char  *at = text;
        for (int i = 0; i <= s->plan.n_candidates; i++) {
            line = strsep(&at, "\n");
            ck_assert_msg(line && strlen(line) <= 124, "%zu columns: %s", strlen(line), line);
            ck_assert_msg(i > 0 || strncmp(line, "file  ", 6) == 0, "%s", line);
        }
        ck_assert(strncmp(at, "bytes: ", 7) == 0 && strstr(at, "The smallest cache"));
        free(text);
        lab_sample_free(s);
    }
}
END_TEST

static void set_name(lab_sample *s, int artifact, const char *begin)
{
    char *name = malloc(strlen(begin) + 32);
    ck_assert_ptr_nonnull(name);
    sprintf(name, "%s-%s.gguf", begin, sample_types[artifact]);
    free(s->plan.artifacts[artifact].name);
    s->plan.artifacts[artifact].name = name;
}

// What a table of two files and three caches has as their names, and how wide it is at most.
static char *names_of_table(const char *begin, size_t *widest)
{
    lab_sample *s = lab_sample_new(&(sample_opts){ .n_kv = 3, .n_files = 2, .n_chunks = 12, .chunk = 512 });
    char  *text = NULL, *names = calloc(16, 128);
    size_t n = 0;
    FILE  *f = open_memstream(&text, &n);
    for (int i = 0; i < 2; i++) set_name(s, i, begin);
    ck_assert(names && f && lab_table_print(&s->result, f) && fclose(f) == 0);
    char *at = text;
    *widest = 0;
    for (int i = 0; i <= s->plan.n_candidates; i++) {
        char *line = strsep(&at, "\n");
        if (strlen(line) > *widest) *widest = strlen(line);
        if (i > 0) strcat(strncat(names, line, strcspn(line, " ")), "\n");
    }
    free(text);
    lab_sample_free(s);
    return names;
}

START_TEST(names_in_a_table_tell_files_apart)
{
    size_t widest;
    char *names = names_of_table("gemma-3-270m", &widest);
    ck_assert_msg(strstr(names, "gemma-3-270m-BF16\n") && strstr(names, "gemma-3-270m-Q8_0\n"), "%s", names);
    free(names);
    names = names_of_table("a-model-of-a-family-whose-names-say-how-many-weights-and-experts-there-are-permuted",
                           &widest);
    ck_assert_msg(strstr(names, "-permuted-BF16\n") && strstr(names, "-permuted-Q8_0\n"), "%s", names);
    ck_assert_msg(strncmp(names, "...", 3) == 0 && widest <= 120 && widest > 116, "%zu columns: %s", widest, names);
    free(names);
}
END_TEST

START_TEST(a_path_says_which_form)
{
    static const char *const good[4] = { "a.json", "/x/y.z/b.md", "c.html", "x.md.html" };
    static const char *const bad[9] = { "a", "json", ".json", "x/.md", "a.htm", "a.md/", "a.JSON", "a.json.gz", "" };
    for (int i = 0; i < 4; i++) ck_assert_msg(lab_report_suffix_ok(good[i]), "%s", good[i]);
    for (int i = 0; i < 9; i++) ck_assert_msg(!lab_report_suffix_ok(bad[i]), "%s", bad[i]);

    lab_sample *s = lab_sample_new(&one);
    char dir[] = "/tmp/hallmark-lab-report-XXXXXX", path[64], *read;
    char *texts[] = { lab_report_json(&s->result), lab_report_md(&s->result), lab_report_html(&s->result) };
    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (int i = 0; i < 3; i++) {
        int64_t n;
        err     e = { 0 };
        snprintf(path, sizeof path, "%s/%s", dir, good[i == 1 ? 1 : i] + (i == 1 ? 7 : 0));
        ck_assert_msg(lab_report_write(&s->result, path, &e), "%s", e.msg);
        ck_assert(file_read_text(&read, &n, path, 1 << 24, &e));
        ck_assert_str_eq(read, texts[i]);
        free(read);
        free(texts[i]);
        unlink(path);
    }
    err e = { 0 };
    snprintf(path, sizeof path, "%s/a.txt", dir);
    ck_assert(!lab_report_write(&s->result, path, &e) && e.kind == ERR_USAGE && strstr(e.msg, ".html"));
    ck_assert_int_ne(access(path, F_OK), 0);
    e = (err){ 0 };
    snprintf(path, sizeof path, "%s/none/a.md", dir);
    ck_assert(!lab_report_write(&s->result, path, &e) && e.kind == ERR_USAGE);
    ck_assert_int_eq(rmdir(dir), 0);
    lab_sample_free(s);
}
END_TEST

int main(void)
{
    const struct { const char *name; const TTest *test; } cases[] = {       // CK_RUN_CASE chooses one
        { "figures", figures_are_for_a_reader }, { "order", caches_have_an_order_and_a_front },
        { "advice", advice_is_one_sentence }, { "axis", an_axis_holds_what_it_took }, { "labels", labels_keep_apart },
        { "json", json_has_every_figure }, { "markdown", markdown_tables_are_whole },
        { "html", pages_are_well_formed_and_say_what_they_show }, { "colours", colours_can_be_read },
        { "table", the_table_fits_a_terminal }, { "names", names_in_a_table_tell_files_apart },
        { "path", a_path_says_which_form },
    };
    Suite *s = suite_create("lab_report");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        TCase *t = tcase_create(cases[i].name);
        tcase_add_test(t, cases[i].test);
        suite_add_tcase(s, t);
    }
    return run_suite(s);
}
