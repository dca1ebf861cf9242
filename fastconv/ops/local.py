# SPDX-License-Identifier: BSD-3-Clause
"""Convolution whose weights change from place to place: tiled, and locally connected.

With t = (t_v, t_h) kernels that take turns along the two axes,

    y[n, k, i, j] = bias[k, i mod t_v, j mod t_h]
        + sum over c, u, v of  x[n, c, i * s + u * d - top, ...] * weight[i mod t_v, j mod t_h, k, c, u, v]

(Goodfellow, Bengio and Courville, Deep Learning, 2016, section 9.5). t = 1 is convolution; t = the size of the output
is a locally connected layer: every output position has weights of its own.

Outputs of one kernel are pixels of one group: a 1 x 1 convolution in t_v * t_h groups of the patches they see.
"""

import math
from typing import NamedTuple

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import Array, Shape, check_bytes, flags, float_array, same_dtype
from fastconv.ops._patches import gather, output_size, scatter
from fastconv.ops._shapes import Geometry, IntOrPair, Padding, check_grad_output, conv_geometry, image_axes
from fastconv.ops.conv import conv2d, conv2d_backward

Needs = tuple[bool, bool, bool]
Gradients = tuple[Array | None, Array | None, Array | None]

#: Bytes of patches that are made at once, of as many images as fit, but at least one.
PATCH_BYTES = 32 << 20


