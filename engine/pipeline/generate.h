/* generate.h: from words to a picture: encode, denoise, decode.
 *
 *     prompt -> states (text encoder) -> steps of the sampler over the UNet's predictions -> latents
 *            -> pixels (VAE)
 *
 * The same numbers as diffusers' StableDiffusionPipeline for the same seed: noise drawn as torch's
 * CPU generator does, in fp32, shape (1, 4, h/8, w/8); latents and sampler in fp32 whatever the
 * networks' precision. Guidance of 1 or less runs no unconditional half. */
#ifndef FSD_PIPELINE_GENERATE_H
#define FSD_PIPELINE_GENERATE_H

#include "engine/pipeline/residency.h"
#include "engine/pipeline/settings.h"

typedef struct fsd_engine {
    fsd_backend *backend;
    fsd_residency *residency;
} fsd_engine;

/* `backend` is "cpu" or "ref"; `threads` 0: all. */
FSD_MUST_CHECK fsd_status fsd_engine_open(fsd_engine *engine, const char *backend, int threads,
                                          fsd_error *err);
void fsd_engine_close(fsd_engine *engine); /* zeroed is fine */

/* What the caller hears while it waits; each may be NULL. All on the calling thread. */
typedef struct fsd_generate_events {
    bool (*cancelled)(void *user); /* asked before each record: true ends with FSD_CANCELLED */
    void (*progress)(void *user, int step, int steps);
    void (*note)(void *user, const char *sentence);
    /* A rough picture of where it is going, at most every eighth of the way. */
    void (*preview)(void *user, const uint8_t *rgb, int width, int height);
    void *user;
} fsd_generate_events;

typedef struct fsd_picture {
    uint8_t *rgb; /* (height, width, 3), freed by fsd_picture_clear */
    int width, height;
    uint64_t seed;         /* the one used */
    const char *precision; /* "fp32" or "bf16" */
    size_t planned_bytes;  /* the largest of the plans that ran */
    double seconds_to_first_step;
} fsd_picture;

/* `settings` is complete: sizes resolved against the model (fsd_model_limits). FSD_INVALID,
 * FSD_MISSING, FSD_FORMAT, FSD_NO_MEMORY, FSD_CANCELLED, FSD_DEVICE (values became infinite or NaN:
 * which part, at which step). */
FSD_MUST_CHECK fsd_status fsd_generate(fsd_engine *engine, const char *model_folder,
                                       const fsd_settings *settings,
                                       const fsd_generate_events *events, fsd_picture *picture,
                                       fsd_error *err);
void fsd_picture_clear(fsd_picture *picture);

/* What this model can make. */
void fsd_model_limits(const fsd_model *model, fsd_limits *limits);

/* Open the folder, build its networks at their own size and throw them away: everything but the
 * numbers is checked. */
FSD_MUST_CHECK fsd_status fsd_probe_model(fsd_engine *engine, const char *folder, fsd_limits *limits,
                                          fsd_diffusers *info, fsd_error *err);

#endif
