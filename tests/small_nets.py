"""A network with a layer of each kind, and images for it."""

from collections import OrderedDict
from typing import Any

import numpy as np

from fastconv import nn

Array = np.ndarray[Any, Any]


def small_net() -> nn.Sequential:
    return nn.Sequential(OrderedDict(
        features=nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        head=nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)),
    ))


def images(n: int = 2) -> Array:
    return np.random.default_rng(1).normal(size=(n, 1, 4, 4)).astype(np.float32)
