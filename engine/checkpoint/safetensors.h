/* safetensors.h: the header of a .safetensors file: u64 length, JSON, then the data.
 *
 * The bytes come from strangers: every length is checked against the file before it is used, and a
 * bad one is FSD_FORMAT naming the tensor. The data itself is not looked at. */
#ifndef FSD_CHECKPOINT_SAFETENSORS_H
#define FSD_CHECKPOINT_SAFETENSORS_H

#include "engine/checkpoint/checkpoint.h"

/* Append the tensors of a header to `index`. `head` is the first `size` bytes of a file of
 * `file_size` bytes (the length and the whole JSON must be within them); `file` is the file's number
 * in the index. FSD_FORMAT, FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_safetensors_parse(fsd_index *index, int file, const void *head,
                                                size_t size, uint64_t file_size, fsd_error *err);
/* Index the file at `path`. */
FSD_MUST_CHECK fsd_status fsd_safetensors_index(fsd_index *index, const char *path, fsd_error *err);

#endif
