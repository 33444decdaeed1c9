#include "kernels/cpu/dnnl.h"

#include "kernels/pack.h"

#include "engine/base/mem.h"

#include <dnnl.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t desc; /* owned: desc_clear */
#define MD(d) (d)
#else
typedef dnnl_memory_desc_t desc; /* a plain struct */
typedef const dnnl_memory_desc_t *const_dnnl_memory_desc_t;
#define MD(d) (&(d))
#endif

enum { BUCKETS = 256, PRIMITIVES = 256 /* of about 200 KB of machine code each */ };

struct fsd_dnnl_primitive {
    fsd_dnnl_job job;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;                 /* NULL until the first run: that compiles */
    dnnl_memory_t x, weights, bias, y, scratch; /* their addresses are set at each run */
    const_dnnl_memory_desc_t weights_desc;      /* borrowed from pd */
    size_t scratch_bytes, weights_bytes;
    struct fsd_dnnl_primitive *next;          /* of the bucket */
    struct fsd_dnnl_primitive *newer, *older; /* by last use */
};

struct fsd_dnnl_weights {
    fsd_dnnl_job job;
    desc layout;
    void *data;
};

struct fsd_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int threads;
    int primitives;
    fsd_dnnl_primitive *bucket[BUCKETS];
    fsd_dnnl_primitive *newest, *oldest;
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

static dnnl_status_t desc_part(desc *d, const_dnnl_memory_desc_t of, const dnnl_dims_t dims,
                               const dnnl_dims_t offsets)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_submemory(d, of, dims, offsets);
#else
    return dnnl_memory_desc_init_submemory(d, of, dims, offsets);
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
    return dnnl_matmul_primitive_desc_create(pd, engine, d[0], d[1], bias ? d[2] : NULL, d[3],
                                             attr);
#else
    dnnl_matmul_desc_t op;
    const dnnl_status_t st = dnnl_matmul_desc_init(&op, &d[0], &d[1], bias ? &d[2] : NULL, &d[3]);

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
        pd, engine, dnnl_forward_inference, dnnl_convolution_direct, d[0], d[1], bias ? d[2] : NULL,
        d[3], strides, dilates, before, after, attr);
#else
    dnnl_convolution_desc_t op;
    const dnnl_status_t st = dnnl_dilated_convolution_forward_desc_init(
        &op, dnnl_forward_inference, dnnl_convolution_direct, &d[0], &d[1], bias ? &d[2] : NULL,
        &d[3], strides, dilates, before, after);

    return st ? st : dnnl_primitive_desc_create(pd, &op, attr, engine, NULL);
#endif
}

/* --- primitives ------------------------------------------------------------------------------ */

