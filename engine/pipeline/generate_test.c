/* Whole pictures against diffusers' pipeline (tests/oracle/pictures.py), the card's metric, and what
 * happens when a picture cannot be made. */
#include "engine/pipeline/generate.h"

#include "engine/base/mem.h"
#include "engine/graph/exec.h"
#include "tests/harness/check.h"
#include "tests/harness/numeric.h"
#include "tests/harness/tiny_model.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *tiny(void)
{
    return check_path("packaging/models/tiny-emoji");
}

static fsd_settings settings_of(const char *prompt, const char *seed)
{
    fsd_settings s;

    CHECK_EQ(fsd_settings_init(&s, NULL), FSD_OK);
    CHECK_EQ(fsd_settings_set(&s, "prompt", prompt, NULL), FSD_OK);
    CHECK_EQ(fsd_settings_set(&s, "seed", seed, NULL), FSD_OK);
    CHECK_EQ(fsd_settings_set(&s, "cfg", "4", NULL), FSD_OK);
    s.width = s.height = 128;
    return s;
}

/* Fields of a line of rows.txt, cut at '|'. */
static int cut(char *line, char *field[16])
{
    int count = 0;

    for (char *at = line; at && count < 16; count++) {
        field[count] = at;
        at = strchr(at, '|');
        if (at)
            *at++ = '\0';
    }
    return count;
}

static void check_row(fsd_engine *engine, char *field[16], const char *precision, double psnr)
{
    static const char *const WORDS[] = {NULL, "sampler", "schedule", "steps", "cfg", "seed", "size", "negative", "prompt"};
    char path[128];
    fsd_settings s;
    fsd_picture picture = {0};
    fsd_error err = {0};
    check_array want;
    double got;

    REQUIRE(fsd_settings_init(&s, NULL) == FSD_OK);
    for (int i = 1; i <= 8; i++)
        REQUIRE(fsd_settings_set(&s, WORDS[i], field[i], NULL) == FSD_OK);
    REQUIRE(fsd_settings_set(&s, "precision", precision, NULL) == FSD_OK);
    if (fsd_generate(engine, tiny(), &s, NULL, &picture, &err))
        fprintf(stderr, "%s\n", err.msg);
    REQUIRE(picture.rgb != NULL);
    snprintf(path, sizeof path, "tests/golden/pictures/%s.npy", field[0]);
    want = check_npy(path);
    REQUIRE(want.count == (size_t)(3 * s.width * s.height));
    got = check_psnr(picture.rgb, want.data, want.count);
    CHECK(got >= psnr);
    if (!(got >= psnr))
        fprintf(stderr, "  row %s, %s %s %s: %.1f dB\n", field[0], field[1], field[2], precision, got);
    fsd_picture_clear(&picture);
    fsd_settings_clear(&s);
}

static void check_rows(const char *precision, double psnr)
{
    FILE *rows = fopen(check_path("tests/golden/pictures/rows.txt"), "r");
    fsd_engine engine;
    char line[2048], *field[16];
    int count = 0;

    REQUIRE(rows && fsd_engine_open(&engine, "cpu", 0, NULL) == FSD_OK);
    while (fgets(line, sizeof line, rows) && cut(line, field) >= 9) {
        check_row(&engine, field, precision, psnr);
        count++;
    }
    CHECK_EQ(count, 12);
    fclose(rows);
    fsd_engine_close(&engine);
}

TEST(pictures_are_diffusers_within_40_db_in_fp32)
{
    check_rows("fp32", 40);
}

TEST(pictures_are_diffusers_within_30_db_in_bf16)
{
    check_rows("bf16", 30);
}

/* The card's first metric: is a caption's own emoji the nearest of all, by L2 of 16 x 16 averages? */
static int nearest(const uint8_t *rgb, const check_array *originals)
{
    const uint8_t *all = originals->data;
    double best = INFINITY;
    float small[16 * 16 * 3] = {0};
    int which = -1;

    for (int y = 0; y < 128; y++) {
        for (int x = 0; x < 128; x++) {
            for (int c = 0; c < 3; c++)
                small[(y / 8 * 16 + x / 8) * 3 + c] += rgb[(y * 128 + x) * 3 + c] / 64.0f;
        }
    }
    for (size_t i = 0; i < originals->dim[0]; i++) {
        double sum = 0;

        for (int k = 0; k < 16 * 16 * 3; k++)
            sum += pow(small[k] - all[i * 16 * 16 * 3 + (size_t)k], 2);
        if (sum < best) {
            best = sum;
            which = (int)i;
        }
    }
    return which;
}

