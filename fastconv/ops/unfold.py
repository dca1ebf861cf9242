# SPDX-License-Identifier: BSD-3-Clause
"""im2col and col2im: the patches of images as columns of a matrix, and their sum back into images."""

import math

from fastconv.errors import ShapeError
from fastconv.ops._check import Array, Shape, check_bytes, float_array, pair
from fastconv.ops._patches import gather, output_size, scatter
from fastconv.ops._shapes import (
    Geometry,
    IntOrPair,
    Padding,
    Pair,
    check_grad_output,
    conv_geometry,
    image_axes,
    input_shape,
)


def unfold(
    x: Array, kernel_size: IntOrPair, dilation: IntOrPair = 1, padding: Padding = 0, stride: IntOrPair = 1
) -> Array:
    """The patches of images, one a column: im2col.

    x: (N, C, H, W). kernel_size, dilation, padding, stride: as in conv2d, padding of every form.

    Returns (N, C * kernel height * kernel width, L), L = OH * OW windows in row-major order: column l holds what
    window l sees, channel by channel, tap by tap, zeros on padding. So conv2d(x, w) is w, as a matrix of
    (K, C * kh * kw), times this. Errors are those of conv2d.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.unfold(np.arange(9.0).reshape(1, 1, 3, 3), 2)[0].tolist()
    [[0.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 5.0], [3.0, 4.0, 6.0, 7.0], [4.0, 5.0, 7.0, 8.0]]
    """
    x = float_array("x", x)
    batch, channels, size = image_axes("x", x.shape, "NCHW")
    geometry = _geometry(size, kernel_size, dilation, padding, stride)
    shape = (batch, channels * math.prod(geometry.kernel), math.prod(output_size(geometry)))
    check_bytes("the columns", shape, x.dtype)
    return gather(x, geometry).reshape(shape)


def unfold_backward(
    grad_output: Array, input_size: tuple[int, ...], kernel_size: IntOrPair, dilation: IntOrPair = 1,
    padding: Padding = 0, stride: IntOrPair = 1,
) -> Array:  # fmt: skip
    """The gradient of sum(grad_output * unfold(x, ...)) with respect to x: fold.

    grad_output: (N, C * kh * kw, L); input_size: (N, C, H, W), which is also the shape of the result.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.unfold_backward(np.ones((1, 4, 4)), (1, 1, 3, 3), 2)[0, 0].tolist()
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    grad_output = float_array("grad_output", grad_output)
    batch, channels, size = image_axes("input_size", input_shape("input_size", input_size), "NCHW")
    geometry = _geometry(size, kernel_size, dilation, padding, stride)
    out = output_size(geometry)
    expected = (batch, channels * math.prod(geometry.kernel), math.prod(out))
    check_grad_output(grad_output.shape, expected, "columns")
    return scatter(grad_output.reshape(batch, channels, *geometry.kernel, *out), geometry)


def fold(
    x: Array, output_size: IntOrPair, kernel_size: IntOrPair, dilation: IntOrPair = 1, padding: Padding = 0,
    stride: IntOrPair = 1,
) -> Array:  # fmt: skip
    """Columns summed into images, each patch where unfold took it from: col2im.

    x: (N, C * kernel height * kernel width, L), L as unfold gives it for images of output_size = (H, W).

    Returns (N, C, H, W). Raises ShapeError where the rows are no multiple of the kernel's taps or L is another.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> (ops.fold(ops.unfold(x, 2), 3, 2) / ops.fold(ops.unfold(np.ones_like(x), 2), 3, 2) == x).all().item()
    True
    """
    x = float_array("x", x)
    size = pair("output_size", output_size, 1)
    geometry = _geometry(size, kernel_size, dilation, padding, stride)
    batch, channels = _columns(x, geometry)
    return scatter(x.reshape(batch, channels, *geometry.kernel, *_output(geometry)), geometry)


def fold_backward(
    grad_output: Array, kernel_size: IntOrPair, dilation: IntOrPair = 1, padding: Padding = 0, stride: IntOrPair = 1
) -> Array:
    """The gradient of sum(grad_output * fold(x, ...)) with respect to x: unfold of grad_output (N, C, H, W).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.fold_backward(np.ones((1, 1, 3, 3)), 2).shape
    (1, 4, 4)
    """
    return unfold(grad_output, kernel_size, dilation, padding, stride)


_output = output_size


def _geometry(size: Shape, kernel_size: object, dilation: object, padding: object, stride: object) -> Geometry:
    return conv_geometry(size, (1, 1, *pair("kernel_size", kernel_size, 1)), stride, padding, dilation)


def _columns(x: Array, geometry: Geometry) -> Pair:
    """(batch, channels) of columns."""
    count, kernel = math.prod(_output(geometry)), math.prod(geometry.kernel)
    if x.ndim != 3 or x.shape[1] % kernel or x.shape[2] != count or not x.shape[1]:
        raise ShapeError(
            f"x must be (N, a multiple of {kernel}, {count}): the {kernel} taps of kernel_size={geometry.kernel} "
            f"for each channel, and {count} windows on output_size={geometry.size}; got shape {x.shape}"
        )
    return x.shape[0], x.shape[1] // kernel
