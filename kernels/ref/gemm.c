#include "kernels/contract.h"
#include "kernels/ref/element.h"
#include "kernels/ref/ref.h"

#include <math.h>

size_t fsd_ref_linear_workspace(fsd_backend *be, const fsd_linear *p)
{
    (void)be, (void)p;
    return 0;
}

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

static double activate(fsd_act act, double x)
{
    switch (act) {
    case FSD_ACT_SILU:
        return x / (1 + exp(-x));
    case FSD_ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case FSD_ACT_GELU:
        return gelu(x);
    default:
        return x;
    }
}

/* Row r of the inputs times row n of the weights, plus the bias. */
static double product(const fsd_linear *p, int64_t r, int64_t n)
{
    const float *w = fsd_ref_weights(p->w) + n * (p->in + p->in2);
    double sum = p->bias ? p->bias[n] : 0;

    for (int64_t k = 0; k < p->in; k++)
        sum += ref_load(p->x, p->dtype, r * p->ldx + k) * w[k];
    for (int64_t k = 0; k < p->in2; k++)
        sum += ref_load(p->x2, p->dtype, r * p->ldx2 + k) * w[p->in + k];
    return sum;
}

fsd_status fsd_ref_linear(fsd_backend *be, const fsd_linear *p, void *workspace, fsd_error *err)
{
    const fsd_status st = fsd_check_linear(p, err);

    (void)be, (void)workspace;
    if (st)
        return st;
    for (int64_t r = 0; r < p->rows; r++) {
        for (int64_t n = 0; n < p->out; n++) {
            double y = product(p, r, n);

            y = p->act == FSD_ACT_GEGLU ? y * gelu(product(p, r, p->out + n)) : activate(p->act, y);
            if (p->residual)
                y += ref_load(p->residual, p->dtype, r * p->ld_residual + n);
            ref_store(p->y, p->dtype, r * p->ldy + n, y);
        }
    }
    return FSD_OK;
}
