# SPDX-License-Identifier: BSD-3-Clause
"""Transposed convolution of one to three axes: the gradient of a convolution as an operation of its own.

With the weight (C, K / groups, taps...) of a convolution from K to C channels, every pixel of x adds its filter,
times itself, to the output:

    y[n, k, i * s + u * d - t] += x[n, c, i] * weight[c, k', u]      k = k' + (K / g) * (c // (C / g))

along each axis, and bias[k] once. Its own gradients are that convolution and its gradient of the weights.
"""

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core
from fastconv.errors import ShapeError
from fastconv.ops import _packed, _plans
from fastconv.ops._algorithm import ALGORITHMS, current, resolve
from fastconv.ops._check import (
    LAYOUTS_OF,
    Array,
    Shape,
    check_bytes,
    dtype_name,
    flags,
    float_array,
    integer,
    output_array,
    same_dtype,
    word,
)
from fastconv.ops._shapes import (
    IntOrPair,
    IntOrTriple,
    Padding,
    check_bias,
    check_grad_output,
    check_weight,
    image_axes,
    image_shape,
    transposed_geometry,
)
from fastconv.ops.conv import Problem

Needs = tuple[bool, bool, bool]
Gradients = tuple[Array | None, Array | None, Array | None]

_exact, _ready = _plans.exact, _plans.ready


def conv_transpose2d(
    x: Array, weight: Array, bias: Array | None = None, stride: IntOrPair = 1, padding: Padding = 0,
    output_padding: IntOrPair = 0, groups: int = 1, dilation: IntOrPair = 1, *, layout: str = "NCHW",
    algorithm: str = "auto", out: Array | None = None,
) -> Array:  # fmt: skip
    """The transposed convolution of a batch of images (see the formula above): what undoes a stride.

    x: (N, C, H, W), or (N, H, W, C) with layout="NHWC". N may be 0.
    weight: (C, K / groups, kernel height, kernel width) in both layouts: that of a convolution from K to C channels.
    bias: (K,) or None.
    stride, dilation: an int, or (vertical, horizontal); at least 1.
    padding: pixels taken off each side of the result: an int, a pair, or ((top, bottom), (left, right)).
    output_padding: more rows and columns at the end, less than the stride or the dilation: of the sizes that a
        convolution turns into H the larger ones.
    algorithm: "auto", "direct", "im2col" or "winograd".
    out: where to write the result; C-contiguous, of its shape and dtype, overlapping no input.

    Returns (N, K, OH, OW), or (N, OH, OW, K), of the inputs' dtype, with
    OH = (H - 1) * stride - top - bottom + dilation * (kernel height - 1) + output_padding + 1, and OW alike.

    All arrays are float32 or all are float64. Raises as conv2d does; ShapeError where nothing would be left,
    ValueError for an output_padding of a whole stride. After an error `out` is as it was.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, w = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 10.0, 100.0]]]])
    >>> ops.conv_transpose2d(x, w, stride=2).tolist()
    [[[[1.0, 10.0, 102.0, 20.0, 200.0]]]]
    """
    return forward(x, weight, bias, (stride, padding, output_padding, groups, dilation), layout, algorithm, out)


def conv_transpose2d_backward(
    grad_output: Array, x: Array, weight: Array, stride: IntOrPair = 1, padding: Padding = 0,
    output_padding: IntOrPair = 0, groups: int = 1, dilation: IntOrPair = 1, *, layout: str = "NCHW",
    algorithm: str = "auto", needs: Needs = (True, True, True),
) -> Gradients:  # fmt: skip
    """The gradients (dx, dw, db) of sum(grad_output * conv_transpose2d(x, weight, bias, ...)).

    grad_output: of the shape of conv_transpose2d's output. needs: which of the three to compute; the others are None.

    dx is the convolution of grad_output with weight; dw[c, k, u] the sum over n, i of x[n, c, i] *
    grad_output[n, k, i * s + u * d - t]; db[k] the sum of grad_output over all else.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, w = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 10.0, 100.0]]]])
    >>> dx, dw, db = ops.conv_transpose2d_backward(np.ones((1, 1, 1, 5)), x, w, stride=2)
    >>> dx.tolist(), dw.tolist(), db.tolist()
    ([[[[111.0, 111.0]]]], [[[[3.0, 3.0, 3.0]]]], [5.0])
    """
    parameters = stride, padding, output_padding, groups, dilation
    return backward(grad_output, x, weight, parameters, layout, algorithm, needs)


