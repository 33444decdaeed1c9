/* Euler's method, going a little too far and adding fresh noise each step: k-diffusion's
 * sample_euler_ancestral, diffusers' EulerAncestralDiscreteScheduler. The noise goes on in the stream
 * that the initial noise was drawn from. */
#include "engine/sample/sampler.h"

#include <math.h>

enum { PIECE = 1 << 12 };

static void add_noise(fsd_sampling *s, float *x, double scale, fsd_rng *rng)
{
    float noise[PIECE];

    /* Pieces are multiples of 16, so that the stream is the same as of one draw; the last 16 of an
     * odd count are redrawn as a whole, hence the last piece takes what is left below two. */
    for (size_t i = 0; i < s->count;) {
        const size_t left = s->count - i, n = left < PIECE ? left : left < PIECE + 16 ? PIECE / 2 : PIECE;

        fsd_rng_normal(rng, noise, n);
        for (size_t k = 0; k < n; k++)
            x[i + k] = (float)(x[i + k] + scale * noise[k]);
        i += n;
    }
}

static void step(fsd_sampling *s, int call, float *x, const float *prediction, fsd_rng *rng)
{
    const double sigma = s->schedule.sigma[call], next = s->schedule.sigma[call + 1];
    const double up = sqrt(next * next * (sigma * sigma - next * next) / (sigma * sigma));
    const double down = sqrt(next * next - up * up);
    double a, b;

    fsd_sampling_x0_weights(s, call, &a, &b);
    for (size_t i = 0; i < s->count; i++) {
        const double x0 = a * x[i] + b * prediction[i];

        x[i] = (float)(x[i] + (x[i] - x0) / sigma * (down - sigma));
    }
    add_noise(s, x, up, rng);
}

const fsd_sampler fsd_sampler_euler_a = {.name = "euler_a",
                                         .label = "Euler a",
                                         .style = FSD_STYLE_EULER,
                                         .in_sigma_space = true,
                                         .step = step};
