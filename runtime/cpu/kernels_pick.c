// Which kernels this processor can run.
#include "kernels.h"
#include <string.h>

typedef struct { const char *name; const cpu_kernels *k; bool present; } level;

const cpu_kernels *cpu_kernels_pick(const char *simd, err *e)
{
    level levels[] = {
#if defined(__x86_64__)
        { "avx512", &cpu_kernels_avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") },
        { "avx2", &cpu_kernels_avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") },
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
