#include "engine/base/str.h"

#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>

/* Room for `more` bytes and a NUL. */
static bool reserve(fsd_str *str, size_t more)
{
    size_t capacity = str->capacity ? str->capacity : 64;
    char *grown;

    if (str->failed)
        return false;
    while (capacity - str->length <= more && capacity < ((size_t)1 << 40))
        capacity *= 2;
    if (capacity == str->capacity)
        return true;
    grown = capacity - str->length > more ? fsd_grow(str->text, capacity) : NULL;
    if (!grown) {
        str->failed = true;
        return false;
    }
    str->text = grown;
    str->capacity = capacity;
    return true;
}

void fsd_str_add_bytes(fsd_str *str, const char *text, size_t length)
{
    if (!reserve(str, length))
        return;
    memcpy(str->text + str->length, text, length);
    str->length += length;
    str->text[str->length] = '\0';
}

void fsd_str_add(fsd_str *str, const char *text)
{
    fsd_str_add_bytes(str, text, strlen(text));
}

void fsd_str_printf(fsd_str *str, const char *fmt, ...)
{
    va_list args, again;
    int length;

    va_start(args, fmt);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (length < 0)
        str->failed = true;
    else if (reserve(str, (size_t)length))
        str->length += (size_t)vsnprintf(str->text + str->length, (size_t)length + 1, fmt, again);
    va_end(again);
}

char *fsd_str_take(fsd_str *str)
{
    char *text;

    fsd_str_add_bytes(str, "", 0); /* so that an empty string is one */
    text = str->failed ? NULL : str->text;
    if (!text)
        fsd_free(str->text);
    *str = (fsd_str){0};
    return text;
}

void fsd_str_clear(fsd_str *str)
{
    fsd_free(str->text);
    *str = (fsd_str){0};
}
