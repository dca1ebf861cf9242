# SPDX-License-Identifier: BSD-3-Clause
"""The layers as functions of tensors or arrays; they return tensors. Each is defined next to its layer.

On arrays alone, without gradients, use :mod:`fastconv.ops`.
"""

from fastconv.nn.activation import log_softmax, relu, sigmoid, softmax, tanh
from fastconv.nn.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    global_avg_pool,
    global_max_pool,
)
from fastconv.nn.conv import conv1d, conv2d, conv3d
from fastconv.nn.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from fastconv.nn.dropout import dropout
from fastconv.nn.fractional_pool import fractional_max_pool2d, fractional_max_pool3d
from fastconv.nn.linear import linear
from fastconv.nn.local import fold, locally_connected1d, locally_connected2d, tiled_conv2d, unfold
from fastconv.nn.loss import cross_entropy
from fastconv.nn.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    hinge_embedding_loss,
    hinge_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    multi_margin_loss,
    nll_loss,
    smooth_l1_loss,
)
from fastconv.nn.lp_unpool import (
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from fastconv.nn.pool import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    min_pool1d,
    min_pool2d,
    min_pool3d,
)

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "cross_entropy", "dropout", "fold", "fractional_max_pool2d",
    "fractional_max_pool3d", "global_avg_pool", "global_max_pool", "hinge_embedding_loss", "hinge_loss",
    "huber_loss", "kl_div", "l1_loss", "linear", "locally_connected1d", "locally_connected2d", "log_softmax",
    "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool2d", "max_pool3d", "max_unpool1d",
    "max_unpool2d", "max_unpool3d", "min_pool1d", "min_pool2d", "min_pool3d", "mse_loss", "multi_margin_loss",
    "nll_loss", "relu", "sigmoid", "smooth_l1_loss", "softmax", "tanh", "tiled_conv2d", "unfold",
]
