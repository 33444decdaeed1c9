/* Against kernels/ref, for both types of activations, on sizes that break blocking. */
#include "kernels/cpu/loops.h"
#include "kernels/try_test.h"

#include <pthread.h>

static double tolerance(fsd_dtype type)
{
    return type == FSD_F32 ? 1e-5 : 1e-2;
}

/* Relative error of cpu's result; NaN if either fails. */
static double error_of(fsd_backend *cpu, fsd_backend *ref, fsd_dtype type, const try_linear *c)
{
    const try_operands o = try_linear_operands(c);
    const size_t count = (size_t)(c->rows * c->out);
    float *y = fsd_alloc_array(count, 2 * sizeof *y);
    fsd_error err = {0};
    double error = NAN;

    if (y && !try_linear_run(cpu, type, c, &o, y, &err) &&
        !try_linear_run(ref, type, c, &o, y + count, &err))
        error = check_relative_error(y, y + count, count);
    else
        try_tell(err.msg);
    fsd_free(y);
    return error;
}

static void compare(fsd_backend *cpu, fsd_backend *ref, const try_linear *c)
{
    for (fsd_dtype type = FSD_F32; type <= FSD_BF16; type = type == FSD_F32 ? FSD_BF16 : FSD_F64) {
        const int before = check_failures();
        char text[160];

        CHECK_NEAR(error_of(cpu, ref, type, c), 0, tolerance(type));
        snprintf(text, sizeof text,
                 "%s, %d x (%d + %d) x %d, act %d, residual %d, in place %d, pad %d",
                 fsd_dtype_name(type), (int)c->rows, (int)c->in, (int)c->in2, (int)c->out, c->act,
                 c->residual, c->in_place, c->pad);
        if (check_failures() > before)
            try_tell(text);
    }
}

static bool open_both(fsd_backend **cpu, fsd_backend **ref)
{
    return !fsd_backend_cpu_open(cpu, 0, NULL) && !fsd_backend_ref_open(ref, NULL);
}

TEST(products_of_odd_sizes_agree_with_ref)
{
    static const int64_t rows[] = {1, 3, 63, 65}, in[] = {1, 3, 63, 65, 320},
                         out[] = {1, 3, 63, 65};
    fsd_backend *cpu, *ref;
    int turn = 0;

    REQUIRE(open_both(&cpu, &ref));
    for (int r = 0; r < 4; r++) {
        for (int i = 0; i < 5; i++) {
            for (int o = 0; o < 4; o++, turn++) {
                const fsd_act act = (fsd_act)(turn % 5);
                const bool residual = act != FSD_ACT_GEGLU && turn % 2;
                const try_linear c = {rows[r], in[i],         0,        out[o],
                                      act,     turn % 3 != 0, residual, residual && turn % 4 == 1,
                                      turn % 3};

                compare(cpu, ref, &c);
            }
        }
    }
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}

TEST(two_inputs_are_one_concatenation)
{
    static const try_linear cases[] = {
        {1, 3, 5, 4, FSD_ACT_NONE, true, false, false, 0},
        {63, 65, 1, 63, FSD_ACT_NONE, true, true, true, 3},
        {65, 1, 63, 65, FSD_ACT_GELU, false, true, false, 1},
        {7, 320, 640, 320, FSD_ACT_SILU, true, false, false, 0},
    };
    fsd_backend *cpu, *ref;

    REQUIRE(open_both(&cpu, &ref));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        compare(cpu, ref, &cases[i]);
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}

TEST(rows_that_go_block_by_block_agree_with_ref)
{
    static const try_linear cases[] = {
        {600, 5, 0, 1500, FSD_ACT_GEGLU, true, false, false, 2},
        {300, 3, 4, 2100, FSD_ACT_NONE, true, true, false, 0},
        {520, 9, 0, 1100, FSD_ACT_QUICK_GELU, true, true, true, 1},
        {513, 4, 0, 7, FSD_ACT_NONE, false, true, false, 0},
    };
    fsd_backend *cpu, *ref;

    REQUIRE(open_both(&cpu, &ref));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        compare(cpu, ref, &cases[i]);
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}

TEST(every_instruction_set_of_this_machine_agrees_with_ref)
{
    static const try_linear cases[] = {
        {5, 7, 0, 37, FSD_ACT_GEGLU, true, false, false, 1},
        {5, 7, 3, 37, FSD_ACT_SILU, true, true, false, 1},
        {5, 7, 0, 37, FSD_ACT_QUICK_GELU, true, true, false, 0},
        {5, 7, 0, 37, FSD_ACT_GELU, true, true, true, 0},
    };
    const fsd_cpu_loops *list[FSD_CPU_LOOPS];
    const int count = fsd_cpu_loops_list(list);
    fsd_backend *cpu, *ref;

    REQUIRE(open_both(&cpu, &ref));
    for (int l = 0; l < count; l++) {
        const int before = check_failures();

        fsd_cpu_loops_choose(list[l]);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            compare(cpu, ref, &cases[i]);
        if (check_failures() > before)
            try_tell(list[l]->name);
    }
    fsd_cpu_loops_choose(NULL);
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}

