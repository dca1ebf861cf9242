"""Examples of the layers of element-wise functions, normalisation, dropout, padding and resampling, for test_nn.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gradients import distinct

from fastconv import nn

Array = np.ndarray[Any, Any]
Examples = dict[type[nn.Module], list[tuple[Callable[[], nn.Module], tuple[Array, ...]]]]


def _affine(layer: nn.Module) -> nn.Module:
    """The layer with a weight and a bias that are not 1 and 0."""
    for p in layer.parameters():
        p.copy_(np.linspace(0.5, 1.5, p.numel()).reshape(p.shape))
    return layer


X2, X3, X4, X5 = distinct(3, 4), distinct(2, 4, 5), distinct(2, 4, 4, 6), distinct(2, 4, 2, 2, 2)

ACTIVATIONS: Examples = {
    nn.Activation: [
        (lambda: nn.Activation("exponential"), (X2,)),
        (lambda: nn.Activation("linear"), (X2,)),
        (lambda: nn.Activation("softmax"), (X2,)),
    ],
    nn.ELU: [(lambda: nn.ELU(), (X2,)), (lambda: nn.ELU(0.3, True), (X4,))],
    nn.GELU: [(lambda: nn.GELU(), (X2,)), (lambda: nn.GELU("tanh"), (X2,))],
    nn.Hardsigmoid: [(lambda: nn.Hardsigmoid(), (X2 * 4.1,))],
    nn.Hardswish: [(lambda: nn.Hardswish(), (X2 * 4.1,))],
    nn.LeakyReLU: [(lambda: nn.LeakyReLU(), (X2,)), (lambda: nn.LeakyReLU(0.3, True), (X2,))],
    nn.LogSoftmax: [(lambda: nn.LogSoftmax(-1), (X3,)), (lambda: nn.LogSoftmax(), (X2,))],
    nn.PReLU: [(lambda: nn.PReLU(), (X2,)), (lambda: nn.PReLU(4, 0.1), (X4,))],
    nn.ReLU6: [(lambda: nn.ReLU6(), (X2 * 10,))],
    nn.SELU: [(lambda: nn.SELU(), (X2,))],
    nn.SiLU: [(lambda: nn.SiLU(), (X2,))],
    nn.Softmax: [(lambda: nn.Softmax(1), (X4,)), (lambda: nn.Softmax(), (X2,))],
    nn.Softplus: [(lambda: nn.Softplus(), (X2,)), (lambda: nn.Softplus(2, 1), (X2,))],
    nn.Softsign: [(lambda: nn.Softsign(), (X2,))],
}

NORMALISATIONS: Examples = {
    nn.BatchNorm1d: [
        (lambda: _affine(nn.BatchNorm1d(4)), (X2,)),
        (lambda: nn.BatchNorm1d(4, affine=False), (X3,)),
        (lambda: nn.BatchNorm1d(4).eval(), (X3,)),
    ],
    nn.BatchNorm3d: [
        (lambda: _affine(nn.BatchNorm3d(4)), (X5,)),
        (lambda: nn.BatchNorm3d(4, bias=False).eval(), (X5,)),
    ],
    nn.GroupNorm: [
        (lambda: _affine(nn.GroupNorm(2, 4)), (X4,)),
        (lambda: _affine(nn.GroupNorm(4, 4, bias=False)), (X3,)),
        (lambda: nn.GroupNorm(1, 4, affine=False), (X2,)),
    ],
    nn.InstanceNorm1d: [
        (lambda: nn.InstanceNorm1d(4), (X3,)),
        (lambda: nn.InstanceNorm1d(3), (distinct(3, 7),)),
    ],
    nn.InstanceNorm2d: [
        (lambda: _affine(nn.InstanceNorm2d(4, affine=True)), (X4,)),
        (lambda: nn.InstanceNorm2d(4, track_running_stats=True), (X4,)),
        (lambda: nn.InstanceNorm2d(4, track_running_stats=True).eval(), (X4,)),
    ],
    nn.InstanceNorm3d: [(lambda: nn.InstanceNorm3d(4), (X5,))],
    nn.LayerNorm: [
        (lambda: _affine(nn.LayerNorm(6)), (X4,)),
        (lambda: _affine(nn.LayerNorm((4, 6), bias=False)), (X4,)),
        (lambda: nn.LayerNorm(4, elementwise_affine=False), (X2,)),
    ],
    nn.LocalResponseNorm: [
        (lambda: nn.LocalResponseNorm(2, 0.5), (X4,)),
        (lambda: nn.LocalResponseNorm(9, 0.5, 0.5, 2), (X3,)),
    ],
}

DROPOUTS: Examples = {
    nn.Dropout1d: [(lambda: nn.Dropout1d(0.4), (X3,)), (lambda: nn.Dropout1d(0.4), (distinct(5, 6),))],
    nn.Dropout2d: [(lambda: nn.Dropout2d(0.4), (X4,)), (lambda: nn.Dropout2d(0.4), (X3,))],
    nn.Dropout3d: [(lambda: nn.Dropout3d(0.4), (X5,))],
}

IMAGES: Examples = {
    nn.ChannelShuffle: [(lambda: nn.ChannelShuffle(2), (X4,))],
    nn.CircularPad1d: [(lambda: nn.CircularPad1d((1, 2)), (X3,))],
    nn.CircularPad2d: [(lambda: nn.CircularPad2d(2), (X4,))],
    nn.CircularPad3d: [(lambda: nn.CircularPad3d(1), (X5,))],
    nn.ConstantPad1d: [(lambda: nn.ConstantPad1d((1, -2), 3.0), (X3,))],
    nn.ConstantPad2d: [(lambda: nn.ConstantPad2d(1, 3.0), (X4,))],
    nn.ConstantPad3d: [(lambda: nn.ConstantPad3d(1, -3.0), (X5,))],
    nn.PixelShuffle: [(lambda: nn.PixelShuffle(2), (X4,)), (lambda: nn.PixelShuffle(2), (X4[0],))],
    nn.PixelUnshuffle: [(lambda: nn.PixelUnshuffle(2), (X4,))],
    nn.ReflectionPad1d: [(lambda: nn.ReflectionPad1d(3), (X3,))],
    nn.ReflectionPad2d: [(lambda: nn.ReflectionPad2d((1, 2, 3, 0)), (X4,))],
    nn.ReflectionPad3d: [(lambda: nn.ReflectionPad3d(1), (X5,))],
    nn.ReplicationPad1d: [(lambda: nn.ReplicationPad1d(3), (X3,))],
    nn.ReplicationPad2d: [(lambda: nn.ReplicationPad2d((1, 2, 3, 0)), (X4,))],
    nn.ReplicationPad3d: [(lambda: nn.ReplicationPad3d(2), (X5,))],
    nn.Upsample: [
        (lambda: nn.Upsample(scale_factor=2), (X4,)),
        (lambda: nn.Upsample((5, 3), mode="bilinear"), (X4,)),
        (lambda: nn.Upsample(scale_factor=1.7, mode="linear", recompute_scale_factor=True), (X3,)),
        (lambda: nn.Upsample(3, mode="trilinear", align_corners=True), (X5,)),
    ],
    nn.UpsamplingBilinear2d: [(lambda: nn.UpsamplingBilinear2d(7), (X4,))],
    nn.UpsamplingNearest2d: [(lambda: nn.UpsamplingNearest2d(scale_factor=2), (X4,))],
    nn.ZeroPad1d: [(lambda: nn.ZeroPad1d((1, 0)), (X3,))],
    nn.ZeroPad2d: [(lambda: nn.ZeroPad2d((1, 2, 3, 0)), (X4,)), (lambda: nn.ZeroPad2d(1), (X4[0],))],
    nn.ZeroPad3d: [(lambda: nn.ZeroPad3d(1), (X5,))],
}

EXAMPLES: Examples = {**ACTIVATIONS, **NORMALISATIONS, **DROPOUTS, **IMAGES}
