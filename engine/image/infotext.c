#include "engine/image/infotext.h"

#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "engine/sample/sampler.h"

#include <string.h>

/* As A1111 does: a value with a comma, a colon or a newline is a JSON string. */
static void add_value(fsd_str *out, const char *value)
{
    if (!strpbrk(value, ",:\n\"")) {
        fsd_str_add(out, value);
        return;
    }
    fsd_str_add(out, "\"");
    for (const char *c = value; *c; c++) {
        if (*c == '"' || *c == '\\')
            fsd_str_printf(out, "\\%c", *c);
        else if (*c == '\n')
            fsd_str_add(out, "\\n");
        else
            fsd_str_add_bytes(out, c, 1);
    }
    fsd_str_add(out, "\"");
}

static const char *schedule_label(const char *schedule)
{
    return strcmp(schedule, "karras") == 0     ? "Karras"
           : strcmp(schedule, "trailing") == 0 ? "Trailing"
                                               : "Leading";
}

fsd_status fsd_infotext_write(char **out, const fsd_settings *s, const char *model_name,
                              const char *model_hash, const char *precision, fsd_error *err)
{
    const fsd_sampler *sampler = fsd_sampler_find(s->sampler);
    fsd_str text = {0};

    fsd_str_add(&text, s->prompt);
    if (*s->negative)
        fsd_str_printf(&text, "\nNegative prompt: %s", s->negative);
    fsd_str_printf(&text, "\nSteps: %d, Sampler: %s, Schedule type: %s, CFG scale: %g, Seed: %llu, Size: %dx%d",
                   s->steps, sampler ? sampler->label : s->sampler, schedule_label(s->schedule), s->cfg,
                   (unsigned long long)s->seed, s->width, s->height);
    if (model_hash && strlen(model_hash) >= 10)
        fsd_str_printf(&text, ", Model hash: %.10s", model_hash);
    if (model_name && *model_name) {
        fsd_str_add(&text, ", Model: ");
        add_value(&text, model_name);
    }
    fsd_str_printf(&text, ", RNG: CPU, Precision: %s, Version: fsdfs %s", precision, FSD_VERSION);
    *out = fsd_str_take(&text);
    return *out ? FSD_OK : fsd_fail(err, FSD_NO_MEMORY, "no memory for a picture's text");
}
