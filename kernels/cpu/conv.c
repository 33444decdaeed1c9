#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/loops.h"

#include <string.h>

/* oneDNN's convolution with what our contract adds around it: the embedding of time joins the bias,
 * the residual is where y starts from, and an upsampled input is made first.
 *
 * Packed as CONV_UP it never is: of the nine taps of an output pixel of even row and column, the
 * four of rows 1 and 2, columns 1 and 2 see the same pixel of x, and so on; what is left is a 2x2
 * convolution of x for each of the four phases (row % 2, column % 2) of y, with taps summed when
 * packed (pack.c). That is 4/9 of the operations, for weights of 16/9 the size. */

static int64_t images_at_once(const fsd_conv *p)
{
    return p->add && !p->add_shared ? 1 : p->n; /* an image with a bias of its own goes alone */
}

static fsd_dnnl_job whole_job(const fsd_conv *p, bool bias)
{
    fsd_dnnl_job job;

    memset(&job, 0, sizeof job);
    job.input = job.output = (int32_t)p->dtype;
    job.in = p->in;
    job.out = p->out;
    job.kh = p->kh;
    job.kw = p->kw;
    job.stride = p->stride;
    job.top = p->top;
    job.left = p->left;
    job.bottom = p->bottom;
    job.right = p->right;
    job.n = images_at_once(p);
    job.h = p->upsample ? p->up_h : p->h;
    job.w = p->upsample ? p->up_w : p->w;
    job.bias = bias;
    job.sum = p->residual != NULL;
    return job;
}

/* The residual is added when the phase finds its place, from fp32. */
static fsd_dnnl_job phase_job(const fsd_conv *p, bool bias, int row, int column)
{
    fsd_dnnl_job job;

    memset(&job, 0, sizeof job);
    job.input = (int32_t)p->dtype;
    job.output = p->residual ? FSD_F32 : (int32_t)p->dtype;
    job.in = p->in;
    job.out = p->out;
    job.kh = job.kw = 2;
    job.stride = 1;
    job.top = !row;
    job.bottom = row;
    job.left = !column;
    job.right = column;
    job.n = images_at_once(p);
    job.h = p->h;
    job.w = p->w;
    job.bias = bias;
    return job;
}

/* The workspace: a bias, then x upsampled or one phase of y, then oneDNN's scratch. */
static size_t bias_bytes(const fsd_conv *p)
{
    return fsd_cpu_align((size_t)p->out * sizeof(float));
}

static size_t upsampled_bytes(const fsd_conv *p)
{
    const int64_t count = p->upsample ? p->n * p->up_h * p->up_w * p->in : 0;

    return fsd_cpu_align((size_t)count * fsd_dtype_size(p->dtype));
}

static size_t phase_bytes(const fsd_conv *p)
{
    const int64_t count = images_at_once(p) * p->h * p->w * p->out;

    return fsd_cpu_align((size_t)count * fsd_dtype_size(p->residual ? FSD_F32 : p->dtype));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t scratch_of(fsd_backend *be, const fsd_dnnl_job *job)
{
    fsd_dnnl_primitive *primitive;

    return fsd_dnnl_find(fsd_cpu_of(be)->dnnl, &primitive, job, NULL) ? 0
                                                                      : fsd_dnnl_scratch(primitive);
}

/* Whether there is a bias may not be known yet, nor how the weight is packed. */
static size_t workspace_of(fsd_backend *be, const fsd_conv *p)
{
    const bool whole = !p->weight || p->weight->use == FSD_PACK_CONV;
    const bool phases = fsd_conv_doubles(p) && (!p->weight || p->weight->use == FSD_PACK_CONV_UP);
    size_t scratch[2] = {0}, bytes = 0;

    for (int bias = 0; bias < 2; bias++) {
        if (whole) {
            const fsd_dnnl_job job = whole_job(p, bias);

            scratch[0] = larger(scratch[0], scratch_of(be, &job));
        }
        for (int i = 0; phases && i < 4; i++) {
            const fsd_dnnl_job job = phase_job(p, bias, i / 2, i % 2);

            scratch[1] = larger(scratch[1], scratch_of(be, &job));
        }
    }
    if (whole)
        bytes = upsampled_bytes(p) + scratch[0];
    if (phases)
        bytes = larger(bytes, phase_bytes(p) + scratch[1]);
    return bias_bytes(p) + bytes;
}

static float at(const void *from, fsd_dtype type, int64_t i)
{
    return type == FSD_BF16 ? fsd_bf16_to_f32(((const uint16_t *)from)[i])
                            : ((const float *)from)[i];
}

/* The bias of `image` and those that go with it. */
static const float *join_bias(float *to, const fsd_conv *p, int64_t image)
{
    const int64_t row = p->add_shared ? 0 : image;

    if (!p->add)
        return p->bias;
    for (int64_t o = 0; o < p->out; o++)
        to[o] = (p->bias ? p->bias[o] : 0) + at(p->add, p->dtype, row * p->out + o);
    return to;
}

static const char *element(const void *base, int64_t i, fsd_dtype type)
{
    return (const char *)base + i * (int64_t)fsd_dtype_size(type);
}

/* Each pixel twice along both axes, cut to (up_h, up_w). */
static void upsample(fsd_backend *be, char *to, const fsd_conv *p)
{
    const size_t pixel = (size_t)p->in * fsd_dtype_size(p->dtype);

    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t i = 0; i < p->n * p->up_h; i++) {
        const int64_t n = i / p->up_h, y = i % p->up_h / 2;
        const char *from = (const char *)p->x + (size_t)((n * p->h + y) * p->w) * pixel;
        char *row = to + (size_t)(i * p->up_w) * pixel;

        for (int64_t j = 0; j < p->up_w; j++)
            memcpy(row + (size_t)j * pixel, from + (size_t)(j / 2) * pixel, pixel);
    }
}