static void check_emoji(const char *precision)
{
    const check_array originals = check_npy("tests/golden/pictures/emoji.npy");
    FILE *captions = fopen(check_path("tests/golden/pictures/emoji.txt"), "r");
    char line[256], *field[16], seed[16];
    int right = 0, count = 0;
    fsd_engine engine;

    REQUIRE(captions && fsd_engine_open(&engine, "cpu", 0, NULL) == FSD_OK);
    while (fgets(line, sizeof line, captions) && cut(line, field) == 2) {
        fsd_picture picture = {0};
        fsd_settings s;

        field[1][strcspn(field[1], "\n")] = '\0';
        snprintf(seed, sizeof seed, "%d", count++);
        s = settings_of(field[1], seed);
        CHECK_EQ(fsd_settings_set(&s, "precision", precision, NULL), FSD_OK);
        REQUIRE(fsd_generate(&engine, tiny(), &s, NULL, &picture, NULL) == FSD_OK);
        right += nearest(picture.rgb, &originals) == atoi(field[0]);
        fsd_picture_clear(&picture);
        fsd_settings_clear(&s);
    }
    fclose(captions);
    fsd_engine_close(&engine);
    printf("%s: %d of %d captions draw their own emoji\n", precision, right, count);
    CHECK_EQ(count, 104);
    CHECK(right >= 102);
}

TEST(captions_draw_their_own_emoji_in_fp32)
{
    check_emoji("fp32");
}

TEST(captions_draw_their_own_emoji_in_bf16)
{
    check_emoji("bf16");
}

/* --- the plan is what happens -------------------------------------------------------------------- */

static size_t anonymous(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    size_t kib = 0;

    while (file && fgets(line, sizeof line, file))
        sscanf(line, "RssAnon: %zu", &kib);
    if (file)
        fclose(file);
    return kib << 10;
}

/* Run the UNet's step once; the growth of the process's own memory while it is there. */
static size_t grown(fsd_model *model, fsd_dtype dtype, size_t *planned)
{
    const size_t before = (malloc_trim(0), anonymous());
    const fsd_prepared *p;
    fsd_exec *exec;
    size_t after;

    if (fsd_model_prepare(model, FSD_PART_UNET, dtype, 2, 48, 48, 4, &p, NULL) ||
        fsd_exec_new(&exec, p->plan, NULL))
        return 0;
    CHECK_EQ(fsd_exec_run(exec, FSD_PHASE_CONDITION, 0, NULL), FSD_OK);
    CHECK_EQ(fsd_exec_run(exec, FSD_PHASE_SCHEDULE, 0, NULL), FSD_OK);
    CHECK_EQ(fsd_exec_run(exec, FSD_PHASE_STEP, 0, NULL), FSD_OK);
    malloc_trim(0);
    after = anonymous();
    *planned = fsd_plan_bytes(p->plan);
    fsd_exec_free(exec);
    return after > before ? after - before : 0;
}

TEST(the_memory_of_a_run_is_what_its_plan_says)
{
    static const fsd_dtype TYPES[] = {FSD_F32, FSD_BF16};
    fsd_engine engine;
    fsd_model *model;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP("a sanitizer's memory is its own");
#endif
    REQUIRE(fsd_engine_open(&engine, "cpu", 0, NULL) == FSD_OK);
    REQUIRE(fsd_model_open(&model, check_tiny_model("sd15-layers", FSD_F16), engine.backend, NULL) == FSD_OK);
    for (int i = 0; i < 2; i++) {
        size_t planned, measured;

        grown(model, TYPES[i], &planned); /* oneDNN's generated code stays: it is not the plan's */
        fsd_weights_release(model->weights[FSD_PART_UNET]);
        measured = grown(model, TYPES[i], &planned);
        printf("planned %zu, measured %zu\n", planned, measured);
        CHECK_NEAR((double)measured / (double)planned, 1, 0.02);
        fsd_weights_release(model->weights[FSD_PART_UNET]);
    }
    fsd_model_close(model);
    fsd_engine_close(&engine);
}

