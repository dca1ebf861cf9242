# SPDX-License-Identifier: BSD-3-Clause
"""Activations: layers, functions, and the operations that Tensor has no method for."""

from __future__ import annotations

import numpy as np

from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.nn._common import Array
from fastconv.nn.module import Module


def log_softmax_of(x: Array, axis: int) -> Array:
    """x - log(sum(exp(x))): it cannot overflow, and is NaN where a NaN or +inf is among the terms."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = x - x.max(axis, keepdims=True, initial=-np.inf)
        y: Array = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
        return y


class LogSoftmax(Function):
    """y = x - log(sum(e^x)); dx = g - e^y sum(g)."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        y = log_softmax_of(x, self.axis)
        self.save(y)
        return y

    def backward(self, grad: Array) -> Array:
        (y,) = self.saved
        dx: Array = grad - np.exp(y) * grad.sum(self.axis, keepdims=True)
        return dx


class Softmax(Function):
    """y = e^x / sum(e^x); dx = y (g - sum(g y))."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        y: Array = np.exp(log_softmax_of(x, self.axis))
        self.save(y)
        return y

    def backward(self, grad: Array) -> Array:
        (y,) = self.saved
        dx: Array = y * (grad - (grad * y).sum(self.axis, keepdims=True))
        return dx


def relu(input: Tensor | Array) -> Tensor:
    """max(x, 0), NaN where x is NaN.

    >>> relu(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return as_tensor(input).relu()


def sigmoid(input: Tensor | Array) -> Tensor:
    """1 / (1 + e^-x).

    >>> sigmoid(np.zeros(1)).tolist()
    [0.5]
    """
    return as_tensor(input).sigmoid()


def tanh(input: Tensor | Array) -> Tensor:
    """The hyperbolic tangent.

    >>> tanh(np.zeros(1)).tolist()
    [0.0]
    """
    return as_tensor(input).tanh()


def softmax(input: Tensor | Array, dim: int) -> Tensor:
    """e^x over its sum along ``dim``.

    >>> softmax(np.zeros((1, 2)), 1).tolist()
    [[0.5, 0.5]]
    """
    return Softmax(dim)(input)


def log_softmax(input: Tensor | Array, dim: int) -> Tensor:
    """The logarithm of :func:`softmax`, which never overflows.

    >>> log_softmax(np.array([[1000.0, 0.0]]), 1).tolist()
    [[0.0, -1000.0]]
    """
    return LogSoftmax(dim)(input)


class ReLU(Module):
    """max(x, 0), NaN where x is NaN. ``inplace`` is accepted for PyTorch's sake; tensors never change.

    >>> from fastconv import nn
    >>> nn.ReLU().eval()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return input.relu()

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Sigmoid(Module):
    """1 / (1 + e^-x).

    >>> from fastconv import nn
    >>> nn.Sigmoid().eval()(np.zeros(1))
    array([0.5])
    """

    def forward(self, input: Tensor) -> Tensor:
        return input.sigmoid()


class Tanh(Module):
    """The hyperbolic tangent.

    >>> from fastconv import nn
    >>> nn.Tanh().eval()(np.zeros(1))
    array([0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return input.tanh()
