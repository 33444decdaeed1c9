/* fsdfs: mount a Stable Diffusion studio, or be its engine. */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/engine.h"
#include "fs/ops.h"
#include "fs/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct options {
    int foreground, debug, allow_other, help, version;
    char *engine, *data;
    const char *places[2]; /* STORE MOUNTPOINT, or MOUNTPOINT alone */
    int count;
} options;

enum { KEY_IGNORE, KEY_HELP, KEY_VERSION };

static const struct fuse_opt SPEC[] = {
    {"-f", offsetof(options, foreground), 1},
    {"-d", offsetof(options, debug), 1},
    {"allow_other", offsetof(options, allow_other), 1},
    {"engine=%s", offsetof(options, engine), 0},
    {"data=%s", offsetof(options, data), 0},
    FUSE_OPT_KEY("-h", KEY_HELP),
    FUSE_OPT_KEY("--help", KEY_HELP),
    FUSE_OPT_KEY("-V", KEY_VERSION),
    FUSE_OPT_KEY("--version", KEY_VERSION),
    /* what mount(8) and fstab lines add */
    FUSE_OPT_KEY("rw", KEY_IGNORE),
    FUSE_OPT_KEY("nosuid", KEY_IGNORE),
    FUSE_OPT_KEY("suid", KEY_IGNORE),
    FUSE_OPT_KEY("nodev", KEY_IGNORE),
    FUSE_OPT_KEY("dev", KEY_IGNORE),
    FUSE_OPT_KEY("exec", KEY_IGNORE),
    FUSE_OPT_KEY("noauto", KEY_IGNORE),
    FUSE_OPT_KEY("auto", KEY_IGNORE),
    FUSE_OPT_KEY("user", KEY_IGNORE),
    FUSE_OPT_KEY("nofail", KEY_IGNORE),
    FUSE_OPT_KEY("_netdev", KEY_IGNORE),
    FUSE_OPT_KEY("auto_unmount", KEY_IGNORE), /* always on */
    FUSE_OPT_KEY("default_permissions", KEY_IGNORE),
    FUSE_OPT_END,
};

static void usage(FILE *to)
{
    fputs("usage: fsdfs [-f] [-d] [-o option,...] [STORE] MOUNTPOINT\n"
          "       fsdfs engine\n"
          "       fsdfs --help | --version\n"
          "\n"
          "Mounts a Stable Diffusion studio: cat \"MOUNTPOINT/models/tiny-emoji/out/red apple.png\" makes that\n"
          "picture. STORE is the folder everything is kept in (~/.local/share/fsdfs).\n"
          "\n"
          "    -f               stay in the foreground\n"
          "    -d               likewise, and print what the kernel asks\n"
          "    -o allow_other   let other users in\n"
          "    -o data=DIR      where the built-in models lie (DIR/models)\n"
          "    -o engine=PATH   the program run as `PATH engine` (this one)\n"
          "\n"
          "Unmount with fusermount3 -u MOUNTPOINT. The mount's own README.txt tells the rest.\n",
          to);
}

static int take_argument(void *user, const char *argument, int key, struct fuse_args *rest)
{
    options *o = user;

    (void)rest;
    switch (key) {
    case KEY_HELP:
        o->help = 1;
        return 0;
    case KEY_VERSION:
        o->version = 1;
        return 0;
    case KEY_IGNORE:
        return 0;
    case FUSE_OPT_KEY_NONOPT:
        if (o->count == 2) {
            fprintf(stderr, "fsdfs: \"%s\" is one argument too many\n", argument);
            return -1;
        }
        o->places[o->count++] = argument;
        return 0;
    default:
        fprintf(stderr, "fsdfs: there is no option \"%s\"; see fsdfs --help\n", argument);
        return -1;
    }
}

static const char *default_store(char *out, size_t size)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

    if (data && *data == '/')
        snprintf(out, size, "%s/fsdfs", data);
    else
        snprintf(out, size, "%s/.local/share/fsdfs", home && *home ? home : "/tmp");
    return out;
}

/* The built-in models: where they were told to be, installed, beside the program, or in the source. */
static void find_data(const char *told, char *out, size_t size)
{
    char program[4096] = "", *slash, models[4096 + 16];
    const ssize_t got = readlink("/proc/self/exe", program, sizeof program - 1);
    const char *places[] = {told, program, FSD_DATA_DIR, FSD_SOURCE_DATA_DIR};

    program[got > 0 ? got : 0] = '\0';
    slash = strrchr(program, '/');
    if (slash)
        snprintf(slash, sizeof program - (size_t)(slash - program), "/../share/fsdfs");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!places[i])
            continue;
        snprintf(models, sizeof models, "%s/models", places[i]);
        if (realpath(places[i], out) && access(models, R_OK) == 0)
            return;
    }
    snprintf(out, size, "%s", FSD_DATA_DIR);
}

