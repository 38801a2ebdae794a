// lanes_search: the searches of search.c, LANES groups at once. Comments on why stand there; here only what lanes
// change.
// A lane in which the plain code would meet a case that the shortcuts here do not cover (rounding outside +-2^22,
// negative codes) is marked in `odd`, and its super-block is encoded by the plain code instead. Proved equal by
// tests/codec_simd_test.c.
#ifndef HALLMARK_QUANT_LANES_SEARCH_H
#define HALLMARK_QUANT_LANES_SEARCH_H

#include "lanes.h"
#include "search.h"

enum { PAIR = 2 };      // groups searched side by side, so that one's sums run while the other's wait for theirs

#define ROUND_LIMIT 4.0e6f      // under 2^22

// code = round_clamped(inverse * (x - from), 0, top), or 0 in a flat group.
typedef struct { vf scale, minus_min, sum_w, inverse, from; vi flat, odd; } affine_lanes;

typedef struct {            // of PAIR searches under way
    vf lo[PAIR], hi[PAIR], plain_min[PAIR], sum_w[PAIR], sum_wx[PAIR];
    vf min[PAIR], scale[PAIR], best[PAIR];
    vf inverse[PAIR];           // of the attempt being made
} affine_state;

LANE_COPIED void affine_stats(affine_state *s, int n, const vf *const x[PAIR], const vf *const w[PAIR])
{
    for (int p = 0; p < PAIR; p++) {
        s->lo[p] = s->hi[p] = x[p][0];
        s->sum_w[p]  = w[p][0];
        s->sum_wx[p] = w[p][0] * x[p][0];
    }
    for (int i = 1; i < n; i++)
        for (int p = 0; p < PAIR; p++) {
            s->lo[p] = pick(x[p][i] < s->lo[p], x[p][i], s->lo[p]);
            s->hi[p] = pick(x[p][i] > s->hi[p], x[p][i], s->hi[p]);
            s->sum_w[p]  += w[p][i];
            s->sum_wx[p] += w[p][i] * x[p][i];
        }
    for (int p = 0; p < PAIR; p++) s->plain_min[p] = pick(s->lo[p] > 0, splat(0), s->lo[p]);
}

// The plain fit over [min, max], which the attempts must beat.
LANE_COPIED void affine_plain_fit(affine_state *s, affine_lanes out[PAIR], int n, const affine_grid g,
                                  const vf *const x[PAIR], const vf *const w[PAIR])
{
    vf best[PAIR];
    for (int p = 0; p < PAIR; p++) {
        s->min[p]      = s->plain_min[p];
        s->inverse[p]  = (float)g.top / (s->hi[p] - s->min[p]);
        s->scale[p]    = 1 / s->inverse[p];
        best[p]        = splat(0);
        out[p].inverse = s->inverse[p];
        out[p].from    = s->min[p];
        out[p].odd     = ~(magnitude(s->inverse[p] * (s->hi[p] - s->min[p])) < ROUND_LIMIT);
    }
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PAIR; p++) {
            const vf l    = round_clamped(s->inverse[p] * (x[p][i] - s->min[p]), 0, g.top);
            const vf diff = s->scale[p] * l + s->min[p] - x[p][i];
            best[p] += w[p][i] * (g.absolute ? magnitude(diff) : diff * diff);
        }
    for (int p = 0; p < PAIR; p++) s->best[p] = best[p];
}

