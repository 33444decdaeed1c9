/* status.h: how a failure travels: a status for the kernel, a sentence for the person.
 *
 * Nothing below main exits, aborts or prints. A function that can fail returns fsd_status (which
 * fs/ turns into an errno) and fills the caller's fsd_error (which becomes a line of PROBLEM.txt).
 * fsd_error has a fixed size, so that reporting "no memory" allocates nothing. Each layer adds the
 * one fact it knows with fsd_wrap. `err` may be NULL where the caller wants the status alone. */
#ifndef FSD_BASE_STATUS_H
#define FSD_BASE_STATUS_H

#include <stdarg.h>

#define FSD_MUST_CHECK __attribute__((warn_unused_result))
#define FSD_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

typedef enum fsd_status {
    FSD_OK = 0,
    FSD_INVALID,     /* the request is wrong: EINVAL */
    FSD_UNSUPPORTED, /* understood, but not possible yet or here: EOPNOTSUPP, EINVAL in out/ */
    FSD_MISSING,     /* something needed is not there: ENODATA */
    FSD_FORMAT,      /* a file's content is damaged: EBADMSG */
    FSD_NAME_LENGTH, /* a name is too long: ENAMETOOLONG */
    FSD_IO,          /* the system refused to read or write: EIO */
    FSD_NO_SPACE,    /* the store is full: ENOSPC */
    FSD_NO_MEMORY,   /* ENOMEM */
    FSD_DEVICE,      /* the engine or its device failed: EIO */
    FSD_CANCELLED,   /* nobody wants the result any more: EINTR */
    FSD_BUSY,        /* somebody else holds it: EBUSY */
    FSD_DENIED,      /* EACCES */
    FSD_NEWER,       /* made by a newer fsdfs: EPROTO */
    FSD_STATUS_COUNT
} fsd_status;

typedef struct fsd_error {
    char msg[1024]; /* one sentence, UTF-8, no newline, never truncated within a character */
} fsd_error;

/* Write the sentence and return `st`, so that `return fsd_fail(...)` is one line. */
fsd_status fsd_fail(fsd_error *err, fsd_status st, const char *fmt, ...) FSD_PRINTF(3, 4);
fsd_status fsd_vfail(fsd_error *err, fsd_status st, const char *fmt, va_list args);
/* Put "<context>: " before the sentence that is there, and return `st`. */
fsd_status fsd_wrap(fsd_error *err, fsd_status st, const char *fmt, ...) FSD_PRINTF(3, 4);
/* FSD_NO_SPACE, FSD_MISSING, FSD_DENIED … for the present errno, FSD_IO for the rest; the sentence
 * is "<context>: <strerror>". */
fsd_status fsd_fail_errno(fsd_error *err, const char *fmt, ...) FSD_PRINTF(2, 3);

int fsd_status_errno(fsd_status st);         /* 0 for FSD_OK */
const char *fsd_status_name(fsd_status st);  /* "EBADMSG"-like word of the protocol, "OK" */
fsd_status fsd_status_parse(const char *name); /* FSD_DEVICE for a word we do not know */

#endif
