#include "engine/text/clip_bpe.h"

#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>

enum {
    MAX_FILE = 64 << 20,
    MAX_WORDS = 1 << 20,
    NO_TOKEN = -1,
};

typedef struct word { /* of the vocabulary, by its text */
    const char *text; /* borrowed from the JSON, or from the merges */
    int32_t id;
} word;

typedef struct merge { /* two tokens that follow each other become one */
    int32_t left, right, result;
    int32_t rank; /* lower goes first; NO_TOKEN: a free slot */
} merge;

struct fsd_clip_bpe {
    fsd_json source;  /* keeps the texts of the words */
    word *words;      /* open addressing; text NULL: free */
    merge *merges;    /* likewise */
    size_t word_slots, merge_slots, count;
    int32_t byte[256], last_byte[256]; /* the token of a byte, within a word and at its end */
    int32_t bos, eos, pad;
    char bos_text[64], eos_text[64], pad_text[64];
    bool bos_any_case, eos_any_case; /* matched in the lower-cased text */
};

/* --- tables ------------------------------------------------------------------------------------ */

static size_t hash_text(const char *text, size_t length)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 29);
}

static word *word_slot(const fsd_clip_bpe *bpe, const char *text, size_t length)
{
    size_t i = hash_text(text, length) & (bpe->word_slots - 1);

    while (bpe->words[i].text &&
           (strncmp(bpe->words[i].text, text, length) != 0 || bpe->words[i].text[length]))
        i = (i + 1) & (bpe->word_slots - 1);
    return &bpe->words[i];
}

static int32_t find_word(const fsd_clip_bpe *bpe, const char *text, size_t length)
{
    const word *slot = word_slot(bpe, text, length);

    return slot->text ? slot->id : NO_TOKEN;
}

static merge *merge_slot(const fsd_clip_bpe *bpe, int32_t left, int32_t right)
{
    const uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    size_t i = (size_t)(key >> 32) & (bpe->merge_slots - 1);

    while (bpe->merges[i].rank != NO_TOKEN &&
           (bpe->merges[i].left != left || bpe->merges[i].right != right))
        i = (i + 1) & (bpe->merge_slots - 1);
    return &bpe->merges[i];
}

/* A power of two that leaves at least half of the slots free. */
static size_t slots_for(size_t count)
{
    size_t slots = 16;

    while (slots < 2 * count)
        slots *= 2;
    return slots;
}

static fsd_status make_words(fsd_clip_bpe *bpe, const fsd_json *vocab, fsd_error *err)
{
    const size_t count = json_object_size(vocab->value);
    const char *text;
    json_t *value;

    if (!count || count > MAX_WORDS)
        return fsd_fail(err, FSD_FORMAT, "%s: a vocabulary of %zu words", vocab->name, count);
    bpe->count = count;
    bpe->word_slots = slots_for(count + 64);
    bpe->words = fsd_alloc_array(bpe->word_slots, sizeof *bpe->words);
    if (!bpe->words)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for %zu words", count);
    json_object_foreach (vocab->value, text, value) {
        const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;

        if (id < 0 || id >= MAX_WORDS)
            return fsd_fail(err, FSD_FORMAT, "%s: \"%s\" has no number", vocab->name, text);
        *word_slot(bpe, text, strlen(text)) = (word){text, (int32_t)id};
    }
    return FSD_OK;
}

