/* prompt_name.h: a file name in out/ read as a prompt with options.
 *
 *     a red fox --seed 7 --steps 30 --size 512x768 --cfg 6 --sampler dpmpp_2m --no blurry.png
 *
 * Which names are orders at all is decided first, for desktops, players and sync tools probe for
 * names like ".hidden", "folder.png" or "x.png.part": reference rules in prompt_name.c. */
#ifndef FSD_FS_PROMPT_NAME_H
#define FSD_FS_PROMPT_NAME_H

#include "engine/engine.h"

#include <stdbool.h>

/* Could this name be an order for a picture? (ends in ".png", plausible, valid UTF-8, ≤ 255 bytes.)
 * A false one is ENOENT, cached by the kernel. `too_long` tells a prompt over 255 bytes apart
 * (ENAMETOOLONG). */
bool fsd_prompt_name_plausible(const char *name, bool *too_long);

/* The prompt and options of `name` on top of what `s` says already. FSD_INVALID or FSD_UNSUPPORTED
 * with a sentence naming the word, the nearest known one and what is allowed. */
FSD_MUST_CHECK fsd_status fsd_prompt_name_parse(fsd_settings *s, const char *name, fsd_error *err);

#endif
