# SPDX-License-Identifier: BSD-3-Clause
"""Max, min and average pooling: the operations on the tape, the functions and the layers.

Those of one and three axes differ from the two-dimensional ones in nothing but the number of axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._core import Blocked
from fastconv.autograd import Function, Tensor, Value, as_tensor, plain
from fastconv.nn._common import Array, on_batch
from fastconv.ops import _pool_runs
from fastconv.ops._check import LAYOUTS_OF
from fastconv.ops._pool_calls import CeilMode
from fastconv.ops.act import relu_backward

#: An integer for all axes, or one for each.
Sizes = int | tuple[int, ...]


def _channels_last(x: Blocked) -> Array:
    """Its blocks as images of 16 channels, (N * C / 16, H, W, 16), which pooling cannot tell from others."""
    view: Array = x.array.reshape(-1, *x.array.shape[2:])
    return view


def _blocked(y: Array, like: Blocked) -> Blocked:
    return Blocked(y.reshape(*like.array.shape[:2], *y.shape[1:]))


class Pooling(Function):
    """A pooling of images in either layout, for one batch."""

    native = True

    def __init__(self, axes: int) -> None:
        self.axes, self.layout = axes, LAYOUTS_OF[axes][0]

    def forward(self, x: Value) -> Value:
        if not isinstance(x, Blocked):
            self.size = x.shape
            return self.pool(x)
        images = _channels_last(x)
        first, last = LAYOUTS_OF[self.axes]
        self.size, self.layout = images.shape, last
        try:
            return _blocked(self.pool(images), x)
        except ValueError:    # whose message shall show the shape of x
            self.layout = first
            return self.forward(x.plain())

    def backward(self, grad: Value) -> Value:
        if not isinstance(grad, Blocked):
            return self.spread(grad)
        return _blocked(self.spread(_channels_last(grad)), grad)

    def pool(self, x: Array) -> Array:
        raise NotImplementedError

    def spread(self, grad: Array) -> Array:
        raise NotImplementedError


class MaxPooling(Pooling):
    """ops.max_pool2d and its gradient. ``want_indices`` leaves the indices in ``indices``; else codes do."""

    indices: Array

    def __init__(self, axes: int, geometry: tuple[Any, Any, Any, Any, Any], want_indices: bool) -> None:
        super().__init__(axes)
        self.geometry = geometry
        self.want_indices = want_indices

    def forward(self, x: Value) -> Value:
        return super().forward(plain(x) if self.want_indices else x)    # indices are those of an array

    def pool(self, x: Array) -> Array:
        y: Array
        if self.want_indices or not self.needs[0]:
            pooled = _pool_runs.max_pool(self.axes, x, *self.geometry, self.want_indices, self.layout)
            if not self.want_indices:
                y = pooled
                return y
            y, self.indices = pooled
            self.save(self.indices)
            return y
        y, codes = _pool_runs.max_pool_with_codes(self.axes, x, *self.geometry, layout=self.layout)
        # The gradient at a maximum with 0 is dropped where it is 0: that is done for fewer numbers here. Codes stand
        # for windows that all have a maximum within x.
        self.save(codes, y if codes.dtype == np.uint8 and self.follows_rectifier() else None)
        return y

    def spread(self, grad: Array) -> Array:
        maxima = self.saved[0]
        if self.want_indices:
            return _pool_runs.max_pool_backward(self.axes, grad, maxima, self.size, self.layout)
        y = self.saved[1]
        if y is not None and self.follows_rectifier():
            grad = relu_backward(grad, y, out=grad if self.owns_grad else None)
            self.gives_rectified = True
        return _pool_runs.max_pool_backward_codes(
            self.axes, grad, maxima, self.size, *self.geometry, layout=self.layout
        )


class MinPooling(MaxPooling):
    """-maximum of -x: what it keeps, and so its gradient, are those of the maximum."""

    def pool(self, x: Array) -> Array:
        y = super().pool(np.negative(x))
        return np.negative(y, out=y)


class AveragePooling(Pooling):
    """ops.avg_pool2d with ops.avg_pool2d_backward."""

    def __init__(self, axes: int, geometry: tuple[Any, Any, Any, Any, Any, Any]) -> None:
        super().__init__(axes)
        self.geometry = geometry

    def pool(self, x: Array) -> Array:
        return _pool_runs.avg_pool(self.axes, x, *self.geometry, self.layout)

    def spread(self, grad: Array) -> Array:
        return _pool_runs.avg_pool_backward(self.axes, grad, self.size, *self.geometry, self.layout)


def with_indices(x: Tensor, run: Any, axes: int, return_indices: Any) -> Any:
    """run(x) of a batch or of one image; with return_indices a pair, run.indices as a tensor the second."""
    y = on_batch(x, run, axes)
    if not return_indices:
        return y
    return y, Tensor(run.indices if x.ndim == axes + 2 else run.indices[0])


def max_pool1d(
    input: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False,
) -> Any:
    """:func:`fastconv.ops.max_pool1d` on tensors; with ``return_indices`` a pair of tensors.

    >>> import numpy as np
    >>> max_pool1d(np.arange(4.0).reshape(1, 1, 4), 4).tolist()
    [[[3.0]]]
    """
    run = MaxPooling(1, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)
    return with_indices(as_tensor(input), run, 1, return_indices)


def max_pool2d(
    input: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False,
) -> Any:
    """:func:`fastconv.ops.max_pool2d` on tensors; with ``return_indices`` a pair of tensors.

    >>> import numpy as np
    >>> max_pool2d(np.arange(4.0).reshape(1, 1, 2, 2), 2).tolist()
    [[[[3.0]]]]
    """
    run = MaxPooling(2, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)
    return with_indices(as_tensor(input), run, 2, return_indices)


def max_pool3d(
    input: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False,
) -> Any:
    """:func:`fastconv.ops.max_pool3d` on tensors; with ``return_indices`` a pair of tensors.

    >>> import numpy as np
    >>> max_pool3d(np.arange(4.0).reshape(1, 1, 1, 2, 2), (1, 2, 2)).tolist()
    [[[[[3.0]]]]]
    """
    run = MaxPooling(3, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)
    return with_indices(as_tensor(input), run, 3, return_indices)


def min_pool1d(
    input: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False,
) -> Any:
    """:func:`fastconv.ops.min_pool1d` on tensors; with ``return_indices`` a pair of tensors.

    >>> import numpy as np
    >>> min_pool1d(np.arange(4.0).reshape(1, 1, 4), 4).tolist()
    [[[0.0]]]
    """
    run = MinPooling(1, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)
    return with_indices(as_tensor(input), run, 1, return_indices)


def min_pool2d(
    input: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False,
) -> Any:
    """:func:`fastconv.ops.min_pool2d` on tensors; with ``return_indices`` a pair of tensors.

    >>> import numpy as np
    >>> min_pool2d(np.arange(4.0).reshape(1, 1, 2, 2), 2).tolist()
    [[[[0.0]]]]
    """
    run = MinPooling(2, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)
    return with_indices(as_tensor(input), run, 2, return_indices)


def min_pool3d(
    input: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1,
    ceil_mode: CeilMode = False, return_indices: bool = False,
) -> Any:
    """:func:`fastconv.ops.min_pool3d` on tensors; with ``return_indices`` a pair of tensors.

    >>> import numpy as np
    >>> min_pool3d(np.arange(4.0).reshape(1, 1, 1, 2, 2), (1, 2, 2)).tolist()
    [[[[[0.0]]]]]
    """
    run = MinPooling(3, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)
    return with_indices(as_tensor(input), run, 3, return_indices)


def avg_pool1d(
    input: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: CeilMode = False, count_include_pad: bool = True,
) -> Tensor:
    """:func:`fastconv.ops.avg_pool1d` on tensors.

    >>> import numpy as np
    >>> avg_pool1d(np.arange(4.0).reshape(1, 1, 4), 4).tolist()
    [[[1.5]]]
    """
    run = AveragePooling(1, (kernel_size, stride, padding, ceil_mode, count_include_pad, None))
    return on_batch(as_tensor(input), run, 1)


def avg_pool2d(
    input: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: CeilMode = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:
    """:func:`fastconv.ops.avg_pool2d` on tensors.

    >>> import numpy as np
    >>> avg_pool2d(np.arange(4.0).reshape(1, 1, 2, 2), 2).tolist()
    [[[[1.5]]]]
    """
    run = AveragePooling(2, (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override))
    return on_batch(as_tensor(input), run, 2)


def avg_pool3d(
    input: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: CeilMode = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:
    """:func:`fastconv.ops.avg_pool3d` on tensors.

    >>> import numpy as np
    >>> avg_pool3d(np.arange(4.0).reshape(1, 1, 1, 2, 2), (1, 2, 2)).tolist()
    [[[[[1.5]]]]]
    """
    run = AveragePooling(3, (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override))
    return on_batch(as_tensor(input), run, 3)
