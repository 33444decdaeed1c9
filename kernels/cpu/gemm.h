/* gemm.h: what gemm.c shares with pack.c. */
#ifndef FSD_KERNELS_CPU_GEMM_H
#define FSD_KERNELS_CPU_GEMM_H

#include "kernels/cpu/dnnl.h"

/* A dense product of these sizes, without bias, activation or sum. */
fsd_dnnl_job fsd_cpu_product_job(fsd_dtype type, int64_t rows, int64_t in, int64_t out);

#endif
