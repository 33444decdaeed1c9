#include "fs/node.h"

#include "engine/base/mem.h"
#include "fs/place.h"
#include "fs/prompt_name.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_LOG = 2 << 20 };

void fsd_text_root_readme(fsd_fs *fs, const char *folder, fsd_str *out)
{
    (void)fs, (void)folder;
    fsd_str_add(out,
        "This folder is a Stable Diffusion studio. Everything is done with files.\n"
        "\n"
        "A PICTURE\n"
        "    cat \"models/tiny-emoji/out/red apple.png\" > apple.png\n"
        "Any name that ends in .png is a prompt: opening it makes the picture, then it is listed. Its size is\n"
        "known before, so cp, rsync, tar and file managers just work. Looking (ls, stat, find) makes nothing.\n"
        "Options follow the prompt:\n"
        "    out/a red fox --seed 7 --steps 30 --size 512x768 --cfg 6 --sampler dpmpp_2m --no blurry.png\n");
    for (size_t i = 0; i < fsd_setting_count; i++) {
        const fsd_setting *row = &fsd_setting_table[i];

        if (row->works)
            fsd_str_printf(out, "    --%-10s %s%s%s\n", row->word, row->value, *row->about ? ": " : "", row->about);
    }
    fsd_str_add(out,
        "Where a name cannot say it: the full-width signs of / : < > ? \" are read as the plain ones.\n"
        "out/<name>.txt (not listed) tells the settings of a picture, or why it cannot be made.\n"
        "rm a picture, and its name makes a new one. mv keeps it under another name. out/.made/ (not listed)\n"
        "holds only what is made.\n"
        "\n"
        "SETTINGS FOR MANY\n"
        "generate.ini, here, in a model, in a session or in any folder of an out/, holds for all below it:\n"
        "    steps = 30\n"
        "    negative = blurry, low quality\n"
        "Every key stands in it as a comment with its present value.\n"
        "\n"
        "MODELS\n"
        "models/ lists what there is: the built-in tiny-emoji, diffusers folders in the store's models/, and\n"
        "those of the folders that STORE/fsdfs.ini names (models = DIR). info.txt says what each can do.\n"
        "\n"
        "SESSIONS\n"
        "mkdir sessions/rex makes a place of your own with its own out/ and settings (model = NAME in its\n"
        "generate.ini). mv renames it, rm -r ends it. Training in it comes with a later version.\n"
        "\n"
        "WHEN SOMETHING IS WRONG\n"
        "PROBLEM.txt appears, here and in the place, exactly while something is wrong. status.txt says what\n"
        "goes on and what to do next. Ctrl-C cancels what you wait for; so does\n"
        "    echo cancel > .fsdfs/control\n"
        "log.txt and .fsdfs/ (status, progress, queue, preview.png, control, version) are there by name.\n");
}

void fsd_text_session_readme(fsd_fs *fs, const char *folder, fsd_str *out)
{
    char model[256];

    fsd_place_own_model(fs, folder, model, sizeof model);
    fsd_str_printf(out,
        "A session: a place of your own.\n"
        "\n"
        "    cat \"out/red apple.png\" > apple.png       makes a picture with %s\n"
        "    mkdir out/big; echo size = 256x256 > out/big/generate.ini\n"
        "\n"
        "generate.ini holds for the whole session; \"model = NAME\" in it chooses another model.\n"
        "mv renames the session, rm -r ends it. The mount's README.txt tells the rest.\n",
        model);
}

static void say_running(fsd_fs *fs, fsd_str *out)
{
    fsd_progress p;

    fsd_queue_progress(fs->queue, &p);
    if (*p.key)
        fsd_str_printf(out, "drawing %s: step %d of %d\n", p.key, p.step, p.steps);
    else
        fsd_str_add(out, p.engine_up ? "idle\n" : "the engine is starting\n");
    if (p.waiting)
        fsd_str_printf(out, "%zu more wait\n", p.waiting);
}

/* What the newest pictures had in them that their models do not know, and other notes. */
static void say_next(fsd_fs *fs, const char *folder, fsd_str *out)
{
    if (fsd_problem_any(fs->problems, folder))
        fsd_str_add(out, "Something is wrong: see PROBLEM.txt\n");
}

