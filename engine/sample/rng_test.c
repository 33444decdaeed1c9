#include "engine/sample/rng.h"

#include "tests/harness/check.h"
#include "tests/harness/numeric.h"

#include <string.h>

/* The order of tests/oracle/sample.py. */
static const struct {
    uint64_t seed;
    size_t sizes[8];
} DRAWS[] = {
    {0, {16384}},
    {42, {1, 5, 15, 16, 17, 31, 100}},
    {UINT64_C(1) << 31, {4096, 7, 4096}},
    {(UINT64_C(1) << 32) + 7, {4096}},
    {123456789, {3, 3, 64, 2, 2}},
};

TEST(noise_is_torchs_for_the_same_seed_draw_by_draw)
{
    size_t count;
    const float *golden = check_npy_f32("tests/golden/sample/noise.npy", &count);
    static float out[16384];

    for (size_t i = 0; i < sizeof DRAWS / sizeof *DRAWS; i++) {
        fsd_rng rng;

        fsd_rng_seed(&rng, DRAWS[i].seed);
        for (int k = 0; k < 8 && DRAWS[i].sizes[k]; k++) {
            const size_t n = DRAWS[i].sizes[k];

            REQUIRE(n <= count);
            fsd_rng_normal(&rng, out, n);
            CHECK(check_relative_error(out, golden, n) < 1e-6);
            CHECK(check_max_abs(out, golden, n) < 1e-5);
            golden += n;
            count -= n;
        }
    }
    CHECK_EQ(count, 0);
}

TEST(the_twister_gives_its_published_numbers)
{
    fsd_rng rng;

    fsd_rng_seed(&rng, 5489); /* the reference implementation's default seed */
    CHECK_EQ(fsd_rng_next32(&rng), 3499211612u);
    CHECK_EQ(fsd_rng_next32(&rng), 581869302u);
    for (int i = 0; i < 9997; i++)
        fsd_rng_next32(&rng);
    CHECK_EQ(fsd_rng_next32(&rng), 4123659995u); /* the 10000th, as C++11's standard says */
}

TEST(draws_of_sixteen_and_more_may_be_cut_into_pieces)
{
    float whole[4096 + 256], pieces[4096 + 256];
    fsd_rng a, b;

    fsd_rng_seed(&a, 9);
    fsd_rng_seed(&b, 9);
    fsd_rng_normal(&a, whole, 4096 + 256);
    fsd_rng_normal(&b, pieces, 4096);
    fsd_rng_normal(&b, pieces + 4096, 256);
    CHECK(memcmp(whole, pieces, sizeof whole) == 0);
}
