/* The networks against torch, diffusers and transformers (tests/oracle/models.py), and the cpu backend
 * against ref, record by record, on every record of every network here. */
#include "engine/pipeline/residency.h"

#include "engine/base/mem.h"
#include "engine/graph/exec.h"
#include "engine/graph/op.h"
#include "tests/harness/check.h"
#include "tests/harness/numeric.h"
#include "tests/harness/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const PROMPTS[] = {"", "a", "a picture of a red apple", "blue bird, yellow star (1234) 'tis"};

static fsd_backend *open_backend(const char *name)
{
    fsd_backend *be = NULL;
    fsd_error err = {0};

    if (strcmp(name, "ref") == 0 ? fsd_backend_ref_open(&be, &err) : fsd_backend_cpu_open(&be, 0, &err))
        fprintf(stderr, "%s\n", err.msg);
    return be;
}

static fsd_model *open_model(const char *folder, fsd_backend *be)
{
    fsd_model *model = NULL;
    fsd_error err = {0};

    if (fsd_model_open(&model, folder, be, &err))
        fprintf(stderr, "%s\n", err.msg);
    return model;
}

static const float *golden(const char *kind, const char *name, size_t *count)
{
    char path[256];

    snprintf(path, sizeof path, "tests/golden/models/%s/%s.npy", kind, name);
    return check_npy_f32(path, count);
}

static void check_text(fsd_model *model, const char *kind, fsd_dtype dtype, double tolerance)
{
    size_t count;
    const float *want = golden(kind, "text", &count);
    const size_t one = count / 5;
    char many[1024] = "";

    for (int i = 0; i < 20; i++)
        strcat(many, "red green blue yellow orange purple pink ");
    for (int i = 0; i < 5; i++) {
        const char *prompt = i < 4 ? PROMPTS[i] : many;
        const float *states;
        size_t cut = 0;
        fsd_error err = {0};

        REQUIRE(fsd_model_encode(model, prompt, dtype, &states, &cut, &err) == FSD_OK);
        CHECK_NEAR(check_relative_error(states, want + (size_t)i * one, one), 0, tolerance);
        CHECK((cut > 0) == (i == 4));
    }
}

