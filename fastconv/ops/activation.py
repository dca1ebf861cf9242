# SPDX-License-Identifier: BSD-3-Clause
"""Activations, element by element, each with its gradient next to it: PyTorch's names, defaults and formulas.
The error function and GELU are in gelu.py, softmax in softmax.py.

All take float32 or float64 arrays of any shape, stored in any way, or images in the native layout, and return the like;
those without `out` take arrays only. NaN stays NaN. The gradients are with respect to x of sum(grad_output * f(x)), and
take x, or, where the docstring says so, y = f(x). Raises TypeError for what is no such array or number, ShapeError
where grad_output has another shape than x, ValueError for a number out of range.

out, as in ops.relu, is where to write the result: of x's shape, dtype and strides. It may be x itself.
"""

import math
from typing import Any

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import Array, float_array, number, same_dtype
from fastconv.ops.act import Images, elementwise

#: alpha and scale of selu: the fixed point of mean 0 and variance 1.
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def _backward(kernel: str, grad_output: Images, x: Images, out: Images | None, p: float = 0.0, q: float = 0.0,
              name: str = "x") -> Images:  # fmt: skip
    return elementwise(kernel + "_backward", grad_output, x, "grad_output", name, out, p, q)


def _any_number(name: str, value: object) -> float:
    return number(name, value, -math.inf)


# ---- Piecewise linear ------------------------------------------------------------------------------------


