// figures: see figures.h.
#include "figures.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void figure_put_kl(text_buf *t, double v) { figure_put_digits(t, v, 3); }

void figure_put_digits(text_buf *t, double v, int digits)
{
    char text[48];
    if (!isfinite(v)) {
        text_words(t, "-");
        return;
    }
    snprintf(text, sizeof text, "%.*g", digits, v + 0.0);       // + 0.0: no sign before nothing
    char *power = strchr(text, 'e');
    if (power) text_raw(t, text, (size_t)(power - text));
    if (power) text_printf(t, "e%d", atoi(power + 1));          // 1e-5, not 1e-05
    else       text_words(t, text);
}

void figure_put_share(text_buf *t, double v)
{
    figure_put_percent(t, v);
    if (isfinite(v)) text_words(t, " %");
}

void figure_put_percent(text_buf *t, double v)
{
    char text[32];
    if (!isfinite(v)) {
        text_words(t, "-");
        return;
    }
    for (int digits = 2; digits <= 12; digits++) {
        snprintf(text, sizeof text, "%.*f", digits, 100 * v);
        if (v >= 1 || strncmp(text, "100", 3) != 0) break;
    }
    text_words(t, text);
}

void figure_put(text_buf *t, double v, bool share)
{
    if (share) figure_put_share(t, v);
    else       figure_put_kl(t, v);
}

void figure_put_count(text_buf *t, int64_t v)
{
    char digits[32];
    const int n = snprintf(digits, sizeof digits, "%lld", (long long)v);
    for (int i = 0; i < n; i++) {
        text_raw(t, digits + i, 1);
        if (i + 1 < n && (n - 1 - i) % 3 == 0 && digits[i] != '-') text_words(t, ",");
    }
}

void figure_put_number_of(text_buf *t, int64_t n, const char *one, const char *more)
{
    figure_put_count(t, n);
    text_printf(t, " %s", n == 1 ? one : more);
}

void figure_put_bytes(text_buf *t, double v)
{
    const double tenths = round(10 * v);
    figure_put_count(t, (int64_t)(tenths / 10));
    if (fmod(tenths, 10) != 0) text_printf(t, ".%d", (int)fmod(tenths, 10));
}

void figure_put_size(text_buf *t, int64_t bytes)
{
    static const char *const UNITS[] = { "B", "kB", "MB", "GB", "TB" };
    double v = (double)bytes;
    int    u = 0;
    for (; v >= 1000 && u < 4; u++) v /= 1000;
    text_printf(t, u == 0 ? "%.0f %s" : "%.2f %s", v, UNITS[u]);
}

void figure_put_tick(text_buf *t, double v)
{
    const int decade = v > 0 ? (int)floor(log10(v) + 1e-9) : 0;
    figure_put_digits(t, v, decade >= -4 && decade < 6 ? 5 : 2);
}
