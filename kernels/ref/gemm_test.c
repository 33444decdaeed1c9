/* Against torch (tests/oracle/kernels.py), whose rows these are. */
#include "kernels/try_test.h"

static const try_linear CASES[] = {
    {1, 1, 0, 1, FSD_ACT_NONE, true, false, false, 0},
    {3, 5, 0, 7, FSD_ACT_SILU, true, false, false, 0},
    {5, 63, 0, 65, FSD_ACT_QUICK_GELU, true, true, false, 0},
    {2, 17, 0, 3, FSD_ACT_GELU, false, false, false, 0},
    {4, 8, 5, 6, FSD_ACT_NONE, true, true, false, 0},
    {3, 9, 4, 5, FSD_ACT_SILU, false, true, false, 0},
    {6, 12, 0, 9, FSD_ACT_GEGLU, true, false, false, 0},
    {1, 31, 0, 2, FSD_ACT_GEGLU, false, false, false, 0},
};
enum { COUNT = sizeof CASES / sizeof *CASES };

static const float *take(const float **at, int64_t count)
{
    const float *here = *at;

    *at += count;
    return count ? here : NULL;
}

/* The operands of a case and torch's result, from the stream. */
static const float *next(const float **at, const try_linear *c, try_operands *o)
{
    const int64_t outs = try_outs(c);

    o->x = take(at, c->rows * c->in);
    o->x2 = take(at, c->rows * c->in2);
    o->w = take(at, outs * (c->in + c->in2));
    o->bias = take(at, c->bias ? outs : 0);
    o->residual = take(at, c->residual ? c->rows * c->out : 0);
    return take(at, c->rows * c->out);
}

static void compare(fsd_dtype type, double tolerance, int pad, bool in_place)
{
    size_t count;
    const float *golden = check_npy_f32("tests/golden/kernels/linear.npy", &count), *at = golden;
    fsd_backend *be;

    REQUIRE(!fsd_backend_ref_open(&be, NULL));
    for (int i = 0; i < COUNT; i++) {
        try_linear c = CASES[i];
        try_operands o = {0};
        const float *expected = next(&at, &c, &o);
        float y[5 * 65];

        c.pad = pad;
        c.in_place = in_place && c.residual;
        REQUIRE(!try_linear_run(be, type, &c, &o, y, NULL));
        CHECK_NEAR(check_relative_error(y, expected, (size_t)(c.rows * c.out)), 0, tolerance);
    }
    CHECK_EQ(at - golden, count); /* the tables agree */
    fsd_backend_close(be);
}

TEST(linear_layers_are_what_torch_says)
{
    compare(FSD_F32, 1e-6, 0, false);
}

TEST(rows_may_be_wider_than_their_content_and_the_residual_may_be_the_result)
{
    compare(FSD_F32, 1e-6, 3, true);
}

TEST(bf16_activations_are_rounded_and_nothing_else_is)
{
    compare(FSD_BF16, 1e-2, 1, false);
}

static fsd_status run_with(fsd_backend *be, const try_linear *c, fsd_dtype packed_for,
                           fsd_error *err)
{
    const try_operands o = try_linear_operands(c);
    const int64_t dim[4] = {try_outs(c), c->in + c->in2, 1, 1};
    const fsd_pack what = try_pack(FSD_PACK_LINEAR, packed_for, dim, o.w, FSD_F32);
    float y[64];
    fsd_packed *w;
    fsd_status st = be->pack(be, &w, &what, err);

    if (!st)
        st = try_linear_packed(be, FSD_F32, c, &o, w, y, err);
    be->unpack(be, w);
    return st;
}

TEST(a_weight_of_another_layer_is_refused)
{
    const try_linear c = {2, 3, 0, 4, FSD_ACT_NONE, true, false, false, 0};
    const try_linear two = {2, 3, 2, 4, FSD_ACT_NONE, true, false, false, 0};
    const try_linear gated = {2, 3, 0, 4, FSD_ACT_GEGLU, true, false, false, 0};
    fsd_error err = {0};
    fsd_backend *be;

    REQUIRE(!fsd_backend_ref_open(&be, &err));
    CHECK_EQ(run_with(be, &c, FSD_F32, &err), FSD_OK);
    CHECK_EQ(run_with(be, &c, FSD_BF16, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "4 x 3");
    CHECK_EQ(run_with(be, &two, FSD_F32, &err), FSD_INVALID);   /* packed without a split */
    CHECK_EQ(run_with(be, &gated, FSD_F32, &err), FSD_INVALID); /* not packed for GEGLU */
    fsd_backend_close(be);
}
