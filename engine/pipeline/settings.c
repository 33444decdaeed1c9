#include "engine/pipeline/settings.h"

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/sample/sampler.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_STEPS = 1000, MIN_SIDE = 64, MAX_WORD = 32 };

const fsd_setting fsd_setting_table[] = {
    {"seed", "a whole number; none: a fresh one each time", "the same seed and settings: the same picture", true},
    {"steps", "1 to 1000", "denoising steps", true},
    {"size", "512x768, or one number", "width x height in pixels", true},
    {"width", "pixels", "", true},
    {"height", "pixels", "", true},
    {"ar", "3:2", "aspect ratio, at the model's own area", true},
    {"cfg", "0 to 100", "guidance scale: how closely the prompt is followed", true},
    {"sampler", "ddim, euler, euler_a, dpmpp_2m", "", true},
    {"schedule", "leading, trailing, karras", "spacing of the steps", true},
    {"no", "words", "added to the negative prompt", true},
    {"negative", "words", "the negative prompt", true},
    {"model", "a model's name", "draw with another model", true},
    {"precision", "auto, fp32, bf16", "of the networks", true},
    {"rng", "cpu", "where the noise comes from", true},
    {"clip_skip", "", "", false},
    {"step", "", "", false},
    {"vae", "", "", false},
    {"lora", "", "", false},
    {"init", "", "", false},
    {"strength", "", "", false},
    {"mask", "", "", false},
    {"hires", "", "", false},
    {"count", "", "", false},
};
const size_t fsd_setting_count = sizeof fsd_setting_table / sizeof *fsd_setting_table;

/* How others call the same things: A1111's settings and labels, diffusers' arguments, kohya's letters. */
static const struct {
    const char *alias, *word;
} ALIASES[] = {
    {"cfg_scale", "cfg"},           {"guidance", "cfg"},
    {"guidance_scale", "cfg"},      {"scale", "cfg"},
    {"negative_prompt", "negative"}, {"sampler_name", "sampler"},
    {"sampler_index", "sampler"},   {"sampling_method", "sampler"},
    {"scheduler", "schedule"},      {"schedule_type", "schedule"},
    {"sampling_steps", "steps"},    {"num_inference_steps", "steps"},
    {"aspect", "ar"},               {"aspect_ratio", "ar"},
    {"batch_count", "count"},       {"n_iter", "count"},
    {"denoising_strength", "strength"}, {"clipskip", "clip_skip"},
    {"n", "negative"},              {"w", "width"},
    {"h", "height"},                {"d", "seed"},
    {"l", "cfg"},                   {"s", "steps"},
};

static const struct {
    const char *label, *sampler; /* letters and digits of the label, "+" as "p" */
} SAMPLER_LABELS[] = {
    {"ddim", "ddim"},           {"euler", "euler"},         {"eulera", "euler_a"},
    {"eulerancestral", "euler_a"}, {"keuler", "euler"},     {"keulera", "euler_a"},
    {"dpmpp2m", "dpmpp_2m"},    {"kdpmpp2m", "dpmpp_2m"},   {"dpmsolverpp2m", "dpmpp_2m"},
};

/* --- words ------------------------------------------------------------------------------------- */

/* Lower case, "-" and " " as "_". */
static void plain_word(char out[MAX_WORD], const char *word)
{
    size_t i = 0;

    for (; word[i] && i < MAX_WORD - 1; i++)
        out[i] = word[i] == '-' || word[i] == ' ' ? '_' : (char)tolower((unsigned char)word[i]);
    out[i] = '\0';
}

static const fsd_setting *find(const char *plain)
{
    for (size_t i = 0; i < sizeof ALIASES / sizeof *ALIASES; i++) {
        if (strcmp(plain, ALIASES[i].alias) == 0)
            plain = ALIASES[i].word;
    }
    for (size_t i = 0; i < fsd_setting_count; i++) {
        if (strcmp(plain, fsd_setting_table[i].word) == 0)
            return &fsd_setting_table[i];
    }
    return NULL;
}

