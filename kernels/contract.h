/* contract.h: what the headers of the operations allow, checked once for every
 * backend. Kernels call these first, and may then trust the sizes. */
#ifndef FSD_KERNELS_CONTRACT_H
#define FSD_KERNELS_CONTRACT_H

#include "engine/base/status.h"
#include "kernels/backend.h"

#include <inttypes.h>

/* Activations are fp32 or bf16; the other types are storage of weights. */
static inline bool fsd_is_activation(fsd_dtype type)
{
    return type == FSD_F32 || type == FSD_BF16;
}

static inline fsd_status fsd_check_linear(const fsd_linear *p, fsd_error *err)
{
    const bool gated = p->act == FSD_ACT_GEGLU;
    const int64_t width = p->in + p->in2, rows = p->out * (gated ? 2 : 1);

    if (p->rows <= 0 || p->in <= 0 || p->in2 < 0 || p->out <= 0 ||
        (unsigned)p->act > FSD_ACT_GEGLU || !fsd_is_activation(p->dtype))
        return fsd_fail(err, FSD_INVALID,
                        "a linear layer of %" PRId64 " x (%" PRId64 " + %" PRId64 ") x %" PRId64
                        " in %s",
                        p->rows, p->in, p->in2, p->out, fsd_dtype_name(p->dtype));
    if (p->ldx < p->in || p->ldy < p->out || (p->in2 && p->ldx2 < p->in2) ||
        (p->residual && p->ld_residual < p->out))
        return fsd_fail(err, FSD_INVALID, "a linear layer with rows that overlap");
    if ((p->in2 > 0) != (p->x2 != NULL) || (gated && (p->in2 || p->residual)))
        return fsd_fail(err, FSD_INVALID, "a linear layer with operands that do not go together");
    if (!p->w || p->w->dim[0] != rows || p->w->dim[1] != width ||
        p->w->split != (p->in2 ? p->in : 0) ||
        p->w->use != (gated ? FSD_PACK_GEGLU : FSD_PACK_LINEAR) || p->w->activations != p->dtype)
        return fsd_fail(err, FSD_INVALID,
                        "a linear layer of %" PRId64 " x %" PRId64 " with another one's weight",
                        rows, width);
    return FSD_OK;
}

/* Sizes that a CONV_UP weight is for. */
static inline bool fsd_conv_doubles(const fsd_conv *p)
{
    return p->upsample && p->up_h == 2 * p->h && p->up_w == 2 * p->w && p->kh == 3 && p->kw == 3 &&
           p->stride == 1 && p->top == 1 && p->left == 1 && p->bottom == 1 && p->right == 1;
}

static inline fsd_status fsd_check_conv(const fsd_conv *p, fsd_error *err)
{
    const bool up = p->weight && p->weight->use == FSD_PACK_CONV_UP && fsd_conv_doubles(p);

    if (p->n <= 0 || p->h <= 0 || p->w <= 0 || p->in <= 0 || p->out <= 0 || p->kh <= 0 ||
        p->kw <= 0 || p->stride <= 0 || p->top < 0 || p->left < 0 || p->bottom < 0 ||
        p->right < 0 || !fsd_is_activation(p->dtype) || fsd_conv_out_h(p) <= 0 ||
        fsd_conv_out_w(p) <= 0)
        return fsd_fail(err, FSD_INVALID,
                        "a convolution of %" PRId64 " x %" PRId64 " x %" PRId64 " x %" PRId64
                        " by %d x %d in %s",
                        p->n, p->h, p->w, p->in, p->kh, p->kw, fsd_dtype_name(p->dtype));
    if (p->upsample && (p->up_h > 2 * p->h || p->up_h < 2 * p->h - 1 || p->up_w > 2 * p->w ||
                        p->up_w < 2 * p->w - 1))
        return fsd_fail(err, FSD_INVALID,
                        "%" PRId64 " x %" PRId64 " upsampled to %" PRId64 " x %" PRId64, p->h, p->w,
                        p->up_h, p->up_w);
    if (!p->weight || p->weight->use != (up ? FSD_PACK_CONV_UP : FSD_PACK_CONV) ||
        p->weight->activations != p->dtype || p->weight->dim[0] != p->out ||
        p->weight->dim[1] != p->in || p->weight->dim[2] != p->kh || p->weight->dim[3] != p->kw)
        return fsd_fail(err, FSD_INVALID, "a convolution with another one's weight");
    return FSD_OK;
}

