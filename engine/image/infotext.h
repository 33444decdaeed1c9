/* infotext.h: AUTOMATIC1111's `parameters` text, which every tool of the field reads.
 *
 *     a photo of rex
 *     Negative prompt: blurry
 *     Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x512,
 *     Model hash: 0123456789, Model: rex, RNG: CPU, Version: fsdfs 0.1.0      (one line)
 *
 * The "Negative prompt" line is omitted when empty; values that hold ',' ':' or a newline are
 * JSON-quoted; numbers are written as A1111 does (7.0 is "7", 7.5 is "7.5"). */
#ifndef FSD_IMAGE_INFOTEXT_H
#define FSD_IMAGE_INFOTEXT_H

#include "engine/base/status.h"
#include "engine/pipeline/settings.h"

/* `model_name` and `model_hash` (10 hex digits of sha256) may be NULL: left out. `precision` as
 * used ("fp32", "bf16"). *out is the caller's, freed with fsd_free. FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_infotext_write(char **out, const fsd_settings *s,
                                             const char *model_name, const char *model_hash,
                                             const char *precision, fsd_error *err);

#endif
