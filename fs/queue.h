/* queue.h: what the engine is asked to do, in which order, and who waits for it.
 *
 * One engine (fs/worker.h), one queue. Pictures that someone waits for come first, in the order
 * asked. Two orders with the same key are one job with two waiters (30 readers, one generation).
 * When the last waiter leaves, the job is cancelled unless it is more than 80 % done. A failure is
 * remembered for five seconds, so that a program that retries does not loop the engine.
 * If the engine dies, its job fails with FSD_DEVICE and a sentence, the rest of the queue goes on
 * with a new engine (after 1, 2, 4 … 30 s if it dies again and again). */
#ifndef FSD_FS_QUEUE_H
#define FSD_FS_QUEUE_H

#include "engine/engine.h"
#include "fs/store.h"

typedef struct fsd_queue fsd_queue;

typedef struct fsd_order {
    const char *key;        /* identity: the picture's name in the store ("models/x/out/y.png") */
    const fsd_settings *settings;      /* complete: model size resolved, seed may be open */
    const char *model_folder, *model_name, *model_hash; /* hash may be "" */
    const char *note;       /* e.g. why ddim stands in; "" */
    const char *preview;    /* absolute name of a preview file, or NULL */
} fsd_order;

typedef struct fsd_outcome {
    fsd_status status;
    fsd_error error;         /* the sentence, if status is not FSD_OK */
    const char *parameters;  /* A1111's text, if FSD_OK; borrowed until the callback returns */
    const char *notes;       /* the engine's notes, one a line, or "" */
    double seconds;
    uint64_t seed;
} fsd_outcome;

/* Called once, from the queue's thread, holding no lock. For a made picture the file is already at
 * its place in the store (renamed, fsynced) with its settings in .fsdfs/info. */
typedef void (*fsd_order_done)(void *user, const fsd_outcome *outcome);

typedef struct fsd_progress { /* a copy of the present state */
    bool engine_up;
    char engine_about[256]; /* "cpu: oneDNN …" */
    size_t waiting;         /* jobs behind the running one */
    char key[1024];         /* of the running job, "" if none */
    int step, steps;
    double seconds;         /* since it started */
    uint64_t made, failed;  /* since the mount */
} fsd_progress;

/* `program` is run as `program engine` (NULL: /proc/self/exe). */
FSD_MUST_CHECK fsd_status fsd_queue_open(fsd_queue **out, fsd_store *store, const char *program,
                                         fsd_error *err);
/* Answers every waiter with FSD_CANCELLED, stops the engine, joins the thread. */
void fsd_queue_close(fsd_queue *queue);

/* Join (or start) the job of this key as one waiter; *ticket names the waiter. `done` may be called
 * before this returns. FSD_NO_MEMORY, or the remembered failure of the last five seconds. */
FSD_MUST_CHECK fsd_status fsd_queue_order(fsd_queue *queue, const fsd_order *order,
                                          fsd_order_done done, void *user, uint64_t *ticket,
                                          fsd_error *err);
/* The waiter leaves. True: `done` will not be called for it any more. */
bool fsd_queue_leave(fsd_queue *queue, uint64_t ticket);
/* Cancel the job of this key whoever waits (its waiters get FSD_CANCELLED); false if there is none. */
bool fsd_queue_cancel(fsd_queue *queue, const char *key);
/* Cancel all jobs whose key begins so (a session that ends, a folder that moves); their results, if
 * they come all the same, are dropped. */
void fsd_queue_cancel_prefix(fsd_queue *queue, const char *prefix);
/* Forget the remembered failure of this key (the user changed something, or removed the name). */
void fsd_queue_forget(fsd_queue *queue, const char *key);

/* Ask the engine what a folder is; `done` gets the answer line's pairs as a struct. */
typedef struct fsd_probe {
    fsd_status status;
    fsd_error error;
    fsd_limits limits;
    char sampler[16], schedule[16]; /* as its scheduler config asks, of those we can */
    char note[256], hash[65], about[512];
} fsd_probe;
FSD_MUST_CHECK fsd_status fsd_queue_probe(fsd_queue *queue, const char *folder, bool hash,
                                          void (*done)(void *user, const fsd_probe *probe),
                                          void *user, fsd_error *err);

void fsd_queue_progress(fsd_queue *queue, fsd_progress *out);
/* Called after each step and event, from the queue's thread, holding no lock (for .fsdfs/progress). */
void fsd_queue_watch(fsd_queue *queue, void (*event)(void *user, const char *line), void *user);

#endif
