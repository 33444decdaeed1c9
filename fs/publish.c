#include "fs/publish.h"

#include "engine/base/mem.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct news {
    uint64_t folder;
    char path[4096];
    struct news *next;
} news;

struct fsd_publisher {
    fsd_fs *fs;
    void (*invalidate)(uint64_t folder, const char *name);
    pthread_t thread;
    atomic_int tid;
    pthread_mutex_t lock; /* protects all below */
    pthread_cond_t changed;
    news *first, *current;
    bool closing;
};

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* A look-up by somebody else may slip in between the two calls; then the name exists for the kernel and
 * O_EXCL fails: once more. */
static void publish(fsd_publisher *p, const news *n)
{
    char path[4096 * 2];

    snprintf(path, sizeof path, "%s/%s", p->fs->mountpoint, n->path);
    for (int tries = 0; tries < 5; tries++) {
        int fd;

        p->invalidate(n->folder, last_part(n->path));
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
            close(fd);
            return;
        }
    }
}

static void *publisher_main(void *user)
{
    fsd_publisher *p = user;

    atomic_store(&p->tid, gettid());
    pthread_mutex_lock(&p->lock);
    for (;;) {
        news *n;

        while (!p->first && !p->closing)
            pthread_cond_wait(&p->changed, &p->lock);
        n = p->first;
        if (!n)
            break;
        p->first = n->next;
        p->current = n;
        pthread_mutex_unlock(&p->lock);
        publish(p, n);
        pthread_mutex_lock(&p->lock);
        p->current = NULL;
        fsd_free(n);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

fsd_status fsd_publisher_open(fsd_publisher **out, fsd_fs *fs,
                              void (*invalidate)(uint64_t folder, const char *name), fsd_error *err)
{
    fsd_publisher *p = fsd_alloc(sizeof *p);

    *out = NULL;
    if (!p)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for the publisher");
    p->fs = fs;
    p->invalidate = invalidate;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    if (pthread_create(&p->thread, NULL, publisher_main, p)) {
        fsd_free(p);
        return fsd_fail(err, FSD_IO, "the publisher's thread cannot be started");
    }
    *out = p;
    return FSD_OK;
}

void fsd_publisher_close(fsd_publisher *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    fsd_free(p);
}

void fsd_publish(fsd_publisher *p, uint64_t folder, const char *path)
{
    news *n = fsd_alloc(sizeof *n), **last = &p->first;

    if (!n)
        return; /* the picture is there; only a window will not refresh by itself */
    n->folder = folder;
    snprintf(n->path, sizeof n->path, "%s", path);
    pthread_mutex_lock(&p->lock);
    while (*last && strcmp((*last)->path, path) != 0)
        last = &(*last)->next;
    if (*last || p->closing || (p->current && strcmp(p->current->path, path) == 0)) {
        fsd_free(n); /* one of 30 readers was first */
    } else {
        *last = n;
        pthread_cond_signal(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
}

bool fsd_publisher_asks(fsd_publisher *p, pid_t thread, uint64_t folder, const char *name)
{
    bool yes;

    if (!p || thread != atomic_load(&p->tid))
        return false;
    pthread_mutex_lock(&p->lock);
    yes = p->current && p->current->folder == folder && strcmp(last_part(p->current->path), name) == 0;
    pthread_mutex_unlock(&p->lock);
    return yes;
}
