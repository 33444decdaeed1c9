/* simd.h: one vector of fp32, as wide as the instruction set this file is compiled for.
 *
 * The loops of this folder are written once, in *_loops.h, and compiled once per instruction set:
 * loops_avx512bf16.c and its siblings define FSD_SIMD_…, include this file, then the loops. What
 * is below is all that they know of a machine, so a new one (NEON, say) is one more branch here
 * and one more file. loops.c decides at run time which set runs; the compiler needs no -march.
 *
 * + - * / of a vec are the compiler's own. NaN goes through everything, except that v_max and
 * v_min give their second operand when either is NaN, as x86 does. */
#ifndef FSD_KERNELS_CPU_SIMD_H
#define FSD_KERNELS_CPU_SIMD_H

#include "engine/base/half.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(FSD_SIMD_AVX512BF16)
#define FSD_SIMD_AVX512
#define FSD_SIMD_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma"
#elif defined(FSD_SIMD_AVX512)
#define FSD_SIMD_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"
#elif defined(FSD_SIMD_AVX2)
#define FSD_SIMD_TARGET "avx2,fma"
#endif

#define FSD_SIMD_STRING(x) #x
#define FSD_SIMD_PRAGMA(x) _Pragma(FSD_SIMD_STRING(x))
#ifndef FSD_SIMD_TARGET
#define FSD_SIMD_END
#elif defined(__clang__)
#include <immintrin.h>
FSD_SIMD_PRAGMA(clang attribute push(__attribute__((target(FSD_SIMD_TARGET))), apply_to = function))
#define FSD_SIMD_END FSD_SIMD_PRAGMA(clang attribute pop)
#else
#include <immintrin.h>
FSD_SIMD_PRAGMA(GCC push_options)
FSD_SIMD_PRAGMA(GCC target(FSD_SIMD_TARGET))
#define FSD_SIMD_END FSD_SIMD_PRAGMA(GCC pop_options)
#endif

/* A loop of constant length over registers: it has to disappear. */
#define FSD_UNROLL _Pragma("GCC unroll 64")
#define FSD_INLINE static inline __attribute__((always_inline, unused))

#if defined(FSD_SIMD_AVX512)

enum { LANES = 16 };
typedef __m512 vec;

FSD_INLINE vec v_set(float x)
{
    return _mm512_set1_ps(x);
}

FSD_INLINE vec v_load_f32(const float *from)
{
    return _mm512_loadu_ps(from);
}

FSD_INLINE void v_store_f32(float *to, vec x)
{
    _mm512_storeu_ps(to, x);
}

/* The first `count` lanes, the rest 0. */
FSD_INLINE vec v_load_f32_part(const float *from, int64_t count)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
}

FSD_INLINE void v_store_f32_part(float *to, vec x, int64_t count)
{
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), x);
}

FSD_INLINE vec v_widen(__m256i bf16)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

FSD_INLINE __m256i v_narrow(vec x)
{
#ifdef FSD_SIMD_AVX512BF16
    return (__m256i)_mm512_cvtneps_pbh(x);
#else
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i rounded =
        _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x400000)); /* quiet */

    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
#endif
}

FSD_INLINE vec v_load_bf16(const uint16_t *from)
{
    return v_widen(_mm256_loadu_si256((const __m256i *)from));
}

FSD_INLINE void v_store_bf16(uint16_t *to, vec x)
{
    _mm256_storeu_si256((__m256i *)to, v_narrow(x));
}

FSD_INLINE vec v_load_bf16_part(const uint16_t *from, int64_t count)
{
    return v_widen(_mm256_maskz_loadu_epi16((__mmask16)((1u << count) - 1), from));
}

FSD_INLINE void v_store_bf16_part(uint16_t *to, vec x, int64_t count)
{
    _mm256_mask_storeu_epi16(to, (__mmask16)((1u << count) - 1), v_narrow(x));
}

/* a * b + c, rounded once */
FSD_INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

FSD_INLINE vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

FSD_INLINE vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}

FSD_INLINE vec v_abs(vec x)
{
    return _mm512_abs_ps(x);
}

