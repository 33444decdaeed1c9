/* try_test.h: for tests: one operation on one backend, from plain floats to plain floats.
 *
 * Around it everything that can go wrong is watched: rows are padded with NaN (which spreads if
 * read) and the padding of the result must survive; the scratch is as long as the backend said and
 * a guard behind it must survive too. Weights are given as fp32. */
#ifndef FSD_KERNELS_TRY_TEST_H
#define FSD_KERNELS_TRY_TEST_H

#include "kernels/backend.h"
#include "tests/harness/check.h"
#include "tests/harness/numeric.h"

#include "engine/base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct try_linear {
    int64_t rows, in, in2, out;
    fsd_act act;
    bool bias, residual, in_place; /* in_place: y is the residual */
    int pad;                       /* elements behind each row */
} try_linear;

typedef struct try_conv {
    int64_t n, h, w, in, out;
    int kh, kw, stride;
    int top, left, bottom, right;
    bool upsample;
    int64_t up_h, up_w;
    bool bias;
    int add; /* 0: none; 1: one for all images; 2: one an image */
    bool residual, in_place;
    bool packed_up; /* as CONV_UP */
} try_conv;

/* What rows of cases begin with: n, h, w, in, out, and the usual rest. */
#define TRY_3X3(n, h, w, in, out) n, h, w, in, out, 3, 3, 1, 1, 1, 1, 1
#define TRY_UP(h, w) .upsample = true, .up_h = h, .up_w = w

/* NULL where the case has none; dense. w (outs, in + in2), bias (outs), outs twice out for GEGLU.
 */
typedef struct try_operands {
    const float *x, *x2, *w, *bias, *add, *residual;
} try_operands;

/* `count` deterministic floats that live until the end of the program. */
static inline const float *try_floats(size_t count, uint64_t seed, float scale)
{
    enum { KEPT = 1 << 14 };
    static float *kept[KEPT];
    static int at;
    float *x = fsd_alloc_array(count ? count : 1, sizeof *x);

    fsd_free(kept[at % KEPT]);
    kept[at++ % KEPT] = x;
    check_fill(x, count, seed);
    for (size_t i = 0; i < count; i++)
        x[i] *= scale;
    return x;
}

static inline int64_t try_outs(const try_linear *c)
{
    return c->out * (c->act == FSD_ACT_GEGLU ? 2 : 1);
}

static inline try_operands try_linear_operands(const try_linear *c)
{
    const int64_t width = c->in + c->in2;
    const float scale = 1 / sqrtf((float)width);

    return (try_operands){
        .x = try_floats((size_t)(c->rows * c->in), 1, 1),
        .x2 = c->in2 ? try_floats((size_t)(c->rows * c->in2), 2, 1) : NULL,
        .w = try_floats((size_t)(try_outs(c) * width), 3, 2 * scale),
        .bias = c->bias ? try_floats((size_t)try_outs(c), 4, 1) : NULL,
        .residual = c->residual ? try_floats((size_t)(c->rows * c->out), 5, 1) : NULL,
    };
}

static inline int64_t try_out_h(const try_conv *c)
{
    return ((c->upsample ? c->up_h : c->h) + c->top + c->bottom - c->kh) / c->stride + 1;
}

static inline int64_t try_out_w(const try_conv *c)
{
    return ((c->upsample ? c->up_w : c->w) + c->left + c->right - c->kw) / c->stride + 1;
}

static inline size_t try_conv_count(const try_conv *c)
{
    return (size_t)(c->n * try_out_h(c) * try_out_w(c) * c->out);
}

static inline try_operands try_conv_operands(const try_conv *c)
{
    const float scale = 1 / sqrtf((float)(c->in * c->kh * c->kw));

    return (try_operands){
        .x = try_floats((size_t)(c->n * c->h * c->w * c->in), 1, 1),
        .w = try_floats((size_t)(c->out * c->in * c->kh * c->kw), 3, 2 * scale),
        .bias = c->bias ? try_floats((size_t)c->out, 4, 1) : NULL,
        .add = c->add ? try_floats((size_t)(c->out * (c->add == 2 ? c->n : 1)), 6, 1) : NULL,
        .residual = c->residual ? try_floats(try_conv_count(c), 5, 1) : NULL,
    };
}

