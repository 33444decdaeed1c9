#include "kernels/cpu/cpu.h"
#include "kernels/cpu/dnnl.h"
#include "kernels/cpu/loops.h"
#include "kernels/pack.h"

#include "engine/base/mem.h"

#include <sched.h>
#include <stdio.h>

static void close_cpu(fsd_backend *be)
{
    fsd_dnnl_close(fsd_cpu_of(be)->dnnl);
    fsd_free(be->own);
    fsd_free(be);
}

#define ROW(op) .op##_workspace = fsd_cpu_##op##_workspace, .op = fsd_cpu_##op

static const fsd_backend TABLE = {
    .name = "cpu",
    .pack = fsd_cpu_pack,
    .pack_bytes = fsd_cpu_pack_bytes,
    .unpack = fsd_cpu_unpack,
    .alloc = fsd_cpu_alloc,
    .free = fsd_cpu_free,
    ROW(linear),
    ROW(conv),
    ROW(attention),
    ROW(group_norm),
    ROW(layer_norm),
    ROW(embedding),
    ROW(sinusoid),
    ROW(unary),
    ROW(to_channels_last),
    ROW(to_channels_first),
    .close = close_cpu,
};

/* Cores this process may run on; one thread where there is no OpenMP to use more. */
static int pick_threads(int asked)
{
#ifdef _OPENMP
    cpu_set_t set;

    if (asked < 1)
        asked = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return asked;
#else
    (void)asked;
    return 1;
#endif
}

fsd_status fsd_backend_cpu_open(fsd_backend **out, int threads, fsd_error *err)
{
    fsd_backend *be = fsd_alloc(sizeof *be);
    fsd_cpu *cpu = fsd_alloc(sizeof *cpu);
    int major, minor, patch;
    fsd_status st;

    *out = NULL;
    if (!be || !cpu) {
        fsd_free(be);
        fsd_free(cpu);
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a backend");
    }
    *be = TABLE;
    be->own = cpu;
    cpu->threads = pick_threads(threads);
    st = fsd_dnnl_open(&cpu->dnnl, cpu->threads, err);
    if (st) {
        close_cpu(be);
        return st;
    }
    be->fast_bf16 = cpu->bf16 = fsd_dnnl_fast_bf16();
    fsd_dnnl_version(&major, &minor, &patch);
    snprintf(be->about, sizeof be->about, "cpu: oneDNN %d.%d.%d, %s, %d thread%s", major, minor,
             patch, fsd_cpu_loops_best()->name, cpu->threads, cpu->threads == 1 ? "" : "s");
    *out = be;
    return FSD_OK;
}
