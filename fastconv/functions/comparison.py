# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons, which give booleans and have no gradient, and what chooses by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._conversion import as_tensor, holds_array, result, tensor
from fastconv._operands import Operand, operands, unbroadcast
from fastconv.autograd import Function
from fastconv.errors import ShapeError
from fastconv.functions._dims import Array, Dims, axes, check_broadcast
from fastconv.functions.arithmetic import refuse
from fastconv.ops._check import flag

if TYPE_CHECKING:
    from fastconv._tensor import Tensor


def compare(relation: Callable[..., Any], a: Tensor, b: Operand) -> Tensor:
    """An element-wise comparison: a boolean tensor, which has no gradient."""
    both = operands(a, b)
    if both is None:
        return NotImplemented  # type: ignore[no-any-return]
    first, second = both[0].numpy(), both[1].numpy()
    try:
        return _bare(relation(first, second))
    except ValueError:
        check_broadcast(first.shape, second.shape)
        raise


def _bare(value: Any) -> Tensor:
    return result(np.asarray(value), None)


def _compared(relation: Callable[..., Any], input: Tensor | Array, other: Operand) -> Tensor:
    y = compare(relation, as_tensor(input), other)
    return y if y is not NotImplemented else refuse(other)


def eq(input: Tensor | Array, other: Operand) -> Tensor:
    """Whether input == other, element by element, broadcast. NaN equals nothing.

    >>> eq(np.array([1.0, 2.0]), 2).tolist()
    [False, True]
    """
    return _compared(np.equal, input, other)


def ne(input: Tensor | Array, other: Operand) -> Tensor:
    """Whether input != other; see :func:`eq`."""
    return _compared(np.not_equal, input, other)


def lt(input: Tensor | Array, other: Operand) -> Tensor:
    """Whether input < other; see :func:`eq`."""
    return _compared(np.less, input, other)


def le(input: Tensor | Array, other: Operand) -> Tensor:
    """Whether input <= other; see :func:`eq`."""
    return _compared(np.less_equal, input, other)


def gt(input: Tensor | Array, other: Operand) -> Tensor:
    """Whether input > other; see :func:`eq`."""
    return _compared(np.greater, input, other)


def ge(input: Tensor | Array, other: Operand) -> Tensor:
    """Whether input >= other; see :func:`eq`."""
    return _compared(np.greater_equal, input, other)


def isnan(input: Tensor | Array) -> Tensor:
    """Whether an element is NaN."""
    return _bare(np.isnan(as_tensor(input).numpy()))


def isfinite(input: Tensor | Array) -> Tensor:
    """Whether an element is neither NaN nor infinite."""
    return _bare(np.isfinite(as_tensor(input).numpy()))


def logical_and(input: Tensor | Array, other: Tensor | Array) -> Tensor:
    """Whether both are true, broadcast. Also written ``input & other`` of booleans."""
    return _bare(np.logical_and(boolean("input", input), boolean("other", other)))


def logical_or(input: Tensor | Array, other: Tensor | Array) -> Tensor:
    """Whether one is true, broadcast. Also written ``input | other`` of booleans."""
    return _bare(np.logical_or(boolean("input", input), boolean("other", other)))


def logical_not(input: Tensor | Array) -> Tensor:
    """Whether it is false. Also written ``~input``."""
    return _bare(np.logical_not(boolean("input", input)))


def all(input: Tensor | Array, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true, or all along ``dim``.

    >>> all(np.array([[True, False], [True, True]]), 1).tolist()
    [False, True]
    """
    x = as_tensor(input).numpy()
    return _bare(x.all(axes(dim, x.ndim), keepdims=flag("keepdim", keepdim)))


def any(input: Tensor | Array, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether one element is true, or one along ``dim``.

    >>> any(np.array([[True, False], [False, False]]), 1).tolist()
    [True, False]
    """
    x = as_tensor(input).numpy()
    return _bare(x.any(axes(dim, x.ndim), keepdims=flag("keepdim", keepdim)))


# ---- Choosing --------------------------------------------------------------------------------------------


class Where(Function):
    """y = a where the condition holds, else b; g goes to the one that was taken."""

    def __init__(self, condition: Array) -> None:
        self.condition = condition

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return np.where(self.condition, a, b)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        zero = grad.dtype.type(0)
        da = unbroadcast(np.where(self.condition, grad, zero), self.shapes[0]) if self.needs[0] else None
        db = unbroadcast(np.where(self.condition, zero, grad), self.shapes[1]) if self.needs[1] else None
        return da, db


def where(condition: Tensor | Array, input: Operand, other: Operand) -> Tensor:
    """input where the condition holds, else other; all three broadcast. Each gets the gradient where it was taken.

    condition: booleans, as comparisons give them. input, other: numbers, arrays or tensors; two numbers give a
    float32 tensor, two integers an int64 one.

    >>> x = np.array([1.0, -2.0])
    >>> where(x > 0, x, 0.5).tolist()
    [1.0, 0.5]
    """
    mask = boolean("condition", condition)
    if not holds_array(input):
        if holds_array(other):
            return where(np.asarray(~mask), other, input)
        input = tensor(input)
    both = operands(as_tensor(input), other)
    if both is None:
        return refuse(other)
    try:
        return Where(mask)(*both)
    except ValueError:
        check_broadcast(mask.shape, both[0].shape, both[1].shape)
        raise


def masked_fill(input: Tensor | Array, mask: Tensor | Array, value: Operand) -> Tensor:
    """value where the mask holds, else input. value: a number, or a tensor of one.

    >>> masked_fill(np.array([1.0, 2.0]), np.array([True, False]), -np.inf).tolist()
    [-inf, 2.0]
    """
    x = as_tensor(input)
    if holds_array(value):
        if value.ndim:
            raise ShapeError(f"value must be a number or a tensor without axes, got shape {value.shape}")
    else:
        value = np.array(value, x.dtype if x.dtype.kind == "f" or isinstance(value, int) else np.float32)
    flags = boolean("mask", mask)
    y = where(flags, value, x)
    if y.shape != x.shape:
        raise ShapeError(f"mask of shape {flags.shape} must broadcast to the input's shape {x.shape}")
    return y


def boolean(name: str, value: Tensor | Array) -> Array:
    """An array of booleans."""
    array = as_tensor(value, name).numpy()
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must hold booleans, got {array.dtype}: compare first, {name} != 0, say")
    return array
