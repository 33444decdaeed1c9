/* DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, algorithm 2): diffusers'
 * DPMSolverMultistepScheduler with the midpoint rule, first order at the first step and at the last,
 * where the noise ends. Its history is the x0 of the step before. */
#include "engine/sample/sampler.h"

#include <math.h>

static double lambda(fsd_level level)
{
    return log(level.alpha) - log(level.sigma); /* infinite where there is no noise */
}

static void step(fsd_sampling *s, int call, float *x, const float *prediction, fsd_rng *rng)
{
    const fsd_schedule *schedule = &s->schedule;
    const fsd_level now = fsd_level_of_sigma(schedule->sigma[call]);
    const fsd_level next = fsd_level_of_sigma(schedule->sigma[call + 1]);
    const double h = lambda(next) - lambda(now), shrink = next.alpha * (exp(-h) - 1);
    double second = 0, a, b;

    (void)rng;
    if (call > 0 && call < s->calls - 1) {
        const fsd_level before = fsd_level_of_sigma(schedule->sigma[call - 1]);

        second = 0.5 * h / (lambda(now) - lambda(before)); /* half of 1 / r0 */
    }
    fsd_sampling_x0_weights(s, call, &a, &b);
    for (size_t i = 0; i < s->count; i++) {
        const double x0 = a * x[i] + b * prediction[i];
        const double slope = second * (x0 - s->history[i]);

        x[i] = (float)(next.sigma / now.sigma * x[i] - shrink * (x0 + slope));
        s->history[i] = (float)x0;
    }
}

const fsd_sampler fsd_sampler_dpmpp_2m = {.name = "dpmpp_2m",
                                          .label = "DPM++ 2M",
                                          .style = FSD_STYLE_DPM,
                                          .history = 1,
                                          .step = step};
