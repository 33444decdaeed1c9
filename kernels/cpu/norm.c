#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"

#include <math.h>

/* Group norm reads x twice: once for the statistics of each channel, block of rows by block, and
 * once to scale. How the rows fall into blocks hangs on the sizes alone, never on the threads, so
 * the sums are the same for any number of them. */
enum { MAX_BLOCKS = 64, MIN_ROWS = 64 };

/* Where things stand in the workspace. Channels are those of x, then of x2; each input's arrays of
 * floats start on a vector of their own. */
typedef struct layout {
    int64_t blocks, rows;     /* of an image; rows a block, the last one may have fewer */
    int64_t channels, padded; /* c + c2; both padded to FSD_CPU_MAX_LANES */
    double *mean, *squares;   /* (n, blocks, channels) */
    float *shift, *scale, *bias; /* (n, padded) */
} layout;

static int64_t pad(int64_t channels)
{
    return (channels + FSD_CPU_MAX_LANES - 1) / FSD_CPU_MAX_LANES * FSD_CPU_MAX_LANES;
}

static layout plan(const fsd_group_norm *p, void *workspace)
{
    layout l = {.channels = p->c + p->c2, .padded = pad(p->c) + pad(p->c2)};
    char *at = workspace;
    size_t statistics, vectors;

    l.rows = (p->hw + MAX_BLOCKS - 1) / MAX_BLOCKS;
    l.rows = l.rows < MIN_ROWS ? MIN_ROWS : l.rows;
    l.blocks = (p->hw + l.rows - 1) / l.rows;
    statistics = (size_t)(p->n * l.blocks * l.channels) * sizeof(double);
    statistics = (statistics + 63) / 64 * 64;
    vectors = (size_t)(p->n * l.padded) * sizeof(float);
    if (at) {
        l.mean = (double *)at;
        l.squares = (double *)(at + statistics);
        l.shift = (float *)(at + 2 * statistics);
        l.scale = (float *)(at + 2 * statistics + vectors);
        l.bias = (float *)(at + 2 * statistics + 2 * vectors);
    }
    return l;
}

size_t fsd_cpu_group_norm_workspace(fsd_backend *be, const fsd_group_norm *p)
{
    const layout l = plan(p, NULL);
    const size_t statistics = (size_t)(p->n * l.blocks * l.channels) * sizeof(double);

    (void)be;
    return 2 * ((statistics + 63) / 64 * 64) + 3 * (size_t)(p->n * l.padded) * sizeof(float);
}

static const char *element(const void *base, int64_t i, fsd_dtype type)
{
    return (const char *)base + i * (int64_t)fsd_dtype_size(type);
}

/* Statistics of all channels over one block of one image. */
static void measure(const fsd_group_norm *p, const layout *l, int64_t image, int64_t block)
{
    const fsd_cpu_loops *loops = fsd_cpu_loops_best();
    const int bf16 = p->dtype == FSD_BF16;
    const int64_t first = block * l->rows, left = p->hw - first;
    const int64_t rows = left < l->rows ? left : l->rows, place = image * p->hw + first;
    const int64_t at = (image * l->blocks + block) * l->channels;

    loops->channel_stats[bf16](element(p->x, place * p->c, p->dtype), rows, p->c, l->mean + at,
                               l->squares + at);
    if (p->x2)
        loops->channel_stats[bf16](element(p->x2, place * p->c2, p->dtype), rows, p->c2,
                                   l->mean + at + p->c, l->squares + at + p->c);
}

/* A set of numbers by its size, mean and sum of squared deviations (Chan et al. 1979). */
typedef struct moments {
    double count, mean, squares;
} moments;

static void join(moments *a, double count, double mean, double squares)
{
    const double delta = mean - a->mean, sum = a->count + count;

    a->squares += squares + delta * delta * (a->count * count / sum);
    a->mean += delta * (count / sum);
    a->count = sum;
}

/* The numbers by which the channels of one group are scaled. */
static void settle(const fsd_group_norm *p, const layout *l, int64_t image, int64_t group)
{
    const int64_t width = l->channels / p->groups, first = group * width;
    moments all = {0};

    for (int64_t block = 0; block < l->blocks; block++) {
        const int64_t left = p->hw - block * l->rows, rows = left < l->rows ? left : l->rows;
        const int64_t at = (image * l->blocks + block) * l->channels;

        for (int64_t c = first; c < first + width; c++)
            join(&all, (double)rows, l->mean[at + c], l->squares[at + c]);
    }
    for (int64_t c = first; c < first + width; c++) {
        const int64_t to = image * l->padded + (c < p->c ? c : pad(p->c) + c - p->c);

        l->shift[to] = (float)all.mean;
        l->scale[to] = (float)(p->weight[c] / sqrt(all.squares / all.count + (double)p->eps));
        l->bias[to] = p->bias[c];
    }
}

static void scale(const fsd_group_norm *p, const layout *l, int64_t image, int64_t block)
{
    const fsd_cpu_loops *loops = fsd_cpu_loops_best();
    const int bf16 = p->dtype == FSD_BF16;
    const int64_t first = block * l->rows, left = p->hw - first, place = image * p->hw + first;
    const int64_t from = image * l->padded;
    char *y = (char *)p->y + place * l->channels * (int64_t)fsd_dtype_size(p->dtype);
    fsd_cpu_channel_scale one = {.x = element(p->x, place * p->c, p->dtype),
                                 .y = y,
                                 .rows = left < l->rows ? left : l->rows,
                                 .channels = p->c,
                                 .ldy = l->channels,
                                 .mean = l->shift + from,
                                 .scale = l->scale + from,
                                 .bias = l->bias + from};

    loops->channel_scale[bf16](&one, p->silu);
    if (!p->x2)
        return;
    one.x = element(p->x2, place * p->c2, p->dtype);
    one.y = y + p->c * (int64_t)fsd_dtype_size(p->dtype);
    one.channels = p->c2;
    one.mean += pad(p->c);
    one.scale += pad(p->c);
    one.bias += pad(p->c);
    loops->channel_scale[bf16](&one, p->silu);
}

fsd_status fsd_cpu_group_norm(fsd_backend *be, const fsd_group_norm *p, void *workspace,
                              fsd_error *err)
{
    const fsd_status st = fsd_check_group_norm(p, err);
    layout l;

    if (st)
        return st;
    l = plan(p, workspace);
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t i = 0; i < p->n * l.blocks; i++)
        measure(p, &l, i / l.blocks, i % l.blocks);
    for (int64_t i = 0; i < p->n * p->groups; i++)
        settle(p, &l, i / p->groups, i % p->groups);
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t i = 0; i < p->n * l.blocks; i++)
        scale(p, &l, i / l.blocks, i % l.blocks);
    return FSD_OK;
}

size_t fsd_cpu_layer_norm_workspace(fsd_backend *be, const fsd_layer_norm *p)
{
    (void)be, (void)p;
    return 0;
}

fsd_status fsd_cpu_layer_norm(fsd_backend *be, const fsd_layer_norm *p, void *workspace,
                              fsd_error *err)
{
    enum { ROWS = 32 };
    const fsd_status st = fsd_check_layer_norm(p, err);

    (void)workspace;
    if (st)
        return st;
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t row = 0; row < p->rows; row += ROWS) {
        const int64_t end = row + ROWS < p->rows ? row + ROWS : p->rows;

        fsd_cpu_loops_best()->layer_norm[p->dtype == FSD_BF16](p, row, end);
    }
    return FSD_OK;
}
