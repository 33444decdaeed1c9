#include "tests/harness/tiny_model.h"

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "tests/harness/check.h"
#include "tests/harness/numeric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void give_up(const char *path)
{
    perror(path);
    exit(1);
}

static uint64_t fnv1a(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

/* As weight() of tests/oracle/models.py. */
static void fill(float *to, const char *name, int rank, const int64_t dim[4])
{
    const size_t count = (size_t)(dim[0] * dim[1] * dim[2] * dim[3]);
    const size_t length = strlen(name);
    const float scale = (float)sqrt(3.0 / (double)(dim[1] * dim[2] * dim[3]));
    const int norm = strstr(name, "norm") && length > 6 && strcmp(name + length - 6, "weight") == 0;

    check_fill(to, count, fnv1a(name));
    for (size_t i = 0; i < count; i++) {
        if (rank == 1)
            to[i] = norm ? 1 + 0.1f * to[i] : 0.1f * to[i];
        else
            to[i] *= strstr(name, "embedding.weight") ? 0.5f : scale;
    }
}

static void write_weights(const char *list, const char *path, fsd_dtype dtype)
{
    FILE *names = fopen(list, "r"), *out = fopen(path, "wb");
    fsd_str header = {0};
    char line[512], name[256];
    unsigned char length[8];
    size_t offset = 0;

    if (!names || !out)
        give_up(names ? path : list);
    for (int pass = 0; pass < 2; pass++) {
        rewind(names);
        while (fgets(line, sizeof line, names)) {
            int64_t dim[4] = {1, 1, 1, 1};
            const int rank = sscanf(line, "%255s %ld %ld %ld %ld", name, &dim[0], &dim[1], &dim[2], &dim[3]) - 1;
            const size_t count = (size_t)(dim[0] * dim[1] * dim[2] * dim[3]);
            const size_t size = count * fsd_dtype_size(dtype);
            float *values;
            void *stored;

            if (pass == 0) {
                fsd_str_printf(&header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", offset ? "," : "{", name,
                               fsd_dtype_name(dtype));
                for (int i = 0; i < rank; i++)
                    fsd_str_printf(&header, "%s%ld", i ? "," : "", dim[i]);
                fsd_str_printf(&header, "],\"data_offsets\":[%zu,%zu]}", offset, offset + size);
                offset += size;
                continue;
            }
            values = fsd_alloc(count * sizeof *values);
            stored = fsd_alloc(size);
            fill(values, name, rank, dim);
            fsd_from_f32(stored, dtype, values, count);
            if (fwrite(stored, 1, size, out) != size)
                give_up(path);
            fsd_free(values);
            fsd_free(stored);
        }
        if (pass == 0) {
            fsd_str_add(&header, "}");
            fsd_store_u64le(length, header.length);
            fwrite(length, 1, 8, out);
            fwrite(header.text, 1, header.length, out);
        }
    }
    fsd_str_clear(&header);
    fclose(names);
    if (fclose(out))
        give_up(path);
}

static void copy(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    char piece[4096];
    size_t got;

    if (!in || !out)
        give_up(in ? to : from);
    while ((got = fread(piece, 1, sizeof piece, in)) > 0)
        fwrite(piece, 1, got, out);
    fclose(in);
    fclose(out);
}

const char *check_tiny_model(const char *kind, fsd_dtype dtype)
{
    static const char *const PARTS[][2] = {
        {"text_encoder", "model"}, {"unet", "diffusion_pytorch_model"}, {"vae", "diffusion_pytorch_model"}};
    const char *tiny = check_path("packaging/models/tiny-emoji");
    const char *dir = check_tmp_dir();
    char from[1024], to[1024];

    for (int i = 0; i < 3; i++) {
        snprintf(to, sizeof to, "%s/%s", dir, PARTS[i][0]);
        mkdir(to, 0700);
        snprintf(from, sizeof from, "tests/golden/models/%s/%s.json", kind, PARTS[i][0]);
        snprintf(to, sizeof to, "%s/%s/config.json", dir, PARTS[i][0]);
        copy(check_path(from), to);
        snprintf(from, sizeof from, "tests/golden/models/%s/%s.txt", kind, PARTS[i][0]);
        snprintf(to, sizeof to, "%s/%s/%s.safetensors", dir, PARTS[i][0], PARTS[i][1]);
        write_weights(check_path(from), to, dtype);
    }
    snprintf(from, sizeof from, "%s/model_index.json", tiny);
    snprintf(to, sizeof to, "%s/model_index.json", dir);
    copy(from, to);
    for (int i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/%s", tiny, i ? "tokenizer" : "scheduler");
        snprintf(to, sizeof to, "%s/%s", dir, i ? "tokenizer" : "scheduler");
        if (symlink(from, to))
            give_up(to);
    }
    return dir;
}
