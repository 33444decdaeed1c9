#include "engine/base/half.h"

static const struct {
    size_t size;
    const char *name;
} TYPES[] = {
    [FSD_F32] = {4, "F32"}, [FSD_F16] = {2, "F16"}, [FSD_BF16] = {2, "BF16"}, [FSD_F64] = {8, "F64"},
    [FSD_I32] = {4, "I32"}, [FSD_I64] = {8, "I64"}, [FSD_U8] = {1, "U8"},
};

size_t fsd_dtype_size(fsd_dtype type)
{
    return TYPES[type].size;
}

const char *fsd_dtype_name(fsd_dtype type)
{
    return TYPES[type].name;
}

float fsd_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 31, mantissa = h & 1023, bits;
    float f;

    if (exponent == 31) {
        bits = sign | 0x7f800000 | mantissa << 13 | (mantissa ? 0x400000 : 0);
    } else if (exponent) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else if (mantissa) { /* subnormal: shift until the leading one is implicit */
        exponent = 113;
        while (!(mantissa & 1024)) {
            mantissa <<= 1;
            exponent--;
        }
        bits = sign | exponent << 23 | (mantissa & 1023) << 13;
    } else {
        bits = sign;
    }
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t fsd_f32_to_f16(float f)
{
    uint32_t bits, magnitude, shift, kept, rest, half;
    uint16_t sign;

    memcpy(&bits, &f, sizeof bits);
    sign = (uint16_t)(bits >> 16 & 0x8000);
    magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x47800000)
        return sign | 0x7c00;
    if (magnitude >= 0x38800000) { /* a normal half: round 13 bits away; a carry is an exponent */
        magnitude -= 0x38000000;
        return (uint16_t)(sign | (magnitude + 0xfff + (magnitude >> 13 & 1)) >> 13);
    }
    if (magnitude < 0x33000000)
        return sign;
    shift = 126 - (magnitude >> 23); /* 14 to 24 bits of the 24-bit mantissa go */
    kept = (magnitude & 0x7fffff) | 0x800000;
    rest = kept & ((1u << shift) - 1);
    half = 1u << (shift - 1);
    kept >>= shift;
    if (rest > half || (rest == half && (kept & 1)))
        kept++;
    return (uint16_t)(sign | kept);
}

void fsd_to_f32(float *dst, const void *src, fsd_dtype from, size_t count)
{
    const unsigned char *bytes = src;

    if (from == FSD_F32) {
        memcpy(dst, src, count * sizeof *dst);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t h;
        double d;

        if (from == FSD_F64) {
            memcpy(&d, bytes + i * 8, 8);
            dst[i] = (float)d;
            continue;
        }
        memcpy(&h, bytes + i * 2, 2);
        dst[i] = from == FSD_F16 ? fsd_f16_to_f32(h) : fsd_bf16_to_f32(h);
    }
}

void fsd_from_f32(void *dst, fsd_dtype to, const float *src, size_t count)
{
    uint16_t *out = dst;

    if (to == FSD_F32) {
        memcpy(dst, src, count * sizeof *src);
        return;
    }
    if (to == FSD_F64) {
        for (size_t i = 0; i < count; i++)
            ((double *)dst)[i] = src[i];
        return;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = to == FSD_F16 ? fsd_f32_to_f16(src[i]) : fsd_f32_to_bf16(src[i]);
}
