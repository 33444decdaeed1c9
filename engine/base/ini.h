/* ini.h: INI files as people write them, read by inih with our own care for values.
 *
 * inih does the syntax (sections, keys, comments); but Debian's build cuts a line at 200 bytes and
 * takes " ;" in a value for a comment, and a negative prompt is 4 KB of any punctuation. So the
 * values never pass through it: each line's value is set aside and inih is handed its number.
 * Values are trimmed; a value in matching double quotes loses them. A UTF-8 BOM, CRLF and a missing
 * last newline are fine. A line that is neither section, comment, blank nor key = value is an
 * error, as is a key or section over 100 bytes, a NUL byte, or a file over 1 MiB: FSD_INVALID with
 * "line N: …". A key alone on its line (no "=") is an error. */
#ifndef FSD_BASE_INI_H
#define FSD_BASE_INI_H

#include "engine/base/status.h"

#include <stddef.h>

/* Called for each key in order; a status other than FSD_OK stops the reading and is returned with
 * "line N: " before its sentence. `section` is "" before the first one. All strings are borrowed. */
typedef fsd_status (*fsd_ini_visit)(void *user, const char *section, const char *key,
                                    const char *value, int line, fsd_error *err);

FSD_MUST_CHECK fsd_status fsd_ini_parse(const char *text, size_t size, fsd_ini_visit visit, void *user,
                                        fsd_error *err);
/* As above for a file, with the file's name before the sentence; FSD_MISSING if it is not there. */
FSD_MUST_CHECK fsd_status fsd_ini_read(const char *path, fsd_ini_visit visit, void *user,
                                       fsd_error *err);

#endif
