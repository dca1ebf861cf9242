# SPDX-License-Identifier: BSD-3-Clause
"""Activations by their formulas, in float64; functions that NumPy lacks by Python's math module, number by number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.reference.windows import Array

SELU = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
SQRT_2_PI = math.sqrt(2 * math.pi)


def _float(a: Array) -> Any:
    return np.asarray(a, np.float64)


def _each(function: Callable[[float], float], a: Array) -> Any:
    return np.vectorize(function, otypes=[np.float64])(_float(a)) if np.size(a) else _float(a)


def relu6(x: Array) -> Any:
    """x between 0 and 6, else the nearer of these."""
    return np.clip(_float(x), 0, 6)


def relu6_backward(grad_output: Array, x: Array) -> Any:
    """0 outside of (0, 6)."""
    return np.where((x > 0) & (x < 6), _float(grad_output), 0)


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Any:
    """x above 0, negative_slope * x below."""
    x = _float(x)
    return np.where(x > 0, x, x * negative_slope)


def leaky_relu_backward(grad_output: Array, x: Array, negative_slope: float = 0.01) -> Any:
    """1 above 0, negative_slope below."""
    return _float(grad_output) * np.where(x > 0, 1, negative_slope)


def _along_channels(weight: Array, x: Array) -> Any:
    channels = min(x.ndim - 1, 1)
    return _float(weight).reshape([-1 if i == channels and len(weight) > 1 else 1 for i in range(x.ndim)])


def prelu(x: Array, weight: Array) -> Any:
    """leaky_relu with a slope for each channel, or for all."""
    return np.where(x > 0, _float(x), _float(x) * _along_channels(weight, x))


def prelu_backward(grad_output: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    """(dx, dweight)."""
    g, slope = _float(grad_output), _along_channels(weight, x)
    dslope = np.where(x > 0, 0, g * _float(x))
    for axis in range(x.ndim):
        if slope.shape[axis] == 1:
            dslope = dslope.sum(axis, keepdims=True)
    return np.where(x > 0, g, g * slope), dslope.reshape(-1)


def hardsigmoid(x: Array) -> Any:
    """A straight line from (-3, 0) to (3, 1)."""
    return np.clip(_float(x) + 3, 0, 6) / 6


def hardsigmoid_backward(grad_output: Array, x: Array) -> Any:
    """1/6 on that line."""
    return np.where((x > -3) & (x < 3), _float(grad_output) / 6, 0)


def hardswish(x: Array) -> Any:
    """x * hardsigmoid(x)."""
    return _float(x) * hardsigmoid(x)


def hardswish_backward(grad_output: Array, x: Array) -> Any:
    """x / 3 + 1/2 where x is between -3 and 3."""
    g, x = _float(grad_output), _float(x)
    return np.where(x <= -3, 0, np.where(x >= 3, g, g * (x / 3 + 0.5)))


def elu(x: Array, alpha: float = 1.0) -> Any:
    """x above 0, alpha * (e^x - 1) below."""
    x = _float(x)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_backward(grad_output: Array, x: Array, alpha: float = 1.0) -> Any:
    """1 above 0, alpha * e^x below."""
    return _float(grad_output) * np.where(x > 0, 1, alpha * np.exp(np.minimum(_float(x), 0)))


def selu(x: Array) -> Any:
    """elu with the alpha and the scale that keep mean 0 and variance 1."""
    return SELU[1] * elu(x, SELU[0])


def selu_backward(grad_output: Array, x: Array) -> Any:
    """The same scale times that of elu."""
    return SELU[1] * elu_backward(grad_output, x, SELU[0])


def sigmoid(x: Array) -> Any:
    """1 / (1 + e^-x)."""
    e = np.exp(-np.abs(_float(x)))
    return np.where(x < 0, e / (1 + e), 1 / (1 + e))


def sigmoid_backward(grad_output: Array, y: Array) -> Any:
    """y * (1 - y)."""
    return _float(grad_output) * _float(y) * (1 - _float(y))


def silu(x: Array) -> Any:
    """x * sigmoid(x)."""
    return _float(x) * sigmoid(x)


def silu_backward(grad_output: Array, x: Array) -> Any:
    """s + x s (1 - s), s = sigmoid(x)."""
    s = sigmoid(x)
    return _float(grad_output) * (s + _float(x) * s * (1 - s))


def tanh(x: Array) -> Any:
    """The hyperbolic tangent."""
    return _each(math.tanh, x)


def tanh_backward(grad_output: Array, y: Array) -> Any:
    """1 - y^2."""
    return _float(grad_output) * (1 - _float(y) ** 2)


def erf(x: Array) -> Any:
    """The error function."""
    return _each(math.erf, x)


def erf_backward(grad_output: Array, x: Array) -> Any:
    """2 / sqrt(pi) * e^(-x^2)."""
    return _float(grad_output) * 2 / math.sqrt(math.pi) * np.exp(-_float(x) ** 2)


def _normal(x: Array) -> Any:
    """The cumulative normal distribution; erfc keeps its tail."""
    return _each(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), x)


def gelu(x: Array, approximate: str = "none") -> Any:
    """x times the cumulative normal distribution, or the approximation by tanh."""
    x = _float(x)
    if approximate == "none":
        return x * _normal(x)
    return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def gelu_backward(grad_output: Array, x: Array, approximate: str = "none") -> Any:
    """The product rule."""
    g, x = _float(grad_output), _float(x)
    if approximate == "none":
        return g * (_normal(x) + x * np.exp(-x * x / 2) / SQRT_2_PI)
    slope = 2 * math.sqrt(2 / math.pi)
    s = sigmoid(slope * (x + 0.044715 * x**3))
    return g * (s + x * s * (1 - s) * slope * (1 + 3 * 0.044715 * x**2))


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + e^(beta x)) / beta; x where beta * x > threshold."""
    x = _float(x)
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def softplus_backward(grad_output: Array, x: Array, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """sigmoid(beta x); 1 where beta * x > threshold."""
    scaled = _float(x) * beta
    return _float(grad_output) * np.where(scaled > threshold, 1, sigmoid(scaled))


def softsign(x: Array) -> Any:
    """x / (1 + |x|)."""
    return _float(x) / (1 + np.abs(_float(x)))


def softsign_backward(grad_output: Array, x: Array) -> Any:
    """1 / (1 + |x|)^2."""
    return _float(grad_output) / (1 + np.abs(_float(x))) ** 2


def exponential(x: Array) -> Any:
    """e^x."""
    return np.exp(_float(x))


def exponential_backward(grad_output: Array, y: Array) -> Any:
    """y."""
    return _float(grad_output) * _float(y)


def softmax(x: Array, dim: int) -> Any:
    """e^x over the sum of e^x."""
    return np.exp(log_softmax(x, dim))


def softmax_backward(grad_output: Array, y: Array, dim: int) -> Any:
    """y (g - sum(g y))."""
    g, y = _float(grad_output), _float(y)
    return y * (g - (g * y).sum(dim, keepdims=True))


def log_softmax(x: Array, dim: int) -> Any:
    """x - log(sum(e^x))."""
    x = _float(x)
    return x - np.logaddexp.reduce(x, dim, keepdims=True)


def log_softmax_backward(grad_output: Array, y: Array, dim: int) -> Any:
    """g - e^y sum(g)."""
    g = _float(grad_output)
    return g - np.exp(_float(y)) * g.sum(dim, keepdims=True)
