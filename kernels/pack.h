/* pack.h: what packing means on any backend: reading the parts of a weight, one below the other.
 *
 * For backends, not for their users. */
#ifndef FSD_KERNELS_PACK_H
#define FSD_KERNELS_PACK_H

#include "kernels/backend.h"

/* Elements of one row of the first axis, and of the whole. */
int64_t fsd_pack_row(const fsd_pack *what);
int64_t fsd_pack_count(const fsd_pack *what);
/* FSD_INVALID for sizes that are not positive, parts that do not add up, types that are no
 * weights. */
FSD_MUST_CHECK fsd_status fsd_pack_check(const fsd_pack *what, fsd_error *err);
/* All parts as fp32, contiguous. */
void fsd_pack_to_f32(float *to, const fsd_pack *what);
/* A packed weight of `what` with room for `own_bytes` in `own` (aligned to 64), not filled; NULL if
 * memory ran out. Freed by fsd_packed_free. */
fsd_packed *fsd_packed_new(const fsd_pack *what, size_t own_bytes);
void fsd_packed_free(fsd_packed *packed); /* NULL is fine */

/* Memory aligned to 64 bytes, not zeroed; NULL if there is none. */
void *fsd_aligned_new(size_t bytes);
void fsd_aligned_free(void *block); /* NULL is fine */
/* The same, zeroed: what fsd_backend.alloc and free are on a CPU. */
FSD_MUST_CHECK fsd_status fsd_cpu_alloc(fsd_backend *be, void **out, size_t bytes, fsd_error *err);
void fsd_cpu_free(fsd_backend *be, void *block, size_t bytes);

#endif
