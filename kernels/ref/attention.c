#include "kernels/contract.h"
#include "kernels/ref/element.h"
#include "kernels/ref/ref.h"

#include <math.h>

/* One query of one head: scores, their softmax, the weighted sum of values. */
static void attend(const fsd_attention *p, int64_t image, int64_t query, int head, double *score)
{
    const int64_t first = (int64_t)head * p->dim;
    const int64_t q = (image * p->n_q + query) * p->ld_q + first;
    const int64_t y = (image * p->n_q + query) * p->ld_y + first;
    const int64_t k = image * p->n_k * p->ld_k + first;
    const int64_t v = image * p->n_k * p->ld_v + first;
    const int64_t keys = p->causal ? query + 1 : p->n_k;
    double most = -INFINITY, total = 0;

    for (int64_t j = 0; j < keys; j++) {
        score[j] = 0;
        for (int i = 0; i < p->dim; i++)
            score[j] += ref_load(p->q, p->dtype, q + i) *
                        ref_load(p->k, p->dtype, k + j * p->ld_k + i);
        score[j] *= p->scale;
        most = fmax(most, score[j]);
    }
    for (int64_t j = 0; j < keys; j++) {
        score[j] = exp(score[j] - most);
        total += score[j];
    }
    for (int i = 0; i < p->dim; i++) {
        double sum = 0;

        for (int64_t j = 0; j < keys; j++)
            sum += score[j] * ref_load(p->v, p->dtype, v + j * p->ld_v + i);
        ref_store(p->y, p->dtype, y + i, sum / total);
    }
}

size_t fsd_ref_attention_workspace(fsd_backend *be, const fsd_attention *p)
{
    (void)be;
    return p->n_k > 0 ? (size_t)p->n_k * sizeof(double) : 0;
}

fsd_status fsd_ref_attention(fsd_backend *be, const fsd_attention *p, void *workspace,
                             fsd_error *err)
{
    const fsd_status st = fsd_check_attention(p, err);

    (void)be;
    if (st)
        return st;
    for (int64_t image = 0; image < p->n; image++)
        for (int head = 0; head < p->heads; head++)
            for (int64_t query = 0; query < p->n_q; query++)
                attend(p, image, query, head, workspace);
    return FSD_OK;
}
