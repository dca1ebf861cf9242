# SPDX-License-Identifier: BSD-3-Clause
"""Two-dimensional convolution and its gradients on NumPy arrays.

With s the stride, d the dilation, (t, l) the padding at the top and the left, g the groups of C input and K
output channels, and c' = c + (C / g) * (k // (K / g)) the input channel that channel c of filter k reads:

    y[n, k, i, j] = bias[k]
        + sum over c, u, v of  x[n, c', i * s + u * d - t, j * s + v * d - l] * weight[k, c, u, v]

Like every deep-learning framework, and unlike mathematics, this does not flip the filter. Pixels off the
image count as x = 0, so an infinite weight on one of them gives NaN.

Each function first looks for the finished plan of an equal call (_plans.py); only where there is none do the
checks run.
"""

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core
from fastconv.ops import _plans
from fastconv.ops._algorithm import ALGORITHMS, Choice, current, resolve
from fastconv.ops._check import (
    LAYOUTS,
    Array,
    Shape,
    check_bytes,
    flags,
    float_array,
    integer,
    output_array,
    same_dtype,
    word,
)
from fastconv.ops._shapes import (
    Geometry,
    IntOrPair,
    Padding,
    check_bias,
    check_channels,
    check_grad_output,
    check_weight,
    conv_geometry,
    image_axes,
    image_shape,
)

Needs = tuple[bool, bool, bool]

PADDING_MODES = ("zeros",)

