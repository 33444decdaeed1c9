/* pointwise_loops.h: the loops of pointwise.c, included once per instruction set (loops_*.c).
 * `act` and `bf16` are constants wherever these functions are inlined. */

FSD_INLINE vec activate(vec x, fsd_act act)
{
    switch (act) {
    case FSD_ACT_SILU:
        return v_swish(x, 1);
    case FSD_ACT_QUICK_GELU:
        return v_swish(x, 1.702f);
    case FSD_ACT_GELU:
        return v_gelu(x);
    default:
        return x;
    }
}

/* Elements [first, end). */
FSD_INLINE void activate_span(const fsd_unary *p, int64_t first, int64_t end, fsd_act act,
                              bool bf16)
{
    int64_t i = first;

    for (; i + LANES <= end; i += LANES)
        v_store(p->y, i, bf16, activate(v_load(p->x, i, bf16), act));
    if (i < end)
        v_store_part(p->y, i, bf16, activate(v_load_part(p->x, i, bf16, end - i), act), end - i);
}