/* The gates of GEGLU at the ends of their range: 0, and what is far from it. */
TEST(geglu_is_exact_far_from_zero)
{
    static const float x[1] = {1};
    static const float w[14] = {1, 1, 1, 1, 1, 1, 1, 0, -0.5f, -3, -30, 1e-3f, 5, 1e4f};
    static const float expected[7] = {0,           -0.15426877f, -0.004049694f, 0,
                                      5.00399e-4f, 4.9999986f,   1e4f};
    const try_linear c = {1, 1, 0, 7, FSD_ACT_GEGLU, false, false, false, 0};
    const try_operands o = {.x = x, .w = w};
    fsd_backend *cpu;
    float y[7];

    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, NULL));
    REQUIRE(!try_linear_run(cpu, FSD_F32, &c, &o, y, NULL));
    for (int i = 0; i < 7; i++)
        CHECK_NEAR(y[i], expected[i], 1e-6 * fmax(1, fabs(expected[i])));
    REQUIRE(!try_linear_run(cpu, FSD_BF16, &c, &o, y, NULL));
    for (int i = 0; i < 7; i++)
        CHECK_NEAR(y[i], expected[i], 1e-2 * fabs(expected[i]) + 1e-4);
    fsd_backend_close(cpu);
}

/* More shapes than primitives are kept: the first ones are made anew. */
TEST(old_shapes_are_forgotten_and_come_back)
{
    fsd_backend *cpu, *ref;

    REQUIRE(open_both(&cpu, &ref));
    for (int64_t rows = 1; rows <= 300; rows++) {
        const try_linear c = {rows % 290 + 1, 3, 0, 2, FSD_ACT_NONE, true, false, false, 0};

        CHECK_NEAR(error_of(cpu, ref, FSD_F32, &c), 0, 1e-5);
    }
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}

static void *open_here(void *out)
{
    return fsd_backend_cpu_open(out, 2, NULL) ? NULL : out;
}

TEST(a_backend_opened_by_one_thread_works_for_another)
{
    const try_linear c = {200, 65, 0, 300, FSD_ACT_SILU, true, false, false, 0};
    fsd_backend *cpu = NULL, *ref;
    pthread_t thread;

    REQUIRE(!fsd_backend_ref_open(&ref, NULL));
    REQUIRE(!pthread_create(&thread, NULL, open_here, &cpu));
    pthread_join(thread, NULL);
    REQUIRE(cpu);
    compare(cpu, ref, &c);
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}

TEST(any_number_of_threads_gives_the_same_result)
{
    const try_linear c = {65, 130, 0, 190, FSD_ACT_GEGLU, true, false, false, 0};
    const try_operands o = try_linear_operands(&c);
    static float y[2][65 * 190];

    for (int threads = 1; threads <= 2; threads++) {
        fsd_backend *cpu;

        REQUIRE(!fsd_backend_cpu_open(&cpu, threads, NULL));
        CHECK(!try_linear_run(cpu, FSD_F32, &c, &o, y[threads - 1], NULL));
        fsd_backend_close(cpu);
    }
    CHECK_NEAR(check_relative_error(y[1], y[0], 65 * 190), 0, 1e-6);
}

TEST(a_weight_of_another_layer_is_refused)
{
    const try_linear c = {2, 3, 0, 4, FSD_ACT_NONE, true, false, false, 0};
    const try_operands o = try_linear_operands(&c);
    const int64_t dim[4] = {4, 3, 1, 1};
    const fsd_pack what = try_pack(FSD_PACK_LINEAR, FSD_F32, dim, o.w, FSD_F32);
    fsd_error err = {0};
    fsd_backend *cpu;
    fsd_packed *w;
    float y[8];

    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, NULL));
    REQUIRE(!cpu->pack(cpu, &w, &what, &err));
    CHECK_EQ(try_linear_packed(cpu, FSD_BF16, &c, &o, w, y, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "4 x 3");
    cpu->unpack(cpu, w);
    fsd_backend_close(cpu);
}

TEST_OOM(running_out_of_memory_is_said_and_leaks_nothing)
{
    static const float x[15], x2[6], w[28], bias[4], residual[12];
    const try_operands o = {x, x2, w, bias, NULL, residual};
    const int64_t dim[4] = {4, 7, 1, 1};
    fsd_pack what = try_pack(FSD_PACK_LINEAR, FSD_F32, dim, o.w, FSD_F32);
    fsd_error err = {0};
    fsd_backend *cpu;
    fsd_packed *packed;
    fsd_status st = fsd_backend_cpu_open(&cpu, 0, &err);

    what.split = 5;
    CHECK(st == FSD_OK || st == FSD_NO_MEMORY);
    if (st)
        return;
    st = cpu->pack(cpu, &packed, &what, &err);
    CHECK(st == FSD_OK || st == FSD_NO_MEMORY);
    if (!st) {
        const fsd_linear p = {
            FSD_F32,       3, 5, 2, 4, 5, 2, 4, 4, FSD_ACT_SILU, packed, bias, x, x2, residual,
            (float[12]){0}};
        void *scratch;

        if (!cpu->alloc(cpu, &scratch, cpu->linear_workspace(cpu, &p), &err)) {
            st = cpu->linear(cpu, &p, scratch, &err);
            CHECK(st == FSD_OK || st == FSD_NO_MEMORY);
            cpu->free(cpu, scratch, 0);
        }
    }
    cpu->unpack(cpu, packed);
    fsd_backend_close(cpu);
}
