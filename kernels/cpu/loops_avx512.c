#if defined(__x86_64__)
#define FSD_SIMD_AVX512
#define FSD_LOOPS fsd_cpu_loops_avx512
#define FSD_LOOPS_NAME "AVX-512"
#include "kernels/cpu/loops_all.h"
#endif