/* The alphabet: printable Latin-1 stands for itself, the other bytes for U+0100 on, in order. */
static fsd_status make_alphabet(fsd_clip_bpe *bpe, fsd_error *err)
{
    int other = 256;

    for (int b = 0; b < 256; b++) {
        const bool printable =
            (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
        char text[8 + 4];
        const utf8proc_ssize_t length =
            utf8proc_encode_char(printable ? b : other, (utf8proc_uint8_t *)text);

        other += !printable;
        bpe->byte[b] = find_word(bpe, text, (size_t)length);
        memcpy(text + length, "</w>", 4);
        bpe->last_byte[b] = find_word(bpe, text, (size_t)length + 4);
        if (bpe->byte[b] == NO_TOKEN)
            bpe->byte[b] = bpe->eos; /* CLIP's unknown token is its end of text */
        if (bpe->last_byte[b] == NO_TOKEN)
            bpe->last_byte[b] = bpe->eos;
    }
    return bpe->eos == NO_TOKEN ? fsd_fail(err, FSD_FORMAT, "no token ends a text") : FSD_OK;
}

static fsd_status new_merges(fsd_clip_bpe *bpe, size_t count, fsd_error *err)
{
    if (count > MAX_WORDS)
        return fsd_fail(err, FSD_FORMAT, "%zu merges are too many", count);
    bpe->merge_slots = slots_for(count);
    bpe->merges = fsd_alloc_array(bpe->merge_slots, sizeof *bpe->merges);
    if (!bpe->merges)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for %zu merges", count);
    for (size_t i = 0; i < bpe->merge_slots; i++)
        bpe->merges[i].rank = NO_TOKEN;
    return FSD_OK;
}

static fsd_status add_merge(fsd_clip_bpe *bpe, int32_t rank, const char *left, size_t left_length,
                            const char *right, size_t right_length, const char *file, fsd_error *err)
{
    char both[512];
    merge m = {.rank = rank};
    merge *slot;

    if (left_length + right_length > sizeof both)
        return fsd_fail(err, FSD_FORMAT, "%s: merge %d is too long", file, rank + 1);
    memcpy(both, left, left_length);
    memcpy(both + left_length, right, right_length);
    m.left = find_word(bpe, left, left_length);
    m.right = find_word(bpe, right, right_length);
    m.result = find_word(bpe, both, left_length + right_length);
    if (m.left == NO_TOKEN || m.right == NO_TOKEN || m.result == NO_TOKEN)
        return fsd_fail(err, FSD_FORMAT, "%s: merge %d, \"%.*s %.*s\", is not of the vocabulary", file,
                        rank + 1, (int)left_length, left, (int)right_length, right);
    slot = merge_slot(bpe, m.left, m.right);
    if (slot->rank == NO_TOKEN)
        *slot = m;
    return FSD_OK;
}

/* --- files ------------------------------------------------------------------------------------- */

static fsd_status read_file(const char *path, const char *name, char **out, size_t *size,
                            fsd_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    fsd_status st = FSD_OK;

    *out = NULL;
    if (fd < 0)
        return fsd_fail_errno(err, "%s", name);
    if (fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_size > MAX_FILE)
        st = fsd_fail(err, FSD_FORMAT, "%s: not a file of at most %d bytes", name, MAX_FILE);
    else if (!(*out = fsd_alloc((size_t)info.st_size + 1)))
        st = fsd_fail(err, FSD_NO_MEMORY, "%s: no memory for it", name);
    *size = 0;
    while (!st && *size < (size_t)info.st_size) {
        const ssize_t got = read(fd, *out + *size, (size_t)info.st_size - *size);

        if (got < 0)
            st = fsd_fail_errno(err, "%s", name);
        if (got <= 0)
            break;
        *size += (size_t)got;
    }
    close(fd);
    if (st) {
        fsd_free(*out);
        *out = NULL;
    }
    return st;
}

/* merges.txt: a first line "#version: …", then "left right" a line. */
static fsd_status parse_merges(fsd_clip_bpe *bpe, const char *text, size_t size, fsd_error *err)
{
    const char *const end = text + size;
    size_t lines = 0;
    int32_t rank = 0;
    fsd_status st;

    for (const char *p = text; p < end; p++)
        lines += *p == '\n';
    st = new_merges(bpe, lines + 1, err);
    for (const char *line = text; line < end && !st;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const char *next = stop ? stop + 1 : end, *space;
        size_t length = (size_t)((stop ? stop : end) - line);

        if (length && line[length - 1] == '\r')
            length--;
        space = memchr(line, ' ', length);
        if (space)
            space = line == text && strncmp(line, "#version", 8) == 0 ? NULL : space;
        else if (length)
            st = fsd_fail(err, FSD_FORMAT, "merges.txt: line \"%.*s\" is not a pair",
                          (int)(length < 40 ? length : 40), line);
        if (space && !st)
            st = add_merge(bpe, rank++, line, (size_t)(space - line), space + 1,
                           length - (size_t)(space + 1 - line), "merges.txt", err);
        line = next;
    }
    return st;
}

/* tokenizer.json: model.merges is a list of "left right" or of [left, right]. */
static fsd_status list_merges(fsd_clip_bpe *bpe, const fsd_json *model, fsd_error *err)
{
    const json_t *list = json_object_get(model->value, "merges"), *item;
    fsd_status st = new_merges(bpe, json_array_size(list), err);
    size_t i;

    if (!json_is_array(list))
        return fsd_fail(err, FSD_FORMAT, "%s: no merges", model->name);
    json_array_foreach (list, i, item) {
        const char *left = json_string_value(json_is_array(item) ? json_array_get(item, 0) : item);
        const char *right = json_string_value(json_array_get(item, 1));
        size_t length = left ? strlen(left) : 0;

        if (st)
            break;
        if (left && !json_is_array(item)) {
            const char *space = strchr(left, ' ');

            length = space ? (size_t)(space - left) : 0;
            right = space ? space + 1 : NULL;
        }
        st = left && right ? add_merge(bpe, (int32_t)i, left, length, right, strlen(right),
                                       "tokenizer.json", err)
                           : fsd_fail(err, FSD_FORMAT, "%s: merge %zu is not a pair", model->name, i + 1);
    }
    return st;
}

/* A special token is a string, or an object that has it as "content" and may be "normalized": then it
 * is looked for in the lower-cased text. */
static fsd_status read_special(const fsd_json *config, const char *key, char *to, size_t size,
                               bool *any_case, fsd_error *err)
{
    const json_t *value = json_object_get(config->value, key);
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);

    if (!value || json_is_null(value))
        return FSD_OK;
    if (!text || !*text || strlen(text) >= size)
        return fsd_fail(err, FSD_FORMAT, "%s: %s is no token", config->name, key);
    snprintf(to, size, "%s", text);
    *any_case = json_is_true(json_object_get(value, "normalized"));
    return FSD_OK;
}

