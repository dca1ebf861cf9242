# SPDX-License-Identifier: BSD-3-Clause
"""Convolution of one to three axes, and its gradients, on NumPy arrays.

With s the stride, d the dilation, (t, l) the padding at the top and the left, g the groups of C input and K
output channels, and c' = c + (C / g) * (k // (K / g)) the input channel that channel c of filter k reads:

    y[n, k, i, j] = bias[k]
        + sum over c, u, v of  x[n, c', i * s + u * d - t, j * s + v * d - l] * weight[k, c, u, v]

Like every deep-learning framework, and unlike mathematics, this does not flip the filter. Pixels off the
image count as x = 0, so an infinite weight on one of them gives NaN.

Each function first looks for the finished plan of an equal call (_plans.py); only where there is none do the
checks run. Layers call layer_forward and layer_backward.
"""

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core
from fastconv.ops import _packed, _plans
from fastconv.ops._algorithm import ALGORITHMS, Choice, current, resolve
from fastconv.ops._border import Border, fold_border
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
from fastconv.ops._fold import Normalization
from fastconv.ops._shapes import (
    Geometry,
    IntOrPair,
    IntOrTriple,
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

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")

BLOCK = 16    # channels of a block of the native layout

_empty = _core.empty
_exact, _ready = _plans.exact, _plans.ready


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
        at the bottom and the right, as in TensorFlow), "same_lower" (an odd pixel at the top and the left) or
        "full" (dilation * (kernel - 1) on every side: each pixel meets every tap).
    groups: filters k * K / groups up to (k + 1) * K / groups read only the k-th part of the channels.
    padding_mode: what padding shows of a row a b c d. "zeros": 0 0|a b c d|0 0; "reflect": c b|a b c d|c b, of at most
        size - 1 pixels; "replicate": a a|a b c d|d d; "circular": c d|a b c d|a b, of at most size pixels.
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
    return _forward(2, x, weight, bias, stride, padding, dilation, groups, padding_mode, layout, algorithm, out)


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
    return _backward(
        2, grad_output, x, weight, stride, padding, dilation, groups, padding_mode, layout, algorithm, needs
    )


def conv1d(
    x: Array, weight: Array, bias: Array | None = None, stride: int | tuple[int] = 1, padding: Padding = 0,
    dilation: int | tuple[int] = 1, groups: int = 1, *, padding_mode: str = "zeros", layout: str = "NCL",
    algorithm: str = "auto", out: Array | None = None,
) -> Array:  # fmt: skip
    """conv2d of signals: x (N, C, L), or (N, L, C) with layout="NLC"; weight (K, C / groups, taps); bias (K,).

    Returns (N, K, OL), or (N, OL, K), OL = (L + before + after - dilation * (taps - 1) - 1) // stride + 1.
    Parameters and errors are those of conv2d with one axis: padding is an int, (int,), ((before, after),) or a word.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, w = np.array([[[1.0, 2.0, 4.0, 8.0]]]), np.array([[[-1.0, 1.0]]])
    >>> ops.conv1d(x, w).tolist()
    [[[1.0, 2.0, 4.0]]]
    """
    return _forward(1, x, weight, bias, stride, padding, dilation, groups, padding_mode, layout, algorithm, out)


