# SPDX-License-Identifier: BSD-3-Clause
"""Pure functions on NumPy arrays, each with its gradient next to it; the layers are made of these.

They keep no state but a cache of plans, and may be called from several threads.
"""

from fastconv.ops._algorithm import algorithm
from fastconv.ops.act import add, relu, relu_backward
from fastconv.ops.conv import conv2d, conv2d_backward
from fastconv.ops.linear import linear, linear_backward
from fastconv.ops.norm import batch_norm, batch_norm_backward, batch_statistics
from fastconv.ops.pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from fastconv.ops.signal import choose_conv_method, convolve, correlate

__all__ = [
    "add",
    "algorithm",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_statistics",
    "choose_conv_method",
    "conv2d",
    "conv2d_backward",
    "convolve",
    "correlate",
    "linear",
    "linear_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "relu",
    "relu_backward",
]
