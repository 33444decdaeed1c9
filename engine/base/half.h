/* half.h: the number formats that weights and activations are stored in.
 *
 * Sums are always fp32 (or double in kernels/ref); these are storage. Conversions round to nearest,
 * ties to even, keep infinities and make quiet NaNs, the same bits on every machine. */
#ifndef FSD_BASE_HALF_H
#define FSD_BASE_HALF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum fsd_dtype { FSD_F32, FSD_F16, FSD_BF16, FSD_F64, FSD_I32, FSD_I64, FSD_U8 } fsd_dtype;

size_t fsd_dtype_size(fsd_dtype type);
const char *fsd_dtype_name(fsd_dtype type); /* as safetensors writes it: "F32", "BF16" … */

float fsd_f16_to_f32(uint16_t h);
uint16_t fsd_f32_to_f16(float f);

static inline float fsd_bf16_to_f32(uint16_t h)
{
    const uint32_t bits = (uint32_t)h << 16;
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint16_t fsd_f32_to_bf16(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) /* NaN: rounding could carry it to infinity */
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* `count` elements of `from` at src (any alignment) to fp32, and from fp32 to F32/F16/BF16/F64. */
void fsd_to_f32(float *dst, const void *src, fsd_dtype from, size_t count);
void fsd_from_f32(void *dst, fsd_dtype to, const float *src, size_t count);

#endif
