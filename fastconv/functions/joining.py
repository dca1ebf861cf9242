# SPDX-License-Identifier: BSD-3-Clause
"""Tensors joined to one, and one taken apart."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._conversion import as_tensor
from fastconv._core import Blocked, empty_blocked
from fastconv._operands import common_dtype
from fastconv.autograd import Function, Value, plain
from fastconv.errors import ShapeError
from fastconv.functions._dims import Array, axis
from fastconv.functions.indexing import blocks_of, getitem, select
from fastconv.ops._check import integer, shown
from fastconv.ops.conv import BLOCK

if TYPE_CHECKING:
    from fastconv._tensor import Tensor

Tensors = Sequence[Any]    # of tensors or arrays


class Concatenation(Function):
    """y = the inputs one behind the other along an axis; each gets its part of g.

    Images in the native layout are joined there: its array (N, C / 16, spatial..., 16) has the same axes in front.
    """

    native = True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *parts: Value) -> Value:
        ends = [0]
        for part in parts:
            ends.append(ends[-1] + part.shape[self.axis])
        self.ends = ends
        blocks = [p.array for p in parts if isinstance(p, Blocked)]
        if len(blocks) < len(parts):
            return np.concatenate([plain(p) for p in parts], self.axis)
        shape = parts[0].shape
        y = empty_blocked((*shape[:self.axis], ends[-1], *shape[self.axis + 1:]), parts[0].dtype)
        np.concatenate(blocks, self.axis, out=y.array)
        return y

    def backward(self, grad: Value) -> tuple[Value | None, ...]:
        unit = BLOCK if isinstance(grad, Blocked) and self.axis == 1 else 1
        g = grad.array if isinstance(grad, Blocked) else grad
        before = (slice(None),) * self.axis
        parts = [
            g[(*before, slice(first // unit, last // unit))] if need else None
            for need, first, last in zip(self.needs, self.ends, self.ends[1:], strict=False)
        ]
        if not isinstance(grad, Blocked):
            return tuple(parts)
        return tuple([None if p is None else blocks_of(p) for p in parts])


class Stack(Function):
    """y = the inputs along a new axis; each gets its part of g."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *parts: Array) -> Array:
        return np.stack(parts, self.axis)

    def backward(self, grad: Array) -> tuple[Array, ...]:
        return tuple(np.moveaxis(grad, self.axis, 0))


# ---- Functions -------------------------------------------------------------------------------------------


def cat(tensors: Tensors, dim: int = 0) -> Tensor:
    """The tensors one behind the other along an axis.

    tensors: a tuple or list of tensors or arrays, equal in shape but along ``dim``; float32 and float64 do not mix.

    Results of layers that are in the native layout are joined in it, so that a network that concatenates its channels
    copies each result once and reorders nothing.

    >>> cat([np.ones((2, 1)), np.zeros((2, 2))], 1).tolist()
    [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """
    parts = _parts(tensors)
    shape = parts[0].shape
    if not shape:
        raise ShapeError("tensors[0] has no axes, so nothing can be joined along one; stack() makes a new axis")
    along = axis(dim, len(shape))
    before, after = shape[:along], shape[along + 1:]
    for i, part in enumerate(parts):
        if part.shape[:along] != before or part.shape[along + 1:] != after or part.ndim != len(shape):
            raise ShapeError(f"tensors[{i}] of shape {part.shape} must be as tensors[0], of shape {shape}, but along "
                             f"dim={dim}")
    return Concatenation(along)(*parts)


def stack(tensors: Tensors, dim: int = 0) -> Tensor:
    """The tensors, of one shape, along a new axis ``dim``.

    >>> stack([np.ones(2), np.zeros(2)], 1).tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """
    parts = _parts(tensors)
    shape = parts[0].shape
    for i, part in enumerate(parts):
        if part.shape != shape:
            raise ShapeError(f"tensors[{i}] of shape {part.shape} must be as tensors[0], of shape {shape}")
    return Stack(axis(dim, len(shape) + 1))(*parts)


def _parts(tensors: Tensors) -> list[Tensor]:
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(f"tensors must be a tuple or list of tensors, got {shown(tensors)}")
    if not tensors:
        raise ValueError("tensors is empty: there is nothing to join")
    parts = [as_tensor(t, f"tensors[{i}]") for i, t in enumerate(tensors)]
    dtypes = [p.dtype for p in parts]
    if dtypes.count(dtypes[0]) == len(dtypes):
        return parts
    dtype = functools.reduce(common_dtype, dtypes)
    return [p.astype(dtype) for p in parts]


def split(tensor: Tensor | Array, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Parts along an axis: of a given size, the last one with what remains, or of the sizes listed.

    Whole blocks of 16 channels stay in the native layout, as :func:`cat` joins them.

    >>> [part.tolist() for part in split(np.arange(5.0), 2)]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    >>> [part.tolist() for part in split(np.arange(5.0), [1, 4])]
    [[0.0], [1.0, 2.0, 3.0, 4.0]]
    """
    x = as_tensor(tensor, "tensor")
    along, extent = _extent("split", x, dim)
    sizes = split_size_or_sections
    if isinstance(sizes, (tuple, list)):
        lengths = [integer(f"split_size_or_sections[{i}]", n, 0) for i, n in enumerate(sizes)]
        if sum(lengths) != extent:
            raise ValueError(f"split_size_or_sections={shown(sizes)} must add up to the {extent} elements along "
                             f"dim={dim}")
    else:
        size = integer("split_size_or_sections", sizes, 1)
        lengths = [min(size, extent - first) for first in range(0, extent, size)] or [0]
    first, parts = 0, []
    before = (slice(None),) * along
    for length in lengths:
        parts.append(getitem(x, (*before, slice(first, first + length))))
        first += length
    return tuple(parts)


def chunk(input: Tensor | Array, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most so many parts of equal size along an axis; the last one may be smaller.

    >>> [part.tolist() for part in chunk(np.arange(5.0), 2)]
    [[0.0, 1.0, 2.0], [3.0, 4.0]]
    """
    x = as_tensor(input)
    _, extent = _extent("chunk", x, dim)
    count = integer("chunks", chunks, 1)
    return split(x, -(-extent // count), dim) if extent else split(x, [0] * count, dim)


def unbind(input: Tensor | Array, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without that axis.

    >>> [part.tolist() for part in unbind(np.array([[1.0, 2.0], [3.0, 4.0]]), 1)]
    [[1.0, 3.0], [2.0, 4.0]]
    """
    x = as_tensor(input)
    along, extent = _extent("unbind", x, dim)
    return tuple([select(x, along, i) for i in range(extent)])


def _extent(name: str, x: Tensor, dim: int) -> tuple[int, int]:
    if not x.ndim:
        raise ShapeError(f"{name}() needs an axis to cut along: the tensor has none")
    along = axis(dim, x.ndim)
    return along, x.shape[along]
