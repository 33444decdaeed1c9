#include "kernels/pack.h"
#include "kernels/ref/ref.h"

#include "engine/base/mem.h"

static size_t pack_bytes(fsd_backend *be, const fsd_pack *what)
{
    (void)be;
    return (size_t)fsd_pack_count(what) * sizeof(float);
}

static fsd_status pack(fsd_backend *be, fsd_packed **out, const fsd_pack *what, fsd_error *err)
{
    fsd_status st = fsd_pack_check(what, err);

    *out = NULL;
    if (st)
        return st;
    *out = fsd_packed_new(what, pack_bytes(be, what));
    if (!*out)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a weight of %zu bytes",
                        pack_bytes(be, what));
    fsd_pack_to_f32((*out)->own, what);
    (*out)->vector = (*out)->own;
    return FSD_OK;
}

static void unpack(fsd_backend *be, fsd_packed *packed)
{
    (void)be;
    fsd_packed_free(packed);
}

static void close_ref(fsd_backend *be)
{
    fsd_free(be);
}

#define ROW(op) .op##_workspace = fsd_ref_##op##_workspace, .op = fsd_ref_##op

static const fsd_backend TABLE = {
    .name = "ref",
    .about = "ref: plain C, sums in double",
    .pack = pack,
    .pack_bytes = pack_bytes,
    .unpack = unpack,
    .alloc = fsd_cpu_alloc,
    .free = fsd_cpu_free,
    ROW(linear),
    ROW(conv),
    ROW(attention),
    ROW(group_norm),
    ROW(layer_norm),
    ROW(embedding),
    ROW(sinusoid),
    ROW(unary),
    ROW(to_channels_last),
    ROW(to_channels_first),
    .close = close_ref,
};

fsd_status fsd_backend_ref_open(fsd_backend **out, fsd_error *err)
{
    *out = fsd_alloc(sizeof **out);
    if (!*out)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a backend");
    **out = TABLE;
    return FSD_OK;
}

void fsd_backend_close(fsd_backend *be)
{
    if (be)
        be->close(be);
}
