/* INI files: every value comes out as it stands in its line, or the line is refused. */
#include "engine/base/ini.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static fsd_status visit(void *user, const char *section, const char *key, const char *value, int line,
                        fsd_error *err)
{
    int *last = user;

    (void)err;
    if (line <= *last || !*key || strlen(key) > 100 || strlen(section) > 100 || strchr(value, '\n'))
        abort();
    *last = line;
    return FSD_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fsd_error err;
    int line = 0;

    if (fsd_ini_parse((const char *)data, size, visit, &line, &err) && !err.msg[0])
        abort(); /* a refusal without a sentence */
    return 0;
}
