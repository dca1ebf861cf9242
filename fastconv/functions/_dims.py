# SPDX-License-Identifier: BSD-3-Clause
"""Arguments that name axes or shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import integer, shown

Array = np.ndarray[Any, Any]
Dims = int | tuple[int, ...] | list[int] | None
Shape = tuple[int, ...]


def axis(dim: Any, ndim: int, name: str = "dim") -> int:
    """An axis, counted from the front. A tensor without axes is taken for one of a single element."""
    count = ndim or 1
    if type(dim) is int and -count <= dim < count:
        return dim % count
    return integer(name, dim, -count, count - 1) % count


def axes(dim: Any, ndim: int, name: str = "dim") -> Shape | None:
    """One axis or several, each once; None for all, as PyTorch takes an empty tuple."""
    if dim is None:
        return None
    if not isinstance(dim, (tuple, list)):
        return (axis(dim, ndim, name),) if ndim else ()
    found = tuple([axis(d, ndim, f"{name}[{i}]") for i, d in enumerate(dim)])
    if len(set(found)) < len(found):
        raise ValueError(f"{name}={shown(dim)} names an axis twice")
    return (found if ndim else ()) or None


def spread(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """f(2, 3) and f((2, 3)) mean the same."""
    if len(arguments) == 1 and isinstance(arguments[0], (tuple, list)):
        return tuple(arguments[0])
    return arguments


def extents(name: str, arguments: tuple[Any, ...], low: int = 0) -> Shape:
    """A shape, given as integers or as one tuple of them."""
    shape = spread(arguments)
    for i, n in enumerate(shape):
        if type(n) is not int or n < low:
            return tuple([*shape[:i], *[integer(f"{name}[{j}]", m, low) for j, m in enumerate(shape[i:], i)]])
    return shape


def check_broadcast(*shapes: Shape) -> None:
    """ShapeError unless operands of these shapes broadcast."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"operands of shapes {' and '.join(map(str, shapes))} do not broadcast: counted from the last, their axes "
            "must be equal or 1"
        ) from None
