# SPDX-License-Identifier: BSD-3-Clause
"""Penalties on weights and activities, with Keras's names and defaults.

A layer with weights takes them by name or object::

    conv = nn.Conv2d(3, 8, 3, kernel_regularizer="l2", activity_regularizer=nn.regularizers.L1(1e-4))

and the loss that training goes down is ``criterion(conv(x), target) + nn.regularization_loss(model)``. Any parameter
may have one: ``parameter.regularizer = nn.regularizers.L2(1e-4)``. Any function of a tensor that returns a tensor of
one element will do.

A penalty of the weights by L2(c) has the gradient 2 c p: with plain SGD it is the weight_decay 2 c of an optimiser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.nn._common import chosen, number

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get"]

Array = np.ndarray[Any, Any]


class Penalty(Function):
    """y = l1 sum(|x|) + l2 sum(x^2); dx = g (l1 sign(x) + 2 l2 x). The sums run in float64."""

    def __init__(self, l1: float, l2: float) -> None:
        self.l1, self.l2 = l1, l2

    def forward(self, x: Array) -> Array:
        self.save(x)
        total = self.l1 * np.abs(x).sum(dtype=np.float64) if self.l1 else 0.0
        if self.l2:
            total += self.l2 * np.square(x, dtype=np.float64).sum()
        return np.asarray(total, x.dtype)

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        dx: Array = np.multiply(x, grad * x.dtype.type(2 * self.l2))
        if self.l1:
            dx += np.sign(x) * (grad * x.dtype.type(self.l1))
        return dx


class Regularizer:
    """The base: l1 sum(|x|) + l2 sum(x^2) of a tensor or array x."""

    l1 = l2 = 0.0

    def __call__(self, x: Tensor | Array) -> Tensor:
        return Penalty(self.l1, self.l2)(as_tensor(x, "x"))


class L1(Regularizer):
    """l1 sum(|x|): drives weights to exactly 0. At 0 its gradient is 0.

    >>> L1(0.5)(np.array([1.0, -3.0])).item()
    2.0
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = number("l1", l1)

    def __repr__(self) -> str:
        return f"L1(l1={self.l1})"


class L2(Regularizer):
    """l2 sum(x^2): keeps weights small.

    >>> L2(0.5)(np.array([1.0, -3.0])).item()
    5.0
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = number("l2", l2)

    def __repr__(self) -> str:
        return f"L2(l2={self.l2})"


class L1L2(Regularizer):
    """l1 sum(|x|) + l2 sum(x^2). The name "l1_l2" means 0.01 for both.

    >>> L1L2(l1=0.5, l2=0.5)(np.array([1.0, -3.0])).item()
    7.0
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = number("l1", l1), number("l2", l2)

    def __repr__(self) -> str:
        return f"L1L2(l1={self.l1}, l2={self.l2})"


_NAMES: dict[str, Callable[[], Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": lambda: L1L2(0.01, 0.01)}
_NAMES |= {"L1": L1, "L2": L2, "L1L2": L1L2}


def get(name: str, value: object) -> Callable[[Tensor], Tensor] | None:
    """The regulariser that an argument called ``name`` stands for: a word, an object, or None.

    >>> get("kernel_regularizer", "l2")
    L2(l2=0.01)
    """
    regularizer: Callable[[Tensor], Tensor] | None = chosen(name, value, _NAMES)
    return regularizer
