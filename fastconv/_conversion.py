# SPDX-License-Identifier: BSD-3-Clause
"""Arrays and numbers to tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv.errors import ShapeError

if TYPE_CHECKING:
    from fastconv._core import Blocked
    from fastconv._tensor import Tensor
    from fastconv.autograd import Deferred, Function

Array = np.ndarray[Any, Any]


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor holding a copy of ``data``: a number, nested lists of numbers, an array or a tensor.

    dtype: by default that of an array or a tensor, float32 for Python's floats, int64 for its integers.

    >>> tensor([1, 2]).dtype, tensor([1.0, 2.0]).dtype
    (dtype('int64'), dtype('float32'))
    """
    typed = isinstance(data, (np.ndarray, np.generic, _tensor.Tensor))
    if isinstance(data, np.ndarray):
        data = plain_array(data, "data")
    value = np.array(data, dtype)
    if dtype is None and not typed and value.dtype == np.float64:
        value = value.astype(np.float32)
    return _tensor.Tensor(value, requires_grad)


def holds_array(value: Any) -> bool:
    """Whether it is a tensor or an array."""
    return isinstance(value, (_tensor.Tensor, np.ndarray))


def as_tensor(value: Tensor | Array, name: str = "input") -> Tensor:
    """``value`` itself if it is a tensor, else a tensor sharing the array's memory.

    TypeError for anything else: a list here is more often a mistake than a wish.

    >>> a = np.zeros(2)
    >>> as_tensor(a).numpy() is a
    True
    """
    return value if isinstance(value, _tensor.Tensor) else result(plain_array(value, name), None)


def result(value: Array | Blocked | Deferred, node: Function | None) -> Tensor:
    """What an operation made, without the checks of the constructor; recorded where ``node`` is given."""
    made: Tensor = object.__new__(_tensor.Tensor)
    made._value = value
    made._node = node
    made._grad = None
    made._requires_grad = node is not None
    return made


def plain_array(value: Any, name: str) -> Array:
    """What a tensor may hold: a plain array of floats, integers or booleans."""
    if type(value) is not np.ndarray:
        if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
            kind = type(value).__name__
            raise TypeError(f"{name} must be a fastconv.Tensor or a numpy.ndarray, got {kind}")
        value = value.view(np.ndarray)
    array: Array = value
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold floats, integers or booleans, got {array.dtype}")
    return array


def gradient_for(target: Tensor, value: Tensor | Array, name: str) -> Array:
    """``value`` as a gradient for ``target``: an array of its shape and type."""
    array = as_tensor(value, name).numpy()
    if array.shape != target.shape:
        raise ShapeError(f"{name} must have the tensor's shape {target.shape}, got {array.shape}")
    if array.dtype != target.dtype:
        raise TypeError(f"{name} must have the tensor's element type {target.dtype}, got {array.dtype}")
    return array


# At the end: see the end of autograd.py.
from fastconv import _tensor  # noqa: E402
