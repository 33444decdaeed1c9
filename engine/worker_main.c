/* The engine's process: jobs in, lines out. The protocol: engine.h.
 *
 * Three threads: the reader (this one) parses jobs and answers cancel and probe at once, so that
 * neither waits behind a picture; one makes pictures, in order; one hashes. */
#include "engine/base/digest.h"
#include "engine/base/mem.h"
#include "engine/engine.h"
#include "engine/image/infotext.h"
#include "engine/pipeline/generate.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE = 64 << 10, MAX_ID = 24 };

typedef struct job {
    char kind[16], id[MAX_ID];
    char *model, *out, *preview, *model_name, *model_hash;
    bool hash;
    fsd_settings settings;
    fsd_status status; /* of its parsing: the first thing that was wrong */
    fsd_error error;
    atomic_bool cancelled;
    struct job *next;
} job;

/* Jobs of one kind, one after another, on a thread of their own. */
typedef struct lane {
    struct server *server;
    pthread_t thread;
    pthread_cond_t changed;
    void (*run)(struct server *, job *);
    job *first, *running; /* protected by server->lock, as all below */
    bool ending;
} lane;

typedef struct server {
    int in, out;
    pthread_mutex_t lock, out_lock;
    fsd_engine engine;       /* the picture lane's */
    fsd_backend *prober;     /* the reader's own: probes must not wait for a picture */
    lane pictures, hashes;
    atomic_bool quitting;
} server;

/* A line is whole even when two threads answer. If nobody listens any more there is nothing left to
 * do, and the reader sees the end of its input. */
static void say(server *s, const char *fmt, ...) FSD_PRINTF(2, 3);
static void say(server *s, const char *fmt, ...)
{
    va_list args, again;
    char *line;
    int length;

    va_start(args, fmt);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    line = length < 0 ? NULL : fsd_alloc((size_t)length + 2);
    if (line) {
        vsnprintf(line, (size_t)length + 1, fmt, again);
        line[length++] = '\n';
    }
    va_end(again);
    pthread_mutex_lock(&s->out_lock);
    for (int done = 0; line && done < length;) {
        const ssize_t wrote = write(s->out, line + done, (size_t)(length - done));

        if (wrote < 0 && errno != EINTR)
            break;
        done += wrote > 0 ? (int)wrote : 0;
    }
    pthread_mutex_unlock(&s->out_lock);
    fsd_free(line);
}

static void say_failed(server *s, const job *j, fsd_status st, const fsd_error *err)
{
    char *text = fsd_job_escape(err->msg);

    say(s, "failed id=%s status=%s text=%s", j->id, fsd_status_name(st), text ? text : "no memory");
    fsd_free(text);
}

static void say_text(server *s, const char *event, const char *id, const char *sentence)
{
    char *text = fsd_job_escape(sentence);

    say(s, "%s id=%s text=%s", event, id, text ? text : "");
    fsd_free(text);
}

