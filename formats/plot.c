// plot: see plot.h.
#include "plot.h"
#include <math.h>

// ---- axes -----------------------------------------------------------------------------------------------------------

static const double ZERO_SHARE = 0.12;      // of an axis below its first decade, where 0 has its place

void plot_axis_take(plot_axis *a, double v)
{
    if (!isfinite(v)) return;
    if (!(v > 0)) {
        a->zero = true;
        return;
    }
    const double at = log10(v);
    if (!a->any || at < a->lo) a->lo = at;
    if (!a->any || at > a->hi) a->hi = at;
    a->any = true;
}

void plot_axis_decades(plot_axis *a)
{
    if (!a->any) a->lo = -3;
    a->lo = floor(a->lo);
    a->hi = ceil(a->hi);
    if (a->hi <= a->lo) a->hi = a->lo + 1;
}

void plot_axis_margin(plot_axis *a, double share)
{
    const double span = a->hi - a->lo, margin = span > 0.1 ? share * span : 0.1;
    a->lo -= margin;
    a->hi += margin;
}

void plot_axis_widen(plot_axis *a, double decades)
{
    const double more = decades - (a->hi - a->lo);
    if (!(more > 0)) return;
    a->lo -= more / 2;
    a->hi += more / 2;
}

double plot_axis_at(const plot_axis *a, double v)
{
    if (!(v > 0)) return 0;
    double at = (log10(v) - a->lo) / (a->hi - a->lo);
    at = at < 0 ? 0 : at > 1 ? 1 : at;
    return a->zero ? ZERO_SHARE + (1 - ZERO_SHARE) * at : at;
}

// Values m * 10^k on the axis, k in steps of `step`; how many there are, at most PLOT_TICKS of them kept.
static int ticks_of(const plot_axis *a, const double *m, int n_m, int step, double ticks[PLOT_TICKS])
{
    int n = 0;
    for (int k = (int)floor(a->lo); k <= (int)ceil(a->hi); k += step)
        for (int i = 0; i < n_m; i++) {
            const double at = k + log10(m[i]);
            if (at < a->lo - 1e-9 || at > a->hi + 1e-9) continue;
            if (n < PLOT_TICKS) ticks[n] = m[i] * pow(10, k);
            n++;
        }
    return n;
}

int plot_axis_ticks(const plot_axis *a, int most, double ticks[PLOT_TICKS])
{
    static const double fine[] = { 1, 1.5, 2, 3, 5, 7 }, coarse[] = { 1, 2, 5 };
    if (most > PLOT_TICKS) most = PLOT_TICKS;
    for (int n_m = 6; n_m >= 1; n_m = n_m == 6 ? 3 : n_m - 2) {
        const int n = ticks_of(a, n_m == 6 ? fine : coarse, n_m, 1, ticks);
        if (n >= 2 && n <= most) return n;
    }
    for (int step = 2; ticks_of(a, coarse, 1, 1, ticks) > most && step < 700; step++) {
        const int n = ticks_of(a, coarse, 1, step, ticks);
        if (n >= 2 && n <= most) return n;
    }
    ticks[0] = pow(10, a->lo);
    ticks[1] = pow(10, a->hi);
    return 2;
}

int plot_axis_lines(const plot_axis *a, int most, double at[PLOT_TICKS + 1])
{
    at[0] = 0;
    return a->zero + (a->any ? plot_axis_ticks(a, most, at + a->zero) : 0);
}

// ---- marks ----------------------------------------------------------------------------------------------------------

static const struct { const char *name, *path; } SHAPES[PLOT_SHAPES] = {
    { "circle", "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z" },
    { "square", "M-4-4h8v8h-8z" },
    { "diamond", "M0-5.5l5.5 5.5-5.5 5.5-5.5-5.5z" },
    { "triangle", "M0-5.5l5 9h-10z" },
    { "triangle on its point", "M0 5.5l5-9h-10z" },
    { "cross", "M-1.8-5h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z" },
    { "hexagon", "M-5 0l2.5-4.5h5l2.5 4.5-2.5 4.5h-5z" },
    { "star", "M0-6l1.6 4.2h4.4l-3.5 2.8 1.3 4.4-3.8-2.6-3.8 2.6 1.3-4.4-3.5-2.8h4.4z" },
};

const char *plot_shape_name(int shape) { return SHAPES[shape % PLOT_SHAPES].name; }

void plot_put_mark(text_buf *t, int shape, bool filled)
{
    text_printf(t, "<path class=\"m %s\" d=\"%s\"/>", filled ? "on" : "off", SHAPES[shape % PLOT_SHAPES].path);
}

// ---- labels ---------------------------------------------------------------------------------------------------------

