# SPDX-License-Identifier: BSD-3-Clause
"""Constraints that weights obey after every step of an optimiser, with Keras's names and defaults.

A layer with weights takes them by name or object: ``nn.Conv2d(3, 8, 3, kernel_constraint="max_norm")``. Any parameter
may have one: ``parameter.constraint = nn.constraints.NonNeg()``. Every optimiser of fastconv applies it at the end of
``step()``, to the parameters that it has changed. Any function that changes an array in place will do.

axis: the axes over which a norm is taken. By default those of the weights of one output: all axes but the first of a
weight (out, in, ...), the whole of a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.nn._common import chosen, number
from fastconv.ops._check import integer

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "get"]

Array = np.ndarray[Any, Any]
Axis = int | tuple[int, ...] | None


class Constraint:
    """The base: a subclass changes an array in place."""

    def __call__(self, w: Array) -> None:
        raise NotImplementedError


class NonNeg(Constraint):
    """Negative weights become 0; NaN stays.

    >>> w = np.array([-1.0, 2.0])
    >>> NonNeg()(w)
    >>> w
    array([0., 2.])
    """

    def __call__(self, w: Array) -> None:
        np.maximum(w, w.dtype.type(0), out=w)

    def __repr__(self) -> str:
        return "NonNeg()"


class _Norm(Constraint):
    """Scales what has a norm that a subclass's ``_wanted`` changes. Norms are taken in float64."""

    def __init__(self, axis: Axis = None) -> None:
        if isinstance(axis, (tuple, list)):
            self.axis: Axis = tuple(integer(f"axis[{i}]", a, -64, 63) for i, a in enumerate(axis))
        else:
            self.axis = None if axis is None else integer("axis", axis, -64, 63)

    def __call__(self, w: Array) -> None:
        axes = tuple(range(min(w.ndim - 1, 1), w.ndim)) if self.axis is None else self.axis
        norm = np.sqrt(np.square(w, dtype=np.float64).sum(axis=axes, keepdims=True))
        wanted = self._wanted(norm)
        # What is within the bounds, and what is 0 and has no direction, keeps its bits.
        if (wanted != norm).any():
            w *= np.divide(wanted, norm, out=np.ones_like(norm), where=norm > 0).astype(w.dtype)

    def _wanted(self, norm: Array) -> Array:
        raise NotImplementedError


class MaxNorm(_Norm):
    """Weights of a norm above max_value are scaled down to it.

    >>> w = np.array([[3.0, 4.0], [0.3, 0.4]])
    >>> MaxNorm(1.0)(w)
    >>> w
    array([[0.6, 0.8],
           [0.3, 0.4]])
    """

    def __init__(self, max_value: float = 2.0, axis: Axis = None) -> None:
        super().__init__(axis)
        self.max_value = number("max_value", max_value)

    def _wanted(self, norm: Array) -> Array:
        return np.minimum(norm, self.max_value)

    def __repr__(self) -> str:
        return f"MaxNorm(max_value={self.max_value}, axis={self.axis})"


class UnitNorm(_Norm):
    """Weights are scaled to norm 1; those that are all 0 stay.

    >>> w = np.array([[3.0, 4.0], [0.0, 0.0]])
    >>> UnitNorm()(w)
    >>> w
    array([[0.6, 0.8],
           [0. , 0. ]])
    """

    def _wanted(self, norm: Array) -> Array:
        return np.ones_like(norm)

    def __repr__(self) -> str:
        return f"UnitNorm(axis={self.axis})"


class MinMaxNorm(_Norm):
    """Norms are brought between min_value and max_value, or with ``rate`` below 1 by that fraction of the way.

    >>> w = np.array([[3.0, 4.0], [0.3, 0.4]])
    >>> MinMaxNorm(1.0, 2.5)(w)
    >>> w
    array([[1.5, 2. ],
           [0.6, 0.8]])
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axis = None
    ) -> None:
        super().__init__(axis)
        self.min_value, self.rate = number("min_value", min_value), number("rate", rate, 0, 1)
        self.max_value = number("max_value", max_value)
        if self.max_value < self.min_value:
            raise ValueError(f"max_value must be at least min_value={self.min_value:g}, got {self.max_value:g}")

    def _wanted(self, norm: Array) -> Array:
        return self.rate * np.clip(norm, self.min_value, self.max_value) + (1 - self.rate) * norm

    def __repr__(self) -> str:
        return (f"MinMaxNorm(min_value={self.min_value}, max_value={self.max_value}, rate={self.rate}, "
                f"axis={self.axis})")


_NAMES: dict[str, Callable[[], Constraint]] = {
    "max_norm": MaxNorm, "non_neg": NonNeg, "unit_norm": UnitNorm, "min_max_norm": MinMaxNorm,
    "MaxNorm": MaxNorm, "NonNeg": NonNeg, "UnitNorm": UnitNorm, "MinMaxNorm": MinMaxNorm,
}


def get(name: str, value: object) -> Callable[[Array], None] | None:
    """The constraint that an argument called ``name`` stands for: a word, an object, or None.

    >>> get("kernel_constraint", "non_neg")
    NonNeg()
    """
    constraint: Callable[[Array], None] | None = chosen(name, value, _NAMES)
    return constraint
