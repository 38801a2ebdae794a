// lab_html: what the sources of the laboratory's HTML report share: the page as it grows, and its parts. Internal to
// the report's sources; from outside see lab_report.h.
#ifndef HALLMARK_MEASURE_LAB_HTML_H
#define HALLMARK_MEASURE_LAB_HTML_H

#include "../formats/html.h"
#include "lab_report.h"
#include "lab_words.h"

typedef struct {
    text_buf          t;
    const lab_result *r;
    const lab_plan   *p;
    int              *order;        // [n_candidates], see lab_by_bytes
    int              *drawn;        // [n_drawn]: places in the order that plots show: not the caches of one layer alone
    int               n_drawn;
    bool             *front;        // [n_candidates], see lab_front
    bool              several;      // candidates are of several files
    int               n_plots;      // so far, for ids
} lab_page;

// Between tags: a name of ours is written with text_words, one from outside with text_puts(TEXT_XML).
static inline const lab_candidate *lab_page_candidate(const lab_page *g, int place)
{
    return &g->p->candidates[g->order[place]];
}
static inline const lab_measured *lab_page_measured(const lab_page *g, int place)
{
    return &g->r->measured[g->order[place]];
}

// ---- tables (lab_report_html.c) -------------------------------------------------------------------------------------

// As html_begin_table; a name '?' is the column of the file, which is there where candidates are of several. Between
// lab_begin_head and html_end_columns more columns may be put.
void lab_begin_head(lab_page *g, const char *caption, const char *const *names);
void lab_begin_table(lab_page *g, const char *caption, const char *const *names);
void lab_put_interval_cells(text_buf *t, const lab_figure *f, bool share);      // the figure; its interval
void lab_put_bytes_cells(lab_page *g, const lab_candidate *c);                  // for each position; of the base's
void lab_put_file_cell(lab_page *g, const lab_candidate *c);
void lab_put_name_header(lab_page *g, int artifact, const char *more);      // a row's: the file's name, words of ours

// ---- parts of a plot (lab_svg.c) ------------------------------------------------------------------------------------

void lab_axis_take_figure(plot_axis *a, const lab_figure *f);       // with its interval; an end at or below 0 has none
void lab_put_named(lab_page *g, int place);                             // "12 q4_0 of file"
void lab_put_hint(lab_page *g, int place, const lab_figures *f);        // what a pointer that rests on a mark is told

// ---- parts of the page ----------------------------------------------------------------------------------------------

// A plot each, without its heading and its table.
void lab_put_bytes_plot(lab_page *g);           // KL against bytes for each position
void lab_put_category_plots(lab_page *g);       // KL of each category: a small plot each
void lab_put_position_plots(lab_page *g);       // KL along the position: a small plot for each candidate

// With heading; nothing where there is nothing to show.
void lab_put_compounds(lab_page *g);            // files and caches together
void lab_put_layers(lab_page *g);               // caches that differ from another in one layer
void lab_put_places(lab_page *g);

#endif
