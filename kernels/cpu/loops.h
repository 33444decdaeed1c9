/* loops.h: the inner loops that exist once per instruction set, behind one table.
 *
 * attention.c, norm.c and pointwise.c divide the work among threads and call through this table;
 * what a row of it computes is in *_loops.h. Division of work never changes a sum: the same input
 * gives the same bits for any number of threads, on one instruction set. */
#ifndef FSD_KERNELS_CPU_LOOPS_H
#define FSD_KERNELS_CPU_LOOPS_H

#include "kernels/attention.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"

enum {
    FSD_CPU_ATTENTION_VECTORS = 3, /* a tile of queries is at most so many vectors */
    FSD_CPU_ATTENTION_BLOCK = 128, /* keys */
    FSD_CPU_MAX_LANES = 16,        /* arrays of channels are padded to a multiple of it */
};

/* One call of attention: its sizes and its panels (attention_loops.h). */
typedef struct fsd_cpu_attention_job {
    const fsd_attention *p;
    int64_t units;     /* of a query or key */
    int64_t keys;      /* n_k, up to a multiple of rows */
    int64_t key_units; /* of a channel of V */
    int64_t dims;      /* dim, up to a multiple of lanes */
    float *k, *v;
} fsd_cpu_attention_job;

typedef struct fsd_cpu_attention_loops {
    int rows, lanes;
    bool pairs; /* units are two bf16 */
    /* K and V of keys [first, end), both multiples of rows. */
    void (*pack)(const fsd_cpu_attention_job *job, int64_t image, int head, int64_t first, int64_t end);
    /* Queries from `first` on, `vectors` * lanes of them, with a scratch of the thread's own. */
    void (*attend)(const fsd_cpu_attention_job *job, float *scratch, int64_t image, int head,
                   int64_t first, int vectors);
} fsd_cpu_attention_loops;

/* Some rows of one input of a group norm, each channel with numbers of its own. */
typedef struct fsd_cpu_channel_scale {
    const void *x; /* (rows, channels) */
    void *y;       /* (rows, ldy), the first `channels` of each */
    int64_t rows, channels, ldy;
    const float *mean, *scale, *bias; /* (channels, padded) */
} fsd_cpu_channel_scale;

/* [2] is by storage type: fp32, bf16. */
typedef struct fsd_cpu_loops {
    const char *name; /* "AVX-512 with bf16" */
    fsd_cpu_attention_loops attention[2];
    /* Of x (rows, channels): means, and sums of squared deviations from them. */
    void (*channel_stats[2])(const void *x, int64_t rows, int64_t channels, double *mean,
                             double *squares);
    void (*channel_scale[2])(const fsd_cpu_channel_scale *p, bool silu);
    void (*layer_norm[2])(const fsd_layer_norm *p, int64_t first, int64_t end); /* rows */
    void (*unary[2])(const fsd_unary *p, int64_t first, int64_t end);           /* elements */
    /* GEGLU of `rows` rows: y (rows, ldy) = v * gelu(g), vg (rows, 2 * out). */
    void (*gate[2])(void *y, const void *vg, int64_t rows, int64_t ldy, int64_t out);
    /* to = act(sum) + residual (or NULL) */
    void (*finish[2])(void *to, const float *sum, const void *residual, int64_t count, fsd_act act);
    /* Conversion of weights, from any alignment: F16 to either, F32 to bf16. */
    void (*halves[2])(void *to, const void *from, int64_t count);
    void (*floats_to_bf16)(void *to, const void *from, int64_t count);
} fsd_cpu_loops;

enum { FSD_CPU_LOOPS = 4 };
extern const fsd_cpu_loops fsd_cpu_loops_plain, fsd_cpu_loops_avx2, fsd_cpu_loops_avx512,
    fsd_cpu_loops_avx512bf16; /* all but the first on x86-64 only */

/* Those this machine can run, fastest first; how many. */
int fsd_cpu_loops_list(const fsd_cpu_loops *list[FSD_CPU_LOOPS]);
/* The fastest of them, or what a test has chosen (NULL: the fastest again). */
const fsd_cpu_loops *fsd_cpu_loops_best(void);
void fsd_cpu_loops_choose(const fsd_cpu_loops *loops);

#endif
