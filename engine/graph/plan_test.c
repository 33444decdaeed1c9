/* The plan against a slow reading of the same rules: two values that are alive at the same time never
 * share a byte, on networks drawn at random; and weight.h on the way. */
#include "engine/graph/plan.h"

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/graph/op.h"
#include "tests/harness/check.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 8, SCRATCH = 100 };

/* A backend that only counts: sizes are all a plan asks for. */
static size_t linear_scratch(fsd_backend *be, const fsd_linear *p)
{
    (void)be;
    return p->residual ? 3 * SCRATCH : SCRATCH;
}

static size_t norm_scratch(fsd_backend *be, const fsd_layer_norm *p)
{
    (void)be, (void)p;
    return 0;
}

static size_t pack_bytes(fsd_backend *be, const fsd_pack *what)
{
    (void)be;
    return (size_t)(what->dim[0] * what->dim[1]) * 4;
}

static fsd_status pack(fsd_backend *be, fsd_packed **out, const fsd_pack *what, fsd_error *err)
{
    (void)err;
    *out = fsd_alloc(sizeof **out);
    if (!*out)
        return FSD_NO_MEMORY;
    (*out)->bytes = pack_bytes(be, what);
    return FSD_OK;
}

static void unpack(fsd_backend *be, fsd_packed *packed)
{
    (void)be;
    fsd_free(packed);
}

static fsd_backend backend = {.name = "counting",
                              .pack = pack,
                              .pack_bytes = pack_bytes,
                              .unpack = unpack,
                              .linear_workspace = linear_scratch,
                              .layer_norm_workspace = norm_scratch};

