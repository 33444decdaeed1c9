/* numeric.h: numbers against an oracle: relative error, PSNR, golden arrays from .npy files. */
#ifndef FSD_TESTS_NUMERIC_H
#define FSD_TESTS_NUMERIC_H

#include <stddef.h>
#include <stdint.h>

/* sqrt(sum (a-b)^2) / sqrt(sum b^2), in double; NaN anywhere gives NaN. */
double check_relative_error(const float *a, const float *b, size_t count);
double check_max_abs(const float *a, const float *b, size_t count);
/* Of two 8-bit pictures, in dB; INFINITY if equal. */
double check_psnr(const uint8_t *a, const uint8_t *b, size_t count);
/* Deterministic values in [-1, 1), the same on every machine. */
void check_fill(float *x, size_t count, uint64_t seed);

/* An array of a .npy file of the tree (NumPy 1.0 format, C order; f4, f8, i4, i8, u1, f2 as
 * stored). The test ends with exit(1) and a sentence if it is not there. Freed at exit. */
typedef struct check_array {
    int rank;
    size_t dim[8], count;
    char type[4]; /* "f4", "i8", … */
    const void *data;
} check_array;
check_array check_npy(const char *in_tree);
/* As float, converted if need be. */
const float *check_npy_f32(const char *in_tree, size_t *count);

#endif
