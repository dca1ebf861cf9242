# SPDX-License-Identifier: BSD-3-Clause
"""Power-average pooling, the p-norm of every window, and its gradient.

    y = (sum over the window of x^p)^(1/p),    dx = sum over the windows of grad_output * y^(1 - p) * x^(p - 1)

Where the sum is 0, so is its gradient, as in PyTorch. x^p is not |x|^p: with odd p negative pixels count negative, and
a negative sum has no root, NaN. p = inf is the maximum of |x|, p = -inf its minimum.

A window that ceil_mode lets reach beyond the image counts as full: its sum is multiplied by the size of the window over
the number of its pixels that exist. This, too, is PyTorch's rule.
"""

import math
from typing import Any

import numpy as np

from fastconv import _core
from fastconv.ops import _pool_runs
from fastconv.ops._check import Array, float_array, same_dtype, several, shown
from fastconv.ops._pool_calls import CeilMode, One
from fastconv.ops._shapes import IntOrPair, IntOrTriple, check_grad_output

_empty = _core.empty


def lp_pool1d(
    x: Array, norm_type: float, kernel_size: One, stride: One | None = None, ceil_mode: CeilMode = False, *,
    layout: str = "NCL",
) -> Array:  # fmt: skip
    """lp_pool2d of signals: x (N, C, L), or (N, L, C) with layout="NLC".

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.lp_pool1d(np.array([[[3.0, 4.0, 0.0, 1.0]]]), 2, 2).tolist()
    [[[5.0, 1.0]]]
    """
    return _forward(1, x, norm_type, kernel_size, stride, ceil_mode, layout)


def lp_pool2d(
    x: Array, norm_type: float, kernel_size: IntOrPair, stride: IntOrPair | None = None, ceil_mode: CeilMode = False, *,
    layout: str = "NCHW",
) -> Array:  # fmt: skip
    """(sum of x^p)^(1/p) over every window, channel by channel; p is norm_type.

    x, kernel_size, stride, ceil_mode, layout: as in max_pool2d. norm_type: a number other than 0; inf and -inf, too.

    Returns y, (N, C, OH, OW) or (N, OH, OW, C). Errors are as in max_pool2d.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.lp_pool2d(np.array([[[[3.0, 0.0], [0.0, 4.0]]]]), 2, 2).tolist()
    [[[[5.0]]]]
    """
    return _forward(2, x, norm_type, kernel_size, stride, ceil_mode, layout)


def lp_pool3d(
    x: Array, norm_type: float, kernel_size: IntOrTriple, stride: IntOrTriple | None = None,
    ceil_mode: CeilMode = False, *, layout: str = "NCDHW",
) -> Array:  # fmt: skip
    """lp_pool2d of volumes: x (N, C, D, H, W), or (N, D, H, W, C) with layout="NDHWC".

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.lp_pool3d(np.full((1, 1, 2, 2, 1), 2.0), 2, (2, 2, 1)).tolist()
    [[[[[4.0]]]]]
    """
    return _forward(3, x, norm_type, kernel_size, stride, ceil_mode, layout)


def lp_pool1d_backward(
    grad_output: Array, x: Array, norm_type: float, kernel_size: One, stride: One | None = None,
    ceil_mode: CeilMode = False, *, layout: str = "NCL",
) -> Array:  # fmt: skip
    """The gradient of sum(grad_output * lp_pool1d(x, ...)) with respect to x; see lp_pool2d_backward.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.lp_pool1d_backward(np.array([[[5.0]]]), np.array([[[3.0, 4.0]]]), 2, 2).tolist()
    [[[3.0, 4.0]]]
    """
    return _backward(1, grad_output, x, norm_type, kernel_size, stride, ceil_mode, layout)


