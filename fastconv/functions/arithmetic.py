# SPDX-License-Identifier: BSD-3-Clause
"""Arithmetic with broadcasting.

In the comments of this package y is the result, g the gradient that arrives for it. Sums run in float64 and are rounded
once. Constants have the type of the data: NumPy 1 would make a float64 of a float32 array without axes and a 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import ops
from fastconv._conversion import as_tensor, holds_array
from fastconv._core import Blocked
from fastconv._operands import Operand, operands, unbroadcast
from fastconv.autograd import Deferred, Function, Value, plain
from fastconv.errors import ShapeError
from fastconv.functions._dims import Array, check_broadcast
from fastconv.ops._check import shown

if TYPE_CHECKING:
    from fastconv._tensor import Tensor

# ---- Operators -------------------------------------------------------------------------------------------


def binary(operation: type[Function], a: Tensor, b: Operand, swap: bool = False) -> Tensor:
    """operation(a, b), or (b, a) with ``swap``, on operands brought to one element type."""
    both = operands(a, b, needs_float=operation is Divide)
    if both is None:
        return NotImplemented  # type: ignore[no-any-return]
    first, second = reversed(both) if swap else both
    return broadcast(operation(), first, second)


def broadcast(operation: Function, first: Tensor, second: Tensor) -> Tensor:
    """operation(first, second), with an error of ours where the shapes do not fit."""
    try:
        return operation(first, second)
    except ShapeError:
        raise
    except ValueError:
        check_broadcast(first.shape, second.shape)
        raise


def calculated(operation: type[Function], input: Tensor | Array, other: Operand) -> Tensor:
    """binary() where nobody but us could know what to do with ``other``."""
    y = binary(operation, as_tensor(input), other)
    return y if y is not NotImplemented else refuse(other)


def refuse(other: object) -> Tensor:
    """TypeError for what cannot be an operand."""
    raise TypeError(f"other must be a number, a fastconv.Tensor or a numpy.ndarray, got {shown(other)}")


# ---- Arithmetic ------------------------------------------------------------------------------------------


class Add(Function):
    """y = a + b."""

    native = True

    def forward(self, a: Value, b: Value) -> Value | Deferred:
        self.shapes = a.shape, b.shape
        if isinstance(a, Blocked) and isinstance(b, Blocked) and a.shape == b.shape:
            return Deferred(a.shape, a.dtype, lambda: ops.add(a, b), AddReLU)
        return np.add(plain(a), plain(b))

    def backward(self, grad: Value) -> tuple[Value, Value]:
        if isinstance(grad, Blocked):
            return grad, grad
        return unbroadcast(grad, self.shapes[0]), unbroadcast(grad, self.shapes[1])


class AddReLU(Function):
    """y = max(a + b, 0) of equal shapes; da = db = g where not y <= 0."""

    native = True
    rectifies = True

    def forward(self, a: Value, b: Value) -> Value:
        if type(a) is not type(b):
            a, b = plain(a), plain(b)
        y: Value = ops.add(a, b, relu=True)
        self.save(y)
        return y

    def backward(self, grad: Value) -> tuple[Value, Value]:
        (y,) = self.saved
        g = self.rectified(grad, y)
        return g, g


class Subtract(Function):
    """y = a - b."""

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return np.subtract(a, b)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        db = -unbroadcast(grad, self.shapes[1]) if self.needs[1] else None
        return unbroadcast(grad, self.shapes[0]), db


class Multiply(Function):
    """y = a * b; da = g * b, db = g * a."""

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return np.multiply(a, b)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        a, b = self.saved
        da = unbroadcast(grad * b, a.shape) if self.needs[0] else None
        db = unbroadcast(grad * a, b.shape) if self.needs[1] else None
        return da, db


class Divide(Function):
    """y = a / b; da = g / b, db = -g * a / b^2."""

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return np.divide(a, b)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        a, b = self.saved
        quotient = grad / b
        da = unbroadcast(quotient, a.shape) if self.needs[0] else None
        db = unbroadcast(-quotient * (a / b), b.shape) if self.needs[1] else None
        return da, db


class Power(Function):
    """y = a^b; da = g b a^(b-1), db = g y log(a). Both are 0 where the factor b, or y, is 0."""

    def forward(self, a: Array, b: Array) -> Array:
        # NumPy squares, and so on, only where the exponent is a plain number.
        y = np.asarray(a ** (b.item() if b.ndim == 0 else b)).astype(a.dtype, copy=False)
        self.save(a, b, y)
        return y

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        a, b, y = self.saved
        da = db = None
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.needs[0]:
                lower = a ** (b.item() - 1 if b.ndim == 0 else b - 1)
                da = unbroadcast(grad * np.where(b == 0, 0, b * lower).astype(grad.dtype), a.shape)
            if self.needs[1]:
                db = unbroadcast(grad * np.where(y == 0, 0, y * np.log(a)).astype(grad.dtype), b.shape)
        return da, db


class Negate(Function):
    """y = -x."""

    def forward(self, x: Array) -> Array:
        return np.negative(x)

    def backward(self, grad: Array) -> Array:
        return np.negative(grad)


class Maximum(Function):
    """y = the larger of a and b, NaN where either is; where they are equal each gets half of g."""

    larger: np.ufunc = np.maximum
    loses: np.ufunc = np.less

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        y: Array = self.larger(a, b)
        return y

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        a, b = self.saved
        zero, half = grad.dtype.type(0), grad.dtype.type(0.5)
        shared = np.where(a == b, grad * half, grad)
        da = unbroadcast(np.where(self.loses(a, b), zero, shared), a.shape) if self.needs[0] else None
        db = unbroadcast(np.where(self.loses(b, a), zero, shared), b.shape) if self.needs[1] else None
        return da, db


class Minimum(Maximum):
    """y = the smaller of a and b, likewise."""

    larger = np.minimum
    loses = np.greater


# ---- Functions -------------------------------------------------------------------------------------------


def add(input: Tensor | Array, other: Operand, *, alpha: float = 1) -> Tensor:
    """input + alpha * other, broadcast. ``other`` is a number, an array or a tensor.

    >>> add(np.ones(2), np.array([[1.0], [2.0]]), alpha=10).tolist()
    [[11.0, 11.0], [21.0, 21.0]]
    """
    return calculated(Add, input, _times(alpha, other))


def _times(alpha: float, other: Operand) -> Operand:
    if alpha == 1:
        return other
    return mul(other, alpha) if isinstance(other, np.ndarray) else other * alpha


def sub(input: Tensor | Array, other: Operand, *, alpha: float = 1) -> Tensor:
    """input - alpha * other, broadcast.

    >>> sub(np.array([3.0, 5.0]), 1).tolist()
    [2.0, 4.0]
    """
    return calculated(Subtract, input, _times(alpha, other))


def mul(input: Tensor | Array, other: Operand) -> Tensor:
    """input * other, broadcast.

    >>> mul(np.array([3.0, 5.0]), 2).tolist()
    [6.0, 10.0]
    """
    return calculated(Multiply, input, other)


def div(input: Tensor | Array, other: Operand) -> Tensor:
    """input / other, broadcast; integers become float32.

    >>> div(np.array([3, 5]), 2).tolist()
    [1.5, 2.5]
    """
    return calculated(Divide, input, other)


def pow(input: Any, exponent: Operand) -> Tensor:
    """input to the power of exponent, broadcast. One of them may be a number.

    >>> pow(2.0, np.array([1.0, 3.0])).tolist()
    [2.0, 8.0]
    """
    if isinstance(input, (int, float)) and holds_array(exponent):
        return binary(Power, as_tensor(exponent, "exponent"), input, swap=True)
    return calculated(Power, input, exponent)


def neg(input: Tensor | Array) -> Tensor:
    """-input.

    >>> neg(np.array([3.0, -5.0])).tolist()
    [-3.0, 5.0]
    """
    return Negate()(input)


def maximum(input: Tensor | Array, other: Operand) -> Tensor:
    """The larger of the two, element by element, broadcast; NaN where either is NaN.

    Where they are equal each gets half of the gradient.

    >>> maximum(np.array([3.0, -5.0]), 0).tolist()
    [3.0, 0.0]
    """
    return calculated(Maximum, input, other)


def minimum(input: Tensor | Array, other: Operand) -> Tensor:
    """The smaller of the two; see :func:`maximum`.

    >>> minimum(np.array([3.0, -5.0]), 0).tolist()
    [0.0, -5.0]
    """
    return calculated(Minimum, input, other)
