# SPDX-License-Identifier: BSD-3-Clause
"""The slow, obvious twin of every operation: the oracle of the tests, and the definition of what is right.

Each function has the signature of its namesake in :mod:`fastconv.ops` and is written to be read, not to be
fast: one loop over the taps of the kernel, one strided slice and one sum of products per tap.

Results are float64, whatever the precision of the arguments, with two exceptions: integer arguments give
exact int64 results (averages excepted), and ``np.longdouble`` arguments stay longdouble. ``algorithm`` is
accepted everywhere and means nothing here.

Conventions, which hold for the whole library:

* A padded tap behaves as ``x = 0``: an infinite weight on a padded tap gives NaN.
* Maximum: NaN propagates; of equal values the first one in row-major order is taken, of several NaN the
  last, and where everything is -inf the first element inside the image.
* ``padding`` is an int, a tuple ``(height, width)``, ``((top, bottom), (left, right))``, ``"valid"``,
  ``"same"`` (output size ``ceil(n / stride)``, the odd pixel at the end) or ``"same_lower"`` (the odd pixel
  at the start).

>>> import numpy as np
>>> x = np.arange(9).reshape(1, 1, 3, 3)
>>> conv2d(x, np.ones((1, 1, 2, 2), int))[0, 0]
array([[ 8, 12],
       [20, 24]])
"""

from fastconv.reference.activation import (
    elu,
    elu_backward,
    erf,
    erf_backward,
    exponential,
    exponential_backward,
    gelu,
    gelu_backward,
    hardsigmoid,
    hardsigmoid_backward,
    hardswish,
    hardswish_backward,
    leaky_relu,
    leaky_relu_backward,
    log_softmax,
    log_softmax_backward,
    prelu,
    prelu_backward,
    relu6,
    relu6_backward,
    selu,
    selu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softmax,
    softmax_backward,
    softplus,
    softplus_backward,
    softsign,
    softsign_backward,
    tanh,
    tanh_backward,
)
from fastconv.reference.conv import (
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_abs,
    conv2d_backward,
    conv2d_backward_abs,
    conv3d,
    conv3d_backward,
)
from fastconv.reference.conv_transpose import (
    conv_transpose1d,
    conv_transpose1d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    conv_transpose3d,
    conv_transpose3d_backward,
)
from fastconv.reference.layers import add, batch_norm, batch_norm_backward, linear, linear_backward, relu, relu_backward
from fastconv.reference.local import (
    fold,
    fold_backward,
    locally_connected1d,
    locally_connected1d_backward,
    locally_connected2d,
    locally_connected2d_backward,
    tiled_conv2d,
    tiled_conv2d_backward,
    unfold,
    unfold_backward,
)
from fastconv.reference.loss import (
    binary_cross_entropy,
    binary_cross_entropy_backward,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward,
    cross_entropy,
    cross_entropy_backward,
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
    multi_margin_loss,
    multi_margin_loss_backward,
    nll_loss,
    nll_loss_backward,
    smooth_l1_loss,
    smooth_l1_loss_backward,
)
from fastconv.reference.norm import (
    dropout,
    dropout_backward,
    group_norm,
    group_norm_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
    local_response_norm,
    local_response_norm_backward,
)
from fastconv.reference.pool import (
    avg_pool1d,
    avg_pool1d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    avg_pool3d,
    avg_pool3d_backward,
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool3d,
    max_pool3d_backward,
    min_pool1d,
    min_pool2d,
    min_pool3d,
)
from fastconv.reference.pool_windows import (
    adaptive_avg_pool1d,
    adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool3d,
    adaptive_avg_pool3d_backward,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    fractional_max_pool2d,
    fractional_max_pool3d,
    global_avg_pool,
    global_avg_pool_backward,
    global_max_pool,
    global_max_pool_backward,
    lp_pool1d,
    lp_pool1d_backward,
    lp_pool2d,
    lp_pool2d_backward,
    lp_pool3d,
    lp_pool3d_backward,
    max_unpool1d,
    max_unpool1d_backward,
    max_unpool2d,
    max_unpool2d_backward,
    max_unpool3d,
    max_unpool3d_backward,
)
from fastconv.reference.resample import (
    channel_shuffle,
    interpolate,
    interpolate_backward,
    pad,
    pad_backward,
    pixel_shuffle,
    pixel_unshuffle,
)
from fastconv.reference.signal import convolve, correlate
from fastconv.reference.winograd import WINOGRAD_POINTS, WinogradMatrices, winograd, winograd_abs, winograd_matrices

