# SPDX-License-Identifier: BSD-3-Clause
"""Padding as layers of their own; the convolutions pad by themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastconv.autograd import Tensor
from fastconv.errors import ShapeError
from fastconv.functions.padding import pad
from fastconv.nn._common import number as real
from fastconv.nn.module import Module
from fastconv.ops._check import MAX_EXTENT, integer, shown


class _Pad(Module):
    """padding: an integer for all sides, or (left, right, top, bottom, front, back) as far as there are axes."""

    axes = 0
    mode = "constant"
    value = 0.0

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        sides = padding if isinstance(padding, (tuple, list)) else (padding,) * (2 * self.axes)
        if len(sides) != 2 * self.axes:
            raise ValueError(f"padding must be an integer or {2 * self.axes} integers, got {shown(padding)}")
        self.padding = tuple(integer("padding", p, -MAX_EXTENT) for p in sides)
        if self.mode != "constant" and min(self.padding) < 0:
            raise ValueError(f"padding must not crop where mode={self.mode!r}, got {shown(padding)}")

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (self.axes + 1, self.axes + 2):
            raise ShapeError(f"input must have {self.axes} spatial axes after (N, C) or (C), got shape {input.shape}")
        return pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return str(self.padding)


class _ConstantPad(_Pad):
    """A constant border."""

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = real("value", value, -np.inf)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A border of ``value`` around (N, C, L).

    padding: an integer, or (left, right).

    >>> from fastconv import nn
    >>> nn.ConstantPad1d(1, 7.0).eval()(np.ones((1, 2))).shape
    (1, 4)
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """A border of ``value`` around (N, C, H, W).

    padding: an integer, or (left, right, top, bottom).

    >>> from fastconv import nn
    >>> nn.ConstantPad2d(1, 7.0).eval()(np.ones((1, 2, 2))).shape
    (1, 4, 4)
    """

    axes = 2


class ConstantPad3d(_ConstantPad):
    """A border of ``value`` around (N, C, D, H, W).

    padding: an integer, or (left, right, top, bottom, front, back).

    >>> from fastconv import nn
    >>> nn.ConstantPad3d(1, 7.0).eval()(np.ones((1, 2, 2, 2))).shape
    (1, 4, 4, 4)
    """

    axes = 3


class ZeroPad1d(_Pad):
    """A border of zeros around (N, C, L).

    padding: an integer, or (left, right).

    >>> from fastconv import nn
    >>> nn.ZeroPad1d(1).eval()(np.ones((1, 2))).shape
    (1, 4)
    """

    axes = 1


class ZeroPad2d(_Pad):
    """A border of zeros around (N, C, H, W).

    padding: an integer, or (left, right, top, bottom).

    >>> from fastconv import nn
    >>> nn.ZeroPad2d(1).eval()(np.ones((1, 2, 2))).shape
    (1, 4, 4)
    """

    axes = 2


class ZeroPad3d(_Pad):
    """A border of zeros around (N, C, D, H, W).

    padding: an integer, or (left, right, top, bottom, front, back).

    >>> from fastconv import nn
    >>> nn.ZeroPad3d(1).eval()(np.ones((1, 2, 2, 2))).shape
    (1, 4, 4, 4)
    """

    axes = 3


class ReflectionPad1d(_Pad):
    """A border that mirrors (N, C, L).

    padding: an integer, or (left, right).

    >>> from fastconv import nn
    >>> nn.ReflectionPad1d(1).eval()(np.ones((1, 2))).shape
    (1, 4)
    """

    axes = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """A border that mirrors (N, C, H, W).

    padding: an integer, or (left, right, top, bottom).

    >>> from fastconv import nn
    >>> nn.ReflectionPad2d(1).eval()(np.ones((1, 2, 2))).shape
    (1, 4, 4)
    """

    axes = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """A border that mirrors (N, C, D, H, W).

    padding: an integer, or (left, right, top, bottom, front, back).

    >>> from fastconv import nn
    >>> nn.ReflectionPad3d(1).eval()(np.ones((1, 2, 2, 2))).shape
    (1, 4, 4, 4)
    """

    axes = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """A border that repeats the outermost pixels of (N, C, L).

    padding: an integer, or (left, right).

    >>> from fastconv import nn
    >>> nn.ReplicationPad1d(1).eval()(np.ones((1, 2))).shape
    (1, 4)
    """

    axes = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """A border that repeats the outermost pixels of (N, C, H, W).

    padding: an integer, or (left, right, top, bottom).

    >>> from fastconv import nn
    >>> nn.ReplicationPad2d(1).eval()(np.ones((1, 2, 2))).shape
    (1, 4, 4)
    """

    axes = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """A border that repeats the outermost pixels of (N, C, D, H, W).

    padding: an integer, or (left, right, top, bottom, front, back).

    >>> from fastconv import nn
    >>> nn.ReplicationPad3d(1).eval()(np.ones((1, 2, 2, 2))).shape
    (1, 4, 4, 4)
    """

    axes = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """A border that continues at the other end of (N, C, L).

    padding: an integer, or (left, right).

    >>> from fastconv import nn
    >>> nn.CircularPad1d(1).eval()(np.ones((1, 2))).shape
    (1, 4)
    """

    axes = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """A border that continues at the other end of (N, C, H, W).

    padding: an integer, or (left, right, top, bottom).

    >>> from fastconv import nn
    >>> nn.CircularPad2d(1).eval()(np.ones((1, 2, 2))).shape
    (1, 4, 4)
    """

    axes = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """A border that continues at the other end of (N, C, D, H, W).

    padding: an integer, or (left, right, top, bottom, front, back).

    >>> from fastconv import nn
    >>> nn.CircularPad3d(1).eval()(np.ones((1, 2, 2, 2))).shape
    (1, 4, 4, 4)
    """

    axes = 3
    mode = "circular"
