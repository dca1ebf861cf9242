# SPDX-License-Identifier: BSD-3-Clause
"""Covering a part of each image, so that a network does not rely on one sign alone."""

import math

import numpy as np

from fastconv.data.dataset import Array
from fastconv.data.transforms.base import Interval, Rng, Transform, by_channel, colour, fraction, interval, number
from fastconv.ops._check import pair

#: How many rectangles RandomErasing draws until one fits; if none does, the image stays. torchvision's number.
ATTEMPTS = 10


class Cutout(Transform):
    """Covers a rectangle of each image (DeVries and Taylor, 2017).

    size: of the rectangle, an integer or (height, width). Its middle may be any pixel, so part of it may lie outside.
    fill: what covers, a number or one for each channel.
    p: the probability that an image is covered.

    Images keep their shape (N, C, H, W). Raises TypeError or ValueError naming the argument, and ShapeError where fill
    does not fit the channels.

    >>> int(Cutout(8, seed=1)(np.ones((1, 1, 32, 32), np.float32)).sum())
    976
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        fill: float | tuple[float, ...] = 0.0,
        p: float = 1.0,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed=seed)
        self.size = pair("size", size, 1)
        self.fill = colour("fill", fill)
        self.p = fraction("p", p)

    def apply(self, images: Array, rng: Rng) -> Array:
        chosen = rng.random(len(images)) < self.p
        top, left = (
            rng.integers(0, extent, len(images)) - size // 2
            for extent, size in zip(images.shape[2:], self.size, strict=True)
        )
        height, width = (size * chosen for size in self.size)
        return _covered(images, top, left, height, width, by_channel("fill", self.fill, images))


class RandomErasing(Transform):
    """Covers a rectangle of random place, area and shape in each image, with probability p (Zhong et al., 2017).

    scale: a pair of shares of the image's area. ratio: a pair of positive ratios of height to width, drawn so that
        1/r is as likely as r. value: what covers, a number or one for each channel.

    Names, defaults and definition are torchvision's. Images keep their shape (N, C, H, W). Raises TypeError or
    ValueError naming the argument, and ShapeError where value does not fit the channels.

    >>> RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1, 1), seed=0)(np.ones((1, 1, 8, 8), np.float32)).sum()
    np.float32(48.0)
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Interval = (0.02, 0.33),
        ratio: Interval = (0.3, 3.3),
        value: float | tuple[float, ...] = 0.0,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed=seed)
        self.p = fraction("p", p)
        self.scale = interval("scale", scale, 0, 1)
        self.ratio = interval("ratio", ratio)
        number("ratio[0]", self.ratio[0], math.ulp(0.0))
        self.value = colour("value", value)

    def apply(self, images: Array, rng: Rng) -> Array:
        count, _, height, width = images.shape
        area = height * width * rng.uniform(*self.scale, (ATTEMPTS, count))
        ratio = np.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), area.shape))
        rows, columns = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (rows < height) & (columns < width)
        first = (fits.argmax(axis=0), np.arange(count))
        erased = fits[first] & (rng.random(count) < self.p)
        rows, columns = ((extent[first] * erased).astype(np.int64) for extent in (rows, columns))
        top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
        return _covered(images, top, left, rows, columns, by_channel("value", self.value, images))


def _covered(images: Array, top: Array, left: Array, height: Array, width: Array, fill: Array) -> Array:
    """images with the rectangle of each, given by four arrays (N,), filled; it may reach beyond the image."""
    inside_rows, inside_columns = (
        (np.arange(extent) >= first[:, None]) & (np.arange(extent) < (first + size)[:, None])
        for extent, first, size in ((images.shape[2], top, height), (images.shape[3], left, width))
    )
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return np.where(inside, fill[:, None, None], images)
