#include "engine/pipeline/residency.h"

#include "engine/base/mem.h"
#include "engine/graph/exec.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const PART_NAMES[FSD_PARTS] = {"text_encoder", "unet", "vae"};

struct fsd_residency {
    fsd_backend *backend;
    fsd_model *first;
    size_t limit;
    uint64_t clock;
};

fsd_status fsd_residency_new(fsd_residency **out, fsd_backend *backend, size_t limit, fsd_error *err)
{
    fsd_residency *residency = fsd_alloc(sizeof *residency);

    *out = residency;
    if (!residency)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for the engine");
    residency->backend = backend;
    residency->limit = limit ? limit
                             : (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) / 2;
    return FSD_OK;
}

void fsd_residency_free(fsd_residency *residency)
{
    if (!residency)
        return;
    while (residency->first) {
        fsd_model *model = residency->first;

        residency->first = model->next;
        fsd_model_close(model);
    }
    fsd_free(residency);
}

static void forget(fsd_prepared *prepared)
{
    fsd_plan_free(prepared->plan);
    fsd_graph_free(prepared->graph);
    *prepared = (fsd_prepared){0};
}

void fsd_model_close(fsd_model *model)
{
    if (!model)
        return;
    for (int part = 0; part < FSD_PARTS; part++) {
        forget(&model->prepared[part]);
        fsd_weights_close(model->weights[part]);
    }
    for (int i = 0; i < FSD_TEXT_STATES; i++) {
        fsd_free(model->text[i].text);
        fsd_free(model->text[i].states);
    }
    fsd_clip_bpe_close(model->tokenizer);
    fsd_free(model);
}

static fsd_status open_part(fsd_model *model, fsd_part part, fsd_backend *backend, fsd_error *err)
{
    char path[FSD_PATH];
    fsd_index *index;
    fsd_status st = fsd_diffusers_weights(&model->info, PART_NAMES[part], path, err);

    if (st)
        return st;
    if (stat(path, &model->source[part]))
        return fsd_fail_errno(err, "%s", path);
    st = fsd_checkpoint_index(&index, path, err);
    return st ? st : fsd_weights_open(&model->weights[part], path, index, backend, err);
}

fsd_status fsd_model_open(fsd_model **out, const char *folder, fsd_backend *backend, fsd_error *err)
{
    fsd_model *model = fsd_alloc(sizeof *model);
    char path[FSD_PATH + 16];
    fsd_status st;

    *out = NULL;
    if (!model)
        return fsd_fail(err, FSD_NO_MEMORY, "%s: no memory", folder);
    st = fsd_diffusers_open(&model->info, folder, err);
    for (int part = 0; part < FSD_PARTS && !st; part++)
        st = open_part(model, (fsd_part)part, backend, err);
    snprintf(path, sizeof path, "%s/tokenizer", folder);
    if (!st)
        st = fsd_clip_bpe_open(&model->tokenizer, path, err);
    if (st) {
        fsd_model_close(model);
        return st;
    }
    *out = model;
    return FSD_OK;
}

int fsd_model_factor(const fsd_model *model)
{
    return 1 << (model->info.vae.levels - 1);
}

static bool unchanged(const fsd_model *model)
{
    for (int part = 0; part < FSD_PARTS; part++) {
        const struct stat *then = &model->source[part];
        char path[FSD_PATH];
        struct stat now;

        if (fsd_diffusers_weights(&model->info, PART_NAMES[part], path, NULL) || stat(path, &now) ||
            now.st_ino != then->st_ino || now.st_dev != then->st_dev ||
            now.st_size != then->st_size || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != then->st_mtim.tv_nsec)
            return false;
    }
    return true;
}

static size_t resident(const fsd_model *model)
{
    size_t sum = 0;

    for (int part = 0; part < FSD_PARTS; part++)
        sum += fsd_weights_resident(model->weights[part]);
    return sum;
}

/* Idle models give their packed weights back, the one used longest ago first. */
static void make_room(fsd_residency *residency, const fsd_model *keep)
{
    for (;;) {
        fsd_model *oldest = NULL;
        size_t sum = 0;

        for (fsd_model *model = residency->first; model; model = model->next) {
            const size_t bytes = resident(model);

            sum += bytes;
            if (bytes && model != keep && (!oldest || model->used < oldest->used))
                oldest = model;
        }
        if (!oldest || sum <= residency->limit)
            return;
        for (int part = 0; part < FSD_PARTS; part++)
            fsd_weights_release(oldest->weights[part]);
    }
}