static void start_from_residual(fsd_backend *be, const fsd_conv *p)
{
    const int64_t rows = p->n * fsd_conv_out_h(p);
    const size_t bytes = (size_t)(fsd_conv_out_w(p) * p->out) * fsd_dtype_size(p->dtype);

    if (!p->residual || p->residual == p->y)
        return;
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t r = 0; r < rows; r++)
        memcpy((char *)p->y + (size_t)r * bytes, (const char *)p->residual + (size_t)r * bytes,
               bytes);
}

static fsd_status run_whole(fsd_backend *be, const fsd_conv *p, char *workspace, fsd_error *err)
{
    const fsd_dnnl_job job = whole_job(p, p->bias || p->add);
    const int64_t x_image = job.h * job.w * p->in;
    const int64_t y_image = fsd_conv_out_h(p) * fsd_conv_out_w(p) * p->out;
    char *upsampled = workspace + bias_bytes(p), *scratch = upsampled + upsampled_bytes(p);
    fsd_dnnl_primitive *primitive;
    fsd_status st = fsd_dnnl_find(fsd_cpu_of(be)->dnnl, &primitive, &job, err);

    if (st)
        return st;
    if (p->upsample)
        upsample(be, upsampled, p);
    start_from_residual(be, p);
    for (int64_t image = 0; image < p->n && !st; image += job.n) {
        const float *bias = join_bias((float *)workspace, p, image);

        st = fsd_dnnl_run(fsd_cpu_of(be)->dnnl, primitive,
                          element(p->upsample ? upsampled : p->x, image * x_image, p->dtype),
                          fsd_cpu_packed_of(p->weight)->weights[0], bias,
                          (char *)p->y + image * y_image * (int64_t)fsd_dtype_size(p->dtype),
                          scratch, err);
    }
    return st;
}

/* A phase of `images` images to its places in y. */
static void place_phase(fsd_backend *be, const fsd_conv *p, const char *phase, int64_t first,
                        int64_t images, int row, int column)
{
    const fsd_cpu_loops *loops = fsd_cpu_loops_best();
    const size_t size = fsd_dtype_size(p->dtype), pixel = (size_t)p->out * size;

    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t i = 0; i < images * p->h; i++) {
        const int64_t y_row = (first + i / p->h) * p->up_h + 2 * (i % p->h) + row;

        for (int64_t j = 0; j < p->w; j++) {
            const int64_t from = (i * p->w + j) * p->out;
            const int64_t to = (y_row * p->up_w + 2 * j + column) * p->out;

            if (p->residual)
                loops->finish[p->dtype == FSD_BF16](
                    (char *)p->y + to * (int64_t)size, (const float *)phase + from,
                    element(p->residual, to, p->dtype), p->out, FSD_ACT_NONE);
            else
                memcpy((char *)p->y + to * (int64_t)size, element(phase, from, p->dtype), pixel);
        }
    }
}

