#include "engine/sample/sampler.h"

#include "engine/base/mem.h"

#include <math.h>
#include <string.h>

const fsd_sampler *const fsd_samplers[] = {&fsd_sampler_ddim, &fsd_sampler_euler,
                                           &fsd_sampler_euler_a, &fsd_sampler_dpmpp_2m, NULL};

const fsd_sampler *fsd_sampler_find(const char *name)
{
    for (int i = 0; fsd_samplers[i]; i++) {
        if (strcmp(fsd_samplers[i]->name, name) == 0)
            return fsd_samplers[i];
    }
    return NULL;
}

fsd_status fsd_sampling_begin(fsd_sampling *s, const char *sampler, const char *spacing, int steps,
                              const fsd_schedule_config *config, size_t count, fsd_error *err)
{
    fsd_spacing kind;
    fsd_status st;

    *s = (fsd_sampling){.sampler = fsd_sampler_find(sampler), .calls = steps, .count = count};
    if (!s->sampler)
        return fsd_fail(err, FSD_INVALID,
                        "no sampler is called %s: ddim, euler, euler_a or dpmpp_2m", sampler);
    st = fsd_spacing_parse(&kind, spacing, err);
    if (!st)
        st = fsd_schedule_init(&s->schedule, config, s->sampler->style, kind, steps, err);
    if (!st && s->sampler->history) {
        s->history = fsd_alloc_array((size_t)s->sampler->history * count, sizeof *s->history);
        if (!s->history)
            st = fsd_fail(err, FSD_NO_MEMORY, "no memory for a sampler's history");
    }
    if (st)
        fsd_sampling_end(s);
    return st;
}

void fsd_sampling_end(fsd_sampling *s)
{
    fsd_schedule_clear(&s->schedule);
    fsd_free(s->history);
    *s = (fsd_sampling){0};
}

/* diffusers starts from sigma_max where the first timestep is the last of the table, else from
 * sqrt(sigma_max^2 + 1), the deviation of a noised latent of deviation 1. */
void fsd_sampling_start(const fsd_sampling *s, float *x)
{
    const double sigma = s->schedule.sigma[0];
    double scale = 1;

    if (s->sampler->in_sigma_space)
        scale = s->schedule.spacing == FSD_SPACING_TRAILING ? sigma : sqrt(sigma * sigma + 1);
    for (size_t i = 0; i < s->count; i++)
        x[i] = (float)(x[i] * scale);
}

double fsd_sampling_timestep(const fsd_sampling *s, int call)
{
    return s->schedule.timestep[call];
}

void fsd_sampling_input(const fsd_sampling *s, int call, float *in, const float *x)
{
    const double sigma = s->schedule.sigma[call];
    const float scale = s->sampler->in_sigma_space ? (float)(1 / sqrt(sigma * sigma + 1)) : 1;

    for (size_t i = 0; i < s->count; i++)
        in[i] = x[i] * scale;
}

void fsd_sampling_step(fsd_sampling *s, int call, float *x, const float *prediction, fsd_rng *rng)
{
    s->sampler->step(s, call, x, prediction, rng);
}

fsd_level fsd_level_of_sigma(double sigma)
{
    const double alpha = 1 / sqrt(sigma * sigma + 1);

    return (fsd_level){alpha, sigma * alpha};
}

void fsd_sampling_x0_weights(const fsd_sampling *s, int call, double *a, double *b)
{
    const double sigma = s->schedule.sigma[call];
    const fsd_level level = fsd_level_of_sigma(sigma);

    if (s->schedule.config.prediction == FSD_PREDICTION_V) { /* x0 = alpha x - sigma v */
        *a = level.alpha * (s->sampler->in_sigma_space ? level.alpha : 1);
        *b = -level.sigma;
    } else {
        *a = s->sampler->in_sigma_space ? 1 : 1 / level.alpha;
        *b = -sigma;
    }
}

void fsd_sampling_denoised(const fsd_sampling *s, int call, float *x0, const float *x,
                           const float *prediction)
{
    double a, b;

    fsd_sampling_x0_weights(s, call, &a, &b);
    for (size_t i = 0; i < s->count; i++)
        x0[i] = (float)(a * x[i] + b * prediction[i]);
}

void fsd_guide(float *out, const float *unconditional, const float *conditional, double scale,
               size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = unconditional[i] + (float)scale * (conditional[i] - unconditional[i]);
}

bool fsd_all_finite(const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(x[i]))
            return false;
    }
    return true;
}
