# SPDX-License-Identifier: BSD-3-Clause
"""Layers, losses and initialisers, with PyTorch's names, signatures, defaults and state_dict keys."""

import importlib
from typing import TYPE_CHECKING, Any

from fastconv.nn import functional, init
from fastconv.nn.activation import (
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    ReLU6,
    Softmax,
)
from fastconv.nn.adaptive_pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
)
from fastconv.nn.container import ModuleList, Sequential
from fastconv.nn.conv import Conv1d, Conv2d, Conv3d, DepthwiseConv2d, SeparableConv2d
from fastconv.nn.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from fastconv.nn.dropout import (
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from fastconv.nn.fractional_pool import FractionalMaxPool2d, FractionalMaxPool3d
from fastconv.nn.group_norm import (
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    LocalResponseNorm,
)
from fastconv.nn.linear import Flatten, Identity, Linear
from fastconv.nn.local import Fold, LocallyConnected1d, LocallyConnected2d, TiledConv2d, Unfold
from fastconv.nn.loss import CrossEntropyLoss
from fastconv.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    HingeEmbeddingLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    MultiMarginLoss,
    NLLLoss,
    SmoothL1Loss,
)
from fastconv.nn.lp_unpool import LPPool1d, LPPool2d, LPPool3d, MaxUnpool1d, MaxUnpool2d, MaxUnpool3d
from fastconv.nn.module import Module
from fastconv.nn.norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
)
from fastconv.nn.padding import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from fastconv.nn.parameter import Parameter
from fastconv.nn.pool_layers import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    MinPool1d,
    MinPool2d,
    MinPool3d,
)
from fastconv.nn.resample import (
    ChannelShuffle,
    PixelShuffle,
    PixelUnshuffle,
    Upsample,
    UpsamplingBilinear2d,
    UpsamplingNearest2d,
)
from fastconv.nn.smooth import (
    ELU,
    GELU,
    SELU,
    Activation,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Tanh,
)
from fastconv.nn.weighted import regularization_loss

if TYPE_CHECKING:
    from fastconv.nn import constraints, initializers, regularizers, utils

__all__ = [
    "Activation", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "BCELoss",
    "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "ChannelShuffle", "CircularPad1d",
    "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "Conv1d", "Conv2d",
    "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "CrossEntropyLoss", "DepthwiseConv2d",
    "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "ELU", "Flatten", "Fold", "FractionalMaxPool2d",
    "FractionalMaxPool3d", "GELU", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalAveragePooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GroupNorm",
    "Hardsigmoid", "Hardswish", "HingeEmbeddingLoss", "HingeLoss", "HuberLoss", "Identity", "InstanceNorm1d",
    "InstanceNorm2d", "InstanceNorm3d", "KLDivLoss", "L1Loss", "LPPool1d", "LPPool2d", "LPPool3d",
    "LayerNorm", "LeakyReLU", "Linear", "LocalResponseNorm", "LocallyConnected1d", "LocallyConnected2d",
    "LogSoftmax", "MSELoss", "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d",
    "MaxUnpool3d", "MinPool1d", "MinPool2d", "MinPool3d", "Module", "ModuleList", "MultiMarginLoss",
    "NLLLoss", "PReLU", "Parameter", "PixelShuffle", "PixelUnshuffle", "ReLU", "ReLU6", "ReflectionPad1d",
    "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "SELU",
    "SeparableConv2d", "Sequential", "SiLU", "Sigmoid", "SmoothL1Loss", "Softmax", "Softplus", "Softsign",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Tanh", "TiledConv2d", "Unfold", "Upsample",
    "UpsamplingBilinear2d", "UpsamplingNearest2d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d", "constraints",
    "functional", "init", "initializers", "regularization_loss", "regularizers", "utils",
]


def __getattr__(name: str) -> Any:
    """Modules that many programs do without are imported when first asked for."""
    if name in ("constraints", "initializers", "regularizers", "utils"):
        return importlib.import_module(f"fastconv.nn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