void fsd_text_status(fsd_fs *fs, const char *folder, fsd_str *out)
{
    fsd_progress p;

    fsd_queue_progress(fs->queue, &p);
    say_running(fs, out);
    fsd_str_printf(out, "engine: %s\n", p.engine_up ? p.engine_about : "starting");
    fsd_str_printf(out, "pictures since the mount: %llu made, %llu failed\n", (unsigned long long)p.made,
                   (unsigned long long)p.failed);
    pthread_mutex_lock(&fs->events_lock);
    if (*fs->unknown)
        fsd_str_printf(out, "%s\n", fs->unknown);
    pthread_mutex_unlock(&fs->events_lock);
    say_next(fs, folder, out);
    fsd_str_add(out, p.made ? "next: look into README.txt for options, or mkdir sessions/NAME for a place of your own\n"
                            : "next: cat \"models/tiny-emoji/out/red apple.png\" > apple.png\n");
}

void fsd_text_session_status(fsd_fs *fs, const char *folder, fsd_str *out)
{
    char model[256];
    fsd_settings s;

    fsd_place_own_model(fs, folder, model, sizeof model);
    if (!fsd_place_settings(fs, folder, &s, NULL) && *s.model)
        snprintf(model, sizeof model, "%s", s.model);
    fsd_settings_clear(&s);
    say_running(fs, out);
    fsd_str_printf(out, "model: %s\n", model);
    say_next(fs, folder, out);
    fsd_str_printf(out, "next: cat \"out/red apple.png\" > apple.png, or set model, size and steps in generate.ini\n");
}

void fsd_text_live_status(fsd_fs *fs, const char *folder, fsd_str *out)
{
    fsd_progress p;

    (void)folder;
    fsd_queue_progress(fs->queue, &p);
    fsd_str_printf(out, "engine=%s\nabout=%s\nrunning=%s\nstep=%d\nsteps=%d\nseconds=%.1f\nwaiting=%zu\nmade=%llu\nfailed=%llu\n",
                   p.engine_up ? "up" : "down", p.engine_about, p.key, p.step, p.steps, p.seconds, p.waiting,
                   (unsigned long long)p.made, (unsigned long long)p.failed);
}

void fsd_text_queue(fsd_fs *fs, const char *folder, fsd_str *out)
{
    fsd_progress p;

    (void)folder;
    fsd_queue_progress(fs->queue, &p);
    if (*p.key)
        fsd_str_printf(out, "running %s\n", p.key);
    fsd_str_printf(out, "waiting %zu\n", p.waiting);
}

void fsd_text_progress(fsd_fs *fs, const char *folder, fsd_str *out)
{
    (void)folder;
    pthread_mutex_lock(&fs->events_lock);
    fsd_str_add_bytes(out, fs->events, fs->events_size);
    pthread_mutex_unlock(&fs->events_lock);
}

void fsd_text_version(fsd_fs *fs, const char *folder, fsd_str *out)
{
    (void)fs, (void)folder;
    fsd_str_add(out, "fsdfs " FSD_VERSION "\n");
}

void fsd_text_problem(fsd_fs *fs, const char *folder, fsd_str *out)
{
    fsd_problem_text(fs->problems, folder, out);
}

void fsd_text_log(fsd_fs *fs, const char *folder, fsd_str *out)
{
    char *text;
    size_t size;

    (void)folder;
    if (fsd_store_read(fs->store, ".fsdfs/log.txt", MAX_LOG, &text, &size, NULL) == FSD_OK) {
        fsd_str_add_bytes(out, text, size);
        fsd_free(text);
    }
}

static const char *model_of(const char *folder)
{
    return folder + strlen("models/");
}

void fsd_text_info(fsd_fs *fs, const char *folder, fsd_str *out)
{
    fsd_model_entry entry;

    if (!fsd_catalog_get(fs->catalog, model_of(folder), &entry))
        return;
    if (!entry.probed) {
        fsd_str_add(out, "being looked at\n");
    } else if (entry.problem_status) {
        fsd_str_printf(out, "cannot draw: %s\n", entry.problem);
    } else {
        fsd_str_printf(out, "%s\nfamily: %s\nits own size: %dx%d; sides are multiples of %d, up to %d\n", entry.about,
                       entry.limits.family, entry.limits.width, entry.limits.height, entry.limits.multiple,
                       entry.limits.max_side);
        fsd_str_printf(out, "sampler: %s, schedule: %s\n", entry.sampler, entry.schedule);
        if (*entry.note)
            fsd_str_printf(out, "note: %s\n", entry.note);
        if (*entry.hash)
            fsd_str_printf(out, "sha256 of its UNet: %s (model hash %.10s)\n", entry.hash, entry.hash);
    }
    fsd_str_printf(out, "lies in: %s%s\n", entry.folder,
                   entry.embedded ? " (built in)" : entry.external ? " (used in place, read-only)" : "");
}

