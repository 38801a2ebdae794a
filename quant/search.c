#include "search.inc"

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
