/* attention_loops.h: the loops of attention.c, included once per instruction set (loops_*.c).
 *
 * All of attention is one small matrix product, `multiply`: ROWS rows that are read element by
 * element and broadcast, times up to VECTORS vectors whose lanes are queries. With queries in the
 * lanes the softmax runs down the registers, never across them, and no head size needs padding
 * along the lanes: 40 is five tiles of 8.
 *
 *   scores  S^T (keys, queries) = K (keys, dim) times Q^T (dim, queries)
 *   output  O^T (dim, queries) += V^T (dim, keys) times P^T (keys, queries)
 *
 * Operands are packed into panels of 4-byte units, in the order in which `multiply` reads them. A
 * unit is an fp32, or where the machine multiplies bf16 (vdpbf16ps) two bf16 that follow each
 * other along the axis that is summed: dim for the scores, keys for the output.
 *
 *   Q (units, queries)   K (keys / ROWS, units, ROWS)   V (dim / ROWS, key units, ROWS)
 *
 * A tile of queries meets the keys block by block, so that S, P and O stay in the first cache
 * while K and V stream from the second. `pairs`, `bf16` and `vectors` are constants wherever these
 * functions are inlined. */

#include "kernels/cpu/loops.h"

enum {
#ifdef FSD_SIMD_AVX512
    ROWS = 8, /* 8 x 3 sums, 3 vectors and a broadcast in 32 registers */
#else
    ROWS = 4, /* 4 x 3, 3 and 1 in 16 */
#endif
    VECTORS = FSD_CPU_ATTENTION_VECTORS,
    BLOCK = FSD_CPU_ATTENTION_BLOCK,
};

FSD_INLINE vec dot(vec a, vec b, vec sum, bool pairs)
{
#ifdef FSD_SIMD_AVX512BF16
    if (pairs)
        return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
#endif
    (void)pairs;
    return v_fma(a, b, sum);
}

/* sum[r][v] += dot of a[u][r] and b[u][v] over all u */
FSD_INLINE void multiply(vec sum[ROWS][VECTORS], const float *a, const float *b, int64_t units,
                         int vectors, bool pairs)
{
    for (int64_t u = 0; u < units; u++) {
        vec right[VECTORS];

        FSD_UNROLL
        for (int v = 0; v < vectors; v++)
            right[v] = v_load_f32(b + (u * vectors + v) * LANES);
        FSD_UNROLL
        for (int r = 0; r < ROWS; r++) {
            const vec left = v_set(a[u * ROWS + r]);

            FSD_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r][v] = dot(left, right[v], sum[r][v], pairs);
        }
    }
}

/* Units u … of one row of `dim` elements; 0 beyond its end. */
FSD_INLINE vec load_units(const void *row, int64_t u, int64_t dim, bool bf16, bool pairs)
{
    const int64_t first = pairs ? 2 * u : u, left = dim - first;
    float units[LANES] = {0};

    if (!pairs)
        return left >= LANES ? v_load(row, first, bf16) : v_load_part(row, first, bf16, left);
    if (left >= 2 * LANES)
        return v_load_f32((const float *)((const uint16_t *)row + first));
    memcpy(units, (const uint16_t *)row + first, (size_t)left * sizeof(uint16_t));
    return v_load_f32(units);
}

FSD_INLINE float load_unit(const void *row, int64_t u, int64_t dim, bool bf16, bool pairs)
{
    float unit = 0;

    if (pairs)
        memcpy(&unit, (const uint16_t *)row + 2 * u,
               2 * u + 1 < dim ? sizeof unit : sizeof(uint16_t));
    else if (bf16)
        unit = fsd_bf16_to_f32(((const uint16_t *)row)[u]);
    else
        unit = ((const float *)row)[u];
    return unit;
}

/* Where element `i` of an array stands. */
FSD_INLINE const char *at(const void *base, int64_t i, bool bf16)
{
    return (const char *)base + i * (bf16 ? 2 : 4);
}