fsd_status fsd_dnnl_open(fsd_dnnl **out, int threads, fsd_error *err)
{
    fsd_dnnl *dnnl = fsd_alloc(sizeof *dnnl);
    dnnl_status_t st;

    *out = NULL;
    if (!dnnl)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for oneDNN");
    dnnl->threads = threads;
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

static size_t hash(const fsd_dnnl_job *job)
{
    const unsigned char *bytes = (const unsigned char *)job;
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < sizeof *job; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    return (size_t)(h >> 32) % BUCKETS;
}

static void list_remove(fsd_dnnl *dnnl, fsd_dnnl_primitive *p)
{
    *(p->newer ? &p->newer->older : &dnnl->newest) = p->older;
    *(p->older ? &p->older->newer : &dnnl->oldest) = p->newer;
}

static void list_add(fsd_dnnl *dnnl, fsd_dnnl_primitive *p)
{
    p->newer = NULL;
    p->older = dnnl->newest;
    *(p->older ? &p->older->newer : &dnnl->oldest) = p;
    dnnl->newest = p;
}

static void forget(fsd_dnnl *dnnl, fsd_dnnl_primitive *p)
{
    fsd_dnnl_primitive **link = &dnnl->bucket[hash(&p->job)];

    while (*link != p)
        link = &(*link)->next;
    *link = p->next;
    list_remove(dnnl, p);
    dnnl->primitives--;
    primitive_free(p);
}

void fsd_dnnl_close(fsd_dnnl *dnnl)
{
    if (!dnnl)
        return;
    while (dnnl->newest)
        forget(dnnl, dnnl->newest);
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

/* oneDNN asks OpenMP how many threads it may use, which is a setting of the calling thread's; and
 * it divides its scratch by the answer, so that it must be the same whenever we call. */
static void use_threads(const fsd_dnnl *dnnl)
{
#ifdef _OPENMP
    omp_set_num_threads(dnnl->threads);
#else
    (void)dnnl;
#endif
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

static const_dnnl_memory_desc_t query(const fsd_dnnl_primitive *p, dnnl_query_t what, int index)
{
    return dnnl_primitive_desc_query_md(p->pd, what, index);
}

static dnnl_status_t make_memory(fsd_dnnl *dnnl, dnnl_memory_t *memory, const_dnnl_memory_desc_t of)
{
    return dnnl_memory_create(memory, of, dnnl->engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t make_memories(fsd_dnnl *dnnl, fsd_dnnl_primitive *p)
{
    dnnl_status_t st = make_memory(dnnl, &p->x, query(p, dnnl_query_src_md, 0));

    if (!st)
        st = make_memory(dnnl, &p->weights, p->weights_desc);
    if (!st && p->job.bias) /* which is the second of the weights */
        st = make_memory(dnnl, &p->bias, query(p, dnnl_query_weights_md, 1));
    if (!st)
        st = make_memory(dnnl, &p->y, query(p, dnnl_query_dst_md, 0));
    if (!st)
        st = make_memory(dnnl, &p->scratch, query(p, dnnl_query_scratchpad_md, 0));
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
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 4; i++)
        desc_clear(&d[i]);
    if (!st) {
        p->weights_desc = query(p, dnnl_query_weights_md, 0);
        p->weights_bytes = dnnl_memory_desc_get_size(p->weights_desc);
        p->scratch_bytes = dnnl_memory_desc_get_size(query(p, dnnl_query_scratchpad_md, 0));
        st = make_memories(dnnl, p);
    }
    return st ? failed(err, st, job->kh ? "this convolution" : "this product") : FSD_OK;
}

/* The job whose weights all others like `job` use. */
static fsd_dnnl_job typical(const fsd_dnnl_job *job)
{
    fsd_dnnl_job t;

    memset(&t, 0, sizeof t);
    t.input = t.output = job->input;
    t.bias = 1;
    t.in = job->in;
    t.out = job->out;
    if (!job->kh) {
        t.rows = 256;
        t.ldx = t.in;
        t.ldy = t.out;
        return t;
    }
    t.kh = job->kh;
    t.kw = job->kw;
    t.stride = 1;
    t.top = t.kh / 2;
    t.left = t.kw / 2;
    t.bottom = (t.kh - 1) / 2;
    t.right = (t.kw - 1) / 2;
    t.n = 1;
    t.h = t.w = 64 > t.kh && 64 > t.kw ? 64 : t.kh + t.kw;
    return t;
}

static dnnl_status_t make_reorder(fsd_dnnl *dnnl, dnnl_primitive_t *out,
                                  const_dnnl_memory_desc_t from, const_dnnl_memory_desc_t to)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t st =
        dnnl_reorder_primitive_desc_create(&pd, from, dnnl->engine, to, dnnl->engine, NULL);

    if (!st) {
        st = dnnl_primitive_create(out, pd);
        dnnl_primitive_desc_destroy(pd);
    }
    return st;
}

fsd_status fsd_dnnl_find(fsd_dnnl *dnnl, fsd_dnnl_primitive **out, const fsd_dnnl_job *job,
                         fsd_error *err)
{
    fsd_dnnl_primitive **bucket = &dnnl->bucket[hash(job)], *p = *bucket;
    fsd_status st;

    while (p && memcmp(&p->job, job, sizeof *job) != 0)
        p = p->next;
    *out = p;
    if (p) {
        list_remove(dnnl, p);
        list_add(dnnl, p);
        return FSD_OK;
    }
    p = fsd_alloc(sizeof *p);
    if (!p)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a primitive");
    memcpy(&p->job, job, sizeof *job);
    use_threads(dnnl);
    st = make_primitive(dnnl, p, err);
    if (st) {
        primitive_free(p);
        return st;
    }
    if (dnnl->primitives == PRIMITIVES)
        forget(dnnl, dnnl->oldest);
    p->next = *bucket;
    *bucket = *out = p;
    list_add(dnnl, p);
    dnnl->primitives++;
    return FSD_OK;
}

size_t fsd_dnnl_scratch(const fsd_dnnl_primitive *primitive)
{
    return primitive->scratch_bytes;
}

/* --- weights --------------------------------------------------------------------------------- */

size_t fsd_dnnl_weights_bytes(fsd_dnnl *dnnl, const fsd_dnnl_job *job)
{
    const fsd_dnnl_job t = typical(job);
    fsd_dnnl_primitive *p;

    return fsd_dnnl_find(dnnl, &p, &t, NULL) ? 0 : p->weights_bytes;
}

fsd_status fsd_dnnl_weights_new(fsd_dnnl *dnnl, fsd_dnnl_weights **out, const fsd_dnnl_job *job,
                                fsd_error *err)
{
    const fsd_dnnl_job t = typical(job);
    fsd_dnnl_primitive *p;
    fsd_dnnl_weights *weights;
    fsd_status st = fsd_dnnl_find(dnnl, &p, &t, err);

    *out = NULL;
    if (st)
        return st;
    weights = fsd_alloc(sizeof *weights);
    if (!weights)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a weight");
    memcpy(&weights->job, &t, sizeof t);
    weights->data = fsd_aligned_new(p->weights_bytes);
    if (!weights->data || desc_copy(&weights->layout, p->weights_desc)) {
        fsd_dnnl_weights_free(weights);
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a weight of %zu bytes",
                        p->weights_bytes);
    }
    *out = weights;
    return FSD_OK;
}

void fsd_dnnl_weights_free(fsd_dnnl_weights *weights)
{
    if (!weights)
        return;
    desc_clear(&weights->layout);
    fsd_aligned_free(weights->data);
    fsd_free(weights);
}

static dnnl_status_t run_reorder(fsd_dnnl *dnnl, dnnl_primitive_t reorder, dnnl_memory_t from,
                                 dnnl_memory_t to)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    const dnnl_status_t st = dnnl_primitive_execute(reorder, dnnl->stream, 2, args);

    return st ? st : dnnl_stream_wait(dnnl->stream);
}

/* oneDNN's memory is never const, but what is a source is only read. */
static dnnl_status_t reorder_once(fsd_dnnl *dnnl, const_dnnl_memory_desc_t from_desc,
                                  const void *from, const_dnnl_memory_desc_t to_desc, void *to)
{
    dnnl_memory_t in = NULL, out = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_status_t st = dnnl_memory_create(&in, from_desc, dnnl->engine, (void *)(uintptr_t)from);

    if (!st)
        st = dnnl_memory_create(&out, to_desc, dnnl->engine, to);
    if (!st)
        st = make_reorder(dnnl, &reorder, from_desc, to_desc);
    if (!st)
        st = run_reorder(dnnl, reorder, in, out);
    if (reorder)
        dnnl_primitive_destroy(reorder);
    if (out)
        dnnl_memory_destroy(out);
    if (in)
        dnnl_memory_destroy(in);
    return st;
}

fsd_status fsd_dnnl_weights_fill(fsd_dnnl *dnnl, fsd_dnnl_weights *weights, int64_t first,
                                 int64_t count, const void *plain, int64_t ld, fsd_error *err)
{
    const fsd_dnnl_job *job = &weights->job;
    const dnnl_dims_t conv = {count, job->in, job->kh, job->kw}, conv_at = {first, 0, 0, 0};
    const dnnl_dims_t product = {job->in, count}, product_at = {0, first};
    const dnnl_dims_t strides = {1, ld}; /* (out, in) read as (in, out) */
    const dnnl_data_type_t type = data_type(job->input);
    desc from, to;
    dnnl_status_t st;

    memset(&from, 0, sizeof from);
    memset(&to, 0, sizeof to);
    use_threads(dnnl);
    st = job->kh ? desc_tagged(&from, 4, conv, type, dnnl_oihw)
                 : desc_strided(&from, 2, product, type, strides);
    if (!st)
        st = desc_part(&to, MD(weights->layout), job->kh ? conv : product,
                       job->kh ? conv_at : product_at);
    if (!st)
        st = reorder_once(dnnl, MD(from), plain, MD(to), weights->data);
    desc_clear(&from);
    desc_clear(&to);
    return st ? failed(err, st, "the layout of a weight") : FSD_OK;
}

/* --- running --------------------------------------------------------------------------------- */

/* The weights in the layout that this job wants: laid out anew where another job left them in its own,
 * for good, as the next step of the same picture will want them so too. */
static dnnl_status_t set_weights(fsd_dnnl *dnnl, fsd_dnnl_primitive *p, fsd_dnnl_weights *weights)
{
    void *data;
    dnnl_status_t st;

    if (dnnl_memory_desc_equal(MD(weights->layout), p->weights_desc))
        return dnnl_memory_set_data_handle(p->weights, weights->data);
    data = fsd_aligned_new(p->weights_bytes);
    if (!data)
        return dnnl_out_of_memory;
    st = reorder_once(dnnl, MD(weights->layout), weights->data, p->weights_desc, data);
    if (st) {
        fsd_aligned_free(data);
        return st;
    }
    desc_clear(&weights->layout);
    st = desc_copy(&weights->layout, p->weights_desc);
    fsd_aligned_free(weights->data);
    weights->data = data;
    return st ? st : dnnl_memory_set_data_handle(p->weights, weights->data);
}

fsd_status fsd_dnnl_run(fsd_dnnl *dnnl, fsd_dnnl_primitive *p, const void *x,
                        fsd_dnnl_weights *weights, const float *bias, void *y, void *scratch,
                        fsd_error *err)
{
    dnnl_exec_arg_t args[5];
    int count = 0;
    dnnl_status_t st = dnnl_success;

    use_threads(dnnl);
    if (!p->primitive)
        st = dnnl_primitive_create(&p->primitive, p->pd);
    if (!st)
        st = set_weights(dnnl, p, weights);
    if (!st)
        st = dnnl_memory_set_data_handle(p->x, (void *)(uintptr_t)x);
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
