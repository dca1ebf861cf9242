# SPDX-License-Identifier: BSD-3-Clause
"""Power-average pooling and max unpooling: the operations on the tape, the functions and the layers."""

from __future__ import annotations

from typing import Any, ClassVar

from fastconv import ops
from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.nn._common import Array, on_batch
from fastconv.nn.module import Module
from fastconv.nn.pool import Sizes
from fastconv.nn.pool_layers import as_given, stride_as_given
from fastconv.ops._pool_calls import CeilMode, check_ceil_mode
from fastconv.ops.lp_pool import check_norm
from fastconv.ops.unpool import OutputSize


class PowerPooling(Function):
    """ops.lp_pool2d with ops.lp_pool2d_backward, or those of other axes."""

    def __init__(self, axes: int, *options: Any) -> None:
        self.axes, self.options = axes, options

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = getattr(ops, f"lp_pool{self.axes}d")(x, *self.options)
        return y

    def backward(self, grad: Array) -> Array:
        dx: Array = getattr(ops, f"lp_pool{self.axes}d_backward")(grad, self.saved[0], *self.options)
        return dx


class Unpooling(Function):
    """ops.max_unpool2d with ops.max_unpool2d_backward, or those of other axes."""

    def __init__(self, axes: int, indices: Array, *geometry: Any) -> None:
        self.axes, self.indices, self.geometry = axes, indices, geometry

    def forward(self, x: Array) -> Array:
        self.save(self.indices)
        y: Array = getattr(ops, f"max_unpool{self.axes}d")(x, self.indices, *self.geometry)
        return y

    def backward(self, grad: Array) -> Array:
        dx: Array = getattr(ops, f"max_unpool{self.axes}d_backward")(grad, self.saved[0])
        return dx


def _unpool(
    axes: int, input: Tensor | Array, indices: Tensor | Array, kernel_size: Sizes, stride: Sizes | None,
    padding: Sizes, output_size: OutputSize,
) -> Tensor:
    x = as_tensor(input)
    positions = indices.numpy() if isinstance(indices, Tensor) else indices
    if x.ndim == axes + 1:
        positions = positions[None]
    return on_batch(x, Unpooling(axes, positions, kernel_size, stride, padding, output_size), axes)


def lp_pool1d(
    input: Tensor | Array, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None,
    ceil_mode: CeilMode = False,
) -> Tensor:
    """:func:`fastconv.ops.lp_pool1d` on tensors.

    >>> import numpy as np
    >>> lp_pool1d(np.full((1, 1, 4), 2.0), 2, 4).tolist()
    [[[4.0]]]
    """
    return on_batch(as_tensor(input), PowerPooling(1, norm_type, kernel_size, stride, ceil_mode), 1)


def lp_pool2d(
    input: Tensor | Array, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None,
    ceil_mode: CeilMode = False,
) -> Tensor:
    """:func:`fastconv.ops.lp_pool2d` on tensors.

    >>> import numpy as np
    >>> lp_pool2d(np.full((1, 1, 2, 2), 2.0), 2, 2).tolist()
    [[[[4.0]]]]
    """
    return on_batch(as_tensor(input), PowerPooling(2, norm_type, kernel_size, stride, ceil_mode), 2)


def lp_pool3d(
    input: Tensor | Array, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None,
    ceil_mode: CeilMode = False,
) -> Tensor:
    """:func:`fastconv.ops.lp_pool3d` on tensors.

    >>> import numpy as np
    >>> lp_pool3d(np.full((1, 1, 1, 2, 2), 2.0), 2, (1, 2, 2)).tolist()
    [[[[[4.0]]]]]
    """
    return on_batch(as_tensor(input), PowerPooling(3, norm_type, kernel_size, stride, ceil_mode), 3)


def max_unpool1d(
    input: Tensor | Array, indices: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None,
    padding: Sizes = 0, output_size: OutputSize = None,
) -> Tensor:
    """:func:`fastconv.ops.max_unpool1d` on tensors.

    >>> import numpy as np
    >>> max_unpool1d(np.ones((1, 1, 1)), np.ones((1, 1, 1), int), 2).tolist()
    [[[0.0, 1.0]]]
    """
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor | Array, indices: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None,
    padding: Sizes = 0, output_size: OutputSize = None,
) -> Tensor:
    """:func:`fastconv.ops.max_unpool2d` on tensors.

    >>> import numpy as np
    >>> max_unpool2d(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1), int), (1, 2)).tolist()
    [[[[0.0, 1.0]]]]
    """
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor | Array, indices: Tensor | Array, kernel_size: Sizes, stride: Sizes | None = None,
    padding: Sizes = 0, output_size: OutputSize = None,
) -> Tensor:
    """:func:`fastconv.ops.max_unpool3d` on tensors.

    >>> import numpy as np
    >>> max_unpool3d(np.ones((1, 1, 1, 1, 1)), np.ones((1, 1, 1, 1, 1), int), (1, 1, 2)).tolist()
    [[[[[0.0, 1.0]]]]]
    """
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)


