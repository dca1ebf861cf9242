# SPDX-License-Identifier: BSD-3-Clause
"""The same elements in another shape or order. Where NumPy has a view of them, nothing is copied."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._conversion import as_tensor
from fastconv._operands import accurate_sum, unbroadcast
from fastconv.autograd import Function
from fastconv.errors import ShapeError
from fastconv.functions._dims import Array, Dims, Shape, axes, axis, extents, spread
from fastconv.functions.indexing import Index
from fastconv.ops._check import MAX_EXTENT, integer, shown

if TYPE_CHECKING:
    from fastconv._tensor import Tensor


class Reshape(Function):
    """y = x in another shape."""

    def __init__(self, shape: Shape) -> None:
        self.target = shape

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x.reshape(self.target)

    def backward(self, grad: Array) -> Array:
        return grad.reshape(self.shape)


class Permute(Function):
    """y = x with its axes in another order."""

    def __init__(self, order: Shape) -> None:
        self.order = order

    def forward(self, x: Array) -> Array:
        return x.transpose(self.order)

    def backward(self, grad: Array) -> Array:
        return grad.transpose(np.argsort(self.order))


class Expand(Function):
    """y = x repeated along new axes and those of one element; dx sums g over them."""

    def __init__(self, shape: Shape) -> None:
        self.target = shape

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return np.broadcast_to(x, self.target)

    def backward(self, grad: Array) -> Array:
        return unbroadcast(grad, self.shape)


class Repeat(Function):
    """y = x laid side by side, so many times along each axis; dx sums g over the copies."""

    def __init__(self, times: Shape) -> None:
        self.times = times

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return np.tile(x, self.times)

    def backward(self, grad: Array) -> Array:
        shape = (1,) * (len(self.times) - len(self.shape)) + self.shape
        tiles = grad.reshape([n for pair in zip(self.times, shape, strict=True) for n in pair])
        return accurate_sum(tiles, tuple(range(0, tiles.ndim, 2))).reshape(self.shape)


class Roll(Function):
    """y = x moved along axes, what leaves on one side entering on the other; dx = g moved back."""

    def __init__(self, shifts: Shape, axes: Shape | None) -> None:
        self.shifts, self.axes = shifts, axes

    def forward(self, x: Array) -> Array:
        return self._moved(x, 1)

    def backward(self, grad: Array) -> Array:
        return self._moved(grad, -1)

    def _moved(self, x: Array, sign: int) -> Array:
        if self.axes is None:
            return np.roll(x, sign * self.shifts[0])
        return np.roll(x, [sign * s for s in self.shifts], self.axes)


# ---- Functions -------------------------------------------------------------------------------------------


def reshape(input: Tensor | Array, *shape: Any) -> Tensor:
    """The same elements in another shape, given as integers or a tuple; one extent may be -1.

    Raises ShapeError where the number of elements is another.

    >>> reshape(np.zeros((2, 3)), 3, -1).shape
    (3, 2)
    """
    target = extents("shape", shape, -1)
    try:
        return Reshape(target)(input)
    except ValueError:
        x = as_tensor(input)
        raise ShapeError(f"shape {target} cannot hold the {x.numel()} elements of input, of shape {x.shape}") from None


def flatten(input: Tensor | Array, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from ``start_dim`` to ``end_dim`` joined into one.

    >>> flatten(np.zeros((2, 3, 4)), 1).shape
    (2, 12)
    """
    x = as_tensor(input)
    first, last = axis(start_dim, x.ndim, "start_dim"), axis(end_dim, x.ndim, "end_dim")
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    joined = math.prod(x.shape[first:last + 1])
    return Reshape((*x.shape[:first], joined, *x.shape[last + 1:]))(x)


def squeeze(input: Tensor | Array, dim: Dims = None) -> Tensor:
    """Without the axes of one element: all of them, or those among ``dim``; the others stay.

    >>> squeeze(np.zeros((1, 3, 1)), 0).shape
    (3, 1)
    """
    x = as_tensor(input)
    chosen = range(x.ndim) if dim is None or x.ndim == 0 else axes(dim, x.ndim) or ()
    return Reshape(tuple([n for d, n in enumerate(x.shape) if n != 1 or d not in chosen]))(x)


