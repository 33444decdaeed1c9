#include "engine/pipeline/generate.h"

#include "engine/base/mem.h"
#include "engine/graph/exec.h"
#include "engine/sample/rng.h"
#include "engine/sample/sampler.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    MAX_SIDE = 2048,
    KEEP_TEXT = 64 << 20,   /* packed bytes of a text encoder that may stay while the UNet runs */
    PREVIEW_LATENT = 16,    /* side of the latent a preview is decoded from, at most */
};

#define PREVIEW_SECONDS 0.5 /* quicker pictures are their own preview */

/* What one picture needs from its beginning to its end. */
typedef struct work {
    fsd_model *model;
    const fsd_settings *settings;
    const fsd_generate_events *events;
    fsd_dtype activations;
    int h, w, channels;       /* of the latents */
    size_t count;             /* of their elements */
    int batch;                /* 2 with guidance: unconditional, then conditional */
    uint64_t seed;
    double start;
    fsd_picture *picture;
    float *latents, *input, *prediction, *denoised; /* fp32, channels first, `count` each */
} work;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

fsd_status fsd_engine_open(fsd_engine *engine, const char *backend, int threads, fsd_error *err)
{
    fsd_status st;

    *engine = (fsd_engine){0};
    if (strcmp(backend, "ref") == 0)
        st = fsd_backend_ref_open(&engine->backend, err);
    else if (strcmp(backend, "cpu") == 0)
        st = fsd_backend_cpu_open(&engine->backend, threads, err);
    else
        st = fsd_fail(err, FSD_INVALID, "no backend is called %s: cpu or ref", backend);
    if (!st)
        st = fsd_residency_new(&engine->residency, engine->backend, 0, err);
    if (st)
        fsd_engine_close(engine);
    return st;
}

void fsd_engine_close(fsd_engine *engine)
{
    fsd_residency_free(engine->residency);
    fsd_backend_close(engine->backend);
    *engine = (fsd_engine){0};
}

void fsd_picture_clear(fsd_picture *picture)
{
    fsd_free(picture->rgb);
    *picture = (fsd_picture){0};
}

void fsd_model_limits(const fsd_model *model, fsd_limits *limits)
{
    const int factor = fsd_model_factor(model);

    *limits = (fsd_limits){.width = factor * model->info.sample_size,
                           .height = factor * model->info.sample_size,
                           .multiple = factor,
                           .max_side = MAX_SIDE};
    snprintf(limits->family, sizeof limits->family, "%s", model->info.family);
}

fsd_status fsd_probe_model(fsd_engine *engine, const char *folder, fsd_limits *limits,
                           fsd_diffusers *info, fsd_error *err)
{
    const fsd_prepared *prepared;
    fsd_model *model;
    fsd_status st = fsd_model_open(&model, folder, engine->backend, err);

    for (int part = 0; part < FSD_PARTS && !st; part++)
        st = fsd_model_prepare(model, (fsd_part)part, FSD_F32, 1, model->info.sample_size,
                               model->info.sample_size, 1, &prepared, err);
    if (!st) {
        fsd_model_limits(model, limits);
        *info = model->info;
    }
    fsd_model_close(model);
    return st;
}

static bool cancelled(void *user)
{
    const work *k = user;

    return k->events->cancelled && k->events->cancelled(k->events->user);
}

static void note(const work *k, const char *fmt, ...) FSD_PRINTF(2, 3);
static void note(const work *k, const char *fmt, ...)
{
    fsd_error sentence;
    va_list args;

    if (!k->events->note)
        return;
    va_start(args, fmt);
    fsd_vfail(&sentence, FSD_OK, fmt, args);
    va_end(args);
    k->events->note(k->events->user, sentence.msg);
}

static void remember_plan(const work *k, const fsd_plan *plan)
{
    if (fsd_plan_bytes(plan) > k->picture->planned_bytes)
        k->picture->planned_bytes = fsd_plan_bytes(plan);
}

/* An exec of a part, cancellable, its bytes noted. */
static fsd_status begin_part(work *k, fsd_part part, int h, int w, const fsd_prepared **prepared,
                             fsd_exec **exec, fsd_error *err)
{
    fsd_status st = fsd_model_prepare(k->model, part, k->activations, k->batch, h, w,
                                      k->settings->steps, prepared, err);

    if (!st)
        st = fsd_exec_new(exec, (*prepared)->plan, err);
    if (st)
        return st;
    fsd_exec_on_cancel(*exec, cancelled, k);
    remember_plan(k, (*prepared)->plan);
    return FSD_OK;
}

