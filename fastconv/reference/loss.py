# SPDX-License-Identifier: BSD-3-Clause
"""The slow, obvious twins of the losses in :mod:`fastconv.ops`, in float64; :mod:`fastconv.reference` says more.

Each is written as the formula of one term, in plain Python, and each gradient as the derivative of that term.

>>> import numpy as np
>>> l1_loss(np.array([1.0, 2.0]), np.array([1.0, 5.0])).item()
1.5
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Term = Callable[..., float]


def _pairwise(term: Term, x: Array, *others: Any) -> Array:
    """term(x, others...) at each position; what is None stays None."""
    x = np.asarray(x, np.float64)
    spread = [None if o is None else np.broadcast_to(np.asarray(o, np.float64), x.shape) for o in others]
    y = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        y[i] = term(x[i], *(None if o is None else o[i] for o in spread))
    return y


def _reduced(terms: Array, reduction: str, count: float | None = None) -> Array:
    if reduction == "none":
        return terms
    if reduction == "sum":
        return np.asarray(terms.sum())
    return np.asarray(terms.sum() / (terms.size if count is None else count))


def _spread(grad: Array, shape: tuple[int, ...], reduction: str, count: float | None = None) -> Array:
    grad = np.asarray(grad, np.float64)
    if reduction == "mean":
        grad = grad / (math.prod(shape) if count is None else count)
    return np.broadcast_to(grad, shape)


# ---- Distances -------------------------------------------------------------------------------------------


def _huber(d: float, limit: float) -> float:
    return d * d / 2 if abs(d) < limit else limit * (abs(d) - limit / 2)


def _huber_slope(d: float, limit: float) -> float:
    return d if abs(d) < limit else math.copysign(limit, d)


def _sign(d: float) -> float:
    return math.copysign(1.0, d) if d else 0.0


def mse_loss(x: Array, target: Array, reduction: str = "mean") -> Array:
    """(x - t)^2."""
    return _reduced(_pairwise(lambda x, t: (x - t) ** 2, x, target), reduction)


def mse_loss_backward(grad_output: Array, x: Array, target: Array, reduction: str = "mean") -> Array:
    """2 (x - t)."""
    return _spread(grad_output, x.shape, reduction) * _pairwise(lambda x, t: 2 * (x - t), x, target)


def l1_loss(x: Array, target: Array, reduction: str = "mean") -> Array:
    """|x - t|."""
    return _reduced(_pairwise(lambda x, t: abs(x - t), x, target), reduction)


def l1_loss_backward(grad_output: Array, x: Array, target: Array, reduction: str = "mean") -> Array:
    """sign(x - t)."""
    return _spread(grad_output, x.shape, reduction) * _pairwise(lambda x, t: _sign(x - t), x, target)


def huber_loss(x: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    """d^2 / 2 up to delta, then a line."""
    return _reduced(_pairwise(lambda x, t: _huber(x - t, delta), x, target), reduction)


def huber_loss_backward(
    grad_output: Array, x: Array, target: Array, reduction: str = "mean", delta: float = 1.0
) -> Array:
    """d up to delta, then delta."""
    slope = _pairwise(lambda x, t: _huber_slope(x - t, delta), x, target)
    return _spread(grad_output, x.shape, reduction) * slope


def smooth_l1_loss(x: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> Array:
    """The Huber loss over beta; its limit, |d|, for beta = 0."""
    return huber_loss(x, target, reduction, beta) / beta if beta else l1_loss(x, target, reduction)


def smooth_l1_loss_backward(
    grad_output: Array, x: Array, target: Array, reduction: str = "mean", beta: float = 1.0
) -> Array:
    """The gradient of the Huber loss over beta; its limit for beta = 0."""
    if not beta:
        return l1_loss_backward(grad_output, x, target, reduction)
    return huber_loss_backward(grad_output, x, target, reduction, beta) / beta


# ---- Probabilities ---------------------------------------------------------------------------------------


def _log(x: float) -> float:
    return max(math.log(x), -100.0) if x > 0 else -100.0


def _softplus(x: float) -> float:
    """log(1 + e^x)."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def binary_cross_entropy(x: Array, target: Array, weight: Array | None = None, reduction: str = "mean") -> Array:
    """-weight (t log(x) + (1 - t) log(1 - x))."""
    def term(x: float, t: float, w: float) -> float:
        return -w * (t * _log(x) + (1 - t) * max(math.log1p(-x) if x < 1 else -100.0, -100.0))
    return _reduced(_pairwise(term, x, target, 1 if weight is None else weight), reduction)


