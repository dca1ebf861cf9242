# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive pooling: the size of the output is given, the windows follow from it. Global pooling is that of size 1.

Of n pixels of an axis and m outputs, window i has the pixels from floor(i * n / m) up to, not including,
ceil((i + 1) * n / m). Windows may overlap; their sizes differ by at most one. Where m divides n, or leaves 1, they
are alike, and this is ordinary pooling.

Pixel j lies in the windows that are the adaptive windows of m elements for n outputs: so sums over windows are also
the gradient of sums over windows, with n and m exchanged.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops import _pool_runs
from fastconv.ops._check import (
    LAYOUTS_OF,
    Array,
    Shape,
    check_bytes,
    flag,
    float_array,
    index_array,
    integer,
    shown,
    word,
)
from fastconv.ops._shapes import image_axes, image_shape, input_shape
from fastconv.ops._taps import max_of_taps

#: An extent; None for that of x; or a tuple with one of them for each axis.
OutputSize = int | None | tuple[int | None, ...]


def adaptive_avg_pool1d(x: Array, output_size: OutputSize, *, layout: str = "NCL") -> Array:
    """adaptive_avg_pool2d of signals: x (N, C, L), or (N, L, C) with layout="NLC"; output_size an int, None or (int,).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.adaptive_avg_pool1d(np.array([[[1.0, 2.0, 3.0, 4.0, 5.0]]]), 3).tolist()
    [[[1.5, 3.0, 4.5]]]
    """
    return adaptive_avg(1, x, output_size, layout)


def adaptive_avg_pool2d(x: Array, output_size: OutputSize, *, layout: str = "NCHW") -> Array:
    """The mean of each of output_size windows, channel by channel.

    x: (N, C, H, W), or (N, H, W, C) with layout="NHWC"; float32 or float64. N may be 0.
    output_size: an int for both axes, or (OH, OW); None keeps the extent of x. It may be larger than x.

    Returns (N, C, OH, OW), or (N, OH, OW, C): the sums of the windows (see the top of this module), first along one
    axis, then along the next, over the number of their pixels. Raises as avg_pool2d does, and ValueError for an extent
    below 1.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.adaptive_avg_pool2d(np.arange(6.0).reshape(1, 1, 2, 3), (1, 2)).tolist()
    [[[[2.0, 3.0]]]]
    """
    return adaptive_avg(2, x, output_size, layout)


def adaptive_avg_pool3d(x: Array, output_size: OutputSize, *, layout: str = "NCDHW") -> Array:
    """adaptive_avg_pool2d of volumes: x (N, C, D, H, W), or (N, D, H, W, C) with layout="NDHWC".

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.adaptive_avg_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), (2, 1, 1)).ravel().tolist()
    [1.5, 5.5]
    """
    return adaptive_avg(3, x, output_size, layout)


def adaptive_avg_pool1d_backward(grad_output: Array, input_size: Shape, *, layout: str = "NCL") -> Array:
    """The gradient of sum(grad_output * adaptive_avg_pool1d(x, ...)); see adaptive_avg_pool2d_backward.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.adaptive_avg_pool1d_backward(np.ones((1, 1, 2)), (1, 1, 3)).tolist()
    [[[0.5, 1.0, 0.5]]]
    """
    return adaptive_avg_backward(1, grad_output, input_size, layout)


def adaptive_avg_pool2d_backward(grad_output: Array, input_size: Shape, *, layout: str = "NCHW") -> Array:
    """The gradient of sum(grad_output * adaptive_avg_pool2d(x, ...)) with respect to x.

    grad_output: (N, C, OH, OW), or (N, OH, OW, C). input_size: x.shape, in the given layout.

    Returns dx of that shape: each pixel gets grad_output / size from every window that it is in.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.adaptive_avg_pool2d_backward(np.ones((1, 1, 1, 2)), (1, 1, 1, 3)).tolist()
    [[[[0.5, 1.0, 0.5]]]]
    """
    return adaptive_avg_backward(2, grad_output, input_size, layout)


def adaptive_avg_pool3d_backward(grad_output: Array, input_size: Shape, *, layout: str = "NCDHW") -> Array:
    """The gradient of sum(grad_output * adaptive_avg_pool3d(x, ...)); see adaptive_avg_pool2d_backward.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.adaptive_avg_pool3d_backward(np.ones((1, 1, 1, 1, 2)), (1, 1, 1, 1, 3)).ravel().tolist()
    [0.5, 1.0, 0.5]
    """
    return adaptive_avg_backward(3, grad_output, input_size, layout)


def adaptive_max_pool1d(
    x: Array, output_size: OutputSize, return_indices: bool = False, *, layout: str = "NCL"
) -> Any:
    """adaptive_max_pool2d of signals: x (N, C, L), or (N, L, C) with layout="NLC".

    Returns y, or (y, indices); the gradient is max_pool1d_backward's.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.adaptive_max_pool1d(np.array([[[1.0, 4.0, 2.0, 3.0, 0.0]]]), 3).tolist()
    [[[4.0, 4.0, 3.0]]]
    """
    return adaptive_max(1, x, output_size, return_indices, layout)


