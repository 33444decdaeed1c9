/* in: q, k, v. */
#include "engine/graph/op.h"

#include <math.h>

static fsd_attention bind(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound)
{
    const fsd_value_info *q = fsd_graph_value(graph, record->in[0]);
    const fsd_value_info *k = fsd_graph_value(graph, record->in[1]);
    const fsd_value_info *v = fsd_graph_value(graph, record->in[2]);

    return (fsd_attention){
        .dtype = q->dtype,
        .n = q->n,
        .n_q = q->h * q->w,
        .n_k = k->h * k->w,
        .heads = record->as.attention.heads,
        .dim = (int)(q->c / record->as.attention.heads),
        .causal = record->as.attention.causal,
        .scale = record->as.attention.scale,
        .ld_q = q->ld,
        .ld_k = k->ld,
        .ld_v = v->ld,
        .ld_y = q->c,
        .q = bound->in[0],
        .k = bound->in[1],
        .v = bound->in[2],
        .y = bound->out,
    };
}

static size_t workspace(const fsd_graph *graph, const fsd_record *record, fsd_backend *backend)
{
    const fsd_attention p = bind(graph, record, &(fsd_bound){0});

    return backend->attention_workspace(backend, &p);
}

static fsd_status run(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound,
                      fsd_backend *backend, void *scratch, fsd_error *err)
{
    const fsd_attention p = bind(graph, record, bound);

    return backend->attention(backend, &p, scratch, err);
}

static double flops(const fsd_graph *graph, const fsd_record *record)
{
    const fsd_attention p = bind(graph, record, &(fsd_bound){0});

    return 4.0 * (double)(p.n * p.n_q) * (double)p.n_k * (double)(p.heads * p.dim) *
           (p.causal ? 0.5 : 1.0);
}

static const fsd_op OP = {"attention", -1, workspace, run, flops};

fsd_value fsd_op_attention(fsd_graph *graph, fsd_value q, fsd_value k, fsd_value v, int heads,
                           bool causal)
{
    fsd_record record = {.op = &OP, .in = {q, k, v}};
    const fsd_value_info *from, *to;

    if (graph->status)
        return 0;
    from = fsd_graph_value(graph, q);
    to = fsd_graph_value(graph, k);
    if (heads < 1 || from->c % heads || to->c != from->c)
        return fsd_graph_fail(graph, FSD_FORMAT, "%lld channels do not fall into %d heads",
                              (long long)from->c, heads);
    record.as.attention.heads = heads;
    record.as.attention.causal = causal;
    record.as.attention.scale = (float)(1 / sqrt((double)(from->c / heads)));
    record.out =
        fsd_graph_new_value(graph, graph->activations, from->n, from->h, from->w, from->c);
    return fsd_graph_append(graph, &record);
}
