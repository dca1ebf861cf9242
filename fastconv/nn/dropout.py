# SPDX-License-Identifier: BSD-3-Clause
"""Dropout of single elements, and of whole channels."""

from __future__ import annotations

from fastconv import ops
from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.errors import ShapeError
from fastconv.nn._common import Array, number
from fastconv.nn.module import Module
from fastconv.random import generator


class Drop(Function):
    """ops.dropout with ops.dropout_backward."""

    def __init__(self, p: float, whole_channels: bool = False) -> None:
        self.p, self.whole_channels = p, whole_channels

    def forward(self, x: Array) -> Array:
        y, keep = ops.dropout(x, self.p, generator(), whole_channels=self.whole_channels)
        self.save(keep)
        return y

    def backward(self, grad: Array) -> Array:
        (keep,) = self.saved
        return ops.dropout_backward(grad, keep, self.p)


def dropout(input: Tensor | Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability p and scale the others by 1 / (1 - p), when training.

    >>> import numpy as np
    >>> dropout(np.ones(3), 0.5, training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    p = number("p", p, 0, 1)
    x = as_tensor(input)
    return Drop(p)(x) if training and p > 0 else x


def _drop_channels(input: Tensor | Array, p: float, training: bool, name: str, axes: tuple[int, int]) -> Tensor:
    p = number("p", p, 0, 1)
    x = as_tensor(input)
    if x.ndim not in axes:
        raise ShapeError(f"{name} takes {axes[0]} or {axes[1]} axes, (N, C, ...) or one sample, got shape {x.shape}")
    if not training or p == 0:
        return x
    if x.ndim == axes[0]:
        return Drop(p, whole_channels=True)(x)
    return Drop(p, whole_channels=True)(x.reshape(1, *x.shape)).reshape(x.shape)


def dropout1d(input: Tensor | Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each channel of each sample, (N, C, L) or (C, L), with probability p, and scale the others by 1 / (1 - p).

    >>> import numpy as np
    >>> dropout1d(np.ones((1, 1, 3)), 0.5, training=False).tolist()
    [[[1.0, 1.0, 1.0]]]
    """
    return _drop_channels(input, p, training, "dropout1d", (3, 2))


def dropout2d(input: Tensor | Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each channel of each sample, (N, C, H, W), with probability p, and scale the others by 1 / (1 - p).

    As in PyTorch three axes are (N, C, L).

    >>> import numpy as np
    >>> dropout2d(np.ones((1, 1, 1, 2)), 0.5, training=False).tolist()
    [[[[1.0, 1.0]]]]
    """
    return _drop_channels(input, p, training, "dropout2d", (3, 3) if as_tensor(input).ndim == 3 else (4, 4))


def dropout3d(input: Tensor | Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each channel of each sample, (N, C, D, H, W) or (C, D, H, W), with probability p, and scale the others.

    >>> import numpy as np
    >>> dropout3d(np.ones((1, 1, 1, 1, 2)), 0.5, training=False).tolist()
    [[[[[1.0, 1.0]]]]]
    """
    return _drop_channels(input, p, training, "dropout3d", (5, 4))


class _Dropout(Module):
    """p: the probability to drop; inplace is accepted for PyTorch's sake."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = number("p", p, 0, 1)
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training zero each element with probability p and scale the others by 1 / (1 - p); else nothing.

    The random numbers are those of :func:`fastconv.manual_seed`.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Dropout(0.5).eval()(np.ones(3))
    array([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)


class Dropout1d(_Dropout):
    """Dropout of whole channels of (N, C, L) or (C, L). Keras's SpatialDropout1D is another name for it.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Dropout1d(0.5).eval()(np.ones((1, 3)))
    array([[1., 1., 1.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout1d(input, self.p, self.training)


class Dropout2d(_Dropout):
    """Dropout of whole channels of (N, C, H, W); three axes are (N, C, L). Keras's SpatialDropout2D is another name.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Dropout2d(0.5).eval()(np.ones((1, 1, 1, 3)))
    array([[[[1., 1., 1.]]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout2d(input, self.p, self.training)


class Dropout3d(_Dropout):
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W). Keras's SpatialDropout3D is another name for it.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Dropout3d(0.5).eval()(np.ones((1, 1, 1, 3)))
    array([[[[1., 1., 1.]]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout3d(input, self.p, self.training)


SpatialDropout1D, SpatialDropout2D, SpatialDropout3D = Dropout1d, Dropout2d, Dropout3d
