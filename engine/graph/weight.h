/* weight.h: a parameter of a network as one thing, from the bytes in a file to what a kernel eats.
 *
 * A weight knows where its numbers come from (one or more tensors of an index, stacked), what it is
 * used for, and in which state it is: mapped (costs nothing), or packed for a backend in a
 * precision. It is packed when a record first needs it, so that the first step of a picture starts
 * at once, and its source pages are let go of then. Giving memory back is the same step in the
 * other direction. LoRA sums, quantised forms and training become further states here; records,
 * plans and models never know. */
#ifndef FSD_GRAPH_WEIGHT_H
#define FSD_GRAPH_WEIGHT_H

#include "engine/checkpoint/checkpoint.h"
#include "kernels/backend.h"

#include <stddef.h>

typedef struct fsd_weights fsd_weights; /* the parameters of one network on one backend */

typedef struct fsd_weight {
    const char *name; /* of its first tensor */
    fsd_pack_use use;
    int64_t dim[4], split;
    int parts;
    const fsd_tensor_entry *part[FSD_PACK_PARTS];
    fsd_packed *packed[2]; /* for fp32 and for bf16 activations; NULL until first used */
    fsd_weights *owner;
    struct fsd_weight *next;
} fsd_weight;

/* Map the files of `index`, which is taken over, also on failure. `label` ("unet/…") begins every
 * sentence. FSD_MISSING, FSD_IO, FSD_FORMAT if a file is shorter than its index says, FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_weights_open(fsd_weights **out, const char *label, fsd_index *index,
                                           fsd_backend *backend, fsd_error *err);
void fsd_weights_close(fsd_weights *weights); /* NULL is fine */

const fsd_index *fsd_weights_index(const fsd_weights *weights);
fsd_backend *fsd_weights_backend(const fsd_weights *weights);

/* The weight made of these tensors, stacked along the first axis; the same one each time. `dim` is
 * what the network expects: a tensor of another shape is FSD_FORMAT with both shapes in the
 * sentence, a missing one FSD_FORMAT too. 1x1 convolutions pass for matrices and back, as files in
 * the wild carry either. Dims of 0 in dim[0] are taken from the files. */
FSD_MUST_CHECK fsd_status fsd_weights_get(fsd_weights *weights, fsd_weight **out, fsd_pack_use use,
                                          const int64_t dim[4], int64_t split,
                                          const char *const *names, int parts, fsd_error *err);

/* The packed form for activations of this type; packs it if need be. */
FSD_MUST_CHECK fsd_status fsd_weight_pack(fsd_weight *weight, fsd_dtype activations,
                                          fsd_packed **out, fsd_error *err);
/* Bytes the packed form takes (0: borrowed from the file). */
size_t fsd_weight_bytes(const fsd_weight *weight, fsd_dtype activations);

/* Bytes of packed forms that exist now, and give all of them back. Nothing may be running. */
size_t fsd_weights_resident(const fsd_weights *weights);
void fsd_weights_release(fsd_weights *weights);

#endif
