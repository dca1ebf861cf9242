# SPDX-License-Identifier: BSD-3-Clause
"""The slow, obvious twin of every operation: the oracle of the tests, and the definition of what is right.

Each function has the signature of its namesake in :mod:`fastconv.ops` and is written to be read, not to be
fast: one loop over the taps of the kernel, one strided slice and one sum of products per tap.

Results are float64, whatever the precision of the arguments, with two exceptions: integer arguments give
exact int64 results (averages excepted), and ``np.longdouble`` arguments stay longdouble. ``algorithm`` is
accepted everywhere and means nothing here.

Conventions, which hold for the whole library:

* A padded tap behaves as ``x = 0``: an infinite weight on a padded tap gives NaN.
* Maximum: NaN propagates; of equal values the first one in row-major order is taken, of several NaN the
  last, and where everything is -inf the first element inside the image.
* ``padding`` is an int, a tuple ``(height, width)``, ``((top, bottom), (left, right))``, ``"valid"``,
  ``"same"`` (output size ``ceil(n / stride)``, the odd pixel at the end) or ``"same_lower"`` (the odd pixel
  at the start).

>>> import numpy as np
>>> x = np.arange(9).reshape(1, 1, 3, 3)
>>> conv2d(x, np.ones((1, 1, 2, 2), int))[0, 0]
array([[ 8, 12],
       [20, 24]])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "WinogradMatrices", "avg_pool2d", "avg_pool2d_backward", "conv2d", "conv2d_abs", "conv2d_backward",
    "conv2d_backward_abs", "convolve", "correlate", "linear", "linear_backward", "max_pool2d",
    "max_pool2d_backward", "winograd",
    "winograd_abs", "winograd_matrices",
]

Array = np.ndarray[Any, Any]
Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
_NP_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


# ---- Shapes ----------------------------------------------------------------------------------------------


def _pair(value: int | Sequence[int]) -> Pair:
    if isinstance(value, Sequence):
        first, second = value
        return int(first), int(second)
    return int(value), int(value)


def _resolve_padding(padding: Any, size: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Padding:
    """Turn every form of ``padding`` into ((top, bottom), (left, right))."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding in ("same", "same_lower"):
        ends = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            small, large = total // 2, total - total // 2
            ends.append((small, large) if padding == "same" else (large, small))
        return ends[0], ends[1]
    if isinstance(padding, str):
        raise ValueError(f'padding: got {padding!r}, expected "valid", "same", "same_lower" or numbers')
    if isinstance(padding, Sequence) and isinstance(padding[0], Sequence):
        return _pair(padding[0]), _pair(padding[1])
    height, width = _pair(padding)
    return (height, height), (width, width)


class _Windows(NamedTuple):
    """Where the sliding windows lie: geometry common to convolution and pooling."""

    out: Pair
    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: Padding

    def taps(self) -> Iterator[tuple[int, int, slice, slice]]:
        """(i, j, rows, columns): the padded pixels that tap (i, j) reads, one per output."""
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                yield i, j, self._axis(0, i), self._axis(1, j)

    def _axis(self, axis: int, tap: int) -> slice:
        start = tap * self.dilation[axis]
        return slice(start, start + (self.out[axis] - 1) * self.stride[axis] + 1, self.stride[axis])


