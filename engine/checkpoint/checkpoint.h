/* checkpoint.h: where each tensor of a checkpoint lies: names, shapes, types, byte ranges.
 *
 * An index is plain data about files that strangers made. Whoever parses them (this process now, a
 * sandboxed importer later) hands over nothing but an index, and everything behind it, the
 * weights, the views, the hashes, reads byte ranges and never a file format. Its promises are
 * checked when it is made: every range lies within its file, every size is dtype times shape, names
 * are unique, ranks are at most FSD_MAX_RANK. */
#ifndef FSD_CHECKPOINT_CHECKPOINT_H
#define FSD_CHECKPOINT_CHECKPOINT_H

#include "engine/base/half.h"
#include "engine/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { FSD_MAX_RANK = 8 };

typedef struct fsd_tensor_entry {
    char *name;
    fsd_dtype dtype;
    int rank;
    int64_t dim[FSD_MAX_RANK]; /* torch's order, slowest first */
    int file;                  /* index into fsd_index.file */
    uint64_t offset, size;     /* bytes in that file */
} fsd_tensor_entry;

typedef struct fsd_index {
    int files;
    char **file;    /* absolute or relative to the process, as asked */
    size_t count, capacity;
    fsd_tensor_entry *entry; /* sorted by name */
} fsd_index;

/* Index one weight file, or all shards of a "….safetensors.index.json". The index is the caller's
 * until fsd_index_free. FSD_MISSING, FSD_IO, FSD_FORMAT (file and tensor in the sentence),
 * FSD_UNSUPPORTED for formats that are not read yet, FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_checkpoint_index(fsd_index **out, const char *path, fsd_error *err);
void fsd_index_free(fsd_index *index); /* NULL is fine */

/* NULL if there is none. */
const fsd_tensor_entry *fsd_index_find(const fsd_index *index, const char *name);

/* For the readers: append an entry (name and shape are copied) to an index under construction. */
FSD_MUST_CHECK fsd_status fsd_index_add(fsd_index *index, const fsd_tensor_entry *entry,
                                        fsd_error *err);
/* Register a file; its number, or -1 if memory ran out. */
int fsd_index_add_file(fsd_index *index, const char *path);
/* Sort, and check that names are unique. */
FSD_MUST_CHECK fsd_status fsd_index_seal(fsd_index *index, fsd_error *err);

/* "(320, 4, 3, 3)" into `out`. */
const char *fsd_shape_text(const int64_t *dim, int rank, char *out, size_t size);

#endif