_ndarray = np.ndarray
_empty = np.empty
_exact = _plans.exact


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    layout: str = "NCHW",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Convolve a batch of images with a bank of filters.

    x: (N, C, H, W), or (N, H, W, C) with layout="NHWC". N may be 0.
    weight: (K, C / groups, kernel height, kernel width) in both layouts.
    bias: (K,) or None.
    stride, dilation: an int, or (vertical, horizontal); at least 1.
    padding: pixels on each side: an int, (vertical, horizontal), ((top, bottom), (left, right)); or "valid"
        (none), "same" (the least that gives ceil(H / stride) rows and ceil(W / stride) columns, an odd pixel
        at the bottom and the right, as in TensorFlow) or "same_lower" (an odd pixel at the top and the left).
    groups: filters k * K / groups up to (k + 1) * K / groups read only the k-th part of the channels.
    padding_mode: "zeros".
    algorithm: "auto", "direct", "im2col" or "winograd"; see `algorithm`.
    out: where to write the result; C-contiguous, of its shape and dtype, overlapping no input.

    Returns (N, K, OH, OW), or (N, OH, OW, K), of the inputs' dtype, with
    OH = (H + top + bottom - dilation * (kernel height - 1) - 1) // stride + 1, and OW alike. The bits are the
    same for every way of storing the inputs, every batch the image is in, and every number of threads.

    All arrays are float32 or all are float64. Big-endian and misaligned ones are copied, others are read in
    place. Raises TypeError for a wrong type or dtype; ShapeError (a ValueError) for arrays that do not fit
    each other; ValueError for a parameter out of range, or an algorithm that does not apply; MemoryError
    where the output cannot be allocated. After any of these `out` is as it was.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> w = np.array([[1, 0], [0, -1]], np.float32).reshape(1, 1, 2, 2)
    >>> ops.conv2d(x, w, stride=2)[0, 0].tolist()
    [[-5.0, -5.0], [-5.0, -5.0]]
    >>> ops.conv2d(x, w, padding="same").shape
    (1, 1, 4, 4)
    """
    call = key = None
    if (
        type(x) is _ndarray
        and type(weight) is _ndarray
        and x.flags.aligned
        and weight.flags.aligned
        and (bias is None or (type(bias) is _ndarray and bias.flags.aligned))
        and (type(stride) is int or _exact(stride))
        and (type(padding) is int or _exact(padding))
        and (type(dilation) is int or _exact(dilation))
        and type(groups) is int
    ):
        key = (
            "conv2d", x.shape, x.dtype, weight.shape, weight.dtype,
            None if bias is None else bias.shape, None if bias is None else bias.dtype,
            stride, padding, dilation, groups, padding_mode, layout, algorithm, current.get(),
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        x, weight, bias, call = _check_forward(
            key, x, weight, bias, (stride, padding, dilation, groups), padding_mode, layout, algorithm
        )
    run, shape, dtype, channels_last = call
    if out is None:
        y = _empty(shape, dtype)
        run(x, weight, bias, y, channels_last)
        return y
    run(x, weight, bias, output_array(out, shape, dtype, (x, weight, bias)), channels_last)
    return out


def conv2d_backward(
    grad_output: Array,
    x: Array,
    weight: Array,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    layout: str = "NCHW",
    algorithm: str = "auto",
    needs: Needs = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """The gradients of sum(grad_output * conv2d(x, weight, bias, ...)) with respect to x, weight and bias.

    grad_output: of the shape of conv2d's output for these arguments, all of which are as in conv2d.
    needs: which of the three gradients to compute; the others are None.

    Returns (dx, dw, db) with the shapes of x, weight and bias:

        dx[n, c', i * s + u * d - t, j * s + v * d - l] += grad_output[n, k, i, j] * w[k, c, u, v]
        dw[k, c, u, v] = sum over n, i, j of  grad_output[n, k, i, j] * x[n, c', i * s + u * d - t, ...]
        db[k] = sum over n, i, j of  grad_output[n, k, i, j]

    For an empty batch dw and db are zeros. Errors are those of conv2d; ShapeError if grad_output has not
    exactly the output's shape.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, w = np.ones((2, 3, 5, 5)), np.ones((4, 3, 3, 3))
    >>> dx, dw, db = ops.conv2d_backward(np.ones((2, 4, 3, 3)), x, w, needs=(False, True, True))
    >>> dx, dw.shape, db.tolist()
    (None, (4, 3, 3, 3), [18.0, 18.0, 18.0, 18.0])
    """
    call = key = None
    if (
        type(grad_output) is _ndarray
        and type(x) is _ndarray
        and type(weight) is _ndarray
        and grad_output.flags.aligned
        and x.flags.aligned
        and weight.flags.aligned
        and (type(stride) is int or _exact(stride))
        and (type(padding) is int or _exact(padding))
        and (type(dilation) is int or _exact(dilation))
        and type(groups) is int
        and _plans.exact_flags(needs)
    ):
        key = (
            "conv2d_backward", grad_output.shape, grad_output.dtype, x.shape, x.dtype, weight.shape,
            weight.dtype, stride, padding, dilation, groups, padding_mode, layout, algorithm, needs,
            current.get(),
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        grad_output, x, weight, call = _check_backward(
            key,
            grad_output,
            x,
            weight,
            (stride, padding, dilation, groups),
            padding_mode,
            layout,
            algorithm,
            needs,
        )
    (data, weights, sums), (x_shape, weight_shape, bias_shape), dtype, channels_last, _ = call
    dx = dw = db = None
    if data:
        dx = _empty(x_shape, dtype)
        data(grad_output, weight, dx, channels_last)
    if weights:
        dw = _empty(weight_shape, dtype)
        weights(grad_output, x, dw, channels_last)
    if sums:
        db = _empty(bias_shape, dtype)
        sums(grad_output, db, channels_last)
    return dx, dw, db


# ---- what happens the first time -------------------------------------------------------------------------


class _Problem(NamedTuple):
    """One convolution, checked: what a plan is made from, and a key."""

    dtype: str
    batch: int
    channels: int
    out_channels: int
    groups: int
    geometry: Geometry
    layout: str
    choice: Choice

    def plan(self, pass_: "_core.Pass") -> _core.ConvPlan:
        """The core's plan of one pass; of a batch of one for an empty batch, which is checked and not run."""
        algorithm, strict = self.choice
        try:
            return _core.ConvPlan(
                pass_, self.dtype, max(self.batch, 1), self.channels, self.out_channels, self.groups,
                *self.geometry.three_axes(), algorithm, strict,
            )  # fmt: skip
        except OverflowError:
            raise OverflowError(f"the output or its sums are too large for 64-bit sizes: {self}") from None
        except ValueError as error:
            if algorithm == "auto":
                raise
            raise ValueError(f"algorithm={algorithm!r} does not apply here: {error}") from None

    def output_shape(self, plan: _core.ConvPlan) -> Shape:
        _, height, width = plan.output_size
        return image_shape(self.batch, self.out_channels, (height, width), self.layout)


def _check_forward(
    key: tuple[Hashable, ...] | None,
    x: Array,
    weight: Array,
    bias: Array | None,
    parameters: tuple[object, object, object, object],
    padding_mode: object,
    layout: object,
    algorithm: object,
) -> tuple[Array, Array, Array | None, Any]:
    """The arrays as the core can read them, and the call for them."""
    x, weight = float_array("x", x), float_array("weight", weight)
    bias = None if bias is None else float_array("bias", bias)
    same_dtype(x=x, weight=weight, bias=bias)
    problem = check_problem(x, weight, *parameters, padding_mode, layout, algorithm)
    if bias is not None:
        check_bias(bias.shape, problem.out_channels)
    canonical = ("conv2d", problem)
    call = _plans.add(canonical, lambda: _plan_forward(problem))
    _plans.alias(key, canonical)
    return x, weight, bias, call


def _check_backward(
    key: tuple[Hashable, ...] | None,
    grad_output: Array,
    x: Array,
    weight: Array,
    parameters: tuple[object, object, object, object],
    padding_mode: object,
    layout: object,
    algorithm: object,
    needs: object,
) -> tuple[Array, Array, Array, Any]:
    """The arrays as the core can read them, and the call for them."""
    grad_output = float_array("grad_output", grad_output)
    x, weight = float_array("x", x), float_array("weight", weight)
    same_dtype(x=x, weight=weight, grad_output=grad_output)
    problem = check_problem(x, weight, *parameters, padding_mode, layout, algorithm)
    wanted = flags("needs", needs, 3)
    canonical = ("conv2d_backward", problem, wanted)
    call = _plans.add(canonical, lambda: _plan_backward(problem, x.shape, weight.shape, wanted))
    check_grad_output(grad_output.shape, call[-1], problem.layout)
    _plans.alias(key, canonical)
    return grad_output, x, weight, call


def check_problem(
    x: Array,
    weight: Array,
    stride: object,
    padding: object,
    dilation: object,
    groups: object,
    padding_mode: object,
    layout: object,
    algorithm: object,
) -> _Problem:
    word("padding_mode", padding_mode, PADDING_MODES)
    layout = word("layout", layout, LAYOUTS)
    choice = resolve(word("algorithm", algorithm, ALGORITHMS), current.get())
    batch, channels, size = image_axes("x", x.shape, layout)
    check_weight(weight.shape)
    groups = integer("groups", groups, 1)
    check_channels(x.shape, weight.shape, groups, layout)
    geometry = conv_geometry(size, weight.shape, stride, padding, dilation)
    return _Problem(x.dtype.name, batch, channels, weight.shape[0], groups, geometry, layout, choice)


def _plan_forward(problem: _Problem) -> tuple[Any, Shape, np.dtype[Any], bool]:
    plan = problem.plan("forward")
    shape, dtype = problem.output_shape(plan), np.dtype(problem.dtype)
    check_bytes("the output", shape, dtype)
    return (plan.forward if problem.batch else _plans.skip), shape, dtype, problem.layout == "NHWC"


def _plan_backward(
    problem: _Problem, x: Shape, weight: Shape, wanted: tuple[bool, ...]
) -> tuple[Any, tuple[Shape, Shape, Shape], np.dtype[Any], bool, Shape]:
    """(what computes dx, dw and db, their shapes, dtype, channels_last, shape of grad_output)."""
    data = problem.plan("backward_data") if wanted[0] else None
    weights = problem.plan("backward_weights") if wanted[1] else None
    grad_output = problem.output_shape(data or weights or problem.plan("forward"))
    runs: tuple[Any, ...] = (
        data.backward_data if data else None,
        weights.backward_weights if weights else None,
        _core.sum_channels if wanted[2] else None,
    )
    if not problem.batch:
        runs = tuple(_plans.write_zeros if run else None for run in runs)
    shapes = (x, weight, (problem.out_channels,))
    return runs, shapes, np.dtype(problem.dtype), problem.layout == "NHWC", grad_output
