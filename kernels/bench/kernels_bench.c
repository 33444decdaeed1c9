/* kernels_bench: how fast the CPU backend is at the shapes that matter, one line a shape.
 *
 *     kernels_bench gemm|conv|pack [bf16|fp32] [THREADS]
 *
 * The shapes are Stable Diffusion 1.5's: a UNet step of 512 x 512 with classifier-free guidance
 * (batch 2), and the VAE's decoder (batch 1). `count` is how often a shape runs in such a step (or
 * decode), so the sum at the end is what these kernels cost a step. Times are the best of several
 * runs; the test suite never looks at them. */
#include "kernels/backend.h"

#include "engine/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct gemm_shape {
    int count;
    int rows, in, in2, out;
    fsd_act act;
    bool residual;
} gemm_shape;

typedef struct conv_shape {
    int count;
    int n, size, in, out, k, stride;
    bool upsample, add, residual;
} conv_shape;

/* q, k and v of self attention are one product, as are k and v of cross attention. */
static const gemm_shape GEMMS[] = {
    {10, 8192, 320, 0, 320, FSD_ACT_NONE, false},    {15, 8192, 320, 0, 320, FSD_ACT_NONE, true},
    {5, 8192, 320, 0, 960, FSD_ACT_NONE, false},     {5, 8192, 320, 0, 1280, FSD_ACT_GEGLU, false},
    {5, 8192, 1280, 0, 320, FSD_ACT_NONE, true},     {1, 8192, 640, 320, 320, FSD_ACT_NONE, false},
    {2, 8192, 320, 320, 320, FSD_ACT_NONE, false},   {10, 2048, 640, 0, 640, FSD_ACT_NONE, false},
    {15, 2048, 640, 0, 640, FSD_ACT_NONE, true},     {5, 2048, 640, 0, 1920, FSD_ACT_NONE, false},
    {5, 2048, 640, 0, 2560, FSD_ACT_GEGLU, false},   {5, 2048, 2560, 0, 640, FSD_ACT_NONE, true},
    {1, 2048, 1280, 640, 640, FSD_ACT_NONE, false},  {10, 512, 1280, 0, 1280, FSD_ACT_NONE, false},
    {15, 512, 1280, 0, 1280, FSD_ACT_NONE, true},    {5, 512, 1280, 0, 3840, FSD_ACT_NONE, false},
    {5, 512, 1280, 0, 5120, FSD_ACT_GEGLU, false},   {5, 512, 5120, 0, 1280, FSD_ACT_NONE, true},
    {2, 512, 1280, 1280, 1280, FSD_ACT_NONE, false}, {2, 128, 1280, 0, 1280, FSD_ACT_NONE, false},
    {3, 128, 1280, 0, 1280, FSD_ACT_NONE, true},     {1, 128, 1280, 0, 3840, FSD_ACT_NONE, false},
    {1, 128, 1280, 0, 5120, FSD_ACT_GEGLU, false},   {1, 128, 5120, 0, 1280, FSD_ACT_NONE, true},
    {3, 128, 1280, 1280, 1280, FSD_ACT_NONE, false}, {5, 154, 768, 0, 640, FSD_ACT_NONE, false},
    {5, 154, 768, 0, 1280, FSD_ACT_NONE, false},     {6, 154, 768, 0, 2560, FSD_ACT_NONE, false},
    {22, 1, 1280, 0, 1280, FSD_ACT_NONE, false},
};