__all__ = [
    "WINOGRAD_POINTS", "WinogradMatrices", "adaptive_avg_pool1d", "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d", "adaptive_avg_pool2d_backward", "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "add", "avg_pool1d", "avg_pool1d_backward", "avg_pool2d", "avg_pool2d_backward", "avg_pool3d",
    "avg_pool3d_backward", "batch_norm", "batch_norm_backward", "binary_cross_entropy",
    "binary_cross_entropy_backward", "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward", "channel_shuffle", "conv1d", "conv1d_backward", "conv2d",
    "conv2d_abs", "conv2d_backward", "conv2d_backward_abs", "conv3d", "conv3d_backward", "conv_transpose1d",
    "conv_transpose1d_backward", "conv_transpose2d", "conv_transpose2d_backward", "conv_transpose3d",
    "conv_transpose3d_backward", "convolve", "correlate", "cross_entropy", "cross_entropy_backward",
    "dropout", "dropout_backward", "elu", "elu_backward", "erf", "erf_backward", "exponential",
    "exponential_backward", "fold", "fold_backward", "fractional_max_pool2d", "fractional_max_pool3d", "gelu",
    "gelu_backward", "global_avg_pool", "global_avg_pool_backward", "global_max_pool",
    "global_max_pool_backward", "group_norm", "group_norm_backward", "hardsigmoid", "hardsigmoid_backward",
    "hardswish", "hardswish_backward", "hinge_embedding_loss", "hinge_embedding_loss_backward", "hinge_loss",
    "hinge_loss_backward", "huber_loss", "huber_loss_backward", "instance_norm", "instance_norm_backward",
    "interpolate", "interpolate_backward", "kl_div", "kl_div_backward", "l1_loss", "l1_loss_backward",
    "layer_norm", "layer_norm_backward", "leaky_relu", "leaky_relu_backward", "linear", "linear_backward",
    "local_response_norm", "local_response_norm_backward", "locally_connected1d",
    "locally_connected1d_backward", "locally_connected2d", "locally_connected2d_backward", "log_softmax",
    "log_softmax_backward", "lp_pool1d", "lp_pool1d_backward", "lp_pool2d", "lp_pool2d_backward", "lp_pool3d",
    "lp_pool3d_backward", "max_pool1d", "max_pool1d_backward", "max_pool2d", "max_pool2d_backward",
    "max_pool3d", "max_pool3d_backward", "max_unpool1d", "max_unpool1d_backward", "max_unpool2d",
    "max_unpool2d_backward", "max_unpool3d", "max_unpool3d_backward", "min_pool1d", "min_pool2d",
    "min_pool3d", "mse_loss", "mse_loss_backward", "multi_margin_loss", "multi_margin_loss_backward",
    "nll_loss", "nll_loss_backward", "pad", "pad_backward", "pixel_shuffle", "pixel_unshuffle", "prelu",
    "prelu_backward", "relu", "relu6", "relu6_backward", "relu_backward", "selu", "selu_backward", "sigmoid",
    "sigmoid_backward", "silu", "silu_backward", "smooth_l1_loss", "smooth_l1_loss_backward", "softmax",
    "softmax_backward", "softplus", "softplus_backward", "softsign", "softsign_backward", "tanh",
    "tanh_backward", "tiled_conv2d", "tiled_conv2d_backward", "unfold", "unfold_backward", "winograd",
    "winograd_abs", "winograd_matrices",
]