/* The prompt's states into the UNet's context: the unconditional half first, as diffusers does. */
static fsd_status write_context(work *k, const fsd_prepared *unet, fsd_exec *exec, fsd_error *err)
{
    const char *texts[2] = {k->settings->negative, k->settings->prompt};
    const fsd_clip_text_config *config = &k->model->info.text;
    const size_t count = (size_t)config->tokens * (size_t)config->width;
    const fsd_value context = fsd_graph_find(unet->graph, "context");
    const size_t stride = fsd_value_bytes(fsd_graph_value(unet->graph, context)) / (size_t)k->batch;

    for (int i = 0; i < k->batch; i++) {
        const char *text = texts[k->batch == 2 ? i : 1];
        const float *states;
        size_t cut;
        fsd_status st = fsd_model_encode(k->model, text, k->activations, &states, &cut, err);

        if (st)
            return fsd_wrap(err, st, "encoding the prompt");
        if (cut)
            note(k, "the %sprompt is %zu tokens too long: its end is ignored",
                 text == k->settings->negative ? "negative " : "", cut);
        if (!fsd_all_finite(states, count))
            return fsd_fail(err, FSD_DEVICE, "the text encoder made values that are not finite");
        fsd_from_f32((char *)fsd_exec_address(exec, context) + (size_t)i * stride, k->activations,
                     states, count);
    }
    if (fsd_weights_resident(k->model->weights[FSD_PART_TEXT]) > KEEP_TEXT)
        fsd_weights_release(k->model->weights[FSD_PART_TEXT]);
    return FSD_OK;
}

/* Pixels in about [-1, 1], channels first, to bytes as diffusers rounds them. */
static void to_rgb(uint8_t *rgb, const float *pixels, size_t area)
{
    for (size_t i = 0; i < area; i++) {
        for (size_t c = 0; c < 3; c++) {
            const float x = pixels[c * area + i] / 2 + 0.5f;
            const float clamped = x < 0 ? 0 : x > 1 ? 1 : x;

            rgb[3 * i + c] = (uint8_t)rintf(clamped * 255);
        }
    }
}

/* Latents of h x w, in the UNet's scale, to a picture. */
static fsd_status decode(work *k, const float *latents, int h, int w, uint8_t **rgb, fsd_error *err)
{
    const int factor = fsd_model_factor(k->model);
    const size_t area = (size_t)(h * factor) * (size_t)(w * factor);
    const size_t count = (size_t)k->channels * (size_t)h * (size_t)w;
    const fsd_prepared *prepared;
    fsd_exec *exec = NULL;
    const float *pixels;
    float *in;
    fsd_status st = begin_part(k, FSD_PART_VAE, h, w, &prepared, &exec, err);

    if (st)
        return st;
    in = fsd_exec_address(exec, fsd_graph_find(prepared->graph, "latents"));
    for (size_t i = 0; i < count; i++)
        in[i] = latents[i] / (float)k->model->info.vae.scaling;
    st = fsd_exec_run(exec, FSD_PHASE_STEP, 0, err);
    pixels = fsd_exec_address(exec, fsd_graph_find(prepared->graph, "pixels"));
    if (!st && !fsd_all_finite(pixels, 3 * area))
        st = fsd_fail(err, FSD_DEVICE, "the VAE made values that are not finite");
    if (!st) {
        *rgb = fsd_alloc(3 * area);
        if (*rgb)
            to_rgb(*rgb, pixels, area);
        else
            st = fsd_fail(err, FSD_NO_MEMORY, "no memory for the picture");
    }
    fsd_exec_free(exec);
    return st;
}

/* --- the steps --------------------------------------------------------------------------------- */

/* A small picture of where it is going: the latent's guessed end, averaged down so that decoding it
 * costs little beside a step. A preview that fails is not worth a word. */
static void preview(work *k, const fsd_sampling *s, int call, const float *x)
{
    const int shrink = (k->h > k->w ? k->h : k->w) / PREVIEW_LATENT > 1
                           ? (k->h > k->w ? k->h : k->w) / PREVIEW_LATENT
                           : 1;
    const int h = k->h / shrink, w = k->w / shrink;
    float *small = k->input; /* free between two steps */
    uint8_t *rgb = NULL;
    fsd_error ignored;

    fsd_sampling_denoised(s, call, k->denoised, x, k->prediction);
    for (int c = 0; c < k->channels; c++) {
        for (int i = 0; i < h; i++) {
            for (int j = 0; j < w; j++) {
                double sum = 0;

                for (int a = 0; a < shrink * shrink; a++)
                    sum += k->denoised[(c * k->h + i * shrink + a / shrink) * k->w + j * shrink + a % shrink];
                small[(c * h + i) * w + j] = (float)(sum / (shrink * shrink));
            }
        }
    }
    if (!decode(k, small, h, w, &rgb, &ignored))
        k->events->preview(k->events->user, rgb, w * fsd_model_factor(k->model),
                           h * fsd_model_factor(k->model));
    fsd_free(rgb);
}

static fsd_status run_step(work *k, const fsd_sampling *s, const fsd_prepared *unet, fsd_exec *exec,
                           int call, const float *x, fsd_error *err)
{
    const fsd_value latents = fsd_graph_find(unet->graph, "latents");
    const float *prediction = fsd_exec_address(exec, fsd_graph_find(unet->graph, "prediction"));
    fsd_status st;

    fsd_sampling_input(s, call, fsd_exec_address(exec, latents), x);
    st = fsd_exec_run(exec, FSD_PHASE_STEP, call, err);
    if (st)
        return st;
    if (!fsd_all_finite(prediction, (size_t)k->batch * k->count))
        return fsd_fail(err, FSD_DEVICE, "the UNet made values that are not finite at step %d%s", call + 1,
                        k->activations == FSD_BF16 ? "; precision = fp32 may help" : "");
    if (k->batch == 2)
        fsd_guide(k->prediction, prediction, prediction + k->count, k->settings->cfg, k->count);
    else
        memcpy(k->prediction, prediction, k->count * sizeof *prediction);
    return FSD_OK;
}

