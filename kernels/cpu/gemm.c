#include "kernels/cpu/gemm.h"

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"

#include <string.h>

/* Three ways to the same contract:
 *   direct    one product, straight to y; activation in its epilogue, or the residual as its start
 *   finished  fp32 sums of one or two products, then activation and residual by our own loop
 *   gated     GEGLU: values and gates, then their product by our own loop
 * The last two go block of rows by block, so that what stands between stays in the caches. */

enum {
    BLOCK_BYTES = 2 << 20, /* of what stands between, about the second caches of two cores */
    MIN_BLOCK = 256        /* rows, below which a product reads its weights too often */
};

fsd_dnnl_job fsd_cpu_product_job(fsd_dtype type, int64_t rows, int64_t in, int64_t out)
{
    fsd_dnnl_job job;

    memset(&job, 0, sizeof job); /* compared byte by byte */
    job.input = job.output = (int32_t)type;
    job.rows = rows;
    job.in = job.ldx = in;
    job.out = job.ldy = out;
    return job;
}

typedef enum way { DIRECT, FINISHED, GATED } way;

static way choose(const fsd_linear *p)
{
    if (p->act == FSD_ACT_GEGLU)
        return GATED;
    return p->in2 || (p->residual && p->act != FSD_ACT_NONE) ? FINISHED : DIRECT;
}

/* What stands between, a row. */
static int64_t row_bytes(const fsd_linear *p, way w)
{
    if (w == DIRECT)
        return 0;
    return w == GATED ? 2 * p->out * (int64_t)fsd_dtype_size(p->dtype)
                      : p->out * (int64_t)sizeof(float);
}

static int64_t block_rows(const fsd_linear *p, way w)
{
    int64_t rows = w == DIRECT ? p->rows : BLOCK_BYTES / row_bytes(p, w) / 64 * 64;

    rows = rows < MIN_BLOCK ? MIN_BLOCK : rows;
    return rows < p->rows ? rows : p->rows;
}

/* The job of input `second` (0 or 1) over `rows` rows. */
static fsd_dnnl_job job_of(const fsd_linear *p, way w, int second, int64_t rows)
{
    fsd_dnnl_job job = fsd_cpu_product_job(p->dtype, rows, second ? p->in2 : p->in,
                                           w == GATED ? 2 * p->out : p->out);

    job.ldx = second ? p->ldx2 : p->ldx;
    job.bias = p->bias && !second;
    job.sum = second;
    if (w == DIRECT) {
        job.ldy = p->ldy;
        job.act = (int32_t)p->act;
        job.sum = p->residual != NULL;
    } else if (w == FINISHED) {
        job.output = FSD_F32;
    }
    return job;
}

/* Scratch of oneDNN for any of the jobs of this layer. Whether there is a bias is not known when a
 * plan asks; it changes the primitive, not its scratch. */
static size_t product_scratch(fsd_backend *be, const fsd_linear *p, way w)
{
    const int64_t block = block_rows(p, w), rest = p->rows % block;
    size_t most = 0;

    for (int second = 0; second < (p->in2 ? 2 : 1); second++) {
        for (int i = 0; i < (rest ? 2 : 1); i++) {
            const fsd_dnnl_job job = job_of(p, w, second, i ? rest : block);
            fsd_dnnl_primitive *primitive;

            if (!fsd_dnnl_find(fsd_cpu_of(be)->dnnl, &primitive, &job, NULL) &&
                fsd_dnnl_scratch(primitive) > most)
                most = fsd_dnnl_scratch(primitive);
        }
    }
    return most;
}

static size_t workspace_of(fsd_backend *be, const fsd_linear *p)
{
    const way w = choose(p);

    return fsd_cpu_align((size_t)(block_rows(p, w) * row_bytes(p, w))) + product_scratch(be, p, w);
}

static const char *element(const void *base, int64_t i, fsd_dtype type)
{
    return (const char *)base + i * (int64_t)fsd_dtype_size(type);
}