/* To the nearest whole number. */
FSD_INLINE vec v_round(vec x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* x * 2^n for x near 1 and whole n <= 127; 0 where n is below -150. */
FSD_INLINE vec v_scale(vec x, vec n)
{
    return _mm512_scalef_ps(x, n);
}

/* 1 / x for 1 <= x <= 2^126: an estimate of 14 bits and one step of Newton's. */
FSD_INLINE vec v_reciprocal(vec x)
{
    const vec r = _mm512_rcp14_ps(x);

    return v_fma(v_fma(-x, r, v_set(1)), r, r);
}

/* Lane i of a where a > b, else of c. */
FSD_INLINE vec v_where_greater(vec a, vec b, vec yes, vec no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), no, yes);
}

FSD_INLINE bool v_any_greater(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0;
}

FSD_INLINE float v_sum(vec x)
{
    return _mm512_reduce_add_ps(x);
}

/* a0 b0 a1 b1 …: of the lower halves, of the upper ones */
FSD_INLINE vec v_zip_low(vec a, vec b)
{
    return _mm512_permutex2var_ps(
        a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
}

FSD_INLINE vec v_zip_high(vec a, vec b)
{
    return _mm512_permutex2var_ps(
        a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b);
}

#elif defined(FSD_SIMD_AVX2)

enum { LANES = 8 };
typedef __m256 vec;

FSD_INLINE vec v_set(float x)
{
    return _mm256_set1_ps(x);
}

FSD_INLINE vec v_load_f32(const float *from)
{
    return _mm256_loadu_ps(from);
}

FSD_INLINE void v_store_f32(float *to, vec x)
{
    _mm256_storeu_ps(to, x);
}

FSD_INLINE __m256i v_first(int64_t count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

FSD_INLINE vec v_load_f32_part(const float *from, int64_t count)
{
    return _mm256_maskload_ps(from, v_first(count));
}

FSD_INLINE void v_store_f32_part(float *to, vec x, int64_t count)
{
    _mm256_maskstore_ps(to, v_first(count), x);
}

FSD_INLINE vec v_load_bf16(const uint16_t *from)
{
    const __m128i bf16 = _mm_loadu_si128((const __m128i *)from);

    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
}

FSD_INLINE void v_store_bf16(uint16_t *to, vec x)
{
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    const __m256i rounded = _mm256_blendv_epi8(up, quiet, _mm256_castps_si256(nan));
    const __m256i high = _mm256_srli_epi32(rounded, 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08);

    _mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(packed));
}

FSD_INLINE vec v_load_bf16_part(const uint16_t *from, int64_t count)
{
    uint16_t lanes[LANES] = {0};

    memcpy(lanes, from, (size_t)count * sizeof *from);
    return v_load_bf16(lanes);
}

FSD_INLINE void v_store_bf16_part(uint16_t *to, vec x, int64_t count)
{
    uint16_t lanes[LANES];

    v_store_bf16(lanes, x);
    memcpy(to, lanes, (size_t)count * sizeof *to);
}

FSD_INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

FSD_INLINE vec v_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

FSD_INLINE vec v_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}

