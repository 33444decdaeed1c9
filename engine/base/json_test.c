#include "engine/base/json.h"

#include "tests/harness/check.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { LIMIT = 1 << 20 };

static fsd_status parse(fsd_json *json, const char *text, fsd_error *err)
{
    *json = (fsd_json){0};
    return fsd_json_parse(json, "config.json", text, strlen(text), err);
}

TEST(every_type_is_read_from_a_file)
{
    static const char text[] =
        "{\"name\": \"caf\\u00e9\", \"layers\": 2, \"eps\": 1e-5, \"one\": 1,"
        " \"scale\": true, \"ch\": [320, 640], \"types\": [\"a\", \"b\"],"
        " \"head\": 8, \"inner\": {\"x\": -3}}";
    const char *name = "", *types[4];
    int layers = 0, ch[4] = {0}, head[4] = {0}, x = 0;
    double eps = 0, one = 0;
    bool scale = false;
    size_t count = 0, heads = 0, kinds = 0;
    fsd_json json, inner;
    fsd_error err = {0};

    REQUIRE(!fsd_json_load(&json, check_tmp_file(text, strlen(text)), NULL, LIMIT, &err));
    CHECK(!fsd_json_string(&json, "name", &name, &err));
    CHECK_STR(name, "caf\xc3\xa9");
    CHECK(!fsd_json_int(&json, "layers", 1, 2, &layers, &err));
    CHECK_EQ(layers, 2);
    CHECK(!fsd_json_double(&json, "eps", &eps, &err));
    CHECK(eps == 1e-5);
    CHECK(!fsd_json_double(&json, "one", &one, &err));
    CHECK(one == 1);
    CHECK(!fsd_json_bool(&json, "scale", &scale, &err));
    CHECK(scale);
    CHECK(!fsd_json_ints(&json, "ch", 1, 4096, ch, 4, &count, &err));
    CHECK(count == 2 && ch[0] == 320 && ch[1] == 640);
    CHECK(!fsd_json_ints(&json, "head", 1, 4096, head, 4, &heads, &err));
    CHECK(heads == 1 && head[0] == 8);
    CHECK(!fsd_json_strings(&json, "types", types, 4, &kinds, &err));
    CHECK_EQ(kinds, 2);
    CHECK_STR(types[1], "b");
    REQUIRE(!fsd_json_object(&json, "inner", &inner, &err));
    CHECK(!fsd_json_int(&inner, "x", -9, 9, &x, &err));
    CHECK_EQ(x, -3);
    fsd_json_clear(&json);
    fsd_json_clear(&json);
}

TEST(a_missing_or_null_key_keeps_the_default)
{
    const char *name = "as before", *names[1] = {"as before"};
    int layers = 7, ch[2] = {7, 7};
    double eps = 7;
    bool scale = true;
    size_t count = 2, kinds = 1;
    fsd_json json, inner;

    REQUIRE(!parse(&json, "{\"layers\": null, \"ch\": null, \"inner\": null}", NULL));
    CHECK(!fsd_json_string(&json, "name", &name, NULL));
    CHECK_STR(name, "as before");
    CHECK(!fsd_json_int(&json, "layers", 0, 1, &layers, NULL));
    CHECK_EQ(layers, 7);
    CHECK(!fsd_json_double(&json, "eps", &eps, NULL));
    CHECK(eps == 7);
    CHECK(!fsd_json_bool(&json, "scale", &scale, NULL));
    CHECK(scale);
    CHECK(!fsd_json_ints(&json, "ch", 0, 1, ch, 2, &count, NULL));
    CHECK(count == 2 && ch[0] == 7);
    CHECK(!fsd_json_strings(&json, "names", names, 1, &kinds, NULL));
    CHECK_EQ(kinds, 1);
    CHECK(!fsd_json_object(&json, "inner", &inner, NULL));
    CHECK(!inner.value);
    CHECK(!fsd_json_has(&json, "layers") && !fsd_json_has(&json, "eps"));
    fsd_json_clear(&json);
}

