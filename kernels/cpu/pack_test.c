/* Every storage type, alignment and stacking must mean the same numbers, and the bytes that a plan
 * adds up must be the bytes there are. */
#include "kernels/try_test.h"

#include <malloc.h>

static const fsd_dtype TYPES[] = {FSD_F32, FSD_F16, FSD_BF16, FSD_F64};

/* These floats as `type`, `shift` bytes off an aligned address; freed by fsd_free(out - shift). */
static char *stored(const float *x, size_t count, fsd_dtype type, size_t shift)
{
    char *block = fsd_alloc(count * fsd_dtype_size(type) + shift);

    if (!block)
        return NULL;
    for (size_t i = 0; type == FSD_F64 && i < count; i++)
        memcpy(block + shift + i * sizeof(double), &(double){x[i]}, sizeof(double));
    if (type != FSD_F64) {
        void *aligned = fsd_alloc(count * fsd_dtype_size(type));

        if (aligned) {
            fsd_from_f32(aligned, type, x, count);
            memcpy(block + shift, aligned, count * fsd_dtype_size(type));
        }
        fsd_free(aligned);
    }
    return block + shift;
}

/* Values that all storage types hold exactly: eighths from -1 to 1. */
static const float *eighths(size_t count, uint64_t seed)
{
    float *x = (float *)(uintptr_t)try_floats(count, seed, 8);

    for (size_t i = 0; i < count; i++)
        x[i] = roundf(x[i]) / 8;
    return x;
}

TEST(weights_of_any_type_and_alignment_are_the_same_numbers)
{
    const try_linear c = {3, 37, 0, 70, FSD_ACT_NONE, true, false, false, 0};
    const int64_t dim[4] = {70, 37, 1, 1};
    try_operands o = try_linear_operands(&c);
    static float expected[3 * 70], y[3 * 70];
    fsd_backend *cpu, *ref;

    o.w = eighths(70 * 37, 8);
    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, NULL));
    REQUIRE(!fsd_backend_ref_open(&ref, NULL));
    for (fsd_dtype to = FSD_F32; to <= FSD_BF16; to = to == FSD_F32 ? FSD_BF16 : FSD_F64) {
        REQUIRE(!try_linear_run(ref, to, &c, &o, expected, NULL));
        for (int t = 0; t < 4; t++) {
            for (size_t shift = 0; shift < 4; shift++) {
                char *data = stored(o.w, 70 * 37, TYPES[t], shift);
                const fsd_pack what = try_pack(FSD_PACK_LINEAR, to, dim, data, TYPES[t]);
                fsd_packed *w;

                REQUIRE(data && !cpu->pack(cpu, &w, &what, NULL));
                REQUIRE(!try_linear_packed(cpu, to, &c, &o, w, y, NULL));
                CHECK_NEAR(check_relative_error(y, expected, 3 * 70), 0,
                           to == FSD_F32 ? 1e-6 : 4e-3);
                cpu->unpack(cpu, w);
                fsd_free(data - shift);
            }
        }
    }
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}

/* So long that it is laid out in steps, whose borders are not those of the parts. */
TEST(parts_are_stacked_in_order)
{
    const try_linear c = {2, 3000, 0, 450, FSD_ACT_NONE, false, false, false, 0};
    const int64_t border[4] = {0, 150, 301, 450};
    const fsd_dtype type[3] = {FSD_F16, FSD_F32, FSD_BF16};
    static float expected[2 * 450], y[2 * 450];
    try_operands o = try_linear_operands(&c);
    fsd_backend *cpu, *ref;

    o.w = eighths(450 * 3000, 9);
    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, NULL));
    REQUIRE(!fsd_backend_ref_open(&ref, NULL));
    for (fsd_dtype to = FSD_F32; to <= FSD_BF16; to = to == FSD_F32 ? FSD_BF16 : FSD_F64) {
        fsd_pack what = {
            .use = FSD_PACK_LINEAR, .activations = to, .dim = {450, 3000, 1, 1}, .parts = 3};
        fsd_packed *w;

        for (int i = 0; i < 3; i++) {
            what.part[i].rows = border[i + 1] - border[i];
            what.part[i].dtype = type[i];
            what.part[i].data =
                stored(o.w + border[i] * 3000, (size_t)what.part[i].rows * 3000, type[i], 0);
            REQUIRE(what.part[i].data);
        }
        REQUIRE(!cpu->pack(cpu, &w, &what, NULL));
        CHECK(!try_linear_packed(cpu, to, &c, &o, w, y, NULL));
        CHECK(!try_linear_run(ref, to, &c, &o, expected, NULL));
        CHECK_NEAR(check_relative_error(y, expected, 2 * 450), 0, to == FSD_F32 ? 1e-5 : 1e-2);
        cpu->unpack(cpu, w);
        for (int i = 0; i < 3; i++)
            fsd_free((void *)(uintptr_t)what.part[i].data);
    }
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}

TEST(a_vector_is_fp32_to_the_bit)
{
    static const uint16_t half[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x0400,
                                    0x3c00, 0xc000, 0x7bff, 0x7c00, 0xfc00};
    const int64_t count = sizeof half / sizeof *half;
    const fsd_pack what =
        try_pack(FSD_PACK_VECTOR, FSD_BF16, (int64_t[4]){count, 1, 1, 1}, half, FSD_F16);
    fsd_backend *cpu;
    fsd_packed *v;

    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, NULL));
    REQUIRE(!cpu->pack(cpu, &v, &what, NULL));
    CHECK_EQ(v->bytes, count * 4);
    CHECK_EQ(cpu->pack_bytes(cpu, &what), count * 4);
    for (int i = 0; i < count; i++) {
        const float expected = fsd_f16_to_f32(half[i]);

        CHECK(memcmp(&v->vector[i], &expected, sizeof expected) == 0);
    }
    cpu->unpack(cpu, v);
    fsd_backend_close(cpu);
}

