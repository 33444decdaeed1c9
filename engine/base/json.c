#include "engine/base/json.h"

#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* jansson tells a lack of memory from a syntax error only now and then; its allocator is ours, so
 * we know. */
static _Thread_local bool starved;

static void *counted_alloc(size_t size)
{
    void *block = fsd_alloc(size);

    if (!block)
        starved = true;
    return block;
}

static void use_our_memory(void)
{
    json_set_alloc_funcs(counted_alloc, fsd_free);
}

fsd_status fsd_json_parse(fsd_json *json, const char *name, const void *text, size_t size,
                          fsd_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    json_error_t error;

    pthread_once(&once, use_our_memory);
    snprintf(json->name, sizeof json->name, "%s", name);
    starved = false;
    json->value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (json->value)
        return FSD_OK;
    if (starved)
        return fsd_fail(err, FSD_NO_MEMORY, "%s: no memory to parse it", name);
    return fsd_fail(err, FSD_FORMAT, "%s: line %d, column %d: %s", name, error.line, error.column,
                    error.text);
}

/* The whole file in memory. It may change under us: what counts is what was read. */
static fsd_status read_file(int fd, const char *name, size_t limit, char **text, size_t *size,
                            fsd_error *err)
{
    struct stat info;
    ssize_t got;

    if (fstat(fd, &info))
        return fsd_fail_errno(err, "%s", name);
    if (!S_ISREG(info.st_mode))
        return fsd_fail(err, FSD_FORMAT, "%s: not a regular file", name);
    if ((uintmax_t)info.st_size > limit)
        return fsd_fail(err, FSD_FORMAT, "%s: %jd bytes are more than the %zu allowed", name,
                        (intmax_t)info.st_size, limit);
    *text = fsd_alloc((size_t)info.st_size);
    if (!*text)
        return fsd_fail(err, FSD_NO_MEMORY, "%s: no memory for its %jd bytes", name,
                        (intmax_t)info.st_size);
    for (*size = 0; *size < (size_t)info.st_size; *size += (size_t)got) {
        got = read(fd, *text + *size, (size_t)info.st_size - *size);
        if (got < 0 && errno == EINTR)
            got = 0;
        else if (got < 0)
            return fsd_fail_errno(err, "%s", name);
        else if (got == 0)
            break;
    }
    return FSD_OK;
}

