/* Prompts of any bytes: all tokens are words of the vocabulary, and a chunk is 77 of them. */
#include "engine/text/clip_bpe.h"

#include "engine/base/mem.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fsd_clip_bpe *bpe;
    int32_t ids[77];

    if (!bpe && fsd_clip_bpe_open(&bpe, FSD_SOURCE_DIR "/packaging/models/tiny-emoji/tokenizer", NULL))
        abort();
    if (fsd_clip_bpe_chunk(bpe, (const char *)data, size < 4096 ? size : 4096, ids, 77, NULL, NULL))
        return 0;
    for (int i = 0; i < 77; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= fsd_clip_bpe_words(bpe))
            abort();
    }
    return 0;
}