TEST(a_table_is_borrowed)
{
    static const float rows[6] = {1, 2, 3, 4, 5, 6};
    const fsd_pack what =
        try_pack(FSD_PACK_TABLE, FSD_F32, (int64_t[4]){3, 2, 1, 1}, rows, FSD_F32);
    const int32_t ids[2] = {2, 0};
    float y[4];
    fsd_backend *cpu;
    fsd_packed *table;

    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, NULL));
    REQUIRE(!cpu->pack(cpu, &table, &what, NULL));
    CHECK_EQ(table->bytes, 0);
    CHECK_EQ(cpu->pack_bytes(cpu, &what), 0);
    CHECK(
        !cpu->embedding(cpu, &(fsd_embedding){FSD_F32, 2, 2, 0, table, NULL, ids, y}, NULL, NULL));
    CHECK(y[0] == 5 && y[1] == 6 && y[2] == 1 && y[3] == 2);
    cpu->unpack(cpu, table);
    fsd_backend_close(cpu);
}

static size_t in_use(void)
{
    const struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* The second of two, for the first makes primitives too. */
TEST(pack_bytes_is_what_the_weight_takes)
{
    static const fsd_pack uses[] = {
        {.use = FSD_PACK_LINEAR, .dim = {320, 1280, 1, 1}},
        {.use = FSD_PACK_LINEAR, .dim = {63, 65, 1, 1}},
        {.use = FSD_PACK_LINEAR, .dim = {64, 100, 1, 1}, .split = 37},
        {.use = FSD_PACK_GEGLU, .dim = {130, 63, 1, 1}},
        {.use = FSD_PACK_CONV, .dim = {320, 4, 3, 3}},
        {.use = FSD_PACK_CONV, .dim = {3, 128, 3, 3}},
        {.use = FSD_PACK_CONV, .dim = {63, 65, 3, 1}},
        {.use = FSD_PACK_CONV_UP, .dim = {63, 65, 3, 3}},
    };
    enum { SLACK = 4 * 4096 }; /* structs, and the pages the allocator rounds up to */
    fsd_backend *cpu;

    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, NULL));
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        for (fsd_dtype to = FSD_F32; to <= FSD_BF16; to = to == FSD_F32 ? FSD_BF16 : FSD_F64) {
            fsd_pack what = uses[i];
            const size_t count = (size_t)(what.dim[0] * what.dim[1] * what.dim[2] * what.dim[3]);
            size_t before, after;
            fsd_packed *first, *second;

            what.activations = to;
            what.parts = 1;
            what.part[0] = (fsd_pack_part){try_floats(count, 1, 1), FSD_F32, what.dim[0]};
            REQUIRE(!cpu->pack(cpu, &first, &what, NULL));
            before = in_use();
            REQUIRE(!cpu->pack(cpu, &second, &what, NULL));
            after = in_use();
            CHECK_EQ(second->bytes, cpu->pack_bytes(cpu, &what));
            CHECK(second->bytes >= count * (cpu->fast_bf16 ? fsd_dtype_size(to) : 4));
            if (before) { /* a sanitizer's allocator does not tell */
                CHECK(after - before >= second->bytes);
                CHECK(after - before <= second->bytes + SLACK);
            }
            cpu->unpack(cpu, second);
            cpu->unpack(cpu, first);
        }
    }
    fsd_backend_close(cpu);
}

TEST(weights_that_do_not_add_up_are_refused)
{
    static const float x[12];
    const fsd_pack good = try_pack(FSD_PACK_LINEAR, FSD_F32, (int64_t[4]){3, 4, 1, 1}, x, FSD_F32);
    fsd_pack bad = good;
    fsd_error err = {0};
    fsd_backend *cpu;
    fsd_packed *w;

    REQUIRE(!fsd_backend_cpu_open(&cpu, 0, &err));
    bad.part[0].rows = 2;
    CHECK_EQ(cpu->pack(cpu, &w, &bad, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "3 rows in parts of 2");
    CHECK(!w);
    bad = good;
    bad.part[0].dtype = FSD_I64;
    CHECK_EQ(cpu->pack(cpu, &w, &bad, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "I64");
    bad = good;
    bad.dim[1] = 0;
    CHECK_EQ(cpu->pack(cpu, &w, &bad, &err), FSD_INVALID);
    bad = good;
    bad.use = FSD_PACK_GEGLU;
    CHECK_EQ(cpu->pack(cpu, &w, &bad, &err), FSD_INVALID);
    bad = good;
    bad.use = FSD_PACK_CONV_UP;
    CHECK_EQ(cpu->pack(cpu, &w, &bad, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "1 x 1, upsampled");
    bad = good;
    bad.split = 4;
    CHECK_EQ(cpu->pack(cpu, &w, &bad, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "split at 4 of 4");
    fsd_backend_close(cpu);
}

TEST_OOM(running_out_of_memory_is_said_and_leaks_nothing)
{
    static const float x[200 * 3];
    const fsd_pack what = try_pack(FSD_PACK_CONV, FSD_BF16, (int64_t[4]){20, 3, 3, 3}, x, FSD_F32);
    fsd_backend *cpu;
    fsd_packed *w;
    fsd_error err = {0};
    fsd_status st = fsd_backend_cpu_open(&cpu, 0, &err);

    CHECK(st == FSD_OK || st == FSD_NO_MEMORY);
    if (st)
        return;
    st = cpu->pack(cpu, &w, &what, &err);
    CHECK(st == FSD_OK || st == FSD_NO_MEMORY);
    CHECK(!st == !!w);
    cpu->unpack(cpu, w);
    fsd_backend_close(cpu);
}
