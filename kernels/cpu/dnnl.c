#include "kernels/cpu/dnnl.h"

#include "engine/base/mem.h"

#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t desc; /* owned: desc_clear */
#define MD(d) (d)
#else
typedef dnnl_memory_desc_t desc; /* a plain struct */
typedef const dnnl_memory_desc_t *const_dnnl_memory_desc_t;
#define MD(d) (&(d))
#endif

enum { BUCKETS = 512 };

struct fsd_dnnl_primitive {
    fsd_dnnl_job job;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    dnnl_memory_t x, weights, bias, y, scratch; /* their addresses are set at each run */
    const_dnnl_memory_desc_t weights_desc;      /* borrowed from pd */
    size_t scratch_bytes, weights_bytes;
    struct fsd_dnnl_primitive *next;
};

struct fsd_dnnl_weights {
    desc layout;
    void *data;
    size_t bytes;
};

struct fsd_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    fsd_dnnl_primitive *bucket[BUCKETS];
};

static fsd_status failed(fsd_error *err, dnnl_status_t st, const char *what)
{
    if (st == dnnl_out_of_memory)
        return fsd_fail(err, FSD_NO_MEMORY, "oneDNN: no memory for %s", what);
    return fsd_fail(err, FSD_DEVICE, "oneDNN cannot do %s (its status %d)", what, (int)st);
}

/* --- descriptors: the part that differs between the versions --------------------------------- */

static dnnl_data_type_t data_type(int32_t type)
{
    return type == FSD_BF16 ? dnnl_bf16 : dnnl_f32;
}

static dnnl_status_t desc_strided(desc *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                  const dnnl_dims_t strides)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_strides(d, rank, dims, type, strides);
#else
    return dnnl_memory_desc_init_by_strides(d, rank, dims, type, strides);
#endif
}

static dnnl_status_t desc_tagged(desc *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                 dnnl_format_tag_t tag)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(d, rank, dims, type, tag);
#else
    return dnnl_memory_desc_init_by_tag(d, rank, dims, type, tag);
#endif
}

static dnnl_status_t desc_copy(desc *d, const_dnnl_memory_desc_t from)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_clone(d, from);
#else
    *d = *from;
    return dnnl_success;
#endif
}

static void desc_clear(desc *d)
{
#if DNNL_VERSION_MAJOR >= 3
    if (*d)
        dnnl_memory_desc_destroy(*d);
    *d = NULL;
#else
    (void)d;
#endif
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_eltwise(ops, kind, alpha, 0);
#else
    return dnnl_post_ops_append_eltwise(ops, 1, kind, alpha, 0);
#endif
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops, dnnl_data_type_t type)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_sum(ops, 1, 0, type);
#else
    (void)type;
    return dnnl_post_ops_append_sum(ops, 1);
#endif
}

static dnnl_status_t matmul_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, desc *d, bool bias,
                               dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(pd, engine, d[0], d[1], bias ? d[2] : NULL, d[3], attr);
#else
    dnnl_matmul_desc_t op;
    const dnnl_status_t st =
        dnnl_matmul_desc_init(&op, &d[0], &d[1], bias ? &d[2] : NULL, &d[3]);

    return st ? st : dnnl_primitive_desc_create(pd, &op, attr, engine, NULL);
#endif
}

static dnnl_status_t conv_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, desc *d, bool bias,
                             const fsd_dnnl_job *job, dnnl_primitive_attr_t attr)
{
    const dnnl_dims_t strides = {job->stride, job->stride}, dilates = {0, 0};
    const dnnl_dims_t before = {job->top, job->left}, after = {job->bottom, job->right};
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_convolution_forward_primitive_desc_create(
        pd, engine, dnnl_forward_inference, dnnl_convolution_direct, d[0], d[1],
        bias ? d[2] : NULL, d[3], strides, dilates, before, after, attr);
#else
    dnnl_convolution_desc_t op;
    const dnnl_status_t st = dnnl_dilated_convolution_forward_desc_init(
        &op, dnnl_forward_inference, dnnl_convolution_direct, &d[0], &d[1], bias ? &d[2] : NULL,
        &d[3], strides, dilates, before, after);

    return st ? st : dnnl_primitive_desc_create(pd, &op, attr, engine, NULL);
#endif
}

/* --- primitives ------------------------------------------------------------------------------ */