class _PowerPool(Module):
    axes: ClassVar[int]

    def __init__(
        self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: CeilMode = False
    ) -> None:
        super().__init__()
        check_norm(norm_type)
        check_ceil_mode(ceil_mode)
        self.norm_type, self.ceil_mode = norm_type, ceil_mode
        self.kernel_size = as_given("kernel_size", kernel_size, 1, self.axes)
        self.stride = None if stride is None else stride_as_given(stride, self.kernel_size, self.axes)

    def forward(self, input: Tensor) -> Tensor:
        run = PowerPooling(self.axes, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)
        return on_batch(input, run, self.axes)

    def extra_repr(self) -> str:
        names = ("norm_type", "kernel_size", "stride", "ceil_mode")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class _Unpool(Module):
    axes: ClassVar[int]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        kernel = as_given("kernel_size", kernel_size, 1, self.axes)
        given = {"kernel_size": kernel, "stride": stride_as_given(stride, kernel, self.axes),
                 "padding": as_given("padding", padding, 0, self.axes)}
        for name, value in given.items():    # tuples, as PyTorch keeps them here
            setattr(self, name, value if isinstance(value, tuple) else (value,) * self.axes)

    def forward(self, input: Tensor, indices: Tensor | Array, output_size: OutputSize = None) -> Tensor:
        return _unpool(self.axes, input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class LPPool1d(_PowerPool):
    """(sum of x^p)^(1/p) over every window: (N, C, L) -> (N, C, L').

    p is norm_type; see :func:`fastconv.ops.lp_pool1d`.

    >>> from fastconv import nn
    >>> nn.LPPool1d(2, 3)
    LPPool1d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False)
    """

    axes = 1


class LPPool2d(_PowerPool):
    """(sum of x^p)^(1/p) over every window: (N, C, H, W) -> (N, C, H', W').

    p is norm_type; see :func:`fastconv.ops.lp_pool2d`.

    >>> from fastconv import nn
    >>> nn.LPPool2d(2, 3)
    LPPool2d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False)
    """

    axes = 2


class LPPool3d(_PowerPool):
    """(sum of x^p)^(1/p) over every window: (N, C, D, H, W) -> (N, C, D', H', W').

    p is norm_type; see :func:`fastconv.ops.lp_pool3d`.

    >>> from fastconv import nn
    >>> nn.LPPool3d(2, 3)
    LPPool3d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False)
    """

    axes = 3


class MaxUnpool1d(_Unpool):
    """Maxima back to where MaxPool1d found them, zeros elsewhere: (N, C, L) -> (N, C, L').

    It is called with (input, indices), and output_size where that is another than the usual one. Of several maxima of
    one pixel the last counts. See :func:`fastconv.ops.max_unpool1d`.

    >>> from fastconv import nn
    >>> nn.MaxUnpool1d(2)
    MaxUnpool1d(kernel_size=(2,), stride=(2,), padding=(0,))
    """

    axes = 1


class MaxUnpool2d(_Unpool):
    """Maxima back to where MaxPool2d found them, zeros elsewhere: (N, C, H, W) -> (N, C, H', W').

    It is called with (input, indices), and output_size where that is another than the usual one. Of several maxima of
    one pixel the last counts. See :func:`fastconv.ops.max_unpool2d`.

    >>> from fastconv import nn
    >>> nn.MaxUnpool2d(2)
    MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))
    """

    axes = 2


class MaxUnpool3d(_Unpool):
    """Maxima back to where MaxPool3d found them, zeros elsewhere: (N, C, D, H, W) -> (N, C, D', H', W').

    It is called with (input, indices), and output_size where that is another than the usual one. Of several maxima of
    one pixel the last counts. See :func:`fastconv.ops.max_unpool3d`.

    >>> from fastconv import nn
    >>> nn.MaxUnpool3d(2)
    MaxUnpool3d(kernel_size=(2, 2, 2), stride=(2, 2, 2), padding=(0, 0, 0))
    """

    axes = 3
