#include "engine/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local long fail_after = -1;
static _Thread_local int failed;

static int must_fail(void)
{
    if (fail_after < 0)
        return 0;
    if (fail_after-- > 0)
        return 0;
    failed = 1;
    return 1;
}

void *fsd_alloc(size_t size)
{
    return must_fail() ? NULL : calloc(1, size ? size : 1);
}

void *fsd_alloc_array(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    return fsd_alloc(count * size);
}

void *fsd_grow(void *block, size_t size)
{
    return must_fail() ? NULL : realloc(block, size ? size : 1);
}

char *fsd_strndup(const char *text, size_t length)
{
    const size_t used = strnlen(text, length);
    char *copy = fsd_alloc(used + 1);

    if (copy)
        memcpy(copy, text, used);
    return copy;
}

char *fsd_strdup(const char *text)
{
    return fsd_strndup(text, strlen(text));
}

void fsd_free(void *block)
{
    free(block);
}

void fsd_mem_fail_after(long n)
{
    fail_after = n;
    failed = 0;
}

int fsd_mem_failed(void)
{
    return failed;
}
