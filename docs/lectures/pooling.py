# SPDX-License-Identifier: BSD-3-Clause
"""Pooling by hand, and by the library: the largest or the mean value of each window.

    python docs/lectures/pooling.py [DIRECTORY]

checks the one against the other and writes pooling.png and pooled-photograph.png.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _pictures import MARKS, Array, draw_image, draw_matrix, draw_sign, report, run

from fastconv import ops
from fastconv._extras import require
from fastconv.viz import figure_of, save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGE = np.array([
    [1, 3, 2, 1],
    [4, 6, 6, 8],
    [3, 1, 1, 0],
    [1, 7, 2, 9],
])  # fmt: skip

#: Windows of this size, side by side, for the photograph.
COARSE = 20


def pool(image: Array, size: int, stride: int, padding: int, of: Callable[[Array], Any], fill: float = 0.0) -> Array:
    """Look at the image through a window, write down one number of what is seen; move on by `stride`; repeat."""
    image = np.pad(image.astype(float), padding, constant_values=fill)
    rows = (image.shape[0] - size) // stride + 1
    columns = (image.shape[1] - size) // stride + 1
    result = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            result[i, j] = of(image[i * stride : i * stride + size, j * stride : j * stride + size])
    return result


def main(directory: Path) -> None:
    """Check, print and draw."""
    x = IMAGE[None, None].astype(np.float64)    # (N, C, H, W)
    print("size  stride  padding  result")
    for size, stride, padding in ((2, 2, 0), (2, 1, 0), (3, 1, 1), (3, 2, 1)):
        # No padded pixel may be the largest, so it counts as minus infinity; in a mean it counts as zero.
        largest = pool(IMAGE, size, stride, padding, np.max, fill=-np.inf)
        mean = pool(IMAGE, size, stride, padding, np.mean)
        np.testing.assert_array_equal(largest, ops.max_pool2d(x, size, stride, padding)[0, 0])
        np.testing.assert_allclose(mean, ops.avg_pool2d(x, size, stride, padding)[0, 0], rtol=1e-15)
        print(f"{size:4}  {stride:6}  {padding:7}  {largest.shape[0]} x {largest.shape[1]}")
    print("by hand and by library: the same\n\nwritten:")
    save(windows(), report(directory / "pooling.png"))
    save(photograph(), report(directory / "pooled-photograph.png"))


@styled
def windows() -> "Figure":
    """The four windows of a small image, the largest value and the mean of each."""
    figure = figure_of("Pooling: one number of each 2 x 2 window, stride 2")
    axes = figure.subplots(1, 4, width_ratios=[4, 0.8, 2.2, 2.2])
    places = [(i, j) for i in (0, 1) for j in (0, 1)]
    boxes = [((2 * i, 2 * j, 2, 2), colour) for (i, j), colour in zip(places, MARKS, strict=True)]
    cells = [((i, j, 1, 1), colour) for (i, j), colour in zip(places, MARKS, strict=True)]
    draw_matrix(axes[0], IMAGE, "image, 4 x 4", marked=boxes, size=26, limit=9)
    draw_sign(axes[1], "\N{RIGHTWARDS ARROW}")
    draw_matrix(axes[2], pool(IMAGE, 2, 2, 0, np.max), "maximum", marked=cells, size=26, limit=9)
    draw_matrix(axes[3], pool(IMAGE, 2, 2, 0, np.mean), "mean", marked=cells, size=26, limit=9)
    return figure


@styled
def photograph() -> "Figure":
    """A photograph in coarse windows: the maximum keeps what is bright, the mean keeps the brightness."""
    image = require("sklearn.datasets", extra="demo").load_sample_image("flower.jpg")
    image = image[: len(image) // COARSE * COARSE].astype(np.float32)
    options = {"kernel_size": COARSE, "layout": "NHWC"}
    largest = ops.max_pool2d(image[None], **options)[0]
    smallest = -ops.max_pool2d(-image[None], **options)[0]
    mean = ops.avg_pool2d(image[None], **options)[0]
    size = f"{image.shape[1]} x {image.shape[0]}"
    figure = figure_of(f"A photograph in windows of {COARSE} x {COARSE} pixels")
    figure.set_layout_engine("compressed")
    titles = (f"photograph, {size}", f"mean, {mean.shape[1]} x {mean.shape[0]}", "maximum: what is bright spreads",
              "minimum, −max(−x): what is dark spreads")  # fmt: skip
    for axes, pixels, title in zip(figure.subplots(2, 2).flat, (image, mean, largest, smallest), titles, strict=True):
        draw_image(axes, np.rint(pixels).astype(np.uint8), title, interpolation="nearest" if len(pixels) < 50 else None)
    return figure


if __name__ == "__main__":
    run(main)
