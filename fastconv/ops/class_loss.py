# SPDX-License-Identifier: BSD-3-Clause
"""Losses of scores and class indices, each with its gradient next to it; what loss.py says holds here too.

x: (C,), (N, C) or, for nll_loss, (N, C, ...). target: integers between 0 and C - 1, of that shape without C.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import Array, base_array, float_array, integer, same_dtype
from fastconv.ops.loss import arriving, real, reduced

__all__ = ["multi_margin_loss", "multi_margin_loss_backward", "nll_loss", "nll_loss_backward"]


class _Problem(NamedTuple):
    """x, with the index of each place's class and its weight, both with an axis of 1 where x has C."""

    x: Array
    axis: int
    classes: Array    # 0 where the place is ignored
    weight: Array     # 0 there


def _problem(x: Any, target: Any, weight: Any, ignore_index: int | None, most_axes: int) -> _Problem:
    x, target = float_array("x", x), base_array("target", target)
    if not 1 <= x.ndim <= most_axes:
        raise ShapeError(f"x must be (C,), (N, C){' or (N, C, ...)' * (most_axes > 2)}, got shape {x.shape}")
    axis = min(x.ndim - 1, 1)
    places, classes = x.shape[:axis] + x.shape[axis + 1:], x.shape[axis]
    if target.dtype.kind not in "iu":
        raise TypeError(f"target must hold class indices, integers, got {target.dtype}")
    if target.shape != places:
        raise ShapeError(f"target must have the shape of x without its classes {places}, got {target.shape}")
    counted = np.full(places, True) if ignore_index is None else target != ignore_index
    wrong = target[counted & ((target < 0) | (target >= classes))]
    if wrong.size:
        raise ValueError(f"target must hold class indices between 0 and {classes - 1}, got {wrong.flat[0]}")
    index = np.where(counted, target, 0).astype(np.int64)
    weights = np.where(counted, _class_weights(weight, x, classes)[index], x.dtype.type(0))
    return _Problem(x, axis, np.expand_dims(index, axis), np.expand_dims(weights, axis))


def _class_weights(weight: Any, x: Array, classes: int) -> Array:
    if weight is None:
        return np.ones(classes, x.dtype)
    weights = float_array("weight", weight)
    same_dtype(x=x, weight=weights)
    if weights.shape != (classes,):
        raise ShapeError(f"weight must have one number per class, ({classes},), got shape {weights.shape}")
    return weights


def nll_loss(
    x: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Array:
    """y = -weight[t] x[t], for logarithms x of probabilities, (C,), (N, C) or (N, C, ...).

    Targets equal to ``ignore_index`` count nothing. The mean is weighted: the sum over that of weight[t].

    >>> import numpy as np
    >>> from fastconv import ops
    >>> round(ops.nll_loss(np.log([[0.25, 0.75]]), np.array([1])).item(), 6)
    0.287682
    """
    p = _problem(x, target, weight, _ignored(ignore_index), 64)
    own = np.take_along_axis(p.x, p.classes, p.axis)
    terms = np.where(p.weight != 0, -p.weight * own, p.weight).squeeze(p.axis)
    return reduced(terms, reduction, float(p.weight.sum(dtype=np.float64)))


def nll_loss_backward(
    grad_output: Array, x: Array, target: Array, weight: Array | None = None, ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    """The gradient for x: -weight[t] at t, else 0."""
    p = _problem(x, target, weight, _ignored(ignore_index), 64)
    count = float(p.weight.sum(dtype=np.float64))
    places = p.classes.squeeze(p.axis).shape
    grad = np.expand_dims(arriving(grad_output, places, p.x.dtype, reduction, count), p.axis)
    dx = np.zeros_like(p.x)
    np.put_along_axis(dx, p.classes, -p.weight * grad, p.axis)
    return dx


def _ignored(ignore_index: object) -> int:
    return integer("ignore_index", ignore_index, -(2**63), 2**63 - 1)


def multi_margin_loss(
    x: Array, target: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """y = sum over c != t of weight[t] max(0, margin - x[t] + x[c])^p / C, for scores x, (C,) or (N, C).

    The loss of a support-vector machine for several classes. p: 1 or 2.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.multi_margin_loss(np.array([[0.5, 0.25, 2.0, -1.0]]), np.array([2])).item()
    0.0
    """
    problem, _, terms = _margins(x, target, p, margin, weight)
    terms = terms * terms if p == 2 else terms
    y = (problem.weight * terms).sum(problem.axis, dtype=np.float64) / max(problem.x.shape[problem.axis], 1)
    return reduced(np.asarray(y).astype(problem.x.dtype), reduction)


def multi_margin_loss_backward(
    grad_output: Array, x: Array, target: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    """The gradient for x: that of each positive term at its c, and the negative of their sum at t."""
    problem, own, terms = _margins(x, target, p, margin, weight)
    x, axis = problem.x, problem.axis
    slope = x.dtype.type(2) * terms if p == 2 else (terms > 0).astype(x.dtype)
    places = problem.classes.squeeze(axis).shape
    grad = np.expand_dims(arriving(grad_output, places, x.dtype, reduction), axis)
    dx: Array = slope * (problem.weight * grad / x.dtype.type(max(x.shape[axis], 1)))
    total = dx.sum(axis, keepdims=True, dtype=np.float64).astype(x.dtype)
    return np.where(own, -total, dx)


def _margins(x: Any, target: Any, p: int, margin: float, weight: Any) -> tuple[_Problem, Array, Array]:
    """The problem, where each place's own class is, and max(0, margin - x[t] + x[c]), 0 there."""
    integer("p", p, 1, 2)
    problem = _problem(x, target, weight, None, 2)
    own_score = np.take_along_axis(problem.x, problem.classes, problem.axis)
    own = np.arange(problem.x.shape[-1]) == problem.classes
    terms = np.maximum(problem.x.dtype.type(real("margin", margin, -np.inf)) - own_score + problem.x, 0)
    return problem, own, np.where(own, problem.x.dtype.type(0), terms.astype(problem.x.dtype))
