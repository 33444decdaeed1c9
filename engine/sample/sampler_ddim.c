/* Denoising diffusion implicit models (Song et al. 2021, arXiv:2010.02502, eq. 12 with eta 0):
 * diffusers' DDIMScheduler. Its next timestep is T / n below, whatever the spacing. */
#include "engine/sample/sampler.h"

#include <math.h>

static double alpha_bar_before(const fsd_schedule *s, int call)
{
    const int t = (int)s->timestep[call] - s->config.train_steps / s->steps;

    if (t >= 0)
        return s->alpha_bar[t];
    return s->config.set_alpha_to_one ? 1 : s->alpha_bar[0];
}

static void step(fsd_sampling *s, int call, float *x, const float *prediction, fsd_rng *rng)
{
    const double now = s->schedule.alpha_bar[(int)s->schedule.timestep[call]];
    const double next = alpha_bar_before(&s->schedule, call);
    double a, b;

    (void)rng;
    fsd_sampling_x0_weights(s, call, &a, &b);
    for (size_t i = 0; i < s->count; i++) {
        const double x0 = a * x[i] + b * prediction[i];
        const double noise = (x[i] - sqrt(now) * x0) / sqrt(1 - now);

        x[i] = (float)(sqrt(next) * x0 + sqrt(1 - next) * noise);
    }
}

const fsd_sampler fsd_sampler_ddim = {
    .name = "ddim", .label = "DDIM", .style = FSD_STYLE_DDIM, .step = step};
