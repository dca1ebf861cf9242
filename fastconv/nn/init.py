# SPDX-License-Identifier: BSD-3-Clause
"""Initial values, with PyTorch's names, bounds and defaults, drawn from fastconv's own generator.

Each function fills a Parameter, or a writable array, and returns it. ``fan_in`` is the number of products in
one output, ``fan_out`` the number of outputs that one input takes part in.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from fastconv.nn.parameter import Parameter
from fastconv.random import generator

__all__ = [
    "calculate_gain", "constant_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "uniform_",
    "xavier_normal_", "xavier_uniform_", "zeros_",
]

Array = np.ndarray[Any, Any]
T = TypeVar("T", Parameter, Array)

_GAINS = {
    "linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of activations behind a non-linearity.

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"nonlinearity must be one of {known}; got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def _fill(tensor: T, values: Any) -> T:
    if isinstance(tensor, Parameter):
        with tensor.writable() as array:
            array[...] = values
    else:
        tensor[...] = values
    return tensor


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, ...)."""
    if len(shape) < 2:
        raise ValueError(f"tensor must have at least 2 axes, (out, in, ...), got shape {shape}")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def _fan(shape: tuple[int, ...], mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return fans(shape)[mode == "fan_out"]


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0) -> T:
    """Uniform between a and b."""
    return _fill(tensor, generator().uniform(a, b, tensor.shape))


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0) -> T:
    """Normal."""
    return _fill(tensor, generator().normal(mean, std, tensor.shape))


def constant_(tensor: T, val: float) -> T:
    """Everywhere ``val``.

    >>> constant_(np.empty(2), 3).tolist()
    [3.0, 3.0]
    """
    return _fill(tensor, val)


def zeros_(tensor: T) -> T:
    """Everywhere 0."""
    return _fill(tensor, 0)


def ones_(tensor: T) -> T:
    """Everywhere 1."""
    return _fill(tensor, 1)


def kaiming_uniform_(tensor: T, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> T:
    """Uniform within gain * sqrt(3 / fan); ``a`` is the slope of a leaky ReLU.

    >>> bool((abs(kaiming_uniform_(np.empty((8, 6)), nonlinearity="relu")) <= 1).all())
    True
    """
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _fan(tensor.shape, mode))
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: T, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> T:
    """Normal with deviation gain / sqrt(fan)."""
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor.shape, mode)))


def xavier_uniform_(tensor: T, gain: float = 1.0) -> T:
    """Uniform within gain * sqrt(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor.shape)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: T, gain: float = 1.0) -> T:
    """Normal with deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor.shape))))


def reset_weight_and_bias(weight: Parameter, bias: Parameter | None) -> None:
    """PyTorch's default for convolutions and linear layers: both uniform within 1 / sqrt(fan_in)."""
    kaiming_uniform_(weight, math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(fans(weight.shape)[0])
        uniform_(bias, -bound, bound)