/* What a daemon that died left behind is unmounted. */
static void clear_stale_mount(const char *mountpoint)
{
    const int fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a stat may be cached */
    pid_t pid;
    int status;

    if (fd >= 0)
        close(fd);
    if (fd >= 0 || errno != ENOTCONN)
        return;
    pid = fork();
    if (pid == 0) {
        execlp("fusermount3", "fusermount3", "-u", "-z", mountpoint, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    usleep(300000); /* the dead daemon's own unmounter may be on its way too: not over our mount */
}

/* A kernel that gives up waiting requests would abort the whole mount. */
static void warn_of_timeout(void)
{
    static const char *const FILES[] = {"/proc/sys/fs/fuse/default_request_timeout",
                                        "/proc/sys/fs/fuse/max_request_timeout"};

    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(FILES[i], "re");
        int seconds = 0;

        if (file && fscanf(file, "%d", &seconds) == 1 && seconds > 0)
            fsd_log("%s is %d: a picture that takes longer ends the mount; set it to 0", FILES[i], seconds);
        if (file)
            fclose(file);
    }
}

static void on_event(void *user, const char *line)
{
    fsd_fs *fs = user;
    const size_t size = strlen(line) + 1;

    pthread_mutex_lock(&fs->events_lock);
    while (fs->events_size + size > sizeof fs->events) { /* the oldest line goes */
        const char *end = memchr(fs->events, '\n', fs->events_size);
        const size_t gone = end ? (size_t)(end - fs->events) + 1 : fs->events_size;

        fs->events_size -= gone;
        memmove(fs->events, fs->events + gone, fs->events_size);
        if (!fs->events_size)
            break;
    }
    if (size <= sizeof fs->events) {
        memcpy(fs->events + fs->events_size, line, size - 1);
        fs->events[fs->events_size + size - 1] = '\n';
        fs->events_size += size;
    }
    pthread_mutex_unlock(&fs->events_lock);
}

/* A model that cannot draw is a problem of its place. */
static void on_model(void *user, const char *name)
{
    fsd_fs *fs = user;
    fsd_model_entry entry;
    char path[300];

    snprintf(path, sizeof path, "models/%s", name);
    if (fsd_catalog_get(fs->catalog, name, &entry) && entry.probed && entry.problem_status)
        fsd_problem_set(fs->problems, path, entry.problem, "Mend or replace the model's files.");
    else
        fsd_problem_clear(fs->problems, path);
}

/* --- the life of a mount ------------------------------------------------------------------------- */

typedef struct life {
    fsd_mount mount;
    fsd_fs fs;
    pthread_t signals, main;
    bool stopping; /* protected by lock */
    pthread_mutex_t lock;
} life;

/* In this order: waiters are answered, what was made is published, then the loop ends. */
static void stop(life *l)
{
    bool first;

    pthread_mutex_lock(&l->lock);
    first = !l->stopping;
    l->stopping = true;
    pthread_mutex_unlock(&l->lock);
    if (!first)
        return;
    fsd_queue_close(l->fs.queue);
    fsd_publisher_close(l->fs.publisher);
    l->fs.publisher = NULL;
    fuse_session_exit(l->mount.session);
    pthread_kill(l->main, SIGUSR2); /* it waits on a semaphore, which a signal interrupts */
}

static void *signals_main(void *user)
{
    life *l = user;
    sigset_t set;
    int signal_number;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigwait(&set, &signal_number);
    stop(l);
    return NULL;
}

static void do_nothing(int signal_number)
{
    (void)signal_number;
}

static fsd_status start(life *l, const options *o, fsd_error *err)
{
    fsd_fs *fs = &l->fs;
    char log[4096];
    fsd_status st;

    fs->uid = getuid();
    fs->gid = getgid();
    fs->started = time(NULL);
    pthread_mutex_init(&fs->events_lock, NULL);
    fs->problems = fsd_problems_new();
    fs->tree = fsd_tree_new();
    if (!fs->problems || !fs->tree)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory to mount");
    st = fsd_store_path(fs->store, ".fsdfs/log.txt", log, sizeof log, err);
    if (!st)
        st = fsd_log_open(log, err);
    if (!st)
        st = fsd_store_path(fs->store, ".fsdfs/preview.png", fs->preview, sizeof fs->preview, err);
    if (!st)
        st = fsd_queue_open(&fs->queue, fs->store, o->engine, err);
    if (!st) {
        fsd_queue_watch(fs->queue, on_event, fs);
        st = fsd_catalog_open(&fs->catalog, fs->store, fs->queue, fs->data_dir, err);
    }
    if (!st) {
        fsd_catalog_watch(fs->catalog, on_model, fs);
        st = fsd_parking_open(&l->mount.parking, fs, err);
    }
    if (!st)
        st = fsd_publisher_open(&fs->publisher, fs, fsd_ops_invalidate, err);
    return st;
}

static void end(life *l)
{
    fsd_fs *fs = &l->fs;

    fsd_parking_close(l->mount.parking);
    fsd_catalog_close(fs->catalog);
    fsd_tree_free(fs->tree);
    fsd_problems_free(fs->problems);
    fsd_log_close();
    fsd_store_close(fs->store);
}

static int run(life *l)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int code;

    fuse_loop_cfg_set_max_threads(config, 16);
    fuse_loop_cfg_set_clone_fd(config, 0);
    fsd_log("mounted %s, store %s", l->fs.mountpoint, fsd_store_root(l->fs.store));
    warn_of_timeout();
    code = fuse_session_loop_mt(l->mount.session, config);
    fuse_loop_cfg_destroy(config);
    return code < 0 ? 1 : 0;
}

