#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"

/* What of the workspace goes where, in floats: K and V of all heads, then a scratch a thread. */
typedef struct layout {
    fsd_cpu_attention_job job;
    size_t k, v, scratch;
} layout;

static int64_t round_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static layout plan(const fsd_attention *p, const fsd_cpu_attention_loops *loops)
{
    const int64_t heads = p->n * p->heads, queries = FSD_CPU_ATTENTION_VECTORS * loops->lanes;
    layout l = {.job.p = p};

    l.job.units = loops->pairs ? (p->dim + 1) / 2 : p->dim;
    l.job.keys = round_up(p->n_k, loops->rows);
    l.job.key_units = loops->pairs ? l.job.keys / 2 : l.job.keys;
    l.job.dims = round_up(p->dim, loops->lanes);
    /* each a multiple of 64 bytes, as the workspace is aligned */
    l.k = (size_t)round_up(heads * l.job.keys * l.job.units, 16);
    l.v = (size_t)round_up(heads * l.job.key_units * l.job.dims, 16);
    l.scratch = (size_t)round_up(
        (l.job.units + FSD_CPU_ATTENTION_BLOCK + l.job.dims) * queries, 16);
    return l;
}

size_t fsd_cpu_attention_workspace(fsd_backend *be, const fsd_attention *p)
{
    const fsd_cpu_loops *loops = fsd_cpu_loops_best();
    layout l;

    if (fsd_check_attention(p, NULL))
        return 0;
    l = plan(p, &loops->attention[p->dtype == FSD_BF16]);
    return (l.k + l.v + l.scratch * (size_t)fsd_cpu_threads(be)) * sizeof(float);
}

fsd_status fsd_cpu_attention(fsd_backend *be, const fsd_attention *p, void *workspace,
                             fsd_error *err)
{
    const fsd_cpu_attention_loops *loops =
        &fsd_cpu_loops_best()->attention[p->dtype == FSD_BF16];
    const fsd_status st = fsd_check_attention(p, err);
    int64_t vectors, tiles, blocks;
    layout l;
    float *scratch;

    if (st)
        return st;
    l = plan(p, loops);
    l.job.k = workspace;
    l.job.v = l.job.k + l.k;
    scratch = l.job.v + l.v;
    blocks = (p->n_k + FSD_CPU_ATTENTION_BLOCK - 1) / FSD_CPU_ATTENTION_BLOCK;
    vectors = (p->n_q + loops->lanes - 1) / loops->lanes;
    tiles = (vectors + FSD_CPU_ATTENTION_VECTORS - 1) / FSD_CPU_ATTENTION_VECTORS;

    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t i = 0; i < p->n * p->heads * blocks; i++) {
        const int64_t first = i % blocks * FSD_CPU_ATTENTION_BLOCK;
        const int64_t end = first + FSD_CPU_ATTENTION_BLOCK;

        loops->pack(&l.job, i / blocks / p->heads, (int)(i / blocks % p->heads), first,
                    end < l.job.keys ? end : l.job.keys);
    }
    /* Head by head, so that threads share K and V; tiles of as equal a size as can be. */
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t i = 0; i < p->n * p->heads * tiles; i++) {
        const int64_t tile = i % tiles, head = i / tiles;
        const int64_t first = tile * vectors / tiles, end = (tile + 1) * vectors / tiles;

        loops->attend(&l.job, scratch + (size_t)fsd_cpu_thread() * l.scratch, head / p->heads,
                      (int)(head % p->heads), first * loops->lanes, (int)(end - first));
    }
    return FSD_OK;
}