fsd_status fsd_dnnl_open(fsd_dnnl **out, fsd_error *err)
{
    fsd_dnnl *dnnl = fsd_alloc(sizeof *dnnl);
    dnnl_status_t st;

    *out = NULL;
    if (!dnnl)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for oneDNN");
    st = dnnl_engine_create(&dnnl->engine, dnnl_cpu, 0);
    if (!st)
        st = dnnl_stream_create(&dnnl->stream, dnnl->engine, dnnl_stream_default_flags);
    if (st) {
        fsd_dnnl_close(dnnl);
        return failed(err, st, "an engine");
    }
    dnnl_set_primitive_cache_capacity(0); /* we keep our own, by sizes */
    *out = dnnl;
    return FSD_OK;
}

static void primitive_free(fsd_dnnl_primitive *p)
{
    dnnl_memory_t memory[] = {p->x, p->weights, p->bias, p->y, p->scratch};

    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        if (memory[i])
            dnnl_memory_destroy(memory[i]);
    }
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
    if (p->pd)
        dnnl_primitive_desc_destroy(p->pd);
    fsd_free(p);
}

void fsd_dnnl_close(fsd_dnnl *dnnl)
{
    if (!dnnl)
        return;
    for (int i = 0; i < BUCKETS; i++) {
        while (dnnl->bucket[i]) {
            fsd_dnnl_primitive *p = dnnl->bucket[i];

            dnnl->bucket[i] = p->next;
            primitive_free(p);
        }
    }
    if (dnnl->stream)
        dnnl_stream_destroy(dnnl->stream);
    if (dnnl->engine)
        dnnl_engine_destroy(dnnl->engine);
    fsd_free(dnnl);
}

void fsd_dnnl_version(int *major, int *minor, int *patch)
{
    const dnnl_version_t *version = dnnl_version();

    *major = version->major;
    *minor = version->minor;
    *patch = version->patch;
}

bool fsd_dnnl_fast_bf16(void)
{
    /* The instruction sets are a bit set in which a better one has all bits of a lesser one. */
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) ==
           dnnl_cpu_isa_avx512_core_bf16;
}

static dnnl_status_t make_attr(dnnl_primitive_attr_t *attr, const fsd_dnnl_job *job)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t st = dnnl_primitive_attr_create(attr);

    if (!st)
        st = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (!st)
        st = dnnl_post_ops_create(&ops);
    if (!st && job->sum)
        st = append_sum(ops, data_type(job->output));
    if (!st && job->act == FSD_ACT_SILU)
        st = append_eltwise(ops, dnnl_eltwise_swish, 1);
    if (!st && job->act == FSD_ACT_QUICK_GELU)
        st = append_eltwise(ops, dnnl_eltwise_swish, 1.702f);
    if (!st && job->act == FSD_ACT_GELU)
        st = append_eltwise(ops, dnnl_eltwise_gelu_erf, 0);
    if (!st)
        st = dnnl_primitive_attr_set_post_ops(*attr, ops);
    if (ops)
        dnnl_post_ops_destroy(ops);
    return st;
}

/* d: x, weights, bias, y. */
static dnnl_status_t describe_matmul(desc d[4], const fsd_dnnl_job *job)
{
    const dnnl_dims_t x = {job->rows, job->in}, x_strides = {job->ldx, 1};
    const dnnl_dims_t y = {job->rows, job->out}, y_strides = {job->ldy, 1};
    const dnnl_dims_t w = {job->in, job->out}, b = {1, job->out};
    dnnl_status_t st = desc_strided(&d[0], 2, x, data_type(job->input), x_strides);

    if (!st)
        st = desc_tagged(&d[1], 2, w, data_type(job->input), dnnl_format_tag_any);
    if (!st)
        st = desc_tagged(&d[2], 2, b, dnnl_f32, dnnl_ab);
    if (!st)
        st = desc_strided(&d[3], 2, y, data_type(job->output), y_strides);
    return st;
}

static dnnl_status_t describe_conv(desc d[4], const fsd_dnnl_job *job)
{
    const int64_t out_h = (job->h + job->top + job->bottom - job->kh) / job->stride + 1;
    const int64_t out_w = (job->w + job->left + job->right - job->kw) / job->stride + 1;
    const dnnl_dims_t x = {job->n, job->in, job->h, job->w}, y = {job->n, job->out, out_h, out_w};
    const dnnl_dims_t w = {job->out, job->in, job->kh, job->kw}, b = {job->out};
    dnnl_status_t st = desc_tagged(&d[0], 4, x, data_type(job->input), dnnl_nhwc);

    if (!st)
        st = desc_tagged(&d[1], 4, w, data_type(job->input), dnnl_format_tag_any);
    if (!st)
        st = desc_tagged(&d[2], 1, b, dnnl_f32, dnnl_x);
    if (!st)
        st = desc_tagged(&d[3], 4, y, data_type(job->output), dnnl_nhwc);
    return st;
}