static void job_free(job *j)
{
    fsd_free(j->model);
    fsd_free(j->out);
    fsd_free(j->preview);
    fsd_free(j->model_name);
    fsd_free(j->model_hash);
    fsd_settings_clear(&j->settings);
    fsd_free(j);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- pictures ------------------------------------------------------------------------------- */

typedef struct heard {
    server *server;
    job *job;
} heard;

static bool is_cancelled(void *user)
{
    const heard *h = user;

    return atomic_load(&h->job->cancelled) || atomic_load(&h->server->quitting);
}

static void on_progress(void *user, int step, int steps)
{
    const heard *h = user;

    say(h->server, "progress id=%s step=%d steps=%d", h->job->id, step, steps);
}

static void on_note(void *user, const char *sentence)
{
    const heard *h = user;

    say_text(h->server, "note", h->job->id, sentence);
}

/* Write under a temporary name beside it, fsync, rename: whoever looks sees a whole file or none. */
static fsd_status write_picture(const char *path, const uint8_t *rgb, int width, int height,
                                const char *parameters, fsd_error *err)
{
    char tmp[4096];
    fsd_status st;
    int fd;

    if (snprintf(tmp, sizeof tmp, "%s.tmp-%ld", path, (long)getpid()) >= (int)sizeof tmp)
        return fsd_fail(err, FSD_NAME_LENGTH, "%s: the path is too long", path);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fsd_fail_errno(err, "%s", tmp);
    st = fsd_png_write(fd, rgb, width, height, parameters, NULL, err);
    if (!st && fsync(fd))
        st = fsd_fail_errno(err, "%s", tmp);
    if (close(fd) && !st)
        st = fsd_fail_errno(err, "%s", tmp);
    if (!st && rename(tmp, path))
        st = fsd_fail_errno(err, "%s", path);
    if (st)
        unlink(tmp);
    return st;
}

static void on_preview(void *user, const uint8_t *rgb, int width, int height)
{
    const heard *h = user;
    fsd_error err;

    /* A preview is a courtesy: one that cannot be written is no reason to fail the picture. */
    if (!write_picture(h->job->preview, rgb, width, height, "", &err))
        say(h->server, "preview id=%s", h->job->id);
}

static fsd_status make_picture(server *s, job *j, char **parameters, fsd_picture *picture,
                               fsd_error *err)
{
    heard h = {s, j};
    const fsd_generate_events events = {.cancelled = is_cancelled,
                                        .progress = on_progress,
                                        .note = on_note,
                                        .preview = j->preview ? on_preview : NULL,
                                        .user = &h};
    fsd_limits limits;
    fsd_model *model;
    fsd_status st;

    st = fsd_residency_get(s->engine.residency, &model, j->model, err);
    if (st)
        return st;
    fsd_model_limits(model, &limits);
    st = fsd_settings_resolve(&j->settings, &limits, err);
    if (!st)
        st = fsd_generate(&s->engine, j->model, &j->settings, &events, picture, err);
    if (st)
        return st;
    j->settings.seed_given = true;
    j->settings.seed = picture->seed;
    st = fsd_infotext_write(parameters, &j->settings, j->model_name, j->model_hash,
                            picture->precision, err);
    return st ? st
              : write_picture(j->out, picture->rgb, picture->width, picture->height, *parameters, err);
}

static void run_picture(server *s, job *j)
{
    const double start = now();
    fsd_picture picture = {0};
    char *parameters = NULL;
    fsd_error err;
    fsd_status st;

    say(s, "started id=%s", j->id);
    st = make_picture(s, j, &parameters, &picture, &err);
    if (st) {
        say_failed(s, j, st, &err);
    } else {
        char *text = fsd_job_escape(parameters);

        say(s,
            "done id=%s width=%d height=%d seed=%llu seconds=%.3f first_step=%.3f planned=%zu text=%s",
            j->id, picture.width, picture.height, (unsigned long long)picture.seed, now() - start,
            picture.seconds_to_first_step, picture.planned_bytes, text ? text : "");
        fsd_free(text);
    }
    fsd_free(parameters);
    fsd_picture_clear(&picture);
}

/* --- probes --------------------------------------------------------------------------------- */

static void run_probe(server *s, job *j)
{
    fsd_engine engine = {.backend = s->prober};
    heard h = {s, j};
    char hash[FSD_SHA256_HEX] = "-", path[FSD_PATH];
    uint8_t digest[FSD_SHA256_SIZE];
    fsd_diffusers info;
    fsd_limits limits;
    fsd_error err;
    fsd_status st = fsd_probe_model(&engine, j->model, &limits, &info, &err);

    if (!st && j->hash) {
        st = fsd_diffusers_weights(&info, "unet", path, &err);
        if (!st)
            st = fsd_sha256_file(path, is_cancelled, &h, digest, &err);
        if (!st)
            fsd_sha256_hex(hash, digest);
    }
    if (st) {
        say_failed(s, j, st, &err);
        return;
    }
    if (info.sampler_note[0])
        say_text(s, "note", j->id, info.sampler_note);
    say(s,
        "model id=%s family=%s width=%d height=%d multiple=%d max_side=%d sampler=%s schedule=%s "
        "hash=%s text=Stable Diffusion 1.x, diffusers folder; %s, %s prediction",
        j->id, limits.family, limits.width, limits.height, limits.multiple, limits.max_side,
        info.sampler, info.spacing, hash, info.scheduler_class,
        info.schedule.prediction == FSD_PREDICTION_V ? "v" : "epsilon");
}

/* --- lanes ---------------------------------------------------------------------------------- */

static void *lane_main(void *user)
{
    lane *l = user;
    server *s = l->server;

    pthread_mutex_lock(&s->lock);
    for (;;) {
        job *j;

        while (!l->first && !l->ending)
            pthread_cond_wait(&l->changed, &s->lock);
        if (!l->first)
            break;
        j = l->running = l->first;
        l->first = j->next;
        pthread_mutex_unlock(&s->lock);
        if (is_cancelled(&(heard){s, j}))
            say_failed(s, j, FSD_CANCELLED, &(fsd_error){"cancelled"});
        else
            l->run(s, j);
        pthread_mutex_lock(&s->lock);
        l->running = NULL;
        job_free(j);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static int lane_start(lane *l, server *s, void (*run)(server *, job *))
{
    l->server = s;
    l->run = run;
    pthread_cond_init(&l->changed, NULL);
    return pthread_create(&l->thread, NULL, lane_main, l);
}

static void lane_end(lane *l)
{
    pthread_mutex_lock(&l->server->lock);
    l->ending = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->server->lock);
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->changed);
}

static void lane_add(lane *l, job *j)
{
    job **last = &l->first;

    pthread_mutex_lock(&l->server->lock);
    while (*last)
        last = &(*last)->next;
    *last = j;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->server->lock);
}

