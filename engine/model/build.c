#include "engine/model/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAME = 512 };

static fsd_weight *get(const fsd_build *b, fsd_pack_use use, const int64_t dim[4], int64_t split,
                       const char *const *names, int parts)
{
    fsd_weight *weight = NULL;
    fsd_error error;
    fsd_status st;

    if (b->graph->status)
        return NULL;
    st = fsd_weights_get(b->weights, &weight, use, dim, split, names, parts, &error);
    if (st)
        fsd_graph_fail(b->graph, st, "%s", error.msg);
    return weight;
}

static void format(const fsd_build *b, char *name, const char *fmt, va_list args)
{
    const int used = snprintf(name, NAME, "%s", b->prefix);

    vsnprintf(name + used, (size_t)(NAME - used), fmt, args);
}

#define FORMATTED(name)                                                                            \
    char name[NAME];                                                                               \
    const char *const names[] = {name};                                                            \
    va_list args;                                                                                  \
    va_start(args, fmt);                                                                           \
    format(b, name, fmt, args);                                                                    \
    va_end(args)

bool fsd_build_has(const fsd_build *b, const char *fmt, ...)
{
    FORMATTED(name);
    return fsd_index_find(fsd_weights_index(b->weights), names[0]) != NULL;
}

fsd_weight *fsd_build_matrix(const fsd_build *b, int64_t out, int64_t in, const char *fmt, ...)
{
    FORMATTED(name);
    return get(b, FSD_PACK_LINEAR, (int64_t[4]){out, in, 1, 1}, 0, names, 1);
}

fsd_weight *fsd_build_split_matrix(const fsd_build *b, int64_t out, int64_t first, int64_t second,
                                   const char *fmt, ...)
{
    FORMATTED(name);
    return get(b, FSD_PACK_LINEAR, (int64_t[4]){out, first + second, 1, 1}, first, names, 1);
}

fsd_weight *fsd_build_geglu(const fsd_build *b, int64_t out, int64_t in, const char *fmt, ...)
{
    FORMATTED(name);
    return get(b, FSD_PACK_GEGLU, (int64_t[4]){2 * out, in, 1, 1}, 0, names, 1);
}

fsd_weight *fsd_build_conv(const fsd_build *b, int64_t out, int64_t in, int size, const char *fmt,
                           ...)
{
    FORMATTED(name);
    return get(b, FSD_PACK_CONV, (int64_t[4]){out, in, size, size}, 0, names, 1);
}

fsd_weight *fsd_build_up_conv(const fsd_build *b, int64_t out, int64_t in, const char *fmt, ...)
{
    FORMATTED(name);
    return get(b, FSD_PACK_CONV_UP, (int64_t[4]){out, in, 3, 3}, 0, names, 1);
}

fsd_weight *fsd_build_table(const fsd_build *b, int64_t rows, int64_t cols, const char *fmt, ...)
{
    FORMATTED(name);
    return get(b, FSD_PACK_TABLE, (int64_t[4]){rows, cols, 1, 1}, 0, names, 1);
}

fsd_weight *fsd_build_vector(const fsd_build *b, int64_t count, const char *fmt, ...)
{
    FORMATTED(name);
    return get(b, FSD_PACK_VECTOR, (int64_t[4]){count, 1, 1, 1}, 0, names, 1);
}

fsd_weight *fsd_build_stack(const fsd_build *b, int64_t out, int64_t in, const char *path,
                            const char *leaves)
{
    char name[FSD_PACK_PARTS][NAME];
    const char *names[FSD_PACK_PARTS];
    int parts = 0;

    while (*leaves && parts < FSD_PACK_PARTS) {
        const int length = (int)strcspn(leaves, ",");

        snprintf(name[parts], NAME, "%s%s%.*s", b->prefix, path, length, leaves);
        names[parts] = name[parts];
        parts++;
        leaves += length + (leaves[length] == ',');
    }
    return get(b, in ? FSD_PACK_LINEAR : FSD_PACK_VECTOR,
               (int64_t[4]){parts * out, in ? in : 1, 1, 1}, 0, names, parts);
}
