#include "fs/place.h"

#include "engine/base/ini.h"
#include "engine/base/mem.h"
#include "fs/prompt_name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_INI = 1 << 20 };

static fsd_status apply(void *user, const char *section, const char *key, const char *value, int line,
                        fsd_error *err)
{
    (void)line;
    if (*section)
        return FSD_OK; /* [train] and the like are not about pictures */
    if (strcasecmp(key, "base") == 0)
        key = "model";
    return fsd_settings_set(user, key, value, err);
}

static fsd_status apply_text(fsd_settings *s, const char *text, const char *name, fsd_error *err)
{
    const fsd_status st = text ? fsd_ini_parse(text, strlen(text), apply, s, err) : FSD_OK;

    return st ? fsd_wrap(err, st, "%s", name) : FSD_OK;
}

/* generate.ini of a folder of the store, if there is one. */
static fsd_status apply_folder(fsd_fs *fs, const char *folder, fsd_settings *s, fsd_error *err)
{
    char name[1100], *text;
    fsd_status st;

    snprintf(name, sizeof name, "%s%sgenerate.ini", folder, *folder ? "/" : "");
    st = fsd_store_read(fs->store, name, MAX_INI, &text, NULL, err);
    if (st)
        return st == FSD_MISSING ? FSD_OK : st;
    st = apply_text(s, text, name, err);
    fsd_free(text);
    return st;
}

void fsd_place_own_model(fsd_fs *fs, const char *folder, char *name, size_t size)
{
    if (strncmp(folder, "models/", 7) == 0) {
        snprintf(name, size, "%.*s", (int)strcspn(folder + 7, "/"), folder + 7);
        return;
    }
    (void)fs;
    snprintf(name, size, "tiny-emoji");
}

/* The INI files alone, from the root down. */
static fsd_status apply_folders(fsd_fs *fs, const char *folder, fsd_settings *s, fsd_error *err)
{
    fsd_status st = apply_folder(fs, "", s, err);

    for (const char *slash = folder; !st && slash && *folder;) {
        char part[1024];

        slash = strchr(slash, '/');
        snprintf(part, sizeof part, "%.*s", slash ? (int)(slash - folder) : (int)strlen(folder), folder);
        st = apply_folder(fs, part, s, err);
        slash = slash ? slash + 1 : NULL;
    }
    return st;
}

/* Which model it is must be known before its model.ini, the layer below, can be read: the folders are
 * gone through twice. */
static fsd_status settle_model(fsd_fs *fs, const char *folder, const char *name, char *model, size_t size)
{
    fsd_settings s;
    fsd_status st = fsd_settings_init(&s, NULL);

    if (!st)
        st = apply_folders(fs, folder, &s, NULL);
    if (!st && name)
        st = fsd_prompt_name_parse(&s, name, NULL);
    fsd_place_own_model(fs, folder, model, size);
    if (s.model && *s.model)
        snprintf(model, size, "%s", s.model);
    fsd_settings_clear(&s);
    return st;
}

static fsd_status apply_model(fsd_fs *fs, const char *model, fsd_settings *s, fsd_error *err)
{
    char *text = fsd_catalog_model_ini(fs->catalog, model), name[300];
    fsd_model_entry entry;
    fsd_status st = FSD_OK;

    if (fsd_catalog_get(fs->catalog, model, &entry) && entry.probed && !entry.problem_status) {
        st = fsd_settings_set(s, "sampler", entry.sampler, err);
        if (!st)
            st = fsd_settings_set(s, "schedule", entry.schedule, err);
    }
    snprintf(name, sizeof name, "models/%s/model.ini", model);
    if (!st)
        st = apply_text(s, text, name, err);
    fsd_free(text);
    return st;
}

fsd_status fsd_place_settings(fsd_fs *fs, const char *folder, fsd_settings *s, fsd_error *err)
{
    char model[256];
    fsd_status st = fsd_settings_init(s, err);

    if (st)
        return st;
    settle_model(fs, folder, NULL, model, sizeof model);
    st = apply_model(fs, model, s, err);
    return st ? st : apply_folders(fs, folder, s, err);
}

bool fsd_place_request(fsd_fs *fs, const char *folder, const char *name, fsd_request *r)
{
    char model[256];
    fsd_status size_status;
    fsd_error size_error;

    *r = (fsd_request){0};
    settle_model(fs, folder, name, model, sizeof model);
    if (!fsd_catalog_get(fs->catalog, model, &r->model)) {
        snprintf(r->model.name, sizeof r->model.name, "%s", model);
        r->model.probed = true;
        r->model.problem_status = FSD_INVALID;
        snprintf(r->model.problem, sizeof r->model.problem,
                 "there is no model \"%s\": models/ lists those there are", model);
    }
    if (!r->model.probed)
        return false;
    if (r->model.problem_status) /* a size there must be, for stat */
        r->model.limits = (fsd_limits){"", 512, 512, 8, 2048};
    r->status = fsd_settings_init(&r->settings, &r->error);
    if (!r->status)
        r->status = apply_model(fs, model, &r->settings, &r->error);
    if (!r->status)
        r->status = apply_folders(fs, folder, &r->settings, &r->error);
    if (!r->status)
        r->status = fsd_prompt_name_parse(&r->settings, name, &r->error);
    size_status = fsd_settings_resolve(&r->settings, &r->model.limits, &size_error);
    if (!r->status && size_status) {
        r->status = size_status;
        r->error = size_error;
    }
    if (size_status) {
        r->settings.width = r->model.limits.width;
        r->settings.height = r->model.limits.height;
    }
    if (!r->status && r->model.problem_status) {
        r->status = r->model.problem_status;
        fsd_fail(&r->error, r->status, "%s", r->model.problem);
    }
    return true;
}

void fsd_request_clear(fsd_request *request)
{
    fsd_settings_clear(&request->settings);
}

/* --- words ------------------------------------------------------------------------------------- */

/* Words that say how, not what: those of tiny-emoji's own captions and their like. */
static const char *const SMALL_WORDS[] = {
    "a", "an", "the", "of", "in", "on", "with", "and", "at", "to", "picture", "photo", "image",
    "drawing", "icon", "emoji", "background", "is", "it", "its", "my", "your",
};

static bool next_word(const char **at, char *word, size_t size)
{
    size_t n = 0;

    while (**at && !isalnum((unsigned char)**at) && !(**at & 0x80))
        ++*at;
    while (**at && (isalnum((unsigned char)**at) || **at == '-' || (**at & 0x80))) {
        if (n < size - 1)
            word[n++] = (char)tolower((unsigned char)**at);
        ++*at;
    }
    word[n] = '\0';
    return n > 0;
}

static bool known(const char *words, const char *word)
{
    char one[64];

    for (size_t i = 0; i < sizeof SMALL_WORDS / sizeof *SMALL_WORDS; i++) {
        if (strcmp(word, SMALL_WORDS[i]) == 0)
            return true;
    }
    while (next_word(&words, one, sizeof one)) {
        if (strcmp(one, word) == 0)
            return true;
    }
    return false;
}

void fsd_place_unknown_words(fsd_fs *fs, const char *model, const char *prompt, fsd_str *out)
{
    char *words = fsd_catalog_words(fs->catalog, model), word[64];

    while (words && next_word(&prompt, word, sizeof word)) {
        if (!known(words, word))
            fsd_str_printf(out, "%s%s", out->length ? ", " : "", word);
    }
    fsd_free(words);
}
