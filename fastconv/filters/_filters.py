# SPDX-License-Identifier: BSD-3-Clause
"""The filters. What they have in common, options and errors too, is said in fastconv/filters/__init__.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastconv.errors import ShapeError
from fastconv.filters._image import MAX_RADIUS, Image, checked, positive, real
from fastconv.filters._kernels import TABLE
from fastconv.ops._check import Array, base_array, integer, shown

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


def apply(
    image: Array, kernel: Array, *, padding_mode: str = "reflect", channel_axis: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:  # fmt: skip
    """Filter with any kernel.

        y[i, j] = sum over u, v of  image[i + u - (K - 1) // 2, j + v - (L - 1) // 2] * kernel[u, v]

    image: (H, W), or with channel_axis a third axis. kernel: (K, L), of real numbers, not flipped; it is converted to
    the type of the computation. Returns an array of the image's shape.

    Raises, besides the errors of all filters, TypeError for a kernel that is no array of real numbers, and ShapeError
    for one that has not two axes, is empty or has an axis longer than 65537.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> shift = np.array([[0, 0, 1]])
    >>> filters.apply(np.array([[1, 2, 3]], np.uint8), shift, padding_mode="zeros").tolist()
    [[2.0, 3.0, 0.0]]
    """
    picture = checked(image, padding_mode, channel_axis, dtype)
    weights = base_array("kernel", kernel)
    if weights.dtype.kind not in "buif":
        raise TypeError(f"kernel must be of real numbers, got {weights.dtype}")
    if weights.ndim != 2 or not weights.size or max(weights.shape) > 2 * MAX_RADIUS + 1:
        raise ShapeError(f"kernel must have shape (K, L), from 1 to {2 * MAX_RADIUS + 1} each, got {weights.shape}")
    return picture.result(picture.correlate(weights)[0])


# ---- smooth and sharp ------------------------------------------------------------------------------------


def smoothing(
    image: Array, size: int = 3, *, padding_mode: str = "reflect", channel_axis: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:  # fmt: skip
    """The mean of the size x size pixels around each pixel; size is odd.

        y[i, j] = sum over |u|, |v| <= size // 2 of  image[i + u, j + v] / size^2

    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters. ValueError for a size that is even or below 1.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> spot = np.zeros((3, 4), np.uint8)
    >>> spot[1, 1] = 90
    >>> filters.smoothing(spot, padding_mode="zeros", dtype=np.uint8).tolist()
    [[10, 10, 10, 0], [10, 10, 10, 0], [10, 10, 10, 0]]
    """
    picture = checked(image, padding_mode, channel_axis, dtype)
    count = integer("size", size, 1, 2 * MAX_RADIUS + 1)
    if count % 2 == 0:
        raise ValueError(f"size must be odd, so that there is a pixel in the middle, got {count}")
    ones = np.ones(count)
    return picture.result(picture.separably(ones, ones, divisor=count * count))


def gaussian(
    image: Array, sigma: float = 1.0, *, truncate: float = 4.0, padding_mode: str = "reflect",
    channel_axis: int | None = None, dtype: DTypeLike | None = None,
) -> Array:  # fmt: skip
    """The mean of the pixels around each pixel, weighted by a Gaussian bell of standard deviation sigma, in pixels.

        y[i, j] = sum over |u|, |v| <= r of  image[i + u, j + v] * exp(-(u^2 + v^2) / (2 sigma^2)) / Z

    with r = floor(truncate * sigma + 1/2), and Z the sum of the weights. One pass along each axis.
    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters. TypeError and ValueError for a sigma or truncate
    that is no number above 0, or whose product is above 32768.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> step = np.repeat(np.array([[0.0, 1.0]]), 4, axis=1)
    >>> filters.gaussian(step, sigma=1)[0].round(2).tolist()
    [0.0, 0.0, 0.06, 0.3, 0.7, 0.94, 1.0, 1.0]
    """
    picture = checked(image, padding_mode, channel_axis, dtype)
    return picture.result(_gaussian(picture, sigma, truncate))


def _gaussian(picture: Image, sigma: float, truncate: float) -> Array:
    deviation, reach = positive("sigma", sigma), positive("truncate", truncate)
    if not reach * deviation <= MAX_RADIUS:
        raise ValueError(f"truncate * sigma must be at most {MAX_RADIUS}, got {shown(truncate)} * {shown(sigma)}")
    radius = int(reach * deviation + 0.5)
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    bell /= bell.sum()
    return picture.separably(bell, bell)


def sharpen(
    image: Array, *, padding_mode: str = "reflect", channel_axis: int | None = None, dtype: DTypeLike | None = None
) -> Array:
    """The image plus its Laplacian edges: the kernel 0 -1 0 / -1 5 -1 / 0 -1 0.

    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> filters.sharpen(np.array([[10, 10, 20, 20]], np.uint8)).tolist()
    [[10.0, 0.0, 30.0, 20.0]]
    """
    return _named("sharpen", image, padding_mode, channel_axis, dtype)


def unsharp_mask(
    image: Array, sigma: float = 1.0, amount: float = 1.0, *, padding_mode: str = "reflect",
    channel_axis: int | None = None, dtype: DTypeLike | None = None,
) -> Array:  # fmt: skip
    """The image plus `amount` times what a Gaussian takes away: y = image + amount * (image - gaussian(image, sigma)).

    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> step = np.repeat(np.array([[100, 200]], np.uint8), 3, axis=1)
    >>> filters.unsharp_mask(step, dtype=np.uint8)[0].tolist()
    [99, 94, 70, 230, 206, 201]
    """
    picture = checked(image, padding_mode, channel_axis, dtype)
    factor = real("amount", amount)
    planes = picture.planes.astype(picture.work)
    return picture.result(planes + factor * (planes - _gaussian(picture, sigma, 4.0)))


def emboss(
    image: Array, *, padding_mode: str = "reflect", channel_axis: int | None = None, dtype: DTypeLike | None = None
) -> Array:
    """A relief, lit along the diagonal: the kernel -2 -1 0 / -1 1 1 / 0 1 2.

    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> filters.emboss(np.array([[10, 10, 20, 20]], np.uint8)).tolist()
    [[10.0, 40.0, 50.0, 20.0]]
    """
    return _named("emboss", image, padding_mode, channel_axis, dtype)


# ---- edges -----------------------------------------------------------------------------------------------


def edge(
    image: Array, neighbours: int = 4, *, padding_mode: str = "reflect", channel_axis: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:  # fmt: skip
    """The Laplacian, negated: how much brighter a pixel is than its neighbours.

    neighbours: 4, by the kernel 0 -1 0 / -1 4 -1 / 0 -1 0; or 8, by -1 -1 -1 / -1 8 -1 / -1 -1 -1.
    image: (H, W), or with channel_axis a third axis. Returns an array of this shape, negative beside
    bright edges. Dtypes, options and errors of all filters: see fastconv.filters. ValueError for other neighbours.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> filters.edge(np.array([[10, 10, 20, 20]], np.uint8)).tolist()
    [[0.0, -10.0, 10.0, 0.0]]
    """
    if integer("neighbours", neighbours, 4, 8) not in (4, 8):
        raise ValueError(f"neighbours must be 4 or 8, got {neighbours}")
    return _named(f"edge_{neighbours}", image, padding_mode, channel_axis, dtype)


def vertical_edge(
    image: Array, *, padding_mode: str = "reflect", channel_axis: int | None = None, dtype: DTypeLike | None = None
) -> Array:
    """Vertical edges, positive where the left side is brighter: the kernel 1 0 -1 / 1 0 -1 / 1 0 -1.

    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> filters.vertical_edge(np.array([[10, 10, 0, 0]], np.uint8)).tolist()
    [[0.0, 30.0, 30.0, 0.0]]
    """
    return _named("vertical_edge", image, padding_mode, channel_axis, dtype)


def horizontal_edge(
    image: Array, *, padding_mode: str = "reflect", channel_axis: int | None = None, dtype: DTypeLike | None = None
) -> Array:
    """Horizontal edges, positive where the upper side is brighter: the kernel 1 1 1 / 0 0 0 / -1 -1 -1.

    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> filters.horizontal_edge(np.array([[10], [10], [0], [0]], np.uint8)).ravel().tolist()
    [0.0, 30.0, 30.0, 0.0]
    """
    return _named("horizontal_edge", image, padding_mode, channel_axis, dtype)


def prewitt(
    image: Array, axis: int | None = None, *, padding_mode: str = "reflect", channel_axis: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:  # fmt: skip
    """The gradient after Prewitt: differences across three pixels, summed over three rows. Not normalised.

    axis: None for its size sqrt(gx^2 + gy^2); 1 for gx, by the kernel -1 0 1 / -1 0 1 / -1 0 1, positive where the
        image grows brighter to the right; 0 for gy, by the transpose, positive where it does downwards.
    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> filters.prewitt(np.array([[0, 0, 10, 10]], np.uint8)).tolist()
    [[0.0, 30.0, 30.0, 0.0]]
    """
    return _gradient("prewitt", axis, image, padding_mode, channel_axis, dtype)


def sobel(
    image: Array, axis: int | None = None, *, padding_mode: str = "reflect", channel_axis: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:  # fmt: skip
    """The gradient after Sobel: as Prewitt's, with the middle row counted twice. Not normalised.

    axis: None for its size sqrt(gx^2 + gy^2); 1 for gx, by the kernel -1 0 1 / -2 0 2 / -1 0 1, positive where the
        image grows brighter to the right; 0 for gy, by the transpose, positive where it does downwards.
    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> filters.sobel(np.array([[200, 200, 0, 0]], np.uint8), axis=1).tolist()
    [[0.0, -800.0, -800.0, 0.0]]
    """
    return _gradient("sobel", axis, image, padding_mode, channel_axis, dtype)


def scharr(
    image: Array, axis: int | None = None, *, padding_mode: str = "reflect", channel_axis: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:  # fmt: skip
    """The gradient after Scharr: rows weighted 3, 10, 3, so that its size hardly depends on direction. Not normalised.

    axis: None for its size sqrt(gx^2 + gy^2); 1 for gx, by the kernel -3 0 3 / -10 0 10 / -3 0 3, positive where the
        image grows brighter to the right; 0 for gy, by the transpose, positive where it does downwards.
    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> filters.scharr(np.array([[0, 0, 10, 10]], np.uint8)).tolist()
    [[0.0, 160.0, 160.0, 0.0]]
    """
    return _gradient("scharr", axis, image, padding_mode, channel_axis, dtype)


def roberts(
    image: Array, axis: int | None = None, *, padding_mode: str = "reflect", channel_axis: int | None = None,
    dtype: DTypeLike | None = None,
) -> Array:  # fmt: skip
    """The gradient after Roberts: differences along the two diagonals of each square of 2 x 2 pixels.

    axis: None for its size; 1 for image[i, j] - image[i + 1, j + 1], 0 for image[i, j + 1] - image[i + 1, j].
    image: (H, W), or with channel_axis a third axis. Returns an array of this shape.
    Dtypes, options and errors of all filters: see fastconv.filters.

    >>> import numpy as np
    >>> from fastconv import filters
    >>> filters.roberts(np.array([[0, 0, 3], [0, 4, 4]], np.uint8), axis=1, padding_mode="zeros").tolist()
    [[-4.0, -4.0, 3.0], [0.0, 4.0, 4.0]]
    """
    return _gradient("roberts", axis, image, padding_mode, channel_axis, dtype)


def _named(
    name: str, image: Array, padding_mode: str, channel_axis: int | None, dtype: DTypeLike | None
) -> Array:
    picture = checked(image, padding_mode, channel_axis, dtype)
    weights, divisor = TABLE[name]
    return picture.result(picture.correlate(weights, divisor=divisor)[0])


def _gradient(
    name: str, axis: int | None, image: Array, padding_mode: str, channel_axis: int | None, dtype: DTypeLike | None
) -> Array:
    if axis is not None:
        direction = "yx"[integer("axis", axis, 0, 1)]
        return _named(f"{name}_{direction}", image, padding_mode, channel_axis, dtype)
    picture = checked(image, padding_mode, channel_axis, dtype)
    x, y = picture.correlate(TABLE[f"{name}_x"].weights, TABLE[f"{name}_y"].weights)
    return picture.result(_hypotenuse(x, y, picture.planes.dtype.kind != "f"))


def _hypotenuse(x: Array, y: Array, integers: bool) -> Array:
    """sqrt(x^2 + y^2), in the memory of x and y. numpy.hypot takes five times as long, but squares of floats overflow
    and vanish where their hypotenuse does not; those of integers do neither.
    """
    if not integers:
        return np.hypot(x, y, out=x)
    np.multiply(x, x, out=x)
    np.multiply(y, y, out=y)
    return np.sqrt(np.add(x, y, out=x), out=x)