def adaptive_max_pool2d(
    x: Array, output_size: OutputSize, return_indices: bool = False, *, layout: str = "NCHW"
) -> Any:
    """The largest pixel of each of output_size windows, channel by channel.

    x, output_size, layout: as in adaptive_avg_pool2d.

    Returns y, or with return_indices (y, indices), the positions h * W + w of the maxima, int64. Equal pixels, NaN and
    errors are treated as in max_pool2d. The gradient is max_pool2d_backward's.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> y, indices = ops.adaptive_max_pool2d(np.arange(6.0).reshape(1, 1, 2, 3), (1, 2), return_indices=True)
    >>> y.tolist(), indices.tolist()
    ([[[[4.0, 5.0]]]], [[[[4, 5]]]])
    """
    return adaptive_max(2, x, output_size, return_indices, layout)


def adaptive_max_pool3d(
    x: Array, output_size: OutputSize, return_indices: bool = False, *, layout: str = "NCDHW"
) -> Any:
    """adaptive_max_pool2d of volumes: x (N, C, D, H, W), or (N, D, H, W, C) with layout="NDHWC".

    Returns y, or (y, indices), the positions (d * H + h) * W + w; the gradient is max_pool3d_backward's.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.adaptive_max_pool3d(np.arange(8.0).reshape(1, 1, 2, 2, 2), (2, 1, 1)).ravel().tolist()
    [3.0, 7.0]
    """
    return adaptive_max(3, x, output_size, return_indices, layout)


def global_avg_pool(x: Array, keepdims: bool = False) -> Array:
    """The mean of every channel: (N, C, L), (N, C, H, W) or (N, C, D, H, W) -> (N, C), with keepdims (N, C, 1, ...).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.global_avg_pool(np.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[1.5, 5.5]]
    """
    axes = _spatial_axes("x", float_array("x", x).shape)
    return _squeezed(adaptive_avg(axes, x, 1, LAYOUTS_OF[axes][0]), keepdims)


def global_avg_pool_backward(grad_output: Array, input_size: Shape) -> Array:
    """The gradient of sum(grad_output * global_avg_pool(x)) with respect to x, of shape input_size.

    grad_output: (N, C), or (N, C, 1, ...).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.global_avg_pool_backward(np.array([[4.0]]), (1, 1, 2, 2)).tolist()
    [[[[1.0, 1.0], [1.0, 1.0]]]]
    """
    return adaptive_avg_backward(*_global_gradient(grad_output, input_size))


def global_max_pool(x: Array, keepdims: bool = False, return_indices: bool = False) -> Any:
    """The maximum of every channel: (N, C, L), (N, C, H, W) or (N, C, D, H, W) -> (N, C), with keepdims (N, C, 1, ...).

    With return_indices (y, indices), both of that shape: see max_pool2d.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.global_max_pool(np.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[3.0, 7.0]]
    """
    axes = _spatial_axes("x", float_array("x", x).shape)
    pooled = adaptive_max(axes, x, 1, return_indices, LAYOUTS_OF[axes][0])
    if not return_indices:
        return _squeezed(pooled, keepdims)
    return _squeezed(pooled[0], keepdims), _squeezed(pooled[1], keepdims)


def global_max_pool_backward(grad_output: Array, indices: Array, input_size: Shape) -> Array:
    """The gradient of sum(grad_output * global_max_pool(x)) with respect to x, of shape input_size.

    grad_output, indices: (N, C), or (N, C, 1, ...).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.global_max_pool_backward(np.array([[4.0]]), np.array([[1]]), (1, 1, 3)).tolist()
    [[[0.0, 4.0, 0.0]]]
    """
    axes, grad, shape, layout = _global_gradient(grad_output, input_size)
    indices = index_array("indices", indices)
    if indices.shape == shape[:2]:
        indices = indices.reshape(grad.shape)
    return _pool_runs.max_pool_backward(axes, grad, indices, shape, layout)


# ---- how ------------------------------------------------------------------------------------------------------------


def adaptive_avg(axes: int, x: Any, output_size: Any, layout: Any) -> Array:
    x, size, out, layout = _checked(axes, x, output_size, layout)
    if (regular := _regular(size, out)) is not None:
        return _pool_runs.avg_pool(axes, x, *regular, 0, False, True, None, layout)
    first = 1 if layout.endswith("C") else 2
    y = x
    for axis, extent in enumerate(out, first):
        y = _window_sums(y, axis, extent)
    mean: Array = y / _counts(size, out, first, x)
    return mean


def adaptive_avg_backward(axes: int, grad_output: Any, input_size: Any, layout: Any) -> Array:
    grad_output = float_array("grad_output", grad_output)
    layout = word("layout", layout, LAYOUTS_OF[axes])
    shape = input_shape("input_size", input_size, axes)
    batch, channels, size = image_axes("input_size", shape, layout)
    given_batch, given_channels, out = image_axes("grad_output", grad_output.shape, layout)
    if (given_batch, given_channels) != (batch, channels):
        raise ShapeError(
            f"grad_output {grad_output.shape} and input_size {shape} must have the same batch and channels "
            f"(layout {layout})"
        )
    check_bytes("the gradient", shape, grad_output.dtype)
    if (regular := _regular(size, out)) is not None:
        return _pool_runs.avg_pool_backward(axes, grad_output, shape, *regular, 0, False, True, None, layout)
    first = 1 if layout.endswith("C") else 2
    dx: Array = grad_output / _counts(size, out, first, grad_output)
    for axis, extent in enumerate(size, first):
        dx = _window_sums(dx, axis, extent)
    return np.ascontiguousarray(dx)


