/* fastconv.h - the public header of the native core, and its manual.
 *
 * Three steps, each a function of the one before:
 *
 *   problem   what is to be computed: extents only.      fc_conv_init, fc_pool_init validate it once.
 *   plan      how: pass, algorithm, blocking, memory.    fc_conv_plan_init, fc_pool_plan_init decide.
 *   run       with which data: pointers and strides.     fc_conv_run, fc_pool_run compute.
 *
 * Problems and plans hold no heap pointers: copy, cache and drop them freely. A plan is a pure function of the problem
 * and the active instruction-set level; the number of threads never changes a result, only when it is there.
 * The core allocates nothing while it runs: scratch memory and packed weights are the caller's, their sizes the plan's.
 *
 * Memory layouts. Callers hand in strided tensors of any layout (struct fc_tensor). Inside, activations are blocked:
 * [batch][channels / 16][spatial][16], the last block padded with zeros, 16 on every level, so that no code outside
 * csrc/isa knows how wide a vector is.
 *
 * Results: the same bits from run to run, for every number of threads, every split of a batch, every input layout.
 * Not across instruction-set levels. NaN and infinity propagate as in the plain sum; padding counts as x = 0.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FASTCONV_H
#define FASTCONV_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    FC_OK,
    FC_INVALID,      /* an extent out of range, or extents that contradict each other */
    FC_UNSUPPORTED,  /* the algorithm asked for does not apply: see fc_conv_plan.reason */
    FC_OVERFLOW,     /* a size does not fit into ptrdiff_t */
    FC_NO_MEMORY,
    FC_INTERRUPTED   /* the interrupt hook asked to stop; outputs are unspecified */
} fc_status;

typedef enum { FC_F32, FC_F64 } fc_dtype;

/* ---- Problems ---------------------------------------------------------------------------------------------------
 * Spatial arrays always have three axes: depth, height, width. 1-D and 2-D problems have leading 1s. */

enum { FC_AXES = 3 };

/* What padding shows of an input a b c d: 0 0|a b c d|0 0, c b|a b c d|c b, a a|a b c d|d d or c d|a b c d|a b. */
typedef enum { FC_ZEROS, FC_REFLECT, FC_REPLICATE, FC_CIRCULAR } fc_border;

typedef struct {
    fc_dtype dtype;
    fc_border border;                     /* all but FC_ZEROS: no backward-data, which is that of the padded input, folded */
    int64_t batch;                        /* >= 0 */
    int64_t groups;                       /* divides both channel counts */
    int64_t in_channels, out_channels;    /* >= 1, totals over all groups */
    int64_t in[FC_AXES];                  /* input extents, >= 1 */
    int64_t kernel[FC_AXES], stride[FC_AXES], dilation[FC_AXES];    /* 1 .. 2^31 - 1 */
    int64_t pad_lo[FC_AXES], pad_hi[FC_AXES];    /* 0 .. 2^31 - 1; less than the input to reflect it, at most it in a circle */
    int64_t out[FC_AXES];                 /* derived: (in + pads - (dilation * (kernel - 1) + 1)) / stride + 1 */
} fc_conv;

/* Checks every field and derives out. FC_INVALID, or FC_OVERFLOW if a tensor has too many elements. */
fc_status fc_conv_init(fc_conv *problem);

/* Multiply-accumulates of one pass, padding included. */
double fc_conv_macs(const fc_conv *problem);

typedef enum { FC_MAX_POOL, FC_AVG_POOL } fc_pool_kind;

typedef struct {
    fc_dtype dtype;
    fc_pool_kind kind;
    int64_t batch, channels;
    int64_t in[FC_AXES];
    int64_t kernel[FC_AXES], stride[FC_AXES], dilation[FC_AXES];
    int64_t pad_lo[FC_AXES], pad_hi[FC_AXES];    /* at most half of the effective kernel */
    int ceil_mode;            /* round the output size up; windows that start beyond the input and its lower padding are dropped */
    int count_include_pad;    /* average: padding counts in the divisor */
    int64_t divisor;          /* average: 0 = the window's size, else this number */
    int64_t out[FC_AXES];     /* derived */
} fc_pool;

fc_status fc_pool_init(fc_pool *problem);

