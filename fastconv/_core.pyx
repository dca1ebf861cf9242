# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=False
"""The only Cython: arrays to tensors, one crossing into C for each pass, status to exception. See _core.pyi."""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t
from libc.string cimport memmove, memset

import os
import threading

import numpy as np

cdef extern from "Python.h":
    int PyErr_CheckSignals() nogil
    unsigned long PyThread_get_thread_ident() nogil

from fastconv.capi cimport *

cdef dict PASSES = {"forward": FC_FORWARD, "backward_data": FC_BACKWARD_DATA, "backward_weights": FC_BACKWARD_WEIGHTS}
cdef dict ALGORITHMS = {
    "auto": FC_AUTO, "direct": FC_DIRECT, "im2col": FC_IM2COL, "winograd": FC_WINOGRAD,
    # one of several, for tests and measurements
    "blocked": FC_BLOCKED, "planar": FC_PLANAR, "winograd2": FC_WINOGRAD_2, "winograd4": FC_WINOGRAD_4,
}
cdef dict BORDERS = {"zeros": FC_ZEROS, "reflect": FC_REFLECT, "replicate": FC_REPLICATE, "circular": FC_CIRCULAR}
cdef dict POOLS = {"max": FC_MAX_POOL, "avg": FC_AVG_POOL}
cdef dict DTYPES = {"f4": FC_F32, "float32": FC_F32, "f8": FC_F64, "float64": FC_F64}

cdef int num_threads = 1

cdef int64_t BLOCK = 16    # channels of a block of the native layout


# ---- Ctrl-C: asked for by the thread that computes, if it is the one Python handles signals in ----------------------

cdef unsigned long main_thread = 0


cdef int signals_pending() noexcept with gil:
    return PyErr_CheckSignals()


cdef int interrupted() noexcept nogil:
    return signals_pending() if PyThread_get_thread_ident() == main_thread else 0


def _remember_main_thread():
    global main_thread
    main_thread = threading.main_thread().ident


_remember_main_thread()
os.register_at_fork(after_in_child=_remember_main_thread)
fc_set_interrupt(interrupted)


cdef int raise_pending() except -1:
    return -1    # with the exception that signals_pending() left


cdef int check(fc_status status) except -1:
    if status == FC_OK:
        return 0
    if status == FC_INTERRUPTED:
        raise_pending()
    if status == FC_OVERFLOW:
        raise OverflowError("an array of this problem would have more than 2**63 - 1 bytes")
    if status == FC_NO_MEMORY:
        raise MemoryError("no memory for scratch buffers")
    raise ValueError("the extents of the problem are out of range or contradict each other")


# ---- Memory of scratch buffers and results: kept for the next call ---------------------------------------------------
# Fresh pages cost more than small convolutions, and a fifth of a training step of a small network.

cdef size_t KEEP_BYTES = 256 << 20
cdef enum:
    KEEP_PIECES = 512
    SMALL = 32 << 10    # below, the C library reuses memory itself

cdef struct Piece:
    void *memory
    size_t bytes

cdef Piece kept[KEEP_PIECES]    # the oldest first; the lock is the GIL
cdef int kept_pieces = 0
cdef size_t kept_bytes = 0


cdef class Scratch:
    """Memory that goes back to `kept` with the last reference to it."""
    cdef void *memory
    cdef size_t bytes

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.memory, <Py_ssize_t>self.bytes, 0, flags)

    def __dealloc__(self):
        if self.memory != NULL:
            keep(self.memory, self.bytes)


cdef Scratch borrow(size_t bytes):
    cdef Scratch scratch = Scratch.__new__(Scratch)
    cdef int i, best = -1
    for i in range(kept_pieces):
        # a much larger piece is left for those who need it; of equals the last one is still in the cache
        if bytes <= kept[i].bytes <= bytes + bytes // 4 + (64 << 10) and (best < 0 or kept[i].bytes <= kept[best].bytes):
            best = i
    if best >= 0:
        scratch.bytes = kept[best].bytes
        scratch.memory = take(best)
        return scratch
    scratch.bytes = bytes
    scratch.memory = fc_alloc(bytes)
    if scratch.memory == NULL:
        raise MemoryError(f"no memory for {bytes} bytes of scratch buffers")
    return scratch


cdef void *take(int i) noexcept:
    global kept_pieces, kept_bytes
    cdef void *memory = kept[i].memory
    kept_bytes -= kept[i].bytes
    kept_pieces -= 1
    memmove(&kept[i], &kept[i + 1], (kept_pieces - i) * sizeof(Piece))
    return memory


