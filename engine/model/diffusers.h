/* diffusers.h: a diffusers folder understood: which family, which sizes, which files.
 *
 *     model_index.json  unet/ vae/ text_encoder/ (config.json and weights)  tokenizer/  scheduler/
 *
 * Configurations say what a network is; the weights' names and shapes are checked against them when
 * it is built. Whatever a configuration asks that we do not do is refused with the key in the
 * sentence, for a model that runs but draws something else is worse than one that does not run. */
#ifndef FSD_MODEL_DIFFUSERS_H
#define FSD_MODEL_DIFFUSERS_H

#include "engine/checkpoint/checkpoint.h"
#include "engine/model/clip_text.h"
#include "engine/model/unet.h"
#include "engine/model/vae.h"
#include "engine/sample/schedule.h"

enum { FSD_PATH = 4096 };

typedef struct fsd_diffusers {
    char folder[FSD_PATH];
    char family[16];         /* "sd1": a row of family.h */
    int sample_size;         /* latent side the UNet was trained at; 64 for SD 1.x */
    fsd_unet_config unet;
    fsd_vae_config vae;
    fsd_clip_text_config text;
    fsd_schedule_config schedule;
    char scheduler_class[64];       /* "PNDMScheduler" */
    char sampler[16], spacing[16];  /* what of ours that is: "ddim", "leading" */
    char sampler_note[160];         /* why another one stands in, or "" */
} fsd_diffusers;

/* Read the configurations. FSD_MISSING (which file), FSD_FORMAT (file and key), FSD_UNSUPPORTED (a
 * family or a setting that cannot run yet), FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_diffusers_open(fsd_diffusers *model, const char *folder, fsd_error *err);

/* The weight file of a part ("unet", "vae", "text_encoder"): safetensors, fp16 variant or shards,
 * whichever is there. FSD_MISSING naming what was looked for; FSD_UNSUPPORTED for a .bin. */
FSD_MUST_CHECK fsd_status fsd_diffusers_weights(const fsd_diffusers *model, const char *part,
                                                char path[FSD_PATH], fsd_error *err);

#endif
