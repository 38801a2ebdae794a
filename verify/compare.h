// compare: one fixture against one run of an artifact, fed step by step, so that no more than one step's logits need be
// held.
//
// For each case: compare_case, compare_hidden (once, after the prompt), compare_free for the free run until it says
// stop, compare_forced for every step, compare_case_end; then compare_end judges the whole by the gate. It knows logits
// and ids only, so tests prove it without a model: tests/verify_compare_test.c.
#ifndef HALLMARK_VERIFY_COMPARE_H
#define HALLMARK_VERIFY_COMPARE_H

#include "distance.h"
#include "gate.h"
#include "probe.h"
#include "verify.h"

typedef struct {                // where a distance was largest
    const fixture_case *c;
    int64_t             step;
    int                 layer;
} compare_place;

typedef struct {
    const fixture         *f;           // borrowed, as all pointers but decode_*
    const gate            *g;
    verify_fixture_result *r;
    int64_t                n_free, n_vocab;
    bool                   leave_routed;    // distances of steps that tie_routed names are left out
    bool                   outside;         // a server's answers (remote.h): no layer is seen
    bool                   no_distance;     // it gives no log-probabilities: ids alone are judged
    // the case at hand
    const fixture_case    *c;
    verify_case           *at;          // where it is kept, r->traced; NULL: it is not
    double                 movement;    // tie_movement
    probe_result           probe;
    bool                   free_over;   // the free run ended before its length
    bool                   dead;        // "finite" was reported for this case: no more is said of it
    int64_t                kept;        // failures of this case that were kept
    // [tokens] distances of the free run's own logits, 0 where it did not come to
    double                *decode_kl, *decode_lp;
    // all cases
    double                 kl_sum;
    int64_t                n_left_out;      // of the steps so far
    // leaves: the earliest step whose log-probabilities are beyond their limit
    compare_place          worst_kl, worst_lp, leaves;
    int64_t                n_first, n_first_equal;      // see probe.h
    int                    first_layer;     // the lowest layer that departs in any case, LAYER_NONE; and in which
    const fixture_case    *first_layer_case;
} comparison;

// Fills r for f and starts counting. type: what the artifact is held to ("Q4_K_M", held_type.h), for the drift budget.
// n_free: free-run length, at most f->tokens. false only when memory fails. r's failures are the caller's to free.
bool compare_begin(comparison *k, verify_fixture_result *r, const fixture *f, const gate *g, check_kind kind,
                   const char *type, int64_t n_free, int64_t n_vocab, err *e);
// Frees what compare_begin took (not r). compare_end does it too.
void compare_free_buffers(comparison *k);

// Ids that a case holds are within the vocabulary, and its probes within the model; false names the first that is not
// in text.
bool compare_fits(const fixture *f, int64_t n_vocab, int n_layer, int n_embd, char *text, size_t text_size);

void compare_case(comparison *k, const fixture_case *c);
// hidden: [n_layer + 1][n_embd] of the prompt's last token, as session_eval gives it.
void compare_hidden(comparison *k, const float *hidden, int n_layer, int n_embd);
// One step of the free run, whose prefix was the reference's so far. logits: [n_vocab]. true: our id is the
// reference's, go on with it.
bool compare_free(comparison *k, int64_t step, const float *logits);
// One step given the reference's own prefix. The distance of a step is the larger of this run's and the free run's.
void compare_forced(comparison *k, int64_t step, const float *logits);
// Both, of a distance that was measured elsewhere.
bool compare_free_at(comparison *k, int64_t step, const distance *at);
void compare_forced_at(comparison *k, int64_t step, const distance *at);
void compare_case_end(comparison *k);
// Drift, before compare_end: what rounding costs this model (rounding.h). Without it the limits are those of a gate
// that does not ask for it, or none can be held.
void compare_rounding(comparison *k, double kl_mean, int64_t top1_equal);
void compare_end(comparison *k);

// Records a failure of a result: counted always, kept while there is room; one that explains the others, as that it is
// another model, stands before them. text is formatted.
void result_fail(verify_fixture_result *r, const verify_failure *place, const char *fmt,
                 ...) __attribute__((format(printf, 3, 4)));
// A failure of no case: what, and the sentence.
void result_fail_whole(verify_fixture_result *r, const char *what, const char *text);
// Prepares r for f without any counts: name, digest, dtype, room for failures.
bool result_begin(verify_fixture_result *r, const fixture *f, check_kind kind, err *e);
// Room for what each case and step of it gives, for reports: compare_case and the others fill it in.
bool result_keep_cases(verify_fixture_result *r, const fixture *f, err *e);
// The first failure of that kind; NULL: there is none.
const verify_failure *result_failure(const verify_fixture_result *r, const char *what);

// Which hallmark makes the report.
void report_take_program(verify_report *r);

#endif