static fsd_status read_config(fsd_clip_bpe *bpe, const char *folder, fsd_error *err)
{
    fsd_json config = {0};
    bool pad_any_case = false;
    char path[4096];
    fsd_status st;

    snprintf(bpe->bos_text, sizeof bpe->bos_text, "<|startoftext|>");
    snprintf(bpe->eos_text, sizeof bpe->eos_text, "<|endoftext|>");
    snprintf(bpe->pad_text, sizeof bpe->pad_text, "<|endoftext|>");
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    st = fsd_json_load(&config, path, "tokenizer/tokenizer_config.json", MAX_FILE, err);
    if (st == FSD_MISSING)
        st = FSD_OK;
    if (!st && config.value)
        st = read_special(&config, "bos_token", bpe->bos_text, sizeof bpe->bos_text, &bpe->bos_any_case,
                          err);
    if (!st && config.value)
        st = read_special(&config, "eos_token", bpe->eos_text, sizeof bpe->eos_text, &bpe->eos_any_case,
                          err);
    if (!st && config.value)
        st = read_special(&config, "pad_token", bpe->pad_text, sizeof bpe->pad_text, &pad_any_case, err);
    if (strcmp(bpe->pad_text, bpe->eos_text) == 0)
        bpe->eos_any_case &= pad_any_case; /* one token, said twice: the last word counts */
    fsd_json_clear(&config);
    return st;
}

static fsd_status find_specials(fsd_clip_bpe *bpe, fsd_error *err)
{
    bpe->bos = find_word(bpe, bpe->bos_text, strlen(bpe->bos_text));
    bpe->eos = find_word(bpe, bpe->eos_text, strlen(bpe->eos_text));
    bpe->pad = find_word(bpe, bpe->pad_text, strlen(bpe->pad_text));
    if (bpe->bos == NO_TOKEN || bpe->eos == NO_TOKEN || bpe->pad == NO_TOKEN)
        return fsd_fail(err, FSD_FORMAT, "its vocabulary lacks %s",
                        bpe->bos == NO_TOKEN   ? bpe->bos_text
                        : bpe->eos == NO_TOKEN ? bpe->eos_text
                                               : bpe->pad_text);
    return make_alphabet(bpe, err);
}

