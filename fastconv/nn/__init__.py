# SPDX-License-Identifier: BSD-3-Clause
"""Layers, losses and initialisers, with PyTorch's names, signatures, defaults and state_dict keys."""

import importlib
from typing import TYPE_CHECKING, Any

from fastconv.nn import functional, init
from fastconv.nn.activation import ReLU, Sigmoid, Tanh
from fastconv.nn.container import ModuleList, Sequential
from fastconv.nn.conv import Conv2d
from fastconv.nn.dropout import Dropout
from fastconv.nn.linear import Flatten, Identity, Linear
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
from fastconv.nn.module import Module
from fastconv.nn.norm import BatchNorm2d
from fastconv.nn.parameter import Parameter
from fastconv.nn.pool import AvgPool2d, MaxPool2d
from fastconv.nn.weighted import regularization_loss

if TYPE_CHECKING:
    from fastconv.nn import constraints, initializers, regularizers, utils

__all__ = [
    "AvgPool2d", "BCELoss", "BCEWithLogitsLoss", "BatchNorm2d", "Conv2d", "CrossEntropyLoss", "Dropout",
    "Flatten", "HingeEmbeddingLoss", "HingeLoss", "HuberLoss", "Identity", "KLDivLoss", "L1Loss", "Linear",
    "MSELoss", "MaxPool2d", "Module", "ModuleList", "MultiMarginLoss", "NLLLoss", "Parameter", "ReLU",
    "Sequential", "Sigmoid", "SmoothL1Loss", "Tanh", "constraints", "functional", "init", "initializers",
    "regularization_loss", "regularizers", "utils",
]


def __getattr__(name: str) -> Any:
    """Modules that many programs do without are imported when first asked for."""
    if name in ("constraints", "initializers", "regularizers", "utils"):
        return importlib.import_module(f"fastconv.nn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
