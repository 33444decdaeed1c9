/* in: x, x2, residual; weight: w, bias. */
#include "engine/graph/op.h"

static fsd_linear bind(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound)
{
    const fsd_value_info *x = fsd_graph_value(graph, record->in[0]);
    const fsd_value_info *x2 = record->in[1] ? fsd_graph_value(graph, record->in[1]) : NULL;
    const fsd_value_info *residual = record->in[2] ? fsd_graph_value(graph, record->in[2]) : NULL;
    const fsd_value_info *y = fsd_graph_value(graph, record->out);

    return (fsd_linear){
        .dtype = y->dtype,
        .rows = y->n * y->h * y->w,
        .in = x->c,
        .in2 = x2 ? x2->c : 0,
        .out = y->c,
        .ldx = x->ld,
        .ldx2 = x2 ? x2->ld : 0,
        .ldy = y->ld,
        .ld_residual = residual ? residual->ld : 0,
        .act = record->as.linear.act,
        .w = bound->weight[0],
        .bias = bound->weight[1] ? bound->weight[1]->vector : NULL,
        .x = bound->in[0],
        .x2 = bound->in[1],
        .residual = bound->in[2],
        .y = bound->out,
    };
}

static size_t workspace(const fsd_graph *graph, const fsd_record *record, fsd_backend *backend)
{
    /* The backend looks at presence, not at the address: what is there gets one that is not NULL. */
    static char there;
    const fsd_bound sizes = {.in = {NULL, NULL, record->in[2] ? &there : NULL}};
    const fsd_linear p = bind(graph, record, &sizes);

    return backend->linear_workspace(backend, &p);
}

static fsd_status run(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound,
                      fsd_backend *backend, void *scratch, fsd_error *err)
{
    const fsd_linear p = bind(graph, record, bound);

    return backend->linear(backend, &p, scratch, err);
}

static double flops(const fsd_graph *graph, const fsd_record *record)
{
    const fsd_linear p = bind(graph, record, &(fsd_bound){0});
    const double products = p.act == FSD_ACT_GEGLU ? 2.0 : 1.0;

    return 2 * products * (double)p.rows * (double)(p.in + p.in2) * (double)p.out;
}

static const fsd_op OP = {"linear", 2, workspace, run, flops};

fsd_value fsd_op_linear(fsd_graph *graph, fsd_value x, fsd_weight *w, fsd_weight *bias,
                        fsd_linear_extra extra)
{
    fsd_record record = {.op = &OP,
                         .in = {x, extra.x2, extra.residual},
                         .weight = {w, bias},
                         .as.linear.act = extra.act};
    const fsd_value_info *info;
    int64_t rows;

    if (graph->status)
        return 0;
    if (!w || !x)
        return fsd_graph_fail(graph, FSD_INVALID, "a linear layer without its weight or input");
    info = fsd_graph_value(graph, x);
    rows = w->dim[0] / (extra.act == FSD_ACT_GEGLU ? 2 : 1);
    if (w->dim[1] != info->c + (extra.x2 ? fsd_graph_value(graph, extra.x2)->c : 0))
        return fsd_graph_fail(graph, FSD_INVALID, "\"%s\" takes %lld channels, not %lld", w->name,
                              (long long)w->dim[1], (long long)info->c);
    record.out = fsd_graph_new_value(graph, graph->activations, info->n, info->h, info->w, rows);
    if (record.out)
        graph->value[record.out].per_step = graph->value[x].per_step;
    return fsd_graph_append(graph, &record);
}
