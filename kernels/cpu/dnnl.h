/* dnnl.h: the little of oneDNN that we use, the same for its versions 2 and 3.
 *
 * A job names a matrix product or a convolution by its sizes. fsd_dnnl_find makes the primitive for
 * it once and finds it again by them, so that a call costs microseconds; the 256 last used are
 * kept. oneDNN allocates nothing when it runs: its scratch is the caller's.
 *
 * Weights are kept in one of oneDNN's blocked layouts, at first what a job of typical size wants.
 * Products want the same at any size. A convolution of a very small image may not (forced to use what
 * is there, oneDNN 2.6 falls back to its reference loops): the first such job lays the weights out
 * anew, in as many bytes, and they stay so until another job wants them otherwise.
 * One thread at a time. */
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

/* oneDNN's own threads are OpenMP's, `threads` of them. */
FSD_MUST_CHECK fsd_status fsd_dnnl_open(fsd_dnnl **out, int threads, fsd_error *err);
void fsd_dnnl_close(fsd_dnnl *dnnl);
void fsd_dnnl_version(int *major, int *minor, int *patch);
/* Does this CPU multiply bf16 in hardware? Where it does not, oneDNN may know no bf16 at all. */
bool fsd_dnnl_fast_bf16(void);

/* *out is good until the next find. FSD_DEVICE if oneDNN cannot do it, FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_dnnl_find(fsd_dnnl *dnnl, fsd_dnnl_primitive **out,
                                        const fsd_dnnl_job *job, fsd_error *err);
size_t fsd_dnnl_scratch(const fsd_dnnl_primitive *primitive);

/* The weights of all jobs that agree with this one in input type, in, out, kh and kw: what they
 * take (0 if oneDNN cannot do it), and room for them. */
size_t fsd_dnnl_weights_bytes(fsd_dnnl *dnnl, const fsd_dnnl_job *job);
FSD_MUST_CHECK fsd_status fsd_dnnl_weights_new(fsd_dnnl *dnnl, fsd_dnnl_weights **out,
                                               const fsd_dnnl_job *job, fsd_error *err);
/* Fill in output channels [first, first + count) from `plain` (count, in, kh, kw), of the job's
 * input type; the rows of a product's are `ld` elements apart. `first` is a multiple of
 * FSD_DNNL_WEIGHTS_STEP, as is `count` but for the last. */
enum { FSD_DNNL_WEIGHTS_STEP = 192 }; /* of the blocks of 16, 32, 48 and 64 that there are */
FSD_MUST_CHECK fsd_status fsd_dnnl_weights_fill(fsd_dnnl *dnnl, fsd_dnnl_weights *weights,
                                                int64_t first, int64_t count, const void *plain,
                                                int64_t ld, fsd_error *err);
void fsd_dnnl_weights_free(fsd_dnnl_weights *weights); /* NULL is fine */

/* `x`, `weights` and `bias` are only read; scratch is aligned to 64 bytes. */
FSD_MUST_CHECK fsd_status fsd_dnnl_run(fsd_dnnl *dnnl, fsd_dnnl_primitive *primitive, const void *x,
                                       fsd_dnnl_weights *weights, const float *bias, void *y,
                                       void *scratch, fsd_error *err);

#endif