/* Runs a part on inputs given by name; the caller frees the result. */
static float *run(fsd_model *model, fsd_part part, fsd_dtype dtype, int h, int w, const float *latents,
                  const float *context, int step, const char *output, size_t *count)
{
    static const float TIMES[] = {1, 481, 981};
    const fsd_prepared *p;
    fsd_exec *exec = NULL;
    fsd_error err = {0};
    float *out;
    fsd_value v;

    if (fsd_model_prepare(model, part, dtype, 2, h, w, 3, &p, &err) || fsd_exec_new(&exec, p->plan, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        CHECK(0);
        return NULL;
    }
    v = fsd_graph_find(p->graph, "latents");
    fsd_exec_write(exec, v, latents, (size_t)(4 * h * w));
    if (part == FSD_PART_UNET) {
        const fsd_value c = fsd_graph_find(p->graph, "context");
        const fsd_value_info *info = fsd_graph_value(p->graph, c);

        fsd_exec_write(exec, c, context, (size_t)(info->n * info->w * info->c));
        fsd_exec_write(exec, fsd_graph_find(p->graph, "timesteps"), TIMES, 3);
        CHECK_EQ(fsd_exec_run(exec, FSD_PHASE_CONDITION, 0, &err), FSD_OK);
        CHECK_EQ(fsd_exec_run(exec, FSD_PHASE_SCHEDULE, 0, &err), FSD_OK);
    }
    CHECK_EQ(fsd_exec_run(exec, FSD_PHASE_STEP, step, &err), FSD_OK);
    v = fsd_graph_find(p->graph, output);
    *count = fsd_value_bytes(fsd_graph_value(p->graph, v)) / sizeof(float);
    out = fsd_alloc(*count * sizeof *out);
    fsd_exec_read(exec, v, out, *count);
    fsd_exec_free(exec);
    return out;
}

static void check_networks(const char *kind, const char *folder, const char *backend, fsd_dtype dtype, int h,
                           int w, double tolerance)
{
    fsd_backend *be = open_backend(backend);
    fsd_model *model = be ? open_model(folder, be) : NULL;
    size_t text_count, count, got;
    const float *text = golden(kind, "text", &text_count), *latents = golden(kind, "latents", &count);
    const float *unet = golden(kind, "unet", NULL), *vae = golden(kind, "vae", &count);
    const size_t one = text_count / 5, image = (size_t)(8 * h * w);
    float *context = fsd_alloc(2 * one * sizeof *context), *scaled, *out;

    REQUIRE(model != NULL);
    check_text(model, kind, dtype, tolerance);
    memcpy(context, text, one * sizeof *context);
    memcpy(context + one, text + 2 * one, one * sizeof *context);
    for (int step = 2; step >= 0; step--) { /* in any order: a step reads its own row of the schedule */
        out = run(model, FSD_PART_UNET, dtype, h, w, latents, context, step, "prediction", &got);
        REQUIRE(out && got == image);
        CHECK_NEAR(check_relative_error(out, unet + (size_t)step * image, image), 0, tolerance);
        fsd_free(out);
    }
    scaled = fsd_alloc((size_t)(4 * h * w) * sizeof *scaled);
    for (int i = 0; i < 4 * h * w; i++)
        scaled[i] = latents[i] / (float)model->info.vae.scaling;
    out = run(model, FSD_PART_VAE, dtype, h, w, scaled, NULL, 0, "pixels", &got);
    REQUIRE(out && got == count);
    CHECK_NEAR(check_relative_error(out, vae, count), 0, tolerance);
    fsd_free(out);
    fsd_free(scaled);
    fsd_free(context);
    fsd_model_close(model);
    fsd_backend_close(be);
}

static const char *tiny(void)
{
    return check_path("packaging/models/tiny-emoji");
}

TEST(tiny_emojis_networks_are_diffusers_in_fp32)
{
    check_networks("tiny-emoji", tiny(), "cpu", FSD_F32, 16, 16, 1e-5);
}

TEST(tiny_emojis_networks_are_diffusers_in_bf16_within_its_rounding)
{
    check_networks("tiny-emoji", tiny(), "cpu", FSD_BF16, 16, 16, 1.5e-2);
}

TEST(the_oracle_backend_is_diffusers_too)
{
    check_networks("odd", check_tiny_model("odd", FSD_F32), "ref", FSD_F32, 7, 9, 1e-5);
}

TEST(odd_sizes_names_and_activations_are_diffusers_in_fp32)
{
    check_networks("odd", check_tiny_model("odd", FSD_F32), "cpu", FSD_F32, 7, 9, 1e-5);
    check_networks("odd", check_tiny_model("odd", FSD_F64), "cpu", FSD_F32, 7, 9, 1e-5);
}

TEST(stable_diffusion_15s_layer_sizes_are_diffusers_in_fp32_and_bf16)
{
    const char *folder = check_tiny_model("sd15-layers", FSD_F16);

    check_networks("sd15-layers", folder, "cpu", FSD_F32, 12, 10, 1e-5);
    check_networks("sd15-layers", folder, "cpu", FSD_BF16, 12, 10, 2e-2);
}

/* --- record by record ---------------------------------------------------------------------------- */

typedef struct operands {
    void *in[FSD_RECORD_INPUTS], *out;
} operands;

static size_t bytes_of(const fsd_graph *graph, fsd_value value)
{
    return fsd_value_bytes(fsd_graph_value(graph, fsd_graph_value(graph, value)->base));
}

/* The same random operands for both; token ids stay in the vocabulary. */
static void make_operands(const fsd_graph *graph, const fsd_record *record, operands *o, uint64_t seed)
{
    for (int k = 0; k < FSD_RECORD_INPUTS; k++) {
        const fsd_value_info *info;
        const fsd_value_info *base;
        size_t count;
        float *values;

        if (!record->in[k])
            continue;
        info = fsd_graph_value(graph, record->in[k]);
        base = fsd_graph_value(graph, info->base);
        count = bytes_of(graph, record->in[k]) / fsd_dtype_size(info->dtype);
        o->in[k] = aligned_alloc(64, (count * 4 + 63) / 64 * 64);
        values = fsd_alloc(count * sizeof *values);
        check_fill(values, count, seed + (uint64_t)k);
        for (size_t i = 0; i < count && info->dtype == FSD_I32; i++)
            ((int32_t *)o->in[k])[i] = (int32_t)(fabsf(values[i]) * 1000);
        if (info->dtype != FSD_I32)
            fsd_from_f32(o->in[k], base->dtype, values, count);
        fsd_free(values);
    }
    o->out = aligned_alloc(64, (bytes_of(graph, record->out) + 63) / 64 * 64);
    memset(o->out, 0xff, bytes_of(graph, record->out)); /* NaN: what is not written shows */
}

static void clear_operands(operands *o)
{
    for (int k = 0; k < FSD_RECORD_INPUTS; k++)
        free(o->in[k]);
    free(o->out);
}

static float *replay(const fsd_graph *graph, int i, fsd_backend *be, size_t *count)
{
    const fsd_record *record = &graph->record[i];
    const fsd_value_info *out = fsd_graph_value(graph, record->out);
    const size_t scratch = record->op->workspace(graph, record, be);
    void *workspace = aligned_alloc(64, (scratch + 64) / 64 * 64 + 64), *in[FSD_RECORD_INPUTS];
    operands o = {{0}, NULL};
    fsd_error err = {0};
    float *values;

    make_operands(graph, record, &o, (uint64_t)i * 7);
    for (int k = 0; k < FSD_RECORD_INPUTS; k++) {
        const fsd_value_info *info = record->in[k] ? fsd_graph_value(graph, record->in[k]) : NULL;

        in[k] = info ? (char *)o.in[k] + (size_t)info->first * fsd_dtype_size(info->dtype) : NULL;
    }
    if (fsd_record_run(graph, i, be, in, o.out, workspace, &err)) {
        fprintf(stderr, "record %d: %s\n", i, err.msg);
        CHECK(0);
    }
    *count = fsd_value_bytes(out) / fsd_dtype_size(out->dtype);
    values = fsd_alloc(*count * sizeof *values);
    fsd_to_f32(values, o.out, out->dtype, *count);
    clear_operands(&o);
    free(workspace);
    return values;
}

static void check_records(const char *folder, fsd_part part, fsd_dtype dtype, int h, int w, double tolerance)
{
    fsd_backend *ref = open_backend("ref"), *cpu = open_backend("cpu");
    fsd_model *a = open_model(folder, ref), *b = open_model(folder, cpu);
    const fsd_prepared *p, *q;
    fsd_str text = {0};

    REQUIRE(a && b);
    REQUIRE(fsd_model_prepare(a, part, dtype, 2, h, w, 3, &p, NULL) == FSD_OK);
    REQUIRE(fsd_model_prepare(b, part, dtype, 2, h, w, 3, &q, NULL) == FSD_OK);
    REQUIRE(p->graph->records == q->graph->records);
    fsd_graph_print(p->graph, &text);
    CHECK(text.length > (size_t)p->graph->records * 20);
    for (int i = 0; i < p->graph->records; i++) {
        size_t n, m;
        float *x = replay(p->graph, i, ref, &n), *y = replay(q->graph, i, cpu, &m);

        REQUIRE(n == m);
        if (!(check_relative_error(y, x, n) <= tolerance)) {
            fprintf(stderr, "  record %d, %s: %g\n", i, p->graph->record[i].op->name, check_relative_error(y, x, n));
            CHECK(0);
        }
        fsd_free(x);
        fsd_free(y);
    }
    fsd_str_clear(&text);
    fsd_model_close(a);
    fsd_model_close(b);
    fsd_backend_close(ref);
    fsd_backend_close(cpu);
}

TEST(every_record_of_tiny_emoji_is_the_same_on_ref_and_cpu)
{
    for (int part = 0; part < FSD_PARTS; part++) {
        check_records(tiny(), (fsd_part)part, FSD_F32, 8, 8, 1e-5);
        check_records(tiny(), (fsd_part)part, FSD_BF16, 8, 8, 1e-2);
    }
}

TEST(every_record_of_the_miniatures_is_the_same_on_ref_and_cpu)
{
    const char *sd15 = check_tiny_model("sd15-layers", FSD_F16), *odd = check_tiny_model("odd", FSD_BF16);

    for (int part = 0; part < FSD_PARTS; part++) {
        check_records(sd15, (fsd_part)part, FSD_F32, 6, 5, 1e-5);
        check_records(sd15, (fsd_part)part, FSD_BF16, 6, 5, 1e-2);
        check_records(odd, (fsd_part)part, FSD_F32, 5, 7, 1e-5);
        check_records(odd, (fsd_part)part, FSD_BF16, 5, 7, 1e-2);
    }
}