def relu6(x: Images, *, out: Images | None = None) -> Images:
    """min(max(x, 0), 6).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.relu6(np.array([-1.0, 2.0, 8.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    return elementwise("clip", x, None, "x", "", out, 0.0, 6.0)


def relu6_backward(grad_output: Images, x: Images, *, out: Images | None = None) -> Images:
    """grad_output where 0 < x < 6, else 0.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.relu6_backward(np.ones(3), np.array([0.0, 2.0, 6.0])).tolist()
    [0.0, 1.0, 0.0]
    """
    return _backward("clip", grad_output, x, out, 0.0, 6.0)


def leaky_relu(x: Images, negative_slope: float = 0.01, *, out: Images | None = None) -> Images:
    """x where x > 0, else negative_slope * x.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.leaky_relu(np.array([-2.0, 2.0]), 0.5).tolist()
    [-1.0, 2.0]
    """
    return elementwise("leaky_relu", x, None, "x", "", out, _any_number("negative_slope", negative_slope))


def leaky_relu_backward(
    grad_output: Images, x: Images, negative_slope: float = 0.01, *, out: Images | None = None
) -> Images:
    """grad_output where x > 0, else negative_slope * grad_output.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.leaky_relu_backward(np.ones(2), np.array([-2.0, 2.0]), 0.5).tolist()
    [0.5, 1.0]
    """
    return _backward("leaky_relu", grad_output, x, out, _any_number("negative_slope", negative_slope))


def prelu(x: Array, weight: Array) -> Array:
    """x where x > 0, else weight * x.

    x: (N, C, ...), or (C,). weight: (1,) for all, or (C,), a slope for each channel. Returns x's shape and dtype.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.prelu(np.array([[-2.0, -2.0, 2.0]]), np.array([0.5, 1.0, 0.0])).tolist()
    [[-1.0, -2.0, 2.0]]
    """
    x, slopes = _slopes(x, weight)
    return np.where(x > 0, x, slopes * x)


def prelu_backward(grad_output: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    """(dx, dweight): dx is grad_output where x > 0, else weight * grad_output; dweight sums grad_output * x elsewhere.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> dx, dweight = ops.prelu_backward(np.ones((1, 2)), np.array([[-2.0, 3.0]]), np.array([0.5]))
    >>> dx.tolist(), dweight.tolist()
    ([[0.5, 1.0]], [-2.0])
    """
    x, slopes = _slopes(x, weight)
    grad = float_array("grad_output", grad_output)
    same_dtype(x=x, grad_output=grad)
    if grad.shape != x.shape:
        raise ShapeError(f"grad_output must have the shape of x {x.shape}, got {grad.shape}")
    positive = x > 0
    parts = np.where(positive, 0, grad * x)
    axes = None if slopes.size == 1 else tuple(i for i in range(x.ndim) if i != _channel_axis(x))
    dweight = parts.sum(axes, dtype=np.float64).reshape(-1).astype(x.dtype)
    return np.where(positive, grad, slopes * grad), dweight


def _channel_axis(x: Array) -> int:
    return min(x.ndim - 1, 1)


def _slopes(x: Any, weight: Any) -> tuple[Array, Array]:
    """x, and the weight in a shape that it can be multiplied with."""
    x, weight = float_array("x", x), float_array("weight", weight)
    same_dtype(x=x, weight=weight)
    if weight.ndim != 1 or (weight.size != 1 and (x.ndim == 0 or weight.size != x.shape[_channel_axis(x)])):
        raise ShapeError(f"weight must be (1,) or have one number per channel of x {x.shape}, got shape {weight.shape}")
    shape = [1] * x.ndim
    if weight.size > 1:
        shape[_channel_axis(x)] = -1
    return x, weight.reshape(shape)


def hardsigmoid(x: Images, *, out: Images | None = None) -> Images:
    """min(max(x + 3, 0), 6) / 6.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.hardsigmoid(np.array([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return elementwise("hardsigmoid", x, None, "x", "", out)


def hardsigmoid_backward(grad_output: Images, x: Images, *, out: Images | None = None) -> Images:
    """grad_output / 6 where -3 < x < 3, else 0.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.hardsigmoid_backward(np.array([6.0, 6.0]), np.array([0.0, 3.0])).tolist()
    [1.0, 0.0]
    """
    return _backward("hardsigmoid", grad_output, x, out)


def hardswish(x: Images, *, out: Images | None = None) -> Images:
    """x * hardsigmoid(x).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.hardswish(np.array([-4.0, 0.0, 4.0])).tolist()
    [-0.0, 0.0, 4.0]
    """
    return elementwise("hardswish", x, None, "x", "", out)


def hardswish_backward(grad_output: Images, x: Images, *, out: Images | None = None) -> Images:
    """grad_output * (x / 3 + 1/2) where -3 < x < 3; 0 below, grad_output above.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.hardswish_backward(np.ones(3), np.array([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return _backward("hardswish", grad_output, x, out)


# ---- Exponential -----------------------------------------------------------------------------------------


def elu(x: Images, alpha: float = 1.0, *, out: Images | None = None) -> Images:
    """x where x > 0, else alpha * (e^x - 1), without cancellation near 0.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.elu(np.array([-np.inf, 0.0, 2.0]), 0.5).tolist()
    [-0.5, 0.0, 2.0]
    """
    return elementwise("elu", x, None, "x", "", out, _any_number("alpha", alpha), 1.0)


def elu_backward(grad_output: Images, x: Images, alpha: float = 1.0, *, out: Images | None = None) -> Images:
    """grad_output where x > 0, else grad_output * alpha * e^x.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.elu_backward(np.ones(3), np.array([-np.inf, 0.0, 2.0]), 0.5).tolist()
    [0.0, 0.5, 1.0]
    """
    return _backward("elu", grad_output, x, out, _any_number("alpha", alpha), 1.0)


def selu(x: Images, *, out: Images | None = None) -> Images:
    """1.0507... * (x where x > 0, else 1.6733... * (e^x - 1)), which keeps mean 0 and variance 1.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.selu(np.array([-np.inf, 0.0, 1.0])).round(4).tolist()
    [-1.7581, 0.0, 1.0507]
    """
    return elementwise("elu", x, None, "x", "", out, SELU_ALPHA * SELU_SCALE, SELU_SCALE)


def selu_backward(grad_output: Images, x: Images, *, out: Images | None = None) -> Images:
    """grad_output * 1.0507... * (1 where x > 0, else 1.6733... * e^x).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.selu_backward(np.ones(2), np.array([0.0, 1.0])).round(4).tolist()
    [1.7581, 1.0507]
    """
    return _backward("elu", grad_output, x, out, SELU_ALPHA * SELU_SCALE, SELU_SCALE)


def sigmoid(x: Images, *, out: Images | None = None) -> Images:
    """1 / (1 + e^-x), accurate on both sides.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.sigmoid(np.array([-np.inf, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return elementwise("sigmoid", x, None, "x", "", out)


def sigmoid_backward(grad_output: Images, y: Images, *, out: Images | None = None) -> Images:
    """grad_output * y * (1 - y), y = sigmoid(x).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.sigmoid_backward(np.array([4.0]), np.array([0.5])).tolist()
    [1.0]
    """
    return _backward("sigmoid", grad_output, y, out, name="y")


def silu(x: Images, *, out: Images | None = None) -> Images:
    """x * sigmoid(x), also known as swish.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.silu(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [-0.0, 0.0, 1000.0]
    """
    return elementwise("silu", x, None, "x", "", out)


def silu_backward(grad_output: Images, x: Images, *, out: Images | None = None) -> Images:
    """grad_output * s * (1 + x * (1 - s)), s = sigmoid(x).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.silu_backward(np.ones(1), np.zeros(1)).tolist()
    [0.5]
    """
    return _backward("silu", grad_output, x, out)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.tanh(np.array([-np.inf, 0.0, 100.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return np.asarray(np.tanh(float_array("x", x)))


def tanh_backward(grad_output: Images, y: Images, *, out: Images | None = None) -> Images:
    """grad_output * (1 - y^2), y = tanh(x).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.tanh_backward(np.array([2.0]), np.array([0.5])).tolist()
    [1.5]
    """
    return _backward("tanh", grad_output, y, out, name="y")


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + e^(beta x)) / beta, and x itself where beta * x > threshold.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.softplus(np.array([-1000.0, 0.0, 1000.0])).round(6).tolist()
    [0.0, 0.693147, 1000.0]
    """
    x, beta, threshold = float_array("x", x), _nonzero("beta", beta), _any_number("threshold", threshold)
    scaled = x * beta
    y = np.asarray(np.abs(scaled))
    np.log1p(np.exp(np.negative(y, out=y), out=y), out=y)    # never overflows
    y += np.maximum(scaled, 0)
    y /= beta
    np.copyto(y, x, where=scaled > threshold)
    return y


def softplus_backward(
    grad_output: Images, x: Images, beta: float = 1.0, threshold: float = 20.0, *, out: Images | None = None
) -> Images:
    """grad_output * sigmoid(beta x), and grad_output itself where beta * x > threshold.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.softplus_backward(np.ones(2), np.array([0.0, 1000.0])).tolist()
    [0.5, 1.0]
    """
    return _backward("softplus", grad_output, x, out, _nonzero("beta", beta), _any_number("threshold", threshold))


def _nonzero(name: str, value: object) -> float:
    result = _any_number(name, value)
    if not result:
        raise ValueError(f"{name} must not be 0: the result is divided by it")
    return result


def softsign(x: Images, *, out: Images | None = None) -> Images:
    """x / (1 + |x|).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.softsign(np.array([-1.0, 0.0, 3.0])).tolist()
    [-0.5, 0.0, 0.75]
    """
    return elementwise("softsign", x, None, "x", "", out)


def softsign_backward(grad_output: Images, x: Images, *, out: Images | None = None) -> Images:
    """grad_output / (1 + |x|)^2.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.softsign_backward(np.ones(2), np.array([-1.0, 0.0])).tolist()
    [0.25, 1.0]
    """
    return _backward("softsign", grad_output, x, out)


def exponential(x: Array) -> Array:
    """e^x, Keras's activation of this name; an overflow gives inf without a warning.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.exponential(np.array([-np.inf, 0.0, 1000.0])).tolist()
    [0.0, 1.0, inf]
    """
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(float_array("x", x)))


def exponential_backward(grad_output: Array, y: Array) -> Array:
    """grad_output * y, y = exponential(x).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.exponential_backward(np.array([3.0]), np.array([2.0])).tolist()
    [6.0]
    """
    grad, y = float_array("grad_output", grad_output), float_array("y", y)
    same_dtype(grad_output=grad, y=y)
    if grad.shape != y.shape:
        raise ShapeError(f"grad_output must have the shape of y {y.shape}, got {grad.shape}")
    return np.asarray(grad * y)
