# SPDX-License-Identifier: BSD-3-Clause
"""Cross entropy: the operation on the tape, the function and the layer; other losses are in losses.py."""

from __future__ import annotations

import numpy as np

from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.errors import ShapeError
from fastconv.nn._common import Array, number
from fastconv.nn.module import Module
from fastconv.ops._check import integer, word
from fastconv.ops.softmax import log_softmax

REDUCTIONS = ("none", "mean", "sum")


class SoftCrossEntropy(Function):
    """y[i] = -sum over c of q[i, c] log_softmax(x[i])[c]; dx[i] = g[i] (softmax(x[i]) sum(q[i]) - q[i]).

    x, q (M, C): q holds what the target, the class weights and label smoothing come to. Where q is 0 the
    class does not count, be its logit -inf. With a factor the result is factor * sum(y), rounded once.
    """

    def __init__(self, factor: float | None, *target: Array) -> None:
        self.factor, self.target = factor, target

    def forward(self, x: Array) -> Array:
        y = log_softmax(x, 1)
        losses = self.losses(y, *self.target)
        self.save(y, *self.target)
        del self.target
        return np.asarray(losses if self.factor is None else losses.sum() * self.factor).astype(x.dtype)

    def backward(self, grad: Array) -> Array:
        dx = self.derivatives(*self.saved)
        dx *= grad[:, None] if self.factor is None else grad * dx.dtype.type(self.factor)
        return dx

    def losses(self, y: Array, *target: Array) -> Array:
        """The loss of each row, in float64."""
        (q,) = target
        terms = np.multiply(q, y, where=q != 0, out=np.zeros_like(y))
        return np.asarray(-terms.sum(1, dtype=np.float64))

    def derivatives(self, y: Array, *target: Array) -> Array:
        """The derivatives of each row's loss."""
        (q,) = target
        dx: Array = np.exp(y) * q.sum(1, keepdims=True) - q
        return dx


class HardCrossEntropy(SoftCrossEntropy):
    """The same where q[i] is 0 but for own[i] at class t[i]; the target is t, own."""

    def losses(self, y: Array, *target: Array) -> Array:
        t, own = target
        terms = np.multiply(own, y[np.arange(len(t)), t], where=own != 0, out=np.zeros(len(t)), dtype=np.float64)
        return np.negative(terms)

    def derivatives(self, y: Array, *target: Array) -> Array:
        t, own = target
        dx: Array = np.exp(y) * own[:, None]
        dx[np.arange(len(t)), t] -= own
        return dx


