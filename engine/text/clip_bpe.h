/* clip_bpe.h: CLIP's tokenizer: a prompt becomes the numbers of its word pieces.
 *
 * Byte-level byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909) with "</w>" at the end of a
 * word, exactly as transformers' CLIPTokenizer does it: NFC, runs of white space to one space, lower
 * case character by character (no final sigma), then words: the special tokens, 's 't 're 've 'm
 * 'll 'd, letters, one digit, or a run of anything else. What Unicode says of a character is
 * utf8proc's to know. Invalid UTF-8 is read as U+FFFD. */
#ifndef FSD_TEXT_CLIP_BPE_H
#define FSD_TEXT_CLIP_BPE_H

#include "engine/base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fsd_clip_bpe fsd_clip_bpe;

/* The tokenizer/ folder of a model: vocab.json and merges.txt, or tokenizer.json; the names of the
 * special tokens from tokenizer_config.json if that is there. *out is the caller's until
 * fsd_clip_bpe_close. FSD_MISSING, FSD_FORMAT, FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_clip_bpe_open(fsd_clip_bpe **out, const char *folder, fsd_error *err);
void fsd_clip_bpe_close(fsd_clip_bpe *bpe); /* NULL is fine */

/* All tokens of a text, without the marks of its beginning and end. *ids is the caller's (fsd_free),
 * never NULL on success. FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_clip_bpe_encode(const fsd_clip_bpe *bpe, const char *text, size_t length,
                                              int32_t **ids, size_t *count, fsd_error *err);
/* Exactly `size` numbers: the beginning, up to size - 2 tokens, the end, and padding. *cut (may be
 * NULL) is how many tokens did not fit. FSD_NO_MEMORY. */
FSD_MUST_CHECK fsd_status fsd_clip_bpe_chunk(const fsd_clip_bpe *bpe, const char *text, size_t length,
                                             int32_t *ids, size_t size, size_t *cut, fsd_error *err);

size_t fsd_clip_bpe_words(const fsd_clip_bpe *bpe);
int32_t fsd_clip_bpe_bos(const fsd_clip_bpe *bpe);
int32_t fsd_clip_bpe_eos(const fsd_clip_bpe *bpe);
int32_t fsd_clip_bpe_pad(const fsd_clip_bpe *bpe);

#endif
