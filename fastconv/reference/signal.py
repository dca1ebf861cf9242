# SPDX-License-Identifier: BSD-3-Clause
"""Convolution and correlation as signal processing defines them."""

from __future__ import annotations

import numpy as np

from fastconv.reference.windows import Array, wide


def convolve(in1: Array, in2: Array, mode: str = "full", method: str = "auto") -> Array:
    """y[t] = sum over i + j = t of in1[i] * in2[j]: in1 once for each element of in2, moved there. Not for complex."""
    a, b = wide(in1), wide(in2)
    full = np.zeros([n + k - 1 for n, k in zip(a.shape, b.shape, strict=True)], np.result_type(a, b))
    for place in np.ndindex(b.shape):
        full[tuple(slice(j, j + n) for j, n in zip(place, a.shape, strict=True))] += a * b[place]
    if mode == "same":
        return full[tuple(slice((k - 1) // 2, (k - 1) // 2 + n) for n, k in zip(a.shape, b.shape, strict=True))]
    if mode == "valid":
        ends = [sorted(pair) for pair in zip(a.shape, b.shape, strict=True)]
        return full[tuple(slice(low - 1, high) for low, high in ends)]
    return full


def correlate(in1: Array, in2: Array, mode: str = "full", method: str = "auto") -> Array:
    """y[t] = sum over i - j + K - 1 = t of in1[i] * in2[j]: the convolution with the flipped kernel."""
    return convolve(in1, np.flip(in2), mode)
