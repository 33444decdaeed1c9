#include "engine/pipeline/settings.h"

#include "engine/base/mem.h"
#include "tests/harness/check.h"

#include <string.h>

static const fsd_limits SD1 = {"sd1", 512, 512, 8, 2048}, TINY = {"sd1", 128, 128, 8, 2048};

static fsd_settings fresh(void)
{
    fsd_settings s;

    CHECK_EQ(fsd_settings_init(&s, NULL), FSD_OK);
    return s;
}

static void set(fsd_settings *s, const char *word, const char *value)
{
    fsd_error err = {0};

    CHECK_EQ(fsd_settings_set(s, word, value, &err), FSD_OK);
    CHECK_STR(err.msg, "");
}

TEST(nobody_says_a_size_so_it_is_the_models_own)
{
    fsd_settings s = fresh();

    CHECK_EQ(fsd_settings_resolve(&s, &TINY, NULL), FSD_OK);
    CHECK_EQ(s.width, 128);
    CHECK_EQ(s.height, 128);
    fsd_settings_clear(&s);
}

TEST(an_aspect_ratio_keeps_the_models_area)
{
    static const struct {
        const char *ar;
        const fsd_limits *limits;
        int width, height;
    } CASES[] = {
        {"3:2", &SD1, 640, 448}, {"2:3", &SD1, 448, 640}, {"1:1", &SD1, 512, 512}, {"16:9", &SD1, 704, 384},
        {"3:2", &TINY, 160, 104}, {"1:2", &TINY, 88, 184},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        fsd_settings s = fresh();

        set(&s, "ar", CASES[i].ar);
        CHECK_EQ(fsd_settings_resolve(&s, CASES[i].limits, NULL), FSD_OK);
        CHECK_EQ(s.width, CASES[i].width);
        CHECK_EQ(s.height, CASES[i].height);
        fsd_settings_clear(&s);
    }
}

TEST(a_size_the_model_cannot_make_is_refused_with_those_it_can)
{
    static const char *const SIZES[] = {"100x128", "128x100", "56", "4096x128", "129"};

    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        fsd_settings s = fresh();
        fsd_error err = {0};

        set(&s, "size", SIZES[i]);
        CHECK_EQ(fsd_settings_resolve(&s, &TINY, &err), FSD_INVALID);
        CHECK_HAS(err.msg, "64 to 2048");
        CHECK_HAS(err.msg, "multiples of 8");
        CHECK_HAS(err.msg, "128x128");
        fsd_settings_clear(&s);
    }
}

TEST(no_adds_to_the_negative_prompt_and_negative_replaces_it)
{
    fsd_settings s = fresh();

    set(&s, "negative", "ugly");
    set(&s, "no", "blurry");
    CHECK_STR(s.negative, "ugly, blurry");
    set(&s, "Negative Prompt", "x");
    CHECK_STR(s.negative, "x");
    fsd_settings_clear(&s);
}

TEST(a_job_carries_every_setting_to_the_other_side)
{
    fsd_settings a = fresh(), b = fresh();
    char *job, *line, *rest;

    set(&a, "prompt", "two\nlines \\ and = signs");
    set(&a, "negative", "x\r\ny");
    set(&a, "seed", "18446744073709551615");
    set(&a, "size", "96x160");
    set(&a, "cfg", "0.1");
    set(&a, "sampler", "Euler a");
    set(&a, "schedule", "trailing");
    set(&a, "precision", "fp32");
    set(&a, "steps", "33");
    REQUIRE(fsd_settings_to_job(&a, &job, NULL) == FSD_OK);
    for (line = strtok_r(job, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *value = strchr(line, '='), *plain;

        REQUIRE(value != NULL);
        *value++ = '\0';
        plain = fsd_job_unescape(value);
        REQUIRE(plain != NULL);
        set(&b, line, plain);
        fsd_free(plain);
    }
    CHECK_STR(b.prompt, a.prompt);
    CHECK_STR(b.negative, a.negative);
    CHECK(b.seed_given && b.seed == a.seed);
    CHECK_EQ(b.width, 96);
    CHECK_EQ(b.height, 160);
    CHECK(b.cfg == a.cfg);
    CHECK_STR(b.sampler, "euler_a");
    CHECK_STR(b.schedule, "trailing");
    CHECK_EQ(b.precision, FSD_PRECISION_FP32);
    CHECK_EQ(b.steps, 33);
    fsd_free(job);
    fsd_settings_clear(&a);
    fsd_settings_clear(&b);
    CHECK(fsd_job_unescape("a\\") == NULL);
    CHECK(fsd_job_unescape("\\t") == NULL);
}

TEST(every_word_that_works_can_be_got_back_as_it_was_set)
{
    static const char *const VALUES[][2] = {
        {"seed", "7"}, {"steps", "5"}, {"size", "64x72"}, {"width", "64"}, {"height", "72"}, {"cfg", "3.5"},
        {"sampler", "euler"}, {"schedule", "karras"}, {"negative", "x"}, {"model", "m"}, {"precision", "bf16"}, {"rng", "cpu"},
    };
    fsd_settings s = fresh();

    for (size_t i = 0; i < sizeof VALUES / sizeof *VALUES; i++) {
        char out[64];

        set(&s, VALUES[i][0], VALUES[i][1]);
        fsd_settings_get(&s, VALUES[i][0], out, sizeof out);
        CHECK_STR(out, VALUES[i][1]);
    }
    fsd_settings_clear(&s);
}

TEST_OOM(settings_cope_with_no_memory)
{
    fsd_settings s, copy;

    if (fsd_settings_init(&s, NULL))
        return;
    if (!fsd_settings_set(&s, "no", "x", NULL) && !fsd_settings_copy(&copy, &s, NULL)) {
        CHECK_STR(copy.negative, "x");
        fsd_settings_clear(&copy);
    }
    fsd_settings_clear(&s);
}