/* ---- Tensors ------------------------------------------------------------------------------------------------------
 * Strides count elements and may be zero or negative. Channel c lies at (c / 16) * block + (c % 16) * channel: block is
 * 16 * channel in an ordinary array, and the size of a block of 16 channels in one that is in the blocked layout; there
 * the channels of a group have to begin with a block. */

typedef struct {
    void *data;
    ptrdiff_t batch, channel, block, space[FC_AXES];
} fc_tensor;

/* The whole tensor `plain` to or from the blocked layout [batch][channels / 16][space][16], contiguous at `blocked`. */
fc_status fc_reorder(fc_dtype dtype, int64_t batch, int64_t channels, const int64_t *space, const fc_tensor *plain, void *blocked,
                     int to_blocked, int threads);

/* ---- Convolution --------------------------------------------------------------------------------------------------*/

typedef enum { FC_FORWARD, FC_BACKWARD_DATA, FC_BACKWARD_WEIGHTS } fc_pass;
/* FC_DIRECT is the best one of FC_BLOCKED, FC_PLANAR and, where it applies, depthwise; FC_WINOGRAD the better one of
 * FC_WINOGRAD_2, F(2x2,3x3), and FC_WINOGRAD_4, F(4x4,3x3). */
typedef enum {
    FC_AUTO, FC_DIRECT, FC_BLOCKED, FC_PLANAR, FC_IM2COL, FC_WINOGRAD, FC_WINOGRAD_2, FC_WINOGRAD_4
} fc_algorithm_name;

struct fc_algorithm;
struct fc_kernels;

typedef struct {
    fc_conv problem;
    fc_pass pass;
    const struct fc_algorithm *algorithm;
    const struct fc_kernels *kernels;
    size_t workspace;           /* bytes of scratch memory for each thread, a multiple of 64 */
    size_t packed;              /* bytes of the packed weights, a multiple of 64; 0 for backward-weights */
    double seconds;             /* predicted time on one thread */
    char reason[96];            /* why this algorithm, or why the one asked for does not apply */
} fc_conv_plan;

/* Chooses the algorithm (FC_AUTO: the cost model; strict: Winograd is left out) and everything else.
 * FC_UNSUPPORTED if the named algorithm does not apply; plan->reason then says why. */
fc_status fc_conv_plan_init(fc_conv_plan *plan, const fc_conv *problem, fc_pass pass, fc_algorithm_name name, int strict);

const char *fc_conv_plan_algorithm(const fc_conv_plan *plan);    /* "direct", "im2col" or "winograd" */
const char *fc_conv_plan_variant(const fc_conv_plan *plan);      /* what exactly: "F(4x4,3x3)", "depthwise", ... */

const char *fc_conv_plan_isa(const fc_conv_plan *plan);          /* the level its kernels belong to */

typedef struct {
    fc_tensor x;            /* input, or its gradient in backward-data */
    fc_tensor y;            /* output, or its gradient in both backward passes */
    void *weight;           /* [out_channels][in_channels / groups][kernel...], contiguous; written by backward-weights */
    const void *bias;       /* out_channels values or NULL; forward only */
    int relu;               /* forward only: y = max(0, that), NaN where it is NaN */
    void *packed;           /* plan.packed bytes, 64-byte aligned; filled by fc_conv_pack */
    void *workspace;        /* threads * plan.workspace bytes, 64-byte aligned */
    int threads;
} fc_conv_data;

/* Brings the weights (and the bias) into the order in which the plan's kernels read them. */
fc_status fc_conv_pack(const fc_conv_plan *plan, const fc_conv_data *data);

/* Whether weights packed for one plan serve the other: same pass, algorithm, level, type, channels, kernel, stride,
 * dilation. Batch, input size and padding may differ. */
int fc_conv_packs_alike(const fc_conv_plan *a, const fc_conv_plan *b);

/* Runs the pass. Every element of its result is overwritten, never accumulated into. */
fc_status fc_conv_run(const fc_conv_plan *plan, const fc_conv_data *data);

/* How many threads are worth waking for so much work on one: at most max_threads, 1 where a piece would be under 20 us. */
int fc_threads_for(double seconds, int max_threads);

/* sums[c] = sum of t over the batch and space: the gradient of a bias. Summed in blocks, like backward-weights.
 * workspace: threads * fc_sum_workspace(dtype) bytes. */
