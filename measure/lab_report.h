// lab_report: what a laboratory run found, as JSON, Markdown and HTML.
//
// The same result gives the same bytes everywhere: no time stamp, no path, no machine. Text from files passes
// formats/text.h. Figures in JSON have 6 significant digits: neighbours differ by at most a hundred-thousandth, which
// is far inside every interval, and the last bits of a sum are of no use to a reader. Shares and bytes for each
// position have 9, because what matters of a share is how far it is from 1. What is not finite is null, and so is an
// interval that is not there.
//
// JSON: {"hallmark_lab":1,
//   "base":{name,type,kv,arith,digest,bytes_per_position,context_bytes},"artifacts":[{name,type,digest}],
//   "texts":[{category,name,tokens,chunks,sha256}],"chunk","skip","samples" (0: all),"context","state_bytes",
//   "budget" (bytes) and "chosen" where the first candidate was made to order (lab_budget.h),
//   "candidates":[{artifact,kv,llama (string or null),"layer" and "side" where it is of one layer alone,
//     bytes_per_position,context_bytes, FIGURES,
//     "categories":[{category, FIGURES}],"positions":[{from,to (not included), FIGURES}],
//     "worst":[{category,chunk,position,kl,base_best,best,before,next,after}]}],
//   "compounds":[{artifact,kv,kl_weights,kl_cache,kl_both,share,share_low,share_high}],
//   "recommendation":{"use","avoid","instead" (caches of the base, or null),"sentence"}}
// FIGURES: tokens,chunks,kl_mean,kl_low,kl_high (95 % of the mean),kl_median,kl_p90,kl_p99,kl_p999,kl_max,top1,top5,
//   change_mean,change_rms,change_p99,nll_base,nll,"intervals":{FIGURE:[low,high] or null}
//
// HTML is one file without a script: inline CSS and SVG, for narrow and wide screens, dark and light, paper, and screen
// readers; each plot has a title, a description and a table.
// Proved by tests/lab_report_test.c and tests/shown_report_test.c.
#ifndef HALLMARK_MEASURE_LAB_REPORT_H
#define HALLMARK_MEASURE_LAB_REPORT_H

#include "../formats/err.h"
#include "lab_figures.h"

// The texts, freed by the caller. NULL when out of memory.
char *lab_report_json(const lab_result *r);
char *lab_report_md(const lab_result *r);
char *lab_report_html(const lab_result *r);

// The path ends with .json, .md or .html, after a name.
bool lab_report_suffix_ok(const char *path);

// Writes the form that the suffix asks for, whole or not at all. ERR_USAGE: another suffix; a place that cannot be
// written to; ERR_SYSTEM as outfile_write_whole.
bool lab_report_write(const lab_result *r, const char *path, err *e);

#endif
