# SPDX-License-Identifier: BSD-3-Clause
"""Pure functions on NumPy arrays, each with its gradient next to it; the layers are made of these.

They keep no state but a cache of plans, and may be called from several threads.
"""

from fastconv.ops._algorithm import algorithm
from fastconv.ops.act import add, relu, relu_backward
from fastconv.ops.class_loss import (
    multi_margin_loss,
    multi_margin_loss_backward,
    nll_loss,
    nll_loss_backward,
)
from fastconv.ops.conv import (
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    conv3d,
    conv3d_backward,
)
from fastconv.ops.conv_transpose import (
    conv_transpose1d,
    conv_transpose1d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    conv_transpose3d,
    conv_transpose3d_backward,
)
from fastconv.ops.linear import linear, linear_backward
from fastconv.ops.local import (
    locally_connected1d,
    locally_connected1d_backward,
    locally_connected2d,
    locally_connected2d_backward,
    tiled_conv2d,
    tiled_conv2d_backward,
)
from fastconv.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_backward,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward,
    hinge_embedding_loss,
    hinge_embedding_loss_backward,
    hinge_loss,
    hinge_loss_backward,
    huber_loss,
    huber_loss_backward,
    kl_div,
    kl_div_backward,
    l1_loss,
    l1_loss_backward,
    mse_loss,
    mse_loss_backward,
    smooth_l1_loss,
    smooth_l1_loss_backward,
)
from fastconv.ops.norm import batch_norm, batch_norm_backward, batch_statistics
from fastconv.ops.pad import pad, pad_backward
from fastconv.ops.pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from fastconv.ops.resample import channel_shuffle, interpolate, interpolate_backward, pixel_shuffle, pixel_unshuffle
from fastconv.ops.signal import choose_conv_method, convolve, correlate
from fastconv.ops.unfold import fold, fold_backward, unfold, unfold_backward

__all__ = [
    "add",
    "algorithm",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_statistics",
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "channel_shuffle",
    "choose_conv_method",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose3d",
    "conv_transpose3d_backward",
    "convolve",
    "correlate",
    "fold",
    "fold_backward",
    "hinge_embedding_loss",
    "hinge_embedding_loss_backward",
    "hinge_loss",
    "hinge_loss_backward",
    "huber_loss",
    "huber_loss_backward",
    "interpolate",
    "interpolate_backward",
    "kl_div",
    "kl_div_backward",
    "l1_loss",
    "l1_loss_backward",
    "linear",
    "linear_backward",
    "locally_connected1d",
    "locally_connected1d_backward",
    "locally_connected2d",
    "locally_connected2d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mse_loss",
    "mse_loss_backward",
    "multi_margin_loss",
    "multi_margin_loss_backward",
    "nll_loss",
    "nll_loss_backward",
    "pad",
    "pad_backward",
    "pixel_shuffle",
    "pixel_unshuffle",
    "relu",
    "relu_backward",
    "smooth_l1_loss",
    "smooth_l1_loss_backward",
    "tiled_conv2d",
    "tiled_conv2d_backward",
    "unfold",
    "unfold_backward",
]
