// report_html: the parts of verification reports in HTML, of which verify_report_html makes a page, and release_html.h
// one of a release. The page's own form is that of formats/html.h.
//
// What was kept of each case and step (trace.h) is drawn: KL by case and step, margins and ties, departures of layers.
// Each plot has its table, folded away. A report without it, which one that was read from a record is, has the plots of
// its counts alone; so a release's page can be written again from its records.
// Plots stay of a bounded size: HEAT_ROWS cases, HEAT_COLUMNS columns of steps (each the largest of its steps),
// MOST_POINTS steps of the same id and a quarter as many of each other kind, MOST_LAYER_PLOTS cases; what is left out
// is said.
#ifndef HALLMARK_VERIFY_REPORT_HTML_H
#define HALLMARK_VERIFY_REPORT_HTML_H

#include "checks.h"
#include "../formats/html.h"

typedef struct {
    text_buf                    t;
    const verify_report *const *r;
    int                         n;
    int                         n_plots;        // so far, for ids
} report_page;

enum { HEAT_ROWS = 64, HEAT_COLUMNS = 96, MOST_POINTS = 1500, MOST_LAYER_PLOTS = 12 };

extern const char REPORT_CSS[];                 // what these pages need beside HTML_CSS

// ---- for pages ------------------------------------------------------------------------------------------------------

void report_put_verdict(text_buf *t, const char *verdict);      // the word and what it means, as a box
void report_put_artifacts(report_page *g);      // all in a table, and their distances against the limits
void report_put_each(report_page *g);           // each with a heading: what was looked at, what did not hold, plots

// ---- parts (report_plots.c, report_steps.c) -------------------------------------------------------------------------

// "<artifact>, <fixture>": how plots and tables name a comparison.
void report_put_named(text_buf *t, const verify_report *r, const verify_fixture_result *f);

void report_put_limits(report_page *g);         // measured against allowed, of every fixture: two plots
void report_put_heat(report_page *g, const verify_fixture_result *f);
void report_put_margins(report_page *g, const verify_fixture_result *f);
void report_put_layers(report_page *g, const verify_fixture_result *f);

#endif
