/* png.h: our PNG, whose size is a function of its width and height alone.
 *
 * A picture in out/ must have its exact size before it is made (stat, rsync, tar and mmap readers
 * believe st_size), so nothing in it may depend on its content: the deflate stream is stored, the
 * text sits in one slot of FSD_PNG_TEXT bytes, and a private padding chunk ("fsPd", safe to copy)
 * fills what the text leaves. Layout: signature, IHDR (8-bit RGB), text, fsPd, IDAT, IEND.
 *   tEXt "parameters" when the text is Latin-1, iTXt when it is not, as AUTOMATIC1111 writes it;
 *   a text too long for the slot is cut at a character, and the cut is reported. */
#ifndef FSD_IMAGE_PNG_H
#define FSD_IMAGE_PNG_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FSD_PNG_TEXT = 8192,     /* bytes of text chunk data and padding together */
    FSD_PNG_MAX_SIDE = 16384 /* so that a size never overflows */
};

/* Bytes of the file; 0 if a side is not in [1, FSD_PNG_MAX_SIDE]. */
uint64_t fsd_png_size(int width, int height);

/* Write rgb (height, width, 3) with the UTF-8 `parameters` to the open descriptor `fd` from its
 * present position. *cut (may be NULL) tells whether the text was cut.
 * FSD_INVALID, FSD_NO_SPACE, FSD_IO. */
FSD_MUST_CHECK fsd_status fsd_png_write(int fd, const uint8_t *rgb, int width, int height,
                                        const char *parameters, bool *cut, fsd_error *err);

#endif