static fsd_status open_two_files(fsd_clip_bpe *bpe, const char *folder, const char *vocab,
                                 fsd_error *err)
{
    char path[4096], *text = NULL;
    size_t size = 0;
    fsd_status st = fsd_json_load(&bpe->source, vocab, "tokenizer/vocab.json", MAX_FILE, err);

    if (!st)
        st = make_words(bpe, &bpe->source, err);
    if (!st)
        st = find_specials(bpe, err);
    snprintf(path, sizeof path, "%s/merges.txt", folder);
    if (!st)
        st = read_file(path, "tokenizer/merges.txt", &text, &size, err);
    if (!st)
        st = parse_merges(bpe, text, size, err);
    fsd_free(text);
    return st;
}

static fsd_status open_one_file(fsd_clip_bpe *bpe, const char *path, fsd_error *err)
{
    fsd_json model, vocab;
    fsd_status st = fsd_json_load(&bpe->source, path, "tokenizer/tokenizer.json", MAX_FILE, err);

    if (!st)
        st = fsd_json_need(&bpe->source, "model", err);
    if (!st)
        st = fsd_json_object(&bpe->source, "model", &model, err);
    if (!st)
        st = fsd_json_need(&model, "vocab", err);
    if (!st)
        st = fsd_json_object(&model, "vocab", &vocab, err);
    if (!st)
        st = make_words(bpe, &vocab, err);
    if (!st)
        st = find_specials(bpe, err);
    return st ? st : list_merges(bpe, &model, err);
}

fsd_status fsd_clip_bpe_open(fsd_clip_bpe **out, const char *folder, fsd_error *err)
{
    fsd_clip_bpe *bpe = fsd_alloc(sizeof *bpe);
    char vocab[4096], whole[4096];
    fsd_status st;

    *out = NULL;
    if (!bpe)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a tokenizer");
    if (snprintf(vocab, sizeof vocab, "%s/vocab.json", folder) >= (int)sizeof vocab ||
        snprintf(whole, sizeof whole, "%s/tokenizer.json", folder) >= (int)sizeof whole) {
        fsd_free(bpe);
        return fsd_fail(err, FSD_NAME_LENGTH, "%s: the path is too long", folder);
    }
    st = read_config(bpe, folder, err);
    if (!st)
        st = access(vocab, F_OK) != 0 && access(whole, F_OK) == 0
                 ? open_one_file(bpe, whole, err)
                 : open_two_files(bpe, folder, vocab, err);
    if (st) {
        fsd_clip_bpe_close(bpe);
        return fsd_wrap(err, st, "tokenizer");
    }
    *out = bpe;
    return FSD_OK;
}

void fsd_clip_bpe_close(fsd_clip_bpe *bpe)
{
    if (!bpe)
        return;
    fsd_json_clear(&bpe->source);
    fsd_free(bpe->words);
    fsd_free(bpe->merges);
    fsd_free(bpe);
}

size_t fsd_clip_bpe_words(const fsd_clip_bpe *bpe)
{
    return bpe->count;
}

int32_t fsd_clip_bpe_bos(const fsd_clip_bpe *bpe)
{
    return bpe->bos;
}

int32_t fsd_clip_bpe_eos(const fsd_clip_bpe *bpe)
{
    return bpe->eos;
}

int32_t fsd_clip_bpe_pad(const fsd_clip_bpe *bpe)
{
    return bpe->pad;
}

/* --- text -------------------------------------------------------------------------------------- */

typedef struct tokens {
    int32_t *id;
    size_t count, capacity;
} tokens;

static bool add_token(tokens *t, int32_t id)
{
    if (t->count == t->capacity) {
        const size_t capacity = t->capacity ? 2 * t->capacity : 128;
        int32_t *grown = fsd_grow(t->id, capacity * sizeof *grown);

        if (!grown)
            return false;
        t->id = grown;
        t->capacity = capacity;
    }
    t->id[t->count++] = id;
    return true;
}

typedef enum class { SPACE, LETTER, DIGIT, OTHER } class;

static class classify(int32_t c)
{
    static const int32_t SPACES[] = {0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000};

