/* settings.h: everything that can be said about a picture, in one table.
 *
 * A name in out/, a generate.ini, a model.ini and a job of the engine all speak these words. Layers
 * are applied lowest first onto one fsd_settings: family, model.ini, generate.ini from the root
 * down, the name. Each layer overwrites what it says, except that `--no` adds to the negative
 * prompt. A word is looked up without regard to case, "-" as "_", with the aliases of
 * AUTOMATIC1111 ("cfg_scale", "DPM++ 2M Karras") and kohya ("n w h d l s").
 * A word whose machinery is not there yet is FSD_UNSUPPORTED with "not yet", never ignored. */
#ifndef FSD_PIPELINE_SETTINGS_H
#define FSD_PIPELINE_SETTINGS_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fsd_precision { FSD_PRECISION_AUTO, FSD_PRECISION_FP32, FSD_PRECISION_BF16 } fsd_precision;

typedef struct fsd_settings {
    char *prompt;   /* UTF-8, owned; "" for none, never NULL after init */
    char *negative; /* likewise */
    char *model;    /* another model or session by name ("" for the place's own) */
    char sampler[16], schedule[16]; /* canonical: "euler_a", "karras" */
    bool seed_given;
    uint64_t seed;
    int steps;
    int width, height; /* 0: the model's own, until fsd_settings_resolve */
    int ar_w, ar_h;    /* an aspect ratio asked for, 0 if none */
    double cfg;
    fsd_precision precision;
} fsd_settings;

/* One word of the table, as README.txt, generate.ini and completions show it. */
typedef struct fsd_setting {
    const char *word;    /* canonical */
    const char *value;   /* what a value looks like: "1 to 150", "512x768" */
    const char *about;   /* one short line */
    bool works;          /* false: reserved, refused as "not yet" */
} fsd_setting;
extern const fsd_setting fsd_setting_table[];
extern const size_t fsd_setting_count;

/* What a model can make; from its probe. */
typedef struct fsd_limits {
    char family[16];
    int width, height; /* its own size: the default */
    int multiple;      /* sides are multiples of it (8) */
    int max_side;      /* 2048 */
} fsd_limits;

/* Family defaults: 20 steps, guidance 7.5, ddim, leading, the model's own size. FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_settings_init(fsd_settings *s, fsd_error *err);
void fsd_settings_clear(fsd_settings *s); /* a zeroed or cleared one is fine */
FSD_MUST_CHECK fsd_status fsd_settings_copy(fsd_settings *to, const fsd_settings *from, fsd_error *err);

/* Say one thing. FSD_INVALID for an unknown word (naming the nearest known one) or an impossible
 * value (naming what is allowed); FSD_UNSUPPORTED for "not yet"; FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_settings_set(fsd_settings *s, const char *word, const char *value,
                                           fsd_error *err);
/* Settle width and height: the model's own where nobody said, an aspect ratio at the model's area.
 * FSD_INVALID with the allowed sizes if the model does not make such a picture. */
FSD_MUST_CHECK fsd_status fsd_settings_resolve(fsd_settings *s, const fsd_limits *limits,
                                               fsd_error *err);

/* The known word nearest to one that is not ("" if none is near), and what a picture's settings may
 * be called, for messages. */
const char *fsd_settings_nearest(const char *word);

/* The present value of a word of the table as it would be written in a generate.ini ("" if it has
 * none), into `out`. For `size` "512x768", for an open seed "". */
void fsd_settings_get(const fsd_settings *s, const char *word, char *out, size_t size);

/* "key=value\n" lines of a job, escaped: every setting that matters, so that the engine never falls
 * back to a default. *out is the caller's (fsd_free). */
FSD_MUST_CHECK fsd_status fsd_settings_to_job(const fsd_settings *s, char **out, fsd_error *err);

/* The protocol's escaping of one value: "\n" "\r" "\\". Both return a new string or NULL (no memory;
 * unescape also for a stray backslash). */
char *fsd_job_escape(const char *value);
char *fsd_job_unescape(const char *value);

#endif