static const conv_shape CONVS[] = {
    /* the UNet */
    {1, 2, 64, 4, 320, 3, 1, false, false, false},
    {4, 2, 64, 320, 320, 3, 1, false, true, false},
    {7, 2, 64, 320, 320, 3, 1, false, false, true},
    {1, 2, 64, 960, 320, 3, 1, false, true, false},
    {2, 2, 64, 640, 320, 3, 1, false, true, false},
    {1, 2, 64, 320, 320, 3, 2, false, false, false},
    {1, 2, 32, 320, 640, 3, 1, false, true, false},
    {1, 2, 32, 640, 640, 3, 1, false, true, false},
    {5, 2, 32, 640, 640, 3, 1, false, false, true},
    {1, 2, 32, 1920, 640, 3, 1, false, true, false},
    {1, 2, 32, 1280, 640, 3, 1, false, true, false},
    {1, 2, 32, 960, 640, 3, 1, false, true, false},
    {1, 2, 32, 640, 640, 3, 2, false, false, false},
    {1, 2, 16, 640, 1280, 3, 1, false, true, false},
    {1, 2, 16, 1280, 1280, 3, 1, false, true, false},
    {5, 2, 16, 1280, 1280, 3, 1, false, false, true},
    {2, 2, 16, 2560, 1280, 3, 1, false, true, false},
    {1, 2, 16, 1920, 1280, 3, 1, false, true, false},
    {1, 2, 16, 1280, 1280, 3, 2, false, false, false},
    {4, 2, 8, 1280, 1280, 3, 1, false, true, false},
    {7, 2, 8, 1280, 1280, 3, 1, false, false, true},
    {3, 2, 8, 2560, 1280, 3, 1, false, true, false},
    {1, 2, 8, 1280, 1280, 3, 1, true, false, false},
    {1, 2, 16, 1280, 1280, 3, 1, true, false, false},
    {1, 2, 32, 640, 640, 3, 1, true, false, false},
    {1, 2, 64, 320, 4, 3, 1, false, false, false},
    /* the VAE's decoder */
    {1, 1, 64, 4, 512, 3, 1, false, false, false},
    {5, 1, 64, 512, 512, 3, 1, false, false, false},
    {5, 1, 64, 512, 512, 3, 1, false, false, true},
    {1, 1, 64, 512, 512, 3, 1, true, false, false},
    {3, 1, 128, 512, 512, 3, 1, false, false, false},
    {3, 1, 128, 512, 512, 3, 1, false, false, true},
    {1, 1, 128, 512, 512, 3, 1, true, false, false},
    {1, 1, 256, 512, 256, 3, 1, false, false, false},
    {2, 1, 256, 256, 256, 3, 1, false, false, false},
    {3, 1, 256, 256, 256, 3, 1, false, false, true},
    {1, 1, 256, 256, 256, 3, 1, true, false, false},
    {1, 1, 512, 256, 128, 3, 1, false, false, false},
    {2, 1, 512, 128, 128, 3, 1, false, false, false},
    {3, 1, 512, 128, 128, 3, 1, false, false, true},
    {1, 1, 512, 128, 3, 3, 1, false, false, false},
};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Device memory with something in it: zeros and denormals would flatter. */
static void *filled(fsd_backend *be, fsd_dtype type, int64_t count)
{
    void *block;
    uint32_t s = 1;

    if (be->alloc(be, &block, (size_t)count * fsd_dtype_size(type), NULL))
        return NULL;
    for (int64_t i = 0; i < count; i++) {
        const float x = (float)((s = s * 1664525 + 1013904223) >> 8) / (1 << 23) - 1;

        fsd_from_f32((char *)block + (size_t)i * fsd_dtype_size(type), type, &x, 1);
    }
    return block;
}

static fsd_status pack(fsd_backend *be, fsd_packed **out, fsd_pack *what, const void *data,
                       fsd_error *err)
{
    what->parts = 1;
    what->part[0] = (fsd_pack_part){data, FSD_F16, what->dim[0]};
    return be->pack(be, out, what, err);
}

/* Best time of a few runs, each made anew by `run`; negative if one failed. */
typedef fsd_status (*runner)(fsd_backend *be, const void *p, void *workspace, fsd_error *err);

static double best_of(fsd_backend *be, runner run, const void *p, void *workspace, fsd_error *err)
{
    const double end = now() + 0.25;
    double best = 1e9;

    for (int i = 0; i < 3 || (i < 50 && now() < end); i++) {
        const double start = now();

        if (run(be, p, workspace, err))
            return -1;
        if (now() - start < best)
            best = now() - start;
    }
    return best;
}

static fsd_status run_linear(fsd_backend *be, const void *p, void *workspace, fsd_error *err)
{
    return be->linear(be, p, workspace, err);
}

static fsd_status run_conv(fsd_backend *be, const void *p, void *workspace, fsd_error *err)
{
    return be->conv(be, p, workspace, err);
}

/* Everything a shape needs, let go together. */
typedef struct operands {
    void *x, *x2, *residual, *y, *weights, *bias, *workspace;
    size_t workspace_bytes;
    fsd_packed *packed;
} operands;

static void let_go(fsd_backend *be, operands *o)
{
    be->free(be, o->x, 0);
    be->free(be, o->x2, 0);
    be->free(be, o->residual, 0);
    be->free(be, o->y, 0);
    be->free(be, o->weights, 0);
    be->free(be, o->bias, 0);
    be->free(be, o->workspace, 0);
    be->unpack(be, o->packed);
}