static void lane_cancel(lane *l, const char *id)
{
    pthread_mutex_lock(&l->server->lock);
    for (job *j = l->first; j; j = j->next) {
        if (strcmp(j->id, id) == 0)
            atomic_store(&j->cancelled, true);
    }
    if (l->running && strcmp(l->running->id, id) == 0)
        atomic_store(&l->running->cancelled, true);
    pthread_mutex_unlock(&l->server->lock);
}

/* --- jobs ----------------------------------------------------------------------------------- */

static fsd_status set_text(char **field, const char *value, fsd_error *err)
{
    char *copy = fsd_strdup(value);

    if (!copy)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a job");
    fsd_free(*field);
    *field = copy;
    return FSD_OK;
}

static bool plain_id(const char *value)
{
    const size_t length = strlen(value);

    return length > 0 && length < MAX_ID && strspn(value, "0123456789abcdefghijklmnopqrstuvwxyz-") == length;
}

static fsd_status set_key(job *j, const char *key, const char *value, fsd_error *err)
{
    if (strcmp(key, "job") == 0) {
        if (strlen(value) >= sizeof j->kind)
            return fsd_fail(err, FSD_INVALID, "no job is called %s", value);
        snprintf(j->kind, sizeof j->kind, "%s", value);
        return FSD_OK;
    }
    if (strcmp(key, "id") == 0) {
        if (!plain_id(value))
            return fsd_fail(err, FSD_INVALID, "an id is 1 to %d digits or small letters", MAX_ID - 1);
        snprintf(j->id, sizeof j->id, "%s", value);
        return FSD_OK;
    }
    if (strcmp(key, "model") == 0)
        return set_text(&j->model, value, err);
    if (strcmp(key, "out") == 0)
        return set_text(&j->out, value, err);
    if (strcmp(key, "preview") == 0)
        return set_text(&j->preview, value, err);
    if (strcmp(key, "model_name") == 0)
        return set_text(&j->model_name, value, err);
    if (strcmp(key, "model_hash") == 0)
        return set_text(&j->model_hash, value, err);
    if (strcmp(key, "hash") == 0) {
        j->hash = strcmp(value, "1") == 0;
        return FSD_OK;
    }
    return fsd_settings_set(&j->settings, key, value, err);
}

/* The first thing that is wrong with a job is its answer; the rest of its lines is skipped. */
static void read_line(job *j, char *line)
{
    char *equals = strchr(line, '='), *value;

    if (j->status)
        return;
    if (!equals) {
        j->status = fsd_fail(&j->error, FSD_INVALID, "a line of a job is key=value, not \"%s\"", line);
        return;
    }
    *equals = '\0';
    value = fsd_job_unescape(equals + 1);
    j->status = value ? set_key(j, line, value, &j->error)
                      : fsd_fail(&j->error, FSD_INVALID, "%s: a stray backslash", line);
    fsd_free(value);
}

