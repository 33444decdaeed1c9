#include "engine/model/diffusers.h"

#include "engine/base/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CONFIG = 1 << 20, MAX_WIDTH = 1 << 16 };

static fsd_status load(fsd_json *json, const fsd_diffusers *model, const char *name, fsd_error *err)
{
    char path[FSD_PATH + 64];

    snprintf(path, sizeof path, "%s/%s", model->folder, name);
    return fsd_json_load(json, path, name, MAX_CONFIG, err);
}

/* Settings that change what a network computes and that we do only in one way. A key that is not
 * there has diffusers' default, which is that way. */
typedef struct fixed {
    const char *key, *value; /* value as a word, "null", "false" … */
} fixed;

static bool is(const json_t *value, const char *word)
{
    char number[32];

    switch (json_typeof(value)) {
    case JSON_STRING:
        return strcmp(json_string_value(value), word) == 0;
    case JSON_TRUE:
        return strcmp(word, "true") == 0;
    case JSON_FALSE:
        return strcmp(word, "false") == 0;
    case JSON_NULL:
        return strcmp(word, "null") == 0;
    case JSON_INTEGER:
    case JSON_REAL:
        snprintf(number, sizeof number, "%g", json_number_value(value));
        return strcmp(number, word) == 0;
    default:
        return false;
    }
}

static fsd_status check_fixed(const fsd_json *json, const fixed *rows, size_t count, fsd_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(json->value, rows[i].key);

        if (value && !is(value, rows[i].value))
            return fsd_fail(err, FSD_UNSUPPORTED, "%s: %s is not %s: such a model cannot run yet",
                            json->name, rows[i].key, rows[i].value);
    }
    return FSD_OK;
}

/* A list of block types, of which `plain` has no attention and `crossed` has. */
static fsd_status read_blocks(const fsd_json *json, const char *key, int levels, const char *plain,
                              const char *crossed, bool *attends, fsd_error *err)
{
    const char *type[FSD_UNET_LEVELS];
    size_t count = 0;
    fsd_status st = fsd_json_need(json, key, err);

    if (!st)
        st = fsd_json_strings(json, key, type, FSD_UNET_LEVELS, &count, err);
    if (st)
        return st;
    if (count != (size_t)levels)
        return fsd_fail(err, FSD_FORMAT, "%s: %s lists %zu blocks for %d levels", json->name, key,
                        count, levels);
    for (int i = 0; i < levels; i++) {
        attends[i] = strcmp(type[i], crossed) == 0;
        if (!attends[i] && strcmp(type[i], plain) != 0)
            return fsd_fail(err, FSD_UNSUPPORTED, "%s: %s: blocks of type %s cannot run yet",
                            json->name, key, type[i]);
    }
    return FSD_OK;
}

/* In SD 1.x's configurations "attention_head_dim" is the number of heads: a name diffusers keeps
 * for compatibility. "num_attention_heads" wins where it is there. */
static fsd_status read_heads(const fsd_json *json, fsd_unet_config *unet, fsd_error *err)
{
    const char *key =
        fsd_json_has(json, "num_attention_heads") ? "num_attention_heads" : "attention_head_dim";
    int heads[FSD_UNET_LEVELS] = {8};
    size_t count = 1;
    const fsd_status st = fsd_json_ints(json, key, 1, 1024, heads, FSD_UNET_LEVELS, &count, err);

    if (st)
        return st;
    if (count != 1 && count != (size_t)unet->levels)
        return fsd_fail(err, FSD_FORMAT, "%s: %s lists %zu numbers for %d levels", json->name, key,
                        count, unet->levels);
    for (int i = 0; i < unet->levels; i++)
        unet->heads[i] = heads[count == 1 ? 0 : i];
    return FSD_OK;
}

static const fixed UNET_FIXED[] = {
    {"act_fn", "silu"},
    {"addition_embed_type", "null"},
    {"attention_type", "default"},
    {"center_input_sample", "false"},
    {"class_embed_type", "null"},
    {"class_embeddings_concat", "false"},
    {"conv_in_kernel", "3"},
    {"conv_out_kernel", "3"},
    {"cross_attention_norm", "null"},
    {"downsample_padding", "1"},
    {"dual_cross_attention", "false"},
    {"encoder_hid_dim", "null"},
    {"encoder_hid_dim_type", "null"},
    {"flip_sin_to_cos", "true"},
    {"freq_shift", "0"},
    {"mid_block_type", "UNetMidBlock2DCrossAttn"},
    {"num_class_embeds", "null"},
    {"only_cross_attention", "false"},
    {"projection_class_embeddings_input_dim", "null"},
    {"resnet_out_scale_factor", "1"},
    {"resnet_skip_time_act", "false"},
    {"resnet_time_scale_shift", "default"},
    {"mid_block_scale_factor", "1"},
    {"time_cond_proj_dim", "null"},
    {"time_embedding_act_fn", "null"},
    {"time_embedding_dim", "null"},
    {"time_embedding_type", "positional"},
    {"timestep_post_act", "null"},
    {"transformer_layers_per_block", "1"},
};

