/* gemm.h: what gemm.c shares with pack.c and conv.c. */
#ifndef FSD_KERNELS_CPU_GEMM_H
#define FSD_KERNELS_CPU_GEMM_H

#include "kernels/backend.h"
#include "kernels/cpu/dnnl.h"

/* A dense product of these sizes, without bias, activation or sum. */
fsd_dnnl_job fsd_cpu_product_job(fsd_dtype type, int64_t rows, int64_t in, int64_t out);

/* bf16 (rows, cols) with `ld` elements from row to row, from and to dense fp32: for CPUs that do
 * not multiply bf16. */
void fsd_cpu_widen(fsd_backend *be, float *to, const void *from, int64_t rows, int64_t cols,
                   int64_t ld);
void fsd_cpu_narrow(fsd_backend *be, void *to, const float *from, int64_t rows, int64_t cols,
                    int64_t ld);

/* Of a block in the workspace: up to the next multiple of 64. */
static inline size_t fsd_cpu_align(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

#endif
