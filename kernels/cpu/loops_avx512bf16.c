#if defined(__x86_64__)
#define FSD_SIMD_AVX512BF16
#define FSD_LOOPS fsd_cpu_loops_avx512bf16
#define FSD_LOOPS_NAME "AVX-512 with bf16"
#include "kernels/cpu/loops_all.h"
#endif
