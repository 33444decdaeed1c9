/* request.h: opens that wait for a picture, parked; no thread waits with them.
 *
 * A parked request is answered once: by the queue when its picture is made or cannot be, or by the
 * ticker when its caller was interrupted by a signal that ends it. The kernel sends one interrupt
 * a request and does not say which signal; a harmless one must not fail an open, a fatal one must
 * not be missed, so the ticker looks into /proc/<thread>/status every 100 ms from then on. */
#ifndef FSD_FS_REQUEST_H
#define FSD_FS_REQUEST_H

#include "fs/node.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

typedef struct fsd_parking fsd_parking;

FSD_MUST_CHECK fsd_status fsd_parking_open(fsd_parking **out, fsd_fs *fs, fsd_error *err);
/* Stops the ticker. The queue is closed before, so nothing is parked any more. */
void fsd_parking_close(fsd_parking *parking);

/* Park an open of an unmade picture and order it. Always answers `req`, sooner or later: with an error,
 * or by `open` once the picture is in its place. */
void fsd_park_open(fsd_parking *parking, fuse_req_t req, fsd_node *node, const struct fuse_file_info *fi,
                   void (*open)(fuse_req_t req, fsd_node *node, struct fuse_file_info *fi));

#endif