static int least(int a, int b, int c)
{
    const int ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Insertions, deletions, substitutions and swaps of neighbours from one word to the other (the
 * restricted distance of Damerau 1964). */
static int distance(const char *a, const char *b)
{
    const int n = (int)strnlen(a, MAX_WORD - 1), m = (int)strnlen(b, MAX_WORD - 1);
    int d[MAX_WORD][MAX_WORD];

    for (int i = 0; i <= n; i++) {
        for (int j = 0; j <= m; j++) {
            if (!i || !j) {
                d[i][j] = i + j;
                continue;
            }
            d[i][j] = least(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1, d[i][j]);
        }
    }
    return d[n][m];
}

const char *fsd_settings_nearest(const char *word)
{
    char plain[MAX_WORD];
    const char *best = "";
    int least_distance;

    plain_word(plain, word);
    least_distance = strlen(plain) > 4 ? 4 : (int)strlen(plain); /* at most 3 edits, fewer in short words */
    for (size_t i = 0; i < fsd_setting_count; i++) {
        const int d = distance(plain, fsd_setting_table[i].word);

        if (d < least_distance) {
            least_distance = d;
            best = fsd_setting_table[i].word;
        }
    }
    for (size_t i = 0; i < sizeof ALIASES / sizeof *ALIASES; i++) {
        const int d = strlen(ALIASES[i].alias) > 3 ? distance(plain, ALIASES[i].alias) : 99;

        if (d < least_distance) {
            least_distance = d;
            best = ALIASES[i].word;
        }
    }
    return best;
}

static fsd_status unknown_word(const char *word, fsd_error *err)
{
    const char *nearest = fsd_settings_nearest(word);
    char known[512] = "";

    for (size_t i = 0; i < fsd_setting_count; i++) {
        const size_t used = strlen(known);

        if (fsd_setting_table[i].works)
            snprintf(known + used, sizeof known - used, "%s%s", used ? " " : "", fsd_setting_table[i].word);
    }
    return fsd_fail(err, FSD_INVALID, "there is no setting \"%s\"%s%s%s; there are: %s", word,
                    *nearest ? ", perhaps \"" : "", nearest, *nearest ? "\" was meant" : "", known);
}

/* --- values ------------------------------------------------------------------------------------ */

static fsd_status bad_value(const char *word, const char *value, const char *allowed, fsd_error *err)
{
    return fsd_fail(err, FSD_INVALID, "%s = %s: %s is allowed", word, *value ? value : "(nothing)",
                    allowed);
}

static fsd_status replace(char **field, const char *value, fsd_error *err)
{
    char *copy = fsd_strdup(value);

    if (!copy)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a setting of %zu bytes", strlen(value));
    fsd_free(*field);
    *field = copy;
    return FSD_OK;
}

/* A whole number and nothing else. */
static bool whole(const char *value, long low, long high, int *out)
{
    char *end;
    long number;

    if (!isdigit((unsigned char)*value))
        return false;
    errno = 0;
    number = strtol(value, &end, 10);
    if (*end || errno || number < low || number > high)
        return false;
    *out = (int)number;
    return true;
}

/* Two numbers with something of `between` in the middle. */
static bool pair(const char *value, const char *between, int *a, int *b)
{
    const size_t digits = strspn(value, "0123456789");
    const char *rest = value + digits;
    char first[16];

    if (!digits || digits >= sizeof first)
        return false;
    memcpy(first, value, digits);
    first[digits] = '\0';
    if (strncmp(rest, "\xc3\x97", 2) == 0 && strchr(between, 'x')) /* the multiplication sign */
        rest += 2;
    else if (*rest && strchr(between, *rest))
        rest++;
    else
        return false;
    return whole(first, 1, 1 << 20, a) && whole(rest, 1, 1 << 20, b);
}

static fsd_status set_seed(fsd_settings *s, const char *value, fsd_error *err)
{
    char *end;
    unsigned long long seed;

    if (!*value || strcmp(value, "-1") == 0 || strcasecmp(value, "random") == 0) {
        s->seed_given = false;
        return FSD_OK;
    }
    errno = 0;
    seed = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end || errno)
        return bad_value("seed", value, "a whole number from 0 to 18446744073709551615, or random", err);
    s->seed_given = true;
    s->seed = seed;
    return FSD_OK;
}

static fsd_status set_size(fsd_settings *s, const char *value, fsd_error *err)
{
    int w, h;

    if (whole(value, 1, 1 << 20, &w))
        h = w;
    else if (!pair(value, "xX*", &w, &h))
        return bad_value("size", value, "width x height, like 512x768, or one number", err);
    s->width = w;
    s->height = h;
    s->ar_w = s->ar_h = 0;
    return FSD_OK;
}

