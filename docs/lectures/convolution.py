# SPDX-License-Identifier: BSD-3-Clause
"""Convolution by hand, and by the library; what padding and stride do to the size.

    python docs/lectures/convolution.py [DIRECTORY]

checks the one against the other and writes convolution.png and padding-and-stride.png.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from _pictures import MARKS, VERMILION, Array, draw_matrix, draw_sign, equal_cells, report, run

from fastconv import filters, ops
from fastconv.viz import figure_of, save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGE = np.array([
    [1, 1, 2, 8, 9, 9],
    [0, 2, 1, 9, 8, 9],
    [1, 0, 2, 9, 9, 8],
    [2, 1, 1, 8, 9, 9],
    [1, 1, 0, 2, 8, 9],
    [0, 2, 1, 1, 2, 9],
])  # fmt: skip
KERNEL = filters.kernel("vertical_edge").astype(int)


def convolve(image: Array, kernel: Array, stride: int = 1, padding: int = 0) -> Array:
    """Lay the kernel on the image, multiply what lies on each other, add up; move on by `stride`; repeat."""
    image = np.pad(image, padding)    # zeros on all four sides
    rows = (image.shape[0] - kernel.shape[0]) // stride + 1
    columns = (image.shape[1] - kernel.shape[1]) // stride + 1
    result = np.zeros((rows, columns), image.dtype)
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            window = image[top : top + kernel.shape[0], left : left + kernel.shape[1]]
            result[i, j] = (window * kernel).sum()
    return result


def convolve_by_library(image: Array, kernel: Array, stride: int = 1, padding: int = 0) -> Array:
    """The same by ops.conv2d, which takes a batch of images of several channels, and several kernels."""
    x = image[None, None].astype(np.float32)    # (N, C, H, W)
    weight = kernel[None, None].astype(np.float32)    # (K, C, height, width)
    return ops.conv2d(x, weight, stride=stride, padding=padding)[0, 0]


def main(directory: Path) -> None:
    """Check, print and draw."""
    print("stride  padding  size: (6 + 2 padding - 3) // stride + 1")
    for stride in (1, 2, 3):
        for padding in (0, 1, 2):
            by_hand = convolve(IMAGE, KERNEL, stride, padding)
            np.testing.assert_array_equal(by_hand, convolve_by_library(IMAGE, KERNEL, stride, padding))
            print(f"{stride:6}  {padding:7}  {by_hand.shape[0]} x {by_hand.shape[1]}")
    # Mathematics flips the kernel, neural networks do not.
    np.testing.assert_array_equal(ops.correlate(IMAGE, KERNEL, mode="valid"), convolve(IMAGE, KERNEL))
    np.testing.assert_array_equal(ops.convolve(IMAGE, KERNEL, mode="valid"), convolve(IMAGE, KERNEL[::-1, ::-1]))
    print("by hand and by library: the same\n\nwritten:")
    save(one_step(), report(directory / "convolution.png"))
    save(padding_and_stride(), report(directory / "padding-and-stride.png"))


@styled
def one_step() -> "Figure":
    """One window, its products, and where their sum goes."""
    row, column = 1, 1
    result = convolve(IMAGE, KERNEL)
    figure = figure_of("Convolution: multiply what lies on each other, add up, move on")
    grid = figure.add_gridspec(2, 5, width_ratios=[6, 0.9, 3, 0.9, 4], height_ratios=[5, 1])
    image, times, kernel, equals, output = (figure.add_subplot(grid[0, k]) for k in range(5))
    draw_matrix(image, IMAGE, "image, 6 x 6", marked=[((row, column, 3, 3), VERMILION)])
    draw_sign(times, "$\\ast$")
    draw_matrix(kernel, KERNEL, "kernel, 3 x 3\n(vertical edges)")
    draw_sign(equals, "=")
    draw_matrix(output, result, "result, 4 x 4", marked=[((row, column, 1, 1), VERMILION)])
    sums = figure.add_subplot(grid[1, :])
    sums.set_axis_off()
    window = IMAGE[row : row + 3, column : column + 3]
    lines = [
        " + ".join(f"{x}·{f'({w})' if w < 0 else w}" for x, w in zip(xs, ws, strict=True))
        for xs, ws in zip(window, KERNEL, strict=True)
    ]
    text = f"{'  +  '.join(lines)}  =  {result[row, column]}".replace("-", "\N{MINUS SIGN}")
    sums.text(0.5, 0.6, text, ha="center", va="center", fontsize=19, color=VERMILION)
    sums.text(0.5, 0.1, "far from zero where dark meets bright, 0 where nothing changes from left to right",
              ha="center", va="center", fontsize=15)  # fmt: skip
    return figure


@styled
def padding_and_stride() -> "Figure":
    """The same image three times: the first windows of each, and the results."""
    figure = figure_of("Padding keeps the border, stride skips positions:  size = ⌊(n + 2p − k) / s⌋ + 1")
    cases = [(1, 0), (1, 1), (2, 1)]
    grid = figure.subplots(2, len(cases), height_ratios=[8, 6])
    for (stride, padding), (above, below) in zip(cases, grid.T, strict=True):
        windows = [((0, 0, 3, 3), MARKS[0]), ((0, stride, 3, 3), MARKS[1])]
        cells = [((0, 0, 1, 1), MARKS[0]), ((0, 1, 1, 1), MARKS[1])]
        padded = np.pad(IMAGE, padding)
        title = f"padding p = {padding}, stride s = {stride}"
        draw_matrix(above, padded, title, marked=windows, frame=padding, size=12)
        result = convolve(IMAGE, KERNEL, stride, padding)
        size = f"⌊(6 + {2 * padding} − 3) / {stride}⌋ + 1 = {len(result)}"
        draw_matrix(below, result, size, marked=cells, size=12)
        equal_cells(above, len(padded), 8)
        equal_cells(below, len(result), 6)
    return figure


if __name__ == "__main__":
    run(main)
