/* Against torch (tests/oracle/kernels.py), whose rows these are. */
#include "kernels/try_test.h"

static const try_conv CASES[] = {
    {TRY_3X3(1, 5, 4, 3, 2), .bias = true},
    {2, 6, 5, 4, 3, 3, 3, 2, 1, 1, 1, 1, .bias = true, .add = 2},
    {1, 4, 4, 2, 5, 1, 1, 1, 0, 0, 0, 0, .bias = false},
    {1, 6, 7, 2, 3, 3, 3, 2, 0, 0, 1, 1, .bias = true},
    {TRY_3X3(2, 3, 4, 2, 3), TRY_UP(6, 8), .bias = true, .add = 1},
    {TRY_3X3(1, 3, 3, 2, 2), TRY_UP(5, 5), .bias = true, .residual = true},
    {TRY_3X3(1, 4, 3, 5, 4), .add = 2, .residual = true},
    {2, 5, 6, 2, 3, 3, 1, 1, 1, 0, 1, 0, .bias = true, .add = 1, .residual = true},
};
enum { COUNT = sizeof CASES / sizeof *CASES };

static const float *take(const float **at, size_t count)
{
    const float *here = *at;

    *at += count;
    return count ? here : NULL;
}

static const float *next(const float **at, const try_conv *c, try_operands *o)
{
    o->x = take(at, (size_t)(c->n * c->h * c->w * c->in));
    o->w = take(at, (size_t)(c->out * c->in * c->kh * c->kw));
    o->bias = take(at, c->bias ? (size_t)c->out : 0);
    o->add = take(at, c->add ? (size_t)(c->out * (c->add == 2 ? c->n : 1)) : 0);
    o->residual = take(at, c->residual ? try_conv_count(c) : 0);
    return take(at, try_conv_count(c));
}

static void compare(fsd_dtype type, double tolerance, bool in_place)
{
    size_t count;
    const float *golden = check_npy_f32("tests/golden/kernels/conv.npy", &count), *at = golden;
    fsd_backend *be;

    REQUIRE(!fsd_backend_ref_open(&be, NULL));
    for (int i = 0; i < COUNT; i++) {
        try_conv c = CASES[i];
        try_operands o = {0};
        const float *expected = next(&at, &c, &o);
        float y[512];

        c.in_place = in_place && c.residual;
        REQUIRE(try_conv_count(&c) <= sizeof y / sizeof *y);
        REQUIRE(!try_conv_run(be, type, &c, &o, y, NULL));
        CHECK_NEAR(check_relative_error(y, expected, try_conv_count(&c)), 0, tolerance);
    }
    CHECK_EQ(at - golden, count); /* the tables agree */
    fsd_backend_close(be);
}

TEST(convolutions_are_what_torch_says)
{
    compare(FSD_F32, 1e-6, false);
}

TEST(the_residual_may_be_the_result)
{
    compare(FSD_F32, 1e-6, true);
}

TEST(bf16_activations_are_rounded_and_nothing_else_is)
{
    compare(FSD_BF16, 1e-2, false);
}

static fsd_status refused(fsd_backend *be, try_conv c, fsd_error *err)
{
    const int64_t dim[4] = {2, 3, 3, 3};
    const fsd_pack what =
        try_pack(FSD_PACK_CONV, FSD_F32, dim, try_floats(2 * 3 * 3 * 3, 3, 1), FSD_F32);
    const try_operands o = {.x = try_floats(4 * 4 * 4, 1, 1)};
    float y[512];
    fsd_packed *w;
    fsd_status st = be->pack(be, &w, &what, err);

    if (!st)
        st = try_conv_packed(be, FSD_F32, &c, &o, w, y, err);
    be->unpack(be, w);
    return st;
}

TEST(sizes_out_of_contract_are_refused_with_their_numbers)
{
    const try_conv good = {TRY_3X3(1, 4, 4, 3, 2), .bias = false};
    try_conv c = good;
    fsd_error err = {0};
    fsd_backend *be;

    REQUIRE(!fsd_backend_ref_open(&be, &err));
    CHECK_EQ(refused(be, good, &err), FSD_OK);
    c.in = 4;
    CHECK_EQ(refused(be, c, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "another one's weight");
    c = good;
    c.upsample = true;
    c.up_h = 9; /* 4 rows become 7 or 8 */
    c.up_w = 8;
    CHECK_EQ(refused(be, c, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "4 x 4 upsampled to 9 x 8");
    c = good;
    c.top = -1;
    CHECK_EQ(refused(be, c, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "1 x 4 x 4 x 3 by 3 x 3");
    fsd_backend_close(be);
}
