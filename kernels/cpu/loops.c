#include "kernels/cpu/loops.h"

#include <stddef.h>

static const fsd_cpu_loops *chosen; /* by a test */

int fsd_cpu_loops_list(const fsd_cpu_loops *list[FSD_CPU_LOOPS])
{
    int count = 0;

#ifdef __x86_64__
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");

    if (avx512 && __builtin_cpu_supports("avx512bf16"))
        list[count++] = &fsd_cpu_loops_avx512bf16;
    if (avx512)
        list[count++] = &fsd_cpu_loops_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        list[count++] = &fsd_cpu_loops_avx2;
#endif
    list[count++] = &fsd_cpu_loops_plain;
    return count;
}

const fsd_cpu_loops *fsd_cpu_loops_best(void)
{
    const fsd_cpu_loops *list[FSD_CPU_LOOPS];

    if (chosen)
        return chosen;
    fsd_cpu_loops_list(list);
    return list[0];
}

void fsd_cpu_loops_choose(const fsd_cpu_loops *loops)
{
    chosen = loops;
}
