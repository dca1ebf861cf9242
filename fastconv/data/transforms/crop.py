# SPDX-License-Identifier: BSD-3-Clause
"""Moving and mirroring: pixels change their place and keep their value."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastconv.data.dataset import Array
from fastconv.data.transforms.base import Rng, Transform, by_channel, fraction, number
from fastconv.errors import ShapeError
from fastconv.ops._check import pair, word

#: How an image goes on beyond its border: the names are torchvision's and numpy.pad's alike, "edge" included.
PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


class RandomCrop(Transform):
    """A part of each image, from a random place; with padding=4 and the size of the images it moves them by up to 4.

    size: of the part, an integer or (height, width).
    padding: added on all sides first, an integer or (vertical, horizontal).
    fill: the value of the padding, where padding_mode is "constant".
    padding_mode: "constant", "edge", "reflect" or "symmetric", as torchvision's.

    Images (N, C, H, W) become (N, C, *size). Raises ShapeError where the padded images are smaller than that, or too
    small to be reflected.

    >>> images = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> RandomCrop((2, 3), seed=0)(images)[0, 0].tolist()
    [[9.0, 10.0, 11.0], [13.0, 14.0, 15.0]]
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        padding: int | tuple[int, int] = 0,
        fill: float = 0.0,
        padding_mode: str = "constant",
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed=seed)
        self.size = pair("size", size, 1)
        self.padding = pair("padding", padding, 0)
        self.fill = number("fill", fill)
        self.padding_mode = word("padding_mode", padding_mode, PADDING_MODES)

    def apply(self, images: Array, rng: Rng) -> Array:
        self._check(images.shape)
        vertical, horizontal = self.padding
        margins = ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal))
        if self.padding_mode == "constant":
            padded = np.pad(images, margins, constant_values=by_channel("fill", self.fill, images)[0])
        else:
            padded = np.pad(images, margins, mode=self.padding_mode)  # type: ignore[call-overload]
        # windows[n, :, i, j] is image n seen through a frame at (i, j): a view, nothing is copied before the choice.
        windows = sliding_window_view(padded, self.size, axis=(2, 3))
        top, left = (rng.integers(0, count, len(images)) for count in windows.shape[2:4])
        chosen: Array = windows[np.arange(len(images)), :, top, left]
        return chosen

    def _check(self, shape: tuple[int, ...]) -> None:
        extents = tuple(extent + 2 * p for extent, p in zip(shape[2:], self.padding, strict=True))
        if any(size > extent for size, extent in zip(self.size, extents, strict=True)):
            raise ShapeError(f"size {self.size} is larger than the padded images {extents}; give more padding")
        if self.padding_mode == "reflect" and any(p >= e for p, e in zip(self.padding, shape[2:], strict=True)):
            raise ShapeError(f"padding {self.padding} must be smaller than the images {shape[2:]} to reflect them")


class RandomHorizontalFlip(Transform):
    """Mirrors each image, left to right, with probability p.

    Raises ValueError unless p is in [0, 1].

    >>> RandomHorizontalFlip(p=1.0)(np.array([[[[1, 2, 3]]]], np.uint8)).tolist()
    [[[[3, 2, 1]]]]
    """

    def __init__(self, p: float = 0.5, *, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.p = fraction("p", p)

    def apply(self, images: Array, rng: Rng) -> Array:
        return _mirrored(images, rng.random(len(images)) < self.p, axis=3)


class RandomVerticalFlip(RandomHorizontalFlip):
    """Mirrors each image, top to bottom, with probability p.

    Raises ValueError unless p is in [0, 1].

    >>> RandomVerticalFlip(p=1.0)(np.array([[[[1], [2]]]], np.uint8)).tolist()
    [[[[2], [1]]]]
    """

    def apply(self, images: Array, rng: Rng) -> Array:
        return _mirrored(images, rng.random(len(images)) < self.p, axis=2)


def _mirrored(images: Array, chosen: Array, axis: int) -> Array:
    result = images.copy()
    result[chosen] = np.flip(images[chosen], axis)
    return result
