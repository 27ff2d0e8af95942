/* For tests: the main program of a suite. */
#ifndef WG_TESTS_SUITE_H
#define WG_TESTS_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Runs the suite; the exit status of main (a count could be mistaken for "skipped"). */
static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