static void check_job(job *j)
{
    const bool picture = strcmp(j->kind, "generate") == 0, probe = strcmp(j->kind, "probe") == 0;

    if (j->status)
        return;
    if (!picture && !probe && strcmp(j->kind, "cancel") && strcmp(j->kind, "quit"))
        j->status = fsd_fail(&j->error, FSD_INVALID,
                             "job is generate, probe, cancel or quit, not \"%s\"", j->kind);
    else if ((picture || probe) && !j->model)
        j->status = fsd_fail(&j->error, FSD_INVALID, "a %s job needs model=", j->kind);
    else if (picture && !j->out)
        j->status = fsd_fail(&j->error, FSD_INVALID, "a generate job needs out=");
    if (!j->id[0])
        snprintf(j->id, sizeof j->id, "0");
}

/* Takes the job over. False: stop reading. */
static bool start_job(server *s, job *j)
{
    bool go_on = true;

    check_job(j);
    if (j->status) {
        say_failed(s, j, j->status, &j->error);
    } else if (strcmp(j->kind, "generate") == 0) {
        lane_add(&s->pictures, j);
        return true;
    } else if (strcmp(j->kind, "probe") == 0 && j->hash) {
        lane_add(&s->hashes, j);
        return true;
    } else if (strcmp(j->kind, "probe") == 0) {
        run_probe(s, j);
    } else if (strcmp(j->kind, "cancel") == 0) {
        lane_cancel(&s->pictures, j->id);
        lane_cancel(&s->hashes, j->id);
    } else {
        atomic_store(&s->quitting, true);
        go_on = false;
    }
    job_free(j);
    return go_on;
}

static job *job_new(void)
{
    job *j = fsd_alloc(sizeof *j);

    if (j && fsd_settings_init(&j->settings, NULL)) {
        fsd_free(j);
        return NULL;
    }
    return j;
}

static int read_jobs(server *s)
{
    FILE *in = fdopen(s->in, "r");
    char *line = fsd_alloc(MAX_LINE);
    job *j = NULL;
    int code = in && line ? 0 : 1;

    while (!code && fgets(line, MAX_LINE, in)) {
        const size_t length = strcspn(line, "\r\n");
        const bool whole = line[length] != '\0' || feof(in);

        line[length] = '\0';
        if (!whole) { /* the protocol's two sides are ours: such a line is a fault, not a job */
            say(s, "failed id=0 status=INVALID text=a line of a job is longer than %d bytes", MAX_LINE);
            code = 1;
            break;
        }
        if (!j && !length)
            continue;
        if (!j && !(j = job_new())) {
            code = 1;
            break;
        }
        if (length) {
            read_line(j, line);
            continue;
        }
        if (!start_job(s, j)) {
            j = NULL;
            break;
        }
        j = NULL;
    }
    if (j)
        start_job(s, j); /* a last job without its blank line, typed by hand */
    fsd_free(line);
    if (in)
        fclose(in);
    return code;
}

int fsd_engine_main(int in_fd, int out_fd, int die_with_parent)
{
    server s = {.in = in_fd, .out = out_fd};
    fsd_error err;
    char *about;
    int code = 1;

    signal(SIGPIPE, SIG_IGN);
    if (die_with_parent)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    pthread_mutex_init(&s.lock, NULL);
    pthread_mutex_init(&s.out_lock, NULL);
    if (fsd_engine_open(&s.engine, "cpu", 0, &err) || fsd_backend_ref_open(&s.prober, &err)) {
        job none = {.id = "0"};

        say_failed(&s, &none, FSD_DEVICE, &err);
        fsd_engine_close(&s.engine);
        return 1;
    }
    about = fsd_job_escape(s.engine.backend->about);
    say(&s, "ready backend=%s about=%s", s.engine.backend->name, about ? about : "");
    fsd_free(about);
    if (!lane_start(&s.pictures, &s, run_picture)) {
        if (!lane_start(&s.hashes, &s, run_probe)) {
            code = read_jobs(&s);
            lane_end(&s.hashes);
        }
        lane_end(&s.pictures);
    }
    fsd_backend_close(s.prober);
    fsd_engine_close(&s.engine);
    return code;
}