// Codes for the attempt's inverse scale, and the least-squares scale and min for them. Returns where there is such a
// fit.
LANE_COPIED void affine_attempt(vi fits[PAIR], vf scale[PAIR], vf min[PAIR], vf code[PAIR][QUANT_BLOCK],
                                const affine_state *s, int n, int top, const vf *const x[PAIR], const vf *const w[PAIR])
{
    vf sum_l[PAIR], sum_l2[PAIR], sum_lx[PAIR];
    for (int p = 0; p < PAIR; p++) sum_l[p] = sum_l2[p] = sum_lx[p] = splat(0);
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PAIR; p++) {
            const vf l  = round_clamped(s->inverse[p] * (x[p][i] - s->min[p]), 0, top);
            const vf wl = w[p][i] * l;
            code[p][i]  = l;
            sum_l[p]   += wl;
            sum_l2[p]  += wl * l;
            sum_lx[p]  += wl * x[p][i];
        }
    for (int p = 0; p < PAIR; p++) {
        const vf det  = s->sum_w[p] * sum_l2[p] - sum_l[p] * sum_l[p];
        const vf fit  = (sum_l2[p] * s->sum_wx[p] - sum_l[p] * sum_lx[p]) / det;
        const vi over = fit > 0;
        fits[p]  = det > 0;
        scale[p] = pick(over, sum_lx[p] / sum_l2[p], (s->sum_w[p] * sum_lx[p] - s->sum_wx[p] * sum_l[p]) / det);
        min[p]   = pick(over, splat(0), fit);
    }
}

LANE_COPIED void affine_errors(vf error[PAIR], int n, bool absolute, const vf scale[PAIR], const vf min[PAIR],
                               vf code[PAIR][QUANT_BLOCK], const vf *const x[PAIR], const vf *const w[PAIR])
{
    for (int p = 0; p < PAIR; p++) error[p] = splat(0);
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PAIR; p++) {
            const vf diff = scale[p] * code[p][i] + min[p] - x[p][i];
            error[p] += w[p][i] * (absolute ? magnitude(diff) : diff * diff);
        }
}

// x, w: [PAIR][n] vectors. n and g are constants where this is inlined.
LANE_COPIED void search_affine_lanes(affine_lanes out[PAIR], int n, const affine_grid g, const vf *const x[PAIR],
                                     const vf *const w[PAIR])
{
    affine_state s;
    affine_stats(&s, n, x, w);
    affine_plain_fit(&s, out, n, g, x, w);
    for (int i = 0; i <= g.steps; i++) {
        vf scale[PAIR], min[PAIR], error[PAIR], code[PAIR][QUANT_BLOCK];
        vi fits[PAIR];
        for (int p = 0; p < PAIR; p++) {
            s.inverse[p] = (g.first + g.step * (float)i + (float)g.top) / (s.hi[p] - s.min[p]);
            // Rounding is monotone, so every product lies between those of the extremes.
            out[p].odd |= ~(magnitude(s.inverse[p] * (s.hi[p] - s.min[p])) < ROUND_LIMIT) |
                          ~(magnitude(s.inverse[p] * (s.lo[p] - s.min[p])) < ROUND_LIMIT);
        }
        affine_attempt(fits, scale, min, code, &s, n, g.top, x, w);
        affine_errors(error, n, g.absolute, scale, min, code, x, w);
        for (int p = 0; p < PAIR; p++) {
            const vi better = fits[p] & (error[p] < s.best[p]);
            out[p].inverse  = pick(better, s.inverse[p], out[p].inverse);
            out[p].from     = pick(better, s.min[p], out[p].from);
            s.best[p]  = pick(better, error[p], s.best[p]);
            s.scale[p] = pick(better, scale[p], s.scale[p]);
            s.min[p]   = pick(better, min[p], s.min[p]);
        }
    }
    for (int p = 0; p < PAIR; p++) {
        out[p].flat      = s.hi[p] <= s.plain_min[p];
        out[p].scale     = pick(out[p].flat, splat(0), s.scale[p]);
        out[p].minus_min = negated(pick(out[p].flat, s.plain_min[p], s.min[p]));
        out[p].sum_w     = s.sum_w[p];
        out[p].odd      &= ~out[p].flat;
    }
}

// x, wx, w: [PAIR][n] vectors, wx = w * x. *inverse: with which the codes were taken, round_clamped(inverse * x, -half,
// half - 1) + half.
// Where a group counts as zeros, scale and inverse are 0 and `zero` is set: its codes are 0, not half.
typedef struct { vf scale, inverse; vi zero; } symmetric_lanes;

