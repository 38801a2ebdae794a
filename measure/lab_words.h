// lab_words: what every report of the laboratory says in the same words: the order of candidates, what was
// measured, what is advised. JSON, Markdown, HTML and the terminal take it from here.
//
// A text_sink (formats/text.h) says where the words go: names of files, caches and categories come from outside.
// Proved by tests/lab_report_test.c.
#ifndef HALLMARK_MEASURE_LAB_WORDS_H
#define HALLMARK_MEASURE_LAB_WORDS_H

#include "../formats/figures.h"
#include "lab_figures.h"

enum { LAB_N_FIGURES = 11 };    // of lab_figures, those with an interval
enum { LAB_KL_DIGITS = 6, LAB_SHARE_DIGITS = 9 };       // in JSON: lab_report.h says why

typedef struct {
    const char *key;            // as in JSON
    size_t      at;             // of the lab_figure in lab_figures
    bool        share;          // 0 to 1: shown in percent
} lab_figure_kind;
extern const lab_figure_kind LAB_FIGURES[LAB_N_FIGURES];
const lab_figure *lab_figure_at(const lab_figures *f, int kind);

// Candidates from the smallest cache to the largest; of equal ones the smaller loss first, then the plan's order. A
// candidate's place in it, from 1 on, is its number in Markdown and HTML. [n_candidates], freed by the caller; NULL
// when out of memory.
int *lab_by_bytes(const lab_result *r);

// [n_candidates]: no other candidate of the same file is at once no larger, loses no more, and differs in one of both.
bool *lab_front(const lab_result *r);

// The category of the lowest top-1 agreement, the first of equal ones; NULL where there is none.
const lab_category *lab_worst_category(const lab_measured *m);

bool lab_has_places(const lab_measured *m);     // worst ones of any category
bool lab_any_places(const lab_result *r);       // of any candidate

double lab_each_bytes(const lab_plan *p, int64_t context_bytes);    // bytes for each position of the plan's context

// A file's name; where an earlier file is called the same, " (2)" and so on behind it.
void lab_put_file(text_buf *t, text_sink sink, const lab_plan *p, int artifact);
void lab_put_cache(text_buf *t, text_sink sink, const char *kv);    // set as code in Markdown and HTML

bool lab_has_interval(const lab_figure *f);
void lab_put_interval(text_buf *t, const lab_figure *f, bool share);    // "0.0119 to 0.0127"; "-" where there is none
void lab_put_share_in(text_buf *t, text_sink sink, double share, const char *category);     // "99.1 % in coding"

// "add up" (the interval holds 1), "compound" (it is above), "overlap" (below); "-" where there is no interval.
const char *lab_compound_verdict(const lab_compound *x);

// What the figures mean and how they came about: sentences of ours and numbers alone, for any sink but JSON.
void lab_put_method(text_buf *t, const lab_result *r);

// One sentence each: what was measured; the recommendation.
void lab_put_measured(text_buf *t, text_sink sink, const lab_result *r);
void lab_put_advice(text_buf *t, text_sink sink, const lab_result *r);

#endif