    if ((c >= 9 && c <= 13) || c == ' ' || (c >= 0x2000 && c <= 0x200a))
        return SPACE;
    for (size_t i = 0; i < sizeof SPACES / sizeof *SPACES; i++) {
        if (c == SPACES[i])
            return SPACE;
    }
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return DIGIT;
    default:
        return OTHER;
    }
}

/* Merge the lowest-ranked pair, everywhere in the word, until there is none. */
static size_t merge_word(const fsd_clip_bpe *bpe, int32_t *id, size_t count)
{
    for (;;) {
        merge best = {.rank = NO_TOKEN};
        size_t kept = 0;

        for (size_t i = 0; i + 1 < count; i++) {
            const merge *m = merge_slot(bpe, id[i], id[i + 1]);

            if (m->rank != NO_TOKEN && (best.rank == NO_TOKEN || m->rank < best.rank))
                best = *m;
        }
        if (best.rank == NO_TOKEN)
            return count;
        for (size_t i = 0; i < count; i++) {
            if (i + 1 < count && id[i] == best.left && id[i + 1] == best.right) {
                id[kept++] = best.result;
                i++;
            } else {
                id[kept++] = id[i];
            }
        }
        count = kept;
    }
}

static bool add_word(const fsd_clip_bpe *bpe, tokens *t, const char *text, size_t length)
{
    const size_t first = t->count;

    for (size_t i = 0; i < length; i++) {
        const unsigned char b = (unsigned char)text[i];

        if (!add_token(t, i + 1 < length ? bpe->byte[b] : bpe->last_byte[b]))
            return false;
    }
    t->count = first + merge_word(bpe, t->id + first, t->count - first);
    return true;
}

static bool starts_with(const char *text, size_t length, const char *start)
{
    const size_t n = strlen(start);

    return length >= n && memcmp(text, start, n) == 0;
}

static bool is_special(const char *text, size_t length, const char *token, bool any_case)
{
    const size_t n = strlen(token);

    return any_case ? length >= n && strncasecmp(text, token, n) == 0 : starts_with(text, length, token);
}

/* The length of the character at `text`, and its class. The text is valid UTF-8 here. */
static size_t look(const char *text, size_t length, class *kind)
{
    utf8proc_int32_t c;
    const utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &c);

    *kind = n > 0 ? classify(c) : OTHER;
    return n > 0 ? (size_t)n : 1;
}

static size_t run_of(const char *text, size_t length, class wanted)
{
    size_t used = 0;

    while (used < length) {
        class kind;
        const size_t n = look(text + used, length - used, &kind);

        if (kind != wanted)
            break;
        used += n;
    }
    return used;
}

/* The next word at `text`, which does not start with a space. */
static size_t word_length(const char *text, size_t length)
{
    static const char *const ENDINGS[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    class kind;
    size_t n;

    for (size_t i = 0; i < sizeof ENDINGS / sizeof *ENDINGS; i++) {
        if (starts_with(text, length, ENDINGS[i]))
            return strlen(ENDINGS[i]);
    }
    n = look(text, length, &kind);
    return kind == DIGIT ? n : run_of(text, length, kind);
}

/* A lower-cased, normalised text. Where a special token is spelled out, by a user who wrote it in
 * capitals, what follows it starts a new word, as in the original's pattern. */
static bool add_words(const fsd_clip_bpe *bpe, tokens *t, const char *text, size_t length)
{
    static const char *const SPELLED[] = {"<|startoftext|>", "<|endoftext|>"};

    for (size_t i = 0; i < length;) {
        size_t stop = length, n;
        class kind;

        n = look(text + i, length - i, &kind);
        if (kind == SPACE) {
            i += n;
            continue;
        }
        for (int k = 0; k < 2; k++) {
            if (starts_with(text + i, length - i, SPELLED[k]))
                stop = i + strlen(SPELLED[k]);
        }
        do {
            n = word_length(text + i, stop - i);
            if (!add_word(bpe, t, text + i, n))
                return false;
            i += n;
        } while (stop < length && i < stop);
    }
    return true;
}

/* Lower case of one character, as Rust's char::to_lowercase: one character for one, but for the
 * capital I with a dot. Returns bytes written, at most 8. */
static size_t put_lower(char *to, int32_t c)
{
    if (c == 0x130) {
        memcpy(to, "i\xcc\x87", 3);
        return 3;
    }
    return (size_t)utf8proc_encode_char(utf8proc_tolower(c), (utf8proc_uint8_t *)to);
}

/* Invalid bytes become U+FFFD, then NFC. The caller frees it with free(). */
static utf8proc_uint8_t *normalise(const char *text, size_t length, size_t *size)
{
    char *valid = fsd_alloc(3 * length + 1);
    utf8proc_uint8_t *nfc = NULL;
    utf8proc_ssize_t n;
    size_t used = 0;

    if (!valid)
        return NULL;
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t c;

        n = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(length - i), &c);
        if (n > 0) {
            memcpy(valid + used, text + i, (size_t)n);
            used += (size_t)n;
            i += (size_t)n;
        } else {
            memcpy(valid + used, "\xef\xbf\xbd", 3);
            used += 3;
            i++;
        }
    }
    n = utf8proc_map((const utf8proc_uint8_t *)valid, (utf8proc_ssize_t)used, &nfc,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    fsd_free(valid);
    *size = n < 0 ? 0 : (size_t)n;
    return n < 0 ? NULL : nfc;
}