fsd_status fsd_residency_get(fsd_residency *residency, fsd_model **out, const char *folder,
                             fsd_error *err)
{
    fsd_model **link = &residency->first;
    fsd_status st;

    *out = NULL;
    while (*link && strcmp((*link)->info.folder, folder) != 0)
        link = &(*link)->next;
    if (*link && !unchanged(*link)) {
        fsd_model *stale = *link;

        *link = stale->next;
        fsd_model_close(stale);
        link = &residency->first;
        while (*link)
            link = &(*link)->next;
    }
    if (!*link) {
        st = fsd_model_open(link, folder, residency->backend, err);
        if (st)
            return st;
    }
    *out = *link;
    (*out)->used = ++residency->clock;
    make_room(residency, *out);
    return FSD_OK;
}

static fsd_status build(fsd_model *model, fsd_part part, fsd_prepared *prepared, fsd_dtype activations,
                        int batch, int h, int w, int steps, fsd_error *err)
{
    const fsd_diffusers *info = &model->info;
    fsd_weights *weights = model->weights[part];
    fsd_status st = fsd_graph_new(&prepared->graph, activations, err);

    if (st)
        return st;
    switch (part) {
    case FSD_PART_TEXT:
        fsd_clip_text_build(prepared->graph, weights, &info->text, 1);
        break;
    case FSD_PART_UNET:
        fsd_unet_build(prepared->graph, weights, &info->unet, batch, batch, h, w, info->text.tokens,
                       steps);
        break;
    case FSD_PART_VAE:
        fsd_vae_decoder_build(prepared->graph, weights, &info->vae, 1, h, w);
        break;
    }
    st = fsd_graph_finish(prepared->graph, err);
    return st ? st : fsd_plan_new(&prepared->plan, prepared->graph, fsd_weights_backend(weights), err);
}

fsd_status fsd_model_prepare(fsd_model *model, fsd_part part, fsd_dtype activations, int batch,
                             int h, int w, int steps, const fsd_prepared **out, fsd_error *err)
{
    fsd_prepared *prepared = &model->prepared[part];
    char key[sizeof prepared->key];

    snprintf(key, sizeof key, "%s %d %dx%d %d", fsd_dtype_name(activations), batch, h, w, steps);
    if (!prepared->plan || strcmp(prepared->key, key) != 0) {
        fsd_status st;

        forget(prepared);
        st = build(model, part, prepared, activations, batch, h, w, steps, err);
        if (st) {
            forget(prepared);
            return st;
        }
        memcpy(prepared->key, key, sizeof key);
    }
    *out = prepared;
    return FSD_OK;
}

static fsd_status run_text(fsd_model *model, const char *text, fsd_text_state *state, fsd_error *err)
{
    const fsd_clip_text_config *config = &model->info.text;
    const size_t count = (size_t)config->tokens * (size_t)config->width;
    const fsd_prepared *prepared;
    fsd_exec *exec = NULL;
    fsd_status st;

    st = fsd_model_prepare(model, FSD_PART_TEXT, state->dtype, 1, 1, 1, 0, &prepared, err);
    if (!st)
        st = fsd_exec_new(&exec, prepared->plan, err);
    if (!st)
        st = fsd_clip_bpe_chunk(model->tokenizer, text, strlen(text),
                                fsd_exec_address(exec, fsd_graph_find(prepared->graph, "ids")),
                                (size_t)config->tokens, &state->cut, err);
    if (!st)
        st = fsd_exec_run(exec, FSD_PHASE_STEP, 0, err);
    if (!st) {
        state->states = fsd_alloc_array(count, sizeof *state->states);
        if (!state->states)
            st = fsd_fail(err, FSD_NO_MEMORY, "no memory for a prompt's states");
    }
    if (!st)
        fsd_exec_read(exec, fsd_graph_find(prepared->graph, "states"), state->states, count);
    fsd_exec_free(exec);
    return st;
}

fsd_status fsd_model_encode(fsd_model *model, const char *text, fsd_dtype activations,
                            const float **states, size_t *cut, fsd_error *err)
{
    fsd_text_state *oldest = &model->text[0], fresh = {.dtype = activations};
    fsd_status st = FSD_OK;

    for (int i = 0; i < FSD_TEXT_STATES; i++) {
        fsd_text_state *state = &model->text[i];

        if (state->text && state->dtype == activations && strcmp(state->text, text) == 0) {
            state->used = ++model->text_clock;
            *states = state->states;
            *cut = state->cut;
            return FSD_OK;
        }
        if (!state->text || (oldest->text && state->used < oldest->used))
            oldest = state;
    }
    fresh.text = fsd_strdup(text);
    if (!fresh.text)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a prompt");
    st = run_text(model, text, &fresh, err);
    if (st) {
        fsd_free(fresh.text);
        fsd_free(fresh.states);
        return st;
    }
    fsd_free(oldest->text);
    fsd_free(oldest->states);
    fresh.used = ++model->text_clock;
    *oldest = fresh;
    *states = fresh.states;
    *cut = fresh.cut;
    return FSD_OK;
}
