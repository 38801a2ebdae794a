// effort_search: the fit of one block in each lane. Included by effort_rows.inc.
#include "effort_impl.h"
#include "lanes.h"

typedef struct {            // one block in each lane; s, m and q are integers
    vf d, dmin, error;
    vf s[16], m[16];
} block_fit;

LANE_INLINE vf minimum(vf a, vf b) { return pick(a < b, a, b); }
LANE_INLINE vf maximum(vf a, vf b) { return pick(a > b, a, b); }

// 1 / v, and 0 where v is 0.
LANE_INLINE vf inverse_of(vf v) { return pick(v != 0, 1.f / v, splat(0)); }

// To the nearest F16 that is finite.
static vf to_f16(vf v)
{
    vf out = v;
    for (int l = 0; l < LANES; l++) {
        const float clamped = v[l] > 65504.f ? 65504.f : v[l] < -65504.f ? -65504.f : v[l];
        out[l] = f32_from_f16(f16_from_f32(clamped));
    }
    return out;
}

// ---- one sub-block by itself: real scale and min --------------------------------------------------------------------

typedef struct {            // w ~= a * q - b, and the sums that say what moving a and b costs
    vf a, b, error;
    vf sll, sl;
} sub_fit;

typedef struct { vf w, wx, wxx; } sub_sums;

LANE_COPIED sub_sums sums_of(int n, const vf *x, const vf *w)
{
    sub_sums s = { splat(0), splat(0), splat(0) };
    for (int i = 0; i < n; i++) {
        const vf wx = w[i] * x[i];
        s.w   += w[i];
        s.wx  += wx;
        s.wxx += wx * x[i];
    }
    return s;
}

LANE_INLINE void keep_better(sub_fit *best, sub_fit f, vi usable)
{
    // An error of minus infinity comes of a reciprocal that overflowed.
    const vi better = usable & (f.error < best->error) & (f.error > -__builtin_inff());
    best->a     = pick(better, f.a, best->a);
    best->b     = pick(better, f.b, best->b);
    best->error = pick(better, f.error, best->error);
    best->sll   = pick(better, f.sll, best->sll);
    best->sl    = pick(better, f.sl, best->sl);
}

// Codes by one inverse scale, counted from `from`, and the least-squares scale (and min) for them.
LANE_COPIED void try_sub(sub_fit *best, const effort_kind *k, const vf *x, const vf *w, const sub_sums *s, vf inverse,
                         vf from)
{
    vf sl = splat(0), sll = splat(0), slx = splat(0);
    for (int i = 0; i < k->n; i++) {
        const vf q = round_clamped((x[i] - from) * inverse, k->q_lo, k->q_hi), wq = w[i] * q;
        sl  += wq;
        sll += wq * q;
        slx += wq * x[i];
    }
    sub_fit f = { .sl = sl, .sll = sll, .b = splat(0) };
    f.a = slx * inverse_of(sll);
    vi usable = sll > 0;
    if (k->affine) {
        const vf det = s->w * sll - sl * sl, by = inverse_of(det);
        const vf a = (s->w * slx - s->wx * sl) * by, b = (sl * slx - sll * s->wx) * by;
        const vi both = k->any_min ? det > 0 : (det > 0) & (b > 0);         // where the min may not be negative it is 0
        f.a = pick(both, a, f.a);
        f.b = pick(both, b, f.b);
        usable &= f.a > 0;
    }
    f.error = s->wxx - f.a * slx + f.b * s->wx;
    keep_better(best, f, usable);
}

enum { WIDTHS = 9, ALTERNATIONS = 3 };

LANE_COPIED sub_fit fit_sub(const effort_kind *k, const vf *x, const vf *w)
{
    const sub_sums s = sums_of(k->n, x, w);
    vf lo = x[0], hi = x[0];
    for (int i = 1; i < k->n; i++) {
        lo = minimum(lo, x[i]);
        hi = maximum(hi, x[i]);
    }
    if (!k->affine) {
        hi = maximum(hi, negated(lo));
        lo = splat(0);
    } else if (!k->any_min) {
        lo = minimum(lo, splat(0));
    }
    const vf range = hi - lo;
    // The symmetric range has one code more on the negative side, so that the scale's sign matters.
    const float span = (float)(k->affine ? k->q_hi : -k->q_lo);
    sub_fit best = { .a = range / span, .b = negated(lo), .error = splat(__builtin_inff()), .sll = splat(0),
                     .sl = splat(0) };
    for (int i = 0; i < WIDTHS; i++) {
        const float part = k->narrowest + (1.06f - k->narrowest) * (float)i / (WIDTHS - 1);
        const vf inverse = inverse_of(range * (part / span)), cut = range * (1 - part);
        if (!k->affine) {
            try_sub(&best, k, x, w, &s, inverse, splat(0));
            try_sub(&best, k, x, w, &s, negated(inverse), splat(0));
            continue;
        }
        for (int at = 0; at < 3; at++) try_sub(&best, k, x, w, &s, inverse, lo + cut * (0.5f * (float)at));
    }
    for (int i = 0; i < ALTERNATIONS; i++) try_sub(&best, k, x, w, &s, inverse_of(best.a), negated(best.b));
    return best;
}

