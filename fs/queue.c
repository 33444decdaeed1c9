#include "fs/queue.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "fs/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* One thread owns the engine: it sends jobs, reads answers, and calls everybody back, holding no
 * lock. Others only put jobs into the list, or take waiters out, under the lock, and wake it. */

enum {
    MAX_FAILURES = 64,
    MEMORY_SECONDS = 5, /* of a failure */
    MAX_BACKOFF = 30,
    MAX_STARTS = 3,     /* of an engine that never gets ready, before jobs are told */
    SLACK = 64 << 10,   /* bytes beyond a picture that must be free */
};

typedef struct waiter {
    uint64_t ticket;
    fsd_order_done done;
    void *user;
    struct waiter *next;
} waiter;

typedef enum job_state { QUEUED, RUNNING, CANCELLING } job_state;

typedef struct job {
    uint64_t id;
    char *key, *text;      /* the protocol's lines of it */
    char *tmp;             /* absolute: where the engine writes */
    uint64_t bytes;        /* of the picture */
    job_state state;
    int step, steps;
    double started;
    waiter *waiters;
    char *notes; /* what the engine had to say, a line each */
    struct job *next;
} job;

typedef struct probe {
    uint64_t id;
    char *folder;
    bool hash, sent;
    int tries;
    char note[256];
    void (*done)(void *user, const fsd_probe *probe);
    void *user;
    struct probe *next;
} probe;

typedef struct failure {
    char *key;
    fsd_status status;
    fsd_error error;
    double when;
} failure;

struct fsd_queue {
    fsd_store *store;
    char program[4096];
    pthread_t thread;
    int wake; /* eventfd */

    pthread_mutex_t lock; /* protects all below */
    job *jobs;            /* in the order asked; the running one first */
    probe *probes;
    failure failures[MAX_FAILURES];
    uint64_t next_id, next_ticket, made, failed;
    bool closing, up;
    char about[256];
    void (*event)(void *user, const char *line);
    void *event_user;

