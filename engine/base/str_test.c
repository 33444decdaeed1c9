#include "engine/base/str.h"

#include "engine/base/mem.h"
#include "tests/harness/check.h"

#include <string.h>

TEST(a_string_grows_as_it_is_appended_to)
{
    fsd_str str = {0};
    char *text;

    for (int i = 0; i < 1000; i++)
        fsd_str_printf(&str, "%d,", i % 10);
    fsd_str_add(&str, "end");
    text = fsd_str_take(&str);
    REQUIRE(text != NULL);
    CHECK_EQ(strlen(text), 2003);
    CHECK_HAS(text, "9,0,1");
    CHECK_STR(text + 2000, "end");
    fsd_free(text);
    CHECK(str.text == NULL);
}

TEST(nothing_appended_is_an_empty_string)
{
    fsd_str str = {0};
    char *text = fsd_str_take(&str);

    CHECK_STR(text, "");
    fsd_free(text);
}

TEST_OOM(running_out_of_memory_is_told_once_at_the_end)
{
    fsd_str str = {0};
    char *text;

    for (int i = 0; i < 50; i++)
        fsd_str_printf(&str, "line %d\n", i);
    text = fsd_str_take(&str);
    CHECK((text == NULL) == fsd_mem_failed());
    if (text)
        CHECK_HAS(text, "line 49\n");
    fsd_free(text);
}
