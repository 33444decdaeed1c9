/* rng.h: initial noise, the same as torch draws for the same seed on a CPU.
 *
 * torch.Generator("cpu") is the Mersenne Twister mt19937 (Matsumoto & Nishimura 1998), seeded with
 * the low 32 bits of the seed. torch.randn fills 16 numbers and more with fp32 Box-Muller pairs that
 * lie eight apart in blocks of 16, redrawing the last 16 if the count is no multiple of it; fewer
 * are drawn one by one in double, every second one kept for the next call. Read from ATen's
 * DistributionTemplates.h and checked against torch; its vectorised logarithm and cosine differ
 * from libm's in the last bit. */
#ifndef FSD_SAMPLE_RNG_H
#define FSD_SAMPLE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fsd_rng {
    uint32_t state[624];
    int next;          /* in state; 624: to be made anew */
    bool has_spare;
    double spare;
} fsd_rng;

void fsd_rng_seed(fsd_rng *rng, uint64_t seed);
uint32_t fsd_rng_next32(fsd_rng *rng);
/* Standard normal numbers, continuing the stream. */
void fsd_rng_normal(fsd_rng *rng, float *out, size_t count);

#endif