fsd_status fsd_json_load(fsd_json *json, const char *path, const char *name, size_t limit,
                         fsd_error *err)
{
    /* O_NONBLOCK: a FIFO in a model folder must not hold us up before fstat refuses it. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = NULL;
    size_t size = 0;
    fsd_status st;

    *json = (fsd_json){0};
    if (!name)
        name = path;
    if (fd < 0)
        return fsd_fail_errno(err, "%s", name);
    st = read_file(fd, name, limit, &text, &size, err);
    close(fd);
    if (!st)
        st = fsd_json_parse(json, name, text, size, err);
    fsd_free(text);
    return st;
}

void fsd_json_clear(fsd_json *json)
{
    json_decref(json->value);
    json->value = NULL;
}

/* The value under `key`; NULL with FSD_OK where it is missing or null. */
static fsd_status find(const fsd_json *json, const char *key, const json_t **found, fsd_error *err)
{
    if (!json_is_object(json->value))
        return fsd_fail(err, FSD_FORMAT, "%s: an object is needed", json->name);
    *found = json_object_get(json->value, key);
    if (json_is_null(*found))
        *found = NULL;
    return FSD_OK;
}

static fsd_status wrong(const fsd_json *json, const char *key, const char *needed, fsd_error *err)
{
    return fsd_fail(err, FSD_FORMAT, "%s: %s: %s is needed", json->name, key, needed);
}

bool fsd_json_has(const fsd_json *json, const char *key)
{
    const json_t *found = NULL;

    return !find(json, key, &found, NULL) && found;
}

fsd_status fsd_json_need(const fsd_json *json, const char *key, fsd_error *err)
{
    const json_t *found = NULL;
    fsd_status st = find(json, key, &found, err);

    if (!st && !found)
        st = fsd_fail(err, FSD_FORMAT, "%s: %s is not there, and is needed", json->name, key);
    return st;
}

fsd_status fsd_json_object(const fsd_json *json, const char *key, fsd_json *child, fsd_error *err)
{
    const json_t *found = NULL;
    const fsd_status st = find(json, key, &found, err);

    *child = (fsd_json){0};
    if (st || !found)
        return st;
    if (!json_is_object(found))
        return wrong(json, key, "an object", err);
    child->value = json_object_get(json->value, key); /* `found` without its const */
    snprintf(child->name, sizeof child->name, "%s: %s", json->name, key);
    return FSD_OK;
}

fsd_status fsd_json_string(const fsd_json *json, const char *key, const char **value,
                           fsd_error *err)
{
    const json_t *found = NULL;
    const fsd_status st = find(json, key, &found, err);

    if (st || !found)
        return st;
    if (!json_is_string(found))
        return wrong(json, key, "a text in quotes", err);
    *value = json_string_value(found);
    return FSD_OK;
}

static fsd_status int_of(const fsd_json *json, const char *key, const json_t *found, int low,
                         int high, int *value, fsd_error *err)
{
    const json_int_t number = json_integer_value(found);

    if (number < low || number > high)
        return fsd_fail(err, FSD_FORMAT,
                        "%s: %s: %" JSON_INTEGER_FORMAT " is not between %d and %d", json->name,
                        key, number, low, high);
    *value = (int)number;
    return FSD_OK;
}

fsd_status fsd_json_int(const fsd_json *json, const char *key, int low, int high, int *value,
                        fsd_error *err)
{
    const json_t *found = NULL;
    const fsd_status st = find(json, key, &found, err);

    if (st || !found)
        return st;
    if (!json_is_integer(found))
        return wrong(json, key, "a whole number", err);
    return int_of(json, key, found, low, high, value, err);
}

fsd_status fsd_json_double(const fsd_json *json, const char *key, double *value, fsd_error *err)
{
    const json_t *found = NULL;
    const fsd_status st = find(json, key, &found, err);

    if (st || !found)
        return st;
    if (!json_is_number(found))
        return wrong(json, key, "a number", err);
    *value = json_number_value(found);
    return FSD_OK;
}

fsd_status fsd_json_bool(const fsd_json *json, const char *key, bool *value, fsd_error *err)
{
    const json_t *found = NULL;
    const fsd_status st = find(json, key, &found, err);

    if (st || !found)
        return st;
    if (!json_is_boolean(found))
        return wrong(json, key, "true or false", err);
    *value = json_is_true(found);
    return FSD_OK;
}

/* How many entries the list under `key` has; a lone value is a list of one, a missing key of 0. */
static fsd_status list_length(const fsd_json *json, const char *key, size_t capacity,
                              const json_t **found, size_t *length, fsd_error *err)
{
    const fsd_status st = find(json, key, found, err);

    *length = 0;
    if (st || !*found)
        return st;
    *length = json_is_array(*found) ? json_array_size(*found) : 1;
    if (*length == 0 || *length > capacity)
        return fsd_fail(err, FSD_FORMAT, "%s: %s: a list of 1 to %zu entries is needed, not %zu",
                        json->name, key, capacity, *length);
    return FSD_OK;
}

static const json_t *list_entry(const json_t *list, size_t i)
{
    return json_is_array(list) ? json_array_get(list, i) : list;
}

fsd_status fsd_json_ints(const fsd_json *json, const char *key, int low, int high, int *values,
                         size_t capacity, size_t *count, fsd_error *err)
{
    const json_t *list = NULL;
    size_t length;
    fsd_status st = list_length(json, key, capacity, &list, &length, err);

    for (size_t i = 0; !st && i < length; i++) {
        const json_t *entry = list_entry(list, i);

        if (!json_is_integer(entry))
            return wrong(json, key, "a list of whole numbers", err);
        st = int_of(json, key, entry, low, high, &values[i], err);
    }
    if (!st && length)
        *count = length;
    return st;
}

fsd_status fsd_json_strings(const fsd_json *json, const char *key, const char **values,
                            size_t capacity, size_t *count, fsd_error *err)
{
    const json_t *list = NULL;
    size_t length;
    const fsd_status st = list_length(json, key, capacity, &list, &length, err);

    if (st || !length)
        return st;
    for (size_t i = 0; i < length; i++) {
        const json_t *entry = list_entry(list, i);

        if (!json_is_string(entry))
            return wrong(json, key, "a list of texts in quotes", err);
        values[i] = json_string_value(entry);
    }
    *count = length;
    return FSD_OK;
}