LANE_COPIED void search_symmetric_lanes(symmetric_lanes out[PAIR], int n, int half, const vf *const x[PAIR],
                                        const vf *const w[PAIR], const vf *const wx[PAIR])
{
    vf extreme[PAIR], max[PAIR], best[PAIR];
    for (int p = 0; p < PAIR; p++) extreme[p] = max[p] = best[p] = out[p].scale = out[p].inverse = splat(0);
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PAIR; p++) {
            const vf a = magnitude(x[p][i]);
            extreme[p] = pick(a > max[p], x[p][i], extreme[p]);
            max[p]     = pick(a > max[p], a, max[p]);
        }
    for (int attempt = 0; attempt < 19; attempt++) {
        const int tenths = attempt == 0 ? 0 : attempt <= 9 ? attempt - 10 : attempt - 9;
        const float grid = attempt == 0 ? (float)-half : -((float)half + 0.1f * (float)tenths);
        vf inverse[PAIR], sum_lx[PAIR], sum_l2[PAIR];
        for (int p = 0; p < PAIR; p++) {
            inverse[p] = grid / extreme[p];
            sum_lx[p] = sum_l2[p] = splat(0);
        }
        for (int i = 0; i < n; i++)
            for (int p = 0; p < PAIR; p++) {
                const vf l = round_clamped(inverse[p] * x[p][i], -half, half - 1);
                sum_lx[p] += wx[p][i] * l;
                sum_l2[p] += w[p][i] * l * l;
            }
        for (int p = 0; p < PAIR; p++) {
            const vi first  = splat_int(attempt == 0 ? -1 : 0);
            const vi better = first | ((sum_l2[p] > 0) & (sum_lx[p] * sum_lx[p] > best[p] * sum_l2[p]));
            const vf scale  = pick(sum_l2[p] != 0, sum_lx[p] / sum_l2[p], splat(0));
            out[p].scale    = pick(better, scale, out[p].scale);
            out[p].inverse  = pick(better, inverse[p], out[p].inverse);
            best[p]         = pick(better, scale * sum_lx[p], best[p]);
        }
    }
    for (int p = 0; p < PAIR; p++) {
        out[p].zero    = max[p] < SEARCH_EPS;
        out[p].scale   = pick(out[p].zero, splat(0), out[p].scale);
        out[p].inverse = pick(out[p].zero, splat(0), out[p].inverse);
    }
}

// x: [PAIR][n] vectors; the codes are not kept: they are taken again from the quantized scale.
LANE_COPIED void search_symmetric_sweep_lanes(vf scale[PAIR], vi zero[PAIR], int n, int half, const vf *const x[PAIR])
{
    vf extreme[PAIR], max[PAIR], sum_lx[PAIR], sum_l2[PAIR], l[PAIR][QUANT_BLOCK];
    vi moving = splat_int(0);
    for (int p = 0; p < PAIR; p++) extreme[p] = max[p] = sum_lx[p] = sum_l2[p] = splat(0);
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PAIR; p++) {
            const vf a = magnitude(x[p][i]);
            extreme[p] = pick(a > max[p], x[p][i], extreme[p]);
            max[p]     = pick(a > max[p], a, max[p]);
        }
    for (int p = 0; p < PAIR; p++) {
        zero[p] = max[p] < SEARCH_EPS;
        moving |= ~zero[p];
        const vf inverse = (float)-half / pick(zero[p], splat(1), extreme[p]);
        for (int i = 0; i < n; i++) {
            const vf w = x[p][i] * x[p][i];
            l[p][i] = round_clamped(inverse * x[p][i], -half, half - 1);
            sum_lx[p] += w * x[p][i] * l[p][i];
            sum_l2[p] += w * l[p][i] * l[p][i];
        }
    }
    for (int sweep = 0; sweep < 5 && any(moving); sweep++) {
        moving = splat_int(0);
        for (int i = 0; i < n; i++)
            for (int p = 0; p < PAIR; p++) {
                const vf w  = x[p][i] * x[p][i];
                const vf lx = sum_lx[p] - w * x[p][i] * l[p][i], l2 = sum_l2[p] - w * l[p][i] * l[p][i];
                const vf to = to_float(
                    min_int(max_int(round_bits(x[p][i] * l2 / lx), splat_int(-half)), splat_int(half - 1)));
                const vf new_lx = lx + w * x[p][i] * to, new_l2 = l2 + w * to * to;
                const vi move = ~zero[p] & (lx > 0) & (to != l[p][i]) & (new_l2 > 0) &
                                (new_lx * new_lx * sum_l2[p] > sum_lx[p] * sum_lx[p] * new_l2);
                l[p][i]   = pick(move, to, l[p][i]);
                sum_lx[p] = pick(move, new_lx, sum_lx[p]);
                sum_l2[p] = pick(move, new_l2, sum_l2[p]);
                moving |= move;
            }
    }
    for (int p = 0; p < PAIR; p++) scale[p] = pick(zero[p] | (sum_l2[p] <= 0), splat(0), sum_lx[p] / sum_l2[p]);
}