static double bench_gemm(fsd_backend *be, const gemm_shape *s, fsd_dtype type, fsd_error *err)
{
    const bool gated = s->act == FSD_ACT_GEGLU;
    const int64_t outs = s->out * (gated ? 2 : 1), width = s->in + s->in2;
    operands o = {.x = filled(be, type, (int64_t)s->rows * s->in),
                  .x2 = s->in2 ? filled(be, type, (int64_t)s->rows * s->in2) : NULL,
                  .y = filled(be, type, (int64_t)s->rows * s->out),
                  .weights = filled(be, FSD_F16, outs * width),
                  .bias = filled(be, FSD_F32, outs)};
    fsd_pack what = {.use = gated ? FSD_PACK_GEGLU : FSD_PACK_LINEAR,
                     .activations = type,
                     .dim = {outs, width, 1, 1},
                     .split = s->in2 ? s->in : 0};
    fsd_linear p = {.dtype = type,
                    .rows = s->rows,
                    .in = s->in,
                    .in2 = s->in2,
                    .out = s->out,
                    .ldx = s->in,
                    .ldx2 = s->in2,
                    .ldy = s->out,
                    .ld_residual = s->out,
                    .act = s->act,
                    .bias = o.bias,
                    .x = o.x,
                    .x2 = o.x2,
                    .residual = s->residual ? o.y : NULL,
                    .y = o.y};
    double time = -1;

    o.workspace_bytes = be->linear_workspace(be, &p);
    if (!be->alloc(be, &o.workspace, o.workspace_bytes, err) &&
        !pack(be, &o.packed, &what, o.weights, err)) {
        p.w = o.packed;
        time = best_of(be, run_linear, &p, o.workspace, err);
    }
    let_go(be, &o);
    return time;
}

static double bench_conv(fsd_backend *be, const conv_shape *s, fsd_dtype type, fsd_error *err)
{
    const int64_t area = (int64_t)s->size * s->size, up = s->upsample ? 4 : 1;
    operands o = {.x = filled(be, type, s->n * area * s->in),
                  .x2 = filled(be, type, s->out),
                  .y = filled(be, type, s->n * area * up * s->out),
                  .weights = filled(be, FSD_F16, (int64_t)s->out * s->in * s->k * s->k),
                  .bias = filled(be, FSD_F32, s->out)};
    fsd_pack what = {.use = s->upsample ? FSD_PACK_CONV_UP : FSD_PACK_CONV,
                     .activations = type,
                     .dim = {s->out, s->in, s->k, s->k}};
    fsd_conv p = {.dtype = type,
                  .n = s->n,
                  .h = s->size,
                  .w = s->size,
                  .in = s->in,
                  .out = s->out,
                  .kh = s->k,
                  .kw = s->k,
                  .stride = s->stride,
                  .top = s->k / 2,
                  .left = s->k / 2,
                  .bottom = s->k / 2,
                  .right = s->k / 2,
                  .upsample = s->upsample,
                  .up_h = 2 * s->size,
                  .up_w = 2 * s->size,
                  .bias = o.bias,
                  .x = o.x,
                  .add = s->add ? o.x2 : NULL,
                  .add_shared = true,
                  .residual = s->residual ? o.y : NULL,
                  .y = o.y};
    double time = -1;

    if (!pack(be, &o.packed, &what, o.weights, err)) {
        p.weight = o.packed;
        o.workspace_bytes = be->conv_workspace(be, &p);
    }
    if (o.packed && !be->alloc(be, &o.workspace, o.workspace_bytes, err)) {
        time = best_of(be, run_conv, &p, o.workspace, err);
    }
    let_go(be, &o);
    return time;
}

static void gemm_all(fsd_backend *be, fsd_dtype type)
{
    double sum = 0;

    printf("count   rows     in          out  act res       ms  GFLOP/s\n");
    for (size_t i = 0; i < LENGTH(GEMMS); i++) {
        const gemm_shape *s = &GEMMS[i];
        const bool gated = s->act == FSD_ACT_GEGLU;
        const double flops = 2.0 * s->rows * (s->in + s->in2) * s->out * (gated ? 2 : 1);
        fsd_error err = {0};
        const double time = bench_gemm(be, s, type, &err);

        printf("%5d  %5d  %5d + %4d  %5d  %-3s %-3s  %7.3f  %7.1f  %s\n", s->count, s->rows, s->in,
               s->in2, s->out, gated ? "glu" : "", s->residual ? "res" : "", 1e3 * time,
               1e-9 * flops / time, err.msg);
        sum += s->count * time;
    }
    printf("UNet step: %.3f s\n", sum);
}