static fsd_status run_phases(fsd_backend *be, const fsd_conv *p, char *workspace, fsd_error *err)
{
    const int64_t images = images_at_once(p);
    char *phase = workspace + bias_bytes(p), *scratch = phase + phase_bytes(p);
    fsd_dnnl *dnnl = fsd_cpu_of(be)->dnnl;
    fsd_status st = FSD_OK;

    for (int64_t image = 0; image < p->n; image += images) {
        const float *bias = join_bias((float *)workspace, p, image);

        for (int i = 0; i < 4 && !st; i++) {
            const fsd_dnnl_job job = phase_job(p, bias != NULL, i / 2, i % 2);
            fsd_dnnl_primitive *primitive;

            st = fsd_dnnl_find(dnnl, &primitive, &job, err);
            if (!st)
                st = fsd_dnnl_run(
                    dnnl, primitive, element(p->x, image * p->h * p->w * p->in, p->dtype),
                    fsd_cpu_packed_of(p->weight)->weights[i], bias, phase, scratch, err);
            if (!st)
                place_phase(be, p, phase, image, images, i / 2, i % 2);
        }
    }
    return st;
}

/* The contract, for a type that products are made in. */
static fsd_status run(fsd_backend *be, const fsd_conv *p, char *workspace, fsd_error *err)
{
    return p->weight->use == FSD_PACK_CONV_UP ? run_phases(be, p, workspace, err)
                                              : run_whole(be, p, workspace, err);
}

/* --- bf16 where the CPU multiplies none: all of it in fp32 -------------------------------------
 */

typedef struct wide_conv {
    fsd_conv p;
    int64_t y_rows, adds;   /* pixels of the result, rows of `add` */
    size_t y, add, scratch; /* offsets into the workspace; x is at its start */
} wide_conv;

static wide_conv widened(const fsd_conv *p)
{
    wide_conv c = {.p = *p,
                   .y_rows = p->n * fsd_conv_out_h(p) * fsd_conv_out_w(p),
                   .adds = p->add_shared ? 1 : p->n};

    c.p.dtype = FSD_F32;
    c.y = fsd_cpu_align((size_t)(p->n * p->h * p->w * p->in) * sizeof(float));
    c.add = c.y + fsd_cpu_align((size_t)(c.y_rows * p->out) * sizeof(float));
    c.scratch = c.add + fsd_cpu_align((size_t)(c.adds * p->out) * sizeof(float));
    return c;
}

static fsd_status run_widened(fsd_backend *be, const fsd_conv *p, char *workspace, fsd_error *err)
{
    wide_conv c = widened(p);
    float *x = (float *)workspace, *y = (float *)(workspace + c.y);
    float *add = (float *)(workspace + c.add);
    fsd_status st;

    fsd_cpu_widen(be, x, p->x, p->n * p->h * p->w, p->in, p->in);
    if (p->residual)
        fsd_cpu_widen(be, y, p->residual, c.y_rows, p->out, p->out);
    if (p->add)
        fsd_cpu_widen(be, add, p->add, c.adds, p->out, p->out);
    c.p.x = x;
    c.p.y = y;
    c.p.residual = p->residual ? y : NULL;
    c.p.add = p->add ? add : NULL;
    st = run(be, &c.p, workspace + c.scratch, err);
    if (!st)
        fsd_cpu_narrow(be, p->y, y, c.y_rows, p->out, p->out);
    return st;
}

/* --- the contract ------------------------------------------------------------------------------
 */

size_t fsd_cpu_conv_workspace(fsd_backend *be, const fsd_conv *p)
{
    const wide_conv c = widened(p);

    return fsd_cpu_product_type(be, p->dtype) == p->dtype ? workspace_of(be, p)
                                                          : c.scratch + workspace_of(be, &c.p);
}

fsd_status fsd_cpu_conv(fsd_backend *be, const fsd_conv *p, void *workspace, fsd_error *err)
{
    const fsd_status st = fsd_check_conv(p, err);

    if (st)
        return st;
    return fsd_cpu_product_type(be, p->dtype) == p->dtype ? run(be, p, workspace, err)
                                                          : run_widened(be, p, workspace, err);
}
