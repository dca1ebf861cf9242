# SPDX-License-Identifier: BSD-3-Clause
"""Operands of the arithmetic on tensors: their common element type, and the way back from broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._tensor import Array, Dims, Tensor, as_tensor


def operands(a: Tensor, b: Any, needs_float: bool = False) -> tuple[Tensor, Tensor] | None:
    """a and b in their common element type; None where b is nothing to calculate with."""
    if isinstance(b, Tensor) and a.dtype == b.dtype and a.dtype.kind == "f":
        return a, b
    if isinstance(b, (bool, int, float, np.generic)):
        # A number is as precise as the tensor it meets.
        is_float = needs_float or not isinstance(b, (bool, int, np.integer, np.bool_))
        dtype = np.dtype(np.float32) if is_float and a.dtype.kind != "f" else a.dtype
        if dtype == np.bool_ and not isinstance(b, (bool, np.bool_)):
            dtype = np.dtype(np.int64)
        return a.astype(dtype), Tensor(np.array(b, dtype))
    if not isinstance(b, (Tensor, np.ndarray)):
        return None
    b = as_tensor(b)
    dtype = _common_dtype(a.dtype, b.dtype, needs_float)
    return a.astype(dtype), b.astype(dtype)


def _common_dtype(a: np.dtype[Any], b: np.dtype[Any], needs_float: bool) -> np.dtype[Any]:
    floats = [d for d in (a, b) if d.kind == "f"]
    if len(floats) == 2 and a != b:
        raise TypeError(
            f"operands are {a} and {b}, which never mix silently: convert one with .float() or .double()"
        )
    if floats:
        return floats[0]
    return np.dtype(np.float32) if needs_float else np.result_type(a, b)


def accurate_sum(x: Array, axes: Dims = None, keepdims: bool = False) -> Array:
    """The sum over ``axes`` in the type of x, with a float64 accumulator."""
    if x.dtype.kind != "f":
        return np.asarray(x.sum(axis=axes, keepdims=keepdims))
    return np.asarray(x.sum(axis=axes, dtype=np.float64, keepdims=keepdims)).astype(x.dtype)


def unbroadcast(grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an operand of ``shape`` was repeated."""
    if grad.shape == shape:
        return grad
    lead = grad.ndim - len(shape)
    repeated = [lead + i for i, n in enumerate(shape) if n == 1 and grad.shape[lead + i] != 1]
    return accurate_sum(grad, (*range(lead), *repeated)).reshape(shape)
