/* conv.h: two-dimensional convolution, channels last.
 *   y[n,i,j,o] = b[o] + add[n,o] + residual[n,i,j,o]
 *              + sum_{a,b,c} u[n, i*stride + a - top, j*stride + b - left, c] W[o,c,a,b]
 *   u is x, or with `upsample` x repeated 2x in both axes (nearest) and cut to (up_h, up_w), as the
 *   UNet's upsampler meets a skip of odd size; outside u is 0.
 *   out_h = (h' + top + bottom - kh) / stride + 1, h' = upsample ? up_h : h; out_w likewise.
 * shapes  x (n, h, w, in), y and residual (n, out_h, out_w, out), contiguous, residual may be y;
 *         W (out, in, kh, kw); add (n, out), or (1, out) for all images if add_shared
 * errors  FSD_INVALID, FSD_DEVICE
 * within  fp32 1e-5 of ref/, relative; bf16 1e-2 */
#ifndef FSD_KERNELS_CONV_H
#define FSD_KERNELS_CONV_H

#include "engine/base/half.h"

#include <stdbool.h>

typedef struct fsd_packed fsd_packed;

typedef struct fsd_conv {
    fsd_dtype dtype; /* of x, y, add, residual */
    int64_t n, h, w, in, out;
    int kh, kw, stride;
    int top, left, bottom, right; /* zero padding */
    bool upsample, add_shared;
    int64_t up_h, up_w; /* with upsample: 2h or 2h-1, 2w or 2w-1 */
    const fsd_packed *weight; /* CONV, or CONV_UP (kernels/backend.h) */
    const float *bias;        /* (out); may be NULL */
    const void *x, *add, *residual; /* add and residual may be NULL */
    void *y;
} fsd_conv;

static inline int64_t fsd_conv_out_h(const fsd_conv *p)
{
    return ((p->upsample ? p->up_h : p->h) + p->top + p->bottom - p->kh) / p->stride + 1;
}

static inline int64_t fsd_conv_out_w(const fsd_conv *p)
{
    return ((p->upsample ? p->up_w : p->w) + p->left + p->right - p->kw) / p->stride + 1;
}

#endif