/* The keys of one block into K; those beyond n_k become 0. */
FSD_INLINE void pack_k(const fsd_cpu_attention_job *job, int64_t image, int head, int64_t first,
                       int64_t end, bool bf16, bool pairs)
{
    const fsd_attention *p = job->p;
    float *to = job->k + (image * p->heads + head) * job->keys * job->units + first * job->units;

    for (int64_t key = first; key < end; key += ROWS, to += ROWS * job->units)
        for (int r = 0; r < ROWS; r++) {
            const char *row = at(p->k, (image * p->n_k + key + r) * p->ld_k + head * p->dim, bf16);

            for (int64_t u = 0; u < job->units; u++)
                to[u * ROWS + r] =
                    key + r < p->n_k ? load_unit(row, u, p->dim, bf16, pairs) : 0.0f;
        }
}

/* The values of one block into V; keys beyond n_k and channels beyond dim become 0. */
FSD_INLINE void pack_v(const fsd_cpu_attention_job *job, int64_t image, int head, int64_t first,
                       int64_t end, bool bf16, bool pairs)
{
    const fsd_attention *p = job->p;
    const int step = pairs ? 2 : 1;
    float *to = job->v + (image * p->heads + head) * job->key_units * job->dims;

    for (int64_t key = first; key < end; key += step) {
        const char *row = at(p->v, (image * p->n_k + key) * p->ld_v + head * p->dim, bf16);
        const char *next = row + p->ld_v * 2;

        for (int64_t d = 0; d < p->dim; d += ROWS) {
            float *unit = to + (d * job->key_units + key / step * ROWS);

            for (int64_t r = 0; r < ROWS; r++) {
                uint16_t pair[2] = {0, 0};

                unit[r] = 0;
                if (d + r >= p->dim || key >= p->n_k)
                    continue;
                if (!pairs) {
                    unit[r] = load_unit(row, d + r, p->dim, bf16, false);
                    continue;
                }
                pair[0] = ((const uint16_t *)row)[d + r];
                if (key + 1 < p->n_k)
                    pair[1] = ((const uint16_t *)next)[d + r];
                memcpy(unit + r, pair, sizeof pair);
            }
        }
    }
}

FSD_INLINE void pack_q(const fsd_cpu_attention_job *job, float *q, int64_t image, int head,
                       int64_t first, int vectors, bool bf16, bool pairs)
{
    const fsd_attention *p = job->p;

    for (int v = 0; v < vectors; v++)
        for (int64_t u = 0; u < job->units; u += LANES) {
            vec square[LANES];

            for (int i = 0; i < LANES; i++) {
                const int64_t query = first + v * LANES + i;

                square[i] = v_set(0);
                if (query < p->n_q)
                    square[i] = load_units(
                        at(p->q, (image * p->n_q + query) * p->ld_q + head * p->dim, bf16), u,
                        p->dim, bf16, pairs);
            }
            v_transpose(square);
            for (int i = 0; i < LANES && u + i < job->units; i++)
                v_store_f32(q + ((u + i) * vectors + v) * LANES, square[i]);
        }
}

/* Scores of ROWS keys from `key` on, and the largest of each query so far. Those of keys that do
 * not exist or that the query may not see are -inf. */
FSD_INLINE void score(const fsd_cpu_attention_job *job, float *s, vec most[VECTORS], const float *k,
                      const float *q, int64_t key, int64_t first, bool masked, int vectors,
                      bool pairs)
{
    const vec lane = v_load_f32(LANE);
    vec sum[ROWS][VECTORS];

    FSD_UNROLL
    for (int r = 0; r < ROWS; r++) {
        FSD_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r][v] = v_set(0);
    }
    multiply(sum, k, q, job->units, vectors, pairs);
    FSD_UNROLL
    for (int r = 0; r < ROWS; r++) {
        FSD_UNROLL
        for (int v = 0; v < vectors; v++) {
            if (masked) { /* lanes below `hidden` do not see the key */
                const int64_t hidden = key + r >= job->p->n_k ? LANES
                                       : job->p->causal       ? key + r - first - v * LANES
                                                              : 0;

                sum[r][v] = v_where_greater(v_set((float)hidden), lane, v_set(-INFINITY), sum[r][v]);
            }
            most[v] = v_max(sum[r][v], most[v]);
            v_store_f32(s + (r * vectors + v) * LANES, sum[r][v]);
        }
    }
}

