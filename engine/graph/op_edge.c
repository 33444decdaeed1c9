/* The edges of a network: tokens, time and layout. in: x; embedding: weight: table, position. */
#include "engine/graph/op.h"

static fsd_embedding bind_embedding(const fsd_graph *graph, const fsd_record *record,
                                    const fsd_bound *bound)
{
    const fsd_value_info *y = fsd_graph_value(graph, record->out);

    return (fsd_embedding){
        .dtype = y->dtype,
        .rows = y->n * y->h * y->w,
        .cols = y->c,
        .period = y->h * y->w,
        .table = bound->weight[0],
        .position = bound->weight[1],
        .ids = bound->in[0],
        .y = bound->out,
    };
}

static size_t embedding_workspace(const fsd_graph *graph, const fsd_record *record,
                                  fsd_backend *backend)
{
    const fsd_embedding p = bind_embedding(graph, record, &(fsd_bound){0});

    return backend->embedding_workspace(backend, &p);
}

static fsd_status embedding_run(const fsd_graph *graph, const fsd_record *record,
                                const fsd_bound *bound, fsd_backend *backend, void *scratch,
                                fsd_error *err)
{
    const fsd_embedding p = bind_embedding(graph, record, bound);

    return backend->embedding(backend, &p, scratch, err);
}

static fsd_sinusoid bind_sinusoid(const fsd_graph *graph, const fsd_record *record,
                                  const fsd_bound *bound)
{
    const fsd_value_info *y = fsd_graph_value(graph, record->out);

    return (fsd_sinusoid){
        .dtype = y->dtype, .rows = y->n, .dim = y->c, .t = bound->in[0], .y = bound->out};
}

static size_t sinusoid_workspace(const fsd_graph *graph, const fsd_record *record,
                                 fsd_backend *backend)
{
    const fsd_sinusoid p = bind_sinusoid(graph, record, &(fsd_bound){0});

    return backend->sinusoid_workspace(backend, &p);
}

static fsd_status sinusoid_run(const fsd_graph *graph, const fsd_record *record,
                               const fsd_bound *bound, fsd_backend *backend, void *scratch,
                               fsd_error *err)
{
    const fsd_sinusoid p = bind_sinusoid(graph, record, bound);

    return backend->sinusoid(backend, &p, scratch, err);
}

static fsd_to_channels bind_layout(const fsd_graph *graph, const fsd_record *record,
                                   const fsd_bound *bound)
{
    const fsd_value_info *x = fsd_graph_value(graph, record->in[0]);

    return (fsd_to_channels){.dtype = graph->activations,
                             .n = x->n,
                             .c = x->c,
                             .h = x->h,
                             .w = x->w,
                             .repeat = record->as.layout.repeat,
                             .x = bound->in[0],
                             .y = bound->out};
}

static size_t last_workspace(const fsd_graph *graph, const fsd_record *record, fsd_backend *backend)
{
    const fsd_to_channels p = bind_layout(graph, record, &(fsd_bound){0});

    return backend->to_channels_last_workspace(backend, &p);
}

static fsd_status last_run(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound,
                           fsd_backend *backend, void *scratch, fsd_error *err)
{
    const fsd_to_channels p = bind_layout(graph, record, bound);

    return backend->to_channels_last(backend, &p, scratch, err);
}

static size_t first_workspace(const fsd_graph *graph, const fsd_record *record,
                              fsd_backend *backend)
{
    const fsd_to_channels p = bind_layout(graph, record, &(fsd_bound){0});

    return backend->to_channels_first_workspace(backend, &p);
}

static fsd_status first_run(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound,
                            fsd_backend *backend, void *scratch, fsd_error *err)
{
    const fsd_to_channels p = bind_layout(graph, record, bound);

    return backend->to_channels_first(backend, &p, scratch, err);
}

static double no_flops(const fsd_graph *graph, const fsd_record *record)
{
    (void)graph, (void)record;
    return 0;
}

static const fsd_op EMBEDDING = {"embedding", -1, embedding_workspace, embedding_run, no_flops};
static const fsd_op SINUSOID = {"sinusoid", -1, sinusoid_workspace, sinusoid_run, no_flops};
static const fsd_op CHANNELS_LAST = {"to_channels_last", -1, last_workspace, last_run, no_flops};
static const fsd_op CHANNELS_FIRST = {"to_channels_first", -1, first_workspace, first_run, no_flops};

fsd_value fsd_op_embedding(fsd_graph *graph, fsd_value ids, fsd_weight *table, fsd_weight *position)
{
    fsd_record record = {.op = &EMBEDDING, .in = {ids}, .weight = {table, position}};
    const fsd_value_info *info;

    if (graph->status)
        return 0;
    if (!table)
        return fsd_graph_fail(graph, FSD_INVALID, "an embedding without its table");
    info = fsd_graph_value(graph, ids);
    if (position && position->dim[0] < info->h * info->w)
        return fsd_graph_fail(graph, FSD_FORMAT, "\"%s\" knows %lld positions, not %lld",
                              position->name, (long long)position->dim[0],
                              (long long)(info->h * info->w));
    record.out = fsd_graph_new_value(graph, graph->activations, info->n, info->h, info->w,
                                     table->dim[1]);
    return fsd_graph_append(graph, &record);
}

fsd_value fsd_op_sinusoid(fsd_graph *graph, fsd_value t, int64_t dim)
{
    fsd_record record = {.op = &SINUSOID, .in = {t}};

    if (graph->status)
        return 0;
    record.out =
        fsd_graph_new_value(graph, graph->activations, fsd_graph_value(graph, t)->n, 1, 1, dim);
    if (record.out)
        graph->value[record.out].per_step = true;
    return fsd_graph_append(graph, &record);
}

fsd_value fsd_op_to_channels_last(fsd_graph *graph, fsd_value x, int64_t repeat)
{
    fsd_record record = {.op = &CHANNELS_LAST, .in = {x}, .as.layout.repeat = repeat};
    const fsd_value_info *info;

    if (graph->status)
        return 0;
    info = fsd_graph_value(graph, x);
    record.out = fsd_graph_new_value(graph, graph->activations, repeat * info->n, info->h, info->w,
                                     info->c);
    return fsd_graph_append(graph, &record);
}

fsd_value fsd_op_to_channels_first(fsd_graph *graph, fsd_value x)
{
    fsd_record record = {.op = &CHANNELS_FIRST, .in = {x}, .as.layout.repeat = 1};
    const fsd_value_info *info;

    if (graph->status)
        return 0;
    info = fsd_graph_value(graph, x);
    record.out = fsd_graph_new_value(graph, FSD_F32, info->n, info->h, info->w, info->c);
    return fsd_graph_append(graph, &record);
}