def _windows(
    size: Pair, kernel: Pair, stride: Any, padding: Any, dilation: Any, ceil_mode: bool = False
) -> _Windows:
    stride, dilation = _pair(stride), _pair(dilation)
    pads = _resolve_padding(padding, size, kernel, stride, dilation)
    out = []
    for n, k, s, d, (lo, hi) in zip(size, kernel, stride, dilation, pads, strict=True):
        room = n + lo + hi - d * (k - 1) - 1
        if room < 0:
            raise ValueError(f"kernel of {k} taps, dilation {d}, does not fit {n} pixels padded by {lo}+{hi}")
        count = (-(-room // s) if ceil_mode else room // s) + 1
        # The last window must start inside the image or its leading padding.
        if ceil_mode and (count - 1) * s >= n + lo:
            count -= 1
        out.append(count)
    return _Windows((out[0], out[1]), kernel, stride, dilation, pads)


def _last_row_and_column(windows: _Windows) -> Pair:
    """The extent of the plane that the windows reach, from the first padded pixel."""
    rows, columns = ((o - 1) * s + d * (k - 1) + 1 for o, s, d, k in zip(
        windows.out, windows.stride, windows.dilation, windows.kernel, strict=True))
    return rows, columns


def _nchw(a: Array, layout: str) -> Array:
    return a if layout == "NCHW" else a.transpose(0, 3, 1, 2)


def _from_nchw(a: Array, layout: str) -> Array:
    return a if layout == "NCHW" else np.ascontiguousarray(a.transpose(0, 2, 3, 1))


def _wide(a: Array) -> Array:
    """The argument in the type that the sums are formed in."""
    if a.dtype == np.longdouble:
        return a
    return a.astype(np.int64 if a.dtype.kind in "iub" else np.float64)


# ---- Convolution -----------------------------------------------------------------------------------------


def _padded_index(n: int, ends: Pair, mode: str) -> Array:
    """For each padded position the pixel it repeats; -1 where it is a zero."""
    if mode == "zeros":
        return np.pad(np.arange(n), ends, constant_values=-1)
    return np.pad(np.arange(n), ends, mode=_NP_PAD_MODES[mode])  # type: ignore[call-overload,no-any-return]


def _pad(x: Array, padding: Padding, mode: str) -> Array:
    for axis, ends in zip((2, 3), padding, strict=True):
        index = _padded_index(x.shape[axis], ends, mode)
        x = np.take(x, np.maximum(index, 0), axis)
        x[(slice(None),) * axis + (index < 0,)] = 0
    return x


def _unpad(dx: Array, size: Pair, padding: Padding, mode: str) -> Array:
    """The transpose of :func:`_pad`: every padded pixel returns its gradient to the pixel it repeats."""
    for axis, n, ends in zip((2, 3), size, padding, strict=True):
        index = _padded_index(n, ends, mode)
        inside = index >= 0
        total = np.zeros((*dx.shape[:axis], n, *dx.shape[axis + 1:]), dx.dtype)
        np.add.at(np.moveaxis(total, axis, 0), index[inside], np.moveaxis(dx, axis, 0)[inside])
        dx = total
    return dx


def _split_groups(a: Array, axis: int, groups: int) -> Array:
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1:])


def _conv_geometry(
    x: Array, weight: Array, stride: Any, padding: Any, dilation: Any, groups: int
) -> _Windows:
    (out_channels, per_group), channels = weight.shape[:2], x.shape[1]
    if channels != per_group * groups or out_channels % groups:
        raise ValueError(f"weight {weight.shape} does not fit {channels} channels in {groups} groups")
    return _windows((x.shape[2], x.shape[3]), (weight.shape[2], weight.shape[3]), stride, padding, dilation)