static fsd_status read_unet(fsd_diffusers *model, const fsd_json *json, fsd_error *err)
{
    fsd_unet_config *unet = &model->unet;
    size_t levels = 0;
    fsd_status st = fsd_json_need(json, "block_out_channels", err);

    *unet = (fsd_unet_config){.in_channels = 4, .out_channels = 4, .layers = 2, .context = 1280,
                              .groups = 32, .eps = 1e-5};
    model->sample_size = 64;
    if (!st)
        st = check_fixed(json, UNET_FIXED, sizeof UNET_FIXED / sizeof *UNET_FIXED, err);
    if (!st)
        st = fsd_json_ints(json, "block_out_channels", 1, MAX_WIDTH, unet->width, FSD_UNET_LEVELS,
                           &levels, err);
    unet->levels = (int)levels;
    if (!st)
        st = fsd_json_int(json, "in_channels", 1, 64, &unet->in_channels, err);
    if (!st)
        st = fsd_json_int(json, "out_channels", 1, 64, &unet->out_channels, err);
    if (!st)
        st = fsd_json_int(json, "layers_per_block", 1, 6, &unet->layers, err);
    if (!st)
        st = fsd_json_int(json, "cross_attention_dim", 1, MAX_WIDTH, &unet->context, err);
    if (!st)
        st = fsd_json_int(json, "norm_num_groups", 1, MAX_WIDTH, &unet->groups, err);
    if (!st)
        st = fsd_json_int(json, "sample_size", 1, 1024, &model->sample_size, err);
    if (!st)
        st = fsd_json_double(json, "norm_eps", &unet->eps, err);
    if (!st)
        st = read_heads(json, unet, err);
    if (!st)
        st = read_blocks(json, "down_block_types", unet->levels, "DownBlock2D",
                         "CrossAttnDownBlock2D", unet->down_attends, err);
    if (!st)
        st = read_blocks(json, "up_block_types", unet->levels, "UpBlock2D", "CrossAttnUpBlock2D",
                         unet->up_attends, err);
    return st;
}

static const fixed VAE_FIXED[] = {
    {"act_fn", "silu"},           {"out_channels", "3"},  {"latents_mean", "null"},
    {"latents_std", "null"},      {"shift_factor", "null"}, {"mid_block_add_attention", "true"},
    {"norm_type", "group"},
};

static fsd_status read_vae(fsd_diffusers *model, const fsd_json *json, fsd_error *err)
{
    fsd_vae_config *vae = &model->vae;
    size_t levels = 0;
    fsd_status st = fsd_json_need(json, "block_out_channels", err);

    *vae = (fsd_vae_config){
        .layers = 1, .latent_channels = 4, .groups = 32, .post_quant = true, .scaling = 0.18215};
    if (!st)
        st = check_fixed(json, VAE_FIXED, sizeof VAE_FIXED / sizeof *VAE_FIXED, err);
    if (!st)
        st = fsd_json_ints(json, "block_out_channels", 1, MAX_WIDTH, vae->width, FSD_VAE_LEVELS,
                           &levels, err);
    vae->levels = (int)levels;
    if (!st)
        st = fsd_json_int(json, "layers_per_block", 1, 16, &vae->layers, err);
    if (!st)
        st = fsd_json_int(json, "latent_channels", 1, 64, &vae->latent_channels, err);
    if (!st)
        st = fsd_json_int(json, "norm_num_groups", 1, MAX_WIDTH, &vae->groups, err);
    if (!st)
        st = fsd_json_bool(json, "use_post_quant_conv", &vae->post_quant, err);
    if (!st)
        st = fsd_json_double(json, "scaling_factor", &vae->scaling, err);
    if (!st && !(vae->scaling > 0))
        st = fsd_fail(err, FSD_FORMAT, "%s: scaling_factor is not above 0", json->name);
    return st;
}

