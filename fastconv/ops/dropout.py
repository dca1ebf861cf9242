# SPDX-License-Identifier: BSD-3-Clause
"""Dropout: which elements stay is drawn once, and the gradient goes the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import Array, base_array, flag, float_array, number

if TYPE_CHECKING:
    from numpy.random import Generator


def dropout(x: Array, p: float, rng: Generator, *, whole_channels: bool = False) -> tuple[Array, Array]:
    """(y, keep): y is x / (1 - p) where keep is True, which it is with probability 1 - p, and else 0.

    x: float32 or float64, of any shape; (N, C, ...) with whole_channels, where a channel of a sample stays or goes as a
        whole.
    rng: the numpy.random.Generator to draw from. keep: booleans, of x's shape, or (N, C, 1, ...).

    Raises TypeError for a wrong kind, ValueError for p outside of [0, 1], ShapeError where there are no channels.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> y, keep = ops.dropout(np.ones(1000), 0.5, np.random.default_rng(0))
    >>> sorted(set(y.tolist())), bool((keep == (y > 0)).all())
    ([0.0, 2.0], True)
    """
    x, p = float_array("x", x), number("p", p, 0, 1)
    if not hasattr(rng, "random"):
        raise TypeError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}: np.random.default_rng(seed)")
    shape = x.shape
    if flag("whole_channels", whole_channels):
        if x.ndim < 2:
            raise ShapeError(f"x must be (N, C, ...) where whole_channels is True, got shape {x.shape}")
        shape = x.shape[:2] + (1,) * (x.ndim - 2)
    keep: Array = np.greater_equal(rng.random(shape, np.float32), p)
    return _scaled(x, keep, p), keep


def dropout_backward(grad_output: Array, keep: Array, p: float) -> Array:
    """The gradient of sum(grad_output * y) with respect to x: grad_output / (1 - p) where keep, and else 0.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.dropout_backward(np.ones(2), np.array([True, False]), 0.5).tolist()
    [2.0, 0.0]
    """
    grad, keep, p = float_array("grad_output", grad_output), base_array("keep", keep), number("p", p, 0, 1)
    if keep.dtype != np.bool_:
        raise TypeError(f"keep must be the booleans that dropout returned, got {keep.dtype}")
    if keep.ndim != grad.ndim or any(k not in (1, n) for k, n in zip(keep.shape, grad.shape, strict=True)):
        raise ShapeError(f"grad_output must have the shape of x, of which keep is {keep.shape}, got {grad.shape}")
    return _scaled(grad, keep, p)


def _scaled(x: Array, keep: Array, p: float) -> Array:
    y: Any = x * keep
    y *= 1 / (1 - p) if p < 1 else 0
    return y  # type: ignore[no-any-return]