def lp_pool2d_backward(
    grad_output: Array, x: Array, norm_type: float, kernel_size: IntOrPair, stride: IntOrPair | None = None,
    ceil_mode: CeilMode = False, *, layout: str = "NCHW",
) -> Array:  # fmt: skip
    """The gradient of sum(grad_output * lp_pool2d(x, ...)) with respect to x, of x's shape.

    grad_output: of the shape of the output, and of x's dtype. With p = inf and -inf the gradient goes to the first of
    equal extremes.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.lp_pool2d_backward(np.array([[[[5.0]]]]), np.array([[[[3.0, 0.0], [0.0, 4.0]]]]), 2, 2).tolist()
    [[[[3.0, 0.0], [0.0, 4.0]]]]
    """
    return _backward(2, grad_output, x, norm_type, kernel_size, stride, ceil_mode, layout)


def lp_pool3d_backward(
    grad_output: Array, x: Array, norm_type: float, kernel_size: IntOrTriple, stride: IntOrTriple | None = None,
    ceil_mode: CeilMode = False, *, layout: str = "NCDHW",
) -> Array:  # fmt: skip
    """The gradient of sum(grad_output * lp_pool3d(x, ...)) with respect to x; see lp_pool2d_backward.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.lp_pool3d_backward(np.ones((1, 1, 1, 1, 1)), np.ones((1, 1, 2, 2, 1)), 2, (2, 2, 1)).ravel().tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    return _backward(3, grad_output, x, norm_type, kernel_size, stride, ceil_mode, layout)


def _forward(
    axes: int, x: Any, norm_type: Any, kernel_size: Any, stride: Any, ceil_mode: Any, layout: Any
) -> Array:
    x, p = float_array("x", x), check_norm(norm_type)
    if math.isinf(p):
        pool = _pool_runs.max_pool if p > 0 else _pool_runs.min_pool
        y: Array = pool(axes, _magnitudes(x), kernel_size, stride, 0, 1, ceil_mode, False, layout)
        return y
    with np.errstate(all="ignore"):
        y = _sums(axes, x, p, kernel_size, stride, ceil_mode, layout)
        return np.power(y, 1 / p, out=y)


def _backward(
    axes: int, grad_output: Any, x: Any, norm_type: Any, kernel_size: Any, stride: Any, ceil_mode: Any, layout: Any
) -> Array:
    grad, x, p = float_array("grad_output", grad_output), float_array("x", x), check_norm(norm_type)
    same_dtype(x=x, grad_output=grad)
    if math.isinf(p):
        pool = _pool_runs.max_pool if p > 0 else _pool_runs.min_pool
        y, indices = pool(axes, _magnitudes(x), kernel_size, stride, 0, 1, ceil_mode, True, layout)
        check_grad_output(grad.shape, y.shape, layout)
        dx = _pool_runs.max_pool_backward(axes, grad, indices, x.shape, layout)
        dx *= np.sign(x)
        return dx
    with np.errstate(all="ignore"):
        sums = _sums(axes, x, p, kernel_size, stride, ceil_mode, layout)
        check_grad_output(grad.shape, sums.shape, layout)
        share = np.power(sums, 1 / p - 1)
        share *= grad
        share[sums == 0] = 0
        share *= math.prod(several("kernel_size", kernel_size, axes, 1))
        dx = _pool_runs.avg_pool_backward(axes, share, x.shape, kernel_size, stride, 0, ceil_mode, True, None, layout)
        powers = np.power(x, p - 1, out=_empty(x.shape, x.dtype))
        if p < 1:
            powers[x == 0] = 0    # not infinite: 0 has no slope to follow
        dx *= powers
        return dx


def _magnitudes(x: Array) -> Array:
    return np.abs(x, out=_empty(x.shape, x.dtype))


def _sums(axes: int, x: Array, p: float, kernel_size: Any, stride: Any, ceil_mode: Any, layout: Any) -> Array:
    """Sums of x^p over the windows, of clipped ones as if they were full."""
    powers = np.power(x, p, out=_empty(x.shape, x.dtype))
    sums = _pool_runs.avg_pool(axes, powers, kernel_size, stride, 0, ceil_mode, True, None, layout)
    sums *= math.prod(several("kernel_size", kernel_size, axes, 1))
    return sums


def check_norm(value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"norm_type must be a number, got {shown(value)}")
    if value == 0 or value != value:
        raise ValueError(f"norm_type must be a number other than 0, got {shown(value)}")
    return float(value)