/* A stretch of text without special tokens. */
static bool add_text(const fsd_clip_bpe *bpe, tokens *t, const char *text, size_t length)
{
    size_t size, used = 0;
    utf8proc_uint8_t *nfc = normalise(text, length, &size);
    char *lower = nfc ? fsd_alloc(2 * size + 8) : NULL; /* lower case is at most 3 bytes for 2 */
    bool ok = lower != NULL;

    for (size_t i = 0; ok && i < size;) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t n =
            utf8proc_iterate(nfc + i, (utf8proc_ssize_t)(size - i), &c);

        used += put_lower(lower + used, c);
        i += (size_t)n;
    }
    ok = ok && add_words(bpe, t, lower, used);
    fsd_free(lower);
    free(nfc);
    return ok;
}

fsd_status fsd_clip_bpe_encode(const fsd_clip_bpe *bpe, const char *text, size_t length,
                               int32_t **ids, size_t *count, fsd_error *err)
{
    const char *const special[] = {bpe->bos_text, bpe->eos_text};
    const bool any_case[] = {bpe->bos_any_case, bpe->eos_any_case};
    const int32_t id[] = {bpe->bos, bpe->eos};
    tokens t = {0};
    size_t first = 0;
    bool ok = true;

    for (size_t i = 0; i <= length && ok;) {
        int k = 0;

        while (k < 2 && !is_special(text + i, length - i, special[k], any_case[k]))
            k++;
        if (k == 2 && i < length) {
            i++;
            continue;
        }
        ok = first == i || add_text(bpe, &t, text + first, i - first);
        if (k == 2)
            break;
        ok = ok && add_token(&t, id[k]);
        i += strlen(special[k]);
        first = i;
    }
    if (ok && !t.id) {
        t.id = fsd_alloc(sizeof *t.id);
        ok = t.id != NULL;
    }
    if (!ok) {
        fsd_free(t.id);
        *ids = NULL;
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a prompt of %zu bytes", length);
    }
    *ids = t.id;
    *count = t.count;
    return FSD_OK;
}

fsd_status fsd_clip_bpe_chunk(const fsd_clip_bpe *bpe, const char *text, size_t length, int32_t *ids,
                              size_t size, size_t *cut, fsd_error *err)
{
    int32_t *all;
    size_t count, kept;
    const fsd_status st = fsd_clip_bpe_encode(bpe, text, length, &all, &count, err);

    if (st)
        return st;
    kept = count > size - 2 ? size - 2 : count;
    if (cut)
        *cut = count - kept;
    ids[0] = bpe->bos;
    memcpy(ids + 1, all, kept * sizeof *all);
    ids[kept + 1] = bpe->eos;
    for (size_t i = kept + 2; i < size; i++)
        ids[i] = bpe->pad;
    fsd_free(all);
    return FSD_OK;
}