def unsqueeze(input: Tensor | Array, dim: int) -> Tensor:
    """With one more axis, of one element, which will be axis ``dim``.

    >>> unsqueeze(np.zeros((2, 3)), -1).shape
    (2, 3, 1)
    """
    x = as_tensor(input)
    place = axis(dim, x.ndim + 1)
    return Reshape((*x.shape[:place], 1, *x.shape[place:]))(x)


def permute(input: Tensor | Array, *dims: Any) -> Tensor:
    """The axes in another order, given as integers or a tuple.

    >>> permute(np.zeros((2, 3, 4)), 2, 0, 1).shape
    (4, 2, 3)
    """
    x = as_tensor(input)
    order = axes(spread(dims), x.ndim, "dims") or ()
    if len(order) != x.ndim:
        raise ValueError(f"dims must name each of the {x.ndim} axes of input once, got {shown(spread(dims))}")
    return Permute(order)(x)


def transpose(input: Tensor | Array, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged.

    >>> transpose(np.zeros((2, 3, 4)), 0, -1).shape
    (4, 3, 2)
    """
    x = as_tensor(input)
    first, second = axis(dim0, x.ndim, "dim0"), axis(dim1, x.ndim, "dim1")
    order = list(range(x.ndim))
    if order:
        order[first], order[second] = second, first
    return Permute(tuple(order))(x)


def broadcast_to(input: Tensor | Array, *shape: Any) -> Tensor:
    """Repeated, without a copy, along new first axes and along those of one element.

    shape: integers or a tuple; -1 keeps an extent. Raises ShapeError where an extent that is not 1 would change.

    >>> broadcast_to(np.array([[1.0], [2.0]]), 2, 3).tolist()
    [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    x = as_tensor(input)
    wanted = extents("shape", shape, -1)
    more = len(wanted) - x.ndim
    old = (-1,) * more + x.shape
    target = tuple([o if n == -1 else n for n, o in zip(wanted, old, strict=False)])
    if more < 0 or -1 in target or any(o not in (-1, 1, n) for n, o in zip(target, old, strict=False)):
        raise ShapeError(f"input of shape {x.shape} does not expand to shape {wanted}: only axes of one element do, "
                         "and new ones in front, whose extent must be given")
    return Expand(target)(x)


def repeat(input: Tensor | Array, *repeats: Any) -> Tensor:
    """Copies side by side: so many along each axis, with new axes in front if there are more numbers than axes.

    As PyTorch's Tensor.repeat and NumPy's tile.

    >>> repeat(np.array([1.0, 2.0]), 2, 2).tolist()
    [[1.0, 2.0, 1.0, 2.0], [1.0, 2.0, 1.0, 2.0]]
    """
    x = as_tensor(input)
    times = extents("repeats", repeats)
    if len(times) < x.ndim:
        raise ValueError(f"repeats must have a number for each of the {x.ndim} axes of input, got {times}")
    return Repeat(times)(x)


def flip(input: Tensor | Array, *dims: Any) -> Tensor:
    """In reverse order along the axes ``dims``, integers or a tuple.

    >>> flip(np.array([1.0, 2.0]), 0).tolist()
    [2.0, 1.0]
    """
    x = as_tensor(input)
    chosen = axes(spread(dims), x.ndim, "dims") or ()
    return Index(tuple([slice(None, None, -1 if d in chosen else 1) for d in range(x.ndim)]))(x)


def roll(input: Tensor | Array, shifts: Any, dims: Dims = None) -> Tensor:
    """Moved by ``shifts`` along ``dims``; what leaves at one end enters at the other. Without dims as if flattened.

    >>> roll(np.array([1.0, 2.0, 3.0]), 1, 0).tolist()
    [3.0, 1.0, 2.0]
    """
    x = as_tensor(input)
    several = shifts if isinstance(shifts, (tuple, list)) else (shifts,)
    moves = tuple([integer("shifts", s, -MAX_EXTENT) for s in several])
    along = None if dims is None else axes(dims, x.ndim, "dims") or ()
    if len(moves) != (1 if along is None else len(along)):
        raise ValueError(f"shifts and dims must be as many, got shifts={shown(shifts)} and dims={shown(dims)}")
    return Roll(moves, along)(x)
