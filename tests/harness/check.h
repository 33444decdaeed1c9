/* check.h: a test is a sentence; a failed check says where and what, and the run goes on.
 *
 *     TEST(a_header_longer_than_its_file_is_a_format_error)
 *     {
 *         CHECK(fsd_safetensors_open(&file, path, &err) == FSD_FORMAT);
 *     }
 *
 * A test program is one or more *_test.c linked with check.c, which has main(): every TEST of the
 * program runs (or those whose name contains argv[1]), and the last line is "N passed, N failed".
 * TEST_OOM reruns its body, failing each allocation in turn, until a run meets no failure: the
 * body must cope, and must leak nothing (ASan builds look). SKIP("why") ends a test; a program in
 * which every test was skipped exits 77. */
#ifndef FSD_TESTS_CHECK_H
#define FSD_TESTS_CHECK_H

#include <stddef.h>

typedef struct check_test {
    const char *name, *file;
    void (*run)(void);
    int oom;
    struct check_test *next;
} check_test;

void check_register(check_test *test);
void check_that(int ok, const char *file, int line, const char *text);
void check_eq_int(long long a, long long b, const char *file, int line, const char *text);
void check_eq_str(const char *a, const char *b, const char *file, int line, const char *text);
void check_has(const char *text, const char *part, const char *file, int line);
void check_near(double a, double b, double tolerance, const char *file, int line, const char *text);
void check_skip(const char *why);
int check_failures(void); /* of the running test so far */

/* A file of these bytes in a private folder, removed at exit; the path is the harness's. */
const char *check_tmp_file(const void *bytes, size_t size);
/* A fresh empty folder, removed with its content at exit. */
const char *check_tmp_dir(void);
/* A committed file of the tree: "tests/golden/x.bin" as an absolute path, whatever the cwd. */
const char *check_path(const char *in_tree);

#define CHECK_TEST_(fn, is_oom)                                                                    \
    static void fn(void);                                                                          \
    static check_test check_test_##fn = {#fn, __FILE__, fn, is_oom, NULL};                         \
    __attribute__((constructor)) static void check_add_##fn(void)                                  \
    {                                                                                              \
        check_register(&check_test_##fn);                                                          \
    }                                                                                              \
    static void fn(void)
#define TEST(fn) CHECK_TEST_(fn, 0)
#define TEST_OOM(fn) CHECK_TEST_(fn, 1)

#define CHECK(cond) check_that(!!(cond), __FILE__, __LINE__, #cond)
#define CHECK_EQ(a, b) check_eq_int((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b)
#define CHECK_STR(a, b) check_eq_str(a, b, __FILE__, __LINE__, #a " == " #b)
#define CHECK_HAS(text, part) check_has(text, part, __FILE__, __LINE__)
#define CHECK_NEAR(a, b, tol) check_near(a, b, tol, __FILE__, __LINE__, #a " ~ " #b)
/* Ends the test when false: for what the rest of the test stands on. */
#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        const int require_ok_ = !!(cond);                                                          \
        check_that(require_ok_, __FILE__, __LINE__, #cond);                                        \
        if (!require_ok_)                                                                          \
            return;                                                                                \
    } while (0)
#define SKIP(why)                                                                                  \
    do {                                                                                           \
        check_skip(why);                                                                           \
        return;                                                                                    \
    } while (0)

#endif