def binary_cross_entropy_backward(
    grad_output: Array, x: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """weight (x - t) / (x (1 - x))."""
    slope = _pairwise(lambda x, t, w: w * (x - t) / max(x * (1 - x), 1e-12), x, target, 1 if weight is None else weight)
    return _spread(grad_output, x.shape, reduction) * slope


def binary_cross_entropy_with_logits(
    x: Array, target: Array, weight: Array | None = None, reduction: str = "mean", pos_weight: Array | None = None
) -> Array:
    """weight (pos_weight t log(1 + e^-x) + (1 - t) log(1 + e^x))."""
    w, more = (1 if v is None else v for v in (weight, pos_weight))
    terms = _pairwise(lambda x, t, w, p: w * (p * t * _softplus(-x) + (1 - t) * _softplus(x)), x, target, w, more)
    return _reduced(terms, reduction)


def binary_cross_entropy_with_logits_backward(
    grad_output: Array, x: Array, target: Array, weight: Array | None = None, reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Array:
    """weight ((1 - t) s(x) - pos_weight t s(-x))."""
    w, more = (1 if v is None else v for v in (weight, pos_weight))
    slope = _pairwise(lambda x, t, w, p: w * ((1 - t) * _sigmoid(x) - p * t * _sigmoid(-x)), x, target, w, more)
    return _spread(grad_output, x.shape, reduction) * slope


def _batch_mean(x: Array, reduction: str) -> tuple[str, float | None]:
    return ("mean", len(x)) if reduction == "batchmean" else (reduction, None)


def kl_div(x: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Array:
    """t (log(t) - x)."""
    def term(x: float, t: float) -> float:
        return math.exp(t) * (t - x) if log_target else (t * math.log(t) if t else 0.0) - t * x
    return _reduced(_pairwise(term, x, target), *_batch_mean(x, reduction))


def kl_div_backward(
    grad_output: Array, x: Array, target: Array, reduction: str = "mean", log_target: bool = False
) -> Array:
    """-t."""
    reduction, count = _batch_mean(x, reduction)
    slope = _pairwise(lambda x, t: -math.exp(t) if log_target else -t, x, target)
    return _spread(grad_output, x.shape, reduction, count) * slope


# ---- Margins ---------------------------------------------------------------------------------------------


def hinge_loss(x: Array, target: Array, reduction: str = "mean") -> Array:
    """max(0, 1 - t x)."""
    return _reduced(_pairwise(lambda x, t: max(0.0, 1 - t * x), x, target), reduction)


def hinge_loss_backward(grad_output: Array, x: Array, target: Array, reduction: str = "mean") -> Array:
    """-t where t x < 1."""
    slope = _pairwise(lambda x, t: -t if t * x < 1 else 0.0, x, target)
    return _spread(grad_output, x.shape, reduction) * slope


def hinge_embedding_loss(x: Array, target: Array, reduction: str = "mean", margin: float = 1.0) -> Array:
    """x, or max(0, margin - x)."""
    return _reduced(_pairwise(lambda x, t: x if t == 1 else max(0.0, margin - x), x, target), reduction)


def hinge_embedding_loss_backward(
    grad_output: Array, x: Array, target: Array, reduction: str = "mean", margin: float = 1.0
) -> Array:
    """1, or -1 where x <= margin."""
    slope = _pairwise(lambda x, t: 1.0 if t == 1 else -float(x <= margin), x, target)
    return _spread(grad_output, x.shape, reduction) * slope


# ---- Class indices ---------------------------------------------------------------------------------------


def _rows(x: Array) -> Array:
    """(M, C): the classes last."""
    x = np.asarray(x, np.float64)
    return (x if x.ndim < 3 else np.moveaxis(x, 1, -1)).reshape(-1, x.shape[0 if x.ndim == 1 else 1])


def _like(rows: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of _rows."""
    if len(shape) < 3:
        return rows.reshape(shape)
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _nll_weights(target: Array, weight: Array | None, ignore_index: int) -> list[float]:
    return [0.0 if t == ignore_index else 1.0 if weight is None else float(weight[t]) for t in target.flat]


def nll_loss(
    x: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Array:
    """-weight[t] x[t]."""
    w = _nll_weights(target, weight, ignore_index)
    terms = [-wi * row[t] if wi else 0.0 for row, t, wi in zip(_rows(x), target.flat, w, strict=True)]
    return _reduced(np.array(terms).reshape(target.shape), reduction, sum(w))


def nll_loss_backward(
    grad_output: Array, x: Array, target: Array, weight: Array | None = None, ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    """-weight[t] at t."""
    w = _nll_weights(target, weight, ignore_index)
    grad = _spread(grad_output, target.shape, reduction, sum(w)).ravel()
    dx = np.zeros_like(_rows(x))
    for i, t in enumerate(target.flat):
        if w[i]:
            dx[i, t] = -w[i] * grad[i]
    return _like(dx, x.shape)


def multi_margin_loss(
    x: Array, target: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """Sum over c != t of weight[t] max(0, margin - x[t] + x[c])^p / C."""
    terms = []
    for row, t in zip(_rows(x), target.flat, strict=True):
        w = 1.0 if weight is None else weight[t]
        total = sum(max(0.0, margin - row[t] + row[c]) ** p for c in range(len(row)) if c != t)
        terms.append(w * total / len(row))
    return _reduced(np.array(terms).reshape(target.shape), reduction)


def multi_margin_loss_backward(
    grad_output: Array, x: Array, target: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    """The derivative of each positive term at its c, and its negative at t."""
    grad = _spread(grad_output, target.shape, reduction).ravel()
    rows, dx = _rows(x), np.zeros_like(_rows(x))
    for i, t in enumerate(target.flat):
        w = 1.0 if weight is None else weight[t]
        for c in range(rows.shape[1]):
            over = margin - rows[i, t] + rows[i, c]
            if c != t and over > 0:
                slope = w * (1 if p == 1 else 2 * over) / rows.shape[1] * grad[i]
                dx[i, c] += slope
                dx[i, t] -= slope
    return _like(dx, x.shape)


# ---- Cross entropy, which has no namesake in ops -------------------------------------------------------------


def cross_entropy(
    x: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """-sum over c of weight[c] q[c] log(softmax(x)[c]), q the smoothed target; of indices or probabilities."""
    rows = _rows(x)
    q, w = _distributions(x, target, weight, ignore_index, label_smoothing)
    terms = []
    for row, share in zip(rows, q, strict=True):
        log_sum = row.max() + math.log(sum(math.exp(v - row.max()) for v in row))
        terms.append(sum(s * (log_sum - v) for s, v in zip(share, row, strict=True) if s))
    places = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    return _reduced(np.array(terms).reshape(places), reduction, w)


def cross_entropy_backward(
    grad_output: Array, x: Array, target: Array, weight: Array | None = None, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float = 0.0,
) -> Array:
    """softmax(x) sum(q) - q."""
    rows = _rows(x)
    q, w = _distributions(x, target, weight, ignore_index, label_smoothing)
    grad = _spread(grad_output, x.shape[:1] + x.shape[2:] if x.ndim > 1 else (), reduction, w).ravel()
    e = np.exp(rows - rows.max(1, keepdims=True))
    return _like((e / e.sum(1, keepdims=True) * q.sum(1, keepdims=True) - q) * grad[:, None], x.shape)


def _distributions(
    x: Array, target: Array, weight: Array | None, ignore_index: int, smoothing: float
) -> tuple[Array, float]:
    """What each class of each row counts, (M, C), and what the mean divides by."""
    rows = _rows(x)
    classes = rows.shape[1]
    weights = np.ones(classes) if weight is None else np.asarray(weight, np.float64)
    if target.dtype.kind == "f":
        return ((1 - smoothing) * _rows(target) + smoothing / classes) * weights, len(rows)
    q, total = np.zeros_like(rows), 0.0
    for i, t in enumerate(target.flat):
        if t != ignore_index:
            q[i] = smoothing / classes * weights
            q[i, t] += (1 - smoothing) * weights[t]
            total += weights[t]
    return q, total
