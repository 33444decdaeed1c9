/* map.h: a file as memory, borrowed from the page cache.
 *
 * Weights are mapped, not loaded: opening costs nothing, and all models share one copy. The mapping
 * is shared and read-only, so it follows the file: a file that is cut short afterwards raises
 * SIGBUS where its pages were. Only the engine, which may die and be started again, maps. */
#ifndef FSD_BASE_MAP_H
#define FSD_BASE_MAP_H

#include "engine/base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fsd_map {
    const uint8_t *base; /* page-aligned; never NULL while open, nor is it of an empty file */
    size_t size;
} fsd_map;

/* Map all of the regular file at `path`. *map is the caller's until fsd_map_close, and {NULL, 0}
 * after a failure. FSD_MISSING, FSD_FORMAT (no regular file), FSD_IO … */
FSD_MUST_CHECK fsd_status fsd_map_open(fsd_map *map, const char *path, fsd_error *err);
void fsd_map_close(fsd_map *map); /* zeroed or closed is fine */

/* Let go of the whole pages inside [offset, offset + length): once weights are packed, their source
 * need not count as resident. The bytes stay readable, from the page cache or the disk. A hint:
 * what lies outside the map is ignored. */
void fsd_map_drop(const fsd_map *map, size_t offset, size_t length);

#endif
