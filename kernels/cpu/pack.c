#include "kernels/pack.h"

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/dnnl.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/loops.h"

#include "engine/base/mem.h"

#include <string.h>

/* --- the parts of a weight, converted ----------------------------------------------------------
 */

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

/* --- what is packed for what -------------------------------------------------------------------
 */

/* How many weights of oneDNN's: 0 for what is no product. */
static int weights_of(const fsd_pack *what)
{
    switch (what->use) {
    case FSD_PACK_LINEAR:
        return what->split ? 2 : 1;
    case FSD_PACK_GEGLU:
    case FSD_PACK_CONV:
        return 1;
    case FSD_PACK_CONV_UP:
        return 4;
    default:
        return 0;
    }
}

/* A job that weight `index` is for; which is no matter (dnnl.h). */
static fsd_dnnl_job some_job(fsd_backend *be, const fsd_pack *what, int index)
{
    const int64_t first = what->split ? what->split : what->dim[1];
    fsd_dnnl_job job =
        fsd_cpu_product_job(fsd_cpu_product_type(be, what->activations), 1,
                            what->split && index ? what->dim[1] - first : first, what->dim[0]);

    if (what->use == FSD_PACK_CONV) {
        job.kh = (int32_t)what->dim[2];
        job.kw = (int32_t)what->dim[3];
    } else if (what->use == FSD_PACK_CONV_UP) {
        job.kh = job.kw = 2;
    }
    return job;
}

size_t fsd_cpu_pack_bytes(fsd_backend *be, const fsd_pack *what)
{
    size_t bytes = 0;

    if (what->use == FSD_PACK_VECTOR)
        return (size_t)fsd_pack_count(what) * sizeof(float);
    for (int i = 0; i < weights_of(what); i++) {
        const fsd_dnnl_job job = some_job(be, what, i);

        bytes += fsd_dnnl_weights_bytes(fsd_cpu_of(be)->dnnl, &job);
    }
    return bytes;
}

/* Rows of the plain weight in `plain`, laid out for each input. */
static fsd_status fill(fsd_backend *be, fsd_cpu_packed *own, const fsd_pack *what,
                       const char *plain, int64_t first, int64_t count, fsd_error *err)
{
    const size_t size = fsd_dtype_size(fsd_cpu_product_type(be, what->activations));
    fsd_status st = FSD_OK;

    for (int i = 0; i < weights_of(what) && !st; i++)
        st = fsd_dnnl_weights_fill(fsd_cpu_of(be)->dnnl, own->weights[i], first, count,
                                   plain + (i ? (size_t)what->split * size : 0), what->dim[1], err);
    return st;
}

/* A phase of an upsampled convolution (conv.c) from `count` kernels of 3x3: along each axis, phase
 * 0 sees a pixel by its tap 0 and the next by 1 + 2, phase 1 by 0 + 1 and 2. */
static void sum_phase(fsd_backend *be, float *to, const float *from, int64_t count, int row,
                      int column)
{
    FSD_PARALLEL(fsd_cpu_threads(be))
    for (int64_t block = 0; block < count; block += 4096) {
        const int64_t end = block + 4096 < count ? block + 4096 : count;

        for (int64_t i = block; i < end; i++) {
            float *sum = to + 4 * i;

            sum[0] = sum[1] = sum[2] = sum[3] = 0;
            for (int a = 0; a < 3; a++) {
                for (int b = 0; b < 3; b++)
                    sum[(a > row) * 2 + (b > column)] += from[9 * i + 3 * a + b];
            }
        }
    }
}

/* `plain` is fp32; the other two blocks have room for one phase of as many rows. */
static fsd_status fill_phases(fsd_backend *be, fsd_cpu_packed *own, const fsd_pack *what,
                              const float *plain, float *phase, void *rounded, int64_t first,
                              int64_t count, fsd_error *err)
{
    const fsd_dtype type = fsd_cpu_product_type(be, what->activations);
    const int64_t kernels = count * what->dim[1];
    fsd_status st = FSD_OK;

    for (int i = 0; i < 4 && !st; i++) {
        sum_phase(be, phase, plain, kernels, i / 2, i % 2);
        convert_part(be, rounded, type, &(fsd_pack_part){phase, FSD_F32, count}, 4 * kernels);
        st = fsd_dnnl_weights_fill(fsd_cpu_of(be)->dnnl, own->weights[i], first, count, rounded,
                                   what->dim[1], err);
    }
    return st;
}

/* What is converted stays in the caches until it is laid out, and takes little memory. */
static fsd_status fill_in_steps(fsd_backend *be, fsd_cpu_packed *own, const fsd_pack *what,
                                fsd_error *err)
{
    enum { STAGE = 2 << 20, STEP = FSD_DNNL_WEIGHTS_STEP };
    const bool phases = what->use == FSD_PACK_CONV_UP;
    const fsd_dtype type = phases ? FSD_F32 : fsd_cpu_product_type(be, what->activations);
    const size_t row = (size_t)fsd_pack_row(what) * fsd_dtype_size(type);
    const size_t phase = phases ? row / 9 * 4 : 0;
    const int64_t steps = (int64_t)(STAGE / (STEP * row));
    const int64_t rows = STEP * (steps > 1 ? steps : 1);
    const size_t most = (size_t)(rows < what->dim[0] ? rows : what->dim[0]);
    char *stage = fsd_aligned_new(most * (row + 2 * phase));
    fsd_status st = FSD_OK;

    if (!stage)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory to convert a weight");
    for (int64_t first = 0; first < what->dim[0] && !st; first += rows) {
        const int64_t count = what->dim[0] - first < rows ? what->dim[0] - first : rows;

        convert_rows(be, stage, type, what, first, count);
        if (phases)
            st = fill_phases(be, own, what, (float *)stage, (float *)(stage + most * row),
                             stage + most * (row + phase), first, count, err);
        else
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
    const bool as_it_is = what->use != FSD_PACK_CONV_UP && what->parts == 1 &&
                          part->dtype == type && (uintptr_t)part->data % fsd_dtype_size(type) == 0;
    fsd_status st = FSD_OK;

    for (int i = 0; i < weights_of(what) && !st; i++) {
        const fsd_dnnl_job job = some_job(be, what, i);

        st = fsd_dnnl_weights_new(fsd_cpu_of(be)->dnnl, &own->weights[i], &job, err);
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
    if (weights_of(what))
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
    for (int i = 0; packed->use != FSD_PACK_VECTOR && i < FSD_CPU_WEIGHTS; i++)
        fsd_dnnl_weights_free(fsd_cpu_packed_of(packed)->weights[i]);
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
