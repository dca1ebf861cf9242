# SPDX-License-Identifier: BSD-3-Clause
"""Max unpooling: maxima back to where they were, zeros elsewhere; and its gradient.

Where windows overlap, or indices come from elsewhere, several maxima may name one pixel. The last of them counts, in
row-major order of the windows, whatever the layout and the number of threads; so its gradient is that pixel's, and the
others get 0. (Of one pooling they are all the same number. PyTorch leaves open which one counts, and gives each of them
the gradient.)
"""

import math
from typing import Any

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import LAYOUTS_OF, Array, Shape, check_bytes, float_array, index_array, several, shown, word
from fastconv.ops._pool_calls import raise_bad_index
from fastconv.ops._shapes import IntOrPair, IntOrTriple, image_axes, image_shape

One = int | tuple[int]
OutputSize = tuple[int, ...] | list[int] | None


def max_unpool1d(
    x: Array, indices: Array, kernel_size: One, stride: One | None = None, padding: One = 0,
    output_size: OutputSize = None, *, layout: str = "NCL",
) -> Array:  # fmt: skip
    """max_unpool2d of signals: x and indices (N, C, L), or (N, L, C) with layout="NLC".

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.max_unpool1d(np.array([[[3.0, 2.0]]]), np.array([[[1, 2]]]), 2).tolist()
    [[[0.0, 3.0, 2.0, 0.0]]]
    """
    return _unpool(1, x, indices, kernel_size, stride, padding, output_size, layout)


def max_unpool2d(
    x: Array, indices: Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0,
    output_size: OutputSize = None, *, layout: str = "NCHW",
) -> Array:  # fmt: skip
    """What max_pool2d read, as far as it is known: y = 0, then y[n, c].flat[indices[n, c, i, j]] = x[n, c, i, j].

    x, indices: (N, C, H, W), or (N, H, W, C) with layout="NHWC": what max_pool2d(..., return_indices=True) returned.
    kernel_size, stride, padding: those of the pooling: an int, or (vertical, horizontal); stride None is kernel_size.
    output_size: the size of what was pooled, (OH, OW) or a whole shape, where it was not
        (H - 1) * stride + kernel_size - 2 * padding; it must differ from that by less than a stride.

    Returns (N, C, OH, OW), or (N, OH, OW, C), of x's dtype. Of several maxima of one pixel the last counts. Raises
    TypeError and ShapeError as max_pool2d_backward, ValueError for an index outside of the output.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> ops.max_unpool2d(*ops.max_pool2d(x, 2, return_indices=True), 2)[0, 0].tolist()
    [[0.0, 0.0, 0.0, 0.0], [0.0, 5.0, 0.0, 7.0], [0.0, 0.0, 0.0, 0.0], [0.0, 13.0, 0.0, 15.0]]
    """
    return _unpool(2, x, indices, kernel_size, stride, padding, output_size, layout)


def max_unpool3d(
    x: Array, indices: Array, kernel_size: IntOrTriple, stride: IntOrTriple | None = None, padding: IntOrTriple = 0,
    output_size: OutputSize = None, *, layout: str = "NCDHW",
) -> Array:  # fmt: skip
    """max_unpool2d of volumes: x and indices (N, C, D, H, W), or (N, D, H, W, C) with layout="NDHWC".

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, indices = np.full((1, 1, 1, 1, 1), 3.0), np.full((1, 1, 1, 1, 1), 6)
    >>> ops.max_unpool3d(x, indices, 2).ravel().tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0]
    """
    return _unpool(3, x, indices, kernel_size, stride, padding, output_size, layout)


def max_unpool1d_backward(grad_output: Array, indices: Array, *, layout: str = "NCL") -> Array:
    """The gradient of sum(grad_output * max_unpool1d(x, indices, ...)) with respect to x; see max_unpool2d_backward.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.max_unpool1d_backward(np.array([[[1.0, 2.0, 3.0, 4.0]]]), np.array([[[1, 2]]])).tolist()
    [[[2.0, 3.0]]]
    """
    return _backward(1, grad_output, indices, layout)


def max_unpool2d_backward(grad_output: Array, indices: Array, *, layout: str = "NCHW") -> Array:
    """The gradient of sum(grad_output * max_unpool2d(x, indices, ...)) with respect to x.

    grad_output: of the shape of the output. indices: those of the call.

    Returns dx of the shape of indices: grad_output[n, c].flat[indices[n, c, i, j]], or 0 where a later maximum has
    taken that pixel.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> grad, indices = np.array([[[[1.0, 2.0, 3.0]]]]), np.array([[[[2, 0, 2]]]])
    >>> ops.max_unpool2d_backward(grad, indices).tolist()
    [[[[0.0, 1.0, 3.0]]]]
    """
    return _backward(2, grad_output, indices, layout)