// ---- the block's scales against all its sub-blocks ------------------------------------------------------------------

// What it costs, at most, to give sub-block f the scale and min of small integers; and the integers. The codes are
// taken as they are.
LANE_COPIED vf integer_cost(const effort_kind *k, const sub_fit *f, vf sw, vf d, vf by_d, vf dmin, vf by_dmin, vf *s,
                            vf *m)
{
    *s = round_clamped(f->a * by_d, k->s_lo, k->s_hi);
    const vf u = *s * d - f->a;
    if (!k->affine) {
        *m = splat(0);
        return u * u * f->sll;
    }
    *m = round_clamped((f->b + u * f->sl * inverse_of(sw)) * by_dmin, 0, k->m_hi);
    const vf v = *m * dmin - f->b;
    return u * u * f->sll - 2.f * u * v * f->sl + v * v * sw;
}

enum { D_STEPS = 12, DMIN_STEPS = 8 };

// d and dmin by the least sum of costs, and the integers that go with them.
LANE_COPIED void choose_scales(block_fit *f, const effort_kind *k, const sub_fit *sub, const vf *sw)
{
    vf max_a = splat(0), max_b = splat(0), best = splat(__builtin_inff()), d = splat(0), dmin = splat(0);
    for (int j = 0; j < k->subs; j++) {
        max_a = maximum(max_a, magnitude(sub[j].a));
        max_b = maximum(max_b, sub[j].b);
    }
    const int most = k->affine ? k->s_hi : -k->s_lo;
    for (int i = 0; i < D_STEPS * (k->affine ? 1 : 2); i++) {
        // The largest scale becomes the largest integer, or up to a fifth less of few, a sixth of many.
        const float whole = (float)most - (float)(i % D_STEPS) * (most <= 15   ? 0.25f
                                                                  : most <= 32 ? 0.5f
                                                                  : most < 100 ? 0.75f
                                                                               : 1.5f);
        const vf try_d = to_f16(max_a * ((i < D_STEPS ? 1.f : -1.f) / whole)), by_d = inverse_of(try_d);
        for (int h = 0; h < (k->affine ? DMIN_STEPS : 1); h++) {
            const float whole_m = (float)k->m_hi - (float)h * (k->m_hi <= 15 ? 0.25f : 1.f);
            const vf try_dmin = k->affine ? to_f16(max_b / whole_m) : splat(0), by_dmin = inverse_of(try_dmin);
            vf cost = splat(0), s, m;
            for (int j = 0; j < k->subs; j++)
                cost += integer_cost(k, &sub[j], sw[j], try_d, by_d, try_dmin, by_dmin, &s, &m);
            const vi better = cost < best;
            best = pick(better, cost, best);
            d    = pick(better, try_d, d);
            dmin = pick(better, try_dmin, dmin);
        }
    }
    f->d    = d;
    f->dmin = dmin;
    const vf by_d = inverse_of(d), by_dmin = inverse_of(dmin);
    for (int j = 0; j < k->subs; j++) integer_cost(k, &sub[j], sw[j], d, by_d, dmin, by_dmin, &f->s[j], &f->m[j]);
}

// ---- the exact error ------------------------------------------------------------------------------------------------

LANE_INLINE vf nearest_code(const effort_kind *k, vf x, vf by_scale, vf offset)
{
    return round_clamped((x + offset) * by_scale, k->q_lo, k->q_hi);
}

// Of sub-block x with the scale and offset that will be decoded.
LANE_COPIED vf exact_error(const effort_kind *k, const vf *x, const vf *w, vf scale, vf offset)
{
    const vf by = inverse_of(scale);
    vf sum = splat(0);
    for (int i = 0; i < k->n; i++) {
        const vf r = x[i] - (scale * nearest_code(k, x[i], by, offset) - offset);
        sum += w[i] * r * r;
    }
    return sum;
}

