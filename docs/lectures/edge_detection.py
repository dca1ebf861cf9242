# SPDX-License-Identifier: BSD-3-Clause
"""Edge detection: what the classic kernels see in a photograph.

    python docs/lectures/edge_detection.py [DIRECTORY]

writes edges.png (directions, and the gradient made of two), kernels.png (all kernels side by side) and
scales.png (edges of the photograph and of smoothed copies).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from _pictures import Array, draw_image, draw_kernel, report, run
from matplotlib.colors import hsv_to_rgb

from fastconv import filters, ops
from fastconv._extras import require
from fastconv.viz import figure_of, save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("smoothing", "gaussian_5x5", "sharpen", "emboss", "edge_4", "edge_8", "vertical_edge", "horizontal_edge",
         "prewitt_x", "scharr_y", "roberts_x", "roberts_y")  # fmt: skip


def main(directory: Path) -> None:
    """Check that a filter is a convolution like any other, and draw."""
    image = photograph()
    weight = filters.kernel("sobel_x")[None, None]
    by_convolution = ops.conv2d(image[None, None].astype(np.float32), weight)[0, 0]
    np.testing.assert_array_equal(by_convolution, filters.sobel(image, axis=1)[1:-1, 1:-1])
    wrapped = by_convolution.astype(np.int64).astype(np.uint8)
    print(f"sobel of a uint8 image: {by_convolution.min():.0f} to {by_convolution.max():.0f}; kept in uint8, "
          f"{np.mean(wrapped != by_convolution):.0%} of the pixels would wrap around\n\nwritten:")  # fmt: skip
    save(edges(image), report(directory / "edges.png"))
    save(kernels(image), report(directory / "kernels.png"))
    save(scales(image), report(directory / "scales.png"))


def photograph() -> Array:
    """A temple in grey, uint8: scikit-learn's photograph, by the weights of ITU-R BT.601."""
    colour = require("sklearn.datasets", extra="demo").load_sample_image("china.jpg")
    return np.rint(colour @ [0.299, 0.587, 0.114]).astype(np.uint8)


@styled
def edges(image: Array) -> "Figure":
    """The two components of the gradient, its size, and its direction as colour."""
    down, right = filters.sobel(image, axis=0), filters.sobel(image, axis=1)
    size = filters.sobel(image)
    limit = float(np.quantile(size, 0.99))
    figure = figure_of("The gradient after Sobel: two kernels, one size, one direction")
    figure.set_layout_engine("compressed")
    axes = figure.subplots(2, 2)
    signed = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    draw_image(axes[0, 0], right, "$g_x$, red: brighter to the right", **signed)
    draw_kernel(axes[0, 0], filters.kernel("sobel_x"))
    draw_image(axes[0, 1], down, "$g_y$, red: brighter downwards", **signed)
    draw_kernel(axes[0, 1], filters.kernel("sobel_y"))
    draw_image(axes[1, 0], size, "size, $\\sqrt{g_x^2 + g_y^2}$", vmin=0, vmax=limit)
    draw_image(axes[1, 1], _direction(right, down, limit / 1.5), "direction as hue, size as brightness")
    wheel = axes[1, 1].inset_axes((0.83, 0.02, 0.16, 0.16 * image.shape[1] / image.shape[0]))
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    draw_image(wheel, np.dstack([_direction(x, y, 1), x**2 + y**2 <= 1]))
    return figure


def _direction(right: Array, down: Array, limit: float) -> Array:
    """Red for what grows brighter to the right, then clockwise through the rainbow; black where nothing does."""
    hue = (np.arctan2(down, right) / (2 * np.pi)) % 1
    value = np.clip(np.hypot(right, down) / limit, 0, 1)
    return hsv_to_rgb(np.dstack([hue, np.full_like(hue, 0.85), value]))


@styled
def kernels(image: Array) -> "Figure":
    """A part of the photograph through many kernels, each with its numbers."""
    part = image[40:240, 150:450]
    figure = figure_of("One photograph, twelve kernels")
    for axes, name in zip(figure.subplots(3, 4).flat, SHOWN, strict=True):
        kernel = filters.kernel(name)
        if kernel.sum() > 0.5:
            draw_image(axes, filters.apply(part, kernel, dtype=np.uint8), name)
        else:
            found = filters.apply(part, kernel)
            limit = float(np.quantile(np.abs(found), 0.99))
            draw_image(axes, found, name, cmap="RdBu_r", vmin=-limit, vmax=limit)
        whole = {"smoothing": 9, "gaussian_5x5": 256}.get(name, 1)
        width = 0.36 if len(kernel) > 3 or name.startswith("scharr") else 0.28
        draw_kernel(axes, np.rint(kernel * whole), width, divisor=whole)
    return figure


@styled
def scales(image: Array) -> "Figure":
    """The gradient of the photograph and of smoothed copies: the wider the bell, the coarser the edges."""
    figure = figure_of("Smooth first: the wider the Gaussian, the coarser the edges that are left")
    figure.set_layout_engine("compressed")
    sigmas = (0, 1, 2, 4)
    for axes, sigma in zip(figure.subplots(2, 2).flat, sigmas, strict=True):
        smooth = filters.gaussian(image, sigma) if sigma else image
        size = filters.sobel(smooth)
        title = f"Gaussian, σ = {sigma} pixels" if sigma else "as it is"
        draw_image(axes, size, title, vmin=0, vmax=float(np.quantile(size, 0.99)), cmap="gray_r")
    return figure


if __name__ == "__main__":
    run(main)
