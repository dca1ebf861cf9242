# SPDX-License-Identifier: BSD-3-Clause
"""Pooling: the operations on the tape, the functions and the layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import ops
from fastconv._core import Blocked
from fastconv.autograd import Function, Tensor, Value, as_tensor, plain
from fastconv.nn._common import Array, IntOrPair, on_batch
from fastconv.nn.module import Module
from fastconv.ops._check import flag, integer, pair
from fastconv.ops._pool_runs import max_pool_backward_codes, max_pool_with_codes
from fastconv.ops.act import relu_backward


def _channels_last(x: Blocked) -> Array:
    """Its blocks as images of 16 channels, (N * C / 16, H, W, 16), which pooling cannot tell from others."""
    view: Array = x.array.reshape(-1, *x.array.shape[2:])
    return view


def _blocked(y: Array, like: Blocked) -> Blocked:
    return Blocked(y.reshape(*like.array.shape[:2], *y.shape[1:]))


class _Pooling(Function):
    """A pooling of images in either layout, for one batch."""

    native = True
    layout = "NCHW"

    def forward(self, x: Value) -> Value:
        if not isinstance(x, Blocked):
            self.size = x.shape
            return self.pool(x)
        images = _channels_last(x)
        self.size, self.layout = images.shape, "NHWC"
        try:
            return _blocked(self.pool(images), x)
        except ValueError:    # whose message shall show the shape of x
            self.layout = "NCHW"
            return self.forward(x.plain())

    def backward(self, grad: Value) -> Value:
        if not isinstance(grad, Blocked):
            return self.spread(grad)
        return _blocked(self.spread(_channels_last(grad)), grad)

    def pool(self, x: Array) -> Array:
        raise NotImplementedError

    def spread(self, grad: Array) -> Array:
        raise NotImplementedError


class MaxPooling(_Pooling):
    """ops.max_pool2d and its gradient. ``want_indices`` leaves the indices in ``indices``; else codes do."""

    indices: Array

    def __init__(self, *geometry: Any, want_indices: bool) -> None:
        self.geometry, self.want_indices = geometry, want_indices

    def forward(self, x: Value) -> Value:
        return super().forward(plain(x) if self.want_indices else x)    # indices are those of an array

    def pool(self, x: Array) -> Array:
        y: Array
        if not (self.want_indices or self.needs[0]):
            y = ops.max_pool2d(x, *self.geometry, layout=self.layout)
            return y
        if self.want_indices:
            y, self.indices = ops.max_pool2d(x, *self.geometry, return_indices=True)
            self.save(self.indices)
            return y
        y, codes = max_pool_with_codes(2, x, *self.geometry, layout=self.layout)
        # The gradient at a maximum with 0 is dropped where it is 0: that is done for fewer numbers here. Codes stand
        # for windows that all have a maximum within x.
        self.save(codes, y if codes.dtype == np.uint8 and self.follows_rectifier() else None)
        return y

    def spread(self, grad: Array) -> Array:
        maxima = self.saved[0]
        if self.want_indices:
            return ops.max_pool2d_backward(grad, maxima, self.size)
        y = self.saved[1]
        if y is not None and self.follows_rectifier():
            grad = relu_backward(grad, y, out=grad if self.owns_grad else None)
            self.gives_rectified = True
        return max_pool_backward_codes(2, grad, maxima, self.size, *self.geometry, layout=self.layout)


class AveragePooling(_Pooling):
    """ops.avg_pool2d with ops.avg_pool2d_backward."""

    def __init__(self, *geometry: Any) -> None:
        self.geometry = geometry

    def pool(self, x: Array) -> Array:
        return ops.avg_pool2d(x, *self.geometry, layout=self.layout)

    def spread(self, grad: Array) -> Array:
        return ops.avg_pool2d_backward(grad, self.size, *self.geometry, layout=self.layout)


def max_pool2d(
    input: Tensor | Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0,
    dilation: IntOrPair = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:
    """:func:`fastconv.ops.max_pool2d` on tensors; with ``return_indices`` a pair of tensors.

    >>> import numpy as np
    >>> max_pool2d(np.arange(4.0).reshape(1, 1, 2, 2), 2).tolist()
    [[[[3.0]]]]
    """
    run = MaxPooling(kernel_size, stride, padding, dilation, ceil_mode, want_indices=return_indices)
    x = as_tensor(input)
    y = on_batch(x, run)
    if not return_indices:
        return y
    return y, Tensor(run.indices if x.ndim == 4 else run.indices[0])


def avg_pool2d(
    input: Tensor | Array, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:
    """:func:`fastconv.ops.avg_pool2d` on tensors.

    >>> import numpy as np
    >>> avg_pool2d(np.arange(4.0).reshape(1, 1, 2, 2), 2).tolist()
    [[[[1.5]]]]
    """
    run = AveragePooling(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return on_batch(as_tensor(input), run)


class _Pool2d(Module):
    """The constructor arguments that both poolings share."""

    def __init__(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        super().__init__()
        self.kernel_size = _as_given("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else _as_given("stride", stride, 1)
        self.padding = _as_given("padding", padding, 0)
        self.ceil_mode = flag("ceil_mode", ceil_mode)


def _as_given(name: str, value: Any, low: int) -> Any:
    """The integer or the pair, checked; an integer stays one, as PyTorch's repr shows it."""
    both = pair(name, value, low)
    return both if isinstance(value, (tuple, list)) else both[0]


class MaxPool2d(_Pool2d):
    """The maximum of each window: (N, C, H, W) -> (N, C, H', W'); stride is by default the kernel size.

    H' = floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, or with ceil_mode the ceiling,
    less 1 where the last window would start behind the image. NaN wins. return_indices: also give the
    position h * W + w of each maximum; of equal ones the first.

    >>> from fastconv import nn
    >>> nn.MaxPool2d(2)
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    def __init__(
        self, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0,
        dilation: IntOrPair = 1, return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = _as_given("dilation", dilation, 1)
        self.return_indices = flag("return_indices", return_indices)

    def forward(self, input: Tensor) -> Any:
        return max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                          self.return_indices)

    def extra_repr(self) -> str:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class AvgPool2d(_Pool2d):
    """The mean of each window: (N, C, H, W) -> (N, C, H', W'), with the sizes of MaxPool2d.

    count_include_pad: whether padding counts as elements; divisor_override: divide by this number instead.

    >>> from fastconv import nn
    >>> nn.AvgPool2d(3, 2, padding=1)
    AvgPool2d(kernel_size=3, stride=2, padding=1)
    """

    def __init__(
        self, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0,
        ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = flag("count_include_pad", count_include_pad)
        if divisor_override is not None and integer("divisor_override", divisor_override, -2**31) == 0:
            raise ValueError("divisor_override must not be 0")
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return avg_pool2d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                          self.count_include_pad, self.divisor_override)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
