/* ref.h: the oracle, in plain C: the contracts of kernels/ read aloud, with sums in double.
 *
 * Every faster backend is tested against it, so nothing here is clever. A packed weight is the
 * tensor as fp32, one below the other where it has parts. */
#ifndef FSD_KERNELS_REF_REF_H
#define FSD_KERNELS_REF_REF_H

#include "kernels/backend.h"

#define FSD_REF_KERNEL(op)                                                                         \
    size_t fsd_ref_##op##_workspace(fsd_backend *be, const fsd_##op *p);                           \
    fsd_status fsd_ref_##op(fsd_backend *be, const fsd_##op *p, void *workspace, fsd_error *err)
FSD_REF_KERNEL(linear);
FSD_REF_KERNEL(conv);
FSD_REF_KERNEL(attention);
FSD_REF_KERNEL(group_norm);
FSD_REF_KERNEL(layer_norm);
FSD_REF_KERNEL(embedding);
FSD_REF_KERNEL(sinusoid);
FSD_REF_KERNEL(unary);
FSD_REF_KERNEL(to_channels_last);
FSD_REF_KERNEL(to_channels_first);

/* The numbers of a packed weight, row after row. */
static inline const float *fsd_ref_weights(const fsd_packed *packed)
{
    return packed->own;
}

static inline double fsd_ref_table_at(const fsd_packed *table, int64_t row, int64_t column)
{
    return fsd_ref_weights(table)[row * table->dim[1] + column];
}

#endif
