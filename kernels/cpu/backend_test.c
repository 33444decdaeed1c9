#include "kernels/backend.h"

#include "engine/base/mem.h"
#include "tests/harness/check.h"

#include <stdint.h>

TEST(a_backend_tells_what_it_is)
{
    fsd_backend *be;
    fsd_error err = {0};

    REQUIRE(!fsd_backend_cpu_open(&be, 1, &err));
    CHECK_STR(be->name, "cpu");
    CHECK_HAS(be->about, "oneDNN");
    CHECK_HAS(be->about, "1 thread");
    fsd_backend_close(be);
    REQUIRE(!fsd_backend_ref_open(&be, &err));
    CHECK_STR(be->name, "ref");
    CHECK(!be->fast_bf16);
    fsd_backend_close(be);
    fsd_backend_close(NULL);
}

TEST(every_slot_of_a_table_is_filled)
{
    fsd_backend *both[2];

    REQUIRE(!fsd_backend_cpu_open(&both[0], 0, NULL));
    REQUIRE(!fsd_backend_ref_open(&both[1], NULL));
    for (int i = 0; i < 2; i++) {
        const fsd_backend *be = both[i];

        CHECK(be->pack && be->pack_bytes && be->unpack && be->alloc && be->free && be->close);
#define CHECK_OP(op) CHECK(be->op && be->op##_workspace)
        CHECK_OP(linear);
        CHECK_OP(conv);
        CHECK_OP(attention);
        CHECK_OP(group_norm);
        CHECK_OP(layer_norm);
        CHECK_OP(embedding);
        CHECK_OP(sinusoid);
        CHECK_OP(unary);
        CHECK_OP(to_channels_last);
        CHECK_OP(to_channels_first);
        fsd_backend_close(both[i]);
    }
}

TEST(memory_is_aligned_and_zeroed_at_any_size)
{
    fsd_backend *be;

    REQUIRE(!fsd_backend_cpu_open(&be, 0, NULL));
    for (size_t bytes = 0; bytes < 200; bytes += 13) {
        unsigned char *block;
        int other = 0;

        REQUIRE(!be->alloc(be, (void **)&block, bytes, NULL));
        CHECK_EQ((uintptr_t)block % 64, 0);
        for (size_t i = 0; i < bytes; i++)
            other += block[i] != 0;
        CHECK_EQ(other, 0);
        be->free(be, block, bytes);
    }
    be->free(be, NULL, 0);
    fsd_backend_close(be);
}

TEST(more_memory_than_there_is_is_an_error)
{
    fsd_backend *be;
    fsd_error err = {0};
    void *block;

    REQUIRE(!fsd_backend_cpu_open(&be, 0, NULL));
    CHECK_EQ(be->alloc(be, &block, SIZE_MAX - 10, &err), FSD_NO_MEMORY);
    CHECK(!block);
    CHECK_HAS(err.msg, "no memory for");
    fsd_backend_close(be);
}

TEST_OOM(opening_copes_without_memory)
{
    fsd_backend *be;
    fsd_status st = fsd_backend_cpu_open(&be, 0, NULL);

    CHECK(st == FSD_OK || st == FSD_NO_MEMORY);
    CHECK(!st == !!be);
    fsd_backend_close(be);
}
