# SPDX-License-Identifier: BSD-3-Clause
"""Sums, means and what is made of them, over all axes or some."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._conversion import as_tensor
from fastconv._operands import accurate_sum, floating
from fastconv.autograd import Function
from fastconv.functions._dims import Array, Dims, Shape, axes, axis
from fastconv.functions.elementwise import signed
from fastconv.ops._check import flag, shown

if TYPE_CHECKING:
    from fastconv._tensor import Tensor


class Reduction(Function):
    """What takes axes away, or leaves them with one element each (keepdim)."""

    def __init__(self, axes: Shape | None, keepdim: bool) -> None:
        self.axes, self.keepdim = axes, flag("keepdim", keepdim)

    def reduced(self, x: Array, y: Array) -> Array:
        """y, which was computed with keepdims, as the result."""
        self.shape, self.kept = x.shape, y.shape
        self.count = x.size // max(y.size, 1)
        return y if self.keepdim else y.squeeze(self.axes)


class Sum(Reduction):
    """y = sum of x over axes; dx repeats g along them."""

    def forward(self, x: Array) -> Array:
        return self.reduced(x, accurate_sum(x, self.axes, keepdims=True))

    def backward(self, grad: Array) -> Array:
        return np.broadcast_to(grad.reshape(self.kept), self.shape)


class Mean(Sum):
    """y = mean of x over axes: the sum, divided before it is rounded; NaN of nothing."""

    def forward(self, x: Array) -> Array:
        total = np.asarray(x.sum(axis=self.axes, dtype=np.float64, keepdims=True))
        count = x.size // total.size if x.size else 0
        return self.reduced(x, (total / count if count else total * np.nan).astype(x.dtype))

    def backward(self, grad: Array) -> Array:
        return super().backward(grad / np.asarray(self.count, grad.dtype))


class Variance(Reduction):
    """y = sum((x - mean)^2) / (n - correction); dx = 2 g (x - mean) / (n - correction)."""

    def __init__(self, axes: Shape | None, keepdim: bool, correction: float) -> None:
        super().__init__(axes, keepdim)
        self.correction = correction

    def forward(self, x: Array) -> Array:
        y = self.variance(x)
        self.save(x)
        return self.reduced(x, y.astype(x.dtype))

    def variance(self, x: Array) -> Array:
        """In float64. Also sets the mean and the divisor."""
        with np.errstate(invalid="ignore", divide="ignore"):
            total = np.asarray(x.sum(axis=self.axes, dtype=np.float64, keepdims=True))
            count = x.size // total.size if x.size else 0
            self.center = np.divide(total, count)
            self.freedom = max(count - self.correction, 0.0)
            far = x - self.center
            far *= far
            return np.asarray(far.sum(axis=self.axes, keepdims=True) / self.freedom)

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        with np.errstate(invalid="ignore", divide="ignore"):
            dx: Array = (x - self.center.astype(x.dtype)) * self.slope(grad.reshape(self.kept)).astype(x.dtype)
        return dx

    def slope(self, grad: Array) -> Array:
        """What x - mean is to be multiplied with."""
        return np.asarray(grad * np.divide(2.0, self.freedom))


class Deviation(Variance):
    """y = the square root of the variance; dx = g (x - mean) / (n - correction) / y, 0 where y is 0."""

    def variance(self, x: Array) -> Array:
        self.root = np.sqrt(super().variance(x))
        return self.root

    def slope(self, grad: Array) -> Array:
        return np.where(self.root == 0, 0, grad / (self.root * self.freedom))


class Product(Reduction):
    """y = product of x over one axis, or all; dx = g times the product of all others, right where some are 0 too."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        if x.dtype.kind != "f":
            return self.reduced(x, np.asarray(x.prod(axis=self.axes, dtype=np.int64, keepdims=True)))
        y = np.asarray(x.prod(axis=self.axes, dtype=np.float64, keepdims=True))
        return self.reduced(x, y.astype(x.dtype))

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        rows = x.reshape(1, -1) if self.axes is None else np.moveaxis(np.atleast_1d(x), (*self.axes, 0)[0], -1)
        others = np.ones(rows.shape)
        np.cumprod(rows[..., :-1], axis=-1, out=others[..., 1:])
        others[..., :-1] *= np.cumprod(rows[..., :0:-1], axis=-1, dtype=np.float64)[..., ::-1]
        if self.axes:
            others = np.moveaxis(others, -1, self.axes[0])
        dx: Array = grad.reshape(self.kept) * others.reshape(x.shape).astype(x.dtype)
        return dx


