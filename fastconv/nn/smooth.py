# SPDX-License-Identifier: BSD-3-Clause
"""Smooth activations, and activations by their names in Keras; formulas in fastconv/ops/activation.py and gelu.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastconv.autograd import Tensor, as_tensor
from fastconv.nn._common import Array, number
from fastconv.nn.activation import (
    Activate,
    ActivateKeepingResult,
    InPlace,
    hardsigmoid,
    leaky_relu,
    log_softmax,
    relu,
    relu6,
    softmax,
)
from fastconv.nn.module import Module
from fastconv.ops._check import flag, word
from fastconv.ops.gelu import GELU_KERNELS


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


def elu(input: Tensor | Array, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """:func:`fastconv.ops.elu` on tensors.

    >>> elu(np.array([-1000.0, 2.0]), 0.5).tolist()
    [-0.5, 2.0]
    """
    return Activate("elu", alpha)(as_tensor(input))


def selu(input: Tensor | Array, inplace: bool = False) -> Tensor:
    """:func:`fastconv.ops.selu` on tensors.

    >>> selu(np.zeros(1)).tolist()
    [0.0]
    """
    return Activate("selu")(as_tensor(input))


def gelu(input: Tensor | Array, approximate: str = "none") -> Tensor:
    """:func:`fastconv.ops.gelu` on tensors.

    >>> gelu(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [-0.0, 0.0, 1000.0]
    """
    return Activate("gelu", approximate)(as_tensor(input))


def silu(input: Tensor | Array, inplace: bool = False) -> Tensor:
    """:func:`fastconv.ops.silu` on tensors.

    >>> silu(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [-0.0, 0.0, 1000.0]
    """
    return Activate("silu")(as_tensor(input))


def softplus(input: Tensor | Array, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """:func:`fastconv.ops.softplus` on tensors.

    >>> softplus(np.array([-1000.0, 1000.0])).tolist()
    [0.0, 1000.0]
    """
    return Activate("softplus", beta, threshold)(as_tensor(input))


def softsign(input: Tensor | Array) -> Tensor:
    """:func:`fastconv.ops.softsign` on tensors.

    >>> softsign(np.array([3.0])).tolist()
    [0.75]
    """
    return Activate("softsign")(as_tensor(input))


def erf(input: Tensor | Array) -> Tensor:
    """:func:`fastconv.ops.erf` on tensors.

    >>> erf(np.array([0.0, 10.0])).tolist()
    [0.0, 1.0]
    """
    return Activate("erf")(as_tensor(input))


def exponential(input: Tensor | Array) -> Tensor:
    """e^x: :func:`fastconv.ops.exponential` on tensors.

    >>> exponential(np.zeros(1)).tolist()
    [1.0]
    """
    return ActivateKeepingResult("exponential")(as_tensor(input))


# ---- Layers ----------------------------------------------------------------------------------------------


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


class ELU(Module):
    """x where x > 0, else alpha * (e^x - 1).

    >>> from fastconv import nn
    >>> nn.ELU(0.5).eval()(np.array([-1000.0, 2.0]))
    array([-0.5,  2. ])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = number("alpha", alpha, -np.inf)
        self.inplace = flag("inplace", inplace)

    def forward(self, input: Tensor) -> Tensor:
        return elu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class SELU(InPlace):
    """A scaled ELU that keeps mean 0 and variance 1.

    >>> from fastconv import nn
    >>> nn.SELU().eval()(np.zeros(1))
    array([0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return selu(input)


class GELU(Module):
    """x times the cumulative normal distribution at x; approximate: "none", or "tanh" for an approximation by it.

    >>> from fastconv import nn
    >>> nn.GELU().eval()(np.array([-1.0, 1.0])).round(4)
    array([-0.1587,  0.8413])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = word("approximate", approximate, GELU_KERNELS)

    def forward(self, input: Tensor) -> Tensor:
        return gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(InPlace):
    """x * sigmoid(x), also known as swish.

    >>> from fastconv import nn
    >>> nn.SiLU().eval()(np.array([1.0])).round(4)
    array([0.7311])
    """

    def forward(self, input: Tensor) -> Tensor:
        return silu(input)


class Softplus(Module):
    """log(1 + e^(beta x)) / beta, and x itself where beta * x > threshold.

    >>> from fastconv import nn
    >>> nn.Softplus().eval()(np.zeros(1)).round(4)
    array([0.6931])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = number("beta", beta, -np.inf), number("threshold", threshold, -np.inf)
        if not self.beta:
            raise ValueError("beta must not be 0: the result is divided by it")

    def forward(self, input: Tensor) -> Tensor:
        return softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Module):
    """x / (1 + |x|).

    >>> from fastconv import nn
    >>> nn.Softsign().eval()(np.array([3.0]))
    array([0.75])
    """

    def forward(self, input: Tensor) -> Tensor:
        return softsign(input)


#: Keras's names; softmax is along the last axis.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": elu, "exponential": exponential, "gelu": gelu, "hard_sigmoid": hardsigmoid, "leaky_relu": leaky_relu,
    "linear": as_tensor, "log_softmax": lambda x: log_softmax(x, -1), "relu": relu, "relu6": relu6, "selu": selu,
    "sigmoid": sigmoid, "silu": silu, "softmax": lambda x: softmax(x, -1), "softplus": softplus,
    "softsign": softsign, "swish": silu, "tanh": tanh,
}


class Activation(Module):
    """An activation by its name in Keras: "relu", "exponential" (e^x), "linear" (x itself), "softmax" (last axis), ...

    >>> from fastconv import nn
    >>> nn.Activation("exponential").eval()(np.zeros(1))
    array([1.])
    """

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.activation = word("activation", activation, ACTIVATIONS)

    def forward(self, input: Tensor) -> Tensor:
        return ACTIVATIONS[self.activation](input)

    def extra_repr(self) -> str:
        return repr(self.activation)