static fsd_status read_text(fsd_diffusers *model, const fsd_json *json, fsd_error *err)
{
    fsd_clip_text_config *text = &model->text;
    const char *act = "quick_gelu";
    fsd_status st;

    *text = (fsd_clip_text_config){
        .width = 512, .layers = 12, .heads = 8, .mlp = 2048, .tokens = 77, .eps = 1e-5};
    st = fsd_json_int(json, "hidden_size", 1, MAX_WIDTH, &text->width, err);
    if (!st)
        st = fsd_json_int(json, "num_hidden_layers", 1, 256, &text->layers, err);
    if (!st)
        st = fsd_json_int(json, "num_attention_heads", 1, 1024, &text->heads, err);
    if (!st)
        st = fsd_json_int(json, "intermediate_size", 1, 4 * MAX_WIDTH, &text->mlp, err);
    if (!st)
        st = fsd_json_int(json, "max_position_embeddings", 3, 4096, &text->tokens, err);
    if (!st)
        st = fsd_json_double(json, "layer_norm_eps", &text->eps, err);
    if (!st)
        st = fsd_json_string(json, "hidden_act", &act, err);
    if (st)
        return st;
    if (strcmp(act, "quick_gelu") == 0)
        text->act = FSD_ACT_QUICK_GELU;
    else if (strcmp(act, "gelu") == 0)
        text->act = FSD_ACT_GELU;
    else
        return fsd_fail(err, FSD_UNSUPPORTED, "%s: hidden_act %s cannot run yet", json->name, act);
    return FSD_OK;
}

/* Which of our samplers a scheduler class of diffusers is; those we lack get the nearest. */
static const struct {
    const char *class_name, *sampler;
    bool stands_in;
} SCHEDULERS[] = {
    {"DDIMScheduler", "ddim", false},
    {"EulerDiscreteScheduler", "euler", false},
    {"EulerAncestralDiscreteScheduler", "euler_a", false},
    {"DPMSolverMultistepScheduler", "dpmpp_2m", false},
    {"PNDMScheduler", "ddim", true},
    {"LMSDiscreteScheduler", "euler", true},
    {"HeunDiscreteScheduler", "euler", true},
    {"UniPCMultistepScheduler", "dpmpp_2m", true},
    {"DPMSolverSinglestepScheduler", "dpmpp_2m", true},
    {"DDPMScheduler", "ddim", true},
};

static fsd_status pick_sampler(fsd_diffusers *model, const fsd_json *json, fsd_error *err)
{
    const char *class_name = "PNDMScheduler", *spacing = "leading";
    bool karras = false;
    size_t i = 0;
    fsd_status st = fsd_json_string(json, "_class_name", &class_name, err);

    if (!st)
        st = fsd_json_string(json, "timestep_spacing", &spacing, err);
    if (!st)
        st = fsd_json_bool(json, "use_karras_sigmas", &karras, err);
    if (st)
        return st;
    snprintf(model->scheduler_class, sizeof model->scheduler_class, "%s", class_name);
    while (i < sizeof SCHEDULERS / sizeof *SCHEDULERS &&
           strcmp(SCHEDULERS[i].class_name, class_name) != 0)
        i++;
    if (i == sizeof SCHEDULERS / sizeof *SCHEDULERS)
        return fsd_fail(err, FSD_UNSUPPORTED, "%s: scheduler %s cannot run yet", json->name,
                        class_name);
    snprintf(model->sampler, sizeof model->sampler, "%s", SCHEDULERS[i].sampler);
    snprintf(model->spacing, sizeof model->spacing, "%s",
             karras ? "karras" : strcmp(spacing, "trailing") == 0 ? "trailing" : "leading");
    if (SCHEDULERS[i].stands_in)
        snprintf(model->sampler_note, sizeof model->sampler_note,
                 "the model's folder says %s, which is not there yet: %s stands in", class_name,
                 SCHEDULERS[i].sampler);
    return FSD_OK;
}

static fsd_status read_schedule(fsd_diffusers *model, const fsd_json *json, fsd_error *err)
{
    fsd_schedule_config *schedule = &model->schedule;
    const char *betas = "scaled_linear", *prediction = "epsilon";
    fsd_status st;

    *schedule = FSD_SCHEDULE_SD1;
    st = fsd_json_int(json, "num_train_timesteps", 1, 100000, &schedule->train_steps, err);
    if (!st)
        st = fsd_json_int(json, "steps_offset", 0, 1000, &schedule->steps_offset, err);
    if (!st)
        st = fsd_json_double(json, "beta_start", &schedule->beta_start, err);
    if (!st)
        st = fsd_json_double(json, "beta_end", &schedule->beta_end, err);
    if (!st)
        st = fsd_json_bool(json, "set_alpha_to_one", &schedule->set_alpha_to_one, err);
    if (!st)
        st = fsd_json_string(json, "beta_schedule", &betas, err);
    if (!st)
        st = fsd_json_string(json, "prediction_type", &prediction, err);
    if (st)
        return st;
    if (fsd_json_has(json, "trained_betas"))
        return fsd_fail(err, FSD_UNSUPPORTED, "%s: trained_betas cannot run yet", json->name);
    if (strcmp(betas, "scaled_linear") == 0)
        schedule->betas = FSD_BETAS_SCALED_LINEAR;
    else if (strcmp(betas, "linear") == 0)
        schedule->betas = FSD_BETAS_LINEAR;
    else
        return fsd_fail(err, FSD_UNSUPPORTED, "%s: beta_schedule %s cannot run yet", json->name, betas);
    if (strcmp(prediction, "epsilon") == 0)
        schedule->prediction = FSD_PREDICTION_EPSILON;
    else if (strcmp(prediction, "v_prediction") == 0)
        schedule->prediction = FSD_PREDICTION_V;
    else
        return fsd_fail(err, FSD_UNSUPPORTED, "%s: prediction_type %s cannot run yet", json->name,
                        prediction);
    return pick_sampler(model, json, err);
}

