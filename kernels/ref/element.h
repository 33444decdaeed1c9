/* element.h: one activation as a double, whatever it is stored as. For the oracle: obvious first. */
#ifndef FSD_KERNELS_REF_ELEMENT_H
#define FSD_KERNELS_REF_ELEMENT_H

#include "engine/base/half.h"

static inline double ref_load(const void *from, fsd_dtype type, int64_t i)
{
    if (type == FSD_BF16)
        return fsd_bf16_to_f32(((const uint16_t *)from)[i]);
    return ((const float *)from)[i];
}

static inline void ref_store(void *to, fsd_dtype type, int64_t i, double value)
{
    if (type == FSD_BF16)
        ((uint16_t *)to)[i] = fsd_f32_to_bf16((float)value);
    else
        ((float *)to)[i] = (float)value;
}

#endif
