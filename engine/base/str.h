/* str.h: a growing string that remembers running out of memory.
 *
 * Appends never fail one by one: the first that finds no memory marks the string, later ones do
 * nothing, and fsd_str_take says so at the end. So text is built without a check a line. */
#ifndef FSD_BASE_STR_H
#define FSD_BASE_STR_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct fsd_str {
    char *text; /* always terminated once anything was appended; NULL before */
    size_t length, capacity;
    bool failed;
} fsd_str;

void fsd_str_add(fsd_str *str, const char *text);
void fsd_str_add_bytes(fsd_str *str, const char *text, size_t length);
void fsd_str_printf(fsd_str *str, const char *fmt, ...) FSD_PRINTF(2, 3);
/* The string, now the caller's (fsd_free), "" for an empty one; NULL if memory ran out. *str is
 * empty afterwards and may be used again. */
char *fsd_str_take(fsd_str *str);
void fsd_str_clear(fsd_str *str);

#endif
