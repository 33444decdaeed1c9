#include "engine/base/map.h"

#include "tests/harness/check.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGES = 4 };

TEST(a_mapped_file_is_its_bytes)
{
    fsd_map map;
    fsd_error err = {0};

    REQUIRE(!fsd_map_open(&map, check_tmp_file("weights", 7), &err));
    CHECK_EQ(map.size, 7);
    CHECK(memcmp(map.base, "weights", 7) == 0);
    fsd_map_close(&map);
    CHECK(!map.base && !map.size);
    fsd_map_close(&map);
}

TEST(an_empty_file_has_a_base_and_no_bytes)
{
    fsd_map map;

    REQUIRE(!fsd_map_open(&map, check_tmp_file("", 0), NULL));
    CHECK(map.base && map.size == 0);
    fsd_map_drop(&map, 0, 1);
    fsd_map_close(&map);
}

TEST(only_regular_files_are_mapped)
{
    const char *dir = check_tmp_dir();
    char fifo[256];
    fsd_map map;
    fsd_error err = {0};

    CHECK(fsd_map_open(&map, dir, &err) == FSD_FORMAT);
    CHECK_HAS(err.msg, dir);
    CHECK(!map.base);
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    REQUIRE(!mkfifo(fifo, 0600));
    CHECK(fsd_map_open(&map, fifo, &err) == FSD_FORMAT);
    CHECK(fsd_map_open(&map, "/nonexistent/file", &err) == FSD_MISSING);
    CHECK_HAS(err.msg, "/nonexistent/file");
}

/* Which of the map's pages this process has in its page table, a bit a page. */
static unsigned resident(const fsd_map *map)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    FILE *table = fopen("/proc/self/pagemap", "rb");
    unsigned bits = 0;

    for (int i = 0; table && i < PAGES; i++) {
        uint64_t entry = 0;

        if (fseeko(table, (off_t)(((uintptr_t)map->base / page + (uintptr_t)i) * sizeof entry),
                   SEEK_SET) ||
            fread(&entry, sizeof entry, 1, table) != 1)
            entry = 0;
        bits |= (unsigned)(entry >> 63) << i;
    }
    if (table)
        fclose(table);
    return bits;
}

static void touch(const fsd_map *map)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    for (size_t at = 0; at < map->size; at += page)
        CHECK_EQ(map->base[at], 'w');
}

TEST(dropping_takes_whole_pages_inside_the_range_and_no_byte_is_lost)
{
    static char bytes[PAGES << 16];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = PAGES * page - 100;
    fsd_map map;

    REQUIRE(size <= sizeof bytes);
    memset(bytes, 'w', size);
    REQUIRE(!fsd_map_open(&map, check_tmp_file(bytes, size), NULL));
    madvise((void *)(uintptr_t)map.base, map.size, MADV_RANDOM); /* no page by read-around */
    touch(&map);
    if (resident(&map) != 0xf) {
        fsd_map_close(&map);
        SKIP("/proc/self/pagemap tells nothing here");
    }
    fsd_map_drop(&map, 1, 2 * page); /* page 1 is the only whole one */
    CHECK_EQ(resident(&map), 0xd);
    touch(&map);
    fsd_map_drop(&map, 2 * page, SIZE_MAX); /* to the end: the last page has nothing else */
    CHECK_EQ(resident(&map), 0x3);
    touch(&map);
    fsd_map_drop(&map, 1, page);
    fsd_map_drop(&map, size + 1, 1);
    fsd_map_drop(&map, 0, 0);
    CHECK_EQ(resident(&map), 0xf);
    touch(&map);
    fsd_map_close(&map);
}