/* w (8, 8), u (16, 8), b (8), all F32. */
static fsd_weights *open_weights(void)
{
    static const char JSON[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[8,8],\"data_offsets\":[0,256]},"
                               "\"u\":{\"dtype\":\"F32\",\"shape\":[16,8,1,1],\"data_offsets\":[256,768]},"
                               "\"b\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[768,800]}}";
    static char bytes[8 + sizeof JSON - 1 + 800];
    char path[512];
    fsd_index *index = NULL;
    fsd_weights *weights = NULL;
    fsd_error err = {0};

    fsd_store_u64le(bytes, sizeof JSON - 1);
    memcpy(bytes + 8, JSON, sizeof JSON - 1);
    snprintf(path, sizeof path, "%s.safetensors", check_tmp_dir());
    rename(check_tmp_file(bytes, sizeof bytes), path);
    CHECK_EQ(fsd_checkpoint_index(&index, path, &err), FSD_OK);
    CHECK_EQ(fsd_weights_open(&weights, "toy", index, &backend, &err), FSD_OK);
    return weights;
}

static fsd_weight *get(fsd_weights *weights, fsd_pack_use use, int64_t rows, int64_t cols,
                       const char *name)
{
    fsd_weight *weight = NULL;

    CHECK_EQ(fsd_weights_get(weights, &weight, use, (int64_t[4]){rows, cols, 1, 1}, 0, &name, 1, NULL),
             FSD_OK);
    return weight;
}

static unsigned draw(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

/* A random network: each record reads one or two of the values there are, in a random phase that is
 * not before theirs. */
static fsd_graph *random_graph(fsd_weights *weights, unsigned seed, int records)
{
    fsd_weight *w = get(weights, FSD_PACK_LINEAR, WIDTH, WIDTH, "w");
    fsd_weight *b = get(weights, FSD_PACK_VECTOR, WIDTH, 1, "b");
    fsd_value values[64];
    fsd_phase phases[64];
    int count = 0;
    fsd_graph *graph = NULL;

    CHECK_EQ(fsd_graph_new(&graph, FSD_F32, NULL), FSD_OK);
    values[count] = fsd_graph_input(graph, "x", FSD_F32, 1, 1, 1 + (int64_t)draw(&seed, 50), WIDTH);
    phases[count++] = FSD_PHASE_CONDITION;
    for (int i = 0; i < records && count < 64; i++) {
        const int from = (int)draw(&seed, (unsigned)count);
        const int with = (int)draw(&seed, (unsigned)count);
        fsd_phase phase = (fsd_phase)draw(&seed, FSD_PHASES);

        if (phase < phases[from])
            phase = phases[from];
        if (phase < phases[with])
            phase = phases[with];
        graph->phase = phase;
        phases[count] = phase;
        values[count++] =
            draw(&seed, 2) ? fsd_op_layer_norm(graph, values[from], b, b, 1e-5)
                           : fsd_op_linear(graph, values[from], w, NULL,
                                           (fsd_linear_extra){.residual = values[with]});
    }
    fsd_graph_output(graph, values[count - 1], "y");
    return graph;
}

/* Is `value` alive while record `i` runs, in any order of phases that is allowed? Read off the
 * definition: it is needed from its making until its last reader within its phase; throughout if
 * it is an input, an output or read by another phase. */
static bool alive(const fsd_graph *graph, fsd_value value, int i)
{
    const fsd_value_info *info = &graph->value[value];
    bool later = false;

    if (info->input || info->output)
        return true;
    for (int k = 0; k < graph->records; k++) {
        for (int in = 0; in < FSD_RECORD_INPUTS; in++) {
            if (graph->record[k].in[in] != value)
                continue;
            if (graph->record[k].phase != graph->record[info->producer].phase)
                return true;
            later |= k >= i;
        }
    }
    if (graph->record[i].phase != graph->record[info->producer].phase)
        return false;
    return i == info->producer || (i > info->producer && later);
}

static bool share_bytes(const fsd_plan *plan, fsd_value a, fsd_value b)
{
    const size_t a_end = plan->offset[a] + fsd_value_bytes(&plan->graph->value[a]);
    const size_t b_end = plan->offset[b] + fsd_value_bytes(&plan->graph->value[b]);

    return plan->offset[a] < b_end && plan->offset[b] < a_end;
}

/* May record i write value `out` over its input `in`? Only if it is the op's own and in dies there. */
static bool in_place(const fsd_graph *graph, int i, fsd_value in, fsd_value out)
{
    const fsd_record *record = &graph->record[i];

    return record->out == out && record->op->overwrites >= 0 &&
           record->in[record->op->overwrites] == in &&
           (i + 1 == graph->records || !alive(graph, in, i + 1));
}

TEST(values_that_are_alive_together_never_share_a_byte)
{
    fsd_weights *weights = open_weights();
    int shared = 0;

    for (unsigned seed = 0; seed < 200; seed++) {
        fsd_graph *graph = random_graph(weights, seed, 2 + (int)seed % 40);
        fsd_plan *plan = NULL;

        REQUIRE(fsd_graph_finish(graph, NULL) == FSD_OK);
        REQUIRE(fsd_plan_new(&plan, graph, &backend, NULL) == FSD_OK);
        for (fsd_value a = 1; a < graph->values; a++) {
            CHECK(plan->offset[a] + fsd_value_bytes(&graph->value[a]) <= plan->arena);
            CHECK(plan->offset[a] % 64 == 0);
            for (fsd_value b = 1; b < a; b++) {
                if (!share_bytes(plan, a, b))
                    continue;
                shared++;
                for (int i = 0; i < graph->records; i++) {
                    if (alive(graph, a, i) && alive(graph, b, i))
                        CHECK(in_place(graph, i, a, b) || in_place(graph, i, b, a));
                }
            }
        }
        fsd_plan_free(plan);
        fsd_graph_free(graph);
        if (check_failures())
            break;
    }
    CHECK(shared > 100); /* or nothing was planned at all */
    fsd_weights_close(weights);
}

TEST(a_chain_needs_room_for_two_values_or_for_one_in_place)
{
    fsd_weights *weights = open_weights();
    fsd_weight *w = get(weights, FSD_PACK_LINEAR, WIDTH, WIDTH, "w");
    fsd_weight *b = get(weights, FSD_PACK_VECTOR, WIDTH, 1, "b");
    const size_t one = 10 * WIDTH * sizeof(float);
    fsd_graph *graph;
    fsd_plan *plan;
    fsd_value x;

    REQUIRE(fsd_graph_new(&graph, FSD_F32, NULL) == FSD_OK);
    x = fsd_graph_input(graph, "x", FSD_F32, 1, 1, 10, WIDTH);
    for (int i = 0; i < 20; i++) {
        x = fsd_op_linear(graph, x, w, NULL, (fsd_linear_extra){0});
        x = fsd_op_layer_norm(graph, x, b, b, 1e-5);
    }
    fsd_graph_output(graph, x, "y");
    REQUIRE(fsd_plan_new(&plan, graph, &backend, NULL) == FSD_OK);
    CHECK_EQ(plan->arena, 4 * one); /* input and output always, two of the chain in turn */
    CHECK_EQ(plan->workspace, 128);
    CHECK_EQ(plan->weights, (WIDTH * WIDTH + WIDTH) * 4);
    CHECK_EQ(fsd_plan_bytes(plan), 4 * one + 128 + (WIDTH * WIDTH + WIDTH) * 4);
    fsd_plan_free(plan);
    fsd_graph_free(graph);
    fsd_weights_close(weights);
}

TEST(weights_are_one_thing_packed_once_and_released)
{
    fsd_weights *weights = open_weights();
    fsd_weight *w = get(weights, FSD_PACK_LINEAR, WIDTH, WIDTH, "w");
    fsd_packed *first, *second;
    fsd_weight *stack = NULL;

    CHECK(get(weights, FSD_PACK_LINEAR, WIDTH, WIDTH, "w") == w);
    CHECK_EQ(fsd_weights_resident(weights), 0);
    REQUIRE(fsd_weight_pack(w, FSD_F32, &first, NULL) == FSD_OK);
    REQUIRE(fsd_weight_pack(w, FSD_F32, &second, NULL) == FSD_OK);
    CHECK(first == second);
    CHECK_EQ(fsd_weights_resident(weights), 256);
    REQUIRE(fsd_weight_pack(w, FSD_BF16, &second, NULL) == FSD_OK);
    CHECK(first != second);
    fsd_weights_release(weights);
    CHECK_EQ(fsd_weights_resident(weights), 0);
    REQUIRE(fsd_weights_get(weights, &stack, FSD_PACK_LINEAR, (int64_t[4]){24, 8, 1, 1}, 0,
                            (const char *const[]){"w", "u"}, 2, NULL) == FSD_OK);
    CHECK_EQ(stack->dim[0], 24);
    fsd_weights_close(weights);
}

TEST(a_weight_that_does_not_fit_is_named_with_both_shapes)
{
    fsd_weights *weights = open_weights();
    fsd_weight *weight;
    fsd_error err = {0};

    CHECK_EQ(fsd_weights_get(weights, &weight, FSD_PACK_LINEAR, (int64_t[4]){8, 9, 1, 1}, 0,
                             (const char *const[]){"w"}, 1, &err), FSD_FORMAT);
    CHECK_HAS(err.msg, "toy");
    CHECK_HAS(err.msg, "\"w\" is (8, 8) where (8, 9) is needed");
    CHECK_EQ(fsd_weights_get(weights, &weight, FSD_PACK_LINEAR, (int64_t[4]){8, 9, 1, 1}, 0,
                             (const char *const[]){"v"}, 1, &err), FSD_FORMAT);
    CHECK_HAS(err.msg, "\"v\" is missing");
    CHECK_EQ(fsd_weights_get(weights, &weight, FSD_PACK_LINEAR, (int64_t[4]){23, 8, 1, 1}, 0,
                             (const char *const[]){"w", "u"}, 2, &err), FSD_FORMAT);
    CHECK_HAS(err.msg, "24 rows, not 23");
    fsd_weights_close(weights);
}

TEST(a_failed_call_sticks_and_the_first_one_is_told)
{
    fsd_weights *weights = open_weights();
    fsd_weight *w = get(weights, FSD_PACK_LINEAR, WIDTH, WIDTH, "w");
    fsd_error err = {0};
    fsd_graph *graph;
    fsd_value x;

    REQUIRE(fsd_graph_new(&graph, FSD_F32, NULL) == FSD_OK);
    x = fsd_graph_input(graph, "x", FSD_F32, 1, 1, 10, WIDTH + 1);
    x = fsd_op_linear(graph, x, w, NULL, (fsd_linear_extra){0});
    CHECK_EQ(x, 0);
    x = fsd_op_attention(graph, x, x, x, 3, false);
    fsd_graph_output(graph, x, "y");
    CHECK_EQ(fsd_graph_slice(graph, x, 0, 3), 0);
    CHECK_EQ(fsd_graph_finish(graph, &err), FSD_INVALID);
    CHECK_HAS(err.msg, "\"w\" takes 8 channels, not 9");
    CHECK_EQ(graph->records, 0);
    fsd_graph_free(graph);
    fsd_weights_close(weights);
}

TEST(a_graph_prints_a_line_a_record)
{
    fsd_weights *weights = open_weights();
    fsd_weight *w = get(weights, FSD_PACK_LINEAR, WIDTH, WIDTH, "w");
    fsd_graph *graph;
    fsd_str out = {0};
    char *text;

    REQUIRE(fsd_graph_new(&graph, FSD_F32, NULL) == FSD_OK);
    fsd_op_linear(graph, fsd_graph_input(graph, "x", FSD_F32, 1, 1, 10, WIDTH), w, NULL,
                  (fsd_linear_extra){0});
    fsd_graph_print(graph, &out);
    text = fsd_str_take(&out);
    CHECK_HAS(text, "linear");
    CHECK_HAS(text, "%1(1,1,10,8) -> %2(1,1,10,8) w");
    CHECK_NEAR(fsd_graph_flops(graph, FSD_PHASE_STEP), 2.0 * 10 * 8 * 8, 0);
    fsd_free(text);
    fsd_graph_free(graph);
    fsd_weights_close(weights);
}
