# SPDX-License-Identifier: BSD-3-Clause
"""Image filters: the classic kernels of image processing on greyscale and colour arrays.

    smoothing, gaussian                   take away detail
    sharpen, unsharp_mask                 add to it
    edge                                  the Laplacian, with 4 or 8 neighbours
    vertical_edge, horizontal_edge        edges of one direction
    prewitt, sobel, scharr, roberts       the gradient: its size, or one component
    emboss                                a relief, lit from the lower right
    apply                                 any kernel
    kernel, KERNELS                       the kernels as arrays, and their names

Every filter takes an image and, by keyword, the same three options:

padding_mode: what lies off the image, for rows "a b c d":

    "reflect"    d c b | a b c d | c b a      the default; the edge pixel is not repeated
    "replicate"  a a a | a b c d | d d d
    "circular"   b c d | a b c d | a b c
    "zeros"      0 0 0 | a b c d | 0 0 0

channel_axis: None for greyscale (H, W); for colour the axis that holds the channels: -1 for (H, W, C). Channels are
    filtered apart.
dtype: of the result. By default float32, and float64 for float64 images and integers of 32 or 64 bits: NumPy's common
    type of the image and float32. With np.uint8, int8, uint16 or int16 the result is rounded to the nearest integer,
    of two the even one, and values beyond the range become its ends; nothing wraps around.

Integer images are computed exactly by every kernel of integers, as long as no sum exceeds 2^24 for images of 8 and 16
bits, and 2^53 for others; the mean of smoothing is then rounded once. Filters are correlations, as in a neural network:
a kernel is not flipped. The image is never changed.

Every filter raises TypeError for an image that is no array of booleans, integers or floats of up to 64 bits, and for a
dtype that is none of these; ShapeError (a ValueError) for an image that is empty or has not two axes besides
channel_axis; ValueError for an unknown padding_mode, a parameter out of range, and a NaN that would become an integer.

>>> import numpy as np
>>> from fastconv import filters
>>> image = np.zeros((4, 6), np.uint8)
>>> image[:, 3:] = 200
>>> filters.sobel(image)[0].tolist()
[0.0, 0.0, 800.0, 800.0, 0.0, 0.0]
>>> filters.sobel(image, dtype=np.uint8)[0].tolist()
[0, 0, 255, 255, 0, 0]
"""

from fastconv.filters._filters import (
    apply,
    edge,
    emboss,
    gaussian,
    horizontal_edge,
    prewitt,
    roberts,
    scharr,
    sharpen,
    smoothing,
    sobel,
    unsharp_mask,
    vertical_edge,
)
from fastconv.filters._kernels import KERNELS, kernel

__all__ = [
    "KERNELS",
    "apply",
    "edge",
    "emboss",
    "gaussian",
    "horizontal_edge",
    "kernel",
    "prewitt",
    "roberts",
    "scharr",
    "sharpen",
    "smoothing",
    "sobel",
    "unsharp_mask",
    "vertical_edge",
]
