#include "fs/request.h"

#include "engine/base/mem.h"
#include "fs/place.h"
#include "fs/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TICK_MS = 100 };

typedef struct parked {
    fuse_req_t req;
    struct fuse_file_info fi;
    fsd_node *node; /* its look-up is held by the open itself */
    char path[4096], model[256];
    uint64_t folder, ticket;
    fsd_parking *parking;
    void (*open)(fuse_req_t req, fsd_node *node, struct fuse_file_info *fi);
    struct parked *next;
} parked;

struct fsd_parking {
    fsd_fs *fs;
    pthread_t ticker;
    pthread_mutex_t lock; /* protects all below */
    pthread_cond_t changed;
    parked *first;
    bool closing;
};

/* Will this thread end by a signal that waits for it, or has it ended? */
static bool is_dying(pid_t thread)
{
    const unsigned long long fatal = 1ull << (SIGKILL - 1) | 1ull << (SIGINT - 1) | 1ull << (SIGTERM - 1) |
                                     1ull << (SIGHUP - 1) | 1ull << (SIGQUIT - 1);
    char path[64], line[256], state = 0;
    unsigned long long pending = 0, bits;
    FILE *file;

    if (!thread)
        return true; /* in another PID namespace: nobody can look, nothing may be unkillable */
    snprintf(path, sizeof path, "/proc/%d/status", (int)thread);
    file = fopen(path, "re");
    if (!file)
        return true;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "SigPnd: %llx", &bits) == 1 || sscanf(line, "ShdPnd: %llx", &bits) == 1)
            pending |= bits;
        if (sscanf(line, "State: %c", &state) == 1 && (state == 'Z' || state == 'X'))
            pending |= fatal;
    }
    fclose(file);
    return (pending & fatal) != 0;
}

static bool take(fsd_parking *parking, parked *p)
{
    parked **link = &parking->first;
    bool found;

    pthread_mutex_lock(&parking->lock);
    while (*link && *link != p)
        link = &(*link)->next;
    found = *link != NULL;
    if (found)
        *link = p->next;
    pthread_mutex_unlock(&parking->lock);
    return found;
}

/* The first one whose caller is to be let go; it has left the queue, so nobody else answers it. */
static parked *find_interrupted(fsd_parking *parking)
{
    parked *found = NULL;

    pthread_mutex_lock(&parking->lock);
    for (parked *p = parking->first; p && !found; p = p->next) {
        if (fuse_req_interrupted(p->req) && is_dying(fuse_req_ctx(p->req)->pid) &&
            fsd_queue_leave(parking->fs->queue, p->ticket))
            found = p;
    }
    pthread_mutex_unlock(&parking->lock);
    return found;
}

static void *ticker_main(void *user)
{
    fsd_parking *parking = user;

    pthread_mutex_lock(&parking->lock);
    while (!parking->closing) {
        struct timespec until;
        parked *p;

        if (!parking->first) {
            pthread_cond_wait(&parking->changed, &parking->lock);
            continue;
        }
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&parking->changed, &parking->lock, &until);
        pthread_mutex_unlock(&parking->lock);
        while ((p = find_interrupted(parking))) {
            take(parking, p);
            fuse_reply_err(p->req, EINTR);
            fsd_free(p);
        }
        pthread_mutex_lock(&parking->lock);
    }
    pthread_mutex_unlock(&parking->lock);
    return NULL;
}

fsd_status fsd_parking_open(fsd_parking **out, fsd_fs *fs, fsd_error *err)
{
    fsd_parking *parking = fsd_alloc(sizeof *parking);

    *out = NULL;
    if (!parking)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory to park requests");
    parking->fs = fs;
    pthread_mutex_init(&parking->lock, NULL);
    pthread_cond_init(&parking->changed, NULL);
    if (pthread_create(&parking->ticker, NULL, ticker_main, parking)) {
        fsd_free(parking);
        return fsd_fail(err, FSD_IO, "the ticker's thread cannot be started");
    }
    *out = parking;
    return FSD_OK;
}

void fsd_parking_close(fsd_parking *parking)
{
    if (!parking)
        return;
    pthread_mutex_lock(&parking->lock);
    parking->closing = true;
    pthread_cond_signal(&parking->changed);
    pthread_mutex_unlock(&parking->lock);
    pthread_join(parking->ticker, NULL);
    pthread_cond_destroy(&parking->changed);
    pthread_mutex_destroy(&parking->lock);
    fsd_free(parking);
}

