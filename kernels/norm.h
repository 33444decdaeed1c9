/* norm.h: group norm and layer norm; statistics in fp32 or better, mean first, then variance.
 *
 * group_norm (Wu & He 2018, arXiv:1803.08494), optionally SiLU after it:
 *   y = silu((x - mean) / sqrt(var + eps) * w + b), mean and var over (h, w, channels of a group)
 *   shapes  x (n, h*w, c), x2 (n, h*w, c2) or NULL: the channels of x, then of x2 (a skip
 *           concatenation, never made); y (n, h*w, c + c2), may be x if there is no x2;
 *           w, b (c + c2) fp32. c + c2 is a multiple of groups; a group may straddle x and x2
 * layer_norm (Ba et al. 2016, arXiv:1607.06450):
 *   y[r,i] = (x[r,i] - mean_r) / sqrt(var_r + eps) * w[i] + b[i];  x, y (rows, cols), y may be x
 * errors  FSD_INVALID, FSD_DEVICE
 * within  fp32 1e-5 of ref/, relative; bf16 1e-2 */
#ifndef FSD_KERNELS_NORM_H
#define FSD_KERNELS_NORM_H

#include "engine/base/half.h"

#include <stdbool.h>

typedef struct fsd_group_norm {
    fsd_dtype dtype; /* of x, x2, y */
    int64_t n, hw, c, c2;
    int groups;
    float eps;
    bool silu;
    const float *weight, *bias;
    const void *x, *x2;
    void *y;
} fsd_group_norm;

typedef struct fsd_layer_norm {
    fsd_dtype dtype;
    int64_t rows, cols;
    float eps;
    const float *weight, *bias;
    const void *x;
    void *y;
} fsd_layer_norm;

#endif
