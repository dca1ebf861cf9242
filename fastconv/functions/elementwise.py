# SPDX-License-Identifier: BSD-3-Clause
"""Functions of one element at a time. Integers become float32 where the result is no integer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import ops
from fastconv._conversion import as_tensor
from fastconv._core import Blocked
from fastconv._operands import floating
from fastconv.autograd import Deferred, Function, Value, plain
from fastconv.functions._dims import Array
from fastconv.ops._check import shown

if TYPE_CHECKING:
    from fastconv._tensor import Tensor


class Exp(Function):
    """y = e^x; dx = g * y."""

    def forward(self, x: Array) -> Array:
        y: Array = np.exp(x)
        self.save(y)
        return y

    def backward(self, grad: Array) -> Array:
        (y,) = self.saved
        dx: Array = np.multiply(grad, y)
        return dx


class Log(Function):
    """y = log(x); dx = g / x."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.log(x)

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        dx: Array = np.divide(grad, x)
        return dx


class Log1p(Function):
    """y = log(1 + x); dx = g / (1 + x)."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.log1p(x)

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        dx: Array = np.divide(grad, x + x.dtype.type(1))
        return dx


class Sqrt(Function):
    """y = x^(1/2); dx = g / 2y."""

    def forward(self, x: Array) -> Array:
        y: Array = np.sqrt(x)
        self.save(y)
        return y

    def backward(self, grad: Array) -> Array:
        (y,) = self.saved
        with np.errstate(divide="ignore", invalid="ignore"):
            dx: Array = np.divide(grad, y + y)
        return dx


class Abs(Function):
    """y = |x|; dx = g sign(x), 0 where x is NaN."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.abs(x)

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        return signed(grad, x)


def signed(grad: Array, x: Array) -> Array:
    """grad with the sign of x, 0 where that is 0 or NaN."""
    return np.where(x > 0, grad, np.where(x < 0, -grad, grad.dtype.type(0)))


class Clamp(Function):
    """y = min(max(x, low), high), NaN where x is; dx = g where low <= x <= high."""

    def __init__(self, low: Any, high: Any) -> None:
        self.low, self.high = low, high

    def forward(self, x: Array) -> Array:
        self.save(x)
        y = x if self.low is None else np.maximum(x, self.low)
        return y if self.high is None else np.minimum(y, self.high)

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        inside = np.greater_equal(x, -np.inf if self.low is None else self.low)
        if self.high is not None:
            inside &= x <= self.high
        return np.where(inside, grad, grad.dtype.type(0))


class ReLU(Function):
    """y = max(x, 0), NaN where x is; dx = g where not y <= 0."""

    native = True
    rectifies = True

    def forward(self, x: Value) -> Value:
        if x.dtype.kind != "f":
            largest: Array = np.maximum(plain(x), x.dtype.type(0))
            return largest
        y: Value = ops.relu(x)
        self.save(y)
        return y

    def backward(self, grad: Value) -> Value:
        (y,) = self.saved
        return self.rectified(grad, y)


class Sigmoid(Function):
    """y = 1 / (1 + e^-x); dx = g y (1 - y)."""

    def forward(self, x: Array) -> Array:
        y = ops.sigmoid(x)
        self.save(y)
        return y

    def backward(self, grad: Array) -> Array:
        return ops.sigmoid_backward(grad, *self.saved)


class Tanh(Function):
    """y = tanh(x); dx = g (1 - y^2)."""

    def forward(self, x: Array) -> Array:
        y = ops.tanh(x)
        self.save(y)
        return y

    def backward(self, grad: Array) -> Array:
        return ops.tanh_backward(grad, *self.saved)


class Clone(Function):
    """y = a copy of x, in its layout."""

    native = True

    def forward(self, x: Value) -> Value:
        return Blocked(x.array.copy()) if isinstance(x, Blocked) else x.copy()

    def backward(self, grad: Value) -> Value:
        return grad


