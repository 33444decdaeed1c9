/* store.h: the folder on disk that everything lives in, and the only way to touch it.
 *
 * The store mirrors users' files under their own names, so that plain tools rescue them if we
 * vanish; what is ours alone lies in STORE/.fsdfs:
 *     STORE/fsdfs.ini                settings that must not be reachable through the mount (models = DIR)
 *     STORE/.fsdfs/version           "written by 1 (fsdfs 0.1.0), readable by 1"
 *     STORE/.fsdfs/lock              flock; holds "host pid": a second mount gets FSD_BUSY with both
 *     STORE/.fsdfs/log.txt
 *     STORE/.fsdfs/tmp/              files being written; emptied at open
 *     STORE/.fsdfs/info/<path>.txt   settings of the picture at <path> (its twin), one file a picture
 *     STORE/generate.ini
 *     STORE/models/<name>/{model.ini,generate.ini,out/…}     also for embedded and external models
 *     STORE/sessions/<name>/{generate.ini,out/…}
 * The store is opened once; every path goes through openat2 beneath it (no symlinks, no "..").
 * Writing is: temporary name in .fsdfs/tmp, fsync, rename, fsync of the folder. 1 MiB is kept in
 * reserve (STORE/.fsdfs/reserve, given up when the disk is full) so that texts can still be
 * written. */
#ifndef FSD_FS_STORE_H
#define FSD_FS_STORE_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

typedef struct fsd_store fsd_store;

/* Open or make the store at `path` (absolute or relative; made with its parents, 0700). FSD_BUSY
 * if another fsdfs holds it (naming host and pid), FSD_NEWER if a newer one made it (nothing is
 * touched), FSD_DENIED, FSD_NO_SPACE, FSD_IO. */
FSD_MUST_CHECK fsd_status fsd_store_open(fsd_store **out, const char *path, fsd_error *err);
void fsd_store_close(fsd_store *store);
/* The process that holds the lock is this one: after a fork. */
void fsd_store_claim(fsd_store *store);

/* The absolute path of the store, and of `name` in it (into `out`). */
const char *fsd_store_root(const fsd_store *store);
FSD_MUST_CHECK fsd_status fsd_store_path(const fsd_store *store, const char *name, char *out,
                                         size_t size, fsd_error *err);

/* All names below are relative to the store: "models/tiny-emoji/out/red apple.png". */

/* A descriptor, or -1 with errno. `flags` as for open; symlinks and ".." give ELOOP and EXDEV. */
int fsd_store_openat(const fsd_store *store, const char *name, int flags, mode_t mode);
int fsd_store_stat(const fsd_store *store, const char *name, struct stat *st);      /* 0 or errno */
int fsd_store_mkdir(const fsd_store *store, const char *name, mode_t mode);         /* 0 or errno */
int fsd_store_mkdirs(const fsd_store *store, const char *name);                     /* 0 or errno */
int fsd_store_unlink(const fsd_store *store, const char *name);                     /* 0 or errno */
int fsd_store_rmdir(const fsd_store *store, const char *name);                      /* 0 or errno */
/* renameat2 with its flags. 0 or errno. */
int fsd_store_rename(const fsd_store *store, const char *from, const char *to, unsigned flags);
/* Remove a folder and all below it; a missing one is fine. 0 or the first errno. */
int fsd_store_remove_tree(const fsd_store *store, const char *name);

/* Replace a small file atomically (see above); folders on the way are made. */
FSD_MUST_CHECK fsd_status fsd_store_write(fsd_store *store, const char *name, const void *bytes,
                                          size_t size, fsd_error *err);
/* Read a whole file of at most `max` bytes; *out is fsd_free'd by the caller, with a NUL behind its
 * last byte. FSD_MISSING, FSD_FORMAT if longer, FSD_IO, FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_store_read(const fsd_store *store, const char *name, size_t max,
                                         char **out, size_t *size, fsd_error *err);

/* Names in a folder of the store, in readdir's order, without "." and "..": `visit` returns nonzero
 * to stop. 0 or errno. */
int fsd_store_list(const fsd_store *store, const char *name,
                   int (*visit)(void *user, const char *name, const struct stat *st), void *user);

/* FSD_NO_SPACE with the numbers in the sentence if fewer than `bytes` (plus the reserve) are free. */
FSD_MUST_CHECK fsd_status fsd_store_room(const fsd_store *store, uint64_t bytes, fsd_error *err);

/* A fresh absolute name for a file that another process will write and that
 * fsd_store_rename(…, "relative name") will put in its place: STORE/.fsdfs/tmp/<n><suffix>. */
void fsd_store_tmp_name(fsd_store *store, const char *suffix, char *out, size_t size);

#endif
