/* pointwise.h: lookups, embeddings of time, and the change of layout at the edges of a network.
 *
 * embedding         y[r] = table[id[r]] + position[r % period];  table (rows, cols) packed TABLE,
 *                   position (period, cols) packed TABLE or NULL; ids out of range: FSD_INVALID
 * sinusoid          y[r] = (cos(t[r] f_0) … cos(t[r] f_{d/2-1}), sin(t[r] f_0) …),
 *                   f_i = exp(-ln(10000) i / (d/2)): Stable Diffusion's order, cosines first
 *                   (Vaswani et al. 2017, arXiv:1706.03762 §3.5); t fp32 on the host
 * unary             y = act(x), count elements; y may be x
 * to_channels_last  y[k*n + i] = x[i] for k < repeat: fp32 (n, c, h, w) to dtype
 *                   (repeat * n, h, w, c); classifier-free guidance sees one latent twice
 * to_channels_first dtype (n, h, w, c) to fp32 (n, c, h, w)
 * errors  FSD_INVALID, FSD_DEVICE; within: exact up to the rounding of dtype, sinusoid 1e-6 */
#ifndef FSD_KERNELS_POINTWISE_H
#define FSD_KERNELS_POINTWISE_H

#include "engine/base/half.h"
#include "kernels/gemm.h"

typedef struct fsd_embedding {
    fsd_dtype dtype; /* of y */
    int64_t rows, cols, period;
    const fsd_packed *table, *position;
    const int32_t *ids;
    void *y;
} fsd_embedding;

typedef struct fsd_sinusoid {
    fsd_dtype dtype; /* of y */
    int64_t rows, dim;
    const float *t;
    void *y;
} fsd_sinusoid;

typedef struct fsd_unary {
    fsd_dtype dtype;
    int64_t count;
    fsd_act act;
    const void *x;
    void *y;
} fsd_unary;

typedef struct fsd_to_channels {
    fsd_dtype dtype; /* of the channels-last side */
    int64_t n, c, h, w, repeat;
    const void *x;
    void *y;
} fsd_to_channels;
typedef fsd_to_channels fsd_to_channels_last, fsd_to_channels_first;

#endif