cdef void keep(void *memory, size_t bytes) noexcept:
    global kept_pieces, kept_bytes
    if bytes > KEEP_BYTES:
        fc_free(memory)
        return
    while kept_pieces == KEEP_PIECES or kept_bytes + bytes > KEEP_BYTES:
        fc_free(take(0))
    kept[kept_pieces].memory = memory
    kept[kept_pieces].bytes = bytes
    kept_pieces += 1
    kept_bytes += bytes


cdef object numpy_dtype = np.dtype, numpy_empty = np.empty, numpy_array = np.ndarray


def empty(tuple shape, dtype):
    """np.empty, on kept memory where it is worth it."""
    cdef object bytes
    if not isinstance(dtype, numpy_dtype):
        dtype = numpy_dtype(dtype)
    bytes = dtype.itemsize
    for extent in shape:
        bytes = bytes * extent
    if not SMALL <= bytes <= KEEP_BYTES:
        return numpy_empty(shape, dtype)
    return numpy_array(shape, dtype, borrow(<size_t>bytes))


def scratch_bytes():
    return kept_bytes


def free_scratch():
    while kept_pieces:
        fc_free(take(0))


# ---- Arrays to tensors ----------------------------------------------------------------------------------------------

cdef class View:
    """A held buffer: the array stays alive and keeps its size while the GIL is released."""
    cdef Py_buffer buffer
    cdef bint held, blocked

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.buffer)


cdef View hold(object array, int flags):
    cdef View view = View.__new__(View)
    view.blocked = isinstance(array, Blocked)
    PyObject_GetBuffer((<Blocked>array).array if view.blocked else array, &view.buffer, flags)
    view.held = True
    return view


cdef class Blocked:
    """Images in the native layout, (N, C / 16, spatial..., 16), C-contiguous; C is a multiple of 16."""
    cdef readonly object array, dtype
    cdef readonly tuple shape

    def __init__(self, array):
        if array.ndim < 4 or array.shape[array.ndim - 1] != BLOCK or not array.flags.c_contiguous:
            raise ValueError(f"array: got shape {array.shape}, expected (N, C / 16, spatial..., 16), C-contiguous")
        self.array = array
        self.dtype = array.dtype
        self.shape = (array.shape[0], array.shape[1] * BLOCK, *array.shape[2:array.ndim - 1])

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return self.array.size

    def plain(self):
        """The same images as an array (N, C, spatial...)."""
        out = empty(self.shape, self.dtype)
        reorder(hold(out, PyBUF_STRIDES | PyBUF_WRITABLE), hold(self.array, PyBUF_STRIDES), False, False)
        return out


