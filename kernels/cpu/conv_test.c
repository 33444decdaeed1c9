/* Against kernels/ref, for both types of activations, on sizes that break blocking. */
#include "kernels/try_test.h"

static double error_of(fsd_backend *cpu, fsd_backend *ref, fsd_dtype type, const try_conv *c)
{
    const try_operands o = try_conv_operands(c);
    const size_t count = try_conv_count(c);
    float *y = fsd_alloc_array(count, 2 * sizeof *y);
    fsd_error err = {0};
    double error = NAN;

    if (y && !try_conv_run(cpu, type, c, &o, y, &err) &&
        !try_conv_run(ref, type, c, &o, y + count, &err))
        error = check_relative_error(y, y + count, count);
    else
        try_tell(err.msg);
    fsd_free(y);
    return error;
}

static void compare(fsd_backend *cpu, fsd_backend *ref, const try_conv *c)
{
    for (fsd_dtype type = FSD_F32; type <= FSD_BF16; type = type == FSD_F32 ? FSD_BF16 : FSD_F64) {
        const int before = check_failures();
        char text[200];

        CHECK_NEAR(error_of(cpu, ref, type, c), 0, type == FSD_F32 ? 1e-5 : 1e-2);
        snprintf(text, sizeof text,
                 "%s, %d x %d x %d x %d to %d, %d x %d, stride %d, %s add %d, residual %d%s",
                 fsd_dtype_name(type), (int)c->n, (int)c->h, (int)c->w, (int)c->in, (int)c->out,
                 c->kh, c->kw, c->stride, c->upsample ? "upsampled," : "", c->add, c->residual,
                 c->in_place ? " in place" : "");
        if (check_failures() > before)
            try_tell(text);
    }
}

static void compare_all(const try_conv *cases, size_t count)
{
    fsd_backend *cpu, *ref;

    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, NULL));
    REQUIRE(!fsd_backend_ref_open(&ref, NULL));
    for (size_t i = 0; i < count; i++)
        compare(cpu, ref, &cases[i]);
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}
#define COMPARE_ALL(cases) compare_all(cases, sizeof(cases) / sizeof *(cases))

TEST(convolutions_of_odd_sizes_agree_with_ref)
{
    static const try_conv cases[] = {
        {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, .bias = true},
        {TRY_3X3(1, 1, 1, 3, 5), .bias = true},
        {TRY_3X3(2, 3, 63, 65, 63), .bias = true},
        {TRY_3X3(1, 65, 3, 63, 65), .bias = false},
        {3, 7, 9, 1, 33, 3, 3, 2, 1, 1, 1, 1, .bias = true},
        {1, 6, 7, 17, 3, 3, 3, 2, 0, 0, 1, 1, .bias = true},
        {2, 5, 6, 12, 20, 3, 1, 1, 1, 0, 1, 0, .bias = true},
        {1, 9, 9, 8, 8, 5, 5, 1, 2, 2, 2, 2, .bias = true},
        {2, 5, 5, 63, 65, 1, 1, 1, 0, 0, 0, 0, .bias = true},
        {1, 6, 6, 5, 7, 1, 1, 2, 0, 0, 0, 0, .bias = true},
    };

    COMPARE_ALL(cases);
}

TEST(the_ends_of_a_network_have_three_or_four_channels)
{
    static const try_conv cases[] = {
        {TRY_3X3(2, 16, 16, 4, 64), .bias = true},
        {TRY_3X3(2, 16, 16, 64, 4), .bias = true},
        {TRY_3X3(1, 17, 15, 32, 3), .bias = true},
        {1, 8, 8, 4, 3, 1, 1, 1, 0, 0, 0, 0, .bias = true},
    };

    COMPARE_ALL(cases);
}

TEST(the_embedding_of_time_and_the_residual_are_added)
{
    static const try_conv cases[] = {
        {TRY_3X3(2, 4, 5, 6, 35), .bias = true, .add = 1},
        {TRY_3X3(3, 4, 5, 6, 35), .bias = true, .add = 2},
        {TRY_3X3(2, 4, 5, 6, 35), .add = 2, .residual = true},
        {TRY_3X3(2, 4, 5, 6, 35), .add = 1, .residual = true, .in_place = true},
        {2, 4, 5, 6, 35, 3, 3, 2, 1, 1, 1, 1, .bias = true, .residual = true, .in_place = true},
        {TRY_3X3(1, 4, 5, 6, 35), .bias = true, .residual = true},
    };

    COMPARE_ALL(cases);
}

TEST(an_upsampled_input_may_be_cut_to_an_odd_size)
{
    static const try_conv cases[] = {
        {TRY_3X3(2, 4, 5, 6, 33), TRY_UP(8, 10), .bias = true},
        {TRY_3X3(2, 4, 5, 6, 33), TRY_UP(7, 9), .bias = true, .residual = true, .in_place = true},
        {TRY_3X3(1, 1, 1, 2, 3), TRY_UP(1, 2)},
        {TRY_3X3(3, 3, 2, 17, 16), TRY_UP(5, 4), .bias = true, .add = 2, .residual = true},
        {1, 5, 5, 4, 8, 3, 3, 2, 1, 1, 1, 1, TRY_UP(10, 9), .bias = true, .add = 1},
        {1, 3, 3, 4, 8, 1, 1, 1, 0, 0, 0, 0, TRY_UP(6, 6), .bias = true},
    };

    COMPARE_ALL(cases);
}

