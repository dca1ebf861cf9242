# SPDX-License-Identifier: BSD-3-Clause
"""Turning, enlarging, moving and shearing, by bilinear interpolation.

With x to the right, y down and the origin in the middle of the image, a pixel goes from p to

    M p + t,    M = scale * R(angle) Y(shear_y) X(shear_x)

    R(a) = [cos a  -sin a]    X(s) = [1  -tan s]    Y(s) = [   1    0]
           [sin a   cos a]           [0     1  ]           [-tan s  1]

as torchvision has it. So the value of a new pixel q is read at M^-1 (q - t), between four old ones.
"""

import math

import numpy as np

from fastconv.data.dataset import Array
from fastconv.data.transforms.base import (
    Interval,
    Rng,
    Transform,
    as_float,
    as_stored,
    by_channel,
    colour,
    fraction,
    interval,
    number,
    spread,
)
from fastconv.ops._check import shown

Shears = tuple[Interval, Interval]

#: A shear of a right angle would squeeze the image into a line.
MAX_SHEAR = 89.0


class RandomAffine(Transform):
    """Turns, moves, enlarges and shears each image about its middle, by random amounts.

    degrees: angles clockwise, a pair (smallest, largest), or d for (-d, d).
    translate: the largest moves, as shares (horizontal, vertical) of width and height; by whole pixels.
    scale: a pair of positive factors (smallest, largest); above 1 enlarges.
    shear: degrees, d for (-d, d) or a pair, along x; or four numbers, two for x and two for y.
    fill: the value beyond the border, a number or one for each channel.

    All are drawn uniformly, and named and defined as torchvision's. Images keep their shape (N, C, H, W). Raises
    TypeError or ValueError naming the argument, and ShapeError where fill does not fit the channels.

    >>> images = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    >>> RandomAffine((90, 90))(images)[0, 0].round(4).tolist()
    [[6.0, 3.0, 0.0], [7.0, 4.0, 1.0], [8.0, 5.0, 2.0]]
    """

    def __init__(
        self,
        degrees: float | Interval,
        translate: Interval | None = None,
        scale: Interval | None = None,
        shear: float | tuple[float, ...] | None = None,
        fill: float | tuple[float, ...] = 0.0,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed=seed)
        self.degrees = spread("degrees", degrees)
        self.translate = _shares(translate)
        self.scale = (1.0, 1.0) if scale is None else _factors(scale)
        self.shear = _shears(shear)
        self.fill = colour("fill", fill)

    def apply(self, images: Array, rng: Rng) -> Array:
        count, _, height, width = images.shape
        turn, shear_x, shear_y = (
            np.radians(rng.uniform(*limits, count)) for limits in (self.degrees, *self.shear)
        )
        scale = rng.uniform(*self.scale, count)
        moves = [
            np.rint(rng.uniform(-share, share, count) * extent)
            for share, extent in zip(self.translate, (width, height), strict=True)
        ]
        inverse = np.linalg.inv(_matrices(turn, shear_x, shear_y, scale))
        x, y = _sources(inverse, moves, height, width)
        values = as_float(images)
        return as_stored(bilinear(values, x, y, by_channel("fill", self.fill, images)), images.dtype)


class RandomRotation(RandomAffine):
    """Turns each image about its middle by a random angle.

    degrees: angles counter-clockwise, a pair (smallest, largest), or d for (-d, d).
    fill: the value beyond the border, a number or one for each channel.

    Images keep their shape (N, C, H, W). Raises TypeError or ValueError naming the argument, and ShapeError where fill
    does not fit the channels.

    >>> images = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    >>> RandomRotation((90, 90))(images)[0, 0].round(4).tolist()
    [[2.0, 5.0, 8.0], [1.0, 4.0, 7.0], [0.0, 3.0, 6.0]]
    """

    def __init__(
        self,
        degrees: float | Interval,
        fill: float | tuple[float, ...] = 0.0,
        *,
        seed: int | None = None,
    ) -> None:
        low, high = spread("degrees", degrees)
        super().__init__((-high, -low), fill=fill, seed=seed)


