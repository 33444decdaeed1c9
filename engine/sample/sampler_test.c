#include "engine/sample/sampler.h"

#include "tests/harness/check.h"
#include "tests/harness/numeric.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COUNT = 4 * 8 * 8 };

typedef struct row {
    char sampler[16], spacing[16], prediction[16];
    int steps;
} row;

/* The network of tests/oracle/sample.py. */
static void fake(float *out, const float *in, double t)
{
    const float shift = 0.1f * sinf((float)t);

    for (int i = 0; i < COUNT; i++)
        out[i] = tanhf(0.3f * in[i] + shift);
}

static void check_schedule(const fsd_sampling *s, const row *r, const float *golden)
{
    float timesteps[64], sigmas[65];

    for (int i = 0; i < r->steps; i++)
        timesteps[i] = (float)fsd_sampling_timestep(s, i);
    for (int i = 0; i <= r->steps; i++)
        sigmas[i] = (float)s->schedule.sigma[i];
    CHECK(check_max_abs(timesteps, golden, (size_t)r->steps) < 2e-3);
    CHECK(check_relative_error(sigmas, golden + r->steps, (size_t)r->steps + 1) < 1e-5);
}

/* Every latent of the row's trajectory. */
static void check_trajectory(fsd_sampling *s, const row *r, const float *golden)
{
    float x[COUNT], in[COUNT], out[COUNT];
    double worst = 0;
    fsd_rng rng;

    fsd_rng_seed(&rng, 7);
    fsd_rng_normal(&rng, x, COUNT);
    fsd_sampling_start(s, x);
    for (int i = 0; i <= s->calls; i++) {
        const double error = check_relative_error(x, golden + i * COUNT, COUNT);

        if (!(error <= worst))
            worst = error;
        if (i == s->calls)
            break;
        fsd_sampling_input(s, i, in, x);
        fake(out, in, fsd_sampling_timestep(s, i));
        fsd_sampling_step(s, i, x, out, &rng);
    }
    CHECK(worst < 1e-5);
    if (!(worst < 1e-5))
        fprintf(stderr, "  %s %s %d %s: %g\n", r->sampler, r->spacing, r->steps, r->prediction, worst);
}

TEST(every_sampler_and_schedule_follows_diffusers_step_by_step)
{
    size_t schedules, trajectories;
    const float *schedule = check_npy_f32("tests/golden/sample/schedules.npy", &schedules);
    const float *trajectory = check_npy_f32("tests/golden/sample/trajectories.npy", &trajectories);
    FILE *file = fopen(check_path("tests/golden/sample/rows.txt"), "r");
    int rows = 0;
    row r;

    REQUIRE(file != NULL);
    while (fscanf(file, "%15s %15s %d %15s%*[^\n]", r.sampler, r.spacing, &r.steps, r.prediction) == 4) {
        fsd_schedule_config config = FSD_SCHEDULE_SD1;
        fsd_error err = {0};
        fsd_sampling s;

        if (strcmp(r.prediction, "v_prediction") == 0)
            config.prediction = FSD_PREDICTION_V;
        REQUIRE(fsd_sampling_begin(&s, r.sampler, r.spacing, r.steps, &config, COUNT, &err) == FSD_OK);
        REQUIRE(2 * (size_t)r.steps + 1 <= schedules && ((size_t)r.steps + 1) * COUNT <= trajectories);
        check_schedule(&s, &r, schedule);
        check_trajectory(&s, &r, trajectory);
        schedule += 2 * r.steps + 1;
        schedules -= 2 * (size_t)r.steps + 1;
        trajectory += (r.steps + 1) * COUNT;
        trajectories -= ((size_t)r.steps + 1) * COUNT;
        fsd_sampling_end(&s);
        rows++;
    }
    fclose(file);
    CHECK_EQ(schedules, 0);
    CHECK_EQ(trajectories, 0);
    CHECK(rows >= 50);
}

