#include "kernels/contract.h"
#include "kernels/ref/element.h"
#include "kernels/ref/ref.h"

size_t fsd_ref_conv_workspace(fsd_backend *be, const fsd_conv *p)
{
    (void)be, (void)p;
    return 0;
}

/* Output channel o of pixel (i, j) of image n. */
static double product(const fsd_conv *p, int64_t n, int64_t i, int64_t j, int64_t o)
{
    const int64_t h = p->upsample ? p->up_h : p->h, w = p->upsample ? p->up_w : p->w;
    double sum = p->bias ? p->bias[o] : 0;

    for (int a = 0; a < p->kh; a++) {
        for (int b = 0; b < p->kw; b++) {
            const int64_t y = i * p->stride + a - p->top, x = j * p->stride + b - p->left;
            const int64_t row = p->upsample ? y / 2 : y, column = p->upsample ? x / 2 : x;

            if (y < 0 || x < 0 || y >= h || x >= w)
                continue;
            for (int64_t c = 0; c < p->in; c++)
                sum += ref_load(p->x, p->dtype, ((n * p->h + row) * p->w + column) * p->in + c) *
                       fsd_ref_weights(p->weight)[((o * p->in + c) * p->kh + a) * p->kw + b];
        }
    }
    return sum;
}

fsd_status fsd_ref_conv(fsd_backend *be, const fsd_conv *p, void *workspace, fsd_error *err)
{
    const fsd_status st = fsd_check_conv(p, err);
    int64_t at = 0;

    (void)be, (void)workspace;
    if (st)
        return st;
    for (int64_t n = 0; n < p->n; n++) {
        for (int64_t i = 0; i < fsd_conv_out_h(p); i++) {
            for (int64_t j = 0; j < fsd_conv_out_w(p); j++) {
                for (int64_t o = 0; o < p->out; o++, at++) {
                    double y = product(p, n, i, j, o);

                    if (p->add)
                        y += ref_load(p->add, p->dtype, (p->add_shared ? 0 : n) * p->out + o);
                    if (p->residual)
                        y += ref_load(p->residual, p->dtype, at);
                    ref_store(p->y, p->dtype, at, y);
                }
            }
        }
    }
    return FSD_OK;
}
