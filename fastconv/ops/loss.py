# SPDX-License-Identifier: BSD-3-Clause
"""Losses on arrays, each with its gradient next to it; those of class indices are in class_loss.py, cross
entropy is in fastconv.nn.

x: what a network computed, float32 or float64. target: what it should have been. The terms of a loss are made one by
one in the type of x; their sum runs in float64 and is rounded once.

reduction: "mean" over the terms, "sum", or "none". grad_output, of the backward functions, has the shape of the
result. In the formulas y is the term, and t the target.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import Array, base_array, flag, float_array, same_dtype, word

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_backward", "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward", "hinge_embedding_loss", "hinge_embedding_loss_backward", "hinge_loss",
    "hinge_loss_backward", "huber_loss", "huber_loss_backward", "kl_div", "kl_div_backward", "l1_loss",
    "l1_loss_backward", "mse_loss", "mse_loss_backward", "smooth_l1_loss", "smooth_l1_loss_backward",
]

REDUCTIONS = ("none", "mean", "sum")


# ---- What they share -------------------------------------------------------------------------------------


def _both(x: Any, target: Any) -> tuple[Array, Array]:
    x, target = float_array("x", x), float_array("target", target)
    same_dtype(x=x, target=target)
    if target.shape != x.shape:
        raise ShapeError(f"target must have the shape of x {x.shape}, got {target.shape}")
    return x, target


def _signs(x: Any, target: Any) -> tuple[Array, Array]:
    """x and targets that are 1 or -1, of any type of number, in the type of x."""
    x, signs = float_array("x", x), base_array("target", target)
    if signs.shape != x.shape:
        raise ShapeError(f"target must have the shape of x {x.shape}, got {signs.shape}")
    wrong = signs[(signs != 1) & (signs != -1)]
    if wrong.size:
        raise ValueError(f"target must be 1 or -1 everywhere, got {wrong.flat[0]}")
    return x, signs.astype(x.dtype)


def _scale(name: str, value: object, x: Array) -> Array:
    """A factor for each term, spread over the shape of x; None is 1."""
    if value is None:
        return np.broadcast_to(x.dtype.type(1), x.shape)
    factors = float_array(name, value)
    same_dtype(**{"x": x, name: factors})
    try:
        return np.broadcast_to(factors, x.shape)
    except ValueError:
        raise ShapeError(f"{name} must broadcast to the shape of x {x.shape}, got {factors.shape}") from None


def real(name: str, value: object, low: float = 0.0, *, above: bool = False) -> float:
    """A finite number of at least ``low``, or above it."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not (low < value < np.inf if above else low <= value < np.inf):
        raise ValueError(f"{name} must be {'greater than' if above else 'at least'} {low:g}, got {value}")
    return float(value)


def reduced(terms: Array, reduction: str, count: float | None = None) -> Array:
    """The terms, their sum, or their sum over ``count``, by default their number; of no terms the mean is NaN."""
    if word("reduction", reduction, REDUCTIONS) == "none":
        return terms
    total = terms.sum(dtype=np.float64)
    if reduction == "mean":
        count = terms.size if count is None else count
        total = total / count if count else np.float64(np.nan)
    return np.asarray(total.astype(terms.dtype))


def arriving(
    grad_output: Any, shape: tuple[int, ...], dtype: np.dtype[Any], reduction: str, count: float | None = None
) -> Array:
    """The gradient that arrives at each term of a loss of this shape."""
    word("reduction", reduction, REDUCTIONS)
    grad = float_array("grad_output", grad_output)
    expected = shape if reduction == "none" else ()
    if grad.shape != expected:
        raise ShapeError(f"grad_output must have the shape of the loss {expected}, got {grad.shape}")
    if grad.dtype != dtype:
        raise TypeError(f"grad_output must be {dtype} as x is, got {grad.dtype}")
    if reduction == "mean":
        count = math.prod(shape) if count is None else count
        grad = np.asarray(grad / dtype.type(count)) if count else np.full_like(grad, np.nan)
    return np.broadcast_to(grad, shape)


# ---- Distances -------------------------------------------------------------------------------------------


def mse_loss(x: Array, target: Array, reduction: str = "mean") -> Array:
    """y = (x - t)^2, for x and target of one shape.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
    2.0
    """
    x, target = _both(x, target)
    return reduced(np.square(x - target), reduction)


def mse_loss_backward(grad_output: Array, x: Array, target: Array, reduction: str = "mean") -> Array:
    """The gradient for x: 2 (x - t). That for the target is its negative."""
    x, target = _both(x, target)
    return np.asarray(arriving(grad_output, x.shape, x.dtype, reduction) * x.dtype.type(2) * (x - target))


def l1_loss(x: Array, target: Array, reduction: str = "mean") -> Array:
    """y = |x - t|, for x and target of one shape.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.l1_loss(np.array([1.0, 2.0]), np.array([1.0, 5.0])).item()
    1.5
    """
    x, target = _both(x, target)
    return reduced(np.abs(x - target), reduction)


