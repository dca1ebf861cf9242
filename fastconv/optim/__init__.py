# SPDX-License-Identifier: BSD-3-Clause
"""Optimisers, with PyTorch's names, defaults, formulas and state dicts; learning-rate schedules.

Each update is one pass over memory, in place, by a native kernel.

In the formulas p is a parameter, g its gradient, and t counts its steps from 1.

>>> import numpy as np
>>> from fastconv import nn
>>> p = nn.Parameter(np.array([1.0, 2.0]))
>>> optimizer = SGD([p], lr=0.5)
>>> (p * p).sum().backward()
>>> optimizer.step()
>>> p.numpy()
array([0., 0.])
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastconv.optim.adagrad import Adagrad
from fastconv.optim.adam import Adam, AdamW
from fastconv.optim.base import Optimizer
from fastconv.optim.rmsprop import RMSprop
from fastconv.optim.sgd import SGD

if TYPE_CHECKING:
    from fastconv.optim import lr_scheduler

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]


def __getattr__(name: str) -> Any:
    """The schedules are imported when first asked for."""
    if name == "lr_scheduler":
        return importlib.import_module("fastconv.optim.lr_scheduler")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
