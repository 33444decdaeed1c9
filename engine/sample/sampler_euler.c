/* Euler's method along the probability flow (Karras et al. 2022, algorithm 1 without its second
 * half): diffusers' EulerDiscreteScheduler. */
#include "engine/sample/sampler.h"

static void step(fsd_sampling *s, int call, float *x, const float *prediction, fsd_rng *rng)
{
    const double sigma = s->schedule.sigma[call], next = s->schedule.sigma[call + 1];
    double a, b;

    (void)rng;
    fsd_sampling_x0_weights(s, call, &a, &b);
    for (size_t i = 0; i < s->count; i++) {
        const double x0 = a * x[i] + b * prediction[i];

        x[i] = (float)(x[i] + (x[i] - x0) / sigma * (next - sigma));
    }
}

const fsd_sampler fsd_sampler_euler = {.name = "euler",
                                       .label = "Euler",
                                       .style = FSD_STYLE_EULER,
                                       .in_sigma_space = true,
                                       .step = step};
