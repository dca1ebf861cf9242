# SPDX-License-Identifier: BSD-3-Clause
"""The declarations of csrc/fastconv.h, which documents them."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

cdef extern from "fastconv.h" nogil:
    ctypedef enum fc_status:
        FC_OK, FC_INVALID, FC_UNSUPPORTED, FC_OVERFLOW, FC_NO_MEMORY, FC_INTERRUPTED
    ctypedef enum fc_dtype:
        FC_F32, FC_F64
    ctypedef enum fc_pass:
        FC_FORWARD, FC_BACKWARD_DATA, FC_BACKWARD_WEIGHTS
    ctypedef enum fc_algorithm_name:
        FC_AUTO, FC_DIRECT, FC_BLOCKED, FC_PLANAR, FC_IM2COL, FC_WINOGRAD, FC_WINOGRAD_2, FC_WINOGRAD_4
    ctypedef enum fc_pool_kind:
        FC_MAX_POOL, FC_AVG_POOL
    ctypedef struct fc_tensor:
        void *data
        ptrdiff_t batch, channel, block
        ptrdiff_t space[3]
    ctypedef enum fc_border:
        FC_ZEROS, FC_REFLECT, FC_REPLICATE, FC_CIRCULAR
    ctypedef struct fc_conv:
        fc_dtype dtype
        fc_border border
        int64_t batch, groups, in_channels, out_channels
        int64_t out[3]
        int64_t stride[3]
        int64_t dilation[3]
        int64_t kernel[3]
        int64_t pad_lo[3]
        int64_t pad_hi[3]
        int64_t input "in"[3]
    ctypedef struct fc_conv_plan:
        fc_conv problem
        fc_pass pass_ "pass"
        const void *algorithm
        const void *kernels
        size_t workspace, packed
        double seconds
        const char *reason
    ctypedef struct fc_conv_data:
        fc_tensor x, y
        void *weight
        const void *bias
        int relu
        void *packed
        void *workspace
        int threads
    ctypedef struct fc_pool:
        fc_dtype dtype
        fc_pool_kind kind
        int64_t batch, channels
        int64_t input "in"[3]
        int64_t kernel[3]
        int64_t stride[3]
        int64_t dilation[3]
        int64_t pad_lo[3]
        int64_t pad_hi[3]
        int ceil_mode, count_include_pad
        int64_t divisor
        int64_t out[3]
    ctypedef struct fc_pool_plan:
        fc_pool problem
        size_t workspace
        double seconds
    ctypedef struct fc_pool_data:
        fc_tensor x, y, indices, codes
        void *workspace
        int threads
    ctypedef enum fc_act:
        FC_RELU, FC_CLIP, FC_LEAKY_RELU, FC_ELU, FC_SIGMOID, FC_SILU, FC_ERF, FC_GELU, FC_GELU_TANH,
        FC_HARDSIGMOID, FC_HARDSWISH, FC_SOFTSIGN, FC_RELU_BACKWARD, FC_ADD, FC_ADD_RELU, FC_CLIP_BACKWARD,
        FC_LEAKY_RELU_BACKWARD, FC_ELU_BACKWARD, FC_SIGMOID_BACKWARD, FC_TANH_BACKWARD, FC_SILU_BACKWARD,
        FC_ERF_BACKWARD, FC_GELU_BACKWARD, FC_GELU_TANH_BACKWARD, FC_HARDSIGMOID_BACKWARD, FC_HARDSWISH_BACKWARD,
        FC_SOFTPLUS_BACKWARD, FC_SOFTSIGN_BACKWARD
    ctypedef struct fc_update:
        fc_dtype dtype
        int64_t n
        void *p
        const void *g
        void *state[3]
        double rate, decay, momentum, gain, keep, square_gain, root, eps
        int nesterov, ascend, threads
    ctypedef struct fc_norm:
        fc_dtype dtype
        int64_t batch, channels, features
        int64_t space[3]
        double eps
        int from_batch, relu
        const void *weight
        const void *bias
        double *mean
        double *var
        double *dweight
        double *dbias
        fc_tensor x, grad, to
        void *workspace
        int threads
    ctypedef struct fc_caches:
        size_t l1, l2, l3

    fc_status fc_reorder(fc_dtype, int64_t, int64_t, const int64_t *, const fc_tensor *, void *, int, int)
    fc_status fc_conv_init(fc_conv *)
    double fc_conv_macs(const fc_conv *)
    fc_status fc_conv_plan_init(fc_conv_plan *, const fc_conv *, fc_pass, fc_algorithm_name, int strict)
    const char *fc_conv_plan_algorithm(const fc_conv_plan *)
    const char *fc_conv_plan_variant(const fc_conv_plan *)
    fc_status fc_conv_pack(const fc_conv_plan *, const fc_conv_data *)
    fc_status fc_conv_run(const fc_conv_plan *, const fc_conv_data *)
    int fc_conv_packs_alike(const fc_conv_plan *, const fc_conv_plan *)
    const char *fc_conv_plan_isa(const fc_conv_plan *)
    int fc_threads_for(double seconds, int max_threads)
    size_t fc_sum_workspace(fc_dtype)
    fc_status fc_pool_init(fc_pool *)
    fc_status fc_pool_plan_init(fc_pool_plan *, const fc_pool *)
    fc_status fc_pool_run(const fc_pool_plan *, const fc_pool_data *)
    int fc_pool_has_codes(const fc_pool *)
    fc_status fc_max_pool_backward_codes(const fc_pool_plan *, const fc_pool_data *)
    fc_status fc_avg_pool_backward(const fc_pool_plan *, const fc_pool_data *)
    fc_status fc_max_pool_backward(fc_dtype, int64_t, int64_t, const int64_t *, const int64_t *, const fc_pool_data *)
    fc_status fc_sum_channels(fc_dtype, int64_t, int64_t, const int64_t *, const fc_tensor *, void *, void *, int)
    fc_status fc_act_run(fc_dtype, fc_act, void *, const void *, const void *, double, double, int64_t, int)
    fc_status fc_sgd(const fc_update *)
    fc_status fc_adam(const fc_update *)
    fc_status fc_rmsprop(const fc_update *)
    fc_status fc_adagrad(const fc_update *)
    size_t fc_norm_workspace(fc_dtype, int)
    fc_status fc_norm_forward(const fc_norm *)
    fc_status fc_norm_backward(const fc_norm *)
    const char *fc_isa_name(int)
    int fc_isa_supported(int)
    const char *fc_isa_active()
    fc_status fc_isa_force(const char *)
    fc_caches fc_cache_sizes()
    double fc_peak_seconds(fc_dtype, double *)
    void *fc_alloc(size_t)
    void fc_free(void *)
    void fc_set_interrupt(int (*)() noexcept nogil)
