# SPDX-License-Identifier: BSD-3-Clause
"""Convolution and correlation of two signals or two images, as mathematics defines them; scipy.signal's names.

    convolve    y[t] = sum over i + j = t of  a[i] * b[j]                 the kernel is flipped
    correlate   y[t] = sum over i - j + (K - 1) = t of  a[i] * conj(b[j])     it is not, as in a neural network

with K the size of b, and the same on each of two axes. Two methods compute the sum:

* direct: the native kernels of conv2d, with one channel and one filter. The smaller array is the filter.
* fft: the product of NumPy's Fourier transforms, at the least length of the form 2^a 3^b 5^c that avoids wrapping.

The model behind "auto" counts multiply-adds and transformed numbers. Its constants are medians measured by
`python benchmarks/conv_methods.py` on one thread, and depend on nothing but the instruction-set level, so that the
choice, and with it the bits of the result, is the same for any number of threads.
"""

import math
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from fastconv import _core
from fastconv.errors import ShapeError
from fastconv.ops._check import FLOAT32, FLOAT64, INT64, Array, Shape, base_array, check_bytes, flag, word
from fastconv.ops.conv import conv2d

Method = Literal["direct", "fft"]

MODES = ("full", "same", "valid")
METHODS = ("auto", "direct", "fft")

#: Sums of integers up to this are exact in float32 and float64.
_EXACT: dict[np.dtype[Any], int] = {FLOAT32: 2**24, FLOAT64: 2**53}

# The cost model, in seconds: of a multiply-add of float32 on each level (float64 takes twice as long), of a call of
# each method, and of one number, float32 or float64, in one of the log2(N) steps of three transforms.
_MULTIPLY_ADD = {"avx512": 2.5e-11, "avx2": 6.2e-11, "portable": 7.0e-11}
_DIRECT_CALL, _FFT_CALL = 6.0e-6, 1.5e-5
_FFT_NUMBER = 1.1e-9


def convolve(in1: Array, in2: Array, mode: str = "full", method: str = "auto") -> Array:
    """The convolution of two signals (N,) or two images (H, W); in2 is flipped.

        y[t] = sum over i + j = t of  in1[i] * in2[j]

    in1, in2: arrays of one or of two axes, none empty; the order matters for mode="same" only.
    mode: "full", every t for which there is a product: N + K - 1 of them for sizes N and K;
        "same", the N in the middle of these, of the size of in1;
        "valid", the |N - K| + 1 that need nothing off the larger array. One array must then be at least as large as
        the other on every axis.
    method: "direct", "fft", or "auto": the one that choose_conv_method expects to be faster. Errors of "direct" are
        relative to the products of each sum, those of "fft" to the largest sums anywhere; a NaN or an infinity
        reaches every element by "fft", so "auto" then takes "direct". There what lies off an array counts as zero, so
        an infinity of the smaller array gives NaN at the border.

    Returns an array of NumPy's common dtype: float32, float64, complex64 or complex128. Two integer arrays give exact
    int64 sums, which never wrap around, by both methods.

    Raises TypeError for other dtypes and for what is no array; ShapeError (a ValueError) for three axes or more, for
    different numbers of axes, an empty array, or two arrays of which none contains the other in "valid"; ValueError
    for an unknown mode or method, and where the rounding of method="fft" could change an integer; OverflowError where
    sums of integers may exceed 2**53; MemoryError where the result cannot be allocated.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.convolve(np.array([1, 2, 3]), np.array([0, 1, 10])).tolist()
    [0, 1, 12, 23, 30]
    >>> ops.convolve(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 10.0]), mode="same").tolist()
    [1.0, 12.0, 23.0]
    """
    problem = _checked(in1, in2, mode)
    return problem.run(_method(problem, method))