def adaptive_max(axes: int, x: Any, output_size: Any, return_indices: Any, layout: Any) -> Any:
    return_indices = flag("return_indices", return_indices)
    x, size, out, layout = _checked(axes, x, output_size, layout)
    if (regular := _regular(size, out)) is not None:
        return _pool_runs.max_pool(axes, x, *regular, 0, 1, False, return_indices, layout)
    taps = []
    for n, extent in zip(size, out, strict=True):
        starts, ends = _windows(n, extent)
        # What a shorter window lacks is its last pixel again: neither the first of equals nor the last NaN changes.
        taps.append(np.minimum(starts[:, None] + np.arange((ends - starts).max()), ends[:, None] - 1))
    return max_of_taps(x, taps, layout, return_indices)


def _windows(n: int, out: int) -> tuple[Any, Any]:
    """The first pixel of each window, and the one after its last."""
    i = np.arange(out)
    return i * n // out, -(-(i + 1) * n // out)


def _regular(size: Shape, out: Shape) -> tuple[Shape, Shape] | None:
    """Kernel and stride where all windows are alike: there stride is size // out, and at most 1 pixel remains."""
    strides = tuple(n // m for n, m in zip(size, out, strict=True))
    rests = tuple(n % m for n, m in zip(size, out, strict=True))
    if max(rests) > 1 or min(strides) == 0:
        return None
    return tuple(s + r for s, r in zip(strides, rests, strict=True)), strides


def _counts(size: Shape, out: Shape, first: int, like: Array) -> Array:
    """The number of pixels of each window, with as many axes as `like`."""
    counts = np.ones((1,) * like.ndim, like.dtype)
    for axis, (n, extent) in enumerate(zip(size, out, strict=True), first):
        starts, ends = _windows(n, extent)
        counts = counts * (ends - starts).astype(like.dtype).reshape(-1, *(1,) * (like.ndim - 1 - axis))
    return counts


@np.errstate(all="ignore")    # inf - inf is NaN here as in the kernels: quietly
def _window_sums(a: Array, axis: int, out: int) -> Array:
    n = a.shape[axis]
    if n == out:
        return a
    starts, ends = _windows(n, out)
    before: tuple[Any, ...] = (slice(None),) * axis
    if out < n:    # no window begins before the last one has: what reduceat finds between two windows is dropped
        edges = np.stack([starts, ends], 1).ravel()[:-1]
        between: Array = np.add.reduceat(a, edges, axis)
        return between[(*before, slice(None, None, 2))]
    sums: Array = a.take(starts, axis)
    two = np.flatnonzero(ends - starts > 1)
    sums[(*before, two)] += a.take(starts[two] + 1, axis)
    return sums


# ---- checks ---------------------------------------------------------------------------------------------------------


def _checked(axes: int, x: Any, output_size: Any, layout: Any) -> tuple[Array, Shape, Shape, str]:
    """x as it can be read, the size of its images and that of the output, and the layout."""
    x = float_array("x", x)
    layout = word("layout", layout, LAYOUTS_OF[axes])
    batch, channels, size = image_axes("x", x.shape, layout)
    entries = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    if len(entries) != axes:
        raise ValueError(f"output_size must be an integer, None, or {axes} of them, got {shown(output_size)}")
    out = tuple(n if v is None else integer("output_size", v, 1) for n, v in zip(size, entries, strict=True))
    check_bytes("the output", image_shape(batch, channels, out, layout), x.dtype)
    return x, size, out, layout


def _spatial_axes(name: str, shape: Sequence[int]) -> int:
    if len(shape) - 2 not in LAYOUTS_OF:
        raise ShapeError(f"{name} must be (N, C, L), (N, C, H, W) or (N, C, D, H, W), got {shown(shape)}")
    return len(shape) - 2


def _squeezed(y: Array, keepdims: bool) -> Array:
    return y if flag("keepdims", keepdims) else y.reshape(y.shape[:2])


def _global_gradient(grad_output: Any, input_size: Any) -> tuple[int, Array, Shape, str]:
    """The axes, grad_output as (N, C, 1, ...), input_size and the layout."""
    grad = float_array("grad_output", grad_output)
    axes = _spatial_axes("input_size", input_size) if isinstance(input_size, (tuple, list)) else 2
    shape = input_shape("input_size", input_size, axes)
    if grad.shape not in (shape[:2], (*shape[:2], *(1,) * axes)):
        raise ShapeError(f"grad_output must have shape {shape[:2]} for input_size {shape}, got {grad.shape}")
    return axes, grad.reshape(*shape[:2], *(1,) * axes), shape, LAYOUTS_OF[axes][0]
