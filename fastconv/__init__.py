# SPDX-License-Identifier: BSD-3-Clause
"""Convolutional networks at the speed limit of a CPU, on NumPy arrays.

fastconv.ops        pure functions on arrays, each with its gradient next to it
fastconv.nn         layers, losses and initialisers with PyTorch's names
fastconv.optim      SGD, Adam, AdamW
fastconv.reference  the slow, obvious twin of every operation

>>> import numpy as np
>>> import fastconv
>>> conv = fastconv.nn.Conv2d(3, 8, 3, padding="same")
>>> conv(np.zeros((1, 3, 32, 32), np.float32)).shape
(1, 8, 32, 32)
"""

from fastconv import _config, nn, ops, optim
from fastconv._config import cpu_info, get_num_threads, set_isa, set_num_threads, show_config
from fastconv.autograd import Tensor, no_grad, tensor
from fastconv.errors import DataError, ShapeError, WeightsError
from fastconv.ops import algorithm
from fastconv.random import manual_seed

__version__ = "0.1.0"

_config.apply()

__all__ = [
    "DataError",
    "ShapeError",
    "Tensor",
    "WeightsError",
    "algorithm",
    "cpu_info",
    "get_num_threads",
    "manual_seed",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "set_isa",
    "set_num_threads",
    "show_config",
    "tensor",
]