    /* the thread's own */
    fsd_worker *worker;
    int starts;        /* in a row without getting ready */
    double next_start; /* not before */
    double backoff;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void wake(fsd_queue *q)
{
    const uint64_t one = 1;

    if (write(q->wake, &one, sizeof one) < 0) {
        /* full: it is awake already */
    }
}

/* --- jobs ------------------------------------------------------------------------------------- */

static void job_free(job *j)
{
    while (j->waiters) {
        waiter *w = j->waiters;

        j->waiters = w->next;
        fsd_free(w);
    }
    fsd_free(j->key);
    fsd_free(j->text);
    fsd_free(j->tmp);
    fsd_free(j->notes);
    fsd_free(j);
}

static void take_out(fsd_queue *q, job *j)
{
    job **link = &q->jobs;

    while (*link && *link != j)
        link = &(*link)->next;
    if (*link)
        *link = j->next;
}

static void forget(failure *f)
{
    fsd_free(f->key);
    *f = (failure){0};
}

static void remember(fsd_queue *q, const char *key, fsd_status st, const fsd_error *error)
{
    failure *oldest = &q->failures[0];

    for (int i = 0; i < MAX_FAILURES; i++) {
        failure *f = &q->failures[i];

        if (!f->key || strcmp(f->key, key) == 0 || f->when < oldest->when)
            oldest = f;
        if (!f->key || strcmp(f->key, key) == 0)
            break;
    }
    forget(oldest);
    oldest->key = fsd_strdup(key);
    oldest->status = st;
    oldest->error = *error;
    oldest->when = now();
}

static void tell(fsd_queue *q, const char *line)
{
    void (*event)(void *, const char *);
    void *user;

    pthread_mutex_lock(&q->lock);
    event = q->event;
    user = q->event_user;
    pthread_mutex_unlock(&q->lock);
    if (event)
        event(user, line);
}

/* The job is over: out of the list, its waiters called. Called without the lock. */
static void finish(fsd_queue *q, job *j, const fsd_outcome *outcome)
{
    pthread_mutex_lock(&q->lock);
    take_out(q, j);
    if (outcome->status == FSD_OK)
        q->made++;
    else if (outcome->status != FSD_CANCELLED)
        q->failed++;
    if (outcome->status != FSD_OK && outcome->status != FSD_CANCELLED)
        remember(q, j->key, outcome->status, &outcome->error);
    pthread_mutex_unlock(&q->lock);
    if (outcome->status == FSD_OK)
        fsd_log("made %s in %.2f s", j->key, outcome->seconds);
    else
        fsd_log("%s: %s", j->key, outcome->error.msg);
    while (j->waiters) {
        waiter *w = j->waiters;

        j->waiters = w->next;
        w->done(w->user, outcome);
        fsd_free(w);
    }
    job_free(j);
}

static void finish_failed(fsd_queue *q, job *j, fsd_status st, const char *sentence)
{
    fsd_outcome outcome = {.status = st, .parameters = "", .notes = ""};

    fsd_fail(&outcome.error, st, "%s", sentence);
    unlink(j->tmp);
    finish(q, j, &outcome);
}

/* The file goes to its place, its settings beside it. */
static fsd_status put_in_place(fsd_queue *q, const job *j, const char *parameters, fsd_error *err)
{
    const size_t root = strlen(fsd_store_root(q->store)) + 1;
    const char *slash = strrchr(j->key, '/');
    char name[4096];
    int number = 0;

    if (slash) {
        snprintf(name, sizeof name, "%.*s", (int)(slash - j->key), j->key);
        number = fsd_store_mkdirs(q->store, name);
    }
    snprintf(name, sizeof name, ".fsdfs/info/%s.txt", j->key);
    if (!number) {
        const fsd_status st = fsd_store_write(q->store, name, parameters, strlen(parameters), err);

        if (st)
            return st;
        number = fsd_store_rename(q->store, j->tmp + root, j->key, 0);
    }
    errno = number;
    return number ? fsd_fail_errno(err, "%s", j->key) : FSD_OK;
}

/* --- the engine's lines ------------------------------------------------------------------------- */

/* The value of ` key=` in a line; `text` runs to its end and is unescaped. False if it is not there or
 * does not fit. */
static bool field(const char *line, const char *key, char *out, size_t size)
{
    const size_t length = strlen(key);
    const char *stop = strstr(line, " text=");

    for (const char *at = strchr(line, ' '); at && (!stop || at <= stop); at = strchr(at + 1, ' ')) {
        size_t value;

        if (strncmp(at + 1, key, length) != 0 || at[1 + length] != '=')
            continue;
        at += length + 2;
        value = strcspn(at, " ");
        if (value >= size)
            return false;
        memcpy(out, at, value);
        out[value] = '\0';
        return true;
    }
    return false;
}

static char *text_of(const char *line)
{
    const char *text = strstr(line, " text=");

    return fsd_job_unescape(text ? text + strlen(" text=") : "");
}

static bool number(const char *line, const char *key, long long low, long long high, long long *out)
{
    char text[24], *end;

    if (!field(line, key, text, sizeof text) || !*text)
        return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return !*end && !errno && *out >= low && *out <= high;
}

static job *running(fsd_queue *q, const char *line)
{
    job *j, *found = NULL;
    long long id;

    if (!number(line, "id", 1, INT64_MAX, &id))
        return NULL;
    pthread_mutex_lock(&q->lock);
    for (j = q->jobs; j; j = j->next) {
        if (j->id == (uint64_t)id && j->state != QUEUED)
            found = j;
    }
    pthread_mutex_unlock(&q->lock);
    return found; /* only this thread takes running jobs out */
}

static probe *asked(fsd_queue *q, const char *line)
{
    probe *p, *found = NULL;
    char id[24];

    if (!field(line, "id", id, sizeof id) || id[0] != 'p')
        return NULL;
    pthread_mutex_lock(&q->lock);
    for (p = q->probes; p; p = p->next) {
        if (p->sent && p->id == strtoull(id + 1, NULL, 10))
            found = p;
    }
    pthread_mutex_unlock(&q->lock);
    return found;
}

static void answer_probe(fsd_queue *q, probe *p, const fsd_probe *answer)
{
    probe **link = &q->probes;

    pthread_mutex_lock(&q->lock);
    while (*link && *link != p)
        link = &(*link)->next;
    if (*link)
        *link = p->next;
    pthread_mutex_unlock(&q->lock);
    p->done(p->user, answer);
    fsd_free(p->folder);
    fsd_free(p);
}

static bool on_done(fsd_queue *q, job *j, const char *line)
{
    char *parameters = text_of(line);
    fsd_outcome outcome = {.parameters = parameters, .notes = j->notes ? j->notes : ""};
    char text[32];
    bool dropped;

    if (!parameters || !field(line, "seconds", text, sizeof text)) {
        fsd_free(parameters);
        return false;
    }
    outcome.seconds = strtod(text, NULL);
    if (field(line, "seed", text, sizeof text))
        outcome.seed = strtoull(text, NULL, 10);
    pthread_mutex_lock(&q->lock);
    dropped = j->state == CANCELLING;
    pthread_mutex_unlock(&q->lock);
    if (dropped) {
        finish_failed(q, j, FSD_CANCELLED, "cancelled");
    } else {
        outcome.status = put_in_place(q, j, parameters, &outcome.error);
        if (outcome.status)
            unlink(j->tmp);
        finish(q, j, &outcome);
    }
    fsd_free(parameters);
    q->backoff = 0;
    return true;
}

static bool on_failed(fsd_queue *q, const char *line)
{
    job *j = running(q, line);
    probe *p = j ? NULL : asked(q, line);
    char *sentence = text_of(line), word[32];
    const bool known = sentence && field(line, "status", word, sizeof word) && (j || p);
    fsd_probe answer = {0};

    if (known && j) {
        finish_failed(q, j, fsd_status_parse(word), sentence);
    } else if (known) {
        answer.status = fsd_status_parse(word);
        fsd_fail(&answer.error, answer.status, "%s", sentence);
        answer_probe(q, p, &answer);
    }
    fsd_free(sentence);
    return known;
}

static bool on_model(fsd_queue *q, const char *line)
{
    probe *p = asked(q, line);
    fsd_probe answer = {0};
    long long width, height, multiple, max_side;
    char *about = text_of(line);
    bool ok = p && about && field(line, "family", answer.limits.family, sizeof answer.limits.family) &&
              number(line, "width", 1, FSD_PNG_MAX_SIDE, &width) &&
              number(line, "height", 1, FSD_PNG_MAX_SIDE, &height) &&
              number(line, "multiple", 1, 4096, &multiple) &&
              number(line, "max_side", 1, FSD_PNG_MAX_SIDE, &max_side) &&
              field(line, "sampler", answer.sampler, sizeof answer.sampler) &&
              field(line, "schedule", answer.schedule, sizeof answer.schedule) &&
              field(line, "hash", answer.hash, sizeof answer.hash);

    if (ok) {
        answer.limits.width = (int)width;
        answer.limits.height = (int)height;
        answer.limits.multiple = (int)multiple;
        answer.limits.max_side = (int)max_side;
        if (strcmp(answer.hash, "-") == 0)
            answer.hash[0] = '\0';
        snprintf(answer.about, sizeof answer.about, "%s", about);
        snprintf(answer.note, sizeof answer.note, "%s", p->note);
        answer_probe(q, p, &answer);
    }
    fsd_free(about);
    return ok;
}

static bool on_note(fsd_queue *q, const char *line)
{
    job *j = running(q, line);
    probe *p = j ? NULL : asked(q, line);
    char *sentence = text_of(line);

    if (j && sentence) {
        fsd_str both = {0};

        fsd_str_printf(&both, "%s%s\n", j->notes ? j->notes : "", sentence);
        fsd_free(j->notes);
        j->notes = fsd_str_take(&both);
    } else if (p && sentence) {
        snprintf(p->note, sizeof p->note, "%s", sentence);
    }
    fsd_free(sentence);
    return j || p;
}

static bool on_progress(fsd_queue *q, const char *line)
{
    job *j = running(q, line);
    long long step, steps;

    if (!j || !number(line, "step", 0, 1 << 20, &step) || !number(line, "steps", 1, 1 << 20, &steps))
        return false;
    pthread_mutex_lock(&q->lock);
    j->step = (int)step;
    j->steps = (int)steps;
    pthread_mutex_unlock(&q->lock);
    return true;
}

static bool on_ready(fsd_queue *q, const char *line)
{
    const char *about = strstr(line, " about=");
    char *plain = fsd_job_unescape(about ? about + strlen(" about=") : "");

    pthread_mutex_lock(&q->lock);
    q->up = true;
    snprintf(q->about, sizeof q->about, "%s", plain ? plain : "");
    pthread_mutex_unlock(&q->lock);
    fsd_free(plain);
    q->starts = 0;
    return true;
}

static bool starts(const char *line, const char *word)
{
    const size_t n = strlen(word);

    return strncmp(line, word, n) == 0 && line[n] == ' ';
}

/* False: not a line of the protocol. */
static bool on_line(fsd_queue *q, const char *line)
{
    char event[1200] = "";
    job *j = running(q, line);
    bool ok;

    if (j)
        snprintf(event, sizeof event, "%.*s %s", (int)strcspn(line, " "), line, j->key);
    if (j && starts(line, "progress")) {
        char step[16] = "", steps[16] = "";

        field(line, "step", step, sizeof step);
        field(line, "steps", steps, sizeof steps);
        snprintf(event, sizeof event, "progress %s/%s %s", step, steps, j->key);
    }
    ok = starts(line, "ready")      ? on_ready(q, line)
         : starts(line, "started")  ? j != NULL
         : starts(line, "progress") ? on_progress(q, line)
         : starts(line, "preview")  ? j != NULL
         : starts(line, "note")     ? on_note(q, line)
         : starts(line, "done")     ? j && on_done(q, j, line)
         : starts(line, "model")    ? on_model(q, line)
         : starts(line, "failed")   ? on_failed(q, line)
                                    : false;
    if (*event)
        tell(q, event);
    return ok;
}

/* --- the engine's life --------------------------------------------------------------------------- */

static void start_engine(fsd_queue *q)
{
    char complaints[4096];
    fsd_error err;

    if (fsd_store_path(q->store, ".fsdfs/engine.log", complaints, sizeof complaints, &err))
        complaints[0] = '\0';
    q->starts++;
    if (fsd_worker_start(&q->worker, q->program, *complaints ? complaints : NULL, &err)) {
        fsd_log("%s", err.msg);
        q->next_start = now() + 1;
    }
}

/* Jobs that the engine had in hand fail; those that wait go on with the next engine, unless there is
 * none that gets ready. */
static void on_death(fsd_queue *q, const char *cause)
{
    char why[64], sentence[256];
    job *j;

    fsd_worker_end(q->worker, why, sizeof why);
    q->worker = NULL;
    snprintf(sentence, sizeof sentence, "the engine %s (%s); it is started anew", cause, why);
    fsd_log("%s", sentence);
    q->backoff = q->backoff ? 2 * q->backoff : q->starts > 1 ? 1 : 0;
    q->backoff = q->backoff > MAX_BACKOFF ? MAX_BACKOFF : q->backoff;
    q->next_start = now() + q->backoff;
    if (!q->backoff)
        q->backoff = 0.5;
    pthread_mutex_lock(&q->lock);
    q->up = false;
    for (probe *p = q->probes; p; p = p->next)
        p->sent = false;
    pthread_mutex_unlock(&q->lock);
    for (;;) {
        pthread_mutex_lock(&q->lock);
        j = q->jobs;
        while (j && j->state == QUEUED && q->starts < MAX_STARTS)
            j = j->next;
        pthread_mutex_unlock(&q->lock);
        if (!j)
            break;
        if (j->state == CANCELLING)
            finish_failed(q, j, FSD_CANCELLED, "cancelled");
        else
            finish_failed(q, j, FSD_DEVICE, sentence);
    }
    for (;;) { /* probes are asked again, twice */
        fsd_probe answer = {.status = FSD_DEVICE};
        probe *p;

        pthread_mutex_lock(&q->lock);
        p = q->probes;
        while (p && p->tries < 3 && q->starts < MAX_STARTS)
            p = p->next;
        pthread_mutex_unlock(&q->lock);
        if (!p)
            break;
        fsd_fail(&answer.error, FSD_DEVICE, "%s", sentence);
        answer_probe(q, p, &answer);
    }
    if (q->starts >= MAX_STARTS)
        q->starts = MAX_STARTS - 1; /* the next order gets a new try, and soon a new answer */
    tell(q, sentence);
}

static bool send_probe(fsd_queue *q, probe *p)
{
    char *folder = fsd_job_escape(p->folder);
    fsd_str text = {0};
    char *whole;
    bool ok;

    fsd_str_printf(&text, "job=probe\nid=p%" PRIu64 "\nmodel=%s\n%s\n", p->id, folder ? folder : "",
                   p->hash ? "hash=1\n" : "");
    whole = fsd_str_take(&text);
    ok = folder && whole && fsd_worker_send(q->worker, whole);
    p->tries++;
    p->sent = true;
    fsd_free(whole);
    fsd_free(folder);
    return ok;
}

/* Give the engine what it can take: all probes, one picture at a time. False if it is dead. */
static bool feed(fsd_queue *q)
{
    job *next = NULL;
    fsd_error err = {0};
    bool ok = true;

    pthread_mutex_lock(&q->lock);
    for (probe *p = q->probes; p && ok; p = p->next) {
        if (!p->sent)
            ok = send_probe(q, p);
    }
    for (job *j = q->jobs; j; j = j->next) {
        if (j->state != QUEUED) {
            next = NULL;
            break;
        }
        if (!next)
            next = j;
    }
    if (next) {
        next->state = RUNNING;
        next->started = now();
    }
    pthread_mutex_unlock(&q->lock);
    if (next && fsd_store_room(q->store, next->bytes + SLACK, &err)) {
        finish_failed(q, next, FSD_NO_SPACE, err.msg);
        return ok && feed(q);
    }
    return next && ok ? fsd_worker_send(q->worker, next->text) : ok;
}

static void hear(fsd_queue *q)
{
    const bool alive = fsd_worker_read(q->worker);
    const char *line;

    while ((line = fsd_worker_line(q->worker))) {
        if (on_line(q, line))
            continue;
        fsd_log("the engine said \"%.200s\"", line);
        on_death(q, "did not keep to its protocol and was stopped");
        return;
    }
    if (!alive)
        on_death(q, "ended");
}

static bool has_work(fsd_queue *q)
{
    bool work;

    pthread_mutex_lock(&q->lock);
    work = q->jobs || q->probes;
    pthread_mutex_unlock(&q->lock);
    return work;
}

static bool is_closing(fsd_queue *q)
{
    bool closing;

    pthread_mutex_lock(&q->lock);
    closing = q->closing;
    pthread_mutex_unlock(&q->lock);
    return closing;
}

/* Cancels that others asked for. */
static bool send_cancels(fsd_queue *q)
{
    char text[64];
    bool ok = true;

    pthread_mutex_lock(&q->lock);
    for (job *j = q->jobs; j && ok; j = j->next) {
        if (j->state == CANCELLING && j->steps >= 0) {
            snprintf(text, sizeof text, "job=cancel\nid=%" PRIu64 "\n\n", j->id);
            j->steps = -1; /* asked */
            ok = fsd_worker_send(q->worker, text);
        }
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

static void wait_for_something(fsd_queue *q)
{
    struct pollfd fds[3] = {{.fd = q->wake, .events = POLLIN}, {.fd = -1}, {.fd = -1}};
    const double left = q->next_start - now();
    int timeout = -1;
    uint64_t ignored;

    if (q->worker) {
        fds[1] = (struct pollfd){.fd = fsd_worker_in(q->worker), .events = POLLIN};
        fds[2] = (struct pollfd){.fd = fsd_worker_out(q->worker), .events = POLLOUT};
    } else if (has_work(q)) {
        timeout = left > 0 ? (int)(left * 1000) + 1 : 0;
    }
    poll(fds, 3, timeout);
    if (fds[0].revents && read(q->wake, &ignored, sizeof ignored) < 0) {
        /* another wake-up took it */
    }
    if (q->worker && fds[2].revents && !fsd_worker_flush(q->worker))
        on_death(q, "ended");
    if (q->worker && fds[1].revents)
        hear(q);
}

static void *queue_main(void *user)
{
    fsd_queue *q = user;
    job *j;

    start_engine(q); /* at once, so that the first picture need not wait for it */
    while (!is_closing(q)) {
        bool alive = true, up;

        if (!q->worker && has_work(q) && now() >= q->next_start)
            start_engine(q);
        pthread_mutex_lock(&q->lock);
        up = q->up;
        pthread_mutex_unlock(&q->lock);
        if (q->worker && up)
            alive = send_cancels(q) && feed(q);
        if (!alive)
            on_death(q, "ended");
        wait_for_something(q);
    }
    fsd_worker_end(q->worker, NULL, 0);
    while (pthread_mutex_lock(&q->lock), j = q->jobs, pthread_mutex_unlock(&q->lock), j)
        finish_failed(q, j, FSD_CANCELLED, "the mount was stopped");
    return NULL;
}

/* --- for others ---------------------------------------------------------------------------------- */

fsd_status fsd_queue_open(fsd_queue **out, fsd_store *store, const char *program, fsd_error *err)
{
    fsd_queue *q = fsd_alloc(sizeof *q);

    *out = NULL;
    if (!q)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a queue");
    q->store = store;
    q->next_id = q->next_ticket = 1;
    pthread_mutex_init(&q->lock, NULL);
    q->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (program)
        snprintf(q->program, sizeof q->program, "%s", program);
    else if (readlink("/proc/self/exe", q->program, sizeof q->program - 1) < 0)
        q->program[0] = '\0';
    if (q->wake < 0 || pthread_create(&q->thread, NULL, queue_main, q)) {
        fsd_free(q);
        return fsd_fail(err, FSD_IO, "the queue's thread cannot be started");
    }
    *out = q;
    return FSD_OK;
}

void fsd_queue_close(fsd_queue *q)
{
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    q->closing = true;
    pthread_mutex_unlock(&q->lock);
    wake(q);
    pthread_join(q->thread, NULL);
    for (int i = 0; i < MAX_FAILURES; i++)
        forget(&q->failures[i]);
    while (q->probes) {
        probe *p = q->probes;
        const fsd_probe answer = {.status = FSD_CANCELLED, .error = {"the mount was stopped"}};

        q->probes = p->next;
        p->done(p->user, &answer);
        fsd_free(p->folder);
        fsd_free(p);
    }
    close(q->wake);
    pthread_mutex_destroy(&q->lock);
    fsd_free(q);
}

static void add_line(fsd_str *text, const char *key, const char *value)
{
    char *escaped = value && *value ? fsd_job_escape(value) : NULL;

    if (escaped)
        fsd_str_printf(text, "%s=%s\n", key, escaped);
    else if (value && *value)
        text->failed = true;
    fsd_free(escaped);
}

static fsd_status job_new(job **out, fsd_queue *q, const fsd_order *order, uint64_t id, fsd_error *err)
{
    job *j = fsd_alloc(sizeof *j);
    fsd_str text = {0};
    char tmp[4096], *settings = NULL;
    fsd_status st;

    *out = NULL;
    if (!j)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a job");
    fsd_store_tmp_name(q->store, ".png", tmp, sizeof tmp);
    st = fsd_settings_to_job(order->settings, &settings, err);
    fsd_str_printf(&text, "job=generate\nid=%" PRIu64 "\n", id);
    add_line(&text, "model", order->model_folder);
    add_line(&text, "model_name", order->model_name);
    add_line(&text, "model_hash", order->model_hash);
    add_line(&text, "preview", order->preview);
    add_line(&text, "out", tmp);
    fsd_str_printf(&text, "%s\n", settings ? settings : "");
    fsd_free(settings);
    *j = (job){.id = id,
               .key = fsd_strdup(order->key),
               .tmp = fsd_strdup(tmp),
               .text = fsd_str_take(&text),
               .notes = order->note && *order->note ? fsd_strdup(order->note) : NULL,
               .bytes = fsd_png_size(order->settings->width, order->settings->height)};
    if (!st && (!j->key || !j->tmp || !j->text))
        st = fsd_fail(err, FSD_NO_MEMORY, "no memory for a job");
    if (st) {
        job_free(j);
        return st;
    }
    *out = j;
    return FSD_OK;
}

static const failure *recent_failure(fsd_queue *q, const char *key)
{
    for (int i = 0; i < MAX_FAILURES; i++) {
        if (q->failures[i].key && strcmp(q->failures[i].key, key) == 0)
            return now() - q->failures[i].when < MEMORY_SECONDS ? &q->failures[i] : NULL;
    }
    return NULL;
}

static job *find(fsd_queue *q, const char *key)
{
    for (job *j = q->jobs; j; j = j->next) {
        if (j->state != CANCELLING && strcmp(j->key, key) == 0)
            return j;
    }
    return NULL;
}

fsd_status fsd_queue_order(fsd_queue *q, const fsd_order *order, fsd_order_done done, void *user,
                           uint64_t *ticket, fsd_error *err)
{
    waiter *w = fsd_alloc(sizeof *w);
    const failure *before;
    fsd_status st = FSD_OK;
    job *j;

    if (!w)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a waiter");
    pthread_mutex_lock(&q->lock);
    before = recent_failure(q, order->key);
    if (before) {
        st = before->status;
        if (err)
            *err = before->error;
    } else if (q->closing) {
        st = fsd_fail(err, FSD_CANCELLED, "the mount is being stopped");
    }
    j = st ? NULL : find(q, order->key);
    if (!st && !j) {
        job **last = &q->jobs;

        st = job_new(&j, q, order, q->next_id, err);
        if (!st) {
            q->next_id++;
            while (*last)
                last = &(*last)->next;
            *last = j;
        }
    }
    if (!st) {
        *w = (waiter){.ticket = q->next_ticket++, .done = done, .user = user, .next = j->waiters};
        *ticket = w->ticket;
        j->waiters = w;
    }
    pthread_mutex_unlock(&q->lock);
    if (st)
        fsd_free(w);
    else
        wake(q);
    return st;
}

/* Nobody wants it any more. Called with the lock; a job that never ran is returned, to be freed. */
static job *abandon(fsd_queue *q, job *j)
{
    if (j->state == QUEUED) {
        take_out(q, j);
        return j;
    }
    j->state = CANCELLING;
    return NULL;
}

bool fsd_queue_leave(fsd_queue *q, uint64_t ticket)
{
    bool left = false;
    job *gone = NULL;

    pthread_mutex_lock(&q->lock);
    for (job *j = q->jobs; j && !left; j = j->next) {
        waiter **link = &j->waiters;

        while (*link && (*link)->ticket != ticket)
            link = &(*link)->next;
        if (!*link)
            continue;
        left = true;
        {
            waiter *w = *link;

            *link = w->next;
            fsd_free(w);
        }
        if (!j->waiters && j->state != CANCELLING && !(j->steps > 0 && 5 * j->step > 4 * j->steps)) {
            gone = abandon(q, j);
            break;
        }
    }
    pthread_mutex_unlock(&q->lock);
    if (gone)
        job_free(gone);
    wake(q);
    return left;
}

/* Cancel the jobs for which `prefix` is all, or the beginning, of their key. */
static bool cancel(fsd_queue *q, const char *prefix, bool whole)
{
    const size_t n = strlen(prefix);
    job *gone = NULL, *next;
    bool found = false;

    pthread_mutex_lock(&q->lock);
    for (job *j = q->jobs; j; j = next) {
        next = j->next;
        if (strncmp(j->key, prefix, n) != 0 || (whole && j->key[n]))
            continue;
        found = true;
        if (abandon(q, j)) {
            j->next = gone;
            gone = j;
        }
    }
    pthread_mutex_unlock(&q->lock);
    while (gone) {
        fsd_outcome outcome = {.status = FSD_CANCELLED, .parameters = "", .notes = ""};

        next = gone->next;
        fsd_fail(&outcome.error, FSD_CANCELLED, "cancelled");
        finish(q, gone, &outcome);
        gone = next;
    }
    wake(q);
    return found;
}

bool fsd_queue_cancel(fsd_queue *q, const char *key)
{
    return cancel(q, key, true);
}

void fsd_queue_cancel_prefix(fsd_queue *q, const char *prefix)
{
    cancel(q, prefix, false);
}

void fsd_queue_forget(fsd_queue *q, const char *key)
{
    pthread_mutex_lock(&q->lock);
    for (int i = 0; i < MAX_FAILURES; i++) {
        if (q->failures[i].key && strcmp(q->failures[i].key, key) == 0)
            forget(&q->failures[i]);
    }
    pthread_mutex_unlock(&q->lock);
}

fsd_status fsd_queue_probe(fsd_queue *q, const char *folder, bool hash,
                           void (*done)(void *user, const fsd_probe *probe), void *user,
                           fsd_error *err)
{
    probe *p = fsd_alloc(sizeof *p), **last = &q->probes;

    if (p)
        *p = (probe){.folder = fsd_strdup(folder), .hash = hash, .done = done, .user = user};
    if (!p || !p->folder) {
        fsd_free(p);
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a probe");
    }
    pthread_mutex_lock(&q->lock);
    p->id = q->next_id++;
    while (*last)
        last = &(*last)->next;
    *last = p;
    pthread_mutex_unlock(&q->lock);
    wake(q);
    return FSD_OK;
}

void fsd_queue_progress(fsd_queue *q, fsd_progress *out)
{
    *out = (fsd_progress){0};
    pthread_mutex_lock(&q->lock);
    out->engine_up = q->up;
    out->made = q->made;
    out->failed = q->failed;
    snprintf(out->engine_about, sizeof out->engine_about, "%s", q->about);
    for (const job *j = q->jobs; j; j = j->next) {
        if (j->state == QUEUED) {
            out->waiting++;
            continue;
        }
        snprintf(out->key, sizeof out->key, "%s", j->key);
        out->step = j->step;
        out->steps = j->steps > 0 ? j->steps : 0;
        out->seconds = now() - j->started;
    }
    pthread_mutex_unlock(&q->lock);
}

void fsd_queue_watch(fsd_queue *q, void (*event)(void *user, const char *line), void *user)
{
    pthread_mutex_lock(&q->lock);
    q->event = event;
    q->event_user = user;
    pthread_mutex_unlock(&q->lock);
}