static void conv_all(fsd_backend *be, fsd_dtype type)
{
    double sum[2] = {0}; /* by n - 1 */

    printf("count  n  size    in   out  k s                     ms  GFLOP/s\n");
    for (size_t i = 0; i < LENGTH(CONVS); i++) {
        const conv_shape *s = &CONVS[i];
        const double area =
            (double)s->size * s->size * (s->upsample ? 4 : 1) / s->stride / s->stride;
        const double flops = 2.0 * s->n * area * s->in * s->out * s->k * s->k;
        fsd_error err = {0};
        const double time = bench_conv(be, s, type, &err);

        printf("%5d  %d  %4d  %4d  %4d  %d %d %-3s %-3s %-3s  %8.3f  %7.1f  %s\n", s->count, s->n,
               s->size, s->in, s->out, s->k, s->stride, s->upsample ? "up" : "",
               s->add ? "add" : "", s->residual ? "res" : "", 1e3 * time, 1e-9 * flops / time,
               err.msg);
        sum[s->n - 1] += s->count * time;
    }
    printf("UNet step: %.3f s; VAE decode: %.3f s\n", sum[1], sum[0]);
}

/* All of the UNet's products and convolutions, packed once from half floats, one after another. */
static void pack_all(fsd_backend *be, fsd_dtype type)
{
    double parameters = 0, time = 0, bytes = 0;
    const int64_t most = 2560 * 1280 * 9;
    void *weights = filled(be, FSD_F16, most);
    fsd_error err = {0};

    for (size_t i = 0; weights && i < LENGTH(GEMMS) + LENGTH(CONVS); i++) {
        const bool conv = i >= LENGTH(GEMMS);
        const gemm_shape *g = &GEMMS[conv ? 0 : i];
        const conv_shape *c = &CONVS[conv ? i - LENGTH(GEMMS) : 0];
        const int gates = g->act == FSD_ACT_GEGLU ? 2 : 1, count = conv ? c->count : g->count;
        fsd_pack what = {.use = gates == 2 ? FSD_PACK_GEGLU : FSD_PACK_LINEAR,
                         .activations = type,
                         .dim = {g->out * gates, g->in + g->in2, 1, 1},
                         .split = g->in2 ? g->in : 0};

        if (conv && c->n == 1)
            continue;
        if (conv)
            what = (fsd_pack){.use = c->upsample ? FSD_PACK_CONV_UP : FSD_PACK_CONV,
                              .activations = type,
                              .dim = {c->out, c->in, c->k, c->k}};
        for (int k = 0; k < count; k++) {
            const double start = now();
            fsd_packed *packed;

            if (pack(be, &packed, &what, weights, &err)) {
                printf("%s\n", err.msg);
                continue;
            }
            time += now() - start;
            parameters += (double)what.dim[0] * what.dim[1] * what.dim[2] * what.dim[3];
            bytes += (double)packed->bytes;
            be->unpack(be, packed);
        }
    }
    printf("%.0f M parameters: %.3f s, %.0f MB packed\n", 1e-6 * parameters, time, 1e-6 * bytes);
    be->free(be, weights, 0);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const fsd_dtype type = argc > 2 && strcmp(argv[2], "fp32") == 0 ? FSD_F32 : FSD_BF16;
    void (*bench)(fsd_backend *, fsd_dtype) = strcmp(what, "gemm") == 0   ? gemm_all
                                              : strcmp(what, "conv") == 0 ? conv_all
                                              : strcmp(what, "pack") == 0 ? pack_all
                                                                          : NULL;
    fsd_backend *be;
    fsd_error err = {0};

    if (!bench) {
        fprintf(stderr, "usage: kernels_bench gemm|conv|pack [bf16|fp32] [THREADS]\n");
        return 2;
    }
    if (fsd_backend_cpu_open(&be, argc > 3 ? atoi(argv[3]) : 0, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    printf("%s, %s\n", be->about, fsd_dtype_name(type));
    bench(be, type);
    fsd_backend_close(be);
    return 0;
}
