/* digest.h: SHA-256, the name by which models, photos and checkpoints are known again. */
#ifndef FSD_BASE_DIGEST_H
#define FSD_BASE_DIGEST_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FSD_SHA256_SIZE = 32, FSD_SHA256_HEX = 2 * FSD_SHA256_SIZE + 1 };

FSD_MUST_CHECK fsd_status fsd_sha256(const void *bytes, size_t size,
                                     uint8_t digest[FSD_SHA256_SIZE], fsd_error *err);

/* Of a regular file, as long as it is while being read. A checkpoint takes seconds: `cancelled`
 * (NULL: never) is asked with `user` before every read of 1 MiB, and true ends in FSD_CANCELLED. */
FSD_MUST_CHECK fsd_status fsd_sha256_file(const char *path, bool (*cancelled)(void *user),
                                          void *user, uint8_t digest[FSD_SHA256_SIZE],
                                          fsd_error *err);

/* Lower case, with its NUL. */
void fsd_sha256_hex(char hex[FSD_SHA256_HEX], const uint8_t digest[FSD_SHA256_SIZE]);

#endif
