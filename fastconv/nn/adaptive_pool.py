# SPDX-License-Identifier: BSD-3-Clause
"""Adaptive and global pooling: the operations on the tape, the functions and the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from fastconv.autograd import Tensor, Value, as_tensor, plain
from fastconv.errors import ShapeError
from fastconv.nn._common import Array, on_batch
from fastconv.nn.module import Module
from fastconv.nn.pool import Pooling, with_indices
from fastconv.ops import _pool_runs
from fastconv.ops._check import flag, integer, shown
from fastconv.ops.adaptive_pool import OutputSize, adaptive_avg, adaptive_avg_backward, adaptive_max


class AdaptiveAverage(Pooling):
    """ops.adaptive_avg_pool2d with ops.adaptive_avg_pool2d_backward."""

    def __init__(self, axes: int, output_size: OutputSize) -> None:
        super().__init__(axes)
        self.output_size = output_size

    def pool(self, x: Array) -> Array:
        return adaptive_avg(self.axes, x, self.output_size, self.layout)

    def spread(self, grad: Array) -> Array:
        return adaptive_avg_backward(self.axes, grad, self.size, self.layout)


class PoolingByIndices(Pooling):
    """A pooling whose gradient goes where its indices say: maxima(x, return_indices, layout) -> y or (y, indices).

    native: whether `maxima` takes both layouts, and nobody looks at the indices, which are those of an array.
    """

    indices: Array

    def __init__(self, axes: int, maxima: Callable[[Array, bool, str], Any], want_indices: bool, native: bool) -> None:
        super().__init__(axes)
        self.maxima, self.want_indices, self.takes_native = maxima, want_indices, native and not want_indices

    def forward(self, x: Value) -> Value:
        return super().forward(x if self.takes_native else plain(x))

    def pool(self, x: Array) -> Array:
        y: Array
        if not (self.want_indices or self.needs[0]):
            y = self.maxima(x, False, self.layout)
            return y
        y, self.indices = self.maxima(x, True, self.layout)
        self.save(self.indices)
        return y

    def spread(self, grad: Array) -> Array:
        return _pool_runs.max_pool_backward(self.axes, grad, self.saved[0], self.size, self.layout)


def _adaptive_max(axes: int, input: Tensor | Array, output_size: OutputSize, return_indices: bool) -> Any:
    def maxima(x: Array, indices: bool, layout: str) -> Any:
        return adaptive_max(axes, x, output_size, indices, layout)

    run = PoolingByIndices(axes, maxima, flag("return_indices", return_indices), native=True)
    return with_indices(as_tensor(input), run, axes, return_indices)


def adaptive_avg_pool1d(input: Tensor | Array, output_size: OutputSize) -> Tensor:
    """:func:`fastconv.ops.adaptive_avg_pool1d` on tensors.

    >>> import numpy as np
    >>> adaptive_avg_pool1d(np.arange(4.0).reshape(1, 1, 4), 1).tolist()
    [[[1.5]]]
    """
    return on_batch(as_tensor(input), AdaptiveAverage(1, output_size), 1)


def adaptive_max_pool1d(input: Tensor | Array, output_size: OutputSize, return_indices: bool = False) -> Any:
    """:func:`fastconv.ops.adaptive_max_pool1d` on tensors; with ``return_indices`` a pair of tensors.

    >>> import numpy as np
    >>> adaptive_max_pool1d(np.arange(4.0).reshape(1, 1, 4), 1).tolist()
    [[[3.0]]]
    """
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_avg_pool2d(input: Tensor | Array, output_size: OutputSize) -> Tensor:
    """:func:`fastconv.ops.adaptive_avg_pool2d` on tensors.

    >>> import numpy as np
    >>> adaptive_avg_pool2d(np.arange(4.0).reshape(1, 1, 2, 2), 1).tolist()
    [[[[1.5]]]]
    """
    return on_batch(as_tensor(input), AdaptiveAverage(2, output_size), 2)


def adaptive_max_pool2d(input: Tensor | Array, output_size: OutputSize, return_indices: bool = False) -> Any:
    """:func:`fastconv.ops.adaptive_max_pool2d` on tensors; with ``return_indices`` a pair of tensors.

    >>> import numpy as np
    >>> adaptive_max_pool2d(np.arange(4.0).reshape(1, 1, 2, 2), 1).tolist()
    [[[[3.0]]]]
    """
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_avg_pool3d(input: Tensor | Array, output_size: OutputSize) -> Tensor:
    """:func:`fastconv.ops.adaptive_avg_pool3d` on tensors.

    >>> import numpy as np
    >>> adaptive_avg_pool3d(np.arange(4.0).reshape(1, 1, 1, 2, 2), 1).tolist()
    [[[[[1.5]]]]]
    """
    return on_batch(as_tensor(input), AdaptiveAverage(3, output_size), 3)


def adaptive_max_pool3d(input: Tensor | Array, output_size: OutputSize, return_indices: bool = False) -> Any:
    """:func:`fastconv.ops.adaptive_max_pool3d` on tensors; with ``return_indices`` a pair of tensors.

    >>> import numpy as np
    >>> adaptive_max_pool3d(np.arange(4.0).reshape(1, 1, 1, 2, 2), 1).tolist()
    [[[[[3.0]]]]]
    """
    return _adaptive_max(3, input, output_size, return_indices)


def _squeezed(y: Tensor, keepdims: bool) -> Tensor:
    return y if flag("keepdims", keepdims) else y.reshape(y.shape[:2])


def _axes_of(x: Tensor) -> int:
    if not 3 <= x.ndim <= 5:
        raise ShapeError(f"input must be (N, C, L), (N, C, H, W) or (N, C, D, H, W), got shape {x.shape}")
    return x.ndim - 2


def global_avg_pool(input: Tensor | Array, keepdims: bool = False) -> Tensor:
    """:func:`fastconv.ops.global_avg_pool` on tensors.

    >>> import numpy as np
    >>> global_avg_pool(np.arange(4.0).reshape(1, 2, 2)).tolist()
    [[0.5, 2.5]]
    """
    x = as_tensor(input)
    return _squeezed(AdaptiveAverage(_axes_of(x), 1)(x), keepdims)


def global_max_pool(input: Tensor | Array, keepdims: bool = False) -> Tensor:
    """:func:`fastconv.ops.global_max_pool` on tensors.

    >>> import numpy as np
    >>> global_max_pool(np.arange(4.0).reshape(1, 2, 2)).tolist()
    [[1.0, 3.0]]
    """
    x = as_tensor(input)
    return _squeezed(_adaptive_max(_axes_of(x), x, 1, False), keepdims)



# ---- layers ---------------------------------------------------------------------------------------------------------


class _Adaptive(Module):
    axes: ClassVar[int]

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self.output_size = _checked_size(output_size, self.axes)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


def _checked_size(value: Any, axes: int) -> Any:
    entries = value if isinstance(value, (tuple, list)) else (value,)
    if isinstance(value, (tuple, list)) and len(value) != axes:
        raise ValueError(f"output_size must be an integer, None, or {axes} of them, got {shown(value)}")
    checked = tuple(None if v is None else integer("output_size", v, 1) for v in entries)
    return checked if isinstance(value, (tuple, list)) else checked[0]


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = flag("return_indices", return_indices)

    def forward(self, input: Tensor) -> Any:
        return _adaptive_max(self.axes, input, self.output_size, self.return_indices)


class _AdaptiveAvg(_Adaptive):
    def forward(self, input: Tensor) -> Tensor:
        return on_batch(input, AdaptiveAverage(self.axes, self.output_size), self.axes)


class AdaptiveAvgPool1d(_AdaptiveAvg):
    """The mean of each of output_size windows: (N, C, L) -> (N, C, L').

    >>> from fastconv import nn
    >>> nn.AdaptiveAvgPool1d(1)
    AdaptiveAvgPool1d(output_size=1)
    """

    axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvg):
    """The mean of each of output_size windows: (N, C, H, W) -> (N, C, H', W').

    output_size: an integer, None for the extent of the input, or one of them for each axis. Window i of m reaches from
    pixel floor(i * n / m) to ceil((i + 1) * n / m).

    >>> from fastconv import nn
    >>> nn.AdaptiveAvgPool2d(1)
    AdaptiveAvgPool2d(output_size=1)
    """

    axes = 2


class AdaptiveAvgPool3d(_AdaptiveAvg):
    """The mean of each of output_size windows: (N, C, D, H, W) -> (N, C, D', H', W').

    >>> from fastconv import nn
    >>> nn.AdaptiveAvgPool3d(1)
    AdaptiveAvgPool3d(output_size=1)
    """

    axes = 3


class AdaptiveMaxPool1d(_AdaptiveMax):
    """The maximum of each of output_size windows: (N, C, L) -> (N, C, L').

    return_indices: also give the position of each maximum, as MaxPool1d does.

    >>> from fastconv import nn
    >>> nn.AdaptiveMaxPool1d(1)
    AdaptiveMaxPool1d(output_size=1)
    """

    axes = 1


class AdaptiveMaxPool2d(_AdaptiveMax):
    """The maximum of each of output_size windows: (N, C, H, W) -> (N, C, H', W').

    output_size: an integer, None for the extent of the input, or one of them for each axis. Window i of m reaches from
    pixel floor(i * n / m) to ceil((i + 1) * n / m).

    return_indices: also give the position of each maximum, as MaxPool2d does.

    >>> from fastconv import nn
    >>> nn.AdaptiveMaxPool2d(1)
    AdaptiveMaxPool2d(output_size=1)
    """

    axes = 2


class AdaptiveMaxPool3d(_AdaptiveMax):
    """The maximum of each of output_size windows: (N, C, D, H, W) -> (N, C, D', H', W').

    return_indices: also give the position of each maximum, as MaxPool3d does.

    >>> from fastconv import nn
    >>> nn.AdaptiveMaxPool3d(1)
    AdaptiveMaxPool3d(output_size=1)
    """

    axes = 3


class _Global(Module):
    axes: ClassVar[int]
    function: ClassVar[Any]

    def __init__(self, keepdims: bool = False) -> None:
        super().__init__()
        self.keepdims = flag("keepdims", keepdims)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != self.axes + 2:
            raise ShapeError(f"input must have {self.axes + 2} axes, batch and channels first, got shape {input.shape}")
        y: Tensor = self.function(input, self.keepdims)
        return y

    def extra_repr(self) -> str:
        return f"keepdims={self.keepdims}"


class GlobalAveragePooling1D(_Global):
    """The mean of every channel: (N, C, L) -> (N, C), with keepdims (N, C, 1). The name is Keras's.

    >>> from fastconv import nn
    >>> nn.GlobalAveragePooling1D()
    GlobalAveragePooling1D(keepdims=False)
    """

    axes, function = 1, staticmethod(global_avg_pool)


class GlobalAveragePooling2D(_Global):
    """The mean of every channel: (N, C, H, W) -> (N, C), with keepdims (N, C, 1, 1). The name is Keras's.

    >>> from fastconv import nn
    >>> nn.GlobalAveragePooling2D()
    GlobalAveragePooling2D(keepdims=False)
    """

    axes, function = 2, staticmethod(global_avg_pool)


class GlobalAveragePooling3D(_Global):
    """The mean of every channel: (N, C, D, H, W) -> (N, C), with keepdims (N, C, 1, 1, 1). The name is Keras's.

    >>> from fastconv import nn
    >>> nn.GlobalAveragePooling3D()
    GlobalAveragePooling3D(keepdims=False)
    """

    axes, function = 3, staticmethod(global_avg_pool)


class GlobalMaxPooling1D(_Global):
    """The maximum of every channel: (N, C, L) -> (N, C), with keepdims (N, C, 1). The name is Keras's.

    >>> from fastconv import nn
    >>> nn.GlobalMaxPooling1D()
    GlobalMaxPooling1D(keepdims=False)
    """

    axes, function = 1, staticmethod(global_max_pool)


class GlobalMaxPooling2D(_Global):
    """The maximum of every channel: (N, C, H, W) -> (N, C), with keepdims (N, C, 1, 1). The name is Keras's.

    >>> from fastconv import nn
    >>> nn.GlobalMaxPooling2D()
    GlobalMaxPooling2D(keepdims=False)
    """

    axes, function = 2, staticmethod(global_max_pool)


class GlobalMaxPooling3D(_Global):
    """The maximum of every channel: (N, C, D, H, W) -> (N, C), with keepdims (N, C, 1, 1, 1). The name is Keras's.

    >>> from fastconv import nn
    >>> nn.GlobalMaxPooling3D()
    GlobalMaxPooling3D(keepdims=False)
    """

    axes, function = 3, staticmethod(global_max_pool)