TEST(a_wrong_type_is_a_sentence_naming_file_and_key)
{
    const char *name, *names[2];
    int number, numbers[2];
    double real;
    bool yes;
    size_t count;
    fsd_json json, inner, deeper;
    fsd_error err = {0};

    REQUIRE(!parse(&json, "{\"a\": [1, 2.5], \"s\": \"x\", \"o\": {\"k\": 1}, \"e\": []}", NULL));
    CHECK(fsd_json_ints(&json, "a", 0, 9, numbers, 2, &count, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "config.json: a: a list of whole numbers is needed");
    CHECK(fsd_json_ints(&json, "a", 0, 9, numbers, 1, &count, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "config.json: a: a list of 1 to 1 entries is needed, not 2");
    CHECK(fsd_json_ints(&json, "e", 0, 9, numbers, 2, &count, &err) == FSD_FORMAT);
    CHECK(fsd_json_int(&json, "s", 0, 9, &number, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "config.json: s: a whole number is needed");
    CHECK(fsd_json_double(&json, "s", &real, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "config.json: s: a number is needed");
    CHECK(fsd_json_bool(&json, "s", &yes, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "config.json: s: true or false is needed");
    CHECK(fsd_json_string(&json, "a", &name, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "config.json: a: a text in quotes is needed");
    CHECK(fsd_json_strings(&json, "a", names, 2, &count, &err) == FSD_FORMAT);
    CHECK(fsd_json_object(&json, "s", &inner, &err) == FSD_FORMAT);
    REQUIRE(!fsd_json_object(&json, "o", &inner, &err));
    CHECK(fsd_json_object(&inner, "k", &deeper, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "config.json: o: k: an object is needed");
    CHECK(fsd_json_need(&json, "zzz", &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "config.json: zzz is not there, and is needed");
    CHECK(!fsd_json_need(&json, "s", &err));
    fsd_json_clear(&json);

    REQUIRE(!parse(&json, "[1]", NULL));
    CHECK(fsd_json_int(&json, "s", 0, 9, &number, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "config.json: an object is needed");
    fsd_json_clear(&json);
}

TEST(a_number_out_of_range_is_refused_with_both_bounds)
{
    int number = 5, numbers[2] = {0};
    size_t count = 0;
    fsd_json json;
    fsd_error err = {0};

    REQUIRE(!parse(&json, "{\"n\": 4294967297, \"list\": [1, -1]}", NULL));
    CHECK(fsd_json_int(&json, "n", 0, 100, &number, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "config.json: n: 4294967297 is not between 0 and 100");
    CHECK_EQ(number, 5);
    CHECK(fsd_json_ints(&json, "list", 0, 9, numbers, 2, &count, &err) == FSD_FORMAT);
    CHECK_EQ(count, 0);
    fsd_json_clear(&json);
}

TEST(a_broken_document_names_line_and_column)
{
    static const char *const broken[] = {
        "",
        "{",
        "{\"a\": 1,}",
        "{\"a\": 1} x",
        "{\"a\": NaN}",
        "\"\xff\"",
        "'a'",
        "{\"a\": 1e999}",
        "{\"a\\u0000\": 1}",
        "\xef\xbb\xbf{}",
        "{\"a\": 99999999999999999999}",
    };
    fsd_json json;
    fsd_error err = {0};

    CHECK(parse(&json, "{\n  \"a\": 1,\n  \"a\": 2}", &err) == FSD_FORMAT);
    CHECK_HAS(err.msg, "config.json: line 3, column ");
    CHECK_HAS(err.msg, "duplicate");
    fsd_json_clear(&json);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        CHECK(parse(&json, broken[i], &err) == FSD_FORMAT);
        CHECK_HAS(err.msg, "config.json: line ");
        fsd_json_clear(&json);
    }
}

TEST(nesting_is_bounded)
{
    static char deep[1 << 20];
    fsd_json json;

    memset(deep, '[', sizeof deep);
    CHECK(fsd_json_parse(&json, "deep", deep, sizeof deep, NULL) == FSD_FORMAT);
}

TEST(files_that_are_missing_too_long_or_no_files_are_refused)
{
    const char *dir = check_tmp_dir();
    char fifo[256];
    fsd_json json;
    fsd_error err = {0};

    CHECK(fsd_json_load(&json, "/nonexistent/unet/config.json", "unet/config.json", LIMIT, &err) ==
          FSD_MISSING);
    CHECK_HAS(err.msg, "unet/config.json: ");
    fsd_json_clear(&json);
    CHECK(fsd_json_load(&json, check_tmp_file("{\"a\": 1}", 8), "x", 7, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "x: 8 bytes are more than the 7 allowed");
    CHECK(fsd_json_load(&json, dir, "x", LIMIT, &err) == FSD_FORMAT);
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    REQUIRE(!mkfifo(fifo, 0600));
    CHECK(fsd_json_load(&json, fifo, "x", LIMIT, &err) == FSD_FORMAT);
    CHECK_STR(err.msg, "x: not a regular file");
}

TEST_OOM(no_memory_is_told_from_bad_syntax)
{
    static const char text[] = "{\"a\": [1, 2.5, \"\\u00e9\"], \"b\": {\"c\": true, \"d\": 1}}";
    const char *path = check_tmp_file(text, strlen(text));
    fsd_json json;
    const fsd_status st = fsd_json_load(&json, path, NULL, LIMIT, NULL);

    CHECK(st == FSD_OK || st == FSD_NO_MEMORY);
    CHECK(!st == !!json.value);
    fsd_json_clear(&json);
}