class CumulativeSum(Function):
    """y_i = x_0 + ... + x_i along an axis; dx_i = g_i + ... + g_last."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        if x.dtype.kind != "f":
            return np.cumsum(x, axis=self.axis, dtype=np.int64)
        return np.cumsum(x, axis=self.axis, dtype=np.float64).astype(x.dtype, copy=False)

    def backward(self, grad: Array) -> Array:
        back = np.cumsum(np.flip(grad, self.axis), axis=self.axis, dtype=np.float64)
        return np.flip(back, self.axis).astype(grad.dtype)


class Norm(Reduction):
    """y = (sum |x|^p)^(1/p) for 0 < p < inf; dx = g sign(x) (|x| / y)^(p-1), 0 where y is 0."""

    def __init__(self, axes: Shape | None, keepdim: bool, p: float) -> None:
        super().__init__(axes, keepdim)
        self.p = p

    def forward(self, x: Array) -> Array:
        # The largest one taken out, nothing overflows; NaN and inf are themselves.
        size = np.abs(np.asarray(x, np.float64))
        largest = size.max(axis=self.axes, keepdims=True, initial=0.0)
        scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        size = size / scale
        total = (size * size if self.p == 2 else size**self.p).sum(axis=self.axes, keepdims=True)
        self.norm = np.asarray(scale * total ** (1 / self.p))
        self.save(x)
        return self.reduced(x, self.norm.astype(x.dtype))

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        g = grad.reshape(self.kept)
        if self.p == 1:
            dx = signed(g, x)
        elif self.p == 2:
            with np.errstate(invalid="ignore", divide="ignore"):
                dx = x * np.where(self.norm == 0, 0, g / self.norm).astype(x.dtype)
        else:
            with np.errstate(invalid="ignore", divide="ignore"):
                share = (np.abs(x) / self.norm) ** (self.p - 1)
            dx = np.where((x == 0) | (self.norm == 0), 0, signed(g, x) * share).astype(x.dtype)
        return dx


# ---- Functions -------------------------------------------------------------------------------------------


def _cast(input: Tensor | Array, dtype: Any) -> Tensor:
    x = as_tensor(input)
    return x if dtype is None else x.astype(dtype)


def sum(input: Tensor | Array, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over all axes, or over those of ``dim``, accumulated in float64. Booleans are counted.

    dim: an axis or a tuple of them; negative ones count from the last. keepdim: leave them, with one element each.
    dtype: convert to this type first.

    >>> sum(np.ones((2, 3)), 1).tolist()
    [3.0, 3.0]
    """
    x = _cast(input, dtype)
    return Sum(axes(dim, x.ndim), keepdim)(x)


def mean(input: Tensor | Array, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over all axes, or over those of ``dim``, accumulated in float64; floats only. See :func:`sum`.

    >>> mean(np.array([[1.0, 2.0], [3.0, 4.0]]), 0).tolist()
    [2.0, 3.0]
    """
    x = _cast(input, dtype)
    _only_floats("mean", x)
    return Mean(axes(dim, x.ndim), keepdim)(x)


def var(
    input: Tensor | Array, dim: Dims = None, *, correction: float = 1, keepdim: bool = False,
    unbiased: bool | None = None,
) -> Tensor:
    """The variance: the sum of squared distances to the mean over n - correction; floats only. See :func:`sum`.

    unbiased: PyTorch's older word: True is correction=1, False is correction=0.

    >>> var(np.array([1.0, 2.0, 6.0])).item(), var(np.array([1.0, 3.0]), correction=0).item()
    (7.0, 1.0)
    """
    return _spread(Variance, "var", input, dim, keepdim, correction, unbiased)


def std(
    input: Tensor | Array, dim: Dims = None, *, correction: float = 1, keepdim: bool = False,
    unbiased: bool | None = None,
) -> Tensor:
    """The standard deviation, the square root of :func:`var`; its gradient is 0 where it is 0.

    >>> std(np.array([1.0, 3.0]), correction=0).item()
    1.0
    """
    return _spread(Deviation, "std", input, dim, keepdim, correction, unbiased)


def _spread(
    kind: type[Variance], name: str, input: Tensor | Array, dim: Dims, keepdim: bool, correction: float,
    unbiased: bool | None,
) -> Tensor:
    x = as_tensor(input)
    _only_floats(name, x)
    if isinstance(correction, bool) or not isinstance(correction, (int, float)):
        raise TypeError(f"correction must be a number, got {shown(correction)}")
    return kind(axes(dim, x.ndim), keepdim, correction if unbiased is None else int(unbiased))(x)


def prod(input: Tensor | Array, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product of all elements, or along one axis.

    >>> prod(np.array([[1.0, 2.0], [3.0, 4.0]]), 1).tolist()
    [2.0, 12.0]
    """
    x = _cast(input, dtype)
    return Product(None if dim is None else axes(axis(dim, x.ndim), x.ndim), keepdim)(x)


def cumsum(input: Tensor | Array, dim: int, *, dtype: Any = None) -> Tensor:
    """The sums of the first 1, 2, 3, ... elements along an axis.

    >>> cumsum(np.array([1.0, 2.0, 3.0]), 0).tolist()
    [1.0, 3.0, 6.0]
    """
    x = _cast(input, dtype)
    along = axis(dim, x.ndim)
    return CumulativeSum(along)(x) if x.ndim else x.reshape(1).cumsum(0).reshape(())


def norm(input: Tensor | Array, p: float | str = "fro", dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The p-norm of the elements, over all axes or those of ``dim``: (sum |x|^p)^(1/p); "fro" is p = 2.

    p = inf is the largest absolute value, -inf the smallest, 0 the number of elements that are not 0.

    >>> norm(np.array([3.0, -4.0])).item(), norm(np.array([3.0, -4.0]), math.inf).item()
    (5.0, 4.0)
    """
    if p == "fro":
        p = 2.0
    if isinstance(p, (str, bool)) or not isinstance(p, (int, float)):
        raise TypeError(f"p must be a number or 'fro', got {shown(p)}")
    if p < 0 and p != -math.inf or math.isnan(p):
        raise ValueError(f"p must be 0 or more, or -inf, got {p}")
    x = floating(input)
    over = axes(dim, x.ndim)
    if p == 0:
        return (x != 0).astype(x.dtype).sum(over, keepdim)
    if math.isinf(p):
        return x.abs().amax(over, keepdim) if p > 0 else x.abs().amin(over, keepdim)
    return Norm(over, keepdim, float(p))(x)


def _only_floats(name: str, x: Tensor) -> None:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}() needs a float tensor, got {x.dtype}; convert it with .float()")
