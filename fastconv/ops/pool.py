# SPDX-License-Identifier: BSD-3-Clause
"""Max, min and average pooling of one to three axes, and their gradients, on NumPy arrays.

The output has (H + top + bottom - dilation * (kernel - 1) - 1) // stride + 1 rows, top and bottom being the
padding, and other axes alike. ceil_mode=True rounds that quotient up, and drops a last window that would start in
the padding after the image: it would read no pixel. That is PyTorch's rule; "pytorch" and "onnx" are its names.
(ONNX wrote the rounding down first and the dropping later: models of all its versions mean this rule now, and
their averages divide by what of a window lies on the image and its padding.)

Padding is at most half of the kernel, so that every window reads at least one pixel. (A dilated window with
padding can still step over an image smaller than its dilation; that is an error.)
"""

from typing import Any, Literal, overload

from fastconv.ops import _pool_runs
from fastconv.ops._check import Array, Shape
from fastconv.ops._pool_calls import CeilMode, One
from fastconv.ops._shapes import IntOrPair, IntOrTriple, Padding


@overload
def max_pool2d(
    x: Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: Padding = 0, dilation: IntOrPair = 1,
    ceil_mode: CeilMode = False, return_indices: Literal[False] = False, *, layout: str = "NCHW",
) -> Array: ...  # fmt: skip
@overload
def max_pool2d(
    x: Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: Padding = 0, dilation: IntOrPair = 1,
    ceil_mode: CeilMode = False, *, return_indices: Literal[True], layout: str = "NCHW",
) -> tuple[Array, Array]: ...  # fmt: skip
@overload
def max_pool2d(
    x: Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: Padding = 0, dilation: IntOrPair = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False, *, layout: str = "NCHW",
) -> Array | tuple[Array, Array]: ...  # fmt: skip
def max_pool2d(
    x: Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: Padding = 0, dilation: IntOrPair = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False, *, layout: str = "NCHW",
) -> Array | tuple[Array, Array]:  # fmt: skip
    """The largest pixel of every window, channel by channel.

    x: (N, C, H, W), or (N, H, W, C) with layout="NHWC"; float32 or float64. N may be 0.
    kernel_size, stride, dilation: an int, or (vertical, horizontal). stride None or () means kernel_size.
    padding: any of the forms of conv2d, on each side at most half of dilation * (kernel_size - 1) + 1. It is
        never the maximum.
    return_indices: also return where each maximum was.

    Returns y, (N, C, OH, OW) or (N, OH, OW, C), or (y, indices): int64 of y's shape, each the h * W + w of a
    pixel of x. A NaN in the window is the maximum, the last if there are several; of equal maxima the first
    counts.

    Errors are as in conv2d: TypeError, ShapeError, ValueError, MemoryError.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> y, indices = ops.max_pool2d(x, 2, return_indices=True)
    >>> y[0, 0].tolist(), indices[0, 0].tolist()
    ([[5.0, 7.0], [13.0, 15.0]], [[5, 7], [13, 15]])
    """
    pooled: Array | tuple[Array, Array] = _pool_runs.max_pool(
        2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout
    )
    return pooled


def max_pool2d_backward(
    grad_output: Array, indices: Array, input_size: Shape, *, layout: str = "NCHW"
) -> Array:
    """The gradient of sum(grad_output * max_pool2d(x, ...)) with respect to x; that of min_pool2d, too.

    grad_output: of the shape of the output. indices: what max_pool2d(..., return_indices=True) gave.
    input_size: x.shape, in the given layout.

    Returns dx of that shape: dx = 0, then dx[n, c].flat[indices[n, c, i, j]] += grad_output[n, c, i, j].
    Where windows overlap, the gradients of a pixel are added in the order of the windows, row by row.

    Raises as conv2d does, and ValueError for an index outside h * W + w of x.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.array([[1.0, 3.0, 2.0]]).reshape(1, 1, 1, 3)
    >>> y, indices = ops.max_pool2d(x, (1, 2), 1, return_indices=True)
    >>> ops.max_pool2d_backward(np.ones_like(y), indices, x.shape).tolist()
    [[[[0.0, 2.0, 0.0]]]]
    """
    return _pool_runs.max_pool_backward(2, grad_output, indices, input_size, layout)


def max_pool1d(
    x: Array, kernel_size: One, stride: One | None = None, padding: Padding = 0, dilation: One = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False, *, layout: str = "NCL",
) -> Any:  # fmt: skip
    """max_pool2d of signals: x (N, C, L), or (N, L, C) with layout="NLC".

    Parameters are an int, or one for each axis; padding has the forms of conv1d. Returns y, or (y, indices), int64 of
    y's shape, each the l of a maximum. Errors are those of max_pool2d.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> y, indices = ops.max_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2, return_indices=True)
    >>> y.tolist(), indices.tolist()
    ([[[3.0, 2.0]]], [[[1, 2]]])
    """
    return _pool_runs.max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout)