#ifdef FSD_SIMD_AVX512BF16
/* Lane by lane, `low` and `high` as bf16 in one unit. Both are positive or NaN, so adding half of
 * the last place kept rounds them. */
FSD_INLINE vec pack_pair(vec low, vec high)
{
    const __m512i half = _mm512_set1_epi32(0x8000);
    const __m512i l = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(low), half), 16);
    const __m512i h = _mm512_add_epi32(_mm512_castps_si512(high), half);

    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(_mm512_set1_epi32((int)0xffff0000), h, l, 0xca));
}
#endif

/* Scores to weights 2^(s * scale - shift), in place, as the units of the second product. */
FSD_INLINE void weigh(float *s, vec total[VECTORS], const vec shift[VECTORS], vec scale,
                      int64_t keys, int vectors, bool bf16, bool pairs)
{
    const int step = pairs ? 2 : 1;

    for (int64_t key = 0; key < keys; key += step) {
        FSD_UNROLL
        for (int v = 0; v < vectors; v++) {
            const float *from = s + (key * vectors + v) * LANES;
            vec p = v_exp2(v_fma(v_load_f32(from), scale, -shift[v]), bf16);

            total[v] += p;
#ifdef FSD_SIMD_AVX512BF16
            if (pairs) {
                const vec next = v_exp2(
                    v_fma(v_load_f32(from + vectors * LANES), scale, -shift[v]), bf16);

                total[v] += next;
                p = pack_pair(p, next);
            }
#endif
            v_store_f32(s + (key / step * vectors + v) * LANES, p);
        }
    }
}

/* Take a new maximum into account. The shift of the exponents need not be the maximum itself, only
 * near enough that nothing overflows; so it moves when the maximum has grown by more than 2^8,
 * which after the first block is rare, and then what was summed so far shrinks. */
FSD_INLINE void follow(vec shift[VECTORS], vec total[VECTORS], float *o, const vec most[VECTORS],
                       vec scale, int64_t dims, int vectors)
{
    vec shrink[VECTORS];
    bool any = false;

    FSD_UNROLL
    for (int v = 0; v < vectors; v++)
        any |= v_any_greater(most[v] * scale, shift[v] + v_set(8));
    if (!any)
        return;
    FSD_UNROLL
    for (int v = 0; v < vectors; v++) {
        const vec want = most[v] * scale;
        const vec moved = v_where_greater(want, shift[v] + v_set(8), want, shift[v]);

        shrink[v] = v_exp2(shift[v] - moved, false);
        shrink[v] = v_where_greater(moved, shift[v], shrink[v], v_set(1));
        shift[v] = moved;
        total[v] *= shrink[v];
    }
    for (int64_t d = 0; d < dims; d++)
        FSD_UNROLL
        for (int v = 0; v < vectors; v++) {
            float *sum = o + (d * vectors + v) * LANES;

            v_store_f32(sum, v_load_f32(sum) * shrink[v]);
        }
}

FSD_INLINE void gather(float *o, const float *v_panel, const float *weights, int64_t units,
                       int vectors, bool pairs)
{
    vec sum[ROWS][VECTORS];

    FSD_UNROLL
    for (int r = 0; r < ROWS; r++) {
        FSD_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r][v] = v_load_f32(o + (r * vectors + v) * LANES);
    }
    multiply(sum, v_panel, weights, units, vectors, pairs);
    FSD_UNROLL
    for (int r = 0; r < ROWS; r++) {
        FSD_UNROLL
        for (int v = 0; v < vectors; v++)
            v_store_f32(o + (r * vectors + v) * LANES, sum[r][v]);
    }
}

