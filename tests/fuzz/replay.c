/* Runs a fuzz target over each file of a corpus, and over each file cut at every length (of long ones at
 * 200 lengths) and with a byte changed: what the suite does in place of fuzzing. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly this size, so that a sanitizer sees the first byte too far. */
static void try_bytes(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        exit(1);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int replay(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    const size_t size = file ? fread(data, 1, sizeof data, file) : 0;
    const size_t step = size > 2000 ? size / 200 : 1;

    if (!file)
        return 0;
    fclose(file);
    try_bytes(data, size);
    for (size_t n = 0; n < size; n += step) {
        const uint8_t old = data[n];

        try_bytes(data, n);
        data[n] = (uint8_t)(old * 167 + 13);
        try_bytes(data, size);
        data[n] = old;
    }
    return 1;
}

int main(int argc, char **argv)
{
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    struct dirent *entry;
    int count = 0;

    while (dir && (entry = readdir(dir))) {
        char path[4096];

        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (entry->d_name[0] != '.')
            count += replay(path);
    }
    if (dir)
        closedir(dir);
    printf("%d passed, %d failed\n", count, count ? 0 : 1);
    return count ? 0 : 1;
}