def correlate(in1: Array, in2: Array, mode: str = "full", method: str = "auto") -> Array:
    """The cross-correlation of two signals (N,) or two images (H, W); in2 is not flipped.

        y[t] = sum over i, j with i - j + (K - 1) = t of  in1[i] * conj(in2[j])

    Element t is how well in1 fits in2 moved by t - (K - 1). correlate(x, x) is the autocorrelation of x: symmetric,
    with the sum of the squares in the middle. In mode "valid" this is what neural networks call a convolution.

    Parameters, results and errors are those of `convolve`.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.correlate(np.array([1, 2, 3]), np.array([0, 1, 10])).tolist()
    [10, 21, 32, 3, 0]
    >>> ops.correlate(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])).tolist()
    [3.0, 8.0, 14.0, 8.0, 3.0]
    """
    problem = _checked(in1, in2, mode).flipped()
    return problem.run(_method(problem, method))


def choose_conv_method(
    in1: Array, in2: Array, mode: str = "full", measure: bool = False
) -> Method | tuple[Method, dict[Method, float]]:
    """The method, "direct" or "fft", that computes convolve(in1, in2, mode) or correlate(in1, in2, mode) sooner.

    With T elements in the result, k in the smaller array and N the length of the transforms, the model compares

        direct = call + T * k * multiply-add        fft = call + N * log2(N) * number

    whose constants were fitted to measurements on one thread (fastconv/ops/signal.py). It is a guess for other
    machines; measure=True times both and returns (method, {"direct": seconds, "fft": seconds}) instead. Where "fft"
    would not be right, for arrays with NaN or infinities and for large integers, only "direct" is considered.

    Errors are those of `convolve`.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.choose_conv_method(np.ones(1000), np.ones(5))
    'direct'
    >>> ops.choose_conv_method(np.ones((500, 500)), np.ones((200, 200)))
    'fft'
    """
    problem = _checked(in1, in2, mode)
    if not flag("measure", measure):
        return _choice(problem)
    methods: tuple[Method, ...] = ("direct", "fft") if problem.fft_is_right() else ("direct",)
    seconds = {method: _seconds(lambda method=method: problem.run(method)) for method in methods}  # type: ignore[misc]
    return min(seconds, key=lambda method: seconds[method]), seconds


# ---- a problem, checked ----------------------------------------------------------------------------------


class _Problem(NamedTuple):
    """The convolution of a and b, of whose full result the part of this shape at `start` is wanted."""

    a: Array
    b: Array
    start: Shape
    shape: Shape
    dtype: np.dtype[Any]     # of the result

    def flipped(self) -> "_Problem":
        """The correlation with b."""
        return self._replace(b=_flip(self.b).conj())

    def run(self, method: Method) -> Array:
        work = _exact_float(self) if self.dtype.kind == "i" else self.dtype
        a, b = self.a.astype(work, copy=False), self.b.astype(work, copy=False)
        if self.dtype.kind == "i" and method == "fft":
            return np.rint(_fft(a.astype(FLOAT64), b.astype(FLOAT64), self)).astype(INT64)
        result = _fft(a, b, self) if method == "fft" else _direct(a, b, self)
        return result.astype(self.dtype, copy=False)

    def fft_is_right(self) -> bool:
        """Whether no NaN would spread, and no integer be rounded to a wrong one.

        In the 2-norm a transform of N numbers in double has a relative error below 3.4 eps log2(N) (Higham, Accuracy
        and Stability, theorem 24.2); the two forward ones, the product and the inverse one have less than 16.
        """
        if self.dtype.kind != "i":
            return bool(np.isfinite(self.a).all() and np.isfinite(self.b).all())
        length = math.prod(_transform_shape(self.a.shape, self.b.shape))
        norms = np.linalg.norm(self.a.astype(FLOAT64)) * np.linalg.norm(self.b.astype(FLOAT64))
        return bool(16 * np.finfo(FLOAT64).eps * math.log2(2 * length) * norms < 0.5)


