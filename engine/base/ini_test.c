#include "engine/base/ini.h"

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "tests/harness/check.h"

#include <string.h>

static fsd_status collect(void *user, const char *section, const char *key, const char *value,
                          int line, fsd_error *err)
{
    if (strcmp(key, "bad") == 0)
        return fsd_fail(err, FSD_UNSUPPORTED, "bad is not good");
    fsd_str_printf(user, "%d[%s]%s=<%s>;", line, section, key, value);
    return FSD_OK;
}

static const char *read_text(const char *text, size_t size, fsd_status wanted)
{
    static char seen[8192];
    fsd_str str = {0};
    fsd_error err = {0};
    char *all;

    CHECK_EQ(fsd_ini_parse(text, size, collect, &str, &err), wanted);
    all = fsd_str_take(&str);
    strncpy(seen, wanted ? err.msg : all ? all : "", sizeof seen - 1);
    fsd_free(all);
    return seen;
}

#define OK(text, wanted) CHECK_STR(read_text(text, sizeof(text) - 1, FSD_OK), wanted)
#define BAD(text, says) CHECK_HAS(read_text(text, sizeof(text) - 1, FSD_INVALID), says)

TEST(sections_keys_comments_and_values_are_read)
{
    OK("", "");
    OK("a=1", "1[]a=<1>;");
    OK("  a =  1 \n\n# c\n; c\n[s]\nb = x y \r\nc=\n", "1[]a=<1>;6[s]b=<x y>;7[s]c=<>;");
    OK("\xef\xbb\xbf" "a = 1\n", "1[]a=<1>;");
    OK("a = \"  kept  \"\n", "1[]a=<  kept  >;");
    OK("a = \"\nb = \"x\" y\n", "1[]a=<\">;2[]b=<\"x\" y>;");
    OK("a = 1\n  b = 2\n", "1[]a=<1>;2[]b=<2>;"); /* no continuation lines */
}

TEST(any_punctuation_survives_in_a_value)
{
    OK("negative = lowres; bad ; hands # = [x] : (a:1.3) \\n\n",
       "1[]negative=<lowres; bad ; hands # = [x] : (a:1.3) \\n>;");
}

TEST(a_value_of_four_kilobytes_survives)
{
    char text[4200] = "negative = ", wanted[4300] = "1[]negative=<";
    const size_t head = strlen(text), shown = strlen(wanted);

    memset(text + head, 'x', 4096);
    memset(wanted + shown, 'x', 4096);
    strcat(wanted, ">;");
    CHECK_STR(read_text(text, head + 4096, FSD_OK), wanted);
}

TEST(what_is_no_ini_is_refused_with_its_line)
{
    BAD("a = 1\nnonsense\n", "line 2");
    BAD("[s\n", "line 1");
    BAD("[]\n", "line 1");
    BAD("= 1\n", "line 1");
    BAD("a\0b = 1\n", "zero byte");
    BAD("a:b = 1\n", "line 1");
    BAD("0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789 = 1\n", "100 bytes");
    CHECK_HAS(read_text("x=1\nbad = 1\n", 12, FSD_UNSUPPORTED), "line 2: bad is not good");
}

TEST(a_file_is_read_and_named)
{
    fsd_str str = {0};
    fsd_error err = {0};
    const char *path = check_tmp_file("a = 1\nb\n", 8);
    char *seen;

    CHECK_EQ(fsd_ini_read(path, collect, &str, &err), FSD_INVALID);
    CHECK_HAS(err.msg, path);
    CHECK_HAS(err.msg, "line 2");
    CHECK_EQ(fsd_ini_read("/nonexistent/x.ini", collect, &str, &err), FSD_MISSING);
    CHECK_EQ(fsd_ini_read("/", collect, &str, &err), FSD_INVALID);
    seen = fsd_str_take(&str);
    CHECK_STR(seen, "1[]a=<1>;");
    fsd_free(seen);
}

TEST_OOM(reading_copes_with_no_memory)
{
    fsd_str str = {0};

    if (fsd_ini_parse("a = 1\nb = 2\n", 12, collect, &str, NULL))
        CHECK(fsd_mem_failed());
    fsd_str_clear(&str);
}