class RandomScale(RandomAffine):
    """Enlarges or shrinks each image about its middle by a random factor; it keeps its size in pixels.

    scale: a pair of positive factors (smallest, largest).
    fill: the value beyond the border, a number or one for each channel.

    Images keep their shape (N, C, H, W). Raises TypeError or ValueError naming the argument, and ShapeError where fill
    does not fit the channels.

    >>> RandomScale((0.5, 0.5))(np.ones((1, 1, 4, 4), np.float32))[0, 0, 1].tolist()
    [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(
        self, scale: Interval, fill: float | tuple[float, ...] = 0.0, *, seed: int | None = None
    ) -> None:
        super().__init__(0.0, scale=scale, fill=fill, seed=seed)


def bilinear(images: Array, x: Array, y: Array, fill: Array) -> Array:
    """The values of images (N, C, H, W), floats, at columns x and rows y, both (N, h, w); fill (C,) lies around them.

    A position between four pixels gets their mean, weighted by how near they are.

    >>> image = np.array([[[[0.0, 4.0]]]])
    >>> bilinear(image, np.array([[[0.25, 1.0, 1.5]]]), np.zeros((1, 1, 3)), np.zeros(1)).tolist()
    [[[[1.0, 4.0, 2.0]]]]
    """
    count, channels, height, width = images.shape
    # One pixel of fill on each side is enough: every position further out is moved onto it.
    framed = np.empty((count, height + 2, width + 2, channels), images.dtype)
    framed[:] = fill
    framed[:, 1:-1, 1:-1] = images.transpose(0, 2, 3, 1)
    x, y = np.clip(x + 1, 0, width + 1), np.clip(y + 1, 0, height + 1)
    left, top = np.minimum(x.astype(np.intp), width), np.minimum(y.astype(np.intp), height)
    # Repeated for each channel, because broadcasting over an axis of three costs a loop for each pixel.
    right, down = (
        (position - corner).astype(images.dtype)[..., None].repeat(channels, axis=-1)
        for position, corner in ((x, left), (y, top))
    )
    row = width + 2
    corner = (np.arange(count)[:, None, None] * (height + 2) + top) * row + left
    # take and not [...]: seven times as fast on rows of three; all indices are inside, so "clip" only saves a check.
    pixels = framed.reshape(-1, channels)
    upper, lower = (
        _between(pixels.take(i, axis=0, mode="clip"), pixels.take(i + 1, axis=0, mode="clip"), right)
        for i in (corner, corner + row)
    )
    return np.ascontiguousarray(_between(upper, lower, down).transpose(0, 3, 1, 2))


def _between(first: Array, second: Array, share: Array) -> Array:
    """first + share * (second - first), in the memory of second."""
    second -= first
    second *= share
    second += first
    return second


def _matrices(turn: Array, shear_x: Array, shear_y: Array, scale: Array) -> Array:
    """M of the page's head for each image, (N, 2, 2)."""
    one, zero = np.ones_like(turn), np.zeros_like(turn)
    rotation = _matrix(np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn))
    along_y = _matrix(one, zero, -np.tan(shear_y), one)
    along_x = _matrix(one, -np.tan(shear_x), zero, one)
    product: Array = scale[:, None, None] * (rotation @ along_y @ along_x)
    return product


def _matrix(*elements: Array) -> Array:
    return np.stack(elements, axis=-1).reshape(-1, 2, 2)


def _sources(inverse: Array, moves: list[Array], height: int, width: int) -> tuple[Array, Array]:
    """The columns and rows, (N, height, width), at which each new pixel is to be read."""
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    across = (np.arange(width) - middle_x - moves[0][:, None])[:, None, :]
    along = (np.arange(height) - middle_y - moves[1][:, None])[:, :, None]
    a, b, c, d = (inverse[:, i, j, None, None] for i in (0, 1) for j in (0, 1))
    return a * across + b * along + middle_x, c * across + d * along + middle_y


def _shares(translate: object) -> Interval:
    if translate is None:
        return 0.0, 0.0
    if not isinstance(translate, (tuple, list)) or len(translate) != 2:
        raise TypeError(f"translate must be a pair of shares (horizontal, vertical), got {shown(translate)}")
    return fraction("translate[0]", translate[0]), fraction("translate[1]", translate[1])


def _factors(scale: object) -> Interval:
    low, high = interval("scale", scale)
    return number("scale[0]", low, math.ulp(0.0)), high


def _shears(shear: object) -> Shears:
    """The limits along x and along y."""
    if shear is None:
        return (0.0, 0.0), (0.0, 0.0)
    if isinstance(shear, (tuple, list)) and len(shear) == 4:
        limits = interval("shear[:2]", shear[:2]), interval("shear[2:]", shear[2:])
    else:
        limits = spread("shear", shear), (0.0, 0.0)
    for low, high in limits:
        number("shear", low, -MAX_SHEAR, MAX_SHEAR)
        number("shear", high, -MAX_SHEAR, MAX_SHEAR)
    return limits
