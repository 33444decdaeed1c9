/* unet.h: Stable Diffusion's UNet (Rombach et al. 2022, arXiv:2112.10752 §3.3, after Ho et al. 2020):
 * predicts the noise in a latent at a timestep, given the prompt's states.
 *
 * Any number of levels, widths, heads and groups; SD 1.x is (320, 640, 1280, 1280), 8 heads, 32
 * groups, context 768. Source of the layout: diffusers' UNet2DConditionModel. */
#ifndef FSD_MODEL_UNET_H
#define FSD_MODEL_UNET_H

#include "engine/graph/graph.h"

enum { FSD_UNET_LEVELS = 8 };

typedef struct fsd_unet_config {
    int in_channels, out_channels;
    int levels;
    int width[FSD_UNET_LEVELS];           /* finest level first */
    int heads[FSD_UNET_LEVELS];           /* their number, not their size */
    bool down_attends[FSD_UNET_LEVELS];   /* cross attention in down block i … */
    bool up_attends[FSD_UNET_LEVELS];     /* … and in up block i, coarsest first, as diffusers counts */
    int layers;                           /* residual blocks a down block; an up block has one more */
    int context;                          /* width of the prompt's states */
    int groups;                           /* of all group norms */
    double eps;                           /* of the residual blocks' norms; the transformers' is 1e-6 */
} fsd_unet_config;

/* Append the network. Inputs: "latents" F32 (n / repeat, h, w, in_channels), channels first in
 * memory, seen `repeat` times (2 for classifier-free guidance); "timesteps" F32 (steps, 1, 1, 1);
 * "context" (n, 1, tokens, context). Output "prediction" F32 (n, h, w, out_channels), channels
 * first. h and w need not be even: the upsampler cuts to the skip, as diffusers does. */
void fsd_unet_build(fsd_graph *graph, fsd_weights *weights, const fsd_unet_config *config, int n,
                    int repeat, int h, int w, int tokens, int steps);

#endif
