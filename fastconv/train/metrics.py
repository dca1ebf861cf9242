# SPDX-License-Identifier: BSD-3-Clause
"""What `fit` and `evaluate` count beside the loss, and the means of it over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fastconv import nn
from fastconv.ops._check import integer, shown

Array = np.ndarray[Any, Any]

#: Maps outputs (n, ...) and targets (n, ...) to a value for each sample, or to one number, the mean of the batch.
Metric = Callable[[Array, Array], Any]

#: The losses of which accuracy makes sense by itself: their targets are indices of classes.
OF_CLASSES = ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss")


def accuracy(outputs: Array, targets: Array) -> Array:
    """Whether the largest of outputs (n, classes, ...) is the target (n, ...).

    >>> accuracy(np.array([[1.0, 3.0], [2.0, 0.0]]), np.array([1, 1]))
    array([ True, False])
    """
    right: Array = np.equal(outputs.argmax(axis=1), targets)
    return right


def top_k_accuracy(k: int) -> Metric:
    """The metric `topK_accuracy`: whether fewer than k outputs (n, classes) exceed that of the target (n,).

    >>> top_k_accuracy(2)(np.array([[1.0, 3.0, 2.0]] * 2), np.array([0, 2]))
    array([False,  True])
    """
    k = integer("k", k, 1)

    def metric(outputs: Array, targets: Array) -> Array:
        own = np.take_along_axis(outputs, targets[:, None], axis=1)
        larger: Array = ~(outputs <= own)    # so that a NaN is never among the best
        found: Array = larger.sum(axis=1) < k
        return found

    metric.__name__ = f"top{k}_accuracy"
    return metric


NAMED: Mapping[str, Metric] = {"accuracy": accuracy, "top5_accuracy": top_k_accuracy(5)}


def chosen(metrics: Iterable[str | Metric] | None, loss: object) -> dict[str, Metric]:
    """The metrics by name. None: accuracy, if `loss` is one of classes."""
    if metrics is None:
        return {"accuracy": accuracy} if type(loss).__name__ in OF_CLASSES else {}
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(f"metrics must be a list of names and functions, got {shown(metrics)}: write it in brackets")
    found = dict(_named(f"metrics[{i}]", metric) for i, metric in enumerate(metrics))
    if "loss" in found:
        raise ValueError("metrics has one called 'loss', which is always counted: give the function another __name__")
    return found


def _named(argument: str, metric: object) -> tuple[str, Metric]:
    if isinstance(metric, str) and metric in NAMED:
        return metric, NAMED[metric]
    if isinstance(metric, str) or not callable(metric):
        kind = ValueError if isinstance(metric, str) else TypeError
        raise kind(f"{argument} must be a function or one of {', '.join(map(repr, NAMED))}, got {shown(metric)}")
    return getattr(metric, "__name__", type(metric).__name__), metric


class Means:
    """Running means over samples, by name."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: dict[str, float] = {}

    def add(self, count: int, values: Mapping[str, Any]) -> None:
        """Add a batch of `count` samples: for each name a value for each sample, or the mean of them."""
        self.count += count
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + _sum(np.asarray(value), count)

    def means(self) -> dict[str, float]:
        return {name: total / max(self.count, 1) for name, total in self.sums.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "sums": dict(self.sums)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count, self.sums = int(state["count"]), {name: float(x) for name, x in state["sums"].items()}


def _sum(values: Array, count: int) -> float:
    """A sum over samples; exact for the trues of a metric that has one for each."""
    if not values.ndim:
        return float(values) * count
    return float(values.sum(dtype=np.float64)) * (count / max(values.size, 1))


def criterion(loss: Callable[..., Any] | None) -> Callable[..., Any]:
    """The loss function that an argument `loss` stands for."""
    if loss is None:
        return nn.CrossEntropyLoss()
    if isinstance(loss, type) or not callable(loss):
        fix = f": write {loss.__name__}()" if isinstance(loss, type) else ""
        raise TypeError(f"loss must be a function of (outputs, targets), such as nn.MSELoss(), got {shown(loss)}{fix}")
    return loss
