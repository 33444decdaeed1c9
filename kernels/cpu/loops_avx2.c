#if defined(__x86_64__)
#define FSD_SIMD_AVX2
#define FSD_LOOPS fsd_cpu_loops_avx2
#define FSD_LOOPS_NAME "AVX2"
#include "kernels/cpu/loops_all.h"
#endif
