/* norm_loops.h: the loops of norm.c, included once per instruction set (loops_*.c). `bf16`,
 * `vectors` and `silu` are constants wherever these functions are inlined. */

enum {
    STRIP = 4,  /* vectors of channels whose sums stay in registers */
    CHUNK = 64, /* rows summed in fp32, before doubles take over */
};

/* Mean and sum of squared deviations of each of `width` channels, over `rows` rows of `ld`.
 *
 * Squares are summed about a shift, so that a large mean costs no digits: first the first row, then
 * the mean of the chunks so far. By Welford's identity what the shift is wrong by is part of the
 * final sum itself, so no order of the data makes the rounding grow beyond a few 1e-6 of it. */
FSD_INLINE void channel_strip(const void *x, int64_t first, int64_t width, int64_t rows, int64_t ld,
                              double *mean, double *squares, int vectors, bool bf16)
{
    float shift[STRIP * LANES], sum[STRIP * LANES], square[STRIP * LANES];
    double m[STRIP * LANES] = {0}, s[STRIP * LANES] = {0};
    const int64_t last = width - (vectors - 1) * LANES; /* lanes of the last vector */

    for (int64_t row = 0; row < rows; row += CHUNK) {
        const int64_t end = row + CHUNK < rows ? row + CHUNK : rows;
        const double count = (double)(end - row), before = (double)row;
        vec about[STRIP], total[STRIP], total2[STRIP];

        FSD_UNROLL
        for (int v = 0; v < vectors; v++) {
            const int64_t from = first + v * LANES;

            if (row)
                about[v] = v_load_f32(shift + v * LANES);
            else
                about[v] = v == vectors - 1 && last < LANES ? v_load_part(x, from, bf16, last)
                                                            : v_load(x, from, bf16);
            total[v] = total2[v] = v_set(0);
        }
        for (int64_t r = row; r < end; r++) {
            FSD_UNROLL
            for (int v = 0; v < vectors; v++) {
                const int64_t from = r * ld + first + v * LANES;
                const vec value = v == vectors - 1 && last < LANES
                                      ? v_load_part(x, from, bf16, last)
                                      : v_load(x, from, bf16);
                const vec d = value - about[v];

                total[v] += d;
                total2[v] = v_fma(d, d, total2[v]);
            }
        }
        FSD_UNROLL
        for (int v = 0; v < vectors; v++) {
            v_store_f32(shift + v * LANES, about[v]);
            v_store_f32(sum + v * LANES, total[v]);
            v_store_f32(square + v * LANES, total2[v]);
        }
        for (int i = 0; i < vectors * LANES; i++) { /* Chan et al. 1979: join two sets */
            const double off = sum[i] / count;
            const double own = square[i] - off * sum[i];
            const double delta = shift[i] + off - m[i];

            m[i] += delta * (count / (before + count));
            s[i] += (own < 0 ? 0 : own) + delta * delta * (before * count / (before + count));
            shift[i] = (float)m[i];
        }
    }
    memcpy(mean, m, (size_t)width * sizeof *mean);
    memcpy(squares, s, (size_t)width * sizeof *squares);
}

FSD_INLINE void channel_stats(const void *x, int64_t rows, int64_t channels, double *mean,
                              double *squares, bool bf16)
{
    int64_t c = 0;

    for (; c + STRIP * LANES <= channels; c += STRIP * LANES)
        channel_strip(x, c, STRIP * LANES, rows, channels, mean + c, squares + c, STRIP, bf16);
    for (; c + LANES <= channels; c += LANES)
        channel_strip(x, c, LANES, rows, channels, mean + c, squares + c, 1, bf16);
    if (c < channels)
        channel_strip(x, c, channels - c, rows, channels, mean + c, squares + c, 1, bf16);
}

FSD_INLINE vec normalise(vec x, const float *mean, const float *scale, const float *bias, int64_t c,
                         bool silu)
{
    const vec y = v_fma(x - v_load_f32(mean + c), v_load_f32(scale + c), v_load_f32(bias + c));

    return silu ? v_swish(y, 1) : y;
}

/* y = (x - mean) * scale + bias a channel; x has rows of `channels`, y of `ldy`. */
FSD_INLINE void channel_scale(const fsd_cpu_channel_scale *p, bool bf16, bool silu)
{
    for (int64_t row = 0; row < p->rows; row++) {
        const int64_t x = row * p->channels, y = row * p->ldy;
        int64_t c = 0;

        for (; c + LANES <= p->channels; c += LANES)
            v_store(p->y, y + c, bf16,
                    normalise(v_load(p->x, x + c, bf16), p->mean, p->scale, p->bias, c, silu));
        if (c < p->channels) { /* the arrays of channels are padded, x and y are not */
            const int64_t left = p->channels - c;

            v_store_part(p->y, y + c, bf16,
                         normalise(v_load_part(p->x, x + c, bf16, left), p->mean, p->scale,
                                   p->bias, c, silu),
                         left);
        }
    }
}

/* The lanes of x before `count`, the others 0. */
FSD_INLINE vec first_lanes(vec x, int64_t count)
{
    return v_where_greater(v_set((float)count), v_load_f32(LANE), x, v_set(0));
}

/* One row of layer norm. The second sum goes about the first mean and also corrects it. */
FSD_INLINE void layer_row(const fsd_layer_norm *p, int64_t row, bool bf16)
{
    const int64_t x = row * p->cols, whole = p->cols / LANES * LANES, left = p->cols - whole;
    const float count = (float)p->cols;
    vec sum = v_set(0), sum2 = v_set(0), mean, scale;
    float off, variance;

    for (int64_t i = 0; i < whole; i += LANES)
        sum += v_load(p->x, x + i, bf16);
    if (left)
        sum += v_load_part(p->x, x + whole, bf16, left);
    mean = v_set(v_sum(sum) / count);
    sum = v_set(0);
    for (int64_t i = 0; i < whole; i += LANES) {
        const vec d = v_load(p->x, x + i, bf16) - mean;

        sum += d;
        sum2 = v_fma(d, d, sum2);
    }
    if (left) {
        const vec d = first_lanes(v_load_part(p->x, x + whole, bf16, left) - mean, left);

        sum += d;
        sum2 = v_fma(d, d, sum2);
    }
    off = v_sum(sum) / count;
    variance = v_sum(sum2) / count - off * off;
    variance = variance < 0 ? 0 : variance;
    scale = v_set(1 / sqrtf(variance + p->eps));
    for (int64_t i = 0; i < whole; i += LANES)
        v_store(p->y, x + i, bf16,
                v_fma((v_load(p->x, x + i, bf16) - mean - v_set(off)) * scale,
                      v_load_f32(p->weight + i), v_load_f32(p->bias + i)));
    if (left)
        v_store_part(p->y, x + whole, bf16,
                     v_fma((v_load_part(p->x, x + whole, bf16, left) - mean - v_set(off)) * scale,
                           v_load_f32_part(p->weight + whole, left),
                           v_load_f32_part(p->bias + whole, left)),
                     left);
}