void fsd_text_words(fsd_fs *fs, const char *folder, fsd_str *out)
{
    char *words = fsd_catalog_words(fs->catalog, model_of(folder));

    if (words)
        fsd_str_add(out, words);
    fsd_free(words);
}

/* What an INI file says that nobody has written: the model's own text for model.ini, else every key with
 * its present value as a comment. */
void fsd_text_ini(fsd_fs *fs, const char *path, fsd_str *out)
{
    const char *slash = strrchr(path, '/');
    char folder[4096], value[4096];
    fsd_settings s;
    fsd_error err;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 0, path);
    if (slash && strcmp(slash + 1, "model.ini") == 0) {
        char *text = fsd_catalog_model_ini(fs->catalog, model_of(folder));

        if (text) {
            fsd_str_add(out, text);
            fsd_free(text);
            return;
        }
    }
    fsd_str_printf(out, "# Settings of every picture %s. Take away a # and change the value.\n",
                   slash ? "in this folder and below it" : "in this mount");
    if (strncmp(path, "sessions/", 9) == 0)
        fsd_str_add(out, "# model chooses who draws.\n");
    if (fsd_place_settings(fs, folder, &s, &err))
        fsd_str_printf(out, "# (%s)\n", err.msg);
    for (size_t i = 0; s.prompt && i < fsd_setting_count; i++) {
        const fsd_setting *row = &fsd_setting_table[i];

        if (!row->works || strcmp(row->word, "no") == 0)
            continue;
        fsd_settings_get(&s, row->word, value, sizeof value);
        fsd_str_printf(out, "# %s = %s\n#     %s%s%s\n", row->word, value, row->value, *row->about ? ": " : "", row->about);
    }
    fsd_settings_clear(&s);
}

static void say_settings(const fsd_settings *s, fsd_str *out)
{
    char value[4096];

    for (size_t i = 0; i < fsd_setting_count; i++) {
        const char *word = fsd_setting_table[i].word;

        if (!fsd_setting_table[i].works || strcmp(word, "width") == 0 || strcmp(word, "height") == 0)
            continue;
        fsd_settings_get(s, word, value, sizeof value);
        if (*value)
            fsd_str_printf(out, "%s = %s\n", word, value);
    }
}

void fsd_text_twin(fsd_fs *fs, const char *folder, const char *picture, fsd_str *out)
{
    char info[4096 + 64], path[4096], sentence[1024], *text;
    fsd_str unknown = {0};
    fsd_request r;

    snprintf(path, sizeof path, "%s/%s", folder, picture);
    snprintf(info, sizeof info, ".fsdfs/info/%s.txt", path);
    if (fsd_store_read(fs->store, info, 1 << 20, &text, NULL, NULL) == FSD_OK) {
        fsd_str_printf(out, "made:\n%s\n", text);
        fsd_free(text);
        return;
    }
    if (!fsd_place_request(fs, folder, picture, &r)) {
        fsd_str_printf(out, "the model %s is being looked at\n", r.model.name);
        return;
    }
    if (r.status) {
        fsd_str_printf(out, "cannot be made: %s\n", r.error.msg);
    } else if (fsd_problem_of(fs->problems, path, sentence, sizeof sentence)) {
        fsd_str_printf(out, "could not be made: %s\n", sentence);
    } else {
        fsd_str_printf(out, "will be made by opening %s:\nprompt = %s\n", picture, r.settings.prompt);
        say_settings(&r.settings, out);
        if (!*r.settings.model)
            fsd_str_printf(out, "model = %s\n", r.model.name);
        if (!r.settings.seed_given)
            fsd_str_add(out, "seed = (a fresh one, recorded)\n");
        if (*r.model.note)
            fsd_str_printf(out, "note: %s\n", r.model.note);
        fsd_place_unknown_words(fs, r.model.name, r.settings.prompt, &unknown);
        if (unknown.length)
            fsd_str_printf(out, "note: %s does not know: %s\n", r.model.name, unknown.text);
    }
    fsd_str_clear(&unknown);
    fsd_request_clear(&r);
}
