#include "engine/graph/weight.h"

#include "engine/base/map.h"
#include "engine/base/mem.h"

#include <string.h>

struct fsd_weights {
    char label[256];
    fsd_index *index;
    fsd_map *map; /* one a file of the index */
    fsd_backend *backend;
    fsd_weight *first;
    size_t resident;
};

static fsd_status map_files(fsd_weights *weights, fsd_error *err)
{
    const fsd_index *index = weights->index;

    weights->map = fsd_alloc_array((size_t)index->files, sizeof *weights->map);
    if (!weights->map)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for %d mappings", index->files);
    for (int i = 0; i < index->files; i++) {
        const fsd_status st = fsd_map_open(&weights->map[i], index->file[i], err);

        if (st)
            return st;
    }
    for (size_t i = 0; i < index->count; i++) { /* the file may have shrunk since it was indexed */
        const fsd_tensor_entry *entry = &index->entry[i];
        const size_t size = weights->map[entry->file].size;

        if (entry->size > size || entry->offset > size - entry->size)
            return fsd_fail(err, FSD_FORMAT, "tensor \"%s\" ends behind the file's end", entry->name);
    }
    return FSD_OK;
}

fsd_status fsd_weights_open(fsd_weights **out, const char *label, fsd_index *index,
                            fsd_backend *backend, fsd_error *err)
{
    fsd_weights *weights = fsd_alloc(sizeof *weights);
    fsd_status st;

    *out = NULL;
    if (!weights) {
        fsd_index_free(index);
        return fsd_fail(err, FSD_NO_MEMORY, "%s: no memory", label);
    }
    strncat(weights->label, label, sizeof weights->label - 1);
    weights->index = index;
    weights->backend = backend;
    st = map_files(weights, err);
    if (st) {
        fsd_weights_close(weights);
        return fsd_wrap(err, st, "%s", label);
    }
    *out = weights;
    return FSD_OK;
}

static void unpack(fsd_weights *weights, fsd_weight *weight)
{
    for (int i = 0; i < 2; i++) {
        if (!weight->packed[i])
            continue;
        weights->resident -= weight->packed[i]->bytes;
        weights->backend->unpack(weights->backend, weight->packed[i]);
        weight->packed[i] = NULL;
    }
}

void fsd_weights_release(fsd_weights *weights)
{
    for (fsd_weight *weight = weights->first; weight; weight = weight->next)
        unpack(weights, weight);
    for (int i = 0; i < weights->index->files; i++)
        fsd_map_drop(&weights->map[i], 0, weights->map[i].size);
}

void fsd_weights_close(fsd_weights *weights)
{
    if (!weights)
        return;
    while (weights->first) {
        fsd_weight *weight = weights->first;

        weights->first = weight->next;
        unpack(weights, weight);
        fsd_free(weight);
    }
    for (int i = 0; weights->map && i < weights->index->files; i++)
        fsd_map_close(&weights->map[i]);
    fsd_free(weights->map);
    fsd_index_free(weights->index);
    fsd_free(weights);
}

const fsd_index *fsd_weights_index(const fsd_weights *weights)
{
    return weights->index;
}

fsd_backend *fsd_weights_backend(const fsd_weights *weights)
{
    return weights->backend;
}

size_t fsd_weights_resident(const fsd_weights *weights)
{
    return weights->resident;
}

static fsd_weight *find(const fsd_weights *weights, fsd_pack_use use, int64_t split,
                        const char *const *names, int parts)
{
    for (fsd_weight *weight = weights->first; weight; weight = weight->next) {
        int same = weight->use == use && weight->split == split && weight->parts == parts;

        for (int i = 0; same && i < parts; i++)
            same = strcmp(weight->part[i]->name, names[i]) == 0;
        if (same)
            return weight;
    }
    return NULL;
}

/* Shape without regard to trailing ones, so that (64, 64) is (64, 64, 1, 1). */
static int64_t side(const fsd_tensor_entry *entry, int axis)
{
    return axis < entry->rank ? entry->dim[axis] : 1;
}