def max_pool1d_backward(
    grad_output: Array, indices: Array, input_size: Shape, *, layout: str = "NCL"
) -> Array:
    """The gradient of sum(grad_output * max_pool1d(x, ...)), or of min_pool1d; see max_pool2d_backward.

    Returns dx of the shape input_size, (N, C, L) or (N, L, C).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.arange(2.0).reshape(1, 1, 2)
    >>> y, indices = ops.max_pool1d(x, 2, return_indices=True)
    >>> ops.max_pool1d_backward(y + 4, indices, x.shape).ravel().tolist()
    [0.0, 5.0]
    """
    return _pool_runs.max_pool_backward(1, grad_output, indices, input_size, layout)


def max_pool3d(
    x: Array, kernel_size: IntOrTriple, stride: IntOrTriple | None = None, padding: Padding = 0,
    dilation: IntOrTriple = 1, ceil_mode: CeilMode = False, return_indices: bool = False, *, layout: str = "NCDHW",
) -> Any:  # fmt: skip
    """max_pool2d of volumes: x (N, C, D, H, W), or (N, D, H, W, C) with layout="NDHWC".

    Parameters are an int, or one for each axis; padding has the forms of conv3d. Returns y, or (y, indices), int64 of
    y's shape, each the (d * H + h) * W + w of a maximum. Errors are those of max_pool2d.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.max_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), 2).tolist()
    [[[[[7.0]]]]]
    """
    return _pool_runs.max_pool(3, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout)


def max_pool3d_backward(
    grad_output: Array, indices: Array, input_size: Shape, *, layout: str = "NCDHW"
) -> Array:
    """The gradient of sum(grad_output * max_pool3d(x, ...)), or of min_pool3d; see max_pool2d_backward.

    Returns dx of the shape input_size, (N, C, D, H, W) or (N, D, H, W, C).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.arange(2.0).reshape(1, 1, 1, 1, 2)
    >>> y, indices = ops.max_pool3d(x, (1, 1, 2), return_indices=True)
    >>> ops.max_pool3d_backward(y + 4, indices, x.shape).ravel().tolist()
    [0.0, 5.0]
    """
    return _pool_runs.max_pool_backward(3, grad_output, indices, input_size, layout)


def min_pool1d(
    x: Array, kernel_size: One, stride: One | None = None, padding: Padding = 0, dilation: One = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False, *, layout: str = "NCL",
) -> Any:  # fmt: skip
    """The smallest pixel of every window: -max_pool1d(-x, ...), so padding is never the minimum, and NaN wins.

    x: (N, C, L), or (N, L, C); parameters, results and errors are those of max_pool1d. The gradient is
    max_pool1d_backward's, with these indices.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.min_pool1d(np.array([1.0, 3.0, 2.0, 0.0]).reshape(1, 1, 4), 2).ravel().tolist()
    [1.0, 0.0]
    """
    return _pool_runs.min_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout)


def min_pool2d(
    x: Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: Padding = 0, dilation: IntOrPair = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False, *, layout: str = "NCHW",
) -> Any:  # fmt: skip
    """The smallest pixel of every window: -max_pool2d(-x, ...), so padding is never the minimum, and NaN wins.

    x: (N, C, H, W), or (N, H, W, C); parameters, results and errors are those of max_pool2d. The gradient is
    max_pool2d_backward's, with these indices.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.min_pool2d(np.array([1.0, 3.0, 2.0, 0.0]).reshape(1, 1, 1, 4), (1, 2)).ravel().tolist()
    [1.0, 0.0]
    """
    return _pool_runs.min_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout)


def min_pool3d(
    x: Array, kernel_size: IntOrTriple, stride: IntOrTriple | None = None, padding: Padding = 0,
    dilation: IntOrTriple = 1, ceil_mode: CeilMode = False, return_indices: bool = False, *, layout: str = "NCDHW",
) -> Any:  # fmt: skip
    """The smallest pixel of every window: -max_pool3d(-x, ...), so padding is never the minimum, and NaN wins.

    x: (N, C, D, H, W), or (N, D, H, W, C); parameters, results and errors are those of max_pool3d. The gradient is
    max_pool3d_backward's, with these indices.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.min_pool3d(np.array([1.0, 3.0, 2.0, 0.0]).reshape(1, 1, 1, 1, 4), (1, 1, 2)).ravel().tolist()
    [1.0, 0.0]
    """
    return _pool_runs.min_pool(3, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout)


