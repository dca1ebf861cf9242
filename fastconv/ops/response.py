# SPDX-License-Identifier: BSD-3-Clause
"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3), and its gradient.

    y = x d^-beta,   d = k + alpha / size * (sum of x^2 over the size channels around it, those that exist)

With g the gradient of y, dx = g d^-beta - 2 alpha beta / size * x * (sum of g x d^(-beta - 1) over x's windows).
"""

from typing import Any

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import Array, float_array, integer, number, same_dtype


def local_response_norm(x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """x / (k + alpha * mean of x^2 over size neighbouring channels)^beta; channels beyond the ends count as 0.

    x: (N, C, ...), float32 or float64, with at least one spatial axis. size: channels of a window, of which
    size // 2 lie before its own.

    Returns a new array of x's shape and dtype. Raises TypeError for a wrong kind, ShapeError for fewer axes,
    ValueError for a number out of range.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.local_response_norm(np.array([[[1.0], [2.0]]]), 2, alpha=2.0, beta=1.0).ravel().round(4).tolist()
    [0.5, 0.3333]
    """
    x, size, alpha, beta, k = _checked(x, size, alpha, beta, k)
    y = _divisor(x, size, alpha, k)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.power(y, -beta, out=y)
        y *= x
    return y


def local_response_norm_backward(
    grad_output: Array, x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    """The gradient of sum(grad_output * local_response_norm(x, ...)) with respect to x.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.array([[[1.0], [2.0]]])
    >>> ops.local_response_norm_backward(np.ones((1, 2, 1)), x, 1, alpha=1.0, beta=1.0).ravel().tolist()
    [0.0, -0.12]
    """
    x, size, alpha, beta, k = _checked(x, size, alpha, beta, k)
    grad = float_array("grad_output", grad_output)
    same_dtype(x=x, grad_output=grad)
    if grad.shape != x.shape:
        raise ShapeError(f"grad_output must have the shape of x {x.shape}, got {grad.shape}")
    d = _divisor(x, size, alpha, k)
    with np.errstate(divide="ignore", invalid="ignore"):
        dx = np.power(d, -beta)
        dx *= grad
        spread = np.multiply(dx, x)
        spread /= d
        sums = _window_sums(spread, size, (size - 1) // 2)
        sums *= x
        sums *= 2 * alpha * beta / size
        dx -= sums
    return dx


def _checked(x: Any, size: object, alpha: object, beta: object, k: object) -> tuple[Array, int, float, float, float]:
    x = float_array("x", x)
    if x.ndim < 3:
        raise ShapeError(f"x must be (N, C, ...) with at least one spatial axis, got shape {x.shape}")
    return x, integer("size", size, 1), number("alpha", alpha), number("beta", beta), number("k", k)


def _divisor(x: Array, size: int, alpha: float, k: float) -> Array:
    d = _window_sums(x * x, size, size // 2)
    d *= alpha / size
    d += k
    return d


def _window_sums(x: Array, size: int, before: int) -> Array:
    """Sums over the channels from `before` of each to size - 1 after that."""
    channels = x.shape[1]
    sums = x.copy()
    for shift in range(max(-before, 1 - channels), min(size - before, channels)):
        if shift < 0:
            sums[:, -shift:] += x[:, :shift]
        elif shift > 0:
            sums[:, :-shift] += x[:, shift:]
    return sums
