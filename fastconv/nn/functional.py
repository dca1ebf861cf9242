# SPDX-License-Identifier: BSD-3-Clause
"""The layers as functions of tensors or arrays; they return tensors. Each is defined next to its layer.

On arrays alone, without gradients, use :mod:`fastconv.ops`.
"""

from fastconv.nn.activation import log_softmax, relu, sigmoid, softmax, tanh
from fastconv.nn.conv import conv2d
from fastconv.nn.dropout import dropout
from fastconv.nn.linear import linear
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
from fastconv.nn.pool import avg_pool2d, max_pool2d

__all__ = [
    "avg_pool2d", "binary_cross_entropy", "binary_cross_entropy_with_logits", "conv2d", "cross_entropy",
    "dropout", "hinge_embedding_loss", "hinge_loss", "huber_loss", "kl_div", "l1_loss", "linear",
    "log_softmax", "max_pool2d", "mse_loss", "multi_margin_loss", "nll_loss", "relu", "sigmoid",
    "smooth_l1_loss", "softmax", "tanh",
]
