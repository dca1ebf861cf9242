# SPDX-License-Identifier: BSD-3-Clause
"""Fully connected layers, activations, sums and batch normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.reference.windows import Array, channels_second, in_layout, per_channel, wide


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y[n, k] = b[k] + sum over c of x[n, c] * w[k, c].

    >>> linear(np.array([[1, 2]]), np.array([[3, 4]]), np.array([5])).tolist()
    [[16]]
    """
    y: Array = np.einsum("nc,kc->nk", wide(x), wide(weight))
    return y if bias is None else y + wide(bias)


def linear_backward(
    grad_output: Array, x: Array, weight: Array, *, needs: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """(dx, dw, db) of :func:`linear`."""
    dy, x, weight = wide(grad_output), wide(x), wide(weight)
    return (
        np.einsum("nk,kc->nc", dy, weight) if needs[0] else None,
        np.einsum("nk,nc->kc", dy, x) if needs[1] else None,
        dy.sum(axis=0) if needs[2] else None,
    )


def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    x = wide(x)
    return np.where(x <= 0, 0, x)


def relu_backward(grad_output: Array, y: Array) -> Array:
    """grad_output where y > 0 or y is NaN, else 0."""
    return np.where(y <= 0, 0, wide(grad_output))


def add(a: Array, b: Array, *, relu: bool = False) -> Array:
    """a + b, or max(a + b, 0)."""
    total: Array = wide(a) + wide(b)
    return np.where(total <= 0, 0, total) if relu else total


def batch_norm(
    x: Array, running_mean: Array | None, running_var: Array | None, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *,
    relu: bool = False, return_statistics: bool = False, layout: str = "NCHW",
) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias; in training the running statistics move, in place."""
    x = wide(channels_second(x, layout))
    axes, others = x.ndim - 2, (0, *range(2, x.ndim))
    if training:
        n = x.size // x.shape[1]
        mean = x.mean(others)
        var = ((x - per_channel(mean, axes)) ** 2).mean(others)
        for running, new in ((running_mean, mean), (running_var, var * n / (n - 1))):
            if running is not None:
                running[...] = (1 - momentum) * running + momentum * new
    else:
        assert running_mean is not None and running_var is not None
        mean, var = wide(running_mean), wide(running_var)
    scale = per_channel(weight, axes, 1) / per_channel(np.sqrt(var + eps), axes)
    y = (x - per_channel(mean, axes)) * scale + per_channel(bias, axes, 0)
    y = in_layout(np.where(y <= 0, 0, y) if relu else y, layout)
    return (y, mean, var) if return_statistics else y


def batch_norm_backward(
    grad_output: Array, x: Array, mean: Array, var: Array, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, eps: float = 1e-5, *,
    relu: bool = False, layout: str = "NCHW",
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias); mean and var are those of the batch where ``training``."""
    grad, x = wide(channels_second(grad_output, layout)), wide(channels_second(x, layout))
    axes, others = x.ndim - 2, (0, *range(2, x.ndim))
    deviation = per_channel(np.sqrt(wide(var) + eps), axes)
    normalized = (x - per_channel(mean, axes)) / deviation
    if relu:
        grad = np.where(normalized * per_channel(weight, axes, 1) + per_channel(bias, axes, 0) <= 0, 0, grad)
    dweight, dbias = (grad * normalized).sum(others), grad.sum(others)
    dx = grad
    if training:
        n = x.size // x.shape[1]
        dx = grad - per_channel(dbias, axes) / n - normalized * per_channel(dweight, axes) / n
    return in_layout(dx * per_channel(weight, axes, 1) / deviation, layout), dweight, dbias
