#include "tests/harness/check.h"

#include "engine/base/mem.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static check_test *first, **last = &first;
static int failures, skipped;
static char tmp_root[64];
static int tmp_count;

void check_register(check_test *test)
{
    *last = test;
    last = &test->next;
}

void check_that(int ok, const char *file, int line, const char *text)
{
    if (ok)
        return;
    failures++;
    fprintf(stderr, "%s:%d: false: %s\n", file, line, text);
}

void check_eq_int(long long a, long long b, const char *file, int line, const char *text)
{
    if (a == b)
        return;
    failures++;
    fprintf(stderr, "%s:%d: %s: %lld and %lld\n", file, line, text, a, b);
}

void check_eq_str(const char *a, const char *b, const char *file, int line, const char *text)
{
    if (a && b && strcmp(a, b) == 0)
        return;
    failures++;
    fprintf(stderr, "%s:%d: %s:\n  \"%s\"\n  \"%s\"\n", file, line, text, a ? a : "(null)",
            b ? b : "(null)");
}

void check_has(const char *text, const char *part, const char *file, int line)
{
    if (text && strstr(text, part))
        return;
    failures++;
    fprintf(stderr, "%s:%d: \"%s\" is not in \"%s\"\n", file, line, part, text ? text : "(null)");
}

void check_near(double a, double b, double tolerance, const char *file, int line, const char *text)
{
    if (fabs(a - b) <= tolerance) /* false for NaN, as it should be */
        return;
    failures++;
    fprintf(stderr, "%s:%d: %s: %.9g and %.9g differ by more than %g\n", file, line, text, a, b,
            tolerance);
}

void check_skip(const char *why)
{
    skipped = 1;
    fprintf(stderr, "  skipped: %s\n", why);
}

int check_failures(void)
{
    return failures;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_tmp(void)
{
    if (tmp_root[0])
        nftw(tmp_root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static char *tmp_name(void)
{
    static char names[64][96]; /* in turn: a test that needs more than 64 at once copies them */
    char *name = names[tmp_count % 64];

    if (!tmp_root[0]) {
        snprintf(tmp_root, sizeof tmp_root, "/tmp/fsdfs-check-XXXXXX");
        if (!mkdtemp(tmp_root)) {
            perror("mkdtemp");
            exit(1);
        }
        atexit(remove_tmp);
    }
    snprintf(name, sizeof names[0], "%s/%d", tmp_root, tmp_count++);
    return name;
}

const char *check_tmp_file(const void *bytes, size_t size)
{
    const char *path = tmp_name();
    FILE *file = fopen(path, "wb");

    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file)) {
        perror(path);
        exit(1);
    }
    return path;
}

const char *check_tmp_dir(void)
{
    const char *path = tmp_name();

    if (mkdir(path, 0700)) {
        perror(path);
        exit(1);
    }
    return path;
}

const char *check_path(const char *in_tree)
{
    static char paths[8][4096];
    static int turn;
    char *path = paths[turn++ % 8];

    snprintf(path, sizeof paths[0], "%s/%s", FSD_SOURCE_DIR, in_tree);
    return path;
}

/* Returns what the test's checks counted; *skip tells a skipped one. */
static int run_one(const check_test *test, int *skip)
{
    failures = skipped = 0;
    if (!test->oom) {
        test->run();
    } else {
        for (long n = 0; !failures; n++) {
            fsd_mem_fail_after(n);
            test->run();
            if (!fsd_mem_failed())
                break;
        }
        fsd_mem_fail_after(-1);
    }
    *skip = skipped && !failures;
    return failures;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0, skips = 0;

    for (const check_test *test = first; test; test = test->next) {
        int skip;

        if (argc > 1 && !strstr(test->name, argv[1]))
            continue;
        if (run_one(test, &skip)) {
            failed++;
            fprintf(stderr, "FAILED %s (%s)\n", test->name, test->file);
        } else if (skip) {
            skips++;
        } else {
            passed++;
        }
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skips);
    if (failed || passed + skips == 0)
        return 1;
    return passed ? 0 : 77;
}
