/* clip_text.h: CLIP's text model (Radford et al. 2021, arXiv:2103.00020): the prompt's states.
 *
 * Token plus position embedding, pre-norm transformer layers with a causal mask, final layer norm.
 * Source of the layout: transformers' CLIPTextModel. */
#ifndef FSD_MODEL_CLIP_TEXT_H
#define FSD_MODEL_CLIP_TEXT_H

#include "engine/graph/graph.h"

typedef struct fsd_clip_text_config {
    int width, layers, heads, mlp, tokens; /* 768, 12, 12, 3072, 77 */
    fsd_act act;                           /* QUICK_GELU (CLIP-L) or GELU */
    double eps;                            /* 1e-5 */
} fsd_clip_text_config;

/* Append the network: input "ids" I32 (n, 1, tokens, 1), output "states" (n, 1, tokens, width) of
 * the last layer after the final norm. Weights with or without the "text_model." prefix. Failures
 * mark the graph. */
void fsd_clip_text_build(fsd_graph *graph, fsd_weights *weights, const fsd_clip_text_config *config,
                         int n);

#endif
