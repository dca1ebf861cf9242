# SPDX-License-Identifier: BSD-3-Clause
"""Scikit-learn's handwritten digits: 1,797 images that come with the package, so no network is needed.

Each is 8x8 with 17 grey levels. They are enlarged to 24x24 and framed with two empty pixels, which makes them
28x28 as MNIST's are, so that one network fits both.
"""

from typing import Any

import numpy as np

from fastconv._extras import require
from fastconv.data.dataset import Array, Dataset

SIZE = 28
BORDER = 2
LEVELS = 16


def load_digits(seed: int = 0) -> Dataset:
    """The digits, one fifth of each class held out for testing.

    seed: which fifth. The default is the split that every published number of this project uses.

    Raises MissingExtra without scikit-learn.

    >>> data = load_digits()
    >>> data.train_images.shape, data.test_images.shape, len(data.classes)
    ((1437, 1, 28, 28), (360, 1, 28, 28), 10)
    """
    raw = require("sklearn.datasets", extra="demo").load_digits()
    images = enlarge(raw.images / LEVELS)[:, None].astype(np.float32)
    labels = raw.target.astype(np.int64)
    held_out = stratified(labels, 5, seed)
    classes = tuple(str(name) for name in raw.target_names)
    return Dataset(
        "digits", images[~held_out], labels[~held_out], images[held_out], labels[held_out], classes
    )


def enlarge(images: Array) -> Array:
    """(N, 8, 8) to (N, 28, 28): bilinear to 24x24, then a border of zeros.

    Bilinear interpolation is separable: one small matrix for the rows and the same for the columns.
    """
    matrix = interpolation(images.shape[1], SIZE - 2 * BORDER)
    border = (BORDER, BORDER)
    enlarged: Array = np.pad(matrix @ images @ matrix.T, ((0, 0), border, border))
    return enlarged


def interpolation(size: int, target: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The (target, size) matrix that resamples a line of `size` pixels linearly, pixel centres at i + 1/2.

    >>> interpolation(2, 4).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    position = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(size)))


def stratified(labels: Array, parts: int, seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A mask of one random image in `parts`, drawn from each class alike.

    The images of each class are numbered at random and every parts-th is taken, counting through the classes,
    so that the mask holds len(labels) / parts images, rounded up.

    >>> stratified(np.array([0, 0, 1, 1, 1, 1]), 2, seed=0).sum()
    np.int64(3)
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    mask = np.zeros(len(labels), dtype=np.bool_)
    mask[by_class[::parts]] = True
    return mask
