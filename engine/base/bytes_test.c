#include "engine/base/bytes.h"

#include "tests/harness/check.h"

#include <string.h>

TEST(loads_read_the_stated_order_at_any_alignment)
{
    static const uint8_t b[] = {0, 0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8};

    CHECK(fsd_load_u16le(b + 1) == 0x9281);
    CHECK(fsd_load_u32le(b + 1) == 0xb4a39281);
    CHECK(fsd_load_u64le(b + 1) == 0xf8e7d6c5b4a39281);
    CHECK(fsd_load_u16be(b + 1) == 0x8192);
    CHECK(fsd_load_u32be(b + 1) == 0x8192a3b4);
    CHECK(fsd_load_u64be(b + 1) == 0x8192a3b4c5d6e7f8);
}

TEST(stores_write_what_loads_read_and_nothing_beside_it)
{
    static const uint8_t le[] = {1, 0x34, 0x12, 2, 0x78, 0x56, 0x34, 0x92, 3,
                                 8, 7,    6,    5, 4,    3,    2,    0x81, 4};
    static const uint8_t be[] = {1,    0x12, 0x34, 2, 0x92, 0x34, 0x56, 0x78, 3,
                                 0x81, 2,    3,    4, 5,    6,    7,    8,    4};
    uint8_t b[18] = {[0] = 1, [3] = 2, [8] = 3, [17] = 4};

    fsd_store_u16le(b + 1, 0x1234);
    fsd_store_u32le(b + 4, 0x92345678);
    fsd_store_u64le(b + 9, 0x8102030405060708);
    CHECK(memcmp(b, le, sizeof b) == 0);
    fsd_store_u16be(b + 1, 0x1234);
    fsd_store_u32be(b + 4, 0x92345678);
    fsd_store_u64be(b + 9, 0x8102030405060708);
    CHECK(memcmp(b, be, sizeof b) == 0);
}