def max_unpool3d_backward(grad_output: Array, indices: Array, *, layout: str = "NCDHW") -> Array:
    """The gradient of sum(grad_output * max_unpool3d(x, indices, ...)) with respect to x; see max_unpool2d_backward.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> grad, indices = np.arange(8.0).reshape(1, 1, 2, 2, 2), np.full((1, 1, 1, 1, 1), 6)
    >>> ops.max_unpool3d_backward(grad, indices).tolist()
    [[[[[6.0]]]]]
    """
    return _backward(3, grad_output, indices, layout)


def _unpool(
    axes: int, x: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any, layout: Any
) -> Array:
    x, indices = float_array("x", x), index_array("indices", indices)
    layout = word("layout", layout, LAYOUTS_OF[axes])
    if x.shape != indices.shape:
        raise ShapeError(f"indices and x must have the same shape, got {indices.shape} and {x.shape}")
    batch, channels, size = image_axes("x", x.shape, layout)
    out = unpooled_size(size, kernel_size, stride, padding, output_size, layout)
    shape = image_shape(batch, channels, out, layout)
    check_bytes("the output", shape, x.dtype)
    _check_indices(indices, shape, layout)
    y = np.zeros(shape, x.dtype)
    y.reshape(-1)[_flat(indices, out, layout)] = x.reshape(-1)    # in this order: the last one stays
    return y


def _backward(axes: int, grad_output: Any, indices: Any, layout: Any) -> Array:
    grad, indices = float_array("grad_output", grad_output), index_array("indices", indices)
    layout = word("layout", layout, LAYOUTS_OF[axes])
    batch, channels, out = image_axes("grad_output", grad.shape, layout)
    if image_axes("indices", indices.shape, layout)[:2] != (batch, channels):
        raise ShapeError(
            f"grad_output {grad.shape} and indices {indices.shape} must have the same batch and channels "
            f"(layout {layout})"
        )
    _check_indices(indices, grad.shape, layout)
    flat = _flat(indices, out, layout)
    order = np.arange(flat.size)
    last = np.empty(grad.size, np.int64)
    last[flat] = order
    dx: Array = grad.reshape(-1)[flat]
    dx[last[flat] != order] = 0
    return dx.reshape(indices.shape)


def _flat(indices: Array, out: Shape, layout: str) -> Any:
    """The indices, in their order, as those of the whole output."""
    batch, channels, _ = image_axes("indices", indices.shape, layout)
    pixels = math.prod(out)
    images, planes = np.arange(batch) * (pixels * channels), np.arange(channels)
    ones = (1,) * len(out)
    if layout.endswith("C"):
        return (indices * channels + images.reshape(-1, *ones, 1) + planes).reshape(-1)
    return (indices + images.reshape(-1, 1, *ones) + planes.reshape(-1, *ones) * pixels).reshape(-1)


def _check_indices(indices: Array, shape: Shape, layout: str) -> None:
    pixels = math.prod(image_axes("output_size", shape, layout)[2])
    if indices.size and not (indices.min() >= 0 and indices.max() < pixels):
        raise_bad_index(indices, shape, layout, "the output")


def unpooled_size(
    size: Shape, kernel_size: object, stride: object, padding: object, output_size: object, layout: str
) -> Shape:
    axes = len(size)
    kernel, pads = several("kernel_size", kernel_size, axes, 1), several("padding", padding, axes, 0)
    none = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    strides = kernel if none else several("stride", stride, axes, 1)
    usual = tuple((n - 1) * s + k - 2 * p for n, s, k, p in zip(size, strides, kernel, pads, strict=True))
    out = usual if output_size is None else _given_size(output_size, axes, layout)
    for got, want, s in zip(out, usual, strides, strict=True):
        if got < 1 or abs(got - want) >= s:
            low, high = max(want - s + 1, 1), want + s - 1
            raise ValueError(
                f"output_size {out} does not fit images of size {size}: {got} must be between {low} and {high}, less "
                f"than stride={s} from {want}"
            )
    return out


def _given_size(output_size: object, axes: int, layout: str) -> Shape:
    if not isinstance(output_size, (tuple, list)):
        raise TypeError(f"output_size must be a tuple of {axes} integers or a whole shape, got {shown(output_size)}")
    if len(output_size) == axes + 2:
        output_size = output_size[1:-1] if layout.endswith("C") else output_size[2:]
    if len(output_size) != axes:
        whole = f"{axes + 2} of a whole shape"
        raise ValueError(f"output_size must have {axes} entries, or {whole}, got {shown(output_size)}")
    return several("output_size", output_size, axes, 1)
