#include "fs/prompt_name.h"

#include "engine/base/mem.h"
#include "engine/base/str.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { MAX_NAME = 255, SUFFIX = 4 };

/* --- which names are orders ------------------------------------------------------------------- */

/* Length of the valid UTF-8 character at `text`, no control character; 0 if it is none. */
static size_t character(const unsigned char *text)
{
    const unsigned char c = *text;
    size_t length;
    uint32_t code;

    if (c < 0x80)
        return c >= 0x20 && c != 0x7f ? 1 : 0;
    length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    code = c & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    if (code < (length == 2 ? 0x80u : length == 3 ? 0x800u : 0x10000u) || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff) || (code >= 0x80 && code < 0xa0))
        return 0;
    return length;
}

static bool is_one_of(const char *text, size_t length, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(list[i]) == length && strncasecmp(text, list[i], length) == 0)
            return true;
    }
    return false;
}

static bool ends_with(const char *text, size_t length, const char *end)
{
    const size_t n = strlen(end);

    return length >= n && strncasecmp(text + length - n, end, n) == 0;
}

/* What players, media centres and desktops look for in every folder of pictures. */
static const char *const PROBED[] = {
    "cover", "folder", "front", "back", "album", "albumart", "albumartsmall", "artist", "fanart",
    "banner", "logo", "icon", "thumb", "thumbnail", "poster", "backdrop", "screenshot",
    "background", "favicon",
};

/* What programs put at the end of a name that is not final. */
static const char *const UNFINISHED[] = {
    ".part", ".partial", ".tmp", ".crdownload", ".download", ".filepart", ".swp", ".bak", ".orig",
    ".jpg", ".jpeg", ".webp", ".png", "~",
};

bool fsd_prompt_name_plausible(const char *name, bool *too_long)
{
    const size_t length = strlen(name);
    const size_t stem = length > SUFFIX ? length - SUFFIX : 0;
    bool says_something = false;

    *too_long = false;
    if (!stem || strcmp(name + stem, ".png") != 0 || strchr("._~#$@-% ", name[0]))
        return false;
    for (size_t i = 0; i < stem;) {
        const size_t n = character((const unsigned char *)name + i);

        if (!n)
            return false;
        says_something |= n > 1 || isalnum((unsigned char)name[i]);
        i += n;
    }
    if (!says_something || is_one_of(name, stem, PROBED, sizeof PROBED / sizeof *PROBED))
        return false;
    for (size_t i = 0; i < sizeof UNFINISHED / sizeof *UNFINISHED; i++) {
        if (ends_with(name, stem, UNFINISHED[i]))
            return false;
    }
    *too_long = length > MAX_NAME;
    return !*too_long;
}

/* --- what a name says -------------------------------------------------------------------------- */

/* Full-width forms of what a file name may not hold, and their ASCII. */
static const struct {
    const char *wide;
    char ascii;
} WIDE[] = {
    {"\xef\xbc\x8f", '/'}, {"\xef\xbc\x9a", ':'}, {"\xef\xbc\x9c", '<'}, {"\xef\xbc\x9e", '>'},
    {"\xef\xbc\x9f", '?'}, {"\xef\xbc\x82", '"'}, {"\xef\xbc\x8a", '*'}, {"\xef\xbd\x9c", '|'},
    {"\xef\xbc\xbc", '\\'},
};

/* The stem with wide forms as ASCII, and with "--" where a keyboard has made an em dash of it. */
static char *plain_stem(const char *name)
{
    const size_t stem = strlen(name) - SUFFIX;
    fsd_str out = {0};

    for (size_t i = 0; i < stem;) {
        size_t k = 0;

        while (k < sizeof WIDE / sizeof *WIDE && strncmp(name + i, WIDE[k].wide, 3) != 0)
            k++;
        if (k < sizeof WIDE / sizeof *WIDE) {
            fsd_str_add_bytes(&out, &WIDE[k].ascii, 1);
            i += 3;
        } else if (i > 0 && name[i - 1] == ' ' && strncmp(name + i, "\xe2\x80\x94", 3) == 0 &&
                   isalpha((unsigned char)name[i + 3])) {
            fsd_str_add(&out, "--");
            i += 3;
        } else {
            fsd_str_add_bytes(&out, name + i, 1);
            i++;
        }
    }
    return fsd_str_take(&out);
}

/* The next " --x" from `from` on, or the end of the text. */
static char *next_option(char *from)
{
    for (char *p = from; (p = strstr(p, " --")); p++) {
        if (isalpha((unsigned char)p[3]))
            return p;
    }
    return from + strlen(from);
}

static char *trim(char *text)
{
    size_t length;

    while (*text == ' ')
        text++;
    length = strlen(text);
    while (length && text[length - 1] == ' ')
        text[--length] = '\0';
    return text;
}

/* "word value": the word ends at the first space, or at "=" where somebody wrote --steps=30. */
static fsd_status set_option(fsd_settings *s, char *option, fsd_error *err)
{
    const size_t word = strcspn(option, " =");
    char *value = option + word;

    if (*value)
        *value++ = '\0';
    return fsd_settings_set(s, option, trim(value), err);
}

fsd_status fsd_prompt_name_parse(fsd_settings *s, const char *name, fsd_error *err)
{
    char *text, *at;
    fsd_status st;

    if (strlen(name) <= SUFFIX)
        return fsd_fail(err, FSD_INVALID, "\"%s\" is no name of a picture", name);
    text = plain_stem(name);
    if (!text)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a prompt");
    at = next_option(text);
    while (*at) { /* from the front, so that the last one of two wins */
        char *option = at + 3, *next;

        *at = '\0';
        next = next_option(option);
        at = next;
        if (*next) {
            const char keep = *next;

            *next = '\0';
            st = set_option(s, option, err);
            *next = keep;
        } else {
            st = set_option(s, option, err);
        }
        if (st) {
            fsd_free(text);
            return st;
        }
    }
    st = fsd_settings_set(s, "prompt", trim(text), err);
    fsd_free(text);
    return st;
}