static fsd_status run_steps(work *k, fsd_sampling *s, const fsd_prepared *unet, fsd_exec *exec,
                            fsd_error *err)
{
    float *t = fsd_exec_address(exec, fsd_graph_find(unet->graph, "timesteps"));
    fsd_status st = fsd_exec_run(exec, FSD_PHASE_CONDITION, 0, err);
    double last_preview = now();
    int shown = 0;
    fsd_rng rng;

    for (int call = 0; call < s->calls; call++)
        t[call] = (float)fsd_sampling_timestep(s, call);
    if (!st)
        st = fsd_exec_run(exec, FSD_PHASE_SCHEDULE, 0, err);
    fsd_rng_seed(&rng, k->seed);
    fsd_rng_normal(&rng, k->latents, k->count);
    fsd_sampling_start(s, k->latents);
    k->picture->seconds_to_first_step = now() - k->start;
    for (int call = 0; call < s->calls && !st; call++) {
        st = run_step(k, s, unet, exec, call, k->latents, err);
        if (st)
            break;
        if (k->events->preview && call + 1 < s->calls && 8 * (call + 1) / s->calls > shown &&
            now() - last_preview > PREVIEW_SECONDS) {
            shown = 8 * (call + 1) / s->calls;
            preview(k, s, call, k->latents);
            last_preview = now();
        }
        fsd_sampling_step(s, call, k->latents, k->prediction, &rng);
        if (k->events->progress)
            k->events->progress(k->events->user, call + 1, s->calls);
    }
    return st;
}

static fsd_status denoise(work *k, fsd_error *err)
{
    const fsd_settings *settings = k->settings;
    const fsd_prepared *unet;
    fsd_exec *exec = NULL;
    fsd_sampling s;
    fsd_status st;

    st = fsd_sampling_begin(&s, settings->sampler, settings->schedule, settings->steps,
                            &k->model->info.schedule, k->count, err);
    if (st)
        return st;
    st = begin_part(k, FSD_PART_UNET, k->h, k->w, &unet, &exec, err);
    if (!st)
        st = write_context(k, unet, exec, err);
    if (!st)
        st = run_steps(k, &s, unet, exec, err);
    fsd_exec_free(exec);
    fsd_sampling_end(&s);
    return st;
}

static fsd_status allocate(work *k, fsd_error *err)
{
    k->latents = fsd_alloc_array(4 * k->count, sizeof *k->latents);
    if (!k->latents)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for the latents");
    k->input = k->latents + k->count;
    k->prediction = k->input + k->count;
    k->denoised = k->prediction + k->count;
    return FSD_OK;
}

static fsd_dtype pick_activations(const fsd_engine *engine, const fsd_settings *settings)
{
    if (settings->precision == FSD_PRECISION_BF16)
        return FSD_BF16;
    if (settings->precision == FSD_PRECISION_FP32)
        return FSD_F32;
    return engine->backend->fast_bf16 ? FSD_BF16 : FSD_F32;
}

static uint64_t fresh_seed(void)
{
    uint32_t seed = 0;

    /* 32 bits, which is all that a CPU generator of torch looks at, and short enough to be typed. */
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint32_t)(now() * 1e9);
    return seed;
}

fsd_status fsd_generate(fsd_engine *engine, const char *model_folder, const fsd_settings *settings,
                        const fsd_generate_events *events, fsd_picture *picture, fsd_error *err)
{
    static const fsd_generate_events NOBODY;
    work k = {.settings = settings,
              .events = events ? events : &NOBODY,
              .activations = pick_activations(engine, settings),
              .batch = settings->cfg > 1 ? 2 : 1,
              .seed = settings->seed_given ? settings->seed : fresh_seed(),
              .start = now(),
              .picture = picture};
    fsd_status st;

    *picture = (fsd_picture){.width = settings->width,
                             .height = settings->height,
                             .seed = k.seed,
                             .precision = k.activations == FSD_BF16 ? "bf16" : "fp32"};
    st = fsd_residency_get(engine->residency, &k.model, model_folder, err);
    if (st)
        return st;
    k.h = settings->height / fsd_model_factor(k.model);
    k.w = settings->width / fsd_model_factor(k.model);
    k.channels = k.model->info.vae.latent_channels;
    k.count = (size_t)k.channels * (size_t)k.h * (size_t)k.w;
    st = allocate(&k, err);
    if (!st)
        st = denoise(&k, err);
    if (!st)
        st = decode(&k, k.latents, k.h, k.w, &picture->rgb, err);
    fsd_free(k.latents);
    return st;
}