class Cast(Function):
    """y = x in another float type."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def forward(self, x: Array) -> Array:
        self.source = x.dtype
        return x.astype(self.dtype)

    def backward(self, grad: Array) -> Array:
        return grad.astype(self.source)


# ---- Functions -------------------------------------------------------------------------------------------


def exp(input: Tensor | Array) -> Tensor:
    """e to the power of input.

    >>> exp(np.zeros(2)).tolist()
    [1.0, 1.0]
    """
    return Exp()(floating(input))


def log(input: Tensor | Array) -> Tensor:
    """The natural logarithm; -inf at 0, NaN below.

    >>> log(np.ones(2)).tolist()
    [0.0, 0.0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return Log()(floating(input))


def log1p(input: Tensor | Array) -> Tensor:
    """log(1 + input), accurate for small input too.

    >>> log1p(np.array([1e-20])).tolist()
    [1e-20]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return Log1p()(floating(input))


def sqrt(input: Tensor | Array) -> Tensor:
    """The square root; NaN below 0.

    >>> sqrt(np.array([4.0, 9.0])).tolist()
    [2.0, 3.0]
    """
    with np.errstate(invalid="ignore"):
        return Sqrt()(floating(input))


def abs(input: Tensor | Array) -> Tensor:
    """The absolute value; its gradient at 0 is 0.

    >>> abs(np.array([-4.0, 9.0])).tolist()
    [4.0, 9.0]
    """
    return Abs()(input)


def square(input: Tensor | Array) -> Tensor:
    """input * input.

    >>> square(np.array([-4.0, 3.0])).tolist()
    [16.0, 9.0]
    """
    x = as_tensor(input)
    return x * x


def clamp(input: Tensor | Array, min: float | None = None, max: float | None = None) -> Tensor:
    """min(max(input, min), max): elements outside of the limits become the limit, and get no gradient; NaN stays.

    min, max: numbers, one of which may be left out. Where min > max every element becomes max.
    :func:`maximum` and :func:`minimum` take arrays.

    >>> clamp(np.array([-4.0, 0.5, 9.0]), 0, 1).tolist()
    [0.0, 0.5, 1.0]
    """
    if min is None and max is None:
        raise ValueError("clamp needs min, max or both")
    x = as_tensor(input)
    for name, limit in (("min", min), ("max", max)):
        if limit is not None and not isinstance(limit, (int, float, np.integer, np.floating)):
            raise TypeError(f"{name} must be a number, got {shown(limit)}: maximum() and minimum() take arrays")
        if x.dtype.kind != "f" and isinstance(limit, (float, np.floating)):
            x = x.astype(np.float32)
    low, high = (None if limit is None else x.dtype.type(limit) for limit in (min, max))
    return Clamp(low, high)(x)


def astype(input: Tensor | Array, dtype: Any) -> Tensor:
    """Another element type. From float to float the gradient is converted back, else it ends here."""
    x, target = as_tensor(input), np.dtype(dtype)
    if x.dtype == target:
        return x
    return Cast(target)(x) if target.kind == "f" else as_tensor(x.numpy().astype(target))


def clone(input: Tensor | Array) -> Tensor:
    """A copy, through which the gradient passes.

    >>> a = np.ones(2)
    >>> clone(a).numpy() is a
    False
    """
    return Clone()(input)


def relu(input: Tensor | Array) -> Tensor:
    """max(input, 0), NaN where input is NaN.

    >>> relu(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    x = as_tensor(input)
    value = x._value
    if isinstance(value, Deferred):
        return value.with_relu()(*value.inputs)
    return ReLU()(x)


def sigmoid(input: Tensor | Array) -> Tensor:
    """1 / (1 + e^-input).

    >>> sigmoid(np.zeros(1)).tolist()
    [0.5]
    """
    return Sigmoid()(floating(input))


def tanh(input: Tensor | Array) -> Tensor:
    """The hyperbolic tangent.

    >>> tanh(np.zeros(1)).tolist()
    [0.0]
    """
    return Tanh()(floating(input))
