/* problem.h: what is wrong just now, as PROBLEM.txt tells it.
 *
 * A problem belongs to a path in the mount ("models/tiny-emoji/out/x --stepz 3.png"). It is there
 * exactly while something is wrong: it goes when the path is made, removed or mended. The newest
 * hundred are kept. */
#ifndef FSD_FS_PROBLEM_H
#define FSD_FS_PROBLEM_H

#include "engine/base/str.h"

#include <stdbool.h>

typedef struct fsd_problems fsd_problems;

fsd_problems *fsd_problems_new(void); /* NULL: no memory */
void fsd_problems_free(fsd_problems *problems);

/* Set (or replace) the problem of a path; `advice` says what to do, or NULL. */
void fsd_problem_set(fsd_problems *problems, const char *path, const char *sentence,
                     const char *advice);
void fsd_problem_clear(fsd_problems *problems, const char *path);
/* Of all paths that begin so: a folder that went. */
void fsd_problem_clear_below(fsd_problems *problems, const char *prefix);

/* Is anything wrong at or below `place` ("" is the whole mount)? */
bool fsd_problem_any(fsd_problems *problems, const char *place);
/* The text of PROBLEM.txt of a place. */
void fsd_problem_text(fsd_problems *problems, const char *place, fsd_str *out);
/* The sentence of one path into `out`; false if there is none. */
bool fsd_problem_of(fsd_problems *problems, const char *path, char *out, size_t size);

#endif
