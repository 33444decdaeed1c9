#include "engine/image/png.h"

#include "engine/base/mem.h"
#include "engine/image/infotext.h"
#include "tests/harness/check.h"

#include <fcntl.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t *noise(int width, int height)
{
    uint8_t *rgb = fsd_alloc((size_t)(3 * width * height));
    unsigned s = 1;

    for (int i = 0; rgb && i < 3 * width * height; i++)
        rgb[i] = (uint8_t)((s = s * 1664525u + 1013904223u) >> 24);
    return rgb;
}

static const char *write_picture(const uint8_t *rgb, int width, int height, const char *text, bool *was_cut)
{
    const char *path = check_tmp_file("", 0);
    const int fd = open(path, O_WRONLY | O_TRUNC);

    CHECK_EQ(fsd_png_write(fd, rgb, width, height, text, was_cut, NULL), FSD_OK);
    close(fd);
    return path;
}

/* Read back by libpng, which checks every CRC: pixels, and the text under "parameters". */
static void read_back(const char *path, const uint8_t *rgb, int width, int height, const char *text)
{
    FILE *file = fopen(path, "rb");
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_textp texts;
    uint8_t *row = fsd_alloc((size_t)(3 * width));
    int count = 0;

    REQUIRE(file && png && info && row);
    if (setjmp(png_jmpbuf(png))) {
        CHECK(!"libpng refused it");
    } else {
        png_init_io(png, file);
        png_read_info(png, info);
        CHECK_EQ(png_get_image_width(png, info), width);
        CHECK_EQ(png_get_image_height(png, info), height);
        CHECK_EQ(png_get_color_type(png, info), PNG_COLOR_TYPE_RGB);
        CHECK_EQ(png_get_bit_depth(png, info), 8);
        for (int y = 0; y < height; y++) {
            png_read_row(png, row, NULL);
            CHECK(memcmp(row, rgb + 3 * width * y, (size_t)(3 * width)) == 0);
        }
        png_read_end(png, NULL);
        png_get_text(png, info, &texts, &count);
        REQUIRE(count == 1);
        CHECK_STR(texts[0].key, "parameters");
        CHECK_STR(texts[0].text, text);
    }
    png_destroy_read_struct(&png, &info, NULL);
    fclose(file);
    fsd_free(row);
}

TEST(a_picture_has_the_size_it_was_promised_whatever_is_in_it)
{
    static const int SIZES[][2] = {{1, 1}, {64, 64}, {147, 148}, {148, 149}, {512, 512}, {21845, 1}, {512, 43}};
    static const char *const TEXTS[] = {"", "a", "caf\xc3\xa9", "\xe2\x98\x83"};

    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        const int w = SIZES[i][0] > FSD_PNG_MAX_SIDE ? FSD_PNG_MAX_SIDE : SIZES[i][0], h = SIZES[i][1];
        uint8_t *rgb = noise(w, h);

        for (int t = 0; t < 4; t++) {
            struct stat st;
            bool was_cut;
            const char *path = write_picture(rgb, w, h, TEXTS[t], &was_cut);

            CHECK(!was_cut);
            REQUIRE(stat(path, &st) == 0);
            CHECK_EQ(st.st_size, fsd_png_size(w, h));
        }
        fsd_free(rgb);
    }
    CHECK_EQ(fsd_png_size(0, 1), 0);
    CHECK_EQ(fsd_png_size(1, FSD_PNG_MAX_SIDE + 1), 0);
    CHECK_EQ(fsd_png_size(512, 512), 795288); /* 8 + 25 + 2 * 12 + 8192 + 12 + (2 + 786944 + 5 * 13 + 4) + 12 */
}

TEST(libpng_reads_the_same_pixels_and_the_text)
{
    uint8_t *rgb = noise(148, 149);

    read_back(write_picture(rgb, 148, 149, "red apple\nSteps: 20, Seed: 1", NULL), rgb, 148, 149, "red apple\nSteps: 20, Seed: 1");
    read_back(write_picture(rgb, 148, 149, "caf\xc3\xa9", NULL), rgb, 148, 149, "caf\xe9");                   /* tEXt is Latin-1 */
    read_back(write_picture(rgb, 148, 149, "\xe2\x98\x83 snow", NULL), rgb, 148, 149, "\xe2\x98\x83 snow");   /* iTXt is UTF-8 */
    fsd_free(rgb);
}

TEST(a_text_too_long_is_cut_at_a_character_and_told)
{
    uint8_t *rgb = noise(8, 8);
    char *text = fsd_alloc(20001);
    struct stat st;
    bool was_cut;

    for (int i = 0; i < 20000; i += 4)
        memcpy(text + i, "\xf0\x9f\x8d\x8e", 4);
    REQUIRE(stat(write_picture(rgb, 8, 8, text, &was_cut), &st) == 0);
    CHECK(was_cut);
    CHECK_EQ(st.st_size, fsd_png_size(8, 8));
    text[(8192 - 15) / 4 * 4] = '\0';
    read_back(write_picture(rgb, 8, 8, text, &was_cut), rgb, 8, 8, text);
    CHECK(!was_cut);
    fsd_free(text);
    fsd_free(rgb);
}

TEST(pngcheck_finds_no_fault)
{
    uint8_t *rgb = noise(64, 72);
    char command[512];

    if (system("command -v pngcheck >/dev/null"))
        SKIP("no pngcheck");
    snprintf(command, sizeof command, "pngcheck -q %s >/dev/null", write_picture(rgb, 64, 72, "x", NULL));
    CHECK_EQ(system(command), 0);
    fsd_free(rgb);
}

TEST(a_full_disk_is_told)
{
    uint8_t *rgb = noise(64, 64);
    const int fd = open("/dev/full", O_WRONLY);
    fsd_error err = {0};

    if (fd < 0)
        SKIP("no /dev/full");
    CHECK_EQ(fsd_png_write(fd, rgb, 64, 64, "x", NULL, &err), FSD_NO_SPACE);
    CHECK_HAS(err.msg, "No space");
    close(fd);
    fsd_free(rgb);
}

TEST(the_parameters_are_written_as_a1111_writes_them)
{
    fsd_settings s;
    char *text;

    REQUIRE(fsd_settings_init(&s, NULL) == FSD_OK);
    CHECK_EQ(fsd_settings_set(&s, "prompt", "a photo of rex", NULL), FSD_OK);
    CHECK_EQ(fsd_settings_set(&s, "negative", "blurry", NULL), FSD_OK);
    CHECK_EQ(fsd_settings_set(&s, "sampler", "DPM++ 2M Karras", NULL), FSD_OK);
    CHECK_EQ(fsd_settings_set(&s, "seed", "7", NULL), FSD_OK);
    CHECK_EQ(fsd_settings_set(&s, "size", "512x768", NULL), FSD_OK);
    REQUIRE(fsd_infotext_write(&text, &s, "my, model", "0123456789abcdef", "bf16", NULL) == FSD_OK);
    CHECK_STR(text, "a photo of rex\nNegative prompt: blurry\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, "
                    "Seed: 7, Size: 512x768, Model hash: 0123456789, Model: \"my, model\", RNG: CPU, Precision: bf16, Version: fsdfs " FSD_VERSION);
    fsd_free(text);
    fsd_settings_clear(&s);
}
