/* in: x, add, residual; weight: w, bias. */
#include "engine/graph/op.h"

static fsd_conv bind(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound)
{
    const fsd_value_info *x = fsd_graph_value(graph, record->in[0]);
    const fsd_value_info *add = record->in[1] ? fsd_graph_value(graph, record->in[1]) : NULL;
    const fsd_value_info *y = fsd_graph_value(graph, record->out);

    return (fsd_conv){
        .dtype = y->dtype,
        .n = x->n,
        .h = x->h,
        .w = x->w,
        .in = x->c,
        .out = y->c,
        .kh = (int)record->weight[0]->dim[2],
        .kw = (int)record->weight[0]->dim[3],
        .stride = record->as.conv.stride,
        .top = record->as.conv.top,
        .left = record->as.conv.left,
        .bottom = record->as.conv.bottom,
        .right = record->as.conv.right,
        .upsample = record->as.conv.upsample,
        .add_shared = add && (add->per_step || add->n == 1),
        .up_h = record->as.conv.up_h,
        .up_w = record->as.conv.up_w,
        .weight = bound->weight[0],
        .bias = bound->weight[1] ? bound->weight[1]->vector : NULL,
        .x = bound->in[0],
        .add = bound->in[1],
        .residual = bound->in[2],
        .y = bound->out,
    };
}

static size_t workspace(const fsd_graph *graph, const fsd_record *record, fsd_backend *backend)
{
    /* The backend looks at presence, not at the address: what is there gets one that is not NULL. */
    static char there;
    const fsd_bound sizes = {.in = {NULL, record->in[1] ? &there : NULL, record->in[2] ? &there : NULL}};
    const fsd_conv p = bind(graph, record, &sizes);

    return backend->conv_workspace(backend, &p);
}

static fsd_status run(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound,
                      fsd_backend *backend, void *scratch, fsd_error *err)
{
    const fsd_conv p = bind(graph, record, bound);

    return backend->conv(backend, &p, scratch, err);
}

static double flops(const fsd_graph *graph, const fsd_record *record)
{
    const fsd_value_info *y = fsd_graph_value(graph, record->out);
    const int64_t *dim = record->weight[0]->dim;

    return 2.0 * (double)(y->n * y->h * y->w) * (double)(dim[0] * dim[1] * dim[2] * dim[3]);
}

static const fsd_op OP = {"conv", 2, workspace, run, flops};

fsd_value fsd_op_conv(fsd_graph *graph, fsd_value x, fsd_weight *w, fsd_weight *bias,
                      fsd_conv_extra extra)
{
    const int stride = extra.stride ? extra.stride : 1;
    fsd_record record = {.op = &OP,
                         .in = {x, extra.add, extra.residual},
                         .weight = {w, bias},
                         .as.conv = {.stride = stride,
                                     .top = extra.top,
                                     .left = extra.left,
                                     .bottom = extra.bottom,
                                     .right = extra.right,
                                     .upsample = extra.upsample || extra.up_like}};
    const fsd_value_info *info;
    int64_t h, width;

    if (graph->status)
        return 0;
    if (!w || !x)
        return fsd_graph_fail(graph, FSD_INVALID, "a convolution without its weight or input");
    info = fsd_graph_value(graph, x);
    if (w->dim[1] != info->c || info->ld != info->c)
        return fsd_graph_fail(graph, FSD_INVALID, "\"%s\" takes %lld channels, not %lld", w->name,
                              (long long)w->dim[1], (long long)info->c);
    h = info->h;
    width = info->w;
    if (record.as.conv.upsample) {
        const fsd_value_info *like = extra.up_like ? fsd_graph_value(graph, extra.up_like) : NULL;

        record.as.conv.up_h = h = like ? like->h : 2 * h;
        record.as.conv.up_w = width = like ? like->w : 2 * width;
    }
    h = (h + extra.top + extra.bottom - w->dim[2]) / stride + 1;
    width = (width + extra.left + extra.right - w->dim[3]) / stride + 1;
    record.out = fsd_graph_new_value(graph, graph->activations, info->n, h, width, w->dim[0]);
    return fsd_graph_append(graph, &record);
}
