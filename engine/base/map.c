#include "engine/base/map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t EMPTY[1]; /* mmap refuses a length of 0 */

static fsd_status map_fd(fsd_map *map, int fd, const char *path, fsd_error *err)
{
    struct stat info;
    void *base;

    if (fstat(fd, &info))
        return fsd_fail_errno(err, "%s", path);
    if (!S_ISREG(info.st_mode))
        return fsd_fail(err, FSD_FORMAT, "%s: not a regular file", path);
    if (info.st_size == 0) {
        map->base = EMPTY;
        return FSD_OK;
    }
    if ((uintmax_t)info.st_size > SIZE_MAX)
        return fsd_fail(err, FSD_UNSUPPORTED, "%s: too large to map here", path);
    base = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return fsd_fail_errno(err, "%s", path);
    *map = (fsd_map){base, (size_t)info.st_size};
    return FSD_OK;
}

fsd_status fsd_map_open(fsd_map *map, const char *path, fsd_error *err)
{
    /* O_NONBLOCK: a FIFO must not hold us up before fstat refuses it. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    fsd_status st;

    *map = (fsd_map){0};
    if (fd < 0)
        return fsd_fail_errno(err, "%s", path);
    st = map_fd(map, fd, path, err);
    close(fd);
    return st;
}

/* The kernel takes a void * it does not write through. */
static void *unconst(const uint8_t *at)
{
    return (void *)(uintptr_t)at;
}

void fsd_map_close(fsd_map *map)
{
    if (map->size)
        munmap(unconst(map->base), map->size);
    *map = (fsd_map){0};
}

void fsd_map_drop(const fsd_map *map, size_t offset, size_t length)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t first, end;

    if (offset > map->size)
        return;
    end = length > map->size - offset ? map->size : offset + length;
    first = offset / page + (offset % page != 0);
    /* Nothing but the file lies in its last page, so the map's end counts as a page's end. */
    end = end == map->size ? end / page + (end % page != 0) : end / page;
    if (first < end)
        madvise((char *)unconst(map->base) + first * page, (end - first) * page, MADV_DONTNEED);
}
