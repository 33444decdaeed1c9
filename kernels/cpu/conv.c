#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"

#include <string.h>

/* oneDNN's convolution with what our contract adds around it: the embedding of time joins the bias,
 * the residual is where y starts from, and an upsampled input is made first. */

static fsd_dnnl_job job_of(const fsd_conv *p, bool bias)
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
    job.n = p->add && !p->add_shared ? 1 : p->n; /* a bias of its own an image */
    job.h = p->upsample ? p->up_h : p->h;
    job.w = p->upsample ? p->up_w : p->w;
    job.bias = bias;
    job.sum = p->residual != NULL;
    return job;
}

/* Where things stand in the workspace. */
typedef struct layout {
    size_t bias, upsampled, bytes; /* offsets; bytes of all but oneDNN's scratch, which follows */
} layout;

static layout plan(const fsd_conv *p)
{
    layout l = {0};

    l.upsampled = fsd_cpu_align((size_t)p->out * sizeof(float));
    l.bytes = l.upsampled;
    if (p->upsample)
        l.bytes += fsd_cpu_align((size_t)(p->n * p->up_h * p->up_w * p->in) * fsd_dtype_size(p->dtype));
    return l;
}

static size_t workspace_of(fsd_backend *be, const fsd_conv *p)
{
    size_t most = 0;

    for (int bias = 0; bias < 2; bias++) {
        const fsd_dnnl_job job = job_of(p, bias);
        fsd_dnnl_primitive *primitive;

        if (!fsd_dnnl_find(fsd_cpu_of(be)->dnnl, &primitive, &job, NULL) &&
            fsd_dnnl_scratch(primitive) > most)
            most = fsd_dnnl_scratch(primitive);
    }
    return plan(p).bytes + most;
}

static float at(const void *from, fsd_dtype type, int64_t i)
{
    return type == FSD_BF16 ? fsd_bf16_to_f32(((const uint16_t *)from)[i]) : ((const float *)from)[i];
}

static void join_bias(float *to, const fsd_conv *p, int64_t image)
{
    for (int64_t o = 0; o < p->out; o++)
        to[o] = (p->bias ? p->bias[o] : 0) + at(p->add, p->dtype, image * p->out + o);
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
        memcpy((char *)p->y + (size_t)r * bytes, (const char *)p->residual + (size_t)r * bytes, bytes);
}

/* The contract, for a type that products are made in. */
static fsd_status run(fsd_backend *be, const fsd_conv *p, void *workspace, fsd_error *err)
{
    const size_t size = fsd_dtype_size(p->dtype);
    const layout l = plan(p);
    const fsd_dnnl_job job = job_of(p, p->bias || p->add);
    fsd_dnnl *dnnl = fsd_cpu_of(be)->dnnl;
    float *bias = (float *)((char *)workspace + l.bias);
    const char *x = p->x;
    fsd_dnnl_primitive *primitive;
    fsd_status st = fsd_dnnl_find(dnnl, &primitive, &job, err);

    if (st)
        return st;
    if (p->upsample) {
        upsample(be, (char *)workspace + l.upsampled, p);
        x = (char *)workspace + l.upsampled;
    }
    start_from_residual(be, p);
    for (int64_t image = 0; image < p->n && !st; image += job.n) {
        if (p->add)
            join_bias(bias, p, image);
        st = fsd_dnnl_run(dnnl, primitive, x + (size_t)(image * job.h * job.w * p->in) * size,
                          fsd_cpu_packed_of(p->weight)->weights, p->add ? bias : p->bias,
                          (char *)p->y + (size_t)(image * fsd_conv_out_h(p) * fsd_conv_out_w(p) * p->out) * size,
                          (char *)workspace + l.bytes, err);
    }
    return st;
}

/* --- bf16 where the CPU multiplies none: all of it in fp32 ------------------------------------- */

typedef struct wide_conv {
    fsd_conv p;
    int64_t y_rows, adds; /* pixels of the result, rows of `add` */
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

/* --- the contract ------------------------------------------------------------------------------ */

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
