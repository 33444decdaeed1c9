/* residency.h: the models that are loaded, and what of them is in memory.
 *
 * Weights are mapped, so a model costs nothing until it draws; what it then costs are packed
 * weights. Models stay packed, so that switching between two that were used costs nothing, until
 * together they pass the limit; then the one used longest ago gives its memory back. Within a
 * picture the text encoder gives way once the prompt is encoded, if it is large. */
#ifndef FSD_PIPELINE_RESIDENCY_H
#define FSD_PIPELINE_RESIDENCY_H

#include "engine/graph/plan.h"
#include "engine/model/diffusers.h"
#include "engine/text/clip_bpe.h"

#include <sys/stat.h>

/* A graph and its plan, kept while the same shape is asked for again. */
typedef struct fsd_prepared {
    char key[96];
    fsd_graph *graph;
    fsd_plan *plan;
} fsd_prepared;

enum { FSD_PARTS = 3, FSD_TEXT_STATES = 16 };
typedef enum fsd_part { FSD_PART_TEXT, FSD_PART_UNET, FSD_PART_VAE } fsd_part;

/* The states of one prompt, kept for the next picture with the same words. */
typedef struct fsd_text_state {
    char *text; /* NULL: free slot */
    fsd_dtype dtype;
    float *states; /* (tokens, width) */
    size_t cut;    /* tokens that did not fit */
    uint64_t used;
} fsd_text_state;

typedef struct fsd_model {
    fsd_diffusers info;
    fsd_weights *weights[FSD_PARTS];
    fsd_prepared prepared[FSD_PARTS];
    fsd_clip_bpe *tokenizer;
    fsd_text_state text[FSD_TEXT_STATES];
    uint64_t text_clock;
    struct stat source[FSD_PARTS]; /* of the weight files, to notice that they were replaced */
    uint64_t used;
    struct fsd_model *next;
} fsd_model;

typedef struct fsd_residency fsd_residency;

/* `limit` bytes of packed weights of idle models; 0: half the machine's memory. */
FSD_MUST_CHECK fsd_status fsd_residency_new(fsd_residency **out, fsd_backend *backend, size_t limit,
                                            fsd_error *err);
void fsd_residency_free(fsd_residency *residency);

/* The model in this folder, opened if need be, again if its files changed. Borrowed until the next
 * call. FSD_MISSING, FSD_FORMAT, FSD_UNSUPPORTED … with the file in the sentence. */
FSD_MUST_CHECK fsd_status fsd_residency_get(fsd_residency *residency, fsd_model **out,
                                            const char *folder, fsd_error *err);

/* Open a folder without keeping it: what a probe does. */
FSD_MUST_CHECK fsd_status fsd_model_open(fsd_model **out, const char *folder, fsd_backend *backend,
                                         fsd_error *err);
void fsd_model_close(fsd_model *model); /* NULL is fine */

/* Pixels of a side for one of the latent: 8. */
int fsd_model_factor(const fsd_model *model);

/* The graph and plan of a part for a shape; borrowed until the next call for that part.
 *   TEXT  one prompt;  UNET  `batch` copies of one latent of h x w, for `steps` steps
 *   VAE   one latent of h x w */
FSD_MUST_CHECK fsd_status fsd_model_prepare(fsd_model *model, fsd_part part, fsd_dtype activations,
                                            int batch, int h, int w, int steps,
                                            const fsd_prepared **out, fsd_error *err);

/* The states of a prompt, from the cache or by running the text encoder. Borrowed until
 * FSD_TEXT_STATES other prompts were encoded. `cut` tells how many tokens did not fit. */
FSD_MUST_CHECK fsd_status fsd_model_encode(fsd_model *model, const char *text, fsd_dtype activations,
                                           const float **states, size_t *cut, fsd_error *err);

#endif
