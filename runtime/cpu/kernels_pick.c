// Which kernels this processor can run.
#include "kernels.h"
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

typedef struct { const char *name; const cpu_kernels *k; bool present; } level;

#if defined(__x86_64__)
// __builtin_cpu_supports: that the processor has it and that the system saves its registers.
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

// Conversion from and to F16 is asked of the processor: not every compiler's builtin knows its name.
static bool has_avx2(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C)) return false;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

const cpu_kernels *cpu_kernels_pick(const char *simd, err *e)
{
    level levels[] = {
#if defined(__x86_64__)
        { "avx512", &cpu_kernels_avx512, has_avx512() },
        { "avx2", &cpu_kernels_avx2, has_avx2() },
#endif
        { "portable", &cpu_kernels_portable, true },
    };
    const bool any = !simd || !*simd || strcmp(simd, "auto") == 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (any) {
            if (levels[i].present) return levels[i].k;
        } else if (strcmp(simd, levels[i].name) == 0) {
            if (levels[i].present) return levels[i].k;
            err_set(e, ERR_USAGE, "SIMD level '%s': this processor does not have it", simd);
            return NULL;
        }
    }
    err_set(e, ERR_USAGE, "SIMD level '%s': expected auto, portable, avx2 or avx512", simd);
    return NULL;
}

const char *cpu_kernels_name(const cpu_kernels *k)
{
#if defined(__x86_64__)
    if (k == &cpu_kernels_avx512) return "avx512";
    if (k == &cpu_kernels_avx2) return "avx2";
#endif
    return "portable";
}
