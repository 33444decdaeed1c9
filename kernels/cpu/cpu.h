/* cpu.h: the CPU backend: oneDNN for matrix products and convolutions, our own loops for the rest.
 *
 * The loops exist once per instruction set and are chosen at run time (loops.h); oneDNN chooses for
 * itself. Threads are OpenMP's (libgomp, which oneDNN uses too, so there is one pool); without
 * OpenMP everything of ours runs on the calling thread. */
#ifndef FSD_KERNELS_CPU_CPU_H
#define FSD_KERNELS_CPU_CPU_H

#include "kernels/backend.h"

#define FSD_CPU_KERNEL(op)                                                                         \
    size_t fsd_cpu_##op##_workspace(fsd_backend *be, const fsd_##op *p);                           \
    fsd_status fsd_cpu_##op(fsd_backend *be, const fsd_##op *p, void *workspace, fsd_error *err)
FSD_CPU_KERNEL(linear);
FSD_CPU_KERNEL(conv);
FSD_CPU_KERNEL(attention);
FSD_CPU_KERNEL(group_norm);
FSD_CPU_KERNEL(layer_norm);
FSD_CPU_KERNEL(embedding);
FSD_CPU_KERNEL(sinusoid);
FSD_CPU_KERNEL(unary);
FSD_CPU_KERNEL(to_channels_last);
FSD_CPU_KERNEL(to_channels_first);

typedef struct fsd_dnnl fsd_dnnl; /* kernels/cpu/dnnl.h */

typedef struct fsd_cpu { /* fsd_backend.own */
    fsd_dnnl *dnnl;
    int threads;
    bool bf16; /* products of bf16 in hardware */
} fsd_cpu;

static inline fsd_cpu *fsd_cpu_of(fsd_backend *be)
{
    return be->own;
}

static inline int fsd_cpu_threads(fsd_backend *be)
{
    return fsd_cpu_of(be)->threads;
}

/* What products and convolutions of activations of this type are made in. Where the CPU has no
 * bf16, gemm.c and conv.c widen it to fp32 around them. */
static inline fsd_dtype fsd_cpu_product_type(fsd_backend *be, fsd_dtype activations)
{
    return fsd_cpu_of(be)->bf16 ? activations : FSD_F32;
}

/* FSD_PARALLEL(threads) before a for loop whose turns are independent; inside it, fsd_cpu_thread()
 * is below `threads`. Turns are dealt out as threads get free: they are of unequal length. */
#ifdef _OPENMP
#include <omp.h>
#define FSD_PRAGMA(text) _Pragma(#text)
#define FSD_PARALLEL(threads) FSD_PRAGMA(omp parallel for schedule(dynamic) num_threads(threads))
static inline int fsd_cpu_thread(void)
{
    return omp_get_thread_num();
}
#else
#define FSD_PARALLEL(threads) (void)(threads);
static inline int fsd_cpu_thread(void)
{
    return 0;
}
#endif

/* What fsd_packed.own is. A TABLE is borrowed, its rows as they stand in the file; a VECTOR is
 * fp32; products and convolutions are in oneDNN's layout: one weight, two for a split, or the four
 * phases (0,0) (0,1) (1,0) (1,1) of CONV_UP. */
enum { FSD_CPU_WEIGHTS = 4 };
typedef struct fsd_cpu_packed {
    struct fsd_dnnl_weights *weights[FSD_CPU_WEIGHTS];
    int parts;
    fsd_pack_part part[FSD_PACK_PARTS];
} fsd_cpu_packed;

static inline const fsd_cpu_packed *fsd_cpu_packed_of(const fsd_packed *packed)
{
    return packed->own;
}

fsd_status fsd_cpu_pack(fsd_backend *be, fsd_packed **out, const fsd_pack *what, fsd_error *err);
size_t fsd_cpu_pack_bytes(fsd_backend *be, const fsd_pack *what);
void fsd_cpu_unpack(fsd_backend *be, fsd_packed *packed);
/* One number of a TABLE. */
float fsd_cpu_table_at(const fsd_packed *table, int64_t row, int64_t column);

#endif
