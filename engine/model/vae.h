/* vae.h: the autoencoder between latents and pixels (Rombach et al. 2022, arXiv:2112.10752 §3.1;
 * Esser et al. 2021). Source of the layout: diffusers' AutoencoderKL. */
#ifndef FSD_MODEL_VAE_H
#define FSD_MODEL_VAE_H

#include "engine/graph/graph.h"

enum { FSD_VAE_LEVELS = 8 };

typedef struct fsd_vae_config {
    int levels, width[FSD_VAE_LEVELS]; /* finest first: (128, 256, 512, 512) */
    int layers;                        /* residual blocks a level of the encoder; the decoder has one more */
    int latent_channels;               /* 4 */
    int groups;                        /* 32 */
    bool post_quant;                   /* a 1x1 convolution before the decoder */
    double scaling;                    /* latents of the UNet = scaling * latents of the VAE */
} fsd_vae_config;

/* The decoder: input "latents" F32 (n, h, w, latent_channels), channels first in memory, already
 * divided by `scaling`; output "pixels" F32 (n, h * 2^(levels-1), …, 3), channels first, about
 * [-1, 1]. */
void fsd_vae_decoder_build(fsd_graph *graph, fsd_weights *weights, const fsd_vae_config *config,
                           int n, int h, int w);

#endif
