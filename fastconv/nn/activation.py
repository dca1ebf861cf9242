# SPDX-License-Identifier: BSD-3-Clause
"""Activations made of straight lines, softmax, and the operation on the tape that all activations share.

The smooth ones are in smooth.py; formulas, gradients and accuracy in fastconv/ops/activation.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import ops
from fastconv.autograd import Function, Tensor, Value, as_tensor
from fastconv.nn._common import Array, count, float_type, number
from fastconv.nn.module import Module
from fastconv.nn.parameter import Parameter
from fastconv.ops._check import flag

#: Those that are 0 at 0, so that the padding of a block of channels stays 0, and have kernels.
NATIVE = {"relu6", "leaky_relu", "hardswish", "elu", "selu", "silu", "gelu", "softsign"}


class Activate(Function):
    """ops.NAME(x, *options) with ops.NAME_backward, which takes x."""

    def __init__(self, name: str, *options: Any) -> None:
        self.name, self.options = name, options
        self.native = name in NATIVE

    def forward(self, x: Value) -> Value:
        self.save(x)
        y: Value = getattr(ops, self.name)(x, *self.options)
        return y

    def backward(self, grad: Value) -> Value:
        (x,) = self.saved
        dx: Value = getattr(ops, self.name + "_backward")(
            grad, x, *self.options, out=grad if self.owns_grad else None
        )
        return dx


class ActivateKeepingResult(Function):
    """ops.NAME(x, *options) with ops.NAME_backward, which takes the result."""

    def __init__(self, name: str, *options: Any) -> None:
        self.name, self.options = name, options

    def forward(self, x: Array) -> Array:
        y: Array = getattr(ops, self.name)(x, *self.options)
        self.save(y)
        return y

    def backward(self, grad: Array) -> Array:
        (y,) = self.saved
        dx: Array = getattr(ops, self.name + "_backward")(grad, y, *self.options)
        return dx


class ParametricReLU(Function):
    """ops.prelu with ops.prelu_backward."""

    def forward(self, x: Array, weight: Array) -> Array:
        self.save(x, weight)
        return ops.prelu(x, weight)

    def backward(self, grad: Array) -> tuple[Array, Array]:
        return ops.prelu_backward(grad, *self.saved)


# ---- Functions -------------------------------------------------------------------------------------------


def relu(input: Tensor | Array, inplace: bool = False) -> Tensor:
    """max(x, 0), NaN where x is NaN.

    >>> relu(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return as_tensor(input).relu()


def relu6(input: Tensor | Array, inplace: bool = False) -> Tensor:
    """:func:`fastconv.ops.relu6` on tensors.

    >>> relu6(np.array([-1.0, 8.0])).tolist()
    [0.0, 6.0]
    """
    return Activate("relu6")(as_tensor(input))


def leaky_relu(input: Tensor | Array, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """:func:`fastconv.ops.leaky_relu` on tensors.

    >>> leaky_relu(np.array([-2.0, 2.0]), 0.5).tolist()
    [-1.0, 2.0]
    """
    return Activate("leaky_relu", negative_slope)(as_tensor(input))


def prelu(input: Tensor | Array, weight: Tensor | Array) -> Tensor:
    """:func:`fastconv.ops.prelu` on tensors.

    >>> prelu(np.array([-2.0, 2.0]), np.array([0.5])).tolist()
    [-1.0, 2.0]
    """
    return ParametricReLU()(as_tensor(input), as_tensor(weight, "weight"))


def hardsigmoid(input: Tensor | Array, inplace: bool = False) -> Tensor:
    """:func:`fastconv.ops.hardsigmoid` on tensors.

    >>> hardsigmoid(np.array([-3.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    return Activate("hardsigmoid")(as_tensor(input))


def hardswish(input: Tensor | Array, inplace: bool = False) -> Tensor:
    """:func:`fastconv.ops.hardswish` on tensors.

    >>> hardswish(np.array([0.0, 4.0])).tolist()
    [0.0, 4.0]
    """
    return Activate("hardswish")(as_tensor(input))


def softmax(input: Tensor | Array, dim: int) -> Tensor:
    """e^x / sum(e^x) along an axis.

    >>> softmax(np.zeros((1, 2)), 1).tolist()
    [[0.5, 0.5]]
    """
    return ActivateKeepingResult("softmax", dim)(as_tensor(input))


def log_softmax(input: Tensor | Array, dim: int) -> Tensor:
    """The logarithm of :func:`softmax`, which never overflows.

    >>> log_softmax(np.array([[1000.0, 0.0]]), 1).tolist()
    [[0.0, -1000.0]]
    """
    return ActivateKeepingResult("log_softmax", dim)(as_tensor(input))


# ---- Layers ----------------------------------------------------------------------------------------------


class InPlace(Module):
    """What takes ``inplace`` for PyTorch's sake; tensors never change."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = flag("inplace", inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(InPlace):
    """max(x, 0), NaN where x is NaN. ``inplace`` is accepted for PyTorch's sake; tensors never change.

    >>> from fastconv import nn
    >>> nn.ReLU().eval()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return input.relu()


class ReLU6(InPlace):
    """min(max(x, 0), 6).

    >>> from fastconv import nn
    >>> nn.ReLU6().eval()(np.array([-1.0, 8.0]))
    array([0., 6.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return relu6(input)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope * x.

    >>> from fastconv import nn
    >>> nn.LeakyReLU(0.5).eval()(np.array([-2.0, 2.0]))
    array([-1.,  2.])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = number("negative_slope", negative_slope, -np.inf)
        self.inplace = flag("inplace", inplace)

    def forward(self, input: Tensor) -> Tensor:
        return leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class PReLU(Module):
    """x where x > 0, else weight * x, with a slope for all channels, or for each of num_parameters, that is learned.

    weight: (num_parameters,), at first all ``init``.

    >>> from fastconv import nn
    >>> nn.PReLU().eval()(np.array([-2.0, 2.0], np.float32))
    array([-0.5,  2. ], dtype=float32)
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = count("num_parameters", num_parameters)
        self.init = number("init", init, -np.inf)
        self.weight = Parameter(np.full(self.num_parameters, self.init, float_type(dtype)))

    def reset_parameters(self) -> None:
        """All slopes ``init`` again."""
        self.weight.copy_(np.full(self.num_parameters, self.init))

    def forward(self, input: Tensor) -> Tensor:
        return prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Hardsigmoid(InPlace):
    """min(max(x + 3, 0), 6) / 6.

    >>> from fastconv import nn
    >>> nn.Hardsigmoid().eval()(np.array([-3.0, 0.0]))
    array([0. , 0.5])
    """

    def forward(self, input: Tensor) -> Tensor:
        return hardsigmoid(input)


class Hardswish(InPlace):
    """x * hardsigmoid(x).

    >>> from fastconv import nn
    >>> nn.Hardswish().eval()(np.array([0.0, 4.0]))
    array([0., 4.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return hardswish(input)


class _Along(Module):
    """dim: the axis; None is PyTorch's old rule, 0 for 0, 1 and 3 axes, else 1."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def axis(self, input: Tensor) -> Any:
        return (0 if input.ndim in (0, 1, 3) else 1) if self.dim is None else self.dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Along):
    """e^x / sum(e^x) along the axis ``dim``; without one 0 if there are 0, 1 or 3 axes, else 1.

    >>> from fastconv import nn
    >>> nn.Softmax(1).eval()(np.zeros((1, 2)))
    array([[0.5, 0.5]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return softmax(input, self.axis(input))


class LogSoftmax(_Along):
    """The logarithm of Softmax, which never overflows.

    >>> from fastconv import nn
    >>> nn.LogSoftmax(1).eval()(np.array([[1000.0, 0.0]]))
    array([[    0., -1000.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return log_softmax(input, self.axis(input))