def conv2d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", layout: str = "NCHW", algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """y[n, k, p, q] = b[k] + sum over c, i, j of w[k, c, i, j] * x[n, c, p*s + i*d - pad, q*s + j*d - pad].

    x is (N, C, H, W), or (N, H, W, C) with ``layout="NHWC"``; weight is (K, C/groups, kh, kw) in both.
    """
    x, weight = _wide(_nchw(x, layout)), _wide(weight)
    windows = _conv_geometry(x, weight, stride, padding, dilation, groups)
    xg = _split_groups(_pad(x, windows.padding, padding_mode), 1, groups)
    wg = _split_groups(weight, 0, groups)
    y: Any = np.zeros((len(x), groups, wg.shape[1], *windows.out), np.result_type(x, weight))
    for i, j, rows, columns in windows.taps():
        y += np.einsum("ngchw,gkc->ngkhw", xg[..., rows, columns], wg[..., i, j])
    y = y.reshape(len(x), len(weight), *windows.out)
    if bias is not None:
        y = y + _wide(bias)[:, None, None]
    y = _from_nchw(y, layout)
    if out is not None:
        out[...] = y
        return out
    return y  # type: ignore[no-any-return]


def conv2d_backward(
    grad_output: Array, x: Array, weight: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", layout: str = "NCHW", algorithm: str = "auto",
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """(dx, dw, db) of :func:`conv2d`: each product w * x of its sum returns dy*w to x and dy*x to w.

    >>> x, w = np.arange(4).reshape(1, 1, 2, 2), np.full((1, 1, 1, 1), 5)
    >>> dx, dw, db = conv2d_backward(np.ones((1, 1, 2, 2), int), x, w)
    >>> dx.tolist(), dw.item(), db.tolist()
    ([[[[5, 5], [5, 5]]]], 6, [4])
    """
    dy, x, weight = _wide(_nchw(grad_output, layout)), _wide(_nchw(x, layout)), _wide(weight)
    windows = _conv_geometry(x, weight, stride, padding, dilation, groups)
    if dy.shape != (len(x), len(weight), *windows.out):
        raise ValueError(f"grad_output: got shape {dy.shape}, expected {(len(x), len(weight), *windows.out)}")
    xg = _split_groups(_pad(x, windows.padding, padding_mode), 1, groups)
    wg, dyg = _split_groups(weight, 0, groups), _split_groups(dy, 1, groups)
    dxg = np.zeros(xg.shape, np.result_type(dy, weight))
    dwg = np.zeros(wg.shape, np.result_type(dy, x))
    for i, j, rows, columns in windows.taps():
        dxg[..., rows, columns] += np.einsum("ngkhw,gkc->ngchw", dyg, wg[..., i, j])
        dwg[..., i, j] = np.einsum("ngkhw,ngchw->gkc", dyg, xg[..., rows, columns])
    dx = dxg.reshape(len(x), x.shape[1], *xg.shape[3:])
    dx = _from_nchw(_unpad(dx, (x.shape[2], x.shape[3]), windows.padding, padding_mode), layout)
    gradients = dx, dwg.reshape(weight.shape), dy.sum(axis=(0, 2, 3))
    kept = [g if need else None for g, need in zip(gradients, needs, strict=True)]
    return kept[0], kept[1], kept[2]


def conv2d_abs(x: Array, weight: Array, bias: Array | None = None, *args: Any, **options: Any) -> Array:
    """S = conv(abs(x), abs(w)) + abs(b): the error of a summation in any order is at most gamma_(n+1) * S."""
    return conv2d(np.abs(x), np.abs(weight), None if bias is None else np.abs(bias), *args, **options)


def conv2d_backward_abs(
    grad_output: Array, x: Array, weight: Array, *args: Any, **options: Any
) -> tuple[Array | None, Array | None, Array | None]:
    """The sums of magnitudes that bound the errors of dx, dw and db, as :func:`conv2d_abs` bounds y's."""
    return conv2d_backward(np.abs(grad_output), np.abs(x), np.abs(weight), *args, **options)


# ---- Signals ---------------------------------------------------------------------------------------------


def convolve(in1: Array, in2: Array, mode: str = "full", method: str = "auto") -> Array:
    """y[t] = sum over i + j = t of in1[i] * in2[j]: in1 once for each element of in2, moved there. Not for complex."""
    a, b = _wide(in1), _wide(in2)
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


