#include "kernels/contract.h"
#include "kernels/ref/element.h"
#include "kernels/ref/ref.h"

#include <math.h>

/* Nothing here needs scratch. */
#define NO_WORKSPACE(op)                                                                           \
    size_t fsd_ref_##op##_workspace(fsd_backend *be, const fsd_##op *p)                            \
    {                                                                                              \
        (void)be;                                                                                  \
        (void)p;                                                                                   \
        return 0;                                                                                  \
    }
NO_WORKSPACE(embedding)
NO_WORKSPACE(sinusoid)
NO_WORKSPACE(unary)
NO_WORKSPACE(to_channels_last)
NO_WORKSPACE(to_channels_first)

fsd_status fsd_ref_embedding(fsd_backend *be, const fsd_embedding *p, void *workspace,
                             fsd_error *err)
{
    const fsd_status st = fsd_check_embedding(p, err);

    (void)be;
    (void)workspace;
    if (st)
        return st;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t i = 0; i < p->cols; i++) {
            double y = fsd_ref_table_at(p->table, p->ids[r], i);

            if (p->position)
                y += fsd_ref_table_at(p->position, r % p->period, i);
            ref_store(p->y, p->dtype, r * p->cols + i, y);
        }
    return FSD_OK;
}

fsd_status fsd_ref_sinusoid(fsd_backend *be, const fsd_sinusoid *p, void *workspace, fsd_error *err)
{
    const fsd_status st = fsd_check_sinusoid(p, err);
    const int64_t half = p->dim / 2;

    (void)be;
    (void)workspace;
    if (st)
        return st;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t i = 0; i < half; i++) {
            const double angle = p->t[r] * exp(-log(10000) * (double)i / (double)half);

            ref_store(p->y, p->dtype, r * p->dim + i, cos(angle));
            ref_store(p->y, p->dtype, r * p->dim + half + i, sin(angle));
        }
    return FSD_OK;
}

static double activate(fsd_act act, double x)
{
    switch (act) {
    case FSD_ACT_SILU:
        return x / (1 + exp(-x));
    case FSD_ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case FSD_ACT_GELU:
        return x / 2 * (1 + erf(x / sqrt(2)));
    default:
        return x;
    }
}

fsd_status fsd_ref_unary(fsd_backend *be, const fsd_unary *p, void *workspace, fsd_error *err)
{
    const fsd_status st = fsd_check_unary(p, err);

    (void)be;
    (void)workspace;
    if (st)
        return st;
    for (int64_t i = 0; i < p->count; i++)
        ref_store(p->y, p->dtype, i, activate(p->act, ref_load(p->x, p->dtype, i)));
    return FSD_OK;
}

fsd_status fsd_ref_to_channels_last(fsd_backend *be, const fsd_to_channels_last *p, void *workspace,
                                    fsd_error *err)
{
    const fsd_status st = fsd_check_to_channels(p, p->repeat, err);
    const int64_t area = p->h * p->w;

    (void)be;
    (void)workspace;
    if (st)
        return st;
    for (int64_t image = 0; image < p->repeat * p->n; image++)
        for (int64_t at = 0; at < area; at++)
            for (int64_t c = 0; c < p->c; c++)
                ref_store(p->y, p->dtype, (image * area + at) * p->c + c,
                          ref_load(p->x, FSD_F32, (image % p->n * p->c + c) * area + at));
    return FSD_OK;
}

fsd_status fsd_ref_to_channels_first(fsd_backend *be, const fsd_to_channels_first *p,
                                     void *workspace, fsd_error *err)
{
    const fsd_status st = fsd_check_to_channels(p, 1, err);
    const int64_t area = p->h * p->w;

    (void)be;
    (void)workspace;
    if (st)
        return st;
    for (int64_t image = 0; image < p->n; image++)
        for (int64_t at = 0; at < area; at++)
            for (int64_t c = 0; c < p->c; c++)
                ref_store(p->y, FSD_F32, (image * p->c + c) * area + at,
                          ref_load(p->x, p->dtype, (image * area + at) * p->c + c));
    return FSD_OK;
}
