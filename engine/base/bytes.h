/* bytes.h: numbers in files: fixed width, fixed byte order, any alignment. */
#ifndef FSD_BASE_BYTES_H
#define FSD_BASE_BYTES_H

#include <stdint.h>

static inline uint16_t fsd_load_u16le(const void *from)
{
    const uint8_t *b = from;

    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t fsd_load_u32le(const void *from)
{
    const uint8_t *b = from;

    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t fsd_load_u64le(const void *from)
{
    const uint8_t *b = from;

    return fsd_load_u32le(b) | (uint64_t)fsd_load_u32le(b + 4) << 32;
}

static inline uint16_t fsd_load_u16be(const void *from)
{
    const uint8_t *b = from;

    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t fsd_load_u32be(const void *from)
{
    const uint8_t *b = from;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t fsd_load_u64be(const void *from)
{
    const uint8_t *b = from;

    return (uint64_t)fsd_load_u32be(b) << 32 | fsd_load_u32be(b + 4);
}

static inline void fsd_store_u16le(void *to, uint16_t value)
{
    uint8_t *b = to;

    b[0] = (uint8_t)value;
    b[1] = (uint8_t)(value >> 8);
}

static inline void fsd_store_u32le(void *to, uint32_t value)
{
    uint8_t *b = to;

    fsd_store_u16le(b, (uint16_t)value);
    fsd_store_u16le(b + 2, (uint16_t)(value >> 16));
}

static inline void fsd_store_u64le(void *to, uint64_t value)
{
    uint8_t *b = to;

    fsd_store_u32le(b, (uint32_t)value);
    fsd_store_u32le(b + 4, (uint32_t)(value >> 32));
}

static inline void fsd_store_u16be(void *to, uint16_t value)
{
    uint8_t *b = to;

    b[0] = (uint8_t)(value >> 8);
    b[1] = (uint8_t)value;
}

static inline void fsd_store_u32be(void *to, uint32_t value)
{
    uint8_t *b = to;

    fsd_store_u16be(b, (uint16_t)(value >> 16));
    fsd_store_u16be(b + 2, (uint16_t)value);
}

static inline void fsd_store_u64be(void *to, uint64_t value)
{
    uint8_t *b = to;

    fsd_store_u32be(b, (uint32_t)(value >> 32));
    fsd_store_u32be(b + 4, (uint32_t)value);
}

#endif
