# SPDX-License-Identifier: BSD-3-Clause
"""The kernels of the filters: integers, and what the sum of products is divided by.

Applied without flipping. So "sobel_x" is positive where the image grows brighter to the right, "sobel_y" where it
does downwards.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastconv.ops._check import Array, shown


class Kernel(NamedTuple):
    """Integer weights (height, width), and what the sum is divided by."""

    weights: Array
    divisor: int


def _kernel(rows: Sequence[Sequence[int]], divisor: int = 1) -> Kernel:
    return Kernel(np.array(rows), divisor)


def _outer(vertical: Sequence[int], horizontal: Sequence[int], divisor: int = 1) -> Kernel:
    """The kernel of two passes: one down the columns, one along the rows."""
    return Kernel(np.outer(vertical, horizontal), divisor)


_DIFFERENCE = (-1, 0, 1)

TABLE: dict[str, Kernel] = {
    "smoothing": _outer((1, 1, 1), (1, 1, 1), 9),
    "gaussian_3x3": _outer((1, 2, 1), (1, 2, 1), 16),
    "gaussian_5x5": _outer((1, 4, 6, 4, 1), (1, 4, 6, 4, 1), 256),
    "sharpen": _kernel([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "edge_4": _kernel([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]),
    "edge_8": _kernel([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "vertical_edge": _outer((1, 1, 1), (1, 0, -1)),
    "horizontal_edge": _outer((1, 0, -1), (1, 1, 1)),
    "prewitt_x": _outer((1, 1, 1), _DIFFERENCE),
    "prewitt_y": _outer(_DIFFERENCE, (1, 1, 1)),
    "sobel_x": _outer((1, 2, 1), _DIFFERENCE),
    "sobel_y": _outer(_DIFFERENCE, (1, 2, 1)),
    "scharr_x": _outer((3, 10, 3), _DIFFERENCE),
    "scharr_y": _outer(_DIFFERENCE, (3, 10, 3)),
    "roberts_x": _kernel([[1, 0], [0, -1]]),
    "roberts_y": _kernel([[0, 1], [-1, 0]]),
    "emboss": _kernel([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
}

#: The names that `kernel` knows.
KERNELS = tuple(TABLE)


def kernel(name: str) -> Array:
    """A named kernel, as a float32 array (height, width) of its own, that may be a filter of a convolution.

    name: one of KERNELS.

    Raises TypeError for what is no name, ValueError for an unknown one.

    >>> import numpy as np
    >>> from fastconv import filters, ops
    >>> filters.kernel("sobel_x").tolist()
    [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]
    >>> gradient = np.stack([filters.kernel("sobel_x"), filters.kernel("sobel_y")])[:, None]    # (K, C, 3, 3)
    >>> ops.conv2d(np.ones((1, 1, 8, 8), np.float32), gradient).shape
    (1, 2, 6, 6)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be one of {', '.join(KERNELS)}, got {shown(name)}")
    if name not in TABLE:
        raise ValueError(f"name must be one of {', '.join(KERNELS)}, got {shown(name)}{suggestion(name, KERNELS)}")
    weights, divisor = TABLE[name]
    return (weights / divisor).astype(np.float32)


def suggestion(name: str, names: Sequence[str]) -> str:
    """The end of an error about an unknown name.

    >>> suggestion("sobbel_x", KERNELS)
    "; did you mean 'sobel_x'?"
    """
    from difflib import get_close_matches  # which a program without errors does not need

    close = get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
