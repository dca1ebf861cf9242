# SPDX-License-Identifier: BSD-3-Clause
"""Normalisations of single samples, and dropout: every one a few sums over axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.reference.layers import batch_norm, batch_norm_backward
from fastconv.reference.windows import Array, per_channel, wide


def _normalized(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array, Array]:
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps), mean.reshape(-1), var.reshape(-1)


def _gradient(g: Array, x: Array, axes: tuple[int, ...], eps: float) -> Array:
    """Of the sum of g * xhat."""
    xhat = _normalized(x, axes, eps)[0]
    centered = g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True)
    dx: Array = centered / np.sqrt(x.var(axes, keepdims=True) + eps)
    return dx


def _last(x: Array, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(range(x.ndim - np.size(normalized_shape), x.ndim))


def layer_norm(
    x: Array, normalized_shape: Any, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5, *,
    return_statistics: bool = False,
) -> Any:
    """Mean 0 and variance 1 over the last axes, then weight and bias."""
    y, mean, var = _normalized(wide(x), _last(x, normalized_shape), eps)
    y = y * (1 if weight is None else wide(weight)) + (0 if bias is None else wide(bias))
    return (y, mean, var) if return_statistics else y


def layer_norm_backward(
    grad_output: Array, x: Array, normalized_shape: Any, mean: Array, var: Array, weight: Array | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias)."""
    g, x, axes = wide(grad_output), wide(x), _last(x, normalized_shape)
    others = tuple(range(x.ndim - len(axes)))
    dx = _gradient(g * (1 if weight is None else wide(weight)), x, axes, eps)
    return dx, (g * _normalized(x, axes, eps)[0]).sum(others), g.sum(others)


def _split(x: Array, num_groups: int) -> Array:
    return wide(x).reshape(len(x), num_groups, x.shape[1] // num_groups, *x.shape[2:])


def group_norm(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5, *,
    return_statistics: bool = False,
) -> Any:
    """Mean 0 and variance 1 over groups of channels, then weight and bias."""
    parts = _split(x, num_groups)
    y, mean, var = _normalized(parts, tuple(range(2, parts.ndim)), eps)
    y = y.reshape(x.shape) * per_channel(weight, x.ndim - 2, 1) + per_channel(bias, x.ndim - 2)
    return (y, mean, var) if return_statistics else y


def group_norm_backward(
    grad_output: Array, x: Array, num_groups: int, mean: Array, var: Array, weight: Array | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias)."""
    g, parts = wide(grad_output), _split(x, num_groups)
    axes, others = tuple(range(2, parts.ndim)), (0, *range(2, x.ndim))
    dx = _gradient(_split(g * per_channel(weight, x.ndim - 2, 1), num_groups), parts, axes, eps).reshape(x.shape)
    return dx, (g * _normalized(parts, axes, eps)[0].reshape(x.shape)).sum(others), g.sum(others)


def instance_norm(
    x: Array, running_mean: Array | None = None, running_var: Array | None = None, weight: Array | None = None,
    bias: Array | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5, *,
    return_statistics: bool = False,
) -> Any:
    """Groups of one channel; or running statistics, which else move, in place, to the means over the batch."""
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps, return_statistics=return_statistics)
    y, mean, var = group_norm(x, x.shape[1], weight, bias, eps, return_statistics=True)
    n = x[0, 0].size
    for running, new in ((running_mean, mean), (running_var, var * n / (n - 1))):
        if running is not None:
            running[...] = (1 - momentum) * running + momentum * new.reshape(x.shape[:2]).mean(0)
    return (y, mean, var) if return_statistics else y


def instance_norm_backward(
    grad_output: Array, x: Array, mean: Array, var: Array, weight: Array | None = None, use_input_stats: bool = True,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias)."""
    if not use_input_stats:
        return batch_norm_backward(grad_output, x, mean, var, weight, eps=eps)
    return group_norm_backward(grad_output, x, x.shape[1], mean, var, weight, eps)


def _neighbours(channels: int, size: int) -> Array:
    """A matrix of ones where channel j lies in the window of channel i."""
    i, j = np.ogrid[:channels, :channels]
    matrix: Array = ((i - size // 2 <= j) & (j < i - size // 2 + size)).astype(float)
    return matrix


def local_response_norm(x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """x over a power of the mean square of the neighbouring channels."""
    x = wide(x)
    squares = np.einsum("ij,nj...->ni...", _neighbours(x.shape[1], size), x * x)
    y: Array = x * (k + alpha / size * squares) ** -beta
    return y


def local_response_norm_backward(
    grad_output: Array, x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    """Of the factor, and of the squares in it."""
    g, x, near = wide(grad_output), wide(x), _neighbours(x.shape[1], size)
    d = k + alpha / size * np.einsum("ij,nj...->ni...", near, x * x)
    spread = np.einsum("ij,ni...->nj...", near, g * x * d ** (-beta - 1))
    dx: Array = g * d**-beta - 2 * alpha * beta / size * x * spread
    return dx


def dropout(x: Array, p: float, rng: Any, *, whole_channels: bool = False) -> tuple[Array, Array]:
    """(y, keep)."""
    shape = (*x.shape[:2], *(1 for _ in x.shape[2:])) if whole_channels else x.shape
    keep = rng.random(shape, np.float32) >= p
    return dropout_backward(x, keep, p), keep


def dropout_backward(grad_output: Array, keep: Array, p: float) -> Array:
    """Those kept, scaled."""
    g: Array = wide(grad_output) * keep
    return g / (1 - p) if p < 1 else g * 0