static fsd_status set_ar(fsd_settings *s, const char *value, fsd_error *err)
{
    int w, h;

    if (!pair(value, ":/xX", &w, &h) || w > 8 * h || h > 8 * w)
        return bad_value("ar", value, "a ratio like 3:2, at most 8:1", err);
    s->ar_w = w;
    s->ar_h = h;
    s->width = s->height = 0;
    return FSD_OK;
}

static fsd_status set_cfg(fsd_settings *s, const char *value, fsd_error *err)
{
    char *end;
    const double cfg = strtod(value, &end);

    if (end == value || *end || !(cfg >= 0 && cfg <= 100))
        return bad_value("cfg", value, "a number from 0 to 100", err);
    s->cfg = cfg;
    return FSD_OK;
}

/* "DPM++ 2M Karras", "euler_a", "Euler a": A1111 used to put the schedule into the sampler's name. */
static fsd_status set_sampler(fsd_settings *s, const char *value, fsd_error *err)
{
    char label[48];
    size_t n = 0;
    const char *karras;

    for (const char *c = value; *c && n < sizeof label - 1; c++) {
        if (isalnum((unsigned char)*c) || *c == '+')
            label[n++] = *c == '+' ? 'p' : (char)tolower((unsigned char)*c);
    }
    label[n] = '\0';
    karras = strstr(label, "karras");
    if (karras && karras > label && !karras[6])
        label[n = (size_t)(karras - label)] = '\0';
    else
        karras = NULL;
    for (size_t i = 0; i < sizeof SAMPLER_LABELS / sizeof *SAMPLER_LABELS; i++) {
        if (strcmp(label, SAMPLER_LABELS[i].label) != 0)
            continue;
        snprintf(s->sampler, sizeof s->sampler, "%s", SAMPLER_LABELS[i].sampler);
        if (karras)
            snprintf(s->schedule, sizeof s->schedule, "karras");
        return FSD_OK;
    }
    return bad_value("sampler", value, "ddim, euler, euler_a or dpmpp_2m", err);
}

static fsd_status set_schedule(fsd_settings *s, const char *value, fsd_error *err)
{
    char plain[MAX_WORD];
    fsd_spacing spacing;

    plain_word(plain, value);
    if (strcmp(plain, "automatic") == 0 || strcmp(plain, "default") == 0)
        snprintf(plain, sizeof plain, "leading");
    if (fsd_spacing_parse(&spacing, plain, NULL))
        return bad_value("schedule", value, "leading, trailing or karras", err);
    snprintf(s->schedule, sizeof s->schedule, "%s", fsd_spacing_name(spacing));
    return FSD_OK;
}

static fsd_status set_precision(fsd_settings *s, const char *value, fsd_error *err)
{
    char plain[MAX_WORD];

    plain_word(plain, value);
    if (strcmp(plain, "auto") == 0)
        s->precision = FSD_PRECISION_AUTO;
    else if (strcmp(plain, "fp32") == 0 || strcmp(plain, "float32") == 0)
        s->precision = FSD_PRECISION_FP32;
    else if (strcmp(plain, "bf16") == 0 || strcmp(plain, "bfloat16") == 0)
        s->precision = FSD_PRECISION_BF16;
    else
        return bad_value("precision", value, "auto, fp32 or bf16", err);
    return FSD_OK;
}

static fsd_status add_negative(fsd_settings *s, const char *value, fsd_error *err)
{
    fsd_str both = {0};
    char *text;

    fsd_str_add(&both, s->negative);
    if (*s->negative && *value)
        fsd_str_add(&both, ", ");
    fsd_str_add(&both, value);
    text = fsd_str_take(&both);
    if (!text)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for the negative prompt");
    fsd_free(s->negative);
    s->negative = text;
    return FSD_OK;
}

/* A1111's tags for extra networks would otherwise be drawn as words. */
static fsd_status set_prompt(fsd_settings *s, const char *value, fsd_error *err)
{
    static const char *const TAGS[] = {"<lora:", "<lyco:", "<hypernet:"};

    for (size_t i = 0; i < sizeof TAGS / sizeof *TAGS; i++) {
        if (strcasestr(value, TAGS[i]))
            return fsd_fail(err, FSD_UNSUPPORTED, "%s…> in a prompt is understood, but not there yet",
                            TAGS[i]);
    }
    return replace(&s->prompt, value, err);
}

static fsd_status set_number(const char *word, const char *value, int *to, int high, fsd_error *err)
{
    char allowed[48];

    snprintf(allowed, sizeof allowed, "a whole number from 1 to %d", high);
    return whole(value, 1, high, to) ? FSD_OK : bad_value(word, value, allowed, err);
}

