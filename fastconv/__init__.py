# SPDX-License-Identifier: BSD-3-Clause
"""Convolutional networks at the speed limit of a CPU, on NumPy arrays.

fastconv.ops        pure functions on arrays, each with its gradient next to it
fastconv.nn         layers, losses and initialisers with PyTorch's names
fastconv.filters    image filters: Sobel, Gaussian, sharpen and others
fastconv.optim      SGD, Adam, AdamW, RMSprop, Adagrad; learning-rate schedules
fastconv.reference  the slow, obvious twin of every operation

>>> import numpy as np
>>> import fastconv
>>> conv = fastconv.nn.Conv2d(3, 8, 3, padding="same")
>>> conv(np.zeros((1, 3, 32, 32), np.float32)).shape
(1, 8, 32, 32)
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastconv import _config, filters, nn, ops, optim
from fastconv._config import cpu_info, get_num_threads, set_isa, set_num_threads, show_config
from fastconv.autograd import Tensor, no_grad, tensor
from fastconv.caches import cache_clear, cache_info
from fastconv.errors import DataError, ShapeError, WeightsError
from fastconv.ops import algorithm
from fastconv.random import manual_seed

if TYPE_CHECKING:
    from fastconv.explanation import Explanation

__version__ = "0.1.0"

_config.apply()


def explain(layer_or_model: nn.Module, input_shape: Sequence[int]) -> "Explanation":
    """Tell how the convolutions and dense layers of a model are computed: `print(fastconv.explain(...))`.

    input_shape: (C, H, W) of one image, or the shape of a batch.

    For each layer and pass: the algorithm chosen and why; its multiply-accumulates and bytes; for every algorithm
    that applies the predicted and the measured time and the percentage of the machine's measured peak; and the bound
    of the error. A model is explained as training runs it, without the gradient of the images; a single layer with
    all three passes. The measuring takes about 0.1 seconds for each pass.

    Raises TypeError for what is no module, ShapeError for a shape the model cannot take, and ValueError where it has
    nothing to explain or asks for an algorithm that does not apply.

    >>> layer = nn.Conv2d(64, 64, 3, padding=1)
    >>> found = explain(layer, (64, 56, 56))
    >>> [part.name for part in found.layers[0].passes]
    ['forward', 'd input', 'd weights']
    """
    from fastconv.explanation import explain as implementation  # imports what a program that only computes needs not

    return implementation(layer_or_model, input_shape)


__all__ = [
    "DataError",
    "ShapeError",
    "Tensor",
    "WeightsError",
    "algorithm",
    "cache_clear",
    "cache_info",
    "cpu_info",
    "explain",
    "filters",
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
