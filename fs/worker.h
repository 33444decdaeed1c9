/* worker.h: the engine as a supervised child: started, fed, heard, ended.
 *
 * Used by one thread, the queue's, which lives as long as the mount: the child asks the kernel to be
 * killed when the thread that forked it ends. Its answers are lines; one that is too long, or a pipe
 * that closes, is its end. Nothing here waits: writing is buffered, reading takes what is there. */
#ifndef FSD_FS_WORKER_H
#define FSD_FS_WORKER_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct fsd_worker fsd_worker;

/* `program engine` with pipes for its input and output; its complaints are appended to `complaints`
 * (a path, or NULL). FSD_IO, FSD_NO_MEMORY. A program that cannot be run shows as a death. */
FSD_MUST_CHECK fsd_status fsd_worker_start(fsd_worker **out, const char *program,
                                           const char *complaints, fsd_error *err);
/* Kill it if it lives, wait for it, free. `why` (may be NULL) gets "signal 9", "exit code 1". */
void fsd_worker_end(fsd_worker *worker, char *why, size_t size);

/* Descriptors to poll: for input always, for output only while something is left to write (-1). */
int fsd_worker_in(const fsd_worker *worker);
int fsd_worker_out(const fsd_worker *worker);

/* Queue text for its input; false if it is dead or does not read. */
bool fsd_worker_send(fsd_worker *worker, const char *text);
/* Write what can be written; false if it is dead. */
bool fsd_worker_flush(fsd_worker *worker);
/* Read what is there; false if it is dead. Then take lines until NULL (borrowed until the next call). */
bool fsd_worker_read(fsd_worker *worker);
const char *fsd_worker_line(fsd_worker *worker);

#endif
