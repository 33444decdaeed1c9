/* fs.h: the mounted filesystem as one struct, and who owns what of it.
 *
 *     main     options, mounting, life cycle          ops      libfuse's calls <-> nodes
 *     node     what each name in the mount is         request  waiting opens: parked, interrupted
 *     place    whose models and settings hold here    publish  telling inotify of what we made
 *     texts    what the texts say                     problem  what is wrong just now
 *     store, queue, worker, catalog: fs/store.h … */
#ifndef FSD_FS_FS_H
#define FSD_FS_FS_H

#include "fs/catalog.h"
#include "fs/problem.h"
#include "fs/queue.h"
#include "fs/store.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

typedef struct fsd_tree fsd_tree;
typedef struct fsd_publisher fsd_publisher;

typedef struct fsd_fs {
    fsd_store *store;
    fsd_queue *queue;
    fsd_catalog *catalog;
    fsd_problems *problems;
    fsd_tree *tree;
    fsd_publisher *publisher;
    char mountpoint[4096]; /* absolute */
    char data_dir[4096];   /* the program's own models */
    char preview[4096];    /* absolute, in the store */
    uid_t uid;
    gid_t gid;
    time_t started;
    pthread_mutex_t events_lock;
    char events[16 << 10]; /* the last lines of .fsdfs/progress; protected by events_lock */
    size_t events_size;
    char unknown[512];     /* what the last picture's model did not know; likewise */
} fsd_fs;

#endif
