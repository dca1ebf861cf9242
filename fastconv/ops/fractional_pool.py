# SPDX-License-Identifier: BSD-3-Clause
"""Fractional max pooling (B. Graham, arXiv:1412.6071): windows of one size at uneven distances, drawn at random."""

from typing import Any

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import LAYOUTS_OF, Array, Shape, flag, float_array, several, shown
from fastconv.ops._shapes import AXIS_NAMES, IntOrPair, IntOrTriple, image_axes
from fastconv.ops._taps import max_of_taps

Ratio = float | tuple[float, ...] | None


def fractional_max_pool2d(
    x: Array, kernel_size: IntOrPair, random_samples: Array, output_size: IntOrPair | None = None,
    output_ratio: Ratio = None, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Max pooling with as many windows as asked for, at distances that the random numbers decide.

    x: (N, C, H, W), float32 or float64. kernel_size: an int, or (vertical, horizontal).
    random_samples: (N, C, 2), float32 or float64, in [0, 1): for each channel a number u for its columns, and one for
        its rows.
    output_size, output_ratio: one of them: an int or (OH, OW); or a number or two, above 0 and below 1, of which the
        output is the product with the size of x, rounded down.

    With a = (H - kernel) / (OH - 1) window i < OH - 1 begins at floor((i + u) * a) - floor(u * a), the last one at
    H - kernel; this in the precision of x, as in PyTorch. Columns alike.

    Returns y, (N, C, OH, OW), or with return_indices (y, indices), as max_pool2d; the gradient is
    max_pool2d_backward's. ShapeError where output_size + kernel_size - 1 exceeds x.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, u = np.arange(25.0).reshape(1, 1, 5, 5), np.full((1, 1, 2), 0.5)
    >>> ops.fractional_max_pool2d(x, 2, u, output_size=3).tolist()
    [[[[6.0, 8.0, 9.0], [16.0, 18.0, 19.0], [21.0, 23.0, 24.0]]]]
    """
    return _fractional(2, x, kernel_size, random_samples, output_size, output_ratio, return_indices)


def fractional_max_pool3d(
    x: Array, kernel_size: IntOrTriple, random_samples: Array, output_size: IntOrTriple | None = None,
    output_ratio: Ratio = None, return_indices: bool = False,
) -> Any:  # fmt: skip
    """fractional_max_pool2d of volumes: x (N, C, D, H, W); random_samples (N, C, 3), for depth, height and width.

    Returns y, (N, C, OD, OH, OW), or (y, indices); the gradient is max_pool3d_backward's.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x, u = np.arange(27.0).reshape(1, 1, 3, 3, 3), np.zeros((1, 1, 3))
    >>> ops.fractional_max_pool3d(x, 2, u, output_ratio=0.5).tolist()
    [[[[[26.0]]]]]
    """
    return _fractional(3, x, kernel_size, random_samples, output_size, output_ratio, return_indices)


def _fractional(
    axes: int, x: Any, kernel_size: Any, random_samples: Any, output_size: Any, output_ratio: Any, return_indices: Any
) -> Any:
    x, samples = float_array("x", x), float_array("random_samples", random_samples)
    return_indices = flag("return_indices", return_indices)
    layout = LAYOUTS_OF[axes][0]
    batch, channels, size = image_axes("x", x.shape, layout)
    kernel = several("kernel_size", kernel_size, axes, 1)
    out = fractional_size(size, output_size, output_ratio)
    _check_windows(size, kernel, out)
    if samples.shape != (batch, channels, axes):
        expected = (batch, channels, axes)
        raise ShapeError(f"random_samples must have shape {expected} for x {x.shape}, got {samples.shape}")
    if not ((samples >= 0) & (samples < 1)).all():
        raise ValueError("random_samples must be numbers in [0, 1)")
    samples = samples.astype(x.dtype, copy=False)
    if axes == 2:
        samples = samples[:, :, ::-1]    # PyTorch takes the columns' first, of volumes it does not
    taps = [
        _starts(samples[:, :, a, None], size[a], out[a], kernel[a])[..., None] + np.arange(kernel[a])
        for a in range(axes)
    ]
    return max_of_taps(x, taps, layout, return_indices)


def fractional_size(size: Shape, output_size: Any, output_ratio: Any) -> Shape:
    """The size of the output, from the one of the two that is given; size: that of the images."""
    if (output_size is None) == (output_ratio is None):
        given = f"output_size={shown(output_size)}, output_ratio={shown(output_ratio)}"
        raise ValueError(f"give one of output_size and output_ratio, got {given}")
    if output_size is not None:
        return several("output_size", output_size, len(size), 1)
    ratios = check_ratios(output_ratio, len(size))
    out = tuple(int(n * r) for n, r in zip(size, ratios, strict=True))
    if 0 in out:
        raise ShapeError(f"output_ratio={shown(output_ratio)} leaves nothing of x, which is {size}")
    return out


def check_ratios(value: Any, axes: int) -> tuple[float, ...]:
    ratios = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(ratios) != axes:
        raise ValueError(f"output_ratio must be a number or {axes} numbers, got {shown(value)}")
    for ratio in ratios:
        if isinstance(ratio, bool) or not isinstance(ratio, (int, float)):
            raise TypeError(f"output_ratio must be a number, got {shown(ratio)}")
        if not 0 < ratio < 1:
            raise ValueError(f"output_ratio must be above 0 and below 1, got {shown(ratio)}")
    return ratios


def _check_windows(size: Shape, kernel: Shape, out: Shape) -> None:
    for name, n, k, m in zip(AXIS_NAMES[len(size)], size, kernel, out, strict=True):
        if m + k - 1 > n:
            raise ShapeError(
                f"output_size={m} with kernel_size={k} needs a {name} of at least {m + k - 1}, x has {n}: "
                "ask for a smaller output"
            )


def _starts(u: Any, n: int, out: int, kernel: int) -> Any:
    """(N, C, out): where the windows of an axis begin, in the precision of u (N, C, 1)."""
    last = n - kernel
    starts = np.full((*u.shape[:2], out), last)
    if out > 1:
        step = u.dtype.type(last) / u.dtype.type(out - 1)
        i = np.arange(out - 1).astype(u.dtype)
        starts[:, :, :-1] = np.minimum(((i + u) * step).astype(np.int64) - (u * step).astype(np.int64), last)
    return starts