/* Rows of `from`, of another type and with NaN behind each. */
static inline void *try_padded(const float *from, fsd_dtype type, int64_t rows, int64_t cols,
                               int pad)
{
    const size_t size = fsd_dtype_size(type);
    char *to = fsd_alloc((size_t)(rows * (cols + pad)) * size);

    for (int64_t r = 0; r < rows; r++) {
        char *row = to + (size_t)(r * (cols + pad)) * size;

        if (from)
            fsd_from_f32(row, type, from + r * cols, (size_t)cols);
        for (int i = 0; i < pad; i++)
            fsd_from_f32(row + (size_t)(cols + i) * size, type, &(float){NAN}, 1);
    }
    return to;
}

static inline void try_unpad(float *to, const void *from, fsd_dtype type, int64_t rows,
                             int64_t cols, int pad)
{
    const size_t size = fsd_dtype_size(type);

    for (int64_t r = 0; r < rows; r++) {
        const char *row = (const char *)from + (size_t)(r * (cols + pad)) * size;

        fsd_to_f32(to + r * cols, row, type, (size_t)cols);
        for (int i = 0; i < pad; i++) {
            float x;

            fsd_to_f32(&x, row + (size_t)(cols + i) * size, type, 1);
            CHECK(isnan(x)); /* nothing is written behind a row */
        }
    }
}

enum { TRY_GUARD = 4096, TRY_GUARD_BYTE = 0xA5 };

static inline void *try_scratch(fsd_backend *be, size_t bytes)
{
    void *scratch;

    if (be->alloc(be, &scratch, bytes + TRY_GUARD, NULL))
        return NULL;
    memset(scratch, TRY_GUARD_BYTE, bytes + TRY_GUARD);
    return scratch;
}

static inline void try_scratch_end(fsd_backend *be, void *scratch, size_t bytes)
{
    int touched = 0;

    for (size_t i = 0; scratch && i < TRY_GUARD; i++)
        touched += ((unsigned char *)scratch)[bytes + i] != TRY_GUARD_BYTE;
    CHECK_EQ(touched, 0); /* bytes behind the scratch that was asked for */
    be->free(be, scratch, bytes + TRY_GUARD);
}

static inline fsd_pack try_pack(fsd_pack_use use, fsd_dtype activations, const int64_t dim[4],
                                const void *data, fsd_dtype type)
{
    fsd_pack what = {.use = use, .activations = activations, .parts = 1};

    memcpy(what.dim, dim, sizeof what.dim);
    what.part[0] = (fsd_pack_part){data, type, dim[0]};
    return what;
}

/* y (rows, out), dense, of this layer with the packed weight. */
static inline fsd_status try_linear_packed(fsd_backend *be, fsd_dtype type, const try_linear *c,
                                           const try_operands *o, const fsd_packed *w, float *y,
                                           fsd_error *err)
{
    void *x = try_padded(o->x, type, c->rows, c->in, c->pad);
    void *x2 = o->x2 ? try_padded(o->x2, type, c->rows, c->in2, c->pad) : NULL;
    void *residual = o->residual ? try_padded(o->residual, type, c->rows, c->out, c->pad) : NULL;
    void *to = c->in_place ? residual : try_padded(NULL, type, c->rows, c->out, c->pad);
    const fsd_linear p = {.dtype = type,
                          .rows = c->rows,
                          .in = c->in,
                          .in2 = c->in2,
                          .out = c->out,
                          .ldx = c->in + c->pad,
                          .ldx2 = c->in2 + c->pad,
                          .ldy = c->out + c->pad,
                          .ld_residual = c->out + c->pad,
                          .act = c->act,
                          .w = w,
                          .bias = o->bias,
                          .x = x,
                          .x2 = x2,
                          .residual = residual,
                          .y = to};
    const size_t bytes = be->linear_workspace(be, &p);
    void *scratch = try_scratch(be, bytes);
    fsd_status st = scratch ? be->linear(be, &p, scratch, err) : FSD_NO_MEMORY;

    try_scratch_end(be, scratch, bytes);
    if (!st)
        try_unpad(y, to, type, c->rows, c->out, c->pad);
    if (!c->in_place)
        fsd_free(to);
    fsd_free(residual);
    fsd_free(x2);
    fsd_free(x);
    return st;
}