// x, w: [n]; code: [n], written. Negative values are odd.
LANE_COPIED vf search_positive_lanes(int n, int top, const vf *x, const vf *w, vi *code, vi *odd)
{
    vf max = splat(0), best = splat(0), sum_lx = splat(0), sum_l2 = splat(0);
    for (int i = 0; i < n; i++) {
        max   = pick(max > x[i], max, x[i]);
        *odd |= x[i] < 0;
    }
    const vi zero  = max < SEARCH_EPS;
    const vf plain = (float)top / max;
    vf inverse = plain, scale = 1 / plain, l[QUANT_SUPER / 16];
    for (int i = 0; i < n; i++) {
        const vf diff = x[i] - scale * round_clamped(plain * x[i], 0, 255);
        best += w[i] * diff * diff;
    }
    for (int tenths = -4; tenths <= 4; tenths++) {
        if (tenths == 0) continue;
        const vf trial = (0.1f * (float)tenths + (float)top) / max;
        vf error = splat(0);
        scale = 1 / trial;
        for (int i = 0; i < n; i++) {
            const vf diff = x[i] - scale * round_clamped(trial * x[i], 0, top);
            error += w[i] * diff * diff;
        }
        inverse = pick(error < best, trial, inverse);
        best    = pick(error < best, error, best);
    }
    for (int i = 0; i < n; i++) {
        l[i] = round_clamped(inverse * x[i], 0, top);
        sum_lx += w[i] * x[i] * l[i];
        sum_l2 += w[i] * l[i] * l[i];
    }
    vi moving = ~zero;
    for (int sweep = 0; sweep < 5 && any(moving); sweep++) {
        moving = splat_int(0);
        for (int i = 0; i < n; i++) {
            const vf lx = sum_lx - w[i] * x[i] * l[i], l2 = sum_l2 - w[i] * l[i] * l[i];
            const vf to = to_float(min_int(round_bits(x[i] * l2 / lx), splat_int(top)));
            const vf new_lx = lx + w[i] * x[i] * to, new_l2 = l2 + w[i] * to * to;
            const vi move = ~zero & (lx > 0) & (l2 > 0) & (to != l[i]) &
                            (new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2);
            *odd  |= move & (to < 0);
            l[i]   = pick(move, to, l[i]);
            sum_lx = pick(move, new_lx, sum_lx);
            sum_l2 = pick(move, new_l2, sum_l2);
            moving |= move;
        }
    }
    for (int i = 0; i < n; i++) code[i] = pick_int(zero, splat_int(0), __builtin_convertvector(l[i], vi));
    return pick(~zero & (sum_l2 > 0), sum_lx / sum_l2, splat(0));
}

#endif
