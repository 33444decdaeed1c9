#include "kernels/contract.h"
#include "kernels/ref/element.h"
#include "kernels/ref/ref.h"

#include <math.h>

/* Channel `c` of the concatenation at one place (image and pixel counted together). */
static double group_norm_at(const fsd_group_norm *p, int64_t place, int64_t c)
{
    return c < p->c ? ref_load(p->x, p->dtype, place * p->c + c)
                    : ref_load(p->x2, p->dtype, place * p->c2 + c - p->c);
}

static void one_group(const fsd_group_norm *p, int64_t image, int64_t first, int64_t width)
{
    const int64_t start = image * p->hw, end = start + p->hw, channels = p->c + p->c2;
    const double count = (double)(p->hw * width);
    double mean = 0, var = 0;

    for (int64_t i = start; i < end; i++)
        for (int64_t c = first; c < first + width; c++)
            mean += group_norm_at(p, i, c) / count;
    for (int64_t i = start; i < end; i++)
        for (int64_t c = first; c < first + width; c++)
            var += pow(group_norm_at(p, i, c) - mean, 2) / count;
    for (int64_t i = start; i < end; i++) {
        for (int64_t c = first; c < first + width; c++) {
            double y = (group_norm_at(p, i, c) - mean) / sqrt(var + (double)p->eps);

            y = y * p->weight[c] + p->bias[c];
            ref_store(p->y, p->dtype, i * channels + c, p->silu ? y / (1 + exp(-y)) : y);
        }
    }
}

size_t fsd_ref_group_norm_workspace(fsd_backend *be, const fsd_group_norm *p)
{
    (void)be;
    (void)p;
    return 0;
}

fsd_status fsd_ref_group_norm(fsd_backend *be, const fsd_group_norm *p, void *workspace,
                              fsd_error *err)
{
    const fsd_status st = fsd_check_group_norm(p, err);

    (void)be;
    (void)workspace;
    if (st)
        return st;
    for (int64_t image = 0; image < p->n; image++)
        for (int64_t group = 0; group < p->groups; group++) {
            const int64_t width = (p->c + p->c2) / p->groups;

            one_group(p, image, group * width, width);
        }
    return FSD_OK;
}

size_t fsd_ref_layer_norm_workspace(fsd_backend *be, const fsd_layer_norm *p)
{
    (void)be;
    (void)p;
    return 0;
}

fsd_status fsd_ref_layer_norm(fsd_backend *be, const fsd_layer_norm *p, void *workspace,
                              fsd_error *err)
{
    const fsd_status st = fsd_check_layer_norm(p, err);

    (void)be;
    (void)workspace;
    if (st)
        return st;
    for (int64_t row = 0; row < p->rows; row++) {
        const int64_t first = row * p->cols;
        double mean = 0, var = 0;

        for (int64_t i = 0; i < p->cols; i++)
            mean += ref_load(p->x, p->dtype, first + i) / (double)p->cols;
        for (int64_t i = 0; i < p->cols; i++)
            var += pow(ref_load(p->x, p->dtype, first + i) - mean, 2) / (double)p->cols;
        for (int64_t i = 0; i < p->cols; i++) {
            const double x = ref_load(p->x, p->dtype, first + i);

            ref_store(p->y, p->dtype, first + i,
                      (x - mean) / sqrt(var + (double)p->eps) * p->weight[i] + p->bias[i]);
        }
    }
    return FSD_OK;
}