static inline fsd_status try_linear_run(fsd_backend *be, fsd_dtype type, const try_linear *c,
                                        const try_operands *o, float *y, fsd_error *err)
{
    const int64_t dim[4] = {try_outs(c), c->in + c->in2, 1, 1};
    fsd_pack what = try_pack(c->act == FSD_ACT_GEGLU ? FSD_PACK_GEGLU : FSD_PACK_LINEAR, type, dim,
                             o->w, FSD_F32);
    fsd_packed *w;
    fsd_status st;

    what.split = c->in2 ? c->in : 0;
    st = be->pack(be, &w, &what, err);
    if (!st)
        st = try_linear_packed(be, type, c, o, w, y, err);
    be->unpack(be, w);
    return st;
}

static inline fsd_status try_conv_packed(fsd_backend *be, fsd_dtype type, const try_conv *c,
                                         const try_operands *o, const fsd_packed *w, float *y,
                                         fsd_error *err)
{
    const int64_t pixels = c->n * try_out_h(c) * try_out_w(c), adds = c->add == 2 ? c->n : 1;
    void *x = try_padded(o->x, type, c->n * c->h * c->w, c->in, 0);
    void *add = o->add ? try_padded(o->add, type, adds, c->out, 0) : NULL;
    void *residual = o->residual ? try_padded(o->residual, type, pixels, c->out, 0) : NULL;
    void *to = c->in_place ? residual : try_padded(NULL, type, pixels, c->out, 0);
    const fsd_conv p = {.dtype = type,
                        .n = c->n,
                        .h = c->h,
                        .w = c->w,
                        .in = c->in,
                        .out = c->out,
                        .kh = c->kh,
                        .kw = c->kw,
                        .stride = c->stride,
                        .top = c->top,
                        .left = c->left,
                        .bottom = c->bottom,
                        .right = c->right,
                        .upsample = c->upsample,
                        .add_shared = c->add == 1,
                        .up_h = c->up_h,
                        .up_w = c->up_w,
                        .weight = w,
                        .bias = o->bias,
                        .x = x,
                        .add = add,
                        .residual = residual,
                        .y = to};
    const size_t bytes = be->conv_workspace(be, &p);
    void *scratch = try_scratch(be, bytes);
    fsd_status st = scratch ? be->conv(be, &p, scratch, err) : FSD_NO_MEMORY;

    try_scratch_end(be, scratch, bytes);
    if (!st)
        try_unpad(y, to, type, pixels, c->out, 0);
    if (!c->in_place)
        fsd_free(to);
    fsd_free(residual);
    fsd_free(add);
    fsd_free(x);
    return st;
}

static inline fsd_status try_conv_run(fsd_backend *be, fsd_dtype type, const try_conv *c,
                                      const try_operands *o, float *y, fsd_error *err)
{
    const int64_t dim[4] = {c->out, c->in, c->kh, c->kw};
    const fsd_pack what =
        try_pack(c->packed_up ? FSD_PACK_CONV_UP : FSD_PACK_CONV, type, dim, o->w, FSD_F32);
    fsd_packed *w;
    fsd_status st = be->pack(be, &w, &what, err);

    if (!st)
        st = try_conv_packed(be, type, c, o, w, y, err);
    be->unpack(be, w);
    return st;
}

/* What a case is, for the person who reads that it failed. */
static inline void try_tell(const char *text)
{
    fprintf(stderr, "  in %s\n", text);
}

#endif
