// finite: see finite.h. A value is no number where all bits of its exponent are set.
#include "finite.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

enum { STEP = 4096 };           // values looked at together: long enough for vectors, and in the nearest cache

bool finite_checks(dtype t) { return t == DT_F32 || t == DT_F16 || t == DT_BF16; }

const char *finite_name(double x) { return isnan(x) ? "NaN" : isinf(x) ? x > 0 ? "Inf" : "-Inf" : NULL; }

static uint16_t exponent_of(dtype t)
{
    assert(t == DT_F16 || t == DT_BF16);
    return t == DT_F16 ? 0x7c00 : 0x7f80;
}

static bool one_bad(dtype t, const uint8_t *bytes, int64_t i)
{
    uint32_t u32;
    uint16_t u16;
    if (t == DT_F32) {
        memcpy(&u32, bytes + i * 4, sizeof u32);
        return (u32 & 0x7f800000) == 0x7f800000;
    }
    memcpy(&u16, bytes + i * 2, sizeof u16);
    return (u16 & exponent_of(t)) == exponent_of(t);
}

static bool run_bad_u16(const uint8_t *bytes, int64_t n, uint16_t exponent)
{
    uint16_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        uint16_t u;
        memcpy(&u, bytes + i * 2, sizeof u);
        bad |= (uint16_t)-(uint16_t)((u & exponent) == exponent);
    }
    return bad != 0;
}

static bool run_bad_u32(const uint8_t *bytes, int64_t n)
{
    uint32_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, bytes + i * 4, sizeof u);
        bad |= -(uint32_t)((u & 0x7f800000) == 0x7f800000);
    }
    return bad != 0;
}

static bool run_bad(dtype t, const uint8_t *bytes, int64_t n)
{
    return t == DT_F32 ? run_bad_u32(bytes, n) : run_bad_u16(bytes, n, exponent_of(t));
}

static int64_t value_bytes(dtype t) { return t == DT_F32 ? 4 : 2; }

int64_t finite_first_plain(dtype t, const void *bytes, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (one_bad(t, bytes, i)) return i;
    return -1;
}

int64_t finite_first(dtype t, const void *bytes, int64_t n)
{
    for (int64_t step, i = 0; i < n; i += step) {
        const uint8_t *at = (const uint8_t *)bytes + i * value_bytes(t);
        step = n - i < STEP ? n - i : STEP;
        if (run_bad(t, at, step)) return i + finite_first_plain(t, at, step);
    }
    return -1;
}

int64_t finite_count_bad(dtype t, const void *bytes, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += one_bad(t, bytes, i);
    return count;
}
