/* gemm_loops.h: what stands around oneDNN's products, included once per instruction set
 * (loops_*.c). `act` and `bf16` are constants wherever these functions are inlined. */

/* gelu for results that become bf16: max(x, 0) - s q(s) with s = |x| up to 4.25 and q(s) =
 * erfc(s / sqrt 2) / 2 as a polynomial in s - 4.25 / 2, minimax of degree 9 for the error of s
 * q(s): 6e-6, and 3e-4 relative near 0; beyond 4.25 2e-5 remain of it. A third of v_gelu's
 * instructions. */
FSD_INLINE vec rough_gelu(vec x)
{
    const vec s = v_min(v_abs(x), v_set(4.25f)), t = s - v_set(2.125f);
    vec q = v_set(-1.575983333e-05f);

    q = v_fma(q, t, v_set(6.397992547e-05f));
    q = v_fma(q, t, v_set(1.396544831e-04f));
    q = v_fma(q, t, v_set(-1.154835452e-03f));
    q = v_fma(q, t, v_set(1.392380334e-03f));
    q = v_fma(q, t, v_set(5.526375026e-03f));
    q = v_fma(q, t, v_set(-2.450666204e-02f));
    q = v_fma(q, t, v_set(4.436273128e-02f));
    q = v_fma(q, t, v_set(-4.171164706e-02f));
    q = v_fma(q, t, v_set(1.679092646e-02f));
    return v_fma(-s, q, v_max(x, v_set(0)));
}

FSD_INLINE vec gate(vec v, vec g, bool bf16)
{
    return v * (bf16 ? rough_gelu(g) : v_gelu(g));
}

/* One row of GEGLU: y = v * gelu(g), v and g follow each other. */
FSD_INLINE void gate_row(void *y, const void *vg, int64_t row, int64_t ldy, int64_t out, bool bf16)
{
    const int64_t v = row * 2 * out, g = v + out, to = row * ldy;
    int64_t i = 0;

    for (; i + LANES <= out; i += LANES)
        v_store(y, to + i, bf16, gate(v_load(vg, v + i, bf16), v_load(vg, g + i, bf16), bf16));
    if (i < out)
        v_store_part(y, to + i, bf16,
                     gate(v_load_part(vg, v + i, bf16, out - i),
                          v_load_part(vg, g + i, bf16, out - i), bf16),
                     out - i);
}

/* `count` elements of to = act(sum) + residual (or NULL), from fp32. */
FSD_INLINE void finish_span(void *to, const float *sum, const void *residual, int64_t count,
                            fsd_act act, bool bf16)
{
    int64_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        vec y = activate(v_load_f32(sum + i), act);

        if (residual)
            y += v_load(residual, i, bf16);
        v_store(to, i, bf16, y);
    }
    if (i < count) {
        vec y = activate(v_load_f32_part(sum + i, count - i), act);

        if (residual)
            y += v_load_part(residual, i, bf16, count - i);
        v_store_part(to, i, bf16, y, count - i);
    }
}

/* Half floats to fp32, or rounded to bf16, the same bits as engine/base/half.h; written so that
 * compilers make vectors of it. The product moves the exponent, of subnormals too. */
FSD_INLINE float widen_half(uint16_t h)
{
    uint32_t bits = (uint32_t)(h & 0x7fff) << 13, big;
    float f;

    memcpy(&f, &bits, sizeof f);
    f *= 0x1p112f;
    memcpy(&bits, &f, sizeof bits);
    big = bits >= 0x47800000 ? 0x7f800000 : 0; /* infinities and NaNs came out as 2^16 and more */
    bits |= big | (uint32_t)(h & 0x8000) << 16;
    bits |= (bits & 0x7fffff) && big ? 0x400000 : 0;
    memcpy(&f, &bits, sizeof f);
    return f;
}

FSD_INLINE uint16_t narrow_to_bf16(float f)
{
    uint32_t bits, rounded;

    memcpy(&bits, &f, sizeof bits);
    rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
}
