#include "engine/graph/plan.h"

#include "engine/base/mem.h"
#include "engine/graph/op.h"

#include <stdlib.h>

enum { ALIGNMENT = 64 };

/* Storage that one value lives in, or several that follow each other in place. */
typedef struct block {
    int first, last; /* records, inclusive, of its life */
    size_t bytes, offset;
} block;

typedef struct planner {
    const fsd_graph *graph;
    int *last_use;  /* of each value, slices counted for their base; -1: never read */
    bool *crosses;  /* is it read in another phase than it is made in? */
    int *owner;    /* block of each value */
    block *blocks;
    int count;
} planner;

static size_t align(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Records are in the order of the paper, phases interleaved, while a phase runs as a whole: only
 * within its own phase does a value's place in the list tell when it is alive. */
static bool lives_throughout(const planner *p, fsd_value value)
{
    const fsd_value_info *info = &p->graph->value[value];

    return info->input || info->output || p->crosses[value];
}

static void find_last_uses(planner *p)
{
    for (fsd_value value = 0; value < p->graph->values; value++)
        p->last_use[value] = -1;
    for (int i = 0; i < p->graph->records; i++) {
        for (int k = 0; k < FSD_RECORD_INPUTS; k++) {
            const fsd_value in = p->graph->record[i].in[k];
            const fsd_value base = in ? p->graph->value[in].base : 0;
            const int producer = p->graph->value[base].producer;

            if (!in)
                continue;
            p->last_use[base] = i;
            if (producer >= 0 && p->graph->record[producer].phase != p->graph->record[i].phase)
                p->crosses[base] = true;
        }
    }
}

static int new_block(planner *p, fsd_value value)
{
    const fsd_graph *graph = p->graph;
    const int producer = graph->value[value].producer;
    block *b = &p->blocks[p->count];

    *b = (block){.first = producer < 0 ? 0 : producer,
                 .last = p->last_use[value] < producer ? producer : p->last_use[value],
                 .bytes = align(fsd_value_bytes(&graph->value[value]))};
    if (lives_throughout(p, value)) {
        b->first = 0;
        b->last = graph->records;
    }
    return p->count++;
}

/* The block of an input that record `i` may write its output over, or -1. */
static int overwritten(const planner *p, int i)
{
    const fsd_record *record = &p->graph->record[i];
    const int k = record->op->overwrites;
    const fsd_value in = k < 0 ? 0 : record->in[k];
    const fsd_value_info *from, *to = &p->graph->value[record->out];

    if (!in)
        return -1;
    from = &p->graph->value[in];
    if (from->base != in || p->last_use[in] != i || from->dtype != to->dtype ||
        fsd_value_bytes(from) != fsd_value_bytes(to) || from->per_step != to->per_step ||
        lives_throughout(p, in) || lives_throughout(p, record->out))
        return -1;
    for (int other = 0; other < FSD_RECORD_INPUTS; other++) { /* read twice by the same record */
        if (other != k && record->in[other] && p->graph->value[record->in[other]].base == in)
            return -1;
    }
    return p->owner[in];
}

static void assign_blocks(planner *p)
{
    for (fsd_value value = 1; value < p->graph->values; value++) {
        if (p->graph->value[value].input)
            p->owner[value] = new_block(p, value);
    }
    for (int i = 0; i < p->graph->records; i++) {
        const fsd_value out = p->graph->record[i].out;
        const int shared = overwritten(p, i);

        if (shared < 0) {
            p->owner[out] = new_block(p, out);
            continue;
        }
        p->owner[out] = shared;
        if (p->last_use[out] > p->blocks[shared].last)
            p->blocks[shared].last = p->last_use[out];
    }
}

static int larger_first(const void *a, const void *b)
{
    const block *x = *(block *const *)a, *y = *(block *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y;
}

static int lower_first(const void *a, const void *b)
{
    const block *x = *(block *const *)a, *y = *(block *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* `order` has room for twice the blocks: those to place, and those in the way of one. */
static size_t place(planner *p, block **order)
{
    block **in_the_way = order + p->count;
    size_t arena = 0;

    for (int i = 0; i < p->count; i++)
        order[i] = &p->blocks[i];
    qsort(order, (size_t)p->count, sizeof *order, larger_first);
    for (int i = 0; i < p->count; i++) {
        block *b = order[i];
        int others = 0;

        for (int k = 0; k < i; k++) {
            if (order[k]->first <= b->last && b->first <= order[k]->last)
                in_the_way[others++] = order[k];
        }
        qsort(in_the_way, (size_t)others, sizeof *in_the_way, lower_first);
        b->offset = 0;
        for (int k = 0; k < others && in_the_way[k]->offset < b->offset + b->bytes; k++) {
            if (in_the_way[k]->offset + in_the_way[k]->bytes > b->offset)
                b->offset = in_the_way[k]->offset + in_the_way[k]->bytes;
        }
        if (b->offset + b->bytes > arena)
            arena = b->offset + b->bytes;
    }
    return arena;
}

/* A weight is counted once, however many records use it. */
static void count_weights(fsd_plan *plan)
{
    const fsd_graph *graph = plan->graph;

    for (int i = 0; i < graph->records; i++) {
        for (int k = 0; k < FSD_RECORD_WEIGHTS; k++) {
            const fsd_weight *weight = graph->record[i].weight[k];
            bool seen = !weight;

            for (int j = 0; j <= i && !seen; j++) {
                for (int m = 0; m < (j < i ? FSD_RECORD_WEIGHTS : k); m++)
                    seen |= graph->record[j].weight[m] == weight;
            }
            if (!seen)
                plan->weights += fsd_weight_bytes(weight, graph->activations);
        }
    }
}

static fsd_status lay_out(fsd_plan *plan, fsd_error *err)
{
    const size_t values = (size_t)plan->graph->values;
    planner p = {.graph = plan->graph};
    block **order = fsd_alloc_array(2 * values, sizeof *order);
    fsd_status st = FSD_OK;

    p.last_use = fsd_alloc_array(values, sizeof *p.last_use);
    p.crosses = fsd_alloc_array(values, sizeof *p.crosses);
    p.owner = fsd_alloc_array(values, sizeof *p.owner);
    p.blocks = fsd_alloc_array(values, sizeof *p.blocks);
    plan->offset = fsd_alloc_array(values, sizeof *plan->offset);
    if (!order || !p.last_use || !p.crosses || !p.owner || !p.blocks || !plan->offset) {
        st = fsd_fail(err, FSD_NO_MEMORY, "no memory to plan %zu values", values);
    } else {
        find_last_uses(&p);
        assign_blocks(&p);
        plan->arena = place(&p, order);
        for (fsd_value value = 1; value < plan->graph->values; value++) {
            if (plan->graph->value[value].base == value)
                plan->offset[value] = p.blocks[p.owner[value]].offset;
        }
    }
    fsd_free(order);
    fsd_free(p.last_use);
    fsd_free(p.crosses);
    fsd_free(p.owner);
    fsd_free(p.blocks);
    return st;
}

fsd_status fsd_plan_new(fsd_plan **out, const fsd_graph *graph, fsd_backend *backend, fsd_error *err)
{
    fsd_plan *plan = fsd_alloc(sizeof *plan);
    fsd_status st;

    *out = NULL;
    if (!plan)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a plan");
    plan->graph = graph;
    plan->backend = backend;
    st = lay_out(plan, err);
    if (st) {
        fsd_plan_free(plan);
        return st;
    }
    for (int i = 0; i < graph->records; i++) {
        const fsd_record *record = &graph->record[i];
        const size_t bytes = align(record->op->workspace(graph, record, backend));

        if (bytes > plan->workspace)
            plan->workspace = bytes;
    }
    count_weights(plan);
    *out = plan;
    return FSD_OK;
}

void fsd_plan_free(fsd_plan *plan)
{
    if (!plan)
        return;
    fsd_free(plan->offset);
    fsd_free(plan);
}

size_t fsd_plan_bytes(const fsd_plan *plan)
{
    return plan->arena + plan->workspace + plan->weights;
}