/* --- when it cannot be --------------------------------------------------------------------------- */

typedef struct counted {
    int steps, limit, previews;
} counted;

static void count_step(void *user, int step, int steps)
{
    counted *c = user;

    CHECK_EQ(step, c->steps + 1);
    CHECK_EQ(steps, 20);
    c->steps = step;
}

static bool enough(void *user)
{
    const counted *c = user;

    return c->steps >= c->limit;
}

TEST(a_cancelled_picture_stops_within_its_step)
{
    counted c = {.limit = 3};
    const fsd_generate_events events = {.cancelled = enough, .progress = count_step, .user = &c};
    fsd_settings s = settings_of("red apple", "1");
    fsd_picture picture = {0};
    fsd_engine engine;

    REQUIRE(fsd_engine_open(&engine, "cpu", 0, NULL) == FSD_OK);
    CHECK_EQ(fsd_generate(&engine, tiny(), &s, &events, &picture, NULL), FSD_CANCELLED);
    CHECK_EQ(c.steps, 3);
    CHECK(picture.rgb == NULL);
    c = (counted){.limit = 99};
    CHECK_EQ(fsd_generate(&engine, tiny(), &s, &events, &picture, NULL), FSD_OK);
    CHECK_EQ(c.steps, 20);
    fsd_picture_clear(&picture);
    fsd_settings_clear(&s);
    fsd_engine_close(&engine);
}

/* A copy of tiny-emoji of symbolic links, of which one file may be another. */
static const char *spoiled(const char *part, const char *file, const void *bytes, size_t size)
{
    static const char *const FILES[] = {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
                                        "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "text_encoder/config.json",
                                        "text_encoder/model.safetensors", "scheduler/scheduler_config.json", "tokenizer/vocab.json",
                                        "tokenizer/merges.txt", "tokenizer/tokenizer_config.json"};
    static const char *const FOLDERS[] = {"unet", "vae", "text_encoder", "scheduler", "tokenizer"};
    const char *dir = check_tmp_dir();
    char from[1024], to[1024], wanted[256];

    snprintf(wanted, sizeof wanted, "%s%s%s", part, *part ? "/" : "", file);
    for (int i = 0; i < 5; i++) {
        snprintf(to, sizeof to, "%s/%s", dir, FOLDERS[i]);
        mkdir(to, 0700);
    }
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        snprintf(from, sizeof from, "%s/%s", tiny(), FILES[i]);
        snprintf(to, sizeof to, "%s/%s", dir, FILES[i]);
        if (strcmp(FILES[i], wanted) != 0)
            CHECK(symlink(from, to) == 0);
        else if (bytes)
            CHECK(rename(check_tmp_file(bytes, size), to) == 0);
    }
    return dir;
}

static const char *unet_with(const char *old, const char *new)
{
    static char text[8192];
    char path[1024], *at;
    FILE *file;
    size_t size;

    snprintf(path, sizeof path, "%s/unet/config.json", tiny());
    file = fopen(path, "r");
    size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[size] = '\0';
    if (file)
        fclose(file);
    at = strstr(text, old);
    CHECK(at && strlen(old) == strlen(new));
    if (at)
        memcpy(at, new, strlen(new));
    return spoiled("unet", "config.json", text, size);
}

static void check_refused(fsd_engine *engine, const char *folder, fsd_status wanted, const char *says)
{
    fsd_settings s = settings_of("red apple", "1");
    fsd_picture picture = {0};
    fsd_diffusers info;
    fsd_limits limits;
    fsd_error err = {0}, probe_err = {0};

    CHECK_EQ(fsd_generate(engine, folder, &s, NULL, &picture, &err), wanted);
    CHECK_HAS(err.msg, says);
    CHECK_EQ(fsd_probe_model(engine, folder, &limits, &info, &probe_err), wanted);
    CHECK_HAS(probe_err.msg, says);
    CHECK(picture.rgb == NULL);
    fsd_settings_clear(&s);
}

