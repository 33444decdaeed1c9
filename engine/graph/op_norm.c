/* group_norm: in: x, x2; layer_norm: in: x; weight: w, bias. */
#include "engine/graph/op.h"

static fsd_group_norm bind_group(const fsd_graph *graph, const fsd_record *record,
                                 const fsd_bound *bound)
{
    const fsd_value_info *x = fsd_graph_value(graph, record->in[0]);
    const fsd_value_info *x2 = record->in[1] ? fsd_graph_value(graph, record->in[1]) : NULL;

    return (fsd_group_norm){
        .dtype = x->dtype,
        .n = x->n,
        .hw = x->h * x->w,
        .c = x->c,
        .c2 = x2 ? x2->c : 0,
        .groups = record->as.norm.groups,
        .eps = record->as.norm.eps,
        .silu = record->as.norm.silu,
        .weight = bound->weight[0] ? bound->weight[0]->vector : NULL,
        .bias = bound->weight[1] ? bound->weight[1]->vector : NULL,
        .x = bound->in[0],
        .x2 = bound->in[1],
        .y = bound->out,
    };
}

static size_t group_workspace(const fsd_graph *graph, const fsd_record *record, fsd_backend *backend)
{
    const fsd_group_norm p = bind_group(graph, record, &(fsd_bound){0});

    return backend->group_norm_workspace(backend, &p);
}

static fsd_status group_run(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound,
                            fsd_backend *backend, void *scratch, fsd_error *err)
{
    const fsd_group_norm p = bind_group(graph, record, bound);

    return backend->group_norm(backend, &p, scratch, err);
}

static fsd_layer_norm bind_layer(const fsd_graph *graph, const fsd_record *record,
                                 const fsd_bound *bound)
{
    const fsd_value_info *x = fsd_graph_value(graph, record->in[0]);

    return (fsd_layer_norm){
        .dtype = x->dtype,
        .rows = x->n * x->h * x->w,
        .cols = x->c,
        .eps = record->as.norm.eps,
        .weight = bound->weight[0] ? bound->weight[0]->vector : NULL,
        .bias = bound->weight[1] ? bound->weight[1]->vector : NULL,
        .x = bound->in[0],
        .y = bound->out,
    };
}

static size_t layer_workspace(const fsd_graph *graph, const fsd_record *record, fsd_backend *backend)
{
    const fsd_layer_norm p = bind_layer(graph, record, &(fsd_bound){0});

    return backend->layer_norm_workspace(backend, &p);
}

static fsd_status layer_run(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound,
                            fsd_backend *backend, void *scratch, fsd_error *err)
{
    const fsd_layer_norm p = bind_layer(graph, record, bound);

    return backend->layer_norm(backend, &p, scratch, err);
}

/* Mean, variance, normalise, scale, shift: about eight operations an element. */
static double flops(const fsd_graph *graph, const fsd_record *record)
{
    const fsd_value_info *y = fsd_graph_value(graph, record->out);

    return 8.0 * (double)(y->n * y->h * y->w * y->c);
}

static const fsd_op GROUP = {"group_norm", -1, group_workspace, group_run, flops};
static const fsd_op GROUP_ALONE = {"group_norm", 0, group_workspace, group_run, flops};
static const fsd_op LAYER = {"layer_norm", 0, layer_workspace, layer_run, flops};

static fsd_value append(fsd_graph *graph, fsd_record *record, int64_t channels)
{
    const fsd_value_info *x = fsd_graph_value(graph, record->in[0]);

    if (!record->weight[0] || !record->weight[1])
        return fsd_graph_fail(graph, FSD_INVALID, "a norm without its weights");
    if (record->weight[0]->dim[0] != channels || record->weight[1]->dim[0] != channels)
        return fsd_graph_fail(graph, FSD_INVALID, "\"%s\" normalises %lld channels, not %lld",
                              record->weight[0]->name, (long long)record->weight[0]->dim[0],
                              (long long)channels);
    record->out = fsd_graph_new_value(graph, graph->activations, x->n, x->h, x->w, channels);
    return fsd_graph_append(graph, record);
}

fsd_value fsd_op_group_norm(fsd_graph *graph, fsd_value x, fsd_value x2, fsd_weight *w,
                            fsd_weight *bias, int groups, double eps, bool silu)
{
    fsd_record record = {.op = x2 ? &GROUP : &GROUP_ALONE,
                         .in = {x, x2},
                         .weight = {w, bias},
                         .as.norm = {.groups = groups, .eps = (float)eps, .silu = silu}};
    int64_t channels;

    if (graph->status)
        return 0;
    channels = fsd_graph_value(graph, x)->c + (x2 ? fsd_graph_value(graph, x2)->c : 0);
    if (groups < 1 || channels % groups)
        return fsd_graph_fail(graph, FSD_FORMAT, "%lld channels do not fall into %d groups",
                              (long long)channels, groups);
    return append(graph, &record, channels);
}

fsd_value fsd_op_layer_norm(fsd_graph *graph, fsd_value x, fsd_weight *w, fsd_weight *bias,
                            double eps)
{
    fsd_record record = {
        .op = &LAYER, .in = {x}, .weight = {w, bias}, .as.norm.eps = (float)eps};

    return graph->status ? 0 : append(graph, &record, fsd_graph_value(graph, x)->c);
}
