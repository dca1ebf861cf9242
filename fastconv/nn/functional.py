# SPDX-License-Identifier: BSD-3-Clause
"""The layers as functions of tensors or arrays; they return tensors. Each is defined next to its layer.

On arrays alone, without gradients, use :mod:`fastconv.ops`.
"""

from fastconv.functions.padding import pad
from fastconv.nn.activation import (
    hardsigmoid,
    hardswish,
    leaky_relu,
    log_softmax,
    prelu,
    relu,
    relu6,
    softmax,
)
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
from fastconv.nn.dropout import dropout, dropout1d, dropout2d, dropout3d
from fastconv.nn.fractional_pool import fractional_max_pool2d, fractional_max_pool3d
from fastconv.nn.group_norm import group_norm, instance_norm, layer_norm, local_response_norm
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
from fastconv.nn.lp_unpool import lp_pool1d, lp_pool2d, lp_pool3d, max_unpool1d, max_unpool2d, max_unpool3d
from fastconv.nn.norm import batch_norm
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
from fastconv.nn.resample import channel_shuffle, interpolate, pixel_shuffle, pixel_unshuffle
from fastconv.nn.smooth import (
    elu,
    erf,
    exponential,
    gelu,
    selu,
    sigmoid,
    silu,
    softplus,
    softsign,
    tanh,
)

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "channel_shuffle", "conv1d", "conv2d",
    "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cross_entropy", "dropout",
    "dropout1d", "dropout2d", "dropout3d", "elu", "erf", "exponential", "fold", "fractional_max_pool2d",
    "fractional_max_pool3d", "gelu", "global_avg_pool", "global_max_pool", "group_norm", "hardsigmoid",
    "hardswish", "hinge_embedding_loss", "hinge_loss", "huber_loss", "instance_norm", "interpolate", "kl_div",
    "l1_loss", "layer_norm", "leaky_relu", "linear", "local_response_norm", "locally_connected1d",
    "locally_connected2d", "log_softmax", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool2d",
    "max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d", "min_pool1d", "min_pool2d", "min_pool3d",
    "mse_loss", "multi_margin_loss", "nll_loss", "pad", "pixel_shuffle", "pixel_unshuffle", "prelu", "relu",
    "relu6", "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softplus", "softsign", "tanh",
    "tiled_conv2d", "unfold",
]
