# SPDX-License-Identifier: BSD-3-Clause
"""The layers of max, min and average pooling, of one to three axes."""

from __future__ import annotations

from typing import Any, ClassVar

from fastconv.autograd import Tensor
from fastconv.nn import pool
from fastconv.nn.module import Module
from fastconv.nn.pool import Sizes
from fastconv.ops._check import flag, integer, several
from fastconv.ops._pool_calls import CeilMode, check_ceil_mode


def as_given(name: str, value: Any, low: int, axes: int) -> Any:
    """The integer or the tuple, checked; an integer stays one, as PyTorch's repr shows it."""
    all_axes = several(name, value, axes, low)
    return all_axes if isinstance(value, (tuple, list)) else all_axes[0]


def stride_as_given(stride: Any, kernel_size: Any, axes: int) -> Any:
    """The stride, checked: None, or an empty tuple, is the kernel size."""
    none = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    return kernel_size if none else as_given("stride", stride, 1, axes)


class _Pool(Module):
    """The constructor arguments that all these poolings share."""

    axes: ClassVar[int]
    shown: ClassVar[tuple[str, ...]] = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: CeilMode) -> None:
        super().__init__()
        self.kernel_size = as_given("kernel_size", kernel_size, 1, self.axes)
        self.stride = stride_as_given(stride, self.kernel_size, self.axes)
        self.padding = as_given("padding", padding, 0, self.axes)
        check_ceil_mode(ceil_mode)
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.shown)


class _Extremes(_Pool):
    """Max or min pooling: `function` is that of nn.functional."""

    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    function: ClassVar[Any]

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, dilation: Sizes = 1,
        return_indices: bool = False, ceil_mode: CeilMode = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = as_given("dilation", dilation, 1, self.axes)
        self.return_indices = flag("return_indices", return_indices)

    def forward(self, input: Tensor) -> Any:
        return self.function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class _Average(_Pool):
    function: ClassVar[Any]

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: CeilMode = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = flag("count_include_pad", count_include_pad)
        if divisor_override is not None and integer("divisor_override", divisor_override, -2**31) == 0:
            raise ValueError("divisor_override must not be 0")
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        y: Tensor = self.function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )
        return y


class MaxPool2d(_Extremes):
    """The maximum of each window: (N, C, H, W) -> (N, C, H', W'); stride is by default the kernel size.

    H' = floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, or with ceil_mode the ceiling,
    less 1 where the last window would start behind the image. NaN wins. return_indices: also give the
    position h * W + w of each maximum; of equal ones the first. One image (C, H, W) is a batch of one.

    >>> from fastconv import nn
    >>> nn.MaxPool2d(2)
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    axes, function = 2, staticmethod(pool.max_pool2d)


class MaxPool1d(_Extremes):
    """The maximum of each window: (N, C, L) -> (N, C, L'); see MaxPool2d.

    >>> from fastconv import nn
    >>> nn.MaxPool1d(2)
    MaxPool1d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    axes, function = 1, staticmethod(pool.max_pool1d)


class MaxPool3d(_Extremes):
    """The maximum of each window: (N, C, D, H, W) -> (N, C, D', H', W'); see MaxPool2d.

    >>> from fastconv import nn
    >>> nn.MaxPool3d(2)
    MaxPool3d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    axes, function = 3, staticmethod(pool.max_pool3d)


class MinPool1d(_Extremes):
    """The minimum of each window: (N, C, L) -> (N, C, L'), with all else as in MaxPool1d.

    >>> from fastconv import nn
    >>> nn.MinPool1d(2, stride=1)
    MinPool1d(kernel_size=2, stride=1, padding=0, dilation=1, ceil_mode=False)
    """

    axes, function = 1, staticmethod(pool.min_pool1d)


class MinPool2d(_Extremes):
    """The minimum of each window: (N, C, H, W) -> (N, C, H', W'), with all else as in MaxPool2d.

    >>> from fastconv import nn
    >>> nn.MinPool2d(2, stride=1)
    MinPool2d(kernel_size=2, stride=1, padding=0, dilation=1, ceil_mode=False)
    """

    axes, function = 2, staticmethod(pool.min_pool2d)


class MinPool3d(_Extremes):
    """The minimum of each window: (N, C, D, H, W) -> (N, C, D', H', W'), with all else as in MaxPool3d.

    >>> from fastconv import nn
    >>> nn.MinPool3d(2, stride=1)
    MinPool3d(kernel_size=2, stride=1, padding=0, dilation=1, ceil_mode=False)
    """

    axes, function = 3, staticmethod(pool.min_pool3d)


class AvgPool2d(_Average):
    """The mean of each window: (N, C, H, W) -> (N, C, H', W'), with the sizes of MaxPool2d.

    count_include_pad: whether padding counts as elements; divisor_override: divide by this number instead.

    >>> from fastconv import nn
    >>> nn.AvgPool2d(3, 2, padding=1)
    AvgPool2d(kernel_size=3, stride=2, padding=1)
    """

    axes, function = 2, staticmethod(pool.avg_pool2d)


class AvgPool3d(_Average):
    """The mean of each window: (N, C, D, H, W) -> (N, C, D', H', W'); see AvgPool2d.

    >>> from fastconv import nn
    >>> nn.AvgPool3d(3, 2, padding=1)
    AvgPool3d(kernel_size=3, stride=2, padding=1)
    """

    axes, function = 3, staticmethod(pool.avg_pool3d)


class AvgPool1d(_Pool):
    """The mean of each window: (N, C, L) -> (N, C, L'); see AvgPool2d. There is no divisor_override.

    >>> from fastconv import nn
    >>> nn.AvgPool1d(3, 2, padding=1)
    AvgPool1d(kernel_size=(3,), stride=(2,), padding=(1,))
    """

    axes = 1

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: CeilMode = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = flag("count_include_pad", count_include_pad)
        for name in self.shown:    # as PyTorch keeps them here
            setattr(self, name, several(name, getattr(self, name), 1, 0))

    def forward(self, input: Tensor) -> Tensor:
        return pool.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )
