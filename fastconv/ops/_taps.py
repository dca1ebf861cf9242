# SPDX-License-Identifier: BSD-3-Clause
"""Max pooling of windows that are given pixel by pixel, for adaptive and fractional pooling."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.ops import _pool_runs
from fastconv.ops._check import Array
from fastconv.ops._shapes import image_axes


def max_of_taps(x: Array, taps: Sequence[Any], layout: str, return_indices: bool) -> Any:
    """The maxima of x over windows, and where they were: as max_pool.

    taps: for each axis of space the pixels of each window, in ascending order: (windows, taps), or
    (N, C, windows, taps) where every channel has its own. The pixels are brought together, so that windows neither
    overlap nor have gaps, and pooled by the core.
    """
    first = 1 if layout.endswith("C") else 2
    lists = [t.reshape(*t.shape[:-2], t.shape[-2] * t.shape[-1]) for t in taps]
    wide = x
    for axis, pixels in enumerate(lists, first):
        wide = _taken(wide, pixels, axis)
    kernel = tuple(t.shape[-1] for t in taps)
    pooled = _pool_runs.max_pool(len(taps), wide, kernel, None, 0, 1, False, return_indices, layout)
    if not return_indices:
        return pooled
    y, where = pooled
    at = np.unravel_index(where, image_axes("x", wide.shape, layout)[2])
    _, _, size = image_axes("x", x.shape, layout)
    pixels = tuple(_looked_up(own, a) for own, a in zip(lists, at, strict=True))
    return y, np.ravel_multi_index(pixels, size)


def _taken(a: Array, pixels: Any, axis: int) -> Any:
    if pixels.ndim == 1:
        return a.take(pixels, axis)
    ones = (1,) * (a.ndim - 3)
    index = np.moveaxis(pixels.reshape(*pixels.shape[:2], *ones, pixels.shape[2]), -1, axis)
    return np.take_along_axis(a, index, axis)


def _looked_up(pixels: Any, at: Any) -> Any:
    if pixels.ndim == 1:
        return pixels[at]
    return np.take_along_axis(pixels, at.reshape(*at.shape[:2], math.prod(at.shape[2:])), 2).reshape(at.shape)