def conv1d_backward(
    grad_output: Array, x: Array, weight: Array, stride: int | tuple[int] = 1, padding: Padding = 0,
    dilation: int | tuple[int] = 1, groups: int = 1, *, padding_mode: str = "zeros", layout: str = "NCL",
    algorithm: str = "auto", needs: Needs = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
    """The gradients (dx, dw, db) of sum(grad_output * conv1d(x, weight, bias, ...)); see conv2d_backward.

    grad_output: (N, K, OL), or (N, OL, K). Shapes of the results: those of x, weight and bias.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> dx, dw, db = ops.conv1d_backward(np.ones((1, 1, 3)), np.ones((1, 1, 4)), np.array([[[-1.0, 1.0]]]))
    >>> dx.tolist(), dw.tolist(), db.tolist()
    ([[[-1.0, 0.0, 0.0, 1.0]]], [[[3.0, 3.0]]], [3.0])
    """
    return _backward(
        1, grad_output, x, weight, stride, padding, dilation, groups, padding_mode, layout, algorithm, needs
    )


def conv3d(
    x: Array, weight: Array, bias: Array | None = None, stride: IntOrTriple = 1, padding: Padding = 0,
    dilation: IntOrTriple = 1, groups: int = 1, *, padding_mode: str = "zeros", layout: str = "NCDHW",
    algorithm: str = "auto", out: Array | None = None,
) -> Array:  # fmt: skip
    """conv2d of volumes: x (N, C, D, H, W), or (N, D, H, W, C) with layout="NDHWC"; weight (K, C / groups, kd, kh, kw).

    bias: (K,). Returns (N, K, OD, OH, OW), or (N, OD, OH, OW, K), each extent as in conv2d. Parameters and errors
    are those of conv2d with three axes: (depth, height, width), or three pairs of paddings.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.conv3d(np.ones((1, 2, 3, 3, 3)), np.ones((1, 2, 2, 2, 2))).tolist()
    [[[[[16.0, 16.0], [16.0, 16.0]], [[16.0, 16.0], [16.0, 16.0]]]]]
    """
    return _forward(3, x, weight, bias, stride, padding, dilation, groups, padding_mode, layout, algorithm, out)


def conv3d_backward(
    grad_output: Array, x: Array, weight: Array, stride: IntOrTriple = 1, padding: Padding = 0,
    dilation: IntOrTriple = 1, groups: int = 1, *, padding_mode: str = "zeros", layout: str = "NCDHW",
    algorithm: str = "auto", needs: Needs = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
    """The gradients (dx, dw, db) of sum(grad_output * conv3d(x, weight, bias, ...)); see conv2d_backward.

    grad_output: (N, K, OD, OH, OW), or with the channels last. Shapes of the results: those of x, weight and bias.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> dx, dw, db = ops.conv3d_backward(np.ones((1, 1, 1, 1, 1)), np.ones((1, 1, 2, 2, 2)), np.ones((1, 1, 2, 2, 2)))
    >>> dx.sum().item(), dw.sum().item(), db.tolist()
    (8.0, 8.0, [1.0])
    """
    return _backward(
        3, grad_output, x, weight, stride, padding, dilation, groups, padding_mode, layout, algorithm, needs
    )


def _forward(
    axes: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any,
    padding_mode: Any, layout: Any, algorithm: Any, out: Any,
) -> Array:  # fmt: skip
    x, weight, bias, (plan, shape, dtype, channels_last) = _forward_call(
        axes, x, weight, bias, stride, padding, dilation, groups, padding_mode, layout, algorithm
    )
    y: Array = _empty(shape, dtype) if out is None else output_array(out, shape, dtype, (x, weight, bias))
    if plan is not None:
        plan.forward(x, weight, bias, y, channels_last)
    return y if out is None else out


def _backward(
    axes: int, grad_output: Any, x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: Any,
    padding_mode: Any, layout: Any, algorithm: Any, needs: Needs,
) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
    grad_output, x, weight, (plans, shapes, dtype, channels_last, _) = _backward_call(
        axes, grad_output, x, weight, stride, padding, dilation, groups, padding_mode, layout, algorithm, needs
    )
    dx, dw, db = (_empty(s, dtype) if n else None for s, n in zip(shapes, needs, strict=True))
    run_backward(plans, (grad_output, x, weight), (dx, dw, db), channels_last)
    return dx, dw, db


# ---- as layers call it -----------------------------------------------------------------------------------

Images = Array | _core.Blocked
#: Stride, padding, dilation and groups, as in conv2d.
Parameters = tuple[Any, Any, Any, Any]


class Prepared(NamedTuple):
    """A convolution that is checked and planned, with its weights packed: `run` may be called whenever."""

    x: Images
    plan: _core.ConvPlan | None    # None for an empty batch
    weight: Any
    bias: Array | None
    shape: Shape
    dtype: np.dtype[Any]
    native: bool    # whether the result will be in the native layout

    def run(self, relu: bool = False) -> Images:
        """The convolution, or max(0, convolution)."""
        y = _core.empty_blocked(self.shape, self.dtype) if self.native else _empty(self.shape, self.dtype)
        if self.plan is not None:
            self.plan.forward(self.x, self.weight, self.bias, y, False, relu)
        return y

    def normalized(self, parameters: _packed.Parameters, norm: Normalization) -> "Prepared | None":
        """The same with its result normalised, at no cost; None where the weights cannot take it."""
        if self.plan is None:
            return self
        weight = _packed.get_folded(self.plan, parameters, norm)
        return None if weight is None else self._replace(weight=weight)


def layer_forward(
    x: Images, weight: Array, bias: Array | None, geometry: Parameters, padding_mode: str, algorithm: str,
    parameters: _packed.Parameters | None, native: bool,
) -> Prepared:  # fmt: skip
    """conv2d of images in either layout, with weights that are packed once per version of `parameters`.

    native: the result may be in the native layout; it is where its channels fill whole blocks.
    """
    if type(x) is _core.Blocked and not _whole_blocks(weight.shape, x.shape[1]):
        x = x.plain()
    x, weight, bias, (plan, shape, dtype, _) = _forward_call(
        len(weight.shape) - 2, x, weight, bias, *geometry, padding_mode, _plain_layout(weight), algorithm
    )
    native = native and shape[1] % BLOCK == 0 and _whole_blocks(weight.shape, x.shape[1])
    if plan is None or parameters is None:
        return Prepared(x, plan, weight, bias, shape, dtype, native)
    return Prepared(x, plan, _packed.get(plan, parameters), None, shape, dtype, native)


def layer_backward(
    grad_output: Images, x: Images, weight: Array, geometry: Parameters, padding_mode: str, algorithm: str,
    needs: Needs, parameters: _packed.Parameters | None,
) -> tuple[Images | None, Array | None, Array | None]:  # fmt: skip
    """conv2d_backward for layer_forward; dx comes in the layout of x."""
    if type(grad_output) is _core.Blocked and not _whole_blocks(weight.shape, x.shape[1]):
        grad_output = grad_output.plain()
    grad_output, x, weight, (plans, shapes, dtype, channels_last, _) = _backward_call(
        len(weight.shape) - 2, grad_output, x, weight, *geometry, padding_mode, _plain_layout(weight), algorithm, needs
    )
    dx: Images | None = None
    if needs[0]:
        dx = _core.empty_blocked(shapes[0], dtype) if type(x) is _core.Blocked else _empty(shapes[0], dtype)
    dw = _empty(shapes[1], dtype) if needs[1] else None
    db = _empty(shapes[2], dtype) if needs[2] else None
    source: Any = weight
    if needs[0] and parameters is not None and plans[0] is not None:
        source = _packed.get(plans[0], (parameters[0], None))
    run_backward(plans, (grad_output, x, source), (dx, dw, db), channels_last)
    return dx, dw, db


def _plain_layout(weight: Array) -> str:
    """NCHW, or that of images with another number of axes."""
    return LAYOUTS_OF[len(weight.shape) - 2][0]


def _whole_blocks(weight: Shape, channels: int) -> bool:
    """Whether no group begins within a block: what images in the native layout need."""
    groups = channels // weight[1]
    depthwise = weight[1] == 1 and weight[0] == groups
    return groups == 1 or depthwise or not (weight[1] % BLOCK or weight[0] // groups % BLOCK)


def run_backward(
    plans: Any, given: tuple[Images, Images, Any], wanted: tuple[Any, Any, Any], channels_last: bool
) -> None:
    (grad_output, x, weight), (dx, dw, db) = given, wanted
    if plans is None:    # sums over an empty batch
        for gradient in (dw, db):
            if gradient is not None:
                gradient.fill(0)
        return
    if dx is not None:
        _run_data(plans[0], plans[2], grad_output, weight, dx, channels_last)
    if dw is not None:
        plans[1].backward_weights(grad_output, x, dw, channels_last)
    if db is not None:
        _core.sum_channels(grad_output, db, channels_last)


def _run_data(
    plan: _core.ConvPlan, border: Border | None, grad_output: Images, weight: Any, dx: Images, channels_last: bool
) -> None:
    if border is None:
        plan.backward_data(grad_output, weight, dx, channels_last)
        return
    first = 1 if channels_last else 2
    shape = border.padded_shape(dx.shape, first)
    padded: Images = _core.empty_blocked(shape, dx.dtype) if type(dx) is _core.Blocked else _empty(shape, dx.dtype)
    plan.backward_data(grad_output, weight, padded, channels_last)
    to, whole = (a.array if isinstance(a, _core.Blocked) else a for a in (dx, padded))    # (N, C / 16, spatial..., 16)
    to[...] = fold_border(whole, border, first)


# ---- finding the plan ------------------------------------------------------------------------------------


def _forward_call(
    axes: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any, padding_mode: Any,
    layout: Any, algorithm: Any,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """The arrays as the core can read them, and the call for them."""
    key = None
    if (
        _ready(x)
        and _ready(weight)
        and (bias is None or _ready(bias))
        and (type(stride) is int or _exact(stride))
        and (type(padding) is int or _exact(padding))
        and (type(dilation) is int or _exact(dilation))
        and type(groups) is int
    ):
        key = (
            axes, "conv", x.shape, x.dtype, weight.shape, weight.dtype,
            None if bias is None else bias.shape, None if bias is None else bias.dtype,
            stride, padding, dilation, groups, padding_mode, layout, algorithm, current.get(),
        )  # fmt: skip
        call = _plans.find(key)
        if call is not None:
            return x, weight, bias, call
    return _check_forward(
        key, axes, x, weight, bias, (stride, padding, dilation, groups), padding_mode, layout, algorithm
    )


def _backward_call(
    axes: int, grad_output: Any, x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: Any,
    padding_mode: Any, layout: Any, algorithm: Any, needs: Any,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """The arrays as the core can read them, and the call for them."""
    key = None
    if (
        _ready(grad_output)
        and _ready(x)
        and _ready(weight)
        and (type(stride) is int or _exact(stride))
        and (type(padding) is int or _exact(padding))
        and (type(dilation) is int or _exact(dilation))
        and type(groups) is int
        and _plans.exact_flags(needs)
    ):
        key = (
            axes, "conv_backward", grad_output.shape, grad_output.dtype, x.shape, x.dtype, weight.shape,
            weight.dtype, stride, padding, dilation, groups, padding_mode, layout, algorithm, needs,
            current.get(),
        )  # fmt: skip
        call = _plans.find(key)
        if call is not None:
            return grad_output, x, weight, call
    return _check_backward(
        key, axes, grad_output, x, weight, (stride, padding, dilation, groups), padding_mode, layout, algorithm, needs
    )


class Problem(NamedTuple):
    """One convolution, checked: what a plan is made from, and a key."""

    dtype: str
    batch: int
    channels: int
    out_channels: int
    groups: int
    geometry: Geometry
    padding_mode: str
    layout: str
    choice: Choice

    def plan(self, pass_: "_core.Pass") -> _core.ConvPlan:
        """The core's plan of one pass; of a batch of one for an empty batch, which is checked and not run.

        Backward-data of a border is that of the padded images: what it gives has to be folded (run_backward).
        """
        algorithm, strict = self.choice
        geometry, border = self.geometry, self.padding_mode
        if pass_ == "backward_data" and border != "zeros":
            geometry, border = geometry.padded(), "zeros"
        try:
            return _core.ConvPlan(
                pass_, self.dtype, max(self.batch, 1), self.channels, self.out_channels, self.groups,
                *geometry.three_axes(), algorithm, strict, border,
            )  # fmt: skip
        except OverflowError:
            raise OverflowError(f"the output or its sums are too large for 64-bit sizes: {self}") from None
        except ValueError as error:
            if algorithm == "auto":
                raise
            raise ValueError(f"algorithm={algorithm!r} does not apply here: {error}") from None

    def output_shape(self, plan: _core.ConvPlan) -> Shape:
        return image_shape(self.batch, self.out_channels, plan.output_size[-len(self.geometry.size):], self.layout)

    def border(self) -> Border | None:
        """How to fold the gradient of the padded images."""
        if self.padding_mode == "zeros":
            return None
        return Border(self.padding_mode, self.geometry.pad_lo, self.geometry.pad_hi)


def _check_forward(
    key: tuple[Hashable, ...] | None,
    axes: int,
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
    problem = check_problem(x, weight, *parameters, padding_mode, layout, algorithm, axes)
    if bias is not None:
        check_bias(bias.shape, problem.out_channels)
    canonical = ("conv", problem)
    call = _plans.add(canonical, lambda: _plan_forward(problem))
    _plans.alias(key, canonical)
    return x, weight, bias, call


def _check_backward(
    key: tuple[Hashable, ...] | None,
    axes: int,
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
    problem = check_problem(x, weight, *parameters, padding_mode, layout, algorithm, axes)
    wanted = flags("needs", needs, 3)
    canonical = ("conv_backward", problem, wanted)
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
    axes: int = 2,
) -> Problem:
    mode = word("padding_mode", padding_mode, PADDING_MODES)
    layout = word("layout", layout, LAYOUTS_OF[axes])
    choice = resolve(word("algorithm", algorithm, ALGORITHMS), current.get())
    batch, channels, size = image_axes("x", x.shape, layout)
    check_weight(weight.shape, axes)
    groups = integer("groups", groups, 1)
    check_channels(x.shape, weight.shape, groups, layout)
    geometry = conv_geometry(size, weight.shape, stride, padding, dilation, mode)
    if not any(geometry.pad_lo + geometry.pad_hi):
        mode = "zeros"    # whatever it is: one plan
    return Problem(dtype_name(x), batch, channels, weight.shape[0], groups, geometry, mode, layout, choice)


def _plan_forward(problem: Problem) -> tuple[_core.ConvPlan | None, Shape, np.dtype[Any], bool]:
    """(plan, None for an empty batch; shape and dtype of the output; channels_last)."""
    plan = problem.plan("forward")
    shape, dtype = problem.output_shape(plan), np.dtype(problem.dtype)
    check_bytes("the output", shape, dtype)
    return (plan if problem.batch else None), shape, dtype, problem.layout.endswith("C")


def _plan_backward(
    problem: Problem, x: Shape, weight: Shape, wanted: tuple[bool, ...]
) -> tuple[Any, tuple[Shape, Shape, Shape], np.dtype[Any], bool, Shape]:
    """(plans and border, None for an empty batch; shapes, dtype, channels_last; shape of grad_output)."""
    data = problem.plan("backward_data") if wanted[0] else None
    weights = problem.plan("backward_weights") if wanted[1] else None
    grad_output = problem.output_shape(data or weights or problem.plan("forward"))
    plans = (data, weights, problem.border()) if problem.batch else None
    shapes = (x, weight, (problem.out_channels,))
    return plans, shapes, np.dtype(problem.dtype), problem.layout.endswith("C"), grad_output
