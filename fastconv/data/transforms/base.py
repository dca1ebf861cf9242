# SPDX-License-Identifier: BSD-3-Clause
"""What every transform is, several in a row, and the checks of their arguments."""

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.data.dataset import Array
from fastconv.errors import ShapeError
from fastconv.ops._check import base_array, integer, shown
from fastconv.random import generator

Rng = np.random.Generator
Interval = tuple[float, float]

ELEMENTS = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.uint8))


class Transform:
    """Images (N, C, H, W), float32, float64 or uint8, to new ones; subclasses say how in `apply`.

    seed: of a generator of its own, for calls without one.

    >>> class Negative(Transform):
    ...     def apply(self, images, rng):
    ...         return 1 - images
    >>> Negative()(np.zeros((2, 1, 1, 1), np.float32)).ravel().tolist()
    [1.0, 1.0]
    """

    def __init__(self, *, seed: int | None = None) -> None:
        self._own = None if seed is None else np.random.default_rng(integer("seed", seed, 0, 2**64 - 1))

    def __call__(self, images: Array, rng: Rng | None = None) -> Array:
        """New images of the same element type.

        rng: where randomness comes from; by default the transform's own generator if it has a seed, else the one of
            fastconv.manual_seed.

        Raises TypeError unless images is an array of float32, float64 or uint8 and rng a numpy.random.Generator;
        ShapeError unless images is (N, C, H, W) with C, H, W >= 1.
        """
        if rng is not None and not isinstance(rng, Rng):
            raise TypeError(f"rng must be a numpy.random.Generator, got {shown(rng)}")
        return self.apply(check_images(images), rng or self._own or generator())

    def apply(self, images: Array, rng: Rng) -> Array:
        """The new images; `images` are checked, and must be left as they are."""
        raise NotImplementedError(f"{type(self).__name__} has no apply")

    def __repr__(self) -> str:
        shown_as = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name[0] != "_")
        return f"{type(self).__name__}({shown_as})"


class Compose(Transform):
    """One transform after the other, all drawing from the same generator.

    transforms: transforms, or functions of (images, rng).

    Raises TypeError where one of them cannot be called.

    >>> Compose([lambda images, rng: images + 1] * 2)(np.zeros((1, 1, 1, 1), np.float32)).item()
    2.0
    """

    def __init__(self, transforms: Sequence[Callable[[Array, Rng], Array]], *, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        if not isinstance(transforms, (tuple, list)) or not all(map(callable, transforms)):
            raise TypeError(f"transforms must be a list of functions of (images, rng), got {shown(transforms)}")
        self.transforms = tuple(transforms)

    def apply(self, images: Array, rng: Rng) -> Array:
        for transform in self.transforms:
            images = transform(images, rng)
        return images


# ---- what images are -------------------------------------------------------------------------------------------------


def check_images(value: object) -> Array:
    """`value` as a plain array, if it holds images (N, C, H, W)."""
    images = base_array("images", value)
    if images.dtype not in ELEMENTS:
        raise TypeError(f"images must be float32, float64 or uint8, got {images.dtype}")
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ShapeError(f"images must be (N, C, H, W) with C, H, W at least 1, got {images.shape}")
    return images


def as_float(images: Array) -> Array:
    """`images` in the element type to compute in: uint8 as float32, 0 to 255."""
    return images.astype(np.float32) if images.dtype == np.uint8 else images


def as_stored(values: Array, dtype: np.dtype[Any]) -> Array:
    """What was computed from images of type `dtype`, in that type again."""
    if dtype == np.uint8:
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return values.astype(dtype, copy=False)


def by_channel(name: str, values: float | tuple[float, ...], images: Array) -> Array:
    """A number, or one for each channel, as an array (C,) of the element type of images."""
    if images.dtype == np.uint8 and not np.all((np.asarray(values) >= 0) & (np.asarray(values) <= 255)):
        raise ValueError(f"{name} must lie between 0 and 255 for uint8 images, got {shown(values)}")
    if isinstance(values, tuple) and len(values) != images.shape[1]:
        raise ShapeError(f"{name} has {len(values)} numbers, but images have {images.shape[1]} channels")
    return np.broadcast_to(as_stored(np.asarray(values), images.dtype), images.shape[1:2])


# ---- numbers ---------------------------------------------------------------------------------------------------------


def number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """`value` as a finite float in [low, high]: TypeError for what is no number, ValueError outside the range."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    result = float(value)
    if not (math.isfinite(result) and low <= result <= high):
        raise ValueError(f"{name} must be a finite number between {low:g} and {high:g}, got {shown(value)}")
    return result


def fraction(name: str, value: object) -> float:
    """A probability, or a share."""
    return number(name, value, 0, 1)


def interval(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> Interval:
    """A pair of numbers, the first not above the second."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a pair of numbers, got {shown(value)}")
    if len(value) != 2:
        raise ValueError(f"{name} must be a pair of numbers, got {shown(value)}")
    first, second = (number(f"{name}[{i}]", v, low, high) for i, v in enumerate(value))
    if first > second:
        raise ValueError(f"{name} must be (smallest, largest), got {shown(value)}")
    return first, second


def spread(name: str, value: object) -> Interval:
    """A number d >= 0 for (-d, d), or a pair."""
    if isinstance(value, (tuple, list)):
        return interval(name, value)
    size = number(name, value, 0)
    return -size, size


def colour(name: str, value: object) -> float | tuple[float, ...]:
    """A number, or a tuple or list of one for each channel."""
    if isinstance(value, (tuple, list)):
        return tuple(number(f"{name}[{i}]", v) for i, v in enumerate(value))
    return number(name, value)
