#include "engine/sample/schedule.h"

#include "engine/base/mem.h"

#include <math.h>
#include <string.h>

static const char *const SPACINGS[] = {"leading", "trailing", "karras"};

const char *fsd_spacing_name(fsd_spacing spacing)
{
    return SPACINGS[spacing];
}

fsd_status fsd_spacing_parse(fsd_spacing *out, const char *name, fsd_error *err)
{
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, SPACINGS[i]) == 0) {
            *out = (fsd_spacing)i;
            return FSD_OK;
        }
    }
    return fsd_fail(err, FSD_INVALID, "no schedule is called %s: leading, trailing or karras", name);
}

/* In fp32 where torch is: betas are rounded, their product is kept in double and rounded. */
static void make_alpha_bar(fsd_schedule *s)
{
    const fsd_schedule_config *c = &s->config;
    const bool scaled = c->betas == FSD_BETAS_SCALED_LINEAR;
    const double start = scaled ? sqrt(c->beta_start) : c->beta_start;
    const double end = scaled ? sqrt(c->beta_end) : c->beta_end;
    double product = 1;

    for (int t = 0; t < c->train_steps; t++) {
        const float root =
            (float)(start + (end - start) * (c->train_steps > 1 ? (double)t / (c->train_steps - 1) : 0));
        const float beta = scaled ? root * root : root;

        product *= 1 - beta;
        s->alpha_bar[t] = (float)product;
    }
}

static double table_sigma(const fsd_schedule *s, int t)
{
    return sqrt((1 - s->alpha_bar[t]) / s->alpha_bar[t]);
}

/* The noise level at a timestep that may lie between two. */
static double sigma_at(const fsd_schedule *s, double t)
{
    const int last = s->config.train_steps - 1;
    const int low = t < 0 ? 0 : t >= last ? last : (int)t;
    const int high = low < last ? low + 1 : last;

    return table_sigma(s, low) + (table_sigma(s, high) - table_sigma(s, low)) * (t < low ? 0 : t - low);
}

/* The timestep of a noise level: linear between the logarithms of its neighbours. */
static double timestep_of(const fsd_schedule *s, double sigma)
{
    const int last = s->config.train_steps - 1;
    const double wanted = log(sigma < 1e-10 ? 1e-10 : sigma);
    int low = 0;
    double from, to, share;

    while (low < last - 1 && log(table_sigma(s, low + 1)) <= wanted)
        low++;
    from = log(table_sigma(s, low));
    to = log(table_sigma(s, low + 1));
    share = (from - wanted) / (from - to);
    return low + (share < 0 ? 0 : share > 1 ? 1 : share);
}

static fsd_status too_many(const fsd_schedule *s, int most, fsd_error *err)
{
    return fsd_fail(err, FSD_INVALID, "steps = %d: this sampler and schedule can do 1 to %d", s->steps,
                    most);
}

static fsd_status space_leading(fsd_schedule *s, fsd_schedule_style style, fsd_error *err)
{
    /* DPMSolverMultistepScheduler leaves out the lowest of steps + 1. */
    const int extra = style == FSD_STYLE_DPM ? 1 : 0, train = s->config.train_steps;
    const int ratio = train / (s->steps + extra);
    int most = train - extra;

    while (most > 1 && (most - 1 + extra) * (train / (most + extra)) + s->config.steps_offset >= train)
        most--;
    if (ratio < 1 || (s->steps - 1 + extra) * ratio + s->config.steps_offset >= train)
        return too_many(s, most, err);
    for (int i = 0; i < s->steps; i++)
        s->timestep[i] = (s->steps - 1 - i + extra) * ratio + s->config.steps_offset;
    return FSD_OK;
}

static fsd_status space_trailing(fsd_schedule *s, fsd_error *err)
{
    const int train = s->config.train_steps;

    if (s->steps > train)
        return too_many(s, train, err);
    for (int i = 0; i < s->steps; i++) /* rint: NumPy rounds halves to even */
        s->timestep[i] = rint(train - i * ((double)train / s->steps)) - 1;
    return FSD_OK;
}

/* Between the noise levels of the leading spacing, or for DPM-Solver++ of the whole table. */
static fsd_status space_karras(fsd_schedule *s, fsd_schedule_style style, fsd_error *err)
{
    const double rho = 7;
    double high, low;
    fsd_status st = FSD_OK;

    if (style == FSD_STYLE_DDIM)
        return fsd_fail(err, FSD_INVALID,
                        "the ddim sampler has no karras schedule: leading or trailing");
    if (style == FSD_STYLE_DPM) {
        high = table_sigma(s, s->config.train_steps - 1);
        low = table_sigma(s, 0);
    } else {
        st = space_leading(s, style, err);
        high = sigma_at(s, s->timestep[0]);
        low = sigma_at(s, s->timestep[s->steps - 1]);
    }
    for (int i = 0; i < s->steps && !st; i++) {
        const double ramp = s->steps > 1 ? (double)i / (s->steps - 1) : 0;
        const double root = pow(high, 1 / rho) + ramp * (pow(low, 1 / rho) - pow(high, 1 / rho));

        s->sigma[i] = pow(root, rho);
        s->timestep[i] = timestep_of(s, s->sigma[i]);
        if (style == FSD_STYLE_DPM)
            s->timestep[i] = rint(s->timestep[i]);
    }
    return st;
}

fsd_status fsd_schedule_init(fsd_schedule *s, const fsd_schedule_config *config,
                             fsd_schedule_style style, fsd_spacing spacing, int steps, fsd_error *err)
{
    fsd_status st;

    *s = (fsd_schedule){.config = *config, .spacing = spacing, .steps = steps};
    if (steps < 1 || config->train_steps < 2)
        return too_many(s, config->train_steps, err);
    s->alpha_bar = fsd_alloc_array((size_t)config->train_steps, sizeof *s->alpha_bar);
    s->timestep = fsd_alloc_array((size_t)steps, sizeof *s->timestep);
    s->sigma = fsd_alloc_array((size_t)steps + 1, sizeof *s->sigma);
    if (!s->alpha_bar || !s->timestep || !s->sigma)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a schedule of %d steps", steps);
    make_alpha_bar(s);
    if (spacing == FSD_SPACING_KARRAS)
        return space_karras(s, style, err);
    st = spacing == FSD_SPACING_LEADING ? space_leading(s, style, err) : space_trailing(s, err);
    for (int i = 0; i < steps && !st; i++)
        s->sigma[i] = sigma_at(s, s->timestep[i]);
    return st;
}

void fsd_schedule_clear(fsd_schedule *s)
{
    fsd_free(s->alpha_bar);
    fsd_free(s->timestep);
    fsd_free(s->sigma);
    *s = (fsd_schedule){0};
}
