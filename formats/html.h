// html: what reports in HTML share: the page, its style, tables, and the parts of a plot in SVG.
//
// A page is one file without a script: inline CSS and SVG, for narrow and wide screens, dark and light, paper, and
// screen readers. Nothing is loaded and nothing runs, whatever its texts hold. Each plot has a title, a description and
// a table. Strings that these functions take are words of ours; what comes from outside is put by the caller, with
// TEXT_XML, unless a comment says otherwise.
// Proved by tests/lab_report_test.c, tests/report_pages_test.c and, for hostile texts, tests/shown_report_test.c.
#ifndef HALLMARK_FORMATS_HTML_H
#define HALLMARK_FORMATS_HTML_H

#include "plot.h"

extern const char HTML_CSS[];       // the style of all reports; html_css.c

// ---- the page -------------------------------------------------------------------------------------------------------

void html_begin(text_buf *t);                   // up to the title, which follows
void html_begin_body(text_buf *t, const char *more_css);    // ends the title; style, then <main>. more_css may be ""
void html_end(text_buf *t);

// At most `most` bytes of a text from outside, "..." where its middle was left out.
void html_put_short(text_buf *t, const char *s, int most);

void html_begin_details(text_buf *t, const char *summary);  // what is folded away, a table as a rule
void html_end_details(text_buf *t);

// ---- tables ---------------------------------------------------------------------------------------------------------

// A table that is wider than the page moves inside its box, which the keyboard reaches. html_begin_columns, then a
// html_put_column each, html_end_columns, rows, html_end_table. A name that begins with '<' is of a column of words,
// which lies at the left. html_begin_table: the three in one, for names that end with NULL.
void html_begin_columns(text_buf *t, const char *caption);
void html_put_column(text_buf *t, const char *name);
void html_end_columns(text_buf *t);
void html_begin_table(text_buf *t, const char *caption, const char *const *names);
void html_end_table(text_buf *t);
void html_put_words_cell(text_buf *t, const char *s);       // s may be from outside
void html_put_count_cell(text_buf *t, int64_t v);
void html_put_figure_cell(text_buf *t, double v, bool share);

// ---- the parts of a plot --------------------------------------------------------------------------------------------

// Begins plot `id` (another one for each of a page) of that height, in pixels. Its title follows, then
// html_begin_description and its description, which the caller ends with </desc>; the plot ends with </svg>.
void html_begin_plot(text_buf *t, int id, double height);
void html_begin_description(text_buf *t, int id);
void html_put_at(text_buf *t, const char *attribute, double share);     // a share of the width
// x: shares; y: pixels
void html_put_line(text_buf *t, const char *class, double x1, double y1, double x2, double y2);
void html_begin_at(text_buf *t, double x, double y);        // a part whose (0, 0) is that point; ended with </svg>
double html_up(const plot_axis *a, double v, double top, double bottom);    // y of a value on an axis that points up
void html_put_y_axis(text_buf *t, const plot_axis *a, int most, double top, double bottom);

// An entry of the list (ul.shapes) that says what marks mean: what is drawn around (0, 0), then "</svg> words</li>".
void html_begin_key(text_buf *t);

#endif