# ---- Linear ----------------------------------------------------------------------------------------------


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y[n, k] = b[k] + sum over c of x[n, c] * w[k, c].

    >>> linear(np.array([[1, 2]]), np.array([[3, 4]]), np.array([5])).tolist()
    [[16]]
    """
    y: Array = np.einsum("nc,kc->nk", _wide(x), _wide(weight))
    return y if bias is None else y + _wide(bias)


def linear_backward(
    grad_output: Array, x: Array, weight: Array, *, needs: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """(dx, dw, db) of :func:`linear`."""
    dy, x, weight = _wide(grad_output), _wide(x), _wide(weight)
    return (
        np.einsum("nk,kc->nc", dy, weight) if needs[0] else None,
        np.einsum("nk,nc->kc", dy, x) if needs[1] else None,
        dy.sum(axis=0) if needs[2] else None,
    )


# ---- Pooling ---------------------------------------------------------------------------------------------


def _extend(x: Array, windows: _Windows, fill: Any) -> Array:
    """x with its leading padding and with whatever the windows reach behind it."""
    (top, _), (left, _) = windows.padding
    rows, columns = _last_row_and_column(windows)
    height, width = x.shape[2:]
    plane = np.full((*x.shape[:2], max(rows, top + height), max(columns, left + width)), fill, x.dtype)
    plane[:, :, top:top + height, left:left + width] = x
    return plane


def max_pool2d(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False, *, layout: str = "NCHW",
) -> Any:
    """The maximum of each window; with ``return_indices`` also its position h*W + w in the image (int64).

    >>> y, where = max_pool2d(np.array([[[[1, 9], [9, 2]]]]), 2, return_indices=True)
    >>> y.item(), where.item()
    (9, 1)
    """
    x, kernel = _nchw(x, layout), _pair(kernel_size)
    height, width = x.shape[2:]
    windows = _windows((height, width), kernel, kernel if stride is None else stride, padding, dilation,
                       ceil_mode)
    plane = _extend(_wide(x), windows, 0)
    positions = _extend(np.arange(height * width).reshape(1, 1, height, width), windows, -1)
    best = np.zeros((*x.shape[:2], *windows.out), plane.dtype)
    where = np.full(best.shape, -1)
    for _, _, rows, columns in windows.taps():
        value, position = plane[:, :, rows, columns], positions[:, :, rows, columns]
        better = (position >= 0) & ((where < 0) | (value > best) | np.isnan(value))
        best, where = np.where(better, value, best), np.where(better, position, where)
    if (where < 0).any():
        raise ValueError("a window contains padding only, so it has no maximum")
    best, where = _from_nchw(best, layout), _from_nchw(where, layout)
    return (best, where) if return_indices else best


def max_pool2d_backward(
    grad_output: Array, indices: Array, input_size: Sequence[int], *, layout: str = "NCHW"
) -> Array:
    """dx: every dy returns to the pixel its maximum came from. ``input_size`` is the whole shape of x."""
    dy, indices = _wide(_nchw(grad_output, layout)), _nchw(indices, layout)
    n, c, height, width = _nchw(np.empty(tuple(input_size), bool), layout).shape
    dx = np.zeros((n * c, height * width), dy.dtype)
    np.add.at(dx, (np.arange(n * c)[:, None], indices.reshape(n * c, -1)), dy.reshape(n * c, -1))
    return _from_nchw(dx.reshape(n, c, height, width), layout)


def _window_sums(plane: Array, windows: _Windows) -> Array:
    total = np.zeros((*plane.shape[:2], *windows.out), plane.dtype)
    for _, _, rows, columns in windows.taps():
        total += plane[:, :, rows, columns]
    return total


def _divisor(size: Pair, windows: _Windows, count_include_pad: bool, divisor_override: int | None) -> Array:
    """What each window's sum is divided by: the number of elements it counts (never 0, to avoid 0/0)."""
    if divisor_override is not None:
        return np.array(divisor_override)
    if count_include_pad:
        # What ceil_mode reaches beyond the padding does not count.
        (top, bottom), (left, right) = windows.padding
        size = size[0] + top + bottom, size[1] + left + right
        windows = windows._replace(padding=((0, 0), (0, 0)))
    return np.maximum(_window_sums(_extend(np.ones((1, 1, *size)), windows, 0), windows), 1)


def avg_pool2d(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None, *, layout: str = "NCHW",
) -> Array:
    """The sum of each window over ``divisor_override``, or over the number of elements in the window.

    >>> avg_pool2d(np.array([[[[1, 2], [3, 4]]]]), 2).item()
    2.5
    """
    x, kernel = _nchw(x, layout), _pair(kernel_size)
    size = x.shape[2], x.shape[3]
    windows = _windows(size, kernel, kernel if stride is None else stride, padding, 1, ceil_mode)
    divisor = _divisor(size, windows, count_include_pad, divisor_override)
    return _from_nchw(_window_sums(_extend(_wide(x), windows, 0), windows) / divisor, layout)


def avg_pool2d_backward(
    grad_output: Array, input_size: Sequence[int], kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None, *,
    layout: str = "NCHW",
) -> Array:
    """dx: every element of a window gets dy over the window's divisor."""
    dy, kernel = _wide(_nchw(grad_output, layout)), _pair(kernel_size)
    n, c, height, width = _nchw(np.empty(tuple(input_size), bool), layout).shape
    windows = _windows((height, width), kernel, kernel if stride is None else stride, padding, 1, ceil_mode)
    share = dy / _divisor((height, width), windows, count_include_pad, divisor_override)
    plane = _extend(np.zeros((n, c, height, width), share.dtype), windows, 0)
    for _, _, rows, columns in windows.taps():
        plane[:, :, rows, columns] += share
    (top, _), (left, _) = windows.padding
    return _from_nchw(plane[:, :, top:top + height, left:left + width], layout)