static fsd_status set_known(fsd_settings *s, const char *word, const char *value, fsd_error *err)
{
    if (strcmp(word, "seed") == 0)
        return set_seed(s, value, err);
    if (strcmp(word, "steps") == 0)
        return set_number(word, value, &s->steps, MAX_STEPS, err);
    if (strcmp(word, "size") == 0)
        return set_size(s, value, err);
    if (strcmp(word, "width") == 0)
        return set_number(word, value, &s->width, 1 << 20, err);
    if (strcmp(word, "height") == 0)
        return set_number(word, value, &s->height, 1 << 20, err);
    if (strcmp(word, "ar") == 0)
        return set_ar(s, value, err);
    if (strcmp(word, "cfg") == 0)
        return set_cfg(s, value, err);
    if (strcmp(word, "sampler") == 0)
        return set_sampler(s, value, err);
    if (strcmp(word, "schedule") == 0)
        return set_schedule(s, value, err);
    if (strcmp(word, "no") == 0)
        return add_negative(s, value, err);
    if (strcmp(word, "negative") == 0)
        return replace(&s->negative, value, err);
    if (strcmp(word, "model") == 0)
        return replace(&s->model, value, err);
    if (strcmp(word, "precision") == 0)
        return set_precision(s, value, err);
    if (strcasecmp(value, "cpu") == 0) /* rng */
        return FSD_OK;
    return fsd_fail(err, FSD_UNSUPPORTED, "rng = %s is not there yet: cpu is allowed", value);
}

fsd_status fsd_settings_set(fsd_settings *s, const char *word, const char *value, fsd_error *err)
{
    char plain[MAX_WORD];
    const fsd_setting *row;

    plain_word(plain, word);
    if (strcmp(plain, "prompt") == 0)
        return set_prompt(s, value, err);
    row = strlen(word) < MAX_WORD ? find(plain) : NULL;
    if (!row)
        return unknown_word(word, err);
    if (!row->works)
        return fsd_fail(err, FSD_UNSUPPORTED, "\"%s\" is understood, but not there yet", word);
    return set_known(s, row->word, value, err);
}

/* --- the whole --------------------------------------------------------------------------------- */

fsd_status fsd_settings_init(fsd_settings *s, fsd_error *err)
{
    *s = (fsd_settings){.sampler = "ddim", .schedule = "leading", .steps = 20, .cfg = 7.5};
    s->prompt = fsd_strdup("");
    s->negative = fsd_strdup("");
    s->model = fsd_strdup("");
    if (s->prompt && s->negative && s->model)
        return FSD_OK;
    fsd_settings_clear(s);
    return fsd_fail(err, FSD_NO_MEMORY, "no memory for settings");
}

void fsd_settings_clear(fsd_settings *s)
{
    fsd_free(s->prompt);
    fsd_free(s->negative);
    fsd_free(s->model);
    *s = (fsd_settings){0};
}

fsd_status fsd_settings_copy(fsd_settings *to, const fsd_settings *from, fsd_error *err)
{
    *to = *from;
    to->prompt = fsd_strdup(from->prompt);
    to->negative = fsd_strdup(from->negative);
    to->model = fsd_strdup(from->model);
    if (to->prompt && to->negative && to->model)
        return FSD_OK;
    fsd_settings_clear(to);
    return fsd_fail(err, FSD_NO_MEMORY, "no memory for settings");
}

static int round_to(double side, int unit)
{
    const int units = (int)lrint(side / unit);

    return (units < 1 ? 1 : units) * unit;
}

static fsd_status check_side(const char *word, int side, const fsd_limits *limits, fsd_error *err)
{
    if (side >= MIN_SIDE && side <= limits->max_side && side % limits->multiple == 0)
        return FSD_OK;
    return fsd_fail(err, FSD_INVALID,
                    "%s = %d: this model makes sides of %d to %d that are multiples of %d; its own size "
                    "is %dx%d",
                    word, side, MIN_SIDE, limits->max_side, limits->multiple, limits->width,
                    limits->height);
}

