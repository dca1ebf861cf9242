# SPDX-License-Identifier: BSD-3-Clause
"""Parts of a tensor: slices, rows, elements by their indices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _tensor
from fastconv._conversion import as_tensor
from fastconv._core import Blocked, empty
from fastconv._part import Part
from fastconv.autograd import Function
from fastconv.errors import ShapeError
from fastconv.functions._dims import Array, Shape, axis
from fastconv.ops._check import integer
from fastconv.ops.conv import BLOCK

if TYPE_CHECKING:
    from fastconv._tensor import Tensor


class Index(Function):
    """y = x[key], with all of NumPy's keys; dx is 0 but for dx[key], which gathers g."""

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return np.asarray(x[self.key])

    def backward(self, grad: Array) -> Array | Part:
        if True in [_may_repeat(k) for k in self.key]:
            return _scattered(np.arange(int(np.prod(self.shape))).reshape(self.shape)[self.key], grad, self.shape)
        return Part(grad, self.key, self.shape)


class BlockIndex(Function):
    """Likewise of whole blocks of channels, in the native layout; the key is one for (N, C / 16, spatial..., 16)."""

    native = True

    def __init__(self, key: tuple[slice, ...]) -> None:
        self.key = key

    def forward(self, x: Blocked) -> Blocked:
        self.shape = x.shape
        return blocks_of(x.array[self.key])

    def backward(self, grad: Blocked) -> Part:
        return Part(grad.array, self.key, self.shape, blocked=True)


class Gather(Function):
    """y[i, j, ...] = x[i, index[i, j, ...], ...] along one axis; g is summed where indices repeat."""

    def __init__(self, index: Array, axis: int) -> None:
        self.index, self.axis = index, axis

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return np.take_along_axis(self._within(x), self.index, self.axis)

    def _within(self, x: Array) -> Array:
        """The part of x that the index covers along the other axes."""
        extents = [n if d == self.axis else self.index.shape[d] for d, n in enumerate(x.shape)]
        return x[tuple(map(slice, extents))]

    def backward(self, grad: Array) -> Array:
        positions = self._within(np.arange(int(np.prod(self.shape))).reshape(self.shape))
        return _scattered(np.take_along_axis(positions, self.index, self.axis), grad, self.shape)


def blocks_of(part: Array) -> Blocked:
    """Part of an array in the native layout as images: a copy, in memory that is used again, where it has gaps."""
    if not part.flags.c_contiguous:
        copy = empty(part.shape, part.dtype)
        np.copyto(copy, part)
        part = copy
    return Blocked(part)


def _may_repeat(key: Any) -> bool:
    return isinstance(key, (list, np.ndarray)) and np.asarray(key).dtype != np.bool_


def _scattered(positions: Array, grad: Array, shape: Shape) -> Array:
    """Zeros of a shape, with the elements of grad added at positions of the flattened array, in float64."""
    size = int(np.prod(shape))
    return np.bincount(positions.ravel(), grad.ravel(), size).astype(grad.dtype).reshape(shape)


def _plain_keys(key: tuple[Any, ...]) -> Iterator[Any]:
    for part in key:
        yield part.numpy() if isinstance(part, _tensor.Tensor) else part


def _key_of_blocks(key: tuple[Any, ...], shape: Shape) -> tuple[slice, ...] | None:
    """The key on the native layout's array, if it is made of slices and cuts no block of channels."""
    if len(key) > len(shape) or not key or set(map(type, key)) != {slice}:
        return None
    first, last, step = key[1].indices(shape[1]) if len(key) > 1 else (0, shape[1], 1)
    if step != 1 or first % BLOCK or last % BLOCK or last <= first:
        return None
    return (key[0], slice(first // BLOCK, last // BLOCK), *key[2:])


def getitem(input: Tensor, key: Any) -> Tensor:
    """input[key]. Slices of images in the native layout stay in it if they cut no block of 16 channels."""
    parts = tuple(_plain_keys(key if isinstance(key, tuple) else (key,)))
    if not isinstance(input._value, np.ndarray):
        of_blocks = _key_of_blocks(parts, input.shape)
        if of_blocks is not None and isinstance(input._computed(), Blocked):
            return BlockIndex(of_blocks)(input)
    return Index(parts)(input)


# ---- Functions -------------------------------------------------------------------------------------------


def narrow(input: Tensor | Array, dim: int, start: int, length: int) -> Tensor:
    """The ``length`` elements from ``start`` along an axis; a negative start counts from the end.

    >>> narrow(np.array([1.0, 2.0, 3.0, 4.0]), 0, 1, 2).tolist()
    [2.0, 3.0]
    """
    x = as_tensor(input)
    along = axis(dim, x.ndim)
    extent = x.shape[along] if x.ndim else 1
    first = integer("start", start, -extent, extent) % (extent + (start >= 0))
    integer("length", length, 0, extent - first)
    return getitem(x, (*(slice(None),) * along, slice(first, first + length)))


def select(input: Tensor | Array, dim: int, index: int) -> Tensor:
    """One slice along an axis, without that axis.

    >>> select(np.array([[1.0, 2.0], [3.0, 4.0]]), 1, 0).tolist()
    [1.0, 3.0]
    """
    x = as_tensor(input)
    along = axis(dim, x.ndim)
    extent = x.shape[along] if x.ndim else 1
    return getitem(x, (*(slice(None),) * along, integer("index", index, -extent, extent - 1)))


def index_select(input: Tensor | Array, dim: int, index: Tensor | Array) -> Tensor:
    """The slices along an axis whose numbers ``index``, of one axis, lists; they may repeat.

    >>> index_select(np.array([[1.0, 2.0], [3.0, 4.0]]), 0, np.array([1, 1, 0])).tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    x = as_tensor(input)
    along = axis(dim, x.ndim)
    chosen = _indices(index, x.shape[along] if x.ndim else 1)
    if chosen.ndim != 1:
        raise ShapeError(f"index must have one axis, got shape {chosen.shape}")
    return Index((*(slice(None),) * along, chosen))(x)


def gather(input: Tensor | Array, dim: int, index: Tensor | Array) -> Tensor:
    """One element for each index: y[i, j] = input[i, index[i, j]] for dim = 1, and so on.

    index: integers, with as many axes as input, and along the others at most its extents.
    Raises ShapeError for another shape, ValueError for an index out of range.

    >>> gather(np.array([[1.0, 2.0], [3.0, 4.0]]), 1, np.array([[1], [0]])).tolist()
    [[2.0], [3.0]]
    """
    x = as_tensor(input)
    along = axis(dim, x.ndim)
    chosen = _indices(index, x.shape[along] if x.ndim else 1)
    larger = [d for d, (m, n) in enumerate(zip(chosen.shape, x.shape, strict=False)) if m > n and d != along]
    if chosen.ndim != x.ndim or larger:
        raise ShapeError(f"index of shape {chosen.shape} must have the axes of input, of shape {x.shape}, and along "
                         f"all but dim={dim} not more elements")
    if x.ndim == 0:
        return gather(x.reshape(1), 0, chosen.reshape(1)).reshape(())
    return Gather(chosen, along)(x)


def _indices(value: Tensor | Array, extent: int) -> Array:
    index = as_tensor(value, "index").numpy()
    if index.dtype.kind not in "iu":
        raise TypeError(f"index must hold integers, got {index.dtype}")
    if index.size and (index.min() < 0 or index.max() >= extent):
        raise ValueError(f"index must hold numbers from 0 to {extent - 1}, got {index.min()} to {index.max()}")
    return index
