#include "engine/checkpoint/safetensors.h"

#include "engine/base/bytes.h"
#include "engine/base/mem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_HEADER = 100 << 20 }; /* the format's own limit */

static const struct {
    const char *name;
    fsd_dtype dtype;
} DTYPES[] = {
    {"F32", FSD_F32}, {"F16", FSD_F16}, {"BF16", FSD_BF16}, {"F64", FSD_F64},
    {"I32", FSD_I32}, {"I64", FSD_I64}, {"U8", FSD_U8},
};

static fsd_status read_dtype(fsd_tensor_entry *entry, const json_t *value, fsd_error *err)
{
    const char *word = json_string_value(value);

    for (size_t i = 0; word && i < sizeof DTYPES / sizeof *DTYPES; i++) {
        if (strcmp(word, DTYPES[i].name) == 0) {
            entry->dtype = DTYPES[i].dtype;
            return FSD_OK;
        }
    }
    return fsd_fail(err, FSD_FORMAT, "tensor \"%s\": dtype %s is not one we read", entry->name,
                    word ? word : "missing");
}

/* Fills rank, dim and size; their product is kept from wrapping. */
static fsd_status read_shape(fsd_tensor_entry *entry, const json_t *shape, fsd_error *err)
{
    const size_t rank = json_array_size(shape);
    uint64_t count = 1;

    if (!json_is_array(shape) || rank > FSD_MAX_RANK)
        return fsd_fail(err, FSD_FORMAT, "tensor \"%s\": bad shape", entry->name);
    entry->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *side = json_array_get(shape, i);

        if (!json_is_integer(side) || json_integer_value(side) < 0)
            return fsd_fail(err, FSD_FORMAT, "tensor \"%s\": bad shape", entry->name);
        entry->dim[i] = json_integer_value(side);
        if (__builtin_mul_overflow(count, (uint64_t)entry->dim[i], &count))
            return fsd_fail(err, FSD_FORMAT, "tensor \"%s\": its shape is too large", entry->name);
    }
    if (__builtin_mul_overflow(count, fsd_dtype_size(entry->dtype), &entry->size))
        return fsd_fail(err, FSD_FORMAT, "tensor \"%s\": its shape is too large", entry->name);
    return FSD_OK;
}

static fsd_status read_tensor(fsd_tensor_entry *entry, const json_t *value, uint64_t data,
                              uint64_t file_size, fsd_error *err)
{
    const json_t *offsets = json_object_get(value, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    uint64_t first, past;
    fsd_status st = read_dtype(entry, json_object_get(value, "dtype"), err);

    if (!st)
        st = read_shape(entry, json_object_get(value, "shape"), err);
    if (st)
        return st;
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return fsd_fail(err, FSD_FORMAT, "tensor \"%s\": bad data_offsets", entry->name);
    first = (uint64_t)json_integer_value(begin);
    past = (uint64_t)json_integer_value(end);
    if (past > file_size - data)
        return fsd_fail(err, FSD_FORMAT,
                        "tensor \"%s\" ends at byte %" PRIu64 " of %" PRIu64
                        " bytes of data: the file is cut short",
                        entry->name, past, file_size - data);
    if (past - first != entry->size)
        return fsd_fail(err, FSD_FORMAT,
                        "tensor \"%s\": %" PRIu64 " bytes for a shape of %" PRIu64, entry->name,
                        past - first, entry->size);
    entry->offset = data + first;
    return FSD_OK;
}

fsd_status fsd_safetensors_parse(fsd_index *index, int file, const void *head, size_t size,
                                 uint64_t file_size, fsd_error *err)
{
    uint64_t length;
    json_error_t why;
    json_t *root, *value;
    const char *name;
    fsd_status st = FSD_OK;

    if (size < 8)
        return fsd_fail(err, FSD_FORMAT, "%zu bytes are too few for a header", size);
    length = fsd_load_u64le(head);
    if (length > size - 8) /* not length + 8 > size: that sum can wrap */
        return fsd_fail(err, FSD_FORMAT, "a header of %" PRIu64 " bytes in a file of %" PRIu64,
                        length, file_size);
    root = json_loadb((const char *)head + 8, (size_t)length, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(root)) {
        json_decref(root);
        return fsd_fail(err, FSD_FORMAT, "its header is not JSON: %s", why.text);
    }
    json_object_foreach (root, name, value) {
        char copy[1024];
        fsd_tensor_entry entry = {.name = copy, .file = file};

        if (strcmp(name, "__metadata__") == 0)
            continue;
        if (strlen(name) >= sizeof copy) {
            st = fsd_fail(err, FSD_FORMAT, "the name of a tensor is %zu bytes long", strlen(name));
            break;
        }
        memcpy(copy, name, strlen(name) + 1);
        st = read_tensor(&entry, value, 8 + length, file_size, err);
        if (!st)
            st = fsd_index_add(index, &entry, err);
        if (st)
            break;
    }
    json_decref(root);
    return st;
}

/* All of `size` bytes from `offset`, or FSD_FORMAT if the file ends before. */
static fsd_status read_all(int fd, void *out, size_t size, uint64_t offset, fsd_error *err)
{
    for (size_t done = 0; done < size;) {
        const ssize_t got = pread(fd, (char *)out + done, size - done, (off_t)(offset + done));

        if (got < 0)
            return fsd_fail_errno(err, "reading");
        if (got == 0)
            return fsd_fail(err, FSD_FORMAT, "it ended while it was being read");
        done += (size_t)got;
    }
    return FSD_OK;
}

static fsd_status read_header(fsd_index *index, int file, int fd, fsd_error *err)
{
    struct stat info;
    unsigned char length[8];
    unsigned char *head;
    uint64_t size;
    fsd_status st;

    if (fstat(fd, &info))
        return fsd_fail_errno(err, "fstat");
    if (!S_ISREG(info.st_mode))
        return fsd_fail(err, FSD_FORMAT, "it is not a regular file");
    if (info.st_size < 8)
        return fsd_fail(err, FSD_FORMAT, "%lld bytes are too few for a header",
                        (long long)info.st_size);
    st = read_all(fd, length, sizeof length, 0, err);
    if (st)
        return st;
    size = fsd_load_u64le(length);
    if (size > MAX_HEADER || size > (uint64_t)info.st_size - 8)
        return fsd_fail(err, FSD_FORMAT, "a header of %" PRIu64 " bytes in a file of %lld", size,
                        (long long)info.st_size);
    head = fsd_alloc((size_t)size + 8);
    if (!head)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a header of %" PRIu64 " bytes", size);
    st = read_all(fd, head, (size_t)size + 8, 0, err);
    if (!st)
        st = fsd_safetensors_parse(index, file, head, (size_t)size + 8, (uint64_t)info.st_size, err);
    fsd_free(head);
    return st;
}

fsd_status fsd_safetensors_index(fsd_index *index, const char *path, fsd_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    fsd_status st;
    int file;

    if (fd < 0)
        return fsd_fail_errno(err, "%s", path);
    file = fsd_index_add_file(index, path);
    st = file < 0 ? fsd_fail(err, FSD_NO_MEMORY, "no memory for its name")
                  : read_header(index, file, fd, err);
    close(fd);
    return st ? fsd_wrap(err, st, "%s", path) : FSD_OK;
}
