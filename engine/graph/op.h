/* op.h: the kinds of records, one file and one struct each; what a builder calls.
 *
 * An op says how its record becomes a kernel's arguments; the rest (scratch, running, counting,
 * printing) follows from that. Its backward will stand beside it: emit_backward appends the records
 * of its gradient. To add one: op_x.c, a declaration here, a kernel in kernels/backend.h. */
#ifndef FSD_GRAPH_OP_H
#define FSD_GRAPH_OP_H

#include "engine/graph/graph.h"

/* Addresses of a record's operands; NULL where it has none, all NULL when only sizes matter. */
typedef struct fsd_bound {
    void *in[FSD_RECORD_INPUTS], *out;
    const fsd_packed *weight[FSD_RECORD_WEIGHTS];
} fsd_bound;

struct fsd_op {
    const char *name;
    int overwrites; /* the input whose storage the output may take over, or -1 */
    size_t (*workspace)(const fsd_graph *graph, const fsd_record *record, fsd_backend *backend);
    fsd_status (*run)(const fsd_graph *graph, const fsd_record *record, const fsd_bound *bound,
                      fsd_backend *backend, void *workspace, fsd_error *err);
    double (*flops)(const fsd_graph *graph, const fsd_record *record);
};

/* Weights may be NULL: the call then fails with what the graph already knows (a sticky error of the
 * look-up), so that a builder need not check. Biases may be NULL for "none". */

typedef struct fsd_linear_extra {
    fsd_act act;
    fsd_value x2;       /* a second input, as if concatenated to x (w has its `split`) */
    fsd_value residual; /* added at the end */
} fsd_linear_extra;
fsd_value fsd_op_linear(fsd_graph *graph, fsd_value x, fsd_weight *w, fsd_weight *bias,
                        fsd_linear_extra extra);

typedef struct fsd_conv_extra {
    int stride;                   /* 0 is 1 */
    int top, left, bottom, right; /* padding */
    fsd_value up_like;            /* upsample x 2x and cut to this value's height and width … */
    bool upsample;                /* … or to exactly 2x */
    fsd_value add;                /* (n or 1, out) or a per-step value, added to every pixel */
    fsd_value residual;
} fsd_conv_extra;
fsd_value fsd_op_conv(fsd_graph *graph, fsd_value x, fsd_weight *w, fsd_weight *bias,
                      fsd_conv_extra extra);

/* x2 (or 0) stands behind x along the channels. */
fsd_value fsd_op_group_norm(fsd_graph *graph, fsd_value x, fsd_value x2, fsd_weight *w,
                            fsd_weight *bias, int groups, double eps, bool silu);
fsd_value fsd_op_layer_norm(fsd_graph *graph, fsd_value x, fsd_weight *w, fsd_weight *bias,
                            double eps);
/* q (n, h, w, heads * dim), k and v (n', h', w', heads * dim): tokens are the pixels. */
fsd_value fsd_op_attention(fsd_graph *graph, fsd_value q, fsd_value k, fsd_value v, int heads,
                           bool causal);
/* ids I32 (n, 1, tokens, 1): table row plus position row (position may be NULL). */
fsd_value fsd_op_embedding(fsd_graph *graph, fsd_value ids, fsd_weight *table, fsd_weight *position);
/* t F32 (rows, 1, 1, 1): (rows, 1, 1, dim), per step. */
fsd_value fsd_op_sinusoid(fsd_graph *graph, fsd_value t, int64_t dim);
/* F32 (n, h, w, c) holding (n, c, h, w) to the graph's type, repeated along n. */
fsd_value fsd_op_to_channels_last(fsd_graph *graph, fsd_value x, int64_t repeat);
/* Back to F32 (n, c, h, w); the value's info keeps (n, h, w, c). */
fsd_value fsd_op_to_channels_first(fsd_graph *graph, fsd_value x);

#endif
