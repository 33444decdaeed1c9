/* sampler.h: how a latent goes from one noise level to the next, given the network's predictions.
 *
 *     fsd_sampling_begin(&s, "euler_a", "karras", 20, &config, count, &err);
 *     fsd_sampling_start(&s, x);                         x: standard normal noise, scaled in place
 *     for (int i = 0; i < s.calls; i++) {
 *         fsd_sampling_input(&s, i, in, x);              what the network sees at fsd_sampling_timestep
 *         … prediction = network(in, timestep) …
 *         fsd_sampling_step(&s, i, x, prediction, &rng);
 *     }
 *     fsd_sampling_end(&s);
 *
 * One file and one row of fsd_samplers each, as the diffusers class of that name computes it. */
#ifndef FSD_SAMPLE_SAMPLER_H
#define FSD_SAMPLE_SAMPLER_H

#include "engine/sample/rng.h"
#include "engine/sample/schedule.h"

#include <stddef.h>

typedef struct fsd_sampling fsd_sampling;

typedef struct fsd_sampler {
    const char *name;         /* "euler_a" */
    const char *label;        /* A1111's: "Euler a" */
    fsd_schedule_style style;
    bool in_sigma_space;      /* x = x0 + sigma * noise; else x = sqrt(ab) x0 + sqrt(1 - ab) noise */
    int history;              /* latents to remember */
    void (*step)(fsd_sampling *s, int call, float *x, const float *prediction, fsd_rng *rng);
} fsd_sampler;

extern const fsd_sampler fsd_sampler_euler, fsd_sampler_euler_a, fsd_sampler_ddim,
    fsd_sampler_dpmpp_2m;
extern const fsd_sampler *const fsd_samplers[]; /* ends with NULL */

/* NULL if there is none of this name. */
const fsd_sampler *fsd_sampler_find(const char *name);

struct fsd_sampling {
    const fsd_sampler *sampler;
    fsd_schedule schedule;
    int calls;      /* of the network; one a step for all we have yet */
    size_t count;   /* elements of x */
    float *history; /* (sampler->history, count) */
};

/* FSD_INVALID for an unknown sampler or schedule, or steps they cannot do; FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_sampling_begin(fsd_sampling *s, const char *sampler,
                                             const char *spacing, int steps,
                                             const fsd_schedule_config *config, size_t count,
                                             fsd_error *err);
void fsd_sampling_end(fsd_sampling *s); /* zeroed is fine */

void fsd_sampling_start(const fsd_sampling *s, float *x);
double fsd_sampling_timestep(const fsd_sampling *s, int call);
void fsd_sampling_input(const fsd_sampling *s, int call, float *in, const float *x);
/* x moves to the next level; `rng` goes on where the initial noise ended. */
void fsd_sampling_step(fsd_sampling *s, int call, float *x, const float *prediction, fsd_rng *rng);
/* What x would be without its noise, as far as is known: for previews. May not be x. */
void fsd_sampling_denoised(const fsd_sampling *s, int call, float *x0, const float *x,
                           const float *prediction);

/* Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598): out = u + scale * (c - u). */
void fsd_guide(float *out, const float *unconditional, const float *conditional, double scale,
               size_t count);
bool fsd_all_finite(const float *x, size_t count);

/* For sampler_*.c: alpha and sigma of a variance-preserving x at a noise level. */
typedef struct fsd_level {
    double alpha, sigma; /* x = alpha * x0 + sigma * noise */
} fsd_level;
fsd_level fsd_level_of_sigma(double sigma);
/* x0 = a * x + b * prediction at a level, for x in the sampler's own space. */
void fsd_sampling_x0_weights(const fsd_sampling *s, int call, double *a, double *b);

#endif
