/* Names in out/: a plausible one parses, or is refused with a sentence. */
#include "fs/prompt_name.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[512];
    fsd_settings s;
    fsd_error err = {0};
    bool too_long;

    size = size < sizeof name - 5 ? size : sizeof name - 5;
    memcpy(name, data, size);
    memcpy(name + size, ".png", 5);
    if (fsd_prompt_name_plausible(name, &too_long) && !fsd_settings_init(&s, NULL)) {
        if (fsd_prompt_name_parse(&s, name, &err) && !err.msg[0])
            abort();
        fsd_settings_clear(&s);
    }
    return 0;
}
