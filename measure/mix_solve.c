// mix_solve: see mix_solve.h.
#include "mix_solve.h"
#include "../formats/checked.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {            // one item's choices worth having: sizes ascending, costs falling
    int *pareto, n_pareto;
    int *hull, n_hull;      // of those, the corners of the lower convex hull
} frontier;

typedef struct {            // from one corner of a hull to the next
    int64_t item, bytes;
    int     to;             // index in hull
    double  saved, rate;    // saved: cost; rate: saved for each byte
} step;

static const mix_choice *at(const mix_item *it, int i) { return &it->choices[i]; }

// Sizes ascending; of one size the cheapest first; of two alike the first given.
static bool before(const mix_item *it, int a, int b)
{
    if (at(it, a)->bytes != at(it, b)->bytes) return at(it, a)->bytes < at(it, b)->bytes;
    if (at(it, a)->cost != at(it, b)->cost) return at(it, a)->cost < at(it, b)->cost;
    return a < b;
}

// room: [2 * it->n].
static void frontier_of(frontier *f, const mix_item *it, int *room)
{
    f->pareto = room;
    f->hull = room + it->n;
    f->n_pareto = f->n_hull = 0;
    for (int i = 0; i < it->n; i++) {           // a handful: insertion
        int j = i;
        for (; j > 0 && before(it, i, f->pareto[j - 1]); j--) f->pareto[j] = f->pareto[j - 1];
        f->pareto[j] = i;
    }
    for (int i = 0; i < it->n; i++)
        if (f->n_pareto == 0 || at(it, f->pareto[i])->cost < at(it, f->pareto[f->n_pareto - 1])->cost)
            f->pareto[f->n_pareto++] = f->pareto[i];
    for (int i = 0; i < f->n_pareto; i++) {
        const mix_choice *c = at(it, f->pareto[i]);
        // the last corner stays only where the way there saves more a byte than the way past it
        while (f->n_hull > 1) {
            const mix_choice *a = at(it, f->hull[f->n_hull - 2]), *b = at(it, f->hull[f->n_hull - 1]);
            if ((a->cost - b->cost) * (double)(c->bytes - b->bytes) >
                (b->cost - c->cost) * (double)(b->bytes - a->bytes))
                break;
            f->n_hull--;
        }
        f->hull[f->n_hull++] = f->pareto[i];
    }
}

static int by_rate(const void *a, const void *b)
{
    const step *x = a, *y = b;
    if (x->rate != y->rate) return x->rate > y->rate ? -1 : 1;
    if (x->item != y->item) return x->item < y->item ? -1 : 1;
    return x->to - y->to;
}

typedef struct { const mix_item *items; const frontier *f; int64_t n, left; int *picks; } state;

static int place(const frontier *f, int pick)
{
    int i = 0;
    while (f->pareto[i] != pick) i++;
    return i;
}

static void take(state *s, int64_t i, int choice)
{
    s->left += at(&s->items[i], s->picks[i])->bytes - at(&s->items[i], choice)->bytes;
    s->picks[i] = choice;
}

// The best better choice of item i that costs at most `room` more bytes: -1 if there is none. Larger choices are better
// on the frontier.
static int raise_within(const state *s, int64_t i, int64_t room)
{
    const frontier *f = &s->f[i];
    const int from = place(f, s->picks[i]);
    int to = from;
    while (to + 1 < f->n_pareto
           && at(&s->items[i], f->pareto[to + 1])->bytes - at(&s->items[i], s->picks[i])->bytes <= room) to++;
    return to > from ? f->pareto[to] : -1;
}

static double saving(const state *s, int64_t i, int choice)
{
    return at(&s->items[i], s->picks[i])->cost - at(&s->items[i], choice)->cost;
}

// One raise, or a raise paid for by lowering another: the one that saves most. False when none saves anything.
static bool improve(state *s)
{
    int64_t best_i = -1, best_j = -1;
    int best_up = -1, best_down = -1;
    double best = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const int up = raise_within(s, i, s->left);
        if (up >= 0 && saving(s, i, up) > best) { best = saving(s, i, up); best_i = i; best_j = -1; best_up = up; }
    }
    for (int64_t j = 0; j < s->n; j++)
        for (int k = place(&s->f[j], s->picks[j]) - 1; k >= 0; k--) {
            const int down = s->f[j].pareto[k];
            const double lost = -saving(s, j, down);
            const int64_t room = s->left + at(&s->items[j], s->picks[j])->bytes - at(&s->items[j], down)->bytes;
            for (int64_t i = 0; i < s->n; i++) {
                const int up = i == j ? -1 : raise_within(s, i, room);
                // A gain of rounding alone could be had back and forth for ever.
                if (up < 0 || saving(s, i, up) - lost <= best || saving(s, i, up) <= lost * (1 + 1e-9)) continue;
                best = saving(s, i, up) - lost;
                best_i = i; best_j = j; best_up = up; best_down = down;
            }
        }
    if (best_i < 0) return false;
    if (best_j >= 0) take(s, best_j, best_down);
    take(s, best_i, best_up);
    return true;
}

// The steps of all hulls, those first that save most for a byte; each that still fits is taken, and an item whose step
// did not fit stays.
static void climb(state *s, const step *steps, int64_t n_steps)
{
    for (int64_t i = 0; i < n_steps; i++) {
        const step *t = &steps[i];
        const frontier *f = &s->f[t->item];
        if (s->picks[t->item] == f->hull[t->to - 1] && t->bytes <= s->left) take(s, t->item, f->hull[t->to]);
    }
}

bool mix_solve(const mix_item *items, int64_t n, int64_t budget, int *picks, int64_t *least, err *e)
{
    int64_t n_choices = 0, n_steps = 0;
    for (int64_t i = 0; i < n; i++) n_choices += items[i].n;
    int *room = malloc((size_t)(2 * n_choices + 1) * sizeof *room), *next = room;
    frontier *f = calloc((size_t)n + 1, sizeof *f);
    step *steps = malloc((size_t)(n_choices + 1) * sizeof *steps);
    bool ok = room && f && steps;
    *least = 0;
    if (!ok) err_nomem(e, "the choices of types", (size_t)n_choices * sizeof *steps);
    for (int64_t i = 0; ok && i < n; i++) {
        frontier_of(&f[i], &items[i], next);
        next += 2 * items[i].n;
        picks[i] = f[i].hull[0];
        *least += at(&items[i], picks[i])->bytes;
        for (int k = 1; k < f[i].n_hull; k++) {
            const mix_choice *a = at(&items[i], f[i].hull[k - 1]), *b = at(&items[i], f[i].hull[k]);
            const double saved = a->cost - b->cost;
            steps[n_steps++] = (step){ .item = i, .bytes = b->bytes - a->bytes, .to = k, .saved = saved,
                                       .rate = saved / (double)(b->bytes - a->bytes) };
        }
    }
    state s = { .items = items, .f = f, .n = n, .left = budget - *least, .picks = picks };
    ok = ok && s.left >= 0;
    if (ok) {
        qsort(steps, (size_t)n_steps, sizeof *steps, by_rate);
        climb(&s, steps, n_steps);
        for (int64_t tries = 0; tries < 4 * n_choices && improve(&s); tries++) { }
    }
    free(room);
    free(f);
    free(steps);
    return ok;
}
