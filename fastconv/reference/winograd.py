# SPDX-License-Identifier: BSD-3-Clause
"""Winograd's convolution in float64: what its errors are bounded by."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv.reference.conv import conv_windows, split_groups
from fastconv.reference.windows import Array, channels_second, in_layout, padded, wide


class WinogradMatrices(NamedTuple):
    """The transforms of F(m, 3): Y = A^T [(G g) * (B^T d)] for a tile d of m+2 pixels and 3 taps g."""

    a_t: Array  # (m, m+2)
    g: Array    # (m+2, 3)
    b_t: Array  # (m+2, m+2)


WINOGRAD_POINTS: dict[int, tuple[float, ...]] = {
    2: (0.0, 1.0, -1.0),
    4: (0.0, 5 / 8, -5 / 8, 3 / 2, -3 / 2),
}


def winograd_matrices(m: int) -> WinogradMatrices:
    """Toom-Cook's matrices for F(m, 3) at the points of ``WINOGRAD_POINTS`` and infinity.

    With M(x) = product of (x - p): row p of B^T holds the coefficients, lowest first, of M(x) / (x - p), and
    the last row those of M; column p of A^T holds the powers of p; row p of G holds 1, p, p^2 over the
    product of p's distances to the other points. The point at infinity takes the highest coefficient alone.

    >>> winograd_matrices(2).a_t
    array([[ 1.,  1.,  1.,  0.],
           [ 0.,  1., -1.,  1.]])
    """
    points = np.array(WINOGRAD_POINTS[m])
    others = [np.delete(points, i) for i in range(len(points))]
    distances = np.array([[np.prod(p - rest)] for p, rest in zip(points, others, strict=True)])
    tile = m + 2
    a_t = np.zeros((m, tile))
    a_t[:, :-1] = points ** np.arange(m)[:, None]
    a_t[-1, -1] = 1
    g = np.zeros((tile, 3))
    g[:-1] = points[:, None] ** np.arange(3) / distances
    g[-1, -1] = 1
    b_t = np.zeros((tile, tile))
    for row, rest in enumerate(others):
        b_t[row, :-1] = np.poly(rest)[::-1]
    b_t[-1] = np.poly(points)[::-1]
    return WinogradMatrices(a_t, g, b_t)


def winograd(
    x: Array, weight: Array, bias: Array | None = None, padding: Any = 0, groups: int = 1, *,
    matrices: WinogradMatrices, layout: str = "NCHW",
) -> Array:
    """:func:`conv2d` of a 3x3 kernel, stride 1, computed tile by tile in the given transforms, in float64."""
    x, weight = wide(channels_second(x, layout)).astype(np.float64), wide(weight).astype(np.float64)
    a_t, g, b_t = matrices
    m, tile = a_t.shape
    windows = conv_windows(x, weight, 1, padding, 1, groups)
    tiles_h, tiles_w = (-(-n // m) for n in windows.out)
    image = padded(x, windows.padding, "zeros")
    grown = np.zeros((*x.shape[:2], tiles_h * m + 2, tiles_w * m + 2))
    grown[:, :, :image.shape[2], :image.shape[3]] = image
    u = split_groups(np.einsum("ta,kcab,sb->kcts", g, weight, g, optimize=True), 0, groups)
    tiles = np.lib.stride_tricks.sliding_window_view(grown, (tile, tile), (2, 3))[:, :, ::m, ::m]
    v = split_groups(np.einsum("ta,ncijab,sb->ncijts", b_t, tiles, b_t, optimize=True), 1, groups)
    products = np.einsum("ngcijts,gkcts->ngkijts", v, u, optimize=True)
    products = products.reshape(len(x), len(weight), *products.shape[3:])
    y = np.einsum("pt,nkijts,qs->nkipjq", a_t, products, a_t, optimize=True)
    y = y.reshape(len(x), len(weight), tiles_h * m, tiles_w * m)
    y = y[:, :, :windows.out[0], :windows.out[1]]
    return in_layout(y if bias is None else y + wide(bias)[:, None, None], layout)


def winograd_abs(
    x: Array, weight: Array, bias: Array | None = None, padding: Any = 0, groups: int = 1, *,
    matrices: WinogradMatrices, layout: str = "NCHW",
) -> Array:
    """W: the same pipeline on the magnitudes of data and transforms, which bounds Winograd's error.

    The error of F(2x2,3x3) is at most (C + 12) u W, that of F(4x4,3x3) at most (C + 32) u W.
    """
    magnitudes = WinogradMatrices(*(np.abs(matrix) for matrix in matrices))
    return winograd(np.abs(x), np.abs(weight), None if bias is None else np.abs(bias), padding, groups,
                    matrices=magnitudes, layout=layout)