// The integers of one sub-block, one step to either side of what they are; returns its error.
LANE_COPIED vf settle_integers(const effort_kind *k, const vf *x, const vf *w, vf d, vf dmin, vf *s, vf *m)
{
    const bool has_s = k->s_hi > 0, has_m = k->m_hi > 0;
    const vf s0 = *s, m0 = *m;
    vf best = exact_error(k, x, w, d * s0, dmin * m0);
    for (int i = 0; i < 9; i++) {
        const int ds = i / 3 - 1, dm = i % 3 - 1;
        if ((ds == 0 && dm == 0) || (ds && !has_s) || (dm && !has_m)) continue;
        const vf try_s = has_s ? minimum(maximum(s0 + (float)ds, splat((float)k->s_lo)), splat((float)k->s_hi)) : s0;
        const vf try_m = has_m ? minimum(maximum(m0 + (float)dm, splat(0)), splat((float)k->m_hi)) : m0;
        const vf error = exact_error(k, x, w, d * try_s, dmin * try_m);
        const vi better = error < best;
        best = pick(better, error, best);
        *s = pick(better, try_s, *s);
        *m = pick(better, try_m, *m);
    }
    return best;
}

// The least-squares d and dmin for the codes and integers that f has now.
LANE_COPIED void refit_scales(block_fit *f, const effort_kind *k, const vf *x, const vf *w, const vf *sw, const vf *swx)
{
    vf pp = splat(0), pm = splat(0), mm = splat(0), px = splat(0), mx = splat(0);
    for (int j = 0; j < k->subs; j++) {
        const vf scale = f->d * f->s[j], offset = f->dmin * f->m[j], by = inverse_of(scale);
        const vf *xs = x + j * k->n, *ws = w + j * k->n;
        vf sl = splat(0), sll = splat(0), slx = splat(0);
        for (int i = 0; i < k->n; i++) {
            const vf q = nearest_code(k, xs[i], by, offset), wq = ws[i] * q;
            sl  += wq;
            sll += wq * q;
            slx += wq * xs[i];
        }
        pp += f->s[j] * f->s[j] * sll;
        px += f->s[j] * slx;
        if (!k->affine) continue;
        pm += f->s[j] * f->m[j] * sl;
        mm += f->m[j] * f->m[j] * sw[j];
        mx += f->m[j] * swx[j];
    }
    vf d = px * inverse_of(pp), dmin = f->dmin;
    vi usable = pp > 0;
    if (k->affine) {
        const vf det = pp * mm - pm * pm;
        const vi both = det > 0;
        const vf d2 = (px * mm - mx * pm) * inverse_of(det), min2 = (d2 * pm - mx) * inverse_of(mm);
        const vi kept = both & (k->any_min ? both : min2 >= 0);
        // Otherwise the min stays as it is, and the scale makes the best of it.
        d    = pick(kept, d2, (px + dmin * pm) * inverse_of(pp));
        dmin = pick(kept, min2, dmin);
    }
    f->d    = pick(usable, to_f16(d), f->d);
    f->dmin = to_f16(dmin);
}

enum { ROUNDS = 3 };

static void refine(block_fit *best, block_fit f, const effort_kind *k, const vf *x, const vf *w, const vf *sw,
                   const vf *swx)
{
    for (int round = 0; round < ROUNDS; round++) {
        f.error = splat(0);
        for (int j = 0; j < k->subs; j++)
            f.error += settle_integers(k, x + j * k->n, w + j * k->n, f.d, f.dmin, &f.s[j], &f.m[j]);
        const vi better = f.error < best->error;
        best->error = pick(better, f.error, best->error);
        best->d     = pick(better, f.d, best->d);
        best->dmin  = pick(better, f.dmin, best->dmin);
        for (int j = 0; j < k->subs; j++) {
            best->s[j] = pick(better, f.s[j], best->s[j]);
            best->m[j] = pick(better, f.m[j], best->m[j]);
        }
        if (round + 1 < ROUNDS) refit_scales(&f, k, x, w, sw, swx);
    }
}

// x, w: [n * subs], a block in each lane.
static void fit_block(block_fit *best, const effort_kind *k, const vf *x, const vf *w)
{
    sub_fit sub[16];
    vf sw[16], swx[16];
    block_fit f;
    for (int j = 0; j < k->subs; j++) {
        const sub_sums s = sums_of(k->n, x + j * k->n, w + j * k->n);
        sub[j] = fit_sub(k, x + j * k->n, w + j * k->n);
        sw[j]  = s.w;
        swx[j] = s.wx;
    }
    if (k->s_hi > 0) {
        choose_scales(&f, k, sub, sw);
    } else {
        f.d    = to_f16(sub[0].a);
        f.dmin = k->affine ? to_f16(sub[0].b) : splat(0);
        f.s[0] = f.m[0] = splat(1);
    }
    *best = f;
    best->error = splat(__builtin_inff());
    refine(best, f, k, x, w, sw, swx);
}
