#include "engine/base/log.h"

#include "tests/harness/check.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char text[1 << 21];

static const char *content(const char *path)
{
    FILE *f = fopen(path, "r");

    text[f ? fread(text, 1, sizeof text - 1, f) : 0] = '\0';
    if (f)
        fclose(f);
    return text;
}

TEST(a_line_an_event_with_its_time)
{
    char path[256];

    snprintf(path, sizeof path, "%s/log.txt", check_tmp_dir());
    REQUIRE(fsd_log_open(path, NULL) == FSD_OK);
    fsd_log("made %s in %.1f s", "a\nb\tc.png", 0.6);
    fsd_log_close();
    CHECK_HAS(content(path), " made a b c.png in 0.6 s\n");
    CHECK_EQ(strcspn(text, " "), strlen("2026-11-25"));
}

TEST(past_its_limit_the_older_half_goes_and_lines_stay_whole)
{
    char path[256];
    struct stat info;
    const char *first;

    snprintf(path, sizeof path, "%s/log.txt", check_tmp_dir());
    REQUIRE(fsd_log_open(path, NULL) == FSD_OK);
    for (int i = 0; i < 20000; i++)
        fsd_log("event number %06d of a long story that fills a log", i);
    fsd_log_close();
    REQUIRE(stat(path, &info) == 0);
    CHECK(info.st_size < (1 << 20) + 4096);
    first = content(path);
    CHECK(strncmp(first, "20", 2) == 0);
    CHECK_HAS(first, "number 019999 of");
    CHECK(strstr(first, "number 000000 of") == NULL);
}