TEST(a_model_that_is_not_whole_is_refused_with_file_and_tensor)
{
    static char weights[3 << 20];
    char path[1024];
    FILE *file;
    size_t size;
    fsd_engine engine;

    REQUIRE(fsd_engine_open(&engine, "cpu", 0, NULL) == FSD_OK);
    snprintf(path, sizeof path, "%s/vae/diffusion_pytorch_model.safetensors", tiny());
    file = fopen(path, "rb");
    REQUIRE(file != NULL);
    size = fread(weights, 1, sizeof weights, file);
    fclose(file);
    check_refused(&engine, spoiled("vae", "diffusion_pytorch_model.safetensors", NULL, 0), FSD_MISSING,
                  "vae/diffusion_pytorch_model.safetensors");
    check_refused(&engine, spoiled("", "model_index.json", NULL, 0), FSD_MISSING, "model_index.json");
    check_refused(&engine, spoiled("tokenizer", "merges.txt", NULL, 0), FSD_MISSING, "merges.txt");
    check_refused(&engine, spoiled("vae", "diffusion_pytorch_model.safetensors", weights, size / 2), FSD_FORMAT, "cut short");
    check_refused(&engine, spoiled("vae", "diffusion_pytorch_model.safetensors", weights, 5), FSD_FORMAT,
                  "vae/diffusion_pytorch_model.safetensors");
    *strstr(weights + 8, "decoder.conv_in.bias") = 'x';
    check_refused(&engine, spoiled("vae", "diffusion_pytorch_model.safetensors", weights, size), FSD_FORMAT,
                  "\"decoder.conv_in.bias\" is missing");
    check_refused(&engine, spoiled("unet", "config.json", "{", 1), FSD_FORMAT, "unet/config.json");
    check_refused(&engine, unet_with("128,\n    128", "128,\n    192"), FSD_FORMAT, "is needed");
    check_refused(&engine, unet_with("\"in_channels\": 4", "\"in_channels\": 9"), FSD_UNSUPPORTED, "inpainting");
    check_refused(&engine, unet_with("\"act_fn\": \"silu\"", "\"act_fn\": \"gelu\""), FSD_UNSUPPORTED, "act_fn");
    check_refused(&engine, "/nonexistent", FSD_MISSING, "model_index.json");
    fsd_engine_close(&engine);
}

TEST(weights_that_are_not_numbers_are_told_with_the_step)
{
    static char weights[24 << 20];
    fsd_settings s = settings_of("red apple", "1");
    fsd_picture picture = {0};
    fsd_error err = {0};
    fsd_engine engine;
    char path[1024];
    FILE *file;
    size_t size;

    snprintf(path, sizeof path, "%s/unet/diffusion_pytorch_model.safetensors", tiny());
    file = fopen(path, "rb");
    REQUIRE(file != NULL);
    size = fread(weights, 1, sizeof weights, file);
    fclose(file);
    memset(weights + size - 4096, 0xff, 4096); /* half floats of all ones are NaN */
    REQUIRE(fsd_engine_open(&engine, "cpu", 0, NULL) == FSD_OK);
    CHECK_EQ(fsd_generate(&engine, spoiled("unet", "diffusion_pytorch_model.safetensors", weights, size), &s, NULL,
                          &picture, &err), FSD_DEVICE);
    CHECK_HAS(err.msg, "not finite at step 1");
    fsd_settings_clear(&s);
    fsd_engine_close(&engine);
}

TEST(the_same_seed_is_the_same_picture_and_another_is_another)
{
    fsd_settings s = settings_of("red apple", "1"), t = settings_of("red apple", "2");
    fsd_picture a = {0}, b = {0}, c = {0};
    fsd_engine engine;

    REQUIRE(fsd_engine_open(&engine, "cpu", 0, NULL) == FSD_OK);
    REQUIRE(fsd_generate(&engine, tiny(), &s, NULL, &a, NULL) == FSD_OK);
    REQUIRE(fsd_generate(&engine, tiny(), &t, NULL, &c, NULL) == FSD_OK);
    REQUIRE(fsd_generate(&engine, tiny(), &s, NULL, &b, NULL) == FSD_OK);
    CHECK(memcmp(a.rgb, b.rgb, 3 * 128 * 128) == 0);
    CHECK(memcmp(a.rgb, c.rgb, 3 * 128 * 128) != 0);
    CHECK_EQ(a.seed, 1);
    fsd_picture_clear(&a);
    fsd_picture_clear(&b);
    fsd_picture_clear(&c);
    fsd_settings_clear(&s);
    fsd_settings_clear(&t);
    fsd_engine_close(&engine);
}
