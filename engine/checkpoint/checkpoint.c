#include "engine/checkpoint/checkpoint.h"

#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/checkpoint/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHARD_INDEX = 64 << 20 };

int fsd_index_add_file(fsd_index *index, const char *path)
{
    char **grown = fsd_grow(index->file, ((size_t)index->files + 1) * sizeof *grown);

    if (!grown)
        return -1;
    index->file = grown;
    grown[index->files] = fsd_strdup(path);
    return grown[index->files] ? index->files++ : -1;
}

fsd_status fsd_index_add(fsd_index *index, const fsd_tensor_entry *entry, fsd_error *err)
{
    fsd_tensor_entry *copy;

    if (index->count == index->capacity) {
        const size_t capacity = index->capacity ? 2 * index->capacity : 256;
        fsd_tensor_entry *grown = fsd_grow(index->entry, capacity * sizeof *grown);

        if (!grown)
            return fsd_fail(err, FSD_NO_MEMORY, "no memory for an index of %zu tensors", capacity);
        index->entry = grown;
        index->capacity = capacity;
    }
    copy = &index->entry[index->count];
    *copy = *entry;
    copy->name = fsd_strdup(entry->name);
    if (!copy->name)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for the name of a tensor");
    index->count++;
    return FSD_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const fsd_tensor_entry *)a)->name, ((const fsd_tensor_entry *)b)->name);
}

fsd_status fsd_index_seal(fsd_index *index, fsd_error *err)
{
    if (index->count)
        qsort(index->entry, index->count, sizeof *index->entry, by_name);
    for (size_t i = 1; i < index->count; i++) {
        if (strcmp(index->entry[i - 1].name, index->entry[i].name) == 0)
            return fsd_fail(err, FSD_FORMAT, "two tensors are called \"%s\"", index->entry[i].name);
    }
    return FSD_OK;
}

const fsd_tensor_entry *fsd_index_find(const fsd_index *index, const char *name)
{
    size_t low = 0, high = index->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, index->entry[middle].name);

        if (order == 0)
            return &index->entry[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

void fsd_index_free(fsd_index *index)
{
    if (!index)
        return;
    for (size_t i = 0; i < index->count; i++)
        fsd_free(index->entry[i].name);
    for (int i = 0; i < index->files; i++)
        fsd_free(index->file[i]);
    fsd_free(index->entry);
    fsd_free(index->file);
    fsd_free(index);
}

const char *fsd_shape_text(const int64_t *dim, int rank, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "(");

    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, i ? ", %lld" : "%lld", (long long)dim[i]);
    if (used < size)
        snprintf(out + used, size - used, ")");
    return out;
}

static int ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), k = strlen(end);

    return n >= k && strcmp(text + n - k, end) == 0;
}

static int already_listed(const fsd_index *index, const char *path)
{
    for (int i = 0; i < index->files; i++) {
        if (strcmp(index->file[i], path) == 0)
            return 1;
    }
    return 0;
}

/* A sharded checkpoint: {"weight_map": {"tensor": "file", …}}. The shards' own headers are the
 * truth; the map tells which files there are. A shard is a name in the same folder, nothing else. */
static fsd_status index_shards(fsd_index *index, const char *path, fsd_error *err)
{
    const char *slash = strrchr(path, '/'), *tensor;
    fsd_json root = {0}, map = {0};
    json_t *value;
    fsd_status st = fsd_json_load(&root, path, NULL, MAX_SHARD_INDEX, err);

    if (!st)
        st = fsd_json_need(&root, "weight_map", err);
    if (!st)
        st = fsd_json_object(&root, "weight_map", &map, err);
    json_object_foreach (st ? NULL : map.value, tensor, value) {
        const char *shard = json_string_value(value);
        char full[4096];

        if (!shard || !*shard || strchr(shard, '/') || shard[0] == '.') {
            st = fsd_fail(err, FSD_FORMAT, "%s: the file of \"%s\" is not a name in this folder",
                          path, tensor);
            break;
        }
        if (snprintf(full, sizeof full, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path,
                     shard) >= (int)sizeof full) {
            st = fsd_fail(err, FSD_NAME_LENGTH, "%s: a shard's path is too long", path);
            break;
        }
        if (already_listed(index, full))
            continue;
        st = fsd_safetensors_index(index, full, err);
        if (st)
            break;
    }
    if (!st)
        st = fsd_index_seal(index, err);
    json_object_foreach (st ? NULL : map.value, tensor, value) {
        if (!fsd_index_find(index, tensor)) {
            st = fsd_fail(err, FSD_FORMAT, "%s: \"%s\" is in none of the files", path, tensor);
            break;
        }
    }
    fsd_json_clear(&root);
    return st;
}

fsd_status fsd_checkpoint_index(fsd_index **out, const char *path, fsd_error *err)
{
    fsd_index *index = fsd_alloc(sizeof *index);
    fsd_status st;

    *out = NULL;
    if (!index)
        return fsd_fail(err, FSD_NO_MEMORY, "%s: no memory for its index", path);
    if (ends_with(path, ".safetensors"))
        st = fsd_safetensors_index(index, path, err);
    else if (ends_with(path, ".safetensors.index.json"))
        st = index_shards(index, path, err);
    else
        st = fsd_fail(err, FSD_UNSUPPORTED, "%s: only .safetensors files are read yet", path);
    if (!st) {
        st = fsd_index_seal(index, err);
        if (st)
            fsd_wrap(err, st, "%s", path);
    }
    if (st) {
        fsd_index_free(index);
        return st;
    }
    *out = index;
    return FSD_OK;
}