def avg_pool2d(
    x: Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: Padding = 0,
    ceil_mode: CeilMode = False, count_include_pad: bool = True, divisor_override: int | None = None, *,
    layout: str = "NCHW",
) -> Array:  # fmt: skip
    """The mean of the pixels of every window, channel by channel.

    x, kernel_size, stride, padding, layout: as in max_pool2d, without dilation.
    count_include_pad: padding counts as pixels of value 0; otherwise the sum is divided by the number of
        pixels of the image in the window. What a window of ceil_mode has beyond the padding never counts.
    divisor_override: divide every sum by this number instead; not 0, and negative ones are taken as they are.

    Returns y, (N, C, OH, OW) or (N, OH, OW, C). Errors are as in conv2d.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> ops.avg_pool2d(x, 2)[0, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    return _pool_runs.avg_pool(
        2, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout
    )


def avg_pool2d_backward(
    grad_output: Array, input_size: Shape, kernel_size: IntOrPair, stride: IntOrPair | None = None,
    padding: Padding = 0, ceil_mode: CeilMode = False, count_include_pad: bool = True,
    divisor_override: int | None = None, *, layout: str = "NCHW",
) -> Array:  # fmt: skip
    """The gradient of sum(grad_output * avg_pool2d(x, ...)) with respect to x.

    grad_output: of the shape of the output for these arguments. input_size: x.shape, in the given layout.

    Returns dx of that shape: each pixel gets grad_output / divisor from every window that reads it.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.avg_pool2d_backward(np.ones((1, 1, 1, 2)), (1, 1, 2, 4), 2)[0, 0].tolist()
    [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]]
    """
    return _pool_runs.avg_pool_backward(
        2, grad_output, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout
    )


def avg_pool1d(
    x: Array, kernel_size: One, stride: One | None = None, padding: Padding = 0, ceil_mode: CeilMode = False,
    count_include_pad: bool = True, *, layout: str = "NCL",
) -> Array:  # fmt: skip
    """avg_pool2d of signals: x (N, C, L), or (N, L, C) with layout="NLC". There is no divisor_override.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.avg_pool1d(np.array([1.0, 3.0, 2.0, 0.0]).reshape(1, 1, 4), 2).ravel().tolist()
    [2.0, 1.0]
    """
    return _pool_runs.avg_pool(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad, None, layout)


def avg_pool1d_backward(
    grad_output: Array, input_size: Shape, kernel_size: One, stride: One | None = None, padding: Padding = 0,
    ceil_mode: CeilMode = False, count_include_pad: bool = True, *,
    layout: str = "NCL",
) -> Array:  # fmt: skip
    """The gradient of sum(grad_output * avg_pool1d(x, ...)) with respect to x; see avg_pool2d_backward.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.avg_pool1d_backward(np.ones((1, 1, 2)), (1, 1, 4), 2).ravel().tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    return _pool_runs.avg_pool_backward(
        1, grad_output, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad, None, layout
    )


def avg_pool3d(
    x: Array, kernel_size: IntOrTriple, stride: IntOrTriple | None = None, padding: Padding = 0,
    ceil_mode: CeilMode = False, count_include_pad: bool = True, divisor_override: int | None = None, *,
    layout: str = "NCDHW",
) -> Array:  # fmt: skip
    """avg_pool2d of volumes: x (N, C, D, H, W), or (N, D, H, W, C) with layout="NDHWC".

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.avg_pool3d(np.array([1.0, 3.0, 2.0, 0.0]).reshape(1, 1, 1, 1, 4), (1, 1, 2)).ravel().tolist()
    [2.0, 1.0]
    """
    return _pool_runs.avg_pool(
        3, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout
    )


def avg_pool3d_backward(
    grad_output: Array, input_size: Shape, kernel_size: IntOrTriple, stride: IntOrTriple | None = None,
    padding: Padding = 0, ceil_mode: CeilMode = False, count_include_pad: bool = True,
    divisor_override: int | None = None, *, layout: str = "NCDHW",
) -> Array:  # fmt: skip
    """The gradient of sum(grad_output * avg_pool3d(x, ...)) with respect to x; see avg_pool2d_backward.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.avg_pool3d_backward(np.ones((1, 1, 1, 1, 2)), (1, 1, 1, 1, 4), (1, 1, 2)).ravel().tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    return _pool_runs.avg_pool_backward(
        3, grad_output, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout
    )
