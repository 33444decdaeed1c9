/* Headers of .safetensors files: whatever the bytes, an index keeps its promises or is not made. */
#include "engine/checkpoint/safetensors.h"

#include "engine/base/mem.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fsd_index *index = fsd_alloc(sizeof *index);
    fsd_error err;

    if (index && !fsd_safetensors_parse(index, 0, data, size, size, &err) && !fsd_index_seal(index, &err)) {
        for (size_t i = 0; i < index->count; i++) {
            const fsd_tensor_entry *entry = &index->entry[i];
            uint64_t count = fsd_dtype_size(entry->dtype);

            for (int axis = 0; axis < entry->rank; axis++)
                count *= (uint64_t)entry->dim[axis];
            if (entry->size != count || entry->offset > size || entry->size > size - entry->offset)
                abort();
        }
    }
    fsd_index_free(index);
    return 0;
}
