/* attention.h: softmax(scale * Q K^T) V a head, never storing the whole score matrix (Dao et al.
 * 2022, arXiv:2205.14135; Milakov & Gimelshein 2018 for the online softmax).
 *   q (n, n_q, heads * dim), k and v (n, n_k, heads * dim), y like q; head h is channels
 *   [h * dim, (h + 1) * dim). ld_* is elements from token to token, so that q, k and v may be
 *   slices of one tensor; images follow each other by n_q * ld (n_k * ld).
 *   causal: token i sees keys 0..i (n_q == n_k)
 * errors  FSD_INVALID, FSD_DEVICE
 * within  fp32 1e-5 of ref/, relative; bf16 1e-2. Any dim (8, 12, 16, 40, 64, 80, 160, 512) */
#ifndef FSD_KERNELS_ATTENTION_H
#define FSD_KERNELS_ATTENTION_H

#include "engine/base/half.h"

#include <stdbool.h>

typedef struct fsd_attention {
    fsd_dtype dtype;
    int64_t n, n_q, n_k;
    int heads, dim;
    bool causal;
    float scale; /* 1/sqrt(dim) for all we have; T5 says 1 */
    int64_t ld_q, ld_k, ld_v, ld_y;
    const void *q, *k, *v;
    void *y;
} fsd_attention;

#endif
