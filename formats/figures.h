// figures: numbers as reports show them to a reader: "0.0123", "99.87 %", "1,234", "1,234.5"; "-" for what is not
// finite. Safe in every sink. Proved by tests/lab_report_test.c.
#ifndef HALLMARK_FORMATS_FIGURES_H
#define HALLMARK_FORMATS_FIGURES_H

#include "text.h"

void figure_put_kl(text_buf *t, double v);                      // three significant digits, as of all distances
void figure_put_digits(text_buf *t, double v, int digits);      // as %.*g, but "1e-5"
// A share below 1 is never shown as 100 %: it has as many digits as tell it apart.
void figure_put_share(text_buf *t, double v);
void figure_put_percent(text_buf *t, double v);                 // the number of figure_put_share alone
void figure_put(text_buf *t, double v, bool share);             // as a share, or as a distance
void figure_put_count(text_buf *t, int64_t v);
void figure_put_number_of(text_buf *t, int64_t n, const char *one, const char *more);      // "1 token", "1,234 tokens"
void figure_put_bytes(text_buf *t, double v);                   // in tenths of a byte
void figure_put_size(text_buf *t, int64_t bytes);               // of a file: "12 B", "1.23 GB"
void figure_put_tick(text_buf *t, double v);                    // of an axis: "0.001", "2e-7" where that would be long

#endif