def cross_entropy(
    input: Tensor | Array, target: Tensor | Array, weight: Tensor | Array | None = None,
    ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target], the loss of a classifier; see :class:`CrossEntropyLoss`.

    >>> round(cross_entropy(np.zeros((1, 4)), np.array([2])).item(), 6)
    1.386294
    """
    x = as_tensor(input)
    word("reduction", reduction, REDUCTIONS)
    epsilon = number("label_smoothing", label_smoothing, 0, 1)
    if x.ndim == 0:
        raise ShapeError("input must be (C,), (N, C) or (N, C, ...), got a single number")
    classes = x.shape[0 if x.ndim == 1 else 1]
    # Everything below sees (M, C): the classes go last, all other axes are samples.
    places = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    rows = x
    if x.ndim != 2:
        rows = (x if x.ndim == 1 else x.permute(0, *range(2, x.ndim), 1)).reshape(-1, classes)
    weights = _class_weights(weight, classes, rows.dtype)
    t = as_tensor(target, "target").numpy()
    loss: type[SoftCrossEntropy] = SoftCrossEntropy
    arrays: tuple[Array, ...]
    if t.dtype.kind == "f":
        q = _from_probabilities(t, x.shape, rows.dtype)
        total = float(len(q))
        arrays = ((q * (1 - epsilon) + epsilon / classes) * weights,)
    else:
        own_class, own = _from_indices(t, places, classes, weights, ignore_index)
        total = float(own.sum(dtype=np.float64))
        loss, arrays = HardCrossEntropy, (own_class, own)
        if epsilon:
            counted = t.reshape(-1, 1) != ignore_index
            loss, arrays = SoftCrossEntropy, (_smoothed(own_class, own, counted, weights, epsilon),)
    if reduction == "none":
        losses = loss(None, *arrays)(rows)
        return losses if x.ndim == 2 else losses.reshape(places)
    # The mean of no sample at all is NaN, as in PyTorch.
    return loss(1.0 if reduction == "sum" else 1 / total if total else np.nan, *arrays)(rows)


def _class_weights(weight: Tensor | Array | None, classes: int, dtype: np.dtype[np.generic]) -> Array:
    if weight is None:
        return np.ones(classes, dtype)
    values = as_tensor(weight, "weight").numpy()
    if values.shape != (classes,):
        raise ShapeError(f"weight must have one number per class, ({classes},), got shape {values.shape}")
    if values.dtype != dtype:
        raise TypeError(f"weight must be {dtype} as the input is, got {values.dtype}")
    return values


def _from_probabilities(target: Array, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
    """Targets that are distributions over the classes, as (M, C)."""
    if target.shape != shape:
        raise ShapeError(f"target of probabilities must have the input's shape {shape}, got {target.shape}")
    if target.dtype != dtype:
        raise TypeError(f"target of probabilities must be {dtype} as the input is, got {target.dtype}")
    last = target if target.ndim <= 2 else np.moveaxis(target, 1, -1)
    return last.reshape(-1, shape[0 if len(shape) == 1 else 1])


def _from_indices(
    target: Array, places: tuple[int, ...], classes: int, weights: Array, ignore_index: int
) -> tuple[Array, Array]:
    """(class, its weight) of each index; (0, 0) for those to be ignored."""
    if target.dtype.kind not in "iu":
        raise TypeError(f"target must hold class indices (integers) or probabilities, got {target.dtype}")
    if target.shape != places:
        raise ShapeError(f"target of class indices must have shape {places}, got {target.shape}")
    flat = target.reshape(-1).astype(np.int64)
    counted = flat != ignore_index
    wrong = counted & (flat.view(np.uint64) >= classes)    # or negative
    if wrong.any():
        raise ValueError(f"target must hold class indices between 0 and {classes - 1}, got {flat[wrong][0]}")
    flat[~counted] = 0
    return flat, np.where(counted, weights[flat], weights.dtype.type(0))


def _smoothed(own_class: Array, own: Array, counted: Array, weights: Array, epsilon: float) -> Array:
    """The q of class indices, mixed with the uniform distribution."""
    kind = weights.dtype.type
    q: Array = np.where(counted, weights * kind(epsilon / len(weights)), kind(0))
    q[np.arange(len(q)), own_class] += own * kind(1 - epsilon)
    return q


class CrossEntropyLoss(Module):
    """The cross entropy between the softmax of ``input`` and ``target``.

    input: logits, (C,), (N, C) or (N, C, ...). target: class indices, integers of the shape without C, or
    probabilities, floats of the input's shape.

    loss[i] = -sum over c of weight[c] q[i, c] log_softmax(input[i])[c], where q is the target, one-hot if it
    is an index, mixed with the uniform distribution: (1 - label_smoothing) target + label_smoothing / C.

    Targets equal to ``ignore_index`` count nothing. reduction: "none", "sum" or "mean"; the mean over class
    indices is weighted by weight[target].

    ValueError for an index that is no class.

    >>> from fastconv import nn
    >>> round(nn.CrossEntropyLoss()(np.zeros((1, 4)), np.array([2])).item(), 6)
    1.386294
    """

    weight: Tensor | None

    def __init__(
        self, weight: Tensor | Array | None = None, ignore_index: int = -100, reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.ignore_index = integer("ignore_index", ignore_index, -(2**63), 2**63 - 1)
        self.reduction = word("reduction", reduction, REDUCTIONS)
        self.label_smoothing = number("label_smoothing", label_smoothing, 0, 1)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )
