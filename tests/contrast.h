// contrast: can a colour be read on another? For tests of style sheets, whose colours are --name:#hex.
#ifndef HALLMARK_TESTS_CONTRAST_H
#define HALLMARK_TESTS_CONTRAST_H

#include "suite.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static inline double channel(const char *hex, int digits)
{
    char two[3] = { hex[0], digits == 2 ? hex[1] : hex[0], '\0' };
    const double c = (double)strtol(two, NULL, 16) / 255;
    return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
}

// Relative luminance (WCAG 2.2) of a colour of that name, from where the sheet defines it.
static inline double luminance(const char *sheet, const char *name)
{
    char  key[24];
    snprintf(key, sizeof key, "--%s:#", name);
    const char *at = strstr(sheet, key);
    ck_assert_msg(at != NULL, "no %s", name);
    at += strlen(key);
    const int n = (int)strspn(at, "0123456789abcdef"), digits = n / 3;
    ck_assert_msg(n == 3 || n == 6, "%s: %d digits", name, n);
    const double red = channel(at, digits), green = channel(at + digits, digits);
    const double blue = channel(at + 2 * digits, digits);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// Are two colours of a sheet that far apart? least: 4.5 for text, 3 for marks, 7 for what is read most.
static inline void contrast(const char *sheet, const char *a, const char *b, double least)
{
    const double x = luminance(sheet, a), y = luminance(sheet, b), ratio = (fmax(x, y) + 0.05) / (fmin(x, y) + 0.05);
    ck_assert_msg(ratio >= least, "%s on %s: %.2f, at least %.1f", a, b, ratio, least);
}

#endif
