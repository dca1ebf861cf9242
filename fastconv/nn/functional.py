# SPDX-License-Identifier: BSD-3-Clause
"""The layers as functions of tensors or arrays; they return tensors. Each is defined next to its layer.

On arrays alone, without gradients, use :mod:`fastconv.ops`.
"""

from fastconv.nn.activation import log_softmax, relu, sigmoid, softmax, tanh
from fastconv.nn.conv import conv2d
from fastconv.nn.dropout import dropout
from fastconv.nn.linear import linear
from fastconv.nn.loss import cross_entropy, mse_loss
from fastconv.nn.pool import avg_pool2d, max_pool2d

__all__ = [
    "avg_pool2d", "conv2d", "cross_entropy", "dropout", "linear", "log_softmax", "max_pool2d", "mse_loss",
    "relu", "sigmoid", "softmax", "tanh",
]
