// checks: what a verification looked at, as rows, those that held too: of the artifact, then of each fixture, in the
// order in which it is done. Reports list them (report_junit.c, report_html.c).
//
// Where each case was kept (trace.h) a check of tokens has a row for each; else one for all, from the counts. So a
// report that was read from a record gives the same rows wherever it is read.
// Proved by tests/report_pages_test.c.
#ifndef HALLMARK_VERIFY_CHECKS_H
#define HALLMARK_VERIFY_CHECKS_H

#include "verify.h"

typedef enum { LOOK_HELD, LOOK_BROKE, LOOK_OPEN, LOOK_NOT_MADE } look_state;     // OPEN: it cannot be decided so

typedef struct {
    const char *what;           // static: as in verify_failure
    const char *title;          // static: what was looked at
    const char *against;        // the fixture's name, borrowed from the report; "" where it is of the artifact alone
    char        case_id[64];    // "" where it is of no one case
    look_state  state;
    char        text[512];      // a sentence: what was found; why it was not made
} look;

typedef struct {
    look   *v;                  // [n]
    int64_t n, room;
    bool    failed;             // memory ran out
} looks;

// Adds the rows of an artifact alone: whether its tensors are the source's, where that was asked; whether a fixture was
// there, and in a release whether all were that its type answers to.
void looks_add_artifact(looks *l, const verify_report *r);
// Adds those of one of its fixtures. Each failure is of a row that did not hold; and where it did not pass, there is a
// row that says so.
void looks_add_fixture(looks *l, const verify_report *r, const verify_fixture_result *f);
void looks_free(looks *l);

const char *look_word(look_state s);        // "held", "did not hold", "open", "not made"

// Is failure x what the row tells of?
bool look_is_of(const look *row, const verify_failure *x);

#endif
