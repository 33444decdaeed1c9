#include "tests/harness/numeric.h"

#include "engine/base/mem.h"
#include "tests/harness/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double check_relative_error(const float *a, const float *b, size_t count)
{
    double diff = 0, norm = 0;

    for (size_t i = 0; i < count; i++) {
        const double d = (double)a[i] - b[i];

        diff += d * d;
        norm += (double)b[i] * b[i];
    }
    return sqrt(diff) / (norm > 0 ? sqrt(norm) : 1);
}

double check_max_abs(const float *a, const float *b, size_t count)
{
    double most = 0;

    for (size_t i = 0; i < count; i++) {
        const double d = fabs((double)a[i] - b[i]);

        if (!(d <= most)) /* NaN too */
            most = d;
    }
    return most;
}

double check_psnr(const uint8_t *a, const uint8_t *b, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++) {
        const double d = (double)a[i] - b[i];

        sum += d * d;
    }
    return 10 * log10(255.0 * 255.0 * (double)count / sum);
}

void check_fill(float *x, size_t count, uint64_t seed)
{
    uint64_t s = seed * 0x9E3779B97F4A7C15u + 1;

    for (size_t i = 0; i < count; i++) { /* splitmix64 */
        uint64_t z = (s += 0x9E3779B97F4A7C15u);

        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        x[i] = (float)((double)(z >> 40) / (1 << 23) - 1);
    }
}

static void give_up(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    exit(1);
}

static void *keep(void *block)
{
    static void *kept[1024];
    static size_t count;

    if (count == sizeof kept / sizeof *kept)
        give_up("numeric.c", "too many golden arrays in one program");
    kept[count++] = block; /* reachable until exit, so that LeakSanitizer sees no leak */
    return block;
}

static size_t parse_header(const char *path, const char *header, check_array *array)
{
    const char *descr = strstr(header, "'descr': '"), *shape = strstr(header, "'shape': (");
    char *end;

    if (!descr || !shape || strstr(header, "'fortran_order': True"))
        give_up(path, "not a C-order .npy of a simple type");
    snprintf(array->type, sizeof array->type, "%.2s", descr + strlen("'descr': '<"));
    array->count = 1;
    for (shape += strlen("'shape': ("); *shape != ')'; shape = end) {
        const size_t n = strtoul(shape, &end, 10);

        if (end == shape || array->rank == 8)
            give_up(path, "bad shape");
        array->dim[array->rank++] = n;
        array->count *= n;
        while (*end == ',' || *end == ' ')
            end++;
    }
    return (size_t)(array->type[1] - '0');
}

check_array check_npy(const char *in_tree)
{
    const char *path = check_path(in_tree);
    check_array array = {0};
    unsigned char head[10];
    char *header;
    void *data;
    size_t length, size;
    FILE *file = fopen(path, "rb");

    if (!file || fread(head, 1, 10, file) != 10 || memcmp(head, "\x93NUMPY\x01", 7))
        give_up(path, "not there, or not a .npy of version 1");
    length = head[8] | (size_t)head[9] << 8;
    header = fsd_alloc(length + 1);
    if (!header || fread(header, 1, length, file) != length)
        give_up(path, "no header");
    size = parse_header(path, header, &array) * array.count;
    fsd_free(header);
    data = keep(fsd_alloc(size));
    if (!data || fread(data, 1, size, file) != size)
        give_up(path, "too short");
    fclose(file);
    array.data = data;
    return array;
}

const float *check_npy_f32(const char *in_tree, size_t *count)
{
    const check_array array = check_npy(in_tree);
    float *out;

    if (count)
        *count = array.count;
    if (strcmp(array.type, "f4") == 0)
        return array.data;
    out = keep(fsd_alloc(array.count * sizeof *out));
    for (size_t i = 0; out && i < array.count; i++) {
        if (strcmp(array.type, "f8") == 0)
            out[i] = (float)((const double *)array.data)[i];
        else if (strcmp(array.type, "i4") == 0)
            out[i] = (float)((const int32_t *)array.data)[i];
        else if (strcmp(array.type, "i8") == 0)
            out[i] = (float)((const int64_t *)array.data)[i];
        else if (strcmp(array.type, "u1") == 0)
            out[i] = ((const uint8_t *)array.data)[i];
        else
            give_up(in_tree, "no conversion from this type");
    }
    return out;
}
