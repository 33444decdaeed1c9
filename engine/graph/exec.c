#include "engine/graph/exec.h"

#include "engine/base/mem.h"
#include "engine/graph/op.h"

#include <string.h>

struct fsd_exec {
    const fsd_plan *plan;
    char *arena;
    void *workspace;
    bool (*cancelled)(void *user);
    void *user;
};

fsd_status fsd_exec_new(fsd_exec **out, const fsd_plan *plan, fsd_error *err)
{
    fsd_exec *exec = fsd_alloc(sizeof *exec);
    void *arena = NULL;
    fsd_status st;

    *out = NULL;
    if (!exec)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a run");
    exec->plan = plan;
    st = plan->backend->alloc(plan->backend, &arena, plan->arena, err);
    exec->arena = arena;
    if (!st && plan->workspace)
        st = plan->backend->alloc(plan->backend, &exec->workspace, plan->workspace, err);
    if (st) {
        fsd_exec_free(exec);
        return st;
    }
    *out = exec;
    return FSD_OK;
}

void fsd_exec_free(fsd_exec *exec)
{
    if (!exec)
        return;
    if (exec->workspace)
        exec->plan->backend->free(exec->plan->backend, exec->workspace, exec->plan->workspace);
    if (exec->arena)
        exec->plan->backend->free(exec->plan->backend, exec->arena, exec->plan->arena);
    fsd_free(exec);
}

void fsd_exec_on_cancel(fsd_exec *exec, bool (*cancelled)(void *user), void *user)
{
    exec->cancelled = cancelled;
    exec->user = user;
}

void *fsd_exec_address(const fsd_exec *exec, fsd_value value)
{
    const fsd_value_info *info = fsd_graph_value(exec->plan->graph, value);

    return exec->arena + exec->plan->offset[info->base] +
           (size_t)info->first * fsd_dtype_size(info->dtype);
}

static fsd_status pack_weights(const fsd_graph *graph, const fsd_record *record, fsd_bound *bound,
                               fsd_error *err)
{
    for (int k = 0; k < FSD_RECORD_WEIGHTS; k++) {
        fsd_packed *packed;
        fsd_status st;

        if (!record->weight[k])
            continue;
        st = fsd_weight_pack(record->weight[k], graph->activations, &packed, err);
        if (st)
            return st;
        bound->weight[k] = packed;
    }
    return FSD_OK;
}

static fsd_status run_record(const fsd_exec *exec, const fsd_record *record, int step,
                             fsd_error *err)
{
    const fsd_graph *graph = exec->plan->graph;
    fsd_bound bound = {.out = fsd_exec_address(exec, record->out)};
    fsd_status st = pack_weights(graph, record, &bound, err);

    if (st)
        return st;
    for (int k = 0; k < FSD_RECORD_INPUTS; k++) {
        const fsd_value_info *info;

        if (!record->in[k])
            continue;
        info = fsd_graph_value(graph, record->in[k]);
        bound.in[k] = fsd_exec_address(exec, record->in[k]);
        if (info->per_step && record->phase == FSD_PHASE_STEP)
            bound.in[k] = (char *)bound.in[k] +
                          (size_t)(step * info->h * info->w * info->ld) * fsd_dtype_size(info->dtype);
    }
    return record->op->run(graph, record, &bound, exec->plan->backend, exec->workspace, err);
}

fsd_status fsd_exec_run(fsd_exec *exec, fsd_phase phase, int step, fsd_error *err)
{
    const fsd_graph *graph = exec->plan->graph;

    for (int i = 0; i < graph->records; i++) {
        const fsd_record *record = &graph->record[i];
        fsd_status st;

        if (record->phase != phase)
            continue;
        if (exec->cancelled && exec->cancelled(exec->user))
            return fsd_fail(err, FSD_CANCELLED, "cancelled");
        st = run_record(exec, record, step, err);
        if (st)
            return fsd_wrap(err, st, "record %d, %s", i, record->op->name);
    }
    return FSD_OK;
}

void fsd_exec_write(fsd_exec *exec, fsd_value value, const float *from, size_t count)
{
    fsd_from_f32(fsd_exec_address(exec, value), fsd_graph_value(exec->plan->graph, value)->dtype, from,
                 count);
}

void fsd_exec_read(const fsd_exec *exec, fsd_value value, float *to, size_t count)
{
    fsd_to_f32(to, fsd_exec_address(exec, value), fsd_graph_value(exec->plan->graph, value)->dtype,
               count);
}

fsd_status fsd_record_run(const fsd_graph *graph, int record, fsd_backend *backend,
                          void *const in[FSD_RECORD_INPUTS], void *out, void *workspace,
                          fsd_error *err)
{
    const fsd_record *r = &graph->record[record];
    fsd_bound bound = {.out = out};
    fsd_status st = pack_weights(graph, r, &bound, err);

    memcpy(bound.in, in, sizeof bound.in);
    return st ? st : r->op->run(graph, r, &bound, backend, workspace, err);
}