def tiled_conv2d(
    x: Array, weight: Array, bias: Array | None = None, stride: IntOrPair = 1, padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> Array:  # fmt: skip
    """Convolution by kernels that take turns from pixel to pixel; see the formula above.

    x: (N, C, H, W). weight: (t_v, t_h, K, C, kernel height, kernel width). bias: (K, t_v, t_h) or None.
    stride, padding, dilation: as in conv2d.

    Returns (N, K, OH, OW), of the inputs' dtype; t_v and t_h are at most OH and OW. Raises TypeError for a wrong
    type or dtype, ShapeError for arrays that do not fit each other, ValueError for a parameter out of range.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.array([[[[1.0, 1.0, 1.0, 1.0]]]])
    >>> weight = np.array([1.0, 2.0]).reshape(1, 2, 1, 1, 1, 1)
    >>> ops.tiled_conv2d(x, weight).tolist()
    [[[[1.0, 2.0, 1.0, 2.0]]]]
    """
    x, weight, bias, tiling = _check(x, weight, bias, stride, padding, dilation)
    return _forward(x, weight, bias, tiling)


def tiled_conv2d_backward(
    grad_output: Array, x: Array, weight: Array, stride: IntOrPair = 1, padding: Padding = 0,
    dilation: IntOrPair = 1, *, needs: Needs = (True, True, True),
) -> Gradients:  # fmt: skip
    """The gradients (dx, dw, db) of sum(grad_output * tiled_conv2d(x, weight, bias, ...)).

    grad_output: (N, K, OH, OW). The results have the shapes of x, weight and bias; None where not needed.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, weight = np.ones((1, 1, 1, 4)), np.array([1.0, 2.0]).reshape(1, 2, 1, 1, 1, 1)
    >>> dx, dw, db = ops.tiled_conv2d_backward(np.ones((1, 1, 1, 4)), x, weight)
    >>> dx.tolist(), dw.ravel().tolist(), db.tolist()
    ([[[[1.0, 2.0, 1.0, 2.0]]]], [2.0, 2.0], [[[2.0, 2.0]]])
    """
    x, weight, _, tiling = _check(x, weight, None, stride, padding, dilation)
    return _backward(grad_output, x, weight, tiling, needs)


def locally_connected2d(
    x: Array, weight: Array, bias: Array | None = None, stride: IntOrPair = 1, padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> Array:  # fmt: skip
    """Convolution without shared weights: every output position has its own.

    x: (N, C, H, W). weight: (OH, OW, K, C, kernel height, kernel width). bias: (K, OH, OW) or None.
    stride, padding, dilation: as in conv2d. Returns (N, K, OH, OW). Errors are those of tiled_conv2d, and
    ShapeError where weight is not for an output of this size.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, weight = np.ones((1, 1, 1, 3)), np.arange(4.0).reshape(1, 2, 1, 1, 1, 2)
    >>> ops.locally_connected2d(x, weight).tolist()
    [[[[1.0, 5.0]]]]
    """
    x, weight, bias, tiling = _check(x, weight, bias, stride, padding, dilation, local=True)
    return _forward(x, weight, bias, tiling)


def locally_connected2d_backward(
    grad_output: Array, x: Array, weight: Array, stride: IntOrPair = 1, padding: Padding = 0,
    dilation: IntOrPair = 1, *, needs: Needs = (True, True, True),
) -> Gradients:  # fmt: skip
    """The gradients (dx, dw, db) of locally_connected2d; db is (K, OH, OW), the sum of grad_output over the batch.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, weight = np.ones((1, 1, 1, 3)), np.arange(4.0).reshape(1, 2, 1, 1, 1, 2)
    >>> ops.locally_connected2d_backward(np.ones((1, 1, 1, 2)), x, weight)[0].tolist()
    [[[[0.0, 3.0, 3.0]]]]
    """
    x, weight, _, tiling = _check(x, weight, None, stride, padding, dilation, local=True)
    return _backward(grad_output, x, weight, tiling, needs)


def locally_connected1d(
    x: Array, weight: Array, bias: Array | None = None, stride: int | tuple[int] = 1, padding: Padding = 0,
    dilation: int | tuple[int] = 1,
) -> Array:  # fmt: skip
    """locally_connected2d of signals: x (N, C, L), weight (OL, K, C, taps), bias (K, OL) or None.

    Returns (N, K, OL).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.locally_connected1d(np.ones((1, 1, 3)), np.arange(4.0).reshape(2, 1, 1, 2)).tolist()
    [[[1.0, 5.0]]]
    """
    x, weight, bias, tiling = _check(x, weight, bias, stride, padding, dilation, local=True, axes=1)
    return _forward(x, weight, bias, tiling)


def locally_connected1d_backward(
    grad_output: Array, x: Array, weight: Array, stride: int | tuple[int] = 1, padding: Padding = 0,
    dilation: int | tuple[int] = 1, *, needs: Needs = (True, True, True),
) -> Gradients:  # fmt: skip
    """The gradients (dx, dw, db) of locally_connected1d; grad_output (N, K, OL), db (K, OL).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> weight = np.arange(4.0).reshape(2, 1, 1, 2)
    >>> ops.locally_connected1d_backward(np.ones((1, 1, 2)), np.ones((1, 1, 3)), weight)[0].tolist()
    [[[0.0, 3.0, 3.0]]]
    """
    x, weight, _, tiling = _check(x, weight, None, stride, padding, dilation, local=True, axes=1)
    return _backward(grad_output, x, weight, tiling, needs)


# ---- checks ----------------------------------------------------------------------------------------------


class Tiling(NamedTuple):
    """Windows on images of one or two axes, and the kernels that take turns on them."""

    geometry: Geometry
    out: Shape
    cycle: Shape    # kernels along each axis

    def rounds(self) -> Shape:
        """Outputs of one kernel along each axis, the last of which may lie beyond the image."""
        return tuple(-(-o // t) for o, t in zip(self.out, self.cycle, strict=True))

    def whole(self) -> Shape:
        """The outputs of whole cycles."""
        return tuple(r * t for r, t in zip(self.rounds(), self.cycle, strict=True))


def _check(
    x: Array, weight: Array, bias: Array | None, stride: object, padding: object, dilation: object, *,
    local: bool = False, axes: int = 2,
) -> tuple[Array, Array, Array | None, Tiling]:  # fmt: skip
    x, weight = float_array("x", x), float_array("weight", weight)
    bias = None if bias is None else float_array("bias", bias)
    same_dtype(x=x, weight=weight, bias=bias)
    _, channels, size = image_axes("x", x.shape, "NCL" if axes == 1 else "NCHW")
    if weight.ndim != 2 * axes + 2 or 0 in weight.shape:
        first = "output positions" if local else "kernels that take turns"
        raise ShapeError(
            f"weight must have {2 * axes + 2} axes, none of them empty: the {first}, out_channels, in_channels, "
            f"kernel; got shape {weight.shape}"
        )
    cycle, (out_channels, depth), kernel = weight.shape[:axes], weight.shape[axes:axes + 2], weight.shape[axes + 2:]
    if depth != channels:
        raise ShapeError(f"input x has {channels} channels (shape {x.shape}) but weight {weight.shape} reads {depth}")
    geometry = conv_geometry(size, (out_channels, depth, *kernel), stride, padding, dilation)
    out = output_size(geometry)
    if local and cycle != out:
        raise ShapeError(
            f"weight {weight.shape} is for an output of size {cycle}, but x of size {size} gives {out}: "
            "a locally connected layer is made for one size of image"
        )
    if any(t > o for t, o in zip(cycle, out, strict=True)):
        raise ShapeError(f"weight {weight.shape} has {cycle} kernels that take turns on an output of only {out}")
    if bias is not None and bias.shape != (out_channels, *cycle):
        raise ShapeError(f"bias must have shape {(out_channels, *cycle)}, one number per filter, got {bias.shape}")
    check_bytes("the output", (len(x), out_channels, *out), x.dtype)
    return x, weight, bias, Tiling(geometry, out, cycle)


# ---- patches of one kernel after the other ---------------------------------------------------------------


def _forward(x: Array, weight: Array, bias: Array | None, tiling: Tiling) -> Array:
    axes = len(tiling.out)
    out_channels = weight.shape[axes]
    filters = weight.reshape(-1, math.prod(weight.shape[axes + 1:]), 1, 1)
    y = np.empty((len(x), out_channels, *tiling.out), x.dtype)
    for images in _chunks(x, tiling):
        patches = _gather(x[images], tiling)
        _put_outputs(conv2d(_as_image(patches, axes), filters, groups=math.prod(tiling.cycle)), y[images], tiling)
    if bias is not None:
        y += _repeat(bias, tiling)
    return y


def _backward(grad_output: Array, x: Array, weight: Array, tiling: Tiling, needs: Needs) -> Gradients:
    axes = len(tiling.out)
    grad_output = float_array("grad_output", grad_output)
    same_dtype(x=x, grad_output=grad_output)
    out_channels = weight.shape[axes]
    check_grad_output(grad_output.shape, (len(x), out_channels, *tiling.out), "NCHW")
    wanted = flags("needs", needs, 3)
    filters = weight.reshape(-1, math.prod(weight.shape[axes + 1:]), 1, 1)
    dx = np.zeros(x.shape, x.dtype) if wanted[0] else None
    dw = np.zeros(filters.shape, x.dtype) if wanted[1] else None
    for images in _chunks(x, tiling) if wanted[0] or wanted[1] else ():
        patches = _gather(x[images], tiling)
        dp, dw_part, _ = conv2d_backward(
            _take_outputs(grad_output[images], tiling), _as_image(patches, axes), filters,
            groups=math.prod(tiling.cycle), needs=(wanted[0], wanted[1], False),
        )  # fmt: skip
        if dx is not None and dp is not None:
            _scatter(dp.reshape(patches.shape), dx[images], tiling)
        if dw is not None:
            dw += dw_part
    db = _sum_rounds(grad_output.sum(0), tiling) if wanted[2] else None
    return dx, None if dw is None else dw.reshape(weight.shape), db


def _chunks(x: Array, tiling: Tiling) -> list[slice]:
    """Images whose patches are made at once."""
    taps_and_channels = x.shape[1] * math.prod(tiling.geometry.kernel)
    each = taps_and_channels * math.prod(tiling.whole()) * x.itemsize
    count = max(1, PATCH_BYTES // each)
    return [slice(i, min(i + count, len(x))) for i in range(0, len(x), count)]


def _as_image(patches: Array, axes: int) -> Array:
    """(cycle..., C, kernel..., N, rounds...) as one image: a channel for each term, a pixel for each output."""
    groups = math.prod(patches.shape[:2 * axes + 1])
    return patches.reshape(1, groups, 1, -1)


def _gather(x: Array, tiling: Tiling) -> Array:
    """The patches, (cycle..., C, kernel..., N, rounds...); zeros on padding and beyond the image."""
    patches = _split(gather(x, tiling.geometry, tiling.whole()), tiling)
    return np.ascontiguousarray(np.moveaxis(patches, len(tiling.out), -1 - len(tiling.out)))


def _scatter(patches: Array, dx: Array, tiling: Tiling) -> None:
    """The transpose of _gather, added to dx."""
    scatter(_join(np.moveaxis(patches, -1 - len(tiling.out), len(tiling.out)), tiling), tiling.geometry, dx)


def _take_outputs(y: Array, tiling: Tiling) -> Array:
    """(N, K, out...) as the image that a convolution in groups gives; zeros beyond the image."""
    axes, whole = len(tiling.out), tiling.whole()
    if whole != tiling.out:
        y = np.pad(y, ((0, 0), (0, 0), *((0, w - o) for w, o in zip(whole, tiling.out, strict=True))))
    parts = np.moveaxis(_split(y, tiling), axes, axes + 1)    # (cycle..., K, N, rounds...)
    return parts.reshape(1, math.prod(tiling.cycle) * y.shape[1], 1, -1)


def _put_outputs(image: Array, y: Array, tiling: Tiling) -> None:
    """The inverse of _take_outputs."""
    axes = len(tiling.out)
    parts = image.reshape(*tiling.cycle, y.shape[1], y.shape[0], *tiling.rounds())
    whole = _join(np.moveaxis(parts, axes + 1, axes), tiling)
    y[...] = whole[(slice(None),) * 2 + tuple(map(slice, tiling.out))]


def _split(a: Array, tiling: Tiling) -> Array:
    """(rest..., whole...) -> (cycle..., rest..., rounds...), a view."""
    axes = len(tiling.out)
    rest = a.shape[:-axes]
    split = a.reshape(*rest, *(n for pair in zip(tiling.rounds(), tiling.cycle, strict=True) for n in pair))
    turns = [len(rest) + 2 * i + 1 for i in range(axes)]
    return np.moveaxis(split, turns, range(axes))


def _join(a: Array, tiling: Tiling) -> Array:
    """The inverse of _split, a copy."""
    axes = len(tiling.out)
    rest = a.ndim - 2 * axes
    whole = np.moveaxis(a, range(axes), [rest + 2 * i + 1 for i in range(axes)])
    return whole.reshape(*a.shape[axes:axes + rest], *tiling.whole())


def _repeat(bias: Array, tiling: Tiling) -> Array:
    """(K, cycle...) -> (K, out...)."""
    for axis, (o, t) in enumerate(zip(tiling.out, tiling.cycle, strict=True), 1):
        bias = np.take(bias, np.arange(o) % t, axis)
    return bias


def _sum_rounds(grad: Array, tiling: Tiling) -> Array:
    """The transpose of _repeat."""
    for axis, (o, t) in enumerate(zip(tiling.out, tiling.cycle, strict=True), 1):
        grad = np.stack([grad[(slice(None),) * axis + (slice(k, o, t),)].sum(axis) for k in range(t)], axis)
    return grad