/* `index` 1 of the weights is the bias. */
static dnnl_status_t make_memory(fsd_dnnl *dnnl, fsd_dnnl_primitive *p, dnnl_memory_t *memory,
                                 dnnl_query_t what, int index)
{
    return dnnl_memory_create(memory, dnnl_primitive_desc_query_md(p->pd, what, index), dnnl->engine,
                              DNNL_MEMORY_NONE);
}

static dnnl_status_t make_memories(fsd_dnnl *dnnl, fsd_dnnl_primitive *p)
{
    dnnl_status_t st = make_memory(dnnl, p, &p->x, dnnl_query_src_md, 0);

    if (!st)
        st = make_memory(dnnl, p, &p->weights, dnnl_query_weights_md, 0);
    if (!st && p->job.bias)
        st = make_memory(dnnl, p, &p->bias, dnnl_query_weights_md, 1);
    if (!st)
        st = make_memory(dnnl, p, &p->y, dnnl_query_dst_md, 0);
    if (!st)
        st = make_memory(dnnl, p, &p->scratch, dnnl_query_scratchpad_md, 0);
    return st;
}

static fsd_status make_primitive(fsd_dnnl *dnnl, fsd_dnnl_primitive *p, fsd_error *err)
{
    const fsd_dnnl_job *job = &p->job;
    dnnl_primitive_attr_t attr = NULL;
    desc d[4];
    dnnl_status_t st;

    memset(d, 0, sizeof d);
    st = job->kh ? describe_conv(d, job) : describe_matmul(d, job);
    if (!st)
        st = make_attr(&attr, job);
    if (!st)
        st = job->kh ? conv_pd(&p->pd, dnnl->engine, d, job->bias, job, attr)
                     : matmul_pd(&p->pd, dnnl->engine, d, job->bias, attr);
    if (!st)
        st = dnnl_primitive_create(&p->primitive, p->pd);
    if (!st)
        st = make_memories(dnnl, p);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 4; i++)
        desc_clear(&d[i]);
    if (st)
        return failed(err, st, job->kh ? "this convolution" : "this product");
    p->weights_desc = dnnl_primitive_desc_query_md(p->pd, dnnl_query_weights_md, 0);
    p->weights_bytes = dnnl_memory_desc_get_size(p->weights_desc);
    p->scratch_bytes =
        dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(p->pd, dnnl_query_scratchpad_md, 0));
    return FSD_OK;
}

static size_t hash(const fsd_dnnl_job *job)
{
    const unsigned char *bytes = (const unsigned char *)job;
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < sizeof *job; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    return (size_t)(h >> 32) % BUCKETS;
}

fsd_status fsd_dnnl_find(fsd_dnnl *dnnl, fsd_dnnl_primitive **out, const fsd_dnnl_job *job,
                         fsd_error *err)
{
    fsd_dnnl_primitive **bucket = &dnnl->bucket[hash(job)], *p = *bucket;
    fsd_status st;

    while (p && memcmp(&p->job, job, sizeof *job) != 0)
        p = p->next;
    *out = p;
    if (p)
        return FSD_OK;
    p = fsd_alloc(sizeof *p);
    if (!p)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a primitive");
    memcpy(&p->job, job, sizeof *job);
    st = make_primitive(dnnl, p, err);
    if (st) {
        primitive_free(p);
        return st;
    }
    p->next = *bucket;
    *bucket = *out = p;
    return FSD_OK;
}

size_t fsd_dnnl_scratch(const fsd_dnnl_primitive *primitive)
{
    return primitive->scratch_bytes;
}

size_t fsd_dnnl_weights_bytes(const fsd_dnnl_primitive *primitive)
{
    return primitive->weights_bytes;
}

/* --- weights --------------------------------------------------------------------------------- */

static dnnl_status_t reorder(fsd_dnnl *dnnl, const_dnnl_memory_desc_t from_desc, const void *from,
                             const_dnnl_memory_desc_t to_desc, void *to)
{
    dnnl_memory_t in = NULL, out = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    /* oneDNN's memory is not const, but a source is only read. */
    dnnl_status_t st = dnnl_memory_create(&in, from_desc, dnnl->engine, (void *)(uintptr_t)from);

    if (!st)
        st = dnnl_memory_create(&out, to_desc, dnnl->engine, to);
    if (!st)
        st = dnnl_reorder_primitive_desc_create(&pd, from_desc, dnnl->engine, to_desc, dnnl->engine,
                                                NULL);
    if (!st)
        st = dnnl_primitive_create(&primitive, pd);
    if (!st) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, in}, {DNNL_ARG_TO, out}};

        st = dnnl_primitive_execute(primitive, dnnl->stream, 2, args);
    }
    if (!st)
        st = dnnl_stream_wait(dnnl->stream);
    if (primitive)
        dnnl_primitive_destroy(primitive);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (out)
        dnnl_memory_destroy(out);
    if (in)
        dnnl_memory_destroy(in);
    return st;
}

