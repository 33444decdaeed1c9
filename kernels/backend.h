/* backend.h: one table of kernels a device; ref/ and cpu/ fill it here, cuda/ will by dlopen.
 *
 * A kernel gets a plain struct of sizes and addresses (gemm.h conv.h norm.h attention.h
 * pointwise.h) and knows no model. Activations are channels-last and of one storage type, fp32 or
 * bf16, sums are fp32 (double in ref/). Weights come packed: fsd_backend.pack turns a tensor as it
 * stands in a checkpoint into whatever form the device likes best; the bytes that takes are known
 * before (pack_bytes), as are the bytes of scratch an operation needs (workspace), because the
 * plan of a picture adds them up before anything runs.
 *
 * A backend may be used from one thread at a time; it may run several inside. */
#ifndef FSD_KERNELS_BACKEND_H
#define FSD_KERNELS_BACKEND_H

#include "engine/base/half.h"
#include "engine/base/status.h"
#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/gemm.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"

#include <stdbool.h>

typedef struct fsd_backend fsd_backend;

/* What fsd_packed will be used for: the operation, and the type of the activations it meets. */
typedef enum fsd_pack_use {
    FSD_PACK_LINEAR, /* (out, in): rows are output features */
    FSD_PACK_GEGLU,  /* (2 * out, in): values, then gates (kernels/gemm.h) */
    FSD_PACK_CONV,   /* (out, in, kh, kw) */
    FSD_PACK_TABLE,  /* (rows, cols), looked up by row (embedding) */
    FSD_PACK_VECTOR, /* (count): bias and norm parameters; packed = fp32, contiguous */
    /* (out, in, 3, 3): for an input upsampled to exactly twice its size, stride and padding 1, and
     * for nothing else. CONV does that too; this may be faster, and larger (kernels/cpu/conv.c). */
    FSD_PACK_CONV_UP,
} fsd_pack_use;

/* One tensor as it stands in a file. Stacked tensors (q, k and v of one attention) are parts of
 * one packed weight, one below the other along the first axis; all parts agree in the rest. */
typedef struct fsd_pack_part {
    const void *data; /* borrowed, any alignment, `dim` in torch's order, contiguous */
    fsd_dtype dtype;  /* F32, F16, BF16 or F64 */
    int64_t rows;     /* its share of dim[0] */
} fsd_pack_part;

enum { FSD_PACK_PARTS = 4 };

typedef struct fsd_pack {
    fsd_pack_use use;
    fsd_dtype activations; /* F32 or BF16: the precision of the product */
    int64_t dim[4];        /* (rows, cols, kh, kw); unused axes are 1; a vector is (count) */
    int parts;
    fsd_pack_part part[FSD_PACK_PARTS];
    /* LINEAR with two inputs (a 1x1 convolution over a concatenation that is never made): columns
     * of the first input; 0 for one input. */
    int64_t split;
} fsd_pack;

/* A packed weight: the backend's own, immutable, usable until fsd_backend.unpack. For VECTOR
 * `vector` is the fp32 array; nobody but the backend looks at the rest. */
struct fsd_packed {
    fsd_pack_use use;
    fsd_dtype activations;
    int64_t dim[4];
    int64_t split;
    size_t bytes;        /* what it holds in memory of its own (0: borrowed from the file) */
    const float *vector; /* VECTOR only */
    void *own;
};

/* Device memory, aligned to 64 bytes and zeroed. On ref and cpu it is ordinary memory. */
struct fsd_backend {
    const char *name; /* "ref", "cpu", "cuda" */
    char about[160];  /* "cpu: oneDNN 2.6.3, AVX-512 with bf16, 2 threads" */
    bool fast_bf16;   /* bf16 is a gain here; `precision = auto` picks it then */

    fsd_status (*pack)(fsd_backend *be, fsd_packed **out, const fsd_pack *what, fsd_error *err);
    size_t (*pack_bytes)(fsd_backend *be, const fsd_pack *what);
    void (*unpack)(fsd_backend *be, fsd_packed *packed); /* NULL is fine */

    fsd_status (*alloc)(fsd_backend *be, void **out, size_t bytes, fsd_error *err);
    void (*free)(fsd_backend *be, void *block, size_t bytes);

    /* For each operation: bytes of scratch for these sizes, and the operation itself with that
     * scratch, aligned to 64 bytes. When asking for scratch, optional operands (residual, add) are
     * NULL if they will be, else anything; what is always there is not looked at, and packed
     * weights and bias may be NULL. FSD_INVALID for sizes out of contract, FSD_DEVICE if the device
     * fails. */
#define FSD_KERNEL(op)                                                                             \
    size_t (*op##_workspace)(fsd_backend * be, const fsd_##op *p);                                 \
    fsd_status (*op)(fsd_backend * be, const fsd_##op *p, void *workspace, fsd_error *err)
    FSD_KERNEL(linear);
    FSD_KERNEL(conv);
    FSD_KERNEL(attention);
    FSD_KERNEL(group_norm);
    FSD_KERNEL(layer_norm);
    FSD_KERNEL(embedding);
    FSD_KERNEL(sinusoid);
    FSD_KERNEL(unary);
    FSD_KERNEL(to_channels_last);
    FSD_KERNEL(to_channels_first);
#undef FSD_KERNEL

    void (*close)(fsd_backend *be);
    void *own;
};

/* `threads` 0: all the machine offers. *out is the caller's until fsd_backend_close. */
FSD_MUST_CHECK fsd_status fsd_backend_ref_open(fsd_backend **out, fsd_error *err);
FSD_MUST_CHECK fsd_status fsd_backend_cpu_open(fsd_backend **out, int threads, fsd_error *err);
void fsd_backend_close(fsd_backend *be); /* NULL is fine */

#endif
