/* ops.h: libfuse's calls and what they mean for nodes. */
#ifndef FSD_FS_OPS_H
#define FSD_FS_OPS_H

#include "fs/request.h"

/* What fuse_session_new gets as its user data. */
typedef struct fsd_mount {
    fsd_fs *fs;
    fsd_parking *parking;
    struct fuse_session *session;
} fsd_mount;

extern const struct fuse_lowlevel_ops fsd_ops;

/* For the publisher: the kernel forgets a name in a folder. */
void fsd_ops_invalidate(uint64_t folder, const char *name);
/* The mount that fsd_ops_invalidate means; NULL before and after. */
void fsd_ops_set_mount(fsd_mount *mount);

#endif
