/* schedule.h: at which timesteps and noise levels the network is asked.
 *
 * A model was trained with a table of betas (Ho et al. 2020, arXiv:2006.11239): alpha_bar_t is the
 * product of 1 - beta up to t, sigma_t = sqrt((1 - alpha_bar_t) / alpha_bar_t). A picture of n steps
 * visits n of its timesteps, and which ones is the spacing:
 *   leading   k * (T / n) + steps_offset, descending: diffusers' default for SD 1.x
 *   trailing  round(T - k * T / n) - 1 (Lin et al. 2023, arXiv:2305.08891): starts at the last one
 *   karras    noise levels evenly spaced in sigma^(1/7) (Karras et al. 2022, arXiv:2206.00364, eq. 5)
 * Each exactly as the diffusers 0.42 class of the sampler computes it, which differ in detail. */
#ifndef FSD_SAMPLE_SCHEDULE_H
#define FSD_SAMPLE_SCHEDULE_H

#include "engine/base/status.h"

#include <stdbool.h>

typedef enum fsd_betas { FSD_BETAS_SCALED_LINEAR, FSD_BETAS_LINEAR } fsd_betas;
/* What the network predicts: the noise, or v (Salimans & Ho 2022, arXiv:2202.00512). */
typedef enum fsd_prediction { FSD_PREDICTION_EPSILON, FSD_PREDICTION_V } fsd_prediction;
typedef enum fsd_spacing { FSD_SPACING_LEADING, FSD_SPACING_TRAILING, FSD_SPACING_KARRAS } fsd_spacing;

typedef struct fsd_schedule_config {
    fsd_betas betas;
    double beta_start, beta_end;
    int train_steps;  /* T */
    int steps_offset;
    bool set_alpha_to_one; /* alpha_bar before the first timestep: 1, or that of timestep 0 */
    fsd_prediction prediction;
} fsd_schedule_config;

/* Stable Diffusion 1.x as published. */
#define FSD_SCHEDULE_SD1                                                                           \
    ((fsd_schedule_config){.betas = FSD_BETAS_SCALED_LINEAR,                                       \
                           .beta_start = 0.00085,                                                  \
                           .beta_end = 0.012,                                                      \
                           .train_steps = 1000,                                                    \
                           .steps_offset = 1,                                                      \
                           .prediction = FSD_PREDICTION_EPSILON})

typedef struct fsd_schedule {
    fsd_schedule_config config;
    fsd_spacing spacing;
    int steps;
    double *alpha_bar; /* (train_steps) */
    double *timestep;  /* (steps); fractional where noise levels lie between two */
    double *sigma;     /* (steps + 1), the last one 0 */
} fsd_schedule;

/* The small ways in which the samplers' diffusers classes differ. */
typedef enum fsd_schedule_style {
    FSD_STYLE_EULER, /* EulerDiscreteScheduler, EulerAncestralDiscreteScheduler */
    FSD_STYLE_DDIM,  /* DDIMScheduler */
    FSD_STYLE_DPM,   /* DPMSolverMultistepScheduler */
} fsd_schedule_style;

/* FSD_INVALID for a spacing the style does not know or too many steps (with the most there can be),
 * FSD_NO_MEMORY. *schedule is the caller's until fsd_schedule_clear, also after a failure. */
FSD_MUST_CHECK fsd_status fsd_schedule_init(fsd_schedule *schedule, const fsd_schedule_config *config,
                                            fsd_schedule_style style, fsd_spacing spacing, int steps,
                                            fsd_error *err);
void fsd_schedule_clear(fsd_schedule *schedule); /* zeroed is fine */

/* "leading" …; FSD_INVALID naming those there are. */
FSD_MUST_CHECK fsd_status fsd_spacing_parse(fsd_spacing *out, const char *name, fsd_error *err);
const char *fsd_spacing_name(fsd_spacing spacing);

#endif