TEST(what_a_sampler_cannot_do_is_refused_with_what_it_can)
{
    static const struct {
        const char *sampler, *spacing;
        int steps;
        const char *says;
    } CASES[] = {
        {"euler", "leading", 0, "1 to"},
        {"euler", "leading", 1000, "1 to 999"},
        {"ddim", "leading", 1001, "1 to 999"},
        {"dpmpp_2m", "leading", 1000, "1 to 998"},
        {"ddim", "trailing", 1001, "1 to 1000"},
        {"ddim", "karras", 20, "leading or trailing"},
        {"plms", "leading", 20, "ddim, euler, euler_a or dpmpp_2m"},
        {"euler", "linear", 20, "leading, trailing or karras"},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const fsd_schedule_config config = FSD_SCHEDULE_SD1;
        fsd_error err = {0};
        fsd_sampling s;

        CHECK_EQ(fsd_sampling_begin(&s, CASES[i].sampler, CASES[i].spacing, CASES[i].steps, &config, 4,
                                    &err), FSD_INVALID);
        CHECK_HAS(err.msg, CASES[i].says);
    }
}

TEST(the_most_steps_that_a_refusal_names_can_be_done)
{
    const fsd_schedule_config config = FSD_SCHEDULE_SD1;
    fsd_sampling s;

    for (int i = 0; fsd_samplers[i]; i++) {
        const int most = fsd_samplers[i]->style == FSD_STYLE_DPM ? 998 : 999;

        CHECK_EQ(fsd_sampling_begin(&s, fsd_samplers[i]->name, "leading", most, &config, 4, NULL), FSD_OK);
        CHECK(fsd_sampling_timestep(&s, 0) <= 999);
        fsd_sampling_end(&s);
        CHECK_EQ(fsd_sampling_begin(&s, fsd_samplers[i]->name, "leading", most + 1, &config, 4, NULL),
                 FSD_INVALID);
    }
}

TEST(guidance_goes_from_the_unconditional_through_the_conditional)
{
    const float u[3] = {1, 2, 3}, c[3] = {2, 2, 1};
    float out[3];

    fsd_guide(out, u, c, 7.5, 3);
    CHECK_NEAR(out[0], 8.5, 1e-6);
    CHECK_NEAR(out[1], 2, 1e-6);
    CHECK_NEAR(out[2], -12, 1e-6);
}

TEST(a_preview_of_known_noise_is_the_picture_without_it)
{
    const fsd_schedule_config config = FSD_SCHEDULE_SD1;
    float x0[16], noise[16], x[16], in[16], back[16];
    fsd_sampling s;

    check_fill(x0, 16, 1);
    check_fill(noise, 16, 2);
    for (int i = 0; fsd_samplers[i]; i++) {
        REQUIRE(fsd_sampling_begin(&s, fsd_samplers[i]->name, "leading", 20, &config, 16, NULL) == FSD_OK);
        for (int k = 0; k < 16; k++) {
            const fsd_level level = fsd_level_of_sigma(s.schedule.sigma[3]);

            in[k] = (float)(level.alpha * x0[k] + level.sigma * noise[k]);
            x[k] = (float)(fsd_samplers[i]->in_sigma_space ? in[k] / level.alpha : in[k]);
        }
        fsd_sampling_denoised(&s, 3, back, x, noise);
        CHECK(check_relative_error(back, x0, 16) < 1e-5);
        fsd_sampling_input(&s, 3, back, x);
        CHECK(check_relative_error(back, in, 16) < 1e-6);
        fsd_sampling_end(&s);
    }
}

TEST(not_a_number_and_infinity_are_found_anywhere)
{
    float x[3] = {0, 1, 2};

    CHECK(fsd_all_finite(x, 3));
    x[2] = NAN;
    CHECK(!fsd_all_finite(x, 3));
    x[2] = -INFINITY;
    CHECK(!fsd_all_finite(x, 3));
}
