#include "fs/worker.h"

#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_LINE = 64 << 10, MAX_UNSENT = 4 << 20 };

struct fsd_worker {
    pid_t pid;
    int in, out; /* our ends: its output, its input */
    char *unsent;
    size_t unsent_size;
    char *heard; /* MAX_LINE + 1 bytes */
    size_t heard_size, taken;
};

/* In the child, between fork and exec: only what is safe there. */
static void become(const char *program, int in, int out, int complaints, pid_t parent)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1); /* it died before we asked */
    for (int i = 1; i < 32; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* a Ctrl-C on the terminal is the mount's business */
    if (chdir("/") || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(complaints, 2) < 0)
        _exit(1);
    execl(program, program, "engine", (char *)NULL);
    _exit(127);
}

fsd_status fsd_worker_start(fsd_worker **out, const char *program, const char *complaints,
                            fsd_error *err)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1}, errors = -1;
    fsd_worker *worker = fsd_alloc(sizeof *worker);
    char *heard = fsd_alloc(MAX_LINE + 1);
    const pid_t parent = getpid();
    fsd_status st = FSD_OK;

    *out = NULL;
    if (!worker || !heard)
        st = fsd_fail(err, FSD_NO_MEMORY, "no memory to start the engine");
    else if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
        st = fsd_fail_errno(err, "pipes to the engine");
    if (!st) {
        if (complaints)
            errors = open(complaints, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (errors < 0)
            errors = open("/dev/null", O_WRONLY | O_CLOEXEC);
        *worker = (fsd_worker){.in = from[0], .out = to[1], .heard = heard};
        worker->pid = fork();
        if (worker->pid == 0)
            become(program, to[0], from[1], errors, parent);
        if (worker->pid < 0)
            st = fsd_fail_errno(err, "starting the engine");
    }
    if (errors >= 0)
        close(errors);
    if (to[0] >= 0)
        close(to[0]);
    if (from[1] >= 0)
        close(from[1]);
    if (st) {
        if (to[1] >= 0)
            close(to[1]);
        if (from[0] >= 0)
            close(from[0]);
        fsd_free(heard);
        fsd_free(worker);
        return st;
    }
    fcntl(worker->in, F_SETFL, O_NONBLOCK);
    fcntl(worker->out, F_SETFL, O_NONBLOCK);
    *out = worker;
    return FSD_OK;
}

void fsd_worker_end(fsd_worker *worker, char *why, size_t size)
{
    int status = 0;

    if (!worker)
        return;
    /* Dead already? Then its own end is what is told, else that we killed it. */
    if (waitpid(worker->pid, &status, WNOHANG) != worker->pid) {
        kill(worker->pid, SIGKILL);
        while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    if (why && WIFSIGNALED(status))
        snprintf(why, size, "signal %d", WTERMSIG(status));
    else if (why)
        snprintf(why, size, "exit code %d", WEXITSTATUS(status));
    close(worker->in);
    close(worker->out);
    fsd_free(worker->unsent);
    fsd_free(worker->heard);
    fsd_free(worker);
}

int fsd_worker_in(const fsd_worker *worker)
{
    return worker->in;
}

int fsd_worker_out(const fsd_worker *worker)
{
    return worker->unsent_size ? worker->out : -1;
}

bool fsd_worker_flush(fsd_worker *worker)
{
    while (worker->unsent_size) {
        const ssize_t wrote = write(worker->out, worker->unsent, worker->unsent_size);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return errno == EAGAIN;
        worker->unsent_size -= (size_t)wrote;
        memmove(worker->unsent, worker->unsent + wrote, worker->unsent_size);
    }
    return true;
}

bool fsd_worker_send(fsd_worker *worker, const char *text)
{
    const size_t size = strlen(text);
    char *grown;

    if (worker->unsent_size + size > MAX_UNSENT)
        return false;
    grown = fsd_grow(worker->unsent, worker->unsent_size + size);
    if (!grown)
        return false;
    memcpy(grown + worker->unsent_size, text, size);
    worker->unsent = grown;
    worker->unsent_size += size;
    return fsd_worker_flush(worker);
}

bool fsd_worker_read(fsd_worker *worker)
{
    ssize_t got;

    if (worker->taken) { /* room for what comes: lines that were taken go */
        worker->heard_size -= worker->taken;
        memmove(worker->heard, worker->heard + worker->taken, worker->heard_size);
        worker->taken = 0;
    }
    if (worker->heard_size == MAX_LINE)
        return false; /* a line that does not end is no line of ours */
    got = read(worker->in, worker->heard + worker->heard_size, MAX_LINE - worker->heard_size);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    worker->heard_size += (size_t)got;
    return got > 0;
}

const char *fsd_worker_line(fsd_worker *worker)
{
    char *line = worker->heard + worker->taken;
    char *end = memchr(line, '\n', worker->heard_size - worker->taken);

    if (!end)
        return NULL;
    *end = '\0';
    worker->taken += (size_t)(end - line) + 1;
    return line;
}