static fsd_status multiply(fsd_backend *be, const fsd_linear *p, way w, int second, int64_t row,
                           int64_t rows, void *y, void *scratch, fsd_error *err)
{
    const fsd_cpu_packed *packed = fsd_cpu_packed_of(p->w);
    const fsd_dnnl_job job = job_of(p, w, second, rows);
    const void *x =
        second ? element(p->x2, row * p->ldx2, p->dtype) : element(p->x, row * p->ldx, p->dtype);
    fsd_dnnl *dnnl = fsd_cpu_of(be)->dnnl;
    fsd_dnnl_primitive *primitive;
    const fsd_status st = fsd_dnnl_find(dnnl, &primitive, &job, err);

    return st ? st
              : fsd_dnnl_run(dnnl, primitive, x, packed->weights[second], p->bias, y, scratch, err);
}

/* The residual is where the product starts from. */
static void start_from_residual(fsd_backend *be, const fsd_linear *p)
{
    const size_t bytes = (size_t)p->out * fsd_dtype_size(p->dtype);

    if (!p->residual || p->residual == p->y)
        return;
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t r = 0; r < p->rows; r++)
        memcpy((char *)p->y + r * p->ldy * (int64_t)fsd_dtype_size(p->dtype),
               element(p->residual, r * p->ld_residual, p->dtype), bytes);
}

/* Our own loop over the rows of a block; a turn is some rows. */
static void finish(fsd_backend *be, const fsd_linear *p, way w, const void *between, int64_t first,
                   int64_t rows)
{
    enum { ROWS = 16 };
    const fsd_cpu_loops *loops = fsd_cpu_loops_best();
    const int bf16 = p->dtype == FSD_BF16;

    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t r = 0; r < rows; r += ROWS) {
        const int64_t end = r + ROWS < rows ? r + ROWS : rows;
        const char *from = (const char *)between + r * row_bytes(p, w);
        char *y = (char *)p->y + (first + r) * p->ldy * (int64_t)fsd_dtype_size(p->dtype);

        if (w == GATED) {
            loops->gate[bf16](y, from, end - r, p->ldy, p->out);
            continue;
        }
        for (int64_t row = r; row < end; row++) {
            const void *residual =
                p->residual ? element(p->residual, (first + row) * p->ld_residual, p->dtype) : NULL;

            loops->finish[bf16](y + (row - r) * p->ldy * (int64_t)fsd_dtype_size(p->dtype),
                                (const float *)between + row * p->out, residual, p->out, p->act);
        }
    }
}

/* The contract, for a type that products are made in. */
static fsd_status run(fsd_backend *be, const fsd_linear *p, void *workspace, fsd_error *err)
{
    const way w = choose(p);
    const int64_t block = block_rows(p, w);
    void *scratch = (char *)workspace + fsd_cpu_align((size_t)(block * row_bytes(p, w)));
    fsd_status st = FSD_OK;

    if (w == DIRECT) {
        start_from_residual(be, p);
        return multiply(be, p, w, 0, 0, p->rows, p->y, scratch, err);
    }
    for (int64_t first = 0; first < p->rows && !st; first += block) {
        const int64_t rows = p->rows - first < block ? p->rows - first : block;

        st = multiply(be, p, w, 0, first, rows, workspace, scratch, err);
        if (!st && p->in2)
            st = multiply(be, p, w, 1, first, rows, workspace, scratch, err);
        if (!st)
            finish(be, p, w, workspace, first, rows);
    }
    return st;
}

/* --- bf16 where the CPU multiplies none: in fp32, block of rows by block -----------------------
 */

void fsd_cpu_widen(fsd_backend *be, float *to, const void *from, int64_t rows, int64_t cols,
                   int64_t ld)
{
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t r = 0; r < rows; r++)
        fsd_to_f32(to + r * cols, (const uint16_t *)from + r * ld, FSD_BF16, (size_t)cols);
}