# ---- Element by element, and batch normalisation ---------------------------------------------------------


def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    x = _wide(x)
    return np.where(x <= 0, 0, x)


def relu_backward(grad_output: Array, y: Array) -> Array:
    """grad_output where y > 0 or y is NaN, else 0."""
    return np.where(y <= 0, 0, _wide(grad_output))


def add(a: Array, b: Array, *, relu: bool = False) -> Array:
    """a + b, or max(a + b, 0)."""
    total: Array = _wide(a) + _wide(b)
    return np.where(total <= 0, 0, total) if relu else total


def _per_channel(values: Array | None, default: int) -> Any:
    return default if values is None else _wide(values)[:, None, None]


def batch_norm(
    x: Array, running_mean: Array | None, running_var: Array | None, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *,
    relu: bool = False, return_statistics: bool = False, layout: str = "NCHW",
) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias; in training the running statistics move, in place."""
    x = _wide(_nchw(x, layout))
    if training:
        n = x.size // x.shape[1]
        mean = x.mean((0, 2, 3))
        var = ((x - mean[:, None, None]) ** 2).mean((0, 2, 3))
        for running, new in ((running_mean, mean), (running_var, var * n / (n - 1))):
            if running is not None:
                running[...] = (1 - momentum) * running + momentum * new
    else:
        assert running_mean is not None and running_var is not None
        mean, var = _wide(running_mean), _wide(running_var)
    scale = _per_channel(weight, 1) / np.sqrt(var + eps)[:, None, None]
    y = (x - mean[:, None, None]) * scale + _per_channel(bias, 0)
    y = _from_nchw(np.where(y <= 0, 0, y) if relu else y, layout)
    return (y, mean, var) if return_statistics else y


def batch_norm_backward(
    grad_output: Array, x: Array, mean: Array, var: Array, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, eps: float = 1e-5, *,
    relu: bool = False, layout: str = "NCHW",
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias); mean and var are those of the batch where ``training``."""
    grad, x = _wide(_nchw(grad_output, layout)), _wide(_nchw(x, layout))
    deviation = np.sqrt(_wide(var) + eps)[:, None, None]
    normalized = (x - _wide(mean)[:, None, None]) / deviation
    if relu:
        grad = np.where(normalized * _per_channel(weight, 1) + _per_channel(bias, 0) <= 0, 0, grad)
    dweight, dbias = (grad * normalized).sum((0, 2, 3)), grad.sum((0, 2, 3))
    dx = grad
    if training:
        n = x.size // x.shape[1]
        dx = grad - dbias[:, None, None] / n - normalized * dweight[:, None, None] / n
    return _from_nchw(dx * _per_channel(weight, 1) / deviation, layout), dweight, dbias


# ---- Winograd --------------------------------------------------------------------------------------------


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
    x, weight = _wide(_nchw(x, layout)).astype(np.float64), _wide(weight).astype(np.float64)
    a_t, g, b_t = matrices
    m, tile = a_t.shape
    windows = _conv_geometry(x, weight, 1, padding, 1, groups)
    tiles_h, tiles_w = (-(-n // m) for n in windows.out)
    padded = _pad(x, windows.padding, "zeros")
    grown = np.zeros((*x.shape[:2], tiles_h * m + 2, tiles_w * m + 2))
    grown[:, :, :padded.shape[2], :padded.shape[3]] = padded
    u = _split_groups(np.einsum("ta,kcab,sb->kcts", g, weight, g, optimize=True), 0, groups)
    tiles = np.lib.stride_tricks.sliding_window_view(grown, (tile, tile), (2, 3))[:, :, ::m, ::m]
    v = _split_groups(np.einsum("ta,ncijab,sb->ncijts", b_t, tiles, b_t, optimize=True), 1, groups)
    products = np.einsum("ngcijts,gkcts->ngkijts", v, u, optimize=True)
    products = products.reshape(len(x), len(weight), *products.shape[3:])
    y = np.einsum("pt,nkijts,qs->nkipjq", a_t, products, a_t, optimize=True)
    y = y.reshape(len(x), len(weight), tiles_h * m, tiles_w * m)
    y = y[:, :, :windows.out[0], :windows.out[1]]
    return _from_nchw(y if bias is None else y + _wide(bias)[:, None, None], layout)


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