static void *aligned(size_t bytes)
{
    return aligned_alloc(64, bytes ? (bytes + 63) / 64 * 64 : 64);
}

fsd_status fsd_dnnl_weights_new(fsd_dnnl *dnnl, fsd_dnnl_weights **out,
                                const fsd_dnnl_primitive *primitive, const void *plain, int64_t ld,
                                fsd_error *err)
{
    const fsd_dnnl_job *job = &primitive->job;
    const dnnl_dims_t conv = {job->out, job->in, job->kh, job->kw}, product = {job->in, job->out};
    const dnnl_dims_t strides = {1, ld}; /* (out, in) read as (in, out) */
    const dnnl_data_type_t type = data_type(job->input);
    fsd_dnnl_weights *weights = fsd_alloc(sizeof *weights);
    desc from;
    dnnl_status_t st;

    *out = NULL;
    if (weights)
        weights->data = aligned(primitive->weights_bytes);
    if (!weights || !weights->data) {
        fsd_free(weights);
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a weight of %zu bytes",
                        primitive->weights_bytes);
    }
    memset(&from, 0, sizeof from);
    weights->bytes = primitive->weights_bytes;
    st = job->kh ? desc_tagged(&from, 4, conv, type, dnnl_oihw)
                 : desc_strided(&from, 2, product, type, strides);
    if (!st)
        st = desc_copy(&weights->layout, primitive->weights_desc);
    if (!st)
        st = reorder(dnnl, MD(from), plain, primitive->weights_desc, weights->data);
    desc_clear(&from);
    if (st) {
        fsd_dnnl_weights_free(weights);
        return failed(err, st, "the layout of a weight");
    }
    *out = weights;
    return FSD_OK;
}

void fsd_dnnl_weights_free(fsd_dnnl_weights *weights)
{
    if (!weights)
        return;
    desc_clear(&weights->layout);
    free(weights->data);
    fsd_free(weights);
}

static fsd_status lay_out_anew(fsd_dnnl *dnnl, fsd_dnnl_weights *weights,
                               const fsd_dnnl_primitive *primitive, fsd_error *err)
{
    void *data = aligned(primitive->weights_bytes);
    dnnl_status_t st;

    if (!data)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a weight of %zu bytes",
                        primitive->weights_bytes);
    st = reorder(dnnl, MD(weights->layout), weights->data, primitive->weights_desc, data);
    if (!st) {
        desc_clear(&weights->layout);
        st = desc_copy(&weights->layout, primitive->weights_desc);
    }
    if (st) {
        free(data);
        return failed(err, st, "another layout of a weight");
    }
    free(weights->data);
    weights->data = data;
    weights->bytes = primitive->weights_bytes;
    return FSD_OK;
}

fsd_status fsd_dnnl_run(fsd_dnnl *dnnl, fsd_dnnl_primitive *p, const void *x,
                        fsd_dnnl_weights *weights, const float *bias, void *y, void *scratch,
                        fsd_error *err)
{
    dnnl_exec_arg_t args[5];
    int count = 0;
    dnnl_status_t st;

    if (!dnnl_memory_desc_equal(MD(weights->layout), p->weights_desc)) {
        const fsd_status anew = lay_out_anew(dnnl, weights, p, err);

        if (anew)
            return anew;
    }
    st = dnnl_memory_set_data_handle(p->x, (void *)(uintptr_t)x);
    if (!st)
        st = dnnl_memory_set_data_handle(p->weights, weights->data);
    if (!st && p->bias)
        st = dnnl_memory_set_data_handle(p->bias, (void *)(uintptr_t)bias);
    if (!st)
        st = dnnl_memory_set_data_handle(p->y, y);
    if (!st)
        st = dnnl_memory_set_data_handle(p->scratch, scratch);
    if (st)
        return failed(err, st, "its operands");
    args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SRC, p->x};
    args[count++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, p->weights};
    args[count++] = (dnnl_exec_arg_t){DNNL_ARG_DST, p->y};
    args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, p->scratch};
    if (p->bias)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, p->bias};
    st = dnnl_primitive_execute(p->primitive, dnnl->stream, count, args);
    if (!st)
        st = dnnl_stream_wait(dnnl->stream);
    return st ? failed(err, st, "the product") : FSD_OK;
}
