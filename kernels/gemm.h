/* gemm.h: linear layers (and 1x1 convolutions, which in channels-last are the same):
 *   y[r,n] = act(sum_k x[r,k] W[n,k] + b[n]) + residual[r,n]
 *   with a second input (a concatenation along k that is never made): k runs over x, then over x2.
 *   GEGLU (Shazeer 2020, arXiv:2002.05202; W has 2n rows, values then gates):
 *     y[r,n] = v[r,n] * gelu(g[r,n]), gelu exact (erf)
 * shapes  x (rows, in) with `ldx` elements from row to row, x2 (rows, in2) likewise,
 *         y and residual (rows, out) with ldy; residual may be y
 * errors  FSD_INVALID for sizes that do not fit w or are not positive; FSD_DEVICE
 * within  fp32: 1e-5 of ref/, relative, for in up to 2^14; bf16: 1e-2 */
#ifndef FSD_KERNELS_GEMM_H
#define FSD_KERNELS_GEMM_H

#include "engine/base/half.h"

typedef struct fsd_packed fsd_packed;

typedef enum fsd_act {
    FSD_ACT_NONE,
    FSD_ACT_SILU,       /* x * sigmoid(x) */
    FSD_ACT_QUICK_GELU, /* x * sigmoid(1.702 x): CLIP-L */
    FSD_ACT_GELU,       /* exact, erf: OpenCLIP */
    FSD_ACT_GEGLU,
} fsd_act;

typedef struct fsd_linear {
    fsd_dtype dtype; /* of x, x2, y, residual: F32 or BF16 */
    int64_t rows, in, in2, out;
    int64_t ldx, ldx2, ldy, ld_residual;
    fsd_act act;
    const fsd_packed *w; /* LINEAR, or GEGLU with FSD_ACT_GEGLU */
    const float *bias;   /* (out), GEGLU (2 * out); may be NULL */
    const void *x, *x2, *residual; /* x2 NULL where in2 is 0; residual may be NULL */
    void *y;
} fsd_linear;

#endif
