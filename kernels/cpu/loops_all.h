/* loops_all.h: the table of one instruction set, from the loops of all modules. Included at the end
 * of loops_*.c, which has chosen the set and defined FSD_LOOPS (the table) and FSD_LOOPS_NAME. */

#include "kernels/cpu/simd.h"

#include "kernels/cpu/attention_loops.h"
#include "kernels/cpu/norm_loops.h"
#include "kernels/cpu/pointwise_loops.h"
#include "kernels/cpu/gemm_loops.h" /* uses pointwise's */

/* vdpbf16ps where there is one; elsewhere bf16 is widened while it is packed. */
#ifdef FSD_SIMD_AVX512BF16
enum { PAIRS = true };
#else
enum { PAIRS = false };
#endif

static void pack_f32(const fsd_cpu_attention_job *job, int64_t image, int head, int64_t first,
                     int64_t end)
{
    pack_k(job, image, head, first, end, false, false);
    pack_v(job, image, head, first, end, false, false);
}

static void pack_bf16(const fsd_cpu_attention_job *job, int64_t image, int head, int64_t first,
                      int64_t end)
{
    pack_k(job, image, head, first, end, true, PAIRS);
    pack_v(job, image, head, first, end, true, PAIRS);
}

static void attend_f32(const fsd_cpu_attention_job *job, float *scratch, int64_t image, int head,
                       int64_t first, int vectors)
{
    if (vectors == 3)
        attend(job, scratch, image, head, first, 3, false, false);
    else if (vectors == 2)
        attend(job, scratch, image, head, first, 2, false, false);
    else
        attend(job, scratch, image, head, first, 1, false, false);
}

static void attend_bf16(const fsd_cpu_attention_job *job, float *scratch, int64_t image, int head,
                        int64_t first, int vectors)
{
    if (vectors == 3)
        attend(job, scratch, image, head, first, 3, true, PAIRS);
    else if (vectors == 2)
        attend(job, scratch, image, head, first, 2, true, PAIRS);
    else
        attend(job, scratch, image, head, first, 1, true, PAIRS);
}

static void channel_stats_f32(const void *x, int64_t rows, int64_t channels, double *mean,
                              double *squares)
{
    channel_stats(x, rows, channels, mean, squares, false);
}

static void channel_stats_bf16(const void *x, int64_t rows, int64_t channels, double *mean,
                               double *squares)
{
    channel_stats(x, rows, channels, mean, squares, true);
}

static void channel_scale_f32(const fsd_cpu_channel_scale *p, bool silu)
{
    if (silu)
        channel_scale(p, false, true);
    else
        channel_scale(p, false, false);
}

static void channel_scale_bf16(const fsd_cpu_channel_scale *p, bool silu)
{
    if (silu)
        channel_scale(p, true, true);
    else
        channel_scale(p, true, false);
}

static void layer_norm_f32(const fsd_layer_norm *p, int64_t first, int64_t end)
{
    for (int64_t row = first; row < end; row++)
        layer_row(p, row, false);
}

static void layer_norm_bf16(const fsd_layer_norm *p, int64_t first, int64_t end)
{
    for (int64_t row = first; row < end; row++)
        layer_row(p, row, true);
}

FSD_INLINE void unary(const fsd_unary *p, int64_t first, int64_t end, bool bf16)
{
    switch (p->act) {
    case FSD_ACT_SILU:
        activate_span(p, first, end, FSD_ACT_SILU, bf16);
        break;
    case FSD_ACT_QUICK_GELU:
        activate_span(p, first, end, FSD_ACT_QUICK_GELU, bf16);
        break;
    case FSD_ACT_GELU:
        activate_span(p, first, end, FSD_ACT_GELU, bf16);
        break;
    default:
        activate_span(p, first, end, FSD_ACT_NONE, bf16);
    }
}

static void unary_f32(const fsd_unary *p, int64_t first, int64_t end)
{
    unary(p, first, end, false);
}

static void unary_bf16(const fsd_unary *p, int64_t first, int64_t end)
{
    unary(p, first, end, true);
}

static void gate_f32(void *y, const void *vg, int64_t rows, int64_t ldy, int64_t out)
{
    for (int64_t row = 0; row < rows; row++)
        gate_row(y, vg, row, ldy, out, false);
}

static void gate_bf16(void *y, const void *vg, int64_t rows, int64_t ldy, int64_t out)
{
    for (int64_t row = 0; row < rows; row++)
        gate_row(y, vg, row, ldy, out, true);
}

FSD_INLINE void finish(void *to, const float *sum, const void *residual, int64_t count, fsd_act act,
                       bool bf16)
{
    switch (act) {
    case FSD_ACT_SILU:
        finish_span(to, sum, residual, count, FSD_ACT_SILU, bf16);
        break;
    case FSD_ACT_QUICK_GELU:
        finish_span(to, sum, residual, count, FSD_ACT_QUICK_GELU, bf16);
        break;
    case FSD_ACT_GELU:
        finish_span(to, sum, residual, count, FSD_ACT_GELU, bf16);
        break;
    default:
        finish_span(to, sum, residual, count, FSD_ACT_NONE, bf16);
    }
}

static void finish_f32(void *to, const float *sum, const void *residual, int64_t count, fsd_act act)
{
    finish(to, sum, residual, count, act, false);
}

static void finish_bf16(void *to, const float *sum, const void *residual, int64_t count, fsd_act act)
{
    finish(to, sum, residual, count, act, true);
}

static void halves_to_f32(void *to, const void *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint16_t h;

        memcpy(&h, (const char *)from + 2 * i, sizeof h);
        ((float *)to)[i] = widen_half(h);
    }
}

static void halves_to_bf16(void *to, const void *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint16_t h;

        memcpy(&h, (const char *)from + 2 * i, sizeof h);
        ((uint16_t *)to)[i] = narrow_to_bf16(widen_half(h));
    }
}

static void floats_to_bf16(void *to, const void *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float f;

        memcpy(&f, (const char *)from + 4 * i, sizeof f);
        ((uint16_t *)to)[i] = narrow_to_bf16(f);
    }
}

const fsd_cpu_loops FSD_LOOPS = {
    .name = FSD_LOOPS_NAME,
    .attention = {{ROWS, LANES, false, pack_f32, attend_f32},
                  {ROWS, LANES, PAIRS, pack_bf16, attend_bf16}},
    .channel_stats = {channel_stats_f32, channel_stats_bf16},
    .channel_scale = {channel_scale_f32, channel_scale_bf16},
    .layer_norm = {layer_norm_f32, layer_norm_bf16},
    .unary = {unary_f32, unary_bf16},
    .gate = {gate_f32, gate_bf16},
    .finish = {finish_f32, finish_bf16},
    .halves = {halves_to_f32, halves_to_bf16},
    .floats_to_bf16 = floats_to_bf16,
};

FSD_SIMD_END
