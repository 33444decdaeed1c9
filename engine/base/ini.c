#include "engine/base/ini.h"

#include "engine/base/mem.h"

#include <fcntl.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_SIZE = 1 << 20, MAX_NAME = 100 };

/* What stands between our reader, which hands inih a line at a time, and its handler. */
typedef struct reading {
    const char *at, *end;
    int line;
    char *value; /* of the line that inih has in hand; it sees "key=1" instead */
    fsd_ini_visit visit;
    void *user;
    fsd_status status;
    fsd_error *err;
} reading;

static fsd_status fail(reading *r, const char *sentence)
{
    if (!r->status)
        r->status = fsd_fail(r->err, FSD_INVALID, "line %d: %s", r->line, sentence);
    return r->status;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void trim(const char **from, const char **to)
{
    while (*from < *to && is_blank(**from))
        ++*from;
    while (*to > *from && is_blank((*to)[-1]))
        --*to;
}

static void set_value(reading *r, const char *from, const char *to)
{
    trim(&from, &to);
    if (to - from >= 2 && *from == '"' && to[-1] == '"') {
        from++;
        to--;
    }
    fsd_free(r->value);
    r->value = fsd_strndup(from, (size_t)(to - from));
    if (!r->value && !r->status)
        r->status = fsd_fail(r->err, FSD_NO_MEMORY, "line %d: no memory for its value", r->line);
}

/* "key=1" or "[section]" for inih; an empty line for what it need not see. */
static void hand_over(reading *r, char *out, int size, const char *from, const char *to)
{
    const char *equals, *key_end;

    out[0] = '\0';
    trim(&from, &to);
    if (from == to || *from == '#' || *from == ';')
        return;
    if (*from == '[') {
        if (to[-1] != ']' || to - from < 3 || to - from > MAX_NAME)
            fail(r, "a section is [name], of at most 98 bytes");
        else
            snprintf(out, (size_t)size, "%.*s\n", (int)(to - from), from);
        return;
    }
    equals = memchr(from, '=', (size_t)(to - from));
    if (!equals) {
        fail(r, "neither \"key = value\" nor a [section] nor a comment");
        return;
    }
    key_end = equals;
    trim(&from, &key_end);
    if (key_end == from || key_end - from > MAX_NAME || memchr(from, ':', (size_t)(key_end - from))) {
        fail(r, "its key is empty, has a ':' or is over 100 bytes");
        return;
    }
    set_value(r, equals + 1, to);
    snprintf(out, (size_t)size, "%.*s=1\n", (int)(key_end - from), from);
}

/* inih asks for a line as fgets would give it. */
static char *next_line(char *out, int size, void *stream)
{
    reading *r = stream;
    const char *stop, *to;

    if (r->status || r->at >= r->end)
        return NULL;
    stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
    to = stop ? stop : r->end;
    r->line++;
    if (memchr(r->at, '\0', (size_t)(to - r->at)))
        fail(r, "a zero byte: this is not a text");
    else
        hand_over(r, out, size, r->at, to > r->at && to[-1] == '\r' ? to - 1 : to);
    r->at = stop ? stop + 1 : r->end;
    if (r->status)
        return NULL;
    if (!out[0])
        snprintf(out, (size_t)size, "\n");
    return out;
}

static int handle(void *user, const char *section, const char *key, const char *value)
{
    reading *r = user;

    (void)value;
    if (!r->status) {
        r->status = r->visit(r->user, section, key, r->value, r->line, r->err);
        if (r->status)
            fsd_wrap(r->err, r->status, "line %d", r->line);
    }
    return r->status == FSD_OK;
}

fsd_status fsd_ini_parse(const char *text, size_t size, fsd_ini_visit visit, void *user,
                         fsd_error *err)
{
    reading r = {.at = text, .end = text + size, .visit = visit, .user = user, .err = err};
    int line;

    if (size > MAX_SIZE)
        return fsd_fail(err, FSD_INVALID, "it has %zu bytes, of at most %d", size, MAX_SIZE);
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        r.at += 3;
    line = ini_parse_stream(next_line, &r, handle, &r);
    if (line > 0 && !r.status) {
        r.line = line;
        fail(&r, "inih cannot read it");
    }
    fsd_free(r.value);
    return r.status;
}

fsd_status fsd_ini_read(const char *path, fsd_ini_visit visit, void *user, fsd_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    char *text = NULL;
    size_t used = 0;
    ssize_t got = 1;
    fsd_status st = FSD_OK;

    if (fd < 0)
        return fsd_fail_errno(err, "%s", path);
    if (fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_size > MAX_SIZE)
        st = fsd_fail(err, FSD_INVALID, "not a file of at most %d bytes", MAX_SIZE);
    else if (!(text = fsd_alloc((size_t)info.st_size + 1)))
        st = fsd_fail(err, FSD_NO_MEMORY, "no memory for it");
    while (!st && got > 0 && used < (size_t)info.st_size) {
        got = read(fd, text + used, (size_t)info.st_size - used);
        if (got < 0)
            st = fsd_fail_errno(err, "reading");
        else
            used += (size_t)got;
    }
    close(fd);
    if (!st)
        st = fsd_ini_parse(text, used, visit, user, err);
    fsd_free(text);
    return st ? fsd_wrap(err, st, "%s", path) : FSD_OK;
}
