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

/* Rows [first, first + count) of the whole, which may lie in several parts. */
static void convert_rows(fsd_backend *be, void *to, fsd_dtype to_type, const fsd_pack *what,
                         int64_t first, int64_t count)
{
    const int64_t row = fsd_pack_row(what);
    int64_t begin = 0; /* of the part */
    char *out = to;

    for (int i = 0; i < what->parts; i++) {
        const int64_t end = begin + what->part[i].rows;
        const int64_t from = first > begin ? first : begin;
        const int64_t until = first + count < end ? first + count : end;
        fsd_pack_part part = what->part[i];

        if (from < until) {
            part.data = (const char *)part.data +
                        (size_t)((from - begin) * row) * fsd_dtype_size(part.dtype);
            convert_part(be, out, to_type, &part, (until - from) * row);
            out += (size_t)((until - from) * row) * fsd_dtype_size(to_type);
        }
        begin = end;
    }
}

/* --- what is packed for what ------------------------------------------------------------------- */

/* Of a product or convolution; 0 for what is none. */
static int inputs(const fsd_pack *what)
{
    if (what->use == FSD_PACK_TABLE || what->use == FSD_PACK_VECTOR)
        return 0;
    return what->split ? 2 : 1;
}

/* A job these weights are for; which is no matter (dnnl.h). */
static fsd_dnnl_job some_job(fsd_backend *be, const fsd_pack *what, int input)
{
    const int64_t first = what->split ? what->split : what->dim[1];
    fsd_dnnl_job job = fsd_cpu_product_job(fsd_cpu_product_type(be, what->activations), 1,
                                           input ? what->dim[1] - first : first, what->dim[0]);

    if (what->use == FSD_PACK_CONV) {
        job.kh = (int32_t)what->dim[2];
        job.kw = (int32_t)what->dim[3];
    }
    return job;
}

size_t fsd_cpu_pack_bytes(fsd_backend *be, const fsd_pack *what)
{
    size_t bytes = 0;

    if (what->use == FSD_PACK_VECTOR)
        return (size_t)fsd_pack_count(what) * sizeof(float);
    for (int input = 0; input < inputs(what); input++) {
        const fsd_dnnl_job job = some_job(be, what, input);

        bytes += fsd_dnnl_weights_bytes(fsd_cpu_of(be)->dnnl, &job);
    }
    return bytes;
}

/* Rows of the plain weight in `plain`, laid out for each input. */
static fsd_status fill(fsd_backend *be, fsd_cpu_packed *own, const fsd_pack *what, const char *plain,
                       int64_t first, int64_t count, fsd_error *err)
{
    fsd_dnnl *dnnl = fsd_cpu_of(be)->dnnl;
    const size_t size = fsd_dtype_size(fsd_cpu_product_type(be, what->activations));
    fsd_status st =
        fsd_dnnl_weights_fill(dnnl, own->weights, first, count, plain, what->dim[1], err);

    if (!st && what->split)
        st = fsd_dnnl_weights_fill(dnnl, own->second, first, count,
                                   plain + (size_t)what->split * size, what->dim[1], err);
    return st;
}

/* What is converted stays in the caches until it is laid out, and takes little memory. */
static fsd_status fill_in_steps(fsd_backend *be, fsd_cpu_packed *own, const fsd_pack *what,
                                fsd_error *err)
{
    enum { STAGE = 2 << 20, STEP = FSD_DNNL_WEIGHTS_STEP };
    const fsd_dtype type = fsd_cpu_product_type(be, what->activations);
    const int64_t row_bytes = fsd_pack_row(what) * (int64_t)fsd_dtype_size(type);
    const int64_t steps = STAGE / (STEP * row_bytes);
    const int64_t rows = STEP * (steps > 1 ? steps : 1);
    const int64_t most = rows < what->dim[0] ? rows : what->dim[0];
    void *stage = fsd_aligned_new((size_t)(most * row_bytes));
    fsd_status st = FSD_OK;

    if (!stage)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory to convert a weight");
    for (int64_t first = 0; first < what->dim[0] && !st; first += rows) {
        const int64_t count = what->dim[0] - first < rows ? what->dim[0] - first : rows;

        convert_rows(be, stage, type, what, first, count);
        st = fill(be, own, what, stage, first, count, err);
    }
    fsd_aligned_free(stage);
    return st;
}

static fsd_status pack_product(fsd_backend *be, fsd_cpu_packed *own, const fsd_pack *what,
                               fsd_error *err)
{
    const fsd_dtype type = fsd_cpu_product_type(be, what->activations);
    const fsd_pack_part *part = &what->part[0];
    const bool as_it_is = what->parts == 1 && part->dtype == type &&
                          (uintptr_t)part->data % fsd_dtype_size(type) == 0;
    fsd_status st = FSD_OK;

    for (int input = 0; input < inputs(what) && !st; input++) {
        const fsd_dnnl_job job = some_job(be, what, input);

        st = fsd_dnnl_weights_new(fsd_cpu_of(be)->dnnl, input ? &own->second : &own->weights, &job,
                                  err);
    }
    if (st)
        return st;
    return as_it_is ? fill(be, own, what, part->data, 0, what->dim[0], err)
                    : fill_in_steps(be, own, what, err);
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
        convert_rows(be, (*out)->own, FSD_F32, what, 0, what->dim[0]);
        return FSD_OK;
    }
    own = (*out)->own;
    *own = (fsd_cpu_packed){.parts = what->parts};
    memcpy(own->part, what->part, sizeof own->part);
    (*out)->bytes = fsd_cpu_pack_bytes(be, what);
    if (inputs(what))
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
