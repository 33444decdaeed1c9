#include "engine/graph/graph.h"

#include "engine/base/mem.h"
#include "engine/graph/op.h"

#include <stdio.h>
#include <string.h>

fsd_status fsd_graph_new(fsd_graph **out, fsd_dtype activations, fsd_error *err)
{
    fsd_graph *graph = fsd_alloc(sizeof *graph);

    *out = graph;
    if (!graph)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a graph");
    graph->activations = activations;
    graph->phase = FSD_PHASE_STEP;
    graph->values = 1; /* value 0 is "none" */
    return FSD_OK;
}

void fsd_graph_free(fsd_graph *graph)
{
    if (!graph)
        return;
    fsd_free(graph->value);
    fsd_free(graph->record);
    fsd_free(graph);
}

fsd_status fsd_graph_finish(fsd_graph *graph, fsd_error *err)
{
    if (graph->status && err)
        *err = graph->error;
    return graph->status;
}

fsd_value fsd_graph_fail(fsd_graph *graph, fsd_status st, const char *fmt, ...)
{
    va_list args;

    if (graph->status)
        return 0;
    va_start(args, fmt);
    graph->status = fsd_vfail(&graph->error, st, fmt, args);
    va_end(args);
    return 0;
}

fsd_value fsd_graph_new_value(fsd_graph *graph, fsd_dtype dtype, int64_t n, int64_t h, int64_t w,
                              int64_t c)
{
    const int64_t limit = INT64_C(1) << 40; /* far from wrapping, far above any model */
    fsd_value_info *info;

    if (graph->status)
        return 0;
    if (n < 1 || h < 1 || w < 1 || c < 1 || n > limit / h || n * h > limit / w ||
        n * h * w > limit / c)
        return fsd_graph_fail(graph, FSD_INVALID, "a value of (%lld, %lld, %lld, %lld)",
                              (long long)n, (long long)h, (long long)w, (long long)c);
    if (graph->values >= graph->value_capacity) {
        const int capacity = graph->value_capacity ? 2 * graph->value_capacity : 512;
        fsd_value_info *grown = fsd_grow(graph->value, (size_t)capacity * sizeof *grown);

        if (!grown)
            return fsd_graph_fail(graph, FSD_NO_MEMORY, "no memory for %d values", capacity);
        graph->value = grown;
        graph->value_capacity = capacity;
    }
    info = &graph->value[graph->values];
    *info = (fsd_value_info){.n = n, .h = h, .w = w, .c = c, .dtype = dtype, .ld = c,
                             .base = graph->values, .producer = -1};
    return graph->values++;
}

static void set_name(fsd_value_info *info, const char *name)
{
    snprintf(info->name, sizeof info->name, "%s", name);
}

fsd_value fsd_graph_input(fsd_graph *graph, const char *name, fsd_dtype dtype, int64_t n, int64_t h,
                          int64_t w, int64_t c)
{
    const fsd_value value = fsd_graph_new_value(graph, dtype, n, h, w, c);

    if (value) {
        graph->value[value].input = true;
        set_name(&graph->value[value], name);
    }
    return value;
}

void fsd_graph_output(fsd_graph *graph, fsd_value value, const char *name)
{
    if (graph->status)
        return;
    graph->value[value].output = true;
    set_name(&graph->value[value], name);
}

fsd_value fsd_graph_find(const fsd_graph *graph, const char *name)
{
    for (fsd_value value = 1; value < graph->values; value++) {
        if (strcmp(graph->value[value].name, name) == 0)
            return value;
    }
    return 0;
}

fsd_value fsd_graph_slice(fsd_graph *graph, fsd_value value, int64_t first, int64_t channels)
{
    const fsd_value_info whole = graph->status ? (fsd_value_info){0} : graph->value[value];
    fsd_value slice;

    if (graph->status)
        return 0;
    if (first < 0 || channels < 1 || first > whole.c - channels)
        return fsd_graph_fail(graph, FSD_INVALID, "channels %lld to %lld of %lld", (long long)first,
                              (long long)(first + channels), (long long)whole.c);
    slice = fsd_graph_new_value(graph, whole.dtype, whole.n, whole.h, whole.w, channels);
    if (slice) {
        fsd_value_info *info = &graph->value[slice];

        info->base = whole.base;
        info->first = whole.first + first;
        info->ld = whole.ld;
        info->per_step = whole.per_step;
        info->producer = whole.producer;
    }
    return slice;
}

const fsd_value_info *fsd_graph_value(const fsd_graph *graph, fsd_value value)
{
    return &graph->value[value];
}

size_t fsd_value_bytes(const fsd_value_info *info)
{
    return (size_t)(info->n * info->h * info->w * info->c) * fsd_dtype_size(info->dtype);
}

fsd_value fsd_graph_append(fsd_graph *graph, const fsd_record *record)
{
    if (graph->status)
        return 0;
    if (graph->records == graph->record_capacity) {
        const int capacity = graph->record_capacity ? 2 * graph->record_capacity : 256;
        fsd_record *grown = fsd_grow(graph->record, (size_t)capacity * sizeof *grown);

        if (!grown)
            return fsd_graph_fail(graph, FSD_NO_MEMORY, "no memory for %d records", capacity);
        graph->record = grown;
        graph->record_capacity = capacity;
    }
    graph->record[graph->records] = *record;
    graph->record[graph->records].phase = graph->phase;
    graph->value[record->out].producer = graph->records++;
    return record->out;
}

double fsd_graph_flops(const fsd_graph *graph, fsd_phase phase)
{
    double sum = 0;

    for (int i = 0; i < graph->records; i++) {
        if (graph->record[i].phase == phase)
            sum += graph->record[i].op->flops(graph, &graph->record[i]);
    }
    return sum;
}

static void print_value(const fsd_graph *graph, fsd_value value, fsd_str *out)
{
    const fsd_value_info *info = &graph->value[value];

    fsd_str_printf(out, " %%%d", info->base);
    if (info->base != value)
        fsd_str_printf(out, "[%lld:%lld]", (long long)info->first, (long long)(info->first + info->c));
    fsd_str_printf(out, "(%lld,%lld,%lld,%lld)", (long long)info->n, (long long)info->h,
                   (long long)info->w, (long long)info->c);
}

void fsd_graph_print(const fsd_graph *graph, fsd_str *out)
{
    static const char *const PHASES[] = {"condition", "schedule", "step"};

    for (int i = 0; i < graph->records; i++) {
        const fsd_record *record = &graph->record[i];

        fsd_str_printf(out, "%4d %-9s %-18s", i, PHASES[record->phase], record->op->name);
        for (int k = 0; k < FSD_RECORD_INPUTS; k++) {
            if (record->in[k])
                print_value(graph, record->in[k], out);
        }
        fsd_str_add(out, " ->");
        print_value(graph, record->out, out);
        if (record->weight[0])
            fsd_str_printf(out, " %s", record->weight[0]->name);
        if (record->weight[0] && record->weight[0]->parts > 1)
            fsd_str_printf(out, "+%d", record->weight[0]->parts - 1);
        fsd_str_printf(out, " %.3f GFLOP\n", record->op->flops(graph, record) / 1e9);
    }
}