static fsd_status check_part(const fsd_weights *weights, const fsd_tensor_entry *entry,
                             const int64_t dim[4], fsd_error *err)
{
    char have[128], want[128];
    int fits = entry->rank >= 1;

    if (entry->dtype != FSD_F32 && entry->dtype != FSD_F16 && entry->dtype != FSD_BF16 &&
        entry->dtype != FSD_F64)
        return fsd_fail(err, FSD_FORMAT, "%s: tensor \"%s\" is of type %s", weights->label,
                        entry->name, fsd_dtype_name(entry->dtype));
    for (int axis = 0; axis < FSD_MAX_RANK; axis++) {
        if (axis < 4 && dim[axis])
            fits &= side(entry, axis) == dim[axis];
        else if (axis >= 4)
            fits &= side(entry, axis) == 1;
    }
    if (fits)
        return FSD_OK;
    return fsd_fail(err, FSD_FORMAT, "%s: tensor \"%s\" is %s where %s is needed", weights->label,
                    entry->name, fsd_shape_text(entry->dim, entry->rank, have, sizeof have),
                    fsd_shape_text(dim, dim[3] > 1 ? 4 : dim[1] > 1 ? 2 : 1, want, sizeof want));
}

fsd_status fsd_weights_get(fsd_weights *weights, fsd_weight **out, fsd_pack_use use,
                           const int64_t dim[4], int64_t split, const char *const *names, int parts,
                           fsd_error *err)
{
    fsd_weight *weight = find(weights, use, split, names, parts);

    *out = weight;
    if (weight)
        return FSD_OK;
    weight = fsd_alloc(sizeof *weight);
    if (!weight)
        return fsd_fail(err, FSD_NO_MEMORY, "%s: no memory for \"%s\"", weights->label, names[0]);
    *weight = (fsd_weight){.use = use, .split = split, .parts = parts, .owner = weights};
    memcpy(weight->dim, dim, sizeof weight->dim);
    weight->dim[0] = 0;
    for (int i = 0; i < parts; i++) {
        const fsd_tensor_entry *entry = fsd_index_find(weights->index, names[i]);
        int64_t one[4] = {parts == 1 ? dim[0] : 0, dim[1], dim[2], dim[3]};
        fsd_status st = entry ? check_part(weights, entry, one, err)
                              : fsd_fail(err, FSD_FORMAT, "%s: tensor \"%s\" is missing",
                                         weights->label, names[i]);

        if (st) {
            fsd_free(weight);
            return st;
        }
        weight->part[i] = entry;
        weight->dim[0] += entry->dim[0];
    }
    if (dim[0] && weight->dim[0] != dim[0]) {
        const int64_t rows = weight->dim[0];

        fsd_free(weight);
        return fsd_fail(err, FSD_FORMAT, "%s: \"%s\" and what is stacked on it have %lld rows, not %lld",
                        weights->label, names[0], (long long)rows, (long long)dim[0]);
    }
    weight->name = weight->part[0]->name;
    weight->next = weights->first;
    weights->first = weight;
    *out = weight;
    return FSD_OK;
}

static fsd_pack describe(const fsd_weight *weight, fsd_dtype activations)
{
    fsd_pack pack = {.use = weight->use,
                     .activations = activations,
                     .dim = {weight->dim[0], weight->dim[1], weight->dim[2], weight->dim[3]},
                     .parts = weight->parts,
                     .split = weight->split};

    for (int i = 0; i < weight->parts; i++) {
        const fsd_tensor_entry *entry = weight->part[i];

        pack.part[i] = (fsd_pack_part){.data = weight->owner->map[entry->file].base + entry->offset,
                                       .dtype = entry->dtype,
                                       .rows = entry->dim[0]};
    }
    return pack;
}

size_t fsd_weight_bytes(const fsd_weight *weight, fsd_dtype activations)
{
    fsd_backend *backend = weight->owner->backend;
    const fsd_pack pack = describe(weight, activations);

    return backend->pack_bytes(backend, &pack);
}

fsd_status fsd_weight_pack(fsd_weight *weight, fsd_dtype activations, fsd_packed **out,
                           fsd_error *err)
{
    fsd_weights *weights = weight->owner;
    fsd_packed **slot = &weight->packed[activations == FSD_BF16];

    if (!*slot) {
        const fsd_pack pack = describe(weight, activations);
        const fsd_status st = weights->backend->pack(weights->backend, slot, &pack, err);

        if (st)
            return fsd_wrap(err, st, "%s: \"%s\"", weights->label, weight->name);
        weights->resident += (*slot)->bytes;
        for (int i = 0; (*slot)->bytes && i < weight->parts; i++) {
            const fsd_tensor_entry *entry = weight->part[i];

            fsd_map_drop(&weights->map[entry->file], entry->offset, entry->size);
        }
    }
    *out = *slot;
    return FSD_OK;
}
