# SPDX-License-Identifier: BSD-3-Clause
"""Changing the values of pixels where they are."""

import numpy as np

from fastconv.data.dataset import Array
from fastconv.data.transforms.base import (
    Interval,
    Rng,
    Transform,
    as_float,
    as_stored,
    by_channel,
    check_images,
    colour,
    interval,
    number,
)
from fastconv.errors import ShapeError

#: How bright red, green and blue look to the eye (ITU-R BT.601), with torchvision's digits.
GREY = (0.2989, 0.587, 0.114)


class ToFloat(Transform):
    """uint8 images 0 to 255 as float32 0 to 1; floats as they are.

    >>> ToFloat()(np.array([[[[0, 51, 255]]]], np.uint8)).ravel().tolist()
    [0.0, 0.20000000298023224, 1.0]
    """

    def __init__(self) -> None:
        super().__init__()

    def apply(self, images: Array, rng: Rng) -> Array:
        if images.dtype != np.uint8:
            return images.copy()
        scaled: Array = np.divide(images, np.float32(255), dtype=np.float32)
        return scaled


class Normalize(Transform):
    """(images - mean) / std, in each channel.

    mean, std: numbers, or one for each channel; std not zero.

    Raises TypeError for uint8 images, ValueError for a std that is not positive, ShapeError where the numbers do not
    fit the channels.

    >>> Normalize((0.5,), (0.25,))(np.ones((1, 1, 1, 1), np.float32)).item()
    2.0
    """

    def __init__(self, mean: float | tuple[float, ...], std: float | tuple[float, ...]) -> None:
        super().__init__()
        self.mean, self.std = colour("mean", mean), colour("std", std)
        if np.any(np.asarray(self.std) <= 0):
            raise ValueError(f"std must be positive, got {std}")

    @classmethod
    def of(cls, images: Array) -> "Normalize":
        """The one that gives these images (N, C, H, W), floats, mean 0 and standard deviation 1 in each channel.

        Raises TypeError for uint8 images, ValueError where a channel is constant or not finite.

        >>> Normalize.of(np.array([[[[0.0, 2.0]]]], np.float32))
        Normalize(mean=(1.0,), std=(1.0,))
        """
        images = _floats(check_images(images))
        mean = images.mean(axis=(0, 2, 3), dtype=np.float64)
        std = images.std(axis=(0, 2, 3), dtype=np.float64)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    def apply(self, images: Array, rng: Rng) -> Array:
        images = _floats(images)
        mean, std = (by_channel(n, v, images)[:, None, None] for n, v in (("mean", self.mean), ("std", self.std)))
        result: Array = images - mean
        result /= std
        return result


def _floats(images: Array) -> Array:
    if images.dtype == np.uint8:
        raise TypeError("images must be float32 or float64, got uint8. Convert them first: ToFloat()(images).")
    return images


