# SPDX-License-Identifier: BSD-3-Clause
"""Dropout."""

from __future__ import annotations

import numpy as np

from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.nn._common import Array, number
from fastconv.nn.module import Module
from fastconv.random import generator


class Drop(Function):
    """y = x * keep / (1 - p), where each element of keep is 1 with probability 1 - p; dx is the same of g."""

    def __init__(self, p: float) -> None:
        self.p = p

    def forward(self, x: Array) -> Array:
        keep: Array = np.greater_equal(generator().random(x.shape, np.float32), self.p)
        self.save(keep)
        return self._scaled(x, keep)

    def backward(self, grad: Array) -> Array:
        (keep,) = self.saved
        return self._scaled(grad, keep)

    def _scaled(self, x: Array, keep: Array) -> Array:
        y: Array = x * keep
        y *= 1 / (1 - self.p) if self.p < 1 else 0
        return y


def dropout(input: Tensor | Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability p and scale the others by 1 / (1 - p), when training.

    >>> dropout(np.ones(3), 0.5, training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    p = number("p", p, 0, 1)
    x = as_tensor(input)
    return Drop(p)(x) if training and p > 0 else x


class Dropout(Module):
    """In training zero each element with probability p and scale the others by 1 / (1 - p); else nothing.

    The random numbers are those of :func:`fastconv.manual_seed`.

    >>> from fastconv import nn
    >>> nn.Dropout(0.5).eval()(np.ones(3))
    array([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = number("p", p, 0, 1)
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