def conv_transpose1d(
    x: Array, weight: Array, bias: Array | None = None, stride: int | tuple[int] = 1, padding: Padding = 0,
    output_padding: int | tuple[int] = 0, groups: int = 1, dilation: int | tuple[int] = 1, *, layout: str = "NCL",
    algorithm: str = "auto", out: Array | None = None,
) -> Array:  # fmt: skip
    """conv_transpose2d of signals: x (N, C, L), or (N, L, C) with layout="NLC"; weight (C, K / groups, taps).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.conv_transpose1d(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 1.0]]]), stride=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    return forward(x, weight, bias, (stride, padding, output_padding, groups, dilation), layout, algorithm, out, axes=1)


def conv_transpose1d_backward(
    grad_output: Array, x: Array, weight: Array, stride: int | tuple[int] = 1, padding: Padding = 0,
    output_padding: int | tuple[int] = 0, groups: int = 1, dilation: int | tuple[int] = 1, *, layout: str = "NCL",
    algorithm: str = "auto", needs: Needs = (True, True, True),
) -> Gradients:  # fmt: skip
    """The gradients (dx, dw, db) of conv_transpose1d; grad_output (N, K, OL). See conv_transpose2d_backward.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> dx, _, _ = ops.conv_transpose1d_backward(np.ones((1, 1, 4)), np.ones((1, 1, 2)), np.ones((1, 1, 2)), stride=2)
    >>> dx.tolist()
    [[[2.0, 2.0]]]
    """
    parameters = stride, padding, output_padding, groups, dilation
    return backward(grad_output, x, weight, parameters, layout, algorithm, needs, axes=1)


def conv_transpose3d(
    x: Array, weight: Array, bias: Array | None = None, stride: IntOrTriple = 1, padding: Padding = 0,
    output_padding: IntOrTriple = 0, groups: int = 1, dilation: IntOrTriple = 1, *, layout: str = "NCDHW",
    algorithm: str = "auto", out: Array | None = None,
) -> Array:  # fmt: skip
    """conv_transpose2d of volumes: x (N, C, D, H, W), or (N, D, H, W, C) with layout="NDHWC".

    weight: (C, K / groups, kernel depth, kernel height, kernel width).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.conv_transpose3d(np.ones((1, 2, 1, 1, 1)), np.ones((2, 1, 2, 2, 2))).sum().item()
    16.0
    """
    return forward(x, weight, bias, (stride, padding, output_padding, groups, dilation), layout, algorithm, out, axes=3)


def conv_transpose3d_backward(
    grad_output: Array, x: Array, weight: Array, stride: IntOrTriple = 1, padding: Padding = 0,
    output_padding: IntOrTriple = 0, groups: int = 1, dilation: IntOrTriple = 1, *, layout: str = "NCDHW",
    algorithm: str = "auto", needs: Needs = (True, True, True),
) -> Gradients:  # fmt: skip
    """The gradients (dx, dw, db) of conv_transpose3d; grad_output (N, K, OD, OH, OW). See conv_transpose2d_backward.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, w = np.ones((1, 2, 1, 1, 1)), np.ones((2, 1, 2, 2, 2))
    >>> dx, dw, db = ops.conv_transpose3d_backward(np.ones((1, 1, 2, 2, 2)), x, w)
    >>> dx.ravel().tolist(), dw.sum().item(), db.tolist()
    ([8.0, 8.0], 16.0, [8.0])
    """
    parameters = stride, padding, output_padding, groups, dilation
    return backward(grad_output, x, weight, parameters, layout, algorithm, needs, axes=3)


# ---- as layers call it -----------------------------------------------------------------------------------

#: Stride, padding, output_padding, groups, dilation.
Parameters = tuple[Any, Any, Any, Any, Any]


def forward(
    x: Any, weight: Any, bias: Any, parameters: Parameters, layout: str, algorithm: str, out: Any = None, *,
    axes: int = 2, packed: _packed.Parameters | None = None,
) -> Array:  # fmt: skip
    """Of any number of axes; `packed` are the parameters that weight and bias are the arrays of."""
    x, weight, bias, call = _call(x, weight, bias, parameters, layout, algorithm, axes)
    inputs = x, weight, bias
    y = _core.empty(call.shape, call.dtype) if out is None else output_array(out, call.shape, call.dtype, inputs)
    if call.data is not None:
        source = weight if packed is None else _packed.get(call.data, (packed[0], None))
        call.data.backward_data(call.lengthened(x), source, y, call.channels_last)
        if bias is not None:
            y += bias if call.channels_last else bias.reshape(-1, *(1,) * axes)
    return y if out is None else out


def backward(
    grad_output: Any, x: Any, weight: Any, parameters: Parameters, layout: str, algorithm: str, needs: Needs, *,
    axes: int = 2, packed: _packed.Parameters | None = None,
) -> Gradients:  # fmt: skip
    """(dx, dw, db), None where not needed."""
    grad_output = float_array("grad_output", grad_output)
    x, weight, _, call = _call(x, weight, None, parameters, layout, algorithm, axes)
    same_dtype(x=x, grad_output=grad_output)
    check_grad_output(grad_output.shape, call.shape, layout)
    wanted = flags("needs", needs, 3)
    shapes = call.lengthened_shape(x.shape), weight.shape, (call.problem.channels,)
    dx, dw, db = (_core.empty(s, call.dtype) if n else None for s, n in zip(shapes, wanted, strict=True))
    if call.data is None:    # sums over an empty batch
        for gradient in (dw, db):
            if gradient is not None:
                gradient.fill(0)
        return dx, dw, db
    if dx is not None:
        plan = call.plan("forward")
        source = weight if packed is None else _packed.get(plan, (packed[0], None))
        plan.forward(grad_output, source, None, dx, call.channels_last)
        dx = call.shortened(dx, x.shape)
    if dw is not None:
        call.plan("backward_weights").backward_weights(call.lengthened(x), grad_output, dw, call.channels_last)
    if db is not None:
        _core.sum_channels(grad_output, db, call.channels_last)
    return dx, dw, db


class _Call(NamedTuple):
    """One transposed convolution, checked: the convolution it is the gradient of, and the result."""

    problem: Problem
    data: _core.ConvPlan | None    # None for an empty batch
    shape: Shape
    dtype: np.dtype[Any]
    channels_last: bool
    more: Shape    # rows and columns that the convolution has beyond x, where output_padding reaches a stride

    def plan(self, pass_: "_core.Pass") -> _core.ConvPlan:
        return _plans.add(("conv_transpose", pass_, self.problem), lambda: self.problem.plan(pass_))

    def lengthened_shape(self, shape: Shape) -> Shape:
        first = 1 if self.channels_last else 2
        return tuple(n + (self.more[i - first] if 0 <= i - first < len(self.more) else 0) for i, n in enumerate(shape))

    def lengthened(self, x: Array) -> Array:
        """x with zeros for those."""
        return self._pad(x) if any(self.more) else x

    def _pad(self, x: Array) -> Array:
        shape = self.lengthened_shape(x.shape)
        return np.pad(x, tuple((0, after - before) for before, after in zip(x.shape, shape, strict=True)))

    def shortened(self, dx: Array, shape: Shape) -> Array:
        return np.ascontiguousarray(dx[tuple(map(slice, shape))]) if any(self.more) else dx


def _call(
    x: Any, weight: Any, bias: Any, parameters: Parameters, layout: Any, algorithm: Any, axes: int
) -> tuple[Array, Array, Array | None, _Call]:
    """The arrays as the core can read them, and the call for them."""
    key: tuple[Hashable, ...] | None = None
    arrays_ready = _ready(x) and _ready(weight) and (bias is None or _ready(bias))
    if arrays_ready and all(map(_exact, parameters)) and type(parameters[3]) is int:
        key = (
            "conv_transpose", axes, x.shape, x.dtype, weight.shape, weight.dtype,
            None if bias is None else bias.shape, None if bias is None else bias.dtype,
            parameters, layout, algorithm, current.get(),
        )  # fmt: skip
        call = _plans.find(key)
        if call is not None:
            return x, weight, bias, call
    x, weight = float_array("x", x), float_array("weight", weight)
    bias = None if bias is None else float_array("bias", bias)
    same_dtype(x=x, weight=weight, bias=bias)
    problem = _check(x, weight, parameters, layout, algorithm, axes)
    if bias is not None:
        check_bias(bias.shape, problem.channels)
    canonical = ("conv_transpose", problem, x.shape)
    call = _plans.add(canonical, lambda: _plan(problem, x.shape))
    _plans.alias(key, canonical)
    return x, weight, bias, call


def _check(x: Array, weight: Array, parameters: Parameters, layout: Any, algorithm: Any, axes: int) -> Problem:
    stride, padding, output_padding, groups, dilation = parameters
    layout = word("layout", layout, LAYOUTS_OF[axes])
    choice = resolve(word("algorithm", algorithm, ALGORITHMS), current.get())
    batch, channels, size = image_axes("x", x.shape, layout)
    check_weight(weight.shape, axes, "(in, out / groups, ")
    groups = integer("groups", groups, 1)
    if channels != weight.shape[0]:
        raise ShapeError(
            f"input x has {channels} channels (shape {x.shape}, layout {layout}) but weight {weight.shape} of a "
            f"transposed convolution, (in, out / groups, ...), needs {weight.shape[0]}"
        )
    if channels % groups:
        raise ShapeError(f"groups={groups} does not divide the {channels} input channels")
    geometry = transposed_geometry(size, weight.shape, stride, padding, output_padding, dilation)
    return Problem(
        dtype_name(x), batch, weight.shape[1] * groups, channels, groups, geometry, "zeros", layout, choice
    )


def _plan(problem: Problem, x: Shape) -> _Call:
    plan, axes = problem.plan("backward_data"), len(problem.geometry.size)
    shape = image_shape(problem.batch, problem.channels, problem.geometry.size, problem.layout)
    dtype = np.dtype(problem.dtype)
    check_bytes("the output", shape, dtype)
    _, _, size = image_axes("x", x, problem.layout)
    more = tuple(after - before for before, after in zip(size, plan.output_size[-axes:], strict=True))
    return _Call(problem, plan if problem.batch else None, shape, dtype, problem.layout.endswith("C"), more)
