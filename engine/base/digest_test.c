#include "engine/base/digest.h"

#include "tests/harness/check.h"

#include <stdlib.h>
#include <string.h>

/* FIPS 180-2, appendix B */
static const char ABC[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char NOTHING[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char MILLION_A[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static const char *hex_of(const uint8_t *digest)
{
    static char hex[FSD_SHA256_HEX];

    fsd_sha256_hex(hex, digest);
    return hex;
}

TEST(buffers_have_the_standard_s_digests)
{
    uint8_t digest[FSD_SHA256_SIZE];

    REQUIRE(!fsd_sha256("abc", 3, digest, NULL));
    CHECK_STR(hex_of(digest), ABC);
    REQUIRE(!fsd_sha256("", 0, digest, NULL));
    CHECK_STR(hex_of(digest), NOTHING);
}

TEST(files_of_no_one_and_several_reads_have_the_digest_of_their_bytes)
{
    enum { LONG = (5 << 20) / 2 };
    uint8_t digest[FSD_SHA256_SIZE], whole[FSD_SHA256_SIZE];
    char *text = malloc(LONG);

    REQUIRE(text);
    memset(text, 'a', LONG);
    CHECK(!fsd_sha256_file(check_tmp_file("", 0), NULL, NULL, digest, NULL));
    CHECK_STR(hex_of(digest), NOTHING);
    CHECK(!fsd_sha256_file(check_tmp_file(text, 1000000), NULL, NULL, digest, NULL));
    CHECK_STR(hex_of(digest), MILLION_A);
    CHECK(!fsd_sha256_file(check_tmp_file(text, LONG), NULL, NULL, digest, NULL));
    CHECK(!fsd_sha256(text, LONG, whole, NULL));
    CHECK(memcmp(digest, whole, sizeof digest) == 0);
    free(text);
}

static bool on_third_question(void *user)
{
    return ++*(int *)user == 3;
}

TEST(a_long_file_can_be_given_up)
{
    enum { LONG = 4 << 20 };
    uint8_t digest[FSD_SHA256_SIZE];
    int asked = 0;
    char *text = calloc(1, LONG);
    const char *path;
    fsd_error err = {0};

    REQUIRE(text);
    path = check_tmp_file(text, LONG);
    CHECK(fsd_sha256_file(path, on_third_question, &asked, digest, &err) == FSD_CANCELLED);
    CHECK_EQ(asked, 3);
    CHECK_HAS(err.msg, path);
    free(text);
}

TEST(what_is_no_file_is_refused)
{
    uint8_t digest[FSD_SHA256_SIZE];
    fsd_error err = {0};

    CHECK(fsd_sha256_file("/nonexistent/x", NULL, NULL, digest, &err) == FSD_MISSING);
    CHECK_HAS(err.msg, "/nonexistent/x");
    CHECK(fsd_sha256_file(check_tmp_dir(), NULL, NULL, digest, &err) == FSD_FORMAT);
}

TEST_OOM(no_memory_for_the_buffer_is_said)
{
    uint8_t digest[FSD_SHA256_SIZE];
    const fsd_status st = fsd_sha256_file(check_tmp_file("abc", 3), NULL, NULL, digest, NULL);

    CHECK(st == FSD_OK || st == FSD_NO_MEMORY);
}
