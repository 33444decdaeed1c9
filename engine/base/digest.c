#include "engine/base/digest.h"

#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };

/* With valid arguments only memory can be missing. */
static fsd_status no_memory(fsd_error *err)
{
    return fsd_fail(err, FSD_NO_MEMORY, "no memory for a SHA-256");
}

fsd_status fsd_sha256(const void *bytes, size_t size, uint8_t digest[FSD_SHA256_SIZE],
                      fsd_error *err)
{
    if (!EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL))
        return no_memory(err);
    return FSD_OK;
}

/* read() and not a mapping: a file that is cut short meanwhile must not end in SIGBUS. */
static fsd_status feed(EVP_MD_CTX *sha, int fd, void *chunk, bool (*cancelled)(void *user),
                       void *user, fsd_error *err)
{
    for (;;) {
        ssize_t got;

        if (cancelled && cancelled(user))
            return fsd_fail(err, FSD_CANCELLED, "nobody needs its SHA-256 any more");
        got = read(fd, chunk, CHUNK);
        if (got == 0)
            return FSD_OK;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fsd_fail_errno(err, "reading");
        if (!EVP_DigestUpdate(sha, chunk, (size_t)got))
            return no_memory(err);
    }
}

static fsd_status digest_fd(int fd, bool (*cancelled)(void *user), void *user, uint8_t *digest,
                            fsd_error *err)
{
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    void *chunk = fsd_alloc(CHUNK);
    fsd_status st;

    if (!sha || !chunk || !EVP_DigestInit_ex(sha, EVP_sha256(), NULL))
        st = no_memory(err);
    else
        st = feed(sha, fd, chunk, cancelled, user, err);
    if (!st && !EVP_DigestFinal_ex(sha, digest, NULL))
        st = no_memory(err);
    fsd_free(chunk);
    EVP_MD_CTX_free(sha);
    return st;
}

fsd_status fsd_sha256_file(const char *path, bool (*cancelled)(void *user), void *user,
                           uint8_t digest[FSD_SHA256_SIZE], fsd_error *err)
{
    /* O_NONBLOCK: a FIFO must not hold us up before fstat refuses it. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    fsd_status st;

    if (fd < 0)
        return fsd_fail_errno(err, "%s", path);
    if (fstat(fd, &info))
        st = fsd_fail_errno(err, "%s", path);
    else if (!S_ISREG(info.st_mode))
        st = fsd_fail(err, FSD_FORMAT, "%s: not a regular file", path);
    else if ((st = digest_fd(fd, cancelled, user, digest, err)) != FSD_OK)
        st = fsd_wrap(err, st, "%s", path);
    close(fd);
    return st;
}

void fsd_sha256_hex(char hex[FSD_SHA256_HEX], const uint8_t digest[FSD_SHA256_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < FSD_SHA256_SIZE; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[FSD_SHA256_HEX - 1] = '\0';
}
