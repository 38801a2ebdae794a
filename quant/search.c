#include "search.h"
#include "codec_impl.h"

#include <math.h>

static inline int code_near(float v, int lo, int hi) { return clamp_int(round_by_magic(v), lo, hi); }

// The value of largest magnitude, the first where several are equal; *magnitude is its absolute value.
static float extreme_value(int n, const float *x, float *magnitude)
{
    float v = 0, max = 0;
    for (int i = 0; i < n; i++) {
        const float a = fabsf(x[i]);
        if (a > max) { max = a; v = x[i]; }
    }
    *magnitude = max;
    return v;
}

float search_symmetric(int n, int half, const float *x, const float *weight, uint8_t *code)
{
    float magnitude, scale = 0, best = 0;
    const float extreme = extreme_value(n, x, &magnitude);
    if (magnitude < SEARCH_EPS) {
        memset(code, 0, (size_t)n);
        return 0;
    }
    // Try 0 is the plain scale and is always taken; then -9 .. 9 without 0, in tenths of a code.
    for (int attempt = 0; attempt < 19; attempt++) {
        const int   tenths  = attempt == 0 ? 0 : attempt <= 9 ? attempt - 10 : attempt - 9;
        const float inverse = attempt == 0 ? (float)-half / extreme : -((float)half + 0.1f * (float)tenths) / extreme;
        float sum_lx = 0, sum_l2 = 0;
        for (int i = 0; i < n; i++) {
            const float l = (float)code_near(inverse * x[i], -half, half - 1);
            sum_lx += weight[i] * x[i] * l;
            sum_l2 += weight[i] * l * l;
        }
        // The fit's error is sum(w x^2) - sum_lx^2 / sum_l2: the largest quotient wins.
        if (attempt != 0 && !(sum_l2 > 0 && sum_lx * sum_lx > best * sum_l2)) continue;
        for (int i = 0; i < n; i++) code[i] = (uint8_t)(code_near(inverse * x[i], -half, half - 1) + half);
        scale = sum_l2 != 0 ? sum_lx / sum_l2 : 0;
        best  = scale * sum_lx;
    }
    return scale;
}

typedef struct { float min, max, sum_w, sum_wx; } group_stats;

static group_stats group_stats_of(int n, const float *x, const float *weight)
{
    group_stats s = { x[0], x[0], weight[0], weight[0] * x[0] };
    for (int i = 1; i < n; i++) {
        if (x[i] < s.min) s.min = x[i];
        if (x[i] > s.max) s.max = x[i];
        s.sum_w  += weight[i];
        s.sum_wx += weight[i] * x[i];
    }
    if (s.min > 0) s.min = 0;
    return s;
}

static float affine_error(int n, const float *x, const float *weight, const uint8_t *code, float scale, float min, bool absolute)
{
    float sum = 0;
    for (int i = 0; i < n; i++) {
        const float diff = scale * (float)code[i] + min - x[i];
        sum += weight[i] * (absolute ? fabsf(diff) : diff * diff);
    }
    return sum;
}

// Codes counted from `from` for one inverse scale, and the weighted least-squares scale and min for them; false where the codes
// are all alike.
static bool affine_fit(int n, int top, const float *x, const float *weight, const group_stats *s, float inverse, float from,
                       uint8_t *code, float *scale, float *min)
{
    float sum_l = 0, sum_l2 = 0, sum_lx = 0;
    for (int i = 0; i < n; i++) {
        const int   q = code_near(inverse * (x[i] - from), 0, top);
        const float l = (float)q;
        code[i] = (uint8_t)q;
        sum_l  += weight[i] * l;
        sum_l2 += weight[i] * l * l;
        sum_lx += weight[i] * l * x[i];
    }
    const float det = s->sum_w * sum_l2 - sum_l * sum_l;
    if (!(det > 0)) return false;
    *scale = (s->sum_w * sum_lx - s->sum_wx * sum_l) / det;
    *min   = (sum_l2 * s->sum_wx - sum_l * sum_lx) / det;
    if (*min > 0) {                 // mins are stored as non-negative numbers to subtract
        *min   = 0;
        *scale = sum_lx / sum_l2;
    }
    return true;
}

float search_affine(int n, const affine_grid *g, const float *x, const float *weight, uint8_t *code, float *minus_min)
{
    uint8_t trial[QUANT_BLOCK];
    const group_stats s = group_stats_of(n, x, weight);
    *minus_min = -s.min;
    if (s.max <= s.min) {
        memset(code, 0, (size_t)n);
        return 0;
    }
    float inverse = (float)g->top / (s.max - s.min);
    float scale   = 1 / inverse, min = s.min;
    for (int i = 0; i < n; i++) code[i] = (uint8_t)code_near(inverse * (x[i] - min), 0, g->top);
    float best = affine_error(n, x, weight, code, scale, min, g->absolute);
    for (int i = 0; i <= g->steps; i++) {
        float fit_scale, fit_min;
        // From the best min so far, not from the group's smallest value: each success moves the grid of the attempts after it.
        inverse = (g->first + g->step * (float)i + (float)g->top) / (s.max - min);
        if (!affine_fit(n, g->top, x, weight, &s, inverse, min, trial, &fit_scale, &fit_min)) continue;
        const float error = affine_error(n, x, weight, trial, fit_scale, fit_min, g->absolute);
        if (error < best) {
            memcpy(code, trial, (size_t)n);
            best  = error;
            scale = fit_scale;
            min   = fit_min;
        }
    }
    *minus_min = -min;
    return scale;
}