size_t fc_sum_workspace(fc_dtype dtype);
fc_status fc_sum_channels(fc_dtype dtype, int64_t batch, int64_t channels, const int64_t *space, const fc_tensor *t,
                          void *sums, void *workspace, int threads);

/* ---- Pooling ------------------------------------------------------------------------------------------------------*/

typedef struct {
    fc_pool problem;
    const struct fc_kernels *kernels;
    size_t workspace;       /* bytes for each thread, a multiple of 64, for either pass */
    double seconds;         /* predicted time of either pass on one thread */
} fc_pool_plan;

/* A maximum is the first of equals in row-major order; NaN is greater than every number, and the last NaN counts. Windows
 * are clipped to the input, average windows to the padded input where padding counts. A window that misses the input
 * (only dilation can do that) gives -infinity at the first row and column, or the average 0. */
fc_status fc_pool_plan_init(fc_pool_plan *plan, const fc_pool *problem);

typedef struct {
    fc_tensor x;            /* input, or its gradient */
    fc_tensor y;            /* output, or its gradient */
    fc_tensor indices;      /* int64 positions (d*height + h)*width + w of the maxima, or data = NULL */
    fc_tensor codes;        /* or, a byte each, (kd*kernel[1] + kh)*kernel[2] + kw of their taps; or data = NULL */
    void *workspace;        /* threads * plan.workspace bytes, 64-byte aligned; none for fc_max_pool_backward */
    int threads;
} fc_pool_data;

/* Whether the maxima of a problem have codes: windows are not dilated and have at most 256 taps. */
int fc_pool_has_codes(const fc_pool *problem);

/* y (and indices or codes) from x. FC_OVERFLOW: indices into a float32 window that spans 2^31 elements or more.
 * FC_UNSUPPORTED: codes where there are none. */
fc_status fc_pool_run(const fc_pool_plan *plan, const fc_pool_data *data);
fc_status fc_avg_pool_backward(const fc_pool_plan *plan, const fc_pool_data *data);    /* x from y */

/* x = 0, then x[maximum] += y in row-major order, for the codes that the plan's forward pass has written. */
fc_status fc_max_pool_backward_codes(const fc_pool_plan *plan, const fc_pool_data *data);

/* x = 0, then x[n, c][indices] += y in row-major order; FC_INVALID, and x untouched, if an index lies outside its plane. */
fc_status fc_max_pool_backward(fc_dtype dtype, int64_t batch, int64_t channels, const int64_t *in, const int64_t *out,
                               const fc_pool_data *data);

/* ---- Element-wise operations --------------------------------------------------------------------------------------*/

/* Functions of a, then functions of a and b. NaN stays NaN; p and q are numbers. */
typedef enum {
    FC_RELU,                /* max(0, a); -0 stays -0 */
    FC_CLIP,                /* min(max(a, p), q) */
    FC_LEAKY_RELU,          /* a where a > 0, else p a */
    FC_ELU,                 /* q a where a > 0, else p (e^a - 1) */
    FC_SIGMOID,             /* s(a) = 1 / (1 + e^-a) */
    FC_SILU,                /* a s(a) */
    FC_ERF,
    FC_GELU,                /* a N(a), N the cumulative normal distribution */
    FC_GELU_TANH,           /* a / 2 (1 + tanh(sqrt(2 / pi) (a + 0.044715 a^3))) */
    FC_HARDSIGMOID,         /* h(a) = min(max(a + 3, 0), 6) / 6 */
    FC_HARDSWISH,           /* a h(a) */
    FC_SOFTSIGN,            /* a / (1 + |a|) */
    FC_RELU_BACKWARD,       /* a where b > 0 or b is NaN, else 0 */
    FC_ADD,                 /* a + b */
    FC_ADD_RELU,            /* max(0, a + b) */
    FC_CLIP_BACKWARD,       /* from here on: the gradient a times the derivative at b; here 0 at p and q */
    FC_LEAKY_RELU_BACKWARD, FC_ELU_BACKWARD,
    FC_SIGMOID_BACKWARD, FC_TANH_BACKWARD,    /* b is the value s(x), tanh(x) */
    FC_SILU_BACKWARD, FC_ERF_BACKWARD, FC_GELU_BACKWARD, FC_GELU_TANH_BACKWARD, FC_HARDSIGMOID_BACKWARD, FC_HARDSWISH_BACKWARD,
    FC_SOFTPLUS_BACKWARD,   /* of log(1 + e^(p b)) / p, taken for b where p b > q */
    FC_SOFTSIGN_BACKWARD
} fc_act;