// Widths that a plot is judged at: from a telephone's to a wide screen's. Names are shown on the last few alone.
static const double WIDTHS[] = { 220, 264, 330, 420, 540, PLOT_WIDE, 760, 900, 1040 };
enum { N_WIDTHS = sizeof WIDTHS / sizeof WIDTHS[0], FIRST_WIDE = 5, MARK = 11 };

typedef struct { double x, y, w, h; } box;      // its middle and its size

static double overlap(box a, box b)
{
    const double w = (a.w + b.w) / 2 - fabs(a.x - b.x), h = (a.h + b.h) / 2 - fabs(a.y - b.y);
    return w > 0 && h > 0 ? w * h : 0;
}

static box mark_box(const plot_label *l, double width) { return (box){ l->x * width, l->y, MARK, MARK }; }

static box label_box(const plot_label *l, double width)
{
    return (box){ l->x * width + l->dx, l->y + l->dy, l->width, PLOT_LABEL_HEIGHT };
}

static box name_box(const plot_label *l, double width, int side)
{
    box b = label_box(l, width);
    b.x += side * (l->width + l->name_width) / 2;
    b.w = l->name_width;
    return b;
}

// Everything that is drawn.
typedef struct {
    plot_label      *l;
    int             n;
    const plot_edge *edges;
    int             n_edges;
    double          height;
} scene;

static box edge_box(const plot_edge *e, double width)
{
    return (box){ (e->x1 + e->x2) / 2 * width, (e->y1 + e->y2) / 2, fabs(e->x2 - e->x1) * width + 3,
                  fabs(e->y2 - e->y1) + 3 };
}

// What the box of label i would hide at one width: of marks and lines, of the first n_placed labels and their names.
static double hides(const scene *s, int i, int n_placed, box b, double width)
{
    double area = 0;
    for (int k = 0; k < s->n; k++) {
        const plot_label *other = &s->l[k];
        area += overlap(b, mark_box(other, width));
        if (k >= n_placed || k == i) continue;
        area += overlap(b, label_box(other, width));
        if (other->name && width >= PLOT_WIDE) area += overlap(b, name_box(other, width, other->name));
    }
    for (int k = 0; k < s->n_edges; k++) area += overlap(b, edge_box(&s->edges[k], width));
    return area;
}

static double cost(const scene *s, int i)
{
    const plot_label *l = &s->l[i];
    const double y = l->y + l->dy, half = PLOT_LABEL_HEIGHT / 2.0;
    if (y < half || y > s->height - half) return 1e9;
    double area = 0;
    for (int w = 0; w < N_WIDTHS; w++) {
        const box b = label_box(l, WIDTHS[w]);
        area += hides(s, i, i, b, WIDTHS[w]);
        if (b.x - b.w / 2 < -6 || b.x + b.w / 2 > WIDTHS[w] + 12) area += 200;
    }
    return area + 0.02 * hypot(l->dx, l->dy);       // of equal ones the nearest
}

static void place(const scene *s, int i)
{
    static const double rings[] = { 0, 8, 16, 26, 38, 52 };
    plot_label *l = &s->l[i];
    double best = INFINITY, dx = 0, dy = 0;
    for (size_t ring = 0; ring < sizeof rings / sizeof rings[0]; ring++)
        for (int turn = 0; turn < 16; turn++) {
            const double angle = turn * acos(-1) / 8;
            l->dx = cos(angle) * (8 + l->width / 2 + rings[ring]);
            l->dy = -sin(angle) * (13 + rings[ring]);
            const double c = cost(s, i);
            if (c >= best) continue;
            best = c;
            dx   = l->dx;
            dy   = l->dy;
        }
    l->dx = dx;
    l->dy = dy;
}

static bool name_fits(const scene *s, int i, int side)
{
    for (int w = FIRST_WIDE; w < N_WIDTHS; w++) {
        const box b = name_box(&s->l[i], WIDTHS[w], side);
        if (b.x - b.w / 2 < 0 || b.x + b.w / 2 > WIDTHS[w] + 12) return false;
        if (hides(s, i, s->n, b, WIDTHS[w]) > 0) return false;
    }
    return true;
}

static void place_name(const scene *s, int i)
{
    plot_label *l = &s->l[i];
    const int  first = l->dx < 0 ? -1 : 1;      // away from the point
    if (!(l->name_width > 0)) return;
    if (name_fits(s, i, first))       l->name = first;
    else if (name_fits(s, i, -first)) l->name = -first;
}

void plot_labels_place(plot_label *l, int n, const plot_edge *edges, int n_edges, double height)
{
    const scene s = { l, n, edges, n_edges, height };
    for (int i = 0; i < n; i++) {
        l[i].dx   = 8 + l[i].width / 2;
        l[i].dy   = 0;
        l[i].name = 0;
    }
    if (n > PLOT_LABELS) return;
    for (int i = 0; i < n; i++) place(&s, i);
    for (int i = 0; i < n; i++) place_name(&s, i);
}
