# SPDX-License-Identifier: BSD-3-Clause
"""Borders that repeat pixels of the image: what of the gradient of a padded image each pixel gets."""

from typing import Any, NamedTuple

import numpy as np

from fastconv.ops._check import Shape

Array = np.ndarray[Any, Any]


class Border(NamedTuple):
    """Padding of the spatial axes; mode is "reflect", "replicate" or "circular"."""

    mode: str
    lo: Shape
    hi: Shape

    def padded_shape(self, shape: Shape, first: int) -> Shape:
        """Of images whose spatial axes begin at `first`."""
        new = list(shape)
        for axis, (lo, hi) in enumerate(zip(self.lo, self.hi, strict=True), first):
            new[axis] += lo + hi
        return tuple(new)


def fold_border(padded: Array, border: Border, first: int) -> Array:
    """The gradient of the image: each padded pixel's is added to that of the pixel it repeats.

    The result is a view of `padded`, which is overwritten. Spatial axes begin at `first`.
    """
    for axis, (lo, hi) in enumerate(zip(border.lo, border.hi, strict=True), first):
        lines = np.moveaxis(padded, axis, 0)
        before, image, after = np.split(lines, (lo, len(lines) - hi))
        n = len(image)
        if border.mode == "circular":
            image[n - lo:] += before
            image[:hi] += after
        elif border.mode == "reflect":
            image[1:lo + 1] += before[::-1]
            image[n - 1 - hi:n - 1] += after[::-1]
        else:
            image[0] += before.sum(0)
            image[-1] += after.sum(0)
        padded = np.moveaxis(image, 0, axis)
    return padded