float search_symmetric_sweep(int n, int half, const float *x, uint8_t *code)
{
    float magnitude, sum_lx = 0, sum_l2 = 0;
    int   l[QUANT_BLOCK];
    const float extreme = extreme_value(n, x, &magnitude);
    if (magnitude < SEARCH_EPS) {
        memset(code, 0, (size_t)n);
        return 0;
    }
    const float inverse = (float)-half / extreme;
    for (int i = 0; i < n; i++) {
        const float w = x[i] * x[i];
        l[i] = code_near(inverse * x[i], -half, half - 1);
        sum_lx += w * x[i] * (float)l[i];
        sum_l2 += w * (float)l[i] * (float)l[i];
    }
    for (int sweep = 0, moved = 1; sweep < 5 && moved; sweep++) {
        moved = 0;
        for (int i = 0; i < n; i++) {
            const float w = x[i] * x[i];
            float lx = sum_lx - w * x[i] * (float)l[i];         // the sums without weight i
            if (!(lx > 0)) continue;
            float l2 = sum_l2 - w * (float)l[i] * (float)l[i];
            const int to = code_near(x[i] * l2 / lx, -half, half - 1);
            if (to == l[i]) continue;
            lx += w * x[i] * (float)to;
            l2 += w * (float)to * (float)to;
            if (!(l2 > 0 && lx * lx * sum_l2 > sum_lx * sum_lx * l2)) continue;
            l[i] = to;
            sum_lx = lx;
            sum_l2 = l2;
            moved = 1;
        }
    }
    for (int i = 0; i < n; i++) code[i] = (uint8_t)(l[i] + half);
    return sum_l2 <= 0 ? 0 : sum_lx / sum_l2;           // NaN where the squares overflowed
}

// The best of nine inverse scales around top / max, by weighted squared error with the scale that belongs to each.
static float positive_inverse(int n, int top, const float *x, const float *weight, float max)
{
    const float plain = (float)top / max;
    float best_inverse = plain, scale = 1 / plain, best = 0;
    for (int i = 0; i < n; i++) {
        const float diff = x[i] - scale * (float)(uint8_t)round_by_magic(plain * x[i]);
        best += weight[i] * diff * diff;
    }
    for (int tenths = -4; tenths <= 4; tenths++) {
        if (tenths == 0) continue;
        const float inverse = (0.1f * (float)tenths + (float)top) / max;
        float error = 0;
        scale = 1 / inverse;
        for (int i = 0; i < n; i++) {
            const int   q    = round_by_magic(inverse * x[i]);
            const float diff = x[i] - scale * (float)(q < top ? q : top);
            error += weight[i] * diff * diff;
        }
        if (error < best) {
            best = error;
            best_inverse = inverse;
        }
    }
    return best_inverse;
}

float search_positive(int n, int top, const float *x, const float *weight, uint8_t *code)
{
    float max = 0, sum_lx = 0, sum_l2 = 0;
    for (int i = 0; i < n; i++) max = max > x[i] ? max : x[i];
    if (max < SEARCH_EPS) {
        memset(code, 0, (size_t)n);
        return 0;
    }
    const float inverse = positive_inverse(n, top, x, weight, max);
    for (int i = 0; i < n; i++) {
        const int q = round_by_magic(inverse * x[i]);
        const int l = q < top ? q : top;
        code[i] = (uint8_t)l;
        sum_lx += weight[i] * x[i] * (float)l;
        sum_l2 += weight[i] * (float)l * (float)l;
    }
    for (int sweep = 0, moved = 1; sweep < 5 && moved; sweep++) {
        moved = 0;
        for (int i = 0; i < n; i++) {
            const float w  = weight[i];
            float lx = sum_lx - w * x[i] * (float)code[i];      // the sums without value i
            float l2 = sum_l2 - w * (float)code[i] * (float)code[i];
            if (!(lx > 0 && l2 > 0)) continue;
            const int q  = round_by_magic(x[i] * l2 / lx);
            const int to = q < top ? q : top;
            if (to == code[i]) continue;
            lx += w * x[i] * (float)to;
            l2 += w * (float)to * (float)to;
            if (!(lx * lx * sum_l2 > sum_lx * sum_lx * l2)) continue;
            code[i] = (uint8_t)to;
            sum_lx = lx;
            sum_l2 = l2;
            moved = 1;
        }
    }
    return sum_l2 > 0 ? sum_lx / sum_l2 : 0;
}