class ColorJitter(Transform):
    """Changes brightness, contrast, saturation and hue of each image by random amounts, in random order.

    brightness, contrast, saturation: x for factors from max(0, 1 - x) to 1 + x, or a pair (smallest, largest). 0 makes
        the image black, grey all over, or grey; 1 changes nothing.
    hue: a part of the colour circle, at most 0.5: x for (-x, x), or a pair.

    images: (N, 3, H, W), or (N, 1, H, W), where only brightness and contrast matter; uint8, or floats in [0, 1]. The
    results lie there too. The definitions are torchvision's; the factors are drawn for each image, the order for each
    batch. Raises TypeError or ValueError naming the argument, ShapeError for other numbers of channels.

    >>> ColorJitter(brightness=(0.5, 0.5))(np.full((1, 1, 1, 1), 0.5, np.float32)).item()
    0.25
    """

    def __init__(
        self,
        brightness: float | Interval = 0.0,
        contrast: float | Interval = 0.0,
        saturation: float | Interval = 0.0,
        hue: float | Interval = 0.0,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed=seed)
        self.brightness = _factors("brightness", brightness)
        self.contrast = _factors("contrast", contrast)
        self.saturation = _factors("saturation", saturation)
        self.hue = interval("hue", hue, -0.5, 0.5) if isinstance(hue, (tuple, list)) else _both(hue)

    def apply(self, images: Array, rng: Rng) -> Array:
        if images.shape[1] not in (1, 3):
            raise ShapeError(f"images must have 1 channel or 3, red, green and blue, got {images.shape[1]}")
        steps = (
            (adjust_brightness, self.brightness, 1.0),
            (adjust_contrast, self.contrast, 1.0),
            (adjust_saturation, self.saturation, 1.0),
            (adjust_hue, self.hue, 0.0),
        )
        order = rng.permutation(len(steps))
        amounts = [rng.uniform(*limits, len(images)) for _, limits, _ in steps]
        top = 255 if images.dtype == np.uint8 else 1
        values = as_float(images) / top if top != 1 else images.copy()
        for i in order:
            adjust, limits, neutral = steps[i]
            if limits != (neutral, neutral):
                values = adjust(values, amounts[i].astype(values.dtype)[:, None, None, None])
        return as_stored(values * top if top != 1 else values, images.dtype)


def _factors(name: str, value: object) -> Interval:
    if isinstance(value, (tuple, list)):
        return interval(name, value, 0)
    size = number(name, value, 0)
    return max(0.0, 1 - size), 1 + size


def _both(hue: object) -> Interval:
    size = number("hue", hue, 0, 0.5)
    return -size, size


# ---- the definitions: images (N, 1 or 3, H, W) in [0, 1], one amount (N, 1, 1, 1) for each ---------------------------


def adjust_brightness(images: Array, factor: Array) -> Array:
    """Nearer to black, or further from it."""
    brighter: Array = np.clip(images * factor, 0, 1)
    return brighter


def adjust_contrast(images: Array, factor: Array) -> Array:
    """Nearer to the mean grey of the image, or further from it."""
    return _blend(images, _grey(images).mean(axis=(1, 2, 3), keepdims=True), factor)


def adjust_saturation(images: Array, factor: Array) -> Array:
    """Nearer to the grey of each pixel, or further from it."""
    if images.shape[1] == 1:
        return images
    return _blend(images, _grey(images), factor)


def adjust_hue(images: Array, turn: Array) -> Array:
    """Turned round the colour circle; a whole turn is 1. Value and saturation stay.

    With h the hue in sixths of the circle, v the largest of the three and c the largest less the smallest, a channel is
    v - c clip(min(k, 4 - k), 0, 1), k = (n + h) mod 6, n = 5, 3, 1 for red, green, blue.
    """
    if images.shape[1] == 1:
        return images
    value = images.max(axis=1, keepdims=True)
    chroma = value - images.min(axis=1, keepdims=True)
    hue = _sixths(images, value, chroma) + 6 * turn
    offsets = np.array([5, 3, 1], images.dtype)[:, None, None]
    k = (hue + offsets) % 6
    result: Array = value - chroma * np.clip(np.minimum(k, 4 - k), 0, 1)
    return result


def _sixths(images: Array, value: Array, chroma: Array) -> Array:
    """The hue (N, 1, H, W) in sixths of the circle: 0 red, 2 green, 4 blue; 0 for greys."""
    red, green, blue = (images[:, i : i + 1] for i in range(3))
    width = np.where(chroma > 0, chroma, 1)
    return np.where(
        value == red,
        (green - blue) / width,
        np.where(value == green, (blue - red) / width + 2, (red - green) / width + 4),
    )


def _grey(images: Array) -> Array:
    """(N, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = (images[:, i : i + 1] for i in range(3))
    grey: Array = GREY[0] * red + GREY[1] * green + GREY[2] * blue
    return grey


def _blend(images: Array, other: Array, factor: Array) -> Array:
    blended: Array = np.clip(factor * images + (1 - factor) * other, 0, 1)
    return blended
