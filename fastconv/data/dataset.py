# SPDX-License-Identifier: BSD-3-Clause
"""What every data set is once it is loaded, and how it is cut into batches."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, split once and for all into those to learn from and those to be judged by.

    train_images, test_images: float32 (N, C, H, W) in [0, 1].
    train_labels, test_labels: int64 (N,), indices into classes.

    Raises ValueError if these do not fit each other.

    >>> images, labels = np.zeros((4, 1, 8, 8), np.float32), np.array([0, 1, 0, 1])
    >>> Dataset("empty", images, labels, images[:2], labels[:2], ("cat", "dog")).test.labels
    array([0, 1])
    """

    name: str
    train_images: Array = field(repr=False)
    train_labels: Array = field(repr=False)
    test_images: Array = field(repr=False)
    test_labels: Array = field(repr=False)
    classes: tuple[str, ...]

    @property
    def train(self) -> "Batch":
        """What to learn from, for a DataLoader."""
        return Batch(self.train_images, self.train_labels)

    @property
    def test(self) -> "Batch":
        """What to be judged by."""
        return Batch(self.test_images, self.test_labels)

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            self._check(part, getattr(self, f"{part}_images"), getattr(self, f"{part}_labels"))
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                f"an image of train_images is {self.train_images.shape[1:]}, "
                f"one of test_images {self.test_images.shape[1:]}"
            )

    def _check(self, part: str, images: Array, labels: Array) -> None:
        if images.ndim != 4 or images.dtype != np.float32:
            raise ValueError(f"{part}_images must be float32 (N, C, H, W), got {images.dtype} {images.shape}")
        if labels.shape != images.shape[:1] or labels.dtype != np.int64:
            raise ValueError(
                f"{part}_labels must be int64 ({len(images)},), one for each image, "
                f"got {labels.dtype} {labels.shape}"
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise ValueError(
                f"{part}_labels must lie in 0..{len(self.classes) - 1}, got {labels.min()}..{labels.max()}"
            )


class Batch(NamedTuple):
    """images (n, C, H, W) and their labels (n,)."""

    images: Array
    labels: Array


def batches(
    images: Array,
    labels: Array,
    batch_size: int,
    rng: np.random.Generator | None = None,
    shift: int = 0,
) -> Iterator[Batch]:
    """Cut images into batches of batch_size; the last one holds the rest.

    rng: shuffles the images; equal generators give equal batches. Without one the batches are in order and
        share memory with `images`.
    shift: moves each image by up to so many pixels along each axis, at random and afresh each time, filling
        up with zeros; needs an rng. A digit is the same digit a little to the left, and a net that has seen
        it there generalises better.

    Raises ValueError for a batch_size below 1, or a shift without rng. DataLoader can do more.

    >>> import numpy as np
    >>> images, labels = np.zeros((5, 1, 8, 8), np.float32), np.arange(5)
    >>> [batch.labels.tolist() for batch in batches(images, labels, 2)]
    [[0, 1], [2, 3], [4]]
    >>> [batch.images.shape for batch in batches(images, labels, 4, np.random.default_rng(0), shift=2)]
    [(4, 1, 8, 8), (1, 1, 8, 8)]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if shift and rng is None:
        raise ValueError(f"shift={shift} moves images at random and needs an rng, got None")
    if rng is None:
        return _ordered(images, labels, batch_size)
    return _shuffled(images, labels, batch_size, rng, shift)


def _ordered(images: Array, labels: Array, batch_size: int) -> Iterator[Batch]:
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        yield Batch(images[part], labels[part])


def _shuffled(
    images: Array, labels: Array, batch_size: int, rng: np.random.Generator, shift: int
) -> Iterator[Batch]:
    order = rng.permutation(len(images))
    border = (shift, shift)
    padded = np.pad(images, ((0, 0), (0, 0), border, border)) if shift else images
    # windows[n, c, i, j] is image n seen through a frame moved by (i, j): a view, nothing is copied yet.
    windows = sliding_window_view(padded, images.shape[2:], axis=(2, 3))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        down, right = rng.integers(0, 2 * shift + 1, (2, len(chosen)))
        yield Batch(windows[chosen, :, down, right], labels[chosen])
