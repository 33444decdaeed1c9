#include "engine/sample/rng.h"

#include <math.h>

enum { N = 624, M = 397, BLOCK = 16 };

#define PI 3.14159265358979323846

void fsd_rng_seed(fsd_rng *rng, uint64_t seed)
{
    *rng = (fsd_rng){.next = N};
    rng->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < N; i++)
        rng->state[i] =
            1812433253u * (rng->state[i - 1] ^ (rng->state[i - 1] >> 30)) + i;
}

static void make_anew(fsd_rng *rng)
{
    uint32_t *s = rng->state;

    for (int i = 0; i < N; i++) {
        const uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % N] & 0x7fffffffu);

        s[i] = s[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    rng->next = 0;
}

uint32_t fsd_rng_next32(fsd_rng *rng)
{
    uint32_t y;

    if (rng->next == N)
        make_anew(rng);
    y = rng->state[rng->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static float uniform24(fsd_rng *rng)
{
    return (float)(fsd_rng_next32(rng) & 0xffffff) / (1 << 24);
}

static double uniform53(fsd_rng *rng)
{
    const uint64_t high = fsd_rng_next32(rng); /* torch: the first word is the high one */

    return (double)((high << 32 | fsd_rng_next32(rng)) & ((UINT64_C(1) << 53) - 1)) /
           (double)(UINT64_C(1) << 53);
}

/* Uniforms to normals, in place. */
static void transform_block(float *x)
{
    for (int i = 0; i < BLOCK / 2; i++) {
        const float u1 = 1 - x[i], u2 = x[i + BLOCK / 2];
        const float radius = sqrtf(-2 * logf(u1)), theta = (float)(2 * PI) * u2;

        x[i] = radius * cosf(theta);
        x[i + BLOCK / 2] = radius * sinf(theta);
    }
}

static void fill_blocks(fsd_rng *rng, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = uniform24(rng);
    for (size_t i = 0; i + BLOCK <= count; i += BLOCK)
        transform_block(out + i);
    if (count % BLOCK) {
        float *last = out + count - BLOCK;

        for (int i = 0; i < BLOCK; i++)
            last[i] = uniform24(rng);
        transform_block(last);
    }
}

static double one_by_one(fsd_rng *rng)
{
    double u1, u2, radius;

    if (rng->has_spare) {
        rng->has_spare = false;
        return rng->spare;
    }
    u1 = uniform53(rng);
    u2 = uniform53(rng);
    radius = sqrt(-2 * log1p(-u2));
    rng->spare = radius * sin(2 * PI * u1);
    rng->has_spare = true;
    return radius * cos(2 * PI * u1);
}

void fsd_rng_normal(fsd_rng *rng, float *out, size_t count)
{
    if (count >= BLOCK) {
        fill_blocks(rng, out, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = (float)one_by_one(rng);
}