/* n adjacent elements; `to` may be a or b. */
fc_status fc_act_run(fc_dtype dtype, fc_act act, void *to, const void *a, const void *b, double p, double q, int64_t n, int threads);

/* ---- Optimisers ---------------------------------------------------------------------------------------------------
 * In place, on n adjacent elements; with ascend g counts negative.
 *
 *     fc_sgd     g += decay p;   v = momentum v + gain g;   p -= rate (g without v, or v, or nesterov: g + momentum v)
 *     fc_adam    p *= keep;   g += decay p;   m += gain (g - m);   v = momentum v + square_gain g^2
 *                p -= rate m / (sqrt(v or the largest v so far) / root + eps)
 *     fc_rmsprop g += decay p;   v = keep v + gain g^2;   a += gain (g - a)
 *                s = g / (sqrt(v, or with a v - a^2) + eps);   m = momentum m + s;   p -= rate (s, or with m m)
 *     fc_adagrad g += decay p;   v += g^2;   p -= rate g / (sqrt(v) + eps) */

typedef struct {
    fc_dtype dtype;
    int64_t n;
    void *p;
    const void *g;
    void *state[3];    /* fc_sgd: v or NULL. fc_adam: m, v, the largest v or NULL. fc_rmsprop: v, m or NULL, a or NULL.
                          fc_adagrad: v */
    double rate, decay, momentum, gain, keep, square_gain, root, eps;
    int nesterov, ascend, threads;
} fc_update;

fc_status fc_sgd(const fc_update *u);
fc_status fc_adam(const fc_update *u);
fc_status fc_rmsprop(const fc_update *u);
fc_status fc_adagrad(const fc_update *u);

/* ---- Batch normalisation ------------------------------------------------------------------------------------------
 * y = (x - mean) / sqrt(var + eps) * weight + bias per channel, or max(0, y) with relu. The statistics are the batch's, with
 * the variance of the population, or given. Channels from `features` on are the padding of a block and become 0. */

typedef struct {
    fc_dtype dtype;
    int64_t batch, channels, features, space[FC_AXES];
    double eps;
    int from_batch, relu;
    const void *weight, *bias;      /* `features` values each, or NULL: 1 and 0 */
    double *mean, *var;             /* written by forward if from_batch, else read */
    double *dweight, *dbias;        /* written by backward; both NULL: not wanted, nor needed if not from_batch */
    fc_tensor x;                    /* input */
    fc_tensor grad;                 /* gradient of y; data = NULL in forward */
    fc_tensor to;                   /* y, or the gradient of x; there data = NULL: not wanted */
    void *workspace;                /* fc_norm_workspace bytes, 64-byte aligned */
    int threads;
} fc_norm;

size_t fc_norm_workspace(fc_dtype dtype, int threads);
fc_status fc_norm_forward(const fc_norm *n);     /* to.data NULL: the statistics only */
fc_status fc_norm_backward(const fc_norm *n);    /* from_batch: dweight and dbias may not be NULL */

/* ---- The machine --------------------------------------------------------------------------------------------------*/

/* Instruction-set levels, best first; NULL past the end. */
const char *fc_isa_name(int i);
int fc_isa_supported(int i);
const char *fc_isa_active(void);
/* FC_INVALID: no such level. FC_UNSUPPORTED: not on this CPU. Plans made earlier keep the level they were made for. */
fc_status fc_isa_force(const char *name);

typedef struct {
    size_t l1, l2, l3;      /* bytes: level-1 data, level 2, level 3 */
} fc_caches;

fc_caches fc_cache_sizes(void);

/* Seconds that one thread takes for 2 * `*flops` / 2 multiply-add operations of a register tile on data in the
 * level-1 cache: the rate every "percent of peak" refers to. */
double fc_peak_seconds(fc_dtype dtype, double *flops);

/* 64-byte aligned memory for packed weights and workspaces; NULL if there is none. */
void *fc_alloc(size_t bytes);
void fc_free(void *memory);

/* Called by the thread that started a computation, between pieces of it, about every 20 ms; non-zero stops it. */
void fc_set_interrupt(int (*hook)(void));

#endif
