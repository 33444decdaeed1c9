/* json.h: the configuration files that come with models, read with types, ranges and good errors.
 *
 * jansson does the parsing; this layer bounds it (size, depth, strict UTF-8, no key twice, nothing
 * after the document) and turns every surprise into a sentence naming file, key and what is needed:
 * "unet/config.json: block_out_channels: a list of whole numbers is needed". Its memory is
 * fsd_alloc's.
 *
 * A getter's value is the default before the call and the answer after it: a key that is not there,
 * or is null (diffusers writes null for "as usual"), leaves it alone. Keys that have no default are
 * asked for with fsd_json_need first. For what the getters do not cover, such as walking a
 * vocabulary, `value` is open to jansson's own functions. */
#ifndef FSD_BASE_JSON_H
#define FSD_BASE_JSON_H

#include "engine/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct fsd_json {
    json_t *value;  /* NULL once cleared */
    char name[256]; /* what errors call it: "unet/config.json", "tokenizer.json: model" */
} fsd_json;

/* Parse the file at `path`, at most `limit` bytes of it. Errors call it `name`, or `path` where
 * that is NULL. *json is the caller's until fsd_json_clear, which it takes after a failure too.
 * FSD_MISSING, FSD_FORMAT (with line and column; too long), FSD_NO_MEMORY, FSD_IO … */
FSD_MUST_CHECK fsd_status fsd_json_load(fsd_json *json, const char *path, const char *name,
                                        size_t limit, fsd_error *err);
/* The same for a document in memory. */
FSD_MUST_CHECK fsd_status fsd_json_parse(fsd_json *json, const char *name, const void *text,
                                         size_t size, fsd_error *err);
void fsd_json_clear(fsd_json *json); /* zeroed or cleared is fine */

/* Below, `json` is an object; anything else is FSD_FORMAT. */

bool fsd_json_has(const fsd_json *json, const char *key); /* there, and not null */
FSD_MUST_CHECK fsd_status fsd_json_need(const fsd_json *json, const char *key, fsd_error *err);

/* The object under `key`, borrowed: never cleared, gone with the document. {NULL} if not there. */
FSD_MUST_CHECK fsd_status fsd_json_object(const fsd_json *json, const char *key, fsd_json *child,
                                          fsd_error *err);

/* Borrowed from the document. */
FSD_MUST_CHECK fsd_status fsd_json_string(const fsd_json *json, const char *key, const char **value,
                                          fsd_error *err);
/* low <= *value <= high */
FSD_MUST_CHECK fsd_status fsd_json_int(const fsd_json *json, const char *key, int low, int high,
                                       int *value, fsd_error *err);
FSD_MUST_CHECK fsd_status fsd_json_double(const fsd_json *json, const char *key, double *value,
                                          fsd_error *err);
FSD_MUST_CHECK fsd_status fsd_json_bool(const fsd_json *json, const char *key, bool *value,
                                        fsd_error *err);
/* 1 to `capacity` entries. A lone value is a list of one: diffusers writes "attention_head_dim": 8
 * and [5, 10, 20, 20] alike. *count too is left alone where the key is not there. */
FSD_MUST_CHECK fsd_status fsd_json_ints(const fsd_json *json, const char *key, int low, int high,
                                        int *values, size_t capacity, size_t *count,
                                        fsd_error *err);
FSD_MUST_CHECK fsd_status fsd_json_strings(const fsd_json *json, const char *key,
                                           const char **values, size_t capacity, size_t *count,
                                           fsd_error *err);

#endif