static fsd_status read_index(fsd_diffusers *model, const fsd_json *json, fsd_error *err)
{
    const char *class_name = "";
    fsd_status st = fsd_json_need(json, "_class_name", err);

    if (!st)
        st = fsd_json_string(json, "_class_name", &class_name, err);
    if (st)
        return st;
    if (strcmp(class_name, "StableDiffusionPipeline") != 0)
        return fsd_fail(err, FSD_UNSUPPORTED, "%s: a %s cannot run yet", json->name, class_name);
    snprintf(model->family, sizeof model->family, "sd1");
    return FSD_OK;
}

/* The parts must fit each other before a single weight is looked at. */
static fsd_status check_fit(const fsd_diffusers *model, fsd_error *err)
{
    if (model->unet.context != model->text.width)
        return fsd_fail(err, FSD_FORMAT,
                        "the UNet reads text states of width %d, the text encoder makes %d",
                        model->unet.context, model->text.width);
    if (model->unet.in_channels != model->vae.latent_channels)
        return fsd_fail(err, FSD_UNSUPPORTED,
                        "the UNet takes %d channels for latents of %d: an inpainting or depth model "
                        "cannot run yet",
                        model->unet.in_channels, model->vae.latent_channels);
    if (model->unet.out_channels != model->vae.latent_channels)
        return fsd_fail(err, FSD_FORMAT, "the UNet makes %d channels for latents of %d",
                        model->unet.out_channels, model->vae.latent_channels);
    return FSD_OK;
}

fsd_status fsd_diffusers_open(fsd_diffusers *model, const char *folder, fsd_error *err)
{
    static const struct {
        const char *file;
        fsd_status (*read)(fsd_diffusers *, const fsd_json *, fsd_error *);
    } PARTS[] = {
        {"model_index.json", read_index},
        {"unet/config.json", read_unet},
        {"vae/config.json", read_vae},
        {"text_encoder/config.json", read_text},
        {"scheduler/scheduler_config.json", read_schedule},
    };

    *model = (fsd_diffusers){0};
    if (snprintf(model->folder, sizeof model->folder, "%s", folder) >= (int)sizeof model->folder)
        return fsd_fail(err, FSD_NAME_LENGTH, "%s: the path is too long", folder);
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
        fsd_json json = {0};
        fsd_status st = load(&json, model, PARTS[i].file, err);

        if (!st)
            st = PARTS[i].read(model, &json, err);
        fsd_json_clear(&json);
        if (st)
            return st;
    }
    return check_fit(model, err);
}

fsd_status fsd_diffusers_weights(const fsd_diffusers *model, const char *part, char path[FSD_PATH],
                                 fsd_error *err)
{
    const char *stem = strcmp(part, "text_encoder") == 0 ? "model" : "diffusion_pytorch_model";
    static const char *const FORMS[] = {"%s/%s/%s.safetensors", "%s/%s/%s.safetensors.index.json",
                                        "%s/%s/%s.fp16.safetensors",
                                        "%s/%s/%s.fp16.safetensors.index.json"};

    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
        if (snprintf(path, FSD_PATH, FORMS[i], model->folder, part, stem) >= FSD_PATH)
            return fsd_fail(err, FSD_NAME_LENGTH, "%s: the path is too long", model->folder);
        if (access(path, F_OK) == 0)
            return FSD_OK;
    }
    snprintf(path, FSD_PATH, "%s/%s/%s.bin", model->folder, part,
             strcmp(part, "text_encoder") == 0 ? "pytorch_model" : stem);
    if (access(path, F_OK) == 0)
        return fsd_fail(err, FSD_UNSUPPORTED, "%s: .bin weights are not read yet", path);
    return fsd_fail(err, FSD_MISSING, "%s/%s/%s.safetensors is not there", model->folder, part, stem);
}
