// What results come to: see verify.h.
#include "verify.h"
#include <stdio.h>
#include <string.h>

static const char *const WORST_FIRST[] = { "fail", "inconclusive", "unverified", "pass" };
enum { N_VERDICTS = sizeof WORST_FIRST / sizeof *WORST_FIRST };

static int rank(const char *verdict)
{
    int i = 0;
    while (i < N_VERDICTS && strcmp(WORST_FIRST[i], verdict) != 0) i++;
    return i;
}

const char *verify_worse(const char *a, const char *b) { return rank(b) < rank(a) ? b : a; }

const char *verify_fixture_verdict(const verify_fixture_result *f)
{
    if (f->passed) return "pass";
    return f->failures_total == 0 && f->n_why > 0 ? "inconclusive" : "fail";
}

const char *verify_part_words(const verify_fixture_result *f, char to[VERIFY_PART])
{
    to[0] = '\0';
    if (f->cases_held > 0)
        snprintf(to, VERIFY_PART, ", %lld of %lld cases", (long long)f->cases, (long long)f->cases_held);
    return to;
}

const char *verify_verdict(const verify_report *r)
{
    if (r->derivation.made && !r->derivation.passed) return "fail";
    const char *worst = "pass";
    for (int64_t i = 0; i < r->n_fixtures; i++) worst = verify_worse(worst, verify_fixture_verdict(&r->fixtures[i]));
    if (r->n_fixtures == 0 || r->incomplete || !r->passed) worst = verify_worse(worst, "unverified");
    return worst;
}
