#include "engine/image/png.h"

#include "engine/base/bytes.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* PNG (ISO/IEC 15948) by hand, for one reason: libpng cannot promise a size. What makes a PNG large
 * work, compression, is just what we do not do. */

enum {
    BLOCK = 65535,            /* of a stored deflate block, RFC 1951 §3.2.4 */
    CHUNK = 12,               /* length, type and CRC around a chunk's data */
    KEYWORD = 10 + 1,         /* "parameters" and its NUL, in tEXt */
    ITXT = KEYWORD + 4,       /* and in iTXt: two flags, empty language, empty translation */
};

static uint64_t raw_size(int width, int height)
{
    return (uint64_t)height * (1 + 3 * (uint64_t)width);
}

/* zlib header, a header for each block, the pixels, the checksum. */
static uint64_t stream_size(uint64_t raw)
{
    return 2 + 5 * ((raw + BLOCK - 1) / BLOCK) + raw + 4;
}

uint64_t fsd_png_size(int width, int height)
{
    if (width < 1 || height < 1 || width > FSD_PNG_MAX_SIDE || height > FSD_PNG_MAX_SIDE)
        return 0;
    return 8 + (CHUNK + 13) + (2 * CHUNK + FSD_PNG_TEXT) +
           (CHUNK + stream_size(raw_size(width, height))) + CHUNK;
}

/* A file being written, buffered; the first failure sticks. */
typedef struct writer {
    int fd, error;
    size_t used;
    uint32_t crc;
    unsigned char buffer[1 << 16];
} writer;

static void flush(writer *w)
{
    for (size_t done = 0; done < w->used && !w->error;) {
        const ssize_t wrote = write(w->fd, w->buffer + done, w->used - done);

        if (wrote < 0 && errno != EINTR)
            w->error = errno;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    w->used = 0;
}

static void put(writer *w, const void *bytes, size_t size)
{
    const unsigned char *from = bytes;

    w->crc = (uint32_t)crc32(w->crc, from, (uInt)size);
    while (size) {
        const size_t room = sizeof w->buffer - w->used, n = size < room ? size : room;

        memcpy(w->buffer + w->used, from, n);
        w->used += n;
        from += n;
        size -= n;
        if (w->used == sizeof w->buffer)
            flush(w);
    }
}

static void put_u32(writer *w, uint32_t value)
{
    unsigned char bytes[4];

    fsd_store_u32be(bytes, value);
    put(w, bytes, 4);
}

static void begin_chunk(writer *w, const char *type, uint64_t size)
{
    put_u32(w, (uint32_t)size);
    w->crc = (uint32_t)crc32(0, NULL, 0);
    put(w, type, 4);
}

static void end_chunk(writer *w)
{
    put_u32(w, w->crc);
}

/* Latin-1, if every character of the UTF-8 text is in it; else false. */
static bool to_latin1(char *out, const char *text)
{
    const unsigned char *c = (const unsigned char *)text;

    for (; *c; c++) {
        if (*c < 0x80) {
            *out++ = (char)*c;
        } else if ((*c == 0xc2 || *c == 0xc3) && (c[1] & 0xc0) == 0x80) {
            *out++ = (char)((*c & 3) << 6 | (c[1] & 0x3f));
            c++;
        } else {
            return false;
        }
    }
    *out = '\0';
    return true;
}

/* At most `room` bytes of the text, cut before a character. */
static size_t fit(const char *text, size_t room)
{
    size_t length = strlen(text);

    if (length <= room)
        return length;
    length = room;
    while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    return length;
}

/* The text chunk, and padding up to FSD_PNG_TEXT bytes of data in both. */
static void put_text(writer *w, const char *text, char *latin1, bool *cut)
{
    static const char zeros[256];
    const bool plain = to_latin1(latin1, text);
    const size_t head = plain ? KEYWORD : ITXT, room = FSD_PNG_TEXT - head;
    const char *shown = plain ? latin1 : text;
    size_t length = plain ? strlen(latin1) : fit(text, room), left;

    length = length < room ? length : room;
    *cut = shown[length] != '\0';
    begin_chunk(w, plain ? "tEXt" : "iTXt", head + length);
    put(w, "parameters\0\0\0\0\0", head);
    put(w, shown, length);
    end_chunk(w);
    left = FSD_PNG_TEXT - head - length;
    begin_chunk(w, "fsPd", left);
    while (left) {
        const size_t n = left < sizeof zeros ? left : sizeof zeros;

        put(w, zeros, n);
        left -= n;
    }
    end_chunk(w);
}

/* Stored blocks of a stream of bytes whose length is known. */
typedef struct stored {
    writer *w;
    uint64_t left; /* of the stream */
    size_t block;  /* left of the present block */
    uint32_t adler;
} stored;

static void put_stored(stored *s, const unsigned char *bytes, size_t size)
{
    s->adler = (uint32_t)adler32(s->adler, bytes, (uInt)size);
    while (size) {
        size_t n;

        if (!s->block) {
            const uint16_t length = (uint16_t)(s->left < BLOCK ? s->left : BLOCK);
            unsigned char head[5] = {s->left <= BLOCK};

            fsd_store_u16le(head + 1, length);
            fsd_store_u16le(head + 3, (uint16_t)~length);
            put(s->w, head, sizeof head);
            s->block = length;
        }
        n = size < s->block ? size : s->block;
        put(s->w, bytes, n);
        bytes += n;
        size -= n;
        s->block -= n;
        s->left -= n;
    }
}

static void put_pixels(writer *w, const uint8_t *rgb, int width, int height)
{
    const uint64_t raw = raw_size(width, height);
    stored s = {.w = w, .left = raw, .adler = (uint32_t)adler32(0, NULL, 0)};

    begin_chunk(w, "IDAT", stream_size(raw));
    put(w, "\x78\x01", 2);
    for (int row = 0; row < height; row++) {
        put_stored(&s, (const unsigned char *)"", 1); /* filter 0: the row as it is */
        put_stored(&s, rgb + (size_t)row * 3 * (size_t)width, 3 * (size_t)width);
    }
    put_u32(w, s.adler);
    end_chunk(w);
}

static void put_header(writer *w, int width, int height)
{
    put(w, "\x89PNG\r\n\x1a\n", 8);
    begin_chunk(w, "IHDR", 13);
    put_u32(w, (uint32_t)width);
    put_u32(w, (uint32_t)height);
    put(w, "\x08\x02\0\0\0", 5); /* 8 bits, RGB, deflate, adaptive filters, not interlaced */
    end_chunk(w);
}

fsd_status fsd_png_write(int fd, const uint8_t *rgb, int width, int height, const char *parameters,
                         bool *cut, fsd_error *err)
{
    char *latin1 = fsd_alloc(strlen(parameters) + 1);
    writer *w = fsd_alloc(sizeof *w);
    bool was_cut = false;
    fsd_status st = FSD_OK;

    if (!fsd_png_size(width, height)) {
        st = fsd_fail(err, FSD_INVALID, "a picture of %d x %d", width, height);
    } else if (!latin1 || !w) {
        st = fsd_fail(err, FSD_NO_MEMORY, "no memory to write a picture");
    } else {
        w->fd = fd;
        put_header(w, width, height);
        put_text(w, parameters, latin1, &was_cut);
        put_pixels(w, rgb, width, height);
        begin_chunk(w, "IEND", 0);
        end_chunk(w);
        flush(w);
        errno = w->error;
        if (w->error)
            st = fsd_fail_errno(err, "writing a picture");
    }
    if (cut)
        *cut = was_cut;
    fsd_free(latin1);
    fsd_free(w);
    return st;
}
