#include "fs/store.h"

#include "engine/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    WRITTEN_BY = 1,  /* the format this program writes … */
    READABLE_BY = 1, /* … and the oldest program's that can still read it */
    RESERVE = 1 << 20,
    MAX_PATH = 4096,
};

struct fsd_store {
    char root[MAX_PATH];
    int fd, lock;
    pthread_mutex_t mutex;
    uint64_t next_tmp; /* protected by mutex */
};

/* --- one file at a time -------------------------------------------------------------------------- */

int fsd_store_openat(const fsd_store *store, const char *name, int flags, mode_t mode)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                           .mode = flags & O_CREAT ? mode : 0,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, store->fd, *name ? name : ".", &how, sizeof how);
}

/* The folder that `name` is in, opened beneath the store, and its last part. -1 with errno. */
static int open_parent(const fsd_store *store, const char *name, const char **last)
{
    const char *slash = strrchr(name, '/');
    char parent[MAX_PATH];

    *last = slash ? slash + 1 : name;
    if (!**last || strcmp(*last, ".") == 0 || strcmp(*last, "..") == 0) {
        errno = EINVAL;
        return -1;
    }
    if (!slash)
        return fsd_store_openat(store, ".", O_DIRECTORY | O_RDONLY, 0);
    if ((size_t)(slash - name) >= sizeof parent) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(parent, name, (size_t)(slash - name));
    parent[slash - name] = '\0';
    return fsd_store_openat(store, parent, O_DIRECTORY | O_RDONLY, 0);
}

static int close_with(int fd, int result)
{
    const int number = result ? errno : 0;

    close(fd);
    return number;
}

int fsd_store_stat(const fsd_store *store, const char *name, struct stat *st)
{
    const int fd = fsd_store_openat(store, name, O_PATH | O_NOFOLLOW, 0);

    return fd < 0 ? errno : close_with(fd, fstat(fd, st));
}

int fsd_store_mkdir(const fsd_store *store, const char *name, mode_t mode)
{
    const char *last;
    const int fd = open_parent(store, name, &last);

    return fd < 0 ? errno : close_with(fd, mkdirat(fd, last, mode));
}

int fsd_store_mkdirs(const fsd_store *store, const char *name)
{
    char part[MAX_PATH];

    for (const char *slash = name; slash; ) {
        int number;

        slash = strchr(slash, '/');
        if (snprintf(part, sizeof part, "%.*s", slash ? (int)(slash - name) : (int)strlen(name), name) >=
            (int)sizeof part)
            return ENAMETOOLONG;
        number = *part ? fsd_store_mkdir(store, part, 0700) : 0;
        if (number && number != EEXIST)
            return number;
        slash = slash ? slash + 1 : NULL;
    }
    return 0;
}

int fsd_store_unlink(const fsd_store *store, const char *name)
{
    const char *last;
    const int fd = open_parent(store, name, &last);

    return fd < 0 ? errno : close_with(fd, unlinkat(fd, last, 0));
}

int fsd_store_rmdir(const fsd_store *store, const char *name)
{
    const char *last;
    const int fd = open_parent(store, name, &last);

    return fd < 0 ? errno : close_with(fd, unlinkat(fd, last, AT_REMOVEDIR));
}

int fsd_store_rename(const fsd_store *store, const char *from, const char *to, unsigned flags)
{
    const char *from_last, *to_last;
    const int from_fd = open_parent(store, from, &from_last);
    int to_fd, number;

    if (from_fd < 0)
        return errno;
    to_fd = open_parent(store, to, &to_last);
    if (to_fd < 0)
        return close_with(from_fd, -1);
    number = renameat2(from_fd, from_last, to_fd, to_last, flags) ? errno : 0;
    if (!number)
        fsync(to_fd);
    close(to_fd);
    close(from_fd);
    return number;
}

