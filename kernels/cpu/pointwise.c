#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"

#include <math.h>
#include <string.h>

#define NO_WORKSPACE(op)                                                                           \
    size_t fsd_cpu_##op##_workspace(fsd_backend *be, const fsd_##op *p)                            \
    {                                                                                              \
        (void)be, (void)p;                                                                         \
        return 0;                                                                                  \
    }
NO_WORKSPACE(embedding)
NO_WORKSPACE(sinusoid)
NO_WORKSPACE(unary)
NO_WORKSPACE(to_channels_last)
NO_WORKSPACE(to_channels_first)

static void store(void *to, fsd_dtype type, int64_t i, float value)
{
    if (type == FSD_BF16)
        ((uint16_t *)to)[i] = fsd_f32_to_bf16(value);
    else
        ((float *)to)[i] = value;
}

static float load(const void *from, fsd_dtype type, int64_t i)
{
    return type == FSD_BF16 ? fsd_bf16_to_f32(((const uint16_t *)from)[i]) : ((const float *)from)[i];
}

/* 77 rows: not worth a thread. */
fsd_status fsd_cpu_embedding(fsd_backend *be, const fsd_embedding *p, void *workspace,
                             fsd_error *err)
{
    const fsd_status st = fsd_check_embedding(p, err);

    (void)be, (void)workspace;
    if (st)
        return st;
    for (int64_t r = 0; r < p->rows; r++) {
        for (int64_t i = 0; i < p->cols; i++) {
            float y = fsd_cpu_table_at(p->table, p->ids[r], i);

            if (p->position)
                y += fsd_cpu_table_at(p->position, r % p->period, i);
            store(p->y, p->dtype, r * p->cols + i, y);
        }
    }
    return FSD_OK;
}

fsd_status fsd_cpu_sinusoid(fsd_backend *be, const fsd_sinusoid *p, void *workspace, fsd_error *err)
{
    const fsd_status st = fsd_check_sinusoid(p, err);
    const int64_t half = p->dim / 2;

    (void)be, (void)workspace;
    if (st)
        return st;
    for (int64_t r = 0; r < p->rows; r++) {
        for (int64_t i = 0; i < half; i++) {
            const double angle = p->t[r] * exp(-log(10000) * (double)i / (double)half);

            store(p->y, p->dtype, r * p->dim + i, (float)cos(angle));
            store(p->y, p->dtype, r * p->dim + half + i, (float)sin(angle));
        }
    }
    return FSD_OK;
}

fsd_status fsd_cpu_unary(fsd_backend *be, const fsd_unary *p, void *workspace, fsd_error *err)
{
    enum { SPAN = 1 << 14 };
    const fsd_status st = fsd_check_unary(p, err);

    (void)workspace;
    if (st)
        return st;
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t first = 0; first < p->count; first += SPAN) {
        const int64_t end = first + SPAN < p->count ? first + SPAN : p->count;

        fsd_cpu_loops_best()->unary[p->dtype == FSD_BF16](p, first, end);
    }
    return FSD_OK;
}

/* At the edges of the networks only: latents of 4 channels, pixels of 3. */
fsd_status fsd_cpu_to_channels_last(fsd_backend *be, const fsd_to_channels_last *p, void *workspace,
                                    fsd_error *err)
{
    const fsd_status st = fsd_check_to_channels(p, p->repeat, err);
    const int64_t area = p->h * p->w, image = area * p->c;

    (void)workspace;
    if (st)
        return st;
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t i = 0; i < p->n * p->h; i++) {
        const int64_t n = i / p->h, row = i % p->h * p->w;

        for (int64_t j = row; j < row + p->w; j++) {
            for (int64_t c = 0; c < p->c; c++)
                store(p->y, p->dtype, n * image + j * p->c + c,
                      ((const float *)p->x)[n * image + c * area + j]);
        }
    }
    for (int64_t k = 1; k < p->repeat; k++) {
        const size_t bytes = (size_t)(p->n * image) * fsd_dtype_size(p->dtype);

        memcpy((char *)p->y + (size_t)k * bytes, p->y, bytes);
    }
    return FSD_OK;
}

fsd_status fsd_cpu_to_channels_first(fsd_backend *be, const fsd_to_channels_first *p,
                                     void *workspace, fsd_error *err)
{
    const fsd_status st = fsd_check_to_channels(p, 1, err);
    const int64_t area = p->h * p->w, image = area * p->c;

    (void)workspace;
    if (st)
        return st;
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t i = 0; i < p->n * p->h; i++) {
        const int64_t n = i / p->h, row = i % p->h * p->w;

        for (int64_t c = 0; c < p->c; c++) {
            for (int64_t j = row; j < row + p->w; j++)
                ((float *)p->y)[n * image + c * area + j] =
                    load(p->x, p->dtype, n * image + j * p->c + c);
        }
    }
    return FSD_OK;
}
