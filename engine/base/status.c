#include "engine/base/status.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int number;
} TABLE[FSD_STATUS_COUNT] = {
    [FSD_OK] = {"OK", 0},
    [FSD_INVALID] = {"INVALID", EINVAL},
    [FSD_UNSUPPORTED] = {"UNSUPPORTED", EOPNOTSUPP},
    [FSD_MISSING] = {"MISSING", ENODATA},
    [FSD_FORMAT] = {"FORMAT", EBADMSG},
    [FSD_NAME_LENGTH] = {"NAME_LENGTH", ENAMETOOLONG},
    [FSD_IO] = {"IO", EIO},
    [FSD_NO_SPACE] = {"NO_SPACE", ENOSPC},
    [FSD_NO_MEMORY] = {"NO_MEMORY", ENOMEM},
    [FSD_DEVICE] = {"DEVICE", EIO},
    [FSD_CANCELLED] = {"CANCELLED", EINTR},
    [FSD_BUSY] = {"BUSY", EBUSY},
    [FSD_DENIED] = {"DENIED", EACCES},
    [FSD_NEWER] = {"NEWER", EPROTO},
};

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* The message is one line of PROBLEM.txt: control characters become spaces, and a character cut
 * in two by the end of the buffer goes as a whole. */
static void tidy(char *msg, size_t size)
{
    size_t len = strlen(msg);

    if (len == size - 1) {
        while (len > 0 && is_continuation(msg[len - 1]))
            len--;
        if (len > 0 && ((unsigned char)msg[len - 1] & 0x80))
            len--;
        msg[len] = '\0';
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)msg[i] < 0x20 || msg[i] == 0x7f)
            msg[i] = ' ';
    }
}

fsd_status fsd_vfail(fsd_error *err, fsd_status st, const char *fmt, va_list args)
{
    if (err) {
        vsnprintf(err->msg, sizeof err->msg, fmt, args);
        tidy(err->msg, sizeof err->msg);
    }
    return st;
}

fsd_status fsd_fail(fsd_error *err, fsd_status st, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fsd_vfail(err, st, fmt, args);
    va_end(args);
    return st;
}

fsd_status fsd_wrap(fsd_error *err, fsd_status st, const char *fmt, ...)
{
    char inner[sizeof err->msg];
    size_t used;
    va_list args;

    if (!err)
        return st;
    memcpy(inner, err->msg, sizeof inner);
    va_start(args, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    used = strlen(err->msg);
    snprintf(err->msg + used, sizeof err->msg - used, ": %s", inner);
    tidy(err->msg, sizeof err->msg);
    return st;
}

static fsd_status from_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return FSD_MISSING;
    case ENOSPC:
    case EDQUOT:
        return FSD_NO_SPACE;
    case ENOMEM:
        return FSD_NO_MEMORY;
    case ENAMETOOLONG:
        return FSD_NAME_LENGTH;
    case EACCES:
    case EPERM:
    case EROFS:
        return FSD_DENIED;
    case EBUSY:
        return FSD_BUSY;
    default:
        return FSD_IO;
    }
}

fsd_status fsd_fail_errno(fsd_error *err, const char *fmt, ...)
{
    const int number = errno;
    const fsd_status st = from_errno(number);
    char text[128];
    va_list args;

    va_start(args, fmt);
    fsd_vfail(err, st, fmt, args);
    va_end(args);
    if (err) {
        const size_t used = strlen(err->msg);

        snprintf(err->msg + used, sizeof err->msg - used, ": %s",
                 strerror_r(number, text, sizeof text));
        tidy(err->msg, sizeof err->msg);
    }
    return st;
}

int fsd_status_errno(fsd_status st)
{
    return st < FSD_STATUS_COUNT ? TABLE[st].number : EIO;
}

const char *fsd_status_name(fsd_status st)
{
    return st < FSD_STATUS_COUNT ? TABLE[st].name : "DEVICE";
}

fsd_status fsd_status_parse(const char *name)
{
    for (int i = 0; i < FSD_STATUS_COUNT; i++) {
        if (strcmp(TABLE[i].name, name) == 0)
            return (fsd_status)i;
    }
    return FSD_DEVICE;
}
