# SPDX-License-Identifier: BSD-3-Clause
"""New tensors from numbers. Their element type is float32 unless it is given, or follows from the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _tensor
from fastconv._conversion import as_tensor
from fastconv.functions._dims import Array, Shape, extents
from fastconv.ops._check import FLOAT32, base_array, shown

if TYPE_CHECKING:
    from fastconv._tensor import Tensor


def _made(value: Array, requires_grad: bool) -> Tensor:
    return _tensor.Tensor(value, requires_grad)


def zeros(*size: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros; size: integers or a tuple.

    >>> zeros(2, 3).shape
    (2, 3)
    """
    return _made(np.zeros(extents("size", size), dtype), requires_grad)


def ones(*size: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A tensor of ones; size: integers or a tuple.

    >>> ones(2).tolist()
    [1.0, 1.0]
    """
    return _made(np.ones(extents("size", size), dtype), requires_grad)


def full(size: Shape | list[int], fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of one number; an integer or a boolean makes a tensor of such, unless dtype says otherwise.

    >>> full((2,), 7).tolist()
    [7, 7]
    """
    if not isinstance(fill_value, (bool, int, float, np.generic)):
        raise TypeError(f"fill_value must be a number, got {shown(fill_value)}")
    kind = _type_of(dtype, fill_value)
    return _made(np.full(extents("size", (size,)), fill_value, kind), requires_grad)


def arange(start: float, end: float | None = None, step: float = 1, *, dtype: Any = None,
           requires_grad: bool = False) -> Tensor:
    """The numbers from start, or 0 where only the end is given, in steps to before the end.

    >>> arange(3).tolist(), arange(1, 2, 0.5).tolist()
    ([0, 1, 2], [1.0, 1.5])
    """
    if end is None:
        start, end = 0, start
    for name, value in (("start", start), ("end", end), ("step", step)):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{name} must be a number, got {shown(value)}")
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"step={step} does not lead from start={start} to end={end}")
    kind = _type_of(dtype, start, end, step)
    return _made(np.arange(start, end, step).astype(kind, copy=False), requires_grad)


def _type_of(dtype: Any, *numbers: Any) -> Any:
    if dtype is not None:
        return np.dtype(dtype)
    found = np.result_type(*[np.asarray(n).dtype for n in numbers])
    return FLOAT32 if found.kind == "f" else found


def zeros_like(input: Tensor | Array, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape and element type of input.

    >>> zeros_like(np.ones(2)).tolist()
    [0.0, 0.0]
    """
    return full_like(input, 0, dtype=dtype, requires_grad=requires_grad)


def ones_like(input: Tensor | Array, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape and element type of input.

    >>> ones_like(np.zeros(2)).tolist()
    [1.0, 1.0]
    """
    return full_like(input, 1, dtype=dtype, requires_grad=requires_grad)


def full_like(input: Tensor | Array, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One number in the shape and element type of input.

    >>> full_like(np.ones(2), 7).tolist()
    [7.0, 7.0]
    """
    x = as_tensor(input)
    return full(x.shape, fill_value, dtype=x.dtype if dtype is None else dtype, requires_grad=requires_grad)


def from_numpy(array: Array) -> Tensor:
    """A tensor that shares the memory of an array; :func:`tensor` copies it.

    >>> a = np.ones(2)
    >>> from_numpy(a).numpy() is a
    True
    """
    return _tensor.Tensor(base_array("array", array))
