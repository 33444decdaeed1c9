#include "fs/prompt_name.h"

#include "tests/harness/check.h"

#include <string.h>

TEST(names_that_desktops_and_tools_probe_for_are_no_orders)
{
    static const char *const NAMES[] = {
        ".hidden", ".directory", ".Trash-0", ".sh_thumbnails", "desktop.ini", "Thumbs.db", "autorun.inf", "folder.jpg",
        "cover.png", "Folder.png", "AlbumArtSmall.png", "favicon.png", "a.png.part", "a.png~", "a.png.crdownload",
        ".a.png.XyZ123", "a.png.1a2b3c4d.partial", "~$x.png", "#x#.png", "_x.png", "-x.png", " x.png", "%41.png", "@eaDir.png",
        "$RECYCLE.png", "x.PNG", "x.png.png", "x.jpg.png", "x~.png", "x.tmp.png", "x.bak.png", ".png", "png", "...png", "!!!.png",
        "a\nb.png", "a\x7f.png", "\xff.png", "a\xc0\xaf.png", "\xed\xa0\x80.png", "a\xc2\x85.png", "x.txt", "",
    };
    bool too_long;

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        CHECK(!fsd_prompt_name_plausible(NAMES[i], &too_long));
        CHECK(!too_long);
    }
}

TEST(prompts_in_any_script_are_orders)
{
    static const char *const NAMES[] = {
        "a.png", "red apple.png", "a cover.png", "7.png", "a red fox --seed 7 --steps 30.png", "\xf0\x9f\x8d\x8e.png",
        "\xe4\xbd\xa0\xe5\xa5\xbd.png", "caf\xc3\xa9 --no blurry, low.png", "a.b.c.png", "(word:1.3), [x].png", "sepia photo of a thumb.png",
    };
    bool too_long;

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        CHECK(fsd_prompt_name_plausible(NAMES[i], &too_long));
}

TEST(a_prompt_over_255_bytes_is_too_long)
{
    char name[300];
    bool too_long;

    memset(name, 'a', sizeof name);
    memcpy(name + 251, ".png", 5);
    CHECK(fsd_prompt_name_plausible(name, &too_long));
    memset(name + 251, 'a', 5);
    memcpy(name + 252, ".png", 5);
    CHECK(!fsd_prompt_name_plausible(name, &too_long));
    CHECK(too_long);
}

static fsd_settings parsed(const char *name)
{
    fsd_settings s;
    fsd_error err = {0};

    CHECK_EQ(fsd_settings_init(&s, NULL), FSD_OK);
    CHECK_EQ(fsd_prompt_name_parse(&s, name, &err), FSD_OK);
    CHECK_STR(err.msg, "");
    return s;
}

TEST(a_name_is_a_prompt_with_options)
{
    fsd_settings s = parsed("a red fox --seed 7 --steps 30 --size 512x768 --cfg 6.5 --sampler dpmpp_2m --no blurry, low --schedule karras.png");

    CHECK_STR(s.prompt, "a red fox");
    CHECK(s.seed_given);
    CHECK_EQ(s.seed, 7);
    CHECK_EQ(s.steps, 30);
    CHECK_EQ(s.width, 512);
    CHECK_EQ(s.height, 768);
    CHECK_NEAR(s.cfg, 6.5, 0);
    CHECK_STR(s.sampler, "dpmpp_2m");
    CHECK_STR(s.schedule, "karras");
    CHECK_STR(s.negative, "blurry, low");
    fsd_settings_clear(&s);
}

TEST(others_words_and_forms_are_understood)
{
    fsd_settings s = parsed("x --CFG-Scale 3 --sampler DPM++ 2M Karras --n ugly --w 256 --h 128 --d 9 --l 5 --s 11.png");

    CHECK_NEAR(s.cfg, 5, 0);
    CHECK_STR(s.sampler, "dpmpp_2m");
    CHECK_STR(s.schedule, "karras");
    CHECK_STR(s.negative, "ugly");
    CHECK_EQ(s.width, 256);
    CHECK_EQ(s.height, 128);
    CHECK_EQ(s.seed, 9);
    CHECK_EQ(s.steps, 11);
    fsd_settings_clear(&s);
    s = parsed("x \xe2\x80\x94steps 5 --steps=6 --size 640\xc3\x97" "384 --sampler Euler a.png");
    CHECK_EQ(s.steps, 6);
    CHECK_EQ(s.width, 640);
    CHECK_STR(s.sampler, "euler_a");
    fsd_settings_clear(&s);
}

TEST(dashes_that_are_no_options_and_wide_forms_are_text)
{
    fsd_settings s = parsed("a -- b --1 c--d 3\xef\xbc\x8f" "4 \xef\xbc\x9awhy\xef\xbc\x9f.png");

    CHECK_STR(s.prompt, "a -- b --1 c--d 3/4 :why?");
    fsd_settings_clear(&s);
}

TEST(what_cannot_be_done_is_told_with_the_nearest_that_can)
{
    static const struct {
        const char *name;
        fsd_status status;
        const char *says;
    } CASES[] = {
        {"x --stepz 3.png", FSD_INVALID, "perhaps \"steps\""},
        {"x --sede 3.png", FSD_INVALID, "perhaps \"seed\""},
        {"x --frobnicate 3.png", FSD_INVALID, "there are: seed steps size"},
        {"x --steps 0.png", FSD_INVALID, "1 to 1000"},
        {"x --steps.png", FSD_INVALID, "(nothing)"},
        {"x --steps 3.5.png", FSD_INVALID, "steps = 3.5"},
        {"x --seed -7.png", FSD_INVALID, "seed = -7"},
        {"x --seed 18446744073709551616.png", FSD_INVALID, "18446744073709551615"},
        {"x --cfg nan.png", FSD_INVALID, "0 to 100"},
        {"x --size 512xx.png", FSD_INVALID, "512x768"},
        {"x --ar 9.png", FSD_INVALID, "3:2"},
        {"x --sampler plms.png", FSD_INVALID, "ddim, euler, euler_a or dpmpp_2m"},
        {"x --schedule exponential.png", FSD_INVALID, "leading, trailing or karras"},
        {"x --precision fp8.png", FSD_INVALID, "fp32 or bf16"},
        {"x --clip_skip 2.png", FSD_UNSUPPORTED, "not there yet"},
        {"x --lora foo 0.8.png", FSD_UNSUPPORTED, "not there yet"},
        {"x --rng nv.png", FSD_UNSUPPORTED, "not there yet"},
        {"x <lora:foo:0.8>.png", FSD_UNSUPPORTED, "not there yet"},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        fsd_settings s;
        fsd_error err = {0};

        REQUIRE(fsd_settings_init(&s, NULL) == FSD_OK);
        CHECK_EQ(fsd_prompt_name_parse(&s, CASES[i].name, &err), CASES[i].status);
        CHECK_HAS(err.msg, CASES[i].says);
        fsd_settings_clear(&s);
    }
}