def _checked(in1: object, in2: object, mode: object) -> _Problem:
    a, b = _operand("in1", in1), _operand("in2", in2)
    if a.ndim != b.ndim:
        raise ShapeError(f"in1 and in2 must have the same number of axes, got shapes {a.shape} and {b.shape}")
    mode = word("mode", mode, MODES)
    full = tuple(n + k - 1 for n, k in zip(a.shape, b.shape, strict=True))
    start, count = (0,) * a.ndim, full
    if mode == "same":
        start, count = tuple((k - 1) // 2 for k in b.shape), a.shape
    elif mode == "valid":
        low, high = np.minimum(a.shape, b.shape), np.maximum(a.shape, b.shape)
        if tuple(high) not in (a.shape, b.shape):
            raise ShapeError(
                "mode='valid' needs one array at least as large as the other on every axis, got "
                f"{a.shape} and {b.shape}; mode='full' or 'same' take any"
            )
        start, count = tuple(int(n) - 1 for n in low), tuple(int(n) for n in high - low + 1)
    integers = a.dtype.kind in "iu" and b.dtype.kind in "iu"
    problem = _Problem(a, b, start, count, INT64 if integers else np.result_type(a, b))
    check_bytes("the result", count, problem.dtype)
    if integers:
        _exact_float(problem)
    return problem


def _operand(name: str, value: object) -> Array:
    """A plain array of one or two axes, not empty, whose elements are integers, or floats of 4 or 8 bytes or pairs."""
    array = base_array(name, value)
    if array.dtype.kind not in "iufc" or array.dtype.name in ("float16", "longdouble", "float128", "complex256"):
        raise TypeError(
            f"{name} must be of integers, float32, float64, complex64 or complex128, got {array.dtype}. "
            f"Convert it first: {name}.astype(np.float32)."
        )
    if array.ndim not in (1, 2):
        raise ShapeError(
            f"{name} must be a signal (N,) or an image (H, W), got shape {array.shape}. "
            "For channels, batches and volumes see the convolutions of neural networks, such as ops.conv2d."
        )
    if not array.size:
        raise ShapeError(f"{name} is empty: shape {array.shape}")
    return array


def _exact_float(problem: _Problem) -> np.dtype[Any]:
    """The float type in which every sum of integers is exact; OverflowError where none is."""
    terms = math.prod(map(min, problem.a.shape, problem.b.shape))
    largest = terms * math.prod(max(abs(int(x.min())), abs(int(x.max()))) for x in (problem.a, problem.b))
    for dtype, limit in _EXACT.items():
        if largest <= limit:
            return dtype
    raise OverflowError(
        f"sums of in1 and in2 may reach {largest}, and are exact up to 2**53 only. "
        "For rounded ones convert an array: in1.astype(np.float64)."
    )


def _method(problem: _Problem, method: object) -> Method:
    chosen = word("method", method, METHODS)
    if chosen == "auto":
        return _choice(problem)
    if chosen == "fft" and problem.dtype.kind == "i" and not problem.fft_is_right():
        raise ValueError(
            "method='fft' could round these integers to wrong ones: they are too large. method='direct' is exact."
        )
    return cast(Method, chosen)


# ---- the choice ------------------------------------------------------------------------------------------


def _choice(problem: _Problem) -> Method:
    seconds = _predicted(problem)
    return "fft" if seconds["fft"] < seconds["direct"] and problem.fft_is_right() else "direct"


def _predicted(problem: _Problem) -> dict[Method, float]:
    """What the model expects, in seconds."""
    a, b, dtype = problem.a, problem.b, problem.dtype
    wide = dtype not in (np.float32, np.complex64) and not (dtype == INT64 and _exact_float(problem) == FLOAT32)
    parts = (1 + (a.dtype.kind == "c")) * (1 + (b.dtype.kind == "c"))
    products = parts * math.prod(problem.shape) * min(a.size, b.size)
    direct = parts * _DIRECT_CALL + products * _MULTIPLY_ADD[_core.isa()] * (1 + wide)
    length = (1 + (dtype.kind == "c")) * math.prod(_transform_shape(a.shape, b.shape))
    return {"direct": direct, "fft": _FFT_CALL + length * math.log2(length + 1) * _FFT_NUMBER}


def _seconds(call: Callable[[], object], patience: float = 0.05) -> float:
    """The shortest of a few runs: at least three, and as many as fit into `patience` seconds."""
    best, spent, runs = math.inf, 0.0, 0
    while runs < 3 or spent < patience:
        begin = time.perf_counter()
        call()
        best = min(best, took := time.perf_counter() - begin)
        spent, runs = spent + took, runs + 1
    return best


# ---- the two methods -------------------------------------------------------------------------------------


def _flip(x: Array) -> Array:
    return x[(slice(None, None, -1),) * x.ndim]


def _direct(a: Array, b: Array, problem: _Problem) -> Array:
    """By conv2d; the real and imaginary parts of complex arrays apart."""
    if a.dtype.kind != "c":
        return _direct_real(a, b, problem)
    pieces = [
        [_direct_real(x, y, problem) if y.any() else np.zeros(problem.shape, x.dtype) for y in (b.real, b.imag)]
        for x in (a.real, a.imag)
    ]
    result = np.empty(problem.shape, a.dtype)
    result.real = pieces[0][0] - pieces[1][1]
    result.imag = pieces[0][1] + pieces[1][0]
    return result


def _direct_real(a: Array, b: Array, problem: _Problem) -> Array:
    """The larger array, in the frame of zeros that the wanted part needs, correlated with the flipped smaller.

    Element t of the full result is centred on the pixel t - (K - 1) of the larger array, K the size of the smaller.
    """
    image, kernel = (a, b) if a.size >= b.size else (b, a)
    window, padding = [], [(0, 0)] * (2 - image.ndim)
    for n, k, start, count in zip(image.shape, kernel.shape, problem.start, problem.shape, strict=True):
        first, last = start - (k - 1), start + count
        window.append(slice(max(first, 0), min(last, n)))
        padding.append((max(-first, 0), max(last - n, 0)))
    y = conv2d(
        np.atleast_2d(image[tuple(window)])[None, None], np.atleast_2d(_flip(kernel))[None, None],
        padding=(padding[0], padding[1]), algorithm="direct",
    )  # fmt: skip
    return y.reshape(problem.shape)


def _fft(a: Array, b: Array, problem: _Problem) -> Array:
    """Along an axis where one array has a single element the product needs no transform: it is broadcast."""
    lengths = _transform_shape(a.shape, b.shape)
    axes = [axis for axis in range(a.ndim) if 1 not in (a.shape[axis], b.shape[axis])]
    if axes:
        sizes = [lengths[axis] for axis in axes]
        forward, inverse = (np.fft.rfftn, np.fft.irfftn) if a.dtype.kind == "f" else (np.fft.fftn, np.fft.ifftn)
        full = inverse(forward(a, sizes, axes) * forward(b, sizes, axes), sizes, axes)
    else:
        full = a * b
    wanted = tuple(slice(start, start + n) for start, n in zip(problem.start, problem.shape, strict=True))
    return np.ascontiguousarray(full[wanted], dtype=a.dtype)


def _transform_shape(a: Shape, b: Shape) -> Shape:
    return tuple(n + k - 1 if 1 in (n, k) else _fast_length(n + k - 1) for n, k in zip(a, b, strict=True))


@lru_cache(maxsize=256)
def _fast_length(n: int) -> int:
    """The least 2^a 3^b 5^c that is n or more: lengths at which the fast Fourier transform is fast.

    >>> [_fast_length(n) for n in (1, 7, 11, 97, 1021)]
    [1, 8, 12, 100, 1024]
    """
    best = 1 << (n - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            best = min(best, three << (-(-n // three) - 1).bit_length())
            three *= 3
        five *= 5
    return best
