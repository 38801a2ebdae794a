// suite: what every test program ends with: its cases run, and the exit status they give.
#ifndef HALLMARK_TESTS_SUITE_H
#define HALLMARK_TESTS_SUITE_H

#include <check.h>
#include <stdlib.h>

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