def empty_blocked(tuple shape, dtype):
    """Uninitialised images (N, C, spatial...) in the native layout; C is a multiple of 16."""
    n, channels, *space = shape
    return Blocked(empty((n, channels // BLOCK, *space, BLOCK), dtype))


def block(x, bint channels_last=False):
    """An array (N, C, spatial...), or with the channels last, in the native layout."""
    n, channels, *space = (x.shape[0], x.shape[x.ndim - 1], *x.shape[1:x.ndim - 1]) if channels_last else x.shape
    if channels % BLOCK:
        raise ValueError(f"x: got {channels} channels, expected a multiple of {BLOCK}")
    out = empty_blocked((n, channels, *space), x.dtype)
    reorder(hold(x, PyBUF_STRIDES), hold(out.array, PyBUF_STRIDES | PyBUF_WRITABLE), channels_last, True)
    return out


cdef int reorder(View plain, View blocked, bint channels_last, bint to_blocked) except -1:
    cdef fc_tensor t = tensor(plain, channels_last)
    cdef fc_dtype dtype = FC_F32 if plain.buffer.itemsize == 4 else FC_F64
    cdef int64_t space[3]
    cdef int64_t elements = extents(plain, channels_last, space), batch = plain.buffer.shape[0]
    cdef int64_t channels = blocked.buffer.shape[1] * BLOCK
    cdef int threads = fc_threads_for(0.5e-9 * elements, num_threads)
    cdef fc_status status
    with nogil:
        status = fc_reorder(dtype, batch, channels, space, &t, blocked.buffer.buf, to_blocked, threads)
    return check(status)


cdef fc_tensor tensor(View view, bint channels_last):
    """An array of 3 to 5 axes, (N, C, spatial...) or (N, spatial..., C), or one in the native layout."""
    cdef Py_buffer *b = &view.buffer
    cdef int spatial = b.ndim - (3 if view.blocked else 2), axis, first = 1 if channels_last and not view.blocked else 2
    cdef fc_tensor t
    t.data = b.buf
    t.batch = b.strides[0] // b.itemsize
    t.channel = 1 if view.blocked else b.strides[b.ndim - 1 if channels_last else 1] // b.itemsize
    t.block = b.strides[1] // b.itemsize if view.blocked else BLOCK * t.channel
    for axis in range(3):
        t.space[axis] = 0
    for axis in range(spatial):
        t.space[3 - spatial + axis] = b.strides[axis + first] // b.itemsize
    return t


cdef int item_bytes(fc_dtype dtype) noexcept:
    return 4 if dtype == FC_F32 else 8


cdef int64_t extents(View view, bint channels_last, int64_t *space) noexcept:
    """Fills the three spatial extents, 1 for the axes the array has not; returns the number of its elements."""
    cdef Py_buffer *b = &view.buffer
    cdef int spatial = b.ndim - (3 if view.blocked else 2), axis, first = 1 if channels_last and not view.blocked else 2
    cdef int64_t elements = b.shape[0] * channels_of(view, channels_last)
    for axis in range(3):
        space[axis] = 1 if axis < 3 - spatial else b.shape[axis - 3 + spatial + first]
        elements *= space[axis]
    return elements


cdef int64_t channels_of(View view, bint channels_last) noexcept:
    if view.blocked:
        return view.buffer.shape[1] * BLOCK
    return view.buffer.shape[view.buffer.ndim - 1 if channels_last else 1]


cdef int expect(View view, str name, int itemsize, int64_t batch, int64_t channels, const int64_t *space,
                bint channels_last) except -1:
    """That a buffer is what the plan was made for: the gate has seen to it, unless a thread resized the array since."""
    cdef Py_buffer *b = &view.buffer
    cdef int axis, spatial = b.ndim - (3 if view.blocked else 2), first = 1 if channels_last and not view.blocked else 2
    cdef bint fits = 1 <= spatial <= 3 and b.itemsize == itemsize and b.shape[0] == batch
    if view.blocked:
        fits = fits and b.shape[1] * BLOCK == channels and b.shape[b.ndim - 1] == BLOCK
    else:
        fits = fits and b.shape[b.ndim - 1 if channels_last else 1] == channels
    for axis in range(3):
        fits = fits and space[axis] == (1 if axis < 3 - spatial else b.shape[axis - 3 + spatial + first])
    if not fits:
        shape = tuple([b.shape[axis] for axis in range(b.ndim)])
        raise ValueError(f"{name}: got shape {shape} and {b.itemsize} bytes an element, expected batch {batch}, "
                         f"{channels} channels, extents {triple(space)} and {itemsize} bytes an element")
    return 0


cdef int expect_elements(View view, str name, fc_dtype dtype, int64_t elements) except -1:
    if view.buffer.len != elements * (4 if dtype == FC_F32 else 8):
        raise ValueError(f"{name}: got {view.buffer.len} bytes, expected {elements} elements of "
                         f"{'float32' if dtype == FC_F32 else 'float64'}")
    return 0


cdef int fill(int64_t *to, tuple values) except -1:
    for axis in range(3):
        to[axis] = values[axis]
    return 0


cdef tuple triple(const int64_t *v):
    return (v[0], v[1], v[2])


# ---- Convolution ----------------------------------------------------------------------------------------------------

cdef class ConvPlan:
    cdef fc_conv_plan plan

    def __init__(self, str pass_, str dtype, int64_t batch, int64_t in_channels, int64_t out_channels, int64_t groups,
                 tuple input_size, tuple kernel_size, tuple stride, tuple dilation, tuple pad_lo, tuple pad_hi,
                 str algorithm="auto", bint strict=False, str border="zeros"):
        cdef fc_conv p
        p.dtype = DTYPES[dtype]
        p.border = BORDERS[border]
        p.batch = batch
        p.groups = groups
        p.in_channels = in_channels
        p.out_channels = out_channels
        fill(p.input, input_size)
        fill(p.kernel, kernel_size)
        fill(p.stride, stride)
        fill(p.dilation, dilation)
        fill(p.pad_lo, pad_lo)
        fill(p.pad_hi, pad_hi)
        check(fc_conv_init(&p))
        if fc_conv_plan_init(&self.plan, &p, PASSES[pass_], ALGORITHMS[algorithm], strict) != FC_OK:
            raise ValueError(self.plan.reason.decode())

    @property
    def output_size(self):
        return triple(self.plan.problem.out)

    @property
    def algorithm(self):
        return fc_conv_plan_algorithm(&self.plan).decode()

    @property
    def variant(self):
        return fc_conv_plan_variant(&self.plan).decode()

    @property
    def reason(self):
        return self.plan.reason.decode()

    @property
    def seconds(self):
        return self.plan.seconds

    @property
    def multiply_accumulates(self):
        return int(fc_conv_macs(&self.plan.problem))

    @property
    def workspace_bytes(self):
        return self.plan.workspace

    @property
    def packed_bytes(self):
        return self.plan.packed

    @property
    def packing(self):
        """A key that is equal for plans which the same packed weights serve."""
        cdef fc_conv *p = &self.plan.problem
        return (<size_t>self.plan.algorithm, <size_t>self.plan.kernels, <int>self.plan.pass_, p.groups, p.in_channels,
                p.out_channels, triple(p.kernel), triple(p.stride), triple(p.dilation))

    def pack(self, weight, bias=None, bint copy=True):
        """Weights in this plan's order, for any plan that packs alike."""
        cdef PackedWeights packed = PackedWeights.__new__(PackedWeights)
        packed.plan = self.plan
        packed.weight = np.array(weight, order="C", copy=True) if copy else weight
        packed.memory = borrow(self.plan.packed if self.plan.packed else 64)
        cdef View w = hold(packed.weight, PyBUF_C_CONTIGUOUS)
        if bias is not None:
            packed.bias = contiguous(np.array(bias, copy=True))
        self.fill(packed.memory, w, packed.bias)
        return packed

    cdef int fill(self, Scratch memory, View weight, View bias) except -1:
        cdef fc_conv_data data
        memset(&data, 0, sizeof(data))
        self.expect_weights(weight, bias)
        data.weight = weight.buffer.buf
        data.bias = bias.buffer.buf if bias is not None else NULL
        data.packed = memory.memory
        data.threads = fc_threads_for(1e-9 * self.plan.packed, num_threads)
        cdef fc_status status
        with nogil:
            status = fc_conv_pack(&self.plan, &data)
        return check(status)

    cdef int expect_weights(self, View weight, View bias) except -1:
        cdef fc_conv *p = &self.plan.problem
        expect_elements(weight, "weight", p.dtype,
                        p.out_channels * (p.in_channels // p.groups) * p.kernel[0] * p.kernel[1] * p.kernel[2])
        if bias is not None:
            expect_elements(bias, "bias", p.dtype, p.out_channels)
        return 0

    cdef int expect_whole_blocks(self) except -1:
        """Native layout: no group may begin within a block."""
        cdef fc_conv *p = &self.plan.problem
        cdef int64_t inputs = p.in_channels // p.groups, outputs = p.out_channels // p.groups
        if p.groups > 1 and not (inputs == outputs == 1) and (inputs % BLOCK or outputs % BLOCK):
            raise ValueError(f"groups: got {p.groups} of {inputs} and {outputs} channels in the native layout, expected "
                             f"multiples of {BLOCK} channels; use plain arrays")
        return 0

    cdef int run(self, View x, View y, View weight, Scratch packed, View bias, bint channels_last, bint relu) except -1:
        cdef fc_conv *p = &self.plan.problem
        if x.blocked or y.blocked:
            self.expect_whole_blocks()
        expect(x, "x", item_bytes(p.dtype), p.batch, p.in_channels, p.input, channels_last)
        expect(y, "output", item_bytes(p.dtype), p.batch, p.out_channels, p.out, channels_last)
        self.expect_weights(weight, bias)
        cdef fc_conv_data data
        data.x = tensor(x, channels_last)
        data.y = tensor(y, channels_last)
        data.weight = weight.buffer.buf
        data.bias = bias.buffer.buf if bias is not None else NULL
        data.packed = packed.memory if packed is not None else NULL
        data.relu = relu
        data.threads = fc_threads_for(self.plan.seconds, num_threads)
        cdef Scratch scratch = borrow(<size_t>data.threads * self.plan.workspace)
        data.workspace = scratch.memory
        cdef fc_status status
        with nogil:
            status = fc_conv_run(&self.plan, &data)
        return check(status)

    cdef int run_with(self, View x, View y, weight, bias, bint channels_last, bint relu) except -1:
        """With weights as they are, or packed before."""
        cdef PackedWeights ready
        cdef Scratch packed = None
        cdef View w, b = None
        if isinstance(weight, PackedWeights):
            ready = weight
            ready.must_serve(&self.plan, bias)
            return self.run(x, y, hold(ready.weight, PyBUF_C_CONTIGUOUS), ready.memory, ready.bias, channels_last, relu)
        w = contiguous(weight)
        if bias is not None:
            b = contiguous(bias)
        if self.plan.packed:
            packed = borrow(self.plan.packed)
            self.fill(packed, w, b)
        return self.run(x, y, w, packed, b, channels_last, relu)

    def forward(self, x, weight, bias, out, bint channels_last, bint relu=False):
        self.run_with(hold(x, PyBUF_STRIDES), hold(out, PyBUF_STRIDES | PyBUF_WRITABLE), weight, bias, channels_last, relu)

    def backward_data(self, grad_output, weight, out, bint channels_last):
        self.run_with(hold(out, PyBUF_STRIDES | PyBUF_WRITABLE), hold(grad_output, PyBUF_STRIDES), weight, None, channels_last, False)

    def backward_weights(self, grad_output, x, out, bint channels_last):
        self.run(hold(x, PyBUF_STRIDES), hold(grad_output, PyBUF_STRIDES), hold(out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE),
                 None, None, channels_last, False)


cdef class PackedWeights:
    cdef fc_conv_plan plan
    cdef Scratch memory
    cdef View bias
    cdef object weight    # Winograd reads it where an output is not finite

    def __init__(self):
        raise TypeError("PackedWeights are made by ConvPlan.pack")

    cdef int must_serve(self, const fc_conv_plan *plan, bias) except -1:
        if bias is not None:
            raise ValueError("bias: expected None, because packed weights carry the bias they were packed with")
        if not fc_conv_packs_alike(&self.plan, plan):
            raise ValueError(
                f"weight: packed for {describe(&self.plan)}, but this call needs {describe(plan)}; pack the weights again"
            )
        return 0

    @property
    def shape(self):
        return self.weight.shape

    @property
    def dtype(self):
        return self.weight.dtype

    @property
    def nbytes(self):
        return self.memory.bytes + self.weight.nbytes

    def __reduce__(self):
        raise ValueError("PackedWeights cannot be pickled or copied: they fit one level of one CPU; keep the weights instead")


cdef str describe(const fc_conv_plan *plan):
    cdef const fc_conv *p = &plan.problem
    return (
        f"{fc_conv_plan_algorithm(plan).decode()} {fc_conv_plan_variant(plan).decode()} on {fc_conv_plan_isa(plan).decode()}, "
        f"{'float32' if p.dtype == FC_F32 else 'float64'}, {p.in_channels} to {p.out_channels} channels, groups {p.groups}, "
        f"kernel {triple(p.kernel)}, stride {triple(p.stride)}, dilation {triple(p.dilation)}"
    )


cdef View contiguous(array):
    return hold(np.ascontiguousarray(array), PyBUF_C_CONTIGUOUS)


def sum_channels(grad_output, out, bint channels_last):
    cdef View t = hold(grad_output, PyBUF_STRIDES), sums = hold(out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    cdef fc_tensor y = tensor(t, channels_last)
    cdef fc_dtype dtype = FC_F32 if t.buffer.itemsize == 4 else FC_F64
    cdef int64_t space[3]
    cdef int64_t elements = extents(t, channels_last, space)
    cdef int64_t batch = t.buffer.shape[0], channels = channels_of(t, channels_last)
    cdef int threads = fc_threads_for(1e-9 * elements, num_threads)
    cdef Scratch scratch = borrow(<size_t>threads * fc_sum_workspace(dtype))
    cdef fc_status status
    with nogil:
        status = fc_sum_channels(dtype, batch, channels, space, &y, sums.buffer.buf, scratch.memory, threads)
    check(status)


# ---- Pooling --------------------------------------------------------------------------------------------------------

cdef class PoolPlan:
    cdef fc_pool_plan plan

    def __init__(self, str kind, str dtype, int64_t batch, int64_t channels, tuple input_size, tuple kernel_size, tuple stride,
                 tuple dilation, tuple pad_lo, tuple pad_hi, bint ceil_mode=False, bint count_include_pad=True,
                 int64_t divisor=0):
        cdef fc_pool p
        p.kind = POOLS[kind]
        p.dtype = DTYPES[dtype]
        p.batch = batch
        p.channels = channels
        fill(p.input, input_size)
        fill(p.kernel, kernel_size)
        fill(p.stride, stride)
        fill(p.dilation, dilation)
        fill(p.pad_lo, pad_lo)
        fill(p.pad_hi, pad_hi)
        p.ceil_mode = ceil_mode
        p.count_include_pad = count_include_pad
        p.divisor = divisor
        check(fc_pool_init(&p))
        check(fc_pool_plan_init(&self.plan, &p))

    @property
    def output_size(self):
        return triple(self.plan.problem.out)

    @property
    def workspace_bytes(self):
        return self.plan.workspace

    @property
    def has_codes(self):
        return bool(fc_pool_has_codes(&self.plan.problem))

    cdef int run(self, View x, View y, View indices, bint channels_last, bint backward) except -1:
        cdef fc_pool *p = &self.plan.problem
        cdef bint coded = indices is not None and indices.buffer.itemsize == 1
        expect(x, "x", item_bytes(p.dtype), p.batch, p.channels, p.input, channels_last)
        expect(y, "output", item_bytes(p.dtype), p.batch, p.channels, p.out, channels_last)
        if indices is not None:
            expect(indices, "indices", 1 if coded else sizeof(int64_t), p.batch, p.channels, p.out, channels_last)
            if coded and not fc_pool_has_codes(p):
                raise ValueError("indices: this problem has no codes; expected int64 positions")
        cdef fc_pool_data data
        data.x = tensor(x, channels_last)
        data.y = tensor(y, channels_last)
        data.indices.data = data.codes.data = NULL
        if coded:
            data.codes = tensor(indices, channels_last)
        elif indices is not None:
            data.indices = tensor(indices, channels_last)
        data.threads = fc_threads_for(self.plan.seconds, num_threads)
        cdef Scratch scratch = borrow(<size_t>data.threads * self.plan.workspace)
        data.workspace = scratch.memory
        cdef fc_status status
        with nogil:
            if not backward:
                status = fc_pool_run(&self.plan, &data)
            elif coded:
                status = fc_max_pool_backward_codes(&self.plan, &data)
            else:
                status = fc_avg_pool_backward(&self.plan, &data)
        return check(status)

    def forward(self, x, out, indices, bint channels_last):
        self.run(hold(x, PyBUF_STRIDES), hold(out, PyBUF_STRIDES | PyBUF_WRITABLE),
                 hold(indices, PyBUF_STRIDES | PyBUF_WRITABLE) if indices is not None else None, channels_last, False)

    def backward(self, grad_output, out, bint channels_last):
        if self.plan.problem.kind != FC_AVG_POOL:
            raise ValueError("kind: the gradient of 'max' pooling needs the maxima; see backward_codes, scatter_planes")
        self.run(hold(out, PyBUF_STRIDES | PyBUF_WRITABLE), hold(grad_output, PyBUF_STRIDES), None, channels_last, True)

    def backward_codes(self, grad_output, codes, out, bint channels_last):
        cdef View view = hold(codes, PyBUF_STRIDES)
        if self.plan.problem.kind != FC_MAX_POOL or view.buffer.itemsize != 1:
            raise ValueError("codes: expected the bytes that forward of 'max' pooling has written")
        self.run(hold(out, PyBUF_STRIDES | PyBUF_WRITABLE), hold(grad_output, PyBUF_STRIDES), view, channels_last, True)


def scatter_planes(grad_output, indices, out, bint channels_last):
    cdef View y = hold(grad_output, PyBUF_STRIDES), positions = hold(indices, PyBUF_STRIDES)
    cdef View x = hold(out, PyBUF_STRIDES | PyBUF_WRITABLE)
    cdef fc_dtype dtype = FC_F32 if x.buffer.itemsize == 4 else FC_F64
    cdef int64_t batch = x.buffer.shape[0], channels = channels_of(x, channels_last)
    cdef int64_t x_space[3]
    cdef int64_t y_space[3]
    cdef int64_t elements = extents(x, channels_last, x_space) + extents(y, channels_last, y_space)
    expect(y, "grad_output", item_bytes(dtype), batch, channels, y_space, channels_last)
    expect(positions, "indices", sizeof(int64_t), batch, channels, y_space, channels_last)
    cdef fc_pool_data data
    data.x = tensor(x, channels_last)
    data.y = tensor(y, channels_last)
    data.indices = tensor(positions, channels_last)
    data.codes.data = NULL
    data.workspace = NULL
    data.threads = fc_threads_for(0.5e-9 * elements, num_threads)
    cdef fc_status status
    with nogil:
        status = fc_max_pool_backward(dtype, batch, channels, x_space, y_space, &data)
    if status == FC_INVALID:
        return False
    check(status)
    return True


# ---- Element-wise operations and normalisation ------------------------------------------------------------------------

cdef dict ACTS = {
    "relu": FC_RELU, "clip": FC_CLIP, "leaky_relu": FC_LEAKY_RELU, "elu": FC_ELU, "sigmoid": FC_SIGMOID,
    "silu": FC_SILU, "erf": FC_ERF, "gelu": FC_GELU, "gelu_tanh": FC_GELU_TANH, "hardsigmoid": FC_HARDSIGMOID,
    "hardswish": FC_HARDSWISH, "softsign": FC_SOFTSIGN, "relu_backward": FC_RELU_BACKWARD, "add": FC_ADD,
    "add_relu": FC_ADD_RELU, "clip_backward": FC_CLIP_BACKWARD, "leaky_relu_backward": FC_LEAKY_RELU_BACKWARD,
    "elu_backward": FC_ELU_BACKWARD, "sigmoid_backward": FC_SIGMOID_BACKWARD, "tanh_backward": FC_TANH_BACKWARD,
    "silu_backward": FC_SILU_BACKWARD, "erf_backward": FC_ERF_BACKWARD, "gelu_backward": FC_GELU_BACKWARD,
    "gelu_tanh_backward": FC_GELU_TANH_BACKWARD, "hardsigmoid_backward": FC_HARDSIGMOID_BACKWARD,
    "hardswish_backward": FC_HARDSWISH_BACKWARD, "softplus_backward": FC_SOFTPLUS_BACKWARD,
    "softsign_backward": FC_SOFTSIGN_BACKWARD,
}


def act(str name, out, a, b=None, double p=0, double q=0):
    cdef fc_act which = ACTS[name]
    cdef View to = hold(out, PyBUF_STRIDES | PyBUF_WRITABLE), first = hold(a, PyBUF_STRIDES)
    cdef View second = hold(b, PyBUF_STRIDES) if b is not None else None
    cdef fc_dtype dtype = FC_F32 if to.buffer.itemsize == 4 else FC_F64
    cdef int64_t n = to.buffer.len // to.buffer.itemsize
    expect_elements(first, "a", dtype, n)
    if second is not None:
        expect_elements(second, "b", dtype, n)
    cdef void *other = second.buffer.buf if second is not None else NULL
    cdef int threads = fc_threads_for(0.3e-9 * n, num_threads)
    cdef fc_status status
    if (second is None) != (which < FC_RELU_BACKWARD):
        raise ValueError(f"b: {name} takes {'one array' if second is not None else 'two arrays'}")
    with nogil:
        status = fc_act_run(dtype, which, to.buffer.buf, first.buffer.buf, other, p, q, n, threads)
    check(status)


def sgd(p, g, v, double rate, double decay, double momentum, double gain, bint nesterov, bint ascend):
    cdef fc_update u
    memset(&u, 0, sizeof(u))
    u.rate, u.decay, u.momentum, u.gain, u.nesterov, u.ascend = rate, decay, momentum, gain, nesterov, ascend
    update(&u, p, g, (v, None, None), fc_sgd)


def adam(p, g, m, v, largest, double rate, double decay, double keep, tuple betas, double root, double eps, bint ascend):
    cdef fc_update u
    memset(&u, 0, sizeof(u))
    u.rate, u.decay, u.keep, u.root, u.eps, u.ascend = rate, decay, keep, root, eps, ascend
    u.gain, u.momentum, u.square_gain = 1 - betas[0], betas[1], 1 - betas[1]
    update(&u, p, g, (m, v, largest), fc_adam)


def rmsprop(p, g, v, m, a, double rate, double decay, double alpha, double momentum, double eps, bint ascend):
    cdef fc_update u
    memset(&u, 0, sizeof(u))
    u.rate, u.decay, u.momentum, u.eps, u.ascend = rate, decay, momentum, eps, ascend
    u.keep, u.gain = alpha, 1 - alpha
    update(&u, p, g, (v, m, a), fc_rmsprop)


def adagrad(p, g, v, double rate, double decay, double eps, bint ascend):
    cdef fc_update u
    memset(&u, 0, sizeof(u))
    u.rate, u.decay, u.eps, u.ascend = rate, decay, eps, ascend
    update(&u, p, g, (v, None, None), fc_adagrad)


cdef int update(fc_update *u, p, g, tuple states, fc_status (*run)(const fc_update *) noexcept nogil) except -1:
    cdef View to = hold(p, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE), gradient = hold(g, PyBUF_C_CONTIGUOUS)
    cdef View a = None, b = None, c = None
    cdef fc_status status
    u.dtype = FC_F32 if to.buffer.itemsize == 4 else FC_F64
    u.n = to.buffer.len // to.buffer.itemsize
    expect_elements(gradient, "gradient", u.dtype, u.n)
    u.p = to.buffer.buf
    u.g = gradient.buffer.buf
    if states[0] is not None:
        a = hold(states[0], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        expect_elements(a, "state", u.dtype, u.n)
        u.state[0] = a.buffer.buf
    if states[1] is not None:
        b = hold(states[1], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        expect_elements(b, "state", u.dtype, u.n)
        u.state[1] = b.buffer.buf
    if states[2] is not None:
        c = hold(states[2], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        expect_elements(c, "state", u.dtype, u.n)
        u.state[2] = c.buffer.buf
    u.threads = fc_threads_for(1e-9 * u.n, num_threads)
    with nogil:
        status = run(u)
    return check(status)


cdef class Norm:
    cdef fc_norm norm
    cdef bint channels_last
    cdef list held

    def __init__(self, x, weight, bias, mean, var, double eps, bint from_batch, bint relu, bint channels_last):
        cdef View view = hold(x, PyBUF_STRIDES)
        cdef Py_buffer *b = &view.buffer
        cdef int axis, spatial = b.ndim - (3 if view.blocked else 2), first = 1 if channels_last and not view.blocked else 2
        memset(&self.norm, 0, sizeof(self.norm))
        self.channels_last = channels_last
        self.held = [view]
        self.norm.dtype = FC_F32 if b.itemsize == 4 else FC_F64
        self.norm.batch = b.shape[0]
        self.norm.channels = b.shape[1] * BLOCK if view.blocked else b.shape[b.ndim - 1 if channels_last else 1]
        self.norm.features = mean.shape[0]
        for axis in range(3):
            self.norm.space[axis] = 1 if axis < 3 - spatial else b.shape[axis - 3 + spatial + first]
        self.norm.eps = eps
        self.norm.from_batch = from_batch
        self.norm.relu = relu
        self.norm.x = tensor(view, channels_last)
        self.norm.mean = <double *>self.values(mean, "mean", FC_F64)
        self.norm.var = <double *>self.values(var, "var", FC_F64)
        self.norm.weight = self.values(weight, "weight", self.norm.dtype)
        self.norm.bias = self.values(bias, "bias", self.norm.dtype)
        if view.blocked and (self.norm.features + BLOCK - 1) // BLOCK != b.shape[1]:
            raise ValueError(f"mean: got {self.norm.features} channels, but x has {b.shape[1]} blocks of {BLOCK}")
        if not view.blocked and self.norm.features != self.norm.channels:
            raise ValueError(f"mean: got {self.norm.features} channels, but x has {self.norm.channels}")

    cdef void *values(self, array, str name, fc_dtype dtype) except? NULL:
        cdef View view
        if array is None:
            return NULL
        view = hold(array, PyBUF_C_CONTIGUOUS)
        expect_elements(view, name, dtype, self.norm.features)
        self.held.append(view)
        return view.buffer.buf

    cdef fc_tensor like_x(self, array, str name, int flags) except *:
        cdef View view = hold(array, flags)
        self.held.append(view)
        expect(view, name, item_bytes(self.norm.dtype), self.norm.batch, self.norm.channels, self.norm.space, self.channels_last)
        return tensor(view, self.channels_last)

    cdef int run(self, bint backward) except -1:
        cdef int64_t *space = self.norm.space
        cdef double elements = <double>self.norm.batch * self.norm.channels * space[0] * space[1] * space[2]
        self.norm.threads = fc_threads_for(1e-9 * elements, num_threads)
        cdef Scratch scratch = borrow(fc_norm_workspace(self.norm.dtype, self.norm.threads))
        self.norm.workspace = scratch.memory
        cdef fc_status status
        with nogil:
            status = fc_norm_backward(&self.norm) if backward else fc_norm_forward(&self.norm)
        return check(status)

    def forward(self, out):
        if out is not None:
            self.norm.to = self.like_x(out, "output", PyBUF_STRIDES | PyBUF_WRITABLE)
        self.run(False)

    def backward(self, grad_output, out, dweight, dbias):
        self.norm.grad = self.like_x(grad_output, "grad_output", PyBUF_STRIDES)
        if out is not None:
            self.norm.to = self.like_x(out, "output", PyBUF_STRIDES | PyBUF_WRITABLE)
        self.norm.dweight = <double *>self.values(dweight, "dweight", FC_F64)
        self.norm.dbias = <double *>self.values(dbias, "dbias", FC_F64)
        if self.norm.from_batch and (dweight is None or dbias is None):
            raise ValueError("dweight, dbias: expected arrays, which the gradient of batch statistics needs")
        self.run(True)


# ---- The machine ----------------------------------------------------------------------------------------------------

def isa():
    return fc_isa_active().decode()


def isa_levels():
    cdef int i = 0
    levels = []
    while fc_isa_name(i) != NULL:
        levels.append((fc_isa_name(i).decode(), bool(fc_isa_supported(i))))
        i += 1
    return levels


def set_isa(str name not None):
    cdef fc_status status = fc_isa_force(name.encode())
    if status == FC_OK:
        return
    known = ", ".join(f"{level!r}" for level, supported in isa_levels() if supported)
    what = "is no instruction-set level" if status == FC_INVALID else "is not supported by this CPU"
    raise ValueError(f"name: {name!r} {what}; expected one of {known}")


def get_num_threads():
    return num_threads


def set_num_threads(int n):
    global num_threads
    if n < 1:
        raise ValueError(f"n: got {n}, expected at least 1")
    num_threads = n


def cache_sizes():
    cdef fc_caches c = fc_cache_sizes()
    return (c.l1, c.l2, c.l3)


def measure_peak(str dtype, double seconds=0.02):
    cdef double flops = 0, best = 0, spent = 0, time
    cdef fc_dtype kind = DTYPES[dtype]
    while spent < seconds:
        with nogil:
            time = fc_peak_seconds(kind, &flops)
        spent += time
        best = max(best, flops / time)
    return best