def l1_loss_backward(grad_output: Array, x: Array, target: Array, reduction: str = "mean") -> Array:
    """The gradient for x: the sign of x - t, 0 at 0. That for the target is its negative."""
    x, target = _both(x, target)
    return np.asarray(arriving(grad_output, x.shape, x.dtype, reduction) * np.sign(x - target))


def smooth_l1_loss(x: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> Array:
    """y = d^2 / (2 beta) where d = |x - t| is below beta, else d - beta / 2; beta = 0 is :func:`l1_loss`.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.smooth_l1_loss(np.array([0.0, 3.0]), np.array([1.0, 0.0]), "none").tolist()
    [0.5, 2.5]
    """
    x, target = _both(x, target)
    beta = real("beta", beta)
    if beta == 0:
        return l1_loss(x, target, reduction)
    d, b = np.abs(x - target), x.dtype.type(beta)
    half = x.dtype.type(0.5)
    return reduced(np.where(d < b, half * d * d / b, d - half * b), reduction)


def smooth_l1_loss_backward(
    grad_output: Array, x: Array, target: Array, reduction: str = "mean", beta: float = 1.0
) -> Array:
    """The gradient for x: (x - t) / beta, no larger than 1. That for the target is its negative."""
    x, target = _both(x, target)
    beta = real("beta", beta)
    if beta == 0:
        return l1_loss_backward(grad_output, x, target, reduction)
    d, b = x - target, x.dtype.type(beta)
    slope = np.where(np.abs(d) < b, d / b, np.sign(d))
    return np.asarray(arriving(grad_output, x.shape, x.dtype, reduction) * slope)


def huber_loss(x: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    """y = d^2 / 2 where d = |x - t| is at most delta, else delta (d - delta / 2); delta times :func:`smooth_l1_loss`.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.huber_loss(np.array([1.0, 3.0]), np.array([0.0, 0.0]), "none", 2.0).tolist()
    [0.5, 4.0]
    """
    x, target = _both(x, target)
    top, half = x.dtype.type(real("delta", delta, above=True)), x.dtype.type(0.5)
    d = np.abs(x - target)
    return reduced(np.where(d <= top, half * d * d, top * (d - half * top)), reduction)


def huber_loss_backward(
    grad_output: Array, x: Array, target: Array, reduction: str = "mean", delta: float = 1.0
) -> Array:
    """The gradient for x: x - t, no larger than delta. That for the target is its negative."""
    x, target = _both(x, target)
    top = x.dtype.type(real("delta", delta, above=True))
    slope = np.clip(x - target, -top, top)
    return np.asarray(arriving(grad_output, x.shape, x.dtype, reduction) * slope)


# ---- Probabilities ---------------------------------------------------------------------------------------


def binary_cross_entropy(x: Array, target: Array, weight: Array | None = None, reduction: str = "mean") -> Array:
    """y = -weight (t log(x) + (1 - t) log(1 - x)) of probabilities x; a logarithm counts as -100 at least.

    weight: of a shape that broadcasts to that of x. ValueError where x is not between 0 and 1.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> round(ops.binary_cross_entropy(np.array([0.5]), np.array([1.0])).item(), 6)
    0.693147
    """
    x, target = _both(x, target)
    _check_probabilities(x)
    one, low = x.dtype.type(1), x.dtype.type(-100)
    with np.errstate(divide="ignore"):
        terms = (target - one) * np.maximum(np.log1p(-x), low) - target * np.maximum(np.log(x), low)
    return reduced(terms * _scale("weight", weight, x), reduction)


def binary_cross_entropy_backward(
    grad_output: Array, x: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """The gradient for x: weight (x - t) / (x (1 - x)), where the divisor counts as 1e-12 at least."""
    x, target = _both(x, target)
    _check_probabilities(x)
    slope = (x - target) / np.maximum((x.dtype.type(1) - x) * x, x.dtype.type(1e-12))
    return np.asarray(arriving(grad_output, x.shape, x.dtype, reduction) * slope * _scale("weight", weight, x))


def _check_probabilities(x: Array) -> None:
    wrong = x[(x < 0) | (x > 1)]
    if wrong.size:
        raise ValueError(f"x must hold probabilities between 0 and 1, got {wrong.flat[0]}: apply a sigmoid, "
                         "or take the loss with logits")


def binary_cross_entropy_with_logits(
    x: Array, target: Array, weight: Array | None = None, reduction: str = "mean", pos_weight: Array | None = None
) -> Array:
    """y = -weight (pos_weight t log(s(x)) + (1 - t) log(1 - s(x))), s the sigmoid; it never overflows.

    weight, pos_weight: of shapes that broadcast to that of x.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.binary_cross_entropy_with_logits(np.array([1000.0]), np.array([0.0])).item()
    1000.0
    """
    x, target = _both(x, target)
    one, zero = x.dtype.type(1), x.dtype.type(0)
    # -log(s(x)) = log(1 + e^-x) = max(-x, 0) + log(1 + e^-|x|), and -log(1 - s(x)) is x more.
    surprise = np.maximum(-x, zero) + np.log1p(np.exp(-np.abs(x)))
    share = one + (_scale("pos_weight", pos_weight, x) - one) * target
    with np.errstate(invalid="ignore"):    # NaN of an infinite logit
        terms = (one - target) * x + share * surprise
    return reduced(terms * _scale("weight", weight, x), reduction)


def binary_cross_entropy_with_logits_backward(
    grad_output: Array, x: Array, target: Array, weight: Array | None = None, reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Array:
    """The gradient for x: weight ((1 - t) s(x) - pos_weight t (1 - s(x))), s the sigmoid."""
    x, target = _both(x, target)
    one = x.dtype.type(1)
    e = np.exp(-np.abs(x))
    s, rest = np.where(x >= 0, one, e) / (one + e), np.where(x >= 0, e, one) / (one + e)    # s(x), 1 - s(x)
    s = np.where(np.isnan(x), x, s)
    slope = (one - target) * s - _scale("pos_weight", pos_weight, x) * target * rest
    return np.asarray(arriving(grad_output, x.shape, x.dtype, reduction) * slope * _scale("weight", weight, x))


def kl_div(x: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Array:
    """y = t (log(t) - x), the divergence of probabilities t from those whose logarithms are x; 0 log(0) is 0.

    log_target: the target holds logarithms too, y = e^t (t - x).
    reduction: also "batchmean", the sum over the extent of the first axis: the divergence as it is defined.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> round(ops.kl_div(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]]), "batchmean").item(), 6)
    0.693147
    """
    x, target = _both(x, target)
    reduction, count = _batch_mean(x, reduction)
    if flag("log_target", log_target):
        return reduced(np.exp(target) * (target - x), reduction, count)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.where(target == 0, target, target * np.log(target))
    return reduced(entropy - target * x, reduction, count)


def kl_div_backward(
    grad_output: Array, x: Array, target: Array, reduction: str = "mean", log_target: bool = False
) -> Array:
    """The gradient for x: -t, or -e^t with ``log_target``."""
    x, target = _both(x, target)
    reduction, count = _batch_mean(x, reduction)
    p = np.exp(target) if flag("log_target", log_target) else target
    return np.asarray(-p * arriving(grad_output, x.shape, x.dtype, reduction, count))


def _batch_mean(x: Array, reduction: str) -> tuple[str, float | None]:
    word("reduction", reduction, (*REDUCTIONS, "batchmean"))
    return ("mean", x.shape[0] if x.ndim else 1) if reduction == "batchmean" else (reduction, None)


# ---- Margins ---------------------------------------------------------------------------------------------


def hinge_loss(x: Array, target: Array, reduction: str = "mean") -> Array:
    """y = max(0, 1 - t x), the loss of a support-vector machine for two classes; targets are 1 or -1.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.hinge_loss(np.array([2.0, 0.5, 0.5]), np.array([1, 1, -1]), "none").tolist()
    [0.0, 0.5, 1.5]
    """
    x, target = _signs(x, target)
    return reduced(np.maximum(x.dtype.type(1) - target * x, x.dtype.type(0)), reduction)


def hinge_loss_backward(grad_output: Array, x: Array, target: Array, reduction: str = "mean") -> Array:
    """The gradient for x: -t where t x < 1, else 0."""
    x, target = _signs(x, target)
    slope = np.where(target * x < 1, -target, x.dtype.type(0))
    return np.asarray(arriving(grad_output, x.shape, x.dtype, reduction) * slope)


def hinge_embedding_loss(x: Array, target: Array, reduction: str = "mean", margin: float = 1.0) -> Array:
    """y = x where t = 1, max(0, margin - x) where t = -1: for distances x of pairs that belong together, or do not.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.hinge_embedding_loss(np.array([0.25, 0.25]), np.array([1, -1]), "none").tolist()
    [0.25, 0.75]
    """
    x, target = _signs(x, target)
    apart = np.maximum(x.dtype.type(real("margin", margin, -np.inf)) - x, x.dtype.type(0))
    return reduced(np.where(target == 1, x, apart), reduction)


def hinge_embedding_loss_backward(
    grad_output: Array, x: Array, target: Array, reduction: str = "mean", margin: float = 1.0
) -> Array:
    """The gradient for x: 1 where t = 1; where t = -1, -1 if x <= margin, else 0."""
    x, target = _signs(x, target)
    near = x <= x.dtype.type(real("margin", margin, -np.inf))
    slope = np.where((target == 1) | near, target, x.dtype.type(0))
    return np.asarray(arriving(grad_output, x.shape, x.dtype, reduction) * slope)