/* O^T / total, turned, to y. */
FSD_INLINE void put(const fsd_cpu_attention_job *job, const float *o, const vec total[VECTORS],
                    int64_t image, int head, int64_t first, int vectors, bool bf16)
{
    const fsd_attention *p = job->p;

    for (int v = 0; v < vectors; v++) {
        const vec share = v_set(1) / total[v];

        for (int64_t d = 0; d < p->dim; d += LANES) {
            const int64_t width = p->dim - d;
            vec square[LANES];

            for (int i = 0; i < LANES; i++)
                square[i] = v_load_f32(o + ((d + i) * vectors + v) * LANES) * share;
            v_transpose(square);
            for (int i = 0; i < LANES && first + v * LANES + i < p->n_q; i++) {
                const int64_t query = image * p->n_q + first + v * LANES + i;
                const int64_t to = query * p->ld_y + head * p->dim + d;

                if (width >= LANES)
                    v_store(p->y, to, bf16, square[i]);
                else
                    v_store_part(p->y, to, bf16, square[i], width);
            }
        }
    }
}

FSD_INLINE void attend(const fsd_cpu_attention_job *job, float *scratch, int64_t image, int head,
                       int64_t first, int vectors, bool bf16, bool pairs)
{
    const fsd_attention *p = job->p;
    const int64_t at_head = image * p->heads + head;
    const float *k = job->k + at_head * job->keys * job->units;
    const float *values = job->v + at_head * job->key_units * job->dims;
    const int64_t last = first + vectors * LANES; /* queries of the tile end here */
    const int64_t seen = p->causal && last < p->n_k ? last : p->n_k;
    const vec scale = v_set(p->scale * 1.44269504f); /* log2(e): the exponentials are of 2 */
    float *q = scratch, *s = q + job->units * VECTORS * LANES, *o = s + BLOCK * VECTORS * LANES;
    vec shift[VECTORS], total[VECTORS];

    FSD_UNROLL
    for (int v = 0; v < vectors; v++) {
        shift[v] = v_set(-INFINITY);
        total[v] = v_set(0);
    }
    memset(o, 0, (size_t)(job->dims * vectors * LANES) * sizeof *o);
    pack_q(job, q, image, head, first, vectors, bf16, pairs);
    for (int64_t block = 0; block < seen; block += BLOCK) {
        const int64_t left = (seen - block + ROWS - 1) / ROWS * ROWS;
        const int64_t keys = left < BLOCK ? left : BLOCK;
        const int64_t units = pairs ? keys / 2 : keys, before = pairs ? block / 2 : block;
        vec most[VECTORS];

        FSD_UNROLL
        for (int v = 0; v < vectors; v++)
            most[v] = v_set(-INFINITY);
        for (int64_t key = 0; key < keys; key += ROWS) {
            const int64_t end = block + key + ROWS;
            const float *from = k + (block + key) * job->units;
            float *to = s + key * vectors * LANES;

            if (end > p->n_k || (p->causal && end > first + 1))
                score(job, to, most, from, q, block + key, first, true, vectors, pairs);
            else
                score(job, to, most, from, q, block + key, first, false, vectors, pairs);
        }
        follow(shift, total, o, most, scale, p->dim, vectors);
        weigh(s, total, shift, scale, keys, vectors, bf16, pairs);
        for (int64_t d = 0; d < p->dim; d += ROWS)
            gather(o + d * vectors * LANES, values + (d * job->key_units + before * ROWS), s,
                   units, vectors, pairs);
    }
    put(job, o, total, image, head, first, vectors, bf16);
}