TEST(four_phases_are_one_upsampled_convolution)
{
    static const try_conv cases[] = {
        {TRY_3X3(1, 1, 1, 1, 1), TRY_UP(2, 2), .bias = true, .packed_up = true},
        {TRY_3X3(2, 4, 5, 6, 33), TRY_UP(8, 10), .bias = true, .add = 1, .packed_up = true},
        {TRY_3X3(3, 3, 2, 17, 16), TRY_UP(6, 4), .bias = true, .add = 2, .residual = true,
         .packed_up = true},
        {TRY_3X3(2, 7, 3, 65, 63), TRY_UP(14, 6), .residual = true, .in_place = true,
         .packed_up = true},
        {TRY_3X3(1, 9, 9, 64, 400), TRY_UP(18, 18), .packed_up = true},
    };

    COMPARE_ALL(cases);
}

TEST(a_weight_packed_in_phases_does_nothing_else)
{
    static const try_conv cases[] = {
        {TRY_3X3(1, 4, 4, 3, 2), TRY_UP(7, 8), .packed_up = true},
        {TRY_3X3(1, 4, 4, 3, 2), .packed_up = true},
        {1, 4, 4, 3, 2, 3, 3, 2, 1, 1, 1, 1, TRY_UP(8, 8), .packed_up = true},
        {1, 4, 4, 3, 2, 3, 3, 1, 0, 1, 1, 1, TRY_UP(8, 8), .packed_up = true},
    };
    fsd_backend *both[2];
    fsd_error err = {0};

    REQUIRE(!fsd_backend_cpu_open(&both[0], 0, NULL));
    REQUIRE(!fsd_backend_ref_open(&both[1], NULL));
    for (int b = 0; b < 2; b++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const try_operands o = try_conv_operands(&cases[i]);
            float y[128];

            err.msg[0] = 0;
            CHECK_EQ(try_conv_run(both[b], FSD_F32, &cases[i], &o, y, &err), FSD_INVALID);
            CHECK_HAS(err.msg, "another one's weight");
        }
        fsd_backend_close(both[b]);
    }
}

/* oneDNN likes other layouts for these than for pictures of usual size (dnnl.h). */
TEST(pictures_of_any_size_share_one_packed_weight)
{
    static const int64_t sizes[] = {1, 3, 4, 7, 16, 24, 64};
    const int64_t channels[][2] = {{320, 320}, {64, 64}, {16, 48}};
    fsd_backend *cpu, *ref;

    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, NULL));
    REQUIRE(!fsd_backend_ref_open(&ref, NULL));
    for (int k = 0; k < 3; k++) {
        const int64_t dim[4] = {channels[k][1], channels[k][0], 3, 3};

        for (fsd_dtype type = FSD_F32; type <= FSD_BF16;
             type = type == FSD_F32 ? FSD_BF16 : FSD_F64) {
            const float *w = try_floats((size_t)(dim[0] * dim[1] * 9), 3, 0.02f);
            const fsd_pack what = try_pack(FSD_PACK_CONV, type, dim, w, FSD_F32);
            fsd_packed *packed[2];

            REQUIRE(!cpu->pack(cpu, &packed[0], &what, NULL));
            REQUIRE(!ref->pack(ref, &packed[1], &what, NULL));
            for (int i = 0; i < 7; i++) {
                const int64_t h = sizes[i], width = k == 0 && h > 4 ? 1 : sizes[i];
                const try_conv c = {TRY_3X3(1, h, width, dim[1], dim[0]), .bias = true};
                const try_operands o = try_conv_operands(&c);
                const size_t count = try_conv_count(&c);
                float *y = fsd_alloc_array(count, 2 * sizeof *y);

                REQUIRE(y);
                CHECK(!try_conv_packed(cpu, type, &c, &o, packed[0], y, NULL));
                CHECK(!try_conv_packed(ref, type, &c, &o, packed[1], y + count, NULL));
                CHECK_NEAR(check_relative_error(y, y + count, count), 0,
                           type == FSD_F32 ? 1e-5 : 1e-2);
                fsd_free(y);
            }
            cpu->unpack(cpu, packed[0]);
            ref->unpack(ref, packed[1]);
        }
    }
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}

TEST(a_weight_of_another_convolution_is_refused)
{
    const try_conv c = {TRY_3X3(1, 4, 4, 3, 2), .bias = false};
    const try_operands o = try_conv_operands(&c);
    const int64_t dim[4] = {2, 3, 3, 1};
    const fsd_pack what = try_pack(FSD_PACK_CONV, FSD_F32, dim, o.w, FSD_F32);
    fsd_error err = {0};
    fsd_backend *cpu;
    fsd_packed *w;
    float y[32];

    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, NULL));
    REQUIRE(!cpu->pack(cpu, &w, &what, &err));
    CHECK_EQ(try_conv_packed(cpu, FSD_F32, &c, &o, w, y, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "another one's weight");
    cpu->unpack(cpu, w);
    fsd_backend_close(cpu);
}
