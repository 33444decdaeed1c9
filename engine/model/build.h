/* build.h: what the builders of networks share: finding weights by name.
 *
 * Every call may fail (a tensor is missing or of the wrong shape) and then marks the graph, so that
 * a builder reads like the paper; NULL is what the fsd_op_* calls expect in that case. Names are
 * formatted, then looked up behind the builder's prefix. */
#ifndef FSD_MODEL_BUILD_H
#define FSD_MODEL_BUILD_H

#include "engine/graph/op.h"

typedef struct fsd_build {
    fsd_graph *graph;
    fsd_weights *weights;
    const char *prefix; /* "text_model." or "" */
} fsd_build;

/* Is there such a tensor? */
bool fsd_build_has(const fsd_build *b, const char *fmt, ...) FSD_PRINTF(2, 3);

/* (out, in) */
fsd_weight *fsd_build_matrix(const fsd_build *b, int64_t out, int64_t in, const char *fmt, ...)
    FSD_PRINTF(4, 5);
/* (out, first + second), for a layer that reads two inputs as if concatenated. */
fsd_weight *fsd_build_split_matrix(const fsd_build *b, int64_t out, int64_t first, int64_t second,
                                   const char *fmt, ...) FSD_PRINTF(5, 6);
/* (2 * out, in): values, then gates. */
fsd_weight *fsd_build_geglu(const fsd_build *b, int64_t out, int64_t in, const char *fmt, ...)
    FSD_PRINTF(4, 5);
/* (out, in, size, size) */
fsd_weight *fsd_build_conv(const fsd_build *b, int64_t out, int64_t in, int size, const char *fmt,
                           ...) FSD_PRINTF(5, 6);
/* (out, in, 3, 3) after an upsampling to exactly twice the size. */
fsd_weight *fsd_build_up_conv(const fsd_build *b, int64_t out, int64_t in, const char *fmt, ...)
    FSD_PRINTF(4, 5);
/* (rows, cols); rows 0: as many as the file has. */
fsd_weight *fsd_build_table(const fsd_build *b, int64_t rows, int64_t cols, const char *fmt, ...)
    FSD_PRINTF(4, 5);
fsd_weight *fsd_build_vector(const fsd_build *b, int64_t count, const char *fmt, ...)
    FSD_PRINTF(3, 4);
/* Two or three matrices (or, with in = 0, vectors) of `out` rows each, stacked: the names are
 * `path` with each of the comma-separated `leaves` behind it: ("….attn1.", "to_q.weight,to_k.weight"). */
fsd_weight *fsd_build_stack(const fsd_build *b, int64_t out, int64_t in, const char *path,
                            const char *leaves);

#endif
