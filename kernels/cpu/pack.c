#include "kernels/pack.h"

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/dnnl.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/loops.h"

#include "engine/base/mem.h"

#include <string.h>

/* --- the parts of a weight, converted ---------------------------------------------------------- */

/* Conversion is cut into spans of elements, so that all threads get some. */
static void convert_part(fsd_backend *be, char *to, fsd_dtype to_type, const fsd_pack_part *part,
                         int64_t count)
{
    enum { SPAN = 1 << 16 };
    const fsd_cpu_loops *loops = fsd_cpu_loops_best();
    const int64_t from_size = (int64_t)fsd_dtype_size(part->dtype);
    const int64_t to_size = (int64_t)fsd_dtype_size(to_type);

    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t i = 0; i < count; i += SPAN) {
        const int64_t n = count - i < SPAN ? count - i : SPAN;
        const char *from = (const char *)part->data + i * from_size;
        char *out = to + i * to_size;

        if (part->dtype == to_type) {
            memcpy(out, from, (size_t)(n * to_size));
        } else if (part->dtype == FSD_F16) {
            loops->halves[to_type == FSD_BF16](out, from, n);
        } else if (part->dtype == FSD_F32) {
            loops->floats_to_bf16(out, from, n);
        } else { /* bf16 to fp32, or fp64: rare */
            float some[256];

            for (int64_t k = 0; k < n; k += 256) {
                const int64_t m = n - k < 256 ? n - k : 256;

                fsd_to_f32(some, from + k * from_size, part->dtype, (size_t)m);
                fsd_from_f32(out + k * to_size, to_type, some, (size_t)m);
            }
        }
    }
}

static void convert(fsd_backend *be, void *to, fsd_dtype to_type, const fsd_pack *what)
{
    char *out = to;

    for (int i = 0; i < what->parts; i++) {
        const int64_t count = what->part[i].rows * fsd_pack_row(what);

        convert_part(be, out, to_type, &what->part[i], count);
        out += count * (int64_t)fsd_dtype_size(to_type);
    }
}

/* --- what is packed for what ------------------------------------------------------------------- */

/* The sizes a weight is laid out for at first: a layout serves all sizes, some better (dnnl.h). */
static fsd_dnnl_job typical_job(const fsd_pack *what, int64_t in)
{
    fsd_dnnl_job job = fsd_cpu_product_job(what->activations, 256, in, what->dim[0]);

    if (what->use == FSD_PACK_CONV) {
        job.kh = (int32_t)what->dim[2];
        job.kw = (int32_t)what->dim[3];
        job.stride = 1;
        job.top = job.bottom = job.kh / 2;
        job.left = job.right = job.kw / 2;
        job.rows = job.ldx = job.ldy = 0;
        job.n = 1;
        job.h = job.w = 64;
    }
    job.bias = 1;
    return job;
}

static fsd_status find_typical(fsd_backend *be, fsd_dnnl_primitive **out, const fsd_pack *what,
                               int64_t in, fsd_error *err)
{
    const fsd_dnnl_job job = typical_job(what, in);

    return fsd_dnnl_find(fsd_cpu_of(be)->dnnl, out, &job, err);
}

static bool is_product(const fsd_pack *what)
{
    return what->use != FSD_PACK_TABLE && what->use != FSD_PACK_VECTOR;
}

size_t fsd_cpu_pack_bytes(fsd_backend *be, const fsd_pack *what)
{
    const int64_t in[2] = {what->split ? what->split : what->dim[1], what->dim[1] - what->split};
    size_t bytes = 0;

    if (what->use == FSD_PACK_TABLE)
        return 0;
    if (what->use == FSD_PACK_VECTOR)
        return (size_t)fsd_pack_count(what) * sizeof(float);
    for (int i = 0; i < (what->split ? 2 : 1); i++) {
        fsd_dnnl_primitive *primitive;

        if (find_typical(be, &primitive, what, in[i], NULL))
            return 0;
        bytes += fsd_dnnl_weights_bytes(primitive);
    }
    return bytes;
}

static fsd_status lay_out(fsd_backend *be, fsd_dnnl_weights **out, const fsd_pack *what, int64_t in,
                          const void *plain, fsd_error *err)
{
    fsd_dnnl_primitive *primitive;
    const fsd_status st = find_typical(be, &primitive, what, in, err);

    return st ? st
              : fsd_dnnl_weights_new(fsd_cpu_of(be)->dnnl, out, primitive, plain, what->dim[1], err);
}

/* The whole weight in the activations' type, plain, exists only while it is laid out; where the file
 * has it so already it is read there. */
static fsd_status pack_product(fsd_backend *be, fsd_cpu_packed *own, const fsd_pack *what,
                               fsd_error *err)
{
    const size_t size = fsd_dtype_size(what->activations);
    const fsd_pack_part *part = &what->part[0];
    const bool as_it_is = what->parts == 1 && part->dtype == what->activations &&
                          (uintptr_t)part->data % size == 0;
    void *copy = NULL;
    const char *plain = part->data;
    fsd_status st = FSD_OK;

    if (!as_it_is) {
        st = fsd_cpu_alloc(be, &copy, (size_t)fsd_pack_count(what) * size, err);
        if (st)
            return st;
        convert(be, copy, what->activations, what);
        plain = copy;
    }
    st = lay_out(be, &own->weights, what, what->split ? what->split : what->dim[1], plain, err);
    if (!st && what->split)
        st = lay_out(be, &own->second, what, what->dim[1] - what->split,
                     plain + (size_t)what->split * size, err);
    fsd_cpu_free(be, copy, 0);
    return st;
}

fsd_status fsd_cpu_pack(fsd_backend *be, fsd_packed **out, const fsd_pack *what, fsd_error *err)
{
    const bool vector = what->use == FSD_PACK_VECTOR;
    fsd_status st = fsd_pack_check(what, err);
    fsd_cpu_packed *own;

    *out = NULL;
    if (st)
        return st;
    *out = fsd_packed_new(what, vector ? fsd_cpu_pack_bytes(be, what) : sizeof *own);
    if (!*out)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a weight");
    if (vector) {
        (*out)->vector = (*out)->own;
        convert(be, (*out)->own, FSD_F32, what);
        return FSD_OK;
    }
    own = (*out)->own;
    *own = (fsd_cpu_packed){.parts = what->parts};
    memcpy(own->part, what->part, sizeof own->part);
    (*out)->bytes = fsd_cpu_pack_bytes(be, what);
    if (is_product(what))
        st = pack_product(be, own, what, err);
    if (st) {
        fsd_cpu_unpack(be, *out);
        *out = NULL;
    }
    return st;
}

void fsd_cpu_unpack(fsd_backend *be, fsd_packed *packed)
{
    (void)be;
    if (!packed)
        return;
    if (packed->use != FSD_PACK_VECTOR) {
        fsd_dnnl_weights_free(fsd_cpu_packed_of(packed)->weights);
        fsd_dnnl_weights_free(fsd_cpu_packed_of(packed)->second);
    }
    fsd_packed_free(packed);
}

float fsd_cpu_table_at(const fsd_packed *table, int64_t row, int64_t column)
{
    const fsd_pack_part *part = fsd_cpu_packed_of(table)->part;
    float value;

    while (row >= part->rows)
        row -= part++->rows;
    fsd_to_f32(&value,
               (const char *)part->data +
                   (size_t)(row * table->dim[1] + column) * fsd_dtype_size(part->dtype),
               part->dtype, 1);
    return value;
}
