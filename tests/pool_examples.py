# SPDX-License-Identifier: BSD-3-Clause
"""Pooling layers with inputs, as the table in test_nn.py has them: all whose names end in the number of axes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gradients import distinct

from fastconv import nn

Examples = dict[type[nn.Module], list[tuple[Callable[[], nn.Module], tuple[Any, ...]]]]


def _of(make: Callable[[], nn.Module], *shape: int) -> tuple[Callable[[], nn.Module], tuple[Any, ...]]:
    return make, (distinct(*shape),)


def _examples(axes: int) -> Examples:
    """Those that exist for every number of axes."""
    size, odd = (4, 5, 3)[:axes], (5, 4, 3)[:axes]
    layer = {name: getattr(nn, f"{name}{axes}d") for name in (
        "MaxPool", "MinPool", "AvgPool", "LPPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "MaxUnpool")}
    positions = np.arange(2 * 2**axes).reshape(1, 2, *(2,) * axes)
    overlapping = positions % 3    # of several maxima of one pixel the last counts
    examples: Examples = {
        layer[name]: [_of(lambda f=layer[name]: f(2), 2, 2, *size),  # type: ignore[misc]
                      _of(lambda f=layer[name]: f(3, 2, 1, ceil_mode=True), 2, *odd)]  # type: ignore[misc]
        for name in ("MaxPool", "MinPool", "AvgPool")
    }
    examples |= {
        layer[name]: [_of(lambda f=layer[name]: f(1), 2, 2, *size),  # type: ignore[misc]
                      _of(lambda f=layer[name]: f((3, 3, 2)[:axes]), 2, 2, *size),  # type: ignore[misc]
                      _of(lambda f=layer[name]: f((None, 7, 4)[:axes]), 2, *odd)]  # type: ignore[misc]
        for name in ("AdaptiveAvgPool", "AdaptiveMaxPool")
    }
    examples[layer["LPPool"]] = [
        _of(lambda: layer["LPPool"](2, 2), 2, 2, *size), _of(lambda: layer["LPPool"](float("inf"), 2, 1), 2, *odd),
        (lambda: layer["LPPool"](1.5, 2, ceil_mode=True), (np.abs(distinct(2, 2, *odd)),)),
    ]
    examples[layer["MaxUnpool"]] = [
        (lambda: layer["MaxUnpool"](2), (distinct(*positions.shape), positions)),
        (lambda: layer["MaxUnpool"](2), (distinct(*positions.shape), overlapping)),
    ]
    for name in ("GlobalAveragePooling", "GlobalMaxPooling"):
        make = getattr(nn, f"{name}{axes}D")
        examples[make] = [_of(make, 2, 2, *size), _of(lambda f=make: f(keepdims=True), 2, 3, *odd)]  # type: ignore[misc]
    return examples


def _samples(u: float, axes: int) -> Any:
    return np.full((1, 2, axes), u)


POOLS = _examples(1) | _examples(2) | _examples(3)
POOLS[nn.AvgPool2d] += [
    _of(lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), 1, 2, 6, 5),
    _of(lambda: nn.AvgPool2d((2, 1), divisor_override=3), 2, 4, 5),
]
POOLS[nn.MaxPool2d] += [_of(lambda: nn.MaxPool2d((2, 1), 1, 0, (2, 1)), 1, 2, 4, 3)]
POOLS[nn.FractionalMaxPool2d] = [
    _of(lambda: nn.FractionalMaxPool2d(2, output_ratio=0.6, _random_samples=_samples(0.7, 2)), 1, 2, 5, 6),
    _of(lambda: nn.FractionalMaxPool2d((2, 3), (4, 2), _random_samples=_samples(0.25, 2)), 2, 5, 6),
]
POOLS[nn.FractionalMaxPool3d] = [
    _of(lambda: nn.FractionalMaxPool3d(2, (2, 3, 1), _random_samples=_samples(0.5, 3)), 1, 2, 4, 4, 3)
]
