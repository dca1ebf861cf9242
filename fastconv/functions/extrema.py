# SPDX-License-Identifier: BSD-3-Clause
"""The largest and the smallest elements. NaN counts as larger and as smaller than all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastconv._conversion import as_tensor, holds_array, result
from fastconv.autograd import Function
from fastconv.errors import ShapeError
from fastconv.functions._dims import Array, Dims, Shape, axes, axis
from fastconv.functions.arithmetic import maximum, minimum
from fastconv.functions.reductions import Reduction
from fastconv.ops._check import flag

if TYPE_CHECKING:
    from fastconv._tensor import Tensor


class Extrema(NamedTuple):
    """What ``max(dim)`` and ``min(dim)`` return."""

    values: Tensor
    indices: Tensor


class SharedExtremum(Reduction):
    """y = the largest element, or the smallest; elements that share it share g evenly."""

    def __init__(self, axes: Shape | None, keepdim: bool, largest: bool) -> None:
        super().__init__(axes, keepdim)
        self.largest = largest

    def forward(self, x: Array) -> Array:
        y = np.asarray((x.max if self.largest else x.min)(axis=self.axes, keepdims=True))
        self.save(x, y)
        return self.reduced(x, y)

    def backward(self, grad: Array) -> Array:
        x, y = self.saved
        found = (x == y) | (np.isnan(x) & np.isnan(y))
        share = grad.reshape(self.kept) / np.asarray(found.sum(axis=self.axes, keepdims=True), grad.dtype)
        dx: Array = np.where(found, share, grad.dtype.type(0))
        return dx


class FirstExtremum(Function):
    """y = the largest element along an axis, or the smallest; g goes to the first of them."""

    def __init__(self, axis: int, keepdim: bool, largest: bool) -> None:
        self.axis, self.keepdim, self.largest = axis, flag("keepdim", keepdim), largest

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        self.places = np.asarray((x.argmax if self.largest else x.argmin)(self.axis, keepdims=True))
        return np.asarray((x.max if self.largest else x.min)(self.axis, keepdims=self.keepdim))

    def indices(self) -> Array:
        """Where they are."""
        return self.places if self.keepdim else self.places.squeeze(self.axis)

    def backward(self, grad: Array) -> Array:
        dx = np.zeros(self.shape, grad.dtype)
        np.put_along_axis(dx, self.places, grad.reshape(self.places.shape), self.axis)
        return dx


# ---- Functions -------------------------------------------------------------------------------------------


def max(input: Tensor | Array, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with ``dim`` (values, indices) along that axis; with a tensor :func:`maximum` of both.

    Equal elements share the gradient evenly; along an axis the first of them gets it and gives the index. NaN counts
    as the largest. Raises ShapeError where there is no element.

    >>> max(np.array([[1.0, 5.0], [7.0, 3.0]])).item()
    7.0
    >>> values, indices = max(np.array([[1.0, 5.0], [7.0, 3.0]]), 1)
    >>> values.tolist(), indices.tolist()
    ([5.0, 7.0], [1, 0])
    """
    return _extremum(input, dim, keepdim, True)


def min(input: Tensor | Array, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element, likewise: see :func:`max`.

    >>> min(np.array([[1.0, 5.0], [7.0, 3.0]]), 1).values.tolist()
    [1.0, 3.0]
    """
    return _extremum(input, dim, keepdim, False)


def _extremum(input: Tensor | Array, dim: Any, keepdim: bool, largest: bool) -> Any:
    if holds_array(dim):
        return (maximum if largest else minimum)(input, dim)
    name = "max" if largest else "min"
    x = as_tensor(input)
    if dim is None:
        _need_elements(name, x, None)
        return SharedExtremum(None, keepdim, largest)(x)
    if x.ndim == 0:
        dim, keepdim, x = axis(dim, 0), False, x.reshape(1)
    along = axis(dim, x.ndim)
    _need_elements(name, x, (along,))
    operation = FirstExtremum(along, keepdim, largest)
    values = operation(x)
    return Extrema(values, result(operation.indices(), None))


def _need_elements(name: str, x: Tensor, over: Shape | None) -> None:
    if 0 in (x.shape if over is None else [x.shape[d] for d in over]):
        raise ShapeError(f"{name}() of an empty tensor: input of shape {x.shape} has no element along the axes of dim")


def amax(input: Tensor | Array, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest element over all axes or those of ``dim``; equal ones share the gradient evenly.

    >>> amax(np.array([[1.0, 5.0], [7.0, 3.0]]), (0, 1)).item()
    7.0
    """
    return _shared("amax", input, dim, keepdim, True)


def amin(input: Tensor | Array, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest element, likewise.

    >>> amin(np.array([[1.0, 5.0], [7.0, 3.0]]), 0).tolist()
    [1.0, 3.0]
    """
    return _shared("amin", input, dim, keepdim, False)


def _shared(name: str, input: Tensor | Array, dim: Dims, keepdim: bool, largest: bool) -> Tensor:
    x = as_tensor(input)
    over = axes(dim, x.ndim)
    _need_elements(name, x, over)
    return SharedExtremum(over, keepdim, largest)(x)


def argmax(input: Tensor | Array, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the first largest element, in the flattened tensor or along ``dim``. It has no gradient.

    >>> argmax(np.array([[1.0, 5.0], [7.0, 3.0]]), 1).tolist()
    [1, 0]
    """
    return _place("argmax", np.argmax, input, dim, keepdim)


def argmin(input: Tensor | Array, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index of the first smallest element, likewise.

    >>> argmin(np.array([[1.0, 5.0], [7.0, 3.0]])).item()
    0
    """
    return _place("argmin", np.argmin, input, dim, keepdim)


def _place(name: str, search: Any, input: Tensor | Array, dim: int | None, keepdim: bool) -> Tensor:
    x = as_tensor(input)
    along = None if dim is None else axis(dim, x.ndim)
    _need_elements(name, x, None if along is None or not x.ndim else (along,))
    return result(np.asarray(search(x.numpy(), along if x.ndim else None, keepdims=flag("keepdim", keepdim))), None)
