// suite: libcheck as these tests use it, and what every test program ends with: its cases run, and the exit status they
// give. Included in place of check.h.
#ifndef HALLMARK_TESTS_SUITE_H
#define HALLMARK_TESTS_SUITE_H

#include <check.h>
#include <stdlib.h>

// libcheck's own writes a note of each assertion that holds to a file, for a report on the next one that crashes. In
// loops over millions that is most of a test's time; and no such report is made where tests do not fork (CK_FORK=no).
#undef ck_assert_msg
#define ck_assert_msg(expr, ...) \
    ((expr) ? (void)0 : _ck_assert_failed(__FILE__, __LINE__, "Assertion '" #expr "' failed", ##__VA_ARGS__))

// Runs a suite with its test cases, as loud as CK_VERBOSITY asks for, and frees it; the exit status of the program.
static inline int run_suite(Suite *s)
{
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