fsd_status fsd_settings_resolve(fsd_settings *s, const fsd_limits *limits, fsd_error *err)
{
    fsd_status st;

    if (s->ar_w && !s->width && !s->height) {
        const int unit = limits->width >= 512 ? 64 : limits->multiple;
        const double area = (double)limits->width * limits->height, ratio = (double)s->ar_w / s->ar_h;

        s->width = round_to(sqrt(area * ratio), unit);
        s->height = round_to(sqrt(area / ratio), unit);
    }
    s->width = s->width ? s->width : limits->width;
    s->height = s->height ? s->height : limits->height;
    st = check_side("width", s->width, limits, err);
    return st ? st : check_side("height", s->height, limits, err);
}

static const char *precision_name(fsd_precision precision)
{
    return precision == FSD_PRECISION_FP32 ? "fp32" : precision == FSD_PRECISION_BF16 ? "bf16" : "auto";
}

void fsd_settings_get(const fsd_settings *s, const char *word, char *out, size_t size)
{
    out[0] = '\0';
    if (strcmp(word, "seed") == 0 && s->seed_given)
        snprintf(out, size, "%llu", (unsigned long long)s->seed);
    else if (strcmp(word, "steps") == 0)
        snprintf(out, size, "%d", s->steps);
    else if (strcmp(word, "size") == 0 && s->width && s->height)
        snprintf(out, size, "%dx%d", s->width, s->height);
    else if (strcmp(word, "width") == 0 && s->width)
        snprintf(out, size, "%d", s->width);
    else if (strcmp(word, "height") == 0 && s->height)
        snprintf(out, size, "%d", s->height);
    else if (strcmp(word, "ar") == 0 && s->ar_w)
        snprintf(out, size, "%d:%d", s->ar_w, s->ar_h);
    else if (strcmp(word, "cfg") == 0)
        snprintf(out, size, "%g", s->cfg);
    else if (strcmp(word, "sampler") == 0)
        snprintf(out, size, "%s", s->sampler);
    else if (strcmp(word, "schedule") == 0)
        snprintf(out, size, "%s", s->schedule);
    else if (strcmp(word, "negative") == 0)
        snprintf(out, size, "%s", s->negative);
    else if (strcmp(word, "model") == 0)
        snprintf(out, size, "%s", s->model);
    else if (strcmp(word, "precision") == 0)
        snprintf(out, size, "%s", precision_name(s->precision));
    else if (strcmp(word, "rng") == 0)
        snprintf(out, size, "cpu");
}

char *fsd_job_escape(const char *value)
{
    fsd_str out = {0};

    for (const char *c = value; *c; c++) {
        if (*c == '\n')
            fsd_str_add(&out, "\\n");
        else if (*c == '\r')
            fsd_str_add(&out, "\\r");
        else if (*c == '\\')
            fsd_str_add(&out, "\\\\");
        else
            fsd_str_add_bytes(&out, c, 1);
    }
    return fsd_str_take(&out);
}

char *fsd_job_unescape(const char *value)
{
    fsd_str out = {0};

    for (const char *c = value; *c; c++) {
        if (*c != '\\') {
            fsd_str_add_bytes(&out, c, 1);
            continue;
        }
        c++;
        if (*c != 'n' && *c != 'r' && *c != '\\') {
            fsd_str_clear(&out);
            return NULL;
        }
        fsd_str_add(&out, *c == 'n' ? "\n" : *c == 'r' ? "\r" : "\\");
    }
    return fsd_str_take(&out);
}

static void add_escaped(fsd_str *out, const char *key, const char *value)
{
    char *escaped = fsd_job_escape(value);

    if (escaped)
        fsd_str_printf(out, "%s=%s\n", key, escaped);
    else
        out->failed = true;
    fsd_free(escaped);
}

fsd_status fsd_settings_to_job(const fsd_settings *s, char **out, fsd_error *err)
{
    fsd_str job = {0};

    add_escaped(&job, "prompt", s->prompt);
    add_escaped(&job, "negative", s->negative);
    if (s->seed_given)
        fsd_str_printf(&job, "seed=%llu\n", (unsigned long long)s->seed);
    fsd_str_printf(&job, "steps=%d\n", s->steps);
    if (s->width && s->height)
        fsd_str_printf(&job, "width=%d\nheight=%d\n", s->width, s->height);
    fsd_str_printf(&job, "cfg=%.17g\nsampler=%s\nschedule=%s\nprecision=%s\n", s->cfg, s->sampler,
                   s->schedule, precision_name(s->precision));
    *out = fsd_str_take(&job);
    return *out ? FSD_OK : fsd_fail(err, FSD_NO_MEMORY, "no memory for a job");
}
