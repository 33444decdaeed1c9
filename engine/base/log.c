#include "engine/base/log.h"

#include "engine/base/mem.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SIZE = 1 << 20, MAX_LINE = 2048 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int file = -1;      /* protected by lock, as is path */
static char path[4096];

fsd_status fsd_log_open(const char *name, fsd_error *err)
{
    const int fd = open(name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return fsd_fail_errno(err, "%s", name);
    pthread_mutex_lock(&lock);
    if (file >= 0)
        close(file);
    file = fd;
    snprintf(path, sizeof path, "%s", name);
    pthread_mutex_unlock(&lock);
    return FSD_OK;
}

void fsd_log_close(void)
{
    pthread_mutex_lock(&lock);
    if (file >= 0)
        close(file);
    file = -1;
    pthread_mutex_unlock(&lock);
}

/* Keep the younger half, from the start of a line: written beside it and renamed over it. */
static void halve(void)
{
    char tmp[sizeof path + 8], *half = fsd_alloc(MAX_SIZE / 2);
    const off_t size = lseek(file, 0, SEEK_END);
    const ssize_t got = half ? pread(file, half, MAX_SIZE / 2, size - MAX_SIZE / 2) : -1;
    const char *start = got > 0 ? memchr(half, '\n', (size_t)got) : NULL;
    int fd;

    snprintf(tmp, sizeof tmp, "%s.new", path);
    fd = start ? open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (fd >= 0) {
        const size_t kept = (size_t)(got - (start + 1 - half));

        if (write(fd, start + 1, kept) == (ssize_t)kept && rename(tmp, path) == 0) {
            close(file);
            file = fd;
        } else {
            close(fd);
            unlink(tmp);
        }
    }
    fsd_free(half);
}

void fsd_log(const char *fmt, ...)
{
    char line[MAX_LINE];
    const time_t now = time(NULL);
    struct tm tm;
    struct stat info;
    size_t used;
    va_list args;

    localtime_r(&now, &tm);
    used = strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S ", &tm);
    va_start(args, fmt);
    vsnprintf(line + used, sizeof line - used - 1, fmt, args);
    va_end(args);
    for (char *c = line; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    }
    used = strlen(line);
    line[used++] = '\n';
    pthread_mutex_lock(&lock);
    if (write(file >= 0 ? file : STDERR_FILENO, line, used) < 0) {
        /* A log that cannot be written has nobody left to tell. */
    }
    if (file >= 0 && fstat(file, &info) == 0 && info.st_size > MAX_SIZE)
        halve();
    pthread_mutex_unlock(&lock);
}