static inline fsd_status fsd_check_attention(const fsd_attention *p, fsd_error *err)
{
    const int64_t width = (int64_t)p->heads * p->dim;

    if (p->n <= 0 || p->n_q <= 0 || p->n_k <= 0 || p->heads <= 0 || p->dim <= 0)
        return fsd_fail(err, FSD_INVALID,
                        "attention of %" PRId64 " x %" PRId64 " queries, %" PRId64
                        " keys, %d heads of %d",
                        p->n, p->n_q, p->n_k, p->heads, p->dim);
    if (p->ld_q < width || p->ld_k < width || p->ld_v < width || p->ld_y < width)
        return fsd_fail(err, FSD_INVALID, "attention: rows narrower than %d heads of %d", p->heads,
                        p->dim);
    if (p->causal && p->n_q != p->n_k)
        return fsd_fail(err, FSD_INVALID,
                        "causal attention of %" PRId64 " queries, %" PRId64 " keys", p->n_q,
                        p->n_k);
    if (!fsd_is_activation(p->dtype))
        return fsd_fail(err, FSD_INVALID, "attention in %s", fsd_dtype_name(p->dtype));
    return FSD_OK;
}

static inline fsd_status fsd_check_group_norm(const fsd_group_norm *p, fsd_error *err)
{
    const bool sized = p->n > 0 && p->hw > 0 && p->c > 0 && p->c2 >= 0 && p->groups > 0;

    if (!sized || (p->c2 > 0) != (p->x2 != NULL) || (p->c + p->c2) % p->groups)
        return fsd_fail(err, FSD_INVALID,
                        "group norm of %" PRId64 " x %" PRId64 " x (%" PRId64 " + %" PRId64
                        ") in %d groups",
                        p->n, p->hw, p->c, p->c2, p->groups);
    if (!fsd_is_activation(p->dtype))
        return fsd_fail(err, FSD_INVALID, "group norm in %s", fsd_dtype_name(p->dtype));
    return FSD_OK;
}

static inline fsd_status fsd_check_layer_norm(const fsd_layer_norm *p, fsd_error *err)
{
    if (p->rows <= 0 || p->cols <= 0 || !fsd_is_activation(p->dtype))
        return fsd_fail(err, FSD_INVALID, "layer norm of %" PRId64 " x %" PRId64 " in %s", p->rows,
                        p->cols, fsd_dtype_name(p->dtype));
    return FSD_OK;
}

static inline fsd_status fsd_check_embedding(const fsd_embedding *p, fsd_error *err)
{
    if (p->rows <= 0 || p->cols <= 0 || !p->table || (p->position && p->period <= 0) ||
        !fsd_is_activation(p->dtype))
        return fsd_fail(err, FSD_INVALID, "embedding of %" PRId64 " x %" PRId64 " in %s", p->rows,
                        p->cols, fsd_dtype_name(p->dtype));
    if (p->table->dim[1] != p->cols)
        return fsd_fail(err, FSD_INVALID, "embedding: rows of %" PRId64 " from a table of %" PRId64,
                        p->cols, p->table->dim[1]);
    if (p->position && (p->position->dim[0] < p->period || p->position->dim[1] != p->cols))
        return fsd_fail(err, FSD_INVALID,
                        "embedding: %" PRId64 " positions of %" PRId64 " from a table of %" PRId64
                        " x %" PRId64,
                        p->period, p->cols, p->position->dim[0], p->position->dim[1]);
    for (int64_t r = 0; r < p->rows; r++)
        if (p->ids[r] < 0 || p->ids[r] >= p->table->dim[0])
            return fsd_fail(err, FSD_INVALID, "embedding: token %" PRId32 " in a table of %" PRId64,
                            p->ids[r], p->table->dim[0]);
    return FSD_OK;
}

static inline fsd_status fsd_check_sinusoid(const fsd_sinusoid *p, fsd_error *err)
{
    if (p->rows <= 0 || p->dim <= 0 || p->dim % 2 || !fsd_is_activation(p->dtype))
        return fsd_fail(err, FSD_INVALID, "sinusoid of %" PRId64 " x %" PRId64 " in %s", p->rows,
                        p->dim, fsd_dtype_name(p->dtype));
    return FSD_OK;
}

static inline fsd_status fsd_check_unary(const fsd_unary *p, fsd_error *err)
{
    if (p->count <= 0 || (unsigned)p->act >= FSD_ACT_GEGLU || !fsd_is_activation(p->dtype))
        return fsd_fail(err, FSD_INVALID, "activation %d of %" PRId64 " elements in %s",
                        (int)p->act, p->count, fsd_dtype_name(p->dtype));
    return FSD_OK;
}

/* `repeat` means something to to_channels_last only. */
static inline fsd_status fsd_check_to_channels(const fsd_to_channels *p, int64_t repeat,
                                               fsd_error *err)
{
    if (p->n <= 0 || p->c <= 0 || p->h <= 0 || p->w <= 0 || repeat <= 0 ||
        !fsd_is_activation(p->dtype))
        return fsd_fail(err, FSD_INVALID,
                        "change of layout of %" PRId64 " x %" PRId64 " x %" PRId64 " x %" PRId64
                        " in %s",
                        p->n, p->c, p->h, p->w, fsd_dtype_name(p->dtype));
    return FSD_OK;
}

#endif
