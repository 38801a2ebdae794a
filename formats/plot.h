// plot: the parts of a plot in SVG that reports are drawn with: logarithmic axes with a place for 0, marks of several
// shapes, labels that keep out of each other's way.
//
// Plots have no fixed width: x is a share of the width, written in percent, y is in pixels; so letters keep their size
// on a telephone and on a wide screen. Nothing here knows of colours: classes name what a thing is (html_css.c).
// Proved by tests/lab_report_test.c.
#ifndef HALLMARK_FORMATS_PLOT_H
#define HALLMARK_FORMATS_PLOT_H

#include "text.h"

// ---- axes -----------------------------------------------------------------------------------------------------------

// A logarithmic axis over whole decades, or over what is there; 0, which has no logarithm, has a place of its own
// below.
typedef struct {
    double lo, hi;              // log10 of both ends
    bool   zero, any;           // values that are 0 are among those taken; values above 0 are
} plot_axis;

void plot_axis_take(plot_axis *a, double v);            // in a struct of zeros at first; what is not finite is left out
void plot_axis_decades(plot_axis *a);                   // ends at whole decades; without a value above 0: 0.001 to 1
void plot_axis_margin(plot_axis *a, double share);      // ends that far outside what is there
void plot_axis_widen(plot_axis *a, double decades);     // to so many, around the middle of what is there
double plot_axis_at(const plot_axis *a, double v);      // 0 to 1; 0 and below: 0

enum { PLOT_TICKS = 16 };
// At most `most` (>= 2) values for labels, ascending, without 0: decades, or 1, 2 and 5 of them, or the ends. Returns
// how many.
int plot_axis_ticks(const plot_axis *a, int most, double ticks[PLOT_TICKS]);
// All values that have a line: 0 where it has a place, then the ticks where a value above 0 is there.
int plot_axis_lines(const plot_axis *a, int most, double at[PLOT_TICKS + 1]);

// ---- marks ----------------------------------------------------------------------------------------------------------

enum { PLOT_SHAPES = 8 };
const char *plot_shape_name(int shape);                              // "circle"; shapes repeat after PLOT_SHAPES
void plot_put_mark(text_buf *t, int shape, bool filled);             // around (0, 0), 11 pixels wide at most

// ---- labels ---------------------------------------------------------------------------------------------------------

// A label of a point. Where it goes is judged at several widths of the plot, so that it holds at all of them.
typedef struct {
    double x, y;                // of the point: a share of the width; pixels
    double width, name_width;   // of the label; of a name behind it that only wide plots show: pixels
    double dx, dy;              // out: of the label's middle from the point, pixels
    int    name;                // out: 1: there is room for the name right of the label, -1: left of it, 0: for none
} plot_label;

// Of more than PLOT_LABELS labels, each lies right of its point; from PLOT_WIDE on a plot shows names.
enum { PLOT_LABEL_HEIGHT = 13, PLOT_LABELS = 400, PLOT_WIDE = 640 };

// A line of the plot, across or down, that labels had better not lie on: x in shares, y in pixels.
typedef struct { double x1, y1, x2, y2; } plot_edge;

// Labels stay between 0 and height.
void plot_labels_place(plot_label *l, int n, const plot_edge *edges, int n_edges, double height);

#endif