static const char *advice(fsd_status st)
{
    switch (st) {
    case FSD_INVALID:
    case FSD_UNSUPPORTED:
        return "Ask by another name; README.txt lists the options.";
    case FSD_MISSING:
    case FSD_FORMAT:
        return "Mend or replace the model's file.";
    case FSD_NO_SPACE:
        return "Make room on that disk.";
    case FSD_NO_MEMORY:
        return "Ask for a smaller picture, or close other programs.";
    case FSD_DEVICE:
        return "Ask again; .fsdfs/engine.log in the store may tell more.";
    default:
        return NULL;
    }
}

static int as_errno(fsd_status st)
{
    /* To the caller, what cannot be done yet is as wrong a request as what never can. */
    return st == FSD_UNSUPPORTED ? EINVAL : fsd_status_errno(st);
}

/* Wrong requests keep their sentence for as long as their name is asked for; an interruption is none. */
static void note_problem(fsd_fs *fs, const char *path, fsd_status st, const fsd_error *err)
{
    if (st != FSD_CANCELLED)
        fsd_problem_set(fs->problems, path, err->msg, advice(st));
}

static void on_done(void *user, const fsd_outcome *outcome)
{
    parked *p = user;
    fsd_fs *fs = p->parking->fs;

    take(p->parking, p);
    if (outcome->status == FSD_OK) {
        fsd_problem_clear(fs->problems, p->path);
        fsd_node_made(fs, p->node);
        p->open(p->req, p->node, &p->fi);
        fsd_publish(fs->publisher, p->folder, p->path);
        fsd_catalog_want_hash(fs->catalog, p->model);
    } else {
        note_problem(fs, p->path, outcome->status, &outcome->error);
        fuse_reply_err(p->req, as_errno(outcome->status));
    }
    fsd_free(p);
}

static void remember_unknown(fsd_fs *fs, const fsd_request *r)
{
    fsd_str unknown = {0};

    fsd_place_unknown_words(fs, r->model.name, r->settings.prompt, &unknown);
    pthread_mutex_lock(&fs->events_lock);
    fs->unknown[0] = '\0';
    if (unknown.length)
        snprintf(fs->unknown, sizeof fs->unknown, "%s does not know: %s", r->model.name, unknown.text);
    pthread_mutex_unlock(&fs->events_lock);
    fsd_str_clear(&unknown);
}

static fsd_status order(parked *p, const fsd_request *r, fsd_error *err)
{
    fsd_parking *parking = p->parking;
    const fsd_order o = {.key = p->path,
                         .settings = &r->settings,
                         .model_folder = r->model.folder,
                         .model_name = r->model.name,
                         .model_hash = r->model.hash,
                         .note = r->model.note,
                         .preview = parking->fs->preview};
    fsd_status st;

    /* Its ticket and its place in the list appear together; who answers it first waits for this lock. */
    pthread_mutex_lock(&parking->lock);
    st = fsd_queue_order(parking->fs->queue, &o, on_done, p, &p->ticket, err);
    if (!st) {
        p->next = parking->first;
        parking->first = p;
        pthread_cond_signal(&parking->changed);
    }
    pthread_mutex_unlock(&parking->lock);
    return st;
}

void fsd_park_open(fsd_parking *parking, fuse_req_t req, fsd_node *node, const struct fuse_file_info *fi,
                   void (*open)(fuse_req_t req, fsd_node *node, struct fuse_file_info *fi))
{
    fsd_fs *fs = parking->fs;
    parked *p = fsd_alloc(sizeof *p);
    fsd_request r = {0};
    char folder[4096];
    fsd_error err;
    fsd_status st;

    if (!p || !fsd_node_path(fs, node, p->path, sizeof p->path) ||
        !fsd_node_path(fs, node->parent, folder, sizeof folder)) {
        fsd_free(p);
        fuse_reply_err(req, ENOMEM);
        return;
    }
    p->req = req;
    p->fi = *fi;
    p->node = node;
    p->parking = parking;
    p->open = open;
    p->folder = node->parent->ino;
    if (!fsd_place_request(fs, folder, node->name, &r)) {
        st = fsd_fail(&err, FSD_BUSY, "the model %s is being looked at", r.model.name);
    } else {
        st = r.status;
        err = r.error;
    }
    if (!st && fsd_png_size(r.settings.width, r.settings.height) != node->size)
        st = fsd_fail(&err, FSD_INVALID, "its settings changed while it was being opened: open it again");
    if (!st) {
        snprintf(p->model, sizeof p->model, "%s", r.model.name);
        remember_unknown(fs, &r);
        st = order(p, &r, &err);
    }
    fsd_request_clear(&r);
    if (st) {
        note_problem(fs, p->path, st, &err);
        fuse_reply_err(req, as_errno(st));
        fsd_free(p);
    }
}
