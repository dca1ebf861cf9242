# SPDX-License-Identifier: BSD-3-Clause
"""Clipping of gradients, between ``loss.backward()`` and ``optimizer.step()``; PyTorch's names and formulas.

Norms are accumulated in float64. Parameters without a gradient are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastconv.autograd import Tensor
from fastconv.nn._common import number
from fastconv.ops._check import flag

__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm"]

Array = np.ndarray[Any, Any]
Parameters = Tensor | Iterable[Tensor]


def get_total_norm(tensors: Parameters, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all elements of all tensors together: a tensor of no axes, of their type.

    norm_type: the p of the p-norm; infinity gives the largest absolute value.
    error_if_nonfinite: RuntimeError where the norm is NaN or infinite.

    >>> get_total_norm([Tensor(np.array([3.0])), Tensor(np.array([4.0]))]).item()
    5.0
    """
    arrays = [tensor.numpy() for tensor in _listed("tensors", tensors)]
    norm = _norm(arrays, norm_type, flag("error_if_nonfinite", error_if_nonfinite))
    return Tensor(np.asarray(norm, arrays[0].dtype if arrays else np.float32))


def clip_grad_norm_(
    parameters: Parameters, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients by max_norm / (norm + 1e-6) where that is below 1; returns the norm as it was.

    norm_type, error_if_nonfinite: as in :func:`get_total_norm`. Without the latter a norm of NaN makes every gradient
    NaN.

    >>> from fastconv import nn
    >>> p = nn.Parameter(np.zeros(2))
    >>> p.grad = np.array([3.0, 4.0])
    >>> clip_grad_norm_([p], 1.0).item()
    5.0
    >>> p.grad.numpy().round(3)
    array([0.6, 0.8])
    """
    limit = number("max_norm", max_norm)
    owners, gradients = _gradients(parameters)
    norm = _norm(gradients, norm_type, flag("error_if_nonfinite", error_if_nonfinite))
    factor = limit / (norm + 1e-6)
    if not factor >= 1:
        for owner, g in zip(owners, gradients, strict=True):
            owner.grad = np.multiply(g, g.dtype.type(factor), out=g if g.flags.writeable else None)
    return Tensor(np.asarray(norm, gradients[0].dtype if gradients else np.float32))


def clip_grad_value_(parameters: Parameters, clip_value: float) -> None:
    """Bring every element of every gradient between -clip_value and clip_value; NaN stays.

    >>> from fastconv import nn
    >>> p = nn.Parameter(np.zeros(2))
    >>> p.grad = np.array([3.0, -0.25])
    >>> clip_grad_value_([p], 0.5)
    >>> p.grad.tolist()
    [0.5, -0.25]
    """
    limit = number("clip_value", clip_value)
    for owner, g in zip(*_gradients(parameters), strict=True):
        owner.grad = np.clip(g, g.dtype.type(-limit), g.dtype.type(limit), out=g if g.flags.writeable else None)


def _norm(arrays: list[Array], norm_type: float, finite: bool) -> float:
    # Infinity is a norm of its own, so it is let through here.
    p = math.inf if norm_type == math.inf else number("norm_type", norm_type)
    if p == 0:
        raise ValueError("norm_type must be greater than 0, got 0")
    if p == math.inf:
        norm = float(np.max([np.abs(a).max(initial=0) for a in arrays], initial=0))
    elif p == 2:
        norm = math.sqrt(sum(float(np.square(a, dtype=np.float64).sum()) for a in arrays))
    else:
        norm = sum(float((np.abs(a.astype(np.float64)) ** p).sum()) for a in arrays) ** (1 / p)
    if finite and not math.isfinite(norm):
        raise RuntimeError(f"the total norm of order {p:g} of the gradients is {norm}, so they cannot be clipped")
    return norm


def _gradients(parameters: Parameters) -> tuple[list[Tensor], list[Array]]:
    """Those that have a gradient, and the gradients."""
    found = [(p, p.grad.numpy()) for p in _listed("parameters", parameters) if p.grad is not None]
    return [p for p, _ in found], [g for _, g in found]


def _listed(name: str, tensors: Any) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    if isinstance(tensors, (np.ndarray, str)) or not isinstance(tensors, Iterable):
        raise TypeError(f"{name} must be a tensor or an iterable of them, got {type(tensors).__name__}")
    found = list(tensors)
    for tensor in found:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must hold tensors, got {type(tensor).__name__}")
    return found
