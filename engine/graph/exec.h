/* exec.h: run a plan.
 *
 *     fsd_exec_new(&exec, plan, &err);
 *     fsd_exec_write(exec, latents, x, …);
 *     fsd_exec_run(exec, FSD_PHASE_STEP, step, &err);
 *     fsd_exec_read(exec, prediction, out, …);
 *
 * The arena and the scratch are allocated once, here; weights are packed by the first record that
 * needs them. */
#ifndef FSD_GRAPH_EXEC_H
#define FSD_GRAPH_EXEC_H

#include "engine/graph/plan.h"

typedef struct fsd_exec fsd_exec;

/* `plan` is borrowed and outlives it. FSD_NO_MEMORY (with the bytes), FSD_DEVICE. */
FSD_MUST_CHECK fsd_status fsd_exec_new(fsd_exec **out, const fsd_plan *plan, fsd_error *err);
void fsd_exec_free(fsd_exec *exec); /* NULL is fine */

/* Asked before each record: true stops the run with FSD_CANCELLED. */
void fsd_exec_on_cancel(fsd_exec *exec, bool (*cancelled)(void *user), void *user);

/* Run the records of one phase, in order; `step` is the row that per-step values are read at.
 * FSD_CANCELLED, FSD_NO_MEMORY, FSD_DEVICE (naming the record). */
FSD_MUST_CHECK fsd_status fsd_exec_run(fsd_exec *exec, fsd_phase phase, int step, fsd_error *err);

/* Copy in and out, converting between fp32 and the value's type; `count` is the value's elements. */
void fsd_exec_write(fsd_exec *exec, fsd_value value, const float *from, size_t count);
void fsd_exec_read(const fsd_exec *exec, fsd_value value, float *to, size_t count);
/* The storage itself, for integers. */
void *fsd_exec_address(const fsd_exec *exec, fsd_value value);

/* One record alone, on operands of the caller's (replay, tests). */
FSD_MUST_CHECK fsd_status fsd_record_run(const fsd_graph *graph, int record, fsd_backend *backend,
                                         void *const in[FSD_RECORD_INPUTS], void *out,
                                         void *workspace, fsd_error *err);

#endif
