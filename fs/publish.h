/* publish.h: making what the daemon makes visible to inotify.
 *
 * Changes inside a FUSE daemon raise no events. A thread of its own therefore creates each made
 * picture once more through the mount, by O_CREAT|O_EXCL, after telling the kernel to forget the name:
 * watchers see CREATE and CLOSE_WRITE, as if the file had just been written. The daemon knows the
 * thread by its number: to it alone the name does not exist yet, and its creation gives the node
 * that is there. Never from a handler, never holding a lock (reference: libfuse's notes on
 * notifications). */
#ifndef FSD_FS_PUBLISH_H
#define FSD_FS_PUBLISH_H

#include "fs/fs.h"

#include <stdbool.h>

/* `invalidate` tells the kernel to forget a name (ops.c). */
FSD_MUST_CHECK fsd_status fsd_publisher_open(fsd_publisher **out, fsd_fs *fs,
                                             void (*invalidate)(uint64_t folder, const char *name),
                                             fsd_error *err);
/* Finishes what is queued, joins the thread. The mount must still answer. */
void fsd_publisher_close(fsd_publisher *publisher);

/* `path` in the mount is made; its folder's inode number and its name. Once for many calls in a row. */
void fsd_publish(fsd_publisher *publisher, uint64_t folder, const char *path);
/* Is this thread, asking for this name, the publisher at its work? */
bool fsd_publisher_asks(fsd_publisher *publisher, pid_t thread, uint64_t folder, const char *name);

#endif
