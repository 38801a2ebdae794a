// Proves quant/exp_log.h: e^x and log x within one unit in the last place of the exact result (long double stands for
// it), over all that scoring asks of them, and their corners.
#include "quant/exp_log.h"
#include "suite.h"
#include <float.h>
#include <math.h>

static uint64_t seed = 88172645463325252ull;
static double uniform(void)     // xorshift64*, [0, 1)
{
    seed ^= seed >> 12; seed ^= seed << 25; seed ^= seed >> 27;
    return (double)((seed * 2685821657736338717ull) >> 11) / 9007199254740992.0;
}

// How far got is from the exact result, in units of the last place of a double there.
static double ulps(double got, long double exact)
{
    const double at = fabs((double)exact), unit = nextafter(at, INFINITY) - at;
    return (double)(fabsl((long double)got - exact) / (long double)unit);
}

static void check_exp(double x)
{
    const double got = exp_f64(x), off = ulps(got, expl((long double)x));
    if (!(off <= 1.0)) ck_abort_msg("e^%.17g: found %.17g, %g units from the exact result", x, got, off);
    if (!(fabs(got - exp(x)) <= 2 * (nextafter(exp(x), INFINITY) - exp(x))))
        ck_abort_msg("e^%.17g: found %.17g, libm gives %.17g", x, got, exp(x));
}

static void check_log(double x)
{
    const double got = log_f64(x), off = ulps(got, logl((long double)x));
    if (!(off <= 1.0)) ck_abort_msg("log %.17g: found %.17g, %g units from the exact result", x, got, off);
    const double unit = nextafter(fabs(log(x)), INFINITY) - fabs(log(x));
    if (!(fabs(got - log(x)) <= 2 * unit)) ck_abort_msg("log %.17g: found %.17g, libm gives %.17g", x, got, log(x));
}

enum { TRIES = 400000 };

START_TEST(exp_is_within_a_unit)
{
    for (int i = 0; i < TRIES; i++) {
        check_exp(-708.0 * uniform());          // log-probabilities
        check_exp(-40.0 * uniform());
        check_exp(2.0 * uniform() - 1.0);
        check_exp(709.0 * uniform());
        check_exp(ldexp(uniform() - 0.5, -(i % 60)));
    }
    // Halfway between two multiples of log 2, where the remainder is largest.
    for (int n = -1020; n < 1020; n++)
        for (int k = -2; k <= 2; k++) check_exp((n + 0.5 + k * 1e-13) * 0.69314718055994530942);
}
END_TEST

START_TEST(exp_has_corners)
{
    ck_assert(exp_f64(0.0) == 1.0 && exp_f64(-0.0) == 1.0);
    check_exp(nextafter(-708.0, 0.0));
    check_exp(709.0);
    static const double none[] = { -708.0, -708.5, -745.0, -1e10, -DBL_MAX, -INFINITY, NAN };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(exp_f64(none[i]) == 0.0, "e^%g: found %g", none[i], exp_f64(none[i]));
    ck_assert(exp_f64(1e300) == exp_f64(709.0));
}
END_TEST

START_TEST(log_is_within_a_unit)
{
    for (int i = 0; i < TRIES; i++) {
        check_log(1.0 + 262143.0 * uniform());      // sums of e^(logit - max)
        check_log(0.5 + uniform());
        check_log(ldexp(1.0 + uniform(), i % 2045 - 1022));
        check_log(1.0 + ldexp(uniform() - 0.5, -(i % 52)));
    }
    for (int k = -1022; k <= 1023; k++) check_log(ldexp(1.0, k));
    const double root = sqrt(0.5);
    for (int k = -1000; k < 1000; k += 7) {         // where another power of two begins
        check_log(ldexp(root, k));
        check_log(ldexp(nextafter(root, 0.0), k));
        check_log(ldexp(nextafter(root, 1.0), k));
    }
    ck_assert(log_f64(1.0) == 0.0);
    check_log(DBL_MAX);
    check_log(1e-300);
}
END_TEST

// Joined sums depend on it: a span whose maximum is the row's must not shrink.
START_TEST(exp_never_falls)
{
    double last = 0;
    for (double x = -708.0; x < 709.0; x += 0.00317) {
        if (!(exp_f64(x) >= last)) ck_abort_msg("e^%.17g = %.17g is below what is before it", x, exp_f64(x));
        last = exp_f64(x);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("exp_log");
    TCase *t = tcase_create("exp_log");
    tcase_add_test(t, exp_is_within_a_unit);
    tcase_add_test(t, exp_has_corners);
    tcase_add_test(t, log_is_within_a_unit);
    tcase_add_test(t, exp_never_falls);
    suite_add_tcase(s, t);
    return run_suite(s);
}
