# SPDX-License-Identifier: BSD-3-Clause
"""What the lecture scripts draw with: small matrices as coloured squares with their numbers, and photographs."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from fastconv.viz import BLUE, VERMILION

GREEN, PURPLE = "#009E73", "#CC79A7"
MARKS = (VERMILION, BLUE, GREEN, PURPLE)

Array = np.ndarray[Any, np.dtype[Any]]
Box = tuple[float, float, float, float]    # top, left, height, width, in cells


def run(main: Callable[[Path], None]) -> None:
    """Call main with the directory named on the command line, by default lecture-pictures, and list what it wrote."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "lecture-pictures")
    directory.mkdir(parents=True, exist_ok=True)
    main(directory)


def draw_matrix(
    axes: Axes, values: Array, title: str = "", *, marked: Sequence[tuple[Box, str]] = (), frame: int = 0,
    size: float = 17, limit: float | None = None,
) -> None:  # fmt: skip
    """A matrix, the colour of each cell from its value; the `frame` cells around it are padding, hatched.

    Brightnesses go from grey to white; where some are negative, from blue to red.
    limit: the value of the strongest colour; by default the largest.
    marked: boxes to outline, each with its colour.
    """
    height, width = values.shape
    limit = limit or float(np.abs(values).max()) or 1.0
    if values.min() < 0:
        axes.imshow(values, cmap="RdBu_r", vmin=-1.6 * limit, vmax=1.6 * limit)
    else:
        axes.imshow(values, cmap="gray", vmin=-1.4 * limit, vmax=1.15 * limit)
    for (row, column), value in np.ndenumerate(values):
        inside = frame <= row < height - frame and frame <= column < width - frame
        if not inside:
            cell = (column - 0.5, row - 0.5), 1, 1
            axes.add_patch(Rectangle(*cell, facecolor="white", edgecolor="#DDDDDD", hatch="///", lw=0))
        text = f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
        fitting, colour = size if len(text) < 3 else 0.82 * size, "black" if inside else "#777777"
        axes.text(column, row, text, ha="center", va="center", fontsize=fitting, color=colour)
    lines = {"color": "white", "lw": 2}
    axes.hlines(np.arange(0.5, height - 1), -0.5, width - 0.5, **lines)
    axes.vlines(np.arange(0.5, width - 1), -0.5, height - 0.5, **lines)
    for (top, left, rows, columns), colour in marked:
        corner, extents = (left - 0.44, top - 0.44), (columns - 0.12, rows - 0.12)
        axes.add_patch(Rectangle(corner, *extents, fill=False, ec=colour, lw=4, clip_on=False, zorder=5))
    axes.set_title(title, fontsize=17, pad=10)
    axes.set_axis_off()


def equal_cells(axes: Axes, size: int, largest: int) -> None:
    """Leave so much room around a matrix that its cells are as large as those of the largest of its row."""
    spare = (largest - size) / 2
    axes.set(xlim=(-0.5 - spare, size - 0.5 + spare), ylim=(size - 0.5 + spare, -0.5 - spare))


def draw_sign(axes: Axes, sign: str, note: str = "") -> None:
    """An operator between two matrices, as large as they deserve, with a note below."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, sign, ha="center", va="center", fontsize=40, transform=axes.transAxes)
    axes.text(0.5, 0.36, note, ha="center", va="center", fontsize=13, transform=axes.transAxes)


def draw_image(axes: Axes, image: Array, title: str = "", **options: Any) -> None:
    """A photograph or a map, without axes."""
    axes.imshow(image, **({"cmap": "gray"} | options))
    axes.set_title(title, fontsize=15, pad=6)
    axes.set_axis_off()


def draw_kernel(axes: Axes, kernel: Array, width: float = 0.2, divisor: int = 1) -> None:
    """A kernel as a small matrix in the lower right corner, with what it is divided by."""
    rows, columns = axes.get_images()[0].get_size()
    height = width * kernel.shape[0] / kernel.shape[1] * columns / rows    # a share of the axes' height
    corner = axes.inset_axes((0.99 - width, 0.015, width, height))
    draw_matrix(corner, kernel, size=9 if len(kernel) > 3 else 12)
    if divisor != 1:
        box = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 2}
        corner.text(-0.08, 0.5, f"1/{divisor} \u00d7", ha="right", va="center", fontsize=12, bbox=box,
                    transform=corner.transAxes)  # fmt: skip


def report(path: Path) -> Path:
    """Say that a picture is being written."""
    print(f"  {path}")
    return path
