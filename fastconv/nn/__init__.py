# SPDX-License-Identifier: BSD-3-Clause
"""Layers, losses and initialisers, with PyTorch's names, signatures, defaults and state_dict keys."""

import importlib
from typing import TYPE_CHECKING, Any

from fastconv.nn import functional, init
from fastconv.nn.activation import ReLU, Sigmoid, Tanh
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
from fastconv.nn.dropout import Dropout
from fastconv.nn.fractional_pool import FractionalMaxPool2d, FractionalMaxPool3d
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
from fastconv.nn.lp_unpool import (
    LPPool1d,
    LPPool2d,
    LPPool3d,
    MaxUnpool1d,
    MaxUnpool2d,
    MaxUnpool3d,
)
from fastconv.nn.module import Module
from fastconv.nn.norm import BatchNorm2d
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
from fastconv.nn.weighted import regularization_loss

if TYPE_CHECKING:
    from fastconv.nn import constraints, initializers, regularizers, utils

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "BCELoss", "BCEWithLogitsLoss", "BatchNorm2d",
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "CrossEntropyLoss",
    "DepthwiseConv2d", "Dropout", "Flatten", "Fold", "FractionalMaxPool2d", "FractionalMaxPool3d",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "HingeEmbeddingLoss", "HingeLoss", "HuberLoss", "Identity",
    "KLDivLoss", "L1Loss", "LPPool1d", "LPPool2d", "LPPool3d", "Linear", "LocallyConnected1d",
    "LocallyConnected2d", "MSELoss", "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d",
    "MaxUnpool3d", "MinPool1d", "MinPool2d", "MinPool3d", "Module", "ModuleList", "MultiMarginLoss", "NLLLoss",
    "Parameter", "ReLU", "SeparableConv2d", "Sequential", "Sigmoid", "SmoothL1Loss", "Tanh", "TiledConv2d",
    "Unfold", "constraints", "functional", "init", "initializers", "regularization_loss", "regularizers", "utils",
]


def __getattr__(name: str) -> Any:
    """Modules that many programs do without are imported when first asked for."""
    if name in ("constraints", "initializers", "regularizers", "utils"):
        return importlib.import_module(f"fastconv.nn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
