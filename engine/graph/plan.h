/* plan.h: where every value lives and every byte a run needs, before anything runs.
 *
 * A value is alive from the record that makes it to the last that reads it; one that crosses into a
 * later phase, and every input and output, lives throughout. Values whose lives do not meet share
 * bytes of one arena: the largest are placed first, each at the lowest offset that is free for its
 * life ("greedy by size", Pisarchyk & Lee 2020, arXiv:2001.03288). A record may write its output
 * over an input that dies with it, where its op says so. */
#ifndef FSD_GRAPH_PLAN_H
#define FSD_GRAPH_PLAN_H

#include "engine/graph/graph.h"

typedef struct fsd_plan {
    const fsd_graph *graph; /* borrowed; outlives the plan */
    fsd_backend *backend;
    size_t *offset;     /* of each value's own storage in the arena; of a slice: unused */
    size_t arena;       /* bytes */
    size_t workspace;   /* bytes, the largest record's */
    size_t weights;     /* bytes of all packed forms, when all are packed */
} fsd_plan;

/* FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_plan_new(fsd_plan **out, const fsd_graph *graph, fsd_backend *backend,
                                       fsd_error *err);
void fsd_plan_free(fsd_plan *plan); /* NULL is fine */

/* arena + workspace + weights */
size_t fsd_plan_bytes(const fsd_plan *plan);

#endif
