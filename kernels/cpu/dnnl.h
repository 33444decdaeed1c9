/* dnnl.h: the little of oneDNN that we use, the same for its versions 2 and 3.
 *
 * A job names a matrix product or a convolution by its sizes; fsd_dnnl_find makes the primitive for
 * it once and finds it again by them. Weights are kept in oneDNN's own blocked layout
 * (fsd_dnnl_weights), whose size is known before. oneDNN allocates nothing when it runs: its scratch
 * is the caller's. One thread at a time. */
#ifndef FSD_KERNELS_CPU_DNNL_H
#define FSD_KERNELS_CPU_DNNL_H

#include "kernels/gemm.h"

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct fsd_dnnl fsd_dnnl;
typedef struct fsd_dnnl_primitive fsd_dnnl_primitive; /* owned by the fsd_dnnl */
typedef struct fsd_dnnl_weights fsd_dnnl_weights;

/* y = act(x W^T + bias), or with `sum` y += that (act then over the whole sum). kh 0: a product of
 * `rows` x `in`; else a convolution of (n, h, w, in), channels last. Zero the struct first: it is
 * compared byte by byte. */
typedef struct fsd_dnnl_job {
    int32_t input, output; /* fsd_dtype: F32 or BF16 */
    int32_t act, bias, sum;
    int32_t kh, kw, stride, top, left, bottom, right;
    int64_t rows, in, out, ldx, ldy;
    int64_t n, h, w;
} fsd_dnnl_job;

FSD_MUST_CHECK fsd_status fsd_dnnl_open(fsd_dnnl **out, fsd_error *err);
void fsd_dnnl_close(fsd_dnnl *dnnl);
void fsd_dnnl_version(int *major, int *minor, int *patch);
/* Does this CPU multiply bf16 in hardware? */
bool fsd_dnnl_fast_bf16(void);

/* FSD_DEVICE if oneDNN cannot do it, FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_dnnl_find(fsd_dnnl *dnnl, fsd_dnnl_primitive **out,
                                        const fsd_dnnl_job *job, fsd_error *err);
size_t fsd_dnnl_scratch(const fsd_dnnl_primitive *primitive);

/* The blocked weights that a job of these sizes wants: their bytes, and the weights themselves, made
 * from (out, in, kh, kw) in `plain`, of the job's input type; the rows of a product's are `ld`
 * elements apart. */
size_t fsd_dnnl_weights_bytes(const fsd_dnnl_primitive *primitive);
FSD_MUST_CHECK fsd_status fsd_dnnl_weights_new(fsd_dnnl *dnnl, fsd_dnnl_weights **out,
                                               const fsd_dnnl_primitive *primitive,
                                               const void *plain, int64_t ld, fsd_error *err);
void fsd_dnnl_weights_free(fsd_dnnl_weights *weights);

/* Run. Weights in another layout than this job wants (an image of another size may) are laid out
 * anew, once. `x` and `bias` are only read. */
FSD_MUST_CHECK fsd_status fsd_dnnl_run(fsd_dnnl *dnnl, fsd_dnnl_primitive *primitive, const void *x,
                                       fsd_dnnl_weights *weights, const float *bias, void *y,
                                       void *scratch, fsd_error *err);

#endif