FSD_INLINE vec v_abs(vec x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

FSD_INLINE vec v_round(vec x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

FSD_INLINE vec v_scale(vec x, vec n)
{
    const __m256i whole = _mm256_cvtps_epi32(v_max(v_set(-127), n));

    return x * _mm256_castsi256_ps(
                   _mm256_slli_epi32(_mm256_add_epi32(whole, _mm256_set1_epi32(127)), 23));
}

FSD_INLINE vec v_reciprocal(vec x)
{
    return v_set(1) / x;
}

FSD_INLINE vec v_where_greater(vec a, vec b, vec yes, vec no)
{
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}

FSD_INLINE bool v_any_greater(vec a, vec b)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0;
}

FSD_INLINE float v_sum(vec x)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

FSD_INLINE vec v_zip_low(vec a, vec b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}

FSD_INLINE vec v_zip_high(vec a, vec b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}

#else /* any machine: the compiler's vectors of four */

enum { LANES = 4 };
typedef float vec __attribute__((vector_size(16)));

FSD_INLINE vec v_set(float x)
{
    return (vec){x, x, x, x};
}

FSD_INLINE vec v_load_f32(const float *from)
{
    vec x;

    memcpy(&x, from, sizeof x);
    return x;
}

FSD_INLINE void v_store_f32(float *to, vec x)
{
    memcpy(to, &x, sizeof x);
}

FSD_INLINE vec v_load_f32_part(const float *from, int64_t count)
{
    vec x = {0};

    memcpy(&x, from, (size_t)count * sizeof *from);
    return x;
}

FSD_INLINE void v_store_f32_part(float *to, vec x, int64_t count)
{
    memcpy(to, &x, (size_t)count * sizeof *to);
}

FSD_INLINE vec v_load_bf16(const uint16_t *from)
{
    return (vec){fsd_bf16_to_f32(from[0]), fsd_bf16_to_f32(from[1]), fsd_bf16_to_f32(from[2]),
                 fsd_bf16_to_f32(from[3])};
}

FSD_INLINE void v_store_bf16(uint16_t *to, vec x)
{
    for (int i = 0; i < LANES; i++)
        to[i] = fsd_f32_to_bf16(x[i]);
}

FSD_INLINE vec v_load_bf16_part(const uint16_t *from, int64_t count)
{
    vec x = {0};

    for (int64_t i = 0; i < count; i++)
        x[i] = fsd_bf16_to_f32(from[i]);
    return x;
}

FSD_INLINE void v_store_bf16_part(uint16_t *to, vec x, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = fsd_f32_to_bf16(x[i]);
}

/* Not rounded once here: nobody relies on it. */
FSD_INLINE vec v_fma(vec a, vec b, vec c)
{
    return a * b + c;
}

FSD_INLINE vec v_max(vec a, vec b)
{
    for (int i = 0; i < LANES; i++)
        b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}

FSD_INLINE vec v_min(vec a, vec b)
{
    for (int i = 0; i < LANES; i++)
        b[i] = a[i] < b[i] ? a[i] : b[i];
    return b;
}

FSD_INLINE vec v_abs(vec x)
{
    for (int i = 0; i < LANES; i++)
        x[i] = fabsf(x[i]);
    return x;
}

/* Adding 1.5 * 2^23 leaves no bits for a fraction: for |x| up to 2^22, as all here are. */
FSD_INLINE vec v_round(vec x)
{
    return (x + v_set(0x1.8p23f)) - v_set(0x1.8p23f);
}

FSD_INLINE vec v_scale(vec x, vec n)
{
    for (int i = 0; i < LANES; i++) {
        const uint32_t bits = n[i] > -127 ? (uint32_t)((int32_t)n[i] + 127) << 23 : 0;
        float power;

        memcpy(&power, &bits, sizeof power);
        x[i] *= power;
    }
    return x;
}

FSD_INLINE vec v_reciprocal(vec x)
{
    return v_set(1) / x;
}

FSD_INLINE vec v_where_greater(vec a, vec b, vec yes, vec no)
{
    for (int i = 0; i < LANES; i++)
        no[i] = a[i] > b[i] ? yes[i] : no[i];
    return no;
}

FSD_INLINE bool v_any_greater(vec a, vec b)
{
    return a[0] > b[0] || a[1] > b[1] || a[2] > b[2] || a[3] > b[3];
}

FSD_INLINE float v_sum(vec x)
{
    return (x[0] + x[2]) + (x[1] + x[3]);
}

FSD_INLINE vec v_zip_low(vec a, vec b)
{
    return (vec){a[0], b[0], a[1], b[1]};
}

FSD_INLINE vec v_zip_high(vec a, vec b)
{
    return (vec){a[2], b[2], a[3], b[3]};
}

#endif

static const float LANE[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* Elements i … of an array of either storage type; `bf16` is a constant where this is used. */
FSD_INLINE vec v_load(const void *from, int64_t i, bool bf16)
{
    return bf16 ? v_load_bf16((const uint16_t *)from + i) : v_load_f32((const float *)from + i);
}

FSD_INLINE vec v_load_part(const void *from, int64_t i, bool bf16, int64_t count)
{
    return bf16 ? v_load_bf16_part((const uint16_t *)from + i, count)
                : v_load_f32_part((const float *)from + i, count);
}

FSD_INLINE void v_store(void *to, int64_t i, bool bf16, vec x)
{
    if (bf16)
        v_store_bf16((uint16_t *)to + i, x);
    else
        v_store_f32((float *)to + i, x);
}

FSD_INLINE void v_store_part(void *to, int64_t i, bool bf16, vec x, int64_t count)
{
    if (bf16)
        v_store_bf16_part((uint16_t *)to + i, x, count);
    else
        v_store_f32_part((float *)to + i, x, count);
}

/* LANES vectors as a square matrix, turned. Each round is a perfect shuffle of the rows with their
 * upper half; log2(LANES) of them exchange rows and columns. */
FSD_INLINE void v_transpose(vec x[LANES])
{
    vec y[LANES];

    for (int round = 1; round < LANES; round *= 2) {
        FSD_UNROLL
        for (int i = 0; i < LANES / 2; i++) {
            y[2 * i] = v_zip_low(x[i], x[i + LANES / 2]);
            y[2 * i + 1] = v_zip_high(x[i], x[i + LANES / 2]);
        }
        FSD_UNROLL
        for (int i = 0; i < LANES; i++)
            x[i] = y[i];
    }
}

/* e^x within 2e-7, relative, for -87 <= x <= 87, and the value of that end beyond. The polynomial
 * is the minimax one of degree 6 for e^r, |r| <= ln(2) / 2 (Remez's algorithm; error 2e-9). */
FSD_INLINE vec v_exp(vec x)
{
    const vec in_range = v_min(v_set(87), v_max(v_set(-87), x));
    const vec n = v_round(in_range * v_set(1.44269504f));
    /* ln(2) in two parts, the first so short that its product with n is exact */
    const vec r = v_fma(n, v_set(2.12194440e-4f), v_fma(n, v_set(-0.693359375f), in_range));
    vec y = v_set(0.00138368458f);

    y = v_fma(y, r, v_set(0.00837481581f));
    y = v_fma(y, r, v_set(0.0416682251f));
    y = v_fma(y, r, v_set(0.166664198f));
    y = v_fma(y, r, v_set(0.499999911f));
    y = v_fma(y, r, v_set(1));
    y = v_fma(y, r, v_set(1));
    return v_scale(y, n);
}

/* 2^x for x <= 127, down to 0 for -inf. Minimax polynomials for |f| <= 1/2, as above: of degree 5
 * with an error of 8e-8, or for results that become bf16 of degree 3 with 8e-5. */
FSD_INLINE vec v_exp2(vec x, bool rough)
{
    const vec in_range = v_max(v_set(-200), x);
    const vec n = v_round(in_range), f = in_range - n;
    vec y;

    if (rough) {
        y = v_fma(v_set(0.0551716685f), f, v_set(0.242611125f));
        y = v_fma(y, f, v_set(0.693260968f));
        y = v_fma(y, f, v_set(0.999928057f));
    } else {
        y = v_fma(v_set(0.00132764725f), f, v_set(0.00967554096f));
        y = v_fma(y, f, v_set(0.0555071309f));
        y = v_fma(y, f, v_set(0.240221202f));
        y = v_fma(y, f, v_set(0.693146944f));
        y = v_fma(y, f, v_set(1));
    }
    return v_scale(y, n);
}

/* x * sigmoid(slope * x) */
FSD_INLINE vec v_swish(vec x, float slope)
{
    return x * v_reciprocal(v_set(1) + v_exp(x * v_set(-slope)));
}

/* x / 2 * (1 + erf(x / sqrt 2)) = max(x, 0) - |x| / 2 * erfc(|x| / sqrt 2), erfc by Abramowitz and
 * Stegun's 7.1.26, whose error is at most 1.5e-7. */
FSD_INLINE vec v_gelu(vec x)
{
    const vec size = v_min(v_set(20), v_abs(x)); /* beyond, erfc is 0 and x may be infinite */
    const vec z = size * v_set(0.707106781f);
    const vec t = v_reciprocal(v_fma(z, v_set(0.3275911f), v_set(1)));
    vec erfc = v_set(1.061405429f);

    erfc = v_fma(erfc, t, v_set(-1.453152027f));
    erfc = v_fma(erfc, t, v_set(1.421413741f));
    erfc = v_fma(erfc, t, v_set(-0.284496736f));
    erfc = v_fma(erfc, t, v_set(0.254829592f)) * t * v_exp(-z * z);
    return v_max(x, v_set(0)) - size * v_set(0.5f) * erfc;
}

#endif