void fsd_cpu_narrow(fsd_backend *be, void *to, const float *from, int64_t rows, int64_t cols,
                    int64_t ld)
{
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t r = 0; r < rows; r++)
        fsd_from_f32((uint16_t *)to + r * ld, FSD_BF16, from + r * cols, (size_t)cols);
}

/* The operands of a block, dense, in the workspace, and the scratch behind them. */
typedef struct wide_block {
    fsd_linear p;
    size_t x2, y, scratch; /* offsets */
} wide_block;

static wide_block widened(const fsd_linear *p)
{
    wide_block b = {.p = *p};

    b.p.dtype = FSD_F32;
    b.p.rows = p->rows < MIN_BLOCK ? p->rows : MIN_BLOCK;
    b.p.ldx = p->in;
    b.p.ldx2 = p->in2;
    b.p.ldy = b.p.ld_residual = p->out;
    b.x2 = fsd_cpu_align((size_t)(b.p.rows * p->in) * sizeof(float));
    b.y = b.x2 + fsd_cpu_align((size_t)(b.p.rows * p->in2) * sizeof(float));
    b.scratch = b.y + fsd_cpu_align((size_t)(b.p.rows * p->out) * sizeof(float));
    return b;
}

static fsd_status run_widened(fsd_backend *be, const fsd_linear *p, char *workspace, fsd_error *err)
{
    wide_block b = widened(p);
    float *x = (float *)workspace, *x2 = (float *)(workspace + b.x2);
    float *y = (float *)(workspace + b.y);
    fsd_status st = FSD_OK;

    b.p.x = x;
    b.p.x2 = p->x2 ? x2 : NULL;
    b.p.y = y;
    b.p.residual = p->residual ? y : NULL;
    for (int64_t first = 0; first < p->rows && !st; first += MIN_BLOCK) {
        b.p.rows = p->rows - first < MIN_BLOCK ? p->rows - first : MIN_BLOCK;
        fsd_cpu_widen(be, x, element(p->x, first * p->ldx, p->dtype), b.p.rows, p->in, p->ldx);
        if (p->x2)
            fsd_cpu_widen(be, x2, element(p->x2, first * p->ldx2, p->dtype), b.p.rows, p->in2,
                          p->ldx2);
        if (p->residual)
            fsd_cpu_widen(be, y, element(p->residual, first * p->ld_residual, p->dtype), b.p.rows,
                          p->out, p->ld_residual);
        st = run(be, &b.p, workspace + b.scratch, err);
        if (!st)
            fsd_cpu_narrow(be, (uint16_t *)p->y + first * p->ldy, y, b.p.rows, p->out, p->ldy);
    }
    return st;
}

/* Scratch of a block and of the rest, which may be another primitive's. */
static size_t widened_workspace(fsd_backend *be, const fsd_linear *p)
{
    wide_block b = widened(p);
    size_t most = workspace_of(be, &b.p), rest = 0;

    if (p->rows % b.p.rows) {
        b.p.rows = p->rows % b.p.rows;
        rest = workspace_of(be, &b.p);
    }
    return b.scratch + (most > rest ? most : rest);
}

/* --- the contract ------------------------------------------------------------------------------
 */

size_t fsd_cpu_linear_workspace(fsd_backend *be, const fsd_linear *p)
{
    return fsd_cpu_product_type(be, p->dtype) == p->dtype ? workspace_of(be, p)
                                                          : widened_workspace(be, p);
}

fsd_status fsd_cpu_linear(fsd_backend *be, const fsd_linear *p, void *workspace, fsd_error *err)
{
    const fsd_status st = fsd_check_linear(p, err);

    if (st)
        return st;
    return fsd_cpu_product_type(be, p->dtype) == p->dtype ? run(be, p, workspace, err)
                                                          : run_widened(be, p, workspace, err);
}