static struct fuse_session *new_session(const options *o, fsd_mount *mount)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_session *session = NULL;

    if (fuse_opt_add_arg(&args, "fsdfs") == 0 &&
        fuse_opt_add_arg(&args, "-ofsname=fsdfs,subtype=fsdfs,default_permissions,auto_unmount") == 0 &&
        (!o->allow_other || fuse_opt_add_arg(&args, "-oallow_other") == 0) &&
        (!o->debug || fuse_opt_add_arg(&args, "-odebug") == 0))
        session = fuse_session_new(&args, &fsd_ops, sizeof fsd_ops, mount);
    fuse_opt_free_args(&args);
    return session;
}

static int mount_and_serve(life *l, const options *o)
{
    const struct sigaction quiet = {.sa_handler = do_nothing};
    fsd_error err;
    sigset_t set;
    int code;

    l->mount.fs = &l->fs;
    l->mount.session = new_session(o, &l->mount);
    if (!l->mount.session || fuse_session_mount(l->mount.session, l->fs.mountpoint)) {
        fprintf(stderr, "fsdfs: %s cannot be mounted on\n", l->fs.mountpoint);
        if (l->mount.session)
            fuse_session_destroy(l->mount.session);
        fsd_store_close(l->fs.store);
        return 1;
    }
    fuse_daemonize(o->foreground || o->debug);
    fsd_store_claim(l->fs.store);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGUSR2, &quiet, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* all threads: one waits for them */
    l->main = pthread_self();
    pthread_mutex_init(&l->lock, NULL);
    fsd_ops_set_mount(&l->mount);
    code = start(l, o, &err) ? 1 : 0;
    if (code) {
        fsd_log("%s", err.msg);
        fprintf(stderr, "fsdfs: %s\n", err.msg);
    } else if (pthread_create(&l->signals, NULL, signals_main, l) == 0) {
        code = run(l);
        stop(l); /* unmounted from outside: the same, but nobody answers the publisher any more */
        pthread_kill(l->signals, SIGTERM);
        pthread_join(l->signals, NULL);
    }
    fsd_log("unmounted");
    fuse_session_unmount(l->mount.session);
    fsd_ops_set_mount(NULL);
    end(l);
    fuse_session_destroy(l->mount.session);
    return code;
}

static int fail(const char *sentence)
{
    fprintf(stderr, "fsdfs: %s\n", sentence);
    return 1;
}

static int mount_main(const options *o)
{
    const char *mountpoint = o->places[o->count - 1];
    static life l;
    char store[4096];
    fsd_error err;

    clear_stale_mount(mountpoint);
    if (!realpath(mountpoint, l.fs.mountpoint)) {
        fprintf(stderr, "fsdfs: %s: %s\n", mountpoint, strerror(errno));
        return 1;
    }
    find_data(o->data, l.fs.data_dir, sizeof l.fs.data_dir);
    if (fsd_store_open(&l.fs.store, o->count == 2 ? o->places[0] : default_store(store, sizeof store), &err))
        return fail(err.msg);
    if (strncmp(fsd_store_root(l.fs.store), l.fs.mountpoint, strlen(l.fs.mountpoint)) == 0 &&
        strchr("/", fsd_store_root(l.fs.store)[strlen(l.fs.mountpoint)])) {
        fsd_store_close(l.fs.store);
        return fail("the store must not lie below the mount point");
    }
    return mount_and_serve(&l, o);
}

/* The engine's threads wait for each other hundreds of times a step. Where another program has the core,
 * libgomp's default of spinning for milliseconds makes a busy machine twenty times slower; it reads the
 * setting once, when it is loaded, so the engine is started over with it. */
static int run_engine(char **argv)
{
    if (!getenv("GOMP_SPINCOUNT") && !setenv("GOMP_SPINCOUNT", "10000", 1))
        execv("/proc/self/exe", argv); /* if that cannot be, it is only slower */
    return fsd_engine_main(0, 1, 0);
}

int main(int argc, char **argv)
{
    struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
    options o = {0};
    int code = 1;

    if (argc == 2 && strcmp(argv[1], "engine") == 0)
        return run_engine(argv);
    if (fuse_opt_parse(&args, &o, SPEC, take_argument) == 0) {
        if (o.help) {
            usage(stdout);
            code = 0;
        } else if (o.version) {
            printf("fsdfs %s\nlibfuse %s\n", FSD_VERSION, fuse_pkgversion());
            code = 0;
        } else if (!o.count) {
            usage(stderr);
        } else {
            code = mount_main(&o);
        }
    }
    fuse_opt_free_args(&args);
    return code;
}