int fsd_store_list(const fsd_store *store, const char *name,
                   int (*visit)(void *user, const char *name, const struct stat *st), void *user)
{
    const int fd = fsd_store_openat(store, name, O_RDONLY | O_DIRECTORY, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int number = 0, stop = 0;
    struct dirent *entry;

    if (!dir) {
        number = errno;
        if (fd >= 0)
            close(fd);
        return number;
    }
    while (!stop && (errno = 0, entry = readdir(dir))) {
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            stop = visit(user, entry->d_name, &st);
    }
    number = errno;
    closedir(dir);
    return stop ? 0 : number;
}

/* Depth first, by descriptors, never through a symlink. */
static int remove_below(int parent, const char *name, int depth)
{
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int first = 0;

    if (!dir) {
        first = errno;
        if (fd >= 0)
            close(fd);
        return first == ENOTDIR || first == ELOOP ? unlinkat(parent, name, 0) ? errno : 0 : first;
    }
    while ((entry = readdir(dir))) {
        int number;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        number = unlinkat(fd, entry->d_name, 0) ? errno : 0;
        if (number == EISDIR || number == EPERM)
            number = depth ? remove_below(fd, entry->d_name, depth - 1) : ELOOP;
        first = first ? first : number;
    }
    closedir(dir);
    return first ? first : unlinkat(parent, name, AT_REMOVEDIR) ? errno : 0;
}

int fsd_store_remove_tree(const fsd_store *store, const char *name)
{
    const char *last;
    const int fd = open_parent(store, name, &last);
    int number;

    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    close(fd);
    number = remove_below(store->fd, name, 64);
    return number == ENOENT ? 0 : number;
}

/* --- whole small files --------------------------------------------------------------------------- */

void fsd_store_tmp_name(fsd_store *store, const char *suffix, char *out, size_t size)
{
    uint64_t number;

    pthread_mutex_lock(&store->mutex);
    number = store->next_tmp++;
    pthread_mutex_unlock(&store->mutex);
    snprintf(out, size, "%s/.fsdfs/tmp/%" PRIu64 "%s", store->root, number, suffix);
}

static fsd_status write_all(int fd, const char *bytes, size_t size, fsd_error *err)
{
    while (size) {
        const ssize_t wrote = write(fd, bytes, size);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return fsd_fail_errno(err, "writing");
        bytes += wrote;
        size -= (size_t)wrote;
    }
    return fsync(fd) ? fsd_fail_errno(err, "fsync") : FSD_OK;
}

/* The reserve is given up when the disk is full, so that what must be said can be written. */
static void give_up_reserve(fsd_store *store)
{
    fsd_store_unlink(store, ".fsdfs/reserve");
}

static void take_reserve(fsd_store *store)
{
    const int fd = fsd_store_openat(store, ".fsdfs/reserve", O_WRONLY | O_CREAT, 0600);

    if (fd < 0)
        return;
    if (posix_fallocate(fd, 0, RESERVE) != 0)
        give_up_reserve(store);
    close(fd);
}

static fsd_status write_tmp(fsd_store *store, const char *tmp, const void *bytes, size_t size,
                            fsd_error *err)
{
    const int fd = fsd_store_openat(store, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    fsd_status st;

    if (fd < 0)
        return fsd_fail_errno(err, "%s", tmp);
    st = write_all(fd, bytes, size, err);
    close(fd);
    return st;
}

fsd_status fsd_store_write(fsd_store *store, const char *name, const void *bytes, size_t size,
                           fsd_error *err)
{
    const char *slash = strrchr(name, '/');
    char tmp[MAX_PATH], parent[MAX_PATH];
    const char *relative;
    int number = 0;
    fsd_status st;

    fsd_store_tmp_name(store, "", tmp, sizeof tmp);
    relative = tmp + strlen(store->root) + 1;
    st = write_tmp(store, relative, bytes, size, err);
    if (st == FSD_NO_SPACE) {
        give_up_reserve(store);
        st = write_tmp(store, relative, bytes, size, err);
    }
    if (!st && slash) {
        snprintf(parent, sizeof parent, "%.*s", (int)(slash - name), name);
        number = fsd_store_mkdirs(store, parent);
    }
    if (!st && !number)
        number = fsd_store_rename(store, relative, name, 0);
    if (number) {
        errno = number;
        st = fsd_fail_errno(err, "%s", name);
    }
    if (st)
        fsd_store_unlink(store, relative);
    return st;
}

fsd_status fsd_store_read(const fsd_store *store, const char *name, size_t max, char **out,
                          size_t *size, fsd_error *err)
{
    const int fd = fsd_store_openat(store, name, O_RDONLY | O_NONBLOCK, 0);
    struct stat info;
    size_t used = 0;
    fsd_status st = FSD_OK;

    *out = NULL;
    if (fd < 0)
        return fsd_fail_errno(err, "%s", name);
    if (fstat(fd, &info) || !S_ISREG(info.st_mode) || (uint64_t)info.st_size > max)
        st = fsd_fail(err, FSD_FORMAT, "%s: not a file of at most %zu bytes", name, max);
    else if (!(*out = fsd_alloc((size_t)info.st_size + 1)))
        st = fsd_fail(err, FSD_NO_MEMORY, "%s: no memory for it", name);
    while (!st && used < (size_t)info.st_size) {
        const ssize_t got = read(fd, *out + used, (size_t)info.st_size - used);

        if (got < 0)
            st = fsd_fail_errno(err, "%s", name);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    close(fd);
    if (st) {
        fsd_free(*out);
        *out = NULL;
    } else if (size) {
        *size = used;
    }
    return st;
}

/* --- the whole ----------------------------------------------------------------------------------- */

const char *fsd_store_root(const fsd_store *store)
{
    return store->root;
}

fsd_status fsd_store_path(const fsd_store *store, const char *name, char *out, size_t size,
                          fsd_error *err)
{
    if (snprintf(out, size, "%s/%s", store->root, name) >= (int)size)
        return fsd_fail(err, FSD_NAME_LENGTH, "%s: the path is too long", name);
    return FSD_OK;
}

fsd_status fsd_store_room(const fsd_store *store, uint64_t bytes, fsd_error *err)
{
    struct statvfs info;
    uint64_t free_bytes;

    if (fstatvfs(store->fd, &info))
        return fsd_fail_errno(err, "%s", store->root);
    free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    if (free_bytes >= bytes)
        return FSD_OK;
    return fsd_fail(err, FSD_NO_SPACE, "%s: %" PRIu64 " bytes are needed, %" PRIu64 " are free",
                    store->root, bytes, free_bytes);
}

static int make_path(const char *path)
{
    char part[MAX_PATH];

    for (const char *slash = path; slash;) {
        slash = strchr(slash + 1, '/');
        snprintf(part, sizeof part, "%.*s", slash ? (int)(slash - path) : (int)strlen(path), path);
        if (mkdir(part, 0700) && errno != EEXIST)
            return -1;
    }
    return 0;
}

void fsd_store_claim(fsd_store *store)
{
    char host[64] = "?", who[128];

    gethostname(host, sizeof host - 1);
    snprintf(who, sizeof who, "host %s pid %ld\n", host, (long)getpid());
    if (ftruncate(store->lock, 0) || pwrite(store->lock, who, strlen(who), 0) < 0) {
        /* the lock holds all the same; only its sentence is poorer */
    }
}

/* Held as long as the mount lives; the text is for whoever comes second. */
static fsd_status take_lock(fsd_store *store, fsd_error *err)
{
    char who[128] = "";

    store->lock = fsd_store_openat(store, ".fsdfs/lock", O_RDWR | O_CREAT, 0600);
    if (store->lock < 0)
        return fsd_fail_errno(err, "%s/.fsdfs/lock", store->root);
    if (flock(store->lock, LOCK_EX | LOCK_NB)) {
        const ssize_t got = pread(store->lock, who, sizeof who - 1, 0);

        if (got > 0)
            who[strcspn(who, "\n")] = '\0';
        return fsd_fail(err, FSD_BUSY, "%s is in use already, by %s", store->root,
                        *who ? who : "another fsdfs");
    }
    fsd_store_claim(store);
    return FSD_OK;
}

/* "written by 1 (fsdfs 0.1.0), readable by 1" */
static fsd_status check_version(const fsd_store *store, bool *fresh, fsd_error *err)
{
    char *text;
    int written = 0, readable = 0;
    const char *tail;
    fsd_status st = fsd_store_read(store, ".fsdfs/version", 256, &text, NULL, err);

    *fresh = st == FSD_MISSING;
    if (st)
        return *fresh ? FSD_OK : st;
    tail = strstr(text, "readable by ");
    if (sscanf(text, "written by %d", &written) != 1 || !tail ||
        sscanf(tail, "readable by %d", &readable) != 1)
        st = fsd_fail(err, FSD_FORMAT, "%s/.fsdfs/version says \"%s\"", store->root, text);
    else if (readable > WRITTEN_BY)
        st = fsd_fail(err, FSD_NEWER,
                      "%s was made by a newer fsdfs (format %d, which needs %d); this one is %s and knows "
                      "%d. Nothing was touched",
                      store->root, written, readable, FSD_VERSION, WRITTEN_BY);
    fsd_free(text);
    return st;
}

static fsd_status lay_out(fsd_store *store, bool fresh, fsd_error *err)
{
    static const char *const FOLDERS[] = {".fsdfs/tmp", ".fsdfs/info", "models", "sessions"};
    char text[128];
    int number;

    number = fsd_store_remove_tree(store, ".fsdfs/tmp"); /* what a crash left behind */
    for (size_t i = 0; i < sizeof FOLDERS / sizeof *FOLDERS && !number; i++)
        number = fsd_store_mkdirs(store, FOLDERS[i]);
    if (number) {
        errno = number;
        return fsd_fail_errno(err, "%s", store->root);
    }
    take_reserve(store);
    if (!fresh)
        return FSD_OK;
    snprintf(text, sizeof text, "written by %d (fsdfs %s), readable by %d\n", WRITTEN_BY, FSD_VERSION,
             READABLE_BY);
    return fsd_store_write(store, ".fsdfs/version", text, strlen(text), err);
}

fsd_status fsd_store_open(fsd_store **out, const char *path, fsd_error *err)
{
    fsd_store *store = fsd_alloc(sizeof *store);
    bool fresh = false;
    fsd_status st = FSD_OK;

    *out = NULL;
    if (!store)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a store");
    store->fd = store->lock = -1;
    pthread_mutex_init(&store->mutex, NULL);
    if (make_path(path) || !realpath(path, store->root) ||
        (store->fd = open(store->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        st = fsd_fail_errno(err, "%s", path);
    if (!st)
        st = check_version(store, &fresh, err);
    if (!st) {
        const int number = fsd_store_mkdirs(store, ".fsdfs");

        errno = number;
        if (number)
            st = fsd_fail_errno(err, "%s", path);
    }
    if (!st)
        st = take_lock(store, err);
    if (!st)
        st = lay_out(store, fresh, err);
    if (st) {
        fsd_store_close(store);
        return st;
    }
    *out = store;
    return FSD_OK;
}

void fsd_store_close(fsd_store *store)
{
    if (!store)
        return;
    if (store->lock >= 0)
        close(store->lock);
    if (store->fd >= 0)
        close(store->fd);
    pthread_mutex_destroy(&store->mutex);
    fsd_free(store);
}
