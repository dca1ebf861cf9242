# SPDX-License-Identifier: BSD-3-Clause
"""The operations behind Tensor's methods: one small Function each, forward and backward.

In the comments y is the result, g the gradient that arrives for it. Sums run in float64 and are rounded once.
Constants have the type of the data: NumPy 1 would make a float64 of a float32 array without axes and a 1.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastconv import ops
from fastconv._core import Blocked
from fastconv._operands import accurate_sum, operands, unbroadcast
from fastconv._tensor import Array, Dims, Tensor
from fastconv.autograd import Deferred, Function, Value, plain

# ---- Operators -------------------------------------------------------------------------------------------


def binary(operation: type[Function], a: Tensor, b: Any, swap: bool = False) -> Tensor:
    """operation(a, b), or (b, a) with ``swap``, on operands brought to one element type."""
    both = operands(a, b, needs_float=operation is Divide)
    if both is None:
        return NotImplemented  # type: ignore[no-any-return]
    first, second = reversed(both) if swap else both
    return operation()(first, second)


def compare(relation: Callable[..., Any], a: Tensor, b: Any) -> Tensor:
    """An element-wise comparison: a boolean tensor, which has no gradient."""
    both = operands(a, b)
    if both is None:
        return NotImplemented  # type: ignore[no-any-return]
    return Tensor(np.asarray(relation(both[0].numpy(), both[1].numpy())))


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


class MatMul(Function):
    """y = a @ b with NumPy's rules for axes; da = g @ b^T, db = a^T @ g."""

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return matmul(a, b)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        a, b = self.saved
        # A vector is a row on the left and a column on the right.
        rows, columns = np.atleast_2d(a), b if b.ndim > 1 else b[:, None]
        lead = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
        g = grad.reshape(*lead, rows.shape[-2], columns.shape[-1])
        da = db = None
        if self.needs[0]:
            da = unbroadcast(matmul(g, columns.swapaxes(-1, -2)), rows.shape).reshape(a.shape)
        if self.needs[1]:
            db = unbroadcast(matmul(rows.swapaxes(-1, -2), g), columns.shape).reshape(b.shape)
        return da, db


def matmul(a: Array, b: Array) -> Array:
    """a @ b, on fastconv's own kernels: unlike NumPy's BLAS they give the same bits for any thread count."""
    if a.dtype.kind != "f" or 0 in a.shape or 0 in b.shape or a.shape[-1] != b.shape[-min(b.ndim, 2)]:
        product: Array = np.matmul(a, b)
        return product
    rows, columns = np.atleast_2d(a), b if b.ndim > 1 else b[:, None]
    lead = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    y = np.empty((*lead, rows.shape[-2], columns.shape[-1]), a.dtype)
    rows = np.broadcast_to(rows, lead + rows.shape[-2:])
    columns = np.broadcast_to(columns, lead + columns.shape[-2:])
    for i in np.ndindex(lead):
        y[i] = ops.linear(rows[i], columns[i].T)
    return y.reshape(lead + a.shape[-2:-1] + b.shape[-1:] if b.ndim > 1 else lead + a.shape[-2:-1])


# ---- Element-wise functions ------------------------------------------------------------------------------


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


class Cast(Function):
    """y = x in another float type."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def forward(self, x: Array) -> Array:
        self.source = x.dtype
        return x.astype(self.dtype)

    def backward(self, grad: Array) -> Array:
        return grad.astype(self.source)


# ---- Reductions ------------------------------------------------------------------------------------------


class Sum(Function):
    """y = sum of x over axes; dx repeats g along them."""

    def __init__(self, dim: Dims, keepdim: bool) -> None:
        self.axes: tuple[int, ...] | None = None if dim is None else tuple(map(operator.index, np.atleast_1d(dim)))
        self.keepdim = keepdim

    def forward(self, x: Array) -> Array:
        y = accurate_sum(x, self.axes, keepdims=True)
        self.shape, self.kept = x.shape, y.shape
        return y if self.keepdim else y.squeeze(self.axes)

    def backward(self, grad: Array) -> Array:
        return np.broadcast_to(grad.reshape(self.kept), self.shape)


class Mean(Sum):
    """y = mean of x over axes: the sum, divided before it is rounded."""

    def forward(self, x: Array) -> Array:
        if x.dtype.kind != "f":
            raise TypeError(f"mean() needs a float tensor, got {x.dtype}; convert it with .float()")
        y = np.asarray(x.mean(axis=self.axes, dtype=np.float64, keepdims=True)).astype(x.dtype)
        self.shape, self.kept = x.shape, y.shape
        return y if self.keepdim else y.squeeze(self.axes)

    def backward(self, grad: Array) -> Array:
        count = int(np.prod(self.shape)) // max(int(np.prod(self.kept)), 1)
        return super().backward(grad / np.asarray(count, grad.dtype))


class Maximum(Function):
    """y = the largest element; elements that share it share g."""

    def forward(self, x: Array) -> Array:
        y = np.asarray(x.max())
        self.save(x, y)
        return y

    def backward(self, grad: Array) -> Array:
        x, y = self.saved
        largest = (x == y) | (np.isnan(x) & np.isnan(y))
        return np.where(largest, grad / np.asarray(np.count_nonzero(largest), grad.dtype), grad.dtype.type(0))


# ---- Shape -----------------------------------------------------------------------------------------------


class Reshape(Function):
    """y = x in another shape."""

    def __init__(self, shape: Sequence[Any]) -> None:
        self.target = tuple(shape)

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x.reshape(self.target)

    def backward(self, grad: Array) -> Array:
        return grad.reshape(self.shape)


class Permute(Function):
    """y = x with its axes in another order."""

    def __init__(self, order: Sequence[Any]) -> None:
        self.order = tuple(order)

    def forward(self, x: Array) -> Array:
        return x.transpose(self.order)

    def backward(self, grad: Array) -> Array:
        return grad.transpose(np.argsort([d % grad.ndim for d in self.order]))


class Index(Function):
    """y = x[key], with all of NumPy's keys; dx is 0 but for dx[key], which gathers g."""

    def __init__(self, key: Any) -> None:
        self.parts = tuple(_plain_keys(key if isinstance(key, tuple) else (key,)))
        self.may_repeat = any(isinstance(k, (list, np.ndarray)) for k in self.parts)

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return np.asarray(x[self.parts])

    def backward(self, grad: Array) -> Array:
        dx = np.zeros(self.shape, grad.dtype)
        if self.may_repeat:
            np.add.at(dx, self.parts, grad)
        else:
            dx[self.parts] = grad
        return dx


def _plain_keys(key: tuple[Any, ...]) -> Iterator[Any]:
    for part in key:
        yield part.numpy() if isinstance(part, Tensor) else part


class TakeAlong(Function):
    """y[.., i, ..] = x[.., indices[.., i, ..], ..] along one axis, each element at most once."""

    def __init__(self, indices: Array, axis: int) -> None:
        self.indices, self.axis = indices, axis

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return np.take_along_axis(x, self.indices, self.axis)

    def backward(self, grad: Array) -> Array:
        dx = np.zeros(self.shape, grad.dtype)
        np.put_along_axis(dx, self.indices, grad, self.axis)
        return dx
