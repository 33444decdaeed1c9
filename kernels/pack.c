#include "kernels/pack.h"

#include "engine/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int64_t fsd_pack_row(const fsd_pack *what)
{
    return what->dim[1] * what->dim[2] * what->dim[3];
}

int64_t fsd_pack_count(const fsd_pack *what)
{
    return what->dim[0] * fsd_pack_row(what);
}

fsd_status fsd_pack_check(const fsd_pack *what, fsd_error *err)
{
    int64_t rows = 0;

    for (int axis = 0; axis < 4; axis++) {
        if (what->dim[axis] < 1 || what->dim[axis] > INT32_MAX)
            return fsd_fail(err, FSD_INVALID, "a weight with a side of %" PRId64, what->dim[axis]);
    }
    if (what->parts < 1 || what->parts > FSD_PACK_PARTS)
        return fsd_fail(err, FSD_INVALID, "a weight of %d parts", what->parts);
    for (int i = 0; i < what->parts; i++) {
        const fsd_dtype type = what->part[i].dtype;

        rows += what->part[i].rows;
        if (type != FSD_F32 && type != FSD_F16 && type != FSD_BF16 && type != FSD_F64)
            return fsd_fail(err, FSD_INVALID, "a weight of type %s", fsd_dtype_name(type));
    }
    if (rows != what->dim[0])
        return fsd_fail(err, FSD_INVALID, "a weight of %" PRId64 " rows in parts of %" PRId64,
                        what->dim[0], rows);
    if (what->activations != FSD_F32 && what->activations != FSD_BF16)
        return fsd_fail(err, FSD_INVALID, "activations of type %s",
                        fsd_dtype_name(what->activations));
    if (what->split < 0 || what->split >= what->dim[1])
        return fsd_fail(err, FSD_INVALID, "a split at %" PRId64 " of %" PRId64 " columns",
                        what->split, what->dim[1]);
    if (what->use == FSD_PACK_CONV_UP && (what->dim[2] != 3 || what->dim[3] != 3))
        return fsd_fail(err, FSD_INVALID, "a convolution of %" PRId64 " x %" PRId64 ", upsampled",
                        what->dim[2], what->dim[3]);
    if (what->use == FSD_PACK_GEGLU && what->dim[0] % 2)
        return fsd_fail(err, FSD_INVALID, "values and gates in %" PRId64 " rows", what->dim[0]);
    return FSD_OK;
}

void fsd_pack_to_f32(float *to, const fsd_pack *what)
{
    for (int i = 0; i < what->parts; i++) {
        const size_t count = (size_t)(what->part[i].rows * fsd_pack_row(what));

        fsd_to_f32(to, what->part[i].data, what->part[i].dtype, count);
        to += count;
    }
}

void *fsd_aligned_new(size_t bytes)
{
    void *probe = fsd_alloc(1); /* which tests can make fail; the block itself must be aligned */

    if (!probe)
        return NULL;
    fsd_free(probe);
    return bytes > SIZE_MAX - 64 ? NULL : aligned_alloc(64, bytes ? (bytes + 63) / 64 * 64 : 64);
}

void fsd_aligned_free(void *block)
{
    free(block);
}

fsd_packed *fsd_packed_new(const fsd_pack *what, size_t own_bytes)
{
    fsd_packed *packed = fsd_alloc(sizeof *packed);

    if (!packed)
        return NULL;
    *packed = (fsd_packed){.use = what->use,
                           .activations = what->activations,
                           .split = what->split,
                           .bytes = own_bytes};
    memcpy(packed->dim, what->dim, sizeof packed->dim);
    packed->own = fsd_aligned_new(own_bytes);
    if (!packed->own) {
        fsd_free(packed);
        return NULL;
    }
    return packed;
}

void fsd_packed_free(fsd_packed *packed)
{
    if (!packed)
        return;
    fsd_aligned_free(packed->own);
    fsd_free(packed);
}

fsd_status fsd_cpu_alloc(fsd_backend *be, void **out, size_t bytes, fsd_error *err)
{
    (void)be;
    *out = fsd_aligned_new(bytes);
    if (!*out)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for %zu bytes", bytes);
    memset(*out, 0, bytes);
    return FSD_OK;
}

void fsd_cpu_free(fsd_backend *be, void *block, size_t bytes)
{
    (void)be, (void)bytes;
    fsd_aligned_free(block);
}
