# SPDX-License-Identifier: BSD-3-Clause
"""Networks of the literature, built from fastconv.nn: `build("lenet")`, or the function of each file.

To add one: a file with a function that returns the network, and a row in MODELS.
"""

from collections.abc import Callable
from typing import NamedTuple

from fastconv import nn
from fastconv.models.cifar_resnet import (
    cifar_resnet20,
    cifar_resnet32,
    cifar_resnet44,
    cifar_resnet56,
    cifar_resnet110,
)
from fastconv.models.lenet import lenet, lenet_caffe
from fastconv.models.mnist_cnn import mnist_cnn

__all__ = [
    "MODELS", "Model", "build", "cifar_resnet20", "cifar_resnet32", "cifar_resnet44", "cifar_resnet56",
    "cifar_resnet110", "lenet", "lenet_caffe", "mnist_cnn",
]


class Model(NamedTuple):
    """How a network is built, and the (channels, height, width) of its images."""

    build: Callable[..., nn.Module]
    input_shape: tuple[int, int, int]


MODELS = {
    "lenet": Model(lenet, (1, 28, 28)),
    "lenet-caffe": Model(lenet_caffe, (1, 28, 28)),
    "mnist-cnn": Model(mnist_cnn, (1, 28, 28)),
    "cifar_resnet20": Model(cifar_resnet20, (3, 32, 32)),
    "cifar_resnet32": Model(cifar_resnet32, (3, 32, 32)),
    "cifar_resnet44": Model(cifar_resnet44, (3, 32, 32)),
    "cifar_resnet56": Model(cifar_resnet56, (3, 32, 32)),
    "cifar_resnet110": Model(cifar_resnet110, (3, 32, 32)),
}


def build(name: str, num_classes: int = 10, *, algorithm: str = "auto") -> nn.Module:
    """The network `name`, one of MODELS, freshly initialised from the generator of fastconv.manual_seed.

    algorithm: what its convolutions use; see nn.Conv2d.

    Raises ValueError for an unknown name.

    >>> sum(p.numel() for p in build("lenet").parameters())
    61706
    """
    if name not in MODELS:
        raise ValueError(f"name must be one of {', '.join(map(repr, MODELS))}, got {name!r}")
    return MODELS[name].build(num_classes, algorithm=algorithm)
