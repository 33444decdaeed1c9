/* graph.h: a network as a list of coarse records, which is data.
 *
 * A builder (engine/model) calls fsd_op_* (op.h) in the order of the paper; each appends a record:
 * which operation, on which values and weights, with which numbers. Nothing runs. The list can then
 * be planned (plan.h: every byte, before anything runs), executed (exec.h), printed, counted, and
 * replayed record by record on two backends. Training appends backward records to the same list.
 *
 * Values are (n, h, w, c), channels last; sequences of tokens are (n, 1, tokens, c). A value may be
 * a slice of another one's channels (q of a fused q, k, v). The storage type is a property of the
 * graph, not of the builder.
 *
 * Phases let a picture do once what does not change: what hangs on the prompt alone (CONDITION: text
 * keys and values), what hangs on the schedule alone (SCHEDULE: time embeddings of all steps at
 * once), and the rest (STEP). A value used in a later phase lives on.
 *
 * Errors are sticky: a builder does not check a call; fsd_graph_finish tells the first failure. */
#ifndef FSD_GRAPH_GRAPH_H
#define FSD_GRAPH_GRAPH_H

#include "engine/base/str.h"
#include "engine/graph/weight.h"

#include <stdbool.h>

typedef int fsd_value; /* index of a value; 0 is none, and what a failed call returns */

typedef enum fsd_phase { FSD_PHASE_CONDITION, FSD_PHASE_SCHEDULE, FSD_PHASE_STEP, FSD_PHASES } fsd_phase;

typedef struct fsd_value_info {
    char name[48]; /* of inputs and outputs, for those who look them up; else "" */
    int64_t n, h, w, c;
    fsd_dtype dtype;
    fsd_value base;      /* itself, or the value it is a slice of */
    int64_t first, ld;   /* first channel in base; elements from pixel to pixel */
    bool input, output;
    bool per_step;       /* axis n runs over the steps; a STEP record sees the row of its step */
    int producer;        /* record, or -1 for inputs */
} fsd_value_info;

typedef struct fsd_op fsd_op;

enum { FSD_RECORD_INPUTS = 3, FSD_RECORD_WEIGHTS = 2 };

typedef struct fsd_record {
    const fsd_op *op;
    fsd_phase phase;
    fsd_value in[FSD_RECORD_INPUTS], out; /* 0 where there is none; meaning: op_*.c */
    fsd_weight *weight[FSD_RECORD_WEIGHTS];
    union {
        struct {
            fsd_act act;
        } linear;
        struct {
            int stride, top, left, bottom, right;
            bool upsample;
            int64_t up_h, up_w;
        } conv;
        struct {
            int groups;
            float eps;
            bool silu;
        } norm;
        struct {
            int heads;
            bool causal;
            float scale;
        } attention;
        struct {
            int64_t repeat;
        } layout;
    } as;
} fsd_record;

typedef struct fsd_graph {
    fsd_dtype activations; /* storage of values */
    fsd_phase phase;       /* of the records being appended */
    int64_t steps;         /* rows of per-step values; 0 if there are none */
    fsd_value_info *value; /* value[0] is unused */
    int values, value_capacity;
    fsd_record *record;
    int records, record_capacity;
    fsd_status status; /* of the first failure, with its sentence */
    fsd_error error;
} fsd_graph;

FSD_MUST_CHECK fsd_status fsd_graph_new(fsd_graph **out, fsd_dtype activations, fsd_error *err);
void fsd_graph_free(fsd_graph *graph); /* NULL is fine */
/* The first failure of the building, if there was one. */
FSD_MUST_CHECK fsd_status fsd_graph_finish(fsd_graph *graph, fsd_error *err);

/* An input the caller fills before execution; `dtype` may differ from the graph's (ids, latents). */
fsd_value fsd_graph_input(fsd_graph *graph, const char *name, fsd_dtype dtype, int64_t n, int64_t h,
                          int64_t w, int64_t c);
void fsd_graph_output(fsd_graph *graph, fsd_value value, const char *name);
/* 0 if there is no input or output of this name. */
fsd_value fsd_graph_find(const fsd_graph *graph, const char *name);
/* Channels [first, first + channels) of a value. */
fsd_value fsd_graph_slice(fsd_graph *graph, fsd_value value, int64_t first, int64_t channels);

const fsd_value_info *fsd_graph_value(const fsd_graph *graph, fsd_value value);
/* Bytes of a value's own storage (a slice has none). */
size_t fsd_value_bytes(const fsd_value_info *info);

/* One line a record: number, phase, op, sizes, weight, GFLOP. */
void fsd_graph_print(const fsd_graph *graph, fsd_str *out);
/* Floating point operations of a phase: multiplications and additions. */
double fsd_graph_flops(const fsd_graph *graph, fsd_phase phase);

/* For op_*.c. */
fsd_value fsd_graph_new_value(fsd_graph *graph, fsd_dtype dtype, int64_t n, int64_t h, int64_t w,
                              int64_t c);
/* Append; returns record->out, or 0 after a failure. */
fsd_value fsd_graph_append(fsd_graph *graph, const fsd_record *record);
/* Note a failure unless there is one already; returns 0. */
fsd_value fsd_graph_fail(fsd_graph *graph, fsd_status st, const char *fmt, ...) FSD_PRINTF(3, 4);

#endif
