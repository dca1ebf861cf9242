# SPDX-License-Identifier: BSD-3-Clause
"""Softmax, its logarithm, and their gradients. Sums run in float64 and are rounded once."""

from typing import Any

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import MAX_EXTENT, Array, float_array, integer, same_dtype


def softmax(x: Array, dim: int) -> Array:
    """e^x / sum(e^x) along the axis dim: what is not negative and sums to 1.

    x: float32 or float64, of any shape; the largest of each row is subtracted first, so that nothing overflows.

    Returns a new array of x's shape and dtype; a row with a NaN or +inf, or of -inf alone, is NaN. Raises TypeError for
    another kind of array or axis, ShapeError where there is no such axis.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.softmax(np.array([[1000.0, 1000.0], [0.0, -np.inf]]), 1).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    x, axis = _checked(x, dim)
    with np.errstate(invalid="ignore", divide="ignore"):
        y = _less_largest(x, axis)
        np.exp(y, out=y)
        y /= _sums(y, axis)
    return y


def softmax_backward(grad_output: Array, y: Array, dim: int) -> Array:
    """The gradient of sum(grad_output * softmax(x, dim)) with respect to x: y * (grad_output - sum(grad_output * y)).

    y: softmax(x, dim).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.softmax_backward(np.array([1.0, 0.0]), np.array([0.5, 0.5]), 0).tolist()
    [0.25, -0.25]
    """
    grad, y, axis = _checked_backward(grad_output, y, dim)
    dx = np.asarray(grad * y)
    dx -= y * _sums(dx, axis)
    return dx


def log_softmax(x: Array, dim: int) -> Array:
    """The logarithm of softmax, x - log(sum(e^x)), which neither overflows nor loses small numbers.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.log_softmax(np.array([1000.0, 0.0]), 0).tolist()
    [0.0, -1000.0]
    """
    x, axis = _checked(x, dim)
    with np.errstate(invalid="ignore", divide="ignore"):
        y = _less_largest(x, axis)
        y -= np.log(_sums(np.exp(y), axis))
    return y


def log_softmax_backward(grad_output: Array, y: Array, dim: int) -> Array:
    """The gradient of sum(grad_output * log_softmax(x, dim)): grad_output - e^y * sum(grad_output).

    y: log_softmax(x, dim).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.log_softmax_backward(np.array([1.0, 0.0]), np.log(np.array([0.5, 0.5])), 0).tolist()
    [0.5, -0.5]
    """
    grad, y, axis = _checked_backward(grad_output, y, dim)
    dx = np.asarray(np.exp(y))
    dx *= _sums(grad, axis)
    np.subtract(grad, dx, out=dx)
    return dx


def _less_largest(x: Array, axis: int) -> Array:
    """A new array, x less the largest of each row."""
    y = np.empty_like(x)
    np.subtract(x, x.max(axis, keepdims=True, initial=-np.inf), out=y)
    return y


def _sums(x: Array, axis: int) -> Array:
    return np.asarray(x.sum(axis, dtype=np.float64, keepdims=True)).astype(x.dtype)


def _checked(x: Any, dim: object) -> tuple[Array, int]:
    x = float_array("x", x)
    axis = integer("dim", dim, -MAX_EXTENT)
    axes = max(x.ndim, 1)    # a number is a row of one
    if not -axes <= axis < axes:
        raise ShapeError(f"dim={axis} is no axis of x, which has shape {x.shape}: pass {-axes} to {axes - 1}")
    return x, axis


def _checked_backward(grad_output: Any, y: Any, dim: object) -> tuple[Array, Array, int]:
    y, axis = _checked(y, dim)
    grad = float_array("grad_output", grad_output)
    same_dtype(y=y, grad_output=grad)
    if grad.shape != y.shape:
        raise ShapeError(f"grad_output must have the shape of y {y.shape}, got {grad.shape}")
    return grad, y, axis
